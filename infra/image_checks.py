"""Compares all images of a manifest with what they were, in the background: E-3, S-5.

A row of `app.image_checks` says how far a check is; what each image is now stands in a file beside the other indexes, a byte an
image. Both are caches: losing them loses no decision, only the time to look again. The scanner's process does the work, for half
a second at a time, and goes on after a kill where the row says.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, LiteralString

import msgspec
import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from domain.artifacts import Artifact, FileIsGone
from domain.provenance import ImageState
from domain.sentences import N_, Sentence
from infra.advisory_locks import take_lock
from infra.connections import connect
from infra.manifests import Manifests
from projections.read_model import Pool

log = logging.getLogger(__name__)

TURN_SECONDS: Final = 0.5
PAUSE_SECONDS: Final = 0.5
IMAGES_IN_A_TURN: Final = 500
_LEADER_LOCK = 0x436865636B6572  # any number that no other program on the server uses
_STATES: Final = (ImageState.UNCHECKED, ImageState.SAME, ImageState.CHANGED, ImageState.GONE)
"""A byte of the file is a place in this row; what the file does not reach yet is unchecked."""
_DIFFERING: Final = (_STATES.index(ImageState.CHANGED), _STATES.index(ImageState.GONE))
_UNKNOWN_PROBLEM = N_("The comparison was cut off by an error that the scanner's log explains. Compare again.")
_CANNOT_BE_STORED = N_("The comparison cannot be stored: {reason}. Make room in the state folder, then compare again.")


class ImageCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How far the comparison of a manifest's images is; `problem` is why it ended early."""

    manifest: str
    size: int
    image_count: int
    reached: int
    changed_count: int
    gone_count: int
    is_done: bool
    problem: Sentence | None
    asked_at: datetime
    moved_at: datetime

    @property
    def same_count(self) -> int:
        """Images that are as they were."""
        return self.reached - self.changed_count - self.gone_count

    @property
    def artifact(self) -> Artifact:
        """The manifest."""
        return Artifact(self.manifest, self.size)


class ImageChecks:
    """The rows, and the files in `folder`."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self._pool, self._folder = pool, folder

    def ask(self, manifest: Artifact, image_count: int) -> None:
        """Have all images of a manifest compared, from the first one on; a comparison that is under way goes on."""
        with self._pool.connection() as connection:
            connection.execute(
                "INSERT INTO app.image_checks AS known (manifest, size, image_count) VALUES (%s, %s, %s)"
                " ON CONFLICT (manifest) DO UPDATE SET image_count = excluded.image_count, reached = 0, changed_count = 0,"
                " gone_count = 0, is_done = false, problem = NULL, asked_at = clock_timestamp(), moved_at = clock_timestamp()"
                " WHERE known.is_done",
                (manifest.checksum, manifest.size, image_count),
            )

    def of(self, manifest: Artifact) -> ImageCheck | None:
        """How far the comparison of a manifest is; None where nobody has asked for one."""
        asked = "SELECT * FROM app.image_checks WHERE manifest = %s"
        return next(iter(self._rows(asked, (manifest.checksum,))), None)

    def waiting(self) -> list[ImageCheck]:
        """Comparisons that are not over, the oldest first."""
        return self._rows("SELECT * FROM app.image_checks WHERE NOT is_done ORDER BY asked_at", ())

    def states(self, check: ImageCheck, first: int, count: int) -> list[ImageState]:
        """What some images of a manifest are, from number `first` on, counted from 0."""
        until = min(first + count, check.reached)
        try:
            with self._file(check).open("rb") as states:
                states.seek(first)
                known = [_STATES[state] for state in states.read(max(0, until - first))]
        except FileNotFoundError:
            known = []
        return known + [ImageState.UNCHECKED] * (count - len(known))

    def differing(self, check: ImageCheck) -> list[int]:
        """The numbers of the images that are not what they were."""
        try:
            states = self._file(check).read_bytes()[: check.reached]
        except FileNotFoundError:
            return []
        return [number for number, state in enumerate(states) if state in _DIFFERING]

    def move(self, check: ImageCheck, found: Sequence[ImageState]) -> None:
        """Keep what the next images are. The file first: what it holds beyond the row never counted.

        Raises:
            OSError: the file cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._file(check)
        file.touch()
        with file.open("r+b") as states:
            states.truncate(check.reached)  # zeros, which is unchecked, where a part was lost
            states.seek(check.reached)
            states.write(bytes(map(_STATES.index, found)))
        reached = check.reached + len(found)
        with self._pool.connection() as connection:
            connection.execute(
                "UPDATE app.image_checks SET reached = %s, changed_count = changed_count + %s, gone_count = gone_count + %s,"
                " is_done = %s, moved_at = clock_timestamp() WHERE manifest = %s AND reached = %s AND asked_at = %s",
                (
                    reached,
                    found.count(ImageState.CHANGED),
                    found.count(ImageState.GONE),
                    not found or reached >= check.image_count,
                    check.manifest,
                    check.reached,
                    check.asked_at,
                ),
            )

    def give_up(self, check: ImageCheck, problem: Sentence) -> None:
        """It cannot go on."""
        with self._pool.connection() as connection:
            connection.execute(
                "UPDATE app.image_checks SET is_done = true, problem = %s, moved_at = clock_timestamp() WHERE manifest = %s",
                (msgspec.json.encode(problem).decode(), check.manifest),
            )

    def _rows(self, question: LiteralString, parameters: tuple[object, ...]) -> list[ImageCheck]:
        with self._pool.connection() as connection:
            rows = connection.execute(question, parameters).fetchall()
        return msgspec.convert(rows, list[ImageCheck])

    def _file(self, check: ImageCheck) -> Path:
        return self._folder / f"{check.manifest}.states"


class ImageChecker:
    """One works at a time; others wait to take over."""

    def __init__(self, checks: ImageChecks, manifests: Manifests) -> None:
        self._checks, self._manifests = checks, manifests

    def run(self, dsn: str, stop: threading.Event) -> None:
        """Compare until `stop`; a lost database is waited for."""
        while not stop.is_set():
            try:
                with connect(dsn, autocommit=True, row_factory=dict_row) as connection:
                    self._lead(connection, stop)
            except psycopg.OperationalError:
                log.warning("database_is_away", exc_info=True)
                stop.wait(PAUSE_SECONDS)
            except Exception:  # the edge of a thread that nobody would miss
                log.exception("comparing_failed")
                stop.wait(PAUSE_SECONDS)

    def turn(self) -> bool:
        """Some images of each comparison that waits; whether there was any."""
        waiting = self._checks.waiting()
        for check in waiting:
            try:
                self._checks.move(check, list(self._next(check)))
            except FileIsGone as problem:
                self._checks.give_up(check, problem.sentence)
            except OSError as error:
                log.exception("comparison_cannot_be_stored", extra={"manifest": check.manifest})
                self._checks.give_up(check, Sentence(_CANNOT_BE_STORED, {"reason": error.strerror or str(error)}))
            except psycopg.Error:
                raise
            except Exception:  # an edge: one that fails must not hold up those behind it
                log.exception("comparison_failed", extra={"manifest": check.manifest})
                self._checks.give_up(check, Sentence(_UNKNOWN_PROBLEM))
        return bool(waiting)

    def _next(self, check: ImageCheck) -> Iterator[ImageState]:
        entries = list(self._manifests.entries(check.artifact, check.reached, IMAGES_IN_A_TURN))
        for image in self._manifests.checked(entries, seconds=TURN_SECONDS):
            if image.state is ImageState.UNCHECKED:
                return
            yield image.state

    def _lead(self, connection: Connection[DictRow], stop: threading.Event) -> None:
        while not stop.is_set() and not take_lock(connection, _LEADER_LOCK):
            stop.wait(PAUSE_SECONDS)
        while not stop.is_set():
            connection.execute("SELECT 1")  # the lock ends with the connection
            if not self.turn():
                stop.wait(PAUSE_SECONDS)
