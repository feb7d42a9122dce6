"""Batches that nothing is learnt from, on all cores of a CPU: threads that each take whole batches through the network.

Sharing out every operation among threads, as torch does by itself, makes them wait for each other hundreds of times a batch. On a
machine that others use, too, that costs several times what it saves.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from gpu_worker.look_ahead import answered_ahead

JUDGED_BATCH: Final = 16
"""Larger ones are no faster on a CPU, each image's maps in a segmentation take some megabytes, and threads end about together."""

R = TypeVar("R")
Indices = npt.NDArray[np.int64]


@contextmanager
def answered_by_batch(
    act: Callable[[Indices], R], image_count: int, device: torch.device, *, batch_size: int = JUDGED_BATCH
) -> Iterator[Iterator[R]]:
    """The answers of `act` to the indices of each batch, one after the other. On a CPU several threads call it at once."""
    batches = (
        np.arange(start, min(start + batch_size, image_count), dtype=np.int64)
        for start in range(0, image_count, batch_size)
    )
    thread_count = torch.get_num_threads()
    if device.type != "cpu" or thread_count == 1:
        yield map(act, batches)
        return

    def alone(batch: Indices) -> R:
        torch.set_num_threads(1)  # in this thread; the one that asks keeps its own
        return act(batch)

    with answered_ahead(alone, batches, thread_count=thread_count, most=2 * thread_count) as answers:
        yield answers
