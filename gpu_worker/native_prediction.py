"""Predicting with the native library of exports, the very code of the line: on workers without a GPU, where it is the faster way.

Shape letters: N = images, K = classes, C, H, W = image.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np
import torch

from domain.messages import VersionToPredict
from domain.refusals import Refusal
from gpu_worker.images import Pixels
from gpu_worker.jobs import Job
from gpu_worker.metrics import Scores, scores_of
from gpu_worker.native_agreement import AREA_TOLERANCE, TOLERANCE
from gpu_worker.native_library import LibraryFails, NativeModel
from gpu_worker.native_models import model_file
from gpu_worker.native_versions import Platform, native_model
from gpu_worker.segmentation import Labels, Segmenter, Shares

FEWEST_IMAGES: Final = 100
"""With fewer, measuring takes longer than it could save."""

_MOST_IMAGES: Final = 64
"""Of one call: their pixels are copied for it."""
_ROUNDS: Final = 2
_CPU = torch.device("cpu")

T = TypeVar("T")


class Library:
    """A version opened by the library. Several threads may call it at once, each call works on one core."""

    def __init__(self, opened: NativeModel) -> None:
        self._opened = opened

    def scores_of(self, pixels_NCHW: Pixels) -> Scores:
        """(N, K) the probability of every class, of images at the classifier's input size."""
        parts = [self._opened.classify(list(part)) for part in _parts(pixels_NCHW)]
        return np.concatenate(parts)

    def labels_of(self, pixels_NCHW: Pixels) -> tuple[Labels, Shares]:
        """As `Segmenter.labels_of`, of images at the segmentation's input size."""
        parts = [self._opened.segment(list(part)) for part in _parts(pixels_NCHW)]
        labels, shares = zip(*parts, strict=True)
        return np.concatenate(labels).astype(np.int64), np.concatenate(shares)


@dataclass(frozen=True, kw_only=True)
class LibrarySegmenter(Segmenter):
    """The same decisions on what the library sees."""

    library: Library

    def labels_of(self, pixels_NCHW: Pixels) -> tuple[Labels, Shares]:
        """What each pixel shows, and how probable that is."""
        return self.library.labels_of(pixels_NCHW)


class _Seen(NamedTuple):
    scores: Scores
    labels: Labels | None = None


def faster_library(
    version: VersionToPredict, platform: Platform, segmenter: Segmenter | None, job: Job
) -> Library | None:
    """The version opened by the library, where that predicts faster than torch does here, and the same; the log says why."""
    try:
        library = _opened(version, platform, job)
        pixels_NCHW = _picture(version.input.height, version.input.width)
        segmented_NCHW = None if segmenter is None else _picture(segmenter.input.height, segmenter.input.width)

        def by_library() -> _Seen:
            scores_NK = library.scores_of(pixels_NCHW)
            return _Seen(scores_NK, None if segmented_NCHW is None else library.labels_of(segmented_NCHW)[0])

        def by_torch() -> _Seen:
            scores_NK = scores_of(platform.classifier, pixels_NCHW, version.input, _CPU)
            if segmenter is None or segmented_NCHW is None:
                return _Seen(scores_NK)
            return _Seen(scores_NK, segmenter.labels_of(segmented_NCHW)[0])

        found, seconds = _measured(by_library)
        expected, torch_seconds = _measured(by_torch)
    except (Refusal, LibraryFails, OSError) as reason:  # the last one: built for a newer system, or a full disk
        job.log.info("torch predicts %s, because the native library cannot: %s", version.label, reason)
        return None
    if not _agree(found, expected):
        job.log.warning("torch predicts %s, because the native library does not agree with it", version.label)
        return None
    is_faster = seconds < torch_seconds
    job.log.info(
        "%s predicts %s: the native library takes %.1f ms an image, torch %.1f",
        "the native library" if is_faster else "torch",
        version.label,
        1000 * seconds,
        1000 * torch_seconds,
    )
    return library if is_faster else None


def _opened(version: VersionToPredict, platform: Platform, job: Job) -> Library:
    file, config = job.workspace / "models.xbin", job.workspace / "config.yaml"
    try:
        file.write_bytes(model_file(native_model(version, platform, {})))
        config.write_text("threads: 1\nresolution_screening: false\n", encoding="utf-8")
        return Library(NativeModel(file, config))
    finally:
        file.unlink(missing_ok=True)  # the library has read it, and it is as large as the weights


def _picture(height: int, width: int) -> Pixels:
    """(1, 3, height, width) a random one: it takes as long as others."""
    return np.random.default_rng(1).integers(0, 256, (1, 3, height, width), np.uint8)


def _parts(pixels_NCHW: Pixels) -> list[Pixels]:
    pixels_NHWC = pixels_NCHW.transpose(0, 2, 3, 1)
    return [pixels_NHWC[start : start + _MOST_IMAGES] for start in range(0, len(pixels_NHWC), _MOST_IMAGES)]


def _measured(act: Callable[[], T]) -> tuple[T, float]:
    """An answer, and the processor time in seconds that it took at best: what else the machine does must not choose."""
    answer, seconds = act(), []
    for _ in range(_ROUNDS):
        started = time.process_time()
        act()
        seconds.append(time.process_time() - started)
    return answer, min(seconds)


def _agree(found: _Seen, expected: _Seen) -> bool:
    """Within what an export is granted."""
    if not np.abs(found.scores - expected.scores).max() <= TOLERANCE:
        return False
    if found.labels is None or expected.labels is None:
        return True
    return float((found.labels != expected.labels).mean()) <= AREA_TOLERANCE
