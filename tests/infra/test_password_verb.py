"""`assay reset-password`: whoever has the machine is never locked out of the pages."""

import io
from pathlib import Path

import pytest

from domain.facts import SYSTEM
from domain.names import NameClaimed, NameKind, claim_id
from domain.users import User, UserDeleted, UserPasswordChanged
from infra.bootstrap import open_core
from infra.cli import main
from infra.event_store import create_tables, open_event_log
from infra.passwords import Argon2Passwords
from infra.settings import read_settings
from tests.examples import (
    QUALITY_LEAD,
    QUALITY_LEAD_ID,
    TRAINER_LI,
    TRAINER_LI_ID,
    TRAINER_WANG,
    TRAINER_WANG_ID,
    History,
)

PASSWORD = "Vergessen1"


@pytest.fixture(autouse=True)
def installation(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("ASSAY_DATABASE_URL", database)
    create_tables(database)
    log = open_event_log(database)
    history = History().add(QUALITY_LEAD_ID, QUALITY_LEAD).add(TRAINER_WANG_ID, TRAINER_WANG)
    history.add(TRAINER_LI_ID, TRAINER_LI, UserDeleted(heir=TRAINER_WANG_ID))
    for user_id, user in ((QUALITY_LEAD_ID, QUALITY_LEAD), (TRAINER_LI_ID, TRAINER_LI)):
        name = NameClaimed(kind=NameKind.USER, name=user.username, owner=user_id)
        history.add(claim_id(NameKind.USER, user.username), name)
    log.append(history.events)
    log.close()


def told(password: str, monkeypatch: pytest.MonkeyPatch, username: str = QUALITY_LEAD.username) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return main(["reset-password", username])


def password_of_lead() -> str:
    with open_core(read_settings()) as core:
        return core.assay.load(User, QUALITY_LEAD_ID).password_hash


def test_a_forgotten_password_is_replaced_and_the_log_tells_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # U-1, U-4
    assert told(PASSWORD, monkeypatch) == 0
    assert Argon2Passwords().verify(password_of_lead(), PASSWORD)
    assert PASSWORD not in "".join(capsys.readouterr())
    with open_core(read_settings()) as core:
        last = core.log.history(QUALITY_LEAD_ID)[-1]
    assert isinstance(last.data, UserPasswordChanged)
    assert last.origin.actor == SYSTEM


def test_a_weak_password_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # U-2
    before = password_of_lead()
    assert told("forgotten", monkeypatch) == 1
    assert "at least 6 characters" in capsys.readouterr().err
    assert password_of_lead() == before


def test_who_is_not_there_gets_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(PASSWORD, monkeypatch, "nobody_here") == 1
    assert "There is no user “nobody_here”." in capsys.readouterr().err
    assert told(PASSWORD, monkeypatch, TRAINER_LI.username) == 1
    assert "is deleted" in capsys.readouterr().err
