"""Puts a backup back into an empty place, so that the installation goes on from the moment of the backup (S-3).

Files first, then the database in one transaction, then the read tables from the log. A mark in the state folder says that a restore
is under way: until it has ended nothing else starts there, and the same restore goes on where it was interrupted.
"""

from typing import Final, NamedTuple

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from domain.artifacts import Artifact
from infra.artifacts import ArtifactIsDamaged, Artifacts
from infra.backed_up_tables import IN_BACKUP, LIBRARYS_OWN_ROW
from infra.backup_folder import (
    EVENTS,
    SEAL_KEY_FILE,
    SEALS_FILE,
    SETTINGS_FILE,
    Backup,
    BackupFailed,
    TableCopy,
)
from infra.connections import connect
from infra.disks import DISK_IS_FULL
from infra.event_store import create_tables
from infra.private_files import write_private
from infra.progress import Progress, Say
from infra.settings import RESTORE_MARK, Settings
from infra.side_tables import create_side_tables

POSITIONS_LEFT_OUT: Final = 1_000_000
"""Positions that the lost events may have had: more than a large plant has in a year. Whoever read events after the moment of the
backup and asks for those behind the last one must not be given none because new ones took the old places.
"""


class Restored(NamedTuple):
    """What was put back; `left_out` are artifacts of the backup that are damaged."""

    event_count: int
    artifact_count: int
    left_out: tuple[str, ...]


def restore(
    settings: Settings, artifacts: Artifacts, backup: Backup, say: Say, *, reuses_storage: bool, despite_damage: bool
) -> Restored:
    """Put everything back but the read tables. The place may hold nothing, except what this same restore left before, and with
    `reuses_storage` artifacts.

    Raises:
        BackupFailed: the place is not empty, or it cannot be written; with what to do.
    """
    assert settings.database_url is not None
    try:
        with connect(settings.database_url, autocommit=True) as connection:
            if not _is_begun(settings, backup, connection):
                refuse_used_place(settings, artifacts, connection, reuses_storage=reuses_storage)
            write_private(settings.state / RESTORE_MARK, backup.checksum.encode())
            left_out = _put_artifacts(backup, artifacts, say, despite_damage=despite_damage)
            _put_files(settings, backup)
            if not _rows_in(connection, EVENTS):
                _put_tables(settings.database_url, connection, backup, say)
        return Restored(backup.manifest.event_count, backup.manifest.artifact_count - len(left_out), left_out)
    except OSError as error:
        if error.errno in DISK_IS_FULL:
            raise BackupFailed(
                f"The disk is full: {error.filename or settings.shared}. Make room, then run the same restore again."
            ) from error
        raise BackupFailed(f"{error.filename or settings.state}: {error.strerror}.") from error
    except psycopg.Error as error:
        raise BackupFailed(f"The database cannot be written: {str(error).strip()}") from error


def finish(settings: Settings) -> None:
    """From now on the place may be used."""
    (settings.state / RESTORE_MARK).unlink()


def refuse_used_place(
    settings: Settings, artifacts: Artifacts, connection: Connection[TupleRow], *, reuses_storage: bool
) -> None:
    """Raises BackupFailed where anything of an installation is there already."""
    for name in (SEAL_KEY_FILE, SETTINGS_FILE, settings.seals.parent.name):
        if (settings.state / name).exists():
            raise BackupFailed(
                f"{settings.state / name} is there already. Restore into an empty place: set ASSAY_STATE to another folder. What"
                " survived of the storage stays in use with ASSAY_SHARED and --reuse-storage."
            )
    if taken := [name for name in IN_BACKUP if _rows_in(connection, name)]:
        raise BackupFailed(
            f"The database holds {', '.join(taken)} already. Restore into an empty one: set ASSAY_DATABASE_URL, or ASSAY_STATE"
            " for the embedded one."
        )
    if not reuses_storage and next(artifacts.untouched(-1.0), None):
        raise BackupFailed(
            f"{artifacts.folder} holds artifacts already. Set ASSAY_SHARED to an empty folder. If it is the storage of this very"
            " installation and survived, add --reuse-storage: then only what is missing or damaged there is copied."
        )


def _is_begun(settings: Settings, backup: Backup, connection: Connection[TupleRow]) -> bool:
    """Whether a restore was begun before; of which backup matters once the log is there.

    Raises:
        BackupFailed: the log of another one is there.
    """
    try:
        begun = (settings.state / RESTORE_MARK).read_text()
    except FileNotFoundError:
        return False
    if begun != backup.checksum and _rows_in(connection, EVENTS):
        raise BackupFailed(
            f"Another backup was being restored into {settings.state}. Restore that one, or begin with an empty place."
        )
    return True


def _put_artifacts(backup: Backup, artifacts: Artifacts, say: Say, *, despite_damage: bool) -> tuple[str, ...]:
    """Copy what is not there yet, or is damaged there. Returns what the backup does not hold as it was."""
    manifest = backup.manifest
    progress = Progress(say, "Artifacts", manifest.artifact_count, manifest.artifact_bytes)
    left_out: list[str] = []
    for artifact in backup.artifacts():
        if not _is_whole(artifacts, artifact):
            try:
                artifacts.take(artifact, backup.store)
            except (ArtifactIsDamaged, FileNotFoundError) as error:
                if not despite_damage:
                    raise BackupFailed(
                        f"The backup is damaged: {error}. Use another one, or add --despite-damage to restore without it."
                    ) from error
                left_out.append(artifact.checksum)
        progress.add(artifact.size)
    return tuple(left_out)


def _is_whole(artifacts: Artifacts, artifact: Artifact) -> bool:
    try:
        artifacts.check(artifact)
    except (FileNotFoundError, ArtifactIsDamaged):
        return False
    return True


def _put_files(settings: Settings, backup: Backup) -> None:
    places = {
        SEALS_FILE: settings.seals,
        SEAL_KEY_FILE: settings.state / SEAL_KEY_FILE,
        SETTINGS_FILE: settings.state / SETTINGS_FILE,
    }
    for name, file in backup.manifest.files.items():
        write_private(places[name], backup.store.read(file.artifact))


def _put_tables(dsn: str, connection: Connection[TupleRow], backup: Backup, say: Say) -> None:
    create_tables(dsn)
    create_side_tables(dsn)
    manifest = backup.manifest
    say(f"{manifest.event_count:,} events …")
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '5s'")
        connection.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(Identifier(*EVENTS.split("."))))
        if _rows_in(connection, EVENTS):
            raise BackupFailed("Something writes into the database that is being restored. Stop it, then begin anew.")
        for table in manifest.tables:
            _put_table(connection, backup, table)
        connection.execute(
            "SELECT setval(pg_get_serial_sequence(%s, 'notification_id'), %s, false)",
            (EVENTS, manifest.next_position + POSITIONS_LEFT_OUT),
        )
    connection.execute("ANALYZE")


def _put_table(connection: Connection[TupleRow], backup: Backup, table: TableCopy) -> None:
    if table.name not in IN_BACKUP:
        raise BackupFailed(f"This release has no table {table.name}; a newer one made the backup. Use that release.")
    if not table.parts:
        return
    into = SQL("COPY {} ({}) FROM STDIN").format(
        Identifier(*table.name.split(".")), SQL(", ").join(map(Identifier, table.columns))
    )
    with connection.cursor() as cursor:
        for part in table.parts:
            with cursor.copy(into) as copy:
                for block in backup.content(part):
                    copy.write(block)


def _rows_in(connection: Connection[TupleRow], name: str) -> bool:
    """Whether a table is there and not empty."""
    if connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,):
        return False
    query = SQL("SELECT 1 FROM {} WHERE NOT ({}) LIMIT 1").format(
        Identifier(*name.split(".")), SQL(LIBRARYS_OWN_ROW.get(name, "false"))
    )
    return connection.execute(query).fetchone() is not None
