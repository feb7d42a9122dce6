"""Content-addressed files on shared storage: written once, never changed, named by their SHA-256."""

import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from domain.artifacts import Artifact, FileIsDamaged, FileIsGone
from infra.disks import sync

_FOR_EVERYBODY, _FOR_ITS_OWNER = 0o644, 0o600
"""Modes of files: the web server may run as another user than the worker; a backup is its owner's only."""
_log = logging.getLogger(__name__)


class ArtifactIsDamaged(Exception):
    """A stored file is not what its name says."""


class Artifacts:
    """The artifact store below one folder that the server and every worker mount."""

    def __init__(self, folder: Path, *, is_private: bool = False) -> None:
        """What is kept in a private store can be read by its owner only."""
        self.folder = folder
        self._mode = _FOR_ITS_OWNER if is_private else _FOR_EVERYBODY

    def keep(self, file: Path) -> Artifact:
        """Store a file under its checksum; `file` may be moved. A file that is stored already is not stored twice, but touched, so
        that whoever is about to remove it sees that it is wanted again. One that was damaged since takes its right content again.

        Raises:
            OSError: the disk is full, or `file` cannot be read.
        """
        artifact = _identity(file)
        place = self.place(artifact)
        if not (self.is_intact(artifact) and self._touch(place)):
            with self._beside(place) as beside:
                _take(file, beside)
        return artifact

    def take(self, artifact: Artifact, source: "Artifacts") -> None:
        """Store a copy of what another store holds.

        Raises:
            FileNotFoundError: it does not hold it.
            ArtifactIsDamaged: what it holds is something else.
            OSError: the disk is full, or the file cannot be read.
        """
        with self._beside(self.place(artifact)) as beside:
            shutil.copyfile(source.path(artifact), beside)
            if _identity(beside) != artifact:
                raise ArtifactIsDamaged(f"{source.path(artifact)} is not what its name says")

    def has(self, artifact: Artifact) -> bool:
        """Whether a file of that name and size is there; nothing is read."""
        with suppress(OSError):
            place = self.place(artifact)
            return place.is_file() and place.stat().st_size == artifact.size
        return False

    def check(self, artifact: Artifact) -> None:
        """Read a file and compare it with its name.

        Raises:
            FileNotFoundError: it is not on this storage.
            ArtifactIsDamaged: it is something else.
            OSError: it cannot be read.
        """
        if _identity(self.path(artifact)) != artifact:
            raise ArtifactIsDamaged(f"{self.place(artifact)} is not what its name says")

    def is_intact(self, artifact: Artifact) -> bool:
        """Whether the file is there and what its name says; all of it is read."""
        if not self.has(artifact):
            return False
        with suppress(FileNotFoundError, ArtifactIsDamaged):
            self.check(artifact)
            return True
        return False

    def path(self, artifact: Artifact) -> Path:
        """Where the file is to be read.

        Raises:
            FileNotFoundError: it is not on this storage.
        """
        place = self.place(artifact)
        if not place.is_file():
            raise FileNotFoundError(f"artifact {artifact.checksum} is not in {self.folder}")
        return place

    def intact(self, artifact: Artifact, *, by_content: bool = False) -> Path:
        """Where a file is to be read that somebody waits for: it has its size, by its content also its checksum, for which all
        of it is read.

        Raises:
            FileIsGone
            FileIsDamaged
        """
        try:
            path = self.path(artifact)
            found_bytes = path.stat().st_size
            if found_bytes == artifact.size and by_content:
                self.check(artifact)
        except FileNotFoundError as error:
            _log.error("artifact_missing", extra={"checksum": artifact.checksum})
            raise FileIsGone from error
        except ArtifactIsDamaged as error:
            _log.error("artifact_has_wrong_content", extra={"checksum": artifact.checksum})
            raise FileIsDamaged from error
        if found_bytes != artifact.size:
            _log.error("artifact_has_wrong_size", extra={"checksum": artifact.checksum, "found_bytes": found_bytes})
            raise FileIsDamaged
        return path

    def read(self, artifact: Artifact) -> bytes:
        """The whole content, for files that are known to be small.

        Raises:
            FileNotFoundError: it is not on this storage.
        """
        return self.path(artifact).read_bytes()

    def untouched(self, seconds: float) -> Iterator[Artifact]:
        """Files that nobody has kept for so long, in no order."""
        before = time.time() - seconds
        for file in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):
                found = file.stat()
                if found.st_mtime < before and not file.name.startswith("."):
                    yield Artifact(file.name, found.st_size)

    def remove(self, artifact: Artifact, *, untouched_seconds: float) -> bool:
        """Remove a file, unless somebody kept the same content within the last `untouched_seconds`, or holds everything. Returns
        whether it is gone.

        Raises:
            OSError: the storage does not let it go.
        """
        place = self.place(artifact)
        with self._locked():
            try:
                if self._is_held():
                    return not place.exists()
                if time.time() - place.stat().st_mtime < untouched_seconds:
                    return False
                place.unlink()
            except FileNotFoundError:
                return True
        sync(place.parent)
        return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is removed meanwhile, by no process of any machine: for who copies what the log names at one moment."""
        with self._lock_file(".held") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    def _is_held(self) -> bool:
        with self._lock_file(".held") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def _beside(self, place: Path) -> Iterator[Path]:
        """A file beside the place, which takes the name once it is whole and on the disk."""
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        try:
            yield beside
            beside.chmod(self._mode)
            sync(beside)
            os.utime(beside)
            with self._locked():
                beside.rename(place)
            sync(place.parent)
        finally:
            beside.unlink(missing_ok=True)

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
        with self._lock_file(".lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _lock_file(self, name: str) -> Iterator[int]:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with suppress(PermissionError):  # whoever made it lets the other processes' users in
                os.fchmod(lock, 0o666)
            yield lock
        finally:
            os.close(lock)

    def place(self, artifact: Artifact) -> Path:
        """Where the file lies, or would lie."""
        return self.folder / artifact.checksum[:2] / artifact.checksum


def _identity(file: Path) -> Artifact:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
        return Artifact(digest.hexdigest(), content.tell())


def _take(file: Path, place: Path) -> None:
    try:
        file.rename(place)
    except OSError:  # another file system
        shutil.copyfile(file, place)
