"""Models and their published versions. Source: REQUIREMENTS, section V."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.environments import EnvironmentBinding
from domain.evaluation import EvaluationFigures
from domain.facts import Recorded
from domain.messages import TrainingOrder
from domain.model_images import TaskTypeUsed, version_label
from domain.model_packages import ResolutionRule
from domain.models import ModelVersionPublished
from domain.training_jobs import ModelImageUsed
from projections.read_model import Page, ReadModel, Rows, Table
from projections.users import OWNED_BY, OWNER_COLUMNS, OWNERS

ROWS_ON_A_PAGE = 20


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model as its newest version; `version_count` counts all of them."""

    model_id: UUID
    name: str
    version: str
    version_count: int
    task_type: TaskTypeUsed
    accuracy: float | None
    modified_by: str
    modified_at: datetime
    is_modifier_deleted: bool = False


class ModelVersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One published version with everything that made it. `training_order` is what its job was given."""

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
        """A model exists once a version is published."""
        return self.versions[0]

    def version(self, label: str) -> ModelVersionRow | None:
        """A published version by its label."""
        return next((version for version in self.versions if version.version == label), None)


class ModelVersionChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A published version, for those who choose one."""

    model_id: UUID
    model_name: str
    label: str
    task_type: TaskTypeUsed
    environment: EnvironmentBinding
    model_image: ModelImageUsed
    accuracy: float | None
    recall: float | None
    published_at: datetime


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
        ),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """The newest version describes the model."""
        match recorded.data:
            case ModelVersionPublished() as fact:
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

    def get(self, model_id: UUID) -> ModelDetail | None:
        """One model with its versions."""
        return self._one(_DETAIL, (model_id,), ModelDetail)

    def choices(self, owner: UUID) -> list[ModelVersionChoice]:
        """Every version of somebody's models, by name, the newest of a model first."""
        return self._all(
            "SELECT model_id, name AS model_name, model_versions.version AS label, model_versions.task_type,"  # noqa: S608
            " model_versions.environment, model_image, (figures->>'accuracy')::float AS accuracy,"
            " (figures->>'recall')::float AS recall, published_at"
            f" FROM models JOIN model_versions USING (model_id) WHERE {OWNED_BY}"
            " ORDER BY lower(name), published_at DESC, model_versions.version DESC",
            {"owner": owner},
            ModelVersionChoice,
        )


SORTS: Mapping[str, str] = MappingProxyType(
    {
        "name": "lower(name)",
        "version": "version",
        "task_type": "task_type->>'name'",
        "accuracy": "accuracy",
        "modified_at": "modified_at",
    }
)
"""What a list can be sorted by, and how SQL says it."""
_SHOWN = """
    SELECT model_id, name, version, task_type, accuracy, coalesce(modifier.username, '') AS modified_by, modified_at,
        modifier.deleted_at IS NOT NULL AS is_modifier_deleted,
        (SELECT count(*) FROM model_versions WHERE model_versions.model_id = models.model_id) AS version_count
    FROM part JOIN models USING (model_id) LEFT JOIN users AS modifier ON modifier.user_id = modified_by
"""
_DETAIL = f"""
    SELECT model_id, name, {OWNER_COLUMNS}, task_type, environment,
        coalesce(modifier.username, '') AS modified_by, modified_at, modifier.deleted_at IS NOT NULL AS is_modifier_deleted,
        (SELECT jsonb_agg(one ORDER BY published_at DESC, version DESC) FROM (
            SELECT model_versions.*, coalesce(publisher.username, '') AS published_by,
                publisher.deleted_at IS NOT NULL AS is_publisher_deleted
            FROM model_versions LEFT JOIN users AS publisher ON publisher.user_id = model_versions.published_by
            WHERE model_versions.model_id = models.model_id
        ) AS one) AS versions
    FROM models LEFT JOIN users AS modifier ON modifier.user_id = modified_by {OWNERS}
    WHERE model_id = %s
"""  # noqa: S608 - our own text
