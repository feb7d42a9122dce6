"""What can be asked about prediction jobs, and what workers report of them."""

from typing import ClassVar, NamedTuple
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from commands.uses import with_uses
from domain import prediction_jobs
from domain.compute_resources import ComputeResource
from domain.facts import Fact
from domain.models import Model, ModelVersion
from domain.permissions import Permission
from domain.prediction_jobs import PredictionDraft, PredictionJob
from domain.training_parameters import PredictionParameters

STEP_COUNT = 3


class QueuePredictionJob(Command):
    """Judge a published version on question-bank images, or compare two (P-1). `job_id` is new."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_PREDICTION_JOBS
    job_id: UUID
    draft: PredictionDraft


class TerminatePrediction(Command):
    """Stop a job that is predicting (P-2)."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_PREDICTION_JOBS
    OWNED: ClassVar = (PredictionJob, "job_id")
    job_id: UUID


class RestartPrediction(Command):
    """Start a terminated or failed job again (P-2)."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_PREDICTION_JOBS
    OWNED: ClassVar = (PredictionJob, "job_id")
    job_id: UUID


class DeletePredictionJob(Command):
    """Delete a job that is not predicting (P-2)."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_PREDICTION_JOBS
    OWNED: ClassVar = (PredictionJob, "job_id")
    job_id: UUID


class StartPrediction(Command):
    """A worker claims a job."""

    PERMISSION: ClassVar = Permission.SYSTEM
    job_id: UUID
    attempt: int
    worker: str


class RecordPrediction(Command):
    """A worker reports what it achieved."""

    PERMISSION: ClassVar = Permission.SYSTEM
    job_id: UUID
    attempt: int
    fact: Fact


class InterruptPrediction(Command):
    """A worker fell silent, or was stopped."""

    PERMISSION: ClassVar = Permission.SYSTEM
    job_id: UUID
    attempt: int
    is_fault: bool = True


class CheckedPrediction(NamedTuple):
    """What the steps found out; `parameters` is None until step 3 was checked."""

    model: Model
    versions: tuple[ModelVersion, ...]
    parameters: PredictionParameters | None = None


def check_step(assay: Assay, draft: PredictionDraft, step: int, actor: UUID) -> CheckedPrediction:
    """Check the draft up to `step` (1 to 3) as the page does before the next step opens.

    Raises:
        NotTheOwner: the model is someone else's.
        Refusal, Refusals: what is wrong in the first step that is not right; fields are those of `PredictionDraft`.
    """
    model = assay.find(Model, draft.model_id) if draft.model_id else None
    if model is not None:
        assay.check_owner(model.owner, actor)
    versions = prediction_jobs.check_model_step(draft, model)
    assert model is not None  # otherwise no version could be chosen
    checked = CheckedPrediction(model, versions)
    if step >= 2:
        inspections = assay.ports.data_folders.inspect_folders(draft.data_paths)
        prediction_jobs.check_data_step(versions, inspections)
    if step >= STEP_COUNT:
        resource = assay.find(ComputeResource, draft.compute_resource_id) if draft.compute_resource_id else None
        available = resource.resources if resource and not resource.is_deleted else None
        checked = checked._replace(parameters=prediction_jobs.check_prediction_step(draft, available))
    return checked


@handles(QueuePredictionJob)
def queue_prediction_job(command: QueuePredictionJob, assay: Assay) -> int:
    if assay.find(PredictionJob, command.job_id) is not None:
        return 0  # the same wish again: a second click, a request that was sent twice
    draft = command.draft
    checked = check_step(assay, draft, STEP_COUNT, command.actor)
    assert checked.parameters is not None
    assert draft.compute_resource_id is not None
    facts = prediction_jobs.queue(
        draft,
        owner=command.actor,
        model=checked.model,
        versions=checked.versions,
        compute_resource_id=draft.compute_resource_id,
        parameters=checked.parameters,
        data_paths=draft.data_paths,
    )
    return assay.save(command, *with_uses(assay, PredictionJob, command.job_id, None, facts))


@handles(TerminatePrediction)
def terminate_prediction(command: TerminatePrediction, assay: Assay) -> int:
    job = assay.load(PredictionJob, command.job_id)
    return assay.save(command, *with_uses(assay, PredictionJob, job.id, job, prediction_jobs.terminate(job)))


@handles(RestartPrediction)
def restart_prediction(command: RestartPrediction, assay: Assay) -> int:
    job = assay.load(PredictionJob, command.job_id)
    model = assay.load(Model, job.model_id)
    return assay.save(command, *with_uses(assay, PredictionJob, job.id, job, prediction_jobs.restart(job, model)))


@handles(DeletePredictionJob)
def delete_prediction_job(command: DeletePredictionJob, assay: Assay) -> int:
    job = assay.load(PredictionJob, command.job_id)
    return assay.save(command, *with_uses(assay, PredictionJob, job.id, job, prediction_jobs.delete(job)))


@handles(StartPrediction)
def start_prediction(command: StartPrediction, assay: Assay) -> int:
    job = assay.load(PredictionJob, command.job_id)
    return assay.save(command, Change(job.id, job, prediction_jobs.start(job, command.attempt, command.worker)))


@handles(RecordPrediction)
def record_prediction(command: RecordPrediction, assay: Assay) -> int:
    job = assay.load(PredictionJob, command.job_id)
    facts = prediction_jobs.report(job, command.attempt, command.fact)
    return assay.save(command, *with_uses(assay, PredictionJob, job.id, job, facts))


@handles(InterruptPrediction)
def interrupt_prediction(command: InterruptPrediction, assay: Assay) -> int:
    job = assay.load(PredictionJob, command.job_id)
    facts = prediction_jobs.interrupt(job, command.attempt, assay.ports.max_attempts, is_fault=command.is_fault)
    return assay.save(command, *with_uses(assay, PredictionJob, job.id, job, facts))
