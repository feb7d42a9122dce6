"""One attempt after another: what the next goes on from, and that an older one disturbs nobody (T-6, T-7)."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from domain.messages import AnyReport, JobFailed, JobReleased, LossPart, Resources, TrainingSucceeded
from domain.training_parameters import Augmentation, SgdParameters
from gpu_worker import worker as worker_module
from gpu_worker.jobs import LOG_FILE, make_workspace, newest_workspace, remove_earlier_workspaces, workspace_of
from gpu_worker.training import train
from tests.gpu_worker.running_worker import (
    EXACT,
    LONG,
    MailboxInMemory,
    RunningWorker,
    eventually,
    is_training,
    job_processes,
    train_message,
)
from tests.gpu_worker.workplace import JOB_ID, Workplace, an_order, paint_codes, paint_defects


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
from tests.gpu_worker.running_worker import EXACT, MailboxInMemory, RunningWorker
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
class AwayOnceTold(MailboxInMemory):
    """The database behind it is away from a moment on."""

    is_away: bool = False
    given_back: int = 0

    def report(self, report: AnyReport) -> None:
        if self.is_away:
            self.given_back += 1
            raise ConnectionError("the database is away")
        super().report(report)
