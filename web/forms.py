"""Forms: what was entered, and every refusal as a sentence beside its field.

A form goes round: fields in, refusals beside them, the same page again with status 422 and everything as it was entered.
"""

import enum
from collections.abc import Sequence
from typing import Any, TypeVar
from unicodedata import normalize
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from litestar import Request

from domain.refusals import Refusal, Refusals
from domain.sentences import N_, Sentence

E = TypeVar("E", bound=enum.Enum)
MOST_FIELDS = 20_000
_MOST_DIGITS = 18  # PostgreSQL and SQLite hold all of them
_NUL = "\0"  # nobody can type it, and no text of PostgreSQL can hold it, not even a search


class NumberExpected(Refusal):
    """A field that holds a number."""

    message = N_("Enter a number.")


class WholeNumberExpected(Refusal):
    """A field that counts something."""

    message = N_("Enter a whole number.")


class ChoiceExpected(Refusal):
    """A field with given choices."""

    message = N_("Choose one of the offered values.")


class FormIsTooLarge(Refusal):
    """More fields than any page of ours has."""

    message = N_("This form has too many fields. Send it in smaller parts.")


class Told(msgspec.Struct, frozen=True):
    """A refusal at its field; `field` is empty where it concerns the whole form."""

    field: str
    sentence: Sentence


class Form(msgspec.Struct, frozen=True):
    """The entered fields, in their order and with repetitions, and what was said about them."""

    fields: tuple[tuple[str, str], ...] = ()
    told: tuple[Told, ...] = ()

    @classmethod
    def of(cls, **values: object) -> "Form":
        """A form already filled in: `Form.of(email=user.email, codes=["a", "b"])`."""
        fields: list[tuple[str, str]] = []
        for name, value in values.items():
            several = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
            fields.extend((name, _written(one)) for one in several)
        return cls(tuple(fields))

    def text(self, name: str) -> str:
        """One line, without the blanks around it; empty where there is none."""
        return self.value(name).strip()

    def secret(self, name: str) -> str:
        """A password: blanks count."""
        return self.value(name)

    def lines(self, name: str) -> tuple[str, ...]:
        """The lines of a text area that are not blank, without the blanks around them."""
        return tuple(line.strip() for line in self.value(name).splitlines() if line.strip())

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a repeated field, for example of ticked boxes."""
        return tuple(value for key, value in self.fields if key == name)

    def checked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return any(key == name for key, _ in self.fields)

    def whole(self, name: str) -> int:
        """A whole number.

        Raises:
            WholeNumberExpected
        """
        try:
            return int(self._digits(name))
        except ValueError:
            raise WholeNumberExpected(at=name) from None

    def number(self, name: str) -> float:
        """A finite number.

        Raises:
            NumberExpected
        """
        try:
            value = float(self._digits(name))
        except ValueError:
            raise NumberExpected(at=name) from None
        if value - value != 0:
            raise NumberExpected(at=name)
        return value

    def _digits(self, name: str) -> str:
        """What may be a number for people, too: Python alone reads 1_0 as ten. Chinese keyboards write “０．８”."""
        return normalize("NFKC", self.text(name)).replace("_", "?")

    def choice(self, name: str, kind: type[E]) -> E:
        """One of an enumeration, by its value.

        Raises:
            ChoiceExpected
        """
        try:
            return kind(self.text(name))
        except ValueError:
            raise ChoiceExpected(at=name) from None

    def choices(self, name: str, kind: type[E]) -> tuple[E, ...]:
        """Several of an enumeration, by their values.

        Raises:
            ChoiceExpected
        """
        try:
            return tuple(kind(value) for value in self.all(name))
        except ValueError:
            raise ChoiceExpected(at=name) from None

    def id(self, name: str) -> UUID:
        """The id of something chosen.

        Raises:
            ChoiceExpected
        """
        try:
            return UUID(self.text(name))
        except ValueError:
            raise ChoiceExpected(at=name) from None

    def ids(self, name: str) -> tuple[UUID, ...]:
        """The ids of several things chosen; blank ones are left out.

        Raises:
            ChoiceExpected
        """
        try:
            return tuple(UUID(value) for value in self.all(name) if value.strip())
        except ValueError:
            raise ChoiceExpected(at=name) from None

    def value(self, name: str, default: str = "") -> str:
        """What was entered, untouched; for the field that shows it again."""
        return next((value for key, value in self.fields if key == name), default)

    def errors(self, name: str) -> tuple[Sentence, ...]:
        """What was said about one field."""
        return tuple(told.sentence for told in self.told if told.field == name)

    @property
    def unplaced(self) -> tuple[Sentence, ...]:
        """What was said about the whole form, or about a field that it does not have."""
        names = {name for name, _ in self.fields}
        return tuple(told.sentence for told in self.told if told.field not in names)

    def refused(self, refusal: Refusal | Refusals) -> "Form":
        """The same form with what was said about it."""
        several: Sequence[Refusal] = refusal.refusals if isinstance(refusal, Refusals) else [refusal]
        return msgspec.structs.replace(self, told=tuple(Told(one.at, one.sentence) for one in several))


def button_of(form: Form, before: Form | None, *searches: str) -> str:
    """The pressed button, `do`, of a step of a wizard.

    The Enter key presses “enter”: from a field it goes on, from one of the `searches` it searches. Without scripts the two differ
    only in this: what is searched for is not what it was `before`.
    """
    if form.text("do") != "enter":
        return form.text("do")
    is_search = any(form.text(name) != (before or Form()).text(name) for name in searches)
    return "find" if is_search else "next"


def id_or_none(text: str) -> UUID | None:
    """An id that came with a request; nonsense counts as nothing chosen."""
    try:
        return UUID(text)
    except ValueError:
        return None


def number_or_none(text: str) -> int | None:
    """A whole number that came with an address; nonsense counts as none, and so does what no table could count."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


async def read_form(request: Request[Any, Any, Any]) -> Form:
    """The fields of the body, or of the address where nothing was sent.

    Raises:
        FormIsTooLarge
    """
    if request.content_type[0] == "application/x-www-form-urlencoded":
        return form_in((await request.body()).decode("utf-8", "replace"))
    return form_in(request.url.query)


def form_in(text: str) -> Form:
    """The fields as browsers write them, `name=wang&role=…`.

    Raises:
        FormIsTooLarge
    """
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise FormIsTooLarge from None
    return Form(tuple((name, _as_entered(value)) for name, value in fields))


def _as_entered(value: str) -> str:
    """Browsers send the lines of a text area with CR LF; what nobody has changed shall come back as it was."""
    return value.replace(_NUL, "").replace("\r\n", "\n")


def _written(value: object) -> str:
    if value is None:
        return ""
    return str(value.value) if isinstance(value, enum.Enum) else str(value)
