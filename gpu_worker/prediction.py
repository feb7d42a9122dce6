"""A prediction: every image read and decoded once for all versions of the order (P-6), each judged as that version was trained.

On a worker without a GPU the native library of exports judges where it is faster than torch.
"""

import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import msgspec
import numpy as np
import torch
from torch import nn

from domain.evaluation import figures_of
from domain.messages import PredictionOrder, PredictionSucceeded, Resources, VersionResult, VersionToPredict
from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.devices import chosen_device, keep_evaluation_exact
from gpu_worker.image_masks import mask_of, mask_pixels_of
from gpu_worker.images import ImageIsDamaged, Pixels, ReadImage, decode_file, pixels_of
from gpu_worker.jobs import Job
from gpu_worker.metrics import Judged, Scores, evaluation_of, scores_of
from gpu_worker.native_prediction import FEWEST_IMAGES, Library, LibrarySegmenter, faster_library
from gpu_worker.native_versions import Platform
from gpu_worker.networks import load_trained_weights
from gpu_worker.preprocessing import find_all, keep_bytes, manifest_lines, read_all
from gpu_worker.segmentation import Segmenter

PREDICTING = N_("Predicting")
_READING_SHARE: Final = 0.1


class NothingToPredict(Refusal):
    """Every image was set aside, so a report would say nothing."""

    message = N_(
        "Of {image_count} images none could be judged: {damaged} are damaged, {non_compliant} do not comply with the resolution "
        "rule, {left_out} have a code that the model does not tell apart. Choose other paths, or switch the screening off."
    )


Size = tuple[int, int]
"""Width and height in pixels."""


class _Decoded(NamedTuple):
    """An image at every size that some version wants, and its mask at those of segmentations; no masks where there is none."""

    image: ReadImage
    pixels: dict[Size, Pixels]
    masks: dict[Size, Pixels]


class _Judge:
    """One version at work: the codes that it can tell, and the images that it has judged."""

    def __init__(self, version: VersionToPredict, order: PredictionOrder, job: Job, device: torch.device) -> None:
        self.version, self.device, self.is_screened = version, device, order.resolution_screening
        weights = job.artifacts.path(version.weights)
        model, self.classes = load_trained_weights(weights, version.network, version.defect_codes)
        self.model: nn.Module = model.to(device).to(memory_format=torch.channels_last)
        self.library: Library | None = None
        self.segmenter = _segmenter(version, len(self.classes), job, device)
        self.defect_codes = self.classes if self.segmenter is None else tuple(self.segmenter.defect_codes)
        self.judged: list[Judged] = []
        self.non_compliant: list[ReadImage] = []

    @property
    def sizes(self) -> set[Size]:
        """Of this version's inputs."""
        inputs = [self.version.input, *([self.segmenter.input] if self.segmenter else [])]
        return {(network_input.width, network_input.height) for network_input in inputs}

    def takes(self, image: ReadImage) -> bool:
        """Whether to judge an image: it can tell the code (W-4), and the size is as in training where asked for (W-10)."""
        if image.found.defect_code not in self.defect_codes:
            return False
        complies = not self.is_screened or self.version.resolution_rule.complies(image.width, image.height)
        if not complies:
            self.non_compliant.append(image)
        return complies

    def take_the_faster(self, job: Job) -> None:
        """On a CPU: leave the networks to the native library where that is faster (X-1)."""
        segmentation = None if self.segmenter is None else self.segmenter.model
        platform = Platform(self.model, segmentation, self.defect_codes, len(self.classes))
        self.library = faster_library(self.version, platform, self.segmenter, job)
        if self.library is not None and self.segmenter is not None:
            self.segmenter = LibrarySegmenter(**vars(self.segmenter), library=self.library)

    def scores_of(self, pixels_NCHW: Pixels) -> Scores:
        """(N, K) the probability of every class."""
        if self.library is not None:
            return self.library.scores_of(pixels_NCHW)
        return scores_of(self.model, pixels_NCHW, self.version.input, self.device)

    def judge(self, batch: Sequence[_Decoded]) -> None:
        """Judge some images."""
        if not batch:
            return
        size = self.version.input.width, self.version.input.height
        pixels_NCHW = np.stack([decoded.pixels[size] for decoded in batch])
        scores_NK = self.scores_of(pixels_NCHW)
        judged = [Judged(decoded.image, scores_K) for decoded, scores_K in zip(batch, scores_NK, strict=True)]
        if self.segmenter is not None:
            size = self.segmenter.input.width, self.segmenter.input.height
            seen = self.segmenter.look_at(
                np.stack([decoded.pixels[size] for decoded in batch]),
                [decoded.image for decoded in batch],
                [decoded.masks.get(size) for decoded in batch],
            )
            judged = [
                one._replace(segmented=of.segmented, special=of.special) for one, of in zip(judged, seen, strict=True)
            ]
        self.judged.extend(judged)


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


def predict(order: PredictionOrder, needs: Resources, job: Job) -> None:
    """Predict all images and report the figures of each version.

    Raises:
        Refusal: with what a person can do about it.
        JobStopped: the worker shuts down.
    """
    started = time.monotonic()
    keep_evaluation_exact()
    torch.set_num_threads(job.cpu_cores)
    device = chosen_device(needs)
    judges = [_Judge(version, order, job, device) for version in order.versions]
    found = find_all(order.data_paths, job)
    known = {defect_code for judge in judges for defect_code in judge.defect_codes}
    segments = any(judge.segmenter is not None for judge in judges)
    read = read_all([image for image in found if image.defect_code in known], job, _READING_SHARE, with_masks=segments)
    sound = [image for image in read if not image.damage]
    damaged = [image for image in read if image.damage]
    if device.type == "cpu" and len(sound) >= FEWEST_IMAGES:
        for judge in judges:
            job.go_on(_READING_SHARE, PREDICTING)
            judge.take_the_faster(job)
    damaged += _judge_all(sound, judges, order.parameters.batch_size, job)
    for image in damaged:
        job.log.warning("%s is damaged and left out: %s", image.found.folder, image.damage)
    results = tuple(_result(judge, damaged, len(found), job) for judge in judges)
    unread = {image.found.folder for image in damaged}
    manifest = manifest_lines((image, "") for image in read if image.found.folder not in unread)
    job.report(
        PredictionSucceeded(
            **job.sender,
            seconds=time.monotonic() - started,
            results=results,
            manifest=keep_bytes(job, "manifest.jsonl", manifest),
            log=job.kept_log(),
        )
    )


def _judge_all(images: Sequence[ReadImage], judges: Sequence[_Judge], batch_size: int, job: Job) -> list[ReadImage]:
    """Decode and judge all images; returns those that turned out to be damaged."""
    damaged = []
    sizes = set[Size]().union(*(judge.sizes for judge in judges))
    with ThreadPoolExecutor(job.cpu_cores) as threads:
        for start in range(0, len(images), batch_size):
            job.go_on(_READING_SHARE + (1 - _READING_SHARE) * start / len(images), PREDICTING)
            wanted = []
            for image in images[start : start + batch_size]:
                takers = [judge for judge in judges if judge.takes(image)]
                if takers:
                    wanted.append((image, takers))
            decoded_images = threads.map(lambda pair: _decoded(pair[0], sizes, job), wanted)
            batches: list[list[_Decoded]] = [[] for _ in judges]
            for (image, takers), decoded in zip(wanted, decoded_images, strict=True):
                if isinstance(decoded, ImageIsDamaged):
                    damaged.append(msgspec.structs.replace(image, damage=str(decoded)))
                    continue
                for judge, batch in zip(judges, batches, strict=True):
                    if judge in takers:
                        batch.append(decoded)
            for judge, batch in zip(judges, batches, strict=True):
                judge.judge(batch)
    return damaged


def _decoded(image: ReadImage, sizes: Collection[Size], job: Job) -> _Decoded | ImageIsDamaged:
    """The pixels at every size wanted; a damaged image is an answer, not a failure. A mask that cannot be used is none."""
    try:
        whole = decode_file(image)
    except ImageIsDamaged as error:
        return error
    masks: dict[Size, Pixels] = {}
    if image.mask_checksum:
        try:
            area = mask_of(image)
            masks = {size: mask_pixels_of(area, *size) for size in sizes}
        except ImageIsDamaged as error:
            job.log.warning("the mask of %s cannot be used: %s", image.found.folder, error)
    return _Decoded(image, {size: pixels_of(whole, *size) for size in sizes}, masks)


def _result(judge: _Judge, damaged: Sequence[ReadImage], image_count: int, job: Job) -> VersionResult:
    unreadable = [image for image in damaged if image.found.defect_code in judge.defect_codes]
    left_out_count = image_count - len(judge.judged) - len(judge.non_compliant) - len(unreadable)
    if not judge.judged:
        raise NothingToPredict(
            image_count=image_count,
            damaged=len(unreadable),
            non_compliant=len(judge.non_compliant),
            left_out=left_out_count,
        )
    evaluation = evaluation_of(judge.defect_codes, judge.judged, judge.non_compliant, unreadable)
    return VersionResult(
        label=judge.version.label,
        evaluation=keep_bytes(job, "evaluation.msgpack", msgspec.msgpack.encode(evaluation)),
        figures=figures_of(evaluation, left_out_count),
    )
