"""Augmentation against torchvision, where it has the same, and against what the manual says."""

import pytest
import torch
from torchvision.transforms.v2 import functional as tv  # type: ignore[import-untyped]

from domain.training_parameters import Augmentation
from gpu_worker.augmentation import SCALE_RANGE, SHIFT_RANGE, Draw, augment, augment_labels, draw, shift_colour, warp
from gpu_worker.randomness import stream

ALL = tuple(Augmentation)


def some_images(count: int = 5, side: int = 24) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=stream(1, "images"))


def nothing_drawn(count: int = 5) -> Draw:
    return draw(count, (), stream(1, "none"))


@pytest.mark.parametrize("turn", [-0.3, -0.02, 0.02, 0.5])
def test_turning_the_hue_is_what_torchvision_does(turn: float) -> None:
    images = some_images()
    ours = shift_colour(images, torch.full((5,), turn), torch.ones(5), torch.ones(5))
    assert torch.allclose(ours, tv.adjust_hue(images, turn), atol=1e-5)


def test_no_shift_of_colour_changes_nothing() -> None:
    images = torch.cat([some_images(), torch.zeros(1, 3, 24, 24), torch.ones(1, 3, 24, 24)])
    neutral = shift_colour(images, torch.zeros(7), torch.ones(7), torch.ones(7))
    assert torch.allclose(neutral, images, atol=1e-6)


def test_value_makes_brighter_and_saturation_makes_grey() -> None:
    images = some_images() * 0.5
    assert torch.allclose(
        shift_colour(images, torch.zeros(5), torch.ones(5), torch.full((5,), 1.5)), images * 1.5, atol=1e-5
    )
    grey = shift_colour(images, torch.zeros(5), torch.zeros(5), torch.ones(5))
    assert torch.allclose(grey, images.amax(1, keepdim=True).expand_as(images), atol=1e-6)


@pytest.mark.parametrize("factor", [1.25, 1.0, 0.8])
def test_scaling_is_torchvisions_affine_inside_the_frame(factor: float) -> None:
    images = some_images(side=40)
    ours = warp(images, nothing_drawn()._replace(scale=torch.full((5,), factor)))
    theirs = tv.affine(
        images, angle=0.0, translate=[0, 0], scale=factor, shear=[0.0], interpolation=tv.InterpolationMode.BILINEAR
    )
    inner = slice(8, 32)
    assert torch.allclose(ours[..., inner, inner], theirs[..., inner, inner], atol=1e-5)
    assert ours.amin() > 0  # the frame is filled with a mirror image, not with black


@pytest.mark.parametrize("factor", [1.2, 0.85])
def test_what_is_scaled_may_stand_off_centre(factor: float) -> None:
    images = some_images(side=40)
    drawn = nothing_drawn()._replace(
        scale=torch.full((5,), factor), right=torch.full((5,), 0.1), down=torch.full((5,), -0.05)
    )
    ours = warp(images, drawn)
    theirs = tv.affine(
        images, angle=0.0, translate=[4, -2], scale=factor, shear=[0.0], interpolation=tv.InterpolationMode.BILINEAR
    )
    inner = slice(8, 32)
    assert torch.allclose(ours[..., inner, inner], theirs[..., inner, inner], atol=1e-5)
    assert ours.amin() > 0


def test_what_is_scaled_and_off_centre_is_flipped_afterwards() -> None:
    images = some_images(side=40)
    scaled = nothing_drawn()._replace(
        scale=torch.full((5,), 0.85), right=torch.full((5,), 0.1), down=torch.full((5,), -0.05)
    )
    flipped = scaled._replace(
        is_flipped=torch.tensor([True, True, False, False, False]),
        is_upside_down=torch.tensor([True, False, True, False, False]),
    )
    unflipped = warp(images, scaled)
    wanted = torch.stack(
        (
            tv.vertical_flip(tv.horizontal_flip(unflipped[0])),
            tv.horizontal_flip(unflipped[1]),
            tv.vertical_flip(unflipped[2]),
            *unflipped[3:],
        )
    )
    assert torch.allclose(warp(images, flipped), wanted, atol=1e-5)


def test_an_image_that_is_not_square_is_scaled_alike_in_both_directions() -> None:
    images = some_images(side=60)[..., :40]
    ours = warp(images, nothing_drawn()._replace(scale=torch.full((5,), 1.25), right=torch.full((5,), 0.1)))
    theirs = tv.affine(
        images, angle=0.0, translate=[4, 0], scale=1.25, shear=[0.0], interpolation=tv.InterpolationMode.BILINEAR
    )
    assert torch.allclose(ours[..., 15:45, 12:28], theirs[..., 15:45, 12:28], atol=1e-5)


def test_only_what_is_scaled_is_moved_and_never_far() -> None:
    still = draw(1000, (Augmentation.COLOR_ENHANCEMENT, Augmentation.FLIPPING), stream(1, "still"))
    assert not still.right.any()
    assert not still.down.any()
    scaled = draw(1000, (Augmentation.SCALING,), stream(1, "scaled"))
    assert -SHIFT_RANGE <= scaled.right.amin() < -0.9 * SHIFT_RANGE
    assert 0.9 * SHIFT_RANGE < scaled.down.amax() <= SHIFT_RANGE
    random = draw(1000, (Augmentation.RANDOM_TRANSFORM,), stream(1, "random"))
    assert torch.equal(random.right.ne(0), random.scale.ne(1))


def test_flipping_is_left_to_right_and_exact() -> None:
    images = some_images()
    chosen = (Augmentation.FLIPPING,)
    drawn = draw(5, chosen, stream(1, "flip"))
    augmented = augment(images, drawn, chosen)
    assert 0 < drawn.is_flipped.sum() < 5
    for before, after, is_flipped in zip(images, augmented, drawn.is_flipped, strict=True):
        assert torch.equal(after, tv.horizontal_flip(before) if is_flipped else before)


def test_what_is_not_chosen_does_not_happen() -> None:
    images = some_images()
    assert torch.equal(augment(images, nothing_drawn(), ()), images)
    drawn = draw(1000, (Augmentation.SCALING,), stream(1, "scaling"))
    assert not drawn.is_flipped.any()
    assert not drawn.is_upside_down.any()
    assert drawn.hue.eq(0).all()
    assert drawn.saturation.eq(1).all()
    assert SCALE_RANGE[0] <= drawn.scale.amin() < drawn.scale.amax() <= SCALE_RANGE[1]


def test_random_transform_flips_and_scales_only_some_samples() -> None:
    drawn = draw(1000, (Augmentation.RANDOM_TRANSFORM,), stream(1, "random"))
    assert 400 < drawn.is_flipped.sum() < 600
    assert 400 < drawn.is_upside_down.sum() < 600
    assert 400 < drawn.scale.ne(1).sum() < 600
    assert drawn.scale.amax() > SCALE_RANGE[1]


def test_random_transform_flips_in_both_directions_and_masks_go_along() -> None:
    images, chosen = some_images(), (Augmentation.RANDOM_TRANSFORM,)
    drawn = nothing_drawn()._replace(
        is_flipped=torch.tensor([True, True, False, False, False]),
        is_upside_down=torch.tensor([True, False, True, False, False]),
    )
    both, across, down = (
        tv.vertical_flip(tv.horizontal_flip(images[0])),
        tv.horizontal_flip(images[1]),
        tv.vertical_flip(images[2]),
    )
    wanted = torch.stack((both, across, down, images[3], images[4]))
    assert torch.allclose(augment(images, drawn, chosen), wanted, atol=1e-5)
    labels = (images[:, 0] > 0.5).long()
    assert torch.equal(augment_labels(labels, drawn, chosen), (wanted[:, 0] > 0.5).long())


def test_what_was_drawn_survives_its_packing() -> None:
    drawn = draw(50, ALL, stream(1, "packed"))
    for same, wanted in zip(Draw.unpacked(drawn.packed()), drawn, strict=True):
        assert torch.equal(same, wanted)
        assert same.dtype == wanted.dtype


def test_the_same_draw_gives_the_same_samples_and_each_sample_its_own() -> None:
    images = some_images(1).expand(4, -1, -1, -1)
    once = augment(images, draw(4, ALL, stream(1, "augmentation", 3)), ALL)
    again = augment(images, draw(4, ALL, stream(1, "augmentation", 3)), ALL)
    other = augment(images, draw(4, ALL, stream(1, "augmentation", 4)), ALL)
    assert torch.equal(once, again)
    assert not torch.allclose(once, other)
    assert not torch.allclose(once[0], once[1])
    assert once.amin() >= 0
    assert once.amax() <= 1
