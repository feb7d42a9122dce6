"""The mailbox of a worker on Kafka: it hears triggers and answers there, and reports there; the log is elsewhere.

As `infra.mailbox` does it over a database. A report is delivered once the brokers have it; the relay puts it into the log.
"""

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID, uuid4

import msgspec
from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from domain.attempts import AttemptIsOver
from domain.messages import AnyReport, Heartbeat, JobClaimed, JobKind, JobReleased, LogKept, Message, Resources
from domain.system_resources import MachineSays
from gpu_worker.jobs import kind_of
from infra.kafka import ANSWERS, JOBS, REPORTS, WORKERS, Kafka, partition_of
from infra.worker_messages import (
    REPORT_ID,
    SENT_AGAIN,
    AttemptEnded,
    Beat,
    ClaimDecided,
    ToWorker,
    WorkOffered,
    WorkWanted,
    read_to_worker,
)

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
"""How long `take` waits for a trigger, and rests while the brokers are away."""
ANSWER_SECONDS = 3.0
"""How long an answer is waited for before the question is asked again."""
ACKNOWLEDGED_SECONDS = 10.0
"""How long `report` waits for the brokers before it says that they are away; asked again, it goes on with the same report."""
_CLOSE_MS = 2_000


class KafkaMailbox:
    """Where one worker's jobs come from and its reports go."""

    def __init__(
        self,
        kafka: Kafka,
        *,
        worker: str,
        kinds: Collection[JobKind] = frozenset(JobKind),
        ask_every_seconds: float = 5.0,
        machine: Callable[[], MachineSays | None] = lambda: None,
    ) -> None:
        """`worker` is a name that no other worker has. A free worker says so every `ask_every_seconds`, triggered or not; `machine`
        is what it runs on.
        """
        self._kafka, self._worker, self._ask_every_seconds, self._machine = kafka, worker, ask_every_seconds, machine
        self._kinds = tuple(sorted(kinds, key=lambda kind: kind.value))
        self._producer: Any = None
        self._answers: _Answers | None = None
        self._triggers: Any = None
        self._hears_triggers = False
        self._ask_at = 0.0
        self._claimed: Message | None = None
        self._sent: _Sent | None = None
        self._last_beat: Any = None

    def take(self, offered: Resources) -> Message | None:
        """The first waiting job that fits, claimed; None after a short wait when there is none (T-6)."""
        try:
            answers = self._connect()
            if self._claimed is None:
                if not self._is_woken(offered):
                    return None
                self._claimed = self._ask(answers, offered)
            return self._claim(answers, self._claimed) if self._claimed is not None else None
        except KafkaError:
            log.warning("broker_is_away", exc_info=True)
            self._disconnect()
            time.sleep(WAIT_SECONDS)
        return None

    def report(self, report: AnyReport) -> None:
        """Give a report to the brokers, which keep it for the log.

        Raises:
            AttemptIsOver: the attempt is no longer this worker's.
            KafkaError: the brokers are away. Called again with the same report, it goes on with it.
        """
        answers = self._connect()
        if self._sent is None or self._sent.report != report:
            self._sent = _Sent(report)
        until = time.monotonic() + ACKNOWLEDGED_SECONDS
        while True:
            if not isinstance(report, LogKept) and answers.is_over(report.job_id, report.attempt):
                raise AttemptIsOver
            if self._sent.is_acknowledged(self._send_report):
                self._sent = None
                return
            if time.monotonic() > until:
                raise KafkaTimeoutError("the brokers have not taken the report yet")

    def beat(self, heartbeat: Heartbeat) -> bool:
        """Say that the job goes on, and whether it is to; while nobody answers, it is."""
        answers, producer = self._answers, self._producer
        if answers is None or producer is None:
            return True
        if self._last_beat is None or self._last_beat.is_done:  # those that wait for a broker say nothing new
            with contextlib.suppress(KafkaError):
                self._last_beat = self._send_of_worker(producer, Beat(heartbeat=heartbeat, machine=self._machine()))
        return not answers.is_over(heartbeat.job_id, heartbeat.attempt)

    def close(self) -> None:
        """Let everything go; a later `take` opens it again. A claim that is not decided yet is given back."""
        if self._claimed is not None and self._producer is not None:
            claim = self._claim_of(self._claimed)
            released = JobReleased(kind=claim.kind, job_id=claim.job_id, attempt=claim.attempt, worker=claim.worker)
            with contextlib.suppress(KafkaError):
                _Sent(released).is_acknowledged(self._send_report)
        self._claimed = None
        self._disconnect()

    def _connect(self) -> "_Answers":
        if self._producer is None:
            self._producer = self._kafka.producer()
        if self._answers is None:
            self._answers = _Answers(self._kafka, self._worker)
        return self._answers

    def _disconnect(self) -> None:
        self._stop_listening()
        if self._answers is not None:
            self._answers.close()
        if self._producer is not None:
            self._producer.close(timeout=_CLOSE_MS / 1000)
        self._answers = self._producer = self._last_beat = self._sent = None

    def _is_woken(self, offered: Resources) -> bool:
        """Whether it is time to ask: a trigger came, or nobody was asked for a while."""
        if time.monotonic() >= self._ask_at:
            return True
        if self._triggers is None:
            # Workers that offer the same are a group: a job wakes one of each. Who works has left it, so only the free are woken.
            alike = hashlib.sha256(msgspec.json.encode((self._kinds, offered))).hexdigest()[:12]
            self._triggers = self._kafka.consumer(group_id=self._kafka.group(f"workers.{alike}"))
            self._triggers.subscribe([self._kafka.topic(JOBS)])
        patience = min(WAIT_SECONDS, self._ask_at - time.monotonic())
        is_triggered = bool(self._triggers.poll(timeout_ms=int(patience * 1000) + 1))
        return self._begins_to_hear() or is_triggered

    def _begins_to_hear(self) -> bool:
        """Whether triggers arrive from now on. What was queued before nobody told us: ask once more."""
        partitions = [] if self._hears_triggers else self._triggers.assignment()
        for partition in partitions:
            self._triggers.position(partition)
        self._hears_triggers = self._hears_triggers or bool(partitions)
        return bool(partitions)

    def _stop_listening(self) -> None:
        if self._triggers is not None:
            with contextlib.suppress(KafkaError):
                self._triggers.close(timeout_ms=_CLOSE_MS)
        self._triggers, self._hears_triggers = None, False

    def _ask(self, answers: "_Answers", offered: Resources) -> Message | None:
        wanted = WorkWanted(
            worker=self._worker, question=uuid4().hex, kinds=self._kinds, offered=offered, machine=self._machine()
        )
        self._send_of_worker(self._producer, wanted)
        offer = answers.offer(wanted.question)
        # Who was shown nothing waits to be woken; who heard nothing asks again.
        self._ask_at = time.monotonic() + (self._ask_every_seconds if offer is not None else 0.0)
        return offer.message if offer else None

    def _claim(self, answers: "_Answers", message: Message) -> Message | None:
        """Claim until somebody has decided, however long the relay is away: until then the job may be ours."""
        claim = self._claim_of(message)
        if self._sent is None or self._sent.report != claim or self._sent.is_acknowledged(self._send_report):
            self._sent = _Sent(claim)
        self._sent.is_acknowledged(self._send_report)
        decided = answers.decision(claim.job_id, claim.attempt)
        if decided is None:
            return None
        self._claimed = self._sent = None
        self._ask_at = 0.0  # another worker was faster, or the job is done some day: then there may be others
        if not decided.is_granted:
            return None
        self._stop_listening()
        return message

    def _claim_of(self, message: Message) -> JobClaimed:
        return JobClaimed(kind=kind_of(message), job_id=message.job_id, attempt=message.attempt, worker=self._worker)

    def _send_report(self, sent: "_Sent") -> Any:
        headers = [(REPORT_ID, sent.id.encode()), *([(SENT_AGAIN, b"")] if sent.tries else [])]
        return self._producer.send(
            self._kafka.topic(REPORTS), msgspec.json.encode(sent.report), key=sent.report.job_id.bytes, headers=headers
        )

    def _send_of_worker(self, producer: Any, said: WorkWanted | Beat) -> Any:
        return producer.send(self._kafka.topic(WORKERS), msgspec.json.encode(said), key=self._worker.encode())


class _Sent:
    """A report on its way."""

    def __init__(self, report: AnyReport) -> None:
        self.report, self.id, self.tries = report, uuid4().hex, 0
        self._future: Any = None

    def is_acknowledged(self, send: Any) -> bool:
        """Send it where that was not done or has failed, and wait a moment for the brokers."""
        if self._future is None or self._future.failed():
            self._future = send(self)
            self.tries += 1
        with contextlib.suppress(KafkaError):
            self._future.get(timeout=WAIT_SECONDS)
        return bool(self._future.succeeded())


class _Answers:
    """What this worker was told, collected by a thread of its own."""

    def __init__(self, kafka: Kafka, worker: str) -> None:
        self._worker = worker
        self._changed = threading.Condition()
        self._offers: dict[str, WorkOffered] = {}
        self._decisions: dict[tuple[UUID, int], ClaimDecided] = {}
        self._over: set[tuple[UUID, int]] = set()
        self._is_closed = threading.Event()
        self._consumer = kafka.consumer()
        try:
            self._hear_from_now_on(kafka.topic(ANSWERS))
        except BaseException:
            self._consumer.close()
            raise
        self._thread = threading.Thread(target=self._listen, daemon=True, name="answers")
        self._thread.start()

    def offer(self, question: str) -> WorkOffered | None:
        """The answer to a question; None where none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: question in self._offers, ANSWER_SECONDS)
            offer = self._offers.get(question)
            self._offers.clear()
            return offer

    def decision(self, job_id: UUID, attempt: int) -> ClaimDecided | None:
        """What was decided about a claim; None where nobody has said anything in time."""
        with self._changed:
            self._changed.wait_for(lambda: (job_id, attempt) in self._decisions, ANSWER_SECONDS)
            decided = self._decisions.get((job_id, attempt))
            if decided is not None:
                self._decisions.clear()
                self._over.clear()
            return decided

    def is_over(self, job_id: UUID, attempt: int) -> bool:
        """Whether this worker was told to stop."""
        return (job_id, attempt) in self._over

    def close(self) -> None:
        """Hear no more."""
        self._is_closed.set()
        self._thread.join()
        with contextlib.suppress(KafkaError):
            self._consumer.close(timeout_ms=_CLOSE_MS)

    def _hear_from_now_on(self, topic: str) -> None:
        count = len(self._consumer.partitions_for_topic(topic) or ())
        if not count:
            raise KafkaTimeoutError(f"the topic {topic} is not there yet")
        partition = TopicPartition(topic, partition_of(self._worker, count))
        self._consumer.assign([partition])
        self._consumer.seek_to_end(partition)
        self._consumer.position(partition)

    def _listen(self) -> None:
        while not self._is_closed.is_set():
            try:
                polled = self._consumer.poll(timeout_ms=200)
            except KafkaError:
                log.warning("broker_is_away", exc_info=True)
                self._is_closed.wait(WAIT_SECONDS)
                continue
            for records in polled.values():
                for record in records:
                    self._take_in(record.value)

    def _take_in(self, content: bytes) -> None:
        try:
            told: ToWorker = read_to_worker(content)
        except msgspec.MsgspecError:  # a newer relay says what this worker does not know yet
            log.warning("answer_not_understood", exc_info=True)
            return
        if told.worker != self._worker:
            return
        with self._changed:
            match told:
                case WorkOffered():
                    self._offers[told.question] = told
                case ClaimDecided():
                    self._decisions[told.job_id, told.attempt] = told
                case AttemptEnded():
                    self._over.add((told.job_id, told.attempt))
            self._changed.notify_all()
