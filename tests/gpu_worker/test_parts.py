"""What each network of a training learns from, against what the files say."""

from pathlib import Path

import msgspec
import numpy as np
import torch
from PIL import Image

from domain.messages import SegmentationOrder
from domain.model_packages import NetworkInput
from domain.training_parameters import SgdParameters
from gpu_worker.parts import parts_of
from gpu_worker.preprocessing import prepare
from tests.gpu_worker.workplace import Workplace, an_order, paint_defects

CODES = ("SPOT", "OK", "TSFAS")
CLASSIFYING = NetworkInput(width=64, height=32, mean=(0.2, 0.3, 0.5), deviation=(0.5, 0.4, 0.3))
SEGMENTING = NetworkInput(width=32, height=96, mean=(0.6, 0.1, 0.4), deviation=(0.2, 0.6, 0.7))
"""Neither is square, nor standardised as usual, nor alike in any channel, nor like the other."""


def fitted(file: Path, size: NetworkInput) -> np.ndarray:
    with Image.open(file) as image:
        pixels = np.asarray(image.resize((size.width, size.height), Image.Resampling.BILINEAR)) / 255
    return ((pixels - size.mean) / size.deviation).transpose(2, 0, 1)


# W-3, W-4, I-6
def test_each_network_learns_from_its_own_images_as_its_input_says_and_their_codes(tmp_path: Path) -> None:
    paint_defects(tmp_path / "images", count=4, codes=CODES)
    (tmp_path / "images" / "OK" / "masks" / "001.png").unlink()
    learning = SgdParameters(base_lr=0.01, batch_size=16, max_iter=1)
    order = msgspec.structs.replace(
        an_order(codes=CODES, class_count=2, batch_size=16, split_ratio=0.5, segmentation=learning),
        input=CLASSIFYING,
        segmentation=SegmentationOrder(network="UNet-ResNet18", input=SEGMENTING),
    )
    prepared = prepare(order, Workplace(tmp_path).job())
    seen = {}
    for part, size in zip(parts_of(order, prepared), (CLASSIFYING, SEGMENTING), strict=True):
        batches = part.batches(torch.device("cpu"))
        chosen = batches.chosen(0)
        images, truth = batches.make(batches.fetch(chosen))
        masked = truth.ndim > 1
        learnt = prepared.with_masks(validation=False) if masked else prepared.of_classes(validation=False)
        names = [prepared.screening.compliant[learnt[index]].found.folder.path for index in chosen.indices]
        seen[part.part] = {name.partition("/")[0] for name in names}
        files = [tmp_path / "images" / name for name in names]
        np.testing.assert_allclose(images, np.stack([fitted(file, size) for file in files]), atol=1e-4)
        labels = [CODES.index(file.parent.name) for file in files]
        if not masked:
            assert truth.tolist() == labels
            continue
        for shown, label, file in zip(truth, labels, files, strict=True):
            with Image.open(file.parent / "masks" / file.name) as mask:
                marked = np.asarray(mask.resize((size.width, size.height), Image.Resampling.NEAREST)) > 0
            assert np.array_equal(shown, marked * (1 + label))
    assert list(seen.values()) == [{"SPOT", "OK"}, set(CODES)]
