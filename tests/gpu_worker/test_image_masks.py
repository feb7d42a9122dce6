"""Masks beside their images: those that can be laid over, and those that cannot (D-5, W-9)."""

import io
import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from domain.data_paths import FolderName
from gpu_worker import images
from gpu_worker.image_masks import mask_of, mask_pixels_of, with_mask
from gpu_worker.images import ImageIsDamaged, ReadImage, find_images, read_image
from tests.gpu_worker.workplace import ROOT, MountedFolders, paint


def png(grey: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def labelme(width: int, height: int, *corners: tuple[int, int]) -> bytes:
    shape = {"label": "spot", "shape_type": "polygon", "points": corners}
    return json.dumps({"shapes": [shape], "imageWidth": width, "imageHeight": height}).encode()


BLACK = png(np.zeros((6, 8)))


def beside_a_mask(root: Path, content: bytes, name: str = "masks/a.png") -> ReadImage:
    """An image of 8 × 6 pixels with something beside it that says where the defect is."""
    paint(root / "SPOT" / "a.jpg", seed=1, size=(8, 6))
    (root / "SPOT" / name).parent.mkdir(exist_ok=True)
    (root / "SPOT" / name).write_bytes(content)
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(root))
    return with_mask(read_image(image))


def test_a_mask_marks_pixels_of_its_image(tmp_path: Path) -> None:
    grey = np.zeros((6, 8))
    grey[1, 2:5] = 127, 128, 255
    assert np.argwhere(mask_of(beside_a_mask(tmp_path, png(grey)))).tolist() == [[1, 3], [1, 4]]


def test_polygons_mark_where_there_is_no_mask_which_goes_before_them(tmp_path: Path) -> None:
    drawn = labelme(8, 6, (1, 1), (3, 1), (3, 3), (1, 3))
    assert mask_of(beside_a_mask(tmp_path, drawn, "a.json")).sum() == 9
    assert mask_of(beside_a_mask(tmp_path, BLACK)).sum() == 0


@pytest.mark.parametrize(
    ("content", "name", "problem"),
    [
        (b"no picture", "masks/a.png", "neither JPEG, PNG"),
        (b"[]", "a.json", "Expected `object`"),
        (png(np.zeros((8, 6))), "masks/a.png", "the mask is 6 x 8, the image 8 x 6"),
        (labelme(16, 12, (1, 1), (3, 1), (3, 3)), "a.json", "the mask is 16 x 12, the image 8 x 6"),
    ],
)
def test_a_mask_that_nobody_can_lay_over_its_image_is_refused(
    tmp_path: Path, content: bytes, name: str, problem: str
) -> None:
    image = beside_a_mask(tmp_path, content, name)
    assert image.mask_checksum
    with pytest.raises(ImageIsDamaged, match=problem):
        mask_of(image)


def test_a_mask_that_changes_while_it_is_used_is_noticed(tmp_path: Path) -> None:
    image = beside_a_mask(tmp_path, BLACK)
    (tmp_path / "SPOT" / "masks" / "a.png").write_bytes(png(np.full((6, 8), 255)))
    with pytest.raises(ImageIsDamaged, match="changed while it was being used"):
        mask_of(image)


def test_of_a_damaged_image_nobody_asks_for_the_mask(tmp_path: Path) -> None:
    beside_a_mask(tmp_path, BLACK)
    (tmp_path / "SPOT" / "a.jpg").write_bytes(b"")
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path))
    assert (image.has_mask, with_mask(read_image(image)).mask_checksum) == (True, "")


def test_a_mask_that_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = beside_a_mask(tmp_path, BLACK)
    assert image.mask_checksum
    unasked = msgspec.structs.replace(image, mask_checksum="")
    monkeypatch.setattr(images, "MAXIMUM_BYTES", len(BLACK))
    assert with_mask(unasked) == image
    monkeypatch.setattr(images, "MAXIMUM_BYTES", len(BLACK) - 1)
    assert with_mask(unasked) == unasked, "larger than any picture"
    monkeypatch.undo()
    (tmp_path / "SPOT" / "masks" / "a.png").unlink()
    assert with_mask(unasked) == unasked, "gone since the folder was listed"


# D-4
def test_a_mask_outside_the_root_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    outside = paint(tmp_path / "outside" / "a.png", seed=1, size=(8, 6))
    root = tmp_path / "root"
    paint(root / "SPOT" / "a.jpg", seed=1, size=(8, 6))
    (root / "SPOT" / "masks").symlink_to(outside.parent)
    paint(root / "DOT" / "a.jpg", seed=1, size=(8, 6))
    (root / "DOT" / "masks").mkdir()
    (root / "DOT" / "masks" / "a.png").symlink_to(outside)
    images = [with_mask(read_image(image)) for image in find_images(FolderName(ROOT, ""), MountedFolders(root))]
    assert [(image.found.has_mask, image.mask_checksum) for image in images] == [(False, "")] * 2
    with pytest.raises(ImageIsDamaged, match="no mask"):
        mask_of(images[0])


def test_a_mask_is_fitted_by_the_nearest_pixel() -> None:
    fitted = mask_pixels_of(np.array([[False, True], [True, False]]), 4, 2)
    assert fitted.tolist() == [[0, 0, 1, 1], [1, 1, 0, 0]]
    assert fitted.dtype == np.uint8
    thin = np.array([[False, False, False, True, False, False, False, False]])
    assert mask_pixels_of(thin, 4, 1).tolist() == [[0, 1, 0, 0]], "a thin defect is not averaged away"


def test_nobody_waits_for_a_pipe_in_place_of_polygons(tmp_path: Path) -> None:
    paint(tmp_path / "SPOT" / "a.png", seed=1)
    os.mkfifo(tmp_path / "SPOT" / "a.json")
    (image,) = find_images(FolderName(ROOT, ""), MountedFolders(tmp_path))
    assert image.has_mask
    assert with_mask(read_image(image)).mask_checksum == ""
