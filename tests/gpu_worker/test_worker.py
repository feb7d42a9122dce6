"""The worker with a mailbox in memory: the line from the message to the last report, and everything that may go wrong on it."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from domain.artifacts import Artifact
from domain.attempts import AttemptIsOver
from domain.data_paths import FolderName
from domain.messages import (
    AnyReport,
    BuildExport,
    ExportBuilt,
    ExportOrder,
    Heartbeat,
    JobFailed,
    LoadingOrder,
    LoadModelImage,
    Message,
    PackageLoaded,
    PredictImages,
    PredictionOrder,
    PredictionSucceeded,
    Resources,
    StageFinished,
    TrainingOrder,
    TrainingSucceeded,
    TrainModel,
    VersionToPredict,
)
from domain.training_parameters import PredictionParameters
from gpu_worker.packages import build_package, write_shipped_description
from gpu_worker.settings import Precision, TrainingSettings, WorkerSettings
from gpu_worker.worker import run_worker
from tests.gpu_worker.workplace import JOB_ID, ROOT, FolderOfArtifacts, MountedFolders, an_order, paint_codes

SETTINGS = WorkerSettings(
    beat_every_seconds=0.1,
    training=TrainingSettings(precision=Precision.FLOAT32, checkpoint_every_iterations=2),
)
DEADLINE_SECONDS = 90
R = TypeVar("R")


@dataclass
class MailboxInMemory:
    waiting: list[Message]
    reports: list[AnyReport] = field(default_factory=list)
    beats: list[Heartbeat] = field(default_factory=list)
    goes_on: bool = True
    is_over: bool = False

    def take(self, offered: Resources) -> Message | None:
        assert offered.cpu_cores >= 1
        if not self.waiting:
            time.sleep(0.02)
            return None
        return self.waiting.pop(0)

    def report(self, report: AnyReport) -> None:
        if self.is_over:
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
    is_stopping: threading.Event = field(default_factory=threading.Event)

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
        return FolderOfArtifacts(self.folder / "artifacts")

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
        )


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        threading.Event().wait(0.02)


def train_message(order: TrainingOrder, *, attempt: int = 1, run: int = 1) -> TrainModel:
    return TrainModel(job_id=JOB_ID, attempt=attempt, run=run, needs=Resources(cpu_cores=1), order=order)


def job_processes() -> set[int]:
    """Processes of jobs that this test process started, through its workers."""
    children = Path(f"/proc/{os.getpid()}/task")
    found = {int(pid) for task in children.iterdir() for pid in (task / "children").read_text().split()}
    return {pid for pid in found if b"gpu_worker.job_process" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_a_model_is_loaded_trained_published_predicted_and_exported(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images" / "train")
    paint_codes(tmp_path / "images" / "bank", count=3)
    write_shipped_description(tmp_path / "package")
    (tmp_path / "archives").mkdir()
    build_package(tmp_path / "package", tmp_path / "archives" / "resnet18@1.0")
    loading = LoadingOrder(archive=FolderName(ROOT, "resnet18@1.0"), name="resnet18", archive_version="1.0")
    mailbox = MailboxInMemory([LoadModelImage(job_id=JOB_ID, attempt=1, needs=Resources(), order=loading)])
    with RunningWorker(tmp_path, mailbox) as worker:
        package = worker.wait_for(PackageLoaded).package
        assert [network.name for network in package.networks] == ["ResNet18", "ResNet34", "ResNet50"]

        mailbox.waiting.append(train_message(an_order(data_paths=("train",), max_iter=30)))
        trained = worker.wait_for(TrainingSucceeded)
        assert len(worker.reports(StageFinished)) == 3
        assert (trained.figures.accuracy or 0) > 0.6
        assert "done" not in worker.text(trained.log)
        assert "iteration 30" in worker.text(trained.log)

        version = VersionToPredict(
            label="v1.01",
            network="ResNet18",
            defect_codes=("OK", "SCRATCH", "SPOT"),
            input=an_order().input,
            resolution_rule=trained.resolution_rule,
            weights=trained.weights,
        )
        prediction = PredictionOrder(
            versions=(version,),
            data_paths=(FolderName(ROOT, "bank"),),
            parameters=PredictionParameters(batch_size=4),
            resolution_screening=True,
        )
        mailbox.waiting.append(PredictImages(job_id=JOB_ID, attempt=1, needs=Resources(), order=prediction))
        predicted = worker.wait_for(PredictionSucceeded)
        assert predicted.results[0].figures.sample_count == 9

        export = ExportOrder(model_name="panel-a", version=version, accuracy=0.9, recall=0.8)
        mailbox.waiting.append(BuildExport(job_id=JOB_ID, attempt=1, needs=Resources(), order=export))
        assert worker.artifacts.path(worker.wait_for(ExportBuilt).package).stat().st_size > 40_000_000
    assert not job_processes()
    assert not list((tmp_path / "scratch" / "jobs" / str(JOB_ID)).iterdir())
