"""Predictions of a classifier, and the evaluation made of them. Shape letters: N = images, K = classes, C, H, W = image."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from domain.evaluation import Evaluation, Sample, SampleState, Segmented
from domain.evaluation_figures import confusion_matrix, macro_recall, overall_accuracy
from domain.model_packages import NetworkInput
from gpu_worker.batch_threads import JUDGED_BATCH, Indices, answered_by_batch
from gpu_worker.decoded_images import DecodedImages
from gpu_worker.images import Pixels, ReadImage

GPU_BATCH: Final = 64
MOST_OVERLAY_BYTES: Final = 32 << 20
"""So much of predicted masks is kept for people with a report, those of misjudged images first."""
Scores = npt.NDArray[np.float32]


class ValidationFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one validation says. The weights of the highest `score` are the best; a figure that a network does not have is None."""

    score: float
    loss: float
    accuracy: float | None = None
    recall: float | None = None
    iou: float | None = None
    code_ious: tuple[float | None, ...] = ()


class Judged(NamedTuple):
    """An image with the (K,) `scores` of the classifier and, where the model segments, what was seen; `special` is the index of the
    special code that it is given, if any.
    """

    image: ReadImage
    scores: npt.NDArray[np.float32]
    segmented: Segmented | None = None
    special: int | None = None


def standardized(images_NCHW: Tensor, network_input: NetworkInput) -> Tensor:
    """Images of 0..1 as the network wants them, laid out channels last."""
    mean_C11, deviation_C11 = _mean_and_deviation(network_input, images_NCHW.device)
    return ((images_NCHW - mean_C11) / deviation_C11).contiguous(memory_format=torch.channels_last)


@cache  # carrying them to a GPU for every batch would make it wait
def _mean_and_deviation(network_input: NetworkInput, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, deviation = (
        torch.tensor(one, device=device)[:, None, None] for one in (network_input.mean, network_input.deviation)
    )
    return mean, deviation


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

    def judge(batch: Indices) -> Scores:
        return scores_of(model, images.gather(batch), network_input, device)

    batch_size = JUDGED_BATCH if device.type == "cpu" else GPU_BATCH
    with answered_by_batch(judge, len(images), device, batch_size=batch_size) as answers:
        for scores_of_batch in answers:
            scores.append(scores_of_batch)
            on_batch()
    model.train(was_training)
    return np.concatenate(scores)


def validation_figures(scores_NK: Scores, labels: Sequence[int]) -> ValidationFigures:
    """Accuracy, macro recall and mean cross entropy of scores against the truth.

    Their score: recall speaks for rare defects, accuracy for the whole.
    """
    true_N = np.array(labels, dtype=np.int64)
    confusion_KK = confusion_matrix(true_N, scores_NK.argmax(1).astype(np.int64), scores_NK.shape[1])
    log_scores_NK = torch.from_numpy(scores_NK).clamp_min(1e-12).log()
    loss = functional.nll_loss(log_scores_NK, torch.from_numpy(true_N)).item()
    accuracy, recall = overall_accuracy(confusion_KK) or 0.0, macro_recall(confusion_KK) or 0.0
    return ValidationFigures(score=recall + accuracy, loss=loss, accuracy=accuracy, recall=recall)


def evaluation_of(
    defect_codes: Sequence[str],
    judged: Iterable[Judged],
    non_compliant: Iterable[ReadImage],
    damaged: Iterable[ReadImage],
) -> Evaluation:
    """The artifact behind a report: judged images with their scores, and those set aside; `defect_codes` begin with the classes."""
    index_of = {defect_code: index for index, defect_code in enumerate(defect_codes)}

    def sample(
        image: ReadImage,
        state: SampleState,
        scores: tuple[float, ...] = (),
        predicted: int = -1,
        segmented: Segmented | None = None,
    ) -> Sample:
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
            segmented=segmented,
        )

    samples = [
        sample(
            image,
            SampleState.JUDGED,
            tuple(scores_K.tolist()),
            int(scores_K.argmax()) if special is None else special,
            segmented,
        )
        for image, scores_K, segmented, special in judged
    ]
    samples += [sample(image, SampleState.NON_COMPLIANT) for image in non_compliant]
    samples += [sample(image, SampleState.DAMAGED) for image in damaged]
    return Evaluation(defect_codes=tuple(defect_codes), samples=with_bounded_overlays(samples))


def with_bounded_overlays(samples: Sequence[Sample], most_bytes: int = MOST_OVERLAY_BYTES) -> tuple[Sample, ...]:
    """The same samples in the same order; of the overlays as many as fit, those of misjudged images first."""
    kept = list(samples)
    left = most_bytes
    for index in sorted(range(len(kept)), key=lambda index: kept[index].true_index == kept[index].predicted_index):
        sample = kept[index]
        if sample.segmented is None or not sample.segmented.overlay:
            continue
        if len(sample.segmented.overlay) <= left:
            left -= len(sample.segmented.overlay)
        else:
            without = msgspec.structs.replace(sample.segmented, overlay=b"")
            kept[index] = msgspec.structs.replace(sample, segmented=without)
    return tuple(kept)
