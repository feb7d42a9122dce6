"""Files on shared storage, addressed by checksum. The log holds their checksums, never their content."""

import msgspec


class Artifact(msgspec.Struct, frozen=True):
    """One immutable file: `checksum` is its SHA-256 in lower-case hex, `size` is in bytes."""

    checksum: str
    size: int
