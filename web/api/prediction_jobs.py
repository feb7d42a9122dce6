"""Prediction jobs: one's own. Source: REQUIREMENTS, section P."""

from typing import Any
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from commands.prediction_jobs import DeletePredictionJob, QueuePredictionJob, RestartPrediction, TerminatePrediction
from domain.data_paths import FolderName
from domain.prediction_jobs import PredictionDraft
from web.api.desk import ApiDesk
from web.api.lists import DEFAULT_LIMIT, NEWEST_FIRST, After, Limit, Listed, listed, place_of
from web.api.routes import ACTS, LOOKS, IdempotencyKey
from web.api.shapes import PredictionJob, Report, Shape, shaped
from web.api.training_jobs import written
from web.evaluation_reports import own_prediction
from web.services import ReadModels

DEFAULT_PARAMETERS = PredictionDraft().prediction_parameters


class NewPredictionJob(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published version to be judged on question-bank images."""

    name: str
    model_id: UUID
    versions: tuple[str, ...]
    data_paths: tuple[FolderName, ...]
    compute_resource_id: UUID
    prediction_parameters: dict[str, Any] | None = None
    resolution_screening: bool = True


class PredictionJobs(Controller):
    """Whose job it is, the commands decide; others' are nobody's business."""

    path = "/prediction-jobs"
    tags = ("predictions",)

    @get("/", sync_to_thread=True, responses=LOOKS)
    def list(
        self,
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[PredictionJob]:
        """The user's own jobs, the newest first."""
        place = place_of(after, NEWEST_FIRST)
        found = read.prediction_jobs.stretch(desk.caller.user_id, after=place, size=limit)
        return listed(found, lambda row: shaped(row, PredictionJob, reason=desk.say(row.reason)))

    @post("/", sync_to_thread=True, responses=ACTS)
    def queue(
        self,
        data: JSONBody[NewPredictionJob],
        idempotency_key: IdempotencyKey,
        desk: NamedDependency[ApiDesk],
        read: NamedDependency[ReadModels],
    ) -> PredictionJob:
        """Judge a version."""
        made = desk.made_by(idempotency_key, data)
        draft = PredictionDraft(
            name=data.name,
            model_id=data.model_id,
            versions=data.versions,
            data_paths=data.data_paths,
            prediction_parameters=written(data.prediction_parameters, DEFAULT_PARAMETERS),
            compute_resource_id=data.compute_resource_id,
            resolution_screening=data.resolution_screening,
        )
        desk.ask(QueuePredictionJob(actor=desk.caller.user_id, job_id=made.id(), draft=draft))
        return _sent(read, made.id(), desk)

    @get("/{job_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def one(
        self, job_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> PredictionJob:
        """One job."""
        return _sent(read, job_id, desk)

    @get("/{job_id:uuid}/reports", sync_to_thread=True, responses=LOOKS)
    def reports(
        self, job_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> tuple[Report, ...]:
        """The figures of each version of a job, none until it is completed."""
        job = own_prediction(read, job_id, desk.caller.user_id)
        found = ((label, read.evaluation_reports.get(job_id, label)) for label in job.versions)
        return tuple(shaped(report, Report, version=label) for label, report in found if report)

    @delete("/{job_id:uuid}", sync_to_thread=True, responses=ACTS)
    def remove(self, job_id: FromPath[UUID], desk: NamedDependency[ApiDesk]) -> None:
        """Delete a job that is not predicting."""
        desk.ask(DeletePredictionJob(actor=desk.caller.user_id, job_id=job_id))

    @post("/{job_id:uuid}/terminate", sync_to_thread=True, status_code=200, responses=ACTS)
    def terminate(
        self, job_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> PredictionJob:
        """Stop a job that is predicting."""
        desk.ask(TerminatePrediction(actor=desk.caller.user_id, job_id=job_id))
        return _sent(read, job_id, desk)

    @post("/{job_id:uuid}/restart", sync_to_thread=True, status_code=200, responses=ACTS)
    def restart(
        self, job_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[ApiDesk]
    ) -> PredictionJob:
        """Start a terminated or failed job again."""
        desk.ask(RestartPrediction(actor=desk.caller.user_id, job_id=job_id))
        return _sent(read, job_id, desk)


def _sent(read: ReadModels, job_id: UUID, desk: ApiDesk) -> PredictionJob:
    job = own_prediction(read, job_id, desk.caller.user_id)
    return shaped(job, PredictionJob, reason=desk.say(job.reason))
