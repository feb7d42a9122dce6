"""The dispatcher: follows the log, keeps the line of waiting work, wakes workers, and notices those that fell silent. As the one
process that leads, it also keeps how busy everything was.

`app.work` holds a row for every job that waits or runs, mirrored from the log in one transaction with the position reached. It is
the embedded counterpart of a topic: the workers' mailbox reads it, and the claim is decided by the log.
"""

import logging
import threading
from uuid import UUID

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from commands.assay import Assay
from commands.gpu_jobs import (
    compute_resource_of,
    interruption_of,
    job_kind_of,
    message_for,
    running_attempt,
    state_type_of,
)
from domain.attempts import AttemptIsOver
from domain.messages import JobKind
from domain.refusals import NotFound
from infra.advisory_locks import take_lock
from infra.event_store import EventLog
from infra.listening import BEFORE_ALL, listening_since
from infra.load_history import LoadKeeper
from infra.metrics import JOBS_INTERRUPTED
from infra.silence import Silence

log = logging.getLogger(__name__)

WORK_CHANNEL = "assay_work"
BATCH = 500
PAUSE_SECONDS = 0.1
"""How long the dispatcher rests when there is nothing new: a tenth of what people notice."""
_LEADER_LOCK = 0x446973706174  # any number that no other program on the server uses


class Dispatcher:
    """One dispatcher works at a time; others wait to take over."""

    def __init__(
        self, log: EventLog, assay: Assay, dsn: str, *, silence_seconds: float, is_through_kafka: bool = False
    ) -> None:
        """With `is_through_kafka` workers are heard by the relay, and nobody is called silent while it hears nothing."""
        self._log, self._assay, self._dsn = log, assay, dsn
        self._is_through_kafka = is_through_kafka
        self._silence = Silence[tuple[UUID, JobKind, int]](silence_seconds)
        self._load = LoadKeeper()

    def run(self, stop: threading.Event, ready: threading.Event | None = None) -> None:
        """Work until `stop`; a lost database is waited for."""
        while not stop.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True, row_factory=dict_row, connect_timeout=2) as connection:
                    self._lead(connection, stop, ready)
            except (psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError):
                log.warning("database_is_away", exc_info=True)
                stop.wait(1.0)

    def _lead(self, connection: Connection[DictRow], stop: threading.Event, ready: threading.Event | None) -> None:
        # Workers that were cut off as we were need a moment to beat again before anyone may call them silent.
        self._silence.begin_anew()
        while not stop.is_set():
            if ready is not None:
                ready.set()
            if not take_lock(connection, _LEADER_LOCK):
                stop.wait(1.0)
                continue
            self._load.keep_up(connection)
            followed = self.follow(connection)
            if followed < BATCH:  # however fast the log grows, who falls silent is noticed
                self.interrupt_silent(connection)
            if not followed:
                stop.wait(PAUSE_SECONDS)

    def follow(self, connection: Connection[DictRow]) -> int:
        """Mirror the next batch of the log into `app.work`; returns how many events it held."""
        row = connection.execute("SELECT position FROM app.dispatcher").fetchone()
        events = self._log.read(row["position"] if row else 0, BATCH)
        if not events:
            return 0
        touched = {
            (kind, recorded.originator_id): position
            for position, recorded in events
            if (kind := job_kind_of(recorded.data)) is not None
        }
        with connection.transaction():
            for (kind, job_id), position in touched.items():
                self._mirror(connection, kind, job_id, position)
            connection.execute(
                "INSERT INTO app.dispatcher (position) VALUES (%s)"
                " ON CONFLICT (only_row) DO UPDATE SET position = excluded.position",
                (events[-1][0],),
            )
        return len(events)

    def interrupt_silent(self, connection: Connection[DictRow]) -> None:
        """Give running jobs whose worker has said nothing for too long to another worker (T-6)."""
        heard_since = listening_since(connection) if self._is_through_kafka else BEFORE_ALL
        if heard_since is None:
            self._silence.begin_anew()
            return
        running = connection.execute(
            "SELECT work.job_id, work.kind, work.attempt, beat.beaten_at FROM app.work AS work"
            " LEFT JOIN app.heartbeats AS beat ON beat.job_id = work.job_id AND beat.attempt = work.attempt"
            " WHERE work.is_running"
        ).fetchall()
        signs = {
            (row["job_id"], JobKind(row["kind"]), row["attempt"]): (row["beaten_at"], heard_since) for row in running
        }
        for job_id, kind, attempt in self._silence.of(signs):
            told = {"job_id": str(job_id), "kind": kind.value, "attempt": attempt}
            log.warning("worker_fell_silent", extra=told)
            try:
                self._assay.dispatch(interruption_of(kind, job_id, attempt))
                JOBS_INTERRUPTED.labels(kind.value).inc()
            except (AttemptIsOver, NotFound):
                continue  # it ended in the meantime; the log says so and the mirror follows

    def _mirror(self, connection: Connection[DictRow], kind: JobKind, job_id: UUID, position: int) -> None:
        state = self._assay.find(state_type_of(kind), job_id)
        message, attempt = message_for(state), running_attempt(state)
        told = {"job_id": str(job_id), "kind": kind.value, "position": position}
        if message is None and attempt is None:
            if connection.execute("DELETE FROM app.work WHERE job_id = %s", (job_id,)).rowcount:
                log.info("job_left_the_line", extra=told)
            connection.execute("DELETE FROM app.heartbeats WHERE job_id = %s", (job_id,))
            return
        is_running = attempt is not None
        moved = connection.execute(
            "INSERT INTO app.work AS work (job_id, kind, queued_at, attempt, compute_resource_id, is_running)"
            " VALUES (%(job_id)s, %(kind)s, %(position)s, %(attempt)s, %(resource)s, %(is_running)s)"
            " ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, is_running = excluded.is_running,"
            " compute_resource_id = excluded.compute_resource_id, changed_at = clock_timestamp()"
            " WHERE (work.attempt, work.is_running) IS DISTINCT FROM (excluded.attempt, excluded.is_running)",
            {
                "job_id": job_id,
                "kind": kind.value,
                "position": position,
                "attempt": attempt if attempt is not None else message.attempt if message else 0,
                "resource": compute_resource_of(state),
                "is_running": is_running,
            },
        )
        if moved.rowcount:
            log.info("job_runs" if is_running else "job_waits", extra=told)
        if not is_running:
            connection.execute(f"NOTIFY {WORK_CHANNEL}")
