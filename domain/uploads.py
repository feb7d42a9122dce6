"""Uploads (本地文件上传): files on their way from a browser to storage (I-2).

No aggregate: an upload decides nothing until it is imported. It belongs to one user, can go on where it broke off, and expires.
"""

from uuid import UUID

import msgspec

from domain.refusals import Refusal
from domain.sentences import N_

BYTES_OF_A_GIB = 1 << 30
MOST_OF_ONE_PERSON = 20
"""Uploads that one person may have on the storage; each keeps the room free that its file will need."""
_LARGEST_SHOWN = 1 << 62


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """How far a file has come; sizes are in bytes."""

    upload_id: UUID
    file_name: str
    size: int
    received: int

    @property
    def is_complete(self) -> bool:
        """Whether it can be imported."""
        return self.received == self.size

    @property
    def share(self) -> float:
        """0..1."""
        return self.received / self.size


class UploadIsEmpty(Refusal):
    """Nothing to load."""

    field = "file"
    message = N_("This file is empty. Choose the archive that was built.")


class TooManyUploads(Refusal):
    """Nobody takes the whole storage by beginning files that never come."""

    field = "file"
    message = N_("{count} of your uploads wait to be finished or imported. Import or cancel one of them first.")


class UploadIsTooLarge(Refusal):
    """The setting says how large."""

    field = "file"
    message = N_(
        "The file has {size_gib} GiB; at most {limit_gib} GiB can be uploaded. Copy it to the server and import it from there."
    )


class StorageHasNoRoom(Refusal):
    """Said before the first byte travels."""

    field = "file"
    message = N_(
        "The server's storage has room for {free_gib} GiB more, the file needs {size_gib} GiB. Delete what is needed no more, "
        "then upload it again."
    )


class StorageIsFull(Refusal):
    """Something else took the room meanwhile."""

    field = "file"
    message = N_(
        "The server's storage became full at {percent} %. What had arrived was removed. Make room, then upload the file again."
    )


class UploadIsGone(Refusal):
    """Cancelled, expired, or somebody else's."""

    field = "file"
    message = N_("This upload was cancelled or has expired. Choose the file again.")


class UploadIsIncomplete(Refusal):
    """It broke off."""

    field = "file"
    message = N_("“{file}” has arrived to {percent} % only. Choose it again to go on, then import it.")


class UploadGrewTooLong(Refusal):
    """More bytes than the file was said to have: it changed while it was read."""

    field = "file"
    message = N_("“{file}” has changed during the upload. What had arrived was removed; choose it again.")


class NoFileChosen(Refusal):
    """A form without its file."""

    field = "file"
    message = N_("Choose a file.")


def as_gib(size: int) -> float:
    """Bytes as a person compares them, one decimal."""
    return round(min(size, _LARGEST_SHOWN) / BYTES_OF_A_GIB, 1)


def check_count(count: int) -> None:
    """Whether somebody who has `count` uploads may begin another.

    Raises:
        TooManyUploads
    """
    if count >= MOST_OF_ONE_PERSON:
        raise TooManyUploads(count=count)


def check_size(size: int, *, limit: int, free: int) -> None:
    """Whether a file of `size` bytes may come: no larger than `limit`, and no more than the `free` bytes that storage can give.

    Raises:
        UploadIsEmpty, UploadIsTooLarge, StorageHasNoRoom
    """
    if size <= 0:
        raise UploadIsEmpty
    if size > limit:
        raise UploadIsTooLarge(size_gib=as_gib(size), limit_gib=as_gib(limit))
    if size > free:
        raise StorageHasNoRoom(size_gib=as_gib(size), free_gib=as_gib(max(0, free)))
