"""What a start must not load: every process is started anew after each crash and each reboot, several beside each other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.connections import connect
from infra.first_start import prepare
from infra.programs import PROGRAMS
from infra.settings import read_settings
from tests.conftest import CHECKOUT, free_ports
from tests.infra.one_process import Process

THE_WEB = {"litestar", "uvicorn", "jinja2", "babel", "yaml", "click"}
PIXELS = {"numpy", "PIL", "torch"}
WITHOUT_DATABASE = {"psycopg", "eventsourcing", "prometheus_client", "psutil"}
WITH_KAFKA = {"broker", "relay", "feed"}
NOT_LOADED = {name: {*PIXELS, *THE_WEB, "kafka"} for name in PROGRAMS if name not in WITH_KAFKA} | {
    "web": {"torch", "kafka"}
}
"""By process: packages that take tenths of a second, or with torch seconds, and that it can do without until somebody asks.

What a job computes with is loaded by the process of the job, which is a child of the worker.
"""


def loaded_in(report: str) -> set[str]:
    """The packages in what `python -X importtime` says."""
    return {name.partition(".")[0] for name in re.findall(r"^import time:[^|]*\|[^|]*\|\s*(\S+)", report, re.MULTILINE)}


@pytest.mark.parametrize("verb", NOT_LOADED)
def test_a_process_loads_what_it_is_and_nothing_else(verb: str, database: str, tmp_path: Path) -> None:  # S-1
    environment = {
        "ASSAY_STATE": str(tmp_path / "state"),
        "ASSAY_DATABASE_URL": database,
        "ASSAY_PORT": str(free_ports(1)[0]),
    }
    prepare(read_settings(environment))
    process = Process(verb, environment, tmp_path / "log", python_options=["-X", "importtime"])
    try:
        loaded = loaded_in(process.logged)
        assert "psycopg" in loaded, "the report was not understood"
        assert not loaded & NOT_LOADED[verb]
    finally:
        process.stop()


@pytest.mark.parametrize("verb", ["status", "down"])
def test_who_only_asks_after_the_processes_loads_nothing_of_them(verb: str, tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "infra.cli", verb],
        cwd=CHECKOUT,
        env={"ASSAY_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = loaded_in(asked.stderr)
    assert "msgspec" in loaded, asked.stderr
    assert not loaded & {*PIXELS, *THE_WEB, *WITHOUT_DATABASE, "kafka"}


def test_no_page_is_served_over_the_log_of_a_newer_release(database: str, tmp_path: Path) -> None:  # S-2
    """Under systemd nothing but the process itself can refuse: the others are started however `prepare` ends."""
    environment = {
        "ASSAY_STATE": str(tmp_path / "state"),
        "ASSAY_DATABASE_URL": database,
        "ASSAY_PORT": str(free_ports(1)[0]),
    }
    prepare(read_settings(environment))
    with connect(database) as connection:
        connection.execute(
            "INSERT INTO assay_events (originator_id, originator_version, topic, state)"
            " VALUES (gen_random_uuid(), 1, 'of.tomorrow', '[]')"
        )
    refused = subprocess.run(
        [sys.executable, "-m", "infra.cli", "web"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "does not know of.tomorrow: a newer one wrote" in refused.stderr
