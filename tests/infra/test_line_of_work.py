"""From a queued job to a worker and back, through the log: dispatcher, mailbox and heartbeats on a real database."""

import math
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import psycopg
import pytest
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from commands.assay import Assay, Command, S
from commands.compute_resources import ChangeComputeResource
from commands.training_jobs import DeleteTrainingJob, RestartTraining, TerminateTraining
from domain.attempts import AttemptIsOver, result_unusable
from domain.compute_resources import ComputeResourceKind
from domain.facts import Fact
from domain.impossible_numbers import ImpossibleNumber
from domain.machine_figures import MachineFigures
from domain.messages import (
    COMPUTING,
    PACKAGING,
    Heartbeat,
    JobFailed,
    JobKind,
    JobReleased,
    LossesMeasured,
    LossPart,
    Message,
    Resources,
    TrainModel,
)
from domain.refusals import ChangedMeanwhile, NotTheOwner
from domain.sentences import Sentence
from domain.system_resources import MachineSays, WorkerState
from domain.training_jobs import (
    TrainingFailed,
    TrainingInterrupted,
    TrainingJob,
    TrainingLossesMeasured,
    TrainingRestarted,
    TrainingStarted,
    TrainingStatus,
)
from infra.advisory_locks import take_lock
from infra.connections import open_pool
from infra.dispatcher import _LEADER_LOCK, Dispatcher
from infra.event_store import EventLog, create_tables, open_event_log
from infra.heartbeats import Heartbeats
from infra.line_of_work import MOST_OFFERS, Waiting
from infra.machines import Machines
from infra.mailbox import WAIT_SECONDS, LogMailbox
from infra.side_tables import create_side_tables
from projections.read_model import Pool
from tests.eventually import eventually
from tests.examples import (
    LOADING_QUEUED,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_IMPORTED,
    ONE_GPU_ID,
    PORTS,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TWO_CORES,
    TWO_CORES_ID,
    History,
    example_id,
    plant,
)
from tests.infra.cut_network import network_to
from tests.infra.kafka_plant import losses, succeeded

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


def test_a_worker_gets_the_waiting_job_with_everything_it_needs(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    message = line.worker().take(TWO_CORE_MACHINE)
    assert message == TrainModel(
        job_id=TRAINING_JOB_ID, attempt=1, run=1, needs=TWO_CORES.resources, order=TRAINING_QUEUED.order
    )
    assert line.job().status is TrainingStatus.TRAINING
    assert line.job().attempt.worker == "line-1"


def test_nothing_is_taken_where_nothing_waits(line: Plant) -> None:
    assert line.worker().take(TWO_CORE_MACHINE) is None


def test_a_job_waits_for_a_worker_that_has_its_compute_resource(line: Plant) -> None:  # T-6
    needs_gpu = msgspec.structs.replace(TRAINING_QUEUED, compute_resource_id=ONE_GPU_ID)
    line.happen(TRAINING_JOB_ID, needs_gpu)
    assert line.worker().take(TWO_CORE_MACHINE) is None
    gpu_machine = Resources(cpu_cores=16, memory_gib=64, gpu_cards=2, gpu_memory_gib=24)
    assert line.worker("gpu-1").take(gpu_machine) is not None


def test_a_changed_compute_resource_is_in_force_at_once_for_jobs_that_wait(line: Plant) -> None:  # M-6
    needs_gpu = msgspec.structs.replace(TRAINING_QUEUED, compute_resource_id=ONE_GPU_ID)
    line.happen(TRAINING_JOB_ID, needs_gpu)
    worker = line.worker()
    assert worker.take(TWO_CORE_MACHINE) is None
    change = ChangeComputeResource(
        actor=QUALITY_LEAD_ID,
        compute_resource_id=ONE_GPU_ID,
        kind=ComputeResourceKind.GENERAL_PURPOSE,
        resources=Resources(cpu_cores=1, memory_gib=2),
    )
    line.assay.dispatch(change)
    message = worker.take(TWO_CORE_MACHINE)
    assert message is not None
    assert (message.job_id, message.needs) == (TRAINING_JOB_ID, change.resources)


def test_the_change_of_another_process_is_in_force_at_once_too(line: Plant) -> None:  # M-6, S-2
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    other_process = open_event_log(line.database)
    Assay(other_process, PORTS).dispatch(
        ChangeComputeResource(
            actor=QUALITY_LEAD_ID,
            compute_resource_id=TWO_CORES_ID,
            kind=ComputeResourceKind.GENERAL_PURPOSE,
            resources=Resources(cpu_cores=64, memory_gib=2),
        )
    )
    other_process.close()
    assert worker.take(TWO_CORE_MACHINE) is None


def test_the_first_that_came_is_the_first_served(line: Plant) -> None:  # T-6
    jobs = [example_id(f"job {number}") for number in range(3)]
    for job_id in jobs:
        line.happen(job_id, TRAINING_QUEUED)
    worker = line.worker()
    taken = [message.job_id for _ in jobs if (message := worker.take(TWO_CORE_MACHINE))]
    assert taken == jobs


def test_jobs_that_fit_nowhere_hold_up_nobody(line: Plant) -> None:  # T-6
    needs_gpu = msgspec.structs.replace(TRAINING_QUEUED, compute_resource_id=ONE_GPU_ID)
    unfit = History()
    for number in range(150):
        unfit = unfit.add(example_id(f"unfit {number}"), needs_gpu)
    line.log.append(unfit.events)
    line.dispatch()
    assert line.worker().take(TWO_CORE_MACHINE) is None
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    message = line.worker().take(TWO_CORE_MACHINE)
    assert message is not None
    assert message.job_id == TRAINING_JOB_ID
    assert MOST_OFFERS < 150


def test_a_worker_takes_only_jobs_of_its_kinds(line: Plant) -> None:  # T-6, I-2
    image = example_id("resnet34")
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    packager = line.worker("line-1-packages", PACKAGING)
    assert packager.take(TWO_CORE_MACHINE) is None
    line.happen(image, MODEL_IMAGE_IMPORTED, LOADING_QUEUED)
    taken = [worker.take(TWO_CORE_MACHINE) for worker in (line.worker("line-1", COMPUTING), packager)]
    assert [message.job_id for message in taken if message] == [TRAINING_JOB_ID, image]


def test_a_job_says_why_it_waits(line: Plant) -> None:  # T-6
    needs_gpu = msgspec.structs.replace(TRAINING_QUEUED, compute_resource_id=ONE_GPU_ID)
    first, second, third = example_id("first"), example_id("second"), example_id("third")
    line.happen(TRAINING_JOB_ID, needs_gpu)
    assert "No worker that could do this is running" in line.told()
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    assert "No running worker has this compute resource" in line.told()
    line.happen(first, TRAINING_QUEUED)
    for job_id in (second, third):
        line.happen(job_id, TRAINING_QUEUED)
    assert line.told(first) == "A worker is free and takes it within seconds."
    worker.take(TWO_CORE_MACHINE)
    line.dispatch()
    worker.beat(_beat(attempt=1, job_id=first))
    assert line.told(second) == "Every worker that could do this is busy. It is next in line."
    assert line.told(third) == "Every worker that could do this is busy. Jobs before it in line: 1."
    assert line.told(first) == ""
    eventually(
        lambda: "No worker that could do this is running" in line.told(second)
    )  # it was killed, and says nothing more


def test_a_job_says_since_when_it_waits_and_anew_after_an_interruption(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    queued = line.waiting.of(TRAINING_JOB_ID)
    assert line.worker().take(TWO_CORE_MACHINE)
    line.dispatch()
    assert line.waiting.of(TRAINING_JOB_ID) is None
    eventually(lambda: _interrupted(line))
    interrupted = line.waiting.of(TRAINING_JOB_ID)
    assert queued
    assert interrupted
    assert interrupted.since > queued.since


def test_a_machine_says_how_busy_it_is_with_what_its_worker_says_anyway(line: Plant) -> None:  # O-1
    says = [MachineSays(name="rack-7", figures=IDLE)]
    worker = line.worker(machine=lambda: says[0])
    assert worker.take(TWO_CORE_MACHINE) is None
    [machine] = line.machines.now().machines
    assert (machine.name, machine.figures, machine.workers[0].state) == ("rack-7", IDLE, WorkerState.FREE)
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker.take(TWO_CORE_MACHINE)
    line.dispatch()
    says[0] = MachineSays(name="rack-7", figures=msgspec.structs.replace(IDLE, cpu_load=0.75))
    worker.beat(_beat(attempt=1))
    [machine] = line.machines.now().machines
    assert machine.figures is not None
    assert (machine.figures.cpu_load, machine.workers[0].state) == (0.75, WorkerState.BUSY)


def test_the_leading_dispatcher_keeps_how_busy_everything_was(line: Plant) -> None:  # O-1
    def kept() -> int:
        row = line.connection.execute("SELECT count(*) AS rows FROM app.line_history").fetchone()
        return int(row["rows"]) if row else 0

    stop = threading.Event()
    with psycopg.connect(line.database, autocommit=True, row_factory=dict_row) as leader:
        assert take_lock(leader, _LEADER_LOCK)
        ready = threading.Event()
        follower = threading.Thread(target=line.dispatcher.run, args=(stop, ready))
        follower.start()
        assert ready.wait(30)
        line.dispatch()
        assert kept() == 0
    eventually(kept)  # the leader is gone, and the next one goes on
    stop.set()
    follower.join()


def test_a_report_that_cannot_arrive_is_given_back_and_stands_in_the_log_once_when_it_can(line: Plant) -> None:  # S-2
    """A worker that is told to stop meanwhile must not wait for a database that is away."""
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    with (
        network_to(line.database) as network,
        closing(open_event_log(network.dsn)) as log,
        ThreadPoolExecutor(1) as beside,
    ):
        worker = LogMailbox(Assay(log, PORTS), network.dsn, line.heartbeats, worker="line-1")
        assert worker.take(TWO_CORE_MACHINE) is not None
        report = losses(1)
        network.cut()
        with pytest.raises((OperationalError, InterfaceError)):
            beside.submit(worker.report, report).result(timeout=60)
        network.mend()
        worker.report(report)
        worker.close()
    assert len(line.measured()) == 1


def test_a_loss_that_is_no_number_is_kept_with_its_reason_and_holds_up_nothing(line: Plant) -> None:  # K-1, K-2
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    assert worker.take(TWO_CORE_MACHINE) is not None
    impossible = msgspec.structs.replace(losses(1), losses=(math.nan,))
    for report in (impossible, impossible, losses(2)):  # the first is delivered again
        worker.report(report)
    assert [fact.iterations for fact in line.measured()] == [(2,)]
    (kept,) = line.connection.execute("SELECT reason, worker, content FROM app.unusable_reports").fetchall()
    assert kept["reason"] == "ImpossibleNumber: the number at $.losses[0] cannot be"
    assert (kept["worker"], b'"losses":[null]' in kept["content"]) == ("line-1", True)
    with pytest.raises(ImpossibleNumber):
        worker.beat(msgspec.structs.replace(_beat(attempt=1), seconds_left=math.inf))
    assert line.heartbeats.of(TRAINING_JOB_ID) is None


def test_a_job_whose_result_nobody_can_use_fails_with_a_reason(line: Plant) -> None:  # T-7
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    assert worker.take(TWO_CORE_MACHINE) is not None
    worker.report(succeeded(seconds=math.nan))
    assert line.log.history(TRAINING_JOB_ID)[-1].data == TrainingFailed(reason=result_unusable())


def test_nothing_is_kept_of_the_beats_of_a_job_that_is_over(line: Plant) -> None:
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    worker.beat(_beat(attempt=1))
    line.assay.dispatch(TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    line.dispatch()
    assert line.connection.execute("SELECT * FROM app.heartbeats").fetchall() == []


def test_of_eight_workers_one_gets_the_job(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    workers = [line.worker(f"line-{number}") for number in range(8)]
    start = threading.Barrier(len(workers))

    def take(worker: LogMailbox) -> Message | None:
        start.wait()
        return worker.take(TWO_CORE_MACHINE)

    with ThreadPoolExecutor(len(workers)) as threads:
        taken = [message for message in threads.map(take, workers) if message]
    assert len(taken) == 1


def test_an_archive_waits_for_a_worker_like_a_job(line: Plant) -> None:  # I-2, S-5
    other = example_id("resnet34")
    line.happen(other, MODEL_IMAGE_IMPORTED, LOADING_QUEUED)
    message = line.worker().take(TWO_CORE_MACHINE)
    assert message is not None
    assert (message.job_id, message.order) == (other, LOADING_QUEUED.order)
    assert other != MODEL_IMAGE_ID


def test_a_terminated_job_tells_its_worker_to_stop(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    assert worker.take(TWO_CORE_MACHINE)
    assert worker.beat(_beat(attempt=1))
    line.assay.dispatch(TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    assert not worker.beat(_beat(attempt=1))
    with pytest.raises(AttemptIsOver):
        worker.report(_losses(attempt=1))


def test_only_the_owner_terminates(line: Plant) -> None:  # U-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    line.worker().take(TWO_CORE_MACHINE)
    with pytest.raises(NotTheOwner):
        line.assay.dispatch(TerminateTraining(actor=TRAINER_LI_ID, job_id=TRAINING_JOB_ID))
    assert line.job().status is TrainingStatus.TRAINING


def test_a_silent_worker_loses_its_job_to_another(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    silent, other = line.worker("line-1"), line.worker("line-2")
    silent.take(TWO_CORE_MACHINE)
    line.dispatch()
    eventually(lambda: _interrupted(line))
    message = other.take(TWO_CORE_MACHINE)
    assert isinstance(message, TrainModel)
    assert (message.attempt, message.run) == (2, 1)  # the run goes on from its checkpoint
    assert not silent.beat(_beat(attempt=1))
    with pytest.raises(AttemptIsOver):
        silent.report(_losses(attempt=1))


def test_a_worker_that_comes_back_late_does_not_make_the_next_one_seem_silent(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    silent, other = line.worker("line-1"), line.worker("line-2")
    silent.take(TWO_CORE_MACHINE)
    line.dispatch()
    eventually(lambda: _interrupted(line))
    other.take(TWO_CORE_MACHINE)
    line.dispatch()
    assert other.beat(_beat(attempt=2))
    assert not silent.beat(_beat(attempt=1))
    line.heartbeats.beat(_beat(attempt=1))  # which was on its way for all the time
    noted = line.connection.execute("SELECT attempt FROM app.heartbeats").fetchall()
    assert [row["attempt"] for row in noted] == [2]


def test_a_beat_of_a_job_that_has_ended_leaves_nothing_behind(line: Plant) -> None:
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    assert worker.beat(_beat(attempt=1))
    line.assay.dispatch(TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    line.dispatch()
    assert not worker.beat(_beat(attempt=1))
    assert line.connection.execute("SELECT * FROM app.heartbeats").fetchall() == []


def test_a_worker_that_beats_keeps_its_job(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    line.dispatch()
    patience = threading.Event()
    for _ in range(8):
        assert worker.beat(_beat(attempt=1))
        line.dispatcher.interrupt_silent(line.connection)
        patience.wait(SILENCE_SECONDS / 4)
    assert line.job().status is TrainingStatus.TRAINING


def test_a_job_whose_workers_die_one_after_the_other_fails_with_a_reason(line: Plant) -> None:  # T-6, T-7
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    for number in range(PORTS.max_attempts):
        assert line.worker(f"line-{number}").take(TWO_CORE_MACHINE)
        line.dispatch()
        eventually(lambda: _interrupted(line))
    assert line.job().status is TrainingStatus.FAILED
    assert line.worker().take(TWO_CORE_MACHINE) is None


def test_a_worker_that_is_stopped_hands_its_job_on_without_a_fault(line: Plant) -> None:  # S-2
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    for attempt in range(1, PORTS.max_attempts + 3):
        worker = line.worker(f"line-{attempt}")
        assert worker.take(TWO_CORE_MACHINE)
        worker.report(JobReleased(kind=JobKind.TRAINING, job_id=TRAINING_JOB_ID, attempt=attempt, worker="line"))
        line.dispatch()
    assert line.job().status is TrainingStatus.WAITING


def test_a_job_started_again_begins_another_run(line: Plant) -> None:  # T-2
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    reason = Sentence("The disk is full.")
    worker.report(JobFailed(kind=JobKind.TRAINING, job_id=TRAINING_JOB_ID, attempt=1, worker="line-1", reason=reason))
    line.dispatch()
    assert worker.take(TWO_CORE_MACHINE) is None
    line.assay.dispatch(RestartTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    line.dispatch()
    message = worker.take(TWO_CORE_MACHINE)
    assert isinstance(message, TrainModel)
    assert (message.attempt, message.run) == (2, 2)


def test_a_deleted_job_is_never_handed_out(line: Plant) -> None:  # T-2
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    line.assay.dispatch(DeleteTrainingJob(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    assert line.worker().take(TWO_CORE_MACHINE) is None  # the dispatcher has not even seen it yet
    line.dispatch()
    assert line.connection.execute("SELECT * FROM app.work").fetchall() == []


FAILED = TrainingFailed(reason=Sentence("The disk is full."))


def lose_position(line: Plant) -> None:
    """As after a restore, or in a database of which only the log was saved."""
    line.connection.execute("TRUNCATE app.work, app.dispatcher")


def test_the_line_can_be_made_anew_from_the_log(line: Plant) -> None:  # E-1
    """With its order: who was started again stands behind those who came meanwhile, who lost a worker keeps its place."""
    again, interrupted, third, over, runs = (example_id(f"job {number}") for number in range(5))
    started = TrainingStarted(worker="gpu-1", attempt=1)
    for job_id, facts in (
        (again, (TRAINING_QUEUED, started, FAILED)),
        (interrupted, (TRAINING_QUEUED, started)),
        (over, (TRAINING_QUEUED, started, FAILED)),
        (runs, (TRAINING_QUEUED, started)),
        (third, (TRAINING_QUEUED,)),
        (again, (TrainingRestarted(),)),
        (interrupted, (TrainingInterrupted(),)),
    ):
        line.happen(job_id, *facts)
    mirrored = (
        "SELECT job_id, kind, queued_at, attempt, compute_resource_id, is_running FROM app.work ORDER BY queued_at"
    )
    rows = line.connection.execute(mirrored).fetchall()
    assert [row["job_id"] for row in rows] == [interrupted, runs, third, again]
    assert [row["is_running"] for row in rows] == [False, True, False, False]
    lose_position(line)
    line.dispatch()
    assert line.connection.execute(mirrored).fetchall() == rows
    line.happen(third, TrainingStarted(worker="gpu-2", attempt=1))
    worker = line.worker()
    assert [worker.take(TWO_CORE_MACHINE).job_id for _ in range(2)] == [interrupted, again]  # type: ignore[union-attr]


def test_a_job_waits_since_the_log_says_so_also_where_the_line_was_lost(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    line.connection.execute("UPDATE public.assay_events SET recorded_at = recorded_at - interval '1 hour'")
    lose_position(line)
    line.dispatch()
    wait = line.waiting.of(TRAINING_JOB_ID)
    assert wait is not None
    assert datetime.now(UTC) - wait.since > timedelta(minutes=59)


def test_a_lost_line_calls_no_worker_silent_that_goes_on(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    line.dispatch()
    line.connection.execute("UPDATE public.assay_events SET recorded_at = recorded_at - interval '1 hour'")
    lose_position(line)
    line.dispatch()
    line.dispatcher.interrupt_silent(line.connection)
    assert line.job().status is TrainingStatus.TRAINING
    assert worker.beat(_beat(attempt=1))


class CrowdedAssay(Assay):
    """Others write about every job faster than anything can be decided on it."""

    def dispatch(self, command: Command, request_id: str = "") -> int:  # noqa: ARG002 - as everybody calls it
        raise ChangedMeanwhile


def test_a_job_on_which_nothing_can_be_decided_now_keeps_no_other_from_being_looked_after(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    line.worker().take(TWO_CORE_MACHINE)
    line.dispatch()
    patience = threading.Event()
    dispatcher = Dispatcher(CrowdedAssay(line.log, PORTS), line.database, silence_seconds=SILENCE_SECONDS)
    for _ in range(8):
        dispatcher.interrupt_silent(line.connection)
        patience.wait(SILENCE_SECONDS / 4)
    assert line.job().status is TrainingStatus.TRAINING
    eventually(lambda: _interrupted(line))


class WatchedAssay(Assay):
    """Notes what is loaded."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(log, PORTS)
        self.found: list[UUID] = []

    def find(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        self.found.append(aggregate_id)
        return super().find(state_type, aggregate_id)


def test_whoever_lost_the_line_loads_no_job_that_is_over(line: Plant) -> None:
    """A plant has some that wait, and years of others."""
    for number in range(3):
        line.happen(example_id(f"job {number}"), TRAINING_QUEUED, TrainingStarted(worker="gpu-1", attempt=1), FAILED)
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    lose_position(line)
    assay = WatchedAssay(line.log)
    dispatcher = Dispatcher(assay, line.database, silence_seconds=SILENCE_SECONDS)
    assert dispatcher.follow(line.connection)
    assert not dispatcher.follow(line.connection), "all of it at once"
    assert assay.found == [TRAINING_JOB_ID]


def test_what_a_job_that_is_over_said_last_is_forgotten(line: Plant) -> None:
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    line.dispatch()
    worker.beat(_beat(attempt=1))
    assert line.heartbeats.of(TRAINING_JOB_ID) is not None
    line.assay.dispatch(TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    line.dispatch()
    assert line.connection.execute("SELECT FROM app.heartbeats").fetchall() == []


def _interrupted(line: Plant) -> bool:
    line.dispatcher.interrupt_silent(line.connection)
    line.dispatch()
    return line.job().status is not TrainingStatus.TRAINING


def _beat(*, attempt: int, job_id: UUID = TRAINING_JOB_ID) -> Heartbeat:
    return Heartbeat(worker="line-1", kind=JobKind.TRAINING, job_id=job_id, attempt=attempt, progress=0.5)


def _losses(*, attempt: int) -> LossesMeasured:
    return LossesMeasured(
        kind=JobKind.TRAINING,
        job_id=TRAINING_JOB_ID,
        attempt=attempt,
        worker="line-1",
        part=LossPart.CLASSIFICATION,
        iterations=(1, 2),
        losses=(1.1, 0.9),
        learning_rate=0.01,
    )
