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
from gpu_worker.devices import carried

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

    def to(self, device: torch.device) -> "Draw":
        """The same on another device, carried there in one piece."""
        if device == self.hue.device:
            return self
        there = Draw(*carried(torch.stack([part.float() for part in self]), device))
        return there._replace(is_flipped=there.is_flipped > 0, is_upside_down=there.is_upside_down > 0)


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
    chosen = set(augmentations)
    if chosen & {Augmentation.SCALING, Augmentation.RANDOM_TRANSFORM}:
        images_BCHW = scale(images_BCHW, drawn.scale, drawn.right, drawn.down, mode)
    if chosen & {Augmentation.FLIPPING, Augmentation.RANDOM_TRANSFORM}:
        images_BCHW = torch.where(drawn.is_flipped[:, None, None, None], images_BCHW.flip(-1), images_BCHW)
    if Augmentation.RANDOM_TRANSFORM in chosen:
        images_BCHW = torch.where(drawn.is_upside_down[:, None, None, None], images_BCHW.flip(-2), images_BCHW)
    return images_BCHW


def scale(images_BCHW: Tensor, scale_B: Tensor, right_B: Tensor, down_B: Tensor, mode: str = "bilinear") -> Tensor:
    """Each image larger or smaller about its centre, then moved, in the same frame; what it leaves free shows its mirror image."""
    affine_B23 = torch.zeros(len(images_BCHW), 2, 3, device=images_BCHW.device)
    affine_B23[:, 0, 0] = affine_B23[:, 1, 1] = 1 / scale_B
    affine_B23[:, :, 2] = (
        -2 * torch.stack((right_B, down_B), 1) / scale_B[:, None]
    )  # the frame is two wide and high there
    grid_BHW2 = functional.affine_grid(affine_B23, list(images_BCHW.shape), align_corners=False)
    return functional.grid_sample(images_BCHW, grid_BHW2, mode=mode, padding_mode="reflection", align_corners=False)


def shift_colour(images_BCHW: Tensor, hue_B: Tensor, saturation_B: Tensor, value_B: Tensor) -> Tensor:
    """Turn the hue, multiply saturation and value in the HSV colour space."""
    hue_BHW, saturation_BHW, value_BHW = _hsv(images_BCHW)
    return _rgb(
        (hue_BHW + hue_B[:, None, None]).remainder(1.0),
        (saturation_BHW * saturation_B[:, None, None]).clamp(0, 1),
        (value_BHW * value_B[:, None, None]).clamp(0, 1),
    )


def _between(low: float, high: float, even_B: Tensor) -> Tensor:
    return low + (high - low) * even_B


def _hsv(images_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    red, green, blue = images_BCHW.unbind(1)
    value = images_BCHW.amax(1)
    chroma = value - images_BCHW.amin(1)
    safe = chroma.clamp_min(1e-8)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return (torch.where(chroma > 0, hue, 0.0) / 6).remainder(1.0), chroma / value.clamp_min(1e-8), value


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    def channel(shift: int) -> Tensor:
        place = (shift + hue * 6).remainder(6)
        return value - value * saturation * torch.minimum(place, 4 - place).clamp(0, 1)

    return torch.stack((channel(5), channel(3), channel(1)), 1)
