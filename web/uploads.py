"""Files from browsers, streamed to storage in constant memory (I-2).

With scripts a file travels in parts, each a PUT with a raw body, so that it can go on after a broken connection; without scripts it
travels as the last field of a plain form, in one piece, and begins anew when it breaks off.
"""

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol
from uuid import UUID

from litestar import Controller, Request, Response, get, post, put
from litestar.concurrency import sync_to_thread
from litestar.di import NamedDependency
from litestar.exceptions import ClientException, HTTPException, InternalServerException
from litestar.params import FromPath, FromQuery
from multipart import (  # type: ignore[import-untyped]  # it has types, but says so nowhere (2.0)
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from commands.model_images import CheckArchiveName
from domain.refusals import Refusal, Refusals
from domain.sentences import N_
from domain.uploads import Upload, UploadIsGone
from web.errors import wants_json
from web.forms import MOST_FIELDS, Form, read_form
from web.pages import Desk
from web.services import Services
from web.sessions import FormIsOutOfDate, Visit, is_token_of

ADDRESS = "/model-images/uploads"
PIECE_BYTES = 1 << 20
"""So much is collected before it goes to the disk: the change of threads then costs nothing."""
MOST_FIELD_BYTES = 1 << 20
"""Everything of a form but its file."""
MOST_DRAINED_BYTES = 1 << 26
"""A refused part of up to so much is read to its end: browsers do not hear an answer before they have sent everything."""
log = logging.getLogger(__name__)


class Arriving(Protocol):
    """An upload that is being written to."""

    @property
    def upload(self) -> Upload:
        """How far it is."""

    def write(self, piece: bytes) -> None:
        """Add to the end."""

    def finish(self) -> Upload:
        """All of it has arrived."""

    def close(self) -> None:
        """Let others go on."""


class Uploads(Controller):
    """For scripts, and a button to cancel for everyone."""

    path = ADDRESS

    @post("/", sync_to_thread=True, status_code=200)
    def begin(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Upload:
        """Check the name as importing it will, then make room, or say how much has arrived of the same file before."""
        into = form.id("model_image_id") if form.text("model_image_id") else None
        desk.ask(CheckArchiveName(actor=actor, file_name=form.text("file_name"), model_image_id=into))
        upload: Upload = services.uploads.begin(
            actor, form.text("file_name"), form.whole("size"), mark=form.text("mark")
        )
        return upload

    @get("/{upload_id:uuid}", sync_to_thread=True)
    def show(
        self, upload_id: FromPath[UUID], actor: NamedDependency[UUID], services: NamedDependency[Services]
    ) -> Upload:
        """How far it is."""
        upload: Upload = services.uploads.find(upload_id, actor)
        return upload

    @put("/{upload_id:uuid}", request_max_body_size=None)
    async def take_part(
        self,
        upload_id: FromPath[UUID],
        offset: FromQuery[int],
        request: Request[Any, Any, Any],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
    ) -> Response[Upload]:
        """The bytes from `offset` on; 409 and how far it is where that is not the place to go on, or another request writes."""
        return await take_body(request, services.uploads, upload_id, actor, offset)

    @post("/{upload_id:uuid}/cancel", sync_to_thread=True)
    def cancel(
        self,
        upload_id: FromPath[UUID],
        request: Request[Any, Any, Any],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[Any]:
        """Nothing of it is left; cancelling twice is the same."""
        try:
            services.uploads.drop(upload_id, actor)
        except UploadIsGone:
            log.info("upload_was_gone", extra={"upload_id": str(upload_id)})
        if wants_json(request):
            return Response(None, status_code=204)
        desk.say(N_("The upload is removed."))
        return desk.go("/model-images/import")


async def take_body(
    request: Request[Any, Any, Any], uploads: Any, upload_id: UUID, owner: UUID, offset: int
) -> Response[Upload]:
    """Put a request's body behind the `offset` bytes that have arrived; 409 where that is not the place, or another request writes.

    Raises:
        UploadIsGone, and what `uploads` raises while it writes.
    """
    part = await sync_to_thread(uploads.open, upload_id, owner, offset)
    stream = aiter(request.stream())
    if part is None:
        await _drain(_announced(request), stream)
        return Response(await sync_to_thread(uploads.find, upload_id, owner), status_code=409)
    try:
        await _write(part, stream)
        upload = part.upload
        return Response(await sync_to_thread(part.finish) if upload.is_complete else upload, status_code=200)
    except Refusal:
        await _drain(_announced(request), stream)
        raise
    except InternalServerException:  # the sender went away; what had arrived has been written
        log.info("upload_broke_off", extra={"upload_id": str(upload_id), "received": part.upload.received})
        return Response(part.upload, status_code=200)
    finally:
        part.close()


async def read_form_with_file(
    request: Request[Any, Any, Any], visit: Visit, uploads: Any, check_name: Callable[[str], None]
) -> Form:
    """The fields of a plain form with a file. The file becomes an upload; the form has its `upload_id`, or what was said of it.
    Where the form comes without its file, because only the language was chosen, these are its fields.

    `check_name` refuses a file by its name; nothing of it is written then. The form's token comes before everything else.

    Raises:
        FormIsOutOfDate
        ClientException: this is no such form, or it broke off.
    """
    if visit.shows_as_entered:
        return await read_form(request)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    length = _announced(request)
    if kind != "multipart/form-data" or not options.get("boundary") or length <= 0:
        raise FormIsOutOfDate
    reader = _FormReader(visit, uploads, check_name, length)
    try:
        with PushMultipartParser(options["boundary"], length, max_segment_count=MOST_FIELDS) as parser:
            async for chunk in request.stream():
                if not chunk or parser.closed:
                    continue
                for event in parser.parse(chunk):
                    await reader.take(event)
        return reader.form
    except (MultipartError, InternalServerException) as error:
        raise ClientException("the form broke off") from error
    finally:
        await reader.close()


class _FormReader:
    """Takes a form field by field; only the file goes to the disk."""

    def __init__(self, visit: Visit, uploads: Any, check_name: Callable[[str], None], length: int) -> None:
        self._visit, self._uploads, self._check_name, self._left = visit, uploads, check_name, length
        self._fields: list[tuple[str, str]] = []
        self._refusal: Refusal | Refusals | None = None
        self._segment: MultipartSegment | None = None
        self._content = bytearray()
        self._part: Arriving | None = None

    @property
    def form(self) -> Form:
        form = Form(tuple(self._fields))
        return form.refused(self._refusal) if self._refusal else form

    async def take(self, event: MultipartSegment | bytearray | bytes | None) -> None:
        """A field begins, goes on, or ends."""
        if isinstance(event, MultipartSegment):
            self._segment = event
            if event.filename:
                await self._begin_file(event.filename)
        elif event is not None:
            self._left -= len(event)
            await self._go_on(event)
        else:
            await self._end()

    async def close(self) -> None:
        """A file that was not taken to its end begins anew another time."""
        if self._part is not None:
            self._part.close()
            await sync_to_thread(self._uploads.drop, self._part.upload.upload_id, self._visit.account.user_id)
            self._part = None

    async def _begin_file(self, name: str) -> None:
        if not self._fields:
            raise FormIsOutOfDate
        owner = self._visit.account.user_id
        try:
            await sync_to_thread(self._check_name, name)
            upload = await sync_to_thread(self._uploads.begin, owner, name, self._left)
        except (Refusal, Refusals) as refusal:
            self._refusal = refusal
        else:
            self._part = await sync_to_thread(self._uploads.open, upload.upload_id, owner, 0)

    async def _go_on(self, piece: bytearray | bytes) -> None:
        assert self._segment is not None
        if not self._segment.filename:
            self._content += piece
            if len(self._content) + sum(len(name) + len(value) for name, value in self._fields) > MOST_FIELD_BYTES:
                raise HTTPException(status_code=413)
        elif self._part is not None:
            self._content += piece
            if len(self._content) >= PIECE_BYTES:
                await self._write()

    async def _end(self) -> None:
        assert self._segment is not None
        if not self._segment.filename:
            value = bytes(self._content).decode("utf-8", "replace")
            if not self._fields and not (self._segment.name == "csrf_token" and is_token_of(self._visit, value)):
                raise FormIsOutOfDate
            if self._segment.filename is None:  # "" is a file field without a file
                self._fields.append((self._segment.name or "", value))
        elif self._part is not None:
            await self._write()
        if self._part is not None:
            await self._finish(self._part)
        self._content.clear()

    async def _write(self) -> None:
        assert self._part is not None
        try:
            await sync_to_thread(self._part.write, bytes(self._content))
        except Refusal as refusal:
            self._refusal = refusal
            self._part.close()
            self._part = None
        self._content.clear()

    async def _finish(self, part: Arriving) -> None:
        try:
            upload = await sync_to_thread(part.finish)
            self._fields = [field for field in self._fields if field[0] != "upload_id"]
            self._fields.append(("upload_id", str(upload.upload_id)))
        except Refusal as refusal:
            self._refusal = refusal
        part.close()
        self._part = None


def _announced(request: Request[Any, Any, Any]) -> int:
    """The length of a body in bytes; 0 where it comes in chunks."""
    return int(request.headers.get("content-length", "0") or 0)


async def _write(part: Arriving, stream: AsyncIterator[bytes]) -> None:
    """All of a body, in pieces; when it breaks off, first what had come of it."""
    collected = bytearray()
    try:
        async for chunk in stream:
            collected += chunk
            if len(collected) >= PIECE_BYTES:
                await sync_to_thread(part.write, bytes(collected))
                collected.clear()
    except InternalServerException:
        await sync_to_thread(part.write, bytes(collected))
        raise
    if collected:
        await sync_to_thread(part.write, bytes(collected))


async def _drain(announced: int, stream: AsyncIterator[bytes]) -> None:
    if announced > MOST_DRAINED_BYTES:
        return
    left = MOST_DRAINED_BYTES  # a body in chunks says nothing of its length, and need not end
    try:
        async for piece in stream:
            left -= len(piece)
            if left < 0:
                return
    except InternalServerException:
        log.info("upload_broke_off")
