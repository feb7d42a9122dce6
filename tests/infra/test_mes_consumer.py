"""The sample consumer against a real broker and the real service. Source: REQUIREMENTS, K-3, K-5."""

import contextlib
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from msgspec.structs import replace

from domain.api_tokens import TokenScope
from domain.exports import ExportBuilt, ExportStarted, export_id
from infra.kafka import Kafka
from infra.local_kafka import LocalBroker
from infra.mes_feed import EVENTS, MesFeed
from infra.settings import KafkaSettings
from tests.conftest import CHECKOUT, free_ports
from tests.eventually import eventually
from tests.examples import MODEL_ID, TRAINER_LI_ID, TRAINER_WANG_ID, VERSION_PUBLISHED, example_id, plant
from tests.web.machines import machine_of
from tests.web.real_site import RealSite, open_real_site

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as in test_mes_feed.py
PATIENCE_SECONDS = 120.0
CONTENT = b"the package of panel-a" * 100_000
OTHERS_MODEL_ID = example_id("a model of trainer_li")


@contextmanager
def served(site: RealSite) -> Iterator[str]:
    """The pages and the HTTP API on a port of this machine."""
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(site.client.app, port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


class Line:
    """Everything that the consumer needs around it."""

    def __init__(self, site: RealSite, address: str, broker: str, topic: str, folder: Path) -> None:
        self.site, self.target = site, folder / "packages"
        self.token = folder / "token"
        self.use(TokenScope.MES)
        self.command = [
            *(sys.executable, str(CHECKOUT / "infra" / "examples" / "mes_consumer.py"), "--brokers", broker),
            *("--topic", topic, "--group", f"{topic}.mes", "--assay", address, "--token-file", str(self.token)),
            *("--target", str(self.target), "--stop-after", "1"),
        ]

    def use(self, scope: TokenScope) -> None:
        """The consumer's token from now on; its user owns nothing."""
        user_id = TRAINER_WANG_ID if scope is TokenScope.ACT else TRAINER_LI_ID
        self.token.write_text(machine_of(self.site, user_id, scope).secret + "\n")

    def publish(self, model_id: Any, owner: Any, name: str, version: str = "v1.01") -> None:
        fact = replace(VERSION_PUBLISHED, owner=owner, model_name=name, version=version)
        self.site.happened_to(model_id, fact, actor=owner)

    def build(self, version: str, content: bytes, told: bytes | None = None) -> None:
        """What the packager does once the consumer has asked for it; `told` is what the checksum is of."""
        at = export_id(MODEL_ID, version)
        eventually(lambda: self.site.log.history(at), within_seconds=PATIENCE_SECONDS)
        file = self.target.parent / "built.zip"
        file.write_bytes(told or content)
        package = self.site.services.artifacts.keep(file)
        if told is not None:
            place = self.site.services.artifacts.path(package)
            place.chmod(0o600)
            place.write_bytes(content)
        self.site.happened_to(at, ExportStarted(worker="line-1"), ExportBuilt(package=package))


@pytest.fixture
def line(kafka: LocalBroker, topic_prefix: str, database: str, tmp_path: Path) -> Iterator[Line]:
    client = Kafka(KafkaSettings(brokers=(kafka.address,), topic_prefix=topic_prefix))
    with ExitStack() as stack:
        site = stack.enter_context(open_real_site(database, tmp_path))
        site.happened(plant())
        address = stack.enter_context(served(site))
        stop = threading.Event()
        thread = threading.Thread(target=MesFeed(client, site.log, database).run, args=(stop,), daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        yield Line(site, address, kafka.address, client.topic(EVENTS), tmp_path)


def test_a_published_version_arrives_verified_and_what_is_not_ours_is_passed_over(line: Line) -> None:
    line.use(TokenScope.ACT)
    line.publish(OTHERS_MODEL_ID, TRAINER_LI_ID, "panel-of-li")
    line.publish(MODEL_ID, TRAINER_WANG_ID, "panel-a")
    with subprocess.Popen(line.command, stdout=subprocess.PIPE, text=True) as consumer:
        line.build("v1.01", CONTENT)
        said, _ = consumer.communicate(timeout=PATIENCE_SECONDS)
    package = line.target / f"{MODEL_ID}-v1.01.zip"
    assert consumer.returncode == 0
    assert hashlib.sha256(package.read_bytes()).hexdigest() == hashlib.sha256(CONTENT).hexdigest()
    assert said.splitlines()[-1] == f"panel-a v1.01: {package}"
    with contextlib.suppress(IndexError):  # keyed by model: the other one may lie in a partition that comes later
        assert said.splitlines()[-2] == "panel-of-li v1.01: not ours, passed over"


def test_a_consumer_that_was_killed_goes_on_and_keeps_what_it_has(line: Line) -> None:
    line.publish(MODEL_ID, TRAINER_WANG_ID, "panel-a")
    with subprocess.Popen(line.command, stdout=subprocess.DEVNULL) as consumer:
        eventually(lambda: line.site.log.history(export_id(MODEL_ID, "v1.01")), within_seconds=PATIENCE_SECONDS)
        consumer.kill()
    assert not list(line.target.glob("*.zip"))
    line.build("v1.01", CONTENT)
    subprocess.run(line.command, check=True, timeout=PATIENCE_SECONDS, stdout=subprocess.DEVNULL)
    assert (line.target / f"{MODEL_ID}-v1.01.zip").read_bytes() == CONTENT


def test_a_package_that_was_changed_on_its_way_is_not_kept(line: Line) -> None:
    line.publish(MODEL_ID, TRAINER_WANG_ID, "panel-a")
    with subprocess.Popen(line.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as consumer:
        line.build("v1.01", b"x" * len(CONTENT), told=CONTENT)
        _, complaint = consumer.communicate(timeout=PATIENCE_SECONDS)
    assert consumer.returncode != 0
    assert "arrived with another checksum" in complaint
    assert not list(line.target.glob("*.zip"))
