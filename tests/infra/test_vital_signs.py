"""How a process tells how it fares, asked as `assay health` and Prometheus ask."""

import http.client
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from infra.processes import Pulse
from infra.readiness import Readiness
from infra.vital_signs import STUCK_SECONDS, Told, VitalSigns, ask, processes_in, told
from tests.conftest import free_ports
from tests.eventually import eventually


class Parts:
    """What a process stands on."""

    def __init__(self) -> None:
        self.database = "ready"

    @property
    def readiness(self) -> Readiness:
        return Readiness({"database": lambda: self.database}, clock=iter(range(10_000)).__next__)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def telling(process: str, folder: Path, parts: Parts | None = None, port: int | None = None) -> Iterator[VitalSigns]:
    signs = VitalSigns(process, (parts or Parts()).readiness, Pulse(Clock()))
    with told(signs, folder, host="127.0.0.1", port=port):
        yield signs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Deeper than the path of a socket may be long."""
    return tmp_path / ("deep" * 20) / ("er" * 40) / "run"


def test_a_process_is_alive_at_once_and_ready_once_it_works(folder: Path) -> None:  # S-3
    with telling("notary", folder) as signs:
        assert ask(folder, "notary", "health") == Told("notary", "alive")
        assert ask(folder, "notary", "ready") == Told("notary", "starting", {"database": "ready"})
        signs.started()
        assert ask(folder, "notary", "ready") == Told("notary", "ready", {"database": "ready"})


def test_a_process_without_its_database_lives_and_is_not_ready(folder: Path) -> None:  # S-3
    parts = Parts()
    with telling("notary", folder, parts) as signs:
        signs.started()
        parts.database = "away"
        said = ask(folder, "notary", "ready")
        assert said == Told("notary", "not_ready", {"database": "away"})
        assert not said.is_well
        health = ask(folder, "notary", "health")
        assert health is not None
        assert health.is_well


def test_a_loop_that_goes_round_no_more_is_noticed(folder: Path) -> None:  # S-3
    clock = Clock()
    signs = VitalSigns("scanner", Parts().readiness, Pulse(clock))
    with told(signs, folder, host="127.0.0.1", port=None):
        signs.started()
        clock.now = STUCK_SECONDS + 1
        assert ask(folder, "scanner", "health") == Told("scanner", "stuck")
        assert ask(folder, "scanner", "ready") == Told("scanner", "stuck")


def test_who_does_not_run_does_not_answer(folder: Path) -> None:  # S-3
    with telling("notary", folder):
        assert ask(folder, "scanner", "health") is None
    assert ask(folder, "notary", "health") is None
    assert processes_in(folder) == [], "who stopped in order left nothing"


def test_the_socket_is_for_its_user_only(folder: Path) -> None:  # S-3
    with telling("web", folder):
        assert stat.S_IMODE((folder / "web.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_second_process_of_a_kind_has_a_name_of_its_own(folder: Path) -> None:  # S-2 S-3
    with telling("worker", folder), telling("worker", folder) as second:
        assert second.process == "worker-2"
        assert processes_in(folder) == ["worker", "worker-2"]
        assert ask(folder, "worker-2", "health") == Told("worker-2", "alive")


def test_a_killed_process_is_seen_and_its_successor_takes_its_name(folder: Path) -> None:  # S-3
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left:
        descriptor = os.open(folder, os.O_PATH)
        left.bind(f"/proc/self/fd/{descriptor}/worker.sock")
        os.close(descriptor)
    assert processes_in(folder) == ["worker"]
    assert ask(folder, "worker", "health") is None
    with telling("worker", folder) as successor:
        assert successor.process == "worker"
        assert ask(folder, "worker", "health") == Told("worker", "alive")


def test_one_port_answers_for_every_process_of_the_machine_and_another_takes_it_over(folder: Path) -> None:  # S-3
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"

    def processes() -> list[str]:
        try:
            return sorted(said["process"] for said in httpx.get(f"{address}/health").json())
        except httpx.HTTPError:
            return []

    with telling("web", folder, port=port), ExitStack() as first:
        eventually(lambda: processes() == ["web"])
        first.enter_context(telling("notary", folder, port=port))
        eventually(lambda: processes() == ["notary", "web"])
    with telling("web", folder, port=port):
        eventually(lambda: processes() == ["web"])


def test_the_port_says_503_where_one_process_is_not_ready(folder: Path) -> None:  # S-3
    (port,) = free_ports(1)
    address, parts = f"http://127.0.0.1:{port}", Parts()
    with telling("web", folder, port=port) as web, telling("notary", folder, parts, port=port) as notary:
        eventually(lambda: answers(port))
        web.started()
        notary.started()
        assert httpx.get(f"{address}/ready").status_code == 200
        parts.database = "away"
        assert httpx.get(f"{address}/ready").status_code == 503
        assert httpx.get(f"{address}/health").status_code == 200


def test_the_metrics_of_all_processes_stand_together_and_tell_them_apart(folder: Path) -> None:  # S-3
    (port,) = free_ports(1)
    with telling("web", folder, port=port), telling("notary", folder, port=port):
        eventually(lambda: answers(port))
        (folder / "scanner.sock").touch()  # as a killed one leaves it
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert [line for line in lines if line.startswith("assay_process_up")] == [
        'assay_process_up{process="notary"} 1.0',
        'assay_process_up{process="scanner"} 0.0',
        'assay_process_up{process="web"} 1.0',
    ]
    assert lines.count("# TYPE process_resident_memory_bytes gauge") == 1, "a family stands in one place"
    assert {line.partition("}")[0] for line in lines if line.startswith("process_resident_memory_bytes")} == {
        'process_resident_memory_bytes{process="notary"',
        'process_resident_memory_bytes{process="web"',
    }


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/metrics/../ready/x", 404), ("POST", "/health", 501)]
)
def test_nothing_else_is_answered_on_the_port(folder: Path, method: str, path: str, status: int) -> None:  # S-3
    (port,) = free_ports(1)
    with telling("web", folder, port=port):
        eventually(lambda: answers(port))
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(method, path)
        answer = connection.getresponse()
        assert answer.status == status
        assert answer.headers["Server"] == "assay"
        connection.close()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").is_success
    except httpx.HTTPError:
        return False
