"""Rules read as sentences: what had happened, what was asked, what happens or is refused.

given(QUEUED, STARTED).when(terminate).then(TrainingTerminated())
given(QUEUED).when(terminate).then_refused(WaitingJobCannotBeTerminated, "Wait until it is training")
given().when(claim, NameKind.MODEL, "panel-a", MODEL_ID).then(NameClaimed(...))      # decides on None: nothing happened yet
when(create, name="显示面板").then(IndustryCreated(name="显示面板"))                  # decides on no state at all
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from domain.facts import _EVOLVE, Fact, Recorded, State, fold
from domain.refusals import Refusal, Refusals

_SOME_ID = uuid5(UUID(int=0), "the aggregate of a given-when-then")
_SOME_TIME = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)


def given(*facts: Fact, aggregate_id: UUID = _SOME_ID) -> "Given":
    """What had happened to one aggregate, oldest first; nothing at all gives decisions the state None."""
    return Given(state_of(*facts, aggregate_id=aggregate_id) if facts else None)


def when(decide: Callable[..., object], *arguments: Any, **named: Any) -> "Outcome":
    """Ask for a decision that needs no state."""
    return Outcome(decide, arguments, named)


def state_of(*facts: Fact, aggregate_id: UUID = _SOME_ID) -> Any:
    """The state after `facts`, for arguments of decisions on other aggregates."""
    state_types = [state_type for state_type, table in _EVOLVE.items() if all(type(fact) in table for fact in facts)]
    if len(state_types) != 1:
        raise ValueError(f"these facts belong to {len(state_types)} kinds of aggregates, not to one: {facts}")
    state_type: type[State] = state_types[0]
    return fold(state_type, [Recorded(aggregate_id, number, fact, _SOME_TIME) for number, fact in enumerate(facts, 1)])


class Given:
    """A state to decide on."""

    def __init__(self, state: State | None) -> None:
        self.state = state

    def when(self, decide: Callable[..., object], *arguments: Any, **named: Any) -> "Outcome":
        """Ask for a decision on this state; further arguments follow the state."""
        return Outcome(decide, (self.state, *arguments), named)


class Outcome:
    """What a decision gave: facts, or refusals."""

    def __init__(self, decide: Callable[..., object], arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._decided: object = None
        self._refusals: list[Refusal] = []
        try:
            self._decided = decide(*arguments, **named)
        except Refusal as refusal:
            self._refusals = [refusal]
        except Refusals as several:
            self._refusals = several.refusals

    def then(self, *facts: Fact) -> None:
        """Exactly these facts happen, in this order; none means that nothing happens."""
        assert not self._refusals, f"refused: {self._refusals}"
        assert self._decided == list(facts), f"happened: {self._decided}\nexpected: {list(facts)}"

    def then_refused(self, refusal: type[Refusal], text: str = "", *, at: str | None = None) -> None:
        """Exactly this refusal; its sentence contains `text`, and it stands beside the field `at`."""
        self.then_refused_together((refusal, text))
        if at is not None:
            assert self._refusals[0].at == at, f"beside the field: {self._refusals[0].at!r}\nexpected: {at!r}"

    def then_refused_together(self, *expected: type[Refusal] | tuple[type[Refusal], str]) -> None:
        """Exactly these refusals, all at once, in this order: a type each, or a type and a part of its sentence."""
        wanted = [(one, "") if isinstance(one, type) else one for one in expected]
        assert self._refusals, f"nothing was refused, but decided: {self._decided}"
        refused, named = [type(refusal) for refusal in self._refusals], [refusal for refusal, _ in wanted]
        assert refused == named, f"refused: {refused}\nexpected: {named}"
        for refusal, (_, text) in zip(self._refusals, wanted, strict=True):
            assert text in str(refusal), f"the sentence: {refusal}\nlacks:        {text}"
