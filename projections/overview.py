"""The overview: a user's key figures (O-1), and which set-up steps are done (M-7).

Jobs and versions are kept here in the little that the figures need, so that the first page everybody opens is one quick question.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.facts import Recorded
from domain.models import ModelVersionPublished, ModelVersionWithdrawn
from domain.prediction_jobs import (
    PredictionCompleted,
    PredictionDeleted,
    PredictionFailed,
    PredictionKind,
    PredictionQueued,
    PredictionRestarted,
)
from domain.training_jobs import TrainingDeleted, TrainingFailed, TrainingQueued, TrainingRestarted
from projections.read_model import ReadModel, Rows, Table
from projections.users import OWNED_BY

TRAINING = "training"
"""The kind of a job here, beside those of predictions."""


class LowestAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """Of the user's versions that stand, the one with the lowest overall accuracy in its newest report: that of its newest
    question-bank prediction (V-3), whose job is `report_id`, or before the first that of its training.
    """

    accuracy: float
    model_id: UUID
    model_name: str
    label: str
    report_id: UUID | None


class KeyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one user. A model counts as long as it is in their list, also when all its versions are withdrawn; a withdrawn version has
    no share in the lowest accuracy, which is None without any version that knows its accuracy.
    """

    model_count: int = 0
    lowest: LowestAccuracy | None = None
    training_job_count: int = 0
    prediction_job_count: int = 0
    comparison_count: int = 0
    failed_training_job_count: int = 0
    failed_prediction_job_count: int = 0
    failed_comparison_count: int = 0

    @property
    def evaluation_job_count(self) -> int:
        """Question-bank predictions and comparisons."""
        return self.prediction_job_count + self.comparison_count

    @property
    def failed_job_count(self) -> int:
        """Of every kind."""
        return self.failed_training_job_count + self.failed_prediction_job_count + self.failed_comparison_count


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
    """`overview_jobs` holds jobs that are not deleted, with the accuracy that a question-bank prediction found; `overview_versions`
    published versions with that of their newest report.
    """

    name = "overview"
    jobs = Table(
        "overview_jobs",
        key=("job_id uuid",),
        columns=(
            "owner uuid NOT NULL",
            "model_id uuid",
            "kind text NOT NULL",
            "has_failed boolean NOT NULL DEFAULT false",
            "label text",
            "accuracy double precision",
            "completed_at timestamptz",
        ),
        indexes=(
            "CREATE INDEX ON overview_jobs (owner) INCLUDE (kind, has_failed)",
            "CREATE INDEX ON overview_jobs (model_id, label, completed_at) WHERE label IS NOT NULL",
        ),
    )
    versions = Table(
        "overview_versions",
        key=("model_id uuid", "label text"),
        columns=(
            "owner uuid NOT NULL",
            "model_name text NOT NULL",
            "trained_accuracy double precision",
            "accuracy double precision",
            "report_id uuid",
            "is_withdrawn boolean NOT NULL DEFAULT false",
        ),
        indexes=("CREATE INDEX ON overview_versions (owner)",),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        job_id = recorded.originator_id
        match recorded.data:
            case TrainingQueued(owner=owner, model_id=model_id):
                rows.insert(self.jobs, job_id, owner=owner, model_id=model_id, kind=TRAINING)
            case PredictionQueued(owner=owner, model_id=model_id, kind=kind):
                rows.insert(self.jobs, job_id, owner=owner, model_id=model_id, kind=kind.value)
            case TrainingFailed() | PredictionFailed():
                rows.update(self.jobs, job_id, has_failed=True)
            case TrainingRestarted() | PredictionRestarted():
                rows.update(self.jobs, job_id, has_failed=False)
            case PredictionCompleted() as fact:
                self._take_report(rows, job_id, fact, recorded.timestamp)
            case TrainingDeleted():
                rows.delete(self.jobs, job_id)
            case PredictionDeleted():
                self._drop_report(rows, job_id)
            case ModelVersionPublished() as fact:
                rows.insert(
                    self.versions,
                    recorded.originator_id,
                    fact.version,
                    owner=fact.owner,
                    model_name=fact.model_name,
                    trained_accuracy=fact.figures.accuracy,
                    accuracy=fact.figures.accuracy,
                )
            case ModelVersionWithdrawn(version=version):
                rows.update(self.versions, recorded.originator_id, version, is_withdrawn=True)

    def _take_report(self, rows: Rows, job_id: UUID, fact: PredictionCompleted, at: datetime) -> None:
        """A question-bank prediction is the newest report of its version; a comparison is a report of its own."""
        job = rows.row(self.jobs, job_id)
        if job is None or job["kind"] != PredictionKind.QUESTION_BANK.value:
            return
        [result] = fact.results
        accuracy = result.figures.accuracy
        rows.update(self.jobs, job_id, label=result.label, accuracy=accuracy, completed_at=at)
        rows.update(self.versions, job["model_id"], result.label, accuracy=accuracy, report_id=job_id)

    def _drop_report(self, rows: Rows, job_id: UUID) -> None:
        """With a deleted prediction goes its report: the version falls back on the one before, in the end on its training."""
        job = rows.row(self.jobs, job_id)
        rows.delete(self.jobs, job_id)
        if job is None or job["label"] is None:
            return
        version = rows.row(self.versions, job["model_id"], job["label"])
        if version is None or version["report_id"] != job_id:
            return
        before = next(iter(rows.execute(_NEWEST_REPORT, (job["model_id"], job["label"]))), None)
        rows.update(
            self.versions,
            job["model_id"],
            job["label"],
            accuracy=before["accuracy"] if before else version["trained_accuracy"],
            report_id=before["job_id"] if before else None,
        )

    def key_figures(self, user_id: UUID) -> KeyFigures:
        """What the user has; deleted jobs count nowhere."""
        figures = self._one(_KEY_FIGURES, {"owner": user_id, "training": TRAINING}, KeyFigures)
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


_NEWEST_REPORT = (
    "SELECT job_id, accuracy FROM overview_jobs WHERE model_id = %s AND label = %s ORDER BY completed_at DESC LIMIT 1"
)
_KEY_FIGURES = f"""
SELECT
    (SELECT count(DISTINCT model_id) FROM overview_versions WHERE {OWNED_BY}) AS model_count,
    (
        SELECT to_jsonb(lowest) FROM (
            SELECT accuracy, model_id, model_name, label, report_id FROM overview_versions
            WHERE {OWNED_BY} AND NOT is_withdrawn AND accuracy IS NOT NULL
            ORDER BY accuracy, model_name, label LIMIT 1
        ) AS lowest
    ) AS lowest,
    count(*) FILTER (WHERE kind = %(training)s) AS training_job_count,
    count(*) FILTER (WHERE kind = 'question_bank') AS prediction_job_count,
    count(*) FILTER (WHERE kind = 'comparison') AS comparison_count,
    count(*) FILTER (WHERE has_failed AND kind = %(training)s) AS failed_training_job_count,
    count(*) FILTER (WHERE has_failed AND kind = 'question_bank') AS failed_prediction_job_count,
    count(*) FILTER (WHERE has_failed AND kind = 'comparison') AS failed_comparison_count
FROM overview_jobs WHERE {OWNED_BY}
"""  # noqa: S608 - our own text
