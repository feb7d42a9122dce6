"""Model images (模型镜像): versioned algorithm packages, loaded in the background. Source: REQUIREMENTS, section I."""

import enum
import re
from typing import ClassVar
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.attempts import Attempt, check_open, check_owned, gave_up, is_last
from domain.data_paths import FolderName
from domain.environments import EnvironmentBinding
from domain.facts import Fact, State, evolves, replace
from domain.messages import LoadingOrder
from domain.model_packages import ModelPackage
from domain.names import name_key
from domain.refusals import NotFound, Refusal
from domain.sentences import N_, Sentence
from domain.task_types import TaskKind
from domain.uses import Needed

_ARCHIVE = re.compile(
    r"(?P<name>[a-zA-Z0-9._-]+)@(?!\.tar|\.tgz)(?P<version>[a-zA-Z0-9._-]+?)(?P<suffix>\.tar|\.tar\.gz|\.tgz|\.tar\.zst)?"
)

LONGEST_FILE_NAME = 200
"""File systems end at 255 bytes, and something is often put before or behind the name."""
STORAGE_KEEPS_FILE = N_("The storage does not let the file go: {problem}. It is tried again by itself.")
"""Why a file of a deleted version is still there."""


class ModelImageKind(enum.Enum):
    """通用 or 业务."""

    GENERAL = "general"
    BUSINESS = "business"


class LoadStatus(enum.Enum):
    """加载中, 成功, 失败."""

    LOADING = "loading"
    LOADED = "loaded"
    FAILED = "failed"


class ArchiveSource(enum.Enum):
    """本地文件上传 or 远程服务器路径: where an archive came from."""

    UPLOAD = "upload"
    REMOTE_PATH = "remote_path"


class TaskTypeUsed(msgspec.Struct, frozen=True):
    """The task type as it was when it was chosen; versions keep their own copy of what they used (M-6)."""

    task_type_id: UUID
    name: str
    kind: TaskKind


class ModelImageVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded version: v1.0, v2.0, ...

    Once it is deleted, `removed_files` are the checksums of its files that are gone from storage, and `problem` is why another one
    is not gone yet.
    """

    number: int
    archive_version: str
    archive: Artifact
    package: ModelPackage
    is_deleted: bool = False
    removed_files: tuple[str, ...] = ()
    problem: Sentence | None = None

    @property
    def label(self) -> str:
        """The version as people read it."""
        return version_label(self.number)

    @property
    def files(self) -> tuple[Artifact, ...]:
        """What lies on shared storage for it: the archive and the initial weights."""
        weights = (network.weights for network in self.package.networks if network.weights)
        return tuple(dict.fromkeys((self.archive, *weights)))


class FailedLoading(msgspec.Struct, frozen=True, kw_only=True):
    """An archive that could not be loaded. `loading` is the version in the log of the fact that queued it."""

    loading: int
    order: LoadingOrder
    source: ArchiveSource


class ModelImageImported(Fact):
    """A model image of a new name; its first archive is loading."""

    TOPIC: ClassVar[str] = "model_image.imported"
    name: str
    kind: ModelImageKind
    task_type: TaskTypeUsed
    environment: EnvironmentBinding | None = None


class ModelImageLoadingQueued(Fact):
    """An archive waits to be copied and verified."""

    TOPIC: ClassVar[str] = "model_image.loading_queued"
    order: LoadingOrder
    source: ArchiveSource = ArchiveSource.REMOTE_PATH


class ModelImageLoadingStarted(Fact):
    """A worker took the archive."""

    TOPIC: ClassVar[str] = "model_image.loading_started"
    worker: str


class ModelImageLoadingInterrupted(Fact):
    """The worker fell silent; the archive waits for another; `is_fault` is False when the worker was stopped in good order."""

    TOPIC: ClassVar[str] = "model_image.loading_interrupted"
    is_fault: bool = True


class ModelImageLoaded(Fact):
    """The archive is complete and verified: the image has a further version."""

    TOPIC: ClassVar[str] = "model_image.loaded"
    number: int
    archive: Artifact
    package: ModelPackage


class ModelImageLoadingFailed(Fact):
    """The archive could not be loaded; it took no version number."""

    TOPIC: ClassVar[str] = "model_image.loading_failed"
    reason: Sentence


class ModelImageLoadingDismissed(Fact):
    """An archive that could not be loaded is listed no more; `loading` is the version of the fact that had queued it."""

    TOPIC: ClassVar[str] = "model_image.loading_dismissed"
    loading: int


class ModelImageVersionDeleted(Fact):
    """Nobody can choose the version any more; its files go in the background. `name` is the model image's."""

    TOPIC: ClassVar[str] = "model_image.version_deleted"
    number: int
    name: str


class ModelImageFileRemoved(Fact):
    """A file of a deleted version is gone from shared storage."""

    TOPIC: ClassVar[str] = "model_image.file_removed"
    number: int
    checksum: str


class ModelImageFileRemovalFailed(Fact):
    """A file of a deleted version could not be removed; it is tried again. Noted once a reason."""

    TOPIC: ClassVar[str] = "model_image.file_removal_failed"
    number: int
    checksum: str
    reason: Sentence


class ArchiveNotFound(Refusal):
    """I-3, the manual's words."""

    field = "archive"
    message = N_("No valid model image file was found at this path")


class ArchiveNameIsInvalid(Refusal):
    """I-3, the manual's words."""

    field = "archive"
    message = N_("The name of the model image file does not meet the required form")


class ModelImageExists(Refusal):
    """I-3, the manual's words."""

    field = "archive"
    message = N_("This model image already exists; add a version to it instead")


class ArchiveHasAnotherName(Refusal):
    """I-4: a version is a file of the same name."""

    field = "archive"
    message = N_("This is an archive of “{found}”. A version of “{name}” needs a file that is named {name}@<version>.")


class AnotherArchiveIsLoading(Refusal):
    """I-4: versions are numbered one after the other."""

    field = "archive"
    message = N_(
        "“{file}” is just being loaded as a version of “{name}”. Wait until its state is shown as loaded or failed, "
        "then add yours."
    )


class ModelImageHasNoVersion(Refusal):
    """I-4: there is nothing to add a version to."""

    field = "archive"
    message = N_("“{name}” has no loaded version any more. Import the archive as a new model image.")


class EnvironmentIsMissing(Refusal):
    """I-1: a business image is bound to places of the last level."""

    field = "environment"
    message = N_("A business image is bound to a production environment. Choose it down to the last level.")


class ModelImageVersionNotLoaded(Refusal):
    """Only a loaded version can be used."""

    field = "model_image_version"
    message = N_("This version of the model image is not loaded. Choose another one, or wait until it is loaded.")


class ModelImage(State):
    """What the rules need of a model image."""

    name: str
    kind: ModelImageKind
    task_type: TaskTypeUsed
    environment: EnvironmentBinding | None = None
    status: LoadStatus = LoadStatus.LOADING
    order: LoadingOrder | None = None
    source: ArchiveSource = ArchiveSource.REMOTE_PATH
    loading: int = 0
    attempt: Attempt = Attempt(number=0)
    versions: tuple[ModelImageVersion, ...] = ()
    failures: tuple[FailedLoading, ...] = ()

    @property
    def loaded_versions(self) -> tuple[ModelImageVersion, ...]:
        """The versions that can be used, the oldest first."""
        return tuple(version for version in self.versions if not version.is_deleted)

    @property
    def is_deleted(self) -> bool:
        """The group goes with its last version (I-5); what is loading or has failed is still shown."""
        return not self.loaded_versions and not self.failures and self.status is not LoadStatus.LOADING

    @property
    def needed(self) -> tuple[Needed, ...]:
        """What nobody may delete while an archive is loading (M-6)."""
        return (Needed.task_type(self.task_type.task_type_id),) if self.status is LoadStatus.LOADING else ()

    def loaded_version(self, number: int) -> ModelImageVersion:
        """A loaded version by its whole number.

        Raises:
            ModelImageVersionNotLoaded
        """
        found = next((version for version in self.loaded_versions if version.number == number), None)
        if found is None:
            raise ModelImageVersionNotLoaded
        return found

    def package_of(self, number: int) -> ModelPackage:
        """What a version brought that was loaded once, whether it is deleted or not: models are trained again with it (W-11)."""
        return next(version.package for version in self.versions if version.number == number)


def version_label(number: int) -> str:
    """v1.0 for 1."""
    return f"v{number}.0"


def archive_name(file_name: str) -> tuple[str, str]:
    """Name and version of an archive from its file name (I-3).

    Raises:
        ArchiveNameIsInvalid
    """
    parts = _ARCHIVE.fullmatch(file_name) if len(file_name) <= LONGEST_FILE_NAME else None
    if parts is None:
        raise ArchiveNameIsInvalid
    return parts["name"], parts["version"]


def order_of(archive: FolderName) -> LoadingOrder:
    """What a worker is told of an archive.

    Raises:
        ArchiveNameIsInvalid
    """
    name, archive_version = archive_name(archive.path.rsplit("/", 1)[-1])
    return LoadingOrder(archive=archive, name=name, archive_version=archive_version)


def check_import(image: ModelImage | None) -> None:
    """Whether an archive of this name can be a first one: no version can be used, and none is on its way (I-3, I-4).

    Raises:
        ModelImageExists
    """
    if image is not None and (image.loaded_versions or image.status is LoadStatus.LOADING):
        raise ModelImageExists


def check_addition(image: ModelImage, name: str) -> None:
    """Whether an archive of `name` can be the next version (I-4).

    Raises:
        ModelImageHasNoVersion, ArchiveHasAnotherName, AnotherArchiveIsLoading
    """
    if name_key(name) != name_key(image.name):
        raise ArchiveHasAnotherName(found=name, name=image.name)
    _check_idle(image)
    if not image.loaded_versions:
        raise ModelImageHasNoVersion(name=image.name)


def import_image(
    image: ModelImage | None,
    *,
    kind: ModelImageKind,
    task_type: TaskTypeUsed,
    environment: EnvironmentBinding | None,
    archive: FolderName,
    source: ArchiveSource,
) -> list[Fact]:
    """Import the first archive of a name; also again, where no version of that name is left (I-4).

    Raises:
        ArchiveNameIsInvalid, ModelImageExists, EnvironmentIsMissing.
    """
    order = order_of(archive)
    check_import(image)
    if kind is ModelImageKind.BUSINESS and environment is None:
        raise EnvironmentIsMissing
    bound = environment if kind is ModelImageKind.BUSINESS else None
    return [
        ModelImageImported(name=order.name, kind=kind, task_type=task_type, environment=bound),
        ModelImageLoadingQueued(order=order, source=source),
    ]


def add_version(image: ModelImage, *, archive: FolderName, source: ArchiveSource) -> list[Fact]:
    """Load a further archive; task type and environment stay those of the model image (I-4).

    Raises:
        ArchiveNameIsInvalid, ModelImageHasNoVersion, ArchiveHasAnotherName, AnotherArchiveIsLoading.
    """
    order = order_of(archive)
    check_addition(image, order.name)
    return [ModelImageLoadingQueued(order=order, source=source)]


def retry_loading(image: ModelImage, loading: int) -> list[Fact]:
    """Load an archive once more that could not be loaded, for example because storage was away.

    Raises:
        NotFound, AnotherArchiveIsLoading
    """
    failure = failed_loading(image, loading)
    _check_idle(image)
    return [
        ModelImageLoadingDismissed(loading=loading),
        ModelImageLoadingQueued(order=failure.order, source=failure.source),
    ]


def dismiss_loading(image: ModelImage, loading: int) -> list[Fact]:
    """Take an archive off the list that could not be loaded.

    Raises:
        NotFound
    """
    failed_loading(image, loading)
    return [ModelImageLoadingDismissed(loading=loading)]


def failed_loading(image: ModelImage, loading: int) -> FailedLoading:
    """What could not be loaded.

    Raises:
        NotFound: it was retried or dismissed, or it did not fail.
    """
    failure = next((failure for failure in image.failures if failure.loading == loading), None)
    if failure is None:
        raise NotFound
    return failure


def delete_version(image: ModelImage, number: int) -> list[Fact]:
    """Delete a version; the model image goes with its last one (I-5). Whether jobs need it is decided beside this (M-6).

    Raises:
        NotFound: it was never loaded, or is deleted.
    """
    if number not in (version.number for version in image.loaded_versions):
        raise NotFound
    return [ModelImageVersionDeleted(number=number, name=image.name)]


def note_removed(image: ModelImage, number: int, checksum: str) -> list[Fact]:
    """A file of a deleted version is gone from storage (S-5); noted once.

    Raises:
        NotFound: no deleted version has such a file.
    """
    is_noted = checksum in _deleted_version(image, number, checksum).removed_files
    return [] if is_noted else [ModelImageFileRemoved(number=number, checksum=checksum)]


def note_removal_failed(image: ModelImage, number: int, checksum: str, reason: Sentence) -> list[Fact]:
    """A file of a deleted version could not be removed (S-5); it is tried again, and a reason is noted once.

    Raises:
        NotFound: no deleted version has such a file.
    """
    version = _deleted_version(image, number, checksum)
    if checksum in version.removed_files or reason == version.problem:
        return []
    return [ModelImageFileRemovalFailed(number=number, checksum=checksum, reason=reason)]


def start_loading(image: ModelImage, attempt: int, worker: str) -> list[Fact]:
    """A worker claims the archive.

    Raises:
        AttemptIsOver
    """
    check_open(image.attempt, attempt, is_waiting=image.status is LoadStatus.LOADING and not image.attempt.worker)
    return [ModelImageLoadingStarted(worker=worker)]


def finish_loading(image: ModelImage, attempt: int, archive: Artifact, package: ModelPackage) -> list[Fact]:
    """The archive is verified: it takes the number after the highest ever taken (I-4).

    Raises:
        AttemptIsOver
    """
    _must_be_loading(image, attempt)
    number = max((version.number for version in image.versions), default=0) + 1
    return [ModelImageLoaded(number=number, archive=archive, package=package)]


def fail_loading(image: ModelImage, attempt: int, reason: Sentence) -> list[Fact]:
    """The archive could not be loaded.

    Raises:
        AttemptIsOver
    """
    _must_be_loading(image, attempt)
    return [ModelImageLoadingFailed(reason=reason)]


def interrupt_loading(image: ModelImage, attempt: int, max_attempts: int, *, is_fault: bool = True) -> list[Fact]:
    """The worker fell silent: the archive waits for another worker, or fails after the configured tries.

    Raises:
        AttemptIsOver
    """
    _must_be_loading(image, attempt)
    if is_last(image.attempt, max_attempts, is_fault=is_fault):
        return [ModelImageLoadingFailed(reason=gave_up(max_attempts))]
    return [ModelImageLoadingInterrupted(is_fault=is_fault)]


def _must_be_loading(image: ModelImage, attempt: int) -> None:
    check_owned(image.attempt, attempt, is_running=image.status is LoadStatus.LOADING and bool(image.attempt.worker))


def _check_idle(image: ModelImage) -> None:
    if image.status is LoadStatus.LOADING and image.order is not None:
        raise AnotherArchiveIsLoading(file=image.order.archive.path.rsplit("/", 1)[-1], name=image.name)


def _deleted_version(image: ModelImage, number: int, checksum: str) -> ModelImageVersion:
    for version in image.versions:
        if version.is_deleted and version.number == number and checksum in (file.checksum for file in version.files):
            return version
    raise NotFound


def _loaded(image: ModelImage, fact: ModelImageLoaded) -> ModelImage:
    version = ModelImageVersion(
        number=fact.number,
        archive_version=image.order.archive_version if image.order else "",
        archive=fact.archive,
        package=fact.package,
    )
    return replace(image, status=LoadStatus.LOADED, versions=(*image.versions, version))


def _failed(image: ModelImage, fact: ModelImageLoadingFailed) -> ModelImage:
    known = image.failures
    if image.order is not None:
        known = (*known, FailedLoading(loading=image.loading, order=image.order, source=image.source))
    return replace(image, status=LoadStatus.FAILED, failures=known)


def _queued(image: ModelImage, fact: ModelImageLoadingQueued) -> ModelImage:
    return replace(
        image,
        status=LoadStatus.LOADING,
        order=fact.order,
        source=fact.source,
        loading=image.version + 1,
        attempt=image.attempt.restarted(),
    )


def _imported(image: ModelImage | None, fact: ModelImageImported) -> ModelImage:
    """Deleted versions stay known, so that their numbers are not used again."""
    before = image or ModelImage(
        name=fact.name, kind=fact.kind, task_type=fact.task_type, attempt=Attempt(number=0, run=0)
    )
    return replace(
        before,
        name=fact.name,
        kind=fact.kind,
        task_type=fact.task_type,
        environment=fact.environment,
        status=LoadStatus.LOADING,
        order=None,
        failures=(),
    )


def _dismissed(image: ModelImage, fact: ModelImageLoadingDismissed) -> ModelImage:
    return replace(image, failures=tuple(failure for failure in image.failures if failure.loading != fact.loading))


def _version_deleted(image: ModelImage, fact: ModelImageVersionDeleted) -> ModelImage:
    changed = _with_version(image, fact.number, is_deleted=True)
    goes = not changed.loaded_versions and changed.status is not LoadStatus.LOADING
    return replace(changed, failures=()) if goes else changed


def _file_removed(image: ModelImage, fact: ModelImageFileRemoved) -> ModelImage:
    removed = next(version.removed_files for version in image.versions if version.number == fact.number)
    return _with_version(image, fact.number, removed_files=(*removed, fact.checksum), problem=None)


def _with_version(image: ModelImage, number: int, **changes: object) -> ModelImage:
    versions = (
        msgspec.structs.replace(version, **changes) if version.number == number else version
        for version in image.versions
    )
    return replace(image, versions=tuple(versions))


EVOLVE = evolves(
    ModelImage,
    {
        ModelImageImported: _imported,
        ModelImageLoadingQueued: _queued,
        ModelImageLoadingStarted: lambda image, fact: replace(image, attempt=image.attempt.claimed_by(fact.worker)),
        ModelImageLoadingInterrupted: lambda image, fact: replace(
            image, attempt=image.attempt.interrupted(is_fault=fact.is_fault)
        ),
        ModelImageLoaded: _loaded,
        ModelImageLoadingFailed: _failed,
        ModelImageLoadingDismissed: _dismissed,
        ModelImageVersionDeleted: _version_deleted,
        ModelImageFileRemoved: _file_removed,
        ModelImageFileRemovalFailed: lambda image, fact: _with_version(image, fact.number, problem=fact.reason),
    },
)
