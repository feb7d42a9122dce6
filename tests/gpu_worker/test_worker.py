"""The worker with a mailbox in memory: the line from the message to the last report, and jobs that end otherwise than well."""

import errno
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from domain.artifacts import Artifact
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
    Message,
    PackageLoaded,
    PredictImages,
    PredictionOrder,
    PredictionSucceeded,
    Resources,
    StageFinished,
    TrainingSucceeded,
    VersionToPredict,
)
from domain.model_packages import NetworkInput
from domain.training_parameters import PredictionParameters
from gpu_worker import worker as worker_module
from gpu_worker.jobs import LOG_FILE, workspace_of
from gpu_worker.networks import new_network, save_weights
from gpu_worker.packages import build_package, write_shipped_description
from tests.gpu_worker.running_worker import (
    DEADLINE_SECONDS,
    LONG,
    SETTINGS,
    MailboxInMemory,
    RunningWorker,
    eventually,
    is_training,
    job_processes,
    train_message,
)
from tests.gpu_worker.workplace import JOB_ID, ROOT, FolderOfArtifacts, an_order, paint_codes


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
from tests.gpu_worker.running_worker import MailboxInMemory, RunningWorker, eventually
with RunningWorker(Path(sys.argv[1]), MailboxInMemory([])):
    eventually(lambda: not (Path(sys.argv[1]) / "scratch" / "decoded" / "old").exists())
"""
