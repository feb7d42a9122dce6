"""Facts and how states are folded from them: the whole contract between the rules and the log.

A fact is a frozen struct in the past tense with a fixed `TOPIC`, the name it is stored under for ever. Facts only grow: a new
field has a default, a new meaning is a new fact, nothing is renamed or removed.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeVar, cast, dataclass_transform
from uuid import UUID

import msgspec
from msgspec.structs import replace as _replace

SYSTEM = UUID(int=0)
"""The actor of everything that no person asked for: first start, workers' reports, housekeeping."""

_UNKNOWN = UUID(int=0)
FACTS: dict[str, type["Fact"]] = {}
"""Every fact by its topic. Reading the log never imports a module by a name found in the log."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Frozen(msgspec.StructMeta):
    """Tells type checkers that structs made by it, and their subclasses, are frozen and take keywords only."""


class Fact(msgspec.Struct, metaclass=Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to one aggregate, as decided by its rules."""

    TOPIC: ClassVar[str] = ""
    PRIVATE: ClassVar[frozenset[str]] = frozenset()
    """Fields that never leave the service: not in exports, not in the event feed."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.TOPIC in FACTS and FACTS[cls.TOPIC].__qualname__ != cls.__qualname__:
            raise TypeError(f"topic {cls.TOPIC!r} is taken by {FACTS[cls.TOPIC].__qualname__}")
        if not cls.TOPIC:
            raise TypeError(f"{cls.__qualname__} needs a TOPIC")
        FACTS[cls.TOPIC] = cls


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who caused a fact, through which request (empty where there was none), and with which API token, where a machine asked."""

    actor: UUID = SYSTEM
    request: str = ""
    token: UUID | None = None


class Recorded(msgspec.Struct, frozen=True):
    """The envelope: a fact with its place in the log. The only object the event-sourcing library ever sees."""

    originator_id: UUID
    originator_version: int
    data: Fact
    timestamp: datetime
    origin: Origin = Origin()


class State(msgspec.Struct, metaclass=Frozen, frozen=True, kw_only=True):
    """What the rules need to know of one aggregate; `version` counts its facts."""

    HAS_LONG_HISTORY: ClassVar[bool] = False
    """Whether an aggregate of this kind may come to thousands of facts, so that folding begins at a state that was kept."""
    id: UUID = _UNKNOWN
    version: int = 0


S = TypeVar("S", bound=State)
Evolve = Mapping[type[Fact], Callable[[Any, Any], State]]
_EVOLVE: dict[type[State], Evolve] = {}


def replace(state: S, **changes: Any) -> S:
    """A copy of `state` with some fields changed."""
    return _replace(state, **changes)


def evolves(state_type: type[S], table: Evolve) -> Evolve:
    """Declare how each fact changes `state_type`; the first fact of an aggregate is applied to None."""
    _EVOLVE[state_type] = table
    return table


def state_type_of(fact_type: type[Fact]) -> type[State]:
    """What kind of aggregate a fact happens to.

    Raises:
        LookupError: nothing declares what the fact changes.
    """
    for state_type, table in _EVOLVE.items():
        if fact_type in table:
            return state_type
    raise LookupError(f"no state evolves with {fact_type.__qualname__}")


def public_form(thing: Fact | State) -> dict[str, Any]:
    """What may leave the service of a fact or a state, as JSON has it: whatever bears the name of a private field stays (E-6)."""
    private = frozenset().union(*(fact_type.PRIVATE for fact_type in FACTS.values()))
    form: dict[str, Any] = without(msgspec.to_builtins(thing), private)
    return form


def without(value: Any, private: frozenset[str]) -> Any:
    """A value as JSON has it without what is under some names, however deep inside."""
    if isinstance(value, dict):
        return {name: without(inner, private) for name, inner in value.items() if name not in private}
    if isinstance(value, list | tuple):
        return [without(inner, private) for inner in value]
    return value


def fold(state_type: type[S], events: Iterable[Recorded], state: S | None = None) -> S | None:
    """The state after `events`; None where there are none, or where they are those of another kind of aggregate, whose id somebody
    sent in the wrong place. Evolving only assigns, it never refuses.
    """
    for event in events:
        if state is None and type(event.data) not in _EVOLVE[state_type]:
            return None
        changed = after(state_type, state, [event.data])
        assert changed is not None
        state = _replace(changed, id=event.originator_id, version=event.originator_version)
    return state


def after(state_type: type[S], state: S | None, facts: Iterable[Fact]) -> S | None:
    """The state as `facts` will leave it once they are stored; its version is still that of `state`."""
    table = _EVOLVE[state_type]
    for fact in facts:
        state = cast(S, table[type(fact)](state, fact))
    return state
