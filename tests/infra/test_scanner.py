"""From a page that looks for a second to the answer of the scanner: D-3, D-7, S-5, on real folders and a real database."""

import errno
import logging
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from eventsourcing.persistence import OperationalError

from commands.assay import Assay
from commands.datasets import CreateDataset, DeleteDataset, InspectDataPath, RemoveDataPaths
from domain.data_paths import DataPathProblem, DataPathState, FolderName, Inspection
from domain.datasets import Dataset, DatasetPurpose
from infra.connections import open_pool
from infra.data_folders import DataFolders
from infra.event_store import EventLog, create_tables, open_event_log
from infra.image_index import index_file
from infra.scanner import Scanner
from infra.scans import LOOK_SECONDS, ScannedFolders, Scans
from infra.side_tables import create_side_tables
from projections.datasets import Datasets, ScanningPath
from projections.read_model import Pool
from tests.eventually import eventually
from tests.examples import PANEL_65, PORTS, TRAINER_WANG_ID, example_id, plant
from tests.infra.test_image_index import age, fill

LINE_1, LINE_2 = FolderName("aoi", "line-1"), FolderName("aoi", "line-2")
DATASET_ID, PATH_ID = example_id("panel-large"), example_id("panel-large/line-1")
LARGE = 60


class Clock:
    """Every look at it takes some time, so that a folder is as large as the test wants."""

    def __init__(self) -> None:
        self.seconds, self.each = 0.0, 0.0

    def __call__(self) -> float:
        self.seconds += self.each
        return self.seconds


class WaitingPaths:
    """What the read model would say: the paths of the datasets in the log that are SCANNING."""

    def __init__(self, assay: Assay) -> None:
        self._assay = assay
        self.dataset_ids: list[UUID] = []

    def scanning(self) -> list[ScanningPath]:
        datasets = [self._assay.find(Dataset, dataset_id) for dataset_id in self.dataset_ids]
        return [
            ScanningPath(dataset_id=dataset.id, path_id=path.path_id, folder=path.inspection.folder, image_count=0)
            for dataset in datasets
            if dataset
            for path in dataset.data_paths
            if path.inspection.state is DataPathState.SCANNING
        ]


class Line:
    """Everything between a page and the scanner, stepped by hand."""

    def __init__(self, log: EventLog, pool: Pool, root: Path, indexes: Path) -> None:
        self.root, self.indexes, self.clock = root, indexes, Clock()
        self.folders, self.scans = DataFolders({"aoi": root}), Scans(pool)
        self.pages = ScannedFolders(self.folders, self.scans, clock=self.clock)
        self.assay = Assay(log, replace(PORTS, data_folders=self.pages))
        self.waiting = WaitingPaths(self.assay)
        self.scanner = self.another_scanner()

    def another_scanner(self) -> Scanner:
        return Scanner(self.assay, self.waiting, self.scans, self.folders, self.indexes)  # type: ignore[arg-type]

    def slowly(self) -> None:
        """From now on a page cannot finish a folder of `LARGE` images."""
        self.clock.each = LOOK_SECONDS / 4

    def inspect(self, *folders: FolderName) -> list[Inspection]:
        return self.pages.inspect_folders(folders)

    def scan(self) -> None:
        """Let the scanner do everything that waits."""
        self.scanner.admit()
        while self.scanner.take_turn():
            self.scanner.admit()
        self.scanner.record()

    def dataset(self) -> Dataset:
        return self.assay.load(Dataset, DATASET_ID)

    def create_dataset(self, *typed: str) -> None:
        ids = (PATH_ID, *(example_id(path) for path in typed[1:]))
        self.assay.dispatch(
            CreateDataset(
                actor=TRAINER_WANG_ID,
                dataset_id=DATASET_ID,
                name="panel-large",
                purpose=DatasetPurpose.TRAINING,
                environment=(PANEL_65.node_id,),
                data_paths=typed,
                path_ids=ids,
            )
        )
        self.waiting.dataset_ids.append(DATASET_ID)


@pytest.fixture
def line(database: str, tmp_path: Path) -> Iterator[Line]:
    create_tables(database)
    create_side_tables(database)
    (tmp_path / "aoi").mkdir()
    fill(tmp_path / "aoi" / "line-1" / "TPFIP", LARGE)
    age(tmp_path / "aoi")
    log = open_event_log(database)
    log.append(plant().events)
    with open_pool(database) as pool:
        yield Line(log, pool, tmp_path / "aoi", tmp_path / "indexes")
    log.close()


# What a page is told.


def test_a_small_folder_is_answered_at_once(line: Line) -> None:  # D-3
    [found] = line.inspect(LINE_1)
    assert found == line.folders.inspect_folder(LINE_1)
    assert line.scans.waiting() == []


def test_a_large_folder_is_scanning_with_what_was_seen_so_far(line: Line) -> None:  # D-3
    line.slowly()
    [found] = line.inspect(LINE_1)
    assert found.state is DataPathState.SCANNING
    assert 0 < found.image_count < LARGE
    assert [scan.folder for scan in line.scans.waiting()] == [LINE_1]


def test_a_page_does_not_begin_what_the_scanner_is_at(line: Line) -> None:
    line.slowly()
    [first] = line.inspect(LINE_1)
    [asked] = line.scans.waiting()
    assert line.inspect(LINE_1) == [first]
    assert line.scans.waiting() == [asked], "the scan goes on"


def test_many_folders_share_the_time_of_one(line: Line) -> None:  # D-3
    names = [f"line-{number}" for number in range(2, 12)]
    for name in names:
        fill(line.root / name / "TPFIP", LARGE)
    line.clock.each = LOOK_SECONDS / 40
    found = line.inspect(*(FolderName("aoi", name) for name in names))
    assert line.clock.seconds < 2 * LOOK_SECONDS
    assert found[0].state is DataPathState.VALID
    assert found[-1].state is DataPathState.SCANNING


def test_the_answer_of_a_scan_is_used_again_until_the_folder_changes(line: Line) -> None:  # D-3
    line.slowly()
    line.inspect(LINE_1)
    line.scan()
    [found] = line.inspect(LINE_1)
    assert found == line.folders.inspect_folder(LINE_1)
    assert found.state is DataPathState.VALID
    (line.root / "line-1" / "TPFIP" / "00000.png").unlink()
    assert line.inspect(LINE_1)[0].state is DataPathState.SCANNING, "it is looked into anew"


def test_typed_paths_outside_the_roots_and_missing_ones_are_answered_alike(line: Line) -> None:  # D-4
    line.root.with_name("secret").mkdir()
    fill(line.root.with_name("secret") / "TPFIP", 3)
    outside, missing, valid = line.pages.inspect_paths(
        [str(line.root.with_name("secret")), "aoi:nowhere", "aoi:line-1"]
    )
    assert msgspec.structs.replace(outside, folder=missing.folder) == missing
    assert (missing.state, missing.folder.root, missing.problem) == (DataPathState.INVALID, "", None)
    assert (valid.state, valid.folder) == (DataPathState.VALID, LINE_1)


# What the scanner does.


def test_a_waiting_path_is_told_the_answer(line: Line) -> None:  # D-3, S-5
    line.slowly()
    line.create_dataset("aoi:line-1")
    assert line.dataset().data_paths[0].inspection.state is DataPathState.SCANNING
    line.scan()
    assert line.dataset().data_paths[0].inspection == line.folders.inspect_folder(LINE_1)


def test_an_answer_is_recorded_once(line: Line) -> None:
    line.slowly()
    line.create_dataset("aoi:line-1")
    line.scan()
    version = line.dataset().version
    line.scanner.record()
    assert line.dataset().version == version


def test_a_crash_between_the_answer_and_its_record_leaves_no_path_waiting(line: Line) -> None:  # S-5
    line.slowly()
    line.create_dataset("aoi:line-1")
    line.scanner.admit()
    while line.scanner.take_turn():
        pass
    assert line.dataset().data_paths[0].inspection.state is DataPathState.SCANNING
    line.another_scanner().record()
    assert line.dataset().data_paths[0].inspection.state is DataPathState.VALID


def test_a_path_whose_scan_was_lost_is_scanned_anew(line: Line) -> None:  # E-1: scans are caches
    line.slowly()
    line.create_dataset("aoi:line-1")
    line.scans.drop(LINE_1)
    line.scan()
    line.scan()
    assert line.dataset().data_paths[0].inspection.state is DataPathState.VALID


def test_what_left_the_dataset_meanwhile_is_left_alone(line: Line) -> None:
    fill(line.root / "line-2" / "TPFIP", LARGE)
    line.slowly()
    line.create_dataset("aoi:line-1", "aoi:line-2")
    line.scanner.admit()
    line.assay.dispatch(RemoveDataPaths(actor=TRAINER_WANG_ID, dataset_id=DATASET_ID, path_ids=(PATH_ID,)))
    line.scan()
    [path] = line.dataset().data_paths
    assert (path.inspection.folder, path.inspection.state) == (LINE_2, DataPathState.VALID)


def test_a_dataset_that_was_deleted_meanwhile_ends_nothing(line: Line) -> None:
    line.slowly()
    line.create_dataset("aoi:line-1")
    waiting = line.waiting.scanning()
    line.assay.dispatch(DeleteDataset(actor=TRAINER_WANG_ID, dataset_id=DATASET_ID))
    line.waiting.scanning = lambda: waiting  # type: ignore[method-assign]  # a read model that lags behind
    line.scan()
    assert line.scans.find([LINE_1])[LINE_1].is_done


def test_to_scan_again_begins_anew_and_ends_with_what_is_there_now(line: Line) -> None:  # D-7
    line.slowly()
    line.create_dataset("aoi:line-1")
    line.scan()
    before = line.dataset().data_paths[0].inspection
    (line.root / "line-1" / "TPFIP" / "00000.png").write_bytes(b"broken")  # in place: no folder shows it
    age(line.root)
    line.assay.dispatch(InspectDataPath(actor=TRAINER_WANG_ID, dataset_id=DATASET_ID, path_id=PATH_ID))
    assert line.dataset().data_paths[0].inspection.state is DataPathState.SCANNING
    line.scan()
    after = line.dataset().data_paths[0].inspection
    assert (after.state, after.damaged_count) == (DataPathState.VALID, before.damaged_count + 1)


def test_to_scan_again_while_it_is_scanned_gives_the_running_scan_up(line: Line) -> None:  # D-7
    line.slowly()
    line.inspect(LINE_1)
    line.scanner.admit()
    [first] = line.scans.waiting()
    line.pages.scan_again([LINE_1])
    line.scan()
    done = line.scans.find([LINE_1])[LINE_1]
    assert (done.is_done, done.scan_id != first.scan_id) == (True, True)
    assert done.inspection == line.folders.inspect_folder(LINE_1)


def test_a_folder_that_is_gone_is_invalid_and_says_so(line: Line) -> None:  # S-5
    line.slowly()
    line.create_dataset("aoi:line-1")
    (line.root / "line-1").rename(line.root / "elsewhere")
    line.scan()
    found = line.dataset().data_paths[0].inspection
    assert (found.state, found.problem) == (DataPathState.INVALID, DataPathProblem.GONE)
    assert not index_file(line.indexes, LINE_1).exists()


def test_another_scanner_goes_on_with_what_a_dead_one_left(line: Line) -> None:  # S-5
    line.slowly()
    line.create_dataset("aoi:line-1")
    line.scanner.admit()
    line.scanner = line.another_scanner()
    line.scan()
    assert line.dataset().data_paths[0].inspection.state is DataPathState.VALID


def test_the_newest_scan_has_its_turn_first(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.scanner.TURN_SECONDS", 0.0)  # a turn is one step
    monkeypatch.setattr("infra.image_index.BATCH", 10)
    fill(line.root / "line-2" / "TPFIP", 3)
    line.scans.ask(Inspection(folder=LINE_1, state=DataPathState.SCANNING))
    line.scanner.admit()
    line.scanner.take_turn()
    line.scans.ask(Inspection(folder=LINE_2, state=DataPathState.SCANNING))
    order = []
    for _ in range(20):
        line.scanner.admit()
        line.scanner.take_turn()
        order.append([scan.folder for scan in line.scans.waiting()])
    assert [LINE_1] in order, "the small one, which came later, is done while the large one is not"


def test_storage_that_is_full_is_told_and_tried_again(  # S-5
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.slowly()
    line.inspect(LINE_1)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("infra.image_index.ImageIndex.save", full)
        line.scan()
    [scan] = line.scans.waiting()
    assert "database or disk is full" in str(scan.problem)
    line.scan()
    assert line.scans.waiting() == [scan], "not at once"
    line.scanner = line.another_scanner()
    line.scan()
    done = line.scans.find([LINE_1])[LINE_1]
    assert (done.is_done, done.problem) == (True, None)


def test_figures_never_go_back_while_a_scan_runs(line: Line) -> None:
    line.slowly()
    [found] = line.inspect(LINE_1)
    [scan] = line.scans.waiting()
    less = Inspection(folder=LINE_1, state=DataPathState.SCANNING, image_count=1)
    line.scans.move(scan.scan_id, less, seen_count=2, entry_count=90)
    [moved] = line.scans.waiting()
    assert (moved.inspection, moved.seen_count, moved.entry_count) == (found, 2, 90)


def test_answers_of_folders_that_nobody_has_any_more_are_forgotten(line: Line, database: str) -> None:
    for folder in (LINE_1, LINE_2):
        line.scans.ask(Inspection(folder=folder, state=DataPathState.SCANNING))
    assert line.scans.forget(unmoved_days=0, kept=[]) == [], "what runs is kept"
    for scan in line.scans.waiting():
        line.scans.end(scan.scan_id, line.folders.look(LINE_1))
    assert line.scans.forget(unmoved_days=30, kept=[]) == []
    assert line.scans.forget(unmoved_days=0, kept=[LINE_1]) == [LINE_2]


def test_a_scanner_that_starts_before_the_projector_waits_for_its_tables(
    line: Line, database: str, caplog: pytest.LogCaptureFixture
) -> None:  # S-2
    stop = threading.Event()
    with open_pool(database) as pool, caplog.at_level(logging.INFO), ThreadPoolExecutor(1) as process:
        scanner = Scanner(line.assay, Datasets(pool), line.scans, line.folders, line.indexes)
        running = process.submit(scanner.run, database, stop)
        eventually(lambda: "read_models_are_not_built_yet" in caplog.text or running.done())
        stop.set()
        running.result(timeout=20)
    assert "read_models_are_not_built_yet" in caplog.text


def test_a_scanner_goes_on_whatever_one_round_of_it_meets(line: Line, database: str) -> None:  # S-5
    """Its lanes go on until the end: one that ended leading without them would scan nothing, and seem to live."""
    met: list[Exception] = [OperationalError("the log is away"), ValueError("nobody foresaw this")]

    def tidy() -> None:
        raise met.pop() if met else OSError(errno.ENOSPC, "No space left on device")

    stop = threading.Event()
    line.slowly()
    line.inspect(LINE_1)
    waiting: Any = line.waiting
    scanner = Scanner(line.assay, waiting, line.scans, line.folders, line.indexes, tidy)
    with ThreadPoolExecutor(1) as process:
        running = process.submit(scanner.run, database, stop)
        try:
            eventually(lambda: not line.scans.waiting() or running.done(), within_seconds=60)
            assert not running.done()
            assert line.scans.find([LINE_1])[LINE_1].is_done
        finally:
            stop.set()
        running.result(timeout=20)
