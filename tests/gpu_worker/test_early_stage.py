"""The first half of a training from nothing, in which images are smaller."""

from pathlib import Path

import pytest
import torch

from domain.artifacts import Artifact
from domain.model_packages import NetworkInput
from domain.training_parameters import Augmentation
from gpu_worker.early_stage import EarlyStage, pixels_seen
from gpu_worker.parts import ClassificationPart, parts_of
from gpu_worker.preprocessing import prepare
from tests.gpu_worker.workplace import Workplace, an_order, paint_codes

CPU = torch.device("cpu")


def of_side(side: int, max_iter: int = 100) -> EarlyStage | None:
    return EarlyStage.of(max_iter, NetworkInput(width=side, height=side))


@pytest.mark.parametrize(("side", "early"), [(128, 96), (160, 128), (192, 128), (224, 160), (512, 384)])
def test_the_early_side_is_a_whole_multiple_of_what_networks_halve(side: int, early: int) -> None:
    assert of_side(side) == EarlyStage(50, early, early)


@pytest.mark.parametrize("side", [32, 64, 96, 119])
def test_small_images_stay_as_they_are(side: int) -> None:
    assert of_side(side) is None


def test_a_single_iteration_sees_images_of_full_size() -> None:
    early = of_side(128, max_iter=1)
    assert early is not None
    assert early.iterations == 0


def test_time_is_counted_in_pixels() -> None:
    network_input = NetworkInput(width=128, height=128)
    assert pixels_seen(60, of_side(128), network_input) == 50 * 96 * 96 + 10 * 128 * 128
    assert pixels_seen(60, None, network_input) == 60 * 128 * 128


def the_part(tmp_path: Path, *, initial_weights: Artifact | None = None) -> ClassificationPart:
    paint_codes(tmp_path / "images")
    order = an_order(input_side=128, max_iter=4, augmentations=tuple(Augmentation), initial_weights=initial_weights)
    (part,) = parts_of(order, prepare(order, Workplace(tmp_path).job()))
    assert isinstance(part, ClassificationPart)
    return part


def test_images_are_small_in_the_first_half_and_show_the_same(tmp_path: Path) -> None:
    part = the_part(tmp_path)
    batches = part.batches(CPU)
    sizes = [tuple(batches.batch(iteration)[0].shape[2:]) for iteration in range(4)]
    assert sizes == [(96, 96), (96, 96), (128, 128), (128, 128)]
    small, large = batches.chosen(0), batches.chosen(0)._replace(size=(128, 128))
    # Noise of single pixels is averaged away, what it lies on is not.
    means = [batches.load(chosen)[0].mean((1, 2, 3)) for chosen in (small, large)]
    torch.testing.assert_close(means[0], means[1], rtol=0, atol=0.02)


def test_a_training_that_goes_on_from_weights_has_no_early_stage(tmp_path: Path) -> None:
    assert the_part(tmp_path, initial_weights=Artifact("0" * 64, 1)).early is None
