"""Assay as a whole, as `assay up --background` starts it, in a folder of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from infra.embedded_postgres import ensure_postgres
from infra.processes import read_status
from infra.settings import Settings, read_settings
from tests.conftest import CHECKOUT, free_ports

PASSWORD = "Panel2026"


class Installation:
    """Its command line, its settings and its processes."""

    def __init__(self, state: Path, **settings: str) -> None:
        self.environment = {
            **os.environ,
            "ASSAY_STATE": str(state),
            "ASSAY_PORT": str(free_ports(1)[0]),
            "ASSAY_ADMINISTRATOR_PASSWORD": PASSWORD,
            "ASSAY_WORKER_THREADS": "1",
            **settings,
        }

    @property
    def settings(self) -> Settings:
        """As its processes read them."""
        settings = read_settings(self.environment)
        return msgspec.structs.replace(settings, database_url=ensure_postgres(settings))

    def assay(self, *verb: str) -> str:
        """Run a verb of the command line; returns what it printed."""
        done = self._run(*verb)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, *verb: str) -> str:
        """Run a verb that must not succeed; returns what it said about that."""
        done = self._run(*verb)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    def _run(self, *verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.cli", *verb],
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def pid_of(self, name: str) -> int | None:
        """The process of that name; None while it is to be started again."""
        status = read_status(read_settings(self.environment).state / "run")
        return next((one.pid for one in status.processes if one.name == name), None) if status else None


@contextmanager
def running_installation(prefix: str, **settings: str) -> Iterator[Installation]:
    """Start it, and leave nothing of it behind."""
    state = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    state.chmod(0o711)
    made = Installation(state, **settings)
    try:
        made.assay("up", "--background")
        yield made
    finally:
        made.assay("down")
        shutil.rmtree(state, ignore_errors=True)
