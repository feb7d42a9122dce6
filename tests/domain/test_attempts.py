"""How work is handed to workers: T-6, S-5."""

import pytest

from domain.attempts import Attempt, AttemptIsOver, check_open, check_owned, gave_up, is_last


def test_a_claimed_attempt_belongs_to_its_worker() -> None:
    assert Attempt().claimed_by("gpu-1") == Attempt(number=1, run=1, worker="gpu-1")


def test_an_interruption_opens_the_next_attempt_of_the_same_run() -> None:
    interrupted = Attempt().claimed_by("gpu-1").interrupted(is_fault=True)
    assert interrupted == Attempt(number=2, run=1, worker="", interruptions=1)


def test_a_worker_stopped_in_good_order_does_not_count_towards_giving_up() -> None:
    assert Attempt().claimed_by("gpu-1").interrupted(is_fault=False).interruptions == 0


def test_starting_again_begins_another_run_and_forgets_earlier_interruptions() -> None:
    tried = Attempt().claimed_by("gpu-1").interrupted(is_fault=True).claimed_by("gpu-2")
    assert tried.restarted() == Attempt(number=3, run=2, worker="", interruptions=0)


def test_the_last_of_the_configured_tries_ends_the_run() -> None:
    tried_twice = Attempt(interruptions=2)
    assert is_last(tried_twice, 3, is_fault=True)
    assert not is_last(tried_twice, 4, is_fault=True)
    assert not is_last(tried_twice, 3, is_fault=False), "a worker stopped in good order ends nothing"


def test_giving_up_says_how_many_workers_fell_silent() -> None:
    assert "3 workers in a row fell silent" in str(gave_up(3))


def test_only_the_current_attempt_of_waiting_work_can_be_claimed() -> None:
    check_open(Attempt(number=2), 2, is_waiting=True)
    with pytest.raises(AttemptIsOver):
        check_open(Attempt(number=2), 1, is_waiting=True)
    with pytest.raises(AttemptIsOver):
        check_open(Attempt(number=2), 2, is_waiting=False)


def test_only_reports_of_the_current_attempt_of_running_work_count() -> None:
    check_owned(Attempt(number=2, worker="gpu-1"), 2, is_running=True)
    with pytest.raises(AttemptIsOver):
        check_owned(Attempt(number=2, worker="gpu-1"), 1, is_running=True)
    with pytest.raises(AttemptIsOver):
        check_owned(Attempt(number=2, worker="gpu-1"), 2, is_running=False)
