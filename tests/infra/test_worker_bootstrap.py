"""A machine with nothing but the `worker` extra: its worker starts where no library of the server can be imported."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from infra.embedded_postgres import stop_postgres
from infra.settings import read_settings
from tests.conftest import CHECKOUT, free_ports

SERVER_ONLY = (
    "argon2",
    "babel",
    "cryptography",
    "eventsourcing",
    "jinja2",
    "litestar",
    "psycopg",
    "psycopg_pool",
    "uvicorn",
)
START = f"""
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {SERVER_ONLY!r}:
            raise ModuleNotFoundError(f"{{name}} is not in the worker extra")
sys.meta_path.insert(0, NotInstalled())
from infra.cli import main
sys.exit(main([sys.argv[1], "--ready-fd", sys.argv[2]]))
"""


def started(verb: str, state: Path, brokers: str) -> tuple[bytes, str]:
    """What the process told the supervisor, and what it logged until it was stopped."""
    told, says = os.pipe()
    environment = {**os.environ, "ASSAY_STATE": str(state), "ASSAY_KAFKA_BROKERS": brokers}
    with subprocess.Popen(
        [sys.executable, "-c", START, verb, str(says)],
        cwd=CHECKOUT,
        env=environment,
        pass_fds=[says],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(says)
        with os.fdopen(told, "rb") as pipe:
            said = pipe.read()
        process.send_signal(signal.SIGTERM)
        return said, process.communicate(timeout=60)[1]


def test_a_worker_on_kafka_needs_neither_database_nor_server(tmp_path: Path) -> None:  # K-4
    said, logged = started("worker", tmp_path, f"127.0.0.1:{free_ports(1)[0]}")
    assert said == b"ready\n", logged
    assert not (tmp_path / "postgres").exists()


def test_the_same_process_without_kafka_would_need_them(tmp_path: Path) -> None:  # K-2
    try:
        said, logged = started("worker", tmp_path, "")
    finally:
        stop_postgres(read_settings({"ASSAY_STATE": str(tmp_path)}))  # it came as far as starting one
    assert said == b""
    assert "is not in the worker extra" in logged
    assert not (tmp_path / "postgres").exists(), "a server that nobody here can use or stop would stay for ever"
