"""Lists that a program reads to their end: a part at a time, each naming where the next begins."""

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from litestar.params import QueryParameter

from projections.read_model import Stretch
from web.api.problems import CursorIsWrong

T = TypeVar("T")
R = TypeVar("R")
MOST_ITEMS = 200

Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=MOST_ITEMS, description="How many items at most.")]
After: TypeAlias = Annotated[
    str, QueryParameter(max_length=1000, description="The `next` of the part before; without it, the beginning.")
]
Search: TypeAlias = Annotated[str, QueryParameter(max_length=100, description="A part of the name, in any case.")]
DEFAULT_LIMIT = 50
NEWEST_FIRST = tuple[datetime, UUID]
"""The place of a job in its list: when it was queued, and which it is."""
BY_NAME = tuple[str, UUID]
"""The place of a thing that has a name."""


class Listed(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a list. `next` is to be sent as `after`; null at the end."""

    items: tuple[T, ...]
    next: str | None


def listed(stretch: Stretch[Any], shape: Callable[[Any], R]) -> Listed[R]:
    """The part as it is sent."""
    following = stretch.following
    return Listed(items=tuple(map(shape, stretch.items)), next=None if following is None else _sign(following))


def place_of(after: str, key: Any) -> Any:
    """The place that an `after` names, as a tuple of the type `key`; None at the beginning.

    Raises:
        CursorIsWrong
    """
    if not after:
        return None
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(after.encode()), type=key)
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        raise CursorIsWrong from None
    if any(isinstance(part, str) and "\0" in part for part in place):
        raise CursorIsWrong
    return place


def _sign(following: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(following)).decode()
