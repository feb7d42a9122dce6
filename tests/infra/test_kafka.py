"""The clients of the settings: a secured cluster, topics as they are documented, names that tell installations apart."""

import msgspec
import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from infra.kafka import HOUR_MS, TOPICS, Kafka, partition_of
from infra.local_kafka import LocalBroker
from infra.settings import KafkaSettings
from tests.secured_kafka import secured_settings


@pytest.fixture
def secured(kafka: LocalBroker, topic_prefix: str) -> KafkaSettings:
    """The door of the broker that asks who comes."""
    return secured_settings(kafka, topic_prefix)


def test_topics_are_made_once_with_their_partitions_and_how_long_they_are_kept(
    kafka: LocalBroker, topic_prefix: str
) -> None:  # K-1
    cluster = Kafka(KafkaSettings(brokers=(kafka.address,), topic_prefix=topic_prefix))
    ids = cluster.make_topics()
    assert cluster.make_topics() == ids
    with KafkaAdminClient(bootstrap_servers=kafka.address) as admin:
        found = {one["name"]: len(one["partitions"]) for one in admin.describe_topics(list(map(cluster.topic, TOPICS)))}
        configs = admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, cluster.topic(topic)) for topic in TOPICS]
        )
    assert found == {f"{topic_prefix}.{topic.name}": topic.partitions for topic in TOPICS}
    kept = {name: int(config["retention.ms"]["value"]) for name, config in configs["topic"].items()}
    assert kept == {f"{topic_prefix}.{topic.name}": topic.kept_hours * HOUR_MS for topic in TOPICS}


def test_a_cluster_that_encrypts_and_asks_for_a_password_is_used(secured: KafkaSettings) -> None:  # K-1
    cluster = Kafka(secured)
    cluster.make_topics()
    with cluster.producer() as producer:
        producer.send(cluster.topic(TOPICS[0]), b"panel-a").get(timeout=20)


def test_a_wrong_password_is_told(secured: KafkaSettings) -> None:  # K-1
    with pytest.raises(KafkaError):
        Kafka(msgspec.structs.replace(secured, password="Panel2025")).make_topics()


def test_a_broker_that_nobody_vouches_for_is_not_believed(secured: KafkaSettings) -> None:  # K-1
    with pytest.raises(KafkaError):
        Kafka(msgspec.structs.replace(secured, authority_file=None)).make_topics()


def test_answers_to_a_worker_lie_in_one_partition() -> None:
    assert {partition_of("line-1", 8) for _ in range(3)} == {partition_of("line-1", 8)}
    assert len({partition_of(f"line-{number}", 8) for number in range(50)}) == 8
