"""The three stages before a training (T-4): resolution screening, data split, data augmentation.

All images are read and decoded in the first stage, because only decoding proves an image sound, and the split must know.
Run again after an interruption, the stages give the same result, and take the decoded images from their cache.
"""

import hashlib
import io
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import msgspec
import torch
from PIL import Image

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import ManifestEntry, StageFinished, StageName, TrainingOrder
from domain.model_packages import NetworkInput, ResolutionRule
from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.augmentation import augment, draw
from gpu_worker.decoded_images import DecodedImages, decoded_folder
from gpu_worker.images import FoundImage, Pixels, ReadImage, find_images, read_image
from gpu_worker.jobs import Job
from gpu_worker.randomness import stream
from gpu_worker.splits import linked_groups, validation_split

READING = N_("Reading the images")
DECODING = N_("Decoding the images")
SPLITTING = N_("Splitting the images")
AUGMENTING = N_("Preparing the augmentation")

TRAINING, VALIDATION = "training", "validation"
_PREVIEW_IMAGES, _PREVIEW_SAMPLES, _PREVIEW_GAP = 6, 4, 4
READING_SHARE, PREPARED_SHARE = 0.02, 0.05
"""Progress of the job after reading and after decoding; the training follows."""


class DefectCodeNotInList(Refusal):
    """A folder of an unlisted code came into a data path after it was checked."""

    message = N_(
        "“{folder}” holds images of the code “{defect_code}”, which is not in code_list. Add the code, or remove the folder."
    )


class ClassWithoutImages(Refusal):
    """The classifier cannot learn what it never sees."""

    message = N_(
        "No image of “{defect_code}” is left for training: {damaged} are damaged, {non_compliant} do not comply with the "
        "resolution rule. Add images, or lower num_of_classes."
    )


class NothingToValidate(Refusal):
    """All images of each code show the same part, so none can be held back."""

    message = N_(
        "No image is left for validation: every code has only one group of images. Add images of further parts."
    )


@dataclass(frozen=True, kw_only=True)
class Screening:
    """What the first stage found. The tuples hold images of the classes; those of special codes are only counted (W-4)."""

    compliant: tuple[ReadImage, ...]
    non_compliant: tuple[ReadImage, ...]
    damaged: tuple[ReadImage, ...]
    left_out_count: int
    resolution_rule: ResolutionRule
    decoded: DecodedImages


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Ready for the training loop: images of each split with their class indices, and what was set aside."""

    screening: Screening
    validates: tuple[bool, ...]
    labels: tuple[int, ...]
    manifest_checksum: str

    def split(self, *, validation: bool) -> tuple[DecodedImages, list[int], list[ReadImage]]:
        """The pixels, the class indices and the images of one side."""
        indices = [index for index, validates in enumerate(self.validates) if validates is validation]
        images = [self.screening.compliant[index] for index in indices]
        return self.screening.decoded.part(indices), [self.labels[index] for index in indices], images


def prepare(order: TrainingOrder, job: Job) -> Prepared:
    """Run the three stages and report each.

    Raises:
        FolderNotFound, GroupsFileIsWrong, DefectCodeNotInList, ClassWithoutImages, NothingToValidate
    """
    started = time.monotonic()
    screening = screen(order, job)
    job.report(
        StageFinished(
            **job.sender,
            stage=StageName.RESOLUTION_SCREENING,
            seconds=time.monotonic() - started,
            image_count=len(screening.compliant)
            + len(screening.non_compliant)
            + len(screening.damaged)
            + screening.left_out_count,
            non_compliant_count=len(screening.non_compliant),
            damaged_count=len(screening.damaged),
            left_out_count=screening.left_out_count,
            resolution_rule=screening.resolution_rule,
        )
    )
    started = time.monotonic()
    job.go_on(PREPARED_SHARE, SPLITTING)
    validates = _split(order, screening)
    splits = [VALIDATION if validating else TRAINING for validating in validates]
    manifest = manifest_lines(zip(screening.compliant, splits, strict=True))
    job.report(
        StageFinished(
            **job.sender,
            stage=StageName.DATA_SPLIT,
            seconds=time.monotonic() - started,
            training_count=splits.count(TRAINING),
            validation_count=splits.count(VALIDATION),
            manifest=keep_bytes(job, "manifest.jsonl", manifest),
        )
    )
    started = time.monotonic()
    job.go_on(PREPARED_SHARE, AUGMENTING)
    preview = _preview(order, screening)
    job.report(
        StageFinished(
            **job.sender,
            stage=StageName.DATA_AUGMENTATION,
            seconds=time.monotonic() - started,
            preview=keep_bytes(job, "preview.png", preview) if preview else None,
        )
    )
    classes = order.model_parameters.classifier_codes
    return Prepared(
        screening=screening,
        validates=validates,
        labels=tuple(classes.index(image.found.defect_code) for image in screening.compliant),
        manifest_checksum=hashlib.sha256(manifest).hexdigest(),
    )


def screen(order: TrainingOrder, job: Job) -> Screening:
    """Find, read, screen and decode the images of all data paths."""
    classes = set(order.model_parameters.classifier_codes)
    found = find_all(order.data_paths, job)
    for image in found:
        if image.defect_code not in order.model_parameters.code_list:
            folder = FolderName(image.folder.root, image.code_folder)
            raise DefectCodeNotInList(folder=str(folder), defect_code=image.defect_code)
    wanted = [image for image in found if image.defect_code in classes]
    read = read_all(wanted, job)
    sound = [image for image in read if not image.damage]
    rule = order.resolution_rule
    is_screened = order.preprocessing.resolution_screening
    if is_screened and rule.is_empty:
        rule = most_frequent_size(sound)
    complies = [not is_screened or rule.complies(image.width, image.height) for image in sound]
    compliant = [image for image, does in zip(sound, complies, strict=True) if does]
    non_compliant = tuple(image for image, does in zip(sound, complies, strict=True) if not does)
    decoded, damage = _decode(compliant, order.input, job)
    whole = [index for index, image in enumerate(compliant) if image.found.folder not in damage]
    damaged = [image for image in read if image.damage] + [
        msgspec.structs.replace(image, damage=damage[image.found.folder])
        for image in compliant
        if image.found.folder in damage
    ]
    for out in damaged:
        job.log.warning("%s is damaged and left out: %s", out.found.folder, out.damage)
    for out in non_compliant:
        job.log.info("%s does not comply: %s x %s", out.found.folder, out.width, out.height)
    screening = Screening(
        compliant=tuple(compliant[index] for index in whole),
        non_compliant=non_compliant,
        damaged=tuple(damaged),
        left_out_count=len(found) - len(wanted),
        resolution_rule=rule,
        decoded=decoded.part(whole),
    )
    _check_classes(order.model_parameters.classifier_codes, screening)
    return screening


def find_all(data_paths: Sequence[FolderName], job: Job) -> list[FoundImage]:
    """The images of all data paths in their order; an image below two of them counts once."""
    found: dict[FolderName, FoundImage] = {}
    for data_path in data_paths:
        job.go_on(0.0, READING)
        for image in find_images(data_path, job.folders):
            found.setdefault(image.folder, image)
    return list(found.values())


def read_all(found: Sequence[FoundImage], job: Job, share: float = READING_SHARE) -> list[ReadImage]:
    """Read all files, several at a time; `share` is the progress of the job when done."""
    read = []
    with ThreadPoolExecutor(job.cpu_cores) as threads:
        try:
            for image in threads.map(read_image, found):
                read.append(image)
                job.go_on(share * len(read) / len(found), READING)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return read


def most_frequent_size(images: Sequence[ReadImage]) -> ResolutionRule:
    """The rule where the package has none (W-10); of sizes equally frequent, the largest."""
    sizes = Counter((image.width, image.height) for image in images)
    if not sizes:
        return ResolutionRule()
    best = max(sizes, key=lambda size: (sizes[size], size[0] * size[1], size))
    return ResolutionRule(exact_sizes=(best,))


def manifest_lines(images: Iterable[tuple[ReadImage, str]]) -> bytes:
    """JSON Lines of `ManifestEntry`, in the given order."""
    entries = [
        ManifestEntry(
            root=image.found.folder.root,
            path=image.found.folder.path,
            size=image.size,
            checksum=image.checksum,
            defect_code=image.found.defect_code,
            split=split,
        )
        for image, split in images
    ]
    return b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)


def keep_bytes(job: Job, name: str, content: bytes) -> Artifact:
    """Store bytes as an artifact."""
    file = job.workspace / name
    file.write_bytes(content)
    return job.artifacts.keep(file)


def _decode(images: Sequence[ReadImage], size: NetworkInput, job: Job) -> tuple[DecodedImages, dict[FolderName, str]]:
    """The pixels of all images, and why some turned out to be damaged."""
    decoded_count = 0

    def on_image() -> None:
        nonlocal decoded_count
        decoded_count += 1
        share = READING_SHARE + (PREPARED_SHARE - READING_SHARE) * decoded_count / len(images)
        job.go_on(share, DECODING)

    files: list[Pixels] = []
    rows: list[tuple[int, int]] = []
    damage: dict[FolderName, str] = {}
    for _, group in groupby(images, key=lambda image: (image.found.folder.root, image.found.code_folder)):
        members = list(group)
        pixels, damaged = decoded_folder(
            members,
            width=size.width,
            height=size.height,
            decoded=job.decoded,
            thread_count=job.cpu_cores,
            on_image=on_image,
        )
        rows.extend((len(files), row) for row in range(len(members)))
        files.append(pixels)
        damage.update({image.found.folder: damaged[image.checksum] for image in members if image.checksum in damaged})
    return DecodedImages(files, rows), damage


def _check_classes(classes: Sequence[str], screening: Screening) -> None:
    def count(images: Sequence[ReadImage], defect_code: str) -> int:
        return sum(image.found.defect_code == defect_code for image in images)

    for defect_code in classes:
        if not count(screening.compliant, defect_code):
            raise ClassWithoutImages(
                defect_code=defect_code,
                damaged=count(screening.damaged, defect_code),
                non_compliant=count(screening.non_compliant, defect_code),
            )


def _split(order: TrainingOrder, screening: Screening) -> tuple[bool, ...]:
    images = screening.compliant
    pattern = re.compile(order.preprocessing.group_pattern) if order.preprocessing.group_pattern else None
    validates = validation_split(
        [image.found.defect_code for image in images],
        linked_groups([_group(image.found, pattern) for image in images], [image.checksum for image in images]),
        split_ratio=order.preprocessing.split_ratio,
        seed=order.seed,
    )
    if not any(validates):
        raise NothingToValidate
    return validates


def _group(image: FoundImage, pattern: re.Pattern[str] | None) -> str:
    """The name of an image's group among the code folders that lie side by side; "" where it has none."""
    name = image.group
    if not name and pattern and (match := pattern.search(image.name)):
        name = match[1] if pattern.groups and match[1] else match[0]
    beside = image.code_folder.rpartition("/")[0]
    return f"{image.folder.root}:{beside}/{name}" if name else ""


def _preview(order: TrainingOrder, screening: Screening) -> bytes | None:
    """A PNG sheet: in each row an image as decoded and some augmented samples of it; None where nothing is augmented."""
    chosen = order.preprocessing.augmentations
    if not chosen:
        return None
    count = len(screening.compliant)
    shown = torch.randperm(count, generator=stream(order.seed, "preview"))[:_PREVIEW_IMAGES].sort().values.numpy()
    images_BCHW = torch.from_numpy(screening.decoded.gather(shown)).float() / 255
    columns = [images_BCHW] + [
        augment(images_BCHW, draw(len(shown), chosen, stream(order.seed, "preview sample", sample)), chosen)
        for sample in range(_PREVIEW_SAMPLES)
    ]
    height, width = images_BCHW.shape[-2:]
    size = (width + _PREVIEW_GAP) * len(columns) - _PREVIEW_GAP, (height + _PREVIEW_GAP) * len(shown) - _PREVIEW_GAP
    sheet = Image.new("RGB", size, "white")
    for column, samples_BCHW in enumerate(columns):
        for row, sample_CHW in enumerate(samples_BCHW):
            pixels = sample_CHW.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
            sheet.paste(Image.fromarray(pixels), (column * (width + _PREVIEW_GAP), row * (height + _PREVIEW_GAP)))
    png = io.BytesIO()
    sheet.save(png, "PNG")
    return png.getvalue()
