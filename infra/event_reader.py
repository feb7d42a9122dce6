"""The public events of the log from a position on, for who follows them without Kafka."""

from functools import cached_property
from typing import Any, NamedTuple

from domain.public_events import PublicEvent, is_public, public_event
from infra.event_store import EventLog

BATCH = 500
MOST_LOOKED_AT = 5_000
"""Events that one answer may pass over: a stretch of events that are not public must not hold up a request."""


class ReadEvents(NamedTuple):
    """Some public events; `position` is how far was looked, `has_more` whether there may be more behind it already."""

    events: tuple[PublicEvent, ...]
    position: int
    has_more: bool


class EventReader:
    """Reads the log."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    @cached_property
    def description(self) -> dict[str, Any]:
        """AsyncAPI of the events."""
        from infra.event_schemas import asyncapi  # noqa: PLC0415 - made once, when somebody asks

        return asyncapi()

    def read(self, after: int, limit: int) -> ReadEvents:
        """At most `limit` public events behind a position."""
        found: list[PublicEvent] = []
        position, looked_at = after, 0
        while looked_at < MOST_LOOKED_AT:
            batch = self._log.read(position, BATCH)
            for position, recorded in batch:
                if is_public(type(recorded.data)):
                    found.append(public_event(position, recorded))
                    if len(found) == limit:
                        return ReadEvents(tuple(found), position, has_more=True)
            looked_at += len(batch)
            if len(batch) < BATCH:
                return ReadEvents(tuple(found), position, has_more=False)
        return ReadEvents(tuple(found), position, has_more=True)
