"""Many files as one zip, made while it is sent: it takes the memory of a part, however many files there are, and no disk."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from litestar.response import Stream

from web.downloads import PART_BYTES, content_disposition

Entry = tuple[str, Path | bytes]
"""A name inside the zip, and the file or the content."""


def zip_stream(entries: Iterable[Entry], name: str) -> Stream:
    """The answer with a zip of that name. A file that is gone meanwhile is left out."""
    return Stream(
        zipped(entries),
        media_type="application/zip",
        headers={"Content-Disposition": content_disposition(name), "Cache-Control": "private, no-store"},
    )


def zipped(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The zip in parts. Pictures are compressed already, so they are stored as they are."""
    written = _Written()
    with ZipFile(written, "w", ZIP_STORED) as archive:
        for name, content in entries:
            if isinstance(content, bytes):
                archive.writestr(name, content)
                yield written.take()
                continue
            try:
                file = content.open("rb")
                entry = ZipInfo.from_file(content, name, strict_timestamps=False)
            except OSError:
                continue
            with file, archive.open(entry, "w", force_zip64=True) as target:
                while part := file.read(PART_BYTES):
                    target.write(part)
                    yield written.take()
    yield written.take()


class _Written:
    """What the archive has written since it was taken; it cannot go back in it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        """Everything that is new."""
        taken, self._parts = b"".join(self._parts), []
        return taken
