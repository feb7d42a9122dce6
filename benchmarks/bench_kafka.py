"""Reports and events over a real Kafka: how many the log takes and the feed sends, how soon one is shown, fifty workers at once."""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from uuid import UUID, uuid4

import httpx
import msgspec

from benchmarks.bench_event_log import CHECKOUT, projecting
from benchmarks.harness import Bench, Row, bench, percentile
from commands.gpu_jobs import command_for
from domain.api_tokens import ApiTokenCreated, TokenScope
from domain.messages import LossesMeasured
from domain.public_events import public_events
from infra.kafka import REPORTS
from infra.local_kafka import LocalBroker
from infra.mes_feed import EVENTS, MesFeed, position_of
from infra.positions import PositionWatcher
from infra.settings import KafkaSettings
from tests.conftest import free_ports
from tests.eventually import eventually
from tests.examples import QUALITY_LEAD_ID, TRAINING_QUEUED, TRAINING_STARTED
from tests.infra.kafka_plant import KafkaPlant, kafka_plant, losses
from web.bearer import hash_of, new_secret

REPORTED = 2_000
JOBS = 50
ROUNDS_OF_ALL = 10
SHOWN = 200
MOST_EVENTS = 10_000
_iterations = itertools.count(1)
"""The log notes an iteration of a curve once, so none is reported again."""
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
        bare, fed = _fed(plant)
        yield Row(
            name="public events through the feed",
            figure=fed,
            unit="events/s",
            compared_with="the same messages sent by a producer that reads no log",
            compared_figure=bare,
            ratio=fed / bare,
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
        with _serving(plant, bench) as ask:
            told = _until_told(plant, jobs, max(20, int(SHOWN * bench.share)), ask)
        for percent in (50, 99):
            yield Row(
                name=f"report until a request shows it, p{percent}",
                figure=percentile(told, percent) * 1000,
                unit="ms",
                most={50: 200.0, 99: 1000.0}[percent],
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


def _fed(plant: KafkaPlant) -> tuple[float, float]:
    """Events a second: sent by a producer alone, and by a feed that begins at the beginning of the log."""
    events = public_events(plant.log.read(0, MOST_EVENTS))
    plant.kafka.make_topics((EVENTS,))
    start = time.perf_counter()
    with plant.kafka.producer() as producer:
        for event in events:
            producer.send(plant.kafka.topic(EVENTS), msgspec.json.encode(event), key=event.subject.encode())
    bare = len(events) / (time.perf_counter() - start)
    feed = MesFeed(plant.kafka, plant.log, plant.database)
    start = time.perf_counter()
    with plant.kafka.producer() as producer:
        position = position_of(plant.connection)
        while position < plant.log.position():
            position = feed.follow(plant.connection, producer, position)
    return bare, len(events) / (time.perf_counter() - start)


@contextmanager
def _serving(plant: KafkaPlant, bench: Bench) -> Iterator[Callable[[UUID], int]]:
    """The web process of the product; asks it how far the curve of a job is."""
    (port,) = free_ports(1)
    secret, token_id = new_secret(), uuid4()
    plant.happen(
        token_id,
        ApiTokenCreated(name="bench", user_id=QUALITY_LEAD_ID, scope=TokenScope.READ, secret_hash=hash_of(secret)),
    )
    environment = {
        **os.environ,
        "ASSAY_STATE": str(bench.folder / "web"),
        "ASSAY_DATABASE_URL": plant.database,
        "ASSAY_PORT": str(port),
    }
    program = [sys.executable, "-m", "infra.cli", "web"]
    with (
        subprocess.Popen(program, cwd=CHECKOUT, env=environment, stderr=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {secret}"}) as client,
    ):

        def ask(job_id: UUID) -> int:
            answer = client.get(f"/api/v1/training-jobs/{job_id}/curves")
            return int(answer.raise_for_status().json()[0]["iteration"])

        try:
            eventually(lambda: _answers(client), within_seconds=60)
            yield ask
        finally:
            process.terminate()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _until_told(plant: KafkaPlant, jobs: Sequence[UUID], count: int, ask: Callable[[UUID], int]) -> list[float]:
    """Seconds from a worker's call until a request over HTTP is answered with the report, one report after the other."""
    worker = plant.worker("line-http")
    seconds = []
    for number in range(count):
        job_id, iteration = jobs[number % len(jobs)], next(_iterations)
        time.sleep(PAUSE_SECONDS)
        start = time.perf_counter()
        worker.report(losses(iteration, job_id=job_id))
        while ask(job_id) < iteration:
            time.sleep(_STEP_SECONDS)
        seconds.append(time.perf_counter() - start)
    return seconds


def _reports(jobs: Sequence[UUID], count: int) -> Iterator[LossesMeasured]:
    for number in range(count):
        yield losses(next(_iterations), job_id=jobs[number % len(jobs)])


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
        workers[number].report(losses(next(_iterations), job_id=jobs[number]))  # connects
        for _ in range(ROUNDS_OF_ALL):
            start.wait()
            began = time.perf_counter()
            workers[number].report(losses(next(_iterations), job_id=jobs[number]))
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
