"""The first half of a training from nothing sees its images smaller.

What is learnt first is coarse and shows in small images, too, in little more than half the time; the second half, with the lower
rates, is for the details. On steel strip that reached what full size reached in three quarters of the time (benchmarks/README.md).

Source: progressive resizing, Tan and Le, “EfficientNetV2” (arXiv 2104.00298), section 4.
"""

from typing import Final, NamedTuple, Self

from domain.model_packages import NetworkInput

_SHARE: Final = 0.5
_SCALE: Final = 0.8
_STEP: Final = 32
"""Networks halve the sides five times."""
_SMALLEST_SIDE: Final = 96
"""Of still smaller images the deepest features would see two pixels."""


class EarlyStage(NamedTuple):
    """How many iterations see images of which height and width in pixels."""

    iterations: int
    height: int
    width: int

    @classmethod
    def of(cls, max_iter: int, network_input: NetworkInput) -> Self | None:
        """That of a training from nothing; None where the images are small as they are."""
        height, width = (int(_SCALE * side) // _STEP * _STEP for side in (network_input.height, network_input.width))
        if min(height, width) < _SMALLEST_SIDE:
            return None
        return cls(int(_SHARE * max_iter), height, width)


def pixels_seen(done: int, early: EarlyStage | None, network_input: NetworkInput) -> float:
    """Pixels of one image summed over the first `done` iterations: how long they take, but for a factor."""
    whole = network_input.height * network_input.width
    if early is None:
        return float(done * whole)
    small = min(done, early.iterations)
    return float(small * early.height * early.width + (done - small) * whole)
