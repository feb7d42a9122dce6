"""One attempt at one job: who asked, where it may work, and how it tells the world."""

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.messages import (
    AnyReport,
    BuildExport,
    JobKind,
    LoadModelImage,
    LossPart,
    Message,
    PartLog,
    PredictImages,
    TrainModel,
)
from gpu_worker.ports import Artifacts, Folders

LOG_FILE: Final = "log.txt"
LOG_FORMAT: Final = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
LOG_FORMAT.converter = time.gmtime


class JobStopped(Exception):
    """The worker shuts down; what is worth keeping has been kept."""


class AttemptIsTaken(Exception):
    """Another worker, which can only have the same name, works on this very attempt."""


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a heartbeat says of the job. `share` is 0..1; `activity` is a msgid for people."""

    share: float
    activity: str
    iteration: int = 0
    loss: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """`workspace` belongs to this attempt alone; `decoded` is shared by all jobs of all workers."""

    kind: JobKind
    job_id: UUID
    attempt: int
    worker: str
    cpu_cores: int
    artifacts: Artifacts
    folders: Folders
    archives: Folders
    workspace: Path
    decoded: Path
    report: Callable[[AnyReport], None]
    tell: Callable[[Progress], None]
    is_stopping: Callable[[], bool]
    log: logging.Logger
    log_file: Path

    @property
    def sender(self) -> dict[str, Any]:
        """The fields that every report begins with."""
        return {"kind": self.kind, "job_id": self.job_id, "attempt": self.attempt, "worker": self.worker}

    def kept_log(self) -> Artifact:
        """The log up to here; it goes on being written."""
        return kept_copy(self.log_file, self.artifacts)

    @contextmanager
    def logging_of(self, part: LossPart) -> Iterator[None]:
        """What is logged meanwhile goes to the log of that network, too (T-5)."""
        handler = logging.FileHandler(part_log_file(self.workspace, part), encoding="utf-8")
        handler.setFormatter(LOG_FORMAT)
        self.log.addHandler(handler)
        try:
            yield
        except Exception as error:
            self.log.info("the training of the %s ended early: %s", part.value, str(error) or type(error).__name__)
            raise
        finally:
            self.log.removeHandler(handler)
            handler.close()

    def go_on(self, share: float, activity: str) -> None:
        """Tell how far the job is, and obey a shutdown.

        Raises:
            JobStopped
        """
        self.tell(Progress(share=share, activity=activity))
        if self.is_stopping():
            raise JobStopped


def workspace_of(scratch: Path, job_id: UUID, run: int, attempt: int) -> Path:
    """The folder of an attempt. Nobody else writes there: a worker that was thought dead may still write into its own.

    `run` is that of a training; each attempt at anything else is a run of its own.
    """
    return scratch / "jobs" / str(job_id) / f"{run}-{attempt}"


def newest_workspace(scratch: Path, job_id: UUID, run: int, *, before: int | None = None) -> Path | None:
    """The folder of the latest attempt at a run that has begun, of those `before` an attempt where so asked; None where there is
    none, or it was tidied away.
    """
    begun = {
        attempt: folder
        for folder in (scratch / "jobs" / str(job_id)).glob(f"{run}-*")
        if (attempt := _attempt_in(folder)) is not None and (before is None or attempt < before)
    }
    return begun[max(begun)] if begun else None


def make_workspace(workspace: Path, earlier: Path | None) -> None:
    """Make the folder of an attempt, with what an earlier one left to go on from.

    That one may go on, too, unheard: what it does from now on changes nothing here. Checkpoints come first, because a metrics file
    only grows and so holds all that a checkpoint before it counts on.
    """
    if workspace.is_dir():
        return
    making = workspace.with_name(f"{workspace.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        if earlier is not None:
            for pattern in ("*.pt", "losses-*.jsonl", "log*.txt"):
                for file in earlier.glob(pattern):
                    _take_over(file, making / file.name, is_replaced=pattern == "*.pt")
        making.rename(workspace)
    except OSError:
        shutil.rmtree(making, ignore_errors=True)
        raise


@contextmanager
def alone_in(workspace: Path) -> Iterator[None]:
    """Inside, no other worker works on the same attempt: of two with one name, both may have been told that it is theirs.

    Raises:
        AttemptIsTaken
    """
    lock = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise AttemptIsTaken from None
    except OSError:  # storage without locks: names that no two workers have are all there is
        logging.getLogger(__name__).warning("workspace_not_locked", exc_info=True)
    try:
        yield
    finally:
        os.close(lock)


def remove_earlier_workspaces(workspace: Path) -> None:
    """What earlier attempts at the job left, of earlier runs, too. Where this one comes late, a later one may have begun."""
    ours = _attempt_in(workspace)
    for folder in workspace.parent.iterdir():
        attempt = _attempt_in(folder)
        if ours is not None and attempt is not None and attempt < ours:
            shutil.rmtree(folder, ignore_errors=True)


def _attempt_in(workspace: Path) -> int | None:
    """The attempt that a folder belongs to; None while it is being made."""
    attempt = workspace.name.rpartition("-")[2]
    return int(attempt) if attempt.isdecimal() else None


def _take_over(file: Path, place: Path, *, is_replaced: bool) -> None:
    """What is replaced and never changed needs no copy, where the storage has links."""
    try:
        if is_replaced:
            os.link(file, place)
    except OSError:
        is_replaced = False
    if not is_replaced:
        shutil.copyfile(file, place)


def part_log_file(workspace: Path, part: LossPart) -> Path:
    """Where the log of one network lies."""
    return workspace / f"log-{part.value}.txt"


def part_logs_in(workspace: Path) -> dict[LossPart, Path]:
    """The logs of the networks, once there are two to tell apart; of one alone the job's log says everything."""
    if not part_log_file(workspace, LossPart.SEGMENTATION).is_file():
        return {}
    files = {part: part_log_file(workspace, part) for part in LossPart}
    return {part: file for part, file in files.items() if file.is_file()}


def kept_part_logs(workspace: Path, artifacts: Artifacts) -> tuple[PartLog, ...]:
    """The logs of the networks up to here."""
    found = part_logs_in(workspace).items()
    return tuple(PartLog(part=part, log=kept_copy(file, artifacts)) for part, file in found)


def kept_copy(file: Path, artifacts: Artifacts) -> Artifact:
    """An artifact of a file that goes on being written."""
    copy = file.with_suffix(".kept")
    shutil.copyfile(file, copy)
    return artifacts.keep(copy)


def kind_of(message: Message) -> JobKind:
    """What a message asks for."""
    match message:
        case TrainModel():
            return JobKind.TRAINING
        case PredictImages():
            return JobKind.PREDICTION
        case LoadModelImage():
            return JobKind.LOADING
        case BuildExport():
            return JobKind.EXPORT
