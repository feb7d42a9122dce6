"""How Assay comes onto a machine: what `make install` and the images of containers install, and from where."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

MIRROR = """\
[global]
index-url = https://mirror.fab.example/simple
extra-index-url = https://one.fab.example/simple
    https://two.fab.example/simple
trusted-host = mirror.fab.example
"""


def steps_of(installing: str) -> str:
    """What a Makefile or a Dockerfile does, a step a line."""
    return (CHECKOUT / installing).read_text(encoding="utf-8").replace("\\\n", " ")


@pytest.mark.parametrize("installing", ["Makefile", "infra/compose/Dockerfile"])
def test_bytecode_is_made_where_assay_is_installed(installing: str) -> None:  # S-1
    """Where it runs it may not be written, and each start would compile everything anew."""
    ours = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    compiled = re.search(r"compileall -q ([\w ]+)$", steps_of(installing), re.MULTILINE)
    assert compiled is not None
    assert set(compiled[1].split()) == set(ours)
    installs = re.compile(r"UV_PIP\) sync|call INSTALL,all|uv pip install .*--requirement")
    installed = [step for step in steps_of(installing).splitlines() if installs.search(step)]
    assert len(installed) == 2
    assert all("--compile-bytecode" in step for step in installed)


def test_an_installation_holds_nothing_that_only_tests_need() -> None:  # S-1
    runs_on = re.search(r"^RUNS_ON := (.+)$", steps_of("Makefile"), re.MULTILINE)
    assert runs_on is not None
    pinned = "\n".join((CHECKOUT / file).read_text(encoding="utf-8") for file in runs_on[1].split())
    packages = set(re.findall(r"^([a-z0-9-]+)==", pinned, re.MULTILINE))
    assert {"eventsourcing", "litestar", "torch"} <= packages
    assert not packages & {"pytest", "mypy", "playwright", "scikit-learn"}


def test_a_mirror_that_is_set_up_for_pip_serves_uv(tmp_path: Path) -> None:  # S-1
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "pip.conf").write_text(MIRROR)
    shown = subprocess.run(
        ["make", "--silent", f"--file={CHECKOUT / 'Makefile'}", "--eval=shown: ; @$(PIP_SETTINGS_FOR_UV) env", "shown"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_CERT": "/etc/ssl/fab.pem"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert {
        "UV_DEFAULT_INDEX=https://mirror.fab.example/simple",
        "UV_INDEX=https://one.fab.example/simple https://two.fab.example/simple",
        "UV_INSECURE_HOST=mirror.fab.example",
        "SSL_CERT_FILE=/etc/ssl/fab.pem",
    } <= set(shown)
