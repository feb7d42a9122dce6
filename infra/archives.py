"""Image archives: found by the path that a person types, inside the archive roots only, or among that person's uploads (I-2)."""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from domain.data_paths import FolderName
from domain.model_images import ArchiveNotFound
from gpu_worker.ports import FolderNotFound
from infra.roots import Roots
from infra.uploads import ROOT, Uploads


class Archives:
    """The archive roots as this machine mounts them, and the uploads beside them."""

    def __init__(self, roots: Mapping[str, Path], uploads: Uploads) -> None:
        self._typed_roots = Roots(roots)
        self._roots = Roots({**roots, ROOT: uploads.folder})
        self._uploads = uploads

    def find(self, typed: str) -> FolderName:
        """The archive at a typed path: absolute, `root:below` or `root/below`.

        Raises:
            ArchiveNotFound: no regular file there, or not inside an archive root; which of them is not told.
        """
        name = self._typed_roots.name(typed)
        path = self._typed_roots.resolve(name) if name else None
        if name is None or path is None or not path.is_file() or self._is_upload(path):
            raise ArchiveNotFound
        return name

    def uploaded(self, upload_id: UUID, owner: UUID) -> FolderName:
        """The archive that a person uploaded.

        Raises:
            UploadIsGone, UploadIsIncomplete
        """
        return self._uploads.archive(upload_id, owner)

    def check(self, archive: FolderName) -> None:
        """Whether a known archive is still there.

        Raises:
            ArchiveNotFound
        """
        try:
            self.resolve(archive)
        except FolderNotFound as error:
            raise ArchiveNotFound from error

    def resolve(self, archive: FolderName) -> Path:
        """Where a known archive can be read.

        Raises:
            FolderNotFound: it is gone, or leads out of its root.
        """
        path = self._roots.resolve(archive)
        if path is None or not path.is_file():
            raise FolderNotFound(folder=str(archive))
        return path

    def _is_upload(self, path: Path) -> bool:
        """An archive root may lie around the state folder; other people's uploads are still theirs."""
        return path.is_relative_to(self._uploads.folder.resolve())
