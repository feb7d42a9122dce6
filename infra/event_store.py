"""The event log: the event-sourcing library on PostgreSQL, with our facts, our recorder and a cache of states.

The library's `Application` stays the core (mapper, event store, recorder, tracking); only what differs is stated here.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
from eventsourcing.application import Application, LRUCache
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import (
    InfrastructureFactory,
    Mapper,
    MapperDeserialisationError,
    StoredEvent,
    Tracking,
    Transcoder,
)
from eventsourcing.utils import Environment, EnvType
from psycopg.sql import SQL, Identifier

import domain
from domain.facts import FACTS, Fact, Origin, Recorded, State, fold
from infra.connections import connect
from infra.kept_states import CheckedState, KeptStates, definition_of_states
from infra.metrics import EVENTS_APPENDED
from infra.recorder import DSN, LogFactory, LogRecorder

S = TypeVar("S", bound=State)

BODY_FORMAT = 1
"""How a body is laid out. The number changes with the layout only; facts grow without it."""
CACHED_STATES = 2_000
"""States are small (no samples, no loss curves), and a platform has far fewer things that change at the same time."""
WITHOUT_FACTS = ("evaluation_figures",)
"""Formulas on numpy, which takes as long to load as the whole log; each process that opens the log would load it at its start."""
FEW = 100_000
"""More users than any platform has."""
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_MIGRATION_LOCK = 0x4173736179  # any number that no other program on the server uses


class UnknownTopic(MapperDeserialisationError):
    """The log holds a fact that this release does not know: a newer one wrote it."""


class FactMapper(Mapper[UUID]):
    """Facts to JSON and back. The body is `[timestamp, payload, origin, format]`; id, version and topic are columns.

    JSON, because the log must be readable with nothing but SQL for as long as there is a factory that relied on it.
    """

    def __init__(self) -> None:
        super().__init__(_NoTranscoder())
        for module in pkgutil.iter_modules(domain.__path__):
            if module.name not in WITHOUT_FACTS:
                importlib.import_module(f"domain.{module.name}")  # a fact is known once its module is
        self._encoder = msgspec.json.Encoder()
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {}

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """The event as it is stored.

        Raises:
            ValueError: a text holds the character NUL, which no table of PostgreSQL could ever show.
        """
        event = cast("Recorded", domain_event)
        state = self._encoder.encode((event.timestamp, event.data, event.origin, BODY_FORMAT))
        if b"\\u0000" in state and _ESCAPED_NUL.search(state):
            raise ValueError(f"a text in {event.data.TOPIC!r} holds the character NUL")
        return StoredEvent(event.originator_id, event.originator_version, event.data.TOPIC, state)

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """The event as it was recorded; unknown fields are ignored, new ones take their default.

        Raises:
            UnknownTopic: no fact of this process has the topic.
            MapperDeserialisationError: the bytes do not fit the fact, or a newer release laid them out.
        """
        decoder = self._decoders.get(stored_event.topic) or self._decoder_of(stored_event)
        try:
            body = decoder.decode(stored_event.state)
        except msgspec.MsgspecError as error:
            raise MapperDeserialisationError(f"{_place(stored_event)} cannot be read: {error}") from error
        if body.format != BODY_FORMAT:
            raise MapperDeserialisationError(f"{_place(stored_event)} is laid out by a newer release ({body.format})")
        event = Recorded(
            cast("UUID", stored_event.originator_id),
            stored_event.originator_version,
            body.data,
            body.timestamp,
            body.origin,
        )
        return cast("DomainEventProtocol[UUID]", event)

    def _decoder_of(self, stored_event: StoredEvent) -> msgspec.json.Decoder[Any]:
        fact = FACTS.get(stored_event.topic)
        if fact is None:
            raise UnknownTopic(f"{_place(stored_event)} is a fact that this release does not know")
        body = msgspec.defstruct(
            "Body",
            [("timestamp", datetime), ("data", fact), ("origin", Origin, Origin()), ("format", int, BODY_FORMAT)],
            array_like=True,
        )
        decoder = self._decoders[stored_event.topic] = msgspec.json.Decoder(body)
        return decoder


class EventLog(Application[UUID]):
    """Every fact of the platform, in one order. Positions grow, but not without gaps."""

    name = "assay"

    def __init__(self, env: EnvType, *, keeps_states: bool = False) -> None:
        """With `keeps_states`, those of long histories outlive this process; that takes the side tables."""
        super().__init__(env)
        datastore = cast("LogRecorder", self.recorder).datastore
        self._kept = KeptStates(datastore, definition_of_states()) if keeps_states else None
        self._states: LRUCache[tuple[type[State], UUID], State] = LRUCache(CACHED_STATES)

    def append(self, events: Sequence[Recorded], tracking: Tracking | None = None) -> int:
        """Store events of any number of aggregates, all or none, and return the log position of the last.

        With `tracking`, the position of an outside source moves in the same transaction; no events is then allowed.

        Raises:
            IntegrityError: somebody else has taken one of these versions, or `tracking` does not fit.
            OperationalError, InterfaceError: the database stayed away.
        """
        stored_events = [self.mapper.to_stored_event(cast("DomainEventProtocol[UUID]", event)) for event in events]
        positions = self.recorder.insert_events(stored_events, tracking=tracking)
        for event in events:
            EVENTS_APPENDED.labels(event.data.TOPIC).inc()
        return positions[-1] if positions else self.position()

    def load(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        """The present state of an aggregate, None where it has no facts. Only what happened since the last load is read."""
        kept = self._kept if state_type.HAS_LONG_HISTORY else None
        known = self._known(state_type, aggregate_id)
        if known is None and kept is not None:
            known = kept.find(state_type, aggregate_id)
        state = fold(state_type, self._history(aggregate_id, after_version=known.version if known else None), known)
        if state is not None:
            self._states.put((state_type, aggregate_id), state)
            if kept is not None:
                kept.keep(state, known)
        return state

    def checked_states(self) -> Iterator[CheckedState]:
        """Every kept state that would be used, compared with what folding its facts gives; without kept states, none."""
        if self._kept is not None:
            yield from self._kept.checked(lambda aggregate_id, upto: self._history(aggregate_id, upto_version=upto))

    def forget_states(self) -> None:
        """Fold everything from its first fact on again; other processes that run may go on with what they remember."""
        if self._kept is not None:
            self._kept.forget()
        self._states = LRUCache(CACHED_STATES)  # the library's `clear` (9.5) leaves what it can still find

    def history(self, aggregate_id: UUID) -> list[Recorded]:
        """Every fact of one aggregate, oldest first."""
        return self._history(aggregate_id)

    def read(self, after: int, limit: int, upto: int | None = None) -> list[tuple[int, Recorded]]:
        """The next events behind a position with their positions, at most `limit` and not beyond `upto`."""
        notifications = self.recorder.select_notifications(after, limit, stop=upto, inclusive_of_start=False)
        to_domain_event = self.mapper.to_domain_event
        return [(notification.id, cast("Recorded", to_domain_event(notification))) for notification in notifications]

    def at(self, positions: Sequence[int]) -> dict[int, Recorded]:
        """The events of some positions; what stands nowhere is left out."""
        recorder = cast("LogRecorder", self.recorder)
        events = Identifier(recorder.datastore.schema, recorder.events_table_name)
        asked = SQL(
            "SELECT notification_id, originator_id, originator_version, topic, state FROM {} WHERE notification_id = ANY(%s)"
        ).format(events)
        with recorder.datastore.get_connection() as connection:
            rows = connection.execute(asked, (list(positions),)).fetchall()
        return {
            row["notification_id"]: cast(
                "Recorded",
                self.mapper.to_domain_event(
                    StoredEvent(row["originator_id"], row["originator_version"], row["topic"], bytes(row["state"]))
                ),
            )
            for row in rows
        }

    def all_of(self, fact_type: type[Fact]) -> list[Recorded]:
        """Every fact of one type, oldest first; for types of which a platform has few."""
        notifications = self.recorder.select_notifications(None, FEW, topics=(fact_type.TOPIC,))
        return [cast("Recorded", self.mapper.to_domain_event(notification)) for notification in notifications]

    def position(self) -> int:
        """The position of the newest event; 0 for an empty log."""
        return self.recorder.max_notification_id() or 0

    def tracked(self, source: str) -> int | None:
        """The position up to which an outside source was taken in; None where nothing ever was."""
        position: int | None = cast("LogRecorder", self.recorder).max_tracking_id(source)
        return position

    def _known(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        try:
            return cast("S", self._states.get((state_type, aggregate_id)))
        except KeyError:
            return None

    def _history(
        self, aggregate_id: UUID, after_version: int | None = None, upto_version: int | None = None
    ) -> list[Recorded]:
        return cast("list[Recorded]", list(self.events.get(aggregate_id, gt=after_version, lte=upto_version)))

    def construct_env(self, name: str, env: EnvType | None = None) -> Environment:
        """The settings of the library are ours alone: a stray variable of the process must not change where the log lies."""
        return Environment(name, {**type(self).env, **(env or {})})

    def construct_factory(self, env: Environment) -> InfrastructureFactory:
        return cast("InfrastructureFactory", LogFactory(env))

    def construct_mapper(self) -> Mapper[UUID]:
        return FactMapper()

    def construct_recorder(self) -> LogRecorder:
        return cast("LogRecorder", self.factory.process_recorder())


def open_event_log(dsn: str, *, pool_size: int = 2, keeps_states: bool = False) -> EventLog:
    """The log behind a psycopg DSN (key words or URL). Its tables must exist: `create_tables`.

    `pool_size` is how many requests read at once; all appends of a process share one connection at a time. With `keeps_states`
    those of long histories outlive this process, and `create_side_tables` must have been called, too.
    """
    return EventLog({DSN: dsn, "POSTGRES_POOL_SIZE": str(pool_size), "CREATE_TABLE": "n"}, keeps_states=keeps_states)


def create_tables(dsn: str) -> None:
    """The migration step: make the tables of the log where they are missing. Safe to run from several processes at once."""
    with connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        with closing(EventLog({DSN: dsn, "POSTGRES_POOL_SIZE": "1", "CREATE_TABLE": "y"})):
            pass


class _NoTranscoder(Transcoder):
    """The library asks for one; our mapper writes and reads JSON by itself."""

    def encode(self, obj: Any) -> bytes:
        raise NotImplementedError

    def decode(self, data: bytes) -> Any:
        raise NotImplementedError


def _place(stored_event: StoredEvent) -> str:
    return f"{stored_event.topic!r} of {stored_event.originator_id}, version {stored_event.originator_version},"
