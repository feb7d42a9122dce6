"""A real Apache Kafka on this machine, for trying Assay, for development and for tests: one broker in KRaft mode.

Maven fetches its jars once, as `kafka_broker/pom.xml` pins them; it needs a JDK of version 17 or newer and nothing else. A factory
runs Kafka of its own, on several machines.
"""

import base64
import contextlib
import ctypes
import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from infra.processes import DoesNotStart, last_lines, until_told_to_stop
from infra.settings import Settings

DESCRIPTION = Path(__file__).parent / "kafka_broker"
_KEPT = DESCRIPTION / "build"
"""What was fetched is written down here, for every state folder; the jars themselves stay where Maven keeps them."""
_COPY_CLASSPATH = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"
_LEAST_JAVA = 17
START_SECONDS = 300.0
"""It takes seconds on a quiet machine, minutes where everything else computes."""
STOP_SECONDS = 20.0
_PAUSE_SECONDS = 0.05
_LOOK_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1
_JAVA_OPTIONS = (
    "-Xms96m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # starts in half the time; a broker for one machine never needs the rest
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile=file:{DESCRIPTION / 'log4j2.properties'}",
)
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": "4194304",  # by default a quarter of the memory it is given
    "num.network.threads": "1",
    "num.io.threads": "2",
    "background.threads": "2",
}


class BrokerFailed(DoesNotStart):
    """The local broker cannot run here; the sentence says why and what to do."""


class Programs(msgspec.Struct, frozen=True):
    """A Java program and the jars of the broker, as a class path."""

    java: str
    classpath: str


def fetch_broker() -> Programs:
    """Everything that the broker needs, fetched by Maven at the first call.

    Raises:
        BrokerFailed: there is no JDK of version 17, no Maven, or Maven cannot fetch the jars.
    """
    java = _find_java()
    pom = DESCRIPTION / "pom.xml"
    known = _KEPT / f"classpath-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if known.exists() and all(Path(jar).exists() for jar in known.read_text().split(":")):
        return Programs(java, known.read_text())
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerFailed(
            "Maven is missing: install it (Debian: maven), or name a running broker in ASSAY_KAFKA_BROKERS."
        )
    _KEPT.mkdir(parents=True, exist_ok=True)
    fresh = known.with_name(f"{known.name}.{os.getpid()}")
    fetched = subprocess.run(
        [
            *(maven, "--batch-mode", "--quiet", "--no-transfer-progress", "--strict-checksums", "--file", str(pom)),
            *(_COPY_CLASSPATH, "-DincludeScope=runtime", f"-Dmdep.outputFile={fresh}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode:
        said = next(iter((fetched.stdout + fetched.stderr).splitlines()), "")
        raise BrokerFailed(f"Maven cannot fetch Apache Kafka: {said} Check the network and Maven's settings.")
    fresh.rename(known)
    return Programs(java, known.read_text())


class LocalBroker:
    """A broker in a folder, which keeps its data. It ends with the process that started it, however that ends."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        controller_port: int,
        listeners: Mapping[str, int] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """`listeners` are further ones by protocol, on their ports; `properties` are added to those of the broker."""
        self.folder, self._controller_port = folder, controller_port
        self.ports = {"PLAINTEXT": port, **(listeners or {})}
        self._more = dict(properties or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.ports['PLAINTEXT']}"

    @property
    def is_running(self) -> bool:
        """Whether its process lives; `wait_until_ready` tells whether it answers."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers. Only the main thread may: the broker ends with the thread that started it.

        Raises:
            BrokerFailed: it cannot be fetched, or does not start.
        """
        programs = fetch_broker()
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self._write_properties()
        java = [programs.java, *_JAVA_OPTIONS, "-cp", programs.classpath]
        with (self.folder / "broker.log").open("ab") as output:
            if not (self.folder / "data" / "meta.properties").exists():
                cluster = (
                    base64.urlsafe_b64encode(b"assay" + secrets.token_bytes(11)).decode().rstrip("=")
                )  # never with "-" first
                form = [*("format", "-t", cluster, "-c", str(properties)), "--ignore-formatted"]
                subprocess.run([*java, "kafka.tools.StorageTool", *form], stdout=output, stderr=output, check=False)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra.local_kafka", str(os.getpid()), *java, "kafka.Kafka", str(properties)],
                cwd=DESCRIPTION.parents[1],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # a Ctrl-C in the terminal is for who started it
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Let it finish what it writes."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self._end(signal.SIGKILL)

    def _end(self, manner: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(manner)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if not self.is_running or time.monotonic() > until:
                self.kill()
                said = last_lines(self.folder / "broker.log", count=5)
                raise BrokerFailed(f"Apache Kafka does not start. The end of {self.folder / 'broker.log'}:\n{said}")
            time.sleep(_PAUSE_SECONDS)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports["PLAINTEXT"]), timeout=1):
            return broker_answers((self.address,))
        return False

    def _write_properties(self) -> Path:
        protocols = {"CONTROLLER": "PLAINTEXT", **{name: name for name in self.ports}}
        addresses = [f"{name}://127.0.0.1:{port}" for name, port in self.ports.items()]
        lines = {
            **_PROPERTIES,
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": ",".join([*addresses, f"CONTROLLER://127.0.0.1:{self._controller_port}"]),
            "advertised.listeners": ",".join(addresses),
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "log.dirs": str((self.folder / "data").resolve()),
            **self._more,
        }
        written = self.folder / "server.properties"
        written.touch(mode=0o600)  # what is added may hold passwords
        written.write_text("".join(f"{name}={_escaped(text)}\n" for name, text in lines.items()))
        return written


def run_broker(settings: Settings, ready: Callable[[], None]) -> None:
    """Be the local broker until SIGTERM.

    Raises:
        BrokerFailed: it does not start, or has ended by itself.
    """
    assert settings.kafka is not None
    port = int(settings.kafka.brokers[0].rpartition(":")[2])
    broker = LocalBroker(settings.state / "kafka", port=port, controller_port=port + 1)
    with until_told_to_stop() as stop:
        broker.start()
        ready()
        try:
            while not stop.wait(_LOOK_SECONDS):
                if not broker.is_running:
                    raise BrokerFailed("Apache Kafka has ended.")
        finally:
            broker.stop()


def broker_answers(brokers: tuple[str, ...]) -> bool:
    """Whether an unsecured cluster answers, and not only its port."""
    try:
        with KafkaAdminClient(bootstrap_servers=list(brokers), bootstrap_timeout_ms=2000) as admin:
            return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False


def _find_java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if java is None:
        raise BrokerFailed(
            f"Java is missing: install a JDK {_LEAST_JAVA} (Debian: openjdk-17-jdk-headless), or name a running broker"
            " in ASSAY_KAFKA_BROKERS."
        )
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < _LEAST_JAVA:
        first = next(iter(said.splitlines()), "nothing")
        raise BrokerFailed(f"Apache Kafka needs Java {_LEAST_JAVA} or newer; {java} says {first}. Set JAVA_HOME.")
    return java


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _become(parent: int, program: list[str]) -> None:
    """Turn this process into `program`, which the kernel kills as soon as `parent` has ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        os.execv(program[0], program)  # noqa: S606 - as everywhere, an argument list and no shell


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
