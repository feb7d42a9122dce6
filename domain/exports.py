"""Export packages: one zip a published version, built by a worker on demand. Source: REQUIREMENTS X-1; manual, “模型导出”."""

import enum
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.artifacts import Artifact
from domain.attempts import Attempt, check_open, check_owned, gave_up, is_last
from domain.facts import Fact, State, evolves, replace
from domain.messages import ExportOrder
from domain.models import Model, ModelVersion
from domain.sentences import Sentence


class ExportStatus(enum.Enum):
    """What becomes of an export."""

    WAITING = "waiting"
    BUILDING = "building"
    BUILT = "built"
    FAILED = "failed"


class ExportQueued(Fact):
    """Someone wants the package of a version."""

    TOPIC: ClassVar[str] = "export.queued"
    owner: UUID
    model_id: UUID
    order: ExportOrder


class ExportStarted(Fact):
    """A worker builds it."""

    TOPIC: ClassVar[str] = "export.started"
    worker: str


class ExportInterrupted(Fact):
    """The worker fell silent; another may build it; `is_fault` is False when the worker was stopped in good order."""

    TOPIC: ClassVar[str] = "export.interrupted"
    is_fault: bool = True


class ExportBuilt(Fact):
    """The package is on shared storage."""

    TOPIC: ClassVar[str] = "export.built"
    package: Artifact


class ExportFailed(Fact):
    """The package could not be built."""

    TOPIC: ClassVar[str] = "export.failed"
    reason: Sentence


class ExportPackageLost(Fact):
    """Somebody asked for the package again, and the storage does not have it as it was built."""

    TOPIC: ClassVar[str] = "export.package_lost"


class Export(State):
    """What the rules need of an export."""

    owner: UUID
    model_id: UUID
    order: ExportOrder
    status: ExportStatus = ExportStatus.WAITING
    attempt: Attempt = Attempt()
    package: Artifact | None = None


def export_id(model_id: UUID, version: str) -> UUID:
    """One export a version: asking twice builds once."""
    return uuid5(NAMESPACE_URL, f"urn:assay:export:{model_id}:{version}")


def request(export: Export | None, model: Model, version: ModelVersion, *, is_package_lost: bool = False) -> list[Fact]:
    """Have the package built, unless it is there or under way; after a failure, or where its file is not what it was, once more."""
    is_lost = is_package_lost and export is not None and export.status is ExportStatus.BUILT
    if export is not None and export.status is not ExportStatus.FAILED and not is_lost:
        return []
    figures = version.published.figures
    order = ExportOrder(
        model_name=model.name,
        version=version.to_predict,
        evaluation=version.published.evaluation,
        accuracy=figures.accuracy,
        recall=figures.recall,
        iou=figures.iou,
    )
    queued = ExportQueued(owner=model.owner, model_id=model.id, order=order)
    return [ExportPackageLost(), queued] if is_lost else [queued]


def start(export: Export, attempt: int, worker: str) -> list[Fact]:
    """A worker claims the attempt.

    Raises:
        AttemptIsOver
    """
    check_open(export.attempt, attempt, is_waiting=export.status is ExportStatus.WAITING)
    return [ExportStarted(worker=worker)]


def report(export: Export, attempt: int, fact: Fact) -> list[Fact]:
    """Note what the worker of the current attempt achieved.

    Raises:
        AttemptIsOver
    """
    check_owned(export.attempt, attempt, is_running=export.status is ExportStatus.BUILDING)
    return [fact]


def interrupt(export: Export, attempt: int, max_attempts: int, *, is_fault: bool = True) -> list[Fact]:
    """The worker fell silent.

    Raises:
        AttemptIsOver
    """
    check_owned(export.attempt, attempt, is_running=export.status is ExportStatus.BUILDING)
    if is_last(export.attempt, max_attempts, is_fault=is_fault):
        return [ExportFailed(reason=gave_up(max_attempts))]
    return [ExportInterrupted(is_fault=is_fault)]


def _queued(export: Export | None, fact: ExportQueued) -> Export:
    attempt = export.attempt.restarted() if export else Attempt()
    return Export(owner=fact.owner, model_id=fact.model_id, order=fact.order, attempt=attempt)


EVOLVE = evolves(
    Export,
    {
        ExportQueued: _queued,
        ExportStarted: lambda export, fact: replace(
            export, status=ExportStatus.BUILDING, attempt=export.attempt.claimed_by(fact.worker)
        ),
        ExportInterrupted: lambda export, fact: replace(
            export, status=ExportStatus.WAITING, attempt=export.attempt.interrupted(is_fault=fact.is_fault)
        ),
        ExportBuilt: lambda export, fact: replace(export, status=ExportStatus.BUILT, package=fact.package),
        ExportFailed: lambda export, fact: replace(export, status=ExportStatus.FAILED),
        ExportPackageLost: lambda export, fact: replace(export, status=ExportStatus.FAILED, package=None),
    },
)
