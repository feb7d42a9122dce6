"""Datasets with their data paths (D-6, D-7)."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

import msgspec

from domain.data_paths import DataPathProblem, DataPathState, DefectCodeCount, FolderName
from domain.datasets import (
    DataPath,
    DataPathInspected,
    DataPathsAdded,
    DataPathsRemoved,
    DatasetCreated,
    DatasetDeleted,
    DatasetPurpose,
)
from domain.environments import EnvironmentBinding
from domain.facts import SYSTEM, Recorded
from domain.names import name_key
from domain.users import UserCreated, UserDeleted
from projections.read_model import Artifacts, Page, Pool, ReadModel, Row, Rows, Stretch, Table

PAGE_SIZE = 20
MOST_CHOICES = 20
"""Datasets that are offered at once to import paths from; the others are found by a part of their name."""
MOST_PATHS = 100
"""Paths of one of them that are offered at once; the next ones come when these are imported."""
SORTS = {
    "name": "name_key",
    "path_count": "path_count",
    "image_count": "image_count",
    "changed_by": "changed_by",
    "changed_at": "changed_at",
}
"""The columns that a list may be sorted by, and how SQL says it. Each has an index that also holds what a search looks at."""


class DatasetRow(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset in a list. `changed_by` is a user name, empty where no person did it."""

    dataset_id: UUID
    name: str
    purpose: DatasetPurpose
    environment: EnvironmentBinding
    path_count: int
    image_count: int
    changed_by: str
    changed_at: datetime
    is_changer_deleted: bool = False


class DataPathRow(msgspec.Struct, frozen=True, kw_only=True):
    """A data path with what was found in it at the last inspection; its figures mean what they mean there."""

    path_id: UUID
    folder: FolderName
    state: DataPathState
    image_count: int
    defect_codes: tuple[DefectCodeCount, ...]
    formats: tuple[tuple[str, int], ...]
    resolutions: tuple[tuple[int, int, int], ...]
    total_bytes: int
    mask_count: int
    damaged_count: int
    has_groups: bool = False
    problem: DataPathProblem | None = None


class DatasetDetail(DatasetRow, frozen=True, kw_only=True):
    """One dataset; `paths` in the order in which they were added."""

    paths: tuple[DataPathRow, ...]


class DatasetChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset with those of its paths that can be imported into a job, or the first of them.

    `path_count` is how many there are in the dataset, imported or not.
    """

    dataset_id: UUID
    name: str
    path_count: int
    paths: tuple[DataPathRow, ...]
    has_more: bool = False


class DatasetChoices(msgspec.Struct, frozen=True, kw_only=True):
    """The datasets from which paths can be imported, or the newest changes of them."""

    datasets: tuple[DatasetChoice, ...] = ()
    has_more: bool = False


class PlacedFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that is a data path of a dataset."""

    dataset_id: UUID
    path_id: UUID
    folder: FolderName


class ScanningPath(msgspec.Struct, frozen=True, kw_only=True):
    """A data path that waits for the end of a scan; `image_count` were seen when it began."""

    dataset_id: UUID
    path_id: UUID
    folder: FolderName
    image_count: int


class Datasets(ReadModel):
    """A row a dataset and a row a data path, while they exist.

    What only the rows of one page show lies in a table of its own, so that what lists are sorted and filtered by stands close
    together. Who changed a dataset is kept by name, because an index can sort by nothing that lies in another table; user names
    never change.
    """

    name = "datasets"
    DATASETS = Table(
        "datasets",
        key=("dataset_id uuid",),
        columns=(
            "name text NOT NULL",
            "name_key text NOT NULL",
            "purpose text NOT NULL",
            "place_ids uuid[] NOT NULL",
            "path_count int NOT NULL",
            "image_count bigint NOT NULL",
            "changed_by text NOT NULL",
            "changed_at timestamptz NOT NULL",
        ),
        indexes=(
            "CREATE INDEX ON datasets (purpose, name_key, dataset_id)",
            "CREATE INDEX ON datasets (purpose, path_count, dataset_id) INCLUDE (name_key)",
            "CREATE INDEX ON datasets (purpose, image_count, dataset_id) INCLUDE (name_key)",
            "CREATE INDEX ON datasets (purpose, changed_by, dataset_id) INCLUDE (name_key)",
            "CREATE INDEX ON datasets (purpose, changed_at, dataset_id) INCLUDE (name_key)",
            "CREATE INDEX ON datasets USING gin (place_ids)",
        ),
    )
    ENVIRONMENTS = Table(
        "dataset_environments",
        key=("dataset_id uuid",),
        columns=("environment jsonb NOT NULL",),
    )
    PEOPLE = Table(
        "dataset_people",
        key=("user_id uuid",),
        columns=("username text NOT NULL", "is_deleted boolean NOT NULL DEFAULT false"),
    )
    DATA_PATHS = Table(
        "data_paths",
        key=("dataset_id uuid", "path_id uuid"),
        columns=(
            "added bigint NOT NULL",
            "folder jsonb NOT NULL",
            "state text NOT NULL",
            "image_count bigint NOT NULL",
            "defect_codes jsonb NOT NULL",
            "formats jsonb NOT NULL",
            "resolutions jsonb NOT NULL",
            "total_bytes bigint NOT NULL",
            "mask_count bigint NOT NULL",
            "damaged_count bigint NOT NULL",
            "has_groups boolean NOT NULL",
            "problem text",
        ),
        indexes=(
            "CREATE INDEX data_paths_scanning ON data_paths (dataset_id) WHERE state = 'scanning'",
            "CREATE INDEX data_paths_in_order ON data_paths (dataset_id, added)",
            "CREATE INDEX data_paths_by_id ON data_paths (path_id)",
            "CREATE INDEX data_paths_by_folder ON data_paths USING hash (folder)",
        ),
    )

    def __init__(self, pool: Pool | None = None, artifacts: Artifacts | None = None) -> None:
        super().__init__(pool, artifacts)
        self._usernames: dict[UUID, str] = {}

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """Every fact but the last also says who changed the dataset last; the end of a scan is nobody's change."""
        dataset_id, fact = recorded.originator_id, recorded.data
        match fact:
            case UserCreated(username=username):
                rows.insert(self.PEOPLE, recorded.originator_id, username=username)
            case UserDeleted():
                rows.update(self.PEOPLE, recorded.originator_id, is_deleted=True)
            case DatasetCreated(environment=environment):
                rows.insert(
                    self.DATASETS,
                    dataset_id,
                    name=fact.name,
                    name_key=name_key(fact.name),
                    purpose=fact.purpose.value,
                    place_ids=environment.place_ids,
                    path_count=0,
                    image_count=0,
                    changed_by=self._username(rows, recorded.origin.actor),
                    changed_at=recorded.timestamp,
                )
                rows.insert(self.ENVIRONMENTS, dataset_id, environment=environment)
                self._add(rows, recorded, fact.data_paths)
            case DataPathsAdded(data_paths=data_paths):
                self._add(rows, recorded, data_paths)
                self._note_change(rows, recorded)
            case DataPathsRemoved(path_ids=path_ids):
                self._remove(rows, dataset_id, path_ids)
                self._note_change(rows, recorded)
            case DataPathInspected(path_id=path_id) as found:
                if path := rows.row(self.DATA_PATHS, dataset_id, path_id):
                    self._count(rows, dataset_id, images=found.inspection.image_count - path["image_count"])
                rows.update(self.DATA_PATHS, dataset_id, path_id, **_figures(DataPath(path_id, found.inspection)))
                if recorded.origin.actor != SYSTEM:
                    self._note_change(rows, recorded)
            case DatasetDeleted():
                rows.delete(self.DATASETS, dataset_id)
                rows.delete(self.ENVIRONMENTS, dataset_id)
                rows.delete(self.DATA_PATHS, dataset_id)

    def page(
        self,
        purpose: DatasetPurpose,
        *,
        place_ids: Sequence[UUID] = (),
        search: str = "",
        sort: str = "-changed_at",
        page: int = 1,
        size: int = PAGE_SIZE,
    ) -> Page[DatasetRow]:
        """The datasets of a purpose that are bound to any of `place_ids` or below it (to anything, where none is given).

        `search` is a part of the name, in any case. `sort` is one of `SORTS`, with `-` before it for descending.
        """
        column, direction = SORTS[sort.removeprefix("-")], "DESC" if sort.startswith("-") else "ASC"
        chosen, values = _chosen(purpose, place_ids, search)
        return self._page(
            f"SELECT dataset_id FROM datasets WHERE {chosen}",  # noqa: S608 - our own columns
            values,
            DatasetRow,
            number=page,
            size=size,
            order=f"{column} {direction}, dataset_id {direction}",
            shown=f"SELECT {_COLUMNS} FROM part JOIN {_DATASETS}",  # noqa: S608
        )

    def stretch(
        self,
        purpose: DatasetPurpose,
        *,
        place_ids: Sequence[UUID] = (),
        search: str = "",
        after: tuple[str, UUID] | None = None,
        size: int,
    ) -> Stretch[DatasetRow]:
        """The datasets of a purpose by name, for programs; filtered as a page is."""
        chosen, values = _chosen(purpose, place_ids, search)
        return self._stretch(
            f"SELECT name_key, dataset_id FROM datasets WHERE {chosen}",  # noqa: S608 - our own columns
            values,
            DatasetRow,
            key=("name_key", "dataset_id"),
            after=after,
            size=size,
            shown=f"SELECT {_COLUMNS} FROM part JOIN {_DATASETS}",  # noqa: S608
        )

    def get(self, dataset_id: UUID) -> DatasetDetail | None:
        """One dataset, None where there is none (any more)."""
        row = self.head(dataset_id)
        if row is None:
            return None
        paths = self._all(f"{_PATHS} ORDER BY added", {"dataset_id": dataset_id}, DataPathRow)
        return DatasetDetail(**msgspec.structs.asdict(row), paths=tuple(paths))

    def head(self, dataset_id: UUID) -> DatasetRow | None:
        """One dataset without its paths, of which there may be thousands."""
        return self._one(
            f"SELECT {_COLUMNS} FROM (SELECT %s::uuid AS dataset_id) AS part JOIN {_DATASETS}",  # noqa: S608 - our own
            (dataset_id,),
            DatasetRow,
        )

    def paths(self, dataset_id: UUID, *, page: int, size: int) -> Page[DataPathRow]:
        """Some data paths of a dataset, in the order in which they were added."""
        return self._page(_PATHS, {"dataset_id": dataset_id}, DataPathRow, number=page, size=size, order="added")

    def path_stretch(self, dataset_id: UUID, *, after: tuple[int] | None = None, size: int) -> Stretch[DataPathRow]:
        """The data paths of a dataset in the order in which they were added, for programs."""
        return self._stretch(
            "SELECT added, dataset_id, path_id FROM data_paths WHERE dataset_id = %(dataset_id)s",
            {"dataset_id": dataset_id},
            DataPathRow,
            key=("added",),
            after=after,
            size=size,
            shown=f"SELECT {_PATH_COLUMNS} FROM part JOIN data_paths USING (dataset_id, path_id)",  # noqa: S608
        )

    def path(self, dataset_id: UUID, path_id: UUID) -> DataPathRow | None:
        """One data path, None where it is not (any more) in the dataset."""
        return self._one(
            f"{_PATHS} AND path_id = %(path_id)s", {"dataset_id": dataset_id, "path_id": path_id}, DataPathRow
        )

    def chosen_paths(self, dataset_id: UUID, path_ids: Sequence[UUID]) -> tuple[DataPathRow, ...]:
        """Of these data paths, those that are (still) in the dataset, in the order in which they were added."""
        statement = f"{_PATHS} AND path_id = ANY(%(path_ids)s::uuid[]) ORDER BY added"
        return tuple(self._all(statement, {"dataset_id": dataset_id, "path_ids": list(path_ids)}, DataPathRow))

    def choices(
        self, purpose: DatasetPurpose, *, search: str = "", chosen: Sequence[FolderName] = ()
    ) -> DatasetChoices:
        """Datasets of a purpose with paths that are not chosen yet, newest change first, to import from (W-5, P-1).

        `search` is a part of the name, in any case.
        """
        found = self._all(
            _CHOICES,
            {
                "purpose": purpose.value,
                "search": name_key(search),
                "chosen": _folders_as_json(chosen),
                "datasets": MOST_CHOICES + 1,
                "paths": MOST_PATHS + 1,
            },
            _PathOfDataset,
        )
        datasets = []
        for _, group in groupby(found, key=lambda row: row.dataset_id):
            rows = tuple(group)
            paths = msgspec.convert(rows[:MOST_PATHS], tuple[DataPathRow, ...], from_attributes=True)
            datasets.append(
                DatasetChoice(
                    dataset_id=rows[0].dataset_id,
                    name=rows[0].name,
                    path_count=rows[0].path_count,
                    paths=paths,
                    has_more=len(rows) > MOST_PATHS,
                )
            )
        return DatasetChoices(datasets=tuple(datasets[:MOST_CHOICES]), has_more=len(datasets) > MOST_CHOICES)

    def paths_by_id(self, purpose: DatasetPurpose, path_ids: Sequence[UUID]) -> list[DataPathRow]:
        """These data paths, in this order; without those that no dataset of the purpose has (any more)."""
        return self._all(
            f"SELECT {_PATH_COLUMNS} FROM data_paths JOIN datasets USING (dataset_id)"  # noqa: S608 - our own columns
            " WHERE purpose = %(purpose)s AND path_id = ANY(%(path_ids)s::uuid[])"
            " ORDER BY array_position(%(path_ids)s::uuid[], path_id)",
            {"purpose": purpose.value, "path_ids": list(path_ids)},
            DataPathRow,
        )

    def placed(self, purpose: DatasetPurpose, folders: Sequence[FolderName]) -> list[PlacedFolder]:
        """Where these folders are data paths: in the dataset whose name comes first, where several have one."""
        return self._all(
            "SELECT DISTINCT ON (folder) dataset_id, path_id, folder"
            " FROM data_paths JOIN datasets USING (dataset_id)"
            " WHERE folder = ANY(ARRAY(SELECT jsonb_array_elements(%(folders)s::jsonb))) AND purpose = %(purpose)s"
            " ORDER BY folder, name_key, dataset_id",
            {"purpose": purpose.value, "folders": _folders_as_json(folders)},
            PlacedFolder,
        )

    def scanning(self, dataset_ids: Sequence[UUID] | None = None) -> list[ScanningPath]:
        """Every data path that waits for the end of a scan; those of some datasets, where `dataset_ids` names them."""
        return self._all(
            "SELECT dataset_id, path_id, folder, image_count FROM data_paths WHERE state = 'scanning'"
            " AND (%(dataset_ids)s::uuid[] IS NULL OR dataset_id = ANY(%(dataset_ids)s))",
            {"dataset_ids": None if dataset_ids is None else list(dataset_ids)},
            ScanningPath,
        )

    def folders(self) -> list[FolderName]:
        """The folder of every data path of every dataset."""
        return self._all(
            "SELECT DISTINCT folder->>'root' AS root, folder->>'path' AS path FROM data_paths", (), FolderName
        )

    def _add(self, rows: Rows, recorded: Recorded, data_paths: Sequence[DataPath]) -> None:
        for line, data_path in enumerate(data_paths):
            added = recorded.originator_version * _MOST_LINES + line
            rows.insert(self.DATA_PATHS, recorded.originator_id, data_path.path_id, added=added, **_figures(data_path))
        images = sum(data_path.inspection.image_count for data_path in data_paths)
        self._count(rows, recorded.originator_id, paths=len(data_paths), images=images)

    def _remove(self, rows: Rows, dataset_id: UUID, path_ids: Sequence[UUID]) -> None:
        for path_id in path_ids:
            if path := rows.row(self.DATA_PATHS, dataset_id, path_id):
                self._count(rows, dataset_id, paths=-1, images=-path["image_count"])
            rows.delete(self.DATA_PATHS, dataset_id, path_id)

    def _count(self, rows: Rows, dataset_id: UUID, *, paths: int = 0, images: int = 0) -> None:
        """Lists are sorted by these counts; to count them anew would read every path for every list."""
        if dataset := rows.row(self.DATASETS, dataset_id):
            rows.update(
                self.DATASETS,
                dataset_id,
                path_count=dataset["path_count"] + paths,
                image_count=dataset["image_count"] + images,
            )

    def _note_change(self, rows: Rows, recorded: Recorded) -> None:
        rows.update(
            self.DATASETS,
            recorded.originator_id,
            changed_by=self._username(rows, recorded.origin.actor),
            changed_at=recorded.timestamp,
        )

    def _username(self, rows: Rows, user_id: UUID) -> str:
        """Asked for once a person: a name never changes, and a replay asks for the same thousand names in every batch."""
        if user_id not in self._usernames and (person := rows.row(self.PEOPLE, user_id)):
            self._usernames[user_id] = person["username"]
        return self._usernames.get(user_id, "")


class _PathOfDataset(DataPathRow, frozen=True, kw_only=True):
    dataset_id: UUID
    name: str
    path_count: int


_MOST_LINES = 1 << 20
"""More lines than a form can hold; it keeps paths in the order of facts, then of lines."""
_PATH_COLUMNS = (
    "path_id, folder, state, data_paths.image_count, defect_codes, formats, resolutions, total_bytes, mask_count,"
    " damaged_count, has_groups, problem"
)
_PATHS = f"SELECT {_PATH_COLUMNS} FROM data_paths WHERE dataset_id = %(dataset_id)s"  # noqa: S608 - our own columns
_COLUMNS = (
    "dataset_id, name, purpose, environment, path_count, image_count, changed_by, changed_at,"
    " changed_by IN (SELECT username FROM dataset_people WHERE is_deleted) AS is_changer_deleted"
)
"""The name of a deleted user is never taken by another one."""
_DATASETS = "datasets USING (dataset_id) JOIN dataset_environments USING (dataset_id)"

_NOT_CHOSEN = "folder NOT IN (SELECT jsonb_array_elements(%(chosen)s::jsonb))"
# Names are searched in the index of changes, and a dataset is opened only until there are enough that offer a path.
_CHOICES = f"""
WITH part AS MATERIALIZED (
    SELECT found.dataset_id, row_number() OVER () AS place
    FROM (
        SELECT dataset_id FROM datasets
        WHERE purpose = %(purpose)s AND strpos(name_key, %(search)s) > 0
        ORDER BY changed_at DESC, dataset_id DESC
    ) AS found
    CROSS JOIN LATERAL (
        SELECT FROM data_paths WHERE data_paths.dataset_id = found.dataset_id AND {_NOT_CHOSEN} LIMIT 1
    ) AS any_path
    LIMIT %(datasets)s
)
SELECT part.dataset_id, name, path_count, {_PATH_COLUMNS.replace("data_paths.", "offered.")}
FROM part JOIN datasets USING (dataset_id)
CROSS JOIN LATERAL (
    SELECT * FROM data_paths WHERE data_paths.dataset_id = part.dataset_id AND {_NOT_CHOSEN} ORDER BY added LIMIT %(paths)s
) AS offered
ORDER BY place, added
"""  # noqa: S608 - our own columns


def _chosen(purpose: DatasetPurpose, place_ids: Sequence[UUID], search: str) -> tuple[str, dict[str, object]]:
    filters = ["purpose = %(purpose)s"]
    if place_ids:
        filters.append("place_ids && %(place_ids)s::uuid[]")
    if search:
        filters.append("strpos(name_key, %(search)s) > 0")
    return " AND ".join(filters), {
        "purpose": purpose.value,
        "place_ids": list(place_ids),
        "search": name_key(search),
    }


def _folders_as_json(folders: Sequence[FolderName]) -> str:
    return msgspec.json.encode(folders).decode()


def _figures(data_path: DataPath) -> Row:
    found = data_path.inspection
    return {
        "folder": found.folder,
        "state": found.state.value,
        "image_count": found.image_count,
        "defect_codes": found.defect_codes,
        "formats": found.formats,
        "resolutions": found.resolutions,
        "total_bytes": found.total_bytes,
        "mask_count": found.mask_count,
        "damaged_count": found.damaged_count,
        "has_groups": found.has_groups,
        "problem": found.problem.value if found.problem else None,
    }
