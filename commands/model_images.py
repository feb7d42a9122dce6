"""What can be asked about model images, what workers report of loading them, and what became of deleted files."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from commands.environments import bind
from commands.uses import with_uses, without_uses
from domain import model_images
from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.model_images import ArchiveSource, ModelImage, ModelImageKind, TaskTypeUsed, archive_name
from domain.model_packages import ModelPackage
from domain.names import NameKind, claim_id
from domain.permissions import Permission
from domain.refusals import NotFound, Refusal, collect, raise_together
from domain.sentences import Sentence
from domain.task_types import TaskType
from domain.uses import Needed


class CheckArchiveName(Command):
    """Ask before an upload what importing a file of that name would answer (I-3); with `model_image_id` as its next version."""

    PERMISSION: ClassVar = Permission.MANAGE_MODEL_IMAGES
    file_name: str
    model_image_id: UUID | None = None


class ImportModelImage(Command):
    """Import the first archive of a name (I-1 to I-4): `archive` is a path on the server, `upload_id` an upload of the actor."""

    PERMISSION: ClassVar = Permission.MANAGE_MODEL_IMAGES
    kind: ModelImageKind
    task_type_id: UUID
    archive: str = ""
    upload_id: UUID | None = None
    environment: tuple[UUID, ...] = ()


class AddModelImageVersion(Command):
    """新增版本: a further archive of the same name, from either place (I-4)."""

    PERMISSION: ClassVar = Permission.MANAGE_MODEL_IMAGES
    model_image_id: UUID
    archive: str = ""
    upload_id: UUID | None = None


class RetryLoading(Command):
    """Load an archive once more that could not be loaded."""

    PERMISSION: ClassVar = Permission.MANAGE_MODEL_IMAGES
    model_image_id: UUID
    loading: int


class DismissLoading(Command):
    """Take an archive off the list that could not be loaded."""

    PERMISSION: ClassVar = Permission.MANAGE_MODEL_IMAGES
    model_image_id: UUID
    loading: int


class DeleteModelImageVersion(Command):
    """Delete a version; its files go in the background (I-5)."""

    PERMISSION: ClassVar = Permission.MANAGE_MODEL_IMAGES
    model_image_id: UUID
    number: int


class NoteFileRemoved(Command):
    """A file of a deleted version is gone from storage (S-5)."""

    PERMISSION: ClassVar = Permission.SYSTEM
    model_image_id: UUID
    number: int
    checksum: str


class NoteFileRemovalFailed(Command):
    """A file of a deleted version cannot be removed yet (S-5)."""

    PERMISSION: ClassVar = Permission.SYSTEM
    model_image_id: UUID
    number: int
    checksum: str
    reason: Sentence


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


@handles(CheckArchiveName)
def check_archive_name(command: CheckArchiveName, assay: Assay) -> int:
    name, _ = archive_name(command.file_name)
    if command.model_image_id is None:
        model_images.check_import(assay.find(ModelImage, model_image_id(name)))
    else:
        model_images.check_addition(assay.load(ModelImage, command.model_image_id), name)
    return 0


@handles(ImportModelImage)
def import_model_image(command: ImportModelImage, assay: Assay) -> int:
    task_type = assay.load(TaskType, command.task_type_id)
    refusals: list[Refusal] = []
    found = collect(refusals, _archive_of, command, assay)
    is_bound = command.kind is ModelImageKind.BUSINESS
    environment = collect(refusals, bind, assay, command.environment) if is_bound else None
    raise_together(refusals)
    archive, source = found
    image_id = model_image_id(archive_name(archive.path.rsplit("/", 1)[-1])[0])
    image = assay.find(ModelImage, image_id)
    facts = model_images.import_image(
        image,
        kind=command.kind,
        task_type=TaskTypeUsed(task_type.id, task_type.name, task_type.kind),
        environment=environment,
        archive=archive,
        source=source,
    )
    return assay.save(command, *with_uses(assay, ModelImage, image_id, image, facts))


@handles(AddModelImageVersion)
def add_model_image_version(command: AddModelImageVersion, assay: Assay) -> int:
    image = assay.load(ModelImage, command.model_image_id)
    archive, source = _archive_of(command, assay)
    facts = model_images.add_version(image, archive=archive, source=source)
    return assay.save(command, *with_uses(assay, ModelImage, image.id, image, facts))


@handles(RetryLoading)
def retry_loading(command: RetryLoading, assay: Assay) -> int:
    image = assay.load(ModelImage, command.model_image_id)
    assay.ports.archives.check(model_images.failed_loading(image, command.loading).order.archive)
    facts = model_images.retry_loading(image, command.loading)
    return assay.save(command, *with_uses(assay, ModelImage, image.id, image, facts))


@handles(DismissLoading)
def dismiss_loading(command: DismissLoading, assay: Assay) -> int:
    image = assay.load(ModelImage, command.model_image_id)
    return assay.save(command, Change(image.id, image, model_images.dismiss_loading(image, command.loading)))


@handles(DeleteModelImageVersion)
def delete_model_image_version(command: DeleteModelImageVersion, assay: Assay) -> int:
    image = assay.load(ModelImage, command.model_image_id)
    return assay.save(
        command,
        Change(image.id, image, model_images.delete_version(image, command.number)),
        without_uses(assay, Needed.model_image_version(image.id, command.number)),
    )


@handles(NoteFileRemoved)
def note_file_removed(command: NoteFileRemoved, assay: Assay) -> int:
    image = _even_if_deleted(assay, command.model_image_id)
    return assay.save(
        command, Change(image.id, image, model_images.note_removed(image, command.number, command.checksum))
    )


@handles(NoteFileRemovalFailed)
def note_file_removal_failed(command: NoteFileRemovalFailed, assay: Assay) -> int:
    image = _even_if_deleted(assay, command.model_image_id)
    facts = model_images.note_removal_failed(image, command.number, command.checksum, command.reason)
    return assay.save(command, Change(image.id, image, facts))


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
    return assay.save(command, *with_uses(assay, ModelImage, image.id, image, facts))


@handles(FailLoading)
def fail_loading(command: FailLoading, assay: Assay) -> int:
    image = assay.load(ModelImage, command.model_image_id)
    facts = model_images.fail_loading(image, command.attempt, command.reason)
    return assay.save(command, *with_uses(assay, ModelImage, image.id, image, facts))


@handles(InterruptLoading)
def interrupt_loading(command: InterruptLoading, assay: Assay) -> int:
    image = assay.load(ModelImage, command.model_image_id)
    facts = model_images.interrupt_loading(image, command.attempt, assay.ports.max_attempts, is_fault=command.is_fault)
    return assay.save(command, *with_uses(assay, ModelImage, image.id, image, facts))


def _even_if_deleted(assay: Assay, image_id: UUID) -> ModelImage:
    """Files go after the model image they belonged to."""
    image = assay.find(ModelImage, image_id)
    if image is None:
        raise NotFound
    return image


def _archive_of(command: ImportModelImage | AddModelImageVersion, assay: Assay) -> tuple[FolderName, ArchiveSource]:
    if command.upload_id is not None:
        return assay.ports.archives.uploaded(command.upload_id, command.actor), ArchiveSource.UPLOAD
    return assay.ports.archives.find(command.archive), ArchiveSource.REMOTE_PATH
