"""The mask of an image as training and prediction use it: named by its checksum, as large as its image, fitted to a network.

How a mask is read is in `gpu_worker.masks`. Shape letters: H and W = height and width in pixels.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from PIL import Image

from gpu_worker.images import ImageIsDamaged, ImageIsGone, Pixels, ReadImage, content_of
from gpu_worker.masks import Area, area_of_mask, area_of_polygons

MASK_VERSION: Final = 2
"""Counts up whenever the same mask would mark other pixels; fitted copies of an older version are then made anew."""


def with_mask(image: ReadImage) -> ReadImage:
    """The same with the checksum of its mask; a mask whose file cannot be read is as if it were not there."""
    if image.found.mask is None or image.damage:
        return image
    try:
        content = _content(image.found.mask)
    except ImageIsDamaged:
        return image
    return msgspec.structs.replace(image, mask_checksum=hashlib.sha256(content).hexdigest())


def mask_of(image: ReadImage) -> Area:
    """(H, W) where the defect is, as large as the image is shown.

    Raises:
        ImageIsDamaged: it has no mask, one that cannot be read, or one of another size, which nobody could lay over the image.
    """
    if image.found.mask is None:
        raise ImageIsDamaged("no mask")
    content = _content(image.found.mask)
    if hashlib.sha256(content).hexdigest() != image.mask_checksum:
        raise ImageIsGone("the mask changed while it was being used")
    area_HW = area_of_polygons(content) if image.found.mask.suffix == ".json" else area_of_mask(content)
    height, width = area_HW.shape
    if (width, height) != (image.width, image.height):
        raise ImageIsDamaged(f"the mask is {width} x {height}, the image {image.width} x {image.height}")
    return area_HW


def mask_pixels_of(area_HW: Area, width: int, height: int) -> Pixels:
    """(height, width) 1 where the defect is, else 0, at the network's input size: the nearest pixel, since a mask has no halves."""
    fitted = Image.fromarray(area_HW.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(fitted, dtype=np.uint8)


def _content(file: Path) -> bytes:
    try:
        return content_of(file)
    except OSError as error:
        raise ImageIsGone(str(error)) from error
