"""What a training needs to go on as if nothing had happened, in one file that is either the old or the new one, never half."""

import os
import pickle
from pathlib import Path
from typing import Final

import msgspec
import torch
from torch import Tensor

FORMAT: Final = 1
FILE: Final = "last.pt"

Weights = dict[str, Tensor]


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The best validation so far. `score` is macro recall + accuracy, at most 2."""

    iteration: int
    score: float
    weights: Weights


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """`iteration` is the next one, counted from 0. `identity` names order and images; `curve_bytes` is the length of the metrics
    file at that moment; threads and precision are part of the result and are kept by every attempt.
    """

    identity: str
    iteration: int
    thread_count: int
    precision: str
    model: Weights
    momenta: Weights
    random_state: Tensor
    random_states_of_gpus: list[Tensor]
    best: Best | None
    curve_bytes: int
    software: str


def save(checkpoint: Checkpoint, workspace: Path) -> None:
    """Replace the checkpoint of this run."""
    content = {name: getattr(checkpoint, name) for name in checkpoint.__struct_fields__}
    content["best"] = None if checkpoint.best is None else msgspec.structs.asdict(checkpoint.best)
    writing = workspace / f"{FILE}.writing"
    with writing.open("wb") as opened:
        torch.save({"format": FORMAT, **content}, opened)
        opened.flush()
        os.fsync(opened.fileno())
    writing.replace(workspace / FILE)
    directory = os.open(workspace, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load(workspace: Path) -> Checkpoint | None:
    """The checkpoint of this run; None where there is none, or none that can be read. Nothing in it is executed."""
    file = workspace / FILE
    if not file.is_file():
        return None
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        if content.pop("format") != FORMAT:
            return None
        best = content.pop("best")
        return Checkpoint(**content, best=None if best is None else Best(**best))
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError):
        return None
