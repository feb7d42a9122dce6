"""W-6: what is advised for a training from nothing fits the number of its images."""

import pytest

from domain.json_forms import write_json
from domain.learning_rates import LearningRatePolicy
from domain.training_advice import LearntFrom, advised_from_nothing
from domain.training_parameters import read_training_parameters


@pytest.mark.parametrize(
    ("of_classes", "iterations"), [(0, 2000), (20, 2000), (1000, 2000), (1001, 2002), (10_000, 20_000)]
)
def test_each_image_is_learnt_from_some_thirty_times_and_few_ones_oftener(
    of_classes: int, iterations: int
) -> None:  # W-6
    advised = advised_from_nothing(LearntFrom(of_classes, masked=0), with_segmentation=False)
    assert advised.classification.max_iter == iterations
    assert advised.classification.max_iter * advised.classification.batch_size >= 32 * of_classes


@pytest.mark.parametrize(("masked", "iterations"), [(0, 2500), (333, 2500), (334, 2505), (4000, 30_000)])
def test_segmentation_goes_by_the_images_with_masks(masked: int, iterations: int) -> None:  # W-6
    advised = advised_from_nothing(LearntFrom(of_classes=0, masked=masked), with_segmentation=True)
    assert advised.segmentation is not None
    assert advised.segmentation.max_iter == iterations


def test_without_segmentation_there_is_nothing_about_it() -> None:  # W-9
    assert advised_from_nothing(LearntFrom(100, 100), with_segmentation=False).segmentation is None


def test_the_editor_takes_what_is_advised() -> None:  # W-6
    advised = advised_from_nothing(LearntFrom(10**9, 10**9), with_segmentation=True)
    assert read_training_parameters(write_json(advised)) == advised
    assert advised.classification.lr_policy is LearningRatePolicy.POLY
