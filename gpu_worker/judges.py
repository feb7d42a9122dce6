"""A model version at work in a prediction: which images it can judge, and what it says of them."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from domain.messages import VersionToPredict
from domain.model_packages import ResolutionRule
from gpu_worker.images import Pixels, ReadImage
from gpu_worker.jobs import Job
from gpu_worker.metrics import Judged, Scores, scores_of
from gpu_worker.native_prediction import Library, LibrarySegmenter, faster_library
from gpu_worker.native_versions import Platform
from gpu_worker.networks import load_trained_weights
from gpu_worker.segmentation import Segmenter

Size = tuple[int, int]
"""Width and height in pixels."""


class Decoded(NamedTuple):
    """An image at every size that some version wants, and its mask at those sizes; no masks where there is none."""

    image: ReadImage
    pixels: dict[Size, Pixels]
    masks: dict[Size, Pixels]


class Judge:
    """One version; it says the same of an image whatever else is in the batch."""

    def __init__(self, version: VersionToPredict, job: Job, device: torch.device) -> None:
        """Load the weights.

        Raises:
            WeightsOfOtherCodes
        """
        self.version, self.device = version, device
        weights = job.artifacts.path(version.weights)
        model, self.classes = load_trained_weights(weights, version.network, version.defect_codes)
        self.model: nn.Module = model.to(device).to(memory_format=torch.channels_last)
        self.library: Library | None = None
        self.segmenter = _segmenter(version, len(self.classes), job, device)
        self.defect_codes = self.classes if self.segmenter is None else tuple(self.segmenter.defect_codes)

    @property
    def sizes(self) -> set[Size]:
        """Of this version's inputs."""
        inputs = [self.version.input, *([self.segmenter.input] if self.segmenter else [])]
        return {(network_input.width, network_input.height) for network_input in inputs}

    @property
    def rule(self) -> ResolutionRule:
        """Of the images that it was trained with (W-10)."""
        return self.version.resolution_rule

    @property
    def takes_calls_of_threads(self) -> bool:
        """Whether several threads may ask at once, each with an image of its own; else one asks, and batches are faster."""
        return self.library is not None

    def knows(self, image: ReadImage) -> bool:
        """Whether it can tell the image's code (W-4)."""
        return image.found.defect_code in self.defect_codes

    def take_the_faster(self, job: Job) -> None:
        """On a CPU: leave the networks to the native library where that is faster (X-1)."""
        segmentation = None if self.segmenter is None else self.segmenter.model
        platform = Platform(self.model, segmentation, self.defect_codes, len(self.classes))
        self.library = faster_library(self.version, platform, self.segmenter, job)
        if self.library is not None and self.segmenter is not None:
            self.segmenter = LibrarySegmenter(**vars(self.segmenter), library=self.library)

    def judged(self, batch: Sequence[Decoded]) -> list[Judged]:
        """What it says of at least one image."""
        scores_NK = self._scores_of(_stacked(batch, (self.version.input.width, self.version.input.height)))
        judged = [Judged(decoded.image, scores_K) for decoded, scores_K in zip(batch, scores_NK, strict=True)]
        if self.segmenter is None:
            return judged
        size = self.segmenter.input.width, self.segmenter.input.height
        images, masks = [decoded.image for decoded in batch], [decoded.masks.get(size) for decoded in batch]
        seen = self.segmenter.look_at(_stacked(batch, size), images, masks)
        return [one._replace(segmented=of.segmented, special=of.special) for one, of in zip(judged, seen, strict=True)]

    def _scores_of(self, pixels_NCHW: Pixels) -> Scores:
        """(N, K) the probability of every class."""
        if self.library is not None:
            return self.library.scores_of(pixels_NCHW)
        return scores_of(self.model, pixels_NCHW, self.version.input, self.device)


def _segmenter(version: VersionToPredict, class_count: int, job: Job, device: torch.device) -> Segmenter | None:
    segmentation = version.segmentation
    if segmentation is None:
        return None
    weights = job.artifacts.path(segmentation.weights)
    model, defect_codes = load_trained_weights(weights, segmentation.network, segmentation.defect_codes)
    return Segmenter(
        model=model.to(device).to(memory_format=torch.channels_last),
        defect_codes=defect_codes,
        class_count=class_count,
        min_pixels=segmentation.special_code_min_pixels,
        input=segmentation.input,
        device=device,
    )


def _stacked(batch: Collection[Decoded], size: Size) -> Pixels:
    return np.stack([decoded.pixels[size] for decoded in batch])
