"""What a worker is given from outside: a mailbox, an artifact store and the mounted roots."""

from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import AnyReport, Heartbeat, JobKind, Message, Resources
from domain.refusals import Refusal
from domain.sentences import N_


class FolderNotFound(Refusal):
    """A root may be unmounted, or the folder was moved after it was bound."""

    message = N_("“{folder}” cannot be read on the worker. Put it back or mount its root there, then start again.")


class Mailbox(Protocol):
    """Where jobs come from and reports go. `beat` is called from another thread than `take` and `report`."""

    def take(self, offered: Resources) -> Message | None:
        """The next message whose claim succeeded; None after a short wait when nothing waits."""

    def report(self, report: AnyReport) -> None:
        """Deliver a report. Anything else that is raised, within seconds, means that it was not delivered yet; it is given again.

        Raises:
            AttemptIsOver: the attempt is no longer ours.
        """

    def beat(self, heartbeat: Heartbeat) -> bool:
        """True: go on; False: stop now, the job was terminated or given to someone else."""


JobOutcome: TypeAlias = Literal["done", "failed", "released", "over", "lost"]
"""How an attempt ended here: released because the worker was told to stop, over because it was terminated or given to another
worker, lost because a report could not be delivered."""


class Observer(Protocol):
    """Hears how the worker fares."""

    def job_taken(self, kind: JobKind) -> None:
        """A job begins here."""

    def job_left(self, kind: JobKind, outcome: JobOutcome, seconds: float) -> None:
        """It ended here, so long after it was taken."""


class Artifacts(Protocol):
    """Content-addressed shared storage."""

    def keep(self, file: Path) -> Artifact:
        """Store a file; it may be moved, so the caller needs it no more."""

    def path(self, artifact: Artifact) -> Path:
        """Where the artifact can be read.

        Raises:
            FileNotFoundError
        """


class Folders(Protocol):
    """Configured roots as this machine mounts them."""

    def resolve(self, folder: FolderName) -> Path:
        """The real path of a folder or file, links followed.

        Raises:
            FolderNotFound: it is outside its root or gone. Any other refusal means the same.
        """
