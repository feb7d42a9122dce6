"""One of two processes that share each batch over gloo, as cards do over NCCL: our exchange of gradients against torch's
DistributedDataParallel, and against one process that has the threads of both. torchrun's agent starts it (`bench_training`).

All have the same network, batch, layout and precision, and images that lie ready, so what differs is how the work is shared.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker sets it

import msgspec
import numpy as np
import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from benchmarks.harness import in_turns
from domain.training_parameters import SgdParameters
from gpu_worker.augmentation import draw
from gpu_worker.batches import Chosen, Fetched
from gpu_worker.child_process import be_killed_with_parent
from gpu_worker.lanes import Lanes
from gpu_worker.networks import new_network
from gpu_worker.randomness import stream
from gpu_worker.sgd import Sgd
from gpu_worker.team import ALONE, Team, join, leave

CODE_COUNT = 4
BATCH = 32
SIDE = 128
STEPS = 2
RATE = 0.01
CPU = torch.device("cpu")


class Speed(NamedTuple):
    """Images a second of one turn, by the clock and by the CPU time of all processes."""

    by_clock: float
    by_cpu: float


class Speeds(msgspec.Struct, frozen=True):
    """Of every turn."""

    ours: Sequence[Speed]
    torchs: Sequence[Speed]
    one_process: Sequence[Speed]


class ReadyBatch:
    """The same images each time, with nothing left to do; of a team each rank has its own."""

    def __init__(self, team: Team) -> None:
        self.images = torch.rand(BATCH, 3, SIDE, SIDE, generator=stream(1, "bench", 0))
        self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.arange(BATCH) % CODE_COUNT
        self.everything = Chosen(np.arange(BATCH), draw(BATCH, (), stream(1, "bench", 1))).part(team.mine)

    def chosen(self, _: int) -> Chosen:
        """All of it."""
        return self.everything

    def fetch(self, chosen: Chosen) -> Fetched:
        """Those of a lane."""
        return Fetched(self.images[chosen.indices], self.labels[chosen.indices], chosen.drawn.packed())

    def make(self, fetched: Fetched) -> tuple[torch.Tensor, torch.Tensor]:
        """As they lie there."""
        return fetched.pixels, fetched.labels


def network() -> nn.Module:
    """As it begins to learn."""
    return new_network("ResNet18", CODE_COUNT, seed=1).to(memory_format=torch.channels_last).train()


def our_step(team: Team, lane_count: int) -> Callable[[], object]:
    """A step as the worker makes it."""
    model = network()
    optimizer = Sgd(model, SgdParameters(base_lr=RATE, batch_size=BATCH, max_iter=1), {})
    loss = team.weighed(functional.cross_entropy)
    lanes = Lanes(model, loss, ReadyBatch(team), device=CPU, count=lane_count, bfloat16=False)

    def step() -> None:
        with lanes:
            for _ in range(STEPS):
                team.add_up(model, lanes.learn(0))
                optimizer.step(RATE)

    return step


def torchs_step(team: Team) -> Callable[[], object]:
    """The same as everybody does it."""
    batch = ReadyBatch(team)
    images, labels = batch.make(batch.fetch(batch.chosen(0)))
    model = DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return step


def speed_of(steps: Callable[[], object]) -> Speed:
    """From when both are here until both are done."""
    distributed.barrier()
    began, cpu_before = time.perf_counter(), time.process_time()
    steps()
    cpu = torch.tensor(time.process_time() - cpu_before)
    distributed.all_reduce(cpu)
    return Speed(STEPS * BATCH / (time.perf_counter() - began), STEPS * BATCH / cpu.item())


def main(rounds: int, answer: Path, parent: int) -> None:
    """Take turns, and write down how fast each was."""
    be_killed_with_parent(parent)
    torch.set_num_threads(1)
    join(CPU, patience_seconds=600)
    rank, count = distributed.get_rank(), distributed.get_world_size()
    team = Team(rank, count, BATCH)
    ours, torchs = our_step(team, 1), torchs_step(team)
    alone = our_step(ALONE, count) if team.is_first else lambda: None
    speeds = in_turns(rounds, lambda: speed_of(ours), lambda: speed_of(torchs), lambda: speed_of(alone))
    if team.is_first:
        answer.write_bytes(msgspec.json.encode(Speeds(*speeds)))
    leave()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
