"""A question bank from a single folder of images: some are kept apart, so that a model is judged on what it has never seen."""

import csv
import shutil
from collections import defaultdict
from pathlib import Path

from domain.data_paths import FolderName
from domain.image_files import GROUPS_FILE, mask_name, polygons_name
from gpu_worker.images import FoundImage, find_images, read_image
from gpu_worker.splits import linked_groups, validation_split
from infra.data_folders import DataFolders

TRAINING, QUESTION_BANK = "training", "question-bank"
SEED = 7


def hold_out(images: FolderName, folders: DataFolders, target: Path, *, training_share: float = 0.8) -> tuple[int, int]:
    """Copy the images of a data path to `target/training` and `target/question-bank`, with masks and groups.

    Stratified by code; images of one group of `groups.csv`, and equal files, stay together. What was copied before is kept, so a
    second call with the same images changes nothing. Returns how many images went to each.

    Raises:
        FolderNotFound, GroupsFileIsWrong: as `find_images`.
        OSError: the disk is full, or a file cannot be read.
    """
    found = find_images(images, folders)
    checksums = [read_image(image).checksum for image in found]
    groups = linked_groups([image.group for image in found], checksums)
    is_held_out = validation_split(
        [image.defect_code for image in found], groups, split_ratio=training_share, seed=SEED
    )
    sides: dict[str, list[FoundImage]] = {TRAINING: [], QUESTION_BANK: []}
    for image, held_out in zip(found, is_held_out, strict=True):
        sides[QUESTION_BANK if held_out else TRAINING].append(image)
    for side, members in sides.items():
        _copy(members, target / side)
    return len(sides[TRAINING]), len(sides[QUESTION_BANK])


def _copy(images: list[FoundImage], target: Path) -> None:
    groups: dict[Path, list[tuple[str, str]]] = defaultdict(list)
    for image in images:
        folder = target / image.defect_code
        (folder / mask_name(image.name)).parent.mkdir(parents=True, exist_ok=True)
        for name in (image.name, mask_name(image.name), polygons_name(image.name)):
            source = image.path.parent / name
            if source.is_file() and not (folder / name).exists():
                shutil.copy2(source, folder / name)
        if image.group:
            groups[folder].append((image.name, image.group))
    for folder, rows in groups.items():
        with (folder / GROUPS_FILE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("file", "group"), *rows])
