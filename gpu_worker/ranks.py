"""The job's process as the head of a team of ranks: torchrun's agent starts them (`rank_agent`), the head passes on what the first
one says, and ends them all when one fails. It trains nothing itself, so nothing that a rank or a device does can hang it.
"""

import os
import signal
import socket
import tempfile
import time
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, TypeVar
from uuid import UUID

import msgspec
import torch

from domain.messages import JobKind, LossPart, TrainingOrder
from domain.refusals import Refusal
from domain.sentences import Sentence
from gpu_worker import checkpoints
from gpu_worker.channel import Answer, Channel, Deliver, Ended, Tell
from gpu_worker.checkpoints import Checkpoint
from gpu_worker.decoded_images import DecodedImages
from gpu_worker.jobs import Job, JobStopped
from gpu_worker.parts import Part
from gpu_worker.preprocessing import Prepared
from gpu_worker.rank_agent import RankAgent
from gpu_worker.reasons import reason_of_exit
from gpu_worker.settings import TrainingSettings
from gpu_worker.team import RankLost

T = TypeVar("T")
_POLL_SECONDS: Final = 0.2
_LAST_WORDS_SECONDS: Final = 3.0
"""When one rank fails the others notice, too; who failed first may be heard last."""
_ENDED_BY_TORCH: Final = (-signal.SIGTERM, -signal.SIGABRT)
"""How torchrun's agent ends a rank that others cannot go on without, and how NCCL's watchdog ends one that waited too long."""


class RankWork(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a rank, once: train this part from its checkpoint in the workspace. `prepared` names a file for `load_prepared`. Which
    rank it is, and of how many, it knows from its environment.
    """

    order: TrainingOrder
    part: LossPart
    prepared: str
    settings: TrainingSettings
    kind: JobKind
    job_id: UUID
    attempt: int
    worker: str
    cpu_cores: int
    workspace: str
    decoded: str


FromRank: TypeAlias = Tell | Deliver | Ended
ToRank: TypeAlias = RankWork | Answer


class RankFailed(Refusal):
    """A rank ended with a reason of its own."""

    def __init__(self, reason: Sentence) -> None:
        self._reason = reason
        super().__init__()

    @property
    def sentence(self) -> Sentence:
        """The rank's own words."""
        return self._reason


def train_in_ranks(
    part: Part,
    start: Checkpoint,
    order: TrainingOrder,
    prepared: Prepared,
    device: torch.device,
    job: Job,
    settings: TrainingSettings,
    count: int,
) -> None:
    """From a checkpoint to the one of the last iteration.

    Raises:
        RankFailed
        JobStopped: the first rank wrote a checkpoint.
    """
    job.log.info("%s ranks share each batch of %s images", count, part.sgd.batch_size)
    checkpoints.save(start, job.workspace, part.part)
    file = job.workspace / "prepared.msgpack"
    save_prepared(prepared, file)
    work = RankWork(
        order=order,
        part=part.part,
        prepared=str(file),
        settings=settings,
        kind=job.kind,
        job_id=job.job_id,
        attempt=job.attempt,
        worker=job.worker,
        cpu_cores=max(1, job.cpu_cores // count),
        workspace=str(job.workspace),
        decoded=str(job.decoded),
    )
    with _Ranks(count, work, has_gpu_each=device.type == "cuda") as ranks:
        ranks.attend(job)


def save_prepared(prepared: Prepared, file: Path) -> None:
    """For the ranks, which need not read and decode the images again."""
    file.write_bytes(msgspec.msgpack.encode(prepared, enc_hook=_written))


def load_prepared(file: Path) -> Prepared:
    """What `save_prepared` wrote."""
    return msgspec.msgpack.decode(file.read_bytes(), type=Prepared, dec_hook=_read)


class _Rank:
    """One of them, as the head knows it."""

    def __init__(self, place: Path) -> None:
        """It calls at a socket of its own, so that nobody need ask which one it is."""
        self.calls = socket.socket(socket.AF_UNIX)
        self.calls.bind(str(place))
        self.calls.listen(1)
        self.channel: Channel[ToRank, FromRank] | None = None
        """None until it has loaded its libraries and called, and again when it has gone."""
        self.ended: Ended | None = None
        self.is_silent = False
        """It went without a last word."""

    @property
    def is_over(self) -> bool:
        """Nothing more is to be expected of it."""
        return self.is_silent or self.ended is not None

    @property
    def has_failed(self) -> bool:
        """Whether it ended as it should not."""
        return self.is_silent or (self.ended is not None and self.ended.reason is not None)

    @property
    def ear(self) -> Connection | socket.socket:
        """Where to wait for what it says next."""
        return self.calls if self.channel is None else self.channel.connection

    def hear(self, work: RankWork) -> FromRank | None:
        """What it says; None where it called, and got its work, or is gone."""
        try:
            if self.channel is not None:
                return self.channel.receive()
            called, _ = self.calls.accept()
            self.channel = Channel[ToRank, FromRank](Connection(called.detach()), FromRank)
            self.channel.send(work)
        except (EOFError, OSError):
            self.is_silent = self.ended is None
        return None

    def answer(self) -> None:
        """Where it has gone meanwhile, that is heard soon."""
        assert self.channel is not None
        with suppress(OSError):
            self.channel.send(Answer())

    def close(self) -> None:
        """Give back the sockets."""
        self.calls.close()
        if self.channel is not None:
            self.channel.connection.close()


class _Ranks:
    """The ranks, from when torchrun's agent starts them; killed at the end of the `with` block whatever they are doing."""

    def __init__(self, count: int, work: RankWork, *, has_gpu_each: bool) -> None:
        self.work = work
        self._open = ExitStack()
        # A folder that nobody else may enter.
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="assay-ranks-")))
        self.ranks = [_Rank(folder / str(rank)) for rank in range(count)]
        for one in self.ranks:
            self._open.callback(one.close)
        arguments = ("-m", "gpu_worker.rank_process", str(folder), str(os.getpid()))
        self.agent = RankAgent(count, arguments, has_gpu_each=has_gpu_each)

    def __enter__(self) -> Self:
        self._open.enter_context(self.agent)
        return self

    def __exit__(self, *_: object) -> None:
        if all(one.is_over and not one.has_failed for one in self.ranks):
            self.agent.wait(_LAST_WORDS_SECONDS)  # those that are done take leave of each other and end
        self._open.close()

    def attend(self, job: Job) -> None:
        """Serve the first rank until all are done.

        Raises:
            RankFailed, JobStopped
        """
        is_told = False
        while not all(one.is_over for one in self.ranks):
            if job.is_stopping() and not is_told:
                is_told = True
                self.agent.send_signal(0, signal.SIGTERM)
            self._serve(job)
            if is_told and self.ranks[0].is_over:
                raise JobStopped  # also one that was told before it could listen: there is a checkpoint in any case
            if any(one.has_failed for one in self.ranks):
                raise RankFailed(self._first_reason(job))

    def _serve(self, job: Job) -> None:
        ears = {one.ear: one for one in self.ranks if not one.is_over}
        heard = wait(list(ears), _POLL_SECONDS)
        for ear in heard:
            one = ears[ear]  # type: ignore[index]
            match one.hear(self.work):
                case Tell(progress=progress):
                    job.tell(progress)
                case Deliver(report=report):
                    job.report(report)
                    one.answer()
                case Ended() as ended:
                    one.ended = ended
        if not heard and self.agent.is_over:
            for one in ears.values():
                one.is_silent = True

    def _first_reason(self, job: Job) -> Sentence:
        """Why one failed, rather than that others could not go on without it."""
        until = time.monotonic() + _LAST_WORDS_SECONDS
        while not all(one.is_over for one in self.ranks) and time.monotonic() < until:
            self._serve(job)
        reasons = [one.ended.reason for one in self.ranks if one.ended is not None and one.ended.reason is not None]
        silent = [rank for rank, one in enumerate(self.ranks) if one.is_silent]  # by itself: who is left is killed now
        self.agent.end()
        codes = self.agent.failures()
        for rank in silent:
            job.log.error("rank %s ended without a word (exit code %s)", rank, codes.get(rank))
        reasons += [self._reason_of_silence(codes.get(rank)) for rank in silent]
        return min(reasons, key=lambda reason: reason.text == RankLost.message)

    def _reason_of_silence(self, code: int | None) -> Sentence:
        if code is None or code in _ENDED_BY_TORCH:
            return RankLost(count=len(self.ranks)).sentence
        return reason_of_exit(code)


def _written(value: Any) -> object:
    if isinstance(value, DecodedImages):
        return value.place()
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError


def _read(kind: type[T], written: Any) -> Any:
    if kind is DecodedImages:
        return DecodedImages.at(written)
    if issubclass(kind, Path):
        return Path(written)
    raise NotImplementedError
