"""Files that only their owner reads."""

import os
import secrets
from pathlib import Path


def write_private(place: Path, content: bytes) -> None:
    """A file that its owner only reads, whole or not at all; one that was there is replaced."""
    _write_beside(place, content).rename(place)


def kept(place: Path, fresh_content: bytes) -> bytes:
    """What a file holds; where there is none, `fresh_content` from now on, or what somebody wrote at the same moment."""
    if not place.exists():
        fresh = _write_beside(place, fresh_content)
        try:
            os.link(fresh, place)  # unlike a rename this never replaces the secret of a process that was faster
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return place.read_bytes()


def _write_beside(path: Path, content: bytes) -> Path:
    """A finished file, readable by its owner only, beside `path`, on disk before it takes the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return beside
