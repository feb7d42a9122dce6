"""The loss curve: every point goes to the metrics file, a thinned part of it to the log, and no point makes the device wait."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec
import torch
from torch import Tensor

from domain.messages import LossEntry, LossesMeasured, LossPart
from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.checkpoints import Checkpoint
from gpu_worker.jobs import Job

MOST_REPORTED_POINTS: Final = 2000
"""So many points of a network reach the log at most, however long it runs; a screen is not wider."""

SHORTEST_INTERVAL_SECONDS: Final = 1.0
ELAPSED_SHARE_OF_INTERVAL: Final = 0.01
"""A new batch of points after a second, later after a hundredth of the time passed: a job of days makes some hundreds of events."""

_BUFFERED_POINTS: Final = 4096


class LossIsNotFinite(Refusal):
    """From here on every weight would be NaN."""

    message = N_(
        "The training diverged: the loss of iteration {iteration} is not a finite number (learning rate {learning_rate}). "
        "Lower base_lr, then start again."
    )


class SegmentationLossIsNotFinite(LossIsNotFinite):
    """The same of the other network, which has parameters of its own."""

    message = N_(
        "The training of the segmentation diverged: the loss of iteration {iteration} is not a finite number (learning rate "
        "{learning_rate}). Lower base_lr under “segmentation”, then start again."
    )


def not_finite(part: LossPart, iteration: int, learning_rate: float) -> LossIsNotFinite:
    """The refusal that names the network's own parameters."""
    kind = SegmentationLossIsNotFinite if part is LossPart.SEGMENTATION else LossIsNotFinite
    return kind(iteration=iteration, learning_rate=float(f"{learning_rate:.4g}"))  # as people write it


class LossCurve:
    """Losses stay on the device until `publish`. A non-finite one raises there, before anything of it is published or saved."""

    def __init__(
        self,
        job: Job,
        start: Checkpoint,
        max_iter: int,
        device: torch.device,
        part: LossPart = LossPart.CLASSIFICATION,
    ) -> None:
        """What the metrics file holds beyond the checkpoint was made after it, and is made again.

        Which of the points before it were reported died with the attempt before, so all come with the first report; the log takes
        those that it does not know.
        """
        self.job, self.part = job, part
        self.stride = math.ceil(max_iter / MOST_REPORTED_POINTS)
        self.max_iter = max_iter
        self.latest: float | None = None
        self._waiting = torch.zeros(_BUFFERED_POINTS, device=device)
        self._rates: list[float] = []
        self._rate = 0.0
        self._first = start.iteration
        self._started = self._asked = time.monotonic()
        self._reported = self._started
        self._iterations: list[int] = []
        self._losses: list[float] = []
        self.file = file_of(job.workspace, part)
        self._file = _opened_at(self.file, start.curve_bytes)
        for point in _points_of(self.file):
            self._note(point.iteration, point.loss)
            self.latest, self._rate = point.loss, point.learning_rate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the metrics file."""
        self._file.close()

    def add(self, loss: Tensor, learning_rate: float) -> None:
        """The loss of the next iteration."""
        self._waiting[len(self._rates)] = loss.detach()
        self._rates.append(learning_rate)

    def is_due(self) -> bool:
        """Whether it is time to publish; asking resets the time."""
        is_full = len(self._rates) == _BUFFERED_POINTS
        if not is_full and time.monotonic() - self._asked < SHORTEST_INTERVAL_SECONDS:
            return False
        self._asked = time.monotonic()
        return True

    def publish(self, *, everything: bool = False) -> None:
        """Copy the losses from the device, check them, write them down, and report those that are due, or `everything`.

        Raises:
            LossIsNotFinite: nothing from that iteration on was written or reported.
        """
        now = time.monotonic()
        losses = self._waiting[: len(self._rates)].tolist()
        for offset, (loss, rate) in enumerate(zip(losses, self._rates, strict=True)):
            iteration = self._first + offset + 1
            if not math.isfinite(loss):
                self._report(rate)
                raise not_finite(self.part, iteration, rate)
            point = LossEntry(self.part.value, iteration, loss, rate)
            self._file.write(msgspec.json.encode(point) + b"\n")
            self._note(iteration, loss)
        if losses:
            self.latest, self._rate = losses[-1], self._rates[-1]
            self._first += len(losses)
            self._rates = []
        if everything or now - self._reported >= ELAPSED_SHARE_OF_INTERVAL * (now - self._started):
            self._report(self._rate)

    def kept_bytes(self) -> int:
        """The length of the metrics file, now safely on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def _note(self, iteration: int, loss: float) -> None:
        """Keep the point for the next report, if it is one of those that are reported."""
        if iteration % self.stride == 0 or iteration in (1, self.max_iter):
            self._iterations.append(iteration)
            self._losses.append(loss)

    def _report(self, learning_rate: float) -> None:
        self._reported = time.monotonic()
        if not self._iterations:
            return
        self.job.log.info(
            "iteration %s: loss %.6g, learning rate %.4g", self._iterations[-1], self._losses[-1], learning_rate
        )
        self.job.report(
            LossesMeasured(
                **self.job.sender,
                part=self.part,
                iterations=tuple(self._iterations),
                losses=tuple(self._losses),
                learning_rate=learning_rate,
            )
        )
        self._iterations, self._losses = [], []


def file_of(workspace: Path, part: LossPart) -> Path:
    """Where the metrics file of a network lies."""
    return workspace / f"losses-{part.value}.jsonl"


def _points_of(file: Path) -> Iterator[LossEntry]:
    with file.open("rb") as opened:
        for line in opened:
            yield msgspec.json.decode(line, type=LossEntry)


def _opened_at(file: Path, kept_bytes: int) -> BinaryIO:
    opened = file.open("r+b" if file.is_file() else "w+b")
    opened.truncate(kept_bytes)
    opened.seek(kept_bytes)
    return opened
