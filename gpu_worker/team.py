"""Several processes that train one network together, a GPU each: every one learns from its share of each batch, then all make the
same step.

Which images form a batch, and how each is augmented, does not depend on how many share the work. What does: the order of additions,
and what batch normalisation sees: the images of a rank, and the running statistics that are kept are the first rank's; on GPUs that
of the whole batch where a rank has few images. Shape letters: B = batch.

Gradients are added up in one exchange after the backward pass, which cannot begin sooner: a recorded step is replayed as a whole,
and threads that take whole images know a gradient when the last of them does. DistributedDataParallel would begin sooner from hooks
that neither can call, and it rearranges its exchanges after the first step, so that a resumed training of more than two ranks would
add in another order and end with other weights.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import torch
from torch import Tensor, distributed, nn

from domain.refusals import Refusal
from domain.sentences import N_

FEWEST_NORMALIZED: Final = 8
"""The mean and deviation of fewer images say little of the others, where a network ends with a handful of places an image."""
_DIGEST_BYTES: Final = 32
_NETWORK_OF_THIS_MACHINE: Final = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
"""Ranks of one job meet on one machine; a host name that nobody can resolve must not keep them apart."""


class RankLost(Refusal):
    """The others cannot go on without it."""

    message = N_(
        "One of the {count} processes of the training did not answer any more. Start again; if it happens again, choose a compute "
        "resource with one GPU card and show the log to the administrator."
    )


class RanksDisagree(Refusal):
    """Equal steps from equal weights give equal weights, so a device computes wrongly."""

    message = N_(
        "The {count} processes of the training ended with different weights. Have the GPUs of this worker checked, then start "
        "again."
    )


class Team:
    """The ranks of a training, seen from one of them; alone it is the only one, and nothing is shared out."""

    def __init__(
        self, rank: int = 0, count: int = 1, batch_size: int = 1, fewest_normalized: int = FEWEST_NORMALIZED
    ) -> None:
        """`rank` counts from 0 to `count` - 1. With several, `join` was called, and each has at least one image of a batch; with
        fewer than `fewest_normalized` each, they meet in batch normalisation.
        """
        self.rank, self.count, self.batch_size, self.fewest_normalized = rank, count, batch_size, fewest_normalized
        self.mine = slice(rank, None, count)
        """This rank's images of a batch."""
        self.share = len(range(rank, batch_size, count)) / batch_size
        """How much of a batch they are."""
        self._together: Tensor | None = None
        self._sums: list[Tensor] = []
        """The gradients within `_together`."""

    @property
    def is_first(self) -> bool:
        """Whether this rank validates, saves and reports, for all."""
        return self.rank == 0

    def normalizes_together(self, device: torch.device) -> bool:
        """Whether ranks meet in every batch normalisation, which torch can on GPUs only."""
        return self.count > 1 and device.type == "cuda" and self.batch_size // self.count < self.fewest_normalized

    def ready(self, model: nn.Module) -> nn.Module:
        """The network as it learns here."""
        if not self.normalizes_together(next(model.parameters()).device):
            return model
        synchronized: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return synchronized

    def weighed(self, loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """A mean loss of (logits, truth) of this rank's images as its part of the whole batch's: the sum of all parts is that."""
        return loss if self.count == 1 else lambda logits, truth: loss(logits, truth) * self.share

    def add_up(self, model: nn.Module, loss: Tensor) -> Tensor:
        """From this rank's `weighed` loss and its gradients in the network to those of the whole batch. Returns its loss. Both are
        overwritten by the next call.

        Raises:
            RankLost
        """
        if self.count == 1:
            return loss
        learnt = [(parameter, parameter.grad) for parameter in model.parameters() if parameter.grad is not None]
        parameters, gradients = [parameter for parameter, _ in learnt], [gradient for _, gradient in learnt]
        if self._together is None:
            self._together, self._sums = _room_for(parameters)
        whole = self._together[-1]
        for total, of_rank in zip([*self._sums, whole], [*gradients, loss], strict=True):
            total.copy_(of_rank)
        try:
            distributed.all_reduce(self._together)
        except RuntimeError as error:
            raise RankLost(count=self.count) from error
        for parameter, total in zip(parameters, self._sums, strict=True):
            parameter.grad = total
        return whole

    def agree(self, model: nn.Module) -> str:
        """The checksum of the parameters, the same on all ranks.

        Raises:
            RanksDisagree, RankLost
        """
        content = hashlib.sha256()
        for parameter in model.parameters():
            content.update(parameter.detach().cpu().contiguous().numpy().tobytes())
        if self.count > 1:
            self._compare(content.digest(), next(model.parameters()).device)
        return content.hexdigest()

    def _compare(self, digest: bytes, device: torch.device) -> None:
        ours = torch.tensor(list(digest), dtype=torch.uint8, device=device)
        everyones = [torch.zeros(_DIGEST_BYTES, dtype=torch.uint8, device=device) for _ in range(self.count)]
        try:
            distributed.all_gather(everyones, ours)
        except RuntimeError as error:
            raise RankLost(count=self.count) from error
        if any(not torch.equal(one, ours) for one in everyones):
            raise RanksDisagree(count=self.count)


ALONE: Final = Team()


def _room_for(parameters: Sequence[nn.Parameter]) -> tuple[Tensor, list[Tensor]]:
    """One tensor, so that all is exchanged at once, and what lies in it: one like each parameter, and at the end a loss."""
    together = parameters[0].new_zeros(sum(parameter.numel() for parameter in parameters) + 1, dtype=torch.float32)
    parts = torch.split(together[:-1], [parameter.numel() for parameter in parameters])
    # The strides, too: optimisers are slow where a gradient does not lie in memory as its parameter does.
    return together, [part.as_strided(one.shape, one.stride()) for part, one in zip(parts, parameters, strict=True)]


def join(device: torch.device, patience_seconds: float) -> None:
    """Meet the other ranks where torchrun's environment says. One that waits `patience_seconds` for another gives up."""
    os.environ.update(_NETWORK_OF_THIS_MACHINE)
    is_on_gpu = device.type == "cuda"
    distributed.init_process_group(
        "nccl" if is_on_gpu else "gloo",
        timeout=timedelta(seconds=patience_seconds),
        device_id=device if is_on_gpu else None,  # NCCL connects now, rather than in the middle of the first step
    )


def leave() -> None:
    """Take leave of the others when all are done; a process that only ended would leave connections of NCCL behind."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def team_size(gpu_cards: int, cpu_ranks: int, batch_size: int, device: torch.device) -> int:
    """How many ranks train: one for each GPU card that the job was promised, on a CPU as set; never more than images in a batch."""
    wanted = min(gpu_cards, torch.cuda.device_count()) if device.type == "cuda" else cpu_ranks
    return max(1, min(wanted, batch_size))
