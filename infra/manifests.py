"""Manifests of jobs: read by the page however long they are, and compared with the images as they lie there now."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from domain.artifacts import Artifact, FileIsDamaged, FileIsGone
from domain.data_paths import FolderDoesNotAnswer, FolderName
from domain.messages import ManifestEntry
from domain.provenance import ImageListIsDamaged, ImageListIsGone, ImageState, ManifestImage
from domain.refusals import Refusal
from infra.artifacts import Artifacts
from infra.bounded_looks import BoundedLooks
from infra.data_folders import DataFolders

LINES_BETWEEN_MARKS = 100
"""Where every hundredth line begins is remembered, so that a late page is as soon there as the first one."""
MANIFESTS_REMEMBERED = 16


class _Marks(msgspec.Struct, frozen=True):
    """Where every so many lines of a file begin, and how many lines there are."""

    offsets: tuple[int, ...]
    line_count: int


class Manifests:
    """The manifests on shared storage, and the images below the data roots."""

    def __init__(self, artifacts: Artifacts, data_folders: DataFolders, looks: BoundedLooks | None = None) -> None:
        self._artifacts, self._folders, self._looks = artifacts, data_folders, looks or BoundedLooks()
        self._marks: OrderedDict[str, _Marks] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, manifest: Artifact) -> int:
        """How many images it names.

        Raises:
            ImageListIsGone, ImageListIsDamaged
        """
        return self._marks_of(manifest).line_count

    def entries(self, manifest: Artifact, first: int = 0, count: int | None = None) -> Iterator[ManifestEntry]:
        """Some images, from number `first` on, counted from 0; all of them where no count is given.

        Raises:
            ImageListIsGone, ImageListIsDamaged
        """
        marks = self._marks_of(manifest)
        decode = msgspec.json.Decoder(ManifestEntry).decode
        if first >= marks.line_count:
            return
        with self._file(manifest).open("rb") as lines:
            lines.seek(marks.offsets[first // LINES_BETWEEN_MARKS])
            begin, left = first % LINES_BETWEEN_MARKS, marks.line_count - first
            if count is not None:
                left = min(left, count)
            for line in islice(lines, begin, begin + left):
                try:
                    entry = decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise ImageListIsDamaged from error
                yield entry
                left -= 1
        if left:
            raise ImageListIsDamaged

    def checked(self, entries: Sequence[ManifestEntry], *, seconds: float) -> list[ManifestImage]:
        """Compare images with what they were. Those not reached within `seconds`, or whose storage hangs, stay unchecked."""
        until = time.monotonic() + seconds
        return [
            ManifestImage(entry, self._state_soon(entry) if time.monotonic() < until else ImageState.UNCHECKED)
            for entry in entries
        ]

    def _state_soon(self, entry: ManifestEntry) -> ImageState:
        try:
            return self._looks.look(entry.root, entry.path, lambda: self.state(entry))
        except FolderDoesNotAnswer:
            return ImageState.UNCHECKED

    def state(self, entry: ManifestEntry) -> ImageState:
        """What an image is now; all of it is read where its size is the same."""
        try:
            path = self._folders.resolve(FolderName(entry.root, entry.path))
            if path.stat().st_size != entry.size:
                return ImageState.CHANGED
            return ImageState.SAME if _checksum(path) == entry.checksum else ImageState.CHANGED
        except (Refusal, OSError):
            return ImageState.GONE

    def _file(self, manifest: Artifact, *, by_content: bool = False) -> Path:
        try:
            return self._artifacts.intact(manifest, by_content=by_content)
        except FileIsDamaged as error:
            raise ImageListIsDamaged from error
        except FileIsGone as error:
            raise ImageListIsGone from error

    def _marks_of(self, manifest: Artifact) -> _Marks:
        self._file(manifest)
        with self._lock:
            known = self._marks.get(manifest.checksum)
            if known is not None:
                self._marks.move_to_end(manifest.checksum)
                return known
        marks = _read_marks(self._file(manifest, by_content=True))
        with self._lock:
            self._marks[manifest.checksum] = marks
            while len(self._marks) > MANIFESTS_REMEMBERED:
                self._marks.popitem(last=False)
        return marks


def _read_marks(file: Path) -> _Marks:
    offsets, place, number = [], 0, 0
    with file.open("rb") as lines:
        for line in lines:
            if number % LINES_BETWEEN_MARKS == 0:
                offsets.append(place)
            place += len(line)
            number += 1
    return _Marks(tuple(offsets), number)


def _checksum(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
