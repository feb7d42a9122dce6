"""Datasets and their data paths. Source: REQUIREMENTS, section D."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from commands.datasets import (
    AddDataPaths,
    CreateDataset,
    DeleteDataset,
    InspectDataPath,
    InspectDataPaths,
    RemoveDataPaths,
)
from domain.datasets import DatasetPurpose
from domain.refusals import NotFound
from projections.datasets import DataPathRow
from projections.read_model import Page
from web.api.desk import ApiDesk
from web.api.lists import (
    BY_NAME,
    DEFAULT_LIMIT,
    After,
    DefectCode,
    Limit,
    Listed,
    Place,
    Search,
    listed,
    paged,
    place_of,
)
from web.api.routes import ACTS, LOOKS, IdempotencyKey
from web.api.shapes import DataPath, Dataset, ListedImage, PreviewedDataPath, Shape, shaped
from web.services import ReadModels, Services


class NewDataset(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dataset to be made. `environment` are ids of places of the last level, `data_paths` paths as a person would type them."""

    name: str
    purpose: DatasetPurpose
    environment: tuple[UUID, ...]
    data_paths: tuple[str, ...]


class NewDataPaths(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Further paths, as a person would type them."""

    data_paths: tuple[str, ...]


class GoneDataPaths(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data paths to be taken out, by their ids."""

    path_ids: tuple[UUID, ...]


class Datasets(Controller):
    """Everyone may do everything with every dataset (U)."""

    path = "/datasets"
    tags = ("datasets",)

    @get("/", sync_to_thread=True, responses=LOOKS)
    def list(
        self,
        read: NamedDependency[ReadModels],
        purpose: FromQuery[DatasetPurpose],
        place: Place = None,
        search: Search = "",
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[Dataset]:
        """The datasets of a purpose, by name."""
        found = read.datasets.stretch(
            purpose,
            place_ids=(place,) if place else (),
            search=search,
            after=place_of(after, BY_NAME),
            size=limit,
        )
        return listed(found, lambda row: shaped(row, Dataset))

    @post("/", sync_to_thread=True, responses=ACTS)
    def create(
        self,
        data: JSONBody[NewDataset],
        idempotency_key: IdempotencyKey,
        desk: NamedDependency[ApiDesk],
        read: NamedDependency[ReadModels],
    ) -> Dataset:
        """Make a dataset; its paths are looked into, large ones in the background."""
        made = desk.made_by(idempotency_key, data)
        desk.ask(
            CreateDataset(
                actor=desk.caller.user_id,
                dataset_id=made.id(),
                name=data.name,
                purpose=data.purpose,
                environment=data.environment,
                data_paths=data.data_paths,
                path_ids=tuple(made.id(f"path {line}") for line in range(len(data.data_paths))),
            )
        )
        return _dataset(read, made.id())

    @get("/preview", sync_to_thread=True, responses=LOOKS)
    def preview(
        self,
        data_path: Annotated[
            str, QueryParameter(min_length=1, max_length=4096, description="A path as a person would type it.")
        ],
        services: NamedDependency[Services],
    ) -> PreviewedDataPath:
        """What is in a folder, before it is a data path of anything; `invalid` where it cannot be one, whyever that is."""
        (found,) = services.data_folders.inspect_paths([data_path])
        return shaped(found, PreviewedDataPath)

    @get("/{dataset_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def one(self, dataset_id: FromPath[UUID], read: NamedDependency[ReadModels]) -> Dataset:
        """One dataset."""
        return _dataset(read, dataset_id)

    @delete("/{dataset_id:uuid}", sync_to_thread=True, responses=ACTS)
    def remove(self, dataset_id: FromPath[UUID], desk: NamedDependency[ApiDesk]) -> None:
        """Delete a dataset; jobs and models keep the paths they used."""
        desk.ask(DeleteDataset(actor=desk.caller.user_id, dataset_id=dataset_id))

    @get("/{dataset_id:uuid}/data-paths", sync_to_thread=True, responses=LOOKS)
    def data_paths(
        self,
        dataset_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[DataPath]:
        """The data paths of a dataset, in the order in which they were added."""
        _dataset(read, dataset_id)
        found = read.datasets.path_stretch(dataset_id, after=place_of(after, tuple[int]), size=limit)
        return listed(found, lambda row: shaped(row, DataPath))

    @post("/{dataset_id:uuid}/data-paths", sync_to_thread=True, responses=ACTS)
    def add_data_paths(
        self,
        dataset_id: FromPath[UUID],
        data: JSONBody[NewDataPaths],
        idempotency_key: IdempotencyKey,
        desk: NamedDependency[ApiDesk],
        read: NamedDependency[ReadModels],
    ) -> Dataset:
        """Add data paths, all or none."""
        made = desk.made_by(idempotency_key, data)
        path_ids = tuple(made.id(f"path {line}") for line in range(len(data.data_paths)))
        if not path_ids or read.datasets.path(dataset_id, path_ids[0]) is None:
            desk.ask(
                AddDataPaths(
                    actor=desk.caller.user_id, dataset_id=dataset_id, data_paths=data.data_paths, path_ids=path_ids
                )
            )
        return _dataset(read, dataset_id)

    @post("/{dataset_id:uuid}/data-paths/remove", sync_to_thread=True, status_code=200, responses=ACTS)
    def remove_data_paths(
        self,
        dataset_id: FromPath[UUID],
        data: JSONBody[GoneDataPaths],
        desk: NamedDependency[ApiDesk],
        read: NamedDependency[ReadModels],
    ) -> Dataset:
        """Take several data paths out of a dataset, all or none; the folders themselves are untouched."""
        desk.ask(RemoveDataPaths(actor=desk.caller.user_id, dataset_id=dataset_id, path_ids=data.path_ids))
        return _dataset(read, dataset_id)

    @get("/{dataset_id:uuid}/data-paths/{path_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def data_path(
        self, dataset_id: FromPath[UUID], path_id: FromPath[UUID], read: NamedDependency[ReadModels]
    ) -> DataPath:
        """One data path."""
        return shaped(_path(read, dataset_id, path_id), DataPath)

    @get("/{dataset_id:uuid}/data-paths/{path_id:uuid}/images", sync_to_thread=True, responses=LOOKS)
    def images(
        self,
        dataset_id: FromPath[UUID],
        path_id: FromPath[UUID],
        defect_code: DefectCode,
        services: NamedDependency[Services],
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[ListedImage]:
        """The images of one defect code, by name, as they lie in the folder now."""
        folder = _path(services.read, dataset_id, path_id).folder

        def page_of(number: int, size: int) -> Page[Any]:
            found = services.images.page(folder, defect_code, offset=(number - 1) * size, count=size)
            return Page(items=found.images, total=found.total, number=number, size=size)

        return paged(after, limit, page_of, lambda image: shaped(image, ListedImage))

    @post("/{dataset_id:uuid}/data-paths/{path_id:uuid}/inspect", sync_to_thread=True, status_code=200, responses=ACTS)
    def inspect_data_path(
        self,
        dataset_id: FromPath[UUID],
        path_id: FromPath[UUID],
        desk: NamedDependency[ApiDesk],
        read: NamedDependency[ReadModels],
    ) -> DataPath:
        """Scan one data path again."""
        desk.ask(InspectDataPath(actor=desk.caller.user_id, dataset_id=dataset_id, path_id=path_id))
        return shaped(_path(read, dataset_id, path_id), DataPath)

    @delete("/{dataset_id:uuid}/data-paths/{path_id:uuid}", sync_to_thread=True, responses=ACTS)
    def remove_data_path(
        self, dataset_id: FromPath[UUID], path_id: FromPath[UUID], desk: NamedDependency[ApiDesk]
    ) -> None:
        """Take a data path out of a dataset; the folder itself is untouched."""
        desk.ask(RemoveDataPaths(actor=desk.caller.user_id, dataset_id=dataset_id, path_ids=(path_id,)))

    @post("/{dataset_id:uuid}/inspect", sync_to_thread=True, status_code=200, responses=ACTS)
    def inspect(
        self, dataset_id: FromPath[UUID], desk: NamedDependency[ApiDesk], read: NamedDependency[ReadModels]
    ) -> Dataset:
        """Scan every data path again."""
        desk.ask(InspectDataPaths(actor=desk.caller.user_id, dataset_id=dataset_id))
        return _dataset(read, dataset_id)


def _path(read: ReadModels, dataset_id: UUID, path_id: UUID) -> DataPathRow:
    row: DataPathRow | None = read.datasets.path(dataset_id, path_id)
    if row is None:
        raise NotFound
    return row


def _dataset(read: ReadModels, dataset_id: UUID) -> Dataset:
    row = read.datasets.head(dataset_id)
    if row is None:
        raise NotFound
    return shaped(row, Dataset)
