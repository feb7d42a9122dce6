"""Answers come in order, and no more of them than asked for wait."""

import threading
from collections.abc import Iterator

import pytest

from gpu_worker.look_ahead import answered_ahead


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
