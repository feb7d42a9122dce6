"""From a queued job to a worker and back over a real Kafka; the log decides who works and takes each report once."""

import threading
from collections.abc import Iterator
from uuid import UUID

import msgspec
import pytest

from commands.assay import Assay
from commands.compute_resources import ChangeComputeResource
from commands.gpu_jobs import command_for
from commands.training_jobs import TerminateTraining
from domain.attempts import AttemptIsOver, result_unusable
from domain.compute_resources import ComputeResourceKind
from domain.facts import Fact
from domain.machine_figures import MachineFigures
from domain.messages import COMPUTING, PACKAGING, AnyReport, JobClaimed, JobKind, Message, Resources, TrainModel
from domain.system_resources import MachineNow, MachineSays, WorkerState
from domain.training_jobs import (
    TrainingFailed,
    TrainingInterrupted,
    TrainingLossesMeasured,
    TrainingStarted,
    TrainingStatus,
)
from infra.connections import open_pool
from infra.kafka import JOBS, REPORTS, WORKERS
from infra.kafka_mailbox import KafkaMailbox
from infra.listening import listening_since
from infra.local_kafka import LocalBroker
from infra.relay import MovedOn, ReportLog
from infra.relay_watch import RelayState, RelayWatch
from infra.settings import KafkaSettings
from infra.worker_messages import REPORT_ID, SENT_AGAIN, JobWaits
from tests.examples import (
    LOADING_QUEUED,
    MODEL_IMAGE_IMPORTED,
    ONE_GPU_ID,
    PORTS,
    QUALITY_LEAD_ID,
    TRAINER_WANG_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TWO_CORES,
    TWO_CORES_ID,
    example_id,
)
from tests.infra.kafka_plant import (
    NEVER,
    SILENCE_SECONDS,
    TWO_CORE_MACHINE,
    KafkaPlant,
    beat,
    becomes,
    kafka_plant,
    losses,
    succeeded,
    take,
)

GPU_MACHINE = Resources(cpu_cores=16, memory_gib=64, gpu_cards=2, gpu_memory_gib=24)
NEEDS_GPU = msgspec.structs.replace(TRAINING_QUEUED, compute_resource_id=ONE_GPU_ID)
IDLE = MachineFigures(cpu_cores=2, cpu_load=0.0, memory_used_bytes=1 << 30, memory_total_bytes=8 << 30)


@pytest.fixture
def line(kafka: LocalBroker, topic_prefix: str, database: str) -> Iterator[KafkaPlant]:
    with kafka_plant(database, KafkaSettings(brokers=(kafka.address,), topic_prefix=topic_prefix)) as made:
        yield made


@pytest.fixture
def running(line: KafkaPlant) -> Iterator[KafkaPlant]:
    with line.dispatcher(), line.relay():
        yield line


def test_a_worker_gets_the_waiting_job_and_its_reports_come_back(running: KafkaPlant) -> None:  # K-1, K-4, T-6
    running.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = running.worker()
    assert take(worker) == TrainModel(
        job_id=TRAINING_JOB_ID, attempt=1, run=1, needs=TWO_CORES.resources, order=TRAINING_QUEUED.order
    )
    assert running.job().attempt.worker == "line-1"
    worker.report(losses(1))
    worker.report(losses(2))
    becomes(lambda: _measured(running) == [(1,), (2,)])


def test_a_free_worker_is_woken(running: KafkaPlant) -> None:  # K-1
    worker = running.worker(ask_every_seconds=NEVER)
    becomes(lambda: worker.take(TWO_CORE_MACHINE) or worker._hears_triggers)
    assert worker.take(TWO_CORE_MACHINE) is None
    running.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    assert take(worker).job_id == TRAINING_JOB_ID


def test_a_job_that_waits_is_told_of_again_after_triggers_were_lost(running: KafkaPlant) -> None:  # K-1
    running.happen(TRAINING_JOB_ID, NEEDS_GPU)
    worker = running.worker(ask_every_seconds=NEVER)
    becomes(lambda: worker.take(TWO_CORE_MACHINE) or worker._hears_triggers)  # every trigger so far woke it in vain
    running.assay.dispatch(_change(ONE_GPU_ID, TWO_CORES.resources))  # and this is no event of the job
    assert take(worker).job_id == TRAINING_JOB_ID


def test_triggers_that_come_twice_late_or_for_nothing_change_nothing(running: KafkaPlant) -> None:  # K-1
    """A trigger only wakes: the worker asks, and the log decides."""
    running.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    working = running.worker()
    assert take(working).job_id == TRAINING_JOB_ID
    free = running.worker("line-2", ask_every_seconds=NEVER)
    becomes(lambda: free.take(TWO_CORE_MACHINE) or free._hears_triggers)
    over = JobWaits(kind=JobKind.TRAINING, job_id=TRAINING_JOB_ID, attempt=1)
    unknown = JobWaits(kind=JobKind.EXPORT, job_id=example_id("no such job"), attempt=7)
    with running.kafka.producer() as producer:
        for content in (*[msgspec.json.encode(over)] * 3, msgspec.json.encode(unknown), b"noise"):
            producer.send(running.kafka.topic(JOBS), content, key=b"whichever")
    woken = free._ask_at
    becomes(lambda: free.take(TWO_CORE_MACHINE) or free._ask_at > woken)  # it asked, and was shown nothing
    assert running.job().attempt.worker == "line-1"
    assert _count(running, TrainingStarted) == 1


def test_a_job_waits_for_a_worker_that_has_its_compute_resource(running: KafkaPlant) -> None:  # T-6
    second = example_id("second")
    running.happen(TRAINING_JOB_ID, NEEDS_GPU)
    running.happen(second, TRAINING_QUEUED)
    assert take(running.worker()).job_id == second
    assert take(running.worker("gpu-1"), GPU_MACHINE).job_id == TRAINING_JOB_ID


def test_what_a_job_needs_is_read_again_when_it_is_claimed(running: KafkaPlant) -> None:  # M-6
    running.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = running.worker(ask_every_seconds=NEVER)
    answers = worker._connect()
    shown: list[Message] = []

    def is_shown() -> bool:
        shown.extend(filter(None, [worker._ask(answers, TWO_CORE_MACHINE)]))
        return bool(shown)

    becomes(is_shown)
    running.assay.dispatch(_change(TWO_CORES_ID, Resources(cpu_cores=64, memory_gib=2)))
    worker._claimed = shown[0]
    becomes(lambda: worker.take(TWO_CORE_MACHINE) or worker._claimed is None)
    assert running.job().status is TrainingStatus.WAITING


def test_a_worker_takes_only_jobs_of_its_kinds(running: KafkaPlant) -> None:  # T-6, I-2
    image = example_id("resnet34")
    running.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    running.happen(image, MODEL_IMAGE_IMPORTED, LOADING_QUEUED)
    assert take(running.worker("line-1-packages", PACKAGING)).job_id == image
    assert take(running.worker("line-1", COMPUTING)).job_id == TRAINING_JOB_ID


def test_of_four_workers_that_claim_at_once_one_gets_the_job(running: KafkaPlant) -> None:  # K-1, T-6
    names = [f"line-{number}" for number in range(4)]
    for name in names:
        _heard(running, name)
    running.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    _send(
        running, *(_claim(name) for name in names), *(losses(1 + number, worker=names[number]) for number in range(4))
    )
    becomes(
        lambda: len(_measured(running)) == len(names)
    )  # reports are judged by their attempt; claims by who was first
    assert _count(running, TrainingStarted) == 1


def test_a_claim_whose_answer_was_lost_is_granted_again(running: KafkaPlant) -> None:  # K-1
    worker = _heard(running, "line-1")
    running.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    _send(running, _claim("line-1"))  # from here the worker was cut off
    becomes(lambda: running.job().status is TrainingStatus.TRAINING)
    worker._claimed = TrainModel(
        job_id=TRAINING_JOB_ID, attempt=1, run=1, needs=TWO_CORES.resources, order=TRAINING_QUEUED.order
    )
    assert take(worker).job_id == TRAINING_JOB_ID
    assert _count(running, TrainingStarted) == 1


def test_a_report_that_is_sent_again_is_taken_once(running: KafkaPlant) -> None:  # K-1
    _train(running)
    _send(running, losses(1), report_id="1")
    _send(running, losses(1), report_id="1", is_again=True)
    _send(running, losses(2), report_id="2", is_again=True)  # the first time it was lost
    becomes(lambda: (2,) in _measured(running))
    assert _measured(running) == [(1,), (2,)]


def test_a_relay_goes_on_where_the_log_says_and_not_where_the_broker_does(line: KafkaPlant) -> None:  # K-1
    with line.dispatcher():
        with line.relay():
            _train(line)
            _send(line, *map(losses, range(1, 6)))
            becomes(lambda: len(_measured(line)) == 5)
        _send(line, *map(losses, range(6, 11)))
        with line.relay(), line.relay():  # the group has no offsets of its own: every report is delivered again
            becomes(lambda: len(_measured(line)) >= 10)
            _send(line, losses(11))
            becomes(lambda: (11,) in _measured(line))
    assert _measured(line) == [(number,) for number in range(1, 12)]


def test_a_position_that_another_relay_has_moved_refuses_the_report(line: KafkaPlant) -> None:  # K-1
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED, TrainingStarted(worker="line-1", attempt=1))
    slow, fast = ReportLog(line.log, "kafka 1/0"), ReportLog(line.log, "kafka 1/0")
    fast.place = slow.place = 7
    Assay(fast, PORTS).dispatch(command_for(losses(1)))
    with pytest.raises(MovedOn):
        Assay(slow, PORTS).dispatch(command_for(losses(2)))
    assert _measured(line) == [(1,)]
    assert ReportLog(line.log, "kafka 1/0").reached == 7


def test_a_terminated_job_tells_its_worker_to_stop(running: KafkaPlant) -> None:  # T-6
    worker = _train(running)
    assert worker.beat(beat())
    running.assay.dispatch(TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    becomes(lambda: not worker.beat(beat()))
    with pytest.raises(AttemptIsOver):
        worker.report(losses())
    assert _measured(running) == []


def test_a_machine_says_how_busy_it_is_with_what_its_worker_says_anyway(running: KafkaPlant) -> None:  # O-1, K-4
    says = [MachineSays(name="rack-7", figures=IDLE)]
    worker = running.worker(machine=lambda: says[0])

    def known() -> tuple[WorkerState, float] | None:
        [machine] = running.machines.now().machines or [MachineNow(name="")]
        return (machine.workers[0].state, machine.figures.cpu_load) if machine.figures else None

    becomes(lambda: worker.take(TWO_CORE_MACHINE) or known() == (WorkerState.FREE, 0.0))
    assert running.machines.now().machines[0].name == "rack-7"
    running.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    take(worker)
    says[0] = MachineSays(name="rack-7", figures=msgspec.structs.replace(IDLE, cpu_load=0.75))
    becomes(lambda: worker.beat(beat()) and known() == (WorkerState.BUSY, 0.75))


def test_figures_that_cannot_be_are_refused_and_hold_up_nothing(running: KafkaPlant) -> None:  # O-1, K-1
    impossible = msgspec.structs.replace(IDLE, memory_total_bytes=0)
    bad = running.worker("line-2", machine=lambda: MachineSays(name="rack-8", figures=impossible))
    bad.take(TWO_CORE_MACHINE)
    good = running.worker(machine=lambda: MachineSays(name="rack-7", figures=IDLE))
    becomes(lambda: good.take(TWO_CORE_MACHINE) or running.machines.now().machines)
    assert [machine.name for machine in running.machines.now().machines] == ["rack-7"]


def test_a_message_that_nobody_understands_is_kept_with_its_reason_and_holds_up_nothing(
    running: KafkaPlant,
) -> None:  # K-1
    _train(running)
    topic = running.kafka.topic(REPORTS)
    with running.kafka.producer() as producer:
        producer.send(topic, b"not json", key=TRAINING_JOB_ID.bytes)
        producer.send(topic, b'{"type": "job_praised"}', key=TRAINING_JOB_ID.bytes)
    _send(running, msgspec.structs.replace(losses(), kind=JobKind.EXPORT), losses(2))
    becomes(lambda: _measured(running) == [(2,)])
    kept = running.unusable()
    assert [bytes(row["content"]) for row in kept[:2]] == [b"not json", b'{"type": "job_praised"}']
    assert "malformed" in kept[0]["reason"]
    assert "a export job sends no LossesMeasured" in kept[2]["reason"]
    assert {row["topic"] for row in kept} == {topic}
    assert [row["worker"] for row in kept] == ["", "", "line-1"]
    assert len(kept) == 3


def test_numbers_that_cannot_be_are_kept_with_their_reason_and_hold_up_nothing(running: KafkaPlant) -> None:  # K-1, T-7
    """Any worker may write to the topic: no number of it may stop a read model, or be in the log where nobody can read it."""
    worker = _train(running)
    with running.kafka.producer() as producer:
        for loss in (b"NaN", b"1e999", b"null"):
            content = msgspec.json.encode(losses()).replace(b"1.1", loss)
            producer.send(running.kafka.topic(REPORTS), content, key=TRAINING_JOB_ID.bytes)
    _send(running, losses(1 << 31), losses(2))
    becomes(lambda: _measured(running) == [(2,)])
    assert running.unusable()[3]["reason"] == "ImpossibleNumber: the number at $.iterations[0] cannot be"
    worker.beat(msgspec.structs.replace(beat(), seconds_left=1e300))
    becomes(lambda: worker.beat(beat()) and running.heartbeats.of(TRAINING_JOB_ID) == beat())
    _send(running, succeeded(seconds=1e300))
    becomes(lambda: running.job().status is TrainingStatus.FAILED)
    assert running.facts_of()[-1] == TrainingFailed(reason=result_unusable())
    assert len(running.unusable()) == 5


def test_how_far_the_relay_is_can_be_asked(line: KafkaPlant) -> None:  # K-1
    with open_pool(line.database, size=1) as pool:
        watch = RelayWatch(pool)
        assert watch.state() == RelayState()
        line.happen(TRAINING_JOB_ID, NEEDS_GPU)
        with line.dispatcher(), line.relay():
            becomes(lambda: not watch.state().is_away)
            becomes(lambda: watch.state().told_at is not None)
            _send(line, losses(1, job_id=example_id("no such job")))
            becomes(lambda: watch.state().behind == 0)
        state = watch.state()
    assert [topic.topic for topic in state.topics] == [line.kafka.topic(REPORTS), line.kafka.topic(WORKERS)]
    assert {topic.partition_count for topic in state.topics} == {REPORTS.partitions}
    assert (state.waiting_count, state.unusable_count, state.is_held_up) == (1, 0, False)


def test_a_silent_worker_loses_its_job_to_another(running: KafkaPlant) -> None:  # T-6
    _train(running)
    message = take(running.worker("line-2"))
    assert isinstance(message, TrainModel)
    assert (message.attempt, message.run) == (2, 1)


def test_nobody_is_called_silent_while_nobody_listens(line: KafkaPlant) -> None:  # T-6, S-2
    with line.dispatcher():
        with line.relay():
            worker = _train(line)
        becomes(lambda: listening_since(line.connection) is None)
        patience = threading.Event()
        patience.wait(SILENCE_SECONDS + 1)
        assert line.job().status is TrainingStatus.TRAINING
        with line.relay():
            becomes(lambda: listening_since(line.connection) is not None)
            for _ in range(6):
                assert worker.beat(beat())
                patience.wait(SILENCE_SECONDS / 6)
    assert _count(line, TrainingInterrupted) == 0


def test_a_job_says_why_it_waits(running: KafkaPlant) -> None:  # T-6
    running.happen(TRAINING_JOB_ID, NEEDS_GPU)
    becomes(lambda: "No worker that could do this is running" in _told(running))
    worker = running.worker()
    becomes(lambda: worker.take(TWO_CORE_MACHINE) or "No running worker has this compute resource" in _told(running))


def _told(line: KafkaPlant) -> str:
    wait = line.waiting.of(TRAINING_JOB_ID)
    return str(wait.reason) if wait else ""


def _heard(line: KafkaPlant, name: str) -> KafkaMailbox:
    """A free worker of which the relay knows what it offers."""
    worker = line.worker(name, ask_every_seconds=NEVER)

    def is_heard() -> bool:
        assert worker.take(TWO_CORE_MACHINE) is None
        return line.connection.execute("SELECT FROM app.workers WHERE name = %s", (name,)).fetchone() is not None

    becomes(is_heard)
    return worker


def _train(line: KafkaPlant) -> KafkaMailbox:
    """The worker line-1, which has the example job."""
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    take(worker)
    return worker


def _change(compute_resource_id: UUID, resources: Resources) -> ChangeComputeResource:
    return ChangeComputeResource(
        actor=QUALITY_LEAD_ID,
        compute_resource_id=compute_resource_id,
        kind=ComputeResourceKind.GENERAL_PURPOSE,
        resources=resources,
    )


def _claim(worker: str) -> JobClaimed:
    return JobClaimed(kind=JobKind.TRAINING, job_id=TRAINING_JOB_ID, attempt=1, worker=worker)


def _send(line: KafkaPlant, *reports: AnyReport, report_id: str = "", is_again: bool = False) -> None:
    """As a worker's mailbox does it, without waiting for answers."""
    headers = [(REPORT_ID, report_id.encode()), *([(SENT_AGAIN, b"")] if is_again else [])]
    with line.kafka.producer() as producer:
        for report in reports:
            content, key = msgspec.json.encode(report), report.job_id.bytes
            producer.send(line.kafka.topic(REPORTS), content, key=key, headers=headers)


def _count(line: KafkaPlant, fact_type: type[Fact]) -> int:
    return [type(fact) for fact in line.facts_of()].count(fact_type)


def _measured(line: KafkaPlant) -> list[tuple[int, ...]]:
    return [fact.iterations for fact in line.facts_of() if isinstance(fact, TrainingLossesMeasured)]
