"""What people are told of a job that broke off: only what they can do with a job of its kind (I-2, T-7)."""

import errno
import os
import signal
from pathlib import Path

import pytest

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import JobFailed, LoadingOrder, LoadModelImage, Resources
from domain.sentences import Sentence, Value
from gpu_worker.packages import build_package, write_shipped_description
from gpu_worker.reasons import (
    CRASHED,
    DISK_IS_FULL,
    KILLED,
    OUT_OF_MEMORY,
    STORAGE_FAILS,
    UNEXPECTED,
    of_packaging,
    reason_of,
    reason_of_exit,
)
from tests.gpu_worker.running_worker import MailboxInMemory, RunningWorker, eventually, job_processes
from tests.gpu_worker.workplace import JOB_ID, ROOT, FolderOfArtifacts
from web.i18n import translate


@pytest.mark.parametrize("text", [OUT_OF_MEMORY, KILLED, CRASHED, UNEXPECTED, DISK_IS_FULL, STORAGE_FAILS])
def test_a_loading_has_no_batches_and_no_log_to_download(text: str) -> None:  # I-2
    values: dict[str, Value | Sentence] = {"signal": 9, "code": -11, "error": "ValueError: no", "problem": "[Errno 5]"}
    told = of_packaging(Sentence(text, values))
    for word in ("batch_size", "compute resource", "Download the log"):
        assert word not in str(told)
    assert "start" in str(told).lower()
    assert told.values == values


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "/data/a.png"), "“/data/a.png”不存在"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/a.png"), "平台无权打开“/data/a.png”"),
        (OSError(errno.ENODEV, "No such device", "/data"), "ENODEV /data"),
        (OSError("no number"), "OSError"),
    ],
)
def test_what_the_storage_did_is_told_in_the_readers_language(error: OSError, told: str) -> None:  # S-4, T-7
    assert told in translate(reason_of(error), "zh")


def test_what_a_rule_said_is_told_as_it_was() -> None:
    said = Sentence("“{entry}” stands twice in the archive. Keep one of them.", {"entry": "w"})
    assert of_packaging(said) == said


class PatientStorage(FolderOfArtifacts):
    """Keeps nothing before it is told to, so that a job does not end by itself."""

    def keep(self, file: Path) -> Artifact:
        eventually((self.folder.parent / "goes on").exists)
        return super().keep(file)


def test_a_loading_that_is_killed_says_what_to_do_about_it(tmp_path: Path) -> None:  # I-2, S-5
    write_shipped_description(tmp_path / "source")
    (tmp_path / "archives").mkdir()
    build_package(tmp_path / "source", tmp_path / "archives" / "resnet18@1.0.tar")
    order = LoadingOrder(archive=FolderName(ROOT, "resnet18@1.0.tar"), name="resnet18", archive_version="1.0")
    mailbox = MailboxInMemory([LoadModelImage(job_id=JOB_ID, attempt=1, needs=Resources(), order=order)])
    with RunningWorker(tmp_path, mailbox, storage=PatientStorage) as worker:
        eventually(lambda: mailbox.beats and job_processes())
        (process,) = job_processes()
        os.kill(process, signal.SIGKILL)
        (tmp_path / "goes on").touch()
        reason = worker.wait_for(JobFailed).reason
    assert reason == of_packaging(reason_of_exit(-signal.SIGKILL))
    assert "Wait until the machine has less to do, then start again." in str(reason)
