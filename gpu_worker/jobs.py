"""One attempt at one job: who asked, where it may work, and how it tells the world."""

import logging
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


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a heartbeat says of the job. `share` is 0..1; `activity` is a msgid for people."""

    share: float
    activity: str
    iteration: int = 0
    loss: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """`workspace` belongs to this run of the job, whichever attempt; `decoded` is shared by all jobs of all workers."""

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


def workspace_of(scratch: Path, job_id: UUID, number: int) -> Path:
    """The folder of a run of a training, or of an attempt at anything else."""
    return scratch / "jobs" / str(job_id) / str(number)


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
