"""Augmentation of whole batches on the training device, drawn anew for every sample and reproducible from the seed (W-8).

Shape letters: B = batch, C = 3 colours, H and W = height and width in pixels.
"""

import math
from collections.abc import Collection
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from domain.training_parameters import Augmentation

HUE_TURN: Final = 0.02
"""Largest turn of the hue, as a share of the colour circle."""
SATURATION_RANGE: Final = 0.25
"""Saturation is multiplied by 1 ± this."""
VALUE_RANGE: Final = 0.25
"""Brightness is multiplied by 1 ± this: lamps age."""
SCALE_RANGE: Final = (0.85, 1.2)
"""Scaling: smaller to larger, drawn evenly on a logarithmic scale."""
RANDOM_SCALE_RANGE: Final = (0.7, 1.4)
"""Random transform: a wider range, for half of the samples, each of which may also be flipped, in either direction."""
SHIFT_RANGE: Final = 0.1
"""A scaled sample stands off centre by up to this share of the frame, in both directions: parts are never placed exactly alike."""


class Draw(NamedTuple):
    """What happens to each sample of a batch; all (B,)."""

    hue: Tensor
    saturation: Tensor
    value: Tensor
    scale: Tensor
    is_flipped: Tensor
    """Left to right."""
    is_upside_down: Tensor
    right: Tensor
    """How far to the right, as a share of the width."""
    down: Tensor
    """How far down, as a share of the height."""

    def packed(self) -> Tensor:
        """(8, B) in one piece."""
        return torch.stack([part.float() for part in self])

    @staticmethod
    def unpacked(packed: Tensor) -> "Draw":
        """What was packed."""
        drawn = Draw(*packed)
        return drawn._replace(is_flipped=drawn.is_flipped > 0, is_upside_down=drawn.is_upside_down > 0)


def draw(count: int, augmentations: Collection[Augmentation], generator: torch.Generator) -> Draw:
    """Parameters for `count` samples. Always on the CPU and always as many numbers, so any device and choice stays reproducible."""
    even_11B = torch.rand(11, count, generator=generator)
    hue_B, saturation_B, value_B = torch.zeros(count), torch.ones(count), torch.ones(count)
    log_scale_B = torch.zeros(count)
    is_flipped_B, is_upside_down_B, is_moved_B = torch.zeros(3, count, dtype=torch.bool)
    if Augmentation.COLOR_ENHANCEMENT in augmentations:
        hue_B = _between(-HUE_TURN, HUE_TURN, even_11B[0])
        saturation_B = _between(1 - SATURATION_RANGE, 1 + SATURATION_RANGE, even_11B[1])
        value_B = _between(1 - VALUE_RANGE, 1 + VALUE_RANGE, even_11B[2])
    if Augmentation.SCALING in augmentations:
        log_scale_B = _between(math.log(SCALE_RANGE[0]), math.log(SCALE_RANGE[1]), even_11B[3])
        is_moved_B = torch.ones(count, dtype=torch.bool)
    if Augmentation.FLIPPING in augmentations:
        is_flipped_B = even_11B[4] < 0.5
    if Augmentation.RANDOM_TRANSFORM in augmentations:
        wide_B = _between(math.log(RANDOM_SCALE_RANGE[0]), math.log(RANDOM_SCALE_RANGE[1]), even_11B[5])
        is_chosen_B = even_11B[6] < 0.5
        log_scale_B = torch.where(is_chosen_B, log_scale_B + wide_B, log_scale_B)
        is_moved_B = is_moved_B | is_chosen_B
        is_flipped_B = is_flipped_B ^ (even_11B[7] < 0.5)
        is_upside_down_B = even_11B[10] < 0.5
    right_B, down_B = (_between(-SHIFT_RANGE, SHIFT_RANGE, even_B) * is_moved_B for even_B in even_11B[8:10])
    return Draw(hue_B, saturation_B, value_B, log_scale_B.exp(), is_flipped_B, is_upside_down_B, right_B, down_B)


def augment(images_BCHW: Tensor, drawn: Draw, augmentations: Collection[Augmentation]) -> Tensor:
    """Images of 0..1 with what was drawn done to them. What was not chosen costs nothing and changes no bit."""
    images_BCHW = _moved(images_BCHW, drawn, augmentations, "bilinear")
    if Augmentation.COLOR_ENHANCEMENT in augmentations:
        images_BCHW = shift_colour(images_BCHW, drawn.hue, drawn.saturation, drawn.value)
    return images_BCHW


def augment_labels(labels_BHW: Tensor, drawn: Draw, augmentations: Collection[Augmentation]) -> Tensor:
    """Whole numbers by pixel, moved as `augment` moves their images with the same draw; the nearest is taken, none are mixed."""
    return _moved(labels_BHW[:, None].float(), drawn, augmentations, "nearest")[:, 0].to(labels_BHW.dtype)


def _moved(images_BCHW: Tensor, drawn: Draw, augmentations: Collection[Augmentation], mode: str) -> Tensor:
    if {Augmentation.SCALING, Augmentation.RANDOM_TRANSFORM} & set(augmentations):
        return warp(images_BCHW, drawn, mode)
    if Augmentation.FLIPPING in augmentations:  # to the bit, and sooner
        return torch.where(drawn.is_flipped[:, None, None, None], images_BCHW.flip(-1), images_BCHW)
    return images_BCHW


def warp(images_BCHW: Tensor, drawn: Draw, mode: str = "bilinear") -> Tensor:
    """Each image larger or smaller about its centre, then moved, then flipped, in the same frame and sampled once; what it leaves
    free shows its mirror image.
    """
    count, _, height, width = images_BCHW.shape
    across_BW = _sampled_places(width, drawn.scale, drawn.right, drawn.is_flipped)
    down_BH = _sampled_places(height, drawn.scale, drawn.down, drawn.is_upside_down)
    places = (across_BW[:, None, :], down_BH[:, :, None])
    grid_BHW2 = torch.stack([place.expand(count, height, width) for place in places], -1)
    return functional.grid_sample(images_BCHW, grid_BHW2, mode=mode, padding_mode="reflection", align_corners=False)


def _sampled_places(size: int, scale_B: Tensor, shift_B: Tensor, is_turned_B: Tensor) -> Tensor:
    """(B, size) where along an axis each pixel is taken from: -1 and 1 are the frame's edges, so it is two long."""
    step = 2 / size
    centers = torch.arange(size, device=scale_B.device) * step + (step / 2 - 1)
    direction_B = 1 - 2 * is_turned_B.float()
    return (centers * direction_B[:, None] - 2 * shift_B[:, None]) / scale_B[:, None]


def shift_colour(images_BCHW: Tensor, hue_B: Tensor, saturation_B: Tensor, value_B: Tensor) -> Tensor:
    """Turn the hue, multiply saturation and value in the HSV colour space, clipped there.

    Source: A. R. Smith, “Color gamut transform pairs”, SIGGRAPH 1978; hues are counted in sextants of the circle.
    """
    red, green, blue = images_BCHW.unbind(1)
    value_BHW = images_BCHW.amax(1)
    chroma_BHW = value_BHW - images_BCHW.amin(1)
    # Ones and zeros to interpolate by: `where` with a mask takes a CPU fifteen times as long.
    is_red, is_green = (value_BHW == red).float(), (value_BHW == green).float()
    ascent = torch.lerp(torch.lerp(red - green, blue - red, is_green), green - blue, is_red)
    sextant = (4 - 2 * is_green) * (1 - is_red)
    # Grey has no hue: with a chroma of 0 any will do.
    hue_BHW = (ascent / chroma_BHW.clamp_min(1e-8) + sextant + 6 * hue_B[:, None, None]).remainder(6)
    saturation_BHW = (chroma_BHW / value_BHW.clamp_min(1e-8) * saturation_B[:, None, None]).clamp(0, 1)
    value_BHW = (value_BHW * value_B[:, None, None]).clamp(0, 1)
    missing = (2 - (hue_BHW - 3).abs(), (hue_BHW - 2).abs() - 1, (hue_BHW - 4).abs() - 1)
    return torch.addcmul(
        value_BHW[:, None], (value_BHW * saturation_BHW)[:, None], torch.stack(missing, 1).clamp_(0, 1), value=-1
    )


def _between(low: float, high: float, even_B: Tensor) -> Tensor:
    return low + (high - low) * even_B
