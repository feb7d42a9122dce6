"""The permissions that KAFKA.md lists are what each process needs, on a broker that grants nothing else. Source: K-1, K-4."""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)
from kafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError

from domain.messages import JobKind
from infra.kafka import JOBS, REPORTS, TOPICS, Kafka
from infra.kafka_mailbox import KafkaMailbox
from infra.local_kafka import LocalBroker
from infra.mes_feed import EVENTS, MesFeed
from tests.conftest import CHECKOUT
from tests.examples import TRAINING_JOB_ID, TRAINING_QUEUED
from tests.infra.kafka_plant import (
    ASK_EVERY_SECONDS,
    PATIENCE_SECONDS,
    TWO_CORE_MACHINE,
    KafkaPlant,
    becomes,
    kafka_plant,
    losses,
    take,
)
from tests.secured_kafka import PROCESSES, secured_settings

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as in test_mes_feed.py
_ROW = re.compile(r"^\| (relay|feed|worker|MES)[^|]*\|([^|]*)\|([^|]*)\|$", re.MULTILINE)
_NAME = re.compile(r"`assay\.([a-z.]+)`")
_OPERATIONS = {"create": ACLOperation.CREATE, "read": ACLOperation.READ, "write": ACLOperation.WRITE}


def documented(prefix: str) -> list[ACL]:
    """What the table of that document grants, to users of the processes' names and for topics with another prefix."""
    granted = []
    for process, topics, groups in _ROW.findall((CHECKOUT / "infra" / "KAFKA.md").read_text(encoding="utf-8")):
        for kind, cell in ((ResourceType.TOPIC, topics), (ResourceType.GROUP, groups)):
            for clause in cell.split(";"):
                names = [f"{prefix}.{name}" for name in _NAME.findall(clause)]
                if "one of their own" in clause:
                    names = ["mes"]
                pattern = ACLResourcePatternType.PREFIXED if "begins with" in clause else ACLResourcePatternType.LITERAL
                granted += [
                    ACL(
                        f"User:{process.lower()}",
                        "*",
                        operation,
                        ACLPermissionType.ALLOW,
                        ResourcePattern(kind, name, pattern),
                    )
                    for name in names
                    for word, operation in _OPERATIONS.items()
                    if word in clause.split("`")[0]
                ]
    return granted


@pytest.fixture
def granted(kafka: LocalBroker, topic_prefix: str) -> list[ACL]:
    """The broker grants what the document says."""
    lists = documented(topic_prefix)
    with KafkaAdminClient(bootstrap_servers=kafka.address) as admin:
        made = admin.create_acls(lists)
    assert not made["failed"]
    return lists


def client(kafka: LocalBroker, prefix: str, process: str) -> Kafka:
    """The clients of a process."""
    return Kafka(secured_settings(kafka, prefix, process))


@pytest.fixture
def line(kafka: LocalBroker, topic_prefix: str, granted: list[ACL], database: str) -> Iterator[KafkaPlant]:
    """Dispatcher, relay and feed; the relay makes its topics, and the feed its own."""
    with ExitStack() as stack:
        plant = stack.enter_context(kafka_plant(database, secured_settings(kafka, topic_prefix, "relay")))
        stack.enter_context(plant.dispatcher())
        stack.enter_context(plant.relay())
        stop = threading.Event()
        feed = MesFeed(client(kafka, topic_prefix, "feed"), plant.log, database)
        thread = threading.Thread(target=feed.run, args=(stop,), daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        yield plant


def test_the_readme_grants_every_process_something(topic_prefix: str) -> None:
    lists = documented(topic_prefix)
    assert {one.principal for one in lists} == {f"User:{process}" for process in PROCESSES}
    topics = {
        one.resource_pattern.resource_name for one in lists if one.resource_pattern.resource_type is ResourceType.TOPIC
    }
    assert topics == {f"{topic_prefix}.{topic.name}" for topic in (*TOPICS, EVENTS)}
    assert len(lists) == 18


def test_with_these_permissions_a_job_goes_to_a_worker_and_back_and_on_to_the_mes(
    line: KafkaPlant, kafka: LocalBroker, topic_prefix: str
) -> None:  # K-1, K-4
    with closing(
        KafkaMailbox(
            client(kafka, topic_prefix, "worker"),
            worker="line-1",
            kinds=frozenset(JobKind),
            ask_every_seconds=ASK_EVERY_SECONDS,
        )
    ) as worker:
        becomes(lambda: worker.take(TWO_CORE_MACHINE) or worker._hears_triggers)  # its group may hear of jobs
        line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
        assert take(worker).job_id == TRAINING_JOB_ID
        worker.report(losses(1))
        becomes(lambda: len(line.facts_of()) == 3)
    mes = client(kafka, topic_prefix, "mes")
    topic = mes.topic(EVENTS)
    with closing(mes.consumer(group_id="mes", auto_offset_reset="earliest")) as consumer:
        consumer.subscribe([topic])
        heard: list[Any] = []

        def has_heard_of_the_job() -> bool:
            heard.extend(record for records in consumer.poll(timeout_ms=500).values() for record in records)
            return any(record.key == str(TRAINING_JOB_ID).encode() for record in heard)

        becomes(has_heard_of_the_job)


def test_without_them_nobody_reads_writes_or_makes_anything(
    line: KafkaPlant, kafka: LocalBroker, topic_prefix: str
) -> None:
    assert line.kafka.make_topics()
    mes, worker = client(kafka, topic_prefix, "mes"), client(kafka, topic_prefix, "worker")
    for stranger, topic in ((mes, REPORTS), (worker, JOBS)):  # forged reports, forged triggers
        with stranger.producer() as producer, pytest.raises(KafkaError):
            producer.send(stranger.topic(topic), b"{}").get(timeout=PATIENCE_SECONDS)
    with closing(worker.consumer(group_id=worker.group("workers.spy"))) as spy:
        spy.subscribe([worker.topic(REPORTS)])
        with pytest.raises(TopicAuthorizationFailedError):
            spy.poll(timeout_ms=int(PATIENCE_SECONDS * 1000))
    with closing(worker.consumer(group_id=worker.group("relay"))) as spy:
        spy.subscribe([worker.topic(JOBS)])
        with pytest.raises(GroupAuthorizationFailedError):
            spy.poll(timeout_ms=int(PATIENCE_SECONDS * 1000))
    with pytest.raises(TopicAuthorizationFailedError):
        client(kafka, f"{topic_prefix}-other", "relay").make_topics()
