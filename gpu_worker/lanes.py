"""A batch learnt from in lanes: on a CPU, threads that each take some of its images through the whole network.

torch can share out every single operation among threads, but then they wait for each other hundreds of times in a step. Lanes meet
once, to add up their gradients: on two cores a step takes two thirds of the time. Batch normalisation sees the images of a lane;
the running statistics are the mean of all lanes'. What a lane computes, and the order of the additions, depend on nothing but the
number of lanes, so a training stays repeatable bit for bit. On a GPU a step is recorded instead (`recorded_step`), or there is one
lane, in the calling thread.

Small groups normalise as well as a whole batch, or better: Hoffer et al., “Train longer, generalize better” (arXiv 1705.08741).
"""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final, Self

import torch
from torch import Tensor, nn

from gpu_worker.batches import Chosen, Source

MOST_LANES: Final = 8
"""Each has gradients of its own; further threads share out the operations."""

Loss = Callable[[Tensor, Tensor], Tensor]


def lane_count(device: torch.device, thread_count: int, image_count: int, fewest_normalized: int) -> int:
    """How many lanes learn from `image_count` images at a time, each from `fewest_normalized` at least."""
    if device.type != "cpu":
        return 1
    return max(1, min(thread_count, MOST_LANES, image_count // fewest_normalized))


class Lanes:
    """The lanes of a training. The given network is the first lane's; the others have its parameters and their own gradients."""

    def __init__(
        self, model: nn.Module, loss: Loss, batches: Source, *, device: torch.device, count: int, bfloat16: bool
    ) -> None:
        """`batches` are fetched by several threads at a time; `loss` is of (logits, truth). A team's ranks each have lanes of their
        own.
        """
        self.model, self.loss, self.batches, self.device, self.bfloat16 = model, loss, batches, device, bfloat16
        self.models = [model, *(_with_the_parameters_of(model) for _ in range(count - 1))]
        self._threads: ThreadPoolExecutor | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if len(self.models) > 1:
            thread_count = max(1, torch.get_num_threads() // len(self.models))
            self._threads = self._open.enter_context(
                ThreadPoolExecutor(len(self.models), "lane", torch.set_num_threads, (thread_count,))
            )
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads."""
        self._open.close()

    def learn(self, iteration: int) -> Tensor:
        """The mean loss of a batch; its gradients are in the network's parameters then."""
        chosen = self.batches.chosen(iteration)
        if self._threads is None:
            return self._learn(self.model, chosen, 1.0)
        count = len(self.models)
        of_lanes = [chosen.part(slice(lane, None, count)) for lane in range(count)]
        shares = [len(part.indices) / len(chosen.indices) for part in of_lanes]
        losses = list(self._threads.map(self._learn, self.models, of_lanes, shares))
        parameters = list(zip(*(model.parameters() for model in self.models), strict=True))
        list(self._threads.map(_add_gradients, [parameters[lane::count] for lane in range(count)]))
        _average_statistics(self.models)
        return torch.stack(losses).sum()

    def _learn(self, model: nn.Module, chosen: Chosen, share: float) -> Tensor:
        images_BCHW, truth = self.batches.make(self.batches.fetch(chosen).to(self.device))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = self.loss(model(images_BCHW), truth) * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def _with_the_parameters_of(model: nn.Module) -> nn.Module:
    """Another network with the very same parameters, not equal ones: whoever moves them moves those of both."""
    other = copy.deepcopy(model)
    for own, parameter in zip(other.parameters(), model.parameters(), strict=True):
        own.data = parameter.data
    return other


def _add_gradients(parameters: Sequence[tuple[nn.Parameter, ...]]) -> None:
    for first, *others in parameters:
        for other in others:
            if first.grad is not None and other.grad is not None:
                first.grad += other.grad
            other.grad = None


def _average_statistics(models: Sequence[nn.Module]) -> None:
    for buffers in zip(*(model.buffers() for model in models), strict=True):
        if buffers[0].is_floating_point():
            mean = torch.stack(buffers).mean(0)
            for buffer in buffers:
                buffer.copy_(mean)
