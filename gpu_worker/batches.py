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
from gpu_worker.devices import pinned
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
    """A batch as it was decoded, in few pieces, because each that goes to a GPU holds it up."""

    pixels: Tensor
    """(B, C, H, W) of 8 bits; where all images of the split lie on the device, the (B,) indices of the batch's instead."""
    labels: Tensor
    """(B,) indices of codes."""
    drawn: Tensor
    """What happens to each image: `Draw.packed`."""
    masks: Tensor | None = None
    """(B, H, W), where there are any."""

    def tensors(self) -> tuple[Tensor, ...]:
        """All of it."""
        return tuple(tensor for tensor in self if tensor is not None)

    def to(self, device: torch.device) -> "Fetched":
        """The same on a device."""
        return Fetched(*(tensor.to(device, non_blocking=True) for tensor in self.tensors()))


class Source(Protocol):
    """Where a step takes its batches from."""

    def chosen(self, iteration: int) -> Chosen:
        """What one iteration learns from."""

    def fetch(self, chosen: Chosen) -> Fetched:
        """It, where the device can take it from without waiting."""

    def make(self, fetched: Fetched) -> tuple[Tensor, Tensor]:
        """Images and truth, computed on the device, where `fetched` is, too."""


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
        pixels = chosen.indices if self.resident is not None else self.images.gather(chosen.indices)
        masks = None if self.masks is None else self.masks.gather(chosen.indices)
        return Fetched(
            pixels=pinned(torch.from_numpy(pixels), self.device),
            labels=pinned(self.labels[chosen.indices], self.device),
            drawn=pinned(chosen.drawn.packed(), self.device),
            masks=None if masks is None else pinned(torch.from_numpy(masks), self.device),
        )

    def make(self, fetched: Fetched) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) images, with the (B,) indices of their codes; where there are masks, with (B, H, W) what each pixel shows:
        0 for no defect, else 1 + the index of its code.
        """
        augmentations, drawn = self.order.preprocessing.augmentations, Draw.unpacked(fetched.drawn)
        pixels_BCHW = fetched.pixels if self.resident is None else self.resident[fetched.pixels]
        augmented_BCHW = augment(pixels_BCHW.float().div_(255), drawn, augmentations)
        images_BCHW = standardized(augmented_BCHW, self.network_input)
        if fetched.masks is None:
            return images_BCHW, fetched.labels
        return images_BCHW, augment_labels(label_maps(fetched.masks, fetched.labels), drawn, augmentations)


def label_maps(masks_BHW: Tensor, labels_B: Tensor) -> Tensor:
    """(B, H, W) what each pixel shows: 0 where the mask is 0, else 1 + the index of the image's code."""
    return masks_BHW.long() * (1 + labels_B)[:, None, None]
