"""Takes a backup while the service runs: one moment of the log with all that belongs to it, and the files that it names (S-3).

One REPEATABLE READ transaction reads every table, so log, chain and positions are those of the same moment, and nobody waits for
it. As long as it copies it holds the artifact store: nothing that the log of that moment names is removed meanwhile.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg
from eventsourcing.persistence import MapperDeserialisationError
from psycopg import Connection, IsolationLevel
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Identifier

from domain.artifacts import Artifact
from infra.artifacts import ArtifactIsDamaged, Artifacts
from infra.backed_up_tables import IN_BACKUP, LIBRARYS_OWN_ROW
from infra.backup_folder import (
    EVENTS,
    FORMAT,
    SEAL_KEY_FILE,
    SEALS,
    SEALS_FILE,
    SETTINGS_FILE,
    Backup,
    BackupFailed,
    BackupFolder,
    Manifest,
    Part,
    Stored,
    TableCopy,
    packed,
)
from infra.chain import Seal, seal_to_line
from infra.connections import connect
from infra.disks import DISK_IS_FULL
from infra.named_artifacts import NamedArtifacts, UnknownFacts, named_in_log
from infra.notary import public_key_of, seals_in_database, seals_in_file
from infra.progress import Progress, Say, as_bytes
from infra.settings import Settings, told_settings

ROWS_IN_PART: Final = 20_000
BYTES_IN_PART: Final = 64 << 20
"""Where a part ends, whichever comes first: small enough that what came since the last backup is little more than what is new."""
SEALING_SECONDS: Final = 5.0
"""A seal is in the file a moment before it is in the database; so long is waited for the moment to pass."""


def take_backup(
    settings: Settings,
    artifacts: Artifacts,
    folder: BackupFolder,
    say: Say,
    *,
    rows_in_part: int = ROWS_IN_PART,
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> Backup:
    """Add a backup of this moment to a folder.

    Raises:
        BackupFailed: there is nothing to back up, no room for it, or the log cannot be read. Earlier backups stay as they were.
    """
    assert settings.database_url is not None
    try:
        with folder.written(), artifacts.held(), connect(settings.database_url) as connection:
            return _Taking(settings, artifacts, folder, connection, say, rows_in_part, free_bytes).run()
    except OSError as error:
        if error.errno in DISK_IS_FULL:
            raise BackupFailed(f"The disk of {folder.folder} is full. Make room there, then back up again.") from error
        raise BackupFailed(f"{error.filename or folder.folder}: {error.strerror}. The backup is not whole.") from error
    except psycopg.Error as error:
        raise BackupFailed(f"The database cannot be read: {str(error).strip()}") from error


class _Taking:
    def __init__(
        self,
        settings: Settings,
        artifacts: Artifacts,
        folder: BackupFolder,
        connection: Connection[TupleRow],
        say: Say,
        rows_in_part: int,
        free_bytes: Callable[[Path], int],
    ) -> None:
        self.settings, self.artifacts, self.folder, self.connection = settings, artifacts, folder, connection
        self.say, self.rows_in_part, self.free_bytes = say, rows_in_part, free_bytes

    def run(self) -> Backup:
        if self.connection.execute("SELECT to_regclass(%s)", (EVENTS,)).fetchone() == (None,):
            raise BackupFailed("There is nothing to back up: the database holds no log.")
        self.connection.execute("SET timezone = 'UTC'; SET datestyle = 'ISO'; SET bytea_output = 'hex'")
        self.connection.commit()
        self.connection.isolation_level, self.connection.read_only = IsolationLevel.REPEATABLE_READ, True
        with self._moment() as seals:
            taken_at = datetime.now(UTC)
            key = self._key(has_seals=bool(seals))
            position, next_position = self._positions()
            try:
                named = named_in_log(self.connection)
            except UnknownFacts as error:
                raise BackupFailed(str(error)) from error
            except MapperDeserialisationError as error:
                raise BackupFailed(f"{error}. `assay verify` says whether somebody changed it.") from error
            self.say(f"The log up to position {position:,} …")
            tables = tuple(self._copy(name, order) for name, order in IN_BACKUP.items())
        kept, missing, damaged = self._copy_artifacts(named)
        return self.folder.add(
            Manifest(
                format=FORMAT,
                taken_at=taken_at,
                position=position,
                next_position=next_position,
                public_key=public_key_of(key).hex() if key else "",
                tables=tables,
                files=self._own_files(seals, key),
                artifacts=self._list(kept),
                artifact_count=len(kept),
                artifact_bytes=sum(artifact.size for artifact in kept),
                missing=missing,
                damaged=damaged,
                settings=told_settings(self.settings),
            )
        )

    @contextmanager
    def _moment(self) -> Iterator[list[Seal]]:
        """A transaction that sees one moment, and the seals of it, those that are in one place only included.

        A seal is written into the file first. What is only there although the moment has passed is kept: it tells of a database
        that was tampered with.
        """
        until = time.monotonic() + SEALING_SECONDS
        while True:
            before = self._seals_in_file()
            with self.connection.transaction():
                inside = set(seals_in_database(self.connection))
                if inside.issuperset(before) or time.monotonic() > until:
                    yield sorted({*before, *inside.intersection(self._seals_in_file())})
                    return
            time.sleep(SEALING_SECONDS / 100)

    def _seals_in_file(self) -> list[Seal]:
        try:
            return seals_in_file(self.settings.seals)
        except ValueError as error:
            raise BackupFailed(
                f"{self.settings.seals} cannot be read: {error}. Put a copy of it in its place."
            ) from error

    def _key(self, *, has_seals: bool) -> bytes | None:
        """The key of the seals; it is not made here."""
        file = self.settings.state / SEAL_KEY_FILE
        if file.exists():
            return file.read_bytes()
        if has_seals or self.connection.execute(f"SELECT 1 FROM {SEALS} LIMIT 1").fetchone():  # noqa: S608 - ours
            raise BackupFailed(f"{file} is missing, and the log is sealed. Back up where the notary runs.")
        return None

    def _positions(self) -> tuple[int, int]:
        """Of the newest event, and the one that the next event would have had."""
        row = self.connection.execute(
            "SELECT coalesce(max(notification_id), 0), pg_get_serial_sequence(%s, 'notification_id') FROM public.assay_events",
            (EVENTS,),
        ).fetchone()
        assert row is not None
        given = self.connection.execute(
            SQL("SELECT last_value + is_called::int FROM {}").format(Identifier(*row[1].split(".")))
        ).fetchone()
        return row[0], given[0] if given else 1

    def _copy(self, name: str, order: str) -> TableCopy:
        schema, table = name.split(".")
        found = self.connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
            " ORDER BY ordinal_position",
            (schema, table),
        ).fetchall()
        columns = tuple(row[0] for row in found)
        if not columns:  # an older release made the database
            return TableCopy(name, (), ())
        asked = SQL("COPY (SELECT {} FROM {} WHERE NOT ({}) ORDER BY {}) TO STDOUT").format(
            SQL(", ").join(map(Identifier, columns)),
            Identifier(schema, table),
            SQL(LIBRARYS_OWN_ROW.get(name, "false")),
            SQL(order),
        )
        return TableCopy(name, columns, tuple(self._parts(asked)))

    def _parts(self, asked: Composed) -> Iterator[Part]:
        with self.connection.cursor() as cursor, cursor.copy(asked) as copy:
            rows = (bytes(row) for row in copy)
            for first in rows:
                with self.folder.part() as beside:
                    with packed(beside) as pack:
                        row_count, size = 1, pack.write(first)
                        while row_count < self.rows_in_part and size < BYTES_IN_PART and (row := next(rows, None)):
                            row_count, size = row_count + 1, size + pack.write(row)
                    yield Part(self.folder.keep_file(beside), row_count)

    def _copy_artifacts(self, named: NamedArtifacts) -> tuple[list[Artifact], tuple[str, ...], tuple[str, ...]]:
        """What of it the backup holds now, and the checksums of what is missing or damaged although something refers to it."""
        store, referred = self.folder.store, named.referred()
        wanted = [named.named[checksum] for checksum in sorted(named.named)]
        new = [artifact for artifact in wanted if not store.has(artifact) and self.artifacts.has(artifact)]
        self._refuse_without_room(sum(artifact.size for artifact in new))
        progress = Progress(self.say, "Artifacts", len(new), sum(artifact.size for artifact in new))
        damaged: set[str] = set()
        for artifact in new:
            try:
                store.take(artifact, self.artifacts)
            except ArtifactIsDamaged:
                damaged.add(artifact.checksum)
            progress.add(artifact.size)
        kept = [artifact for artifact in wanted if store.has(artifact)]
        missing = referred.difference(artifact.checksum for artifact in kept) - damaged
        return kept, tuple(sorted(missing)), tuple(sorted(damaged & referred))

    def _refuse_without_room(self, needed: int) -> None:
        free = self.free_bytes(self.folder.folder)
        if needed > free:
            raise BackupFailed(
                f"{self.folder.folder} has no room: {as_bytes(needed)} are to be copied, {as_bytes(free)} are free."
            )

    def _own_files(self, seals: Sequence[Seal], key: bytes | None) -> dict[str, Stored]:
        contents = {SEALS_FILE: "".join(f"{seal_to_line(seal)}\n" for seal in seals).encode()}
        if key:
            contents[SEAL_KEY_FILE] = key
        remembered = self.settings.state / SETTINGS_FILE
        if remembered.exists():
            contents[SETTINGS_FILE] = remembered.read_bytes()
        return {name: self.folder.keep(content) for name, content in contents.items()}

    def _list(self, artifacts: Iterable[Artifact]) -> Stored:
        with self.folder.part() as beside:
            with packed(beside) as pack:
                for artifact in artifacts:
                    pack.write(f"{artifact.checksum} {artifact.size}\n".encode())
            return self.folder.keep_file(beside)
