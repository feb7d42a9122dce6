"""Images of data paths as pages show them: thumbnails, originals and mask overlays, read safely and kept in a cache.

Every kept file is named by where its source lies, when it was changed and how large it is, so that a changed image is never shown
old. The cache may be emptied at any time.
"""

import contextlib
import hashlib
import io
import json
import os
import secrets
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from domain.data_paths import FolderName
from domain.image_files import (
    FIRST_BYTES,
    MAXIMUM_BYTES,
    MAXIMUM_PIXELS,
    ImageFormat,
    has_image_name,
    image_format,
    mask_name,
    polygons_name,
)
from gpu_worker.images import ImageIsDamaged, decode
from gpu_worker.ports import FolderNotFound
from infra.data_folders import CodeFolder, DataFolders
from infra.roots import is_storable

THUMBNAIL_SIZES = (160, 320, 640)
"""Longer sides in pixels. Few, so that the cache holds few copies of each image."""
FORMATS_OF_BROWSERS = {ImageFormat.JPEG: "image/jpeg", ImageFormat.PNG: "image/png", ImageFormat.WEBP: "image/webp"}
VERSION = 1
"""Counts up whenever the same file would be shown otherwise."""
MAXIMUM_POLYGON_BYTES = 64 << 20
"""LabelMe may put the whole image into its file; a larger one is none."""
DECODED_AT_ONCE = 2
"""A hundred megapixels take 300 MB while they are decoded; two at a time keep a page of such images from filling the memory."""
_MASK_COLOUR = (255, 45, 85, 115)


class _ImageNotFound(LookupError):
    """There is no such file inside the data roots."""


class ShownImage(msgspec.Struct, frozen=True):
    """A file that a browser can show. `path` may lie in the cache or be the image itself."""

    path: Path
    media_type: str


class ListedImage(msgspec.Struct, frozen=True):
    """An image of a data path, or a file that carries an image's name."""

    folder: FolderName
    name: str
    has_mask: bool


class Images:
    """The images below the data roots; `cache` holds what was made of them."""

    def __init__(self, data_folders: DataFolders, cache: Path) -> None:
        self._folders = data_folders
        self._cache = cache / "thumbnails"
        self._decoding = threading.BoundedSemaphore(DECODED_AT_ONCE)

    def thumbnail(self, image: FolderName, size: int) -> ShownImage | None:
        """A small JPEG, made once. `size` is rounded up to one of `THUMBNAIL_SIZES`; small images are not enlarged.

        None, here and below, where the image is gone, lies outside the data roots or cannot be decoded safely.
        """
        return self._shown(lambda: self._thumbnail(image, size))

    def original(self, image: FolderName) -> ShownImage | None:
        """The image itself, where browsers know its format; else a PNG of it."""
        return self._shown(lambda: self._original(image))

    def mask_overlay(self, image: FolderName) -> ShownImage | None:
        """The defect's area in one colour, everything else transparent; None also where there is no mask."""
        return self._shown(lambda: self._mask_overlay(image))

    def names(self, data_path: FolderName, defect_code: str) -> list[ListedImage]:
        """Every image of a defect code in a data path, in the order of names; empty where the data path is gone."""
        try:
            folders = self._folders.code_folders(data_path)
            return [image for folder in folders if folder.defect_code == defect_code for image in self._listed(folder)]
        except (OSError, FolderNotFound):
            return []

    def _shown(self, make: Callable[[], ShownImage | None]) -> ShownImage | None:
        try:
            return make()
        except (_ImageNotFound, ImageIsDamaged):
            return None

    def _thumbnail(self, image: FolderName, size: int) -> ShownImage:
        side = next((known for known in THUMBNAIL_SIZES if known >= size), THUMBNAIL_SIZES[-1])
        source = self._source(image)
        return ShownImage(self._kept(source, f"{side}.jpg", lambda content: _thumbnail(content, side)), "image/jpeg")

    def _original(self, image: FolderName) -> ShownImage:
        source = self._source(image)
        with _opened(source) as file:
            found = image_format(file.read(FIRST_BYTES))
        if found is None:
            raise ImageIsDamaged("neither JPEG, PNG, BMP, TIFF nor WebP")
        if found in FORMATS_OF_BROWSERS:
            return ShownImage(source, FORMATS_OF_BROWSERS[found])
        return ShownImage(self._kept(source, "original.png", lambda content: _png(decode(content))), "image/png")

    def _mask_overlay(self, image: FolderName) -> ShownImage | None:
        self._source(image)
        parent, _, name = image.path.rpartition("/")
        for beside, overlay in ((mask_name(name), _overlay_of_mask), (polygons_name(name), _overlay_of_polygons)):
            with contextlib.suppress(_ImageNotFound):
                mask = self._source(FolderName(image.root, f"{parent}/{beside}".lstrip("/")))
                return ShownImage(self._kept(mask, "mask.png", overlay), "image/png")
        return None

    def _listed(self, folder: CodeFolder) -> list[ListedImage]:
        files = {name: path for name, path in self._folders.files_inside(folder) if is_storable(name)}
        named = {name for name in files if has_image_name(name)}
        polygons = {polygons_name(name) for name in named}
        # Only files whose name promises nothing are opened; of 50,000 images that spares 50,000 reads.
        images = [name for name, path in files.items() if name in named or (name not in polygons and _is_image(path))]
        masks = self._folders.masks_inside(folder)
        return [
            ListedImage(
                FolderName(folder.folder.root, f"{folder.folder.path}/{name}".lstrip("/")),
                name,
                mask_name(name) in masks or polygons_name(name) in files,
            )
            for name in images
        ]

    def _source(self, image: FolderName) -> Path:
        try:
            path = self._folders.resolve(image)
            is_file = path.is_file()
        except (OSError, FolderNotFound) as error:
            raise _ImageNotFound(str(image)) from error
        if not is_file:
            raise _ImageNotFound(str(image))
        return path

    def _kept(self, source: Path, kind: str, make: Callable[[bytes], bytes]) -> Path:
        """What `make` gives for the content of `source`, from the cache where it is there."""
        with _opened(source) as file:
            status = os.fstat(file.fileno())
            identity = json.dumps([VERSION, str(source), status.st_mtime_ns, status.st_size])
            name = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()
            kept = self._cache / name[:2] / f"{name[2:]}-{kind}"
            if kept.is_file():
                return kept
            if status.st_size > MAXIMUM_BYTES:
                raise ImageIsDamaged(f"larger than {MAXIMUM_BYTES} bytes")
            with self._decoding:
                made = make(file.read())
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f".{kept.name}.{secrets.token_hex(4)}")
        beside.write_bytes(made)
        beside.rename(kept)  # others see the whole file or none
        return kept


def _opened(path: Path) -> io.BufferedReader:
    """A regular file; opening never waits, whatever lies there by now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _ImageNotFound(str(path)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _ImageNotFound(str(path))
    return os.fdopen(descriptor, "rb")


def _is_image(path: str) -> bool:
    try:
        with _opened(Path(path)) as file:
            return image_format(file.read(FIRST_BYTES)) is not None
    except _ImageNotFound:
        return False


def _thumbnail(content: bytes, side: int) -> bytes:
    image = _draft(content, side) or decode(content)
    image.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=88)
    return out.getvalue()


def _draft(content: bytes, side: int) -> Image.Image | None:
    """A large JPEG at a fraction of its size: its decoder leaves the rest out, which takes a tenth of the time."""
    if image_format(content[:FIRST_BYTES]) is not ImageFormat.JPEG:
        return None
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            _check_size(image.width, image.height)
            image.draft(None, (2 * side, 2 * side))
            return ImageOps.exif_transpose(image).convert("RGB")
    except (MemoryError, ImageIsDamaged):
        raise
    except Exception as error:
        raise ImageIsDamaged(f"{type(error).__name__}: {error}") from error


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > MAXIMUM_PIXELS:
        raise ImageIsDamaged(f"declares {width} x {height} pixels")


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=3)
    return out.getvalue()


def _overlay_of_mask(content: bytes) -> bytes:
    grey = np.asarray(decode(content).convert("L"))
    return _overlay(Image.fromarray(((grey > 0) if grey.max() == 1 else (grey >= 128)).astype(np.uint8) * 255))  # D-5


def _overlay_of_polygons(content: bytes) -> bytes:
    if len(content) > MAXIMUM_POLYGON_BYTES:
        raise ImageIsDamaged(f"larger than {MAXIMUM_POLYGON_BYTES} bytes")
    try:
        labels = msgspec.json.decode(content, type=_Polygons)
    except msgspec.DecodeError as error:
        raise ImageIsDamaged(str(error)) from error
    _check_size(labels.imageWidth, labels.imageHeight)
    area = Image.new("L", (labels.imageWidth, labels.imageHeight))
    draw = ImageDraw.Draw(area)
    far = 2 * max(area.size)
    for shape in labels.shapes:
        corners = [(min(max(x, -far), far), min(max(y, -far), far)) for x, y in shape.points]
        if shape.shape_type == "rectangle" and len(corners) == 2:
            (left, top), (right, bottom) = corners
            draw.rectangle((min(left, right), min(top, bottom), max(left, right), max(top, bottom)), fill=255)
        elif shape.shape_type == "polygon" and len(corners) > 2:
            draw.polygon(corners, fill=255)
    return _overlay(area)


class _Shape(msgspec.Struct):
    points: list[tuple[float, float]]
    shape_type: str = "polygon"


class _Polygons(msgspec.Struct):
    """What LabelMe writes, as far as it is drawn."""

    shapes: list[_Shape]
    imageWidth: int  # noqa: N815 - LabelMe's names
    imageHeight: int  # noqa: N815


def _overlay(area: Image.Image) -> bytes:
    overlay: Any = Image.new("P", area.size)
    overlay.paste(1, mask=area)
    overlay.putpalette([0, 0, 0, *_MASK_COLOUR[:3]])
    out = io.BytesIO()
    overlay.save(out, "PNG", transparency=bytes((0, _MASK_COLOUR[3])))
    return out.getvalue()
