"""Files on shared storage, addressed by checksum. The log holds their checksums, never their content."""

import msgspec

from domain.refusals import NotFound
from domain.sentences import N_


class Artifact(msgspec.Struct, frozen=True):
    """One immutable file: `checksum` is its SHA-256 in lower-case hex, `size` is in bytes."""

    checksum: str
    size: int


class FileIsGone(NotFound):
    """The log knows the file, the storage does not."""

    message = N_("The file is missing on the server's storage. Ask your administrator to restore it from the backup.")


class FileIsDamaged(FileIsGone):
    """What lies on the storage under the file's name is not the file any more."""

    message = N_("The file is damaged on the server's storage. Ask your administrator to restore it from the backup.")
