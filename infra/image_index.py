"""The index of a large data path: every entry by name in a file of its own, filled by a scan that can be cut off anywhere.

A scan first lists the folders, then looks at the files in the order in which they were listed. Names, what was seen and the place
reached are stored together, so a scan that was killed goes on from its last `save` and ends with the counts of one that was not.
Memory stays the same however many entries there are. The file is a cache: where it is broken or gone, the scan begins anew.

Names are stored as bytes, because file systems have names that are no text.
"""

import contextlib
import enum
import os
import sqlite3
from collections.abc import Generator, Iterator
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from urllib.parse import quote

import msgspec

from domain.data_paths import DataPathProblem, DataPathState, DefectCodeCount, FolderName, Inspection
from domain.image_files import MASKS_FOLDER, is_text, outlined_stem, stem
from gpu_worker.ports import FolderNotFound
from infra.data_folders import MOST_RESOLUTIONS, CodeFolder, DataFolders, Figures, Mark, below
from infra.image_heads import Seen, Unread, look_at

BATCH = 400
"""Entries that are listed or looked at in one go, at most: 20 ms, so that nobody waits for the end of a batch."""
VERSION = 1
"""Counts up whenever the tables or the rules of counting change; an index of another version is made anew."""
_READER_PATIENCE_SECONDS = 2.0
_TABLES = f"""
PRAGMA user_version = {VERSION};
CREATE TABLE scan (
    scan_id TEXT NOT NULL, phase TEXT NOT NULL, looked_at INTEGER NOT NULL, entry_count INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL, damaged_count INTEGER NOT NULL
);
CREATE TABLE folders (
    number INTEGER PRIMARY KEY, defect_code TEXT NOT NULL, path TEXT NOT NULL,
    is_listed INTEGER NOT NULL DEFAULT 0, is_outlined INTEGER NOT NULL DEFAULT 0, has_groups INTEGER NOT NULL DEFAULT 0,
    marked INTEGER NOT NULL DEFAULT 0, masks_marked INTEGER NOT NULL DEFAULT 0,
    image_count INTEGER NOT NULL DEFAULT 0, mask_count INTEGER NOT NULL DEFAULT 0, shown_count INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE files (
    number INTEGER PRIMARY KEY, folder INTEGER NOT NULL, name BLOB NOT NULL, is_link INTEGER NOT NULL,
    kind INTEGER NOT NULL DEFAULT 0, has_mask INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE outlined (folder INTEGER NOT NULL, stem BLOB NOT NULL, PRIMARY KEY (folder, stem)) WITHOUT ROWID;
CREATE TABLE formats (format TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE resolutions (
    width INTEGER NOT NULL, height INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (width, height)
) WITHOUT ROWID;
"""


class _Phase(enum.Enum):
    """What a scan is doing."""

    FOLDERS = "folders"
    FILES = "files"
    LOOKING = "looking"
    DONE = "done"


class _Kind(enum.IntEnum):
    """What a file turned out to be."""

    UNSEEN = 0
    IMAGE = 1
    DAMAGED = 2
    OTHER = 3


class IndexedImage(msgspec.Struct, frozen=True):
    """An image of the index, or a file that carries an image's name."""

    folder: FolderName
    has_mask: bool


class ImageIndex:
    """The index of one data path while its scan runs. Used by one thread at a time."""

    def __init__(self, file: Path, scan_id: str, data_path: FolderName, folders: DataFolders) -> None:
        """Go on where the scan of this id was cut off; begin anew where the file holds another scan or is broken."""
        self._data_path, self._folders = data_path, folders
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _connect_to_scan(file, scan_id)
        self._steps = self._all_steps()

    @property
    def is_done(self) -> bool:
        """Whether everything was seen and stored."""
        return self._phase is _Phase.DONE

    @property
    def seen_count(self) -> int:
        """Files looked at so far."""
        return self._number("SELECT looked_at FROM scan")

    @property
    def entry_count(self) -> int:
        """Files listed so far."""
        return self._number("SELECT entry_count FROM scan")

    def step(self) -> bool:
        """List or look at the next few entries; False where nothing is left to do.

        Raises:
            FolderNotFound, OSError: a folder is gone or cannot be listed.
        """
        return next(self._steps, None) is not None

    def save(self) -> None:
        """Store what was done; a kill costs what was done since."""
        self._connection.commit()

    def close(self) -> None:
        """Let go of the file; what was not saved is done again."""
        self._steps.close()
        self._connection.close()

    def inspection(self) -> Inspection:
        """What was seen so far; the answer once it is done."""
        return _inspection(self._connection, self._data_path, is_complete=self.is_done)

    def marks(self) -> tuple[Mark, ...]:
        """When each folder had changed last as it was listed."""
        return _marks(self._connection)

    def _all_steps(self) -> Generator[bool, None, None]:
        if self._phase is _Phase.FOLDERS:
            yield from self._list_folders()
        if self._phase is _Phase.FILES:
            yield from self._list_files()
        if self._phase is _Phase.LOOKING:
            yield from self._look()

    def _list_folders(self) -> Iterator[bool]:
        """Folders are few; a listing that was cut off begins again."""
        self._connection.execute("DELETE FROM folders")
        for number, code_folder in enumerate(self._folders.code_folders(self._data_path), 1):
            self._connection.execute(
                "INSERT INTO folders (number, defect_code, path) VALUES (?, ?, ?)",
                (number, code_folder.defect_code, code_folder.folder.path),
            )
            if number % BATCH == 0:
                yield True
        self._enter(_Phase.FILES)
        yield True

    def _list_files(self) -> Iterator[bool]:
        """One folder after the other; the listing of a folder that was cut off begins again."""
        while row := self._connection.execute(
            "SELECT number, defect_code, path FROM folders WHERE NOT is_listed ORDER BY number LIMIT 1"
        ).fetchone():
            number, defect_code, path = row
            yield from self._list_folder(number, defect_code, FolderName(self._data_path.root, path))
        self._enter(_Phase.LOOKING)
        yield True

    def _list_folder(self, number: int, defect_code: str, folder: FolderName) -> Iterator[bool]:
        left_over = self._connection.execute("DELETE FROM files WHERE folder = ?", (number,)).rowcount
        self._connection.execute("DELETE FROM outlined WHERE folder = ?", (number,))
        self._connection.execute("UPDATE scan SET entry_count = entry_count - ?", (left_over,))
        try:
            code_folder = CodeFolder(defect_code, folder, self._folders.resolve(folder))
        except FolderNotFound:
            if folder == self._data_path:
                raise
            self._connection.execute("DELETE FROM folders WHERE number = ?", (number,))  # it went since it was listed
            return
        marks = self._folders.marks(code_folder)
        files: list[tuple[str, bool]] = []
        for name, path in self._folders.files_inside(code_folder):
            files.append((name, path != f"{code_folder.path}/{name}"))
            if len(files) == BATCH:
                self._keep_files(number, files)
                files.clear()
                yield True
        self._keep_files(number, files)
        stems: list[str] = []
        for image in self._folders.masks_inside(code_folder):
            stems.append(image)
            if len(stems) == BATCH:
                self._keep_outlined(number, stems)
                stems.clear()
                yield True
        self._keep_outlined(number, stems)
        self._connection.execute(
            "UPDATE folders SET is_listed = 1, has_groups = ?, marked = ?, masks_marked = ?,"
            " is_outlined = EXISTS (SELECT 1 FROM outlined WHERE folder = number) WHERE number = ?",
            (code_folder.has_groups, *(mark.changed_at_ns for mark in marks), number),
        )
        yield True

    def _keep_files(self, folder: int, files: list[tuple[str, bool]]) -> None:
        self._connection.executemany(
            "INSERT INTO files (folder, name, is_link) VALUES (?, ?, ?)",
            [(folder, os.fsencode(name), is_link) for name, is_link in files],
        )
        self._connection.execute("UPDATE scan SET entry_count = entry_count + ?", (len(files),))
        outlined = (outlined_stem(name, is_in_masks=False) for name, _ in files)
        self._keep_outlined(folder, [image for image in outlined if image is not None])

    def _keep_outlined(self, folder: int, stems: list[str]) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO outlined (folder, stem) VALUES (?, ?)",
            [(folder, os.fsencode(image)) for image in stems],
        )

    def _look(self) -> Iterator[bool]:
        """File after file in the order of the listing; the last number looked at is the place that was reached."""
        while rows := self._connection.execute(
            "SELECT folder, number, name, is_link FROM files WHERE number > (SELECT looked_at FROM scan) ORDER BY number LIMIT ?",
            (BATCH,),
        ).fetchall():
            for folder, files in groupby(rows, key=itemgetter(0)):
                self._look_at(folder, [(number, os.fsdecode(name), bool(link)) for _, number, name, link in files])
            yield True
        # Made at the end, when the rows are there, it takes a fraction of the time.
        self._connection.execute("CREATE INDEX files_by_name ON files (folder, name, has_mask) WHERE kind IN (1, 2)")
        self._enter(_Phase.DONE)
        self.save()

    def _look_at(self, folder: int, files: list[tuple[int, str, bool]]) -> None:
        """Look at some files of one folder, and store what was seen together with the place that was reached."""
        path, is_outlined = self._connection.execute(
            "SELECT path, is_outlined FROM folders WHERE number = ?", (folder,)
        ).fetchone()
        code_folder = FolderName(self._data_path.root, path)
        real_folder = self._real_folder(code_folder)
        figures, found = Figures(), list[tuple[_Kind, bool, int]]()
        for number, name, is_link in files:
            seen = self._seen_link(code_folder, name) if is_link else look_at(name, f"{real_folder}/{name}")
            if figures.add(path, seen):
                found.append((_Kind.IMAGE, is_outlined and self._has_mask(folder, name), number))
            elif seen is Unread.DAMAGED and is_text(name):
                found.append((_Kind.DAMAGED, False, number))
            else:
                found.append((_Kind.OTHER, False, number))  # also what is damaged by its name: no page could ask for it
        execute, execute_many = self._connection.execute, self._connection.executemany
        execute_many("UPDATE files SET kind = ?, has_mask = ? WHERE number = ?", found)
        execute_many(
            "INSERT INTO formats (format, count) VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            figures.formats.items(),
        )
        execute_many(
            "INSERT INTO resolutions (width, height, count) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [(*resolution, count) for resolution, count in figures.resolutions.items()],
        )
        execute(
            "UPDATE folders SET image_count = image_count + ?, mask_count = mask_count + ?, shown_count = shown_count + ?"
            " WHERE number = ?",
            (
                figures.images.total(),
                sum(has_mask for _, has_mask, _ in found),
                sum(kind is not _Kind.OTHER for kind, _, _ in found),
                folder,
            ),
        )
        execute(
            "UPDATE scan SET looked_at = ?, total_bytes = total_bytes + ?, damaged_count = damaged_count + ?",
            (files[-1][0], figures.total_bytes, figures.damaged_count),
        )

    def _real_folder(self, folder: FolderName) -> str:
        """Where a folder lies. One that went since it was listed has only damaged files; not so where all of the data path went."""
        try:
            return os.fspath(self._folders.resolve(folder))
        except FolderNotFound:
            self._folders.resolve(self._data_path)
            return os.devnull  # nothing lies below it

    def _seen_link(self, folder: FolderName, name: str) -> Seen | Unread:
        try:
            return look_at(name, os.fspath(self._folders.resolve(below(folder, name))))
        except FolderNotFound:
            return Unread.OTHER  # it leads out of the root since it was listed

    def _has_mask(self, folder: int, name: str) -> bool:
        asked = (folder, os.fsencode(stem(name)))
        return (
            self._connection.execute("SELECT 1 FROM outlined WHERE folder = ? AND stem = ?", asked).fetchone()
            is not None
        )

    @property
    def _phase(self) -> _Phase:
        return _Phase(self._connection.execute("SELECT phase FROM scan").fetchone()[0])

    def _enter(self, phase: _Phase) -> None:
        self._connection.execute("UPDATE scan SET phase = ?", (phase.value,))

    def _number(self, question: str) -> int:
        return int(self._connection.execute(question).fetchone()[0])


class ReadIndex:
    """The index of one data path as the pages ask it, also while its scan still runs."""

    def __init__(self, connection: sqlite3.Connection, data_path: FolderName) -> None:
        """`open_index` makes one."""
        self._connection, self._data_path = connection, data_path

    def count(self, defect_code: str) -> int:
        """Images of a code, with those that are damaged."""
        return sum(count for _, _, count in self._folders_of(defect_code))

    def images(self, defect_code: str, offset: int, count: int) -> list[IndexedImage]:
        """Some images of a code, by folder, then in the order of their names."""
        images: list[IndexedImage] = []
        for number, path, shown_count in self._folders_of(defect_code):
            if offset < shown_count and len(images) < count:
                rows = self._connection.execute(
                    "SELECT name, has_mask FROM files WHERE folder = ? AND kind IN (1, 2) ORDER BY name LIMIT ? OFFSET ?",
                    (number, count - len(images), offset),
                )
                folder = FolderName(self._data_path.root, path)
                images += [IndexedImage(below(folder, os.fsdecode(name)), bool(mask)) for name, mask in rows]
            offset = max(0, offset - shown_count)
        return images

    def is_outdated(self, defect_code: str, folders: DataFolders) -> bool:
        """Whether entries came or went since the folders of a code were listed."""
        listed = [mark for number, _, _ in self._folders_of(defect_code) for mark in _marks(self._connection, number)]
        return not folders.are_unchanged(self._data_path.root, listed)

    def _folders_of(self, defect_code: str) -> list[tuple[int, str, int]]:
        return self._connection.execute(
            "SELECT number, path, shown_count FROM folders WHERE defect_code = ? AND is_listed ORDER BY number",
            (defect_code,),
        ).fetchall()


def index_file(indexes: Path, data_path: FolderName) -> Path:
    """Where the index of a data path lies below the folder of all indexes."""
    return indexes / f"{sha256(str(data_path).encode()).hexdigest()}.sqlite"


@contextlib.contextmanager
def open_index(file: Path, data_path: FolderName) -> Iterator[ReadIndex | None]:
    """The index of a data path for one question; None where there is none, or where it cannot be read at this moment."""
    if not file.exists():
        yield None
        return
    with contextlib.closing(
        sqlite3.connect(f"file:{quote(os.fspath(file))}?mode=ro", uri=True, timeout=_READER_PATIENCE_SECONDS)
    ) as connection:
        try:
            is_ours = connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
            connection.execute("SELECT scan_id FROM scan")
        except sqlite3.Error:
            is_ours = False
        yield ReadIndex(connection, data_path) if is_ours else None


def remove_index(file: Path) -> None:
    """Remove an index with what a killed scan left beside it."""
    for suffix in ("", "-journal"):
        file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)


def _connect_to_scan(file: Path, scan_id: str) -> sqlite3.Connection:
    if file.exists():
        with contextlib.suppress(sqlite3.DatabaseError):  # broken by a full disk or a power cut
            connection = _connected(file)
            known = connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
            if known and connection.execute("SELECT scan_id FROM scan").fetchone() == (scan_id,):
                return connection
            connection.close()
        remove_index(file)
    connection = _connected(file)
    connection.executescript(_TABLES)
    connection.execute("INSERT INTO scan VALUES (?, ?, 0, 0, 0, 0)", (scan_id, _Phase.FOLDERS.value))
    connection.commit()
    return connection


def _connected(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=4 * _READER_PATIENCE_SECONDS, check_same_thread=False)
    # A rollback journal, because a write-ahead log needs memory shared between processes, which network storage has not.
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _inspection(connection: sqlite3.Connection, data_path: FolderName, *, is_complete: bool) -> Inspection:
    codes = connection.execute(
        "SELECT defect_code, sum(image_count), sum(mask_count) FROM folders GROUP BY defect_code"
        " HAVING sum(image_count) > 0 ORDER BY defect_code"
    ).fetchall()
    total_bytes, damaged_count, has_groups = connection.execute(
        "SELECT total_bytes, damaged_count, EXISTS (SELECT 1 FROM folders WHERE has_groups) FROM scan"
    ).fetchone()
    image_count = sum(images for _, images, _ in codes)
    finished = DataPathState.VALID if image_count else DataPathState.INVALID
    return Inspection(
        folder=data_path,
        state=finished if is_complete else DataPathState.SCANNING,
        image_count=image_count,
        defect_codes=tuple(DefectCodeCount(*counted) for counted in codes),
        formats=tuple(connection.execute("SELECT format, count FROM formats ORDER BY count DESC, format")),
        resolutions=tuple(
            connection.execute(
                "SELECT width, height, count FROM resolutions ORDER BY count DESC, width, height LIMIT ?",
                (MOST_RESOLUTIONS,),
            )
        ),
        total_bytes=total_bytes,
        mask_count=sum(masks for _, _, masks in codes),
        damaged_count=damaged_count,
        has_groups=bool(has_groups),
        problem=DataPathProblem.NO_IMAGES if is_complete and not image_count else None,
    )


def _marks(connection: sqlite3.Connection, folder: int | None = None) -> tuple[Mark, ...]:
    rows = connection.execute(
        "SELECT path, marked, masks_marked FROM folders WHERE is_listed AND (?1 IS NULL OR number = ?1)", (folder,)
    )
    return tuple(
        mark
        for path, marked, masks_marked in rows
        for mark in (Mark(path, marked), Mark(f"{path}/{MASKS_FOLDER}".lstrip("/"), masks_marked))
    )
