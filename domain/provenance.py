"""Where a published model comes from: what made it, who, and when, as the log tells (E-3)."""

import enum
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.artifacts import Artifact, FileIsDamaged, FileIsGone
from domain.facts import Recorded
from domain.messages import ManifestEntry
from domain.model_images import ModelImageLoaded
from domain.models import ModelVersionPublished, ModelVersionWithdrawn
from domain.sentences import N_
from domain.training_jobs import (
    TrainingCompleted,
    TrainingQueued,
    TrainingRestarted,
    TrainingStageFinished,
    TrainingStarted,
)


class ImageListIsGone(FileIsGone):
    """Which images a training used stands in a file, and the storage has it not."""

    message = N_(
        "The list of images is missing on the server's storage. Ask your administrator to restore it from the backup."
    )


class ImageListIsDamaged(FileIsDamaged):
    """It has something else under its name."""

    message = N_(
        "The list of images is damaged on the server's storage. Ask your administrator to restore it from the backup."
    )


class ImageState(enum.Enum):
    """Whether an image is still what the training saw. `UNCHECKED`: nobody has looked."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    UNCHECKED = "unchecked"


class ManifestImage(msgspec.Struct, frozen=True):
    """An image as the training saw it, and what it is now."""

    entry: ManifestEntry
    state: ImageState = ImageState.UNCHECKED


class Act(msgspec.Struct, frozen=True):
    """Who did something, and when."""

    actor: UUID
    moment: datetime


class Attempt(msgspec.Struct, frozen=True):
    """A worker that trained, and when it began."""

    worker: str
    number: int
    moment: datetime


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that made one version. Where a release of the platform did not record something, it is None or empty.

    `package` is the model image archive; `attempts` are those of the run that succeeded; `withdrawn_by` says who took the
    version back since.
    """

    published: ModelVersionPublished
    published_by: Act
    withdrawn_by: Act | None
    withdrawal_reason: str
    queued_by: Act | None
    restarted_by: tuple[Act, ...]
    attempts: tuple[Attempt, ...]
    package: Artifact | None
    manifest: Artifact | None
    training_count: int
    validation_count: int
    completed: TrainingCompleted | None
    completed_at: datetime | None

    @property
    def people(self) -> tuple[UUID, ...]:
        """Whoever had a part in it."""
        acts = (self.published_by, self.queued_by, *self.restarted_by, self.withdrawn_by)
        return tuple(dict.fromkeys(act.actor for act in acts if act))


def provenance_of(
    published: Recorded, model: Sequence[Recorded], job: Sequence[Recorded], model_image: Sequence[Recorded]
) -> Provenance:
    """Of the version that `published` made, from everything that happened to its model, its training job and its model image."""
    version = published.data
    assert isinstance(version, ModelVersionPublished)
    withdrawn_by, withdrawal_reason = _withdrawal(model, version.version)
    queued: Act | None = None
    restarts: list[Act] = []
    attempts: list[Attempt] = []
    split: TrainingStageFinished | None = None
    completed: Recorded | None = None
    for event in job:
        match event.data:
            case TrainingQueued():
                queued = _act(event)
            case TrainingRestarted():
                restarts.append(_act(event))
                attempts, split = [], None
            case TrainingStarted(worker=worker, attempt=number):
                attempts.append(Attempt(worker, number, event.timestamp))
            case TrainingStageFinished() as stage if stage.manifest:
                split = stage
            case TrainingCompleted():
                completed = event
    done = completed.data if completed else None
    return Provenance(
        published=version,
        published_by=_act(published),
        withdrawn_by=withdrawn_by,
        withdrawal_reason=withdrawal_reason,
        queued_by=queued,
        restarted_by=tuple(restarts),
        attempts=tuple(attempts),
        package=_archive(model_image, version.model_image.number),
        manifest=split.manifest if split else None,
        training_count=split.training_count if split else 0,
        validation_count=split.validation_count if split else 0,
        completed=done if isinstance(done, TrainingCompleted) else None,
        completed_at=completed.timestamp if completed else None,
    )


def _withdrawal(model: Sequence[Recorded], version: str) -> tuple[Act | None, str]:
    """Who took a version back, and why."""
    for event in model:
        if isinstance(event.data, ModelVersionWithdrawn) and event.data.version == version:
            return _act(event), event.data.reason
    return None, ""


def _archive(model_image: Sequence[Recorded], number: int) -> Artifact | None:
    """The package of a model image version."""
    for event in model_image:
        if isinstance(event.data, ModelImageLoaded) and event.data.number == number:
            return event.data.archive
    return None


def _act(event: Recorded) -> Act:
    return Act(event.origin.actor, event.timestamp)
