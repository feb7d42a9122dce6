"""A prediction: every image read and decoded once for all versions of the order (P-6), each judged as that version was trained.

Threads take whole images, from reading to judging where the native library judges; what torch judges waits for a batch. Which
thread took which image changes nothing: verdicts are kept in the order in which the images were found.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import msgspec
import torch

from domain.evaluation_figures import figures_of
from domain.messages import PredictionOrder, PredictionSucceeded, Resources, VersionResult
from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.devices import chosen_device, keep_evaluation_exact
from gpu_worker.image_masks import mask_of, mask_pixels_of, with_mask
from gpu_worker.images import FoundImage, ImageIsDamaged, Pixels, ReadImage, decode, pixels_of, read_content
from gpu_worker.jobs import Job
from gpu_worker.judges import Decoded, Judge, Size
from gpu_worker.look_ahead import answered_ahead
from gpu_worker.metrics import Judged, evaluation_of
from gpu_worker.native_prediction import FEWEST_IMAGES
from gpu_worker.preprocessing import check_still_there, find_all, keep_bytes, manifest_lines

PREDICTING = N_("Predicting")


class NothingToPredict(Refusal):
    """Every image was set aside, so a report would say nothing."""

    message = N_(
        "Of {image_count} images none could be judged: {damaged} are damaged, {non_compliant} do not comply with the resolution "
        "rule, {left_out} have a code that the model does not tell apart. Choose other paths, or switch the screening off."
    )


@dataclass(frozen=True, kw_only=True)
class _Hearing:
    """One version and its images: those that it judged, those it set aside, and those that wait until a batch is full."""

    judge: Judge
    is_screened: bool
    batch_size: int
    judged: list[Judged] = field(default_factory=list)
    non_compliant: list[ReadImage] = field(default_factory=list)
    waiting: list[Decoded] = field(default_factory=list)

    def takes(self, image: ReadImage) -> bool:
        """Whether to judge an image: it can tell the code (W-4), and the size is as in training where asked for (W-10)."""
        return self.judge.knows(image) and self._complies(image)

    def take_in(self, seen: "_Seen") -> None:
        """Note what a sound image is to this version."""
        verdict = seen.verdicts.get(self.judge.version.label)
        if verdict is not None:
            self.judged.append(verdict)
        elif seen.decoded is not None and self.takes(seen.image):
            self.waiting.append(seen.decoded)
            if len(self.waiting) == self.batch_size:
                self.judge_waiting()
        elif self.judge.knows(seen.image):
            self.non_compliant.append(seen.image)

    def judge_waiting(self) -> None:
        """Judge what waits, however few they are."""
        if self.waiting:
            self.judged.extend(self.judge.judged(self.waiting))
            self.waiting.clear()

    def _complies(self, image: ReadImage) -> bool:
        return not self.is_screened or self.judge.rule.complies(image.width, image.height)


class _Seen(NamedTuple):
    """What a thread made of an image: its pixels, unless it is damaged or nobody takes it, and the verdicts of those versions that
    could be asked at once, by their label.
    """

    image: ReadImage
    decoded: Decoded | None
    verdicts: dict[str, Judged]


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
    batch_size = order.parameters.batch_size
    hearings = [
        _Hearing(judge=Judge(version, job, device), is_screened=order.resolution_screening, batch_size=batch_size)
        for version in order.versions
    ]
    found = find_all(order.data_paths, job)
    known = {defect_code for hearing in hearings for defect_code in hearing.judge.defect_codes}
    wanted = [image for image in found if image.defect_code in known]
    if device.type == "cpu" and len(wanted) >= FEWEST_IMAGES:
        for hearing in hearings:
            job.go_on(0.0, PREDICTING)
            hearing.judge.take_the_faster(job)
    sound, damaged = _judge_all(wanted, hearings, batch_size, job)
    if damaged:
        check_still_there(order.data_paths, job)
    if gone := [image.found for image in damaged if image.is_gone]:  # storage that was away for a moment may be back
        back, away = _judge_all(gone, hearings, batch_size, job)
        sound, damaged = sound + back, [image for image in damaged if not image.is_gone] + away
    for image in damaged:
        job.log.warning("%s is damaged and left out: %s", image.found.folder, image.damage)
    results = tuple(_result(hearing, damaged, len(found), job) for hearing in hearings)
    manifest = manifest_lines((image, "") for image in sound)
    job.report(
        PredictionSucceeded(
            **job.sender,
            seconds=time.monotonic() - started,
            results=results,
            manifest=keep_bytes(job, "manifest.jsonl", manifest),
            log=job.kept_log(),
        )
    )


def _judge_all(
    images: Sequence[FoundImage], hearings: Sequence[_Hearing], batch_size: int, job: Job
) -> tuple[list[ReadImage], list[ReadImage]]:
    """Look at all images and let them be judged; returns those that are sound and those that are damaged."""
    sound, damaged = [], []
    # While torch judges a batch, threads make the next one ready.
    most = batch_size + 2 * job.cpu_cores
    look_at = partial(_look_at, hearings=hearings, job=job)
    with answered_ahead(look_at, images, thread_count=job.cpu_cores, most=most) as answers:
        for number, seen in enumerate(answers):
            job.go_on(number / len(images), PREDICTING)
            if seen.image.damage:
                damaged.append(seen.image)
                continue
            sound.append(seen.image)
            for hearing in hearings:
                hearing.take_in(seen)
    for hearing in hearings:
        hearing.judge_waiting()
    return sound, damaged


def _look_at(found: FoundImage, hearings: Sequence[_Hearing], job: Job) -> _Seen:
    """Read an image once, decode it where somebody takes it, and ask those versions that answer threads."""
    image, content = read_content(found)
    if any(hearing.judge.segmenter for hearing in hearings):
        image = with_mask(image)
    takers = [] if image.damage else [hearing.judge for hearing in hearings if hearing.takes(image)]
    if not takers:
        return _Seen(image, None, {})
    try:
        whole = decode(content)
    except ImageIsDamaged as error:
        return _Seen(msgspec.structs.replace(image, damage=str(error)), None, {})
    sizes = set[Size]().union(*(judge.sizes for judge in takers))
    pixels = {size: pixels_of(whole, *size) for size in sizes}
    decoded = Decoded(image, pixels, _masks(image, sizes, job))
    verdicts = {judge.version.label: judge.judged([decoded])[0] for judge in takers if judge.takes_calls_of_threads}
    return _Seen(image, decoded, verdicts)


def _masks(image: ReadImage, sizes: set[Size], job: Job) -> dict[Size, Pixels]:
    """The mask at every size wanted; one that cannot be used is none."""
    if not image.mask_checksum:
        return {}
    try:
        area = mask_of(image)
    except ImageIsDamaged as error:
        job.log.warning("the mask of %s cannot be used: %s", image.found.folder, error)
        return {}
    return {size: mask_pixels_of(area, *size) for size in sizes}


def _result(hearing: _Hearing, damaged: Sequence[ReadImage], image_count: int, job: Job) -> VersionResult:
    judge = hearing.judge
    unreadable = [image for image in damaged if judge.knows(image)]
    left_out_count = image_count - len(hearing.judged) - len(hearing.non_compliant) - len(unreadable)
    if not hearing.judged:
        raise NothingToPredict(
            image_count=image_count,
            damaged=len(unreadable),
            non_compliant=len(hearing.non_compliant),
            left_out=left_out_count,
        )
    evaluation = evaluation_of(judge.defect_codes, hearing.judged, hearing.non_compliant, unreadable)
    return VersionResult(
        label=judge.version.label,
        evaluation=keep_bytes(job, "evaluation.msgpack", msgspec.msgpack.encode(evaluation)),
        figures=figures_of(evaluation, left_out_count),
    )
