"""How the code is written, as far as ruff can tell."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_ruff_finds_nothing_to_complain_about() -> None:
    lint = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--quiet", "--output-format=concise", "."],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
