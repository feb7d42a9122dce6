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
    LINE_FACTS,
    Step,
    compute_resource_of,
    interruption_of,
    message_for,
    running_attempt,
    state_type_of,
)
from domain.attempts import AttemptIsOver
from domain.facts import State
from domain.messages import JobKind
from domain.refusals import ChangedMeanwhile, NotFound
from infra.advisory_locks import take_lock
from infra.connections import connect
from infra.listening import BEFORE_ALL, listening_since
from infra.load_history import LoadKeeper
from infra.metrics import JOBS_INTERRUPTED
from infra.silence import Silence

log = logging.getLogger(__name__)

WORK_CHANNEL = "assay_work"
PAUSE_SECONDS = 0.1
"""How long the dispatcher rests when there is nothing new: a tenth of what people notice."""
_LEADER_LOCK = 0x446973706174  # any number that no other program on the server uses


class Dispatcher:
    """One dispatcher works at a time; others wait to take over."""

    def __init__(self, assay: Assay, dsn: str, *, silence_seconds: float, is_through_kafka: bool = False) -> None:
        """With `is_through_kafka` workers are heard by the relay, and nobody is called silent while it hears nothing."""
        self._assay, self._dsn = assay, dsn
        self._is_through_kafka = is_through_kafka
        self._silence = Silence[tuple[UUID, JobKind, int]](silence_seconds)
        self._load = LoadKeeper()

    def run(self, stop: threading.Event, ready: threading.Event | None = None) -> None:
        """Work until `stop`; a lost database is waited for."""
        while not stop.is_set():
            try:
                with connect(self._dsn, autocommit=True, row_factory=dict_row) as connection:
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
            has_followed = self.follow(connection)
            self.interrupt_silent(connection)  # however fast the log grows
            if not has_followed:
                stop.wait(PAUSE_SECONDS)

    def follow(self, connection: Connection[DictRow]) -> bool:
        """Mirror what the log says of jobs since the position reached; whether there was anything new.

        Of each job only the newest fact counts. So whoever lost the position asks the log once, however long it is, and loads none
        but those that wait or run; the line stands in the order in which it would if nothing had been lost.
        """
        kept = connection.execute("SELECT position FROM app.dispatcher").fetchone()
        after = kept["position"] if kept else 0
        newest = connection.execute("SELECT max(notification_id) AS position FROM public.assay_events").fetchone()
        upto = (newest and newest["position"]) or 0
        if upto <= after:
            return False
        with connection.transaction():
            if kept is None:
                connection.execute("DELETE FROM app.work")  # of nobody knows when
            asked = {"after": after, "upto": upto, "is_lost": kept is None, **_TOPICS}
            for row in connection.execute(_NEWEST_FACTS, asked).fetchall():
                known = _LINE_FACTS[row["topic"]]
                state = None if known.step is Step.GOES else self._assay.find(state_type_of(known.kind), row["job_id"])
                _mirror(connection, known.kind, row, state)
            connection.execute(_FORGET_HEARTBEATS)
            connection.execute(
                "INSERT INTO app.dispatcher (position) VALUES (%s)"
                " ON CONFLICT (only_row) DO UPDATE SET position = excluded.position",
                (upto,),
            )
        return True

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
            except ChangedMeanwhile:
                continue  # so much is written about it that somebody works on it; the next look decides again


def _mirror(connection: Connection[DictRow], kind: JobKind, row: DictRow, state: State | None) -> None:
    """Put one job where its present state belongs: a state may be ahead of the position, and what follows is mirrored again."""
    message, attempt = message_for(state), running_attempt(state)
    told = {"job_id": str(row["job_id"]), "kind": kind.value, "position": row["position"]}
    if message is None and attempt is None:
        if connection.execute("DELETE FROM app.work WHERE job_id = %s", (row["job_id"],)).rowcount:
            log.info("job_left_the_line", extra=told)
        return
    is_running = attempt is not None
    moved = connection.execute(
        _MIRROR,
        row
        | {
            "kind": kind.value,
            "attempt": attempt if attempt is not None else message.attempt if message else 0,
            "resource": compute_resource_of(state),
            "is_running": is_running,
        },
    )
    if moved.rowcount:
        log.info("job_runs" if is_running else "job_waits", extra=told)
    if not is_running:
        connection.execute(f"NOTIFY {WORK_CHANNEL}")


_LINE_FACTS = {fact_type.TOPIC: known for fact_type, known in LINE_FACTS.items()}
_TOPICS = {
    "topics": list(_LINE_FACTS),
    "coming": [topic for topic, known in _LINE_FACTS.items() if known.step is Step.COMES],
    "going": [topic for topic, known in _LINE_FACTS.items() if known.step is Step.GOES],
}
_NEWEST_FACTS = """
SELECT * FROM (
    SELECT DISTINCT ON (originator_id) originator_id AS job_id, topic, notification_id AS position, recorded_at AS since,
        max(notification_id) FILTER (WHERE topic = ANY(%(coming)s)) OVER (PARTITION BY originator_id) AS came_at
    FROM public.assay_events
    WHERE notification_id > %(after)s AND notification_id <= %(upto)s AND topic = ANY(%(topics)s)
    ORDER BY originator_id, notification_id DESC
) AS newest WHERE NOT (%(is_lost)s AND topic = ANY(%(going)s)) ORDER BY position
"""
"""Where nothing is in the line, nothing leaves it."""
_MIRROR = """
INSERT INTO app.work AS work (job_id, kind, queued_at, attempt, compute_resource_id, is_running, changed_at)
VALUES (%(job_id)s, %(kind)s, coalesce(%(came_at)s::bigint, %(position)s), %(attempt)s, %(resource)s, %(is_running)s,
    CASE WHEN %(is_running)s THEN clock_timestamp() ELSE %(since)s END)
ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, is_running = excluded.is_running,
    compute_resource_id = excluded.compute_resource_id, queued_at = coalesce(%(came_at)s::bigint, work.queued_at),
    changed_at = excluded.changed_at
WHERE (work.attempt, work.is_running) IS DISTINCT FROM (excluded.attempt, excluded.is_running)
    OR work.queued_at < %(came_at)s::bigint
"""
"""A job that waits has waited since the fact says so; a worker that has one was heard no earlier than now."""
_FORGET_HEARTBEATS = """
DELETE FROM app.heartbeats AS beat WHERE NOT EXISTS (SELECT FROM app.work AS work WHERE work.job_id = beat.job_id)
"""
