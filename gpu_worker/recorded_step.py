"""The step of a GPU, recorded once and replayed.

A small network is hundreds of short operations; asking for each takes the program several times as long as the GPU takes to do it.
A recording (a CUDA graph) is asked for as a whole: on an H100 a step of ResNet18 at 128 × 128 took 2.3 ms instead of 10. While the
recording learns from one batch it makes the next one beside it, so augmentation costs next to nothing.
"""

from typing import Final, Self

import torch
from torch import Tensor, nn

from gpu_worker.batches import Source
from gpu_worker.lanes import Loss

_WARM_UPS: Final = 3
"""Passes before the recording: libraries choose their algorithms and take their memory then."""


class RecordedStep:
    """Learns as `Lanes` does, on a GPU. Iterations come one after the other; any other order works, too, and is slower."""

    def __init__(self, model: nn.Module, loss: Loss, batches: Source, *, bfloat16: bool) -> None:
        """`batches` always have the same shape; `loss` is of (logits, truth)."""
        self.model, self.loss, self.batches, self.bfloat16 = model, loss, batches, bfloat16
        self._graph: torch.cuda.CUDAGraph | None = None
        self._ready_for = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give back the memory of the recording."""
        self._graph = None

    def learn(self, iteration: int) -> Tensor:
        """The mean loss of a batch; its gradients are in the network's parameters then. Both are overwritten by the next call."""
        if self._graph is None:
            self._record(iteration)
        elif self._ready_for != iteration:
            self._fetch(iteration)
            _overwrite(self._ready, self.batches.make(self._fetched))
        self._fetch(iteration + 1)
        assert self._graph is not None
        self._graph.replay()
        self._ready_for = iteration + 1
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        return self._loss

    def _fetch(self, iteration: int) -> None:
        _overwrite(self._fetched.tensors(), self.batches.fetch(self.batches.chosen(iteration)).tensors())

    def _record(self, iteration: int) -> None:
        self._fetched = self.batches.fetch(self.batches.chosen(iteration)).to(_device(self.model))
        self._ready = tuple(made.clone() for made in self.batches.make(self._fetched))
        self._warm_up()
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            current = torch.cuda.current_stream()
            beside.wait_stream(current)
            with torch.cuda.stream(beside):
                made = self.batches.make(self._fetched)
            self._loss = self._pass()
            current.wait_stream(beside)
            _overwrite(self._ready, made)
        self._graph = graph
        self._gradients = [
            (parameter, parameter.grad) for parameter in self.model.parameters() if parameter.grad is not None
        ]

    def _warm_up(self) -> None:
        """Leaves no trace in the network."""
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        current = torch.cuda.current_stream()
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):
                self._pass()
                self.model.zero_grad()
        current.wait_stream(beside)
        for buffer, before in buffers:
            buffer.copy_(before)

    def _pass(self) -> Tensor:
        images_BCHW, truth = self._ready
        with torch.autocast("cuda", torch.bfloat16, enabled=self.bfloat16):
            loss = self.loss(self.model(images_BCHW), truth)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _overwrite(kept: tuple[Tensor, ...], by: tuple[Tensor, ...]) -> None:
    for tensor, other in zip(kept, by, strict=True):
        tensor.copy_(other, non_blocking=True)
