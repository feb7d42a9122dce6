"""Files for people: sent in parts of constant size, however large; resumable (Range) and revalidated (ETag = checksum).

A handler returns `stored_file(services, artifact, name)` with `-> Download` as its answer. Litestar's own files know neither
304 nor 206 (2.25), hence this.
"""

import re
from email.utils import formatdate
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import anyio
import msgspec
from anyio import to_thread
from litestar.types import Receive, Scope, Send

from domain.artifacts import Artifact
from domain.refusals import NotFound
from domain.texts import with_unseen
from web.services import Services

PART_BYTES = 1 << 18
"""Large enough that the change of threads costs nothing, small enough for a hundred downloads at once."""
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")
_UNSAFE = re.compile(r'[\0"\\/:*?<>|]+')
"""What parts folders on some system; and NUL, for what nobody sees, because that ends headers or makes a name look like another."""


class Part(msgspec.Struct, frozen=True):
    """The bytes `first` to `last` of a file, both inclusive."""

    first: int
    last: int


class Unsatisfiable(Exception):
    """The asked part lies behind the end of the file."""


class Download:
    """An answer with a file: whole, a part of it, or only that it has not changed."""

    def __init__(
        self,
        path: Path,
        mark: str,
        size: int,
        name: str,
        *,
        kind: str = "application/octet-stream",
        is_attachment: bool = True,
        kept: str = "no-cache",
    ) -> None:
        """The first `size` bytes of the file; `mark` is another one for every other content. `name` is what the reader's folder
        shows; `kind` is the media type, `kept` how long a browser shows the file without asking.
        """
        self._path, self._size = path, size
        self.etag = f'"{mark}"'
        self._headers = {
            "Content-Type": kind,
            "Content-Disposition": content_disposition(name, is_attachment=is_attachment),
            "Accept-Ranges": "bytes",
            "ETag": self.etag,
            "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
            # Kept, but by default asked about each time: whoever signs out or loses a right sees nothing more.
            "Cache-Control": f"private, {kept}",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        asked = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        size = self._size
        if _names(asked.get("if-none-match", ""), self.etag):
            await self._start(send, 304, {})
            await _end(send)
            return
        try:
            # RFC 9110, 13.1.5: a part is worth something only of the file that was begun.
            is_same = asked.get("if-range", self.etag) == self.etag
            part = read_range(asked.get("range", "") if is_same else "", size)
        except Unsatisfiable:
            await self._start(send, 416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            await _end(send)
            return
        first, last = (part.first, part.last) if part else (0, size - 1)
        length = {"Content-Length": str(last - first + 1)}
        ranged = {"Content-Range": f"bytes {first}-{last}/{size}"} if part else {}
        await self._start(send, 206 if part else 200, {**length, **ranged})
        await self._send_while_wanted(receive, send, first, last - first + 1)

    async def _start(self, send: Send, status: int, headers: dict[str, str]) -> None:
        told = {**self._headers, **headers}
        encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in told.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})

    async def _send_while_wanted(self, receive: Receive, send: Send, offset: int, length: int) -> None:
        """A reader who goes away ends the reading: the server takes what is sent to nobody without a word."""
        async with anyio.create_task_group() as tasks:

            async def notice_leaving() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(notice_leaving)
            with await to_thread.run_sync(self._path.open, "rb") as file:
                await self._send_body(send, file, offset, length)
            tasks.cancel_scope.cancel()

    async def _send_body(self, send: Send, file: BinaryIO, offset: int, length: int) -> None:
        await to_thread.run_sync(file.seek, offset)
        while length > 0:
            body = await to_thread.run_sync(file.read, min(PART_BYTES, length))
            if not body:
                # Too late for another answer; the server cuts the connection, so that no half file looks whole.
                raise OSError(f"{self._path.name} ended {length} bytes early")
            length -= len(body)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await _end(send)


def stored_file(
    services: Services,
    artifact: Artifact,
    name: str,
    *,
    kind: str = "application/octet-stream",
    is_attachment: bool = True,
) -> Download:
    """The answer with a stored file.

    Raises:
        FileIsGone
        FileIsDamaged: what the storage has is shorter, or longer.
    """
    path = services.artifacts.intact(artifact)
    return Download(path, artifact.checksum, artifact.size, name, kind=kind, is_attachment=is_attachment)


def growing_file(path: Path, name: str, *, kind: str) -> Download:
    """The answer with a file that is still being written, as far as it is at this moment; what is written never changes.

    Raises:
        NotFound: it was just tidied away.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise NotFound from None
    return Download(path, f"{found.st_ino}-{found.st_size}", found.st_size, name, kind=kind)


def run_log(services: Services, kept: Artifact | None, written: Path | None, name: str) -> Download:
    """The log that a worker kept when its run ended, else the one that it writes, or wrote until it died.

    Raises:
        NotFound: there is none yet, or none any more.
        FileIsGone, FileIsDamaged
    """
    kind = "text/plain; charset=utf-8"
    if kept is not None:
        return stored_file(services, kept, name, kind=kind)
    if written is None:
        raise NotFound
    return growing_file(written, name, kind=kind)


def lying_file(path: Path, name: str, **options: Any) -> Download:
    """The answer with a file of other people's, which they may overwrite; `options` are those of `Download`.

    Raises:
        NotFound: it was just taken away.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise NotFound from None
    return Download(path, f"{found.st_mtime_ns:x}-{found.st_size:x}", found.st_size, name, **options)


def read_range(header: str, size: int) -> Part | None:
    """Which part a `Range` header asks for; None for the whole file, also where it asks for several parts or nonsense.

    Source: RFC 9110, section 14.

    Raises:
        Unsatisfiable: it asks for bytes behind the end.
    """
    asked = _RANGE.fullmatch(header.strip())
    if asked is None or not (asked["first"] or asked["last"]):
        return None
    if not asked["first"]:
        length = min(int(asked["last"]), size)
        if length == 0:
            raise Unsatisfiable
        return Part(size - length, size - 1)
    first, last = int(asked["first"]), int(asked["last"]) if asked["last"] else size - 1
    if asked["last"] and last < first:
        return None
    if first >= size:
        raise Unsatisfiable
    return Part(first, min(last, size - 1))


def content_disposition(name: str, *, is_attachment: bool = True) -> str:
    """How a file is to be named: in any language for today's browsers, in plain letters for others. Source: RFC 6266, RFC 8187."""
    safe = safe_name(name)
    plain = safe.encode("ascii", "replace").decode().replace("?", "_")
    way = "attachment" if is_attachment else "inline"
    return f"{way}; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"


def safe_name(name: str) -> str:
    """A file's name as any system may take it: in one folder, and as it looks."""
    return _UNSAFE.sub("_", with_unseen(name, lambda _: "\0")).strip(". ") or "file"


async def _end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _names(if_none_match: str, etag: str) -> bool:
    """Whether the reader holds this very file; weak marks count, too (RFC 9110, 13.1.2)."""
    held = {mark.strip().removeprefix("W/") for mark in if_none_match.split(",")}
    return etag in held or if_none_match.strip() == "*"
