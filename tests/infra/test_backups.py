"""A backup is one moment of an installation that goes on, whole or none. Source: REQUIREMENTS, S-3, E-4."""

import threading
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace

from domain.exports import export_id
from domain.model_images import ModelImageVersionDeleted
from domain.users import UserEmailChanged
from infra.backed_up_tables import IN_BACKUP, LEFT_OUT
from infra.backup_folder import Backup, BackupFailed, BackupFolder
from infra.backup_verbs import back_up
from infra.backups import take_backup
from infra.checked_backups import check_log
from infra.event_store import open_event_log
from infra.settings import Settings
from tests.eventually import eventually
from tests.examples import MODEL_ID, MODEL_IMAGE_ID, TRAINER_WANG_ID, History, example_id
from tests.infra.asked_backups import (
    DiesAfter,
    KilledError,
    asked,
    checked,
    files_no_larger_than,
    folder,
    fresh,
    plant,
    restored,
    spoil,
)
from tests.infra.backed_up_plant import BackedUpPlant, recorded_of

__all__ = ["folder", "fresh", "plant"]


def test_every_table_is_backed_up_or_left_out_with_a_reason(plant: BackedUpPlant) -> None:  # S-3
    """A new table is in neither list: whoever adds one decides."""
    with psycopg.connect(plant.database) as connection:
        found = connection.execute(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_schema IN ('public', 'app')"
        ).fetchall()
    assert {row[0] for row in found} == IN_BACKUP.keys() | LEFT_OUT.keys()
    assert not IN_BACKUP.keys() & LEFT_OUT.keys()


def test_the_log_grows_while_it_is_backed_up(plant: BackedUpPlant, folder: Path, fresh: Settings) -> None:  # S-3
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            plant.log.append(History().add(example_id(f"user {number}"), plant.history.events[0].data).events)
            plant.seal()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        positions = []
        for _ in range(5):
            before = plant.log.position()
            eventually(lambda before=before: plant.log.position() > before)  # type: ignore[misc]
            backup = plant.back_up(folder, rows_in_part=10)
            assert check_log(backup).is_whole
            positions.append(backup.manifest.position)
    finally:
        stop.set()
        thread.join()
    assert positions == sorted(set(positions))
    assert restored(folder, fresh)[0] == 0
    log = open_event_log(str(fresh.database_url))
    assert recorded_of(log) == [one for one in recorded_of(plant.log) if one[0] <= positions[-1]]
    log.close()


# Files


def test_a_second_backup_copies_nothing_that_is_there(plant: BackedUpPlant, folder: Path) -> None:  # S-3
    plant.back_up(folder, rows_in_part=10)
    files = {file: file.stat().st_ino for file in folder.glob("files/??/*")}
    plant.kept(b"what no fact names is not backed up")
    new = plant.kept(b"a newer export")
    plant.history.add(export_id(MODEL_ID, "v1.02"), replace(plant.history.events[-1].data, package=new))
    plant.happens()
    plant.back_up(folder, rows_in_part=10)
    after = {file: file.stat().st_ino for file in folder.glob("files/??/*")}
    assert after.items() >= files.items()
    added = {file.name for file in after} - {file.name for file in files}
    assert new.checksum in added
    assert len(added) <= 4, "the artifact, the list of artifacts, and the last parts of the log"


def test_nothing_goes_from_the_storage_while_it_is_backed_up(plant: BackedUpPlant, folder: Path) -> None:  # I-5, S-3
    """A version is deleted after the moment of the backup, and the housekeeper is faster than the copy."""
    archive = plant.with_files(next(e.data for e in plant.history.events if hasattr(e.data, "archive"))).archive
    went: list[bool] = []

    def meanwhile(_said: str) -> None:
        plant.history.add(MODEL_IMAGE_ID, ModelImageVersionDeleted(number=1, name="resnet18"))
        plant.happens()
        went.append(plant.artifacts.remove(archive, untouched_seconds=1.0))

    backup = plant.back_up(folder, say=meanwhile)
    assert went[0] is False
    assert backup.store.has(archive)
    assert backup.manifest.missing == ()
    assert plant.artifacts.remove(archive, untouched_seconds=1.0), "afterwards it goes"


def test_a_file_that_went_with_its_version_is_not_missed_and_one_that_stands_is(
    plant: BackedUpPlant, folder: Path
) -> None:  # I-5, S-3
    archive = plant.with_files(next(e.data for e in plant.history.events if hasattr(e.data, "archive"))).archive
    package = plant.with_files(plant.history.events[-1].data).package
    for artifact in (archive, package):
        plant.artifacts.path(artifact).unlink()
    assert plant.back_up(folder).manifest.missing == tuple(sorted((archive.checksum, package.checksum)))
    plant.history.add(MODEL_IMAGE_ID, ModelImageVersionDeleted(number=1, name="resnet18"))
    plant.happens()
    assert plant.back_up(folder).manifest.missing == (package.checksum,)
    said: list[str] = []
    assert back_up(asked("backup", folder), plant.settings, said.append) == 1
    assert f"1 artifacts that something refers to are missing on the storage:\n{package.checksum}" in "\n".join(said)


def test_a_damaged_file_of_the_storage_is_named_and_not_copied(plant: BackedUpPlant, folder: Path) -> None:  # S-3
    package = plant.with_files(plant.history.events[-1].data).package
    spoil(plant.artifacts.path(package))
    backup = plant.back_up(folder)
    assert backup.manifest.damaged == (package.checksum,)
    assert not backup.store.has(package)


def test_only_the_owner_can_read_a_backup_and_no_setting_in_it_is_secret(
    plant: BackedUpPlant, folder: Path
) -> None:  # E-6
    backup = plant.back_up(folder)
    assert {file.stat().st_mode & 0o077 for file in folder.rglob("*") if file.is_file()} == {0, 0o66}
    assert {file.name for file in folder.rglob("*") if file.stat().st_mode & 0o077 == 0o66} <= {".lock", ".held"}
    assert [one.stat().st_mode & 0o777 for one in (folder, folder / "files")] == [0o700, 0o700]
    manifest = (folder / f"backup-{backup.moment}.json").read_text()
    assert '"line"' in manifest, "the data roots are there"
    assert "Secret-of-settings-1" not in manifest
    assert str(plant.settings.database_url) not in manifest


def test_only_the_newest_backups_are_kept(plant: BackedUpPlant, folder: Path) -> None:
    plant.back_up(folder)
    package = plant.with_files(plant.history.events[-1].data).package
    for number in range(3):
        plant.history.add(TRAINER_WANG_ID, UserEmailChanged(email=f"wang{number}@fab.example"))
        plant.happens()
        plant.back_up(folder)
    count = len(list(folder.glob("files/??/*")))
    said: list[str] = []
    assert back_up(asked("backup", folder, "--keep", 2), plant.settings, said.append) == 0
    assert len(BackupFolder(folder).moments()) == 2
    assert len(list(folder.glob("files/??/*"))) < count
    assert BackupFolder(folder).store.has(package)
    assert all(checked(folder, "--at", moment)[0] == 0 for moment in BackupFolder(folder).moments())


def test_a_backup_does_not_lie_where_people_look(plant: BackedUpPlant) -> None:  # E-6
    for root in (*plant.settings.data_roots.values(), *plant.settings.archive_roots.values()):
        with pytest.raises(BackupFailed, match="which people may look into"):
            back_up(asked("backup", root / "backups"), plant.settings, print)


def test_an_interrupted_backup_is_none_and_the_next_goes_on(plant: BackedUpPlant, folder: Path) -> None:  # S-3
    before = plant.back_up(folder)
    new = plant.kept(b"another package")
    plant.history.add(export_id(MODEL_ID, "v1.02"), replace(plant.history.events[-1].data, package=new))
    plant.happens()
    dying = BackupFolder(folder)
    dying.store = DiesAfter(folder / "files", 0)
    with pytest.raises(KilledError):
        take(plant, dying)
    assert BackupFolder(folder).moments() == [before.moment]
    assert checked(folder)[0] == 0
    assert plant.back_up(folder).store.has(new)
    assert not list(folder.rglob("*.left"))
    assert not list(folder.glob(".part-*"))


def take(plant: BackedUpPlant, folder: BackupFolder) -> Backup:
    return take_backup(plant.settings, plant.artifacts, folder, plant.said.append)


def test_two_backups_do_not_write_into_the_same_folder_at_once(plant: BackedUpPlant, folder: Path) -> None:
    with BackupFolder(folder).written(), pytest.raises(BackupFailed, match="Another backup is being written"):
        plant.back_up(folder)


def test_a_full_disk_is_a_sentence_and_leaves_earlier_backups_as_they_were(plant: BackedUpPlant, folder: Path) -> None:
    before = plant.back_up(folder)
    plant.history.add(
        export_id(MODEL_ID, "v1.02"), replace(plant.history.events[-1].data, package=plant.kept(b"x" * 9_999))
    )
    plant.happens()
    with pytest.raises(BackupFailed, match=r"has no room: 9\.8 KiB are to be copied, 9\.0 KiB are free"):
        plant.back_up(folder, free_bytes=lambda _: 9 * 1024)
    with files_no_larger_than(1_000), pytest.raises(BackupFailed, match=r"is full\. Make room there"):
        plant.back_up(folder)
    assert BackupFolder(folder).moments() == [before.moment]
    assert checked(folder)[0] == 0
    plant.back_up(folder)


def test_what_is_no_installation_is_not_backed_up(fresh: Settings, folder: Path) -> None:
    with pytest.raises(BackupFailed, match="the database holds no log"):
        back_up(asked("backup", folder), fresh, print)
    assert BackupFolder(folder).moments() == []


def test_a_log_of_a_newer_release_is_not_half_backed_up(plant: BackedUpPlant, folder: Path) -> None:
    with psycopg.connect(plant.database) as connection:
        connection.execute(
            "INSERT INTO assay_events (originator_id, originator_version, topic, state)"
            " VALUES (gen_random_uuid(), 1, 'of.tomorrow', '[]')"
        )
    with pytest.raises(BackupFailed, match=r"does not know of\.tomorrow: a newer one wrote"):
        plant.back_up(folder)
