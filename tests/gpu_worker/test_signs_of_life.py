"""What is told of a job that says nothing, and when it is over. The processes that stand still are real ones."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.sentences import Sentence
from gpu_worker.settings import WorkerSettings
from gpu_worker.signs_of_life import (
    HANGS,
    SAYS_NOTHING,
    STANDS_STILL,
    STORAGE_HANGS,
    WAITS_FOR_STORAGE,
    SignsOfLife,
)
from tests.eventually import eventually

SETTINGS = WorkerSettings(ready_patience_seconds=300, quiet_patience_seconds=3600, storage_patience_seconds=540)
READING = "Reading the images"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def goes_on(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def process() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as sleeping:
        yield sleeping.pid
        sleeping.kill()


def signs_of(process: int, clock: Clock, *, is_ready: bool = True) -> SignsOfLife:
    return SignsOfLife(process, "gpu-1", SETTINGS, is_ready=is_ready, clock=clock)


def test_what_a_job_does_is_told_by_the_job_while_it_is_heard(process: int, clock: Clock) -> None:
    signs = signs_of(process, clock)
    for _ in range(1000):
        clock.goes_on(9)
        signs.heard()
    assert signs.held_up_by() == ""
    assert signs.verdict(READING) is None


def test_a_process_that_was_stopped_is_told_within_seconds(process: int, clock: Clock) -> None:
    signs = signs_of(process, clock)
    os.kill(process, signal.SIGSTOP)
    clock.goes_on(9)
    assert signs.held_up_by() == ""
    clock.goes_on(2)
    eventually(lambda: signs.held_up_by() == STANDS_STILL)
    os.kill(process, signal.SIGCONT)
    eventually(lambda: signs.held_up_by() == "")


def test_one_that_a_process_started_and_that_was_stopped_is_told_too(clock: Clock) -> None:
    """As a rank of a training is."""
    with subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as head:
        assert head.stdout is not None
        rank = int(head.stdout.readline())
        signs = signs_of(head.pid, clock)
        clock.goes_on(11)
        assert signs.held_up_by() == ""
        os.kill(rank, signal.SIGSTOP)
        eventually(lambda: signs.held_up_by() == STANDS_STILL)
        os.kill(rank, signal.SIGKILL)


IN_UNINTERRUPTIBLE_SLEEP = """
import os, sys
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])
"""
"""As a process that waits for a disk: its child opens a pipe before it becomes a program of its own, and nobody writes there."""


def test_a_process_that_waits_for_a_disk_is_told(tmp_path: Path, clock: Clock) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen([sys.executable, "-c", IN_UNINTERRUPTIBLE_SLEEP, tmp_path / "pipe"]) as waiting:
        signs = signs_of(waiting.pid, clock)
        clock.goes_on(11)
        eventually(lambda: signs.held_up_by() == WAITS_FOR_STORAGE)
        (tmp_path / "pipe").write_bytes(b"there")
        assert waiting.wait(20) == 0


def test_quiet_for_which_the_kernel_has_no_reason_is_told_after_a_minute(process: int, clock: Clock) -> None:
    signs = signs_of(process, clock)
    clock.goes_on(60)
    assert signs.held_up_by() == ""
    clock.goes_on(1)
    assert signs.held_up_by() == SAYS_NOTHING
    signs.heard()
    assert signs.held_up_by() == ""


def test_nothing_is_known_of_a_process_that_has_ended(clock: Clock) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    signs = signs_of(ended.pid, clock)
    clock.goes_on(11)
    assert signs.held_up_by() == ""


def test_a_job_that_says_nothing_for_too_long_is_over_and_what_it_told_last_is_named(
    process: int, clock: Clock
) -> None:  # T-7
    signs = signs_of(process, clock)
    clock.goes_on(3600)
    assert signs.verdict(READING) is None
    clock.goes_on(1)
    assert signs.verdict(READING) == Sentence(HANGS, {"minutes": 60, "activity": Sentence(READING), "worker": "gpu-1"})


def test_libraries_have_less_time_to_load_than_a_job_has_to_say_something(process: int, clock: Clock) -> None:  # T-7
    signs = signs_of(process, clock, is_ready=False)
    clock.goes_on(301)
    over = signs.verdict("Starting")
    assert over is not None
    assert over.values["minutes"] == 5
    signs.heard()
    clock.goes_on(301)
    assert signs.verdict("Training") is None


def test_storage_that_does_not_answer_is_told_within_seconds_and_then_ends_the_job(
    process: int, clock: Clock
) -> None:  # T-7
    signs = signs_of(process, clock)
    with signs.at_storage():
        clock.goes_on(10)
        assert signs.held_up_by() == ""
        clock.goes_on(1)
        assert signs.held_up_by() == WAITS_FOR_STORAGE
        clock.goes_on(529)
        assert signs.verdict(READING) is None
        clock.goes_on(1)
        assert signs.verdict(READING) == Sentence(STORAGE_HANGS, {"worker": "gpu-1", "minutes": 9})
    assert (signs.held_up_by(), signs.verdict(READING)) == ("", None)  # it answered, and nobody waited for the process
