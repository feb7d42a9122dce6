"""Prediction jobs: lists and details (P-2)."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.facts import Recorded
from domain.prediction_jobs import (
    ACTIONS,
    PredictionAction,
    PredictionCompleted,
    PredictionDeleted,
    PredictionFailed,
    PredictionInterrupted,
    PredictionKind,
    PredictionLogKept,
    PredictionQueued,
    PredictionRestarted,
    PredictionStarted,
    PredictionStatus,
    PredictionTerminated,
)
from domain.sentences import Sentence
from projections.read_model import Page, ReadModel, Rows, Stretch, Table
from projections.users import OWNED_BY, OWNER_COLUMNS, OWNERS

PAGE_SIZE = 20


class PredictionJobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as lists and its pages show it. `versions` are labels; `seconds` is the run time once it ended. `iou` is there where
    the version segments. `attempt` is the last one that a worker claimed since the job was queued or started again, 0 before.

    `owner` owns the job now; `inherited_from` is the deleted user who made it, empty where the owner did.
    """

    job_id: UUID
    owner: UUID
    name: str
    kind: PredictionKind
    model_id: UUID
    model_name: str
    task_type: str
    versions: tuple[str, ...]
    compute_resource_id: UUID
    data_paths: tuple[FolderName, ...]
    batch_size: int
    resolution_screening: bool
    status: PredictionStatus
    worker: str
    queued_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    accuracy: float | None
    recall: float | None
    iou: float | None
    reason: Sentence | None
    log: Artifact | None
    attempt: int = 0
    owner_name: str = ""
    inherited_from: str = ""

    @property
    def actions(self) -> tuple[PredictionAction, ...]:
        """What its owner can do with it now."""
        return ACTIONS[self.status]

    @property
    def seconds(self) -> float | None:
        """How long the job ran; None until it ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


SORTS: Mapping[str, str] = MappingProxyType(
    {
        "name": "lower(name)",
        "model_name": "lower(model_name)",
        "task_type": "task_type",
        "status": "status",
        "seconds": "ended_at - started_at",
        "queued_at": "queued_at",
    }
)
"""What a list can be sorted by, and how SQL says it."""
_COLUMNS = (
    f"job_id, {OWNER_COLUMNS}, name, kind, model_id, model_name, task_type, versions, compute_resource_id, data_paths, batch_size,"
    " resolution_screening, status, worker, queued_at, started_at, ended_at, accuracy, recall, iou, reason, log, attempt"
)


class PredictionJobs(ReadModel):
    """One row a job that is not deleted."""

    name = "prediction_jobs"
    PREDICTION_JOBS = Table(
        "prediction_jobs",
        key=("job_id uuid",),
        columns=(
            "owner uuid NOT NULL",
            "name text NOT NULL",
            "kind text NOT NULL",
            "model_id uuid NOT NULL",
            "model_name text NOT NULL",
            "task_type text NOT NULL",
            "versions jsonb NOT NULL",
            "compute_resource_id uuid NOT NULL",
            "data_paths jsonb NOT NULL",
            "batch_size integer NOT NULL",
            "resolution_screening boolean NOT NULL",
            "status text NOT NULL",
            "worker text NOT NULL DEFAULT ''",
            "queued_at timestamptz NOT NULL",
            "started_at timestamptz",
            "ended_at timestamptz",
            "accuracy float8",
            "recall float8",
            "iou float8",
            "reason jsonb",
            "log jsonb",
            "attempt integer NOT NULL DEFAULT 0",
        ),
        indexes=(
            "CREATE INDEX prediction_jobs_by_owner ON prediction_jobs (owner, kind, queued_at, job_id)",
            "CREATE INDEX prediction_jobs_by_model ON prediction_jobs (model_id, ended_at DESC)",
        ),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """One statement a fact."""
        job_id, at, table = recorded.originator_id, recorded.timestamp, self.PREDICTION_JOBS
        match recorded.data:
            case PredictionQueued() as fact:
                rows.insert(
                    table,
                    job_id,
                    owner=fact.owner,
                    name=fact.name,
                    kind=fact.kind.value,
                    model_id=fact.model_id,
                    model_name=fact.model_name,
                    task_type=fact.task_type,
                    versions=[version.label for version in fact.order.versions],
                    compute_resource_id=fact.compute_resource_id,
                    data_paths=fact.order.data_paths,
                    batch_size=fact.order.parameters.batch_size,
                    resolution_screening=fact.order.resolution_screening,
                    status=PredictionStatus.WAITING.value,
                    queued_at=at,
                )
            case PredictionStarted(worker=worker, attempt=attempt):
                predicting = PredictionStatus.PREDICTING.value
                rows.update(table, job_id, status=predicting, worker=worker, started_at=at, attempt=attempt)
            case PredictionCompleted(results=results, log=log):
                figures = results[0].figures
                rows.update(
                    table,
                    job_id,
                    status=PredictionStatus.COMPLETED.value,
                    ended_at=at,
                    accuracy=figures.accuracy,
                    recall=figures.recall,
                    iou=figures.iou,
                    log=log,
                )
            case PredictionFailed(reason=reason, log=log):
                rows.update(table, job_id, status=PredictionStatus.FAILED.value, ended_at=at, reason=reason, log=log)
            case PredictionLogKept(log=log):
                rows.update(table, job_id, log=log)
            case PredictionTerminated():
                rows.update(table, job_id, status=PredictionStatus.TERMINATED.value, ended_at=at)
            case PredictionInterrupted():
                rows.update(table, job_id, status=PredictionStatus.WAITING.value, worker="", started_at=None)
            case PredictionRestarted():
                rows.update(
                    table,
                    job_id,
                    status=PredictionStatus.WAITING.value,
                    worker="",
                    queued_at=at,
                    started_at=None,
                    ended_at=None,
                    reason=None,
                    log=None,
                    attempt=0,
                )
            case PredictionDeleted():
                rows.delete(table, job_id)

    def page(
        self,
        owner: UUID,
        kind: PredictionKind,
        *,
        status: PredictionStatus | None = None,
        task_type: str = "",
        search: str = "",
        model: str = "",
        sort: str = "-queued_at",
        page: int = 1,
        size: int = PAGE_SIZE,
    ) -> Page[PredictionJobRow]:
        """The user's own jobs of one kind (P-2); `search` and `model` are parts of the job's and of the model's name, `sort` is a
        key of `SORTS` with `-` before it for descending.
        """
        direction = "DESC" if sort.startswith("-") else "ASC"
        chosen, values = _chosen(owner, kind, status, task_type, search, model)
        return self._page(
            f"SELECT {_COLUMNS} FROM prediction_jobs {OWNERS} WHERE {chosen}",  # noqa: S608 - our own text
            values,
            PredictionJobRow,
            number=page,
            size=size,
            order=f"{SORTS[sort.removeprefix('-')]} {direction} NULLS LAST, queued_at DESC, job_id DESC",
        )

    def task_types(self, owner: UUID, kind: PredictionKind) -> list[str]:
        """The model types of the user's own jobs of one kind, by name."""
        return self._all(
            f"SELECT DISTINCT task_type FROM prediction_jobs WHERE {OWNED_BY} AND kind = %(kind)s ORDER BY task_type",  # noqa: S608
            {"owner": owner, "kind": kind.value},
            str,
        )

    def stretch(
        self,
        owner: UUID,
        kind: PredictionKind,
        *,
        status: PredictionStatus | None = None,
        task_type: str = "",
        search: str = "",
        model: str = "",
        after: tuple[datetime, UUID] | None = None,
        size: int,
    ) -> Stretch[PredictionJobRow]:
        """The user's own jobs of one kind, the newest first, for programs; filtered as a page is."""
        chosen, values = _chosen(owner, kind, status, task_type, search, model)
        return self._stretch(
            f"SELECT queued_at AS by_time, job_id FROM prediction_jobs WHERE {chosen}",  # noqa: S608 - our own text
            values,
            PredictionJobRow,
            key=("by_time", "job_id"),
            after=after,
            size=size,
            shown=f"SELECT {_COLUMNS} FROM part JOIN prediction_jobs USING (job_id) {OWNERS}",  # noqa: S608
            is_descending=True,
        )

    def get(self, job_id: UUID) -> PredictionJobRow | None:
        """One job, None where there is none (any more)."""
        return self._one(
            f"SELECT {_COLUMNS} FROM prediction_jobs {OWNERS} WHERE job_id = %s",  # noqa: S608 - our own text
            (job_id,),
            PredictionJobRow,
        )

    def newest_for(self, model_id: UUID, version: str) -> UUID | None:
        """The newest completed question-bank prediction of a version (V-3)."""
        return self._one(
            "SELECT job_id FROM prediction_jobs WHERE model_id = %s AND versions = to_jsonb(ARRAY[%s]::text[])"
            " AND kind = 'question_bank' AND status = 'completed' ORDER BY ended_at DESC LIMIT 1",
            (model_id, version),
            UUID,
        )


def _chosen(
    owner: UUID, kind: PredictionKind, status: PredictionStatus | None, task_type: str, search: str, model: str
) -> tuple[str, dict[str, object]]:
    filters = [OWNED_BY, "kind = %(kind)s"]
    if status:
        filters.append("status = %(status)s")
    if task_type:
        filters.append("task_type = %(task_type)s")
    if search:
        filters.append("strpos(lower(name), lower(%(search)s)) > 0")
    if model:
        filters.append("strpos(lower(model_name), lower(%(model)s)) > 0")
    return " AND ".join(filters), {
        "owner": owner,
        "kind": kind.value,
        "status": status.value if status else "",
        "task_type": task_type,
        "search": search,
        "model": model,
    }
