"""What the command side needs from outside; the adapters live in `infra`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from domain.artifacts import Artifact
from domain.data_paths import FolderName, Inspection
from domain.facts import Recorded, State
from domain.users import Belongings

S = TypeVar("S", bound=State)


VersionConflict: TypeAlias = IntegrityError
"""Another command changed one of the aggregates first; nothing was stored. A signal to decide again, never seen by people."""


class Log(Protocol):
    """The append-only log."""

    def load(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        """The present state, None where nothing ever happened to this aggregate."""

    def append(self, events: Sequence[Recorded]) -> int:
        """Store all events or none; returns the log position of the last one.

        Raises:
            VersionConflict: one of the (aggregate, version) pairs is stored already.
        """


class Passwords(Protocol):
    """Password hashing."""

    def hash(self, password: str) -> str:
        """A salted hash in PHC string format."""

    def verify(self, password_hash: str, password: str) -> bool:
        """Whether `password` belongs to the hash."""


class DataFolders(Protocol):
    """Folders of images on storage that the server and the workers share.

    Every answer comes within about a second: of a large folder it is SCANNING, with what was seen so far, and the whole answer is
    made in the background. Of storage that hangs there is none: all of them raise FolderDoesNotAnswer after a few seconds.
    """

    def inspect_paths(self, typed_paths: Sequence[str]) -> list[Inspection]:
        """Look into paths as a person typed them; INVALID when outside the data roots, unreadable or without images."""

    def inspect_folders(self, folders: Sequence[FolderName]) -> list[Inspection]:
        """Look into known folders, where they have changed since the last look."""

    def scan_again(self, folders: Sequence[FolderName]) -> list[Inspection]:
        """Look into known folders anew in any case."""


class Archives(Protocol):
    """Image archives on the server."""

    def find(self, typed: str) -> FolderName:
        """The archive that a person named by its path.

        Raises:
            ArchiveNotFound: there is no file there, or it lies outside the archive roots.
        """

    def uploaded(self, upload_id: UUID, owner: UUID) -> FolderName:
        """The archive that a person uploaded; it is kept from expiring for a while longer.

        Raises:
            UploadIsGone: there is no such upload of this owner.
            UploadIsIncomplete: not all of it has arrived.
        """

    def check(self, archive: FolderName) -> None:
        """Whether a known archive is still there.

        Raises:
            ArchiveNotFound
        """


class StoredFiles(Protocol):
    """The storage that the server and the workers share."""

    def is_intact(self, artifact: Artifact) -> bool:
        """Whether a file lies there as it was stored; all of it is read."""


class Ownership(Protocol):
    """Who owns how much, as far as it is known."""

    def belongings(self, user_id: UUID) -> Belongings:
        """What a user owns now, what was inherited included; what was begun a moment ago may be missing."""


@dataclass(frozen=True)
class Ports:
    """Everything from outside that handlers may use."""

    passwords: Passwords
    data_folders: DataFolders
    archives: Archives
    ownership: Ownership
    stored_files: StoredFiles
    max_attempts: int = 3
    """How many workers may fall silent over one run before it fails."""
