"""How masks are read: D-5, for training as for pages."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domain.data_paths import FolderName
from gpu_worker import masks
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


def inside(corners: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels lie inside a polygon by the even-odd rule, and how far each is from its outline; worked out edge by edge."""
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    is_inside, distance = np.zeros((height, width), bool), np.full((height, width), np.inf)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (y1 > rows) != (y2 > rows)
        at = x1 + (rows - y1) * (x2 - x1) / (y2 - y1 or 1)
        is_inside ^= crosses & (columns < at)
        length = (x2 - x1) ** 2 + (y2 - y1) ** 2
        along = (((columns - x1) * (x2 - x1) + (rows - y1) * (y2 - y1)) / (length or 1)).clip(0, 1)
        distance = np.minimum(distance, np.hypot(columns - x1 - along * (x2 - x1), rows - y1 - along * (y2 - y1)))
    return is_inside, distance


@pytest.mark.parametrize("seed", range(12))
def test_a_polygon_marks_what_lies_inside_it(seed: int) -> None:  # D-5
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(20, 70, 2))
    corners = random.uniform(-10, 80, (int(random.integers(3, 8)), 2))  # beyond the image, and through themselves, too
    labels = {"imageWidth": width, "imageHeight": height, "shapes": [{"points": corners.tolist()}]}
    drawn = area_of_polygons(json.dumps(labels).encode())
    is_inside, distance = inside(corners, width, height)
    assert drawn.shape == (height, width)
    sure = distance > 2  # corners are taken as whole numbers, and on the outline both answers are right
    assert np.array_equal(drawn[sure], is_inside[sure])
    assert sure.mean() > 0.5


def test_a_polygon_without_area_marks_nothing_and_two_overlapping_ones_mark_both() -> None:  # D-5
    def drawn(*shapes: Mapping[str, object]) -> np.ndarray:
        return area_of_polygons(json.dumps({"imageWidth": 9, "imageHeight": 9, "shapes": shapes}).encode())

    assert not drawn({"points": [[1, 1], [5, 5]]}).any(), "a line"
    assert not drawn({"points": [[1, 1], [5, 5]], "shape_type": "line"}).any()
    assert not drawn({"points": [[1, 1], [5, 5], [1, 5]], "shape_type": "linestrip"}).any()
    assert not drawn({"points": [[1, 1]], "shape_type": "rectangle"}).any()
    first, second = ({"points": [[left, 1], [left + 4, 1], [left + 4, 7], [left, 7]]} for left in (0, 2))
    assert np.array_equal(drawn(first, second), drawn(first) | drawn(second))
    far = drawn({"points": [[-1e300, -1e300], [1e300, -1e300], [1e300, 1e300], [-1e300, 1e300]]})
    assert far.all(), "numbers that no drawing library can count with"


@pytest.mark.parametrize(("width", "height"), [(0, 4), (4, 0), (-4, -4), (10_001, 10_000)])
def test_polygons_of_an_impossible_image_are_none(width: int, height: int) -> None:
    with pytest.raises(ImageIsDamaged, match=f"declares {width} x {height} pixels"):
        area_of_polygons(json.dumps({"imageWidth": width, "imageHeight": height, "shapes": []}).encode())


def test_a_file_too_large_for_a_mask_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = b'{"shapes": [], "imageWidth": 2, "imageHeight": 1}'
    (tmp_path / "a.json").write_bytes(labels)
    (tmp_path / "a.png").write_bytes(grey([0, 255]))
    monkeypatch.setattr(masks, "MAXIMUM_POLYGON_BYTES", len(labels))
    monkeypatch.setattr(masks, "MAXIMUM_BYTES", (tmp_path / "a.png").stat().st_size)
    assert read_mask(tmp_path / "a.json").shape == read_mask(tmp_path / "a.png").shape == (1, 2)
    for name in ("a.json", "a.png"):
        with (tmp_path / name).open("ab") as file:
            file.write(b" ")
        with pytest.raises(ImageIsDamaged, match="too large"):
            read_mask(tmp_path / name)
    with pytest.raises(ImageIsDamaged, match="larger than"):
        area_of_polygons(labels + b" ")


def test_a_mask_is_turned_upright_as_its_image_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).save(file, "PNG", exif=exif)
    assert area_of_mask(file.getvalue()).tolist() == [[False], [True]]


def test_masks_of_floating_point_pixels_are_refused() -> None:
    file = io.BytesIO()
    Image.fromarray(np.ones((2, 2), np.float32)).save(file, "TIFF")
    with pytest.raises(ImageIsDamaged, match="floating-point"):
        area_of_mask(file.getvalue())


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
