"""The demo's own images: believable, the same every time, and with every kind of trouble that a real set has."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from domain.json_forms import write_json
from domain.training_parameters import read_training_parameters
from infra.demo_images import CODES, SIDE, demo_training_parameters, make_demo_images


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "training"
    make_demo_images(folder, seed=1, images_per_code=14)
    return folder


def images_of(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*/*.*"))


def opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        return image.copy()


def is_readable(file: Path) -> bool:
    try:
        opened(file)
    except (OSError, UnidentifiedImageError):
        return False
    return True


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*.*")
    }


def test_every_code_has_its_folder_of_jpeg_and_png(demo: Path) -> None:
    assert sorted(folder.name for folder in demo.iterdir()) == sorted(CODES)
    assert {file.suffix for file in images_of(demo)} == {".jpg", ".png"}
    assert all(len(list((demo / code).glob("*.*"))) >= 14 for code in CODES)


def test_the_same_seed_paints_the_same_files_and_another_seed_others(demo: Path, tmp_path: Path) -> None:
    make_demo_images(tmp_path / "again", seed=1, images_per_code=14)
    make_demo_images(tmp_path / "other", seed=2, images_per_code=14)
    assert fingerprint(tmp_path / "again") == fingerprint(demo)
    assert not set(fingerprint(tmp_path / "other").values()) & set(fingerprint(demo).values())


def test_a_set_that_exists_is_left_as_it_is(demo: Path) -> None:
    before = fingerprint(demo)
    make_demo_images(demo, seed=9, images_per_code=1)
    assert fingerprint(demo) == before


def test_defects_have_masks_where_they_are_and_good_panels_have_none(demo: Path) -> None:
    assert not list((demo / "OK" / "masks").glob("*.png"))
    for code in set(CODES) - {"OK"}:
        masks = sorted((demo / code / "masks").glob("*.png"))
        assert len(masks) == 14
        shares = [(np.asarray(opened(mask)) >= 128).mean() for mask in masks]
        assert all(0 < share < 0.6 for share in shares), code


def test_a_few_images_have_another_size_and_one_is_broken(demo: Path) -> None:
    readable = [file for file in images_of(demo) if is_readable(file)]
    assert len(images_of(demo)) - len(readable) == 1
    sizes = [opened(file).size for file in readable]
    assert 0 < sum(size != (SIDE, SIDE) for size in sizes) <= len(sizes) // 20


@pytest.mark.parametrize("image_count", [60, 720, 1360, 100_000])
def test_the_demo_parameters_pass_the_wizard_and_stay_short(image_count: int) -> None:
    parameters = demo_training_parameters(image_count, epochs=12)
    assert read_training_parameters(write_json(parameters)) == parameters
    assert parameters.classification.max_iter * parameters.classification.batch_size <= 20_000
