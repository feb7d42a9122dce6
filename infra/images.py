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
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from PIL import Image, ImageOps

from domain.data_paths import FolderName
from domain.image_files import (
    FIRST_BYTES,
    MAXIMUM_BYTES,
    MAXIMUM_PIXELS,
    ImageFormat,
    has_image_name,
    image_format,
    is_text,
    mask_name,
    outlined_stem,
    polygons_name,
    stem,
)
from gpu_worker.images import ImageIsDamaged, decode
from gpu_worker.masks import Area, area_of_mask, area_of_polygons
from gpu_worker.ports import FolderNotFound
from infra.bounded_looks import BoundedLooks
from infra.data_folders import CodeFolder, DataFolders, below
from infra.image_heads import Unread, look_at
from infra.image_index import index_file, open_index
from infra.roots import RealPath

THUMBNAIL_SIZES = (160, 320, 640)
"""Longer sides in pixels. Few, so that the cache holds few copies of each image."""
FORMATS_OF_BROWSERS = {ImageFormat.JPEG: "image/jpeg", ImageFormat.PNG: "image/png", ImageFormat.WEBP: "image/webp"}
VERSION = 2
"""Counts up whenever the same file would be shown otherwise."""
DECODED_AT_ONCE = 2
"""A hundred megapixels take 300 MB while they are decoded; two at a time keep a page of such images from filling the memory."""
LISTED_AT_MOST = 20_000
"""A folder of so many images is listed and sorted in a tenth of a second, on storage of this machine."""
_MASK_COLOUR = (255, 45, 85, 115)


class _ImageNotFound(LookupError):
    """There is no such file inside the data roots."""


class ShownImage(msgspec.Struct, frozen=True):
    """A file that a browser can show. `path` may lie in the cache or be the image itself, then a `RealPath`."""

    path: Path
    media_type: str


class ListedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image of a data path, or a file that only carries an image's name: `is_damaged`, without a resolution.

    `width` and `height` in pixels as people see them, `size` in bytes.
    """

    folder: FolderName
    has_mask: bool
    width: int = 0
    height: int = 0
    size: int = 0
    is_damaged: bool = False

    @property
    def name(self) -> str:
        """The file name."""
        return self.folder.path.rpartition("/")[2]


class ListedImages(msgspec.Struct, frozen=True, kw_only=True):
    """Some images of a defect code; `total` counts all of them. `is_outdated`: entries came or went since they were counted."""

    images: tuple[ListedImage, ...] = ()
    total: int = 0
    is_outdated: bool = False


class Images:
    """The images below the data roots; `cache` holds what was made of them, `indexes` what scans of large data paths left.

    All of it raises FolderDoesNotAnswer where their storage hangs.
    """

    def __init__(
        self, data_folders: DataFolders, cache: Path, indexes: Path, looks: BoundedLooks | None = None
    ) -> None:
        self._folders = data_folders
        self._cache = cache
        self._indexes = indexes
        self._looks = looks or BoundedLooks()
        self._decoding: dict[str, threading.BoundedSemaphore] = {}
        """By data root: where the storage of one hangs while it is read, the others go on."""

    def thumbnail(self, image: FolderName, size: int) -> ShownImage | None:
        """A small JPEG, made once. `size` is rounded up to one of `THUMBNAIL_SIZES`; small images are not enlarged.

        None, here and below, where the image is gone, lies outside the data roots or cannot be decoded safely.
        """
        return self._shown(image, lambda: self._thumbnail(image, size))

    def original(self, image: FolderName) -> ShownImage | None:
        """The image itself, where browsers know its format; else a PNG of it."""
        return self._shown(image, lambda: self._original(image))

    def file(self, image: FolderName) -> Path | None:
        """The file itself, whatever is in it, as a `RealPath`; None where it is gone or lies outside the data roots."""
        try:
            return self._looks.look(image.root, image, lambda: self._source(image))
        except _ImageNotFound:
            return None

    def mask_overlay(self, image: FolderName) -> ShownImage | None:
        """The defect's area in one colour, everything else transparent; None also where there is no mask."""
        return self._shown(image, lambda: self._mask_overlay(image))

    def page(self, data_path: FolderName, defect_code: str, *, offset: int, count: int) -> ListedImages:
        """Some images of a defect code in a data path, in the order of names; empty where the data path is gone.

        Large data paths are asked from the index that their scan left, others are listed. An index that is outdated is used only
        where a listing would keep the person waiting, and then it says so.
        """
        return self._looks.look(
            data_path.root, data_path, lambda: self._page(data_path, defect_code, offset=offset, count=count)
        )

    def _page(self, data_path: FolderName, defect_code: str, *, offset: int, count: int) -> ListedImages:
        try:
            found = self._indexed(data_path, defect_code, offset, count)
        except sqlite3.Error:  # locked for long, or broken: the folder itself has the answer
            found = None
        try:
            found = found or self._listed(data_path, defect_code, offset, count)
            return msgspec.structs.replace(found, images=tuple(self._with_facts(image) for image in found.images))
        except (OSError, FolderNotFound):
            return ListedImages()

    def _shown(self, image: FolderName, make: Callable[[], ShownImage | None]) -> ShownImage | None:
        try:
            return self._looks.look(image.root, image, make)
        except (_ImageNotFound, ImageIsDamaged):
            return None

    def _thumbnail(self, image: FolderName, size: int) -> ShownImage:
        side = next((known for known in THUMBNAIL_SIZES if known >= size), THUMBNAIL_SIZES[-1])
        source = self._source(image)
        return ShownImage(
            self._kept(image.root, source, f"{side}.jpg", lambda content: _thumbnail(content, side)), "image/jpeg"
        )

    def _original(self, image: FolderName) -> ShownImage:
        source = self._source(image)
        with _opened(source) as file:
            found = image_format(file.read(FIRST_BYTES))
        if found is None:
            raise ImageIsDamaged("neither JPEG, PNG, BMP, TIFF nor WebP")
        if found in FORMATS_OF_BROWSERS:
            return ShownImage(source, FORMATS_OF_BROWSERS[found])
        return ShownImage(
            self._kept(image.root, source, "original.png", lambda content: _png(decode(content))), "image/png"
        )

    def _mask_overlay(self, image: FolderName) -> ShownImage | None:
        self._source(image)
        parent, _, name = image.path.rpartition("/")
        for beside, area_of in ((mask_name(name), area_of_mask), (polygons_name(name), area_of_polygons)):
            with contextlib.suppress(_ImageNotFound):
                mask = self._source(FolderName(image.root, f"{parent}/{beside}".lstrip("/")))
                return ShownImage(self._kept(image.root, mask, "mask.png", partial(_overlay, area_of)), "image/png")
        return None

    def _indexed(self, data_path: FolderName, defect_code: str, offset: int, count: int) -> ListedImages | None:
        with open_index(index_file(self._indexes, data_path), data_path) as index:
            total = index.count(defect_code) if index else 0
            if index is None or total <= offset:
                return None
            is_outdated = index.is_outdated(defect_code, self._folders)
            if is_outdated and total <= LISTED_AT_MOST:
                return None
            images = tuple(
                ListedImage(folder=image.folder, has_mask=image.has_mask)
                for image in index.images(defect_code, offset, count)
            )
            return ListedImages(images=images, total=total, is_outdated=is_outdated)

    def _listed(self, data_path: FolderName, defect_code: str, offset: int, count: int) -> ListedImages:
        images: list[ListedImage] = []
        for folder in self._folders.code_folders(data_path):
            if folder.defect_code == defect_code:
                images += self._listed_inside(folder)
        return ListedImages(images=tuple(images[offset : offset + count]), total=len(images))

    def _listed_inside(self, folder: CodeFolder) -> list[ListedImage]:
        files = {name: path for name, path in self._folders.files_inside(folder) if is_text(name)}
        outlined = set(self._folders.masks_inside(folder))
        outlined.update(image for name in files if (image := outlined_stem(name, is_in_masks=False)) is not None)
        # Only files whose name promises nothing are opened; of 50,000 images that spares 50,000 reads.
        return [
            ListedImage(folder=below(folder.folder, name), has_mask=stem(name) in outlined)
            for name, path in sorted(files.items())
            if has_image_name(name) or _is_image(path)
        ]

    def _with_facts(self, image: ListedImage) -> ListedImage:
        """The listed image with what its head says."""
        try:
            seen = look_at(image.name, os.fspath(self._folders.resolve(image.folder)))
        except FolderNotFound:
            seen = Unread.DAMAGED
        if isinstance(seen, Unread):
            return msgspec.structs.replace(image, is_damaged=True, has_mask=False)
        return msgspec.structs.replace(image, width=seen.width, height=seen.height, size=seen.size)

    def _source(self, image: FolderName) -> RealPath:
        try:
            path = self._folders.resolve(image)
            is_file = path.is_file()
        except (OSError, FolderNotFound) as error:
            raise _ImageNotFound(str(image)) from error
        if not is_file:
            raise _ImageNotFound(str(image))
        return RealPath(path)

    def _kept(self, root: str, source: Path, kind: str, make: Callable[[bytes], bytes]) -> Path:
        """What `make` gives for the content of `source`, which lies below `root`, from the cache where it is there."""
        with _opened(source) as file:
            status = os.fstat(file.fileno())
            identity = json.dumps([VERSION, str(source), status.st_mtime_ns, status.st_size])
            name = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()
            kept = self._cache / name[:2] / f"{name[2:]}-{kind}"
            if _is_used(kept):
                return kept
            if status.st_size > MAXIMUM_BYTES:
                raise ImageIsDamaged(f"larger than {MAXIMUM_BYTES} bytes")
            with self._decoding.setdefault(root, threading.BoundedSemaphore(DECODED_AT_ONCE)):
                made = make(file.read())
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f".{kept.name}.{secrets.token_hex(4)}")
        beside.write_bytes(made)
        beside.rename(kept)  # others see the whole file or none
        return kept


def _is_used(kept: Path) -> bool:
    """Whether the file is there; notes that it was used, which most file systems do not do by themselves."""
    try:
        status = kept.stat()
        if status.st_atime < time.time() - 1800:
            os.utime(kept, ns=(time.time_ns(), status.st_mtime_ns))
    except FileNotFoundError:
        return False
    return True


def _opened(path: Path) -> BinaryIO:
    try:
        return RealPath(path).open()
    except OSError as error:
        raise _ImageNotFound(str(path)) from error


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


def _overlay(area_of: Callable[[bytes], Area], content: bytes) -> bytes:
    area = Image.fromarray(area_of(content).astype(np.uint8) * 255)
    overlay: Any = Image.new("P", area.size)
    overlay.paste(1, mask=area)
    overlay.putpalette([0, 0, 0, *_MASK_COLOUR[:3]])
    out = io.BytesIO()
    overlay.save(out, "PNG", transparency=bytes((0, _MASK_COLOUR[3])))
    return out.getvalue()
