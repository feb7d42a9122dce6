"""What can be asked about model images, and what workers report of loading them."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from commands.environments import bind
from domain import model_images
from domain.artifacts import Artifact
from domain.model_images import ModelImage, ModelImageKind, TaskTypeUsed, archive_name
from domain.model_packages import ModelPackage
from domain.names import NameKind, claim_id
from domain.permissions import Permission
from domain.sentences import Sentence
from domain.task_types import TaskType


class ImportModelImage(Command):
    """Import the first archive of a name from a path on the server (I-1 to I-4); it is loaded in the background."""

    PERMISSION: ClassVar = Permission.MANAGE_MODEL_IMAGES
    kind: ModelImageKind
    task_type_id: UUID
    archive: str
    environment: tuple[UUID, ...] = ()


class StartLoading(Command):
    """A worker claims an archive."""

    PERMISSION: ClassVar = Permission.SYSTEM
    model_image_id: UUID
    attempt: int
    worker: str


class FinishLoading(Command):
    """A worker has verified an archive."""

    PERMISSION: ClassVar = Permission.SYSTEM
    model_image_id: UUID
    attempt: int
    archive: Artifact
    package: ModelPackage


class FailLoading(Command):
    """A worker has found an archive that cannot be loaded."""

    PERMISSION: ClassVar = Permission.SYSTEM
    model_image_id: UUID
    attempt: int
    reason: Sentence


class InterruptLoading(Command):
    """A worker fell silent while loading."""

    PERMISSION: ClassVar = Permission.SYSTEM
    model_image_id: UUID
    attempt: int
    is_fault: bool = True


def model_image_id(name: str) -> UUID:
    """A model image is its name: the id follows from it, so a name is unique by construction."""
    return claim_id(NameKind.MODEL_IMAGE, name)


@handles(ImportModelImage)
def import_model_image(command: ImportModelImage, assay: Assay) -> int:
    archive = assay.ports.archives.find(command.archive)
    task_type = assay.load(TaskType, command.task_type_id)
    image_id = model_image_id(archive_name(archive.path.rsplit("/", 1)[-1])[0])
    image = assay.find(ModelImage, image_id)
    facts = model_images.import_image(
        image,
        kind=command.kind,
        task_type=TaskTypeUsed(task_type.id, task_type.name, task_type.kind),
        environment=bind(assay, command.environment) if command.kind is ModelImageKind.BUSINESS else None,
        archive=archive,
    )
    return assay.save(command, Change(image_id, image, facts))


@handles(StartLoading)
def start_loading(command: StartLoading, assay: Assay) -> int:
    image = assay.load(ModelImage, command.model_image_id)
    return assay.save(
        command, Change(image.id, image, model_images.start_loading(image, command.attempt, command.worker))
    )


@handles(FinishLoading)
def finish_loading(command: FinishLoading, assay: Assay) -> int:
    image = assay.load(ModelImage, command.model_image_id)
    facts = model_images.finish_loading(image, command.attempt, command.archive, command.package)
    return assay.save(command, Change(image.id, image, facts))


@handles(FailLoading)
def fail_loading(command: FailLoading, assay: Assay) -> int:
    image = assay.load(ModelImage, command.model_image_id)
    return assay.save(
        command, Change(image.id, image, model_images.fail_loading(image, command.attempt, command.reason))
    )


@handles(InterruptLoading)
def interrupt_loading(command: InterruptLoading, assay: Assay) -> int:
    image = assay.load(ModelImage, command.model_image_id)
    facts = model_images.interrupt_loading(image, command.attempt, assay.ports.max_attempts, is_fault=command.is_fault)
    return assay.save(command, Change(image.id, image, facts))
