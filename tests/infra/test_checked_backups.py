"""What is not whole, or not what it was, is named and not restored. Source: REQUIREMENTS, S-3, E-4."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from domain.users import UserEmailChanged
from infra.backup_folder import CHAIN, EVENTS, Backup, BackupFailed, BackupFolder, Manifest
from infra.backup_verbs import back_up, choose, put_back
from infra.checked_backups import check_log
from infra.notary import seals_in_file
from infra.settings import Settings
from tests.examples import TRAINER_WANG_ID
from tests.infra.asked_backups import asked, checked, cut, folder, fresh, is_empty, plant, public_key, restored, spoil
from tests.infra.backed_up_plant import BackedUpPlant

__all__ = ["folder", "fresh", "plant"]


def file_of(backup: Backup, name: str, part: int = 0) -> Path:
    return backup.store.path(backup.manifest.table(name).parts[part].file.artifact)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda backup: spoil(file_of(backup, EVENTS, 1)), "is damaged: rows 11 to 20 of public.assay_events"),
        (lambda backup: cut(file_of(backup, EVENTS)), "is cut off, or damaged: rows 1 to 10 of public.assay_events"),
        (lambda backup: file_of(backup, CHAIN).unlink(), "is missing: rows 1 to 10 of app.chain"),
        (lambda backup: cut(backup.store.path(backup.manifest.artifacts.artifact)), "the list of artifacts"),
        (lambda backup: spoil(backup.store.path(backup.manifest.files["seal-key"].artifact)), "seal-key"),
        (lambda backup: cut(backup.store.path(next(backup.artifacts()))), "is missing or cut off: an artifact"),
    ],
    ids=["changed part", "cut part", "missing part", "cut list", "changed key", "cut artifact"],
)
def test_a_damaged_backup_is_named_and_not_restored(
    plant: BackedUpPlant, folder: Path, fresh: Settings, damage: Callable[[Backup], None], told: str
) -> None:  # S-3
    damage(plant.back_up(folder, rows_in_part=10))
    status, said = checked(folder)
    assert (status, said[-1]) == (1, "Something does not fit.")
    said.clear()
    with pytest.raises(BackupFailed, match=r"Nothing was restored"):
        put_back(choose(asked("restore", folder), said.append), asked("restore", folder), fresh, said.append)
    assert told in "\n".join(said)
    assert is_empty(fresh)


def test_a_manifest_that_was_cut_off_names_the_other_backups(
    plant: BackedUpPlant, folder: Path, fresh: Settings
) -> None:
    before, last = plant.back_up(folder), plant.back_up(folder)
    cut(folder / f"backup-{last.moment}.json")
    with pytest.raises(BackupFailed, match=f"is damaged: .* Use another backup: {before.moment}"):
        checked(folder)
    assert restored(folder, fresh, "--at", before.moment)[0] == 0


def test_no_name_in_a_manifest_leads_out_of_the_folder(plant: BackedUpPlant, folder: Path) -> None:
    backup = plant.back_up(folder)
    place = folder / f"backup-{backup.moment}.json"
    place.write_text(place.read_text().replace(backup.manifest.artifacts.checksum, "../../../etc/passwd"))
    with pytest.raises(BackupFailed, match="is damaged"):
        checked(folder)


def rewritten(backup: Backup, folder: Path, table: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """As somebody does who knows the format: another content, and every checksum made anew."""
    found = backup.manifest.table(table)
    lines = change(
        [line for part in found.parts for line in gzip.decompress(read(backup, part)).splitlines(keepends=True)]
    )
    store = BackupFolder(folder)
    part = msgspec.structs.replace(
        found.parts[0], file=store.keep(gzip.compress(b"".join(lines))), row_count=len(lines)
    )
    tables = tuple(replace(one, parts=(part,)) if one.name == table else one for one in backup.manifest.tables)
    write(folder, backup, replace(backup.manifest, tables=tables))


def read(backup: Backup, part: Any) -> bytes:
    return backup.store.read(part.file.artifact)


def write(folder: Path, backup: Backup, manifest: Manifest) -> None:
    (folder / f"backup-{backup.moment}.json").write_bytes(msgspec.json.encode(manifest))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda lines: [lines[0].replace(b"\tuser.created\t", b"\tuser.deleted\t"), *lines[1:]],
            "position 1: the event was changed",
        ),
        (lambda lines: [lines[0], *lines[2:]], "position 2: an event was removed"),
        (lambda lines: lines[:-3], "the tail is missing"),
    ],
    ids=["changed", "removed", "cut off"],
)
def test_a_tampered_log_is_found_by_its_chain_and_not_restored(
    plant: BackedUpPlant, folder: Path, fresh: Settings, change: Callable[[list[bytes]], list[bytes]], told: str
) -> None:  # E-4
    rewritten(plant.back_up(folder), folder, EVENTS, change)
    status, said = checked(folder)
    assert status == 1
    assert any(told in line for line in said)
    with pytest.raises(BackupFailed, match="Nothing was restored"):
        restored(folder, fresh)
    assert is_empty(fresh)
    status, said = restored(folder, fresh, "--despite-damage")
    assert (status, said[-1]) == (1, "Not everything is as it was: see above.")


def test_a_log_that_was_cut_off_with_its_chain_and_seals_is_known_by_a_copy_of_the_seals(
    plant: BackedUpPlant, folder: Path, tmp_path: Path
) -> None:  # E-4
    plant.back_up(folder)
    plant.history.add(TRAINER_WANG_ID, UserEmailChanged(email="wang@fab.example"))
    plant.happens()
    plant.seal()
    copy = tmp_path / "seals-elsewhere.jsonl"
    copy.write_bytes(plant.settings.seals.read_bytes())
    assert len(seals_in_file(copy)) == 2
    assert checked(folder)[0] == 0, "by itself an older moment cannot be told from a cut one"
    status, said = checked(folder, "--seals", copy)
    assert status == 1
    assert any("the tail is missing" in line for line in said)


def test_a_log_that_was_sealed_anew_is_known_by_a_copy_of_the_key(plant: BackedUpPlant, folder: Path) -> None:  # E-4
    key = public_key(plant.settings)
    (plant.settings.state / "seal-key").write_bytes(b"k" * 32)
    plant.settings.seals.unlink()
    with psycopg.connect(plant.database) as connection:
        connection.execute("TRUNCATE app.seals")
    plant.seal()
    plant.back_up(folder)
    assert checked(folder)[0] == 0
    status, said = checked(folder, "--key", key.hex())
    assert status == 1
    assert any("does not carry the signature of this key" in line for line in said)


def test_a_key_or_a_file_of_seals_that_is_none_is_refused(plant: BackedUpPlant, folder: Path) -> None:
    plant.back_up(folder)
    for options, told in ((("--key", "abcd"), "--key has 2 bytes"), (("--key", "x"), "cannot be verified")):
        with pytest.raises(BackupFailed, match=told):
            checked(folder, *options)
    with pytest.raises(BackupFailed, match="is no file"):
        checked(folder, "--seals", folder / "nowhere")


def test_a_tampered_installation_is_backed_up_as_it_is_and_says_so(plant: BackedUpPlant, folder: Path) -> None:  # E-4
    with psycopg.connect(plant.database) as connection:
        connection.execute("DELETE FROM app.seals")
        connection.execute("UPDATE assay_events SET topic = 'user.deleted' WHERE notification_id = 5")
    said: list[str] = []
    assert back_up(asked("backup", folder), plant.settings, said.append) == 1
    assert "position 5: the event was changed" in said
    assert any(line.endswith("is missing in the database") for line in said), "what the file of seals knows is kept"


@pytest.mark.parametrize(
    "moment", ["2026-03-02 08:30:00+00", "2026-03-02 08:30:00.1+00", "2026-03-02 16:30:00.123450+08"]
)
def test_times_are_verified_as_the_notary_saw_them(plant: BackedUpPlant, folder: Path, moment: str) -> None:  # E-4
    """PostgreSQL writes no zeros at the end of a time, and none at all for a whole second."""
    with psycopg.connect(plant.database) as connection:
        connection.execute(
            "INSERT INTO assay_events (originator_id, originator_version, topic, state, recorded_at)"
            " SELECT gen_random_uuid(), 1, topic, state, %s FROM assay_events WHERE notification_id = 1",
            (moment,),
        )
    plant.seal()
    checked = check_log(plant.back_up(folder))
    assert (checked.is_whole, checked.seal_count) == (True, 2)
