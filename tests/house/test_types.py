"""The types of everything, tests included; mypy keeps its cache in the checkout, so only the first run is slow."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_mypy_strict_passes() -> None:
    types = subprocess.run([sys.executable, "-m", "mypy"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert types.returncode == 0, types.stdout + types.stderr
