"""The embedded mailbox: a worker on the same database takes work from the line and its reports straight into the log.

With Kafka the same worker is given `infra.kafka_mailbox`; both go through `message_for` and `command_for`.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Collection

import msgspec
import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from commands.assay import Assay, Command
from commands.gpu_jobs import command_for, failure_instead, running_attempt, state_type_of
from domain.attempts import AttemptIsOver
from domain.impossible_numbers import ImpossibleNumber
from domain.messages import AnyReport, Heartbeat, JobClaimed, JobKind, Message, Resources
from domain.refusals import ChangedMeanwhile, NotFound
from domain.system_resources import MachineSays
from infra.connections import connect
from infra.dispatcher import WORK_CHANNEL
from infra.heartbeats import Heartbeats
from infra.line_of_work import forget_workers, note_worker, offers
from infra.unusable_reports import keep_unusable, reason_of

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
"""How long `take` waits for a wake-up; lost wake-ups cost no more than this."""


class LogMailbox:
    """Where one worker's jobs come from and its reports go."""

    def __init__(
        self,
        assay: Assay,
        dsn: str,
        heartbeats: Heartbeats,
        *,
        worker: str,
        kinds: Collection[JobKind] = frozenset(JobKind),
        machine: Callable[[], MachineSays | None] = lambda: None,
    ) -> None:
        """`worker` is a name that no other worker has; it is given jobs of these kinds. `machine` is what it runs on."""
        self._assay, self._dsn, self._heartbeats, self._worker = assay, dsn, heartbeats, worker
        self._kinds, self._machine = kinds, machine
        self._connection: Connection[DictRow] | None = None

    def take(self, offered: Resources) -> Message | None:
        """The first waiting job that fits, claimed; None after a short wait when there is none (T-6)."""
        try:
            connection = self._listening()
            note_worker(connection, self._worker, self._kinds, offered, self._machine())
            if (message := self._claim_first(connection, offered)) is not None:
                return message
            for _ in connection.notifies(timeout=WAIT_SECONDS, stop_after=1):
                pass
        except (psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError):
            log.warning("database_is_away", exc_info=True)
            self.close()
            time.sleep(WAIT_SECONDS)
        return None

    def report(self, report: AnyReport) -> None:
        """Take a report into the log. Where that fails, whoever reports decides how long to go on: it may be told to stop. One that
        can never be taken in is kept beside the log, as the relay does.

        Raises:
            AttemptIsOver: the attempt is no longer this worker's.
            OperationalError, InterfaceError: the database is away.
        """
        command: Command | None
        try:
            command = command_for(report)
        except ImpossibleNumber as error:
            self._keep_unusable(report, error)
            command = failure_instead(report)
        try:
            if command is not None:
                self._assay.dispatch(command)
        except NotFound:
            raise AttemptIsOver from None

    def beat(self, heartbeat: Heartbeat) -> bool:
        """Ask whether to go on, and leave a heartbeat where it is so; while the database is away, the worker goes on."""
        try:
            state = self._assay.find(state_type_of(heartbeat.kind), heartbeat.job_id)
            if running_attempt(state) != heartbeat.attempt:
                return False
            self._heartbeats.beat(heartbeat, self._machine())
        except (psycopg.Error, OperationalError, InterfaceError):
            pass
        return True

    def close(self) -> None:
        """Let the connection go; a later `take` opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _keep_unusable(self, report: AnyReport, error: ImpossibleNumber) -> None:
        log.error("report_unusable", extra={"job_id": str(report.job_id), "reason": str(error)})
        content = msgspec.json.encode(report)
        source = f"log {hashlib.sha256(content).hexdigest()}/0"  # the same where it is delivered again
        with connect(self._dsn, autocommit=True, row_factory=dict_row) as connection:
            keep_unusable(connection, source, "log", 0, "", reason_of(error), content)

    def _claim_first(self, connection: Connection[DictRow], offered: Resources) -> Message | None:
        for kind, message in offers(connection, self._assay, self._kinds, offered):
            if self._claim(kind, message):
                return message
        return None

    def _claim(self, kind: JobKind, message: Message) -> bool:
        claim = JobClaimed(kind=kind, job_id=message.job_id, attempt=message.attempt, worker=self._worker)
        try:
            self._assay.dispatch(command_for(claim))
        except (AttemptIsOver, NotFound, ChangedMeanwhile):
            return False  # another worker was faster, or the job is gone
        return True

    def _listening(self) -> Connection[DictRow]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn, autocommit=True, row_factory=dict_row)
            self._connection.execute(f"LISTEN {WORK_CHANNEL}")
            forget_workers(self._connection)
        return self._connection
