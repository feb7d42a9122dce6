"""The networks that a training trains one after the other, each with its own parameters: what the loop asks of them.

Shape letters: B = batch, N = images, K = outputs, H and W = height and width of an image.
"""

from collections.abc import Callable
from typing import Final, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from domain.artifacts import Artifact
from domain.messages import LossPart, SegmentationOrder, TrainingOrder
from domain.model_packages import NetworkInput
from domain.training_parameters import SgdParameters
from gpu_worker.batches import Batches
from gpu_worker.metrics import ValidationFigures, evaluate, validation_figures
from gpu_worker.preprocessing import Prepared, SegmentationImages
from gpu_worker.segmentation import FEWEST_SEGMENTED, segmentation_figures, segmentation_loss
from gpu_worker.team import ALONE, FEWEST_NORMALIZED, Team

LABEL_SMOOTHING: Final = 0.1
"""A classifier aims at 0.9 for the code that an image shows, and shares the rest among all: it goes on learning when most are
right, and is less sure of labels that are wrong. The loss that it is trained with therefore never comes near 0; that of a
validation is without.

Source: Szegedy et al., “Rethinking the Inception Architecture for Computer Vision” (arXiv 1512.00567), section 7.
"""


class Part(Protocol):
    """A network to train. `defect_codes` are those of its outputs; `validation_count` images validate it."""

    part: LossPart
    network: str
    defect_codes: tuple[str, ...]
    input: NetworkInput
    sgd: SgdParameters
    initial_weights: Artifact | None
    validation_count: int
    cost: float
    """How long an iteration takes, compared with one of another part: only the expected end depends on it."""
    fewest_normalized: int
    """Fewer images make no group of their own for batch normalisation."""

    def batches(self, device: torch.device, team: Team = ALONE) -> Batches:
        """What it learns from; of a team, what this rank does."""

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """How far what it says is from what the batch shows."""

    def validated(self, model: nn.Module, device: torch.device, on_batch: Callable[[], None]) -> ValidationFigures:
        """How good it is on what it has not learnt from; `on_batch` is called after each batch of that."""


class ClassificationPart:
    """Which code an image shows, out of the classes."""

    part = LossPart.CLASSIFICATION
    fewest_normalized = FEWEST_NORMALIZED

    def __init__(self, order: TrainingOrder, prepared: Prepared) -> None:
        parameters = order.model_parameters
        self.order, self.prepared = order, prepared
        self.network, self.defect_codes = parameters.classification.name, parameters.classifier_codes
        self.input, self.sgd = order.input, order.training_parameters.classification
        self.initial_weights = order.initial_weights
        self.validation_count = len(prepared.of_classes(validation=True))
        self.cost = float(self.sgd.batch_size * self.input.width * self.input.height)

    def batches(self, device: torch.device, team: Team = ALONE) -> Batches:
        """As `Part.batches`."""
        chosen = self.prepared.of_classes(validation=False)
        return Batches(
            self.order,
            self.prepared.screening.decoded.part(chosen),
            self.prepared.labels_of(chosen),
            device,
            batch_size=self.sgd.batch_size,
            network_input=self.input,
            team=team,
        )

    def loss(self, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """As `Part.loss`."""
        return functional.cross_entropy(logits_BK, labels_B, label_smoothing=LABEL_SMOOTHING)

    def validated(self, model: nn.Module, device: torch.device, on_batch: Callable[[], None]) -> ValidationFigures:
        """As `Part.validated`."""
        chosen = self.prepared.of_classes(validation=True)
        images = self.prepared.screening.decoded.part(chosen)
        scores_NK = evaluate(model, images, self.input, device, on_batch)
        return validation_figures(scores_NK, self.prepared.labels_of(chosen))


class SegmentationPart:
    """Which code each pixel shows, out of the whole list (W-4)."""

    part = LossPart.SEGMENTATION
    fewest_normalized = FEWEST_SEGMENTED

    def __init__(
        self,
        order: TrainingOrder,
        segmentation: SegmentationOrder,
        sgd: SgdParameters,
        prepared: Prepared,
        images: SegmentationImages,
    ) -> None:
        self.order, self.prepared, self.images, self.sgd = order, prepared, images, sgd
        self.network, self.defect_codes = segmentation.network, order.model_parameters.code_list
        self.input, self.initial_weights = segmentation.input, segmentation.initial_weights
        self.validation_count = len(prepared.with_masks(validation=True))
        self.cost = 2.0 * sgd.batch_size * self.input.width * self.input.height

    def batches(self, device: torch.device, team: Team = ALONE) -> Batches:
        """As `Part.batches`."""
        chosen = self.prepared.with_masks(validation=False)
        return Batches(
            self.order,
            self.images.decoded.part(chosen),
            self.prepared.labels_of(chosen),
            device,
            batch_size=self.sgd.batch_size,
            network_input=self.input,
            masks=self.images.masks.part(chosen),
            purpose="segmentation ",
            team=team,
        )

    def loss(self, logits_BKHW: Tensor, labels_BHW: Tensor) -> Tensor:
        """As `Part.loss`."""
        return segmentation_loss(logits_BKHW, labels_BHW)

    def validated(self, model: nn.Module, device: torch.device, on_batch: Callable[[], None]) -> ValidationFigures:
        """As `Part.validated`."""
        chosen = self.prepared.with_masks(validation=True)
        return segmentation_figures(
            model,
            self.images.decoded.part(chosen),
            self.images.masks.part(chosen),
            self.prepared.labels_of(chosen),
            self.input,
            device,
            len(self.defect_codes),
            on_batch,
        )


def parts_of(order: TrainingOrder, prepared: Prepared) -> list[Part]:
    """Classification, and after it segmentation where it is trained."""
    parts: list[Part] = [ClassificationPart(order, prepared)]
    segmentation, sgd, images = (
        order.segmentation,
        order.training_parameters.segmentation,
        prepared.screening.segmentation,
    )
    if segmentation is not None and sgd is not None and images is not None:
        parts.append(SegmentationPart(order, segmentation, sgd, prepared, images))
    return parts
