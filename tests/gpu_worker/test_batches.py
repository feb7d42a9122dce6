"""Which images form which batch, and what is done to them."""

import hashlib
from collections import Counter
from collections.abc import Collection

import numpy as np
import pytest
import torch
from torch import Tensor

from domain.training_parameters import Augmentation
from gpu_worker.augmentation import augment, draw
from gpu_worker.batches import Batches, BatchOrder, round_quotas
from gpu_worker.decoded_images import DecodedImages
from gpu_worker.metrics import standardized
from gpu_worker.randomness import stream
from gpu_worker.team import Team
from tests.gpu_worker.workplace import an_order


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


def test_a_frequent_codes_images_come_in_turn_over_all_rounds_and_shuffled_anew_each_time() -> None:
    labels = [0] * 9 + [1] * 3
    seen = [index for index in drawn(labels, batch_size=12, iterations=60) if labels[index] == 0]
    assert len(seen) % 9 != 0, "rounds and turns end at different times"
    turns = [tuple(seen[start : start + 9]) for start in range(0, len(seen) // 9 * 9, 9)]
    quota = round_quotas([9, 3])[0]
    assert 1 < quota < 9
    counts = Counter(seen)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(set(turns)) > len(turns) // 2


def test_what_a_round_lacks_goes_to_the_codes_that_lack_most() -> None:
    # √4 : √9 : √25 = 2 : 3 : 5 of 38 images: 7.6, 11.4 and 19; the largest remainder is that of the first.
    assert round_quotas([4, 9, 25]) == [8, 11, 19]
    assert round_quotas([1] * 49) == [1] * 49  # 49 times 1/49 is a little less than 1


# E-3
def test_what_an_order_meant_once_it_means_for_ever() -> None:
    """A training is replayed from its order: these batches were recorded when they were first trusted."""
    digest = hashlib.sha256()
    for seed, purpose in ((7, ""), (7, "segmentation "), (8, "")):
        order = BatchOrder([0] * 30 + [1] * 7 + [2] * 2, 11, seed, purpose)
        digest.update(np.concatenate([order.indices(iteration) for iteration in range(40)]).tobytes())
    assert digest.hexdigest() == "09a425ae5a59158bb4e7aeb821a7e554fbdf527566a4369516440975a6102248"


@pytest.mark.parametrize("counts", [[5], [1, 1], [952, 32, 57, 85, 103, 115], [10_000, 1]])
def test_a_round_is_as_long_as_the_split_and_no_code_is_left_out(counts: list[int]) -> None:
    quotas = round_quotas(counts)
    assert min(quotas) >= 1
    assert sum(quotas) == sum(counts)


CPU = torch.device("cpu")
COUNT, SIDE = 12, 32


def decoded(rows: np.ndarray) -> DecodedImages:
    return DecodedImages([rows], [(0, row) for row in range(len(rows))])


def squares() -> np.ndarray:
    """(N, H, W) each with a square of its own somewhere."""
    masks = np.zeros((COUNT, SIDE, SIDE), np.uint8)
    for mask, (top, left) in zip(masks, np.random.default_rng(1).integers(0, SIDE // 2, (COUNT, 2)), strict=True):
        mask[top : top + 12, left : left + 12] = 1
    return masks


def batches(
    chosen: Collection[Augmentation] = (), *, seed: int = 7, purpose: str = "", team: Team | None = None
) -> Batches:
    """Of twelve images that show as brightness what their masks mark; four codes, three images each."""
    masks = squares()
    images = np.repeat(60 + 150 * masks[:, None], 3, axis=1)
    order = an_order(seed=seed, augmentations=tuple(chosen))
    return Batches(
        order,
        decoded(images),
        [row // 3 for row in range(COUNT)],
        CPU,
        batch_size=8,
        network_input=order.input,
        masks=decoded(masks),
        purpose=purpose,
        team=team or Team(),
    )


def made(source: Batches, iteration: int) -> tuple[Tensor, Tensor]:
    return source.make(source.fetch(source.chosen(iteration)))


EVERY_CHOICE = [(), *((one,) for one in Augmentation), tuple(Augmentation)]


# W-8
@pytest.mark.parametrize("chosen", EVERY_CHOICE)
def test_a_batch_comes_out_the_same_to_the_bit_with_every_augmentation(chosen: tuple[Augmentation, ...]) -> None:
    images, truth = made(batches(chosen), 5)
    source = batches(chosen)
    for iteration in (3, 9):
        made(source, iteration)  # what was learnt from before, or was skipped by a resume, changes nothing
    again, same_truth = made(source, 5)
    assert torch.equal(images, again)
    assert torch.equal(truth, same_truth)


@pytest.mark.parametrize("chosen", EVERY_CHOICE)
def test_every_batch_and_every_seed_draws_anew(chosen: tuple[Augmentation, ...]) -> None:
    drawn = [
        torch.stack([figures.float() for figures in batches(chosen, seed=seed, purpose=purpose).chosen(number).drawn])
        for seed, purpose, number in ((7, "", 0), (7, "", 1), (8, "", 0), (7, "segmentation ", 0))
    ]
    for position, one in enumerate(drawn):
        for other in drawn[position + 1 :]:
            assert torch.equal(one, other) is (not chosen)


def test_the_images_of_a_batch_are_standardised_and_augmented_as_was_drawn() -> None:
    source, chosen = batches(tuple(Augmentation)), tuple(Augmentation)
    indices = source.batch_order.indices(2)
    pixels = torch.from_numpy(np.repeat(60 + 150 * squares()[indices][:, None], 3, axis=1)).float() / 255
    drawn = draw(8, chosen, stream(7, "augmentation", 2))
    expected = standardized(augment(pixels, drawn, chosen), an_order().input)
    images, truth = made(source, 2)
    assert torch.equal(images, expected)
    assert truth.shape == (8, SIDE, SIDE)


@pytest.mark.parametrize("chosen", EVERY_CHOICE)
def test_masks_go_along_with_their_images_and_say_their_codes(chosen: tuple[Augmentation, ...]) -> None:
    source = batches(chosen)
    images, truth = made(source, 1)
    brightness = images.mean(1)
    middle = (brightness.amax((1, 2), keepdim=True) + brightness.amin((1, 2), keepdim=True)) / 2
    agrees = (brightness > middle) == (truth > 0)
    assert agrees.float().mean() > 0.97  # the edge of an image is a mixture, that of a label is not
    for shown, index in zip(truth, source.batch_order.indices(1), strict=True):
        assert set(shown.unique().tolist()) == {0, 1 + int(index) // 3}


def test_seed_and_purpose_decide_the_batches_too() -> None:
    same, *others = (
        batches(seed=seed, purpose=purpose).chosen(3).indices.tolist()
        for seed, purpose in ((7, ""), (8, ""), (7, "segmentation "))
    )
    assert same == batches().chosen(3).indices.tolist() == batches().batch_order.indices(3).tolist()
    assert same not in others
    assert others[0] != others[1]


def test_ranks_share_out_a_batch_with_what_was_drawn_for_each_image() -> None:
    chosen = tuple(Augmentation)
    whole = batches(chosen).chosen(4)
    for rank in range(3):
        mine = batches(chosen, team=Team(rank, 3, 8)).chosen(4)
        assert mine.indices.tolist() == whole.indices[rank::3].tolist()
        for ours, everyones in zip(mine.drawn, whole.drawn, strict=True):
            assert torch.equal(ours, everyones[rank::3])
