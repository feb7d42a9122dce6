"""What is backed up comes back whole in a fresh place, and nowhere else. Source: REQUIREMENTS, S-3, E-4."""

from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from domain.exports import export_id
from domain.users import UserEmailChanged
from infra.artifacts import Artifacts
from infra.backed_up_tables import IN_BACKUP
from infra.backup_folder import CHAIN, EVENTS, Backup, BackupFailed
from infra.event_store import open_event_log
from infra.kept_secrets import seal_key
from infra.mes_feed import position_of
from infra.notary import verify
from infra.recorder import TrackingAfter
from infra.relay import ReportLog
from infra.restores import POSITIONS_LEFT_OUT, restore
from infra.settings import RESTORE_MARK, Settings, WrongSetting, refuse_unfinished_restore
from projections.all import READ_MODELS
from tests.examples import MODEL_ID, PREDICTION_JOB_ID, TRAINER_WANG_ID, TRAINING_JOB_ID
from tests.infra.asked_backups import (
    DiesAfter,
    KilledError,
    files_no_larger_than,
    folder,
    fresh,
    is_empty,
    plant,
    public_key,
    restored,
    rows_of,
    spoil,
)
from tests.infra.backed_up_plant import REACHED, SOURCE, BackedUpPlant
from tests.projections.rebuild import tables_of
from tests.web.real_site import open_real_site

__all__ = ["folder", "fresh", "plant"]


def test_a_backup_restores_into_a_fresh_place_and_everything_fits(
    plant: BackedUpPlant, folder: Path, fresh: Settings
) -> None:  # S-3, E-2, E-4
    plant.project()
    plant.back_up(folder, rows_in_part=10)
    status, said = restored(folder, fresh)
    assert (status, said[-1]) == (0, "Everything fits.")
    for table in IN_BACKUP:
        rows = rows_of(plant.database, table)
        assert rows, f"{table}: the example holds nothing"
        assert rows_of(str(fresh.database_url), table) == rows
    assert tables_of(str(fresh.database_url), READ_MODELS) == tables_of(plant.database, READ_MODELS)
    assert seal_key(fresh) == seal_key(plant.settings)
    assert (fresh.state / "settings.json").read_text() == (plant.settings.state / "settings.json").read_text()
    assert verify(str(fresh.database_url), fresh.seals, public_key(plant.settings)).findings == []
    there, here = (
        sorted(Artifacts(one.shared / "artifacts").untouched(-1.0), key=str) for one in (fresh, plant.settings)
    )
    assert there == here
    assert not (fresh.state / RESTORE_MARK).exists()


def test_nobodys_session_comes_back(plant: BackedUpPlant, folder: Path, fresh: Settings) -> None:  # U-1
    plant.back_up(folder)
    restored(folder, fresh)
    with psycopg.connect(str(fresh.database_url)) as connection:
        assert connection.execute("SELECT count(*) FROM app.sessions").fetchone() == (0,)
    assert not (fresh.state / "session-secret").exists()


def test_pages_models_exports_and_reports_answer_after_a_restore(
    plant: BackedUpPlant, folder: Path, fresh: Settings
) -> None:  # S-3
    plant.back_up(folder)
    restored(folder, fresh)
    with open_real_site(str(fresh.database_url), fresh.shared) as site:
        site.enter(TRAINER_WANG_ID)
        assert "panel-a" in site.get("/models").text
        assert "TTFBS" in site.get(f"/training-jobs/{TRAINING_JOB_ID}/report").text
        assert "0007.png" in site.get(f"/prediction-jobs/{PREDICTION_JOB_ID}/report").text
        package = site.get(f"/models/{MODEL_ID}/versions/v1.01/export/package")
        assert sha256(package.content).hexdigest() == site.read.exports.get(MODEL_ID, "v1.01").package.checksum
        assert site.get(f"/training-jobs/{TRAINING_JOB_ID}/log").status_code == 200


def test_reports_are_not_taken_twice_and_no_public_event_is_lost(
    plant: BackedUpPlant, folder: Path, fresh: Settings
) -> None:  # K-1
    plant.back_up(folder)
    plant.log.append(
        [], TrackingAfter(SOURCE, REACHED + 5, after=REACHED)
    )  # what came after the backup is lost with it
    restored(folder, fresh)
    log = open_event_log(str(fresh.database_url))
    reports = ReportLog(log, SOURCE)
    taken = []
    for place in range(REACHED - 2, REACHED + 3):  # the brokers deliver again, from before the moment on
        reports.place = place
        if not reports.is_taken_in:
            reports.append([])
            taken.append(place)
    log.close()
    assert taken == [REACHED + 1, REACHED + 2]
    with psycopg.connect(str(fresh.database_url), row_factory=psycopg.rows.dict_row) as connection:
        assert position_of(connection) == 7  # the feed goes on behind what the brokers had at that moment


def test_who_read_events_that_were_lost_misses_none_that_come_after(
    plant: BackedUpPlant, folder: Path, fresh: Settings
) -> None:  # K-1
    plant.back_up(folder)
    plant.history.add(TRAINER_WANG_ID, UserEmailChanged(email="lost@fab.example"))
    plant.happens()
    read_upto = plant.log.position()
    restored(folder, fresh)
    log = open_event_log(str(fresh.database_url))
    version = max(event.originator_version for event in log.history(TRAINER_WANG_ID)) + 1
    event = replace(
        plant.history.events[-1], originator_version=version, data=UserEmailChanged(email="new@fab.example")
    )
    position = log.append([event])
    assert [one.data for _, one in log.read(read_upto, 10)] == [event.data]
    assert position > read_upto + POSITIONS_LEFT_OUT / 2
    log.close()


def test_a_place_that_is_not_empty_is_refused(plant: BackedUpPlant, folder: Path, fresh: Settings) -> None:  # S-3
    plant.back_up(folder)
    with pytest.raises(BackupFailed, match="seal-key is there already"):
        restored(folder, plant.settings)
    with pytest.raises(BackupFailed, match=r"The database holds public\.assay_events"):
        restored(folder, replace(fresh, database_url=plant.database))
    with pytest.raises(BackupFailed, match="holds artifacts already"):
        restored(folder, replace(fresh, shared=plant.settings.shared))
    assert is_empty(fresh)


def test_a_storage_that_survived_gets_what_is_missing_or_damaged_there(
    plant: BackedUpPlant, folder: Path, fresh: Settings
) -> None:  # S-3
    backup = plant.back_up(folder)
    missing, damaged, whole = list(backup.artifacts())[:3]
    plant.artifacts.path(missing).unlink()
    spoil(plant.artifacts.path(damaged))
    inode = plant.artifacts.path(whole).stat().st_ino
    status, _ = restored(folder, replace(fresh, shared=plant.settings.shared), "--reuse-storage")
    assert status == 0
    for artifact in (missing, damaged):
        plant.artifacts.check(artifact)
    assert plant.artifacts.path(whole).stat().st_ino == inode


def test_an_artifact_that_rotted_in_the_backup_can_be_left_out(
    plant: BackedUpPlant, folder: Path, fresh: Settings
) -> None:
    backup = plant.back_up(folder)
    rotten = next(backup.artifacts())
    spoil(backup.store.path(rotten))
    with pytest.raises(BackupFailed, match=rotten.checksum):
        restored(folder, fresh)
    status, said = restored(folder, fresh, "--despite-damage")
    assert status == 1
    assert "1 artifacts that something refers to are damaged or missing in the backup" in "\n".join(said)
    assert not Artifacts(fresh.shared / "artifacts").has(rotten)


@pytest.mark.parametrize("count", [0, 3])
def test_an_interrupted_restore_starts_nothing_and_goes_on(
    plant: BackedUpPlant, folder: Path, fresh: Settings, count: int
) -> None:  # S-3
    backup = plant.back_up(folder)
    dying = DiesAfter(fresh.shared / "artifacts", count)
    with pytest.raises(KilledError):
        restore(fresh, dying, backup, print, reuses_storage=False, despite_damage=False)
    with pytest.raises(WrongSetting, match="has not ended"):
        refuse_unfinished_restore(fresh)
    assert restored(folder, fresh)[0] == 0
    refuse_unfinished_restore(fresh)


def test_two_backups_are_not_mixed_in_one_place(plant: BackedUpPlant, folder: Path, fresh: Settings) -> None:  # S-3
    """Killed before the log was there another one may take its place, killed afterwards not."""
    first, second = plant.back_up(folder), plant.back_up(folder)
    storage = Artifacts(fresh.shared / "artifacts")
    with pytest.raises(KilledError):
        restore(fresh, DiesAfter(storage.folder, 3), first, print, reuses_storage=False, despite_damage=False)
    restore(
        fresh, storage, second, print, reuses_storage=False, despite_damage=False
    )  # killed before it made the read tables
    with pytest.raises(BackupFailed, match="Another backup was being restored"):
        restored(folder, fresh, "--at", first.moment)
    with pytest.raises(WrongSetting, match="has not ended"):
        refuse_unfinished_restore(fresh)
    assert restored(folder, fresh, "--at", second.moment)[0] == 0


def test_a_restore_that_is_killed_within_the_log_leaves_no_half_of_it(
    plant: BackedUpPlant, folder: Path, fresh: Settings
) -> None:  # S-3
    backup = plant.back_up(folder, rows_in_part=10)

    class Dies(Backup):
        def content(self, part: Any) -> Iterator[bytes]:
            if part == backup.manifest.table(CHAIN).parts[1]:
                raise KilledError
            yield from super().content(part)

    with suppress(KilledError):
        restore(
            fresh,
            Artifacts(fresh.shared / "artifacts"),
            Dies(*backup),
            print,
            reuses_storage=False,
            despite_damage=False,
        )
    assert rows_of(str(fresh.database_url), EVENTS) == []
    assert restored(folder, fresh)[0] == 0
    assert rows_of(str(fresh.database_url), EVENTS) == rows_of(plant.database, EVENTS)


def test_a_full_disk_during_a_restore_is_a_sentence_and_it_goes_on(
    plant: BackedUpPlant, folder: Path, fresh: Settings
) -> None:  # S-3
    plant.history.add(
        export_id(MODEL_ID, "v1.02"), replace(plant.history.events[-1].data, package=plant.kept(b"x" * 99_999))
    )
    plant.happens()
    plant.back_up(folder)
    with files_no_larger_than(50_000), pytest.raises(BackupFailed, match="The disk is full"):
        restored(folder, fresh)
    assert restored(folder, fresh)[0] == 0
