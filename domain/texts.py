"""What of a text people see. What they do not see could make it look like another one, or end a line of a log."""

import unicodedata
from collections.abc import Callable

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, marks that join words or turn their direction, halves of characters, ends of lines and paragraphs."""


def is_seen(text: str) -> bool:
    """Whether all of a text is seen."""
    return text.isprintable() or not any(unicodedata.category(sign) in _UNSEEN for sign in text)


def with_unseen(text: str, instead: Callable[[str], str]) -> str:
    """A text with something else in the place of each sign that nobody sees."""
    return text if is_seen(text) else "".join(sign if is_seen(sign) else instead(sign) for sign in text)


def one_line(text: str) -> str:
    """Free text as it stands in lists, in sentences and in logs: one line, without what nobody sees."""
    return " ".join(with_unseen(text, lambda sign: " " if sign.isspace() else "").split())


def written_out(text: str, *, but: str = "") -> str:
    """A text of others for logs and terminals: what nobody sees is spelt as Python spells it, except the signs in `but`."""
    return with_unseen(text, lambda sign: sign if sign in but else sign.encode("unicode_escape").decode())
