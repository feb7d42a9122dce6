"""What can be asked about datasets."""

from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from commands.environments import bind
from domain import datasets
from domain.data_paths import Inspection
from domain.datasets import DataPath, Dataset, DatasetPurpose
from domain.facts import Fact
from domain.names import NameClaim, claim, claim_id, release
from domain.permissions import Permission
from domain.refusals import Refusal, collect, raise_together


class CreateDataset(Command):
    """A dataset with its first data paths, as typed (D-1 to D-5). `path_ids` are new, one for each path."""

    PERMISSION: ClassVar = Permission.MANAGE_DATASETS
    dataset_id: UUID
    name: str
    purpose: DatasetPurpose
    environment: tuple[UUID, ...]
    data_paths: tuple[str, ...]
    path_ids: tuple[UUID, ...]


class AddDataPaths(Command):
    """Add many paths at once, as typed (D-7). `path_ids` are new, one for each path."""

    PERMISSION: ClassVar = Permission.MANAGE_DATASETS
    dataset_id: UUID
    data_paths: tuple[str, ...]
    path_ids: tuple[UUID, ...]


class RemoveDataPaths(Command):
    """Take paths out of a dataset (D-7)."""

    PERMISSION: ClassVar = Permission.MANAGE_DATASETS
    dataset_id: UUID
    path_ids: tuple[UUID, ...]


class InspectDataPath(Command):
    """Scan a path again (D-7)."""

    PERMISSION: ClassVar = Permission.MANAGE_DATASETS
    dataset_id: UUID
    path_id: UUID


class InspectDataPaths(Command):
    """Scan every path of a dataset again (D-7)."""

    PERMISSION: ClassVar = Permission.MANAGE_DATASETS
    dataset_id: UUID


class RecordScan(Command):
    """A scan in the background has ended: what it found, for a path that waits for it (D-3)."""

    PERMISSION: ClassVar = Permission.SYSTEM
    dataset_id: UUID
    path_id: UUID
    inspection: Inspection


class DeleteDataset(Command):
    """Delete a dataset (D-8)."""

    PERMISSION: ClassVar = Permission.MANAGE_DATASETS
    dataset_id: UUID


@handles(CreateDataset)
def create_dataset(command: CreateDataset, assay: Assay) -> int:
    if assay.has_made(Dataset, command.dataset_id):
        return 0
    name_id = claim_id(command.purpose.name_kind, command.name)
    name = assay.find(NameClaim, name_id)
    refusals: list[Refusal] = []
    facts = collect(
        refusals,
        datasets.create,
        name=command.name,
        purpose=command.purpose,
        environment=collect(refusals, bind, assay, command.environment),
        data_paths=_inspected(assay, command.data_paths, command.path_ids),
    )
    claimed = collect(refusals, claim, name, command.purpose.name_kind, command.name, command.dataset_id)
    raise_together(refusals)
    return assay.save(command, Change(command.dataset_id, None, facts), Change(name_id, name, claimed))


@handles(AddDataPaths)
def add_data_paths(command: AddDataPaths, assay: Assay) -> int:
    dataset = assay.load(Dataset, command.dataset_id)
    facts = datasets.add_data_paths(dataset, _inspected(assay, command.data_paths, command.path_ids))
    return assay.save(command, Change(dataset.id, dataset, facts))


@handles(RemoveDataPaths)
def remove_data_paths(command: RemoveDataPaths, assay: Assay) -> int:
    dataset = assay.load(Dataset, command.dataset_id)
    return assay.save(command, Change(dataset.id, dataset, datasets.remove_data_paths(dataset, command.path_ids)))


@handles(InspectDataPath)
def inspect_data_path(command: InspectDataPath, assay: Assay) -> int:
    dataset = assay.load(Dataset, command.dataset_id)
    facts = _scanned_again(assay, dataset, [datasets.data_path(dataset, command.path_id)])
    return assay.save(command, Change(dataset.id, dataset, facts))


@handles(InspectDataPaths)
def inspect_data_paths(command: InspectDataPaths, assay: Assay) -> int:
    dataset = assay.load(Dataset, command.dataset_id)
    return assay.save(command, Change(dataset.id, dataset, _scanned_again(assay, dataset, dataset.data_paths)))


@handles(RecordScan)
def record_scan(command: RecordScan, assay: Assay) -> int:
    dataset = assay.load(Dataset, command.dataset_id)
    return assay.save(
        command, Change(dataset.id, dataset, datasets.record_scan(dataset, command.path_id, command.inspection))
    )


@handles(DeleteDataset)
def delete_dataset(command: DeleteDataset, assay: Assay) -> int:
    dataset = assay.load(Dataset, command.dataset_id)
    name_id = claim_id(dataset.purpose.name_kind, dataset.name)
    name = assay.find(NameClaim, name_id)
    return assay.save(
        command,
        Change(dataset.id, dataset, datasets.delete(dataset)),
        Change(name_id, name, release(name, dataset.id)),
    )


def _inspected(assay: Assay, typed_paths: tuple[str, ...], path_ids: tuple[UUID, ...]) -> list[DataPath]:
    found = assay.ports.data_folders.inspect_paths(typed_paths)
    return [DataPath(path_id, one) for path_id, one in zip(path_ids, found, strict=True)]


def _scanned_again(assay: Assay, dataset: Dataset, paths: Sequence[DataPath]) -> list[Fact]:
    found = assay.ports.data_folders.scan_again([path.inspection.folder for path in paths])
    return datasets.reinspect(dataset, {path.path_id: one for path, one in zip(paths, found, strict=True)})
