"""The house speaks one language: its own words for its own things, and a README that is true."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

PACKAGES = ("domain", "commands", "projections", "web", "gpu_worker", "infra")
SAY_NOTHING = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "manager",
    "service",
    "processor",
    "data",
    "info",
    "obj",
}
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def _modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (CHECKOUT / package).rglob("*.py")


@pytest.mark.parametrize("module", list(_modules()), ids=lambda module: str(module.relative_to(CHECKOUT)))
def test_names_say_the_domain(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    defined = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assert module.stem not in SAY_NOTHING
    assert not {name for name in defined if name.lower() in SAY_NOTHING or name.startswith("do_")}


def test_the_readme_names_every_setting() -> None:
    read = set(re.findall(r'"(ASSAY_[A-Z_]+)"', (CHECKOUT / "infra" / "settings.py").read_text(encoding="utf-8")))
    told = set(re.findall(r"ASSAY_[A-Z_]+", README)) - {"ASSAY_TESTS_REQUIRE"}
    kafka_comes_with_its_topics = {"ASSAY_KAFKA_BROKERS"}
    assert told == read - kafka_comes_with_its_topics


def test_the_readme_names_commands_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", README)) <= targets
    verbs = set(re.findall(r'add_parser\("([a-z]+)"', (CHECKOUT / "infra" / "cli.py").read_text(encoding="utf-8")))
    assert set(re.findall(r"`\.venv/bin/assay ([a-z]+)", README)) <= verbs


def test_the_readme_maps_every_folder() -> None:
    folders = {
        path.parts[0] for path in map(Path, _tracked()) if len(path.parts) > 1 and not path.parts[0].startswith(".")
    }
    assert {f"`{folder}/`" for folder in folders} <= set(re.findall(r"`[a-z_]+/`", README))


def test_no_file_names_a_host_of_a_registry() -> None:
    for name in ("bootstrap.txt", "server.txt", "worker.txt", "all.txt"):
        assert "://" not in (CHECKOUT / "requirements" / name).read_text(encoding="utf-8")


def _tracked() -> list[str]:
    return [
        str(path.relative_to(CHECKOUT))
        for folder in (*PACKAGES, "tests", "benchmarks", "requirements")
        for path in (CHECKOUT / folder).glob("*.*")
    ]
