"""Images of data paths for pages: thumbnails, originals, mask overlays. Everyone who is signed in may see what lies in a data root.

Templates link here with the macros of `_images.html`; `infra.images.Images` is behind it.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from domain.data_paths import FolderDoesNotAnswer, FolderName
from web.downloads import Download, lying_file
from web.forms import Form
from web.pages import Refused
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
    async def thumbnail(self, form: NamedDependency[Form], services: NamedDependency[Services]) -> Download:
        """A small picture; `size` is its longer side in pixels."""
        size = int(form.text("size")) if _WHOLE_NUMBER.fullmatch(form.text("size")) else 160
        return await _drawn(lambda: _answer(services.images.thumbnail(_named(form), size)))

    @get("/original")
    async def original(self, form: NamedDependency[Form], services: NamedDependency[Services]) -> Download:
        """The picture itself, in a format that browsers know; with `download` as a file of its name."""
        name = _named(form)
        kept_as = name.path.rpartition("/")[2] if form.checked("download") else ""
        return await _drawn(lambda: _answer(services.images.original(name), kept_as))

    @get("/mask")
    async def mask(self, form: NamedDependency[Form], services: NamedDependency[Services]) -> Download:
        """The defect's area in a colour, to be laid over the picture."""
        return await _drawn(lambda: _answer(services.images.mask_overlay(_named(form))))


async def _drawn(answer: Callable[[], Download]) -> Download:
    """An answer that may have to decode a picture, made by threads of its own, so that pages never wait for pictures."""
    try:
        return await asyncio.get_running_loop().run_in_executor(_PICTURE_THREADS, answer)
    except FolderDoesNotAnswer:
        raise _no_image(503) from None


def _named(form: Form) -> FolderName:
    return FolderName(form.value("root"), form.value("path"))


def _no_image(status: int) -> Refused:
    headers = {"Cache-Control": "private, no-cache"}
    return Refused(Response(_NO_IMAGE, status_code=status, media_type="image/svg+xml", headers=headers))


def _answer(shown: Any, name: str = "") -> Download:
    """The file, to be shown or, where it is given a name, to be kept.

    Raises:
        Refused: with a picture that says that there is none.
    """
    if shown is None:
        raise _no_image(404)
    if name:
        if shown.media_type == "image/png" and not name.lower().endswith(".png"):
            name = f"{name}.png"  # a BMP or TIFF that was converted
        return lying_file(shown.path, name, kind=shown.media_type)
    kept = f"max-age={SECONDS_UNASKED}"
    return lying_file(shown.path, shown.path.name, kind=shown.media_type, is_attachment=False, kept=kept)
