"""Keeping images apart for a question bank."""

from pathlib import Path

import pytest
from PIL import Image

from domain.data_paths import FolderName
from gpu_worker.images import find_images
from infra.data_folders import DataFolders
from infra.held_out import hold_out


@pytest.fixture
def folders(tmp_path: Path) -> DataFolders:
    """Two codes of 20 images; those of TTMUD show ten parts, two images each, and have masks."""
    for code in ("TPFIP", "TTMUD"):
        (tmp_path / "own" / code / "masks").mkdir(parents=True)
        for number in range(20):
            colour = (number * 12, 40 if code == "TPFIP" else 200, number)
            Image.new("RGB", (8, 8), colour).save(tmp_path / "own" / code / f"{number:02d}.png")
    for number in range(20):
        Image.new("L", (8, 8), 255).save(tmp_path / "own" / "TTMUD" / "masks" / f"{number:02d}.png")
    rows = "".join(f"{number:02d}.png,part-{number // 2}\n" for number in range(20))
    (tmp_path / "own" / "TTMUD" / "groups.csv").write_text(f"file,group\n{rows}")
    (tmp_path / "state").mkdir()
    return DataFolders({"own": tmp_path / "own", "data": tmp_path / "state"})


def test_every_image_goes_to_one_side_and_every_code_to_both(folders: DataFolders, tmp_path: Path) -> None:
    counts = hold_out(FolderName("own", ""), folders, tmp_path / "state")
    assert sum(counts) == 40
    sides = [find_images(FolderName("data", side), folders) for side in ("training", "question-bank")]
    assert tuple(map(len, sides)) == counts
    names = [{(image.defect_code, image.name) for image in side} for side in sides]
    assert not names[0] & names[1]
    assert all({code for code, _ in side} == {"TPFIP", "TTMUD"} for side in names)
    assert 6 <= counts[1] <= 10


def test_images_of_one_part_stay_together_and_keep_their_group_and_mask(folders: DataFolders, tmp_path: Path) -> None:
    hold_out(FolderName("own", ""), folders, tmp_path / "state")
    parts = []
    for side in ("training", "question-bank"):
        images = [image for image in find_images(FolderName("data", side), folders) if image.defect_code == "TTMUD"]
        assert all(image.has_mask for image in images)
        parts.append({image.group for image in images})
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == 10


def test_a_second_time_changes_nothing(folders: DataFolders, tmp_path: Path) -> None:
    first = hold_out(FolderName("own", ""), folders, tmp_path / "state")
    assert hold_out(FolderName("own", ""), folders, tmp_path / "state") == first
    assert len(find_images(FolderName("data", "question-bank"), folders)) == first[1]
