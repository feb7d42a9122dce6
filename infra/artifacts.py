"""Content-addressed files on shared storage: written once, never changed, named by their SHA-256."""

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from domain.artifacts import Artifact

_BLOCK = 1 << 20


class Artifacts:
    """The artifact store below one folder that the server and every worker mount."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, file: Path) -> Artifact:
        """Store a file under its checksum; `file` may be moved. A file that is stored already is not stored twice, but touched, so
        that whoever is about to remove it sees that it is wanted again.

        Raises:
            OSError: the disk is full, or `file` cannot be read.
        """
        checksum, size = _identity(file)
        artifact = Artifact(checksum, size)
        place = self._place(artifact)
        if not self._touch(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            beside = place.with_name(f".{checksum}.{secrets.token_hex(4)}")
            try:
                _take(file, beside)
                beside.chmod(0o644)  # the web server may run as another user than the worker
                _sync(beside)
                os.utime(beside)
                with self._locked():
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

    def untouched(self, seconds: float) -> Iterator[Artifact]:
        """Files that nobody has kept for so long, in no order."""
        before = time.time() - seconds
        for file in self._folder.glob("??/*"):
            with suppress(FileNotFoundError):
                found = file.stat()
                if found.st_mtime < before and not file.name.startswith("."):
                    yield Artifact(file.name, found.st_size)

    def remove(self, artifact: Artifact, *, untouched_seconds: float) -> bool:
        """Remove a file, unless somebody kept the same content within the last `untouched_seconds`. Returns whether it is gone.

        Raises:
            OSError: the storage does not let it go.
        """
        place = self._place(artifact)
        with self._locked():
            try:
                if time.time() - place.stat().st_mtime < untouched_seconds:
                    return False
                place.unlink()
            except FileNotFoundError:
                return True
        _sync(place.parent)
        return True

    def _touch(self, place: Path) -> bool:
        """Whether the file is there, now newer; one that another user stored cannot be touched and is stored again."""
        if not place.exists():
            return False
        with self._locked():
            try:
                os.utime(place)
            except (FileNotFoundError, PermissionError):
                return False
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Between looking at a file and removing it nobody may begin to rely on it. Held for a system call or two."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with suppress(PermissionError):  # whoever made it lets the other processes' users in
                os.fchmod(lock, 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

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
