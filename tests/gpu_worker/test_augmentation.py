"""Augmentation against torchvision, where it has the same, and against what the manual says."""

import colorsys

import pytest
import torch
from torchvision.transforms.v2 import functional as tv  # type: ignore[import-untyped]

from domain.training_parameters import Augmentation
from gpu_worker.augmentation import (
    HUE_TURN,
    RANDOM_SCALE_RANGE,
    SATURATION_RANGE,
    SCALE_RANGE,
    SHIFT_RANGE,
    VALUE_RANGE,
    Draw,
    augment,
    augment_labels,
    draw,
    shift_colour,
    warp,
)
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


@pytest.mark.parametrize(("turn", "saturation", "value"), [(0.02, 1.25, 0.75), (-0.3, 0.5, 1.25), (0.7, 3.0, 2.0)])
def test_colours_are_those_of_pythons_own_hsv(turn: float, saturation: float, value: float) -> None:
    plain = torch.tensor(
        [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]]
    )
    pixels = torch.cat([plain, torch.rand(400, 3, generator=stream(1, "pixels"))])
    ours = shift_colour(
        pixels.T[None, :, :, None], torch.tensor([turn]), torch.tensor([saturation]), torch.tensor([value])
    )[0, :, :, 0].T
    theirs = []
    for red, green, blue in pixels.tolist():
        h, s, v = colorsys.rgb_to_hsv(red, green, blue)
        theirs.append(colorsys.hsv_to_rgb((h + turn) % 1, min(1.0, s * saturation), min(1.0, v * value)))
    torch.testing.assert_close(ours, torch.tensor(theirs), rtol=0, atol=2e-6)


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


@pytest.mark.parametrize("chosen", [*((one,) for one in ALL), ALL])
def test_every_figure_is_drawn_over_its_whole_range_and_apart_from_the_others(chosen: tuple[Augmentation, ...]) -> None:
    drawn = draw(4000, chosen, stream(1, "whole range"))
    if Augmentation.COLOR_ENHANCEMENT in chosen:
        for figures, low, high in (
            (drawn.hue, -HUE_TURN, HUE_TURN),
            (drawn.saturation, 1 - SATURATION_RANGE, 1 + SATURATION_RANGE),
            (drawn.value, 1 - VALUE_RANGE, 1 + VALUE_RANGE),
        ):
            assert figures.amin().item() == pytest.approx(low, abs=0.01 * (high - low))
            assert figures.amax().item() == pytest.approx(high, abs=0.01 * (high - low))
            assert figures.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    low, high = 1.0, 1.0
    if Augmentation.SCALING in chosen:
        low, high = SCALE_RANGE
    if Augmentation.RANDOM_TRANSFORM in chosen:
        low, high = low * RANDOM_SCALE_RANGE[0], high * RANDOM_SCALE_RANGE[1]
    assert drawn.scale.amin().item() == pytest.approx(low, abs=0.05)
    assert drawn.scale.amax().item() == pytest.approx(high, abs=0.05)
    varied = torch.stack([figures.float() for figures in drawn if figures.float().std() > 0])
    assert (torch.corrcoef(varied) - torch.eye(len(varied))).abs().amax() < 0.1


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


def test_flipping_and_the_random_transform_together_flip_half_of_the_samples() -> None:
    """Each tosses a coin; heads and heads is as if nobody had turned the image."""
    drawn = draw(4000, (Augmentation.FLIPPING, Augmentation.RANDOM_TRANSFORM), stream(1, "two coins"))
    assert drawn.is_flipped.float().mean().item() == pytest.approx(0.5, abs=0.03)


# E-3
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ((Augmentation.COLOR_ENHANCEMENT,), [-0.0140656, 0.809523, 1.2314993, 1.0, 0.0, 0.0, 0.0, -0.0]),
        ((Augmentation.SCALING,), [0.0, 1.0, 1.0, 1.0955236, 0.0, 0.0, 0.0656962, -0.0176468]),
        ((Augmentation.FLIPPING,), [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, -0.0]),
        ((Augmentation.RANDOM_TRANSFORM,), [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, -0.0]),
        (ALL, [-0.0140656, 0.809523, 1.2314993, 1.0955236, 1.0, 0.0, 0.0656962, -0.0176468]),
    ],
)
def test_what_an_order_meant_once_it_means_for_ever(chosen: tuple[Augmentation, ...], expected: list[float]) -> None:
    """A training is replayed from its order: these draws were recorded when they were first trusted."""
    drawn = draw(5, chosen, stream(7, "augmentation", 3))
    assert [figures[4].item() for figures in drawn] == pytest.approx(expected, abs=1e-6)


def test_only_the_colours_change_where_only_colours_are_chosen_and_never_otherwise() -> None:
    images = some_images()
    drawn = draw(5, ALL, stream(1, "all"))
    coloured = augment(images, drawn, (Augmentation.COLOR_ENHANCEMENT,))
    assert torch.equal(coloured, shift_colour(images, drawn.hue, drawn.saturation, drawn.value))
    moved = augment(images, drawn, (Augmentation.FLIPPING,))
    assert torch.equal(moved, torch.where(drawn.is_flipped[:, None, None, None], images.flip(-1), images))


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
