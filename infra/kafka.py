"""Kafka as Assay uses it: its topics, and clients that know who we are to the brokers.

Nothing of it knows the log or a database, because workers have neither.
"""

import zlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import TopicAlreadyExistsError

from infra.settings import KafkaSettings

HOUR_MS = 3_600_000
BOOTSTRAP_MS = 5_000
"""How long a client looks for a broker before whoever made it hears that there is none."""
BLOCK_MS = 5_000
"""How long sending may wait for a broker to say where a topic lies."""
RECONNECT_MS = 1_000
"""The longest pause between two tries to reach a broker: a broker that is back is used within a second."""
UNDELIVERED_MS = 24 * HOUR_MS
"""How long the producer itself goes on with a message; whoever waits for it decides when to give up."""


class Topic(msgspec.Struct, frozen=True):
    """A topic without the prefix of the installation. What it holds longer than `kept_hours` is lost; a message may have
    `most_bytes`, or as many as the cluster allows anyway.
    """

    name: str
    partitions: int
    kept_hours: int
    most_bytes: int | None = None


JOBS = Topic("jobs", partitions=8, kept_hours=24)
"""To workers: a job waits. Keyed by job. A wake-up, which may be lost: jobs that wait are told of again."""

REPORTS = Topic("reports", partitions=8, kept_hours=7 * 24)
"""From workers: claims and results, which the log takes once each. Keyed by job, so that those of a job stay in order."""

WORKERS = Topic("workers", partitions=8, kept_hours=1)
"""From workers: what they do at this moment, a beat of a job or the wish for one. Keyed by worker."""

ANSWERS = Topic("answers", partitions=8, kept_hours=1)
"""To workers: jobs on offer, decided claims, attempts that are over. A worker reads the partition of its name."""

TOPICS = (JOBS, REPORTS, WORKERS, ANSWERS)


class Kafka:
    """The cluster of the settings."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Nothing is asked of the cluster before a client is made."""
        self._settings = settings
        self._options = _options(settings)

    def topic(self, topic: Topic) -> str:
        """Its name on the cluster."""
        return f"{self._settings.topic_prefix}.{topic.name}"

    def group(self, name: str) -> str:
        """The name of a group of consumers on the cluster."""
        return f"{self._settings.topic_prefix}.{name}"

    def make_topics(self, topics: Sequence[Topic] = TOPICS) -> dict[Topic, UUID]:
        """Make the topics that are missing; returns the ids of all. One that was made by hand stays as it is.

        Raises:
            KafkaError: the brokers cannot be reached, or do not let us.
        """
        with KafkaAdminClient(**self._options) as admin:
            missing = [topic for topic in topics if self.topic(topic) not in set(admin.list_topics())]
            for topic in missing:
                wanted: dict[str, Any] = {
                    "num_partitions": topic.partitions,
                    "replication_factor": -1,  # the cluster's own default
                    "configs": {"retention.ms": str(topic.kept_hours * HOUR_MS)},
                }
                if topic.most_bytes is not None:
                    wanted["configs"]["max.message.bytes"] = str(topic.most_bytes)
                try:
                    admin.create_topics({self.topic(topic): wanted}, wait_for_metadata=True)
                except TopicAlreadyExistsError:
                    continue  # another process was faster
            described = {found["name"]: found for found in admin.describe_topics([self.topic(one) for one in topics])}
            return {topic: UUID(str(described[self.topic(topic)]["topic_id"])) for topic in topics}

    def producer(self, **options: Any) -> Any:
        """A producer whose messages arrive once and in order, whatever it has to send again.

        Raises:
            KafkaError: no broker can be reached.
        """
        return KafkaProducer(
            **self._options,
            acks="all",
            max_block_ms=BLOCK_MS,
            delivery_timeout_ms=UNDELIVERED_MS,
            linger_ms=0,
            **options,
        )

    def consumer(self, **options: Any) -> Any:
        """A consumer that knows the cluster.

        Raises:
            KafkaError: no broker can be reached.
        """
        return KafkaConsumer(
            **self._options,
            **{
                "session_timeout_ms": 10_000,
                "heartbeat_interval_ms": 1_000,
                "allow_auto_create_topics": False,
                **options,
            },
        )


def partition_of(name: str, partition_count: int) -> int:
    """Where messages to `name` are put."""
    return zlib.crc32(name.encode()) % partition_count


def _options(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.brokers),
        "client_id": "assay",
        "security_protocol": settings.security_protocol,
        "bootstrap_timeout_ms": BOOTSTRAP_MS,
        "reconnect_backoff_max_ms": RECONNECT_MS,
    }
    if settings.security_protocol.startswith("SASL_"):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.username,
            "sasl_plain_password": settings.password,
        }
    if settings.security_protocol.endswith("SSL"):
        files = {
            "ssl_cafile": settings.authority_file,
            "ssl_certfile": settings.certificate_file,
            "ssl_keyfile": settings.key_file,
        }
        options |= {name: str(file) for name, file in files.items() if file is not None}
    return options
