"""Images of a data path: found by layout (D-5), identified by content (D-4), decoded to 8-bit RGB in the one way of the platform.

A file that cannot be read safely is damaged: it is named, counted and left out, and never stops a job.
"""

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from domain.data_paths import FolderName
from domain.image_files import (
    FIRST_BYTES,
    GROUPS_FILE,
    MASKS_FOLDER,
    MAXIMUM_BYTES,
    MAXIMUM_GROUPS_BYTES,
    MAXIMUM_GROUPS_ROWS,
    MAXIMUM_PIXELS,
    has_image_name,
    image_format,
    is_skipped,
    is_text,
    outlined_stem,
    polygons_name,
    shown_size,
    stem,
)
from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.ports import Folders
from gpu_worker.regular_files import NoRegularFile, open_file

RESIZE_VERSION: Final = 1
"""Counts up whenever the same file would become other pixels; decoded copies of an older version are then made anew."""

Pixels = npt.NDArray[np.uint8]

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow's own guard, at our limit: it speaks while the header is read, before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = MAXIMUM_PIXELS


class GroupsFileIsWrong(Refusal):
    """A misread groups.csv would put the same part on both sides of the split unnoticed."""

    message = N_(
        "“{file}”, line {line}: expected two columns, the first line being “file,group”. Correct it, then start again."
    )


class GroupsFileIsTooLarge(Refusal):
    """It is held in memory, with one of each code folder."""

    message = N_(
        "“{file}” has more than {rows} rows or {mib} MiB. Keep one row for each image of that folder, then start again."
    )


class FoundImage(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is an image by content or by name. `group` is empty where groups.csv says nothing.

    `mask` is the file of its mask, a PNG or LabelMe polygons, for `gpu_worker.masks.read_mask`; there is one where `has_mask`.
    """

    folder: FolderName
    path: Path
    defect_code: str
    group: str = ""
    has_mask: bool = False
    mask: Path | None = None

    @property
    def code_folder(self) -> str:
        """The path of its code folder below the root."""
        return self.folder.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The file name."""
        return self.folder.path.rpartition("/")[2]


class ReadImage(msgspec.Struct, frozen=True, kw_only=True):
    """What one read of a file told. `width` and `height` as shown, in pixels; `damage` says why it cannot be used, "" if it can.

    `mask_checksum` is empty where there is no mask, or where nobody asked for it. `is_gone`: the file could not even be read.
    """

    found: FoundImage
    size: int = 0
    checksum: str = ""
    width: int = 0
    height: int = 0
    damage: str = ""
    mask_checksum: str = ""
    is_gone: bool = False


class ImageIsDamaged(Exception):
    """The content cannot be decoded safely; the text says why, for the log."""


class ImageIsGone(ImageIsDamaged):
    """The file is no longer the one that was read, or cannot be reached; nothing is known of the content that was there."""


def find_images(
    data_path: FolderName, folders: Folders, on_image: Callable[[], None] = lambda: None
) -> list[FoundImage]:
    """All images of a data path, in the order of their names: directly inside, or in its code folders.

    Links are followed only within the root; what leaves it, or has a name that is no text, is as if it were not there. `on_image`
    is called after each: of a million on slow storage it takes long to know them all.

    Raises:
        FolderNotFound: the data path is not there.
        GroupsFileIsWrong
        GroupsFileIsTooLarge
    """
    folder = folders.resolve(data_path)
    name = data_path.path.rpartition("/")[2] or folder.name
    images = []

    def look_into(inside: FolderName, defect_code: str) -> None:
        for image in _images_inside(inside, defect_code, folders):
            images.append(image)
            on_image()

    look_into(data_path, name)
    for entry in _entries(folder):
        inside = _below(data_path, entry.name)
        if (
            (entry.is_dir() or entry.is_symlink())
            and (resolved := _resolved(inside, entry, folders))
            and resolved.is_dir()
        ):
            look_into(inside, entry.name)
    return images


def read_image(found: FoundImage) -> ReadImage:
    """Read a file once: checksum, and size from the header. Nothing is decoded."""
    return read_content(found)[0]


def read_content(found: FoundImage) -> tuple[ReadImage, bytes]:
    """The same, and what was read, for `decode`; nothing where the file cannot be read."""
    try:
        content = content_of(found.path)
    except (OSError, ImageIsDamaged) as error:
        return ReadImage(found=found, damage=str(error), is_gone=isinstance(error, OSError)), b""
    checksum = hashlib.sha256(content).hexdigest()
    try:
        width, height = _header(content)
    except ImageIsDamaged as error:
        return ReadImage(found=found, size=len(content), checksum=checksum, damage=str(error)), content
    return ReadImage(found=found, size=len(content), checksum=checksum, width=width, height=height), content


def decode_file(image: ReadImage) -> Image.Image:
    """The pixels of a file that was read before, as RGB, upright.

    Raises:
        ImageIsDamaged
        ImageIsGone
    """
    try:
        content = content_of(image.found.path)
    except OSError as error:
        raise ImageIsGone(str(error)) from error
    if hashlib.sha256(content).hexdigest() != image.checksum:
        raise ImageIsGone("the file changed while it was being used")
    return decode(content)


def decode(content: bytes) -> Image.Image:
    """RGB with 8 bits a channel, turned upright by its EXIF orientation. Source of the one definition for the whole platform.

    Grey becomes three equal channels, 16 bits keep the upper 8, palettes are looked up, transparency is ignored (as the native
    library ignores it), CMYK is converted; of several frames the first counts.

    Raises:
        ImageIsDamaged: no image, truncated, more pixels than allowed, or pixels that have no meaning as colours.
    """
    image = upright(content)
    try:
        return _rgb(image)
    except (MemoryError, ImageIsDamaged):
        raise
    except Exception as error:
        raise _damage(error) from error


def upright(content: bytes) -> Image.Image:
    """The pixels as they are stored, turned upright by the EXIF orientation.

    Raises:
        ImageIsDamaged: no image, truncated, or more pixels than allowed.
    """
    _header(content)
    try:
        with Image.open(io.BytesIO(content), formats=_formats(content)) as image:
            orientation = _orientation(image)
            image.load()
            return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
    except (MemoryError, ImageIsDamaged):
        raise
    except Exception as error:
        raise _damage(error) from error


def pixels_of(image: Image.Image, width: int, height: int) -> Pixels:
    """(3, height, width) planar pixels at the network's input size: Pillow's BILINEAR is the one definition of resizing."""
    fitted = image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(fitted, dtype=np.uint8).transpose(2, 0, 1))


def _images_inside(folder: FolderName, defect_code: str, folders: Folders) -> Iterator[FoundImage]:
    path = folders.resolve(folder)
    groups = _groups(path / GROUPS_FILE)
    masks = _masks(_below(folder, MASKS_FOLDER), path / MASKS_FOLDER, folders)
    entries = _entries(path)
    polygons = {entry.name for entry in entries if outlined_stem(entry.name, is_in_masks=False) is not None}
    for entry in entries:
        inside = _below(folder, entry.name)
        file = _resolved(inside, entry, folders)
        if file is not None and _is_image(file, entry.name):
            mask = masks.get(stem(entry.name))
            if mask is None and polygons_name(entry.name) in polygons:
                drawn = polygons_name(entry.name)
                mask = _resolved(_below(folder, drawn), path / drawn, folders)
            yield FoundImage(
                folder=inside,
                path=file,
                defect_code=defect_code,
                group=groups.get(entry.name, ""),
                has_mask=mask is not None,
                mask=mask,
            )


def _masks(folder: FolderName, path: Path, folders: Folders) -> dict[str, Path]:
    """The mask files by the stem of their image; none where the folder of masks is missing or leaves the root."""
    real = _resolved(folder, path, folders)
    if real is None or not real.is_dir():
        return {}
    masks = {}
    for entry in _entries(real):
        image = outlined_stem(entry.name, is_in_masks=True)
        file = _resolved(_below(folder, entry.name), entry, folders) if image is not None else None
        if image is not None and file is not None and file.is_file():
            masks[image] = file
    return masks


def _entries(folder: Path) -> Sequence[Path]:
    kept = (entry for entry in folder.iterdir() if is_text(entry.name) and not is_skipped(entry.name))
    return sorted(kept, key=lambda entry: entry.name)


def _below(folder: FolderName, name: str) -> FolderName:
    return FolderName(folder.root, f"{folder.path}/{name}".lstrip("/"))


def _resolved(name: FolderName, entry: Path, folders: Folders) -> Path | None:
    if not entry.is_symlink():
        return entry
    try:
        return folders.resolve(name)
    except Refusal:
        return None


def _is_image(file: Path, name: str) -> bool:
    try:
        with open_file(file) as opened:
            return image_format(opened.read(FIRST_BYTES)) is not None or has_image_name(name)
    except NoRegularFile:
        return False
    except OSError:
        return has_image_name(name)


def _groups(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    name = f"{file.parent.name}/{file.name}"
    with open_file(file) as opened:
        content = opened.read(MAXIMUM_GROUPS_BYTES + 1)
    too_large = GroupsFileIsTooLarge(file=name, rows=MAXIMUM_GROUPS_ROWS, mib=MAXIMUM_GROUPS_BYTES >> 20)
    if len(content) > MAXIMUM_GROUPS_BYTES:
        raise too_large
    groups = {}
    wrong = partial(GroupsFileIsWrong, file=name)
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""))
    try:
        if [cell.strip().lower() for cell in next(rows, [])] != ["file", "group"]:
            raise wrong(line=1)
        for row in rows:
            if row and len(row) != 2:
                raise wrong(line=rows.line_num)
            if row:
                groups[row[0].strip()] = row[1].strip()
            if len(groups) > MAXIMUM_GROUPS_ROWS:
                raise too_large
    except csv.Error as error:
        raise wrong(line=rows.line_num) from error
    return groups


def content_of(path: Path) -> bytes:
    """All of a file; of what took its name meanwhile and is none, such as a pipe, nothing is waited for.

    Raises:
        OSError
        ImageIsDamaged: it is no file, or too large.
    """
    try:
        file = open_file(path)
    except NoRegularFile:
        raise ImageIsDamaged("not a regular file") from None
    with file as opened:
        if os.fstat(opened.fileno()).st_size > MAXIMUM_BYTES:
            raise ImageIsDamaged(f"larger than {MAXIMUM_BYTES} bytes")
        return opened.read()


def _formats(content: bytes) -> tuple[str, ...]:
    found = image_format(content[:FIRST_BYTES])
    if found is None:
        raise ImageIsDamaged("neither JPEG, PNG, BMP, TIFF nor WebP")
    return (found.value,)


def _header(content: bytes) -> tuple[int, int]:
    formats = _formats(content)
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            width, height = shown_size(image.width, image.height, _orientation(image))
    except MemoryError:
        raise
    except Exception as error:
        raise _damage(error) from error
    if width * height > MAXIMUM_PIXELS or not width * height:
        raise ImageIsDamaged(f"declares {width} x {height} pixels")
    return width, height


def _damage(error: Exception) -> ImageIsDamaged:
    """In the library's words, but for those that name an object in memory: a file has the same damage each time it is read."""
    if isinstance(error, UnidentifiedImageError):
        return ImageIsDamaged("it begins as an image, but does not go on as one")
    return ImageIsDamaged(f"{type(error).__name__}: {error}")


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":
        return 1  # Pillow turns these itself, size and pixels
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - broken EXIF beside sound pixels: the image counts as upright
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8), "L").convert("RGB")
    if image.mode == "I":
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8), "L").convert("RGB")
    if image.mode == "F":
        raise ImageIsDamaged("floating-point pixels have no defined brightness")
    # Pillow would copy what is RGB already: of a photograph that takes as long as decoding it.
    return image if image.mode == "RGB" else image.convert("RGB")
