"""How a mask is read (D-5): the one definition for training, reports and pages. `domain.image_files` says where masks lie.

Shape letters: H = height, W = width, both in pixels of the image that the mask belongs to.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from domain.image_files import MAXIMUM_BYTES, MAXIMUM_PIXELS
from gpu_worker.images import ImageIsDamaged, upright

MAXIMUM_POLYGON_BYTES: Final = 64 << 20
"""LabelMe may put the whole image into its file; a larger one is none."""
MOST_STEPS: Final = 1_000_000_000
"""Of drawing, a second or two: each line of a polygon is compared with all of its corners, and nothing else runs meanwhile."""
_FILLED_AT_ONCE: Final = 16
LEAST_VALUE: Final = 128
"""From here on a value means defect."""
_FARTHEST: Final = float(1 << 20)
"""A corner may lie outside the image, and its edges go on inside; so far out, no edge moves by a pixel that matters. Pillow counts
places in 32 bits."""

Area = npt.NDArray[np.bool_]


def read_mask(file: Path) -> Area:
    """(H, W) where the defect is, from a PNG or from LabelMe polygons.

    Raises:
        ImageIsDamaged: the file is gone, or what it holds is no mask.
    """
    is_polygons = file.suffix == ".json"
    try:
        if file.stat().st_size > (MAXIMUM_POLYGON_BYTES if is_polygons else MAXIMUM_BYTES):
            raise ImageIsDamaged("the mask's file is too large")
        content = file.read_bytes()
    except OSError as error:
        raise ImageIsDamaged(str(error)) from error
    return area_of_polygons(content) if is_polygons else area_of_mask(content)


def area_of_mask(content: bytes) -> Area:
    """(H, W) true where the value is at least 128; where the largest value is 1, where it is not 0.

    The value of a coloured pixel is that of its strongest channel, so that a red area is one; transparency is ignored.

    Raises:
        ImageIsDamaged
    """
    values_HW = _values(upright(content))
    largest = values_HW.max(initial=0)
    if largest > np.iinfo(np.uint8).max:
        values_HW = values_HW >> 8  # 16 bits keep the upper 8, as everywhere
    area_HW: Area = values_HW > 0 if largest == 1 else values_HW >= LEAST_VALUE
    return area_HW


def area_of_polygons(content: bytes) -> Area:
    """(H, W) true inside LabelMe's polygons and rectangles; its other shapes have no area.

    Raises:
        ImageIsDamaged
    """
    if len(content) > MAXIMUM_POLYGON_BYTES:
        raise ImageIsDamaged(f"larger than {MAXIMUM_POLYGON_BYTES} bytes")
    try:
        labels = msgspec.json.decode(content, type=_Labels)
    except msgspec.DecodeError as error:
        raise ImageIsDamaged(str(error)) from error
    width, height = labels.imageWidth, labels.imageHeight
    if width < 1 or height < 1 or width * height > MAXIMUM_PIXELS:
        raise ImageIsDamaged(f"declares {width} x {height} pixels")
    area = Image.new("L", (width, height))
    draw = ImageDraw.Draw(area)
    far, steps = max(_FARTHEST, 2.0 * max(width, height)), 0.0
    for shape in labels.shapes:
        corners = [(min(max(x, -far), far), min(max(y, -far), far)) for x, y in shape.points]
        steps += _steps(corners, width, height)
        if steps > MOST_STEPS:
            raise ImageIsDamaged("its outlines would take too long to draw")
        if shape.shape_type == "rectangle" and len(corners) == 2:
            (left, top), (right, bottom) = corners
            draw.rectangle((min(left, right), min(top, bottom), max(left, right), max(top, bottom)), fill=255)
        elif shape.shape_type == "polygon" and len(corners) > 2:
            draw.polygon(corners, fill=255)
    return np.asarray(area) > 0


def _steps(corners: Sequence[tuple[float, float]], width: int, height: int) -> float:
    """About how much there is to do for an outline: on each line its corners are asked, then pixels are filled, many at once."""
    if not corners:
        return 0
    across, down = [x for x, _ in corners], [y for _, y in corners]
    lines = min(max(down), height) - max(min(down), 0) + 1
    columns = min(max(across), width) - max(min(across), 0) + 1
    return max(lines, 0) * (len(corners) + max(columns, 0) / _FILLED_AT_ONCE)


class _Shape(msgspec.Struct):
    points: list[tuple[float, float]]
    shape_type: str = "polygon"


class _Labels(msgspec.Struct):
    """What LabelMe writes, as far as it is drawn."""

    shapes: list[_Shape]
    imageWidth: int  # noqa: N815 - LabelMe's names
    imageHeight: int  # noqa: N815


def _values(image: Image.Image) -> npt.NDArray[np.int64]:
    if image.mode == "F":
        raise ImageIsDamaged("floating-point pixels have no defined value")
    if image.mode in {"1", "L"} or image.mode.startswith("I"):
        return np.asarray(image, dtype=np.int64)
    return np.asarray(np.asarray(image.convert("RGB")).max(axis=2), dtype=np.int64)
