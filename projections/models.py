"""Models and their published versions. Source: REQUIREMENTS, section V."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.environments import EnvironmentBinding
from domain.evaluation import EvaluationFigures
from domain.facts import Recorded
from domain.messages import KeptWeights, TrainingOrder
from domain.model_images import TaskTypeUsed, version_label
from domain.model_packages import ResolutionRule
from domain.models import ModelDataPathReleased, ModelVersionPublished, ModelVersionWithdrawn
from domain.training_jobs import ModelImageUsed, TrainedWeights, VersionUsed
from projections.read_model import Page, ReadModel, Rows, Stretch, Table
from projections.users import OWNED_BY, OWNER_COLUMNS, OWNERS

ROWS_ON_A_PAGE = 20
MOST_CHOICES = 20
"""Of versions to choose from, the others are found by the name of their model."""


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model as its newest version that stands, where all are withdrawn (`is_withdrawn`) as its newest one. `version_count`
    counts all of them.
    """

    model_id: UUID
    name: str
    version: str
    version_count: int
    task_type: TaskTypeUsed
    accuracy: float | None
    modified_by: str
    modified_at: datetime
    is_modifier_deleted: bool = False
    is_withdrawn: bool = False


class ModelVersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One published version with everything that made it. `training_order` is what its job was given; `weights` and `figures` are
    those of the `chosen_weights`, `other_figures` those of the weights that were not chosen; the last fields are there where it was
    withdrawn.
    """

    version: str
    published_by: str
    published_at: datetime
    job_id: UUID
    model_image: ModelImageUsed
    task_type: TaskTypeUsed
    environment: EnvironmentBinding
    training_order: TrainingOrder
    weights: Artifact
    figures: EvaluationFigures
    resolution_rule: ResolutionRule
    is_publisher_deleted: bool = False
    started_from: VersionUsed | None = None
    chosen_weights: TrainedWeights = TrainedWeights.BEST
    kept_weights: tuple[KeptWeights, ...] = ()
    other_figures: EvaluationFigures | None = None
    withdrawn_at: datetime | None = None
    withdrawn_by: str = ""
    is_withdrawer_deleted: bool = False
    withdrawal_reason: str = ""

    @property
    def is_withdrawn(self) -> bool:
        """Whether nothing new may begin with it (V-4)."""
        return self.withdrawn_at is not None

    @property
    def label(self) -> str:
        """For example v1.01."""
        return self.version

    @property
    def model_image_label(self) -> str:
        """For example resnet18 v1.0."""
        return f"{self.model_image.name} {version_label(self.model_image.number)}"

    @property
    def accuracy(self) -> float | None:
        """Overall, on the validation split; 0..1."""
        return self.figures.accuracy

    @property
    def recall(self) -> float | None:
        """Overall, on the validation split; 0..1."""
        return self.figures.recall


class ModelDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One model with all its versions, the newest first; `inherited_from` is the deleted user whose it was, if anyone's."""

    model_id: UUID
    name: str
    owner: UUID
    owner_name: str
    task_type: TaskTypeUsed
    environment: EnvironmentBinding
    modified_by: str
    modified_at: datetime
    versions: tuple[ModelVersionRow, ...]
    inherited_from: str = ""
    is_modifier_deleted: bool = False

    @property
    def newest(self) -> ModelVersionRow:
        """The newest that stands, or the newest where all are withdrawn. A model exists once a version is published."""
        return next((version for version in self.versions if not version.is_withdrawn), self.versions[0])

    def version(self, label: str) -> ModelVersionRow | None:
        """A published version by its label."""
        return next((version for version in self.versions if version.version == label), None)


class ModelVersionChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A published version, for those who choose one. `defect_codes` are the classes of its classifier."""

    model_id: UUID
    model_name: str
    label: str
    task_type: TaskTypeUsed
    environment: EnvironmentBinding
    model_image: ModelImageUsed
    network: str
    defect_codes: tuple[str, ...]
    accuracy: float | None
    recall: float | None
    published_at: datetime

    @property
    def name(self) -> str:
        """For forms."""
        return f"{self.model_id}/{self.label}"


class ModelVersionChoices(msgspec.Struct, frozen=True, kw_only=True):
    """Versions to choose one of, and whether there are others."""

    versions: tuple[ModelVersionChoice, ...] = ()
    has_more: bool = False


class LockedModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A model with how many paths its first training had, and how many of them are released (W-5)."""

    model_id: UUID
    name: str
    owner: UUID
    owner_name: str
    path_count: int
    released_count: int
    inherited_from: str = ""


class LockedPath(msgspec.Struct, frozen=True, kw_only=True):
    """A path of a model's first training; `released_at` is None while the model cannot be trained again without it."""

    root: str
    path: str
    released_by: str
    released_at: datetime | None
    is_releaser_deleted: bool = False

    @property
    def folder(self) -> FolderName:
        """The path by its name."""
        return FolderName(self.root, self.path)


class Models(ReadModel):
    """Every version; a model shows what its newest version says."""

    name = "models"
    MODELS = Table(
        "models",
        key=("model_id uuid",),
        columns=(
            "owner uuid NOT NULL",
            "name text NOT NULL",
            "version text NOT NULL",
            "task_type jsonb NOT NULL",
            "environment jsonb NOT NULL",
            "accuracy double precision",
            "modified_by uuid NOT NULL",
            "modified_at timestamptz NOT NULL",
            "is_withdrawn boolean NOT NULL DEFAULT false",
        ),
        indexes=("CREATE INDEX ON models (owner, modified_at)",),
    )
    VERSIONS = Table(
        "model_versions",
        key=("model_id uuid", "version text"),
        columns=(
            "published_by uuid NOT NULL",
            "published_at timestamptz NOT NULL",
            "job_id uuid NOT NULL",
            "model_image jsonb NOT NULL",
            "task_type jsonb NOT NULL",
            "environment jsonb NOT NULL",
            "training_order jsonb NOT NULL",
            "weights jsonb NOT NULL",
            "figures jsonb NOT NULL",
            "resolution_rule jsonb NOT NULL",
            "started_from jsonb",
            "chosen_weights text NOT NULL",
            "kept_weights jsonb NOT NULL",
            "other_figures jsonb",
            "place_ids uuid[] NOT NULL",
            "withdrawn_by uuid",
            "withdrawn_at timestamptz",
            "withdrawal_reason text",
        ),
    )
    LOCKED_PATHS = Table(
        "locked_paths",
        key=("model_id uuid", "root text", "path text"),
        columns=("line int NOT NULL", "released_by uuid", "released_at timestamptz"),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """The newest version describes the model, the first one says which paths are locked."""
        match recorded.data:
            case ModelVersionPublished() as fact:
                if rows.row(self.MODELS, recorded.originator_id) is None:
                    for line, folder in enumerate(fact.order.data_paths, 1):
                        rows.insert(self.LOCKED_PATHS, recorded.originator_id, folder.root, folder.path, line=line)
                rows.insert(
                    self.MODELS,
                    recorded.originator_id,
                    owner=fact.owner,
                    name=fact.model_name,
                    version=fact.version,
                    task_type=fact.task_type,
                    environment=fact.environment,
                    accuracy=fact.figures.accuracy,
                    modified_by=recorded.origin.actor,
                    modified_at=recorded.timestamp,
                )
                rows.insert(
                    self.VERSIONS,
                    recorded.originator_id,
                    fact.version,
                    published_by=recorded.origin.actor,
                    published_at=recorded.timestamp,
                    job_id=fact.job_id,
                    model_image=fact.model_image,
                    task_type=fact.task_type,
                    environment=fact.environment,
                    training_order=fact.order,
                    weights=fact.weights,
                    figures=fact.figures,
                    resolution_rule=fact.resolution_rule,
                    started_from=fact.started_from,
                    chosen_weights=fact.chosen_weights.value,
                    kept_weights=fact.kept_weights,
                    other_figures=fact.other_figures,
                    place_ids=fact.environment.place_ids,
                )
            case ModelVersionWithdrawn(version=version, reason=reason):
                rows.update(
                    self.VERSIONS,
                    recorded.originator_id,
                    version,
                    withdrawn_by=recorded.origin.actor,
                    withdrawn_at=recorded.timestamp,
                    withdrawal_reason=reason,
                )
                [shown] = rows.execute(_NEWEST, (recorded.originator_id,))
                rows.update(
                    self.MODELS,
                    recorded.originator_id,
                    **shown,
                    modified_by=recorded.origin.actor,
                    modified_at=recorded.timestamp,
                )
            case ModelDataPathReleased(folder=folder):
                rows.update(
                    self.LOCKED_PATHS,
                    recorded.originator_id,
                    folder.root,
                    folder.path,
                    released_by=recorded.origin.actor,
                    released_at=recorded.timestamp,
                )

    def page(
        self,
        owner: UUID,
        *,
        search: str = "",
        sort: str = "-modified_at",
        number: int = 1,
        size: int = ROWS_ON_A_PAGE,
    ) -> Page[ModelRow]:
        """A page of somebody's models. `sort` is one of `SORTS`, with `-` before it for descending."""
        direction = "DESC" if sort.startswith("-") else "ASC"
        searched = "AND strpos(lower(name), lower(%(search)s)) > 0" if search else ""
        return self._page(
            f"SELECT model_id FROM models WHERE {OWNED_BY} {searched}",  # noqa: S608 - our own text
            {"owner": owner, "search": search},
            ModelRow,
            number=number,
            size=size,
            order=f"{SORTS[sort.removeprefix('-')]} {direction}, model_id {direction}",
            shown=_SHOWN,
        )

    def stretch(
        self, owner: UUID | None, *, search: str = "", after: tuple[str, UUID] | None = None, size: int
    ) -> Stretch[ModelRow]:
        """Somebody's models by name, for programs; everybody's without an owner."""
        return self._stretch(
            f"SELECT name AS by_name, model_id FROM models WHERE {OWNED_BY if owner else 'true'}"  # noqa: S608 - our own text
            " AND strpos(lower(name), lower(%(search)s)) > 0",
            {"owner": owner, "search": search},
            ModelRow,
            key=("by_name", "model_id"),
            after=after,
            size=size,
            shown=_SHOWN,
        )

    def get(self, model_id: UUID) -> ModelDetail | None:
        """One model with its versions."""
        return self._one(_DETAIL, (model_id,), ModelDetail)

    def choices(
        self,
        owner: UUID,
        *,
        search: str = "",
        place_ids: Sequence[UUID] = (),
        network: str = "",
        chosen: tuple[UUID | None, str] = (None, ""),
        compared: Sequence[str] | None = None,
    ) -> ModelVersionChoices:
        """The versions of somebody's models that were published last and stand, to choose one of (P-1, W-12).

        `search` is a part of the model's name, `network` that of the classifier; where places are given, the model works in one of
        them or below it. The one that is `chosen` already stands first, whatever is searched for. For a comparison, `compared` are
        those chosen already, as `ModelVersionChoice.name` names them; then only models with several versions are offered, those of
        one model together.
        """
        filters = ["true"]
        if compared is not None:
            filters.append(_COMPARABLE)
        if place_ids:
            filters.append("place_ids && %(place_ids)s::uuid[]")
        if network:
            filters.append(f"{_NETWORK} = %(network)s")
        if search:
            filters.append("strpos(lower(name), lower(%(search)s)) > 0")
        is_chosen = "(concat(model_id, '/', model_versions.version) = ANY(%(chosen)s))"
        together = "published_at" if compared is None else "modified_at"
        found = self._all(
            "SELECT model_id, name AS model_name, model_versions.version AS label, model_versions.task_type,"  # noqa: S608
            f" model_versions.environment, model_image, {_NETWORK} AS network, {_CLASSES} AS defect_codes,"
            " (figures->>'accuracy')::float AS accuracy, (figures->>'recall')::float AS recall, published_at"
            " FROM models JOIN model_versions USING (model_id)"
            f" WHERE {OWNED_BY} AND withdrawn_at IS NULL AND ({' AND '.join(filters)} OR {is_chosen})"
            f" ORDER BY {is_chosen} DESC, {together} DESC, model_id, model_versions.version DESC LIMIT %(most)s",
            {
                "owner": owner,
                "search": search,
                "place_ids": list(place_ids),
                "network": network,
                "chosen": [*(compared or ()), f"{chosen[0]}/{chosen[1]}"],
                "most": MOST_CHOICES + 1,
            },
            ModelVersionChoice,
        )
        return ModelVersionChoices(versions=tuple(found[:MOST_CHOICES]), has_more=len(found) > MOST_CHOICES)

    def locked_page(self, *, search: str = "", number: int = 1, size: int = ROWS_ON_A_PAGE) -> Page[LockedModelRow]:
        """Everyone's models by name, for those who release paths of a first training (W-5)."""
        searched = "WHERE strpos(lower(name), lower(%(search)s)) > 0" if search else ""
        return self._page(
            f"SELECT model_id FROM models {searched}",  # noqa: S608 - our own text
            {"search": search},
            LockedModelRow,
            number=number,
            size=size,
            order="lower(name), model_id",
            shown=_LOCKED,
        )

    def locked_stretch(
        self, *, search: str = "", after: tuple[str, UUID] | None = None, size: int
    ) -> Stretch[LockedModelRow]:
        """The same models, for programs."""
        return self._stretch(
            "SELECT name AS by_name, model_id FROM models WHERE strpos(lower(name), lower(%(search)s)) > 0",
            {"search": search},
            LockedModelRow,
            key=("by_name", "model_id"),
            after=after,
            size=size,
            shown=_LOCKED,
        )

    def locked_paths(self, model_id: UUID) -> list[LockedPath]:
        """The paths of a model's first training, in the order in which they were chosen."""
        return self._all(
            "SELECT root, path, coalesce(username, '') AS released_by, released_at,"
            " deleted_at IS NOT NULL AS is_releaser_deleted"
            " FROM locked_paths LEFT JOIN users ON user_id = released_by WHERE model_id = %s ORDER BY line",
            (model_id,),
            LockedPath,
        )


_NEWEST = """
    SELECT version, task_type, environment, (figures->>'accuracy')::float AS accuracy, withdrawn_at IS NOT NULL AS is_withdrawn
    FROM model_versions WHERE model_id = %s ORDER BY withdrawn_at IS NOT NULL, published_at DESC, version DESC LIMIT 1
"""
SORTS: Mapping[str, str] = MappingProxyType(
    {
        "name": "lower(name)",
        "version": "string_to_array(substr(version, 2), '.')::int[]",  # as a text, v10.01 would stand before v2.01
        "task_type": "task_type->>'name'",
        "accuracy": "accuracy",
        "modified_at": "modified_at",
    }
)
"""What a list can be sorted by, and how SQL says it."""
_COMPARABLE = """
    (SELECT count(*) FROM model_versions AS other WHERE other.model_id = models.model_id AND other.withdrawn_at IS NULL) > 1
"""
_NETWORK = "training_order->'model_parameters'->'classification'->>'name'"
_CLASSES = """
    (SELECT array_agg(code ORDER BY place)
     FROM jsonb_array_elements_text(training_order->'model_parameters'->'code_list') WITH ORDINALITY AS listed (code, place)
     WHERE place <= (training_order->'model_parameters'->'classification'->>'num_of_classes')::int)
"""
_LOCKED = f"""
    SELECT model_id, name, {OWNER_COLUMNS},
        (SELECT count(*) FROM locked_paths WHERE locked_paths.model_id = models.model_id) AS path_count,
        (SELECT count(released_at) FROM locked_paths WHERE locked_paths.model_id = models.model_id) AS released_count
    FROM part JOIN models USING (model_id) {OWNERS}
"""  # noqa: S608 - our own text
_SHOWN = """
    SELECT model_id, name, version, task_type, accuracy, coalesce(modifier.username, '') AS modified_by, modified_at,
        modifier.deleted_at IS NOT NULL AS is_modifier_deleted, is_withdrawn,
        (SELECT count(*) FROM model_versions WHERE model_versions.model_id = models.model_id) AS version_count
    FROM part JOIN models USING (model_id) LEFT JOIN users AS modifier ON modifier.user_id = modified_by
"""
_DETAIL = f"""
    SELECT model_id, name, {OWNER_COLUMNS}, task_type, environment,
        coalesce(modifier.username, '') AS modified_by, modified_at, modifier.deleted_at IS NOT NULL AS is_modifier_deleted,
        (SELECT jsonb_agg(one ORDER BY published_at DESC, version DESC) FROM (
            SELECT model_versions.*, coalesce(publisher.username, '') AS published_by,
                publisher.deleted_at IS NOT NULL AS is_publisher_deleted,
                coalesce(withdrawer.username, '') AS withdrawn_by, withdrawer.deleted_at IS NOT NULL AS is_withdrawer_deleted,
                coalesce(withdrawal_reason, '') AS withdrawal_reason
            FROM model_versions LEFT JOIN users AS publisher ON publisher.user_id = model_versions.published_by
                LEFT JOIN users AS withdrawer ON withdrawer.user_id = model_versions.withdrawn_by
            WHERE model_versions.model_id = models.model_id
        ) AS one) AS versions
    FROM models LEFT JOIN users AS modifier ON modifier.user_id = modified_by {OWNERS}
    WHERE model_id = %s
"""  # noqa: S608 - our own text
