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


LEVELS = re.compile(
    r"工厂|厂区|厂别|站点|产品|(?<![a-z])(?:factor(?:y|ies)|fabs?|stations?|products?)(?![a-z])", re.IGNORECASE
)
"""What the levels of the manual's example are called. Levels are what people enter; the platform must not know any (M-2)."""
OTHERS_NAMES = {"row_factory", "default_factory"}
LAST_LEVEL = re.compile(r"[.']products\b")
"""`EnvironmentBinding.products` stands in facts since the first release, and facts are never renamed. It holds the last level."""


def _identifiers_and_texts(module: Path) -> Iterator[str]:
    """Every name and every string of a module but its docstrings."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "arg"):
            if isinstance(name := getattr(node, field, None), str):
                yield name
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def _names_a_level(text: str) -> bool:
    is_example = "for example" in text  # hints of forms name examples; they are sentences, which no code compares
    return text not in OTHERS_NAMES | {"products"} and not is_example and bool(LEVELS.search(LAST_LEVEL.sub("", text)))


@pytest.mark.parametrize("package", ["domain", "commands", "projections", "web"])
def test_no_code_knows_what_levels_are_called(package: str) -> None:  # M-2
    found = [
        f"{module.relative_to(CHECKOUT)}: {text!r}"
        for module in (CHECKOUT / package).rglob("*.py")
        for text in _identifiers_and_texts(module)
        if _names_a_level(text)
    ]
    assert not found


@pytest.mark.parametrize("folder", ["templates", "static"])
def test_no_page_knows_what_levels_are_called(folder: str) -> None:  # M-2
    sentences = re.compile(r"\{%-? trans[^%]*%\}[^{]*for example[^{]*\{% endtrans %\}|\"[^\"]*for example[^\"]*\"")
    found = [
        f"{path.relative_to(CHECKOUT)}: {word}"
        for path in (CHECKOUT / "web" / folder).rglob("*.*")
        if path.suffix in (".html", ".js", ".css")
        for word in LEVELS.findall(LAST_LEVEL.sub("", sentences.sub("", path.read_text(encoding="utf-8"))))
    ]
    assert not found


def test_a_word_for_a_level_would_be_noticed() -> None:
    for text in ("factory_id", "工厂", "the stations", "product_count"):
        assert _names_a_level(text)
    for text in (
        "row_factory",
        "environment->'products'",
        "fabulous",
        "production environment",
        "Levels, for example fab",
    ):
        assert not _names_a_level(text)


def test_the_readme_names_every_setting() -> None:
    read = set(re.findall(r'"(ASSAY_[A-Z_]+)"', (CHECKOUT / "infra" / "settings.py").read_text(encoding="utf-8")))
    told = set(re.findall(r"ASSAY_[A-Z_]+", README)) - {"ASSAY_TESTS_REQUIRE"}
    assert told == read


def test_the_readme_names_commands_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", README)) <= targets
    options = "".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "infra").glob("*.py"))
    verbs = set(re.findall(r'add_parser\(\s*"([a-z-]+)"', options))
    assert set(re.findall(r"`\.venv/bin/assay ([a-z-]+)", README)) <= verbs


def test_the_readme_maps_every_folder() -> None:
    folders = {
        path.parts[0] for path in map(Path, _tracked()) if len(path.parts) > 1 and not path.parts[0].startswith(".")
    }
    assert {f"`{folder}/`" for folder in folders} <= set(re.findall(r"`[a-z_]+/`", README))


def test_no_file_names_a_host_of_a_registry() -> None:
    for file in (CHECKOUT / "requirements").glob("*.txt"):
        assert "://" not in file.read_text(encoding="utf-8")


def _tracked() -> list[str]:
    return [
        str(path.relative_to(CHECKOUT))
        for folder in (*PACKAGES, "tests", "benchmarks", "requirements")
        for path in (CHECKOUT / folder).glob("*.*")
    ]
