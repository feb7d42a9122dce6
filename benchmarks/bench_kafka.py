"""Reports over a real Kafka: how many the log takes, how soon pages show one, and fifty workers that report at once."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from uuid import UUID, uuid4

import msgspec

from benchmarks.bench_event_log import CHECKOUT, projecting
from benchmarks.harness import Bench, Row, bench, percentile
from commands.gpu_jobs import command_for
from domain.messages import LossesMeasured
from infra.kafka import REPORTS
from infra.local_kafka import LocalBroker
from infra.positions import PositionWatcher
from infra.settings import KafkaSettings
from tests.conftest import free_ports
from tests.examples import TRAINING_QUEUED, TRAINING_STARTED
from tests.infra.kafka_plant import KafkaPlant, kafka_plant, losses

REPORTED = 2_000
JOBS = 50
ROUNDS_OF_ALL = 10
SHOWN = 200
PAUSE_SECONDS = 0.02
_STEP_SECONDS = 0.0005


@bench
def kafka_reports(bench: Bench) -> Iterator[Row]:
    """The relay is a process of its own, as in `assay up`; brokers and database run on the same machine."""
    with ExitStack() as stack:
        broker = _broker(bench)
        stack.callback(broker.kill)
        database = stack.enter_context(bench.database())
        settings = KafkaSettings(brokers=(broker.address,), topic_prefix=f"bench-{uuid4().hex[:6]}")
        plant = stack.enter_context(kafka_plant(database, settings))
        jobs = [uuid4() for _ in range(JOBS)]
        for job_id in jobs:
            plant.happen(job_id, TRAINING_QUEUED, TRAINING_STARTED)
        stack.enter_context(_relaying(plant, bench))
        _report_all(plant, jobs, JOBS)  # warms up
        reported = max(JOBS, int(REPORTED * bench.share))
        direct, relayed = _direct(plant, jobs, reported), _report_all(plant, jobs, reported)
        yield Row(
            name="reports through Kafka into the log",
            figure=relayed,
            unit="reports/s",
            compared_with="the same commands dispatched one by one",
            compared_figure=direct,
            ratio=relayed / direct,
        )
        stack.enter_context(projecting(database))
        shown = _until_shown(plant, jobs, max(20, int(SHOWN * bench.share)))
        for percent in (50, 99):
            yield Row(
                name=f"report until the read models have it, p{percent}",
                figure=percentile(shown, percent) * 1000,
                unit="ms",
                most={50: 100.0, 99: 500.0}[percent],
            )
        acknowledged = _all_at_once(plant, jobs)
        for percent in (50, 99):
            yield Row(
                name=f"{JOBS} workers report at once, p{percent}",
                figure=percentile(acknowledged, percent) * 1000,
                unit="ms",
            )


def _broker(bench: Bench) -> LocalBroker:
    port, controller_port = free_ports(2)
    broker = LocalBroker(bench.folder / "kafka", port=port, controller_port=controller_port)
    broker.start()
    return broker


@contextmanager
def _relaying(plant: KafkaPlant, bench: Bench) -> Iterator[None]:
    environment = {
        **os.environ,
        "ASSAY_STATE": str(bench.folder / "relay"),
        "ASSAY_DATABASE_URL": plant.database,
        "ASSAY_KAFKA_BROKERS": ",".join(plant.settings.brokers),
        "ASSAY_KAFKA_TOPIC_PREFIX": plant.settings.topic_prefix,
    }
    program = [sys.executable, "-m", "infra.cli", "relay"]
    with subprocess.Popen(program, cwd=CHECKOUT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def _reports(jobs: Sequence[UUID], count: int) -> Iterator[LossesMeasured]:
    for number in range(count):
        yield losses(number + 1, job_id=jobs[number % len(jobs)])


def _direct(plant: KafkaPlant, jobs: Sequence[UUID], count: int) -> float:
    start = time.perf_counter()
    for report in _reports(jobs, count):
        plant.assay.dispatch(command_for(report))
    return count / (time.perf_counter() - start)


def _report_all(plant: KafkaPlant, jobs: Sequence[UUID], count: int) -> float:
    """Reports a second, from the first that is sent until all are in the log."""
    before = _event_count(plant)
    start = time.perf_counter()
    with plant.kafka.producer() as producer:
        for report in _reports(jobs, count):
            producer.send(plant.kafka.topic(REPORTS), msgspec.json.encode(report), key=report.job_id.bytes)
    while _event_count(plant) < before + count:
        time.sleep(_STEP_SECONDS * 20)
    return count / (time.perf_counter() - start)


def _until_shown(plant: KafkaPlant, jobs: Sequence[UUID], count: int) -> list[float]:
    """Seconds from a worker's call until every read model has the event, one report after the other."""
    worker, watcher = plant.worker(), PositionWatcher(plant.database)
    watcher.wait(plant.log.position(), timeout=60)
    seconds = []
    for report in _reports(jobs, count):
        time.sleep(PAUSE_SECONDS)
        before = plant.log.position()
        start = time.perf_counter()
        worker.report(report)
        while (position := plant.log.position()) == before:
            time.sleep(_STEP_SECONDS)
        watcher.wait(position, timeout=30)
        seconds.append(time.perf_counter() - start)
    watcher.close()
    return seconds


def _all_at_once(plant: KafkaPlant, jobs: Sequence[UUID]) -> list[float]:
    """Seconds of each call of `report`, by as many workers as there are jobs, each with connections of its own."""
    workers = [plant.worker(f"line-{number}") for number in range(len(jobs))]
    start = threading.Barrier(len(workers))
    before = _event_count(plant)

    def work(number: int) -> list[float]:
        seconds = []
        workers[number].report(losses(job_id=jobs[number]))  # connects
        for iteration in range(ROUNDS_OF_ALL):
            start.wait()
            began = time.perf_counter()
            workers[number].report(losses(iteration + 2, job_id=jobs[number]))
            seconds.append(time.perf_counter() - began)
        return seconds

    with ThreadPoolExecutor(len(workers)) as threads:
        measured = [one for seconds in threads.map(work, range(len(workers))) for one in seconds]
    while _event_count(plant) < before + len(workers) * (ROUNDS_OF_ALL + 1):
        time.sleep(_STEP_SECONDS * 20)
    return measured


def _event_count(plant: KafkaPlant) -> int:
    row = plant.connection.execute("SELECT count(*) AS count FROM assay_events").fetchone()
    assert row is not None
    return int(row["count"])
