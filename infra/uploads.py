"""Uploads on storage that the server and the workers share: a folder each, so that equal file names of two people never meet.

`<folder>/<upload id>/upload.json` says whose file is coming; `part` is what has arrived, in the order of its bytes, and takes the
file's name once it is complete. What the disk holds is the truth: after a crash an upload goes on from there, or expires.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Final
from uuid import UUID, uuid4

import msgspec

from domain.data_paths import FolderName
from domain.model_images import archive_name
from domain.uploads import (
    StorageHasNoRoom,
    StorageIsFull,
    Upload,
    UploadGrewTooLong,
    UploadIsEmpty,
    UploadIsGone,
    UploadIsIncomplete,
    as_gib,
    check_count,
    check_size,
)
from infra.disks import DISK_IS_FULL
from infra.metrics import UPLOADED_BYTES, UPLOADS

ROOT: Final = ".uploads"
"""The name of this folder beside the archive roots; no root of the settings can have it."""

_DESCRIPTION, _PART = "upload.json", "part"
_LONGEST_MARK = 100


class _Description(msgspec.Struct, frozen=True):
    """`mark` tells a file from another one of the same name and size: the time of its last change, as the browser says it."""

    owner: UUID
    file_name: str
    size: int
    mark: str


class Uploads:
    """The uploads of everybody."""

    def __init__(
        self,
        folder: Path,
        *,
        most_bytes: int,
        keep_free_bytes: int,
        keep_seconds: float,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """`keep_free_bytes` of the storage are left to others; an upload that nothing happens to for `keep_seconds` expires."""
        self.folder = folder
        self._most_bytes, self._keep_free_bytes, self._keep_seconds = most_bytes, keep_free_bytes, keep_seconds
        self._free_bytes = free_bytes
        self._beginning = Lock()

    def begin(self, owner: UUID, file_name: str, size: int, mark: str = "") -> Upload:
        """Make room for a file of `size` bytes, or find what has arrived of the same file before (`mark` is not empty then).

        Raises:
            ArchiveNameIsInvalid, TooManyUploads, UploadIsEmpty, UploadIsTooLarge, StorageHasNoRoom
        """
        archive_name(file_name)
        asked = _Description(owner, file_name, size, mark[:_LONGEST_MARK])
        with self._beginning:  # the same room, and the last of so many uploads, is promised to one only
            return self._begin(asked)

    def _begin(self, asked: _Description) -> Upload:
        begun = self._all()
        known = next((upload for upload, described in begun if asked.mark and described == asked), None)
        if known is not None:
            return known
        check_count(sum(described.owner == asked.owner for _, described in begun))
        self.folder.mkdir(parents=True, exist_ok=True)
        promised = sum(upload.size - upload.received for upload, _ in begun)
        free = self._free_bytes(self.folder) - self._keep_free_bytes - promised
        check_size(asked.size, limit=self._most_bytes, free=free)
        upload_id = uuid4()
        place = self.folder / str(upload_id)
        try:
            place.mkdir()
            (place / _PART).touch()
            (place / _DESCRIPTION).write_bytes(msgspec.json.encode(asked))
        except OSError as error:
            if error.errno not in DISK_IS_FULL:
                raise
            _remove(place)
            raise StorageHasNoRoom(size_gib=as_gib(asked.size), free_gib=0.0) from error
        UPLOADS.labels("begun").inc()
        return Upload(upload_id=upload_id, file_name=asked.file_name, size=asked.size, received=0)

    def find(self, upload_id: UUID, owner: UUID) -> Upload:
        """How far an upload is.

        Raises:
            UploadIsGone: it is somebody else's, was dropped, or has expired.
        """
        upload, _ = self._find(upload_id, owner)
        return upload

    def of(self, owner: UUID) -> list[Upload]:
        """What a person has begun, the furthest first."""
        own = (upload for upload, described in self._all() if described.owner == owner)
        return sorted(own, key=lambda upload: -upload.share)

    def open(self, upload_id: UUID, owner: UUID, offset: int) -> "Arriving | None":
        """Go on writing at `offset`. None where that is not the end of what has arrived, and while another request writes,
        perhaps one whose connection broke and that has not noticed yet.

        Raises:
            UploadIsGone
        """
        upload, described = self._find(upload_id, owner)
        if upload.is_complete:
            return None
        place = self.folder / str(upload_id)
        try:
            part = (place / _PART).open("r+b", buffering=0)
        except FileNotFoundError:
            raise UploadIsGone from None
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            part.close()
            return None
        if part.seek(0, os.SEEK_END) != offset:
            part.close()
            return None
        return Arriving(place, part, upload_id, described.file_name, described.size)

    def drop(self, upload_id: UUID, owner: UUID) -> None:
        """Cancel an upload: nothing of it is left.

        Raises:
            UploadIsGone
        """
        self._find(upload_id, owner)
        _remove(self.folder / str(upload_id))

    def archive(self, upload_id: UUID, owner: UUID) -> FolderName:
        """A complete upload as an archive, kept from expiring for another while.

        Raises:
            UploadIsGone, UploadIsIncomplete
        """
        upload = self.find(upload_id, owner)
        if not upload.is_complete:
            raise UploadIsIncomplete(file=upload.file_name, percent=int(100 * upload.share))
        os.utime(self.folder / str(upload_id) / upload.file_name)
        return FolderName(ROOT, f"{upload_id}/{upload.file_name}")

    def sweep(
        self,
        *,
        loading: Collection[str],
        loaded: Collection[str],
        now: float | None = None,
        is_removing: bool = True,
    ) -> int:
        """Remove what was `loaded` and what has expired, but nothing that is `loading`; both are paths below this folder.

        Returns how many were removed, or would be.
        """
        expired_at = (time.time() if now is None else now) - self._keep_seconds
        needed, done = ({path.partition("/")[0] for path in paths} for paths in (loading, loaded))
        count = 0
        for place in self.folder.iterdir() if self.folder.is_dir() else ():
            if place.name not in needed and (place.name in done or _touched_at(place) < expired_at):
                if is_removing:
                    _remove(place)
                count += 1
        return count

    def _find(self, upload_id: UUID, owner: UUID) -> tuple[Upload, _Description]:
        found = self._read(self.folder / str(upload_id))
        if found is None or found[1].owner != owner:
            raise UploadIsGone
        return found

    def _all(self) -> list[tuple[Upload, _Description]]:
        places = self.folder.iterdir() if self.folder.is_dir() else ()
        return [found for place in places if (found := self._read(place)) is not None]

    def _read(self, place: Path) -> tuple[Upload, _Description] | None:
        """None for what is just being made or removed."""
        try:
            described = msgspec.json.decode((place / _DESCRIPTION).read_bytes(), type=_Description)
            complete = place / described.file_name
            received = described.size if complete.is_file() else (place / _PART).stat().st_size
            if received == described.size and not complete.is_file():  # a crash came between the last byte and the name
                (place / _PART).rename(complete)
            upload_id = UUID(place.name)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None
        return (
            Upload(upload_id=upload_id, file_name=described.file_name, size=described.size, received=received),
            described,
        )


class Arriving:
    """What one request writes to an upload. Nobody else can meanwhile; close it whatever happens."""

    def __init__(self, place: Path, part: FileIO, upload_id: UUID, file_name: str, size: int) -> None:
        self._place, self._part = place, part
        self._upload_id, self._file_name, self._size = upload_id, file_name, size
        self._received = part.tell()

    def write(self, piece: bytes) -> None:
        """Add to the end.

        Raises:
            StorageIsFull, UploadGrewTooLong: nothing is left of the upload.
        """
        if self._received + len(piece) > self._size:
            _remove(self._place)
            raise UploadGrewTooLong(file=self._file_name)
        try:
            left = memoryview(piece)
            while left:
                written = self._part.write(left)
                left, self._received = left[written:], self._received + written
                UPLOADED_BYTES.inc(written)
        except OSError as error:
            raise self._given_up(error) from error

    def finish(self) -> Upload:
        """All bytes have arrived, fewer than were announced or not: the file takes its name.

        Raises:
            UploadIsEmpty, StorageIsFull: nothing is left of the upload.
            UploadIsGone: it was dropped meanwhile.
        """
        if not self._received:
            _remove(self._place)
            raise UploadIsEmpty
        try:
            os.fsync(self._part.fileno())
            if self._received != self._size:
                description = self._place / _DESCRIPTION
                described = msgspec.json.decode(description.read_bytes(), type=_Description)
                description.write_bytes(msgspec.json.encode(msgspec.structs.replace(described, size=self._received)))
                self._size = self._received
            if not (self._place / self._file_name).is_file():
                (self._place / _PART).rename(self._place / self._file_name)
                UPLOADS.labels("complete").inc()
        except FileNotFoundError:
            raise UploadIsGone from None
        except OSError as error:
            raise self._given_up(error) from error
        return self.upload

    def _given_up(self, error: OSError) -> Exception:
        """What to say of a write that failed. A full disk gets its room back; anything else may be mended, to go on then."""
        if error.errno not in DISK_IS_FULL:
            return error
        _remove(self._place)
        return StorageIsFull(percent=100 * self._received // self._size)

    @property
    def upload(self) -> Upload:
        """How far it is."""
        return Upload(upload_id=self._upload_id, file_name=self._file_name, size=self._size, received=self._received)

    def close(self) -> None:
        """Let others go on."""
        self._part.close()


def _remove(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)


def _touched_at(place: Path) -> float:
    """When something last happened to an upload."""
    try:
        return max(path.stat().st_mtime for path in (place, *place.iterdir()))
    except FileNotFoundError:  # it is just being removed
        return time.time()
