"""Files follow their deleted version, and uploads their loading, on a real database and real storage (I-2, I-5, S-5)."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from commands.assay import Assay
from commands.model_images import model_image_id
from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import LoadingOrder
from domain.model_images import (
    ArchiveSource,
    ModelImageFileRemovalFailed,
    ModelImageFileRemoved,
    ModelImageLoadingFailed,
    ModelImageLoadingQueued,
    ModelImageVersionDeleted,
)
from domain.sentences import Sentence
from domain.training_jobs import TrainingDeleted
from infra.artifacts import Artifacts
from infra.bounded_looks import BoundedLooks
from infra.connections import open_pool
from infra.core import Core
from infra.dispatcher import Dispatcher
from infra.event_store import create_tables, open_event_log
from infra.housekeeper import Housekeeper
from infra.positions import PositionWatcher
from infra.projector import Projector
from infra.side_tables import create_side_tables
from infra.uploads import Uploads
from projections.artifact_removals import ArtifactRemovals
from projections.model_images import ModelImages
from projections.users import Users
from tests.eventually import eventually
from tests.examples import (
    LOADING_QUEUED,
    LOADING_STARTED,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_IMPORTED,
    MODEL_IMAGE_LOADED,
    PACKAGE,
    PORTS,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_ORDER,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    History,
    plant,
)

DELETED = ModelImageVersionDeleted(number=1, name="resnet18")
PANEL_AOI_ID = model_image_id("panel-aoi")


class Storehouse:
    """A plant whose resnet18 v1.0 has real files, and a housekeeper that is stepped by hand."""

    def __init__(self, stack: ExitStack, database: str, folder: Path) -> None:
        self.artifacts = Artifacts(folder / "artifacts")
        self.archive, self.weights = (self._kept(folder, content) for content in (b"an archive", b"weights"))
        network = replace(PACKAGE.networks[0], weights=self.weights)
        loaded = replace(MODEL_IMAGE_LOADED, archive=self.archive, package=replace(PACKAGE, networks=(network,)))
        self.history = plant()
        self.history.events = [event for event in self.history.events if event.originator_id != MODEL_IMAGE_ID]
        self.history.add(MODEL_IMAGE_ID, MODEL_IMAGE_IMPORTED, LOADING_QUEUED, LOADING_STARTED, loaded)
        create_tables(database)
        create_side_tables(database)
        self.log = open_event_log(database)
        stack.callback(self.log.close)
        self.projector = Projector(self.log, database, (Users, ModelImages, ArtifactRemovals), self.artifacts)
        stack.callback(self.projector.close)
        pool = stack.enter_context(open_pool(database))
        watcher = PositionWatcher(database)
        stack.callback(watcher.close)
        self.uploads = Uploads(folder / "uploads", most_bytes=1 << 20, keep_free_bytes=0, keep_seconds=3600)
        parts: Any = PORTS
        core = Core(
            database,
            self.log,
            Assay(self.log, PORTS),
            self.artifacts,
            parts.data_folders,
            parts.data_folders,
            BoundedLooks(),
            parts.archives,
            self.uploads,
        )
        self.housekeeper = Housekeeper(core, pool, watcher)
        self.dispatcher = Dispatcher(core.assay, database, silence_seconds=60)
        self.removals = ArtifactRemovals(pool)
        connection: Connection[DictRow] = psycopg.connect(database, autocommit=True, row_factory=dict_row)
        self.connection = stack.enter_context(connection)
        self._appended = 0

    def happens(self, history: History) -> None:
        self.log.append(history.events[self._appended :])
        self._appended = len(history.events)
        self.projector.drain()

    def dispatch(self) -> None:
        while self.dispatcher.follow(self.connection):
            pass

    def noted(self) -> list[object]:
        """What the log says of removed files."""
        facts = [event.data for event in self.log.history(MODEL_IMAGE_ID)]
        return [fact for fact in facts if isinstance(fact, ModelImageFileRemoved | ModelImageFileRemovalFailed)]

    def has(self, artifact: Artifact) -> bool:
        try:
            return self.artifacts.path(artifact).is_file()
        except FileNotFoundError:
            return False

    def _kept(self, folder: Path, content: bytes) -> Artifact:
        (folder / "file").write_bytes(content)
        artifact = self.artifacts.keep(folder / "file")
        os.utime(self.artifacts.path(artifact), (0, 0))
        return artifact


@pytest.fixture
def storehouse(database: str, tmp_path: Path) -> Iterator[Storehouse]:
    with ExitStack() as stack:
        yield Storehouse(stack, database, tmp_path)


def test_the_files_of_a_deleted_version_go_and_the_log_says_so(storehouse: Storehouse) -> None:
    storehouse.happens(storehouse.history.add(MODEL_IMAGE_ID, DELETED))
    storehouse.housekeeper.remove_files()
    assert not storehouse.has(storehouse.archive)
    assert not storehouse.has(storehouse.weights)
    assert storehouse.noted() == [
        ModelImageFileRemoved(number=1, checksum=storehouse.archive.checksum),
        ModelImageFileRemoved(number=1, checksum=storehouse.weights.checksum),
    ]
    storehouse.projector.drain()
    assert storehouse.removals.waiting() == []


def test_nothing_goes_that_stands(storehouse: Storehouse) -> None:
    storehouse.happens(storehouse.history)
    storehouse.housekeeper.remove_files()
    assert storehouse.has(storehouse.archive)
    assert storehouse.noted() == []


def test_weights_that_a_job_began_with_stay(storehouse: Storehouse) -> None:  # M-6
    order = replace(TRAINING_ORDER, initial_weights=storehouse.weights)
    history = storehouse.history.add(TRAINING_JOB_ID, replace(TRAINING_QUEUED, order=order))
    storehouse.happens(history.add(MODEL_IMAGE_ID, DELETED))
    storehouse.housekeeper.remove_files()
    assert (storehouse.has(storehouse.archive), storehouse.has(storehouse.weights)) == (False, True)


def test_a_file_that_the_storage_does_not_let_go_keeps_its_reason_and_is_tried_again(storehouse: Storehouse) -> None:
    place = storehouse.artifacts.path(storehouse.archive)
    place.unlink()
    place.mkdir()  # what no unlink removes, whoever runs the tests
    os.utime(place, (0, 0))
    storehouse.happens(storehouse.history.add(MODEL_IMAGE_ID, DELETED))
    storehouse.housekeeper.remove_files()
    storehouse.projector.drain()
    (left,) = storehouse.removals.waiting()
    assert isinstance(left.reason, Sentence)
    assert (left.checksum, "Is a directory" in str(left.reason)) == (storehouse.archive.checksum, True)
    place.rmdir()
    storehouse.housekeeper.remove_files()
    assert len(storehouse.noted()) == 2, "it is not tried again at once"
    again = Housekeeper(storehouse.housekeeper._core, storehouse.housekeeper._pool, storehouse.housekeeper._watcher)
    again.remove_files()
    assert storehouse.noted()[-1] == ModelImageFileRemoved(number=1, checksum=storehouse.archive.checksum)


def test_nothing_goes_while_an_archive_is_being_loaded(storehouse: Storehouse) -> None:
    history = storehouse.history.add(MODEL_IMAGE_ID, DELETED)
    history.add(PANEL_AOI_ID, replace(MODEL_IMAGE_IMPORTED, name="panel-aoi"), LOADING_QUEUED, LOADING_STARTED)
    storehouse.happens(history)
    storehouse.dispatch()
    storehouse.housekeeper.remove_files()
    assert storehouse.has(storehouse.archive)
    storehouse.happens(history.add(PANEL_AOI_ID, ModelImageLoadingFailed(reason=Sentence("It is damaged."))))
    storehouse.dispatch()
    storehouse.housekeeper.remove_files()
    assert not storehouse.has(storehouse.archive)


def test_nothing_goes_before_the_references_are_known(storehouse: Storehouse, database: str) -> None:
    storehouse.happens(storehouse.history.add(MODEL_IMAGE_ID, DELETED))
    with psycopg.connect(database) as connection:  # as while the read model is made anew
        connection.execute("UPDATE read.positions SET position = position - 1 WHERE name = 'artifact_removals'")
    storehouse.housekeeper.remove_files()
    assert storehouse.has(storehouse.archive)


def test_an_upload_goes_once_it_is_loaded_and_stays_while_it_may_be_retried(storehouse: Storehouse) -> None:  # I-2
    def uploaded(name: str) -> ModelImageLoadingQueued:
        upload = storehouse.uploads.begin(TRAINER_WANG_ID, f"{name}@7", 4)
        part = storehouse.uploads.open(upload.upload_id, TRAINER_WANG_ID, 0)
        assert part is not None
        part.write(b"abcd")
        part.finish()
        part.close()
        archive = FolderName(".uploads", f"{upload.upload_id}/{name}@7")
        order = LoadingOrder(archive=archive, name=name, archive_version="7")
        return ModelImageLoadingQueued(order=order, source=ArchiveSource.UPLOAD)

    history = storehouse.history.add(MODEL_IMAGE_ID, uploaded("resnet18"), LOADING_STARTED)
    history.add(PANEL_AOI_ID, replace(MODEL_IMAGE_IMPORTED, name="panel-aoi"), uploaded("panel-aoi"), LOADING_STARTED)
    storehouse.happens(history)
    storehouse.housekeeper.sweep_uploads()
    assert len(storehouse.uploads.of(TRAINER_WANG_ID)) == 2
    history.add(MODEL_IMAGE_ID, replace(MODEL_IMAGE_LOADED, number=2))
    storehouse.happens(history.add(PANEL_AOI_ID, ModelImageLoadingFailed(reason=Sentence("It is damaged."))))
    storehouse.housekeeper.sweep_uploads()
    assert [one.file_name for one in storehouse.uploads.of(TRAINER_WANG_ID)] == ["panel-aoi@7"]


def test_files_that_no_fact_ever_named_go(storehouse: Storehouse, tmp_path: Path) -> None:  # S-5
    """The log of an archive that could not be loaded, for example; of what is deleted, a rebuild still needs the evaluation."""
    unnamed = storehouse._kept(tmp_path, b"a log that nobody was told of")
    (tmp_path / "file").write_bytes(b"a result that is being reported")
    about_to_be_named = storehouse.artifacts.keep(tmp_path / "file")
    evaluation = storehouse._kept(tmp_path, b"an evaluation")
    completed = replace(TRAINING_COMPLETED, evaluation=evaluation)
    storehouse.history.add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, completed, TrainingDeleted())
    storehouse.happens(storehouse.history)
    storehouse.housekeeper.sweep_artifacts()
    assert not storehouse.has(unnamed)
    assert all(storehouse.has(kept) for kept in (about_to_be_named, evaluation, storehouse.archive, storehouse.weights))


def test_nothing_goes_while_it_is_not_known_what_the_log_names(storehouse: Storehouse, tmp_path: Path) -> None:  # S-5
    evaluation = storehouse._kept(tmp_path, b"an evaluation")
    storehouse.happens(storehouse.history)
    storehouse.history.add(
        TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, replace(TRAINING_COMPLETED, evaluation=evaluation)
    )
    storehouse.log.append(storehouse.history.events[-3:])  # no projector has seen it yet
    storehouse.housekeeper.sweep_artifacts()
    assert storehouse.has(evaluation)


def test_it_works_until_it_is_told_to_stop(storehouse: Storehouse) -> None:
    storehouse.happens(storehouse.history.add(MODEL_IMAGE_ID, DELETED))
    stop = threading.Event()
    thread = threading.Thread(target=storehouse.housekeeper.run, args=(stop,))
    thread.start()
    eventually(lambda: not storehouse.has(storehouse.weights))
    stop.set()
    before = time.monotonic()
    thread.join()
    assert time.monotonic() - before < 10
