"""One pass over real images, where they lie beside the checkout: found, read, decoded, split, and learnt from for a few steps."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from domain.evaluation import Evaluation
from domain.messages import ManifestEntry, Resources, StageFinished, TrainingSucceeded
from domain.training_parameters import Augmentation, SgdParameters
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


@pytest.mark.skipif(not TILES.is_dir(), reason=f"no real images in {TILES}")
def test_the_masks_of_real_tiles_are_learnt_from(tmp_path: Path) -> None:
    codes = (
        "MT_Break",
        "MT_Fray",
        "MT_Uneven",
    )  # defects that cover more than some dots; the last one as a special code
    place = Workplace(tmp_path)
    job = replace(place.job(), folders=MountedFolders(TILES))
    order = an_order(
        codes=codes,
        class_count=2,
        max_iter=1,
        data_paths=codes,
        resolution_screening=False,
        segmentation=SgdParameters(base_lr=0.02, batch_size=8, max_iter=12),
        augmentations=(Augmentation.FLIPPING,),
    )
    train(order, Resources(), job, TrainingSettings(precision=Precision.FLOAT32))
    assert place.all(StageFinished)[0].unmasked_count == 0  # a mask may be black: four of MT_Uneven are
    lines = [json.loads(line) for line in place.content(place.the(TrainingSucceeded).losses).splitlines()]
    losses = [line["loss"] for line in lines if line["part"] == "segmentation"]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    figures = place.the(TrainingSucceeded).figures
    assert [defect.defect_code for defect in figures.defects if defect.iou is not None] == list(codes)
    evaluation = msgspec.msgpack.decode(place.content(place.the(TrainingSucceeded).evaluation), type=Evaluation)
    marked = dict.fromkeys(codes, 0)
    for sample in evaluation.samples:
        assert sample.segmented is not None
        marked[codes[sample.true_index]] += sample.segmented.marked_pixels or 0
    assert all(marked.values())
