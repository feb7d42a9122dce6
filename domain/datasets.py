"""Training and question-bank datasets: a name, a place in the plant, and data paths. Source: REQUIREMENTS, section D."""

import enum
from collections.abc import Mapping, Sequence
from typing import ClassVar
from uuid import UUID

import msgspec

from domain.data_paths import ChosenFolders, DataPathState, Inspection
from domain.environments import EnvironmentBinding
from domain.facts import Fact, State, evolves, replace
from domain.names import NameKind, check_object_name
from domain.refusals import NotFound, Refusal, raise_together
from domain.sentences import N_


class DatasetPurpose(enum.Enum):
    """训练数据集 or 题库数据集."""

    TRAINING = "training"
    QUESTION_BANK = "question_bank"

    @property
    def name_kind(self) -> NameKind:
        """Names are unique within a purpose (D-1)."""
        training = self is DatasetPurpose.TRAINING
        return NameKind.TRAINING_DATASET if training else NameKind.QUESTION_BANK_DATASET


class DataPath(msgspec.Struct, frozen=True):
    """A data path of a dataset with what was found in it."""

    path_id: UUID
    inspection: Inspection


class DatasetCreated(Fact):
    """A dataset with its first data paths."""

    TOPIC: ClassVar[str] = "dataset.created"
    name: str
    purpose: DatasetPurpose
    environment: EnvironmentBinding
    data_paths: tuple[DataPath, ...]


class DataPathsAdded(Fact):
    """Further data paths."""

    TOPIC: ClassVar[str] = "dataset.data_paths_added"
    data_paths: tuple[DataPath, ...]


class DataPathsRemoved(Fact):
    """Data paths were taken out; the folders themselves are untouched."""

    TOPIC: ClassVar[str] = "dataset.data_paths_removed"
    path_ids: tuple[UUID, ...]


class DataPathInspected(Fact):
    """A data path was scanned again."""

    TOPIC: ClassVar[str] = "dataset.data_path_inspected"
    path_id: UUID
    inspection: Inspection


class DatasetDeleted(Fact):
    """The dataset is gone; jobs and models keep the paths they used (D-8)."""

    TOPIC: ClassVar[str] = "dataset.deleted"


class DataPathIsInvalid(Refusal):
    """D-3, D-4: one sentence for every reason, so that nothing is told of what exists outside the roots.

    Shown beside its line: the field is `data_paths.<line>`, lines counted from 1.
    """

    field = "data_paths"
    message = N_("Checking the dataset path failed: the path is wrong")


class DataPathRepeated(Refusal):
    """D-4: no path twice in a dataset."""

    field = "data_paths"
    message = N_("This path is already in the dataset. Remove the line.")


class DataPathOverlaps(Refusal):
    """A folder and the folder around it: every image would count twice, and stand on both sides of a split."""

    field = "data_paths"
    message = N_("“{other}” already holds the images of this path, or this path holds its. Keep only one of them.")


class NoDataPath(Refusal):
    """A dataset without images is of no use."""

    field = "data_paths"
    message = N_("Enter at least one data path, one on each line.")


class Dataset(State):
    """What the rules need of a dataset."""

    name: str
    purpose: DatasetPurpose
    data_paths: tuple[DataPath, ...] = ()
    is_deleted: bool = False


def create(
    *, name: str, purpose: DatasetPurpose, environment: EnvironmentBinding, data_paths: Sequence[DataPath]
) -> list[Fact]:
    """A new dataset.

    Raises:
        ObjectNameIsInvalid, NoDataPath, DataPathIsInvalid, DataPathRepeated, DataPathOverlaps (all that apply, together).
    """
    refusals: list[Refusal] = []
    try:
        check_object_name(name)
    except Refusal as refusal:
        refusals.append(refusal)
    refusals += _wrong_paths((), data_paths)
    raise_together(refusals)
    return [DatasetCreated(name=name, purpose=purpose, environment=environment, data_paths=tuple(data_paths))]


def add_data_paths(dataset: Dataset, data_paths: Sequence[DataPath]) -> list[Fact]:
    """Add many at once (D-7): all or nothing, each wrong line named.

    Nothing happens where exactly these paths were added before: the same wish came twice.

    Raises:
        NoDataPath, DataPathIsInvalid, DataPathRepeated, DataPathOverlaps.
    """
    _must_exist(dataset)
    known = {(path.path_id, path.inspection.folder) for path in dataset.data_paths}
    if data_paths and known.issuperset((path.path_id, path.inspection.folder) for path in data_paths):
        return []
    raise_together(_wrong_paths(dataset.data_paths, data_paths))
    return [DataPathsAdded(data_paths=tuple(data_paths))]


def remove_data_paths(dataset: Dataset, path_ids: Sequence[UUID]) -> list[Fact]:
    """Take data paths out. Those that are gone already are gone: somebody was faster, or the wish came twice.

    Raises:
        NotFound: the dataset is gone.
    """
    _must_exist(dataset)
    present = {path.path_id for path in dataset.data_paths}
    gone = tuple(path_id for path_id in path_ids if path_id in present)
    return [DataPathsRemoved(path_ids=gone)] if gone else []


def reinspect(dataset: Dataset, inspections: Mapping[UUID, Inspection]) -> list[Fact]:
    """Note what a new look at some data paths found, where it differs from the last one.

    Raises:
        NotFound: one of them is not (any more) in the dataset.
    """
    _must_exist(dataset)
    return [
        DataPathInspected(path_id=path_id, inspection=inspection)
        for path_id, inspection in inspections.items()
        if data_path(dataset, path_id).inspection != inspection
    ]


def record_scan(dataset: Dataset, path_id: UUID, inspection: Inspection) -> list[Fact]:
    """Note what a scan in the background found, where the path still waits for it (D-3)."""
    waits = any(
        path.path_id == path_id and path.inspection.state is DataPathState.SCANNING for path in dataset.data_paths
    )
    return reinspect(dataset, {path_id: inspection}) if waits else []


def data_path(dataset: Dataset, path_id: UUID) -> DataPath:
    """A data path of the dataset.

    Raises:
        NotFound
    """
    known = next((path for path in dataset.data_paths if path.path_id == path_id), None)
    if known is None:
        raise NotFound
    return known


def wrong_path(found: Inspection, beside: ChosenFolders, *, at: str = "data_paths") -> Refusal | None:
    """What keeps a path from standing beside others, None where nothing does (D-3, D-4)."""
    if found.state is DataPathState.INVALID:
        return DataPathIsInvalid(at=at)
    if found.folder in beside:
        return DataPathRepeated(at=at)
    other = beside.overlapping(found.folder)
    return None if other is None else DataPathOverlaps(at=at, other=str(other))


def delete(dataset: Dataset) -> list[Fact]:
    """Delete the dataset (D-8).

    Raises:
        NotFound: it is gone already.
    """
    _must_exist(dataset)
    return [DatasetDeleted()]


def _must_exist(dataset: Dataset) -> None:
    if dataset.is_deleted:
        raise NotFound


def _wrong_paths(known: Sequence[DataPath], added: Sequence[DataPath]) -> list[Refusal]:
    refusals: list[Refusal] = []
    if not added:
        refusals.append(NoDataPath())
    folders = ChosenFolders(path.inspection.folder for path in known)
    for line, path in enumerate(added, 1):
        refusal = wrong_path(path.inspection, folders, at=f"data_paths.{line}")
        if refusal is not None:
            refusals.append(refusal)
        folders.add(path.inspection.folder)
    return refusals


EVOLVE = evolves(
    Dataset,
    {
        DatasetCreated: lambda dataset, fact: Dataset(name=fact.name, purpose=fact.purpose, data_paths=fact.data_paths),
        DataPathsAdded: lambda dataset, fact: replace(dataset, data_paths=dataset.data_paths + fact.data_paths),
        DataPathsRemoved: lambda dataset, fact: replace(
            dataset, data_paths=tuple(path for path in dataset.data_paths if path.path_id not in fact.path_ids)
        ),
        DataPathInspected: lambda dataset, fact: replace(
            dataset,
            data_paths=tuple(
                DataPath(path.path_id, fact.inspection) if path.path_id == fact.path_id else path
                for path in dataset.data_paths
            ),
        ),
        DatasetDeleted: lambda dataset, fact: replace(dataset, is_deleted=True),
    },
)
