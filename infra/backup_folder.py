"""What a folder of backups holds, and how it is read and written.

    <folder>/files/ab/abcd…                            every file of every backup, under the SHA-256 of its content
    <folder>/backup-2026-11-26T16-48-34.512Z.json      one backup: which files belong to it, and of what moment it is

Tables are cut into parts of PostgreSQL's own text format, packed with gzip; equal content gives equal files, so a second backup
into the same folder adds only what is new. A manifest is written last and whole: what an interrupted backup leaves is no backup.
Everything is readable by its owner only, because the log holds the hashes of passwords and the key that seals it.
"""

import fcntl
import gzip
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from domain.artifacts import Artifact
from infra.artifacts import Artifacts
from infra.disks import sync
from infra.private_files import write_private

FORMAT: Final = 1
_MANIFEST = re.compile(r"backup-(?P<moment>[0-9TZ.-]+)\.json")
_CHECKSUM: Final = r"^[0-9a-f]{64}$"

Checksum = Annotated[str, msgspec.Meta(pattern=_CHECKSUM)]
"""What becomes part of a path must be nothing else, whoever wrote the manifest."""


class BackupFailed(Exception):
    """There is no backup, or it cannot be used; the text says why, and what to do."""


class Stored(msgspec.Struct, frozen=True):
    """A file of a backup."""

    checksum: Checksum
    size: int

    @property
    def artifact(self) -> Artifact:
        """Its place in the store."""
        return Artifact(self.checksum, self.size)


class Part(msgspec.Struct, frozen=True):
    """Some rows of a table, one after the other."""

    file: Stored
    row_count: int


class TableCopy(msgspec.Struct, frozen=True):
    """A table as it was, in the order of its parts; `columns` are those of each row."""

    name: str
    columns: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def row_count(self) -> int:
        """How many rows all parts hold."""
        return sum(part.row_count for part in self.parts)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One backup. `position` is that of the newest event, `next_position` is what the next one would have had.

    `files` are those of the state folder, by their names there. `artifacts` lists what the log names and the backup holds;
    `missing` and `damaged` are the checksums of what the storage did not have any more although something that stands refers to it.
    `settings` are those of the installation without secrets, for people.
    """

    format: int
    taken_at: datetime
    position: int
    next_position: int
    public_key: str
    tables: tuple[TableCopy, ...]
    files: dict[str, Stored]
    artifacts: Stored
    artifact_count: int
    artifact_bytes: int
    missing: tuple[Checksum, ...] = ()
    damaged: tuple[Checksum, ...] = ()
    settings: dict[str, Any] = {}

    def table(self, name: str) -> TableCopy:
        """A table by its name.

        Raises:
            BackupFailed: the backup has none of that name.
        """
        for table in self.tables:
            if table.name == name:
                return table
        raise BackupFailed(f"The manifest names no table {name}. It is damaged; use another backup.")

    @property
    def event_count(self) -> int:
        """Events of the log."""
        return self.table(EVENTS).row_count

    @property
    def own_files(self) -> Iterator[Stored]:
        """Every file but the artifacts that it lists."""
        yield self.artifacts
        yield from self.files.values()
        for table in self.tables:
            yield from (part.file for part in table.parts)


EVENTS: Final = "public.assay_events"
CHAIN: Final = "app.chain"
SEALS: Final = "app.seals"
SEALS_FILE, SEAL_KEY_FILE, SETTINGS_FILE = "seals.jsonl", "seal-key", "settings.json"


class Backup(NamedTuple):
    """A backup that lies in a folder. `checksum` is that of its manifest, on which everything hangs."""

    moment: str
    manifest: Manifest
    checksum: str
    store: Artifacts

    def rows(self, table: TableCopy) -> Iterator[list[bytes]]:
        """The rows of a table, each as its columns are written."""
        for part in table.parts:
            with gzip.open(self.store.path(part.file.artifact), "rb") as lines:
                for line in lines:
                    yield line.removesuffix(b"\n").split(b"\t")

    def content(self, part: Part) -> Iterator[bytes]:
        """A part as PostgreSQL takes it."""
        with gzip.open(self.store.path(part.file.artifact), "rb") as packed:
            while block := packed.read(1 << 20):
                yield block

    def artifacts(self) -> Iterator[Artifact]:
        """The artifacts that it holds.

        Raises:
            BackupFailed: the list is none.
        """
        with gzip.open(self.store.path(self.manifest.artifacts.artifact), "rt", encoding="ascii") as lines:
            for line in lines:
                checksum, _, size = line.rstrip("\n").partition(" ")
                if not re.match(_CHECKSUM, checksum) or not size.isdigit():
                    raise BackupFailed(
                        f"The list of artifacts holds {line[:100]!r}. It is damaged; use another backup."
                    )
                yield Artifact(checksum, int(size))


class BackupFolder:
    """A folder of backups."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Artifacts(folder / "files", is_private=True)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Nobody else writes here meanwhile; what an interrupted backup left half written is gone.

        Raises:
            BackupFailed: somebody else does.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.store.folder.mkdir(mode=0o700, exist_ok=True)
        self.store.folder.chmod(0o700)
        lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for unfinished in (
                *self.store.folder.glob("??/.*"),
                *self.folder.glob(".backup-*"),
                *self.folder.glob(".part-*"),
            ):
                unfinished.unlink()
            yield
        except BlockingIOError:
            raise BackupFailed(
                f"Another backup is being written into {self.folder}. Wait until it has ended."
            ) from None
        finally:
            os.close(lock)

    @contextmanager
    def part(self) -> Iterator[Path]:
        """A file to write into and then to `keep`."""
        beside = self.folder / f".part-{secrets.token_hex(4)}"
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            yield beside
        finally:
            beside.unlink(missing_ok=True)

    def keep(self, content: bytes) -> Stored:
        """Keep a small file."""
        with self.part() as beside:
            beside.write_bytes(content)
            return self.keep_file(beside)

    def keep_file(self, file: Path) -> Stored:
        """Keep a `part`, which is moved; one that is there already is not written again."""
        artifact = self.store.keep(file)
        return Stored(artifact.checksum, artifact.size)

    def add(self, manifest: Manifest) -> Backup:
        """What makes a backup of the files that were kept."""
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
        moment = manifest.taken_at.strftime("%Y-%m-%dT%H-%M-%S.") + f"{manifest.taken_at.microsecond // 1000:03}Z"
        place = self.folder / f"backup-{moment}.json"
        write_private(place, content)
        sync(self.folder)
        return Backup(moment, manifest, hashlib.sha256(content).hexdigest(), self.store)

    def moments(self) -> list[str]:
        """The backups that lie here, the oldest first."""
        names = (_MANIFEST.fullmatch(file.name) for file in self.folder.glob("backup-*.json"))
        return sorted(name["moment"] for name in names if name)

    def open(self, moment: str | None = None) -> Backup:
        """A backup, the newest where no moment is named. Only its manifest is read.

        Raises:
            BackupFailed: there is none, or its manifest cannot be used.
        """
        moments = self.moments()
        if not moments:
            raise BackupFailed(f"There is no backup in {self.folder}: a whole one has a file backup-….json there.")
        if moment is not None and moment not in moments:
            raise BackupFailed(f"There is no backup of {moment} in {self.folder}. These are: {', '.join(moments)}.")
        file = self.folder / f"backup-{moment or moments[-1]}.json"
        content = file.read_bytes()
        try:
            numbered = msgspec.json.decode(content, type=_Numbered)
            if numbered.format > FORMAT:
                raise BackupFailed(f"A newer release made {file} (format {numbered.format}). Use that release.")
            manifest = msgspec.json.decode(content, type=Manifest)
        except msgspec.MsgspecError as error:
            raise BackupFailed(f"{file} is damaged: {error}. Use another backup: {_others(moments, file)}.") from error
        return Backup(moment or moments[-1], manifest, hashlib.sha256(content).hexdigest(), self.store)

    def keep_newest(self, count: int) -> int:
        """Remove all backups but the newest, and the files that none of those names; returns how many backups went."""
        moments = self.moments()
        gone, kept = moments[: max(0, len(moments) - count)], moments[max(0, len(moments) - count) :]
        needed: set[str] = set()
        for moment in kept:
            backup = self.open(moment)
            needed.update(file.checksum for file in backup.manifest.own_files)
            needed.update(artifact.checksum for artifact in backup.artifacts())
        for moment in gone:
            (self.folder / f"backup-{moment}.json").unlink()
        sync(self.folder)  # first: no backup may be left that has lost its files
        for file in self.store.untouched(0.0):
            if file.checksum not in needed:
                self.store.remove(file, untouched_seconds=0.0)
        return len(gone)


@contextmanager
def packed(target: Path) -> Iterator[gzip.GzipFile]:
    """A file to write a part into; the same rows give the same bytes."""
    with target.open("wb") as file, gzip.GzipFile("", "wb", compresslevel=3, fileobj=file, mtime=0) as pack:
        yield pack


class _Numbered(msgspec.Struct):
    format: int


def _others(moments: Sequence[str], file: Path) -> str:
    return ", ".join(moment for moment in moments if moment not in file.name) or "there is no other here"
