"""The job's process as the head of a team of ranks: it starts them, passes on what the first one says, and ends them all when one
fails. It trains nothing itself, so nothing that a rank or a device does can hang it.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from torch.distributed import TCPStore  # type: ignore[attr-defined]

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
from gpu_worker.reasons import reason_of_exit
from gpu_worker.settings import TrainingSettings
from gpu_worker.team import RankLost

T = TypeVar("T")
_POLL_SECONDS: Final = 0.2
_LAST_WORDS_SECONDS: Final = 3.0
"""When one rank fails the others notice, too; who failed first may be heard last."""
_EXIT_SECONDS: Final = 60.0
"""A process that fell silent is about to end; how it does tells why, and a busy machine takes its time."""


class RankWork(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To a rank, once: train this part from its checkpoint in the workspace. `prepared` names a file for `load_prepared`."""

    rank: int
    count: int
    port: int
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
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with _Ranks(count) as ranks:
        for rank, process in enumerate(ranks.processes):
            process.send(
                RankWork(
                    rank=rank,
                    count=count,
                    port=store.port,
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
            )
        ranks.attend(job)


def save_prepared(prepared: Prepared, file: Path) -> None:
    """For the ranks, which need not read and decode the images again."""
    file.write_bytes(msgspec.msgpack.encode(prepared, enc_hook=_written))


def load_prepared(file: Path) -> Prepared:
    """What `save_prepared` wrote."""
    return msgspec.msgpack.decode(file.read_bytes(), type=Prepared, dec_hook=_read)


class _RankProcess:
    def __init__(self, rank: int) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gpu_worker.rank_process", str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **_network_of_this_machine(), **_gpu_of(rank)},
            )
            self.channel = Channel[ToRank, FromRank](Connection(ours.detach()), FromRank)
        self.ended: Ended | None = None

    def send(self, frame: ToRank) -> None:
        """To a rank that has ended nothing can be said; that it has is heard soon."""
        with suppress(OSError):
            self.channel.send(frame)

    def last_words(self, count: int) -> Ended:
        """Of one of so many ranks that ended without any, how its process did."""
        try:
            return Ended(reason_of_exit(self.process.wait(_EXIT_SECONDS)))
        except subprocess.TimeoutExpired:
            return Ended(RankLost(count=count).sentence)


class _Ranks:
    """The processes, killed at the end of the `with` block whatever they are doing."""

    def __init__(self, count: int) -> None:
        self.processes = [_RankProcess(rank) for rank in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.processes:
            one.process.kill()
        for one in self.processes:
            one.process.wait()
            one.channel.connection.close()

    def attend(self, job: Job) -> None:
        """Serve the first rank until all are done.

        Raises:
            RankFailed, JobStopped
        """
        is_told = False
        while any(one.ended is None for one in self.processes):
            if job.is_stopping() and not is_told:
                is_told = True
                self.processes[0].process.send_signal(signal.SIGTERM)
            self._serve(job)
            ends = [one.ended for one in self.processes if one.ended is not None]
            if is_told and self.processes[0].ended is not None:
                raise JobStopped  # also one that was told before it could listen: there is a checkpoint in any case
            if any(ended.reason is not None for ended in ends):
                raise RankFailed(self._first_reason(job))

    def _serve(self, job: Job) -> None:
        talking = {one.channel.connection: one for one in self.processes if one.ended is None}
        for connection in wait(list(talking), _POLL_SECONDS):
            one = talking[connection]  # type: ignore[index]
            try:
                frame = one.channel.receive()
            except (EOFError, OSError):
                one.ended = one.last_words(len(self.processes))
                continue
            match frame:
                case Tell(progress=progress):
                    job.tell(progress)
                case Deliver(report=report):
                    job.report(report)
                    one.send(Answer())
                case Ended():
                    one.ended = frame

    def _first_reason(self, job: Job) -> Sentence:
        """Why one failed, rather than that others could not go on without it."""
        until = time.monotonic() + _LAST_WORDS_SECONDS
        while any(one.ended is None for one in self.processes) and time.monotonic() < until:
            self._serve(job)
        reasons = [one.ended.reason for one in self.processes if one.ended is not None and one.ended.reason is not None]
        return min(reasons, key=lambda reason: reason.text == RankLost.message)


def _network_of_this_machine() -> dict[str, str]:
    """Ranks of one job meet on one machine; a host name that nobody can resolve must not keep them apart."""
    return {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


def _gpu_of(rank: int) -> dict[str, str]:
    """A rank sees its own GPU only."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return {"CUDA_VISIBLE_DEVICES": visible[rank].strip() if rank < len(visible) and visible[0] else str(rank)}


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
