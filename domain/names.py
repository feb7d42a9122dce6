"""Names: how they may look, and how they are unique by construction.

A unique name is an aggregate of its own whose id is derived from kind and name; claiming it is saved in the same transaction as
the thing that bears it, so two can never hold one name, without any look before.
"""

import enum
import re
import unicodedata
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.facts import Fact, State, evolves, replace
from domain.refusals import Refusal
from domain.sentences import N_

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:assay:names")
_OBJECT_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9_-]{0,58}[A-Za-z0-9])?")
_LETTERS = r"A-Za-z\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003134f"
_PLAIN_NAME = re.compile(rf"[{_LETTERS}0-9_]{{1,60}}")
_USERNAME = re.compile(rf"[{_LETTERS}0-9_]{{5,64}}")


class NameKind(enum.Enum):
    """Within what a name is unique."""

    USER = "user"
    INDUSTRY = "industry"
    TASK_TYPE = "task_type"
    TRAINING_DATASET = "training_dataset"
    QUESTION_BANK_DATASET = "question_bank_dataset"
    MODEL_IMAGE = "model_image"
    MODEL = "model"


class NameClaimed(Fact):
    """Someone's name; `owner` is the aggregate that bears it."""

    TOPIC: ClassVar[str] = "name.claimed"
    kind: NameKind
    name: str
    owner: UUID


class NameReleased(Fact):
    """The name is free again."""

    TOPIC: ClassVar[str] = "name.released"


class NameTaken(Refusal):
    """Names of one kind are unique, without regard to case and width of letters."""

    field = "name"
    message = N_("The name “{name}” is taken. Choose another one.")


class ObjectNameIsInvalid(Refusal):
    """D-1, W-2."""

    field = "name"
    message = N_(
        "A name has 1 to 60 characters, starts with a letter, contains only a-z, A-Z, 0-9, - and _, "
        "and ends with a letter or digit."
    )


class PlainNameIsInvalid(Refusal):
    """M-1: names of master data."""

    field = "name"
    message = N_("“{name}” is not a valid name. Use 1 to 60 Chinese or English letters, digits or underscores.")


class PlainNameIsMissing(Refusal):
    """M-1."""

    field = "name"
    message = N_("Enter a name: 1 to 60 Chinese or English letters, digits or underscores.")


class UsernameIsInvalid(Refusal):
    """U-2."""

    field = "username"
    message = N_("A user name has 5 to 64 characters: digits, Chinese or English letters and underscores.")


class NameClaim(State):
    """Who holds a name at present."""

    owner: UUID | None = None


def name_key(name: str) -> str:
    """What makes two names the same: case, width and composed forms do not matter."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def claim_id(kind: NameKind, name: str) -> UUID:
    """The id of the claim aggregate of a name."""
    return uuid5(_NAMESPACE, f"{kind.value}\x00{name_key(name)}")


def claim(held: NameClaim | None, kind: NameKind, name: str, owner: UUID, *, field: str = "name") -> list[Fact]:
    """Take a name for `owner`.

    Raises:
        NameTaken: someone else holds it.
    """
    if held is not None and held.owner == owner:
        return []
    if held is not None and held.owner is not None:
        raise NameTaken(at=field, name=name)
    return [NameClaimed(kind=kind, name=name, owner=owner)]


def release(held: NameClaim | None, owner: UUID) -> list[Fact]:
    """Give a name back, where `owner` holds it."""
    return [NameReleased()] if held is not None and held.owner == owner else []


def check_object_name(name: str, *, field: str = "name") -> None:
    """Names of datasets, models and jobs (D-1).

    Raises:
        ObjectNameIsInvalid
    """
    if not _OBJECT_NAME.fullmatch(name):
        raise ObjectNameIsInvalid(at=field)


def check_plain_name(name: str, *, field: str = "name") -> None:
    """Names of industries, levels, environment nodes and task types (M-1).

    Raises:
        PlainNameIsMissing, PlainNameIsInvalid
    """
    if not name:
        raise PlainNameIsMissing(at=field)
    if not _PLAIN_NAME.fullmatch(name):
        raise PlainNameIsInvalid(at=field, name=name)


def check_username(name: str) -> None:
    """User names (U-2).

    Raises:
        UsernameIsInvalid
    """
    if not _USERNAME.fullmatch(name):
        raise UsernameIsInvalid


EVOLVE = evolves(
    NameClaim,
    {
        NameClaimed: lambda held, fact: NameClaim(owner=fact.owner),
        NameReleased: lambda held, fact: replace(held, owner=None),
    },
)
