"""What is known of folders of images without looking again, and the line of folders that wait to be looked into (D-3).

A page looks for about a second. What it cannot finish is handed to the scanner by a row of `app.scans`, which the scanner moves
on and finally fills with the answer; that answer is used again for as long as the folder has not visibly changed. Scans are caches:
losing them loses no decision, only the time to look again.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg_pool import ConnectionPool

from domain.data_paths import DataPathState, FolderName, Inspection, refuse_too_many
from domain.sentences import Sentence
from infra.bounded_looks import BoundedLooks
from infra.data_folders import DataFolders, Look, Mark, nothing_at

LOOK_SECONDS = 1.0
"""How long a page looks into all its folders together, so that a person has the first answer within two seconds."""
LEAST_SECONDS = 0.02
"""What each of many folders gets in any case: enough to see its first images."""
KEPT_FROM_SECONDS = 0.1
"""Shorter looks are done again rather than remembered."""


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `app.scans`: the answer, or what was seen so far of the `entry_count` files listed so far.

    `problem` is what keeps the scanner itself from going on; it tries again by itself.
    """

    root: str
    path: str
    scan_id: UUID
    is_done: bool
    inspection: Inspection
    marks: tuple[Mark, ...]
    seen_count: int
    entry_count: int
    problem: Sentence | None
    asked_at: datetime
    moved_at: datetime

    @property
    def folder(self) -> FolderName:
        """What is scanned."""
        return FolderName(self.root, self.path)


class Scans:
    """The rows of `app.scans`."""

    def __init__(self, pool: ConnectionPool[Connection[DictRow]]) -> None:
        self._pool = pool

    def find(self, folders: Iterable[FolderName]) -> dict[FolderName, Scan]:
        """What is known of some folders."""
        wanted = list(folders)
        if not wanted:
            return {}
        rows = self._rows(
            "SELECT * FROM app.scans WHERE (root, path) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
            [folder.root for folder in wanted],
            [folder.path for folder in wanted],
        )
        return {scan.folder: scan for scan in rows}

    def waiting(self) -> list[Scan]:
        """Scans that are not done, the oldest first."""
        return self._rows("SELECT * FROM app.scans WHERE NOT is_done ORDER BY asked_at")

    def ask(self, so_far: Inspection) -> None:
        """Put a folder in line, to be scanned from the start; a scan of it that already runs is given up."""
        self._put(so_far, is_done=False)

    def keep(self, look: Look) -> None:
        """Remember the answer of a look that was not short."""
        self._put(look.inspection, look.marks, is_done=True)

    def drop(self, folder: FolderName) -> None:
        """Forget a folder that can be looked into in no time."""
        self._execute(
            "DELETE FROM app.scans WHERE root = %(root)s AND path = %(path)s", root=folder.root, path=folder.path
        )

    def move(self, scan_id: UUID, so_far: Inspection, *, seen_count: int, entry_count: int) -> None:
        """Say how far a scan has come. Its figures never go back to less than the page saw at first."""
        self._execute(
            "UPDATE app.scans SET seen_count = %(seen)s, entry_count = %(entries)s, moved_at = clock_timestamp(), problem = NULL,"
            " inspection = CASE WHEN (inspection->>'image_count')::bigint > %(images)s THEN inspection ELSE %(found)s END"
            " WHERE scan_id = %(scan_id)s AND NOT is_done",
            scan_id=scan_id,
            seen=seen_count,
            entries=entry_count,
            images=so_far.image_count,
            found=_json(so_far),
        )

    def end(self, scan_id: UUID, look: Look) -> None:
        """Store the answer; nothing happens where the folder was asked for anew in the meantime."""
        self._execute(
            "UPDATE app.scans SET is_done = true, inspection = %(found)s, marks = %(marks)s, problem = NULL,"
            " moved_at = clock_timestamp() WHERE scan_id = %(scan_id)s",
            scan_id=scan_id,
            found=_json(look.inspection),
            marks=_json(look.marks),
        )

    def tell_problem(self, scan_id: UUID, problem: Sentence) -> None:
        """Say what keeps the scanner from going on with a scan."""
        self._execute(
            "UPDATE app.scans SET problem = %(problem)s WHERE scan_id = %(scan_id)s",
            scan_id=scan_id,
            problem=_json(problem),
        )

    def forget(self, *, unmoved_days: int, kept: Iterable[FolderName]) -> list[FolderName]:
        """Drop answers that nobody renewed for some days, but those of folders in `kept`; returns what was dropped."""
        keys = list(kept)
        with self._pool.connection() as connection:
            rows = connection.execute(
                "DELETE FROM app.scans WHERE is_done AND moved_at < clock_timestamp() - make_interval(days => %s)"
                " AND (root, path) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[])) RETURNING root, path",
                (unmoved_days, [key.root for key in keys], [key.path for key in keys]),
            ).fetchall()
        return [FolderName(row["root"], row["path"]) for row in rows]

    def _put(self, inspection: Inspection, marks: Sequence[Mark] = (), *, is_done: bool) -> None:
        self._execute(
            "INSERT INTO app.scans (root, path, is_done, inspection, marks)"
            " VALUES (%(root)s, %(path)s, %(is_done)s, %(found)s, %(marks)s)"
            " ON CONFLICT (root, path) DO UPDATE SET scan_id = excluded.scan_id, is_done = excluded.is_done,"
            " inspection = excluded.inspection, marks = excluded.marks, seen_count = 0, entry_count = 0, problem = NULL,"
            " asked_at = excluded.asked_at, moved_at = excluded.moved_at",
            root=inspection.folder.root,
            path=inspection.folder.path,
            is_done=is_done,
            found=_json(inspection),
            marks=_json(marks),
        )

    def _rows(self, sql: str, *parameters: object) -> list[Scan]:
        with self._pool.connection() as connection:
            return msgspec.convert(connection.execute(sql, parameters).fetchall(), list[Scan])

    def _execute(self, sql: str, **parameters: object) -> None:
        with self._pool.connection() as connection:
            connection.execute(sql, parameters)


class ScannedFolders:
    """The folders of images as pages and commands ask about them: an answer within about a second, complete or SCANNING, or
    FolderDoesNotAnswer from storage that hangs.
    """

    def __init__(
        self,
        folders: DataFolders,
        scans: Scans,
        looks: BoundedLooks | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders, self._scans, self._clock = folders, scans, clock
        self._looks = looks or BoundedLooks()

    def inspect_paths(self, typed_paths: Sequence[str]) -> list[Inspection]:
        """Look into paths as a person typed them; INVALID tells nothing of what is outside the data roots (D-4).

        Raises:
            TooManyPathsAtOnce, FolderDoesNotAnswer
        """
        refuse_too_many(typed_paths)
        names = [self._name(typed) for typed in typed_paths]
        found = iter(self.inspect_folders([name for name in names if name is not None]))
        answers = [next(found) if name is not None else None for name in names]
        return [
            answer if answer is not None and answer.state is not DataPathState.INVALID else nothing_at(typed)
            for typed, answer in zip(typed_paths, answers, strict=True)
        ]

    def inspect_folders(self, folders: Sequence[FolderName]) -> list[Inspection]:
        """What is in known folders: from the last look where nothing has changed since, from a new one otherwise."""
        known = self._scans.find(folders)
        over_at = self._clock() + LOOK_SECONDS
        found: dict[FolderName, Inspection] = {}
        for folder in folders:
            if folder not in found:
                scan = known.get(folder)
                found[folder] = scan.inspection if scan and self._still_holds(scan) else self._look(folder, over_at)
        return [found[folder] for folder in folders]

    def scan_again(self, folders: Sequence[FolderName]) -> list[Inspection]:
        """Look anew in any case; a scan that runs begins from the start, and what takes longer is left to the scanner (D-7)."""
        over_at = self._clock() + LOOK_SECONDS
        return [self._look(folder, over_at) for folder in folders]

    def scans_of(self, folders: Iterable[FolderName]) -> Mapping[FolderName, Scan]:
        """How far the scans of some folders have come, for pages that show it; the answer itself once they are done."""
        return self._scans.find(folders)

    def _still_holds(self, scan: Scan) -> bool:
        if not scan.is_done:
            return True  # what the scanner is at need not be begun here as well
        return self._looks.look(
            scan.root,
            scan.folder,
            lambda: bool(scan.marks) and self._folders.are_unchanged(scan.root, scan.marks),
        )

    def _name(self, typed: str) -> FolderName | None:
        """Whose it is only its name tells, for which every root is looked at; so each typed path may hang with each of them."""
        return self._looks.look("", typed, lambda: self._folders.name(typed))

    def _look(self, folder: FolderName, over_at: float) -> Inspection:
        began_at = self._clock()
        over_at = max(over_at, began_at + LEAST_SECONDS)
        look = self._looks.look(
            folder.root, folder, lambda: self._folders.look(folder, is_over=lambda: self._clock() >= over_at)
        )
        if not look.is_complete:
            self._scans.ask(look.inspection)
        elif self._clock() - began_at >= KEPT_FROM_SECONDS:
            self._scans.keep(look)
        else:
            self._scans.drop(folder)
        return look.inspection


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
