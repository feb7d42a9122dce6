"""Images of data paths for pages: thumbnails, originals, mask overlays. Everyone who is signed in may see what lies in a data root.

Templates link here with the macros of `_images.html`; `infra.images.Images` is behind it.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from litestar import Controller, Request, Response, get
from litestar.datastructures import ETag
from litestar.di import NamedDependency
from litestar.response import File

from domain.data_paths import FolderName
from web.forms import Form
from web.services import Services

SECONDS_UNASKED = 60
"""So long a browser shows a picture again without asking whether it has changed."""
_PICTURE_THREADS = ThreadPoolExecutor(4, thread_name_prefix="picture")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,4}")
# Shown in the place of a picture that is gone or cannot be decoded; the word for it is the alternative text of the <img>.
_NO_IMAGE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96" width="160" height="160" fill="none" stroke="#8a94a3"'
    b' stroke-width="3" stroke-linecap="round" stroke-linejoin="round"><path d="M20 26h56v44H20zM22 66l16-18 12 13 9-9 15 16"/>'
    b'<path d="m26 80 46-64" stroke="#c2571a"/></svg>'
)


class Images(Controller):
    """Every address names an image by `root` and `path`."""

    path = "/images"

    @get("/thumbnail")
    async def thumbnail(
        self, request: Request[Any, Any, Any], form: NamedDependency[Form], services: NamedDependency[Services]
    ) -> Response[Any]:
        """A small picture; `size` is its longer side in pixels."""
        size = int(form.text("size")) if _WHOLE_NUMBER.fullmatch(form.text("size")) else 160
        return await _drawn(lambda: _answer(request, services.images.thumbnail(_named(form), size)))

    @get("/original")
    async def original(
        self, request: Request[Any, Any, Any], form: NamedDependency[Form], services: NamedDependency[Services]
    ) -> Response[Any]:
        """The picture itself, in a format that browsers know; with `download` as a file of its name."""

        def answer() -> Response[Any]:
            name = _named(form)
            shown = services.images.original(name)
            if form.checked("download") and shown is not None:
                return _file(shown, name.path.rpartition("/")[2])
            return _answer(request, shown)

        return await _drawn(answer)

    @get("/mask")
    async def mask(
        self, request: Request[Any, Any, Any], form: NamedDependency[Form], services: NamedDependency[Services]
    ) -> Response[Any]:
        """The defect's area in a colour, to be laid over the picture."""
        return await _drawn(lambda: _answer(request, services.images.mask_overlay(_named(form))))


async def _drawn(answer: Callable[[], Response[Any]]) -> Response[Any]:
    """An answer that may have to decode a picture, made by threads of its own, so that pages never wait for pictures."""
    return await asyncio.get_running_loop().run_in_executor(_PICTURE_THREADS, answer)


def _named(form: Form) -> FolderName:
    return FolderName(form.value("root"), form.value("path"))


def _answer(request: Request[Any, Any, Any], shown: Any) -> Response[Any]:
    """The file, or 304 where the browser has it already."""
    if shown is None:
        return Response(
            _NO_IMAGE, status_code=404, media_type="image/svg+xml", headers={"Cache-Control": "private, no-cache"}
        )
    status = Path(shown.path).stat()
    mark = ETag(value=f"{status.st_mtime_ns:x}-{status.st_size:x}")
    headers = {"Cache-Control": f"private, max-age={SECONDS_UNASKED}"}
    if request.headers.get("If-None-Match") == mark.to_header():
        return Response(
            b"", status_code=304, headers={**headers, "ETag": mark.to_header()}, media_type=shown.media_type
        )
    return File(
        path=shown.path, media_type=shown.media_type, content_disposition_type="inline", headers=headers, etag=mark
    )


def _file(shown: Any, name: str) -> Response[Any]:
    if shown.media_type == "image/png" and not name.lower().endswith(".png"):
        name = f"{name}.png"  # a BMP or TIFF that was converted
    return File(
        path=shown.path,
        media_type=shown.media_type,
        filename=name,
        headers={"Cache-Control": "private, no-cache"},
    )
