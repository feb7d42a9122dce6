"""From a queued job to a worker and back over a real Kafka; the log decides who works and takes each report once."""

from collections.abc import Iterator

import msgspec
import pytest

from domain.messages import Resources, TrainModel
from domain.training_jobs import (
    TrainingLossesMeasured,
)
from infra.kafka_mailbox import KafkaMailbox
from infra.local_kafka import LocalBroker
from infra.settings import KafkaSettings
from tests.eventually import eventually
from tests.examples import (
    ONE_GPU_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TWO_CORES,
)
from tests.infra.kafka_plant import NEVER, TWO_CORE_MACHINE, KafkaPlant, kafka_plant, losses, take

GPU_MACHINE = Resources(cpu_cores=16, memory_gib=64, gpu_cards=2, gpu_memory_gib=24)
NEEDS_GPU = msgspec.structs.replace(TRAINING_QUEUED, compute_resource_id=ONE_GPU_ID)


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
    eventually(lambda: _measured(running) == [(1,), (2,)])


def test_a_free_worker_is_woken(running: KafkaPlant) -> None:  # K-1
    worker = running.worker(ask_every_seconds=NEVER)
    eventually(lambda: _was_heard(running, worker))
    running.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    assert take(worker).job_id == TRAINING_JOB_ID


def _was_heard(line: KafkaPlant, worker: KafkaMailbox) -> bool:
    assert worker.take(TWO_CORE_MACHINE) is None
    return line.connection.execute("SELECT FROM app.workers").fetchone() is not None


def _measured(line: KafkaPlant) -> list[tuple[int, ...]]:
    return [fact.iterations for fact in line.facts_of() if isinstance(fact, TrainingLossesMeasured)]
