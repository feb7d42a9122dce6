"""The stages before a training, asked directly: which images count, which size is the rule, which side each takes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from domain.data_paths import FolderName
from domain.model_packages import ResolutionRule
from domain.training_parameters import SgdParameters
from gpu_worker.image_masks import mask_of, mask_pixels_of
from gpu_worker.images import FoundImage, ReadImage, decode_file, pixels_of
from gpu_worker.preprocessing import NothingToValidate, Prepared, find_all, most_frequent_size, prepare, screen
from tests.gpu_worker.workplace import ROOT, Workplace, an_order, paint, paint_codes, paint_defects

SEGMENTING = SgdParameters(base_lr=0.02, batch_size=4, max_iter=1)


def of_sizes(*sizes: tuple[int, int]) -> list[ReadImage]:
    found = FoundImage(folder=FolderName(ROOT, "OK/a.png"), path=Path(), defect_code="OK")
    return [ReadImage(found=found, width=width, height=height) for width, height in sizes]


# W-10
@pytest.mark.parametrize(
    ("sizes", "rule"),
    [
        ([(640, 480), (640, 480), (2000, 2000)], (640, 480)),
        ([(640, 480), (2000, 2000)], (2000, 2000)),  # equally frequent: the largest
        ([(100, 400), (400, 100), (200, 200)], (400, 100)),  # equally large, too: one of them, the same each time
        ([(200, 200), (400, 100), (100, 400)], (400, 100)),
    ],
)
def test_the_most_frequent_size_is_the_rule_and_of_several_the_largest(
    sizes: list[tuple[int, int]], rule: tuple[int, int]
) -> None:
    assert most_frequent_size(of_sizes(*sizes)) == ResolutionRule(exact_sizes=(rule,))


def test_without_any_image_there_is_no_rule() -> None:
    assert most_frequent_size([]).is_empty


# W-10
def test_an_image_that_stands_is_no_image_that_lies(tmp_path: Path) -> None:
    for code in ("OK", "SCRATCH", "SPOT"):
        for number in range(2):
            paint(tmp_path / "images" / code / f"{number}.png", seed=number, size=(50, 40))
    paint(tmp_path / "images" / "OK" / "turned.png", seed=9, size=(40, 50))
    screening = screen(an_order(), Workplace(tmp_path).job())
    assert screening.resolution_rule == ResolutionRule(exact_sizes=((50, 40),))
    assert [image.found.name for image in screening.non_compliant] == ["turned.png"]
    assert len(screening.compliant) == 6


# D-4, W-9
def test_an_image_that_turns_out_to_be_damaged_shifts_no_other_to_its_place(tmp_path: Path) -> None:
    """Else every image after it would be learnt as the one before it, with that one's code and mask."""
    paint_defects(tmp_path / "images", count=2)
    torn = tmp_path / "images" / "OK" / "000-torn.jpg"  # the first of all
    torn.write_bytes(paint(torn, seed=1, size=(64, 64)).read_bytes()[:700])
    screening = screen(an_order(segmentation=SEGMENTING), Workplace(tmp_path).job())
    assert [image.found.name for image in screening.damaged] == [torn.name]
    assert screening.segmentation is not None
    assert len(screening.compliant) == 6
    for index, image in enumerate(screening.compliant):
        place, whole = np.array([index]), decode_file(image)
        assert np.array_equal(screening.decoded.gather(place)[0], pixels_of(whole, 32, 32))
        assert np.array_equal(screening.segmentation.decoded.gather(place)[0], pixels_of(whole, 64, 64))
        assert np.array_equal(screening.segmentation.masks.gather(place)[0], mask_pixels_of(mask_of(image), 64, 64))


# W-10
def test_files_that_are_no_images_make_no_rule_however_many_they_are(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images", count=2)
    for number in range(9):
        (tmp_path / "images" / "OK" / f"empty-{number}.png").touch()
    screening = screen(an_order(), Workplace(tmp_path).job())
    assert screening.resolution_rule == ResolutionRule(exact_sizes=((40, 40),))
    assert (len(screening.compliant), len(screening.damaged)) == (6, 9)


def test_an_image_below_two_data_paths_counts_once(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images", count=2)
    place = Workplace(tmp_path)
    paths = [FolderName(ROOT, path) for path in ("SPOT", "", "OK")]
    found = [image.folder.path for image in find_all(paths, place.job())]
    assert found == [f"{code}/{number:03}.png" for code in ("SPOT", "OK", "SCRATCH") for number in range(2)]


def sides(prepared: Prepared) -> Counter[tuple[str, bool, bool]]:
    """How many images of each code, with and without a mask, are on each side."""
    images = zip(prepared.screening.compliant, prepared.validates, strict=True)
    return Counter((image.found.defect_code, bool(image.mask_checksum), validates) for image, validates in images)


# W-8, W-9
@pytest.mark.parametrize("seed", range(4))
def test_of_each_code_a_share_of_those_with_and_of_those_without_a_mask_validates(tmp_path: Path, seed: int) -> None:
    paint_defects(tmp_path / "images", count=12)
    for number in range(4):
        for code in ("OK", "SCRATCH", "SPOT"):
            (tmp_path / "images" / code / "masks" / f"{number:03}.png").unlink()
    order = an_order(segmentation=SEGMENTING, split_ratio=0.75, seed=seed)
    prepared = prepare(order, Workplace(tmp_path).job())
    assert sides(prepared) == {
        (code, has_mask, validates): count
        for code in ("OK", "SCRATCH", "SPOT")
        for (has_mask, validates), count in {
            (True, True): 2,
            (True, False): 6,
            (False, True): 1,
            (False, False): 3,
        }.items()
    }
    assert len(prepared.with_masks(validation=True)) == 6
    assert len(prepared.with_masks(validation=False)) == 18


# W-8
def test_the_ratio_and_the_seed_of_the_order_decide_the_split(tmp_path: Path) -> None:
    paint_codes(tmp_path / "images", count=10)
    job = Workplace(tmp_path).job()
    split = {
        (ratio, seed): prepare(an_order(split_ratio=ratio, seed=seed), job).validates
        for ratio in (0.5, 0.9)
        for seed in (1, 2)
    }
    assert {key: sum(validates) for key, validates in split.items()} == {
        (0.5, 1): 15,
        (0.5, 2): 15,
        (0.9, 1): 3,
        (0.9, 2): 3,
    }
    assert split[0.5, 1] != split[0.5, 2]


# W-3
def test_a_label_is_the_place_of_the_code_in_the_list_not_in_the_alphabet(tmp_path: Path) -> None:
    codes = ("SPOT", "OK", "SCRATCH")
    paint_codes(tmp_path / "images", count=2)
    prepared = prepare(an_order(codes=codes, split_ratio=0.5), Workplace(tmp_path).job())
    assert [codes[label] for label in prepared.labels] == [
        image.found.defect_code for image in prepared.screening.compliant
    ]
    pixels = prepared.screening.decoded.gather(np.arange(6)).mean(axis=(1, 2, 3))
    levels = {code: pixels[[label == codes.index(code) for label in prepared.labels]].mean() for code in codes}
    assert sorted(levels, key=lambda code: levels[code]) == ["OK", "SPOT", "SCRATCH"]  # as they were painted


# W-4, W-8
def test_special_codes_alone_validate_no_classifier(tmp_path: Path) -> None:
    codes = ("OK", "SCRATCH", "TSFAS")
    paint_defects(tmp_path / "images", count=3, codes=codes)
    for code in codes[:2]:
        rows = [f"{number:03}.png,one part of {code}" for number in range(3)]
        (tmp_path / "images" / code / "groups.csv").write_text("\n".join(["file,group", *rows]))
    order = an_order(codes=codes, class_count=2, segmentation=SEGMENTING)
    with pytest.raises(NothingToValidate):
        prepare(order, Workplace(tmp_path).job())
