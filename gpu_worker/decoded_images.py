"""Every image decoded once: the pixels of a code folder at one input size, in one file that is mapped, never read as a whole.

A file is named by the content of its images, their order and the input size; so the next job on the same folder uses it as it is,
and a retraining decodes only the folders that are new. Shape letters: N = images, B = batch, H and W = height and width in pixels.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from gpu_worker.image_masks import MASK_VERSION, mask_of, mask_pixels_of
from gpu_worker.images import RESIZE_VERSION, ImageIsDamaged, ImageIsGone, Pixels, ReadImage, decode_file, pixels_of
from gpu_worker.look_ahead import ROUNDS_AHEAD, answered_ahead
from gpu_worker.scratch import BUILDING, remove_at_once

_PIXELS = "pixels.npy"
_DAMAGED = "damaged.json"


class DecodedImages:
    """Rows of several files as one array."""

    def __init__(self, files: Sequence[Pixels], rows: Sequence[tuple[int, int]]) -> None:
        """`rows` are (index of the file, row in it), one per image."""
        self._files = files
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def gather(self, indices: npt.NDArray[np.int64]) -> Pixels:
        """(B, 3, H, W) the pixels of some images, or (B, H, W) their masks."""
        gathered = np.empty((len(indices), *self._files[0].shape[1:]), dtype=np.uint8)
        for place, index in enumerate(indices):
            file, row = self._rows[index]
            gathered[place] = self._files[file][row]
        return gathered

    def part(self, indices: Sequence[int]) -> "DecodedImages":
        """Some of the images, in that order."""
        return DecodedImages(self._files, [self._rows[index] for index in indices])

    def place(self) -> tuple[list[str], list[tuple[int, int]]]:
        """Where the files of `decoded_folder` and the like lie, and the rows: what another process needs for `at`."""
        files = [file.filename for file in self._files if isinstance(file, np.memmap)]
        assert len(files) == len(self._files), "only files can be opened elsewhere"
        return [str(file) for file in files], list(self._rows)

    @classmethod
    def at(cls, place: tuple[Sequence[str], Sequence[tuple[int, int]]]) -> Self:
        """The images at a `place`."""
        files, rows = place
        return cls([np.load(file, mmap_mode="r") for file in files], rows)

    @property
    def nbytes(self) -> int:
        """Memory that all images together would take, in bytes."""
        return len(self) * int(np.prod(self._files[0].shape[1:])) if self._rows else 0


def decoded_folder(
    images: Sequence[ReadImage],
    *,
    width: int,
    height: int,
    decoded: Path,
    links: Path,
    thread_count: int,
    on_image: Callable[[], None],
) -> tuple[Pixels, Mapping[str, str]]:
    """(N, 3, H, W) pixels of the images of one folder, from an earlier job where possible, and what is damaged.

    They stay as long as their file in `links`, a folder of the job's own. `on_image` is called after each decoded image. A damaged
    image's row is black; why it is damaged stands under its checksum.
    """
    size = f"{RESIZE_VERSION} {width}x{height}"
    keys = [image.checksum for image in images]

    def read(index: int) -> Pixels:
        return pixels_of(decode_file(images[index]), width, height)

    return _kept(size, keys, (3, height, width), read, decoded, links, thread_count, on_image)


def decoded_masks(
    images: Sequence[ReadImage],
    *,
    width: int,
    height: int,
    decoded: Path,
    links: Path,
    thread_count: int,
    on_image: Callable[[], None],
) -> tuple[Pixels, Mapping[str, str]]:
    """(N, H, W) the masks of the images of one folder, 1 where the defect is; the rest as with `decoded_folder`.

    What is damaged stands under the key of `mask_key`.
    """
    size = f"masks {MASK_VERSION} {width}x{height}"
    keys = [mask_key(image) for image in images]

    def read(index: int) -> Pixels:
        return mask_pixels_of(mask_of(images[index]), width, height)

    return _kept(size, keys, (height, width), read, decoded, links, thread_count, on_image)


def mask_key(image: ReadImage) -> str:
    """A mask is one of its image: the same file beside an image of another size does not fit."""
    return f"{image.checksum}/{image.mask_checksum}"


def _kept(
    size: str,
    keys: Sequence[str],
    shape: tuple[int, ...],
    read: Callable[[int], Pixels],
    decoded: Path,
    links: Path,
    thread_count: int,
    on_image: Callable[[], None],
) -> tuple[Pixels, Mapping[str, str]]:
    folder = decoded / hashlib.sha256(" ".join([size, *keys]).encode()).hexdigest()
    while True:
        if not folder.is_dir():
            folder = _build(keys, shape, read, folder, thread_count, on_image)
        try:
            return _opened(folder, links)
        except (FileNotFoundError, ValueError, EOFError):  # tidied away just now, or half lost with the power
            remove_at_once(folder)


def _opened(folder: Path, links: Path) -> tuple[Pixels, Mapping[str, str]]:
    os.utime(folder)
    damaged = json.loads((folder / _DAMAGED).read_text())
    return np.load(_linked(folder / _PIXELS, links / f"{folder.name}.npy"), mmap_mode="r"), damaged


def _linked(file: Path, link: Path) -> Path:
    """A name of the job's own for a file that may be tidied away; the file itself where the storage has no links."""
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    try:
        os.link(file, link)
    except FileNotFoundError:
        raise
    except OSError:
        return file
    return link


def _build(
    keys: Sequence[str],
    shape: tuple[int, ...],
    read: Callable[[int], Pixels],
    folder: Path,
    thread_count: int,
    on_image: Callable[[], None],
) -> Path:
    """Returns where it is: at `folder`, or beside it where files were gone, because their content may come back."""
    building = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}{BUILDING}")
    building.mkdir(parents=True)
    try:
        rows = np.lib.format.open_memmap(building / _PIXELS, mode="w+", dtype=np.uint8, shape=(len(keys), *shape))
        _reserve(building / _PIXELS)
        damaged, some_are_gone = _decode_all(keys, rows, read, thread_count, on_image)
        rows.flush()
        with (building / _DAMAGED).open("w") as opened:
            json.dump(damaged, opened)
            opened.flush()
            os.fsync(opened.fileno())
        if some_are_gone:
            folder = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}")
        try:
            building.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            # Another worker was faster; both built the same.
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def _decode_all(
    keys: Sequence[str],
    rows: Pixels,
    read: Callable[[int], Pixels],
    thread_count: int,
    on_image: Callable[[], None],
) -> tuple[dict[str, str], bool]:
    """Fill the rows. Returns what is wrong with damaged images, by key, and whether files of some were gone."""
    damaged = {}
    gone = []

    def decode(index: int) -> str:
        try:
            rows[index] = read(index)
        except ImageIsGone as error:
            gone.append(index)
            return str(error)
        except ImageIsDamaged as error:
            return str(error)
        return ""

    most = ROUNDS_AHEAD * thread_count
    with answered_ahead(decode, range(len(keys)), thread_count=thread_count, most=most) as damages:
        for key, damage in zip(keys, damages, strict=True):
            if damage:
                damaged[key] = damage
            on_image()
    for index in [gone.pop() for _ in range(len(gone))]:  # storage that was away for a moment may be back
        damaged[keys[index]] = decode(index)
    return {key: damage for key, damage in damaged.items() if damage}, bool(gone)


def _reserve(file: Path) -> None:
    """A full disk is an error here; found out later, by a page of the mapped file that cannot be written, it would be a crash."""
    with file.open("r+b") as opened:
        os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
