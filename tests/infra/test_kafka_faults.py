"""Everything on the way of a job over Kafka is killed at some moment: nothing is lost, nothing comes twice, no job is stuck.

The web server is killed in `test_kills.py`, beside a training that goes on.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import psycopg
import pytest
from eventsourcing.persistence import InterfaceError, OperationalError
from kafka import TopicPartition

from domain.facts import Fact
from domain.public_events import is_public
from domain.training_jobs import (
    TrainingCompleted,
    TrainingFailed,
    TrainingInterrupted,
    TrainingJob,
    TrainingLossesMeasured,
    TrainingStarted,
    TrainingStatus,
)
from infra.embedded_postgres import ensure_postgres, stop_postgres
from infra.event_store import EventLog, create_tables, open_event_log
from infra.kafka import REPORTS, Kafka
from infra.local_kafka import LocalBroker
from infra.mes_feed import EVENTS
from infra.settings import Settings, read_settings
from infra.side_tables import create_side_tables
from tests.conftest import CHECKOUT, free_ports
from tests.eventually import eventually
from tests.examples import TRAINING_QUEUED, History, example_id, plant
from tests.infra.light_worker import STEPS

PROCESSES = {
    "dispatcher": ("-m", "infra.cli", "dispatcher"),
    "relay": ("-m", "infra.cli", "relay"),
    "feed": ("-m", "infra.cli", "feed"),
    "projector": ("-m", "infra.cli", "projector"),
    "line-1": ("-m", "tests.infra.light_worker", "line-1"),
    "line-2": ("-m", "tests.infra.light_worker", "line-2"),
    "web": ("-m", "infra.cli", "web"),
}
PATIENCE_SECONDS = 300.0
SILENCE_SECONDS = 6
"""After so long a worker that is not heard counts as gone."""
AWAY = (psycopg.Error, OperationalError, InterfaceError)


class Factory:
    """Real processes around a log, and jobs that go through them."""

    def __init__(self, settings: Settings, environment: dict[str, str], broker: LocalBroker, log: EventLog) -> None:
        assert settings.kafka is not None
        self.settings, self.environment, self.broker, self.log = settings, environment, broker, log
        self.kafka = Kafka(settings.kafka)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.jobs: list[UUID] = []

    def start(self, name: str) -> None:
        output = (self.settings.state / f"{name}.log").open("ab")
        with output:
            self.running[name] = subprocess.Popen(
                [sys.executable, *PROCESSES[name]], cwd=CHECKOUT, env=self.environment, stdout=output, stderr=output
            )

    def kill(self, name: str) -> None:
        """As the kernel does when memory runs out, whatever it is doing; then it is started again."""
        match name:
            case "broker":
                self.broker.kill()
                self.broker.start()
            case "database":
                data = self.settings.state / "postgres" / "data"
                os.kill(int((data / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)
                ensure_postgres(self.settings)
            case _:
                self.running[name].kill()
                self.running[name].wait()
                self.start(name)

    def queue(self, count: int) -> None:
        """So many jobs wait."""
        fresh = [example_id(f"job {len(self.jobs) + number}") for number in range(count)]
        self.jobs += fresh
        history = History()
        for job_id in fresh:
            history = history.add(job_id, TRAINING_QUEUED)
        self.log.append(history.events)

    def shown(self) -> int:
        """How many jobs a list shows as completed."""
        with suppress(*AWAY), self.asked() as connection:
            row = connection.execute("SELECT count(*) FROM read.training_jobs WHERE status = 'completed'").fetchone()
            return int(row[0]) if row else 0
        return -1

    def answers(self) -> bool:
        """Whether the web server does."""
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.settings.address}/health").status_code == 200
        return False

    def is_told(self) -> bool:
        """Whether the brokers have every public event."""
        with suppress(*AWAY), self.asked() as connection:
            row = connection.execute("SELECT position FROM app.feed").fetchone()
            return row is not None and bool(row[0] == self.log.position())
        return False

    def all_have_noticed(self, since: datetime) -> bool:
        """Whether relay and feed have given up what they waited for since then and begun anew, and whether nobody was heard for
        so long that every worker would count as gone, were it not for who hears them.
        """
        with self.asked() as connection:
            row = connection.execute(
                "SELECT (SELECT problem_at FROM app.relay) > %(since)s AND (SELECT problem_at FROM app.feed) > %(since)s"
                " AND NOT EXISTS (SELECT FROM app.heartbeats"
                " WHERE beaten_at > clock_timestamp() - make_interval(secs => %(silence)s))",
                {"since": since, "silence": SILENCE_SECONDS},
            ).fetchone()
            return bool(row and row[0])

    def now(self) -> datetime:
        """By the clock of the database."""
        with self.asked() as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            assert row is not None
            moment: datetime = row[0]
            return moment

    def asked(self) -> psycopg.Connection[Any]:
        """A connection to the database as it is now."""
        return psycopg.connect(ensure_postgres(self.settings), connect_timeout=2)

    def completed(self) -> int:
        """How many jobs are."""
        with suppress(*AWAY):
            return sum(self.status_of(job_id) is TrainingStatus.COMPLETED for job_id in self.jobs)
        return -1

    def status_of(self, job_id: UUID) -> TrainingStatus:
        job = self.log.load(TrainingJob, job_id)
        assert job is not None
        return job.status

    def facts_of(self, job_id: UUID) -> list[Fact]:
        return [event.data for event in self.log.history(job_id)]


@contextmanager
def running_factory(broker: LocalBroker, prefix: str) -> Iterator[Factory]:
    state = Path(tempfile.mkdtemp(prefix="assay-faults-", dir="/tmp"))
    state.chmod(0o711)
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "ASSAY_STATE": str(state),
        "ASSAY_KAFKA_BROKERS": broker.address,
        "ASSAY_KAFKA_TOPIC_PREFIX": prefix,
        "ASSAY_WORKER_SILENCE_SECONDS": str(SILENCE_SECONDS),
        "ASSAY_MAX_ATTEMPTS": "100",
        "ASSAY_PORT": str(port),
    }
    settings = read_settings(environment)
    dsn = ensure_postgres(settings)
    create_tables(dsn)
    create_side_tables(dsn)
    made = Factory(settings, environment, broker, open_event_log(dsn))
    made.log.append(plant().events)
    made.kafka.make_topics()
    try:
        for name in PROCESSES:
            made.start(name)
        yield made
    finally:
        for process in made.running.values():
            process.kill()
            process.wait()
        made.log.close()
        stop_postgres(settings)
        subprocess.run(["rm", "-rf", str(state)], check=True)


@pytest.fixture
def factory(kafka: LocalBroker, topic_prefix: str) -> Iterator[Factory]:
    with running_factory(kafka, topic_prefix) as made:
        yield made


def test_whatever_is_killed_nothing_is_lost_nothing_comes_twice_and_no_job_is_stuck(
    factory: Factory,
) -> None:  # K-1, T-6, S-2
    dice, moment = random.Random(20261126), threading.Event()
    victims = [*PROCESSES, "database", "broker"]
    dice.shuffle(victims)
    factory.queue(4)
    with factory.kafka.producer() as producer:
        producer.send(factory.kafka.topic(REPORTS), b"noise", key=b"noise")
    for victim in victims:
        factory.queue(2)
        moment.wait(dice.uniform(0.2, 1.0))
        factory.kill(victim)
    eventually(lambda: factory.completed() == len(factory.jobs), within_seconds=PATIENCE_SECONDS)
    for job_id in factory.jobs:
        assert_told_once(factory.facts_of(job_id))
    with factory.asked() as connection:
        kept = connection.execute("SELECT content FROM app.unusable_reports").fetchall()
    assert [bytes(content) for (content,) in kept] == [b"noise"]
    eventually(lambda: factory.shown() == len(factory.jobs), within_seconds=PATIENCE_SECONDS)
    eventually(factory.is_told, within_seconds=PATIENCE_SECONDS)
    eventually(factory.answers, within_seconds=PATIENCE_SECONDS)
    assert_every_public_event_arrived(factory)


def test_a_broker_that_is_away_longer_than_anybody_waits_holds_jobs_up_and_loses_none(
    factory: Factory,
) -> None:  # K-1, T-6
    factory.queue(6)
    eventually(lambda: factory.completed() >= 1, within_seconds=PATIENCE_SECONDS)
    factory.broker.kill()
    try:
        since, position = factory.now(), factory.log.position()
        factory.queue(2)
        eventually(lambda: factory.all_have_noticed(since), within_seconds=PATIENCE_SECONDS)
        meanwhile = [event.data for _, event in factory.log.read(position, 10_000)]
        assert not any(isinstance(fact, TrainingInterrupted) for fact in meanwhile)  # nobody was called silent
    finally:
        factory.broker.start()
    eventually(lambda: factory.completed() == len(factory.jobs), within_seconds=PATIENCE_SECONDS)
    for job_id in factory.jobs:
        assert_told_once(factory.facts_of(job_id))
    eventually(factory.is_told, within_seconds=PATIENCE_SECONDS)
    assert_every_public_event_arrived(factory)


def assert_every_public_event_arrived(factory: Factory) -> None:
    """Each at least once, however often something was killed over it."""
    public = {
        f"{event.originator_id}:{event.originator_version}"
        for _, event in factory.log.read(0, 10_000)
        if is_public(type(event.data))
    }
    topic = factory.kafka.topic(EVENTS)
    with closing(factory.kafka.consumer(group_id=None, auto_offset_reset="earliest")) as consumer:
        places = [TopicPartition(topic, number) for number in range(EVENTS.partitions)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        arrived: set[str] = set()

        def has_all() -> bool:
            for records in consumer.poll(200).values():
                arrived.update(json.loads(record.value)["id"] for record in records)
            return all(consumer.position(place) >= ends[place] for place in places)

        eventually(has_all, within_seconds=PATIENCE_SECONDS)
    assert arrived == public


def assert_told_once(facts: list[Fact]) -> None:
    """One completion, by an attempt that was given away once and whose every report stands in the log once, in order."""
    assert [type(fact) for fact in facts].count(TrainingCompleted) == 1
    assert not any(isinstance(fact, TrainingFailed) for fact in facts)
    started = [fact.attempt for fact in facts if isinstance(fact, TrainingStarted)]
    assert started == sorted(set(started))
    last_start = max(number for number, fact in enumerate(facts) if isinstance(fact, TrainingStarted))
    measured = [fact.iterations for fact in facts[last_start:] if isinstance(fact, TrainingLossesMeasured)]
    assert measured == [(step,) for step in range(1, STEPS + 1)]
    assert isinstance(facts[-1], TrainingCompleted)


def test_the_count_notices_what_is_lost_or_comes_twice() -> None:
    started = TrainingStarted(worker="line-1", attempt=1)
    with pytest.raises(AssertionError):
        assert_told_once([TRAINING_QUEUED, started])
    with pytest.raises(AssertionError):
        assert_told_once([TRAINING_QUEUED, started, msgspec.structs.replace(started)])
