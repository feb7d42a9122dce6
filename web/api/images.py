"""The files of images, as they lie in the folders. Source: D-9, P-5."""

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from domain.data_paths import FolderName
from domain.refusals import NotFound
from web.api.routes import file_answer
from web.downloads import Download, lying_file
from web.services import Services


class Images(Controller):
    """Everyone may look at every image below the data roots (U)."""

    path = "/images"
    tags = ("images",)

    @get("/", sync_to_thread=True, responses=file_answer())
    def file(
        self,
        root: Annotated[str, QueryParameter(max_length=100, description="A data root.")],
        path: Annotated[str, QueryParameter(max_length=4096, description="The path below it.")],
        services: NamedDependency[Services],
    ) -> Download:
        """One image, byte for byte; lists of images and of samples name them by `folder`."""
        file = services.images.file(FolderName(root, path))
        if file is None:
            raise NotFound
        return lying_file(file, path.rpartition("/")[2])
