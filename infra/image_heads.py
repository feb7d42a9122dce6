"""The head and the end of an image file: what a scan reads of it (D-4). Nothing is decoded, and nothing waits."""

import enum
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from domain.image_files import (
    FIRST_BYTES,
    MAXIMUM_BYTES,
    MAXIMUM_PIXELS,
    ImageFormat,
    has_image_name,
    image_format,
    is_text,
    shown_size,
)

if TYPE_CHECKING:
    from PIL import Image, ImageFile

_ORIENTATION_TAG = 0x0112
_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 273, 279, 324, 325
_END_MARKS = {ImageFormat.JPEG: b"\xff\xd9", ImageFormat.PNG: b"IEND"}
_ENDS_BYTES = (64, 64 << 10)
"""How far from the end the mark is looked for: cameras and editors append to finished files, seldom and not more than this."""


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
            if not is_text(name) or status.st_size > MAXIMUM_BYTES:
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
    from PIL import Image  # noqa: PLC0415 - every process knows where images lie, few look at one

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


def _orientation(image: "Image.Image") -> int:
    if image.format == "TIFF" or "exif" not in image.info:
        return 1  # Pillow turns a TIFF itself; and asking a PNG without EXIF for it would decode the pixels
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - broken EXIF beside sound pixels: the image counts as upright
        return 1


def _last_byte(image: "ImageFile.ImageFile") -> int:
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
