"""Predictions of a classifier, and the evaluation made of them. Shape letters: N = images, K = classes, C, H, W = image."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from domain.evaluation import (
    Evaluation,
    Sample,
    SampleState,
    confusion_matrix,
    macro_recall,
    overall_accuracy,
)
from domain.model_packages import NetworkInput
from gpu_worker.decoded_images import DecodedImages
from gpu_worker.images import Pixels, ReadImage

EVALUATION_BATCH: Final = 64
Scores = npt.NDArray[np.float32]


class ValidationFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one validation says. `loss` is the mean cross entropy."""

    accuracy: float
    recall: float
    loss: float

    @property
    def score(self) -> float:
        """Which weights are best: recall speaks for rare defects, accuracy for the whole."""
        return self.recall + self.accuracy


def standardized(images_NCHW: Tensor, network_input: NetworkInput) -> Tensor:
    """Images of 0..1 as the network wants them, laid out channels last."""
    mean = torch.tensor(network_input.mean, device=images_NCHW.device)[:, None, None]
    deviation = torch.tensor(network_input.deviation, device=images_NCHW.device)[:, None, None]
    return ((images_NCHW - mean) / deviation).contiguous(memory_format=torch.channels_last)


def scores_of(model: nn.Module, pixels_NCHW: Pixels, network_input: NetworkInput, device: torch.device) -> Scores:
    """(N, K) the probability of every class, in float32 on every device, so that platform and factory agree."""
    with torch.inference_mode():
        images_NCHW = torch.from_numpy(pixels_NCHW).to(device).float().div_(255)
        scores_NK: Scores = model(standardized(images_NCHW, network_input)).float().softmax(1).cpu().numpy()
    return scores_NK


def evaluate(
    model: nn.Module,
    images: DecodedImages,
    network_input: NetworkInput,
    device: torch.device,
    on_batch: Callable[[], None],
) -> Scores:
    """(N, K) the scores of all images, in batches; the model is left in the mode in which it was found."""
    was_training = model.training
    model.eval()
    scores = []
    for start in range(0, len(images), EVALUATION_BATCH):
        batch = np.arange(start, min(start + EVALUATION_BATCH, len(images)))
        scores.append(scores_of(model, images.gather(batch), network_input, device))
        on_batch()
    model.train(was_training)
    return np.concatenate(scores)


def validation_figures(scores_NK: Scores, labels: Sequence[int]) -> ValidationFigures:
    """Accuracy, macro recall and loss of scores against the truth."""
    true_N = np.array(labels, dtype=np.int64)
    confusion_KK = confusion_matrix(true_N, scores_NK.argmax(1).astype(np.int64), scores_NK.shape[1])
    log_scores_NK = torch.from_numpy(scores_NK).clamp_min(1e-12).log()
    loss = functional.nll_loss(log_scores_NK, torch.from_numpy(true_N)).item()
    return ValidationFigures(
        accuracy=overall_accuracy(confusion_KK) or 0.0, recall=macro_recall(confusion_KK) or 0.0, loss=loss
    )


def evaluation_of(
    classes: Sequence[str],
    judged: Iterable[tuple[ReadImage, npt.NDArray[np.float32]]],
    non_compliant: Iterable[ReadImage],
    damaged: Iterable[ReadImage],
) -> Evaluation:
    """The artifact behind a report: judged images with their scores, and those set aside."""
    index_of = {defect_code: index for index, defect_code in enumerate(classes)}

    def sample(image: ReadImage, state: SampleState, scores: tuple[float, ...] = (), predicted: int = -1) -> Sample:
        return Sample(
            folder=image.found.folder,
            checksum=image.checksum,
            width=image.width,
            height=image.height,
            state=state,
            true_index=index_of.get(image.found.defect_code, -1),
            predicted_index=predicted,
            scores=scores,
            has_mask=image.found.has_mask,
        )

    samples = [
        sample(image, SampleState.JUDGED, tuple(scores_K.tolist()), int(scores_K.argmax()))
        for image, scores_K in judged
    ]
    samples += [sample(image, SampleState.NON_COMPLIANT) for image in non_compliant]
    samples += [sample(image, SampleState.DAMAGED) for image in damaged]
    return Evaluation(defect_codes=tuple(classes), samples=tuple(samples))
