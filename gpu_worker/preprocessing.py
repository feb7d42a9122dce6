"""The three stages before a training (T-4): resolution screening, data split, data augmentation.

All images are read and decoded in the first stage, because only decoding proves an image sound, and the split must know.
Run again after an interruption, the stages give the same result, and take the decoded images from their cache. Shape letters:
B = batch, C = 3 colours, H and W = height and width in pixels.
"""

import hashlib
import io
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from domain.training_progress import PREPARED_SHARE, READ_SHARE
from gpu_worker.augmentation import augment, draw
from gpu_worker.decoded_images import DecodedImages, decoded_folder, decoded_masks, mask_key
from gpu_worker.groups import group_names
from gpu_worker.image_masks import with_mask
from gpu_worker.images import FoundImage, Pixels, ReadImage, find_images, read_image
from gpu_worker.jobs import Job
from gpu_worker.look_ahead import ROUNDS_AHEAD, answered_ahead
from gpu_worker.randomness import stream
from gpu_worker.splits import linked_groups, validation_split

READING = N_("Reading the images")
DECODING = N_("Decoding the images")
SPLITTING = N_("Splitting the images")
AUGMENTING = N_("Preparing the augmentation")

TRAINING, VALIDATION, UNUSED = "training", "validation", ""
_PREVIEW_IMAGES, _PREVIEW_SAMPLES, _PREVIEW_GAP = 6, 4, 4


class DefectCodeNotInList(Refusal):
    """A folder of an unlisted code came into a data path after it was checked."""

    message = N_(
        "“{folder}” holds images of the code “{defect_code}”, which is not in code_list. Add the code, or remove the folder."
    )


class ClassWithoutImages(Refusal):
    """The classifier cannot learn what it never sees."""

    message = N_(
        "No image of “{defect_code}” is left for training: {damaged} are damaged, {non_compliant} do not comply with the "
        "resolution rule. Add images, lower num_of_classes, or leave out the resolution screening if it took too many."
    )


class NothingToValidate(Refusal):
    """All images of each code show the same part, so none can be held back."""

    message = N_(
        "No image is left for validation: every code has only one group of images. Add images of further parts."
    )


class CodeWithoutMasks(Refusal):
    """A segmentation cannot learn what nothing marks (W-9)."""

    message = N_(
        "No image of “{defect_code}” has a mask that can be used; the log says what is wrong with each. Add masks, or switch "
        "“Train segmentation” off."
    )


class NoMaskOnOneSide(Refusal):
    """All masks of each code belong to the same part, which is either learnt from or held back."""

    message = N_(
        "The images with masks are all of one group each, so none is left to learn from or to validate with. Add masks to images "
        "of further parts."
    )


@dataclass(frozen=True, kw_only=True)
class SegmentationImages:
    """The compliant images at the segmentation's input size, and their masks, black where there is none."""

    decoded: DecodedImages
    masks: DecodedImages


@dataclass(frozen=True, kw_only=True)
class Screening:
    """What the first stage found. The tuples hold images of the classes; those of special codes are only counted (W-4).

    Where segmentation is trained, they hold those of special codes, too, and the `mask_checksum` of an image is empty unless its
    mask can be used.
    """

    compliant: tuple[ReadImage, ...]
    non_compliant: tuple[ReadImage, ...]
    damaged: tuple[ReadImage, ...]
    left_out_count: int
    resolution_rule: ResolutionRule
    decoded: DecodedImages
    segmentation: SegmentationImages | None = None

    @property
    def image_count(self) -> int:
        """All images that were found."""
        return len(self.compliant) + len(self.non_compliant) + len(self.damaged) + self.left_out_count

    @property
    def unmasked_count(self) -> int:
        """Images that are not used for segmentation (W-9)."""
        return 0 if self.segmentation is None else sum(not image.mask_checksum for image in self.compliant)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Ready for the training loop: the compliant images, the side and the index in the list of codes of each.

    Codes up to `class_count` are the classes. The methods give indices of images.
    """

    screening: Screening
    validates: tuple[bool, ...]
    labels: tuple[int, ...]
    class_count: int
    manifest_checksum: str

    def of_classes(self, *, validation: bool) -> list[int]:
        """What the classifier learns from, or is validated with."""
        return [index for index in self._side(validation=validation) if self.labels[index] < self.class_count]

    def with_masks(self, *, validation: bool) -> list[int]:
        """What the segmentation learns from, or is validated with: images of every code (W-4)."""
        return [index for index in self._side(validation=validation) if self.screening.compliant[index].mask_checksum]

    def to_judge(self) -> list[int]:
        """What the report is about: all images that validate, those of special codes where they can be told (W-4)."""
        return self._side(validation=True)

    def labels_of(self, indices: Sequence[int]) -> list[int]:
        """The indices of their codes."""
        return [self.labels[index] for index in indices]

    def _side(self, *, validation: bool) -> list[int]:
        return [index for index, validates in enumerate(self.validates) if validates is validation]


def prepare(order: TrainingOrder, job: Job) -> Prepared:
    """Run the three stages and report each.

    Raises:
        FolderNotFound, GroupsFileIsWrong, DefectCodeNotInList, ClassWithoutImages, NothingToValidate, CodeWithoutMasks,
        NoMaskOnOneSide
    """
    started = time.monotonic()
    screening = screen(order, job)
    job.report(
        StageFinished(
            **job.sender,
            stage=StageName.RESOLUTION_SCREENING,
            seconds=time.monotonic() - started,
            image_count=screening.image_count,
            non_compliant_count=len(screening.non_compliant),
            damaged_count=len(screening.damaged),
            left_out_count=screening.left_out_count,
            unmasked_count=screening.unmasked_count,
            resolution_rule=screening.resolution_rule,
        )
    )
    started = time.monotonic()
    job.go_on(PREPARED_SHARE, SPLITTING)
    validates = _split(order, screening)
    splits = [
        VALIDATION if validating else TRAINING if _is_learnt_from(order, image) else UNUSED
        for image, validating in zip(screening.compliant, validates, strict=True)
    ]
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
    parameters = order.model_parameters
    return Prepared(
        screening=screening,
        validates=validates,
        labels=tuple(parameters.code_list.index(image.found.defect_code) for image in screening.compliant),
        class_count=len(parameters.classifier_codes),
        manifest_checksum=hashlib.sha256(manifest).hexdigest(),
    )


def screen(order: TrainingOrder, job: Job) -> Screening:
    """Find, read, screen and decode the images of all data paths.

    Raises:
        FolderNotFound, GroupsFileIsWrong, DefectCodeNotInList, ClassWithoutImages, CodeWithoutMasks
    """
    parameters, segmentation = order.model_parameters, order.segmentation
    known = set(parameters.classifier_codes if segmentation is None else parameters.code_list)
    found = find_all(order.data_paths, job)
    _check_codes(parameters.code_list, found)
    wanted = [image for image in found if image.defect_code in known]
    read = read_all(wanted, job, with_masks=segmentation is not None)
    sound = [image for image in read if not image.damage]
    rule = order.resolution_rule
    is_screened = order.preprocessing.resolution_screening
    if is_screened and rule.is_empty:
        rule = most_frequent_size(sound)
    complies = [not is_screened or rule.complies(image.width, image.height) for image in sound]
    compliant = [image for image, does in zip(sound, complies, strict=True) if does]
    non_compliant = tuple(image for image, does in zip(sound, complies, strict=True) if not does)
    decoding = _Decoding(job, pass_count=1 if segmentation is None else 3)
    decoded, damage = decoding.images(compliant, order.input)
    at_segmentation, masks, bad_masks = decoded, decoded, dict[FolderName, str]()
    if segmentation is not None:
        at_segmentation, more_damage = decoding.images(compliant, segmentation.input)
        masks, bad_masks = decoding.masks(compliant, segmentation.input)
        damage = {**damage, **more_damage}
    whole = [index for index, image in enumerate(compliant) if image.found.folder not in damage]
    damaged = [image for image in read if image.damage] + [
        msgspec.structs.replace(image, damage=damage[image.found.folder])
        for image in compliant
        if image.found.folder in damage
    ]
    if damaged:
        check_still_there(order.data_paths, job)
    _log_unused(job, damaged, non_compliant, bad_masks)
    screening = Screening(
        compliant=tuple(
            msgspec.structs.replace(compliant[index], mask_checksum="")
            if compliant[index].found.folder in bad_masks
            else compliant[index]
            for index in whole
        ),
        non_compliant=non_compliant,
        damaged=tuple(damaged),
        left_out_count=len(found) - len(wanted),
        resolution_rule=rule,
        decoded=decoded.part(whole),
        segmentation=None
        if segmentation is None
        else SegmentationImages(decoded=at_segmentation.part(whole), masks=masks.part(whole)),
    )
    _check_classes(parameters.classifier_codes, screening)
    return screening


def _check_codes(code_list: Sequence[str], found: Sequence[FoundImage]) -> None:
    for image in found:
        if image.defect_code not in code_list:
            folder = FolderName(image.folder.root, image.code_folder)
            raise DefectCodeNotInList(folder=str(folder), defect_code=image.defect_code)


def _log_unused(
    job: Job,
    damaged: Sequence[ReadImage],
    non_compliant: Sequence[ReadImage],
    bad_masks: Mapping[FolderName, str],
) -> None:
    """Name each file that the training does without, for whoever reads the log of the job."""
    for image in damaged:
        job.log.warning("%s is damaged and left out: %s", image.found.folder, image.damage)
    for image in non_compliant:
        job.log.info("%s does not comply: %s x %s", image.found.folder, image.width, image.height)
    for folder, problem in bad_masks.items():
        job.log.warning("the mask of %s cannot be used: %s", folder, problem)


def find_all(data_paths: Sequence[FolderName], job: Job) -> list[FoundImage]:
    """The images of all data paths in their order; an image below two of them counts once."""
    found: dict[FolderName, FoundImage] = {}
    for data_path in data_paths:
        job.go_on(0.0, READING)
        for image in find_images(data_path, job.folders, lambda: job.go_on(0.0, READING)):
            found.setdefault(image.folder, image)
    return list(found.values())


def read_all(
    found: Sequence[FoundImage], job: Job, share: float = READ_SHARE, *, with_masks: bool = False
) -> list[ReadImage]:
    """Read all files, several at a time; `share` is the progress of the job when done."""

    def one(image: FoundImage) -> ReadImage:
        return with_mask(read_image(image)) if with_masks else read_image(image)

    read = []
    threads = job.cpu_cores
    with answered_ahead(one, found, thread_count=threads, most=ROUNDS_AHEAD * threads) as images:
        for image in images:
            read.append(image)
            job.go_on(share * len(read) / len(found), READING)
    for place, image in enumerate(read):
        if image.is_gone:  # storage that was away for a moment may be back
            read[place] = one(image.found)
            job.go_on(share, READING)
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
            mask_checksum=image.mask_checksum,
        )
        for image, split in images
    ]
    return b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)


def keep_bytes(job: Job, name: str, content: bytes) -> Artifact:
    """Store bytes as an artifact."""
    file = job.workspace / name
    file.write_bytes(content)
    return job.artifacts.keep(file)


class _Decoding:
    """All images or masks are decoded in one or more passes, which share the progress between them."""

    def __init__(self, job: Job, pass_count: int) -> None:
        self.job, self.step = job, (PREPARED_SHARE - READ_SHARE) / pass_count
        self.share = READ_SHARE

    def images(self, images: Sequence[ReadImage], size: NetworkInput) -> tuple[DecodedImages, dict[FolderName, str]]:
        """The pixels of all images, and why some turned out to be damaged."""
        return self._pass(images, size, decoded_folder, lambda image: image.checksum)

    def masks(self, images: Sequence[ReadImage], size: NetworkInput) -> tuple[DecodedImages, dict[FolderName, str]]:
        """The masks of all images, black where there is none, and why some that are there cannot be used."""
        masks, problems = self._pass(images, size, decoded_masks, mask_key)
        has_mask = {image.found.folder for image in images if image.found.has_mask}
        return masks, {folder: problem for folder, problem in problems.items() if folder in has_mask}

    def _pass(
        self,
        images: Sequence[ReadImage],
        size: NetworkInput,
        decode: Callable[..., tuple[Pixels, Mapping[str, str]]],
        key: Callable[[ReadImage], str],
    ) -> tuple[DecodedImages, dict[FolderName, str]]:
        decoded_count, start = 0, self.share

        def on_image() -> None:
            nonlocal decoded_count
            decoded_count += 1
            self.job.go_on(start + self.step * decoded_count / len(images), DECODING)

        files: list[Pixels] = []
        rows: list[tuple[int, int]] = []
        damage: dict[FolderName, str] = {}
        for _, group in groupby(images, key=lambda image: (image.found.folder.root, image.found.code_folder)):
            members = list(group)
            pixels, damaged = decode(
                members,
                width=size.width,
                height=size.height,
                decoded=self.job.decoded,
                links=self.job.workspace / "decoded",
                thread_count=self.job.cpu_cores,
                on_image=on_image,
            )
            rows.extend((len(files), row) for row in range(len(members)))
            files.append(pixels)
            damage.update({image.found.folder: damaged[key(image)] for image in members if key(image) in damaged})
        self.share = start + self.step
        return DecodedImages(files, rows), damage


def check_still_there(data_paths: Sequence[FolderName], job: Job) -> None:
    """Images that cannot be read may be damaged, or their folder went meanwhile: that is another thing to mend.

    Raises:
        FolderNotFound
    """
    for data_path in data_paths:
        job.folders.resolve(data_path)


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
    if screening.segmentation is not None:
        masked = {image.found.defect_code for image in screening.compliant if image.mask_checksum}
        for image in screening.compliant:
            if image.found.defect_code not in masked:
                raise CodeWithoutMasks(defect_code=image.found.defect_code)


def _is_learnt_from(order: TrainingOrder, image: ReadImage) -> bool:
    """Of the training side: the classifier takes its classes, the segmentation what has a mask."""
    return bool(image.mask_checksum) or image.found.defect_code in order.model_parameters.classifier_codes


def _split(order: TrainingOrder, screening: Screening) -> tuple[bool, ...]:
    """Of each code, and within it of the images with and without a mask, a part validates."""
    images = screening.compliant
    groups = group_names([image.found for image in images], order.preprocessing.group_pattern)
    validates = validation_split(
        [image.found.defect_code + ("/masked" if image.mask_checksum else "") for image in images],
        linked_groups(groups, [image.checksum for image in images]),
        split_ratio=order.preprocessing.split_ratio,
        seed=order.seed,
    )
    classes = order.model_parameters.classifier_codes
    if not any(validates[index] for index, image in enumerate(images) if image.found.defect_code in classes):
        raise NothingToValidate
    masked = {side for side, image in zip(validates, images, strict=True) if image.mask_checksum}
    if screening.segmentation is not None and len(masked) < 2:
        raise NoMaskOnOneSide
    return validates


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
