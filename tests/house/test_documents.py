"""What the documents say of verbs, options, defaults, processes and other documents is so."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.cli import parser
from infra.process_verbs import WHAT_THEY_DO
from infra.programs import PROGRAMS
from infra.settings import Settings, read_settings
from tests.conftest import CHECKOUT

DOCUMENTS = sorted(
    path
    for path in CHECKOUT.rglob("*.md")
    if not {".venv", ".assay", ".pytest_cache", "build", "shared", "node_modules"}
    & set(path.relative_to(CHECKOUT).parts)
)
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (CHECKOUT / "infra" / "OPERATIONS.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def verbs() -> dict[str, argparse.ArgumentParser]:
    """Those that a person may ask for."""
    (chosen,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return {name: options for name, options in chosen.choices.items() if name != "supervise"}


def section(document: str, heading: str) -> str:
    """What stands below a heading, up to the next one."""
    return document.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def anchors(document: str) -> set[str]:
    """As readers of Markdown make them of headings."""
    headings = re.findall(r"^#+ (.+)$", document, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def rows(table: str) -> Iterator[list[str]]:
    """The cells of each row whose first one names something in code."""
    for line in table.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for link in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (document.parent / file).resolve() if file else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_a_link_to_nowhere_would_be_noticed() -> None:
    assert LINK.findall("see [the format](gpu_worker/PACKAGES.md) and [below](#kafka)") == [
        "gpu_worker/PACKAGES.md",
        "#kafka",
    ]
    assert anchors("# Assay\n\n## What is not in the log\n") == {"assay", "what-is-not-in-the-log"}


def test_the_readme_leads_to_every_document() -> None:
    led_to = {(CHECKOUT / link.partition("#")[0]).resolve() for link in LINK.findall(README)}
    assert [document for document in DOCUMENTS if document not in led_to | {CHECKOUT / "README.md"}] == []


def test_the_documents_name_tests_that_exist() -> None:
    texts = (document.read_text(encoding="utf-8") for document in DOCUMENTS)
    named = {file for text in texts for file in re.findall(r"`(tests/[\w/]+\.py)`", text)}
    assert len(named) > 15
    assert not {file for file in named if not (CHECKOUT / file).is_file()}


def test_the_readme_names_every_verb() -> None:
    told = set(re.findall(r"`(?:\.venv/bin/assay|make) ([a-z-]+)", README)) | set(
        re.findall(r", `make ([a-z]+)`", README)
    )
    assert set(verbs()) - set(PROGRAMS) <= told


def test_every_option_that_the_readme_names_exists() -> None:
    known = {
        name: {text for action in options._actions for text in action.option_strings}
        for name, options in verbs().items()
    }
    told = 0
    for command, meaning in ((cells[0], cells[1]) for cells in rows(section(README, "Commands"))):
        if found := re.match(r"`\.venv/bin/assay ([a-z-]+)", command):
            named = set(re.findall(r"(?<![\w-])--[a-z-]+", command + meaning))
            assert named <= known[found[1]], command
            told += len(named)
    assert told > 15


def runs(commands: str) -> list[tuple[str, set[str]]]:
    """Each verb of `assay` in lines of shell, with the options beside it."""
    found = re.findall(r"(?:^|[ ;&]|bin/)assay ([a-z][a-z-]+)((?: [^`#|&;\n]*)?)", commands, re.MULTILINE)
    return [(verb, set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest))) for verb, rest in found]


def test_the_documents_run_no_verb_and_no_option_that_does_not_exist() -> None:
    known = {
        name: {text for action in options._actions for text in action.option_strings}
        for name, options in verbs().items()
    }
    told = [(document.name, *run) for document in DOCUMENTS for run in runs(_commands(document))]
    assert len(told) > 10
    for name, verb, options in told:
        assert verb in known, f"{name}: assay {verb}"
        assert options <= known[verb], f"{name}: assay {verb} {options}"


def test_a_verb_in_a_document_is_seen_wherever_it_stands() -> None:
    assert runs("ASSAY_STATE=/srv/assay assay restore /mnt && /opt/assay/.venv/bin/assay up --now   # then") == [
        ("restore", set()),
        ("up", {"--now"}),
    ]


def _commands(document: Path) -> str:
    """What stands in blocks of shell, lines that go on joined."""
    text = document.read_text(encoding="utf-8")
    fenced = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    indented = re.findall(r"^    (?![*-]).*\bassay [a-z].*$", text, re.MULTILINE)
    return "\n".join([*fenced, *indented]).replace("\\\n", " ")


def test_the_readme_tells_the_defaults_that_are_in_force(tmp_path: Path) -> None:
    settings = read_settings({"ASSAY_STATE": str(tmp_path)})
    compared = 0
    for names, defaults, *_ in rows(section(README, "Settings")):
        variables, written = re.findall(r"`(ASSAY_\w+)`", names), re.findall(r"`([^`]*)`", defaults)
        fields = [variable.removeprefix("ASSAY_").lower() for variable in variables]
        if len(fields) != len(written):
            continue  # “made up”, “all cores”: told in words
        for field, default in zip(fields, written, strict=True):
            if (value := getattr(settings, field, None)) is not None and not default.startswith("ASSAY"):
                shown = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
                if isinstance(shown, str | int | float):
                    assert float(shown) == float(default) if _is_number(default) else str(shown) == default, field
                    compared += 1
    assert compared >= 10


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[\d.]+", text)) and text.count(".") <= 1


def test_what_is_compared_with_a_default_is_a_setting() -> None:
    fields = set(Settings.__struct_fields__)
    assert {"port", "host", "picture_cache_mib", "upload_gib", "upload_hours", "max_attempts", "log_level"} <= fields


def test_the_page_for_who_runs_assay_names_every_process() -> None:  # S-2
    named = {name for cells in rows(section(OPERATIONS, "Processes")) for name in re.findall(r"`(\w+)`", cells[0])}
    assert named == set(PROGRAMS) - {"broker"}


def test_the_page_for_who_runs_assay_says_how_long_each_process_takes_to_stop() -> None:  # S-3
    stopped = {name for cells in rows(section(OPERATIONS, "Stopping")) for name in re.findall(r"`(\w+)`", cells[0])}
    assert stopped == set(PROGRAMS) - {"broker"}


def test_every_process_says_what_it_does() -> None:
    assert set(WHAT_THEY_DO) == set(PROGRAMS)
