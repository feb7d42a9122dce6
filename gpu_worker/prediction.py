"""A prediction: every image read and decoded once for all versions of the order (P-6), each judged as that version was trained."""

import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from domain.evaluation import figures_of
from domain.messages import PredictionOrder, PredictionSucceeded, Resources, VersionResult, VersionToPredict
from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.devices import chosen_device, keep_evaluation_exact
from gpu_worker.images import ImageIsDamaged, Pixels, ReadImage, decode_file, pixels_of
from gpu_worker.jobs import Job
from gpu_worker.metrics import evaluation_of, scores_of
from gpu_worker.networks import load_trained_weights
from gpu_worker.preprocessing import find_all, keep_bytes, manifest_lines, read_all

PREDICTING = N_("Predicting")
_READING_SHARE: Final = 0.1


class NothingToPredict(Refusal):
    """Every image was set aside, so a report would say nothing."""

    message = N_(
        "Of {image_count} images none could be judged: {damaged} are damaged, {non_compliant} do not comply with the resolution "
        "rule, {left_out} have a code that the model does not tell apart. Choose other paths, or switch the screening off."
    )


class _Judge:
    """One version at work: its classes, and the scores of the images that it has judged."""

    def __init__(self, version: VersionToPredict, order: PredictionOrder, job: Job, device: torch.device) -> None:
        self.version, self.device, self.is_screened = version, device, order.resolution_screening
        weights = job.artifacts.path(version.weights)
        model, self.classes = load_trained_weights(weights, version.network, version.defect_codes)
        self.model: nn.Module = model.to(device).to(memory_format=torch.channels_last)
        self.judged: list[tuple[ReadImage, npt.NDArray[np.float32]]] = []
        self.non_compliant: list[ReadImage] = []

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of this version's input."""
        return self.version.input.width, self.version.input.height

    def takes(self, image: ReadImage) -> bool:
        """Whether to judge an image: its code is one of the classes (W-4), its size as in training where asked for (W-10)."""
        if image.found.defect_code not in self.classes:
            return False
        complies = not self.is_screened or self.version.resolution_rule.complies(image.width, image.height)
        if not complies:
            self.non_compliant.append(image)
        return complies

    def judge(self, batch: Sequence[tuple[ReadImage, Pixels]]) -> None:
        """Score some images whose pixels have this version's input size."""
        if batch:
            pixels_NCHW = np.stack([pixels for _, pixels in batch])
            scores = scores_of(self.model, pixels_NCHW, self.version.input, self.device)
            self.judged.extend(zip([image for image, _ in batch], scores, strict=True))


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
    known = {defect_code for judge in judges for defect_code in judge.classes}
    read = read_all([image for image in found if image.defect_code in known], job, _READING_SHARE)
    sound = [image for image in read if not image.damage]
    damaged = [image for image in read if image.damage]
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
    sizes = {(judge.version.input.width, judge.version.input.height) for judge in judges}
    with ThreadPoolExecutor(job.cpu_cores) as threads:
        for start in range(0, len(images), batch_size):
            job.go_on(_READING_SHARE + (1 - _READING_SHARE) * start / len(images), PREDICTING)
            wanted = []
            for image in images[start : start + batch_size]:
                takers = [judge for judge in judges if judge.takes(image)]
                if takers:
                    wanted.append((image, takers))
            decoded = threads.map(lambda pair: _decoded(pair[0], sizes), wanted)
            batches: list[list[tuple[ReadImage, Pixels]]] = [[] for _ in judges]
            for (image, takers), pixels in zip(wanted, decoded, strict=True):
                if isinstance(pixels, ImageIsDamaged):
                    damaged.append(msgspec.structs.replace(image, damage=str(pixels)))
                    continue
                for judge, batch in zip(judges, batches, strict=True):
                    if judge in takers:
                        batch.append((image, pixels[judge.size]))
            for judge, batch in zip(judges, batches, strict=True):
                judge.judge(batch)
    return damaged


def _decoded(image: ReadImage, sizes: Collection[tuple[int, int]]) -> dict[tuple[int, int], Pixels] | ImageIsDamaged:
    """The pixels at every size wanted; a damaged image is an answer, not a failure."""
    try:
        whole = decode_file(image)
    except ImageIsDamaged as error:
        return error
    return {size: pixels_of(whole, *size) for size in sizes}


def _result(judge: _Judge, damaged: Sequence[ReadImage], image_count: int, job: Job) -> VersionResult:
    unreadable = [image for image in damaged if image.found.defect_code in judge.classes]
    left_out_count = image_count - len(judge.judged) - len(judge.non_compliant) - len(unreadable)
    if not judge.judged:
        raise NothingToPredict(
            image_count=image_count,
            damaged=len(unreadable),
            non_compliant=len(judge.non_compliant),
            left_out=left_out_count,
        )
    evaluation = evaluation_of(judge.classes, judge.judged, judge.non_compliant, unreadable)
    return VersionResult(
        label=judge.version.label,
        evaluation=keep_bytes(job, "evaluation.msgpack", msgspec.msgpack.encode(evaluation)),
        figures=figures_of(evaluation, left_out_count),
    )
