"""`assay backup` and `assay restore` as a person types them, with every real process. Source: REQUIREMENTS, S-3."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from commands.users import CreateUser
from domain.permissions import Role
from infra.bootstrap import open_core
from infra.first_start import FIRST_ADMINISTRATOR_ID
from tests.installation import PASSWORD, Installation, running_installation


@pytest.fixture
def place() -> Iterator[Path]:
    """A short folder that the database's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="assay-restored-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_an_installation_is_backed_up_while_it_runs_and_goes_on_elsewhere(place: Path) -> None:  # S-3, E-2, E-4
    backups, fresh = str(place / "backups"), Installation(place / "state")
    with running_installation("assay-backed-up-") as installation:
        with open_core(installation.settings) as core:
            core.assay.dispatch(
                CreateUser(
                    actor=FIRST_ADMINISTRATOR_ID,
                    user_id=uuid4(),
                    username="trainer_wang",
                    password="Panel2027",
                    role=Role.MODEL_TRAINER,
                )
            )
        assert "The backup is whole." in installation.assay("backup", backups)
        assert "Stop it with `assay down`" in installation.refused("restore", backups)
    assert "Everything fits." in fresh.assay("backup", "--check", backups)
    assert "holds no installation" in fresh.refused("backup", backups)
    try:
        assert "`assay up` starts it" in fresh.assay("restore", backups)
        assert "Everything fits." in fresh.assay("verify")
        assert "Restore into an empty place" in fresh.refused("restore", backups)
        fresh.assay("up", "--background")
        with httpx.Client(base_url=fresh.settings.address, follow_redirects=True) as browser:
            token = browser.get("/sign-in").text.partition('name="csrf-token" content="')[2].partition('"')[0]
            browser.post("/sign-in", data={"csrf_token": token, "username": "admin", "password": PASSWORD})
            assert "trainer_wang" in browser.get("/users").text
    finally:
        fresh.assay("down")
