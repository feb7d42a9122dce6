"""Content-addressed files on shared storage: written once, never changed, named by their SHA-256."""

import hashlib
import os
import secrets
import shutil
from pathlib import Path

from domain.artifacts import Artifact

_BLOCK = 1 << 20


class Artifacts:
    """The artifact store below one folder that the server and every worker mount."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, file: Path) -> Artifact:
        """Store a file under its checksum; `file` may be moved. A file that is stored already is not stored twice.

        Raises:
            OSError: the disk is full, or `file` cannot be read.
        """
        checksum, size = _identity(file)
        artifact = Artifact(checksum, size)
        place = self._place(artifact)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            beside = place.with_name(f".{checksum}.{secrets.token_hex(4)}")
            try:
                _take(file, beside)
                beside.chmod(0o644)  # the web server may run as another user than the worker
                _sync(beside)
                beside.rename(place)
                _sync(place.parent)
            finally:
                beside.unlink(missing_ok=True)
        return artifact

    def path(self, artifact: Artifact) -> Path:
        """Where the file lies.

        Raises:
            FileNotFoundError: it is not on this storage.
        """
        place = self._place(artifact)
        if not place.is_file():
            raise FileNotFoundError(f"artifact {artifact.checksum} is not in {self._folder}")
        return place

    def read(self, artifact: Artifact) -> bytes:
        """The whole content, for files that are known to be small.

        Raises:
            FileNotFoundError: it is not on this storage.
        """
        return self.path(artifact).read_bytes()

    def _place(self, artifact: Artifact) -> Path:
        return self._folder / artifact.checksum[:2] / artifact.checksum


def _identity(file: Path) -> tuple[str, int]:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
        return digest.hexdigest(), content.tell()


def _take(file: Path, place: Path) -> None:
    try:
        file.rename(place)
    except OSError:  # another file system
        shutil.copyfile(file, place)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
