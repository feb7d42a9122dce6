"""Which images form which batch. Shape letters: B = batch."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from gpu_worker.randomness import stream

Indices = npt.NDArray[np.int64]


class BatchOrder:
    """The images of every batch, from the seed and the iteration alone, so there is nothing to save and nothing to resume.

    Batches are cut from an endless row of rounds, each round being as long as the training split. Within a round a code gets
    images in proportion to the square root of its count, at least its share: rare defects are seen more often than their number
    alone would give, frequent codes still lead. A code's images come in turn, shuffled anew each time all of them were seen.
    """

    def __init__(self, labels: Sequence[int], batch_size: int, seed: int) -> None:
        """`labels` are class indices of the training split, one per image."""
        self.batch_size, self.seed = batch_size, seed
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
            shuffled = torch.randperm(len(drawn), generator=stream(self.seed, "round", number)).numpy()
            self._round = (number, drawn[shuffled])
        return self._round[1]

    def _turns(self, code: int, number: int) -> Indices:
        member, quota = self.members[code], self.quotas[code]
        turn, offset = divmod(number * quota, len(member))
        turns = (offset + quota - 1) // len(member) + 1
        shuffled = [
            torch.randperm(len(member), generator=stream(self.seed, f"code {code}", turn + further)).numpy()
            for further in range(turns)
        ]
        chosen: Indices = member[np.concatenate(shuffled)[offset : offset + quota]]
        return chosen


def round_quotas(counts: Sequence[int]) -> list[int]:
    """How many images of each code a round holds: in proportion to the square root of `counts`, their sum kept."""
    shares = np.sqrt(counts) / np.sqrt(counts).sum() * sum(counts)
    quotas = np.floor(shares).astype(int).clip(1)
    for index in np.argsort(quotas - shares, kind="stable")[: max(0, sum(counts) - quotas.sum())]:
        quotas[index] += 1
    return [int(quota) for quota in quotas]
