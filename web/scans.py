"""How far scans of folders have come, for every page that shows data paths: D-3, S-5.

A page puts what may move into elements named by `datasets/_data_paths.html` and names the stream by `stream_of`. Without
scripts the page is simply loaded again.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.response import ServerSentEvent

from domain.data_paths import DataPathState, FolderName, Inspection
from projections.datasets import DataPathRow
from web.forms import Form
from web.live import Live
from web.pages import Desk, Page
from web.services import Services

ADDRESS = "/scans/live"
MOST_WATCHED = 50
"""Folders that one page watches; an address must not grow for ever. The others are there at the next load."""
EVERY_SECONDS = 1.0
_PARTS = ("state", "count", "description")


class ScannedPathPage(Page, frozen=True):
    """The moving parts of one data path; `scan` is a row of the scanner's table, None where nothing is known of it."""

    found: Inspection | DataPathRow
    scan: Any


class Scans(Controller):
    """Everyone who is signed in may see what lies in a data root."""

    path = ADDRESS

    @get("/", sync_to_thread=True)
    def stream(
        self,
        form: NamedDependency[Form],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
        live: NamedDependency[Live],
    ) -> ServerSentEvent:
        """State, image count and description of the folders that the address names, as they move."""
        folders = [_folder(text) for text in form.all("folder")[:MOST_WATCHED]]

        def parts() -> dict[str, str]:
            return {
                f"{part} {folder}": desk.part(
                    f"datasets/_scanned_{part}.html", ScannedPathPage(found=scan.inspection, scan=scan)
                ).strip()
                for folder, scan in services.data_folders.scans_of(folders).items()
                for part in _PARTS
            }

        return live.follow(parts, every_seconds=EVERY_SECONDS)


def stream_of(paths: Iterable[Inspection | DataPathRow]) -> str:
    """The address of the stream for those paths that are still scanned; empty where there is none."""
    moving = [("folder", str(path.folder)) for path in paths if path.state is DataPathState.SCANNING]
    return f"{ADDRESS}?{urlencode(moving[:MOST_WATCHED])}" if moving else ""


def scans_of(data_folders: Any, paths: Iterable[Inspection | DataPathRow]) -> Mapping[FolderName, Any]:
    """The scans of those paths that are still scanned, by folder."""
    scanning = [path.folder for path in paths if path.state is DataPathState.SCANNING]
    scans: Mapping[FolderName, Any] = data_folders.scans_of(scanning)
    return scans


def _folder(text: str) -> FolderName:
    root, _, path = text.partition(":")
    return FolderName(root, path)
