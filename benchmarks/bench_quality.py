"""What a short training learns on real images: IoU of each code on parts that it has never seen.

The figures are low because the training is short; they are there to see whether a change makes learning better or worse.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker sets it

import msgspec

from benchmarks.harness import Bench, Row, bench
from domain.messages import Resources, TrainingSucceeded
from domain.model_packages import NetworkInput
from domain.training_parameters import Augmentation, SgdParameters
from gpu_worker.settings import TrainingSettings
from gpu_worker.training import train
from tests.gpu_worker.workplace import MountedFolders, Workplace, an_order

TILES = Path(__file__).parents[2] / "shared" / "data" / "magnetic-tile"
CODES = ("MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven")
SIDE = 192
ITERATIONS = 200
"""Some minutes on two cores."""
THREADS = 2


@bench
def quality(_: Bench) -> Iterator[Row]:
    """A segmentation from nothing; its tiles are split by groups.csv, so that no tile stands on both sides."""
    if not TILES.is_dir():
        print(f"no real images in {TILES}: the quality of a segmentation is not measured")
        return
    with tempfile.TemporaryDirectory() as name:
        place = Workplace(Path(name))
        job = replace(place.job(cpu_cores=THREADS), folders=MountedFolders(TILES))
        order = an_order(
            codes=CODES,
            max_iter=1,
            data_paths=CODES,
            segmentation=SgdParameters(base_lr=0.05, batch_size=8, max_iter=ITERATIONS),
            augmentations=(Augmentation.FLIPPING, Augmentation.SCALING, Augmentation.COLOR_ENHANCEMENT),
            resolution_screening=False,
        )
        assert order.segmentation is not None
        at_side = msgspec.structs.replace(order.segmentation, input=NetworkInput(width=SIDE, height=SIDE))
        train(msgspec.structs.replace(order, segmentation=at_side), Resources(), job, TrainingSettings())
        figures = place.the(TrainingSucceeded).figures
    for defect in figures.defects:
        yield Row(name=f"IoU of {defect.defect_code}, {ITERATIONS} iterations", figure=defect.iou or 0.0, unit="share")
    yield Row(name=f"mean IoU, {ITERATIONS} iterations", figure=figures.iou or 0.0, unit="share")
