"""The command line as a whole: each verb is done by something, and what a person did wrong is a sentence."""

import argparse
from pathlib import Path

import pytest

from infra.cli import main, parser
from infra.programs import PROGRAMS


def verbs() -> dict[str, argparse.ArgumentParser]:
    (chosen,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(chosen.choices)


def test_every_verb_says_what_does_it() -> None:
    found = verbs()
    assert set(PROGRAMS) < set(found)
    assert {"up", "down", "status", "prepare", "backup", "restore", "audit", "storage", "supervise"} < set(found)
    assert [verb for verb, options in found.items() if not callable(options.get_default("run"))] == []


def test_a_wrong_setting_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_STATE", str(tmp_path))
    monkeypatch.setenv("ASSAY_PORT", "ninety")
    assert main(["status"]) == 1
    said = capsys.readouterr()
    assert "ASSAY_PORT" in said.err
    assert said.out == ""


def test_a_place_without_an_installation_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_STATE", str(tmp_path / "elsewhere"))
    monkeypatch.delenv("ASSAY_DATABASE_URL", raising=False)
    assert main(["status"]) == 3
    for arguments in (["storage"], ["backup", str(tmp_path / "backups")]):
        assert main(arguments) == 1
        assert "holds no installation" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
