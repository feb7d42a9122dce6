"""How masks are read: D-5, for training as for pages."""

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domain.data_paths import FolderName
from gpu_worker.images import ImageIsDamaged, find_images
from gpu_worker.masks import area_of_mask, area_of_polygons, read_mask
from tests.gpu_worker.workplace import ROOT, MountedFolders


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def grey(levels: list[int], kind: type = np.uint8) -> bytes:
    return encoded(Image.fromarray(np.array([levels], dtype=kind)))


def area(content: bytes) -> list[bool]:
    return [bool(value) for value in area_of_mask(content)[0]]


def test_the_defect_is_where_the_value_is_at_least_128() -> None:  # D-5
    assert area(grey([0, 1, 127, 128, 255])) == [False, False, False, True, True]


def test_where_the_largest_value_is_1_the_defect_is_where_it_is_not_0() -> None:  # D-5
    assert area(grey([0, 1, 0, 1])) == [False, True, False, True]
    assert area(grey([0, 0])) == [False, False]


def test_where_the_largest_value_is_2_nothing_is_a_defect() -> None:
    assert area(grey([0, 1, 2])) == [False, False, False]


def test_sixteen_bits_keep_their_upper_eight_unless_they_hold_small_values() -> None:
    assert area(grey([0, 127 << 8, 128 << 8, 65535], np.uint16)) == [False, False, True, True]
    assert area(grey([0, 1, 1], np.uint16)) == [False, True, True]


def test_masks_of_one_bit_palettes_and_colours_are_read_by_what_people_see() -> None:
    assert area(encoded(Image.fromarray(np.array([[False, True]])))) == [False, True]
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    assert area(encoded(palette)) == [False, True], "VOC's first colour"
    assert area(encoded(Image.fromarray(np.array([[[0, 0, 0], [255, 0, 0]]], dtype=np.uint8)))) == [False, True]


def test_polygons_become_the_same_kind_of_area() -> None:  # D-5
    labels = (
        b'{"imageWidth": 8, "imageHeight": 4, "shapes": [{"shape_type": "rectangle", "points": [[3, 3], [1, 0]]},'
        b'{"shape_type": "circle", "points": [[6, 0], [7, 0]]}]}'
    )
    drawn = area_of_polygons(labels)
    assert drawn.shape == (4, 8)
    assert drawn[0].tolist() == [False, True, True, True, False, False, False, False]


@pytest.mark.parametrize("content", [b"", b"{", b'{"shapes": [], "imageWidth": 60000, "imageHeight": 60000}'])
def test_what_is_no_mask_is_damaged(content: bytes, tmp_path: Path) -> None:
    for name in ("mask.png", "mask.json"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageIsDamaged):
            read_mask(tmp_path / name)
    with pytest.raises(ImageIsDamaged):
        read_mask(tmp_path / "missing.png")


def test_a_worker_finds_masks_and_polygons_as_an_inspection_counts_them(tmp_path: Path) -> None:  # D-5
    folder = tmp_path / "TPFIP"
    (folder / "masks").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png", "d.png"):
        (folder / name).write_bytes(grey([0, 255]))
    (folder / "masks" / "a.png").write_bytes(grey([0, 255]))
    (folder / "a.json").write_bytes(b'{"shapes": [], "imageWidth": 2, "imageHeight": 1}')
    (folder / "b.json").write_bytes(b'{"shapes": [], "imageWidth": 2, "imageHeight": 1}')
    (tmp_path.parent / "secret.png").write_bytes(grey([255, 255]))
    (folder / "masks" / "d.png").symlink_to(tmp_path.parent / "secret.png")
    found = {image.name: image for image in find_images(FolderName(ROOT, "TPFIP"), MountedFolders(tmp_path))}
    assert {name: image.has_mask for name, image in found.items()} == {
        "a.png": True,
        "b.png": True,
        "c.png": False,
        "d.png": False,
    }
    drawn, polygons = found["a.png"].mask, found["b.png"].mask
    assert drawn is not None
    assert polygons is not None
    assert read_mask(drawn).tolist() == [[False, True]], "a drawn mask comes before polygons"
    assert read_mask(polygons).tolist() == [[False, False]]


def outlined(width: int, height: int, *outlines: Sequence[Sequence[float]], kind: str = "polygon") -> bytes:
    shapes = [{"points": points, "shape_type": kind} for points in outlines]
    return json.dumps({"shapes": shapes, "imageWidth": width, "imageHeight": height}).encode()


@pytest.mark.parametrize(
    "content",
    [
        outlined(10_000, 10_000, [[float(at % 7), at / 10] for at in range(110_000)]),
        outlined(1, 100_000_000, [[0, 0], [1, 100_000_000]] * 6),
        outlined(10_000, 10_000, *[[[0, 0], [10_000, 10_000]]] * 200, kind="rectangle"),
        outlined(10_000, 10_000, *[[[-1e300, -1e300], [1e300, 0], [1e300, 1e300]]] * 200),
    ],
    ids=["corners without end", "a tall strip", "many that cover all", "many that reach beyond"],
)
def test_outlines_that_would_take_for_ever_to_draw_are_no_mask(content: bytes) -> None:
    with pytest.raises(ImageIsDamaged, match="too long to draw"):
        area_of_polygons(content)


def test_a_careful_outline_on_a_line_scan_is_drawn() -> None:
    circle = [[3000 + 2000 * math.cos(at / 500), 3000 + 2000 * math.sin(at / 500)] for at in range(3142)]
    drawn = area_of_polygons(outlined(6000, 6000, circle, [], [[5.0, 5.0]]))
    assert drawn.sum() == pytest.approx(math.pi * 2000**2, rel=0.01)
