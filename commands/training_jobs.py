"""What can be asked about training jobs, and what workers report of them."""

from typing import ClassVar, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from commands.assay import Assay, Change, Command, handles
from commands.environments import bind
from commands.uses import with_uses
from domain import training_jobs, training_requests
from domain.compute_resources import ComputeResource
from domain.data_paths import Inspection
from domain.environments import EnvironmentBinding
from domain.facts import Fact
from domain.messages import TrainingOrder
from domain.model_images import ModelImage, ModelImageKind, ModelImageVersion
from domain.models import Model
from domain.names import NameClaim, NameKind, claim, claim_id, release
from domain.permissions import Permission
from domain.refusals import NotFound, Refusal, collect, raise_together
from domain.training_jobs import ModelImageUsed, TrainingJob
from domain.training_parameters import ModelParameters, TrainingParameters
from domain.training_requests import EnvironmentIsGone, TrainingDraft

STEP_COUNT = 4


class QueueTrainingJob(Command):
    """Train a new model: the wizard's last 「完成」 (W-1 to W-10). `job_id` and `model_id` are new; `seed` decides every draw."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_TRAINING_JOBS
    job_id: UUID
    model_id: UUID
    draft: TrainingDraft
    seed: int


class TerminateTraining(Command):
    """Stop a run that is training (T-2)."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_TRAINING_JOBS
    OWNED: ClassVar = (TrainingJob, "job_id")
    job_id: UUID


class RestartTraining(Command):
    """Start a terminated or failed job again, from 0 % (T-2)."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_TRAINING_JOBS
    OWNED: ClassVar = (TrainingJob, "job_id")
    job_id: UUID


class DeleteTrainingJob(Command):
    """Delete a job that neither trains nor is published (T-2); its model's name is free again if nothing was published."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_TRAINING_JOBS
    OWNED: ClassVar = (TrainingJob, "job_id")
    job_id: UUID


class StartTraining(Command):
    """A worker claims a job."""

    PERMISSION: ClassVar = Permission.SYSTEM
    job_id: UUID
    attempt: int
    worker: str


class RecordTraining(Command):
    """A worker reports what it measured or achieved."""

    PERMISSION: ClassVar = Permission.SYSTEM
    job_id: UUID
    attempt: int
    fact: Fact


class InterruptTraining(Command):
    """A worker fell silent, or was stopped."""

    PERMISSION: ClassVar = Permission.SYSTEM
    job_id: UUID
    attempt: int
    is_fault: bool = True


class CheckedDraft(NamedTuple):
    """What the steps of the wizard found out; later fields are None until their step was checked."""

    image: ModelImage
    version: ModelImageVersion
    model_parameters: ModelParameters
    training_parameters: TrainingParameters | None = None
    order: TrainingOrder | None = None


def check_step(assay: Assay, draft: TrainingDraft, step: int, *, seed: int = 0) -> CheckedDraft:
    """Check the draft up to `step` (1 to 4) as the wizard does before the next step opens (W-1).

    Raises:
        Refusal, Refusals: what is wrong in the first step that is not right; fields are those of `TrainingDraft`.
    """
    refusals: list[Refusal] = []
    image, version = _chosen_image(assay, draft)
    if image is not None and version is not None and image.kind is ModelImageKind.BUSINESS:
        draft = replace(draft, model_parameters=version.package.model_parameters)  # they come with the image (W-2)
    elif image is None or image.kind is ModelImageKind.GENERAL:
        collect(refusals, _bind, assay, draft.environment)
    model_parameters = collect(refusals, training_requests.check_model_step, draft, version)
    collect(refusals, _check_name_is_free, assay, draft.model_name)
    raise_together(refusals)
    assert image is not None
    assert version is not None
    checked = CheckedDraft(image, version, model_parameters)
    inspections: list[Inspection] = []
    if step >= 2:
        inspections = assay.ports.data_folders.inspect_folders(draft.data_paths)
        training_requests.check_data_step(model_parameters, inspections)
    if step >= 3:
        resource = assay.find(ComputeResource, draft.compute_resource_id) if draft.compute_resource_id else None
        available = resource.resources if resource and not resource.is_deleted else None
        checked = checked._replace(training_parameters=training_requests.check_training_step(draft, available))
    if step >= STEP_COUNT:
        assert checked.training_parameters is not None
        training_requests.check_preprocessing_step(draft, image, version, checked.training_parameters)
        if draft.train_segmentation:
            training_requests.check_masks(model_parameters, inspections)
        order = training_requests.order_training(
            draft,
            version=version,
            model_parameters=model_parameters,
            training_parameters=checked.training_parameters,
            data_paths=draft.data_paths,
            seed=seed,
        )
        checked = checked._replace(order=order)
    return checked


@handles(QueueTrainingJob)
def queue_training_job(command: QueueTrainingJob, assay: Assay) -> int:
    if assay.find(TrainingJob, command.job_id) is not None:
        return 0  # the same wish again: a second click, a request that was sent twice
    draft = command.draft
    checked = check_step(assay, draft, STEP_COUNT, seed=command.seed)
    assert checked.order is not None
    assert draft.compute_resource_id is not None
    image, version = checked.image, checked.version
    name_id = claim_id(NameKind.MODEL, draft.model_name)
    name = assay.find(NameClaim, name_id)
    facts = training_jobs.queue(
        owner=command.actor,
        model_id=command.model_id,
        model_image=ModelImageUsed(image.id, image.name, version.number),
        task_type=image.task_type,
        environment=image.environment or _bind(assay, draft.environment),
        compute_resource_id=draft.compute_resource_id,
        order=checked.order,
    )
    claimed = claim(name, NameKind.MODEL, draft.model_name, command.model_id, field="model_name")
    queued = with_uses(assay, TrainingJob, command.job_id, None, facts)
    return assay.save(command, *queued, Change(name_id, name, claimed))


@handles(TerminateTraining)
def terminate_training(command: TerminateTraining, assay: Assay) -> int:
    job = assay.load(TrainingJob, command.job_id)
    return assay.save(command, *with_uses(assay, TrainingJob, job.id, job, training_jobs.terminate(job)))


@handles(RestartTraining)
def restart_training(command: RestartTraining, assay: Assay) -> int:
    job = assay.load(TrainingJob, command.job_id)
    return assay.save(command, *with_uses(assay, TrainingJob, job.id, job, training_jobs.restart(job)))


@handles(DeleteTrainingJob)
def delete_training_job(command: DeleteTrainingJob, assay: Assay) -> int:
    job = assay.load(TrainingJob, command.job_id)
    name_id = claim_id(NameKind.MODEL, job.name)
    name, model = assay.find(NameClaim, name_id), assay.find(Model, job.model_id)
    return assay.save(
        command,
        *with_uses(assay, TrainingJob, job.id, job, training_jobs.delete(job)),
        Change(name_id, name, [] if model else release(name, job.model_id)),
    )


@handles(StartTraining)
def start_training(command: StartTraining, assay: Assay) -> int:
    job = assay.load(TrainingJob, command.job_id)
    return assay.save(command, Change(job.id, job, training_jobs.start(job, command.attempt, command.worker)))


@handles(RecordTraining)
def record_training(command: RecordTraining, assay: Assay) -> int:
    job = assay.load(TrainingJob, command.job_id)
    facts = training_jobs.report(job, command.attempt, command.fact)
    return assay.save(command, *with_uses(assay, TrainingJob, job.id, job, facts))


@handles(InterruptTraining)
def interrupt_training(command: InterruptTraining, assay: Assay) -> int:
    job = assay.load(TrainingJob, command.job_id)
    facts = training_jobs.interrupt(job, command.attempt, assay.ports.max_attempts, is_fault=command.is_fault)
    return assay.save(command, *with_uses(assay, TrainingJob, job.id, job, facts))


def _chosen_image(assay: Assay, draft: TrainingDraft) -> tuple[ModelImage | None, ModelImageVersion | None]:
    if draft.model_image_id is None:
        return None, None
    image = assay.find(ModelImage, draft.model_image_id)
    return image, image.loaded_version(draft.model_image_version) if image else None


def _bind(assay: Assay, node_ids: tuple[UUID, ...]) -> EnvironmentBinding:
    try:
        return bind(assay, node_ids)
    except NotFound:
        raise EnvironmentIsGone from None


def _check_name_is_free(assay: Assay, model_name: str) -> None:
    """Say in step 1 what the claim would say in the end; the claim decides."""
    claim(
        assay.find(NameClaim, claim_id(NameKind.MODEL, model_name)),
        NameKind.MODEL,
        model_name,
        UUID(int=0),
        field="model_name",
    )
