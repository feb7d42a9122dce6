"""What a training needs to go on as if nothing had happened, in a file that is either the old or the new one, never half.

Each network that is trained has its own; that of a finished one stays, so that nothing is trained twice. The file ends with the
SHA-256 of what goes before: torch reads a tensor with a bit of it turned over without a word.
"""

import hashlib
import io
import logging
import os
import pickle
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec
import torch
from torch import Tensor

from domain.messages import LossPart

FORMAT: Final = 2

Weights = dict[str, Tensor]
log = logging.getLogger(__name__)
_DIGEST_BYTES: Final = 32


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The best validation so far. `score` is that of `ValidationFigures`."""

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


def file_of(workspace: Path, part: LossPart) -> Path:
    """Where the checkpoint of a network lies."""
    return workspace / f"{part.value}.pt"


def save(checkpoint: Checkpoint, workspace: Path, part: LossPart) -> None:
    """Replace the checkpoint of a network in this run."""
    content = {name: getattr(checkpoint, name) for name in checkpoint.__struct_fields__}
    content["best"] = None if checkpoint.best is None else msgspec.structs.asdict(checkpoint.best)
    file = file_of(workspace, part)
    writing = file.with_name(f"{file.name}.writing")
    try:
        with writing.open("wb") as opened:
            hashed = _Hashed(opened)
            torch.save({"format": FORMAT, **content}, cast("BinaryIO", hashed))  # all that it asks for is there
            opened.write(hashed.digest.digest())
            opened.flush()
            os.fsync(opened.fileno())
        writing.replace(file)
    finally:
        writing.unlink(missing_ok=True)  # half a file on a full disk would be in the way of those who free space
    directory = os.open(workspace, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load(workspace: Path, part: LossPart) -> Checkpoint | None:
    """The checkpoint of a network; None where there is none, or none that can be read. Nothing in it is executed."""
    file = file_of(workspace, part)
    if not file.is_file():
        return None
    try:
        content = torch.load(io.BytesIO(_sound(file)), map_location="cpu", weights_only=True)
        if content.pop("format") != FORMAT:
            return None
        best = content.pop("best")
        return Checkpoint(**content, best=None if best is None else Best(**best))
    except (CheckpointIsDamaged, OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError) as error:
        log.warning("the checkpoint %s cannot be read and is left out: %s", file.name, error)
        return None


class CheckpointIsDamaged(Exception):
    """The file is not what was written."""


def _sound(file: Path) -> memoryview:
    content = memoryview(file.read_bytes())
    written, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(written).digest() != digest:
        raise CheckpointIsDamaged("its checksum does not fit")
    return written


class _Hashed:
    """A file that knows the checksum of what was written into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()
