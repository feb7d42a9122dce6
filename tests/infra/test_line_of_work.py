"""From a queued job to a worker and back, through the log: dispatcher, mailbox and heartbeats on a real database."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import msgspec
import psycopg
import pytest
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg.rows import dict_row

from commands.assay import Assay
from commands.compute_resources import ChangeComputeResource
from commands.training_jobs import TerminateTraining
from domain.attempts import result_unusable
from domain.compute_resources import ComputeResourceKind
from domain.impossible_numbers import ImpossibleNumber
from domain.messages import COMPUTING, PACKAGING, Message, Resources, TrainModel
from domain.system_resources import MachineSays, WorkerState
from domain.training_jobs import TrainingFailed, TrainingStatus
from infra.advisory_locks import take_lock
from infra.dispatcher import _LEADER_LOCK
from infra.event_store import open_event_log
from infra.line_of_work import MOST_OFFERS
from infra.mailbox import LogMailbox
from tests.eventually import eventually
from tests.examples import (
    LOADING_QUEUED,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_IMPORTED,
    ONE_GPU_ID,
    PORTS,
    QUALITY_LEAD_ID,
    TRAINER_WANG_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TWO_CORES,
    TWO_CORES_ID,
    History,
    example_id,
)
from tests.infra.cut_network import network_to
from tests.infra.kafka_plant import losses, succeeded
from tests.infra.stepped_plant import IDLE, TWO_CORE_MACHINE, Plant, a_beat, is_interrupted, line

__all__ = ["line"]


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
    worker.beat(a_beat(attempt=1, job_id=first))
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
    eventually(lambda: is_interrupted(line))
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
    worker.beat(a_beat(attempt=1))
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
        worker.beat(msgspec.structs.replace(a_beat(attempt=1), seconds_left=math.inf))
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
    worker.beat(a_beat(attempt=1))
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
