"""The figures of a validation, and networks that are only looked at."""

import numpy as np
import pytest
import sklearn.metrics as reckoned  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from domain.evaluation_figures import iou_of
from domain.model_packages import NetworkInput
from gpu_worker.decoded_images import DecodedImages
from gpu_worker.metrics import evaluate, validation_figures
from gpu_worker.segmentation import segmentation_figures, segmentation_loss

CPU = torch.device("cpu")
INPUT = NetworkInput(width=8, height=6, mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0))
COUNT = 37
"""More than two batches, and the last one is not full."""


def decoded(rows: np.ndarray) -> DecodedImages:
    return DecodedImages([rows], [(0, row) for row in range(len(rows))])


@pytest.mark.parametrize("seed", range(5))
def test_the_figures_of_a_validation_are_those_of_scikit_learn_and_torch(seed: int) -> None:  # T-5
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(0, 3, (50, 4)).astype(np.float32))
    labels = random.integers(0, 3, 50)  # the last class shows nowhere
    figures = validation_figures(logits.softmax(1).numpy(), labels.tolist())
    foretold = logits.argmax(1).numpy()
    assert figures.accuracy == pytest.approx(reckoned.accuracy_score(labels, foretold))
    recall = reckoned.recall_score(labels, foretold, labels=[0, 1, 2], average="macro")
    assert figures.recall == pytest.approx(recall)
    assert figures.loss == pytest.approx(nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item(), rel=1e-5)
    assert figures.score == pytest.approx((figures.accuracy or 0) + recall)


def test_a_class_that_was_ruled_out_has_a_large_loss_and_no_infinite_one() -> None:
    figures = validation_figures(np.array([[1.0, 0.0]], np.float32), [1])
    assert 20 < figures.loss < 30


class Brightness(nn.Module):
    """Says of each image, or of each pixel, how bright it is; its normalisation would notice whether it learns."""

    def __init__(self, *, of_pixels: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.of_pixels = of_pixels

    def forward(self, images_BCHW: Tensor) -> Tensor:
        seen: Tensor = self.norm(images_BCHW).mean(1, keepdim=True) * torch.tensor([0.0, 9.0, 14.0])[:, None, None]
        seen = seen - torch.tensor([0.0, 3.0, 6.0])[:, None, None]
        return seen if self.of_pixels else seen.mean((2, 3))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_network_that_is_only_looked_at_stays_as_it_was_and_answers_in_order(threads: int) -> None:
    torch.set_num_threads(threads)
    pixels = np.random.default_rng(1).integers(0, 256, (COUNT, 3, 6, 8), np.uint8)
    model = Brightness(of_pixels=False).train()
    before = [buffer.clone() for buffer in model.buffers()]
    looks: list[None] = []
    scores = evaluate(model, decoded(pixels), INPUT, CPU, lambda: looks.append(None))
    assert model.training
    assert all(torch.equal(one, other) for one, other in zip(model.buffers(), before, strict=True))
    assert len(looks) == 3
    with torch.inference_mode():
        one_by_one = [model.eval()(torch.from_numpy(one[None]) / 255).softmax(1)[0].numpy() for one in pixels]
    np.testing.assert_allclose(scores, one_by_one, rtol=1e-5)
    assert evaluate(model, decoded(pixels), INPUT, CPU, lambda: None).tobytes() == scores.tobytes()
    assert not model.training


@pytest.mark.parametrize("threads", [1, 3])
def test_the_iou_of_a_validation_is_counted_pixel_by_pixel_over_all_batches(threads: int) -> None:  # R-1, T-5
    torch.set_num_threads(threads)
    random = np.random.default_rng(2)
    pixels = random.integers(0, 256, (COUNT, 3, 6, 8), np.uint8)
    masks = (random.random((COUNT, 6, 8)) < 0.4).astype(np.uint8)
    labels = [number * 7 % 2 for number in range(COUNT)]
    model = Brightness(of_pixels=True).train()
    before = [buffer.clone() for buffer in model.buffers()]
    figures = segmentation_figures(model, decoded(pixels), decoded(masks), labels, INPUT, CPU, 2, lambda: None)
    assert model.training
    assert all(torch.equal(one, other) for one, other in zip(model.buffers(), before, strict=True))

    with torch.inference_mode():
        logits = model.eval()(torch.from_numpy(pixels) / 255)
    foretold = logits.argmax(1).numpy()
    marked, predicted, common = ([0, 0] for _ in range(3))
    for number in range(COUNT):
        for row in range(6):
            for column in range(8):
                true = 1 + labels[number] if masks[number, row, column] else 0
                said = int(foretold[number, row, column])
                for code in (1, 2):
                    marked[code - 1] += true == code
                    predicted[code - 1] += said == code
                    common[code - 1] += true == said == code
    assert min(common) > 0
    ious = [both / (one + other - both) for one, other, both in zip(marked, predicted, common, strict=True)]
    assert figures.code_ious == pytest.approx(ious)
    assert figures.iou == figures.score == pytest.approx(sum(ious) / 2)
    assert iou_of(np.array(marked), np.array(predicted), np.array(common)).tolist() == pytest.approx(ious)
    truth = torch.from_numpy(masks).long() * (1 + torch.tensor(labels))[:, None, None]
    losses = [
        segmentation_loss(logits[start : start + 16], truth[start : start + 16]).item() * len(truth[start : start + 16])
        for start in range(0, COUNT, 16)
    ]
    assert figures.loss == pytest.approx(sum(losses) / COUNT, rel=1e-5)
