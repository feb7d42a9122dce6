"""One process of Assay alone, started by its verb as the supervisor starts it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conftest import CHECKOUT


class Process:
    """Runs from here on; it has said that it works."""

    def __init__(
        self, verb: str, environment: dict[str, str], log_file: Path, *, python_options: Sequence[str] = ()
    ) -> None:
        told, says = os.pipe()
        self.log_file = log_file
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *python_options, "-m", "infra.cli", verb, "--ready-fd", str(says)],
                cwd=CHECKOUT,
                env={**os.environ, **environment},
                pass_fds=[says],
                stderr=log,
            )
        os.close(says)
        with os.fdopen(told, "rb") as pipe:
            assert pipe.read() == b"ready\n", log_file.read_text()

    def stop(self) -> int:
        """Its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    @property
    def logged(self) -> str:
        return self.log_file.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.logged.splitlines()) if line["event"] == event]
