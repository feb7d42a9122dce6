"""Which images form which batch, and the batches on the device. Shape letters: B = batch, C = 3 colours, H and W = input size."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from domain.messages import TrainingOrder
from domain.model_packages import NetworkInput
from gpu_worker.augmentation import Draw, augment, augment_labels, draw
from gpu_worker.batch_threads import Indices
from gpu_worker.decoded_images import DecodedImages
from gpu_worker.devices import carried
from gpu_worker.metrics import standardized
from gpu_worker.randomness import stream
from gpu_worker.team import ALONE, Team

_RESIDENT_SHARE: Final = 0.3
"""Decoded images that take less of a GPU's free memory are kept there."""


class BatchOrder:
    """The images of every batch, from the seed and the iteration alone, so there is nothing to save and nothing to resume.

    Batches are cut from an endless row of rounds, each round being as long as the training split. Within a round a code gets
    images in proportion to the square root of its count, at least its share: rare defects are seen more often than their number
    alone would give, frequent codes still lead. A code's images come in turn, shuffled anew each time all of them were seen.
    """

    def __init__(self, labels: Sequence[int], batch_size: int, seed: int, purpose: str = "") -> None:
        """`labels` are indices of codes, one per image of the training split. Another `purpose` draws otherwise."""
        self.batch_size, self.seed, self.purpose = batch_size, seed, purpose
        self.members = [np.flatnonzero(np.array(labels) == label) for label in sorted(set(labels))]
        self.quotas = round_quotas([len(member) for member in self.members])
        self._round: tuple[int, Indices] = (-1, np.empty(0, np.int64))

    def indices(self, iteration: int) -> Indices:
        """(B,) indices into the training split of the batch of one iteration, counted from 0."""
        length = sum(self.quotas)
        start = iteration * self.batch_size
        parts = []
        while start < (iteration + 1) * self.batch_size:
            number, offset = divmod(start, length)
            part = self._images_of_round(number)[offset : offset + (iteration + 1) * self.batch_size - start]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts)

    def _images_of_round(self, number: int) -> Indices:
        if self._round[0] != number:
            drawn = np.concatenate([self._turns(code, number) for code in range(len(self.members))])
            shuffled = torch.randperm(len(drawn), generator=stream(self.seed, f"{self.purpose}round", number)).numpy()
            self._round = (number, drawn[shuffled])
        return self._round[1]

    def _turns(self, code: int, number: int) -> Indices:
        member, quota = self.members[code], self.quotas[code]
        turn, offset = divmod(number * quota, len(member))
        turns = (offset + quota - 1) // len(member) + 1
        shuffled = [
            torch.randperm(
                len(member), generator=stream(self.seed, f"{self.purpose}code {code}", turn + further)
            ).numpy()
            for further in range(turns)
        ]
        chosen: Indices = member[np.concatenate(shuffled)[offset : offset + quota]]
        return chosen


def round_quotas(counts: Sequence[int]) -> list[int]:
    """How many images of each code a round holds: in proportion to the square root of `counts`, their sum kept. At least one: a
    share is no smaller than the root of its count.
    """
    shares = np.sqrt(counts) / np.sqrt(counts).sum() * sum(counts)
    quotas = np.floor(shares).astype(int)
    for index in np.argsort(quotas - shares, kind="stable")[: max(0, sum(counts) - quotas.sum())]:
        quotas[index] += 1
    return [int(quota) for quota in quotas]


class Chosen(NamedTuple):
    """Images to learn from, (B,) indices into the training split, and what happens to each."""

    indices: Indices
    drawn: Draw

    def part(self, of_it: slice) -> "Chosen":
        """Some of them."""
        return Chosen(self.indices[of_it], Draw(*(drawn_B[of_it] for drawn_B in self.drawn)))


class Fetched(NamedTuple):
    """A batch on the device as it was decoded: (B, C, H, W) pixels of 8 bits, (B,) indices of codes, what happens to each image,
    and (B, H, W) masks where there are any.
    """

    pixels: Tensor
    labels: Tensor
    drawn: Draw
    masks: Tensor | None = None

    def tensors(self) -> tuple[Tensor, ...]:
        """All of it."""
        return (self.pixels, self.labels, *self.drawn, *(() if self.masks is None else (self.masks,)))


class Source(Protocol):
    """Where a step takes its batches from."""

    def chosen(self, iteration: int) -> Chosen:
        """What one iteration learns from."""

    def fetch(self, chosen: Chosen) -> Fetched:
        """It, on the device."""

    def make(self, fetched: Fetched) -> tuple[Tensor, Tensor]:
        """Images and truth, computed on the device from nothing else."""


class Batches:
    """Batches on the device: standardised, augmented, channels last. Small sets live there; of large ones the pixels of each
    batch are copied while the device still computes the one before.
    """

    def __init__(
        self,
        order: TrainingOrder,
        images: DecodedImages,
        labels: Sequence[int],
        device: torch.device,
        *,
        batch_size: int,
        network_input: NetworkInput,
        masks: DecodedImages | None = None,
        purpose: str = "",
        team: Team = ALONE,
    ) -> None:
        """`labels` are indices of codes, one per image; `masks`, where there are any, say which pixels show the code."""
        self.team = team
        self.order, self.device, self.images, self.masks = order, device, images, masks
        self.network_input, self.purpose = network_input, purpose
        self.labels = torch.tensor(labels)
        self.batch_order = BatchOrder(labels, batch_size, order.seed, purpose)
        self.resident: Tensor | None = None
        if device.type == "cuda" and images.nbytes < _RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
            self.resident = torch.from_numpy(images.gather(np.arange(len(images)))).to(device)

    def chosen(self, iteration: int) -> Chosen:
        """What one iteration learns from; of a team each rank gets its own images of the batch. Not for several threads at once."""
        of_batch = draw(
            self.batch_order.batch_size,
            self.order.preprocessing.augmentations,
            stream(self.order.seed, f"{self.purpose}augmentation", iteration),
        )
        return Chosen(self.batch_order.indices(iteration), of_batch).part(self.team.mine)

    def fetch(self, chosen: Chosen) -> Fetched:
        """As `Source.fetch`; for several threads at once."""
        return Fetched(
            pixels=self._pixels(chosen.indices),
            labels=carried(self.labels[chosen.indices], self.device),
            drawn=chosen.drawn.to(self.device),
            masks=None
            if self.masks is None
            else carried(torch.from_numpy(self.masks.gather(chosen.indices)), self.device),
        )

    def make(self, fetched: Fetched) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) images, with the (B,) indices of their codes; where there are masks, with (B, H, W) what each pixel shows:
        0 for no defect, else 1 + the index of its code.
        """
        augmentations = self.order.preprocessing.augmentations
        pixels_BCHW = fetched.pixels.float().div_(255)
        images_BCHW = standardized(augment(pixels_BCHW, fetched.drawn, augmentations), self.network_input)
        if fetched.masks is None:
            return images_BCHW, fetched.labels
        return images_BCHW, augment_labels(label_maps(fetched.masks, fetched.labels), fetched.drawn, augmentations)

    def _pixels(self, indices: Indices) -> Tensor:
        if self.resident is not None:
            return self.resident[carried(torch.from_numpy(indices), self.device)]
        return carried(torch.from_numpy(self.images.gather(indices)), self.device)


def label_maps(masks_BHW: Tensor, labels_B: Tensor) -> Tensor:
    """(B, H, W) what each pixel shows: 0 where the mask is 0, else 1 + the index of the image's code."""
    return masks_BHW.long() * (1 + labels_B)[:, None, None]
