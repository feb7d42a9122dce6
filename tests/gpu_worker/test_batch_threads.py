"""Batches are answered in their order, on a CPU by threads of one thread each."""

import threading

import numpy as np
import pytest
import torch

from gpu_worker.batch_threads import Indices, answered_by_batch

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _three_threads() -> None:
    torch.set_num_threads(3)


def test_answers_come_in_the_order_of_the_images() -> None:
    with answered_by_batch(lambda batch: batch, 35, CPU) as answers:
        batches = list(answers)
    assert [len(batch) for batch in batches] == [16, 16, 3]
    assert np.array_equal(np.concatenate(batches), np.arange(35))


def test_threads_take_whole_batches_and_share_out_no_operation() -> None:
    together = threading.Barrier(3, timeout=20)

    def act(_: Indices) -> int:
        together.wait()  # passes only when three threads are here at once
        return torch.get_num_threads()

    with answered_by_batch(act, 3 * 16, CPU) as answers:
        assert list(answers) == [1, 1, 1]
    assert torch.get_num_threads() == 3


def test_one_thread_asks_itself() -> None:
    torch.set_num_threads(1)
    with answered_by_batch(lambda _: threading.current_thread(), 20, CPU) as answers:
        assert set(answers) == {threading.current_thread()}


def test_what_goes_wrong_in_a_thread_is_told() -> None:
    def act(batch: Indices) -> None:
        if batch[0] >= 16:
            raise MemoryError

    with answered_by_batch(act, 100, CPU) as answers, pytest.raises(MemoryError):
        list(answers)
