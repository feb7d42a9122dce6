"""What can be asked about models and their versions."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import models, training_jobs
from domain.data_paths import FolderName
from domain.models import Model
from domain.permissions import Permission
from domain.training_jobs import TrainedWeights, TrainingJob


class PublishModelVersion(Command):
    """Make a completed training, with the chosen one of its weights, the next version of its model (V-1)."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_TRAINING_JOBS
    OWNED: ClassVar = (TrainingJob, "job_id")
    job_id: UUID
    chosen_weights: TrainedWeights = TrainedWeights.BEST


class WithdrawModelVersion(Command):
    """Take a published version back, with a reason (V-4)."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_MODELS
    OWNED: ClassVar = (Model, "model_id")
    model_id: UUID
    version: str
    reason: str


class ReleaseDataPath(Command):
    """Let a model be trained again without a path of its first training that has no images any more (W-5)."""

    PERMISSION: ClassVar = Permission.SUPERVISE
    model_id: UUID
    folder: FolderName


@handles(PublishModelVersion)
def publish_model_version(command: PublishModelVersion, assay: Assay) -> int:
    job = assay.load(TrainingJob, command.job_id)
    model = assay.find(Model, job.model_id)
    return assay.save(
        command,
        Change(job.id, job, training_jobs.publish(job, models.next_version(model, job), command.chosen_weights)),
        Change(job.model_id, model, models.publish(model, job, command.chosen_weights)),
    )


@handles(WithdrawModelVersion)
def withdraw_model_version(command: WithdrawModelVersion, assay: Assay) -> int:
    model = assay.load(Model, command.model_id)
    return assay.save(command, Change(model.id, model, models.withdraw(model, command.version, command.reason)))


@handles(ReleaseDataPath)
def release_data_path(command: ReleaseDataPath, assay: Assay) -> int:
    model = assay.load(Model, command.model_id)
    (found,) = assay.ports.data_folders.inspect_folders([command.folder])
    return assay.save(command, Change(model.id, model, models.release_path(model, found)))
