"""Image archives on the server: found by the path that a person types, inside the archive roots only (I-2)."""

from collections.abc import Mapping
from pathlib import Path

from domain.data_paths import FolderName
from domain.model_images import ArchiveNotFound
from gpu_worker.ports import FolderNotFound
from infra.roots import Roots


class Archives:
    """The archive roots as this machine mounts them."""

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self._roots = Roots(roots)

    def find(self, typed: str) -> FolderName:
        """The archive at a typed path: absolute, `root:below` or `root/below`.

        Raises:
            ArchiveNotFound: no regular file there, or not inside an archive root; which of them is not told.
        """
        name = self._roots.name(typed)
        path = self._roots.resolve(name) if name else None
        if name is None or path is None or not path.is_file():
            raise ArchiveNotFound
        return name

    def resolve(self, archive: FolderName) -> Path:
        """Where a known archive can be read.

        Raises:
            FolderNotFound: it is gone, or leads out of its root.
        """
        path = self._roots.resolve(archive)
        if path is None or not path.is_file():
            raise FolderNotFound(folder=str(archive))
        return path
