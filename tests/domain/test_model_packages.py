"""What a package says of sizes and networks. Source: REQUIREMENTS, I-6, W-10."""

import pytest

from domain.model_packages import ModelPackage, NetworkInput, NetworkTask, OfferedNetwork, ResolutionRule

EXACT = ResolutionRule(exact_sizes=((1280, 960), (640, 480)))
RANGE = ResolutionRule(min_width=100, min_height=50, max_width=200, max_height=150)


@pytest.mark.parametrize(
    ("rule", "size", "complies"),
    [
        (EXACT, (1280, 960), True),
        (EXACT, (640, 480), True),
        (EXACT, (960, 1280), False),  # turned
        (EXACT, (1280, 480), False),
        (RANGE, (100, 50), True),
        (RANGE, (200, 150), True),
        (RANGE, (99, 50), False),
        (RANGE, (201, 150), False),
        (RANGE, (100, 49), False),
        (RANGE, (200, 151), False),
        (RANGE, (150, 200), False),
        (ResolutionRule(), (1, 9999), True),
    ],
)
def test_an_image_complies_with_exact_sizes_or_a_range_both_ends_included(
    rule: ResolutionRule, size: tuple[int, int], complies: bool
) -> None:  # W-10
    assert rule.complies(*size) is complies


@pytest.mark.parametrize(
    ("rule", "is_empty"),
    [
        (ResolutionRule(), True),
        (EXACT, False),
        (RANGE, False),
        (ResolutionRule(max_width=200), False),
        (ResolutionRule(max_height=200), False),
    ],
)
def test_only_a_rule_that_says_nothing_leaves_it_to_the_training_images(
    rule: ResolutionRule, is_empty: bool
) -> None:  # W-10
    assert rule.is_empty is is_empty


def test_a_network_is_found_by_its_task_and_its_name() -> None:
    size = NetworkInput(width=128, height=128)
    classifier = OfferedNetwork(task=NetworkTask.CLASSIFICATION, name="ResNet18", input=size)
    segmenter = OfferedNetwork(task=NetworkTask.SEGMENTATION, name="ResNet18", input=size)
    package = ModelPackage(networks=(classifier, segmenter))
    assert package.network(NetworkTask.SEGMENTATION, "ResNet18") is segmenter
    assert package.network(NetworkTask.SEGMENTATION, "ResNet50") is None
    assert package.networks_for(NetworkTask.CLASSIFICATION) == (classifier,)
