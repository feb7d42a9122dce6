"""Lists that a program reads to their end: a part at a time, each naming where the next begins."""

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from litestar.params import QueryParameter

from projections.read_model import Page, Stretch
from web.api.problems import CursorIsWrong

T = TypeVar("T")
R = TypeVar("R")
MOST_ITEMS = 200
_MOST_PAGES = 1 << 31

Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=MOST_ITEMS, description="How many items at most.")]
After: TypeAlias = Annotated[
    str, QueryParameter(max_length=1000, description="The `next` of the part before; without it, the beginning.")
]
Search: TypeAlias = Annotated[str, QueryParameter(max_length=100, description="A part of the name, in any case.")]
Place: TypeAlias = Annotated[
    UUID | None, QueryParameter(description="Bound to this place of the environment, or to one below it.")
]
DefectCode: TypeAlias = Annotated[str, QueryParameter(max_length=200, description="Of one defect code only.")]
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


def paged(after: str, limit: int, page_of: Callable[[int, int], Page[Any]], shape: Callable[[Any], R]) -> Listed[R]:
    """The next page of a list in which nothing moves; `page_of` gives one by its number, from 1, and its size.

    Raises:
        CursorIsWrong
    """
    number, size = place_of(after, tuple[int, int]) or (1, limit)
    if not (1 <= number <= _MOST_PAGES and 1 <= size <= MOST_ITEMS):
        raise CursorIsWrong
    page = page_of(number, size)
    return Listed(
        items=tuple(map(shape, page.items)), next=_sign((number + 1, size)) if number < page.page_count else None
    )


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
