"""What can be asked about models and their versions."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import models, training_jobs
from domain.models import Model
from domain.permissions import Permission
from domain.training_jobs import TrainingJob


class PublishModelVersion(Command):
    """Make a completed training the next version of its model (V-1)."""

    PERMISSION: ClassVar = Permission.MANAGE_OWN_TRAINING_JOBS
    OWNED: ClassVar = (TrainingJob, "job_id")
    job_id: UUID


@handles(PublishModelVersion)
def publish_model_version(command: PublishModelVersion, assay: Assay) -> int:
    job = assay.load(TrainingJob, command.job_id)
    model = assay.find(Model, job.model_id)
    return assay.save(
        command,
        Change(job.id, job, training_jobs.publish(job, models.next_version(model, job))),
        Change(job.model_id, model, models.publish(model, job)),
    )
