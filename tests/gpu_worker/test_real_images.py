"""One pass over real images, where they lie beside the checkout: found, read, decoded, split, and learnt from for a few steps."""

import csv
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from domain.messages import ManifestEntry, Resources, StageFinished, TrainingSucceeded
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.training import train
from tests.conftest import CHECKOUT
from tests.gpu_worker.workplace import MountedFolders, Workplace, an_order

TILES = CHECKOUT.parent / "shared" / "data" / "magnetic-tile"


@pytest.mark.skipif(not TILES.is_dir(), reason=f"no real images in {TILES}")
def test_real_tiles_are_split_by_part_and_trained_on(tmp_path: Path) -> None:
    codes = ("MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven")  # the 952 good ones would take a minute
    place = Workplace(tmp_path)
    job = replace(place.job(), folders=MountedFolders(TILES))
    order = an_order(codes=codes, max_iter=2, data_paths=codes, resolution_screening=False)
    train(order, Resources(), job, TrainingSettings(precision=Precision.FLOAT32))
    screening, split, _ = place.all(StageFinished)
    assert (screening.image_count, screening.damaged_count) == (392, 0)
    part_of = {}
    for code in codes:
        with (TILES / code / "groups.csv").open(newline="") as file:
            part_of.update({f"{code}/{row['file']}": row["group"] for row in csv.DictReader(file)})
    sides: dict[str, set[str]] = {}
    for line in place.content(split.manifest).splitlines():
        entry = msgspec.json.decode(line, type=ManifestEntry)
        sides.setdefault(part_of[entry.path], set()).add(entry.split)
    assert all(len(side) == 1 for side in sides.values())
    figures = place.the(TrainingSucceeded).figures
    assert {defect.defect_code for defect in figures.defects if defect.sample_count} == set(codes)
    assert 0.12 < figures.sample_count / 392 < 0.28
