"""One attempt at one job: who asked, where it may work, and how it tells the world."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.messages import AnyReport, BuildExport, JobKind, LoadModelImage, Message, PredictImages, TrainModel
from gpu_worker.ports import Artifacts, Folders

LOG_FILE: Final = "log.txt"


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
        copy = self.log_file.with_suffix(".kept")
        shutil.copyfile(self.log_file, copy)
        return self.artifacts.keep(copy)

    def go_on(self, share: float, activity: str) -> None:
        """Tell how far the job is, and obey a shutdown.

        Raises:
            JobStopped
        """
        self.tell(Progress(share=share, activity=activity))
        if self.is_stopping():
            raise JobStopped


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
