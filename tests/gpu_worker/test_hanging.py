"""Jobs, libraries and storages that hang: told, ended, and never the end of a worker that could go on (T-2, T-6)."""

import errno
import os
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import JobFailed, LoadingOrder, LoadModelImage, LogKept, Resources, StageFinished
from domain.sentences import Sentence
from gpu_worker import signs_of_life
from gpu_worker.signs_of_life import HANGS, STANDS_STILL, STORAGE_HANGS, WAITS_FOR_STORAGE
from gpu_worker.training import TRAINING
from gpu_worker.worker import STARTING, run_worker
from infra.running_logs import RunningLogs
from tests.gpu_worker.running_worker import (
    LONG,
    SETTINGS,
    MailboxInMemory,
    RunningWorker,
    eventually,
    is_gone,
    is_training,
    job_processes,
    train_message,
)
from tests.gpu_worker.workplace import JOB_ID, ROOT, FolderOfArtifacts, MountedFolders, an_order, paint_codes


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
