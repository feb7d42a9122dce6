"""The feed over a real Kafka: none missing, in order for each aggregate, at least once. Source: REQUIREMENTS, K-1, K-3, E-6."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import psycopg
import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError
from msgspec.structs import replace
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from domain.data_paths import FolderName
from domain.datasets import DatasetDeleted
from domain.public_events import is_public
from infra import cli
from infra.connections import open_pool
from infra.event_schemas import asyncapi, schema_of
from infra.event_store import EventLog, create_tables, open_event_log
from infra.feed_verbs import feed_status, unusable_reports
from infra.feed_watch import FeedState, FeedWatch
from infra.kafka import Kafka
from infra.listening import expect, note_behind
from infra.local_kafka import LocalBroker
from infra.mes_feed import EVENTS, MesFeed, position_of
from infra.noted_problems import note_problem
from infra.programs import programs_of
from infra.settings import KafkaSettings, Settings, read_settings
from infra.side_tables import create_side_tables
from infra.unusable_reports import keep_unusable
from tests.eventually import eventually
from tests.examples import TRAINING_DATASET, History, example_id, plant

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # kafka-python 3.0.12 leaves the sockets of a killed broker to the collector
)

PATIENCE_SECONDS = 90.0
"""A broker on a busy machine takes its time, and no test waits longer than it must."""


class Factory:
    """A log, a feed that is not running yet, and who receives."""

    def __init__(self, stack: ExitStack, database: str, settings: KafkaSettings) -> None:
        create_tables(database)
        create_side_tables(database)
        self.database = database
        self.kafka = Kafka(settings)
        self.log: EventLog = stack.enter_context(closing(open_event_log(database)))
        self.feed = MesFeed(self.kafka, self.log, database)
        self.watch = FeedWatch(stack.enter_context(open_pool(database, size=1)), topic=self.kafka.topic(EVENTS))
        self.connection: Connection[DictRow] = stack.enter_context(
            psycopg.connect(database, autocommit=True, row_factory=dict_row)
        )
        self.log.append(plant().events)

    def datasets_come_and_go(self, *names: str) -> None:
        """Two events of each of some aggregates, between those of others."""
        for fact in (TRAINING_DATASET, DatasetDeleted()):
            for name in names:
                before = len(self.log.history(example_id(name)))
                self.log.append(History().add(example_id(name), fact, after=before).events)

    @contextmanager
    def running(self) -> Iterator[None]:
        """A feed that works meanwhile."""
        stop = threading.Event()
        thread = threading.Thread(target=MesFeed(self.kafka, self.log, self.database).run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def is_done(self) -> bool:
        """Whether everything was sent."""
        state = self.watch.state()
        return state.position == self.log.position() and state.behind == 0

    def received(self) -> list[Any]:
        """Every message that lies on the topic, those of each partition in their order."""
        with closing(self.kafka.consumer(group_id=None, auto_offset_reset="earliest")) as consumer:
            places = [TopicPartition(self.kafka.topic(EVENTS), number) for number in range(EVENTS.partitions)]
            consumer.assign(places)
            ends = consumer.end_offsets(places)
            found: list[Any] = []

            def has_all() -> bool:
                for messages in consumer.poll(200).values():
                    found.extend(messages)
                return all(consumer.position(place) >= ends[place] for place in places)

            eventually(has_all, within_seconds=PATIENCE_SECONDS)
        return found

    @property
    def public(self) -> set[str]:
        """The ids of everything that others are to be told."""
        return {
            f"{event.originator_id}:{event.originator_version}"
            for _, event in self.log.read(0, 10_000)
            if is_public(type(event.data))
        }


@pytest.fixture
def factory(kafka: LocalBroker, topic_prefix: str, database: str) -> Iterator[Factory]:
    with ExitStack() as stack:
        yield Factory(stack, database, KafkaSettings(brokers=(kafka.address,), topic_prefix=topic_prefix))


def told(messages: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(message.value) for message in messages]


def assert_in_order(messages: list[Any]) -> None:
    """Of each aggregate, each event after the one before it, however often it comes again."""
    seen: dict[str, list[int]] = {}
    for event in told(messages):
        versions = seen.setdefault(event["subject"], [])
        assert event["aggregateversion"] <= max(versions, default=0) + 1 or versions == [], event
        versions.append(event["aggregateversion"])


def test_every_public_event_arrives_keyed_by_aggregate_and_as_its_schema_says(factory: Factory) -> None:  # K-3, E-6
    factory.datasets_come_and_go("panel-a", "panel-b", "panel-c")
    with factory.running():
        eventually(factory.is_done, within_seconds=PATIENCE_SECONDS)
        factory.datasets_come_and_go("panel-d")  # what comes while it runs
        eventually(factory.is_done, within_seconds=PATIENCE_SECONDS)
    messages = factory.received()
    assert sorted(event["id"] for event in told(messages)) == sorted(factory.public)  # each once, where nothing failed
    document = asyncapi()
    for message, event in zip(messages, told(messages), strict=True):
        assert message.key.decode() == event["subject"]
        assert dict(message.headers)["content-type"].startswith(b"application/cloudevents+json")
        jsonschema_rs.validator_for(schema_of(document, event["type"])).validate(event)
        assert b"hash" not in message.value
    assert_in_order(messages)
    assert len({message.partition for message in messages}) > 1


def test_an_event_of_thousands_of_data_paths_holds_up_nobody(factory: Factory) -> None:  # D-3, K-1
    (path,) = TRAINING_DATASET.data_paths
    many = tuple(
        replace(
            path,
            path_id=example_id(f"path {n}"),
            inspection=replace(path.inspection, folder=FolderName("data", f"{n}")),
        )
        for n in range(8_000)
    )
    factory.log.append(History().add(example_id("large"), replace(TRAINING_DATASET, data_paths=many)).events)
    with factory.running():
        eventually(factory.is_done, within_seconds=PATIENCE_SECONDS)
    (large,) = [message for message in factory.received() if message.key.decode() == str(example_id("large"))]
    assert len(large.value) > 2 << 20
    assert len(json.loads(large.value)["data"]["data_paths"]) == len(many)


class DyingProducer:
    """Sends everything, then dies before anybody hears of it."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self.send = producer.send

    def flush(self, timeout: float) -> None:
        self._producer.flush(timeout=timeout)
        raise KafkaError("killed")


def test_what_was_sent_before_a_crash_comes_again_and_nothing_is_missing(factory: Factory) -> None:  # K-1
    factory.datasets_come_and_go("panel-a", "panel-b")
    factory.kafka.make_topics((EVENTS,))
    with closing(factory.kafka.producer()) as producer:
        before = position_of(factory.connection)
        with pytest.raises(KafkaError):
            factory.feed.follow(factory.connection, DyingProducer(producer), before)
        assert position_of(factory.connection) == before
        reached = factory.feed.follow(factory.connection, producer, before)
    assert reached == factory.log.position() == position_of(factory.connection)
    messages = factory.received()
    ids = [event["id"] for event in told(messages)]
    assert set(ids) == factory.public
    assert len(ids) == 2 * len(factory.public)
    assert_in_order(messages)


def test_a_feed_that_was_overtaken_moves_nothing_back(factory: Factory) -> None:
    factory.kafka.make_topics((EVENTS,))
    with closing(factory.kafka.producer()) as producer:
        reached = factory.feed.follow(factory.connection, producer, position_of(factory.connection))
        with pytest.raises(TimeoutError, match="another feed"):
            factory.feed.follow(factory.connection, producer, 0)
    assert position_of(factory.connection) == reached


def test_of_two_feeds_one_works(factory: Factory) -> None:
    with factory.running(), factory.running():
        for number in range(5):
            factory.datasets_come_and_go(f"panel-{number}")
        eventually(factory.is_done, within_seconds=PATIENCE_SECONDS)
    assert sorted(event["id"] for event in told(factory.received())) == sorted(factory.public)


def test_a_killed_broker_is_waited_for_and_told_of(kafka: LocalBroker, factory: Factory) -> None:  # K-1
    try:
        with factory.running():
            eventually(factory.is_done, within_seconds=PATIENCE_SECONDS)
            kafka.kill()
            factory.datasets_come_and_go("panel-a", "panel-b")
            eventually(lambda: factory.watch.state().is_held_up, within_seconds=PATIENCE_SECONDS)
            held_up = factory.watch.state()
            assert held_up.behind == 4
            assert held_up.problem
            kafka.start()
            eventually(factory.is_done, within_seconds=PATIENCE_SECONDS)
            eventually(lambda: not factory.watch.state().is_held_up, within_seconds=PATIENCE_SECONDS)
    finally:
        if not kafka.is_running:
            kafka.start()
    messages = factory.received()
    assert {event["id"] for event in told(messages)} == factory.public
    assert_in_order(messages)


def test_the_command_says_how_far_the_feed_is(
    factory: Factory, postgres: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert factory.watch.state() == FeedState(
        log_position=factory.log.position(), behind=len(factory.log.read(0, 1000))
    )
    settings = replace(postgres, database_url=factory.database)
    assert feed_status(settings) == 0
    assert "Kafka is not configured" in capsys.readouterr().out
    note_problem(factory.database, "feed", KafkaError("no broker answers"))
    assert feed_status(settings) == 1
    said = capsys.readouterr().out
    assert "0 events sent; " in said
    assert "KafkaError: no broker answers" in said


def test_the_command_says_how_far_the_relay_is_and_what_nobody_could_use(
    factory: Factory, postgres: Settings, capsys: pytest.CaptureFixture[str]
) -> None:  # K-1
    settings = replace(postgres, database_url=factory.database, kafka=KafkaSettings(brokers=("127.0.0.1:9",)))
    assert feed_status(settings) == 1
    assert "No relay takes in what workers say" in capsys.readouterr().out
    partition = TopicPartition("assay.reports", 3)
    expect(factory.connection, [partition])
    note_behind(factory.connection, {partition: 5})
    assert feed_status(settings) == 0
    assert "assay.reports: 5 messages in 1 partitions to be taken in" in capsys.readouterr().out
    note_problem(factory.database, "relay", KafkaError("no broker answers"))
    keep_unusable(factory.connection, "kafka 1/3", "assay.reports", 17, "", "DecodeError: malformed", b"noise")
    assert feed_status(settings) == 1
    said = capsys.readouterr().out
    assert "KafkaError: no broker answers" in said
    assert "1 reports of workers could not be used" in said
    note_behind(factory.connection, {partition: 0})  # it looked again, so the problem is over
    assert feed_status(settings) == 0
    asked = cli.parser().parse_args(["unusable-reports"])
    assert unusable_reports(settings, asked) == 0
    assert "DecodeError: malformed" in capsys.readouterr().out


def test_the_feed_runs_only_with_kafka(tmp_path: Path) -> None:  # K-2
    state = {"ASSAY_STATE": str(tmp_path)}
    assert "feed" not in programs_of(read_settings(state))
    assert "feed" in programs_of(read_settings(state | {"ASSAY_KAFKA_BROKERS": "kafka-1:9092"}))
