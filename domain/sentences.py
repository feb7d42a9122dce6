"""Sentences for people: an English text with named places, translated where it is shown.

Refusals, failure reasons and descriptions are stored and passed around as `Sentence`, never as finished text, so that every
reader gets them in their own language.
"""

from typing import TypeAlias

import msgspec

Value: TypeAlias = str | int | float


def N_(text: str) -> str:  # noqa: N802 - the gettext convention that marks a text for the catalogues
    """Mark `text` for the catalogues without translating it here."""
    return text


class Sentence(msgspec.Struct, frozen=True):
    """`text` is the English form and the key of the catalogues; `values` fill its {places}, other sentences among them."""

    text: str
    values: "dict[str, Value | Sentence]" = {}

    def __str__(self) -> str:
        return self.text.format(**self.values)
