"""What is backed up comes back whole in a fresh place, and what is not whole is refused. Source: REQUIREMENTS, S-3, E-4."""

import gzip
import resource
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec.structs import replace
from psycopg.rows import tuple_row

from domain.artifacts import Artifact
from domain.exports import export_id
from domain.model_images import ModelImageVersionDeleted
from domain.users import UserEmailChanged
from infra.artifacts import Artifacts
from infra.backed_up_tables import IN_BACKUP, LEFT_OUT, LIBRARYS_OWN_ROW
from infra.backup_folder import CHAIN, EVENTS, Backup, BackupFailed, BackupFolder, Manifest
from infra.backup_verbs import back_up, check, choose, put_back
from infra.backups import take_backup
from infra.checked_backups import check_log
from infra.cli import parser
from infra.event_store import open_event_log
from infra.kept_secrets import seal_key
from infra.mes_feed import position_of
from infra.notary import public_key_of, seals_in_file, verify
from infra.recorder import TrackingAfter
from infra.relay import ReportLog
from infra.restores import POSITIONS_LEFT_OUT, restore
from infra.settings import RESTORE_MARK, Settings, WrongSetting, refuse_unfinished_restore
from projections.all import READ_MODELS
from tests.eventually import eventually
from tests.examples import (
    MODEL_ID,
    MODEL_IMAGE_ID,
    PREDICTION_JOB_ID,
    TRAINER_WANG_ID,
    TRAINING_JOB_ID,
    History,
    example_id,
)
from tests.infra.backed_up_plant import (
    REACHED,
    SOURCE,
    BackedUpPlant,
    backed_up_plant,
    recorded_of,
    settings_of,
)
from tests.projections.rebuild import tables_of
from tests.web.real_site import open_real_site


@pytest.fixture
def plant(database: str, tmp_path: Path) -> Iterator[BackedUpPlant]:
    with backed_up_plant(database, tmp_path / "plant") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def fresh(other_database: str, tmp_path: Path) -> Settings:
    """An empty place."""
    return settings_of(other_database, tmp_path / "fresh")


def asked(*arguments: object) -> Namespace:
    return parser().parse_args(list(map(str, arguments)))


def restored(folder: Path, settings: Settings, *options: object) -> tuple[int, list[str]]:
    """As `assay restore` does; the exit status, and what was said."""
    said: list[str] = []
    question = asked("restore", folder, *options)
    return put_back(choose(question, said.append), question, settings, said.append), said


def checked(folder: Path, *options: object) -> tuple[int, list[str]]:
    """As `assay backup --check` does."""
    said: list[str] = []
    return check(asked("backup", folder, "--check", *options), said.append), said


def rows_of(database: str, table: str) -> list[Any]:
    with psycopg.connect(database, row_factory=tuple_row) as connection:
        where = f"WHERE NOT ({LIBRARYS_OWN_ROW.get(table, 'false')}) ORDER BY {IN_BACKUP[table]}"
        return connection.execute(f"SELECT * FROM {table} {where}".encode()).fetchall()


def public_key(settings: Settings) -> bytes:
    return public_key_of(seal_key(settings))


def is_empty(settings: Settings) -> bool:
    """Whether a restore left nothing behind."""
    with psycopg.connect(str(settings.database_url)) as connection:
        has_log = connection.execute("SELECT to_regclass(%s)", (EVENTS,)).fetchone() != (None,)
    return not has_log and not settings.state.exists() and not settings.shared.exists()


# What comes back


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


def test_every_table_is_backed_up_or_left_out_with_a_reason(plant: BackedUpPlant) -> None:  # S-3
    """A new table is in neither list: whoever adds one decides."""
    with psycopg.connect(plant.database) as connection:
        found = connection.execute(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_schema IN ('public', 'app')"
        ).fetchall()
    assert {row[0] for row in found} == IN_BACKUP.keys() | LEFT_OUT.keys()
    assert not IN_BACKUP.keys() & LEFT_OUT.keys()


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


# What keeps a backup from being whole


class KilledError(BaseException):
    """The process is gone."""


class DiesAfter(Artifacts):
    """A store that is killed with its process after so many files."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder)
        self._left = count

    def take(self, artifact: Artifact, source: Artifacts) -> None:
        self._left -= 1
        if self._left < 0:
            (self.folder / artifact.checksum[:2]).mkdir(parents=True, exist_ok=True)
            (self.folder / artifact.checksum[:2] / f".{artifact.checksum}.left").write_bytes(b"half")
            raise KilledError
        super().take(artifact, source)


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


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel lets no file of this process grow beyond, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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


# What is refused


def spoil(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


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
