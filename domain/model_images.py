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
from domain.refusals import Refusal
from domain.sentences import N_, Sentence
from domain.task_types import TaskKind

_ARCHIVE = re.compile(
    r"(?P<name>[a-zA-Z0-9._-]+)@(?!\.tar|\.tgz)(?P<version>[a-zA-Z0-9._-]+?)(?P<suffix>\.tar|\.tar\.gz|\.tgz|\.tar\.zst)?"
)


class ModelImageKind(enum.Enum):
    """通用 or 业务."""

    GENERAL = "general"
    BUSINESS = "business"


class LoadStatus(enum.Enum):
    """加载中, 成功, 失败."""

    LOADING = "loading"
    LOADED = "loaded"
    FAILED = "failed"


class TaskTypeUsed(msgspec.Struct, frozen=True):
    """The task type as it was when it was chosen; versions keep their own copy of what they used (M-6)."""

    task_type_id: UUID
    name: str
    kind: TaskKind


class ModelImageVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded version: v1.0, v2.0, ..."""

    number: int
    archive_version: str
    archive: Artifact
    package: ModelPackage
    is_deleted: bool = False

    @property
    def label(self) -> str:
        """The version as people read it."""
        return version_label(self.number)


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
    attempt: Attempt = Attempt(number=0)
    versions: tuple[ModelImageVersion, ...] = ()

    def loaded_version(self, number: int) -> ModelImageVersion:
        """A loaded version by its whole number.

        Raises:
            ModelImageVersionNotLoaded
        """
        found = next(
            (version for version in self.versions if version.number == number and not version.is_deleted), None
        )
        if found is None:
            raise ModelImageVersionNotLoaded
        return found


def version_label(number: int) -> str:
    """v1.0 for 1."""
    return f"v{number}.0"


def archive_name(file_name: str) -> tuple[str, str]:
    """Name and version of an archive from its file name (I-3).

    Raises:
        ArchiveNameIsInvalid
    """
    parts = _ARCHIVE.fullmatch(file_name)
    if parts is None:
        raise ArchiveNameIsInvalid
    return parts["name"], parts["version"]


def import_image(
    image: ModelImage | None,
    *,
    kind: ModelImageKind,
    task_type: TaskTypeUsed,
    environment: EnvironmentBinding | None,
    archive: FolderName,
) -> list[Fact]:
    """Import the first archive of a name; also again, where nothing of that name was ever loaded (I-4).

    Raises:
        ArchiveNameIsInvalid, ModelImageExists, EnvironmentIsMissing.
    """
    name, archive_version = archive_name(archive.path.rsplit("/", 1)[-1])
    if image is not None and (image.versions or image.status is LoadStatus.LOADING):
        raise ModelImageExists
    if kind is ModelImageKind.BUSINESS and environment is None:
        raise EnvironmentIsMissing
    bound = environment if kind is ModelImageKind.BUSINESS else None
    return [
        ModelImageImported(name=name, kind=kind, task_type=task_type, environment=bound),
        ModelImageLoadingQueued(order=LoadingOrder(archive=archive, name=name, archive_version=archive_version)),
    ]


def start_loading(image: ModelImage, attempt: int, worker: str) -> list[Fact]:
    """A worker claims the archive.

    Raises:
        AttemptIsOver
    """
    check_open(image.attempt, attempt, is_waiting=image.status is LoadStatus.LOADING and not image.attempt.worker)
    return [ModelImageLoadingStarted(worker=worker)]


def finish_loading(image: ModelImage, attempt: int, archive: Artifact, package: ModelPackage) -> list[Fact]:
    """The archive is verified: it takes the next number (I-4).

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


def _loaded(image: ModelImage, fact: ModelImageLoaded) -> ModelImage:
    version = ModelImageVersion(
        number=fact.number,
        archive_version=image.order.archive_version if image.order else "",
        archive=fact.archive,
        package=fact.package,
    )
    return replace(image, status=LoadStatus.LOADED, versions=(*image.versions, version))


def _queued(image: ModelImage, fact: ModelImageLoadingQueued) -> ModelImage:
    return replace(image, status=LoadStatus.LOADING, order=fact.order, attempt=image.attempt.restarted())


def _imported(image: ModelImage | None, fact: ModelImageImported) -> ModelImage:
    attempt = image.attempt if image else Attempt(number=0, run=0)
    return ModelImage(
        name=fact.name, kind=fact.kind, task_type=fact.task_type, environment=fact.environment, attempt=attempt
    )


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
        ModelImageLoadingFailed: lambda image, fact: replace(image, status=LoadStatus.FAILED),
    },
)
