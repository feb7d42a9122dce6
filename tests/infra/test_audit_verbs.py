"""What an auditor asks on the command line. Source: REQUIREMENTS, E-2, E-3."""

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg
import pytest

from commands.assay import Assay
from domain.messages import ManifestEntry, StageName
from domain.names import NameKind
from domain.training_jobs import TrainingStageFinished
from domain.users import UserEmailChanged
from infra.artifacts import Artifacts
from infra.audit_verbs import NoAnswer, run
from infra.cli import parser
from infra.data_folders import DataFolders
from infra.event_store import create_tables, open_event_log
from infra.projector import Projector
from projections.all import READ_MODELS
from tests.examples import (
    EVALUATION,
    MODEL_ID,
    PORTS,
    QUALITY_LEAD_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    plant,
)

Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def ask(database: str, tmp_path: Path) -> Iterator[Ask]:
    """`ask("audit", "--who", …)` gives the exit status and what was said."""
    create_tables(database)
    artifacts = Artifacts(tmp_path / "artifacts")
    (tmp_path / "1.png").write_bytes(b"as it was")
    entry = ManifestEntry(
        root="data",
        path="1.png",
        size=9,
        checksum=sha256(b"as it was").hexdigest(),
        defect_code="TPFIP",
        split="training",
    )
    (tmp_path / "manifest.jsonl").write_bytes(msgspec.json.encode(entry) + b"\n")
    split = TrainingStageFinished(
        stage=StageName.DATA_SPLIT, seconds=1, training_count=1, manifest=artifacts.keep(tmp_path / "manifest.jsonl")
    )
    (tmp_path / "evaluation").write_bytes(msgspec.msgpack.encode(EVALUATION))
    completed = msgspec.structs.replace(TRAINING_COMPLETED, evaluation=artifacts.keep(tmp_path / "evaluation"))
    history = (
        plant()
        .add(TRAINER_WANG_ID, UserEmailChanged(email="wang@fab.example"), actor=QUALITY_LEAD_ID)
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID)
        .add(TRAINING_JOB_ID, TRAINING_STARTED, split, completed)
        .claim(NameKind.MODEL, "panel-a", MODEL_ID)
        .add(MODEL_ID, msgspec.structs.replace(VERSION_PUBLISHED, job_id=TRAINING_JOB_ID), actor=TRAINER_WANG_ID)
    )
    log = open_event_log(database)
    log.append(history.events)
    projector = Projector(log, database, READ_MODELS, artifacts)
    projector.drain()
    projector.close()
    core: Any = SimpleNamespace(
        dsn=database,
        log=log,
        assay=Assay(log, PORTS),
        artifacts=artifacts,
        data_folders=DataFolders({"data": tmp_path}),
    )

    settings: Any = SimpleNamespace(state=tmp_path, sample_indexes=tmp_path / "indexes")

    def asked(*arguments: str) -> tuple[int, str]:
        said: list[str] = []
        status = run(parser().parse_args(arguments), core, settings, said.append)
        return status, "\n".join(said)

    yield asked
    log.close()


def test_what_somebody_did_is_printed_in_either_language(ask: Ask) -> None:  # E-3
    status, said = ask("audit", "--who", "quality_lead", "--type", "user.email_changed")
    assert status == 0
    assert said.endswith("quality_lead gave “trainer_wang” the e-mail address “wang@fab.example”.")
    assert "把“trainer_wang”的邮箱设为" in ask("audit", "--kind", "user", "--language", "zh")[1]
    assert len(ask("audit", "--everything", "--limit", "3")[1].splitlines()) == 3
    with pytest.raises(NoAnswer, match="is no time"):
        ask("audit", "--from", "yesterday")


def test_the_event_of_a_position_is_printed_without_secrets(ask: Ask) -> None:  # E-4, E-6
    status, said = ask("audit", "--position", "1")
    line = json.loads(said)
    assert (status, line["type"], line["withheld"]) == (0, "user.created", ["password_hash"])
    assert "password_hash" not in line["fact"]
    with pytest.raises(NoAnswer, match="No event stands at position 9,999"):
        ask("audit", "--position", "9999")


def test_the_state_of_a_thing_at_a_moment(ask: Ask) -> None:  # E-3
    state = json.loads(ask("audit", "--thing", str(TRAINER_WANG_ID), "--at", "2099-01-01 00:00")[1])
    assert state["email"] == "wang@fab.example"
    assert "password_hash" not in state
    with pytest.raises(NoAnswer, match="did not exist yet"):
        ask("audit", "--thing", str(TRAINER_WANG_ID), "--at", "2000-01-01 00:00")
    with pytest.raises(NoAnswer, match="Name one thing"):
        ask("audit", "--thing", "panel-a", "--at", "2099-01-01 00:00")


def test_everything_that_fits_is_written_as_json_lines(ask: Ask, tmp_path: Path) -> None:  # E-3
    target = tmp_path / "events.jsonl"
    assert "events in" in ask("audit", "--kind", "user", "--jsonl", str(target))[1]
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert {line["kind"] for line in lines} == {"user"}
    assert "hash of" not in target.read_text(encoding="utf-8")
    with pytest.raises(NoAnswer, match="cannot be written"):
        ask("audit", "--jsonl", str(tmp_path / "nowhere" / "events.jsonl"))


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def test_what_made_a_version_and_whether_its_images_are_still_the_same(ask: Ask, tmp_path: Path) -> None:  # E-3
    status, said = ask("provenance", "panel-a:v1.01", "--check")
    assert (status, said.splitlines()[-1]) == (0, "1 as they were, 0 changed, 0 gone.")
    told, _ = json.JSONDecoder().raw_decode(said)
    assert (told["published"]["by"], told["withdrawn"], told["chosen_weights"]) == ("trainer_wang", None, "best")
    for file in ("weights", "evaluation", "initial_weights", "losses", "log", "images"):
        assert len(told[file]) == 64, "what the page names, the command names, too"
    (tmp_path / "1.png").write_bytes(b"AS IT WAS")
    status, said = ask("provenance", "panel-a:v1.01", "--check")
    assert status == 1
    assert "changed: data:1.png" in said
    for harm, told in ((cut_short, "damaged"), (Path.unlink, "missing")):
        (manifest,) = (file for file in (tmp_path / "artifacts").glob("??/*") if b'"path":"1.png"' in file.read_bytes())
        harm(manifest)
        with pytest.raises(NoAnswer, match=f"The list of images is {told}"):
            ask("provenance", "panel-a:v1.01", "--check")
    for unknown in ("panel-b:v1.01", "panel-a:v9.99"):
        with pytest.raises(NoAnswer):
            ask("provenance", unknown)


def test_read_tables_are_rebuilt_by_name_and_proved_by_a_replay(ask: Ask, database: str) -> None:  # E-2
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE read.users SET username = 'nobody' WHERE user_id = %s", (TRAINER_WANG_ID,))
    status, said = ask("replay", "--verify")
    assert (status, "users: 1 rows only live, 1 only replayed" in said) == (1, True)
    status, said = ask("rebuild", "users")
    assert (status, said.startswith("users: rebuilt in")) == (0, True)
    status, said = ask("replay", "--verify")
    assert (status, said.splitlines()[-1].startswith("Everything is the same")) == (0, True)
    with pytest.raises(NoAnswer, match="There is no read model user"):
        ask("rebuild", "user")


@pytest.mark.parametrize("count", ["0", "-3"])
def test_comparing_no_iteration_would_match_anything(ask: Ask, count: str) -> None:
    with pytest.raises(NoAnswer, match="needs a number from 1 on"):
        ask("replay", "--job", "panel-a:v1.01", "--iterations", count)


def test_a_rebuild_that_stops_says_where_and_what_answers_meanwhile(ask: Ask, database: str) -> None:  # E-2
    with psycopg.connect(database) as connection:
        connection.execute(
            "UPDATE assay_events SET state = '[]' WHERE notification_id = (SELECT max(notification_id) FROM assay_events)"
        )
    with pytest.raises(NoAnswer, match=r"(?s)'users' stopped before .*The tables of before answer meanwhile"):
        ask("rebuild", "users")


def test_a_replay_of_nothing_says_why(ask: Ask) -> None:
    with pytest.raises(NoAnswer, match="does not exist"):
        ask("replay", "--job", "panel-z:v1.01")
