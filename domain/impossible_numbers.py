"""Numbers in what workers say: one that cannot be is refused with all that it came with, before anything is made of it.

A loss that is no number would be written into the log and never be read back; a count that no table holds would stop the read
models; and no page can show a moment in a million years.
"""

from collections.abc import Iterable
from math import isfinite
from typing import Final

import msgspec

from domain.sentences import Sentence

_MOST: Final = {"size": 1 << 62, "progress": 1.0, "seconds": 1e11, "seconds_left": 1e11}
"""By the name of the field: bytes of a file, a share of the whole, three thousand years."""
_MOST_COUNTED: Final = (1 << 31) - 1
"""Of everything else that is counted."""
_MOST_MEASURED: Final = 3.5e38
"""Of everything else that is measured: no network computes beyond it."""


class ImpossibleNumber(ValueError):
    """The text says where it stands."""


def refuse_impossible_numbers(said: object) -> None:
    """Look at every number of a report or a heartbeat, however deep inside.

    Raises:
        ImpossibleNumber
    """
    place = _impossible(said, "")
    if place is not None:
        raise ImpossibleNumber(f"the number at ${place} cannot be")


def _impossible(said: object, name: str) -> str | None:
    """Where in the value of a field an impossible number stands; None where there is none."""
    match said:
        case float():
            return None if abs(said) <= _MOST.get(name, _MOST_MEASURED) else ""  # what is no number is not below any
        case int():
            return None if 0 <= said <= _MOST.get(name, _MOST_COUNTED) else ""
        case Sentence(values=values):
            return next((f".values.{key}" for key, value in values.items() if _cannot_be_told(value)), None)
        case msgspec.Struct():
            return _first((f".{field}", getattr(said, field), field) for field in said.__struct_fields__)
        case tuple():
            return _first((f"[{number}]", value, name) for number, value in enumerate(said))
    return None


def _first(inner: Iterable[tuple[str, object, str]]) -> str | None:
    return next(
        (place + below for place, value, name in inner if (below := _impossible(value, name)) is not None), None
    )


def _cannot_be_told(value: object) -> bool:
    """A sentence may tell of a number that cannot be, such as a size that a damaged file claims, but it must be one."""
    if isinstance(value, Sentence):
        return any(map(_cannot_be_told, value.values.values()))
    return isinstance(value, float) and not isfinite(value)
