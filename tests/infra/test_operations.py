"""Every real process of an installation: how each fares, what all tell together, and how each ends."""

import json
import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from infra.processes import last_lines
from infra.programs import programs_of
from infra.settings import read_settings
from tests.conftest import free_ports
from tests.eventually import eventually
from tests.infra.test_metrics import documented
from tests.installation import Installation, running_installation

ELSEWHERE = {"assay_relay_reports_total", "assay_relay_lag_reports", "assay_unusable_reports"}
"""What only a relay tells, which runs with Kafka only."""


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with running_installation("assay-ops-", ASSAY_METRICS_PORT=str(free_ports(1)[0])) as installation:
        yield installation


def processes(installation: Installation) -> list[str]:
    return programs_of(read_settings(installation.environment))


def test_every_process_is_ready_and_says_so(installation: Installation) -> None:  # S-3
    told = [line.split()[:2] for line in installation.assay("health").splitlines()]
    assert told == [[name, "ready"] for name in sorted(processes(installation))]
    alive = installation.assay("health", "--alive", "notary", "web").splitlines()
    assert [line.split() for line in alive] == [["notary", "alive"], ["web", "alive"]]


def test_one_port_tells_all_that_is_documented(installation: Installation) -> None:  # S-3
    port = installation.environment["ASSAY_METRICS_PORT"]
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text.splitlines()
    named = {line.split()[2] for line in lines if line.startswith("# TYPE assay_")}
    assert named == set(documented()) - ELSEWHERE
    ready = sorted(line for line in lines if line.startswith("assay_process_ready{"))
    assert ready == [f'assay_process_ready{{process="{name}"}} 1.0' for name in sorted(processes(installation))]


def test_every_process_ends_in_order_when_it_is_told_to(installation: Installation) -> None:  # S-2 S-3
    before = {name: installation.pid_of(name) for name in processes(installation)}
    for pid in before.values():
        assert pid is not None
        os.kill(pid, signal.SIGTERM)

    def is_another(name: str) -> bool:
        return installation.pid_of(name) not in (None, before[name])

    eventually(lambda: all(is_another(name) for name in before), within_seconds=120)
    logs = read_settings(installation.environment).logs
    lines = [json.loads(line) for line in (logs / "supervisor.log").read_text().splitlines()]
    died = [(line["name_of_process"], line["exit_status"]) for line in lines if line["event"] == "process_died"]
    assert sorted(died) == sorted((name, 0) for name in before), [
        last_lines(logs / f"{name}.log", 5) for name, exit_status in died if exit_status
    ]
