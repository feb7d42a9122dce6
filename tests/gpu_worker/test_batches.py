"""Which images form which batch."""

from collections import Counter

import numpy as np
import pytest

from gpu_worker.batches import BatchOrder, round_quotas


def drawn(labels: list[int], batch_size: int, iterations: int, seed: int = 7) -> list[int]:
    order = BatchOrder(labels, batch_size, seed)
    return [int(index) for iteration in range(iterations) for index in order.indices(iteration)]


def test_a_batch_depends_on_seed_and_iteration_only() -> None:
    labels = [0] * 30 + [1] * 10
    one, other = BatchOrder(labels, 16, 7), BatchOrder(labels, 16, 7)
    forwards = [one.indices(iteration).tolist() for iteration in range(9)]
    backwards = [other.indices(iteration).tolist() for iteration in reversed(range(9))]
    assert forwards == backwards[::-1]
    assert forwards != [BatchOrder(labels, 16, 8).indices(iteration).tolist() for iteration in range(9)]


@pytest.mark.parametrize("batch_size", [1, 7, 16, 100])
def test_batches_are_full_also_when_there_are_fewer_images(batch_size: int) -> None:
    order = BatchOrder([0, 0, 0, 1, 1, 1], batch_size, 7)
    assert all(len(order.indices(iteration)) == batch_size for iteration in range(5))


def test_balanced_codes_are_seen_equally_often_and_every_image_in_turn() -> None:
    assert set(Counter(drawn([0, 1] * 8, batch_size=16, iterations=4)).values()) == {4}


def test_rare_codes_are_seen_more_often_than_their_number_says_but_not_as_often_as_frequent_ones() -> None:
    labels = [0] * 900 + [1] * 100
    seen = Counter(np.array(labels)[drawn(labels, batch_size=50, iterations=20)].tolist())
    assert seen[1] == 250  # √100 : √900 = 1 : 3
    rare = Counter(index for index in drawn(labels, batch_size=50, iterations=20) if labels[index] == 1)
    assert set(rare.values()) <= {2, 3}


@pytest.mark.parametrize("counts", [[5], [1, 1], [952, 32, 57, 85, 103, 115], [10_000, 1]])
def test_a_round_is_as_long_as_the_split_and_no_code_is_left_out(counts: list[int]) -> None:
    quotas = round_quotas(counts)
    assert min(quotas) >= 1
    assert sum(quotas) == sum(counts)
