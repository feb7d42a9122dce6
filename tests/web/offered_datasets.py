"""Datasets to import paths from, as the wizards' second steps ask for them; they answer as the read model does."""

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from domain.data_paths import FolderName, Inspection
from domain.datasets import DatasetPurpose
from domain.names import name_key
from projections.datasets import DataPathRow, DatasetChoice, DatasetChoices, PlacedFolder


def path_row(path_id: UUID, found: Inspection) -> DataPathRow:
    return DataPathRow(path_id=path_id, **{name: getattr(found, name) for name in found.__struct_fields__})


def dataset(dataset_id: UUID, name: str, *paths: DataPathRow) -> DatasetChoice:
    return DatasetChoice(dataset_id=dataset_id, name=name, path_count=len(paths), paths=paths)


class OfferedDatasets:
    """`has_more` says that there are others, `more_paths` that each has more paths than its first ones."""

    def __init__(
        self, purpose: DatasetPurpose, *datasets: DatasetChoice, has_more: bool = False, more_paths: bool = False
    ) -> None:
        self.purpose, self.datasets = purpose, datasets
        self.has_more, self.more_paths = has_more, more_paths

    def choices(
        self, purpose: DatasetPurpose, *, search: str = "", chosen: Sequence[FolderName] = ()
    ) -> DatasetChoices:
        assert purpose is self.purpose
        offered = (
            msgspec.structs.replace(
                one,
                paths=tuple(path for path in one.paths if path.folder not in chosen),
                has_more=self.more_paths,
            )
            for one in self.datasets
            if name_key(search) in name_key(one.name)
        )
        return DatasetChoices(datasets=tuple(one for one in offered if one.paths), has_more=self.has_more)

    def paths_by_id(self, purpose: DatasetPurpose, path_ids: Sequence[UUID]) -> list[DataPathRow]:
        assert purpose is self.purpose
        return [path for path_id in path_ids for _, path in self._every_path() if path.path_id == path_id]

    def placed(self, purpose: DatasetPurpose, folders: Sequence[FolderName]) -> list[PlacedFolder]:
        assert purpose is self.purpose
        return [
            PlacedFolder(dataset_id=one.dataset_id, path_id=path.path_id, folder=path.folder)
            for one, path in self._every_path()
            if path.folder in folders
        ]

    def _every_path(self) -> Iterator[tuple[DatasetChoice, DataPathRow]]:
        return ((one, path) for one in self.datasets for path in one.paths)
