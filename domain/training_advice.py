"""Training parameters for a training from nothing, by the number of its images.

The manual's parameters are meant for hundreds of thousands of images, or to go on from weights. What stands here was measured on
real sets of some thousand images: benchmarks/README.md, “What learns from nothing”.
"""

from typing import Final, NamedTuple

import msgspec

from domain.training_parameters import MOST_ITERATIONS, SgdParameters, TrainingParameters


class LearntFrom(NamedTuple):
    """How many images a training learns from: those of the classes, and those with masks."""

    of_classes: int
    masked: int


class _Advice(NamedTuple):
    """`rounds` is how often each image is learnt from; fewer than `fewest` iterations leave even a small network unfinished."""

    sgd: SgdParameters
    rounds: int
    fewest: int

    def of(self, image_count: int) -> SgdParameters:
        iterations = max(self.fewest, -(-self.rounds * image_count // self.sgd.batch_size))
        return msgspec.structs.replace(self.sgd, max_iter=min(iterations, MOST_ITERATIONS))


_CLASSIFICATION: Final = _Advice(
    SgdParameters(base_lr=0.025, batch_size=16, max_iter=1, weight_decay=0.0005), rounds=32, fewest=2000
)
_SEGMENTATION: Final = _Advice(
    SgdParameters(base_lr=0.03, batch_size=8, max_iter=1, weight_decay=0.0005), rounds=60, fewest=2500
)


def advised_from_nothing(learnt_from: LearntFrom, *, with_segmentation: bool) -> TrainingParameters:
    """A high rate that falls with poly, small batches, because the number of steps counts more than their size, and an end within
    reach.
    """
    return TrainingParameters(
        _CLASSIFICATION.of(learnt_from.of_classes),
        _SEGMENTATION.of(learnt_from.masked) if with_segmentation else None,
    )
