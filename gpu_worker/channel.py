"""What a worker and the process of its job say to each other: MessagePack frames over a socket pair, never pickled objects."""

from multiprocessing.connection import Connection
from typing import Generic, TypeAlias, TypeVar

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import AnyReport, Message, Resources
from domain.sentences import Sentence
from gpu_worker.jobs import Progress
from gpu_worker.settings import TrainingSettings

S = TypeVar("S")
R = TypeVar("R")


class Work(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To the job's process, once: do this. Paths are absolute."""

    message: Message
    worker: str
    cpu_cores: int
    workspace: str
    decoded: str
    settings: TrainingSettings


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """To the job's process: what it asked for, or why not."""

    artifact: Artifact | None = None
    path: str = ""
    refusal: Sentence | None = None


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From the job's process: its libraries are loaded; this is what the machine offers."""

    resources: Resources


class Tell(msgspec.Struct, frozen=True, tag=True):
    """For the next heartbeat. Needs no answer; everything below does, until `Ended`."""

    progress: Progress


class Deliver(msgspec.Struct, frozen=True, tag=True):
    """Report this."""

    report: AnyReport


class Keep(msgspec.Struct, frozen=True, tag=True):
    """Store this file as an artifact."""

    file: str


class Locate(msgspec.Struct, frozen=True, tag=True):
    """Where is this artifact?"""

    artifact: Artifact


class Resolve(msgspec.Struct, frozen=True, tag=True):
    """Where is this folder, among the data roots or the archive roots?"""

    folder: FolderName
    is_archive: bool


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The job is over: done, stopped by a shutdown, or failed for a reason."""

    reason: Sentence | None = None
    is_stopped: bool = False


FromJob: TypeAlias = Ready | Tell | Deliver | Keep | Locate | Resolve | Ended
ToJob: TypeAlias = Work | Answer


class Channel(Generic[S, R]):
    """One end: sends frames of kind S, receives frames of kind R."""

    def __init__(self, connection: Connection, receives: object) -> None:
        self.connection = connection
        self._decoder: msgspec.msgpack.Decoder[R] = msgspec.msgpack.Decoder(receives)

    def send(self, frame: S) -> None:
        """Raises OSError when the other side is gone."""
        self.connection.send_bytes(msgspec.msgpack.encode(frame))

    def receive(self) -> R:
        """Wait for the next frame.

        Raises:
            EOFError, OSError: the other side is gone.
        """
        return self._decoder.decode(self.connection.recv_bytes())
