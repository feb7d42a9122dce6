"""The broker of a single machine: it comes up, keeps what it took through a kill, and says what it lacks."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from infra.local_kafka import BrokerFailed, LocalBroker, broker_answers, fetch_broker
from tests.conftest import CHECKOUT, free_ports
from tests.eventually import eventually


def test_what_was_taken_is_there_after_a_kill(kafka: LocalBroker, topic_prefix: str) -> None:  # K-1
    with KafkaAdminClient(bootstrap_servers=kafka.address) as admin:
        admin.create_topics({topic_prefix: {"num_partitions": 1, "replication_factor": -1}}, wait_for_metadata=True)
    with KafkaProducer(bootstrap_servers=kafka.address) as producer:
        producer.send(topic_prefix, b"panel-a").get(timeout=20)
    kafka.kill()
    assert not kafka.is_running
    kafka.start()
    with KafkaConsumer(bootstrap_servers=kafka.address) as consumer:
        consumer.assign([TopicPartition(topic_prefix, 0)])
        consumer.seek_to_beginning()
        assert next(consumer).value == b"panel-a"


def test_the_broker_ends_with_the_process_that_runs_it(kafka: LocalBroker, tmp_path: Path) -> None:  # S-1
    port, _ = sorted(free_ports(2))
    environment = {
        **os.environ,
        "ASSAY_STATE": str(tmp_path),
        "ASSAY_KAFKA_BROKERS": "local",
        "ASSAY_KAFKA_PORT": str(port),
    }
    told, says = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "infra.cli", "broker", "--ready-fd", str(says)],
        cwd=CHECKOUT,
        env=environment,
        pass_fds=[says],
    ) as process:
        os.close(says)
        with os.fdopen(told, "rb") as pipe:
            assert pipe.read() == b"ready\n"
        assert broker_answers((f"127.0.0.1:{port}",))
        process.kill()  # it can stop nobody any more
    eventually(lambda: not is_listening(port), within_seconds=60)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_machine_without_java_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BrokerFailed, match="Java is missing: install a JDK 17"):
        fetch_broker()


def test_an_old_java_is_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BrokerFailed, match="needs Java 17 or newer"):
        fetch_broker()
