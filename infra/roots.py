"""Configured roots: what a person types becomes a root's name and a path below it; nothing outside is ever looked at."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PosixPath
from typing import Any, BinaryIO

from domain.data_paths import FolderName
from domain.image_files import is_text
from gpu_worker.regular_files import open_real_file


class RealPath(PosixPath):
    """Where a file lay when it was found, links followed. Opening it follows none: whoever may write below a root could have put
    one in its way since, to what is nobody's image.
    """

    def open(self, mode: str = "rb", *_: Any, **__: Any) -> BinaryIO:  # type: ignore[override]  # bytes only
        """A regular file, for reading; opening never waits, whatever lies there by now.

        Raises:
            OSError: there is a link on the way, or something else than a file at its end.
        """
        if mode != "rb":
            raise ValueError("it is only read")
        return open_real_file(self)


class Roots:
    """Folders by name, as this machine mounts them. Links are followed first; what counts is where they lead."""

    def __init__(self, folders: Mapping[str, Path], closed: Iterable[Path] = ()) -> None:
        """What lies in a `closed` folder is outside every root around it; a root inside a closed folder is open."""
        self._folders = dict(folders)
        self._closed = tuple(closed)

    def name(self, typed: str) -> FolderName | None:
        """The one name of what lies at a typed path: an absolute one, `root:below` or `root/below`.

        None where there is nothing, or nothing inside a root: the two cannot be told apart. A folder reached over a link has the
        name of the place where it really lies, so that it cannot enter a dataset twice.
        """
        typed = typed.strip()
        if typed.startswith("/"):
            return self._name(Path(typed))
        for separator in (":", "/"):
            root, _, below = typed.partition(separator)
            if root in self._folders:
                return self._name(self._folders[root] / below.lstrip("/"))
        return None

    def resolve(self, name: FolderName) -> Path | None:
        """The real path of a known name; None where it is gone, leads out of its root, or is another spelling of a name."""
        if name.root not in self._folders or not _is_plain(name.path):
            return None
        root = self._folders[name.root]
        path, top = _real(root / name.path.lstrip("/")), _real(root)
        if path is None or top is None or not path.is_relative_to(top) or self._is_closed(path, top):
            return None
        return path

    def _name(self, path: Path) -> FolderName | None:
        real = _real(path)
        if real is None or not is_text(str(real)):
            return None
        tops = ((name, top) for name, folder in self._folders.items() if (top := _real(folder)) is not None)
        around = [(len(top.parts), name, top) for name, top in tops if real.is_relative_to(top)]
        if not around:
            return None
        # Roots may lie in each other; the innermost names the folder, so that it has one name only.
        _, name, top = max(around)
        if self._is_closed(real, top):
            return None
        below = real.relative_to(top).as_posix()
        return FolderName(name, "" if below == "." else below)

    def _is_closed(self, path: Path, top: Path) -> bool:
        """Whether a closed folder lies between the top of a root and what is below it."""
        walls = (wall for folder in self._closed if (wall := _real(folder)) is not None)
        return any(path.is_relative_to(wall) and wall.is_relative_to(top) for wall in walls)


def _is_plain(path: str) -> bool:
    """Whether a path below a root is written in the one way: whoever sends a name could otherwise name one folder twice."""
    return not path or not {"", ".", ".."} & set(path.lstrip("/").split("/"))


def _real(path: Path) -> Path | None:
    try:
        return Path(os.path.realpath(path, strict=True))
    except (OSError, ValueError):  # ValueError: a NUL, or characters that no file name has
        return None
