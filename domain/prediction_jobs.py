"""Prediction jobs: judging published versions on question-bank images. A comparison is one with two versions. Source: section P."""

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.attempts import Attempt, check_open, check_owned, gave_up, is_last
from domain.data_paths import FolderName, Inspection
from domain.facts import Fact, State, evolves, replace
from domain.messages import PredictionOrder, Resources, VersionResult
from domain.models import Model, ModelVersion
from domain.names import check_object_name
from domain.refusals import Refusal, collect, raise_together
from domain.sentences import N_, Sentence
from domain.training_parameters import PredictionParameters, read_prediction_parameters
from domain.training_requests import NoComputeResourceChosen, unusable_paths
from domain.uses import Needed


class PredictionStatus(enum.Enum):
    """The states of the manual (P-2), and terminated."""

    WAITING = "waiting"
    PREDICTING = "predicting"
    TERMINATED = "terminated"
    COMPLETED = "completed"
    FAILED = "failed"


class PredictionAction(enum.Enum):
    """What an owner can be offered to do with a job, or to look at (P-2)."""

    REPORT = "report"
    TERMINATE = "terminate"
    START_AGAIN = "start_again"
    DELETE = "delete"


ACTIONS: Mapping[PredictionStatus, tuple[PredictionAction, ...]] = MappingProxyType(
    {
        PredictionStatus.WAITING: (PredictionAction.DELETE,),
        PredictionStatus.PREDICTING: (PredictionAction.TERMINATE,),
        PredictionStatus.TERMINATED: (PredictionAction.START_AGAIN, PredictionAction.DELETE),
        PredictionStatus.COMPLETED: (PredictionAction.REPORT, PredictionAction.DELETE),
        PredictionStatus.FAILED: (PredictionAction.START_AGAIN, PredictionAction.DELETE),
    }
)
"""P-2. `check_offered` says no to everything else."""


class PredictionKind(enum.Enum):
    """题库预测 or 模型对比."""

    QUESTION_BANK = "question_bank"
    COMPARISON = "comparison"


class PredictionDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The three steps of a new prediction or comparison as entered. `versions` are in no order."""

    kind: PredictionKind = PredictionKind.QUESTION_BANK
    name: str = ""
    model_id: UUID | None = None
    versions: tuple[str, ...] = ()
    data_paths: tuple[FolderName, ...] = ()
    prediction_parameters: str = '{\n    "batch_size": 32\n}'
    compute_resource_id: UUID | None = None
    resolution_screening: bool = True


class PredictionQueued(Fact):
    """Someone wants versions judged; the job waits for a worker."""

    TOPIC: ClassVar[str] = "prediction.queued"
    owner: UUID
    name: str
    kind: PredictionKind
    model_id: UUID
    model_name: str
    task_type: str
    compute_resource_id: UUID
    order: PredictionOrder


class PredictionStarted(Fact):
    """A worker claimed the attempt."""

    TOPIC: ClassVar[str] = "prediction.started"
    worker: str
    attempt: int


class PredictionCompleted(Fact):
    """Every image was judged; the report can be read. One result a version."""

    TOPIC: ClassVar[str] = "prediction.completed"
    seconds: float
    results: tuple[VersionResult, ...]
    manifest: Artifact
    log: Artifact


class PredictionFailed(Fact):
    """The job ended without a report."""

    TOPIC: ClassVar[str] = "prediction.failed"
    reason: Sentence
    log: Artifact | None = None


class PredictionLogKept(Fact):
    """The worker of a terminated job kept what the job had logged."""

    TOPIC: ClassVar[str] = "prediction.log_kept"
    log: Artifact


class PredictionTerminated(Fact):
    """The owner stopped a job that was predicting."""

    TOPIC: ClassVar[str] = "prediction.terminated"


class PredictionInterrupted(Fact):
    """The worker fell silent; the job waits for another; `is_fault` is False when the worker was stopped in good order."""

    TOPIC: ClassVar[str] = "prediction.interrupted"
    is_fault: bool = True


class PredictionRestarted(Fact):
    """The owner started the job again, from 0 %."""

    TOPIC: ClassVar[str] = "prediction.restarted"


class PredictionDeleted(Fact):
    """The owner deleted the job."""

    TOPIC: ClassVar[str] = "prediction.deleted"


class NoModelVersionChosen(Refusal):
    """P-1."""

    field = "version"
    message = N_("Choose a model version.")


class TwoVersionsNeeded(Refusal):
    """P-1: a comparison is of two different versions of one model."""

    field = "version"
    message = N_("Choose two different versions of one model.")


class DefectCodesUnknown(Refusal):
    """P-1: images that the version cannot tell apart cannot be judged. The field is `data_paths.<line>`."""

    message = N_(
        "The model version does not know these codes: {defect_codes}. Remove the path, or choose another version."
    )


class PredictionIsNotRunning(Refusal):
    """P-2."""

    message = N_("“{name}” is not predicting. Look at its state in the list.")


class PredictionCannotBeStartedAgain(Refusal):
    """P-2."""

    message = N_("“{name}” can be started again only after it was terminated or has failed.")


class PredictionIsRunning(Refusal):
    """P-2."""

    message = N_("“{name}” is predicting. Terminate it before you delete it.")


class PredictionJob(State):
    """What the rules need of a prediction job."""

    owner: UUID
    name: str
    model_id: UUID
    compute_resource_id: UUID
    order: PredictionOrder
    status: PredictionStatus = PredictionStatus.WAITING
    attempt: Attempt = Attempt()
    is_deleted: bool = False

    @property
    def needed(self) -> tuple[Needed, ...]:
        """What nobody may delete at present because of this job (M-6). Published versions keep everything else themselves."""
        if self.is_deleted or self.status not in (PredictionStatus.WAITING, PredictionStatus.PREDICTING):
            return ()
        return (Needed.compute_resource(self.compute_resource_id),)


def check_model_step(draft: PredictionDraft, model: Model | None) -> tuple[ModelVersion, ...]:
    """Step 1: task name and version, of a comparison both, the one published first before the other.

    Raises:
        ObjectNameIsInvalid, NoModelVersionChosen, TwoVersionsNeeded, ModelVersionNotFound, ModelVersionIsWithdrawn (all that
        apply, together).
    """
    refusals: list[Refusal] = []
    collect(refusals, check_object_name, draft.name)
    is_comparison = draft.kind is PredictionKind.COMPARISON
    versions: list[ModelVersion] = []
    if model is None or len(draft.versions) != len(set(draft.versions)) or len(draft.versions) != 1 + is_comparison:
        refusals.append(TwoVersionsNeeded() if is_comparison else NoModelVersionChosen())
    else:
        chosen = (collect(refusals, model.published_version, label) for label in draft.versions)
        versions = sorted((version for version in chosen if version is not None), key=model.versions.index)
    raise_together(refusals)
    return tuple(versions)


def one_model(chosen: Sequence[tuple[UUID, str]]) -> tuple[UUID | None, tuple[str, ...]]:
    """The model whose versions were chosen, None where they are of none or of several, and the versions' labels."""
    models = {model_id for model_id, _ in chosen}
    return (models.pop() if len(models) == 1 else None), tuple(label for _, label in chosen)


def check_data_step(versions: Sequence[ModelVersion], inspections: Sequence[Inspection]) -> None:
    """Step 2: question-bank images whose codes the model knows (as W-5, but for the class minimum).

    Raises:
        NoDataPathChosen, DataPathHasNoImages, DataPathStillScanning, DataPathsShareImages, DefectCodesUnknown.
    """
    refusals = unusable_paths(inspections)
    known = known_codes(versions)
    for line, inspection in enumerate(inspections, 1):
        unknown = [count.defect_code for count in inspection.defect_codes if count.defect_code not in known]
        if unknown:
            refusals.append(DefectCodesUnknown(at=f"data_paths.{line}", defect_codes=", ".join(unknown)))
    raise_together(refusals)


def known_codes(versions: Sequence[ModelVersion]) -> frozenset[str]:
    """The codes whose images can be judged, special ones included."""
    return frozenset(code for version in versions for code in version.published.order.model_parameters.code_list)


def check_prediction_step(draft: PredictionDraft, resources: Resources | None) -> PredictionParameters:
    """Step 3: parameters and compute resource.

    Raises:
        NoComputeResourceChosen, and what `read_prediction_parameters` raises (all that apply, together).
    """
    refusals: list[Refusal] = []
    if resources is None:
        refusals.append(NoComputeResourceChosen())
    parameters: PredictionParameters | None = collect(refusals, read_prediction_parameters, draft.prediction_parameters)
    raise_together(refusals)
    assert parameters is not None
    return parameters


def queue(
    draft: PredictionDraft,
    *,
    owner: UUID,
    model: Model,
    versions: Sequence[ModelVersion],
    compute_resource_id: UUID,
    parameters: PredictionParameters,
    data_paths: Sequence[FolderName],
) -> list[Fact]:
    """Let the job wait for a worker; the steps were checked before."""
    order = PredictionOrder(
        versions=tuple(version.to_predict for version in versions),
        data_paths=tuple(data_paths),
        parameters=parameters,
        resolution_screening=draft.resolution_screening,
    )
    return [
        PredictionQueued(
            owner=owner,
            name=draft.name,
            kind=PredictionKind.QUESTION_BANK if len(versions) == 1 else PredictionKind.COMPARISON,
            model_id=model.id,
            model_name=model.name,
            task_type=versions[0].published.task_type.name,
            compute_resource_id=compute_resource_id,
            order=order,
        )
    ]


def start(job: PredictionJob, attempt: int, worker: str) -> list[Fact]:
    """A worker claims the attempt.

    Raises:
        AttemptIsOver
    """
    check_open(job.attempt, attempt, is_waiting=job.status is PredictionStatus.WAITING and not job.is_deleted)
    return [PredictionStarted(worker=worker, attempt=attempt)]


def report(job: PredictionJob, attempt: int, fact: Fact) -> list[Fact]:
    """Note what the worker of the current attempt achieved; of a terminated one the log is still worth keeping.

    Raises:
        AttemptIsOver
    """
    is_terminated = job.status is PredictionStatus.TERMINATED and not job.is_deleted
    is_last_word = isinstance(fact, PredictionLogKept) and is_terminated
    check_owned(job.attempt, attempt, is_running=job.status is PredictionStatus.PREDICTING or is_last_word)
    return [fact]


def interrupt(job: PredictionJob, attempt: int, max_attempts: int, *, is_fault: bool = True) -> list[Fact]:
    """The worker fell silent.

    Raises:
        AttemptIsOver
    """
    check_owned(job.attempt, attempt, is_running=job.status is PredictionStatus.PREDICTING)
    if is_last(job.attempt, max_attempts, is_fault=is_fault):
        return [PredictionFailed(reason=gave_up(max_attempts))]
    return [PredictionInterrupted(is_fault=is_fault)]


_NOT_OFFERED: Mapping[PredictionAction, type[Refusal]] = MappingProxyType(
    {
        PredictionAction.TERMINATE: PredictionIsNotRunning,
        PredictionAction.START_AGAIN: PredictionCannotBeStartedAgain,
        PredictionAction.DELETE: PredictionIsRunning,
    }
)


def check_offered(action: PredictionAction, status: PredictionStatus, name: str) -> None:
    """P-2, for whoever decides and for whoever only asks first: a decision that a state does not offer is refused.

    Raises:
        PredictionIsNotRunning, PredictionCannotBeStartedAgain, PredictionIsRunning.
    """
    if action not in ACTIONS[status]:
        raise _NOT_OFFERED[action](name=name)


def terminate(job: PredictionJob) -> list[Fact]:
    """Stop a job that is predicting.

    Raises:
        PredictionIsNotRunning
    """
    check_offered(PredictionAction.TERMINATE, job.status, job.name)
    return [PredictionTerminated()]


def restart(job: PredictionJob, model: Model) -> list[Fact]:
    """Start again from 0 %, with versions that still stand (V-4).

    Raises:
        PredictionCannotBeStartedAgain, ModelVersionIsWithdrawn.
    """
    check_offered(PredictionAction.START_AGAIN, job.status, job.name)
    for version in job.order.versions:
        model.published_version(version.label)
    return [PredictionRestarted()]


def delete(job: PredictionJob) -> list[Fact]:
    """Delete a job that is not predicting.

    Raises:
        PredictionIsRunning
    """
    check_offered(PredictionAction.DELETE, job.status, job.name)
    return [PredictionDeleted()]


EVOLVE = evolves(
    PredictionJob,
    {
        PredictionQueued: lambda job, fact: PredictionJob(
            owner=fact.owner,
            name=fact.name,
            model_id=fact.model_id,
            compute_resource_id=fact.compute_resource_id,
            order=fact.order,
        ),
        PredictionStarted: lambda job, fact: replace(
            job, status=PredictionStatus.PREDICTING, attempt=job.attempt.claimed_by(fact.worker)
        ),
        PredictionCompleted: lambda job, fact: replace(job, status=PredictionStatus.COMPLETED),
        PredictionFailed: lambda job, fact: replace(job, status=PredictionStatus.FAILED),
        PredictionLogKept: lambda job, fact: job,
        PredictionTerminated: lambda job, fact: replace(job, status=PredictionStatus.TERMINATED),
        PredictionInterrupted: lambda job, fact: replace(
            job, status=PredictionStatus.WAITING, attempt=job.attempt.interrupted(is_fault=fact.is_fault)
        ),
        PredictionRestarted: lambda job, fact: replace(
            job, status=PredictionStatus.WAITING, attempt=job.attempt.restarted()
        ),
        PredictionDeleted: lambda job, fact: replace(job, is_deleted=True),
    },
)
