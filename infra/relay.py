"""The relay: takes what workers say over Kafka into the log, once each, and answers them.

The position in each partition of reports lies in the log, moved in the transaction of the events that a report makes. So neither
a killed relay nor a broker that delivers again loses a report or takes it twice, and of two relays that both believe to be
in charge of a partition only one gets through. Several may run; they share the partitions.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import psycopg
from eventsourcing.persistence import IntegrityError, InterfaceError, OperationalError
from kafka import ConsumerRebalanceListener, TopicPartition
from kafka.errors import KafkaError
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from commands.assay import Assay
from commands.gpu_jobs import command_for, compute_resource_of, failure_instead, running_attempt, state_type_of
from commands.ports import Ports
from domain.attempts import AttemptIsOver
from domain.facts import Recorded, State
from domain.impossible_numbers import ImpossibleNumber
from domain.messages import AnyReport, JobClaimed
from domain.refusals import ChangedMeanwhile, NotFound
from infra.connections import connect
from infra.event_store import EventLog
from infra.heartbeats import Heartbeats
from infra.kafka import ANSWERS, REPORTS, WORKERS, Kafka, partition_of
from infra.line_of_work import forget_workers, needs_of, note_worker, offered_by, offers
from infra.listening import expect, note_behind, note_heard
from infra.measured_assay import MeasuredAssay
from infra.metrics import REPORTS_BEHIND, REPORTS_TAKEN
from infra.noted_problems import note_problem
from infra.recorder import TrackingAfter
from infra.triggers import Triggers
from infra.unusable_reports import keep_unusable, reason_of
from infra.worker_messages import (
    REPORT_ID,
    SENT_AGAIN,
    AttemptEnded,
    Beat,
    ClaimDecided,
    FromWorker,
    ToWorker,
    WorkOffered,
    WorkWanted,
    read_from_worker,
    read_report,
)

log = logging.getLogger(__name__)

S = TypeVar("S", bound=State)
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError, KafkaError)
POLL_MS = 500
PAUSE_SECONDS = 1.0
LOOK_EVERY_SECONDS = 1.0
"""How often it is noted that workers can be heard."""
LOOK_MS = 3_000
"""Who does not answer within so long does not hear."""
SHOWN_SECONDS = 2.0
"""So long a job that was shown to one worker is not shown to others, so that many free workers do not all claim the first."""


class MovedOn(Exception):
    """Another relay has taken in reports of this partition meanwhile."""


class ReportLog:
    """The log for one partition of reports: what a report stores moves the partition's position in the same transaction."""

    def __init__(self, log: EventLog, source: str) -> None:
        """`source` names the partition for ever, also apart from one of the same name in another cluster."""
        self._log, self.source = log, source
        self.reached = log.tracked(source)
        self.place = -1
        """Of the report that is taken in now."""

    def load(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        """As the log."""
        return self._log.load(state_type, aggregate_id)

    def append(self, events: Sequence[Recorded]) -> int:
        """As the log, once for each place.

        Raises:
            VersionConflict: decide again.
            MovedOn: the report was taken in by somebody else.
        """
        try:
            position = self._log.append(events, TrackingAfter(self.source, self.place, after=self.reached))
        except IntegrityError:
            if self._log.tracked(self.source) != self.reached:
                raise MovedOn from None
            raise
        self.reached = self.place
        return position

    @property
    def is_taken_in(self) -> bool:
        """Whether the report of this place has been dealt with."""
        return self.reached is not None and self.place <= self.reached


class Relay:
    """One consumer of what workers say; it begins anew after every doubt."""

    def __init__(self, kafka: Kafka, event_log: EventLog, ports: Ports, dsn: str, heartbeats: Heartbeats) -> None:
        """`dsn` is the address of the database of the log."""
        self._kafka, self._log, self._ports, self._dsn, self._heartbeats = kafka, event_log, ports, dsn, heartbeats

    def run(self, stop: threading.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop`; brokers and a database that are away are waited for."""
        ready()
        while not stop.is_set():
            try:
                with contextlib.ExitStack() as stack:
                    shift = self._begin(stack)
                    while not stop.is_set():
                        shift.turn()
            except MovedOn:
                log.info("another_relay_was_faster")
            except (*AWAY, ChangedMeanwhile) as error:
                log.warning("broker_or_database_is_away", exc_info=True)
                note_problem(self._dsn, "relay", error)
                stop.wait(PAUSE_SECONDS)

    def _begin(self, stack: contextlib.ExitStack) -> "_Shift":
        connection = stack.enter_context(connect(self._dsn, autocommit=True, row_factory=dict_row))
        forget_workers(connection)
        topic_ids = self._kafka.make_topics()
        producer = self._kafka.producer()
        stack.callback(producer.close, timeout=PAUSE_SECONDS)
        consumer = self._kafka.consumer(
            group_id=self._kafka.group("relay"), enable_auto_commit=False, auto_offset_reset="earliest"
        )
        stack.callback(consumer.close, autocommit=False, timeout_ms=int(PAUSE_SECONDS * 1000))
        triggers = Triggers(self._kafka, self._dsn, producer)
        stack.callback(triggers.stop)
        triggers.start()
        shift = _Shift(self._kafka, self._log, self._ports, self._heartbeats, connection, producer, consumer)
        shift.begin(str(topic_ids[REPORTS]))
        return shift


class _Shift:
    """From one start to the next failure."""

    def __init__(
        self,
        kafka: Kafka,
        event_log: EventLog,
        ports: Ports,
        heartbeats: Heartbeats,
        connection: Connection[DictRow],
        producer: Any,
        consumer: Any,
    ) -> None:
        self._kafka, self._log, self._ports, self._heartbeats = kafka, event_log, ports, heartbeats
        self._connection, self._producer, self._consumer = connection, producer, consumer
        self._assay = Assay(event_log, ports)
        self._reports, self._workers = kafka.topic(REPORTS), kafka.topic(WORKERS)
        self._source = ""
        self._answer_partitions = 0
        self._logs: dict[int, ReportLog] = {}
        self._shown: dict[UUID, tuple[str, float]] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._look_at = 0.0

    def begin(self, reports_topic_id: str) -> None:
        """Join the relays."""
        self._source = f"kafka {reports_topic_id}"
        self._answer_partitions = len(self._partitions_of(self._kafka.topic(ANSWERS)))
        expect(self._connection, [*self._partitions_of(self._reports), *self._partitions_of(self._workers)])
        self._consumer.subscribe([self._reports, self._workers], listener=_OnAssignment(self._take_over))

    def _partitions_of(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic) or ()]

    def turn(self) -> None:
        """Take in what has come, then note how far we hear."""
        for partition, records in self._consumer.poll(timeout_ms=POLL_MS).items():
            if partition.topic == self._reports:
                for record in records:
                    self._take_report(self._logs[partition.partition], record)
            else:
                self._hear([record.value for record in records])
        self._producer.flush(timeout=PAUSE_SECONDS)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY_SECONDS
            self._note_heard()

    def _take_over(self, partitions: Sequence[TopicPartition]) -> None:
        """The log says where to go on with reports; what workers said of a moment that is over is of no use."""
        self._ends.clear()
        for partition in partitions:
            if partition.topic == self._workers:
                self._consumer.seek_to_end(partition)
                continue
            reports = self._logs[partition.partition] = ReportLog(self._log, f"{self._source}/{partition.partition}")
            if reports.reached is None:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, reports.reached + 1)

    def _note_heard(self) -> None:
        """All that had come by the last look was taken in meanwhile: a broker that does not answer is not heard."""
        assigned = self._consumer.assignment()
        heard = [one for one in assigned if one in self._ends and self._consumer.position(one) >= self._ends[one]]
        self._ends = dict(self._consumer.end_offsets(list(assigned), timeout_ms=LOOK_MS)) if assigned else {}
        note_heard(self._connection, heard)
        behind = {one: max(0, end - self._consumer.position(one)) for one, end in self._ends.items()}
        note_behind(self._connection, behind)
        REPORTS_BEHIND.set(sum(count for one, count in behind.items() if one.topic == self._reports))

    def _take_report(self, reports: ReportLog, record: Any) -> None:
        reports.place = record.offset
        if reports.is_taken_in:
            return
        headers = dict(record.headers)
        report_id = (headers.get(REPORT_ID) or b"").decode(errors="replace")
        outcome = "taken"
        report: AnyReport | None = None
        try:
            report = read_report(record.value)
            if SENT_AGAIN not in headers or not self._is_known(report, report_id):
                self._decide(MeasuredAssay(reports, self._ports), report, report_id)
        except (AttemptIsOver, NotFound):
            outcome = "void"  # another attempt has taken its place, or the job is gone
        except (*AWAY, ChangedMeanwhile, MovedOn):
            raise
        except Exception as error:  # an edge: one report that nobody can use must not stop the others
            outcome = "unusable"
            log.exception("report_unusable", extra={"source": reports.source, "place": reports.place})
            keep_unusable(
                self._connection,
                reports.source,
                record.topic,
                record.offset,
                report_id,
                reason_of(error),
                record.value,
            )
            if report is not None and isinstance(error, ImpossibleNumber):
                self._end_instead(reports, report)
        if not reports.is_taken_in:
            reports.append([])
        REPORTS_TAKEN.labels(outcome).inc()

    def _end_instead(self, reports: ReportLog, report: AnyReport) -> None:
        failure = failure_instead(report)
        if failure is not None:
            with contextlib.suppress(AttemptIsOver, NotFound):
                MeasuredAssay(reports, self._ports).dispatch(failure)

    def _decide(self, assay: Assay, report: AnyReport, report_id: str) -> None:
        if isinstance(report, JobClaimed):
            self._decide_claim(assay, report, report_id)
        else:
            assay.dispatch(command_for(report), report_id)

    def _decide_claim(self, assay: Assay, claim: JobClaimed, report_id: str) -> None:
        """A claim may come again where its answer was lost: an attempt that is the worker's already is granted again."""
        state = assay.find(state_type_of(claim.kind), claim.job_id)
        is_granted = running_attempt(state) == claim.attempt and _owner(state) == claim.worker
        if not is_granted and self._fits(assay, claim.worker, state):
            with contextlib.suppress(AttemptIsOver, NotFound):
                assay.dispatch(command_for(claim), report_id)
                is_granted = True
        self._tell(ClaimDecided(worker=claim.worker, job_id=claim.job_id, attempt=claim.attempt, is_granted=is_granted))

    def _fits(self, assay: Assay, worker: str, state: State | None) -> bool:
        """Whether the worker has what the job needs now: its compute resource may have changed since it was shown (M-6)."""
        offered = offered_by(self._connection, worker)
        return offered is not None and needs_of(assay, compute_resource_of(state)).fits_in(offered)

    def _is_known(self, report: AnyReport, report_id: str) -> bool:
        return any(event.origin.request == report_id for event in self._log.history(report.job_id))

    def _hear(self, contents: Sequence[bytes]) -> None:
        """Of what a worker said since the last look only the newest counts."""
        newest: dict[str, FromWorker] = {}
        for content in contents:
            try:
                said = read_from_worker(content)
            except msgspec.MsgspecError:  # momentary: the next is a second away
                log.warning("worker_not_understood", exc_info=True)
                continue
            newest[said.heartbeat.worker if isinstance(said, Beat) else said.worker] = said
        for said in newest.values():
            try:
                self._take_beat(said) if isinstance(said, Beat) else self._offer(said)
            except (psycopg.DataError, ImpossibleNumber):  # what no table can hold
                log.warning("worker_not_understood", exc_info=True)

    def _take_beat(self, said: Beat) -> None:
        beat = said.heartbeat
        state = self._assay.find(state_type_of(beat.kind), beat.job_id)
        if running_attempt(state) == beat.attempt:
            self._heartbeats.beat(beat, said.machine)
        else:
            self._tell(AttemptEnded(worker=beat.worker, job_id=beat.job_id, attempt=beat.attempt))

    def _offer(self, wanted: WorkWanted) -> None:
        note_worker(self._connection, wanted.worker, wanted.kinds, wanted.offered, wanted.machine)
        now = time.monotonic()
        self._shown = {job_id: shown for job_id, shown in self._shown.items() if shown[1] > now}
        others = {job_id for job_id, (worker, _) in self._shown.items() if worker != wanted.worker}
        possible = offers(self._connection, self._assay, wanted.kinds, wanted.offered)
        message = next((message for _, message in possible if message.job_id not in others), None)
        if message is not None:
            self._shown[message.job_id] = (wanted.worker, now + SHOWN_SECONDS)
        self._tell(WorkOffered(worker=wanted.worker, question=wanted.question, message=message))

    def _tell(self, told: ToWorker) -> None:
        self._producer.send(
            self._kafka.topic(ANSWERS),
            msgspec.json.encode(told),
            key=told.worker.encode(),
            partition=partition_of(told.worker, self._answer_partitions),
        )


class _OnAssignment(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, take_over: Callable[[Sequence[TopicPartition]], None]) -> None:
        self._take_over = take_over

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Nothing to give back: the log knows how far we came."""

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._take_over(assigned)


def _owner(state: Any) -> str:
    return str(state.attempt.worker) if state is not None else ""
