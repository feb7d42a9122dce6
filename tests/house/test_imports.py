"""The import directions of the house and the packages that are installed, as `pyproject.toml` states them."""

import subprocess
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_every_layer_imports_only_what_it_may() -> None:
    contracts = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert contracts.returncode == 0, contracts.stdout + contracts.stderr


def test_every_package_is_installed() -> None:  # S-2
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    roots = project["importlinter"]["root_packages"]
    found = {
        ".".join(file.parent.relative_to(CHECKOUT).parts)
        for root in roots
        for file in (CHECKOUT / root).rglob("*.py")
        if file.parent.joinpath("__init__.py").exists()
    }
    assert found == set(project["setuptools"]["packages"]), "name each in pyproject.toml, so that wheels hold it, too"
