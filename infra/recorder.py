"""How events get into PostgreSQL: one function call for each commit, and one commit for all who wait at the same moment.

Followers of the log must never pass over an event that commits later under a lower position, so appends stand in line behind an
advisory lock that is held until the commit. A commit each would be slow; calls of one process therefore share one: who finds
nobody committing leads and takes along everyone who came meanwhile, then hands the lead to the next in line.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eventsourcing.persistence import IntegrityError, InterfaceError, OperationalError, StoredEvent, Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresFactory, PostgresProcessRecorder
from eventsourcing.utils import Environment
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier, Literal
from psycopg.types.numeric import Int8

from infra.connections import RECONNECT_SECONDS, with_limits

DSN = "DSN"
"""The key of the address among the library's settings."""
CONNECT_TIMEOUT_SECONDS = 2
"""A server on the same network answers in milliseconds; waiting longer only hides that it is away."""
LOCK_TIMEOUT_SECONDS = 5
PATIENCE_SECONDS = 10.0
"""How long an append tries again while the database cannot be reached, for example while it restarts."""
PAUSE_SECONDS = 0.2
LARGEST_GROUP = 500
"""Calls in one commit; far above the number of request threads, so that a burst of workers' reports cannot make one huge commit."""
SHARE_WAITED = 0.25
"""Of the time of the last commit: so much later a commit may begin for the sake of those who are about to come."""
LONGEST_COMMIT_SECONDS = 0.01
"""Longer ones were an accident and set no measure."""

_PARTS_TAKEN_FROM_THE_DSN = {f"POSTGRES_{part}": "" for part in ("DBNAME", "HOST", "USER", "PASSWORD")}
_TIMEOUTS = {
    "POSTGRES_CONNECT_TIMEOUT": str(CONNECT_TIMEOUT_SECONDS),
    "POSTGRES_LOCK_TIMEOUT": str(LOCK_TIMEOUT_SECONDS),
    "POSTGRES_MAX_OVERFLOW": "0",
}
_CREATE_APPEND = SQL(
    "CREATE OR REPLACE FUNCTION {append}("
    "  ids uuid[], versions bigint[], topics text[], states bytea[], source text, reached bigint, after bigint"
    ") RETURNS SETOF bigint LANGUAGE plpgsql AS $BODY$ "
    "BEGIN"
    "  SET LOCAL lock_timeout = {lock_timeout};"
    "  IF source IS NOT NULL THEN"
    "    INSERT INTO {tracking} AS tracked VALUES (source, reached)"
    "    ON CONFLICT (application_name) DO UPDATE SET notification_id = reached"
    "    WHERE tracked.notification_id < reached AND (after IS NULL OR tracked.notification_id = after);"
    "    IF NOT FOUND THEN"
    "      RAISE unique_violation USING MESSAGE = 'this source has moved on meanwhile', CONSTRAINT = 'tracking';"
    "    END IF;"
    "  END IF;"
    "  PERFORM pg_advisory_xact_lock(hashtextextended({lock}, 0));"
    "  NOTIFY {channel};"
    "  RETURN QUERY INSERT INTO {events} (originator_id, originator_version, topic, state)"
    "    SELECT * FROM unnest(ids, versions, topics, states) RETURNING notification_id;"
    "END $BODY$"
)
_ADD_RECORDED_AT = SQL(
    "ALTER TABLE {events} ADD COLUMN IF NOT EXISTS recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()"
)
_INDEX_RECORDED_AT = SQL("CREATE INDEX IF NOT EXISTS {recorded_at_index} ON {events} USING brin (recorded_at)")
_APPEND = SQL(
    "SELECT {append}(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %s::text, %s::bigint, %s::bigint) AS position"
)
_ALREADY_STORED = SQL(
    "SELECT stored.notification_id AS position FROM {events} AS stored"
    " JOIN unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])"
    " AS ours (originator_id, originator_version, topic, state)"
    " USING (originator_id, originator_version, topic, state) ORDER BY stored.notification_id"
)


@dataclass(frozen=True)
class TrackingAfter(Tracking):
    """Move the position of a source from `after` (None: first ever) to `notification_id`, only if it still stands there.

    The library's own `Tracking` only asks for a higher position, which lets a stalled consumer store a batch twice.
    """

    after: int | None = None


class _Call:
    """The events of one caller, waiting for their commit; `turn` opens when they are answered or when the caller is to lead."""

    __slots__ = ("error", "events", "leads", "positions", "turn")

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        self.events = events
        self.positions: Sequence[int] = ()
        self.error: BaseException | None = None
        self.leads = False
        self.turn = threading.Lock()
        self.turn.acquire()


class _Line:
    """Lets calls that come together share a commit. A caller does the work for all, so there is no thread to start or to end."""

    def __init__(self, commit: Callable[[Sequence[_Call]], None]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self.waiting: deque[_Call] = deque()
        self.has_leader = False
        self._expected = 1
        self._all_here: threading.Lock | None = None
        self._ended_at = 0.0
        self._took_seconds = 0.0

    def take_part(self, call: _Call) -> None:
        """Stand in line until `call` is answered; lead when it is its turn."""
        with self._lock:
            self.waiting.append(call)
            call.leads = not self.has_leader
            self.has_leader = True
            if self._all_here is not None and len(self.waiting) >= self._expected:
                self._all_here.release()
                self._all_here = None
        if not call.leads:
            call.turn.acquire()
        if call.leads:
            self._lead()

    def _lead(self) -> None:
        """Commit for everyone in line, the leader included, then let the next in line lead and the others go."""
        group = self._gather()
        started_at = time.monotonic()
        try:
            self._commit(group)
        except BaseException as error:  # nobody may be left waiting; each caller raises it  # noqa: BLE001
            for call in group:
                call.error = call.error or error
        with self._lock:
            self._ended_at = time.monotonic()
            self._took_seconds = min(self._ended_at - started_at, LONGEST_COMMIT_SECONDS)
            self._expected = len(group) + len(self.waiting)
            successor = self.waiting[0] if self.waiting else None
            self.has_leader = successor is not None
        if successor is not None:
            successor.leads = True
            successor.turn.release()
        for call in group:
            if not call.leads:
                call.turn.release()

    def _gather(self) -> list[_Call]:
        """Everyone in line. Who has just been answered often comes again at once, and is waited for a part of a commit's time.

        Without this, callers fall into two halves that wait for each other's commits, and each commit serves only one half.
        """
        with self._lock:
            is_busy = time.monotonic() - self._ended_at < self._took_seconds
            if is_busy and len(self.waiting) < self._expected:
                all_here = self._all_here = threading.Lock()
                all_here.acquire()
            else:
                all_here = None
        if all_here is not None:
            all_here.acquire(timeout=self._took_seconds * SHARE_WAITED)
        with self._lock:
            self._all_here = None
            return [self.waiting.popleft() for _ in range(min(len(self.waiting), LARGEST_GROUP))]


class LogRecorder(PostgresProcessRecorder):
    """The library's recorder with an own way of inserting; reading, tracking and tables are the library's."""

    def __init__(
        self,
        datastore: PostgresDatastore,
        *,
        events_table_name: str = "stored_events",
        tracking_table_name: str = "notification_tracking",
    ) -> None:
        super().__init__(datastore, events_table_name=events_table_name, tracking_table_name=tracking_table_name)
        self._line = _Line(self._commit_group)
        names = {
            "append": Identifier(datastore.schema, f"{events_table_name}_append"),
            "events": Identifier(datastore.schema, events_table_name),
            "tracking": Identifier(datastore.schema, tracking_table_name),
            "recorded_at_index": Identifier(f"{events_table_name}_recorded_at_idx"),
            "channel": Identifier(self.channel_name),
            "lock": Literal(f"{datastore.schema}.{events_table_name}"),
            "lock_timeout": Literal(f"{LOCK_TIMEOUT_SECONDS}s"),
        }
        # The library's function of this place has no lock (followers lose events) and drops the tracking: it is never created.
        self.sql_create_statements[self.create_insert_function_statement_index] = _CREATE_APPEND.format(**names)
        self.sql_create_statements += [_ADD_RECORDED_AT.format(**names), _INDEX_RECORDED_AT.format(**names)]
        self._append_statement = _APPEND.format(**names)
        self._already_stored_statement = _ALREADY_STORED.format(**names)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Store the events of one caller, all or none, and return their positions.

        Raises:
            IntegrityError: another event has this aggregate and version, or the tracked source has moved on.
            OperationalError, InterfaceError: the database could not be reached within the patience.
        """
        tracking: Tracking | None = kwargs.get("tracking")
        if tracking is not None:
            return self._commit(stored_events, tracking)
        if not stored_events:
            return []
        call = _Call(stored_events)
        self._line.take_part(call)
        if call.error is not None:
            raise call.error
        return call.positions

    def _commit_group(self, group: Sequence[_Call]) -> None:
        try:
            positions = self._commit([event for call in group for event in call.events])
        except IntegrityError as error:
            if len(group) == 1:
                group[0].error = error
                return
            for call in group:  # somebody's version is taken: each alone, so that only they are refused
                self._commit_group([call])
        else:
            start = 0
            for call in group:
                call.positions = positions[start : start + len(call.events)]
                start += len(call.events)

    def _commit(self, events: Sequence[StoredEvent], tracking: Tracking | None = None) -> Sequence[int]:
        """One transaction, tried again while the database is away.

        A connection that breaks during the commit leaves open whether it happened. The next try then finds the versions taken,
        and equal bytes tell that it was this very call that took them.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        is_uncertain = False
        while True:
            try:
                return self._call_append(events, tracking)
            except IntegrityError:
                if is_uncertain and len(positions := self._positions_if_stored(events)) == len(events):
                    return positions
                raise
            except (InterfaceError, OperationalError):
                if time.monotonic() > deadline:
                    raise
                is_uncertain = True
                time.sleep(PAUSE_SECONDS)

    def _call_append(self, events: Sequence[StoredEvent], tracking: Tracking | None) -> Sequence[int]:
        source = reached = after = None
        if tracking is not None:
            source, reached = tracking.application_name, tracking.notification_id
        if isinstance(tracking, TrackingAfter):
            after = -1 if tracking.after is None else tracking.after
        with self.datastore.get_connection() as connection:
            rows = connection.execute(
                self._append_statement, (*_columns(events), source, reached, after), prepare=True
            ).fetchall()
        return [row["position"] for row in rows]

    def _positions_if_stored(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        with self.datastore.get_connection() as connection:
            return [
                row["position"]
                for row in connection.execute(self._already_stored_statement, _columns(events)).fetchall()
            ]


class LogFactory(PostgresFactory):
    """Makes the recorder of the log, on connections that take a whole DSN, not only the five parts that the library knows."""

    process_recorder_class = LogRecorder

    def __init__(self, env: Environment) -> None:
        """`env` holds the address under `DSN`, everything else under the library's names."""
        super().__init__(Environment(env.name, {**_PARTS_TAKEN_FROM_THE_DSN, **_TIMEOUTS, **env}))
        pool = self.datastore.pool
        pool.conninfo = with_limits(env[DSN])
        pool.reconnect_timeout = RECONNECT_SECONDS
        pool.kwargs = {"row_factory": dict_row}


def _columns(events: Sequence[StoredEvent]) -> tuple[list[Any], list[Int8], list[str], list[bytes]]:
    """The events as four arrays, which travel and unpack faster than an array of rows."""
    return (
        [event.originator_id for event in events],
        [Int8(event.originator_version) for event in events],
        [event.topic for event in events],
        [event.state for event in events],
    )
