"""Answers come in order, and no more of them than asked for wait."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from domain.data_paths import FolderName
from gpu_worker.images import FoundImage, find_images
from gpu_worker.jobs import Progress
from gpu_worker.look_ahead import ROUNDS_AHEAD, answered_ahead
from gpu_worker.preprocessing import read_all
from tests.gpu_worker.workplace import ROOT, MountedFolders, Workplace, paint


def test_answers_come_in_the_order_of_the_questions_though_later_ones_are_there_first() -> None:
    later_ones_are_there = threading.Event()
    answered = []

    def act(question: int) -> int:
        if question == 0:
            assert later_ones_are_there.wait(10)
        else:
            answered.append(question)
            if len(answered) == 3:
                later_ones_are_there.set()
        return 10 * question

    with answered_ahead(act, range(4), thread_count=2, most=4) as answers:
        assert list(answers) == [0, 10, 20, 30]


def test_no_more_than_the_most_are_begun_before_somebody_asks() -> None:
    asked: list[int] = []

    def questions() -> Iterator[int]:
        for question in range(100):
            asked.append(question)
            yield question

    with answered_ahead(abs, questions(), thread_count=2, most=5) as answers:
        assert next(answers) == 0
        assert len(asked) == 5
        assert next(answers) == 1
        assert len(asked) == 6


def test_an_error_is_raised_where_its_answer_was_due() -> None:
    def act(question: int) -> float:
        return 1 / (2 - question)

    answered: list[float] = []
    with (
        pytest.raises(ZeroDivisionError),
        answered_ahead(act, range(4), thread_count=2, most=4) as answers,
    ):
        answered.extend(answers)
    assert answered == [0.5, 1.0]


class Counted(list[FoundImage]):
    """A list that counts what was taken from it."""

    taken = 0

    def __iter__(self) -> Iterator[FoundImage]:
        for image in super().__iter__():
            self.taken += 1
            yield image


class Enough(Exception):
    """Raised at the first answer."""


def stop(_: Progress) -> None:
    raise Enough


# A million images take the memory of a few.
def test_a_training_looks_ahead_of_what_it_has_read_and_no_further(tmp_path: Path) -> None:
    paint(tmp_path / "images" / "OK" / "0.png", seed=1)
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path / "images"))
    found = Counted([image] * 100)
    with pytest.raises(Enough):
        read_all(found, replace(Workplace(tmp_path).job(cpu_cores=2), tell=stop))
    assert found.taken == 2 * ROUNDS_AHEAD
