"""A plant whose workers hear of jobs over a real Kafka: its log, and dispatcher and relay as threads."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

import msgspec
import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from commands.assay import Assay
from domain.facts import Fact
from domain.messages import (
    Heartbeat,
    JobKind,
    LossesMeasured,
    LossPart,
    Message,
    Resources,
    TrainingSucceeded,
)
from domain.system_resources import MachineSays
from domain.training_jobs import TrainingJob
from infra.connections import open_pool
from infra.dispatcher import Dispatcher
from infra.event_store import EventLog, create_tables, open_event_log
from infra.heartbeats import Heartbeats
from infra.kafka import Kafka
from infra.kafka_mailbox import KafkaMailbox
from infra.line_of_work import Waiting
from infra.machines import Machines
from infra.relay import Relay
from infra.settings import KafkaSettings
from infra.side_tables import create_side_tables
from projections.read_model import Pool
from tests.eventually import eventually
from tests.examples import PORTS, TRAINING_COMPLETED, TRAINING_JOB_ID, History, plant

TWO_CORE_MACHINE = Resources(cpu_cores=2, memory_gib=8)
SILENCE_SECONDS = 5.0
ASK_EVERY_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""For a busy machine."""
NEVER = 3600.0
"""For workers that are to be woken."""


class KafkaPlant:
    """What the tests do to it."""

    def __init__(self, stack: ExitStack, database: str, settings: KafkaSettings, log: EventLog, pool: Pool) -> None:
        self._stack, self.database, self.settings, self.log = stack, database, settings, log
        self.kafka = Kafka(settings)
        self.kafka.make_topics()
        self.assay = Assay(log, PORTS)
        self.heartbeats = Heartbeats(pool, silence_seconds=SILENCE_SECONDS)
        self.waiting = Waiting(pool, self.assay, silence_seconds=SILENCE_SECONDS)
        self.connection: Connection[DictRow] = stack.enter_context(
            psycopg.connect(database, autocommit=True, row_factory=dict_row)
        )
        self.machines = Machines(pool, silence_seconds=SILENCE_SECONDS, asked_every_seconds=0.0)
        self.workers: list[KafkaMailbox] = []

    def happen(self, aggregate_id: UUID, *facts: Fact) -> None:
        """Put facts into the log."""
        self.log.append(History().add(aggregate_id, *facts, after=len(self.log.history(aggregate_id))).events)

    def worker(
        self,
        name: str = "line-1",
        kinds: Collection[JobKind] = frozenset(JobKind),
        ask_every_seconds: float = ASK_EVERY_SECONDS,
        machine: Callable[[], MachineSays | None] = lambda: None,
    ) -> KafkaMailbox:
        """The mailbox of a worker."""
        made = KafkaMailbox(self.kafka, worker=name, kinds=kinds, ask_every_seconds=ask_every_seconds, machine=machine)
        self._stack.callback(made.close)
        return made

    @contextmanager
    def relay(self) -> Iterator[None]:
        """A relay that works meanwhile."""
        with self._running(Relay(self.kafka, self.log, PORTS, self.database, self.heartbeats).run):
            yield

    @contextmanager
    def dispatcher(self) -> Iterator[None]:
        """The same for a dispatcher."""
        dispatcher = Dispatcher(self.assay, self.database, silence_seconds=SILENCE_SECONDS, is_through_kafka=True)
        with self._running(dispatcher.run):
            yield

    @contextmanager
    def _running(self, run) -> Iterator[None]:  # type: ignore[no-untyped-def]
        stop = threading.Event()
        thread = threading.Thread(target=run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def facts_of(self, job_id: UUID = TRAINING_JOB_ID) -> list[Fact]:
        """What the log says of a job."""
        return [event.data for event in self.log.history(job_id)]

    def job(self, job_id: UUID = TRAINING_JOB_ID) -> TrainingJob:
        """The job as the rules see it."""
        return self.assay.load(TrainingJob, job_id)

    def unusable(self) -> list[DictRow]:
        """The reports that nobody could use."""
        return self.connection.execute("SELECT * FROM app.unusable_reports ORDER BY kept_at").fetchall()


@contextmanager
def kafka_plant(database: str, settings: KafkaSettings) -> Iterator[KafkaPlant]:
    """A plant with an empty line of work."""
    create_tables(database)
    create_side_tables(database)
    with ExitStack() as stack:
        log = open_event_log(database)
        stack.callback(log.close)
        log.append(plant().events)
        yield KafkaPlant(stack, database, settings, log, stack.enter_context(open_pool(database)))


def becomes(condition: Callable[[], object]) -> None:
    """Wait for other threads, processes and machines."""
    eventually(condition, within_seconds=PATIENCE_SECONDS)


def take(
    worker: KafkaMailbox, offered: Resources = TWO_CORE_MACHINE, *, within_seconds: float = PATIENCE_SECONDS
) -> Message:
    """What the worker takes, asked as often as a worker asks."""
    taken: list[Message] = []

    def asks() -> bool:
        message = worker.take(offered)
        if message is not None:
            taken.append(message)
        return bool(taken)

    eventually(asks, within_seconds=within_seconds)
    return taken[0]


def beat(worker: str = "line-1", *, job_id: UUID = TRAINING_JOB_ID, attempt: int = 1) -> Heartbeat:
    return Heartbeat(worker=worker, kind=JobKind.TRAINING, job_id=job_id, attempt=attempt, progress=0.5)


def losses(
    iteration: int = 1, *, job_id: UUID = TRAINING_JOB_ID, attempt: int = 1, worker: str = "line-1"
) -> LossesMeasured:
    return LossesMeasured(
        kind=JobKind.TRAINING,
        job_id=job_id,
        attempt=attempt,
        worker=worker,
        part=LossPart.CLASSIFICATION,
        iterations=(iteration,),
        losses=(1.1,),
        learning_rate=0.01,
    )


def succeeded(seconds: float) -> TrainingSucceeded:
    """The example job ended after so long."""
    told = msgspec.structs.asdict(msgspec.structs.replace(TRAINING_COMPLETED, seconds=seconds))
    return TrainingSucceeded(kind=JobKind.TRAINING, job_id=TRAINING_JOB_ID, attempt=1, worker="line-1", **told)
