"""The overview: a user's key figures (O-1), and which set-up steps are done (M-7).

Jobs and versions are kept here in the little that the figures need, so that the first page everybody opens is one quick question.
"""

from uuid import UUID

import msgspec

from domain.facts import Recorded
from domain.models import ModelVersionPublished, ModelVersionWithdrawn
from domain.prediction_jobs import (
    PredictionCompleted,
    PredictionDeleted,
    PredictionFailed,
    PredictionQueued,
    PredictionRestarted,
)
from domain.training_jobs import TrainingDeleted, TrainingFailed, TrainingQueued, TrainingRestarted
from projections.read_model import ReadModel, Rows, Table
from projections.users import OWNED_BY


class KeyFigures(msgspec.Struct, frozen=True):
    """Of one user. `lowest_accuracy` is the lowest overall accuracy among the newest reports of the user's model versions, without
    those that were withdrawn.
    """

    model_count: int
    lowest_accuracy: float | None
    training_job_count: int
    evaluation_job_count: int
    failed_training_job_count: int
    failed_evaluation_job_count: int

    @property
    def failed_job_count(self) -> int:
        """Of either kind."""
        return self.failed_training_job_count + self.failed_evaluation_job_count


class SetupSteps(msgspec.Struct, frozen=True):
    """What must exist before the first training; an industry counts once it is the default and has levels, an environment once
    it reaches down to the last level of that industry.
    """

    has_industry: bool
    has_environment: bool
    has_task_type: bool
    has_compute_resource: bool

    @property
    def is_done(self) -> bool:
        """Whether everything is there that a training needs."""
        return self.has_industry and self.has_environment and self.has_task_type and self.has_compute_resource


class Overview(ReadModel):
    """`overview_jobs` holds jobs that are not deleted, `overview_versions` published versions with their newest accuracy."""

    name = "overview"
    jobs = Table(
        "overview_jobs",
        key=("job_id uuid",),
        columns=("owner uuid NOT NULL", "model_id uuid", "is_training boolean NOT NULL", "has_failed boolean NOT NULL"),
        indexes=("CREATE INDEX ON overview_jobs (owner)",),
    )
    versions = Table(
        "overview_versions",
        key=("model_id uuid", "label text"),
        columns=("owner uuid NOT NULL", "accuracy double precision", "is_withdrawn boolean NOT NULL DEFAULT false"),
        indexes=("CREATE INDEX ON overview_versions (owner)",),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        job_id = recorded.originator_id
        match recorded.data:
            case TrainingQueued(owner=owner, model_id=model_id):
                rows.insert(self.jobs, job_id, owner=owner, model_id=model_id, is_training=True, has_failed=False)
            case PredictionQueued(owner=owner, model_id=model_id):
                rows.insert(self.jobs, job_id, owner=owner, model_id=model_id, is_training=False, has_failed=False)
            case TrainingFailed() | PredictionFailed():
                rows.update(self.jobs, job_id, has_failed=True)
            case TrainingRestarted() | PredictionRestarted():
                rows.update(self.jobs, job_id, has_failed=False)
            case TrainingDeleted() | PredictionDeleted():
                rows.delete(self.jobs, job_id)
            case ModelVersionPublished() as fact:
                accuracy = fact.figures.accuracy
                rows.insert(self.versions, recorded.originator_id, fact.version, owner=fact.owner, accuracy=accuracy)
            case ModelVersionWithdrawn(version=version):
                rows.update(self.versions, recorded.originator_id, version, is_withdrawn=True)
            case PredictionCompleted(results=results):
                job = rows.row(self.jobs, job_id)
                for result in results if job else ():
                    assert job is not None
                    rows.update(self.versions, job["model_id"], result.label, accuracy=result.figures.accuracy)

    def key_figures(self, user_id: UUID) -> KeyFigures:
        """What the user has; deleted jobs count nowhere."""
        figures = self._one(
            "SELECT"  # noqa: S608 - our own text
            f" (SELECT count(DISTINCT model_id) FROM overview_versions WHERE {OWNED_BY}) AS model_count,"
            f" (SELECT min(accuracy) FROM overview_versions WHERE {OWNED_BY} AND NOT is_withdrawn) AS lowest_accuracy,"
            " count(*) FILTER (WHERE is_training) AS training_job_count,"
            " count(*) FILTER (WHERE NOT is_training) AS evaluation_job_count,"
            " count(*) FILTER (WHERE has_failed AND is_training) AS failed_training_job_count,"
            " count(*) FILTER (WHERE has_failed AND NOT is_training) AS failed_evaluation_job_count"
            f" FROM overview_jobs WHERE {OWNED_BY}",
            {"owner": user_id},
            KeyFigures,
        )
        assert figures is not None
        return figures

    def setup(self) -> SetupSteps:
        """Which steps are done."""
        steps = self._one(
            "WITH chosen AS ("
            " SELECT industry_id, cardinality(level_names) AS level_count FROM industries WHERE is_default"
            ") SELECT"
            " EXISTS (SELECT FROM chosen WHERE level_count > 0) AS has_industry,"
            " EXISTS (SELECT FROM environment_nodes JOIN chosen USING (industry_id)"
            " WHERE depth = level_count - 1) AS has_environment,"
            " EXISTS (SELECT FROM task_types) AS has_task_type,"
            " EXISTS (SELECT FROM compute_resources WHERE NOT is_deleted) AS has_compute_resource",
            (),
            SetupSteps,
        )
        assert steps is not None
        return steps
