"""A worker in a thread of the test with a mailbox in memory; its jobs are real processes."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import msgspec

import tests.eventually
from domain.artifacts import Artifact
from domain.attempts import AttemptIsOver
from domain.messages import AnyReport, Heartbeat, JobFailed, JobKind, Message, Resources, TrainingOrder, TrainModel
from gpu_worker.ports import JobOutcome
from gpu_worker.settings import Precision, TrainingSettings, WorkerSettings
from gpu_worker.worker import run_worker
from tests.gpu_worker.workplace import JOB_ID, FolderOfArtifacts, MountedFolders

SETTINGS = WorkerSettings(
    beat_every_seconds=0.1,
    training=TrainingSettings(precision=Precision.FLOAT32, checkpoint_every_iterations=8),
)
EXACT = msgspec.structs.replace(SETTINGS, training=msgspec.structs.replace(SETTINGS.training, on_cpu=True))
"""What it computes comes out the same to the bit, also on a machine with a GPU."""
DEADLINE_SECONDS = 90
R = TypeVar("R")


@dataclass
class MailboxInMemory:
    waiting: list[Message]
    reports: list[AnyReport] = field(default_factory=list)
    beats: list[Heartbeat] = field(default_factory=list)
    goes_on: bool = True
    is_over: bool = False
    refused: int = 0
    asked: int = 0

    def take(self, offered: Resources) -> Message | None:
        assert offered.cpu_cores >= 1
        self.asked += 1
        if not self.waiting:
            time.sleep(0.02)
            return None
        return self.waiting.pop(0)

    def report(self, report: AnyReport) -> None:
        if self.is_over:
            self.refused += 1
            raise AttemptIsOver
        self.reports.append(report)

    def beat(self, heartbeat: Heartbeat) -> bool:
        self.beats.append(heartbeat)
        return self.goes_on


@dataclass
class RunningWorker:
    """A worker in a thread of the test; its jobs are real processes."""

    folder: Path
    mailbox: MailboxInMemory
    settings: WorkerSettings = SETTINGS
    storage: type[FolderOfArtifacts] = FolderOfArtifacts
    is_stopping: threading.Event = field(default_factory=threading.Event)
    heard: list[tuple[str, ...]] = field(default_factory=list)

    def job_taken(self, kind: JobKind) -> None:
        """As an observer of the worker."""
        self.heard.append(("taken", kind.value))

    def job_left(self, kind: JobKind, outcome: JobOutcome, seconds: float) -> None:
        """As an observer of the worker."""
        assert seconds >= 0
        self.heard.append(("left", kind.value, outcome))

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_stopping.set()
        self.thread.join(DEADLINE_SECONDS)
        assert not self.thread.is_alive()

    @property
    def artifacts(self) -> FolderOfArtifacts:
        return self.storage(self.folder / "artifacts")

    def wait_for(self, kind: type[R], count: int = 1) -> R:
        """The newest report of a kind, once there are `count`; a failed job ends the wait."""
        eventually(lambda: len(self.reports(kind)) >= count or (kind is not JobFailed and self.reports(JobFailed)))
        assert kind is JobFailed or not self.reports(JobFailed), self.reports(JobFailed)
        return self.reports(kind)[-1]

    def reports(self, kind: type[R]) -> list[R]:
        return [report for report in self.mailbox.reports if isinstance(report, kind)]

    def text(self, artifact: Artifact | None) -> str:
        assert artifact is not None
        return self.artifacts.path(artifact).read_text()

    def _run(self) -> None:
        roots = MountedFolders(self.folder / "images")
        archives = MountedFolders(self.folder / "archives")
        stop = self.is_stopping.is_set
        run_worker(
            self.mailbox,
            self.artifacts,
            roots,
            archives,
            self.folder / "scratch",
            name="gpu-1",
            stop=stop,
            settings=self.settings,
            observer=self,
        )


def eventually(condition: Callable[[], object]) -> None:
    """Wait as long as a worker may take that starts and trains on a busy machine."""
    tests.eventually.eventually(condition, within_seconds=DEADLINE_SECONDS)


def train_message(order: TrainingOrder, *, attempt: int = 1, run: int = 1) -> TrainModel:
    return TrainModel(job_id=JOB_ID, attempt=attempt, run=run, needs=Resources(cpu_cores=1), order=order)


def job_processes() -> set[int]:
    """Processes of jobs that this test process started, through its workers."""
    found = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread or a process that ends at this moment
            children = (task / "children").read_text().split()
            found |= {int(pid) for pid in children if b"job_process" in Path(f"/proc/{pid}/cmdline").read_bytes()}
    return found


def is_gone(process: int) -> bool:
    return process not in job_processes()


def is_training(mailbox: MailboxInMemory, iteration: int = 1) -> bool:
    return bool(mailbox.beats) and mailbox.beats[-1].iteration >= iteration


LONG = 100_000
"""A training that no test waits for."""
