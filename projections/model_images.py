"""Model images with every attempt at loading one of their versions. Source: REQUIREMENTS, section I."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import LiteralString
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.environments import EnvironmentBinding
from domain.facts import Recorded
from domain.model_images import (
    ArchiveSource,
    LoadStatus,
    ModelImageImported,
    ModelImageKind,
    ModelImageLoaded,
    ModelImageLoadingDismissed,
    ModelImageLoadingFailed,
    ModelImageLoadingInterrupted,
    ModelImageLoadingQueued,
    ModelImageLoadingStarted,
    ModelImageVersionDeleted,
    TaskTypeUsed,
    version_label,
)
from domain.model_packages import ModelPackage
from domain.sentences import Sentence
from projections.read_model import Page, ReadModel, Rows, Stretch, Table

ROWS_ON_A_PAGE = 20
MOST_CHOICES = 10
"""Of versions to choose from, the others are found by a part of their name. What a version is stands beside them on the page."""


class ModelImageVersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One archive that was loaded, is loading or could not be loaded.

    `loading` tells the archives of one image apart, growing; `number`, `archive` and `package` are there once it is loaded.
    `place` is where the archive was taken from, an upload or a path on the server.
    """

    loading: int
    status: LoadStatus
    number: int | None
    file_name: str
    source: ArchiveSource
    place: FolderName
    archive: Artifact | None
    package: ModelPackage | None
    reason: Sentence | None
    worker: str
    imported_by: str
    imported_at: datetime
    is_importer_deleted: bool = False

    @property
    def label(self) -> str:
        """For example v1.0; empty while there is no number."""
        return version_label(self.number) if self.number else ""


class ModelImageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model image with its versions, the newest first."""

    model_image_id: UUID
    name: str
    kind: ModelImageKind
    task_type: TaskTypeUsed
    environment: EnvironmentBinding | None
    modified_by: str
    modified_at: datetime
    versions: tuple[ModelImageVersionRow, ...]
    is_modifier_deleted: bool = False

    @property
    def newest(self) -> ModelImageVersionRow | None:
        """The loaded version with the highest number."""
        return next((version for version in self.versions if version.number), None)

    @property
    def loaded_count(self) -> int:
        """How many versions can be used."""
        return sum(version.status is LoadStatus.LOADED for version in self.versions)

    @property
    def status(self) -> LoadStatus:
        """What became of the newest archive."""
        return self.versions[0].status

    def version(self, number: int) -> ModelImageVersionRow | None:
        """A loaded version by its whole number."""
        return next((version for version in self.versions if version.number == number), None)


class ModelImageVersionChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded version, for those who choose one."""

    model_image_id: UUID
    name: str
    kind: ModelImageKind
    task_type: TaskTypeUsed
    environment: EnvironmentBinding | None
    number: int
    archive: Artifact
    package: ModelPackage
    imported_at: datetime

    @property
    def label(self) -> str:
        """For example v1.0."""
        return version_label(self.number)


class ModelImageVersionChoices(msgspec.Struct, frozen=True, kw_only=True):
    """Versions to choose one of, and whether there are others."""

    versions: tuple[ModelImageVersionChoice, ...] = ()
    has_more: bool = False


class UploadUsed(msgspec.Struct, frozen=True):
    """An upload that was imported: its path among the uploads, and what became of it."""

    path: str
    status: LoadStatus


class ModelImages(ReadModel):
    """Rows of a name begin anew when it is imported again, which is possible only while no version of it can be used."""

    name = "model_images"
    MODEL_IMAGES = Table(
        "model_images",
        key=("model_image_id uuid",),
        columns=(
            "name text NOT NULL",
            "kind text NOT NULL",
            "task_type jsonb NOT NULL",
            "environment jsonb",
            "place_ids uuid[] NOT NULL",
            "loading integer NOT NULL",
            "modified_by uuid NOT NULL",
            "modified_at timestamptz NOT NULL",
        ),
        indexes=(
            "CREATE INDEX ON model_images (modified_at, model_image_id)",
            "CREATE INDEX ON model_images USING gin (place_ids)",
        ),
    )
    VERSIONS = Table(
        "model_image_versions",
        key=("model_image_id uuid", "loading integer"),
        columns=(
            "status text NOT NULL",
            "number integer",
            "file_name text NOT NULL",
            "source text NOT NULL",
            "place jsonb NOT NULL",
            "archive jsonb",
            "package jsonb",
            "reason jsonb",
            "worker text NOT NULL",
            "imported_by uuid NOT NULL",
            "imported_at timestamptz NOT NULL",
        ),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """The version in the log of the fact that queued an archive names its loading."""
        image_id = recorded.originator_id
        match recorded.data:
            case ModelImageImported() as fact:
                rows.delete(self.VERSIONS, image_id)
                rows.insert(
                    self.MODEL_IMAGES,
                    image_id,
                    name=fact.name,
                    kind=fact.kind,
                    task_type=fact.task_type,
                    environment=fact.environment,
                    place_ids=fact.environment.place_ids if fact.environment else (),
                    loading=0,
                    modified_by=recorded.origin.actor,
                    modified_at=recorded.timestamp,
                )
            case ModelImageLoadingQueued(order=order, source=source):
                rows.update(self.MODEL_IMAGES, image_id, loading=recorded.originator_version)
                self._note_change(rows, recorded)
                rows.insert(
                    self.VERSIONS,
                    image_id,
                    recorded.originator_version,
                    status=LoadStatus.LOADING,
                    file_name=PurePosixPath(order.archive.path).name,
                    source=source,
                    place=order.archive,
                    worker="",
                    imported_by=recorded.origin.actor,
                    imported_at=recorded.timestamp,
                )
            case ModelImageLoadingStarted(worker=worker):
                rows.update(self.VERSIONS, image_id, self._loading(rows, image_id), worker=worker)
            case ModelImageLoadingInterrupted():
                rows.update(self.VERSIONS, image_id, self._loading(rows, image_id), worker="")
            case ModelImageLoaded(number=number, archive=archive, package=package):
                rows.update(
                    self.VERSIONS,
                    image_id,
                    self._loading(rows, image_id),
                    status=LoadStatus.LOADED,
                    number=number,
                    archive=archive,
                    package=package,
                )
            case ModelImageLoadingFailed(reason=reason):
                loading = self._loading(rows, image_id)
                rows.update(self.VERSIONS, image_id, loading, status=LoadStatus.FAILED, reason=reason)
            case ModelImageLoadingDismissed(loading=loading):
                rows.delete(self.VERSIONS, image_id, loading)
                self._note_change(rows, recorded)
                self._go_with_the_last(rows, image_id, "true")
            case ModelImageVersionDeleted(number=number):
                rows.execute(
                    "DELETE FROM model_image_versions WHERE model_image_id = %s AND number = %s", (image_id, number)
                )
                self._note_change(rows, recorded)
                self._go_with_the_last(rows, image_id, "status <> 'failed'")

    def page(
        self,
        *,
        place_ids: Sequence[UUID] = (),
        kind: ModelImageKind | None = None,
        task_type_id: UUID | None = None,
        search: str = "",
        number: int = 1,
        size: int = ROWS_ON_A_PAGE,
    ) -> Page[ModelImageRow]:
        """A page of the list, the newest change first; where places are given, what is bound to one of them or below it."""
        chosen, values = _chosen(place_ids, kind, task_type_id, search)
        return self._page(
            f"SELECT model_image_id FROM model_images WHERE {chosen}",  # noqa: S608 - our own text
            values,
            ModelImageRow,
            number=number,
            size=size,
            order="modified_at DESC, model_image_id DESC",
            shown=f"{_SELECT} JOIN part USING (model_image_id)",
        )

    def stretch(
        self,
        *,
        place_ids: Sequence[UUID] = (),
        kind: ModelImageKind | None = None,
        task_type_id: UUID | None = None,
        search: str = "",
        after: tuple[str, UUID] | None = None,
        size: int,
    ) -> Stretch[ModelImageRow]:
        """The list by name, for programs; filtered as a page is."""
        chosen, values = _chosen(place_ids, kind, task_type_id, search)
        return self._stretch(
            f"SELECT name AS by_name, model_image_id FROM model_images WHERE {chosen}",  # noqa: S608 - our own text
            values,
            ModelImageRow,
            key=("by_name", "model_image_id"),
            after=after,
            size=size,
            shown=f"{_SELECT} JOIN part USING (model_image_id)",
        )

    def get(self, model_image_id: UUID) -> ModelImageRow | None:
        """One model image."""
        return self._one(f"{_SELECT} WHERE model_image_id = %s", (model_image_id,), ModelImageRow)

    def version_choices(
        self,
        kind: ModelImageKind,
        *,
        search: str = "",
        place_ids: Sequence[UUID] = (),
        chosen: tuple[UUID | None, int] = (None, 0),
    ) -> ModelImageVersionChoices:
        """The versions of a kind that can be used and were imported last, to choose one of (W-2).

        `search` is a part of the name; where places are given, the image is bound to one of them or below it. The one that is
        `chosen` already stands first, whatever is searched for.
        """
        filters = ["true"]
        if place_ids:
            filters.append("place_ids && %(place_ids)s::uuid[]")
        if search:
            filters.append("strpos(lower(name), lower(%(search)s)) > 0")
        is_chosen = "(model_image_id = %(model_image_id)s AND number = %(number)s) IS TRUE"
        found = self._all(
            f"{_CHOICE} AND kind = %(kind)s AND ({' AND '.join(filters)} OR {is_chosen})"
            f" ORDER BY {is_chosen} DESC, imported_at DESC, model_image_id, number DESC LIMIT %(most)s",
            {
                "kind": kind.value,
                "search": search,
                "place_ids": list(place_ids),
                "model_image_id": chosen[0],
                "number": chosen[1],
                "most": MOST_CHOICES + 1,
            },
            ModelImageVersionChoice,
        )
        return ModelImageVersionChoices(versions=tuple(found[:MOST_CHOICES]), has_more=len(found) > MOST_CHOICES)

    def version_choice(self, model_image_id: UUID, number: int) -> ModelImageVersionChoice | None:
        """One version, where it can be used."""
        return self._one(
            f"{_CHOICE} AND model_image_id = %s AND number = %s", (model_image_id, number), ModelImageVersionChoice
        )

    def has_versions(self) -> bool:
        """Whether any version can be used."""
        return (
            self._one("SELECT EXISTS (SELECT FROM model_image_versions WHERE status = 'loaded') AS found", (), bool)
            or False
        )

    def uploads_used(self) -> Sequence[UploadUsed]:
        """Every upload that was imported and is still listed, for those who tidy up."""
        return self._all(
            "SELECT place->>'path' AS path, status FROM model_image_versions WHERE source = 'upload'", (), UploadUsed
        )

    def _note_change(self, rows: Rows, recorded: Recorded) -> None:
        rows.update(
            self.MODEL_IMAGES,
            recorded.originator_id,
            modified_by=recorded.origin.actor,
            modified_at=recorded.timestamp,
        )

    def _go_with_the_last(self, rows: Rows, image_id: UUID, keeping: LiteralString) -> None:
        """Drop the image where no version of it is left that keeps it."""
        left = f"SELECT 1 FROM model_image_versions WHERE model_image_id = %s AND {keeping} LIMIT 1"  # noqa: S608 - our own
        if not rows.execute(left, (image_id,)):
            rows.delete(self.VERSIONS, image_id)
            rows.delete(self.MODEL_IMAGES, image_id)

    def _loading(self, rows: Rows, image_id: UUID) -> int:
        row = rows.row(self.MODEL_IMAGES, image_id)
        return int(row["loading"]) if row else 0


def _chosen(
    place_ids: Sequence[UUID], kind: ModelImageKind | None, task_type_id: UUID | None, search: str
) -> tuple[str, dict[str, object]]:
    filters = ["true"]
    if place_ids:
        filters.append("place_ids && %(place_ids)s::uuid[]")
    if kind:
        filters.append("kind = %(kind)s")
    if task_type_id:
        filters.append("task_type->>'task_type_id' = %(task_type_id)s")
    if search:
        filters.append("strpos(lower(name), lower(%(search)s)) > 0")
    return " AND ".join(filters), {
        "place_ids": [*place_ids],
        "kind": kind.value if kind else "",
        "task_type_id": str(task_type_id or ""),
        "search": search,
    }


_CHOICE = (
    "SELECT model_image_id, name, kind, task_type, environment, number, archive, package, imported_at"
    " FROM model_images JOIN model_image_versions USING (model_image_id) WHERE status = 'loaded'"
)
_SELECT = """
    SELECT model_image_id, name, kind, task_type, environment, coalesce(username, '') AS modified_by, modified_at,
        users.deleted_at IS NOT NULL AS is_modifier_deleted,
        (SELECT coalesce(jsonb_agg(version ORDER BY loading DESC), '[]') FROM (
            SELECT loading, status, number, file_name, source, place, archive, package, reason, worker,
                coalesce(importer.username, '') AS imported_by, imported_at,
                importer.deleted_at IS NOT NULL AS is_importer_deleted
            FROM model_image_versions LEFT JOIN users AS importer ON importer.user_id = imported_by
            WHERE model_image_versions.model_image_id = model_images.model_image_id
        ) AS version) AS versions
    FROM model_images LEFT JOIN users ON users.user_id = modified_by
"""
