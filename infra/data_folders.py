"""Data paths on shared storage: where they lie, which images they hold, and what an inspection says of them (D-3 to D-5).

An inspection reads the head and the end of every file and decodes nothing.
"""

import enum
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec
from PIL import Image, ImageFile

from domain.data_paths import DataPathState, DefectCodeCount, FolderName, Inspection
from domain.image_files import (
    FIRST_BYTES,
    MASKS_FOLDER,
    MAXIMUM_BYTES,
    MAXIMUM_PIXELS,
    ImageFormat,
    has_image_name,
    image_format,
    is_skipped,
    mask_name,
    polygons_name,
    shown_size,
)
from gpu_worker.ports import FolderNotFound
from infra.roots import Roots, is_storable

MOST_RESOLUTIONS = 10
_ORIENTATION_TAG = 0x0112
_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 273, 279, 324, 325
_END_MARKS = {ImageFormat.JPEG: b"\xff\xd9", ImageFormat.PNG: b"IEND"}
_ENDS_BYTES = (64, 64 << 10)
"""How far from the end the mark is looked for: cameras and editors append to finished files, seldom and not more than this."""


class CodeFolder(msgspec.Struct, frozen=True):
    """A folder whose images show one defect code; `path` is where it lies on this machine, links followed."""

    defect_code: str
    folder: FolderName
    path: Path


class DataFolders:
    """The data roots as this machine mounts them."""

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self._roots = Roots(roots)

    def inspect(self, typed: str) -> Inspection:
        """Look into a path as a person typed it: absolute, `root:below` or `root/below`.

        INVALID when outside the data roots, missing, unreadable or without images; which of them is not told.
        """
        name = self._roots.name(typed)
        found = self.inspect_folder(name) if name else None
        if found is None or found.state is DataPathState.INVALID:
            return Inspection(folder=FolderName("", typed), state=DataPathState.INVALID)
        return found

    def inspect_folder(self, folder: FolderName) -> Inspection:
        """Look into a known folder. INVALID as above, but it keeps its name."""
        try:
            counts = _Counts()
            for code_folder in self.code_folders(folder):
                counts.look_into(code_folder, self.files_inside(code_folder), self.masks_inside(code_folder))
            return counts.inspection(folder)
        except (OSError, FolderNotFound):  # a folder that cannot be listed would be missing silently
            return Inspection(folder=folder, state=DataPathState.INVALID)

    def resolve(self, folder: FolderName) -> Path:
        """The real path of a known folder or file.

        Raises:
            FolderNotFound: it is gone, or leads out of its root.
        """
        path = self._roots.resolve(folder)
        if path is None:
            raise FolderNotFound(folder=str(folder))
        return path

    def code_folders(self, data_path: FolderName) -> list[CodeFolder]:
        """The data path itself under its own name, then the folders directly inside it (D-5); no links that leave the root.

        Raises:
            FolderNotFound
            OSError: it is no folder, or cannot be listed.
        """
        path = self.resolve(data_path)
        folders = [CodeFolder(data_path.path.rpartition("/")[2] or path.name, data_path, path)]
        for entry in _entries(path):
            inside = _below(data_path, entry.name)
            if is_storable(entry.name) and (real := self._real(inside, entry)) is not None and real.is_dir():
                folders.append(CodeFolder(entry.name, inside, real))
        return folders

    def files_inside(self, code_folder: CodeFolder) -> Iterator[tuple[str, str]]:
        """Name and real path of every regular file of a code folder, by name; links that leave the root are left out.

        Raises:
            OSError: it cannot be listed.
        """
        for entry in _entries(code_folder.path):
            if entry.is_symlink():
                real = self._real(_below(code_folder.folder, entry.name), entry)
                if real is not None and real.is_file():
                    yield entry.name, str(real)
            elif entry.is_file(follow_symlinks=False):
                yield entry.name, entry.path

    def masks_inside(self, code_folder: CodeFolder) -> dict[str, str]:
        """Real paths of the mask files by their name relative to the code folder (`masks/a.png`); empty where there are none."""
        folder = _below(code_folder.folder, MASKS_FOLDER)
        path = self._roots.resolve(folder)
        if path is None or not path.is_dir():
            return {}
        masks = self.files_inside(CodeFolder(code_folder.defect_code, folder, path))
        return {f"{MASKS_FOLDER}/{name}": real for name, real in masks}

    def _real(self, name: FolderName, entry: "os.DirEntry[str]") -> Path | None:
        return self._roots.resolve(name) if entry.is_symlink() else Path(entry.path)


class _Counts:
    """What an inspection counts."""

    def __init__(self) -> None:
        self._images: Counter[str] = Counter()
        self._masks: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._resolutions: Counter[tuple[int, int]] = Counter()
        self._total_bytes = 0
        self._damaged = 0

    def look_into(self, code_folder: CodeFolder, files: Iterable[tuple[str, str]], masks: Iterable[str]) -> None:
        """Count the images of one code folder."""
        names = set(masks)
        images: list[str] = []
        for name, path in files:
            seen = look_at(name, path)
            if isinstance(seen, Seen):
                images.append(name)
                self._formats[seen.format.value] += 1
                self._resolutions[seen.width, seen.height] += 1
                self._total_bytes += seen.size
            elif seen is Unread.DAMAGED:
                self._damaged += 1
            else:
                names.add(name)
        code = code_folder.defect_code
        self._images[code] += len(images)
        self._masks[code] += sum(mask_name(name) in names or polygons_name(name) in names for name in images)

    def inspection(self, folder: FolderName) -> Inspection:
        """The answer; a folder without images is invalid."""
        image_count = self._images.total()
        return Inspection(
            folder=folder,
            state=DataPathState.VALID if image_count else DataPathState.INVALID,
            image_count=image_count,
            defect_codes=tuple(
                DefectCodeCount(code, count, self._masks[code]) for code, count in sorted(self._images.items()) if count
            ),
            formats=tuple(sorted(self._formats.items(), key=lambda found: (-found[1], found[0]))),
            resolutions=tuple(
                (width, height, count)
                for (width, height), count in sorted(self._resolutions.items(), key=lambda found: (-found[1], found[0]))
            )[:MOST_RESOLUTIONS],
            total_bytes=self._total_bytes,
            mask_count=self._masks.total(),
            damaged_count=self._damaged,
        )


class Seen(msgspec.Struct, frozen=True):
    """An image: `width` and `height` as people see it, in pixels; `size` in bytes."""

    format: ImageFormat
    width: int
    height: int
    size: int


class Unread(enum.Enum):
    """A file that is no usable image: it only carries an image's name or head, or it is something else altogether."""

    DAMAGED = "damaged"
    OTHER = "other"


def look_at(name: str, path: str) -> Seen | Unread:
    """Read the head and the end of a file; never waits, whatever lies at the path, and decodes nothing."""
    try:
        # The file may have become a pipe or a link since the folder was listed.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return Unread.DAMAGED if has_image_name(name) else Unread.OTHER
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Unread.OTHER
        try:
            found = image_format(file.read(FIRST_BYTES))
            if found is None:
                return Unread.DAMAGED if has_image_name(name) else Unread.OTHER
            if not is_storable(name) or status.st_size > MAXIMUM_BYTES:
                return Unread.DAMAGED
            width, height = _size(file, found, status.st_size)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a damaged file makes Pillow raise almost anything; whatever it was, it is damaged
            return Unread.DAMAGED
    return Seen(found, width, height, status.st_size)


class _Truncated(Exception):
    """The file ends before its pixels do."""


class _NoColours(Exception):
    """Floating-point pixels have no defined brightness; workers leave them out, too."""


def _size(file: BinaryIO, found: ImageFormat, size: int) -> tuple[int, int]:
    file.seek(0)
    with Image.open(file, formats=(found.value,)) as image:
        width, height = shown_size(image.width, image.height, _orientation(image))
        if not 0 < width * height <= MAXIMUM_PIXELS:
            raise Image.DecompressionBombError(f"declares {width} x {height} pixels")
        if _last_byte(image) > size:
            raise _Truncated
        if image.mode == "F":
            raise _NoColours
    mark = _END_MARKS.get(found)
    if mark and not any(mark in _end(file, size, length) for length in _ENDS_BYTES):
        raise _Truncated
    return width, height


def _end(file: BinaryIO, size: int, length: int) -> bytes:
    file.seek(max(0, size - length))
    return file.read(length)


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF" or "exif" not in image.info:
        return 1  # Pillow turns a TIFF itself; and asking a PNG without EXIF for it would decode the pixels
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - broken EXIF beside sound pixels: the image counts as upright
        return 1


def _last_byte(image: ImageFile.ImageFile) -> int:
    """Where the pixels end, in formats that say so in their head; 0 in the others."""
    if image.format == "BMP":
        rows = [(tile.offset, tile.args) for tile in image.tile if tile.codec_name == "raw"]
        ends = [start + args[1] * image.height for start, args in rows if isinstance(args, tuple)]
        return max(ends, default=0)
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined] # only Pillow's TIFF images have it
        pairs = ((_STRIP_OFFSETS, _STRIP_SIZES), (_TILE_OFFSETS, _TILE_SIZES))
        ends = [
            start + length
            for starts, lengths in pairs
            for start, length in zip(tags.get(starts, ()), tags.get(lengths, ()), strict=False)
        ]
        return max(ends, default=0)
    return 0


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not is_skipped(entry.name)), key=lambda entry: entry.name)


def _below(folder: FolderName, name: str) -> FolderName:
    return FolderName(folder.root, f"{folder.path}/{name}".lstrip("/"))
