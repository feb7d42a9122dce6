"""The command line as a whole: each verb is done by something, and what a person did wrong is a sentence."""

import argparse
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

from infra.cli import NOBODY_READS, _about_its_surroundings, main, parser
from infra.programs import PROGRAMS
from infra.settings import read_settings
from tests.conftest import CHECKOUT, free_ports


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


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Named by the environment, not made."""
    monkeypatch.setenv("ASSAY_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("ASSAY_PORT", str(free_ports(1)[0]))
    monkeypatch.delenv("ASSAY_DATABASE_URL", raising=False)
    return tmp_path / "state"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence with which a verb ends; anything else would have been a trace."""
    assert main(arguments) == 1
    return capsys.readouterr().err


def test_a_state_folder_that_cannot_be_one_is_named(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state.write_text("a file")
    assert f"ASSAY_STATE names {state}, which is no folder" in refused(["up"], capsys)
    monkeypatch.setenv("ASSAY_STATE", "/proc/assay")
    assert "/proc/assay" in (said := refused(["up"], capsys))
    assert "a folder that this user may write into" in said


def test_a_full_disk_is_a_sentence(state: Path) -> None:
    with pytest.raises(OSError, match="No space left") as full:
        Path("/dev/full").write_text("an event")
    assert f"{state}: No space left on device." in str(_about_its_surroundings(full.value, read_settings()))
    assert _about_its_surroundings(FileNotFoundError(2, "No such file", "/elsewhere"), read_settings()) is None


def test_a_database_that_does_not_answer_is_a_sentence_with_its_setting(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_DATABASE_URL", f"postgresql://assay:Panel2026@127.0.0.1:{free_ports(1)[0]}/assay")
    for verb in ("prepare", "up", "verify"):
        assert "correct ASSAY_DATABASE_URL" in (said := refused([verb], capsys))
        assert "Panel2026" not in said


def test_a_database_without_an_installation_is_told(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str
) -> None:
    monkeypatch.setenv("ASSAY_DATABASE_URL", database)
    assert "The database holds no installation. Correct ASSAY_DATABASE_URL" in refused(["verify"], capsys)


def test_nobody_begins_anew_beside_the_seals_of_another_log(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str
) -> None:  # E-4 S-1
    monkeypatch.setenv("ASSAY_DATABASE_URL", database)
    (state / "seals").mkdir(parents=True)
    (state / "seals" / "seals.jsonl").write_text("{}\n")
    assert "The database holds no log, but" in refused(["prepare"], capsys)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM assay_events").fetchone() == (0,)
    (state / "seals" / "seals.jsonl").unlink()
    assert main(["prepare"]) == 0


def test_postgres_is_looked_for_where_it_was_named_only(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_POSTGRES_BIN", "/nowhere")
    assert "PostgreSQL is not in /nowhere" in (said := refused(["prepare"], capsys))
    assert "ASSAY_POSTGRES_BIN" in said


def test_health_knows_the_processes_that_there_are(state: Path, capsys: pytest.CaptureFixture[str]) -> None:  # S-3
    assert "There is no process webb. These are: broker, projector" in refused(["health", "webb"], capsys)
    assert main(["health", "web", "worker-2"]) == 3


def test_a_folder_of_images_that_is_not_there_yet_keeps_nobody_from_starting(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str
) -> None:  # S-1
    monkeypatch.setenv("ASSAY_DATABASE_URL", database)
    monkeypatch.setenv("ASSAY_DATA_ROOTS", f"line-1={state.parent / 'line-1'},line-2={state.parent}")
    assert main(["prepare"]) == 0
    said = capsys.readouterr().err
    assert (
        said
        == f"ASSAY_DATA_ROOTS: there is no folder {state.parent / 'line-1'} yet, so nothing is found in “line-1”.\n"
    )


@pytest.mark.parametrize(
    ("variable", "wrong", "told"),
    [
        ("ASSAY_ADMINISTRATOR", "boss", "A user name has 5 to 64 characters"),
        ("ASSAY_ADMINISTRATOR_PASSWORD", "panel", "A password has at least 6 characters"),
    ],
)
def test_an_administrator_who_could_not_be_made_is_refused_with_the_rule(
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    database: str,
    variable: str,
    wrong: str,
    told: str,
) -> None:  # U-1 U-2
    monkeypatch.setenv("ASSAY_DATABASE_URL", database)
    monkeypatch.setenv(variable, wrong)
    said = refused(["prepare"], capsys)
    assert variable in said
    assert told in said
    monkeypatch.setenv(variable, "panel_A1")
    assert main(["prepare"]) == 0


def test_the_command_line_says_which_release_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"Assay {version('assay')}\n"


def test_a_key_that_is_none_is_told_what_it_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["verify", "--key", "zz"])
    assert "64 hexadecimal digits" in capsys.readouterr().err


def test_who_reads_no_further_gets_no_trace(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "infra.cli", "status"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, "ASSAY_STATE": str(tmp_path)},
        cwd=CHECKOUT,
        check=False,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (NOBODY_READS, b"")
