"""The scanner: looks into the folders that wait in `app.scans`, and records each answer on every data path that waits for it.

All scans take turns of half a second, so a small folder waits for no large one. Each turn ends with everything stored, so that a
killed scanner loses one turn. Beside that it keeps the caches of pictures and of scans within their bounds.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from commands.assay import Assay
from commands.datasets import RecordScan
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.facts import SYSTEM
from domain.refusals import NotFound
from domain.sentences import N_, Sentence
from gpu_worker.ports import FolderNotFound
from infra.advisory_locks import take_lock
from infra.connections import connect
from infra.data_folders import DataFolders, Look, unreadable
from infra.image_index import ImageIndex, index_file, remove_index
from infra.scans import Scan, Scans
from projections.datasets import Datasets

log = logging.getLogger(__name__)

TURN_SECONDS = 0.5
LANES = 2
"""Threads that scan. Two, so that a storage that hangs holds up its own scan and not every other one."""
SCANS_AT_ONCE = 32
"""Scans that take turns; each holds a file open. More wait until one of them is done."""
PAUSE_SECONDS = 0.2
"""How long the scanner rests where nothing waits."""
PAUSE_AFTER_PROBLEM_SECONDS = 30.0
TIDY_EVERY_SECONDS = 600.0
_LEADER_LOCK = 0x7363616E6E6572  # any number that no other program on the server uses


_STORAGE_PROBLEM = N_("The scan cannot be stored: {reason}. Make room in the state folder; it goes on by itself.")
_UNKNOWN_PROBLEM = N_("The scan was cut off by an error that the scanner's log explains. It is tried again by itself.")


class Scanner:
    """One scanner works at a time; others wait to take over."""

    def __init__(
        self,
        assay: Assay,
        datasets: Datasets,
        scans: Scans,
        folders: DataFolders,
        indexes: Path,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        """`indexes` is the folder of the indexes that scans leave behind; `tidy` is called every few minutes."""
        self._assay, self._datasets, self._scans = assay, datasets, scans
        self._folders, self._indexes = folders, indexes
        self._lock = threading.Lock()
        self._line: deque[_Running] = deque()
        self._busy: dict[FolderName, UUID] = {}
        self._tidy = tidy
        self._rests_until: dict[UUID, float] = {}

    def run(self, dsn: str, stop: threading.Event) -> None:
        """Scan until `stop`; a lost database is waited for."""
        leads = threading.Event()
        with ThreadPoolExecutor(LANES, thread_name_prefix="lane") as lanes:
            for _ in range(LANES):
                lanes.submit(self._drive, leads, stop)
            while not stop.is_set():
                try:
                    with connect(dsn, autocommit=True, row_factory=dict_row) as connection:
                        self._lead(connection, leads, stop)
                except psycopg.errors.UndefinedTable:
                    log.info("read_models_are_not_built_yet")
                    stop.wait(1.0)
                except (psycopg.OperationalError, OperationalError, InterfaceError):
                    log.warning("database_is_away", exc_info=True)
                    stop.wait(1.0)
                except Exception:  # the edge of the process: the lanes go on until `stop`, so whoever leads must, too
                    log.exception("scanner_failed")
                    stop.wait(1.0)
                finally:
                    leads.clear()
        for running in self._line:
            running.close()

    def admit(self) -> None:
        """Let new scans take turns, the newest first, and give up those that were asked for anew."""
        waiting = {scan.scan_id: scan for scan in self._scans.waiting()}
        with self._lock:
            for running in [one for one in self._line if one.scan.scan_id not in waiting]:
                self._line.remove(running)
                self._leave(running)
            for scan in waiting.values():
                is_resting = self._rests_until.get(scan.scan_id, 0.0) > time.monotonic()
                if scan.folder not in self._busy and not is_resting and len(self._busy) < SCANS_AT_ONCE:
                    self._busy[scan.folder] = scan.scan_id
                    self._line.appendleft(_Running(scan))

    def take_turn(self) -> bool:
        """Scan for one turn; False where nothing waits."""
        with self._lock:
            running = self._line.popleft() if self._line else None
        if running is None:
            return False
        goes_on = False
        try:
            goes_on = self._move(running)
        except psycopg.OperationalError:
            goes_on = True  # what was reached is stored in the index; the row follows at the next turn
            log.warning("database_is_away", exc_info=True)
        finally:
            with self._lock:
                if goes_on:
                    self._line.append(running)
                else:
                    self._leave(running)
        return True

    def record(self) -> None:
        """Record answers on the data paths that wait for them; ask for scans of those that wait for none.

        Done again and again, so that neither a crash nor a read model that lags behind leaves a path waiting for ever.
        """
        waiting = self._datasets.scanning()
        scans = self._scans.find({path.folder for path in waiting})
        for path in waiting:
            scan = scans.get(path.folder)
            if scan is None:
                self._scans.ask(Inspection(folder=path.folder, state=DataPathState.SCANNING))
            elif scan.is_done:
                command = RecordScan(
                    actor=SYSTEM, dataset_id=path.dataset_id, path_id=path.path_id, inspection=scan.inspection
                )
                try:
                    self._assay.dispatch(command)
                except NotFound:
                    continue  # the dataset was deleted in the meantime

    def _lead(self, connection: Connection[DictRow], leads: threading.Event, stop: threading.Event) -> None:
        while not stop.is_set() and not take_lock(connection, _LEADER_LOCK):
            stop.wait(1.0)
        stop.wait(2 * TURN_SECONDS)  # one that was cut off from the database as we were ends its turn first
        leads.set()
        tidy_at = time.monotonic()
        while not stop.is_set():
            connection.execute("SELECT 1")  # the lock ends with the connection
            if time.monotonic() >= tidy_at:
                tidy_at = time.monotonic() + TIDY_EVERY_SECONDS
                try:
                    self._tidy()
                except OSError:  # a disk that is full or away keeps its caches, and nobody waits for them to go
                    log.warning("tidying_failed", exc_info=True)
            self.admit()
            self.record()
            stop.wait(PAUSE_SECONDS)

    def _drive(self, leads: threading.Event, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                has_worked = leads.is_set() and self.take_turn()
            except Exception:  # the edge of a thread that nobody would miss
                log.exception("turn_failed")
                has_worked = False
            if not has_worked:
                stop.wait(PAUSE_SECONDS)

    def _move(self, running: "_Running") -> bool:
        """One turn of a scan; whether more are needed."""
        scan = running.scan
        try:
            index = running.open(self._indexes, self._folders)
        except (OSError, sqlite3.Error) as error:
            log.exception("scan_cannot_be_stored", extra={"folder": str(scan.folder)})
            self._rest(scan, Sentence(_STORAGE_PROBLEM, {"reason": str(error)}))
            return False
        try:
            over_at = time.monotonic() + TURN_SECONDS
            while (goes_on := index.step()) and time.monotonic() < over_at:
                pass
            index.save()
            if goes_on:
                seen = index.inspection()
                self._scans.move(scan.scan_id, seen, seen_count=index.seen_count, entry_count=index.entry_count)
            else:
                self._scans.end(scan.scan_id, Look(index.inspection(), index.marks()))
                log.info("scan_ended", extra={"folder": str(scan.folder), "files": index.seen_count})
            return goes_on
        except (OSError, FolderNotFound) as error:
            log.info("folder_cannot_be_scanned", extra={"folder": str(scan.folder), "error": str(error)})
            running.close()
            remove_index(index_file(self._indexes, scan.folder))
            self._scans.end(scan.scan_id, Look(unreadable(scan.folder, error)))
        except psycopg.OperationalError:
            raise
        except sqlite3.Error as error:
            log.exception("scan_cannot_be_stored", extra={"folder": str(scan.folder)})
            self._rest(scan, Sentence(_STORAGE_PROBLEM, {"reason": str(error)}))
        except Exception:  # the edge of a scan: one that fails must not end the others
            log.exception("scan_failed", extra={"folder": str(scan.folder)})
            self._rest(scan, Sentence(_UNKNOWN_PROBLEM))
        return False

    def _rest(self, scan: Scan, problem: Sentence) -> None:
        self._rests_until[scan.scan_id] = time.monotonic() + PAUSE_AFTER_PROBLEM_SECONDS
        self._scans.tell_problem(scan.scan_id, problem)

    def _leave(self, running: "_Running") -> None:
        running.close()
        self._busy.pop(running.scan.folder, None)


class _Running:
    """A scan that takes turns, with its index once it had the first."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self._index: ImageIndex | None = None

    def open(self, indexes: Path, folders: DataFolders) -> ImageIndex:
        if self._index is None:
            folder = self.scan.folder
            self._index = ImageIndex(index_file(indexes, folder), str(self.scan.scan_id), folder, folders)
        return self._index

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None
