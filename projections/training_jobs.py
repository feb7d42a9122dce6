"""Training jobs: the list of everyone's jobs, and all that the monitor shows of one (T-3 to T-5)."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.environments import EnvironmentBinding
from domain.evaluation import EvaluationFigures
from domain.facts import Recorded
from domain.messages import KeptWeights, LossPart, PartLog, StageName, TrainingOrder
from domain.model_images import TaskTypeUsed, version_label
from domain.model_packages import ResolutionRule
from domain.sentences import Sentence
from domain.training_jobs import (
    ModelImageUsed,
    TrainedWeights,
    TrainingCompleted,
    TrainingDeleted,
    TrainingFailed,
    TrainingInterrupted,
    TrainingLogKept,
    TrainingLossesMeasured,
    TrainingPublished,
    TrainingQueued,
    TrainingRestarted,
    TrainingStageFinished,
    TrainingStarted,
    TrainingStatus,
    TrainingTerminated,
    TrainingValidated,
    VersionUsed,
)
from domain.training_progress import share_of_whole
from projections.read_model import Page, ReadModel, Rows, Stretch, Table
from projections.users import OWNED_BY, OWNER_COLUMNS, OWNERS

ROWS_ON_A_PAGE = 20
MOST_CURVE_POINTS = 600


class TrainingJobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list. `iteration` of `max_iter` counts over all networks that are trained.

    `interruptions` are the workers that fell silent over this run or were stopped, `reason` says why it failed.
    `spent_seconds` is the training time of this run up to `running_since`, which is None while nobody trains. `owner` owns the
    job now; `inherited_from` is the deleted user who made it, empty where the owner did.
    """

    job_id: UUID
    owner: UUID
    owner_name: str
    model_id: UUID
    model_name: str
    model_image: ModelImageUsed
    task_type: TaskTypeUsed
    status: TrainingStatus
    version: str
    worker: str
    attempt: int
    run: int
    queued_at: datetime
    running_since: datetime | None
    ended_at: datetime | None
    spent_seconds: float
    iteration: int
    max_iter: int
    interruptions: int = 0
    inherited_from: str = ""
    reason: Sentence | None = None

    @property
    def label(self) -> str:
        """The published version; until then, the version of the model image (T-3)."""
        return self.version or version_label(self.model_image.number)

    @property
    def share_done(self) -> float:
        """The progress that the log knows of, 0..1; a heartbeat knows more while the job trains. Only what is completed is at 1."""
        if self.status in (TrainingStatus.COMPLETED, TrainingStatus.PUBLISHED):
            return 1.0
        return share_of_whole(self.iteration / self.max_iter) if self.iteration else 0.0

    def duration_seconds(self, now: datetime) -> float | None:
        """The training time of this run so far; None before it began."""
        running = (now - self.running_since).total_seconds() if self.running_since else 0.0
        return self.spent_seconds + max(0.0, running) if self.spent_seconds or self.running_since else None


class TrainingJobDetail(TrainingJobRow, frozen=True, kw_only=True):
    """Everything of a job but its curves. What only a finished run has is None before. `figures` are those of the best weights,
    `last_figures` of the last ones where they are others; `chosen_weights` are those that were published.
    """

    environment: EnvironmentBinding
    compute_resource_id: UUID
    ordered: TrainingOrder
    started_from: VersionUsed | None = None
    log: Artifact | None
    part_logs: tuple[PartLog, ...]
    losses: Artifact | None
    weights: Artifact | None
    evaluation: Artifact | None
    figures: EvaluationFigures | None
    resolution_rule: ResolutionRule | None
    device: str
    software: str
    kept_weights: tuple[KeptWeights, ...] = ()
    last_figures: EvaluationFigures | None = None
    chosen_weights: TrainedWeights | None = None


class StageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A preprocessing stage that ended; counts as in `domain.messages.StageFinished`."""

    stage: StageName
    seconds: float
    image_count: int
    non_compliant_count: int
    damaged_count: int
    left_out_count: int
    unmasked_count: int
    training_count: int
    validation_count: int
    resolution_rule: ResolutionRule | None
    manifest: Artifact | None
    preview: Artifact | None


class PartRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far one network is; `learning_rate` is that of `iteration`, None before the first loss."""

    part: LossPart
    iteration: int
    max_iter: int
    learning_rate: float | None


class LossPoint(msgspec.Struct, frozen=True):
    """A point of a loss curve; iterations count from 1."""

    iteration: int
    loss: float


class ValidationRow(msgspec.Struct, frozen=True, kw_only=True):
    """Figures on the validation split at one iteration; None where undefined. `code_ious` are in the order of the list of codes."""

    part: LossPart
    iteration: int
    accuracy: float | None
    recall: float | None
    loss: float | None
    iou: float | None
    code_ious: tuple[float | None, ...]


class Creator(msgspec.Struct, frozen=True):
    """Someone who has jobs in the list, made or inherited."""

    owner: UUID
    owner_name: str
    is_deleted: bool = False


class TrainingJobs(ReadModel):
    """Jobs that are not deleted, with their stages, curves and validation figures."""

    name = "training_jobs"
    JOBS = Table(
        "training_jobs",
        key=("job_id uuid",),
        columns=(
            "owner uuid NOT NULL",
            "model_id uuid NOT NULL",
            "model_name text NOT NULL",
            "model_image jsonb NOT NULL",
            "task_type jsonb NOT NULL",
            "environment jsonb NOT NULL",
            "compute_resource_id uuid NOT NULL",
            "ordered jsonb NOT NULL",
            "started_from jsonb",
            "status text NOT NULL",
            "version text NOT NULL DEFAULT ''",
            "worker text NOT NULL DEFAULT ''",
            "attempt int NOT NULL DEFAULT 1",
            "run int NOT NULL DEFAULT 1",
            "interruptions int NOT NULL DEFAULT 0",
            "queued_at timestamptz NOT NULL",
            "running_since timestamptz",
            "ended_at timestamptz",
            "spent_seconds float8 NOT NULL DEFAULT 0",
            "reason jsonb",
            "log jsonb",
            "part_logs jsonb NOT NULL DEFAULT '[]'",
            "losses jsonb",
            "weights jsonb",
            "evaluation jsonb",
            "figures jsonb",
            "segmentation_weights jsonb",
            "kept_weights jsonb NOT NULL DEFAULT '[]'",
            "last_evaluation jsonb",
            "last_figures jsonb",
            "chosen_weights text",
            "resolution_rule jsonb",
            "device text NOT NULL DEFAULT ''",
            "software text NOT NULL DEFAULT ''",
        ),
        indexes=(
            "CREATE INDEX training_jobs_by_time ON training_jobs (queued_at, job_id)",
            "CREATE INDEX training_jobs_by_owner ON training_jobs (owner, status)",
            "CREATE INDEX training_jobs_by_model ON training_jobs (model_id)",
        ),
    )
    PARTS = Table(
        "training_parts",
        key=("job_id uuid", "part text"),
        columns=("iteration int NOT NULL", "max_iter int NOT NULL", "learning_rate float8"),
    )
    STAGES = Table(
        "training_stages",
        key=("job_id uuid", "stage text"),
        columns=(
            "seconds float8 NOT NULL",
            "image_count int NOT NULL",
            "non_compliant_count int NOT NULL",
            "damaged_count int NOT NULL",
            "left_out_count int NOT NULL",
            "unmasked_count int NOT NULL",
            "training_count int NOT NULL",
            "validation_count int NOT NULL",
            "resolution_rule jsonb",
            "manifest jsonb",
            "preview jsonb",
        ),
    )
    LOSSES = Table(
        "training_losses",
        key=("job_id uuid", "part text"),
        columns=("iterations int[] NOT NULL DEFAULT '{}'", "losses float8[] NOT NULL DEFAULT '{}'"),
    )
    VALIDATIONS = Table(
        "training_validations",
        key=("job_id uuid", "part text", "iteration int"),
        columns=("accuracy float8", "recall float8", "loss float8", "iou float8", "code_ious jsonb NOT NULL"),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:  # noqa: C901 - a case a fact, read downwards
        """A curve is one row that grows: a row a point would make a replay four times as long."""
        job_id, at = recorded.originator_id, recorded.timestamp
        match recorded.data:
            case TrainingQueued() as fact:
                self._queued(rows, job_id, at, fact)
            case TrainingStarted(worker=worker, attempt=attempt):
                rows.update(
                    self.JOBS,
                    job_id,
                    status="training",
                    worker=worker,
                    attempt=attempt,
                    running_since=at,
                )
            case TrainingStageFinished() as fact:
                values = msgspec.structs.asdict(fact)
                rows.insert(self.STAGES, job_id, values.pop("stage").value, **values)
            case TrainingLossesMeasured(part=part, iterations=iterations, losses=losses, learning_rate=learning_rate):
                if iterations:
                    rows.extend(self.LOSSES, job_id, part.value, iterations=iterations, losses=losses)
                    rows.update(self.PARTS, job_id, part.value, iteration=iterations[-1], learning_rate=learning_rate)
            case TrainingValidated() as fact:
                values = msgspec.structs.asdict(fact)
                rows.insert(self.VALIDATIONS, job_id, values.pop("part").value, values.pop("iteration"), **values)
            case TrainingCompleted() as fact:
                values = msgspec.structs.asdict(fact)
                del values["seconds"]  # of the last attempt alone; the list counts the whole run
                rows.update(self.JOBS, job_id, status="completed", **values, **self._stopped(rows, job_id, at))
            case TrainingFailed() as fact:
                values = msgspec.structs.asdict(fact)
                rows.update(self.JOBS, job_id, status="failed", **values, **self._stopped(rows, job_id, at))
            case TrainingLogKept(log=log, part_logs=part_logs):
                rows.update(self.JOBS, job_id, log=log, part_logs=part_logs)
            case TrainingTerminated():
                rows.update(self.JOBS, job_id, status="terminated", **self._stopped(rows, job_id, at))
            case TrainingInterrupted():
                row = rows.row(self.JOBS, job_id) or {"interruptions": 0}
                rows.update(
                    self.JOBS,
                    job_id,
                    status="waiting",
                    worker="",
                    interruptions=row["interruptions"] + 1,
                    **self._stopped(rows, job_id, at) | {"ended_at": None},
                )
            case TrainingRestarted():
                self._restarted(rows, job_id, at)
            case TrainingPublished(version=version, chosen_weights=chosen):
                rows.update(self.JOBS, job_id, status="published", version=version, chosen_weights=chosen.value)
            case TrainingDeleted():
                for table in self.tables:
                    rows.delete(table, job_id)

    def _queued(self, rows: Rows, job_id: UUID, at: datetime, fact: TrainingQueued) -> None:
        rows.insert(
            self.JOBS,
            job_id,
            owner=fact.owner,
            model_id=fact.model_id,
            model_name=fact.model_name,
            model_image=fact.model_image,
            task_type=fact.task_type,
            environment=fact.environment,
            compute_resource_id=fact.compute_resource_id,
            ordered=fact.order,
            started_from=fact.started_from,
            status="waiting",
            queued_at=at,
        )
        parameters = {LossPart.CLASSIFICATION: fact.order.training_parameters.classification}
        if fact.order.preprocessing.train_segmentation and fact.order.training_parameters.segmentation:
            parameters[LossPart.SEGMENTATION] = fact.order.training_parameters.segmentation
        for part, sgd in parameters.items():
            rows.insert(self.PARTS, job_id, part.value, iteration=0, max_iter=sgd.max_iter, learning_rate=None)
            rows.insert(self.LOSSES, job_id, part.value)

    def _restarted(self, rows: Rows, job_id: UUID, at: datetime) -> None:
        """From 0 %: what the run before has measured goes, the job does not (T-2)."""
        for table in (self.STAGES, self.VALIDATIONS):
            rows.delete(table, job_id)
        for part in LossPart:
            rows.update(self.PARTS, job_id, part.value, iteration=0, learning_rate=None)
            rows.update(self.LOSSES, job_id, part.value, iterations=(), losses=())
        row = rows.row(self.JOBS, job_id) or {"run": 0}
        rows.update(
            self.JOBS,
            job_id,
            status="waiting",
            worker="",
            run=row["run"] + 1,
            interruptions=0,
            queued_at=at,
            running_since=None,
            ended_at=None,
            spent_seconds=0,
            reason=None,
            log=None,
            part_logs=(),
        )

    def _stopped(self, rows: Rows, job_id: UUID, at: datetime) -> dict[str, object]:
        """The clock stands still: what this attempt took is added to what the attempts before it took."""
        row = rows.row(self.JOBS, job_id) or {"running_since": None, "spent_seconds": 0.0}
        running = (at - row["running_since"]).total_seconds() if row["running_since"] else 0.0
        return {"spent_seconds": row["spent_seconds"] + running, "running_since": None, "ended_at": at}

    def page(
        self,
        *,
        status: TrainingStatus | None = None,
        owner: UUID | None = None,
        search: str = "",
        sort: str = "-queued_at",
        page: int = 1,
        size: int = ROWS_ON_A_PAGE,
    ) -> Page[TrainingJobRow]:
        """Everyone's jobs, filtered by state, creator and a part of the model's name; `sort` is a key of `SORTS`."""
        direction = "DESC" if sort.startswith("-") else "ASC"
        chosen, values = _chosen(status, owner, search)
        return self._page(
            "SELECT job_id FROM training_jobs LEFT JOIN users AS creator ON creator.user_id = owner"  # noqa: S608 - our own text
            f" WHERE {chosen}",
            values,
            TrainingJobRow,
            number=page,
            size=size,
            order=f"{SORTS[sort.removeprefix('-')]} {direction}, queued_at DESC, job_id DESC",
            shown=f"SELECT {_COLUMNS} FROM part JOIN {_JOBS}",  # noqa: S608
        )

    def stretch(
        self,
        *,
        status: TrainingStatus | None = None,
        owner: UUID | None = None,
        search: str = "",
        after: tuple[datetime, UUID] | None = None,
        size: int,
    ) -> Stretch[TrainingJobRow]:
        """Everyone's jobs, the newest first, for programs; filtered as a page is."""
        chosen, values = _chosen(status, owner, search)
        return self._stretch(
            f"SELECT queued_at AS by_time, job_id FROM training_jobs WHERE {chosen}",  # noqa: S608 - our own text
            values,
            TrainingJobRow,
            key=("by_time", "job_id"),
            after=after,
            size=size,
            shown=f"SELECT {_COLUMNS} FROM part JOIN {_JOBS}",  # noqa: S608
            is_descending=True,
        )

    def creators(self) -> list[Creator]:
        """Everyone who has a job in the list, by name."""
        return self._all(
            "SELECT DISTINCT named.owner, coalesce(person.username, '') AS owner_name, person.deleted_at IS NOT NULL AS is_deleted"
            " FROM training_jobs LEFT JOIN users AS creator ON creator.user_id = training_jobs.owner"
            " CROSS JOIN LATERAL"
            " (VALUES (training_jobs.owner), (coalesce(creator.in_charge, training_jobs.owner))) AS named (owner)"
            " LEFT JOIN users AS person ON person.user_id = named.owner ORDER BY owner_name, named.owner",
            (),
            Creator,
        )

    def get(self, job_id: UUID) -> TrainingJobDetail | None:
        """Everything of one job but its curves."""
        return self._one(_DETAIL, (job_id,), TrainingJobDetail)

    def stages(self, job_id: UUID) -> list[StageRow]:
        """The preprocessing stages of this run that ended, in no order."""
        return self._all("SELECT * FROM training_stages WHERE job_id = %s", (job_id,), StageRow)

    def parts(self, job_id: UUID) -> list[PartRow]:
        """The networks that are trained: classification first."""
        return self._all("SELECT * FROM training_parts WHERE job_id = %s ORDER BY part", (job_id,), PartRow)

    def losses(self, job_id: UUID, part: LossPart, most: int = MOST_CURVE_POINTS) -> list[LossPoint]:
        """The loss curve of this run in at most about `most` points.

        Of each bundle of neighbours the lowest and the highest stay, so that no spike is lost; so do the first and the last.
        """
        return self._all(
            _THINNED_CURVE, {"job_id": job_id, "part": part.value, "bundles": max(1, most // 2)}, LossPoint
        )

    def validations(self, job_id: UUID) -> list[ValidationRow]:
        """The validation figures of this run, by part and iteration."""
        return self._all(
            "SELECT * FROM training_validations WHERE job_id = %s ORDER BY part, iteration", (job_id,), ValidationRow
        )


def _chosen(status: TrainingStatus | None, owner: UUID | None, search: str) -> tuple[str, dict[str, object]]:
    filters = ["true"]
    if status:
        filters.append("status = %(status)s")
    if owner:
        filters.append(f"(owner = %(owner)s OR {OWNED_BY})")
    if search:
        filters.append("strpos(lower(model_name), lower(%(search)s)) > 0")
    return " AND ".join(filters), {"status": status.value if status else "", "owner": owner, "search": search}


SORTS: Mapping[str, str] = MappingProxyType(
    {
        "name": "lower(model_name)",
        "status": "array_position(ARRAY['training','waiting','completed','failed','terminated','published'], status)",
        "creator": "lower(coalesce(creator.username, ''))",
        "queued_at": "queued_at",
        "duration": "spent_seconds + coalesce(extract(epoch FROM now() - running_since), 0)",
    }
)
"""What the list can be sorted by."""

_COLUMNS = f"""
    job_id, {OWNER_COLUMNS}, model_id, model_name, model_image, task_type, status, version,
    worker, attempt, run, interruptions, queued_at, running_since, ended_at, spent_seconds, iteration, max_iter, reason
"""
_JOBS = f"""
    training_jobs USING (job_id) {OWNERS}
    CROSS JOIN LATERAL (
        SELECT sum(iteration) AS iteration, sum(max_iter) AS max_iter FROM training_parts
        WHERE training_parts.job_id = training_jobs.job_id
    ) AS parts
"""  # noqa: S608 - our own text
_DETAIL = f"""
    SELECT training_jobs.*, iteration, max_iter, {OWNER_COLUMNS}
    FROM (SELECT %s::uuid AS job_id) AS part JOIN {_JOBS}
"""  # noqa: S608 - our own text
"""The last of two columns of one name counts: `owner` is who owns the job now."""
_THINNED_CURVE = """
WITH bundled AS (
    SELECT iteration, loss, ntile(%(bundles)s) OVER (ORDER BY iteration) AS bundle
    FROM (
        SELECT DISTINCT ON (iteration) iteration, loss
        FROM training_losses, unnest(iterations, losses) AS measured (iteration, loss)
        WHERE job_id = %(job_id)s AND part = %(part)s
    ) AS points
), ranked AS (
    SELECT iteration, loss,
        row_number() OVER (PARTITION BY bundle ORDER BY loss, iteration) AS from_low,
        row_number() OVER (PARTITION BY bundle ORDER BY loss DESC, iteration) AS from_high,
        row_number() OVER (ORDER BY iteration) AS from_first,
        row_number() OVER (ORDER BY iteration DESC) AS from_last
    FROM bundled
)
SELECT iteration, loss FROM ranked WHERE 1 IN (from_low, from_high, from_first, from_last) ORDER BY iteration
"""
