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
from domain.models import Model, ModelVersion
from domain.names import NameClaim, NameKind, claim, claim_id, release
from domain.permissions import Permission
from domain.refusals import NotFound, Refusal, collect, raise_together
from domain.training_jobs import TrainingJob
from domain.training_parameters import ModelParameters, TrainingParameters
from domain.training_requests import Basis, EnvironmentIsGone, StartingVersion, StartingWeights, TrainingDraft

STEP_COUNT = 4


class QueueTrainingJob(Command):
    """Train a new model: the wizard's last 「完成」 (W-1 to W-10). `job_id` and `model_id` are new; `seed` decides every draw."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_TRAINING_JOBS
    job_id: UUID
    model_id: UUID
    draft: TrainingDraft
    seed: int


class RetrainModel(Command):
    """Train a further version of a model, from the weights of a published one: the last 「完成」 of 「重新训练」 (W-11).

    Of the draft only what can change counts. `job_id` is new; `seed` decides every draw.
    """

    PERMISSION: ClassVar = Permission.MANAGE_OWN_MODELS
    OWNED: ClassVar = (Model, "model_id")
    job_id: UUID
    model_id: UUID
    version: str
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

    basis: Basis
    model_parameters: ModelParameters
    environment: EnvironmentBinding
    training_parameters: TrainingParameters | None = None
    start: ModelVersion | None = None
    order: TrainingOrder | None = None


def check_step(assay: Assay, draft: TrainingDraft, step: int, actor: UUID, *, seed: int = 0) -> CheckedDraft:
    """Check the draft up to `step` (1 to 4) as the wizard does before the next step opens (W-1).

    Raises:
        Refusal, Refusals: what is wrong in the first step that is not right; fields are those of `TrainingDraft`.
        NotFound, NotTheOwner: the model that is trained again, or from whose version another one starts, is not the actor's.
    """
    checked = _check_retraining(assay, draft, actor) if draft.is_retraining else _check_new_model(assay, draft)
    inspections: list[Inspection] = []
    if step >= 2:
        inspections = assay.ports.data_folders.inspect_folders(draft.data_paths)
        training_requests.check_data_step(checked.model_parameters, inspections, checked.basis)
    if step >= 3:
        checked = _check_training(assay, draft, checked, actor)
    if step >= STEP_COUNT:
        assert checked.training_parameters is not None
        training_requests.check_preprocessing_step(draft, checked.basis, checked.training_parameters)
        if draft.train_segmentation:
            training_requests.check_masks(checked.model_parameters, inspections)
        order = training_requests.order_training(
            draft,
            package=checked.basis.package,
            model_parameters=checked.model_parameters,
            training_parameters=checked.training_parameters,
            data_paths=draft.data_paths,
            seed=seed,
            start=checked.start,
        )
        checked = checked._replace(order=order)
    return checked


def _check_new_model(assay: Assay, draft: TrainingDraft) -> CheckedDraft:
    refusals: list[Refusal] = []
    image, version = _chosen_image(assay, draft)
    environment: EnvironmentBinding | None = None
    if image is not None and version is not None and image.kind is ModelImageKind.BUSINESS:
        draft = replace(draft, model_parameters=version.package.model_parameters)  # they come with the image (W-2)
        environment = image.environment
    elif image is None or image.kind is ModelImageKind.GENERAL:
        environment = collect(refusals, _bind, assay, draft.environment)
    model_parameters = collect(refusals, training_requests.check_model_step, draft, version)
    collect(refusals, _check_name_is_free, assay, draft.model_name)
    raise_together(refusals)
    assert image is not None
    assert version is not None
    assert environment is not None
    return CheckedDraft(training_requests.basis_of_image(image, version), model_parameters, environment)


def _check_retraining(assay: Assay, draft: TrainingDraft, actor: UUID) -> CheckedDraft:
    """Nothing can be chosen here; the version says it all (W-11)."""
    model, version = own_version(assay, draft.starting_version, actor)
    kept = version.published
    image = assay.find(ModelImage, kept.model_image.model_image_id)  # deleted or not
    assert image is not None
    basis = training_requests.basis_of_version(model, version, image.package_of(kept.model_image.number))
    return CheckedDraft(basis, kept.order.model_parameters, kept.environment)


def _check_training(assay: Assay, draft: TrainingDraft, checked: CheckedDraft, actor: UUID) -> CheckedDraft:
    refusals: list[Refusal] = []
    resource = assay.find(ComputeResource, draft.compute_resource_id) if draft.compute_resource_id else None
    available = resource.resources if resource and not resource.is_deleted else None
    parameters = collect(refusals, training_requests.check_training_step, draft, available)
    start: ModelVersion | None = None
    if draft.starting_weights is StartingWeights.VERSION and draft.starting_version is not None:
        _, start = own_version(assay, draft.starting_version, actor)
    collect(refusals, training_requests.check_start, draft, checked.model_parameters, start)
    raise_together(refusals)
    return checked._replace(training_parameters=parameters, start=start)


def own_version(assay: Assay, chosen: StartingVersion | None, actor: UUID) -> tuple[Model, ModelVersion]:
    """A published version of a model that is the actor's, and that model.

    Raises:
        NotFound, NotTheOwner, ModelVersionNotFound.
    """
    if chosen is None:
        raise NotFound
    model = assay.load(Model, chosen.model_id)
    assay.check_owner(model.owner, actor)
    return model, model.published_version(chosen.label)


@handles(QueueTrainingJob)
def queue_training_job(command: QueueTrainingJob, assay: Assay) -> int:
    if assay.find(TrainingJob, command.job_id) is not None:
        return 0  # the same wish again: a second click, a request that was sent twice
    draft = replace(command.draft, is_retraining=False)
    queued = _queued(assay, command, draft)
    name_id = claim_id(NameKind.MODEL, draft.model_name)
    name = assay.find(NameClaim, name_id)
    claimed = claim(name, NameKind.MODEL, draft.model_name, command.model_id, field="model_name")
    return assay.save(command, *queued, Change(name_id, name, claimed))


@handles(RetrainModel)
def retrain_model(command: RetrainModel, assay: Assay) -> int:
    if assay.find(TrainingJob, command.job_id) is not None:
        return 0
    chosen = StartingVersion(command.model_id, command.version)
    model, _ = own_version(assay, chosen, command.actor)
    draft = replace(
        command.draft,
        model_name=model.name,
        starting_weights=StartingWeights.VERSION,
        starting_version=chosen,
        is_retraining=True,
    )
    return assay.save(command, *_queued(assay, command, draft))


def _queued(assay: Assay, command: QueueTrainingJob | RetrainModel, draft: TrainingDraft) -> list[Change]:
    """The job with everything it thereby begins to need; the draft is checked from the first step to the last."""
    checked = check_step(assay, draft, STEP_COUNT, command.actor, seed=command.seed)
    assert checked.order is not None
    assert draft.compute_resource_id is not None
    facts = training_jobs.queue(
        owner=command.actor,
        model_id=command.model_id,
        model_image=checked.basis.model_image,
        task_type=checked.basis.task_type,
        environment=checked.environment,
        compute_resource_id=draft.compute_resource_id,
        order=checked.order,
        started_from=training_requests.version_used(draft, checked.start),
    )
    return with_uses(assay, TrainingJob, command.job_id, None, facts)


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
