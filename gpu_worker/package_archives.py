"""Reading a package's tar without trusting it: nothing in it decides where a byte is written or how much memory is used.

The format is told by content: tar, or tar inside gzip or Zstandard.
"""

import gzip
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

import zstandard

from domain.refusals import Refusal
from domain.sentences import N_, Sentence

MAXIMUM_ENTRIES: Final = 1000
MAXIMUM_UNPACKED_BYTES: Final = 8 << 30
"""Initial weights of the largest networks are a few GB at most."""

_MAXIMUM_NAME: Final = 200
_CHUNK: Final = 1 << 20
_MAXIMUM_READ: Final = 2 * _CHUNK
_MAXIMUM_HEADERS: Final = 1 << 16
"""Bytes before the content of one entry: a name takes two blocks, what other systems note beside it a few more."""
_MAXIMUM_PADDING: Final = 1 << 20
"""Tars are filled up to whole records of 10 KiB, rarely more."""
_MAXIMUM_WINDOW_BYTES: Final = 1 << 27
"""What `zstd` itself allows by default; more would let a small file claim much memory."""

_GZIP, _ZSTANDARD, _TAR, _TAR_AT = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"ustar", 257


ENDS_TOO_EARLY = N_("it ends too early")
COMPRESSION_IS_BROKEN = N_("its compressed content cannot be unpacked")
HEADER_IS_BROKEN = N_("the header of an entry is not right")
HEADER_IS_TOO_LARGE = N_("a header claims to be larger than a file name can be")


class ArchiveIsNotATar(Refusal):
    """Renaming another kind of file does not make a package of it."""

    message = N_(
        "This file is not a tar archive (plain, gzip or Zstandard). Build the package again, or upload the right file."
    )


class ArchiveIsBroken(Refusal):
    """Most often an upload that broke off."""

    message = N_("The archive is damaged or incomplete ({problem}). Upload it again.")


class ArchiveUnpacksTooLarge(Refusal):
    """A small file may claim to unpack to terabytes."""

    message = N_("The archive unpacks to more than {limit_gib} GiB. A package holds image.yaml and weights only.")


class ArchiveHasTooManyEntries(Refusal):
    """A package is a handful of files."""

    message = N_("The archive holds more than {limit} files. A package holds image.yaml and weights only.")


class EntryIsNoFile(Refusal):
    """Links and devices could reach files outside the package."""

    message = N_("“{entry}” in the archive is a link or a special file. Put plain files into the package.")


class EntryLeavesThePackage(Refusal):
    """Absolute paths and “..” point outside the package."""

    message = N_("“{entry}” in the archive points outside the package. Use names relative to image.yaml, without “..”.")


class EntryNameIsWrong(Refusal):
    """Names that some machine would read as another file."""

    message = N_("“{entry}” in the archive is not a usable file name. Use letters, digits, “.”, “-” and “_”.")


class EntryStandsTwice(Refusal):
    """Which of the two counts would depend on the reader."""

    message = N_("“{entry}” stands twice in the archive. Keep one of them.")


class PackageArchive:
    """An open archive whose entries have been checked; only listed files can be read."""

    def __init__(self, opened: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        self._on_bytes = on_bytes
        headers = _BoundedReads(opened)
        try:
            # tarfile (3.14) looks for the end of some headers without asking whether there is more: hence LookupError.
            self._tar = tarfile.open(fileobj=cast("BinaryIO", headers), mode="r:", errorlevel=2)  # noqa: SIM115
            self._entries = _checked_entries(self._tar, headers)
            _check_end(opened, self._tar)
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError, LookupError) as error:
            raise ArchiveIsBroken(problem=_told(error)) from error
        headers.are_over()

    @property
    def names(self) -> list[str]:
        """All files, in the order of the archive."""
        return list(self._entries)

    def size(self, name: str) -> int:
        """The size of a file in bytes."""
        return self._entries[name].size

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file, piece by piece.

        Raises:
            ArchiveIsBroken
        """
        content = self._tar.extractfile(self._entries[name])
        assert content is not None, "entries are regular files"
        try:
            while chunk := content.read(_CHUNK):
                self._on_bytes(len(chunk))
                yield chunk
        except (tarfile.TarError, EOFError) as error:
            raise ArchiveIsBroken(problem=_told(error)) from error


@contextmanager
def opened_archive(archive: Path, scratch: Path, on_bytes: Callable[[int], None]) -> Iterator[PackageArchive]:
    """Open a package. Compressed ones are unpacked to one bounded tar in `scratch`; `on_bytes` is told of all progress.

    Raises:
        ArchiveIsNotATar, ArchiveIsBroken, ArchiveUnpacksTooLarge, ArchiveHasTooManyEntries, EntryIsNoFile,
        EntryLeavesThePackage, EntryNameIsWrong, EntryStandsTwice
    """
    plain = scratch / "package.tar"
    try:
        file = _plain_tar(archive, plain, on_bytes)
        with file.open("rb") as opened:
            if opened.read(_TAR_AT + len(_TAR))[_TAR_AT:] != _TAR:
                raise ArchiveIsNotATar
            opened.seek(0)
            yield PackageArchive(opened, on_bytes)
    finally:
        plain.unlink(missing_ok=True)


def is_compressed(archive: Path) -> bool:
    """Whether an archive is unpacked before it is read; the content tells, not the name."""
    with archive.open("rb") as packed:
        magic = packed.read(len(_ZSTANDARD))
    return magic.startswith(_GZIP) or magic == _ZSTANDARD


class _HeaderIsTooLarge(tarfile.TarError):
    """It would be read into memory as a whole."""


class _BoundedReads:
    """tarfile reads a whole extended header at once, as long as it claims to be, and one after the other, as many as there are; and
    it keeps what they say. None of ours is longer than a name.
    """

    def __init__(self, opened: BinaryIO) -> None:
        self.seek, self.tell, self._opened = opened.seek, opened.tell, opened
        self._left: int | None = _MAXIMUM_HEADERS

    def begin_anew(self) -> None:
        """The headers of the next entry come."""
        self._left = _MAXIMUM_HEADERS

    def are_over(self) -> None:
        """Only contents are read from now on."""
        self._left = None

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAXIMUM_READ:
            raise _HeaderIsTooLarge
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise _HeaderIsTooLarge
        return self._opened.read(size)


def _plain_tar(archive: Path, plain: Path, on_bytes: Callable[[int], None]) -> Path:
    with archive.open("rb") as packed:
        magic = packed.read(4)
        packed.seek(0)
        unpacked: BinaryIO
        if magic.startswith(_GZIP):
            unpacked = cast("BinaryIO", gzip.GzipFile(fileobj=packed))
        elif magic == _ZSTANDARD:
            decompressor = zstandard.ZstdDecompressor(max_window_size=_MAXIMUM_WINDOW_BYTES)
            unpacked = cast("BinaryIO", decompressor.stream_reader(packed, read_across_frames=True))
        else:
            return archive
        try:
            _copy_bounded(unpacked, plain, on_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise ArchiveIsBroken(problem=_told(error)) from error
    return plain


def _told(error: Exception) -> Sentence:
    """What a library found, in words of ours: theirs are in English only."""
    if isinstance(error, _HeaderIsTooLarge):
        return Sentence(HEADER_IS_TOO_LARGE)
    if isinstance(error, EOFError) or "end of data" in str(error) or "empty header" in str(error):
        return Sentence(ENDS_TOO_EARLY)
    is_unpacking = isinstance(error, (zlib.error, gzip.BadGzipFile, zstandard.ZstdError))
    return Sentence(COMPRESSION_IS_BROKEN if is_unpacking else HEADER_IS_BROKEN)


def _copy_bounded(unpacked: BinaryIO, plain: Path, on_bytes: Callable[[int], None]) -> None:
    total = 0
    with plain.open("wb") as opened:
        while chunk := unpacked.read(_CHUNK):
            total += len(chunk)
            if total > MAXIMUM_UNPACKED_BYTES:
                raise ArchiveUnpacksTooLarge(limit_gib=MAXIMUM_UNPACKED_BYTES >> 30)
            opened.write(chunk)
            on_bytes(len(chunk))


def _checked_entries(tar: tarfile.TarFile, headers: _BoundedReads) -> dict[str, tarfile.TarInfo]:
    entries: dict[str, tarfile.TarInfo] = {}
    seen: set[str] = set()
    total = 0
    for count, entry in enumerate(tar, start=1):
        headers.begin_anew()
        if count > MAXIMUM_ENTRIES:
            raise ArchiveHasTooManyEntries(limit=MAXIMUM_ENTRIES)
        name = _checked_name(entry)
        if entry.isdir():
            continue
        folded = unicodedata.normalize("NFKC", name).casefold()
        if folded in seen:
            raise EntryStandsTwice(entry=name)
        seen.add(folded)
        total += entry.size
        if total > MAXIMUM_UNPACKED_BYTES:
            raise ArchiveUnpacksTooLarge(limit_gib=MAXIMUM_UNPACKED_BYTES >> 30)
        entries[name] = entry
    return entries


def _check_end(opened: BinaryIO, tar: tarfile.TarFile) -> None:
    """A whole tar ends with two empty blocks; an archive that broke off has none, and nothing else may be hidden behind it."""
    opened.seek(max((_end_of(entry) for entry in tar.getmembers()), default=0))
    rest = opened.read(_MAXIMUM_PADDING + 1)
    if len(rest) < 2 * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")
    if len(rest) > _MAXIMUM_PADDING or rest.count(0) != len(rest):
        raise tarfile.ReadError("something stands behind its end")


def _end_of(entry: tarfile.TarInfo) -> int:
    return entry.offset_data + -(-entry.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _checked_name(entry: tarfile.TarInfo) -> str:
    shown = entry.name[:_MAXIMUM_NAME].encode("unicode_escape").decode()
    if entry.size < 0:
        raise tarfile.ReadError("a negative size")
    is_plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) and not entry.issparse()
    if not is_plain:
        raise EntryIsNoFile(entry=shown)
    if entry.name.startswith("/") or ".." in entry.name.split("/"):
        raise EntryLeavesThePackage(entry=shown)
    parts = [part for part in entry.name.removeprefix("./").split("/") if part not in {"", "."}]
    name = "/".join(parts)
    is_usable = name.isprintable() and not set(name) & set('\\:*?"<>|') and len(entry.name) <= _MAXIMUM_NAME
    if not is_usable or (not name and not entry.isdir()):
        raise EntryNameIsWrong(entry=shown)
    return name
