"""A plant's log with its dispatcher and workers, stepped by hand on a real database."""

from collections.abc import Callable, Collection, Iterator
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from commands.assay import Assay
from domain.facts import Fact
from domain.machine_figures import MachineFigures
from domain.messages import Heartbeat, JobKind, Resources
from domain.system_resources import MachineSays
from domain.training_jobs import TrainingJob, TrainingLossesMeasured, TrainingStatus
from infra.connections import open_pool
from infra.dispatcher import Dispatcher
from infra.event_store import EventLog, create_tables, open_event_log
from infra.heartbeats import Heartbeats
from infra.line_of_work import Waiting
from infra.machines import Machines
from infra.mailbox import WAIT_SECONDS, LogMailbox
from infra.side_tables import create_side_tables
from projections.read_model import Pool
from tests.examples import PORTS, TRAINING_JOB_ID, History, plant

TWO_CORE_MACHINE = Resources(cpu_cores=2, memory_gib=8)
IDLE = MachineFigures(cpu_cores=2, cpu_load=0.0, memory_used_bytes=1 << 30, memory_total_bytes=8 << 30)
SILENCE_SECONDS = 0.6
SILENCE_OF_WORKERS_SECONDS = 2 * WAIT_SECONDS
"""A worker that waits for work is heard each time it asks."""


class Plant:
    """A plant's log with its dispatcher, stepped by hand."""

    def __init__(self, log: EventLog, database: str, connection: Connection[DictRow], pool: Pool) -> None:
        heartbeats = Heartbeats(pool, silence_seconds=SILENCE_SECONDS)
        self.log, self.database, self.connection, self.heartbeats = log, database, connection, heartbeats
        self.assay = Assay(log, PORTS)
        self.waiting = Waiting(pool, self.assay, silence_seconds=SILENCE_OF_WORKERS_SECONDS)
        self.dispatcher = Dispatcher(self.assay, database, silence_seconds=SILENCE_SECONDS)
        self.machines = Machines(pool, silence_seconds=SILENCE_OF_WORKERS_SECONDS, asked_every_seconds=0.0)
        self.workers: list[LogMailbox] = []

    def happen(self, aggregate_id: UUID, *facts: Fact) -> None:
        """Put facts into the log, then let the dispatcher see them."""
        self.log.append(History().add(aggregate_id, *facts, after=len(self.log.history(aggregate_id))).events)
        self.dispatch()

    def dispatch(self) -> None:
        """Let the dispatcher follow the log to its end."""
        while self.dispatcher.follow(self.connection):
            pass

    def worker(
        self,
        name: str = "line-1",
        kinds: Collection[JobKind] = frozenset(JobKind),
        machine: Callable[[], MachineSays | None] = lambda: None,
    ) -> LogMailbox:
        """The mailbox of a worker."""
        self.workers.append(
            LogMailbox(self.assay, self.database, self.heartbeats, worker=name, kinds=kinds, machine=machine)
        )
        return self.workers[-1]

    def told(self, job_id: UUID = TRAINING_JOB_ID) -> str:
        """Why a job waits."""
        wait = self.waiting.of(job_id)
        return str(wait.reason) if wait else ""

    def measured(self) -> list[TrainingLossesMeasured]:
        """The losses of the example job in the log."""
        facts = [event.data for event in self.log.history(TRAINING_JOB_ID)]
        return [fact for fact in facts if isinstance(fact, TrainingLossesMeasured)]

    def job(self) -> TrainingJob:
        """The example job."""
        return self.assay.load(TrainingJob, TRAINING_JOB_ID)


@pytest.fixture
def line(database: str) -> Iterator[Plant]:
    create_tables(database)
    create_side_tables(database)
    log = open_event_log(database)
    log.append(plant().events)
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection, open_pool(database) as pool:
        made = Plant(log, database, connection, pool)
        made.dispatch()
        yield made
        for worker in made.workers:
            worker.close()
    log.close()


def is_interrupted(line: Plant) -> bool:
    """Whether the example job has lost its worker, once the dispatcher has looked for silent ones."""
    line.dispatcher.interrupt_silent(line.connection)
    line.dispatch()
    return line.job().status is not TrainingStatus.TRAINING


def a_beat(*, attempt: int, job_id: UUID = TRAINING_JOB_ID) -> Heartbeat:
    return Heartbeat(worker="line-1", kind=JobKind.TRAINING, job_id=job_id, attempt=attempt, progress=0.5)
