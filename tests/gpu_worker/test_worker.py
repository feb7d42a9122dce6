"""The worker with a mailbox in memory: the line from the message to the last report, and everything that may go wrong on it."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import msgspec
import pytest

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
    JobKind,
    JobReleased,
    LoadingOrder,
    LoadModelImage,
    LogKept,
    LossPart,
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
from domain.model_packages import NetworkInput
from domain.sentences import Sentence
from domain.training_parameters import Augmentation, PredictionParameters, SgdParameters
from gpu_worker import signs_of_life
from gpu_worker import worker as worker_module
from gpu_worker.jobs import LOG_FILE, make_workspace, newest_workspace, remove_earlier_workspaces, workspace_of
from gpu_worker.networks import new_network, save_weights
from gpu_worker.packages import build_package, write_shipped_description
from gpu_worker.ports import JobOutcome
from gpu_worker.settings import Precision, TrainingSettings, WorkerSettings
from gpu_worker.signs_of_life import HANGS, STANDS_STILL, STORAGE_HANGS, WAITS_FOR_STORAGE
from gpu_worker.training import TRAINING, train
from gpu_worker.worker import STARTING, run_worker
from infra.running_logs import RunningLogs
from tests.gpu_worker.workplace import (
    JOB_ID,
    ROOT,
    FolderOfArtifacts,
    MountedFolders,
    Workplace,
    an_order,
    paint_codes,
    paint_defects,
)

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


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        threading.Event().wait(0.02)


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
        assert [network.name for network in package.networks] == ["ResNet18", "ResNet34", "ResNet50", "UNet-ResNet18"]

        mailbox.waiting.append(train_message(an_order(data_paths=("train",), max_iter=20)))
        trained = worker.wait_for(TrainingSucceeded)
        assert len(worker.reports(StageFinished)) == 3
        assert (trained.figures.accuracy or 0) > 0.6
        assert "done" not in worker.text(trained.log)
        assert "iteration 20" in worker.text(trained.log)

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

        export = ExportOrder(
            model_name="panel-a", version=version, evaluation=trained.evaluation, accuracy=0.9, recall=0.8
        )
        mailbox.waiting.append(BuildExport(job_id=JOB_ID, attempt=1, needs=Resources(), order=export))
        assert worker.artifacts.path(worker.wait_for(ExportBuilt).package).stat().st_size > 40_000_000
    assert not job_processes()
    assert not list((tmp_path / "scratch" / "jobs" / str(JOB_ID)).iterdir())


def test_the_log_of_a_terminated_prediction_is_kept(tmp_path: Path) -> None:  # P-2
    paint_codes(tmp_path / "images" / "bank", count=3)
    codes = ("OK", "SCRATCH", "SPOT")
    save_weights(new_network("ResNet18", 3, seed=1).state_dict(), tmp_path / "weights", "ResNet18", codes)
    mailbox = MailboxInMemory([])
    with RunningWorker(tmp_path, mailbox) as worker:
        version = VersionToPredict(
            label="v1.01",
            network="ResNet18",
            defect_codes=codes,
            input=an_order().input,
            resolution_rule=an_order().resolution_rule,
            weights=worker.artifacts.keep(tmp_path / "weights"),
        )
        order = PredictionOrder(
            versions=(version,),
            data_paths=(FolderName(ROOT, "bank"),),
            parameters=PredictionParameters(batch_size=4),
            resolution_screening=False,
        )
        mailbox.waiting.append(PredictImages(job_id=JOB_ID, attempt=1, needs=Resources(), order=order))
        eventually((workspace_of(tmp_path / "scratch", JOB_ID, 1, 1) / LOG_FILE).is_file)
        for process in job_processes():
            os.kill(process, signal.SIGSTOP)
        mailbox.goes_on = False
        kept = worker.wait_for(LogKept)
        assert (kept.kind, kept.attempt) == (JobKind.PREDICTION, 1)
        assert worker.artifacts.path(kept.log).is_file()


def test_of_an_archive_that_cannot_be_loaded_no_log_is_kept_that_nothing_would_lead_to(tmp_path: Path) -> None:  # S-5
    (tmp_path / "archives").mkdir()
    order = LoadingOrder(archive=FolderName(ROOT, "gone@1.0"), name="gone", archive_version="1.0")
    mailbox = MailboxInMemory([LoadModelImage(job_id=JOB_ID, attempt=1, needs=Resources(), order=order)])
    with RunningWorker(tmp_path, mailbox) as worker:
        assert worker.wait_for(JobFailed).log is None
    assert not list((tmp_path / "artifacts").glob("**/*"))


def test_a_worker_that_is_not_ready_ahead_holds_no_process_while_nothing_waits(tmp_path: Path) -> None:
    """A packager: torch is some 300 MB, and nobody minds a few seconds before a package is loaded."""
    (tmp_path / "archives").mkdir()
    order = LoadingOrder(archive=FolderName(ROOT, "gone@1.0"), name="gone", archive_version="1.0")
    mailbox = MailboxInMemory([])
    settings = msgspec.structs.replace(SETTINGS, is_ready_ahead=False)
    with RunningWorker(tmp_path, mailbox, settings=settings) as worker:
        for count in (1, 2):
            eventually(lambda: mailbox.asked and not job_processes())
            mailbox.waiting.append(LoadModelImage(job_id=JOB_ID, attempt=count, needs=Resources(), order=order))
            worker.wait_for(JobFailed, count)
    assert worker.heard.count(("left", "loading", "failed")) == 2
    assert not job_processes()


def test_a_worker_told_to_stop_while_the_process_of_a_job_starts_hands_the_job_on(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images")
    mailbox = MailboxInMemory([train_message(an_order(max_iter=LONG))])
    settings = msgspec.structs.replace(SETTINGS, is_ready_ahead=False)
    with RunningWorker(tmp_path, mailbox, settings=settings) as worker:
        eventually(lambda: worker.heard)
    assert worker.heard == [("taken", "training"), ("left", "training", "released")]
    assert len(worker.reports(JobReleased)) == 1
    assert not job_processes()


def test_libraries_that_hang_while_they_load_end_the_worker_instead_of_keeping_it_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a driver of a card does that broke: nobody would see that this worker takes no job."""
    (tmp_path / "torch.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = msgspec.structs.replace(SETTINGS, ready_patience_seconds=0.5)
    mailbox, roots = MailboxInMemory([]), MountedFolders(tmp_path)
    with pytest.raises(RuntimeError, match="hangs while it loads"):
        run_worker(
            mailbox,
            FolderOfArtifacts(tmp_path / "artifacts"),
            roots,
            roots,
            tmp_path / "scratch",
            name="gpu-1",
            stop=lambda: False,
            settings=settings,
        )
    assert not mailbox.asked
    assert not job_processes()


def is_gone(process: int) -> bool:
    return process not in job_processes()


def is_training(mailbox: MailboxInMemory, iteration: int = 1) -> bool:
    return bool(mailbox.beats) and mailbox.beats[-1].iteration >= iteration


LONG = 100_000
"""A training that no test waits for."""


# T-6
def test_terminate_reaches_a_training_within_seconds_even_when_it_hangs(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images")
    mailbox = MailboxInMemory([])
    with RunningWorker(tmp_path, mailbox) as worker:
        for run, hangs in enumerate((False, True), start=1):
            mailbox.beats.clear()
            mailbox.goes_on = True
            mailbox.waiting.append(train_message(an_order(max_iter=LONG), run=run))
            eventually(lambda: is_training(mailbox))
            (process,) = job_processes()
            if hangs:
                os.kill(process, signal.SIGSTOP)
            running = RunningLogs(tmp_path / "scratch").of(JOB_ID, run)  # T-5
            assert running is not None
            assert "training ResNet18 on" in running.read_text()
            mailbox.goes_on = False
            asked = time.monotonic()
            eventually(partial(is_gone, process))
            assert time.monotonic() - asked < 3
            assert "training ResNet18 on" in worker.text(worker.wait_for(LogKept, count=run).log)  # T-5
    assert not worker.reports(JobFailed)


# T-7
def test_a_job_that_hangs_is_told_to_stand_still_and_then_fails_with_what_it_did_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs_of_life, "TOLD_AFTER_SECONDS", 0.5)
    paint_codes(tmp_path / "images")
    mailbox = MailboxInMemory([train_message(an_order(max_iter=LONG))])
    settings = msgspec.structs.replace(SETTINGS, quiet_patience_seconds=6.0)
    with RunningWorker(tmp_path, mailbox, settings=settings) as worker:
        eventually(lambda: is_training(mailbox))
        (process,) = job_processes()
        os.kill(process, signal.SIGSTOP)
        eventually(lambda: mailbox.beats[-1].activity == STANDS_STILL)
        assert mailbox.beats[-1].seconds_left is None
        assert not worker.reports(JobFailed)
        failed = worker.wait_for(JobFailed)
        eventually(lambda: len(worker.heard) == 2)
    assert failed.reason.text == HANGS
    assert failed.reason.values["activity"] == Sentence(TRAINING)
    assert "training ResNet18 on" in worker.text(failed.log)
    assert worker.heard[-1] == ("left", "training", "failed")
    assert is_gone(process)


def test_libraries_of_a_later_job_that_hang_while_they_load_end_that_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # T-7
    mailbox = MailboxInMemory([])
    settings = msgspec.structs.replace(SETTINGS, is_ready_ahead=False, ready_patience_seconds=20.0)
    order = LoadingOrder(archive=FolderName(ROOT, "gone@1.0"), name="gone", archive_version="1.0")
    with RunningWorker(tmp_path, mailbox, settings=settings) as worker:
        eventually(lambda: mailbox.asked and not job_processes())
        (tmp_path / "torch.py").write_text("import time\ntime.sleep(600)\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        mailbox.waiting.append(LoadModelImage(job_id=JOB_ID, attempt=1, needs=Resources(), order=order))
        failed = worker.wait_for(JobFailed)
    assert failed.reason.text == HANGS
    assert failed.reason.values["activity"] == Sentence(STARTING)
    assert not job_processes()


class HangingStorage(FolderOfArtifacts):
    """Shared storage that is away and lets everybody wait, as a hard mount does, until somebody writes into a pipe."""

    def keep(self, file: Path) -> Artifact:
        with suppress(FileNotFoundError):
            (self.folder.parent / "away").read_bytes()
            (self.folder.parent / "away").unlink()
        raise OSError(errno.EIO, "Input/output error", str(file))


def test_a_job_fails_though_its_worker_hangs_with_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # T-7
    monkeypatch.setattr(signs_of_life, "TOLD_AFTER_SECONDS", 0.2)
    os.mkfifo(tmp_path / "away")
    paint_codes(tmp_path / "images")
    mailbox = MailboxInMemory([train_message(an_order(max_iter=3))])
    settings = msgspec.structs.replace(SETTINGS, storage_patience_seconds=2.0)
    with RunningWorker(tmp_path, mailbox, settings=settings, storage=HangingStorage) as worker:
        failed = worker.wait_for(JobFailed)
        assert mailbox.beats[-1].activity == WAITS_FOR_STORAGE
        assert failed.reason.text == STORAGE_HANGS
        eventually(lambda: not job_processes())
        assert worker.heard == [("taken", "training")]  # the worker hangs, and is not heard by whoever waits for one
        (tmp_path / "away").write_bytes(b"back")
        eventually(lambda: len(worker.heard) == 2)
    assert worker.heard[-1] == ("left", "training", "failed")
    assert len(worker.reports(JobFailed)) == 1


def test_terminate_reaches_a_job_whose_worker_hangs_with_the_storage(tmp_path: Path) -> None:  # T-6
    os.mkfifo(tmp_path / "away")
    paint_codes(tmp_path / "images")
    mailbox = MailboxInMemory([train_message(an_order(max_iter=LONG))])
    with RunningWorker(tmp_path, mailbox, storage=HangingStorage) as worker:
        eventually(lambda: mailbox.beats and worker.reports(StageFinished))
        mailbox.goes_on = False
        eventually(lambda: not job_processes())
        mailbox.is_over = True
        (tmp_path / "away").write_bytes(b"back")
        eventually(lambda: len(worker.heard) == 2)
    assert worker.heard[-1] == ("left", "training", "over")


def test_two_workers_of_one_name_never_work_on_the_same_attempt(tmp_path: Path) -> None:  # T-6
    """Over Kafka both may hear that it is theirs; they would write into the same checkpoint."""
    paint_codes(tmp_path / "images")
    message = train_message(an_order(max_iter=LONG))
    first = RunningWorker(tmp_path, MailboxInMemory([message]))
    with first:
        eventually(lambda: is_training(first.mailbox))
        with RunningWorker(tmp_path, MailboxInMemory([message])) as second:
            eventually(lambda: len(second.heard) == 2)
        assert second.heard[-1] == ("left", "training", "over")
        assert not second.mailbox.reports
        beats = len(first.mailbox.beats)
        eventually(lambda: len(first.mailbox.beats) > beats + 3)
        assert first.heard == [("taken", "training")]


def test_a_report_of_an_attempt_that_is_over_ends_the_job_without_a_word(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images")
    mailbox = MailboxInMemory([train_message(an_order(max_iter=LONG))], is_over=True)
    with RunningWorker(tmp_path, mailbox) as worker:
        eventually(lambda: mailbox.refused == 2)  # its report, and the log that it offered
        mailbox.is_over = False
        mailbox.waiting.append(train_message(an_order(data_paths=("gone",)), attempt=2))
        assert worker.wait_for(JobFailed).attempt == 2
    assert mailbox.refused == 2
    assert len(mailbox.reports) == 1


def test_a_job_that_dies_fails_with_a_reason_and_the_worker_goes_on(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images")
    mailbox = MailboxInMemory([])
    with RunningWorker(tmp_path, mailbox) as worker:
        for run, number in enumerate((signal.SIGKILL, signal.SIGSEGV), start=1):
            mailbox.beats.clear()
            mailbox.waiting.append(train_message(an_order(max_iter=LONG), run=run))
            eventually(lambda: is_training(mailbox))
            (process,) = job_processes()
            os.kill(process, number)
            worker.wait_for(JobFailed, count=run)
    assert [heard[2] for heard in worker.heard if heard[0] == "left"] == ["failed", "failed"]
    killed, crashed = worker.reports(JobFailed)
    assert "ended the job (signal 9), most often because the memory was not enough" in str(killed.reason)
    assert "ended unexpectedly (-11)" in str(crashed.reason)
    assert "training ResNet18 on" in worker.text(killed.log)
    assert "Segmentation fault" in worker.text(crashed.log)  # where it died


@dataclass
class WaitingProcessDies(MailboxInMemory):
    """While a worker claims a job, something ends the process that waits for one."""

    killed: list[int] = field(default_factory=list)

    def take(self, offered: Resources) -> Message | None:
        message = super().take(offered)
        if message is not None:
            for process in job_processes():
                os.kill(process, signal.SIGKILL)
                self.killed.append(process)
        return message


def test_a_job_that_no_process_had_begun_does_not_fail_because_that_process_died(tmp_path: Path) -> None:  # T-7
    (tmp_path / "archives").mkdir()
    order = LoadingOrder(archive=FolderName(ROOT, "gone@1.0"), name="gone", archive_version="1.0")
    mailbox = WaitingProcessDies([LoadModelImage(job_id=JOB_ID, attempt=1, needs=Resources(), order=order)])
    with RunningWorker(tmp_path, mailbox) as worker:
        failed = worker.wait_for(JobFailed)
    assert len(mailbox.killed) == 1
    assert "“images:gone@1.0” cannot be read" in str(failed.reason)


def test_what_a_person_can_mend_is_said_and_the_log_holds_the_rest(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images")
    missing = Artifact("0" * 64, 1)
    messages: list[Message] = [
        train_message(an_order(data_paths=("gone",))),
        train_message(an_order(initial_weights=missing), run=2),
        train_message(msgspec.structs.replace(an_order(), input=NetworkInput(width=-1, height=32)), run=3),
    ]
    mailbox = MailboxInMemory(messages)
    with RunningWorker(tmp_path, mailbox) as worker:
        worker.wait_for(JobFailed, count=3)
    reasons = [str(report.reason) for report in worker.reports(JobFailed)]
    assert "“images:gone” cannot be read" in reasons[0]
    assert f"The file {missing.checksum} is missing" in reasons[1]
    assert "unexpected error" in reasons[2]
    assert "Traceback" in worker.text(worker.reports(JobFailed)[2].log)
    assert "Traceback" not in worker.text(worker.reports(JobFailed)[0].log)


class FullStorage(FolderOfArtifacts):
    """Shared storage on a disk that is full."""

    def keep(self, file: Path) -> Artifact:
        raise OSError(errno.ENOSPC, "No space left on device", str(file))


def test_a_full_disk_is_the_reason_though_the_log_cannot_be_kept_either(tmp_path: Path) -> None:  # T-7, S-5
    write_shipped_description(tmp_path / "package")
    (tmp_path / "archives").mkdir()
    build_package(tmp_path / "package", tmp_path / "archives" / "resnet18@1.0")
    order = LoadingOrder(archive=FolderName(ROOT, "resnet18@1.0"), name="resnet18", archive_version="1.0")
    message = LoadModelImage(job_id=JOB_ID, attempt=1, needs=Resources(), order=order)
    mailbox = MailboxInMemory([message])
    with RunningWorker(tmp_path, mailbox, storage=FullStorage) as worker:
        failed = worker.wait_for(JobFailed)
    assert "The disk is full." in str(failed.reason)
    assert failed.log is None


def test_a_workspace_that_cannot_be_made_fails_the_job_and_not_the_worker(tmp_path: Path) -> None:  # T-7
    paint_codes(tmp_path / "images")
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "jobs").write_text("no folder")
    mailbox = MailboxInMemory([train_message(an_order(max_iter=3))])
    with RunningWorker(tmp_path, mailbox) as worker:
        failed = worker.wait_for(JobFailed)
    assert "A file cannot be read or written" in str(failed.reason)


def test_a_workspace_that_a_later_attempt_removed_ends_the_job_and_not_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # T-6
    monkeypatch.setattr(worker_module, "remove_earlier_workspaces", shutil.rmtree)
    paint_codes(tmp_path / "images")
    with RunningWorker(tmp_path, MailboxInMemory([train_message(an_order(max_iter=3))])) as worker:
        failed = worker.wait_for(JobFailed)
    assert "is not there" in str(failed.reason)


def losses_of(place: RunningWorker | Workplace, trained: TrainingSucceeded) -> list[tuple[str, int, str]]:
    lines = [msgspec.json.decode(line) for line in place.artifacts.path(trained.losses).read_bytes().splitlines()]
    return [(line["part"], line["iteration"], float(line["loss"]).hex()) for line in lines]


# T-6
@pytest.mark.parametrize("part", LossPart)
def test_a_worker_killed_in_the_middle_is_followed_by_the_same_losses_and_weights(
    tmp_path: Path, part: LossPart
) -> None:
    order = an_order(max_iter=24, augmentations=tuple(Augmentation))
    if part is LossPart.SEGMENTATION:
        sgd = SgdParameters(base_lr=0.02, batch_size=4, max_iter=16)
        order = an_order(max_iter=2, segmentation=sgd, augmentations=tuple(Augmentation))
    for name in ("whole", "killed"):
        paint_defects(tmp_path / name / "images")
    place = Workplace(tmp_path / "whole")
    train(order, Resources(), place.job(), EXACT.training)
    whole = place.the(TrainingSucceeded)

    script = tmp_path / "worker.py"
    script.write_text(WORKER_SCRIPT)
    (tmp_path / "message").write_bytes(msgspec.msgpack.encode(train_message(order)))
    process = subprocess.Popen([sys.executable, script, tmp_path / "killed", tmp_path / "message"])
    checkpoint = workspace_of(tmp_path / "killed" / "scratch", JOB_ID, 1, 1) / f"{part.value}.pt"
    try:
        eventually(lambda: checkpoint.exists() or process.poll() is not None)
        (job,) = children_of(process.pid)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    eventually(lambda: not Path(f"/proc/{job}").exists())  # its job dies with it

    worker = RunningWorker(tmp_path / "killed", MailboxInMemory([train_message(order, attempt=2)]), EXACT)
    with worker:
        again = worker.wait_for(TrainingSucceeded)
    assert "going on after iteration" in worker.text(again.log)
    assert losses_of(worker, again) == losses_of(place, whole)
    assert (again.weights, again.segmentation_weights) == (whole.weights, whole.segmentation_weights)
    assert again.evaluation == whole.evaluation


WORKER_SCRIPT = """
import sys
from pathlib import Path
import msgspec
from domain.messages import TrainModel
from tests.gpu_worker.test_worker import EXACT, MailboxInMemory, RunningWorker
message = msgspec.msgpack.decode(Path(sys.argv[2]).read_bytes(), type=TrainModel)
RunningWorker(Path(sys.argv[1]), MailboxInMemory([message]), EXACT)._run()
"""


def children_of(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


# S-2
def test_a_worker_told_to_stop_writes_a_checkpoint_and_hands_the_job_on(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images")
    mailbox = MailboxInMemory([train_message(an_order(max_iter=LONG))])
    with RunningWorker(tmp_path, mailbox) as worker:
        eventually(lambda: is_training(mailbox))
    assert len(worker.reports(JobReleased)) == 1
    assert worker.heard == [("taken", "training"), ("left", "training", "released")]
    assert not worker.reports(JobFailed)
    assert (workspace_of(tmp_path / "scratch", JOB_ID, 1, 1) / "classification.pt").is_file()
    assert not job_processes()


def test_a_worker_told_to_stop_while_nobody_takes_its_reports_ends_and_leaves_its_checkpoint(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images")
    mailbox = AwayOnceTold([train_message(an_order(max_iter=LONG))])
    checkpoint = workspace_of(tmp_path / "scratch", JOB_ID, 1, 1) / "classification.pt"
    with RunningWorker(tmp_path, mailbox) as worker:
        eventually(checkpoint.is_file)
        mailbox.is_away = True
        eventually(lambda: mailbox.given_back)
    assert worker.heard == [("taken", "training"), ("left", "training", "lost")]
    assert checkpoint.is_file()
    assert not job_processes()


def test_a_restart_by_a_person_begins_from_nothing(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images")
    order = an_order(max_iter=3)
    earlier = workspace_of(tmp_path / "scratch", JOB_ID, 1, 1)
    earlier.mkdir(parents=True)
    (earlier / "classification.pt").write_bytes(b"of the run before")
    mailbox = MailboxInMemory([train_message(order, attempt=2, run=2)])
    with RunningWorker(tmp_path, mailbox) as worker:
        trained = worker.wait_for(TrainingSucceeded)
    assert "going on" not in worker.text(trained.log)
    assert losses_of(worker, trained)[0][1] == 1
    assert not earlier.exists()


# T-6
def test_a_worker_that_was_only_silent_disturbs_nobody_when_it_comes_back(tmp_path: Path) -> None:
    order = an_order(max_iter=24, augmentations=tuple(Augmentation))
    for name in ("whole", "plant"):
        paint_codes(tmp_path / name / "images")
    place = Workplace(tmp_path / "whole")
    train(order, Resources(), place.job(), EXACT.training)
    whole = place.the(TrainingSucceeded)

    plant, scratch = tmp_path / "plant", tmp_path / "plant" / "scratch"
    first, second = (workspace_of(scratch, JOB_ID, 1, attempt) for attempt in (1, 2))
    silent = RunningWorker(plant, MailboxInMemory([train_message(order)]), EXACT)
    other = RunningWorker(plant, MailboxInMemory([]), EXACT)
    with silent:
        eventually((first / "classification.pt").exists)
        (process,) = job_processes()
        os.kill(process, signal.SIGSTOP)
        with other:
            other.mailbox.waiting.append(train_message(order, attempt=2))
            eventually(lambda: is_training(other.mailbox))
            assert not first.exists()
            silent.mailbox.reports.clear()
            os.kill(process, signal.SIGCONT)
            again = other.wait_for(TrainingSucceeded)
        silent.wait_for(JobFailed)  # which its log refuses; whatever it wrote, it wrote nowhere
    assert not second.exists()
    assert "going on after iteration" in other.text(again.log)
    assert losses_of(other, again) == losses_of(place, whole)
    assert (again.weights, again.evaluation) == (whole.weights, whole.evaluation)


def test_what_an_attempt_goes_on_from_is_its_own_whatever_the_one_before_still_writes(tmp_path: Path) -> None:  # T-6
    first, second = (workspace_of(tmp_path, JOB_ID, 1, attempt) for attempt in (1, 2))
    make_workspace(first, None)
    for name in ("classification.pt", "losses-classification.jsonl", LOG_FILE, "preview.png"):
        (first / name).write_text("before")
    make_workspace(second, newest_workspace(tmp_path, JOB_ID, 1, before=2))
    for file in ("losses-classification.jsonl", LOG_FILE):
        with (first / file).open("a") as opened:
            opened.write(" and after")
    (first / "writing").write_text("after")
    (first / "writing").replace(first / "classification.pt")  # as a checkpoint is written
    taken = {file.name: file.read_text() for file in second.iterdir()}
    assert taken == dict.fromkeys(("classification.pt", "losses-classification.jsonl", LOG_FILE), "before")


def test_a_worker_that_comes_late_takes_nothing_from_the_attempt_after_its_own(tmp_path: Path) -> None:  # T-6
    first, second, next_run = (workspace_of(tmp_path, JOB_ID, *one) for one in ((1, 1), (1, 2), (2, 3)))
    for workspace in (second, next_run):
        make_workspace(workspace, None)
        (workspace / "classification.pt").write_text("theirs")
    make_workspace(first, newest_workspace(tmp_path, JOB_ID, 1, before=1))
    remove_earlier_workspaces(first)
    assert not list(first.iterdir())
    assert (second / "classification.pt").exists()
    remove_earlier_workspaces(next_run)
    assert sorted(first.parent.iterdir()) == [next_run]


def test_a_workspace_that_cannot_be_made_whole_is_not_there(tmp_path: Path) -> None:  # T-6
    first, second = (workspace_of(tmp_path, JOB_ID, 1, attempt) for attempt in (1, 2))
    make_workspace(first, None)
    (first / "log.txt").mkdir()  # cannot be copied
    with pytest.raises(OSError, match="Is a directory"):
        make_workspace(second, first)
    assert list(first.parent.iterdir()) == [first]


@dataclass
class DoneAtOnce(MailboxInMemory):
    """A log that has taken the result in, and says so to the next beat before the worker hears that its report was taken."""

    has_denied: threading.Event = field(default_factory=threading.Event)

    def report(self, report: AnyReport) -> None:
        super().report(report)
        if isinstance(report, TrainingSucceeded | JobFailed):
            self.goes_on = False
            assert self.has_denied.wait(DEADLINE_SECONDS)

    def beat(self, heartbeat: Heartbeat) -> bool:
        if not self.goes_on:
            self.has_denied.set()
        return super().beat(heartbeat)


@pytest.mark.parametrize(("folder", "outcome"), [("", "done"), ("gone", "failed")])
def test_a_job_whose_end_was_told_has_ended_whatever_a_beat_is_told_then(
    tmp_path: Path, folder: str, outcome: str
) -> None:
    paint_codes(tmp_path / "images")
    mailbox = DoneAtOnce([train_message(an_order(data_paths=(folder,), max_iter=3))])
    with RunningWorker(tmp_path, mailbox) as worker:
        eventually(lambda: len(worker.heard) == 2)
    assert worker.heard[-1] == ("left", "training", outcome)
    assert not worker.reports(LogKept)
    assert not list((tmp_path / "scratch" / "jobs" / str(JOB_ID)).iterdir())


@dataclass
class AwayOnceTold(MailboxInMemory):
    """The database behind it is away from a moment on."""

    is_away: bool = False
    given_back: int = 0

    def report(self, report: AnyReport) -> None:
        if self.is_away:
            self.given_back += 1
            raise ConnectionError("the database is away")
        super().report(report)


@dataclass
class AwayForAWhile(MailboxInMemory):
    """A server that restarts: what it is asked fails for a while."""

    failures: int = 3

    def take(self, offered: Resources) -> Message | None:
        self._fail()
        return super().take(offered)

    def report(self, report: AnyReport) -> None:
        self._fail()
        super().report(report)

    def beat(self, heartbeat: Heartbeat) -> bool:
        if len(self.beats) % 2:
            self.beats.append(heartbeat)
            raise ConnectionError("away")
        return super().beat(heartbeat)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")


def test_a_server_that_restarts_costs_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_RETRY_SECONDS", 0.05)
    paint_codes(tmp_path / "images")
    mailbox = AwayForAWhile([train_message(an_order(max_iter=3))])
    with RunningWorker(tmp_path, mailbox) as worker:
        worker.wait_for(TrainingSucceeded)
    assert len(worker.reports(StageFinished)) == 3


def test_what_nobody_goes_on_with_is_removed_after_its_time(tmp_path: Path) -> None:
    for name in ("jobs/old/1-1", "jobs/new/1-1", "decoded/old", "decoded/new"):
        folder = tmp_path / "scratch" / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(10))
        if "old" in name:
            os.utime(folder, (1, 1))
    with RunningWorker(tmp_path, MailboxInMemory([])):
        eventually(lambda: not (tmp_path / "scratch" / "decoded" / "old").exists())
    left = sorted(str(folder.relative_to(tmp_path / "scratch")) for folder in (tmp_path / "scratch").glob("*/*"))
    assert left == ["decoded/new", "jobs/new"]


def test_a_worker_whose_clock_is_off_removes_nothing_that_others_use(tmp_path: Path) -> None:
    for name in ("jobs/new/1-1", "decoded/new", "decoded/old"):
        folder = tmp_path / "scratch" / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(10))
    os.utime(tmp_path / "scratch" / "decoded" / "old", (1, 1))
    script = tmp_path / "worker.py"
    script.write_text(A_YEAR_AHEAD)
    subprocess.run([sys.executable, script, tmp_path], check=True, timeout=DEADLINE_SECONDS)
    left = sorted(str(folder.relative_to(tmp_path / "scratch")) for folder in (tmp_path / "scratch").glob("*/*"))
    assert left == ["decoded/new", "jobs/new"]


A_YEAR_AHEAD = """
import sys, threading, time
from pathlib import Path
right = time.time
time.time = lambda: right() + 365 * 86400
from tests.gpu_worker.test_worker import MailboxInMemory, RunningWorker, eventually
with RunningWorker(Path(sys.argv[1]), MailboxInMemory([])):
    eventually(lambda: not (Path(sys.argv[1]) / "scratch" / "decoded" / "old").exists())
"""
