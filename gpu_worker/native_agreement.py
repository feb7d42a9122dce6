"""Whether an export package predicts as the platform does (X-1): both look at the same images, the package with its own library.

The images are those that the version's report judged; a file that is gone or has changed since is left out. Where none is left, for
example because the data path was removed, made-up pictures take their place, which the log says.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import torch
from PIL import Image

from domain.data_paths import FolderName
from domain.evaluation import Evaluation, Sample, SampleState
from domain.messages import ExportOrder
from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.devices import keep_evaluation_exact
from gpu_worker.images import FoundImage, ImageIsDamaged, ReadImage, decode_file, pixels_of
from gpu_worker.jobs import Job
from gpu_worker.metrics import scores_of
from gpu_worker.native_library import LibraryFails, NativeModel, Predicted
from gpu_worker.native_versions import Platform
from gpu_worker.segmentation import Segmenter

COMPARING = N_("Comparing the export package with the platform")
TOLERANCE: Final = 1e-4
"""Of probabilities and confidences. Source: REQUIREMENTS X-1."""
AREA_TOLERANCE: Final = 1e-3
"""Of the share of defective pixels: a pixel for which two codes are equally likely may be rounded either way."""
MOST_IMAGES: Final = 48

_PICTURES = 8
_PICTURE_SIDES = (96, 640)
_CPU = torch.device("cpu")


class PackageDisagrees(Refusal):
    """Nobody may get a package that judges otherwise than the reports say."""

    message = N_(
        "The package was not exported, because it does not predict as the platform does: of {compared} images {flipped} got "
        "another code, and probabilities differ by up to {difference}. Export again on another worker, and show the log to the "
        "administrator."
    )


class PackageUnusable(Refusal):
    """The library refuses what was just written."""

    message = N_(
        "The package was not exported, because its own library cannot use it: {problem}. Show the log to the administrator."
    )


class _Verdict(NamedTuple):
    """What one side says of an image."""

    code_index: int
    confidence: float
    probabilities: Sequence[float]
    defect_area: float


def check_agreement(
    platform: Platform, order: ExportOrder, model_file: Path, config: Path, library: Path, job: Job
) -> None:
    """Predict with both and compare.

    Raises:
        PackageDisagrees, PackageUnusable, JobStopped
    """
    keep_evaluation_exact()
    torch.set_num_threads(job.cpu_cores)
    try:
        NativeModel(model_file, config, library).close()  # with the very settings that are delivered
        unscreened = config.with_name("unscreened.yaml")
        unscreened.write_text("resolution_screening: false\n", encoding="utf-8")
        with NativeModel(model_file, unscreened, library) as native:
            _compare(platform, order, native, job)
    except LibraryFails as failure:
        raise PackageUnusable(problem=str(failure)) from failure


def _compare(platform: Platform, order: ExportOrder, native: NativeModel, job: Job) -> None:
    compared = flipped = 0
    difference = 0.0
    is_area_equal = True
    for image, pixels in _images(platform, order, job):
        job.go_on(0.5 + 0.5 * compared / MOST_IMAGES, COMPARING)
        ours = _verdict(platform, order, image, pixels)
        (theirs,) = native.predict([np.asarray(pixels)])
        compared += 1
        flipped += ours.code_index != theirs.code_index
        difference = max(difference, _difference(ours, theirs))
        is_area_equal &= abs(ours.defect_area - theirs.defect_area) <= AREA_TOLERANCE
    job.log.info(
        "compared the package with the platform: %s images, %s other codes, probabilities differ by up to %.1e",
        compared,
        flipped,
        difference,
    )
    if flipped or not difference <= TOLERANCE or not is_area_equal:
        raise PackageDisagrees(compared=compared, flipped=flipped, difference=f"{difference:.1e}")


def _difference(ours: _Verdict, theirs: Predicted) -> float:
    apart = np.abs(np.array(ours.probabilities) - theirs.probabilities).max()
    return float(max(apart, abs(ours.confidence - theirs.confidence)))


def _verdict(platform: Platform, order: ExportOrder, image: ReadImage, pixels: Image.Image) -> _Verdict:
    version = order.version
    fitted_NCHW = pixels_of(pixels, version.input.width, version.input.height)[None]
    scores = scores_of(platform.classifier, fitted_NCHW, version.input, _CPU)[0].tolist()
    by_class = _Verdict(int(np.argmax(scores)), max(scores), scores, 0.0)
    if version.segmentation is None or platform.segmentation is None:
        return by_class
    size = version.segmentation.input
    segmenter = Segmenter(
        model=platform.segmentation,
        defect_codes=platform.defect_codes,
        class_count=platform.class_count,
        min_pixels=version.segmentation.special_code_min_pixels,
        input=size,
        device=_CPU,
    )
    (seen,) = segmenter.look_at(pixels_of(pixels, size.width, size.height)[None], [image], [None])
    area = sum(seen.segmented.predicted_pixels) / (size.width * size.height)
    if seen.special is None or seen.segmented.special_confidence is None:
        return by_class._replace(defect_area=area)
    return _Verdict(seen.special, seen.segmented.special_confidence, scores, area)


def _images(platform: Platform, order: ExportOrder, job: Job) -> Iterator[tuple[ReadImage, Image.Image]]:
    count = 0
    for image in _judged(platform, order, job):
        try:
            pixels = decode_file(image)
        except ImageIsDamaged as error:
            job.log.info("%s is not compared: %s", image.found.folder, error)
            continue
        count += 1
        yield image, pixels
    if not count:
        job.log.warning("no image of the version's report can be read any more; made-up pictures are compared instead")
        yield from _pictures(platform)


def _judged(platform: Platform, order: ExportOrder, job: Job) -> Iterator[ReadImage]:
    """Images of the report, about as many of each code."""
    if order.evaluation is None:
        return
    content = job.artifacts.path(order.evaluation).read_bytes()
    evaluation = msgspec.msgpack.decode(content, type=Evaluation)
    samples_of = defaultdict[str, list[Sample]](list)
    for sample in evaluation.samples:
        if sample.state is SampleState.JUDGED and sample.true_index >= 0:
            samples_of[evaluation.defect_codes[sample.true_index]].append(sample)
    most = max(1, MOST_IMAGES // max(1, len(samples_of)))
    for defect_code, samples in samples_of.items():
        if defect_code not in platform.defect_codes:
            continue
        for sample in samples[:: -(-len(samples) // most)]:
            try:
                path = job.folders.resolve(sample.folder)
            except Refusal as gone:
                job.log.info("%s is not compared: %s", sample.folder, gone)
                continue
            yield ReadImage(
                found=FoundImage(folder=sample.folder, path=path, defect_code=defect_code),
                checksum=sample.checksum,
                width=sample.width,
                height=sample.height,
            )


def _pictures(platform: Platform) -> Iterator[tuple[ReadImage, Image.Image]]:
    """Soft shapes with noise, of many sizes, the same each time."""
    random = np.random.default_rng(20)
    for number in range(_PICTURES):
        width, height = (int(side) for side in random.integers(*_PICTURE_SIDES, 2))
        coarse = Image.fromarray(random.integers(0, 256, (7, 5, 3)).astype(np.uint8))
        soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
        noisy = (soft + random.normal(0, 12, soft.shape)).clip(0, 255).astype(np.uint8)
        found = FoundImage(
            folder=FolderName("", f"picture {number}"), path=Path(), defect_code=platform.defect_codes[0]
        )
        yield ReadImage(found=found, width=width, height=height), Image.fromarray(noisy)
