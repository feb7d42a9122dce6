"""The housekeeper: the process that removes files which nobody needs any more. Source: I-2, I-5, S-5.

Three kinds: the files of deleted model image versions; uploads that were loaded, were given up or have expired; and files that a
worker kept without ever reporting them. What is to be removed stands in the log and on the disk, so the work survives restarts,
and several housekeepers do no harm.
"""

import logging
import os
import threading
import time
from itertools import islice

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg_pool import PoolTimeout

from commands.model_images import NoteFileRemovalFailed, NoteFileRemoved
from domain.facts import SYSTEM
from domain.messages import JobKind
from domain.model_images import STORAGE_KEEPS_FILE, LoadStatus
from domain.sentences import Sentence
from infra.core import Core
from infra.positions import PositionWatcher
from infra.uploads import Uploads
from projections.artifact_removals import ArtifactRemoval, ArtifactRemovals
from projections.model_images import ModelImages
from projections.read_model import Pool

log = logging.getLogger(__name__)

EVERY_SECONDS = 2.0
"""How soon a file follows its version."""
SWEEP_EVERY_SECONDS = 30.0
"""How often uploads are looked through."""
SWEEP_ARTIFACTS_EVERY_SECONDS = 3600.0
"""Looking at every stored file takes a while, and few are never reported."""
UNNAMED_SECONDS = 2 * 86400.0
"""Longer than any worker tries to report what it has kept, also over a weekend's repair of the server."""
ARTIFACTS_AT_ONCE = 500
UNTOUCHED_SECONDS = 60.0
"""A worker keeps a file and reports it within seconds; whoever kept the same content that lately is about to refer to it."""
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 10.0, 3600.0


class Housekeeper:
    """Tidies up until it is told to stop."""

    def __init__(
        self, core: Core, pool: Pool, watcher: PositionWatcher, *, untouched_seconds: float = UNTOUCHED_SECONDS
    ) -> None:
        """`pool` is for the read models; `watcher` says how far they are."""
        self._core, self._pool, self._watcher = core, pool, watcher
        self._removals, self._model_images = ArtifactRemovals(pool), ModelImages(pool)
        self._untouched_seconds = untouched_seconds
        self._retries: dict[str, tuple[float, float]] = {}
        """By checksum: when to try again, and how long to wait after that."""

    def run(self, stop: threading.Event) -> None:
        """Look every few seconds; outlives restarts of the database."""
        sweep_at = sweep_artifacts_at = 0.0
        while not stop.is_set():
            try:
                self.remove_files()
                if time.monotonic() >= sweep_at:
                    self.sweep_uploads()
                    sweep_at = time.monotonic() + SWEEP_EVERY_SECONDS
                if time.monotonic() >= sweep_artifacts_at:
                    self.sweep_artifacts()
                    sweep_artifacts_at = time.monotonic() + SWEEP_ARTIFACTS_EVERY_SECONDS
            except psycopg.errors.UndefinedTable:
                log.info("read_models_are_not_built_yet")
            except (psycopg.Error, PoolTimeout, OperationalError, InterfaceError):
                log.warning("database_is_away", exc_info=True)
            except Exception:  # the edge of the process: one file must not keep the others from going
                log.exception("housekeeping_failed")
            stop.wait(EVERY_SECONDS)

    def remove_files(self) -> None:
        """Remove the files of deleted versions to which nothing refers any more.

        A loading in progress may be about to refer to any of them; so nothing is removed meanwhile, nor before the references are
        known as far as the log had come when no loading ran.
        """
        if not self._removals.waiting():
            return
        position = self._core.log.position()
        if self._is_loading():
            return
        if not self._is_known(position):
            return
        for removal in self._removals.waiting():
            if not removal.is_referred:
                self._remove(removal)

    def sweep_uploads(self) -> None:
        """Remove uploads that were loaded or have expired."""
        count = sweep_uploads(self._core.uploads, self._model_images)
        if count:
            log.info("uploads_removed", extra={"upload_count": count})

    def sweep_artifacts(self, *, unnamed_seconds: float = UNNAMED_SECONDS) -> None:
        """Remove files that were kept, and then named by no fact: whoever kept them died, or was not listened to any more.

        Nothing is removed before everything that the log names by now is known.
        """
        if not self._is_known(self._core.log.position()):
            return
        untouched = self._core.artifacts.untouched(unnamed_seconds)
        while batch := list(islice(untouched, ARTIFACTS_AT_ONCE)):
            named = self._removals.named([artifact.checksum for artifact in batch])
            for artifact in batch:
                if artifact.checksum not in named and self._core.artifacts.remove(
                    artifact, untouched_seconds=unnamed_seconds
                ):
                    log.info("unnamed_artifact_removed", extra={"checksum": artifact.checksum})

    def _is_known(self, position: int) -> bool:
        """Whether it is known what the log names up to a position; it is waited for."""
        try:
            self._watcher.wait(position)
        except TimeoutError:
            return False
        return self._removals.reached() >= position  # one that stopped at an event is not waited for

    def _remove(self, removal: ArtifactRemoval) -> None:
        try_at, pause_seconds = self._retries.get(removal.checksum, (0.0, FIRST_RETRY_SECONDS))
        if time.monotonic() < try_at:
            return
        extra = {"model_image_id": str(removal.model_image_id), "number": removal.number, "checksum": removal.checksum}
        try:
            is_gone = self._core.artifacts.remove(removal.artifact, untouched_seconds=self._untouched_seconds)
        except OSError as error:
            log.warning("artifact_stays", exc_info=True, extra=extra)
            self._retries[removal.checksum] = (
                time.monotonic() + pause_seconds,
                min(2 * pause_seconds, LONGEST_RETRY_SECONDS),
            )
            problem = os.strerror(error.errno) if error.errno else str(error)
            self._core.assay.dispatch(
                NoteFileRemovalFailed(
                    actor=SYSTEM,
                    model_image_id=removal.model_image_id,
                    number=removal.number,
                    checksum=removal.checksum,
                    reason=Sentence(STORAGE_KEEPS_FILE, {"problem": problem}),
                )
            )
            return
        if is_gone:
            log.info("artifact_removed", extra=extra)
            self._retries.pop(removal.checksum, None)
            self._core.assay.dispatch(
                NoteFileRemoved(
                    actor=SYSTEM,
                    model_image_id=removal.model_image_id,
                    number=removal.number,
                    checksum=removal.checksum,
                )
            )

    def _is_loading(self) -> bool:
        with self._pool.connection() as connection:
            row = connection.execute(
                "SELECT 1 FROM app.work WHERE kind = %s AND is_running LIMIT 1", (JobKind.LOADING.value,)
            ).fetchone()
        return row is not None


def sweep_uploads(uploads: Uploads, model_images: ModelImages, *, is_removing: bool = True) -> int:
    """Remove uploads that were loaded or have expired, or only count them; returns how many they are."""
    used = model_images.uploads_used()
    paths = {status: {one.path for one in used if one.status is status} for status in LoadStatus}
    return uploads.sweep(loading=paths[LoadStatus.LOADING], loaded=paths[LoadStatus.LOADED], is_removing=is_removing)
