"""Training jobs: one run of training after another until a model is worth publishing. Source: REQUIREMENTS, section T."""

import enum
from bisect import bisect_right
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.attempts import Attempt, check_open, check_owned, gave_up, is_last
from domain.environments import EnvironmentBinding
from domain.evaluation import EvaluationFigures
from domain.facts import Fact, State, evolves, replace
from domain.messages import KeptWeights, LossPart, PartLog, StageName, TrainingOrder
from domain.model_images import TaskTypeUsed
from domain.model_packages import ResolutionRule
from domain.permissions import owns
from domain.refusals import Refusal
from domain.sentences import N_, Sentence
from domain.uses import Needed


class TrainingStatus(enum.Enum):
    """The six states of the manual (T-1)."""

    WAITING = "waiting"
    TRAINING = "training"
    TERMINATED = "terminated"
    COMPLETED = "completed"
    FAILED = "failed"
    PUBLISHED = "published"


class TrainingAction(enum.Enum):
    """What an owner can be offered to do with a job, or to look at (T-2)."""

    MONITOR = "monitor"
    REPORT = "report"
    PUBLISH = "publish"
    TERMINATE = "terminate"
    START_AGAIN = "start_again"
    DELETE = "delete"


class TrainedWeights(enum.Enum):
    """Which weights of a run: those of the best validation, or those of the last iteration."""

    BEST = "best"
    LAST = "last"


ACTIONS: Mapping[TrainingStatus, tuple[TrainingAction, ...]] = MappingProxyType(
    {
        TrainingStatus.WAITING: (TrainingAction.DELETE,),
        TrainingStatus.TRAINING: (TrainingAction.MONITOR, TrainingAction.TERMINATE),
        TrainingStatus.TERMINATED: (TrainingAction.MONITOR, TrainingAction.START_AGAIN, TrainingAction.DELETE),
        TrainingStatus.COMPLETED: (
            TrainingAction.MONITOR,
            TrainingAction.REPORT,
            TrainingAction.PUBLISH,
            TrainingAction.DELETE,
        ),
        TrainingStatus.FAILED: (TrainingAction.MONITOR, TrainingAction.START_AGAIN, TrainingAction.DELETE),
        TrainingStatus.PUBLISHED: (TrainingAction.MONITOR, TrainingAction.REPORT),
    }
)
"""T-2. `check_offered` says no to everything else."""
LOOKING = frozenset((TrainingAction.MONITOR, TrainingAction.REPORT))
"""What anyone may do with anyone's job (section U)."""


def offered(status: TrainingStatus, owner: UUID, actor: UUID) -> tuple[TrainingAction, ...]:
    """What a user can be offered to do with a job that is `owner`'s now: everything of T-2, or to look at it."""
    actions = ACTIONS[status]
    return actions if owns(owner, actor) else tuple(action for action in actions if action in LOOKING)


class ModelImageUsed(msgspec.Struct, frozen=True):
    """The model image version a job was queued with; kept, whatever becomes of the image. `number` is the whole number."""

    model_image_id: UUID
    name: str
    number: int


class VersionUsed(msgspec.Struct, frozen=True):
    """The published version whose weights a training starts from; kept, whatever becomes of it. `label` is, for example, v1.01."""

    model_id: UUID
    model_name: str
    label: str


class TrainingQueued(Fact):
    """Someone asked for a model; the job waits for a worker that has its compute resource.

    `started_from` is there where the training starts from a published version: of its own model when that is trained again (W-11),
    of any other one of the same owner when the model is new (W-12).
    """

    TOPIC: ClassVar[str] = "training.queued"
    owner: UUID
    model_id: UUID
    model_name: str
    model_image: ModelImageUsed
    task_type: TaskTypeUsed
    environment: EnvironmentBinding
    compute_resource_id: UUID
    order: TrainingOrder
    started_from: VersionUsed | None = None


class TrainingStarted(Fact):
    """A worker claimed the attempt."""

    TOPIC: ClassVar[str] = "training.started"
    worker: str
    attempt: int


class TrainingStageFinished(Fact):
    """A preprocessing stage ended (T-4); counts as in `domain.messages.StageFinished`."""

    TOPIC: ClassVar[str] = "training.stage_finished"
    stage: StageName
    seconds: float
    image_count: int = 0
    non_compliant_count: int = 0
    damaged_count: int = 0
    left_out_count: int = 0
    unmasked_count: int = 0
    training_count: int = 0
    validation_count: int = 0
    resolution_rule: ResolutionRule | None = None
    manifest: Artifact | None = None
    preview: Artifact | None = None


class TrainingLossesMeasured(Fact):
    """Points of a loss curve; the same iteration may come again after a resume, with the same loss."""

    TOPIC: ClassVar[str] = "training.losses_measured"
    part: LossPart
    iterations: tuple[int, ...]
    losses: tuple[float, ...]
    learning_rate: float


class TrainingValidated(Fact):
    """Figures on the validation split during training, as in `domain.messages.ValidationMeasured`."""

    TOPIC: ClassVar[str] = "training.validated"
    part: LossPart
    iteration: int
    accuracy: float | None
    recall: float | None
    loss: float | None = None
    iou: float | None = None
    code_ious: tuple[float | None, ...] = ()


class TrainingCompleted(Fact):
    """The run ended; its report can be read, its model published. Best and last weights as in `messages.TrainingSucceeded`."""

    TOPIC: ClassVar[str] = "training.completed"
    seconds: float
    weights: Artifact
    evaluation: Artifact
    figures: EvaluationFigures
    log: Artifact
    losses: Artifact
    resolution_rule: ResolutionRule
    device: str
    software: str
    segmentation_weights: Artifact | None = None
    part_logs: tuple[PartLog, ...] = ()
    kept_weights: tuple[KeptWeights, ...] = ()
    last_evaluation: Artifact | None = None
    last_figures: EvaluationFigures | None = None


class TrainingFailed(Fact):
    """The run ended without a model; the reason is a sentence a person can act on (T-7)."""

    TOPIC: ClassVar[str] = "training.failed"
    reason: Sentence
    log: Artifact | None = None
    part_logs: tuple[PartLog, ...] = ()


class TrainingLogKept(Fact):
    """The worker of a terminated run kept what the run had logged (T-5)."""

    TOPIC: ClassVar[str] = "training.log_kept"
    log: Artifact
    part_logs: tuple[PartLog, ...] = ()


class TrainingTerminated(Fact):
    """The owner stopped a run that was training."""

    TOPIC: ClassVar[str] = "training.terminated"


class TrainingInterrupted(Fact):
    """The worker fell silent, or was stopped in good order (`is_fault` is False).

    The run waits for a worker and goes on from its last checkpoint.
    """

    TOPIC: ClassVar[str] = "training.interrupted"
    is_fault: bool = True


class TrainingRestarted(Fact):
    """The owner started the job again, from 0 %."""

    TOPIC: ClassVar[str] = "training.restarted"


class TrainingPublished(Fact):
    """The run's model became a version of the model library."""

    TOPIC: ClassVar[str] = "training.published"
    version: str
    chosen_weights: TrainedWeights = TrainedWeights.BEST


class TrainingDeleted(Fact):
    """The owner deleted the job."""

    TOPIC: ClassVar[str] = "training.deleted"


class WaitingJobCannotBeTerminated(Refusal):
    """T-2."""

    message = N_("“{name}” is waiting for a worker. Wait until it is training, then terminate it; or delete it.")


class OnlyTrainingCanBeTerminated(Refusal):
    """T-2."""

    message = N_("“{name}” is not training any more. Look at its state in the list.")


class CannotBeStartedAgain(Refusal):
    """T-2."""

    message = N_("“{name}” can be started again only after it was terminated or has failed.")


class CannotBeDeleted(Refusal):
    """T-2."""

    message = N_("“{name}” cannot be deleted in its present state. Terminate it first; a published one stays.")


class OnlyCompletedCanBePublished(Refusal):
    """V-1."""

    message = N_("“{name}” cannot be published: only a completed training job can, and only once.")


class NoOtherLastWeights(Refusal):
    """Publishing the last weights takes figures of their own."""

    message = N_(
        "“{name}” has no last weights of its own: its last iteration was its best, or they were not kept yet when it was trained. "
        "Publish the best weights."
    )


class TrainedModel(msgspec.Struct, frozen=True):
    """What a completed run gives to a version: weights, and what they are worth on the validation split."""

    weights: Artifact
    segmentation_weights: Artifact | None
    evaluation: Artifact
    figures: EvaluationFigures


class TrainingJob(State):
    """What the rules need of a training job. `measured` says up to which iteration this run's losses are in the log."""

    HAS_LONG_HISTORY: ClassVar[bool] = True
    owner: UUID
    model_id: UUID
    name: str
    model_image: ModelImageUsed
    task_type: TaskTypeUsed
    environment: EnvironmentBinding
    compute_resource_id: UUID
    order: TrainingOrder
    started_from: VersionUsed | None = None
    status: TrainingStatus = TrainingStatus.WAITING
    attempt: Attempt = Attempt()
    completed: TrainingCompleted | None = None
    measured: dict[LossPart, int] = msgspec.field(default_factory=dict)
    is_deleted: bool = False

    @property
    def is_retraining(self) -> bool:
        """Whether the model is trained again (W-11)."""
        return self.started_from is not None and self.started_from.model_id == self.model_id

    @property
    def needed(self) -> tuple[Needed, ...]:
        """What nobody may delete at present because of this job (M-6). A retraining has everything else from the version."""
        if self.is_deleted or self.status not in (TrainingStatus.WAITING, TrainingStatus.TRAINING):
            return ()
        if self.is_retraining:
            return (Needed.compute_resource(self.compute_resource_id),)
        return (
            Needed.compute_resource(self.compute_resource_id),
            Needed.model_image_version(self.model_image.model_image_id, self.model_image.number),
            Needed.task_type(self.task_type.task_type_id),
        )


def queue(
    *,
    owner: UUID,
    model_id: UUID,
    model_image: ModelImageUsed,
    task_type: TaskTypeUsed,
    environment: EnvironmentBinding,
    compute_resource_id: UUID,
    order: TrainingOrder,
    started_from: VersionUsed | None = None,
) -> list[Fact]:
    """Let the job wait for a worker; the order was checked step by step before."""
    return [
        TrainingQueued(
            owner=owner,
            model_id=model_id,
            model_name=order.model_name,
            model_image=model_image,
            task_type=task_type,
            environment=environment,
            compute_resource_id=compute_resource_id,
            order=order,
            started_from=started_from,
        )
    ]


def start(job: TrainingJob, attempt: int, worker: str) -> list[Fact]:
    """A worker claims the attempt.

    Raises:
        AttemptIsOver
    """
    check_open(job.attempt, attempt, is_waiting=job.status is TrainingStatus.WAITING and not job.is_deleted)
    return [TrainingStarted(worker=worker, attempt=attempt)]


def report(job: TrainingJob, attempt: int, fact: Fact) -> list[Fact]:
    """Note what the worker of the current attempt measured or achieved; of a terminated one the log is still worth keeping.

    An attempt that goes on cannot know what its killed predecessor had still reported, so it reports the curve from the beginning;
    of a loss that is in the log already nothing is noted again (T-5).

    Raises:
        AttemptIsOver
    """
    is_last_word = isinstance(fact, TrainingLogKept) and job.status is TrainingStatus.TERMINATED and not job.is_deleted
    check_owned(job.attempt, attempt, is_running=job.status is TrainingStatus.TRAINING or is_last_word)
    if not isinstance(fact, TrainingLossesMeasured):
        return [fact]
    known = bisect_right(fact.iterations, job.measured.get(fact.part, 0))
    if known == len(fact.iterations):
        return []
    return [msgspec.structs.replace(fact, iterations=fact.iterations[known:], losses=fact.losses[known:])]


def interrupt(job: TrainingJob, attempt: int, max_attempts: int, *, is_fault: bool = True) -> list[Fact]:
    """The worker fell silent: the run waits for another worker, or fails after the configured tries.

    Raises:
        AttemptIsOver
    """
    check_owned(job.attempt, attempt, is_running=job.status is TrainingStatus.TRAINING)
    if is_last(job.attempt, max_attempts, is_fault=is_fault):
        return [TrainingFailed(reason=gave_up(max_attempts))]
    return [TrainingInterrupted(is_fault=is_fault)]


_NOT_OFFERED: Mapping[TrainingAction, type[Refusal]] = MappingProxyType(
    {
        TrainingAction.TERMINATE: OnlyTrainingCanBeTerminated,
        TrainingAction.START_AGAIN: CannotBeStartedAgain,
        TrainingAction.DELETE: CannotBeDeleted,
        TrainingAction.PUBLISH: OnlyCompletedCanBePublished,
    }
)


def check_offered(action: TrainingAction, status: TrainingStatus, name: str) -> None:
    """T-2, for whoever decides and for whoever only asks first: a decision that a state does not offer is refused.

    Raises:
        WaitingJobCannotBeTerminated: it has no process to stop.
        OnlyTrainingCanBeTerminated, CannotBeStartedAgain, CannotBeDeleted, OnlyCompletedCanBePublished.
    """
    if action in ACTIONS[status]:
        return
    if action is TrainingAction.TERMINATE and status is TrainingStatus.WAITING:
        raise WaitingJobCannotBeTerminated(name=name)
    raise _NOT_OFFERED[action](name=name)


def terminate(job: TrainingJob) -> list[Fact]:
    """Stop a run that is training.

    Raises:
        WaitingJobCannotBeTerminated, OnlyTrainingCanBeTerminated.
    """
    check_offered(TrainingAction.TERMINATE, job.status, job.name)
    return [TrainingTerminated()]


def restart(job: TrainingJob) -> list[Fact]:
    """Start again from 0 %.

    Raises:
        CannotBeStartedAgain
    """
    check_offered(TrainingAction.START_AGAIN, job.status, job.name)
    return [TrainingRestarted()]


def delete(job: TrainingJob) -> list[Fact]:
    """Delete a job that neither trains nor is published.

    Raises:
        CannotBeDeleted
    """
    check_offered(TrainingAction.DELETE, job.status, job.name)
    return [TrainingDeleted()]


def publish(job: TrainingJob, version: str, chosen: TrainedWeights = TrainedWeights.BEST) -> list[Fact]:
    """Mark the job as published under `version`, with the chosen weights.

    Raises:
        OnlyCompletedCanBePublished
    """
    check_offered(TrainingAction.PUBLISH, job.status, job.name)
    return [TrainingPublished(version=version, chosen_weights=chosen)]


def trained_model(job: TrainingJob, chosen: TrainedWeights) -> TrainedModel:
    """What a version gets of a completed run.

    Raises:
        OnlyCompletedCanBePublished
        NoOtherLastWeights: the last ones are chosen, and there are none but the best.
    """
    done = job.completed
    if done is None:
        raise OnlyCompletedCanBePublished(name=job.name)
    if chosen is TrainedWeights.BEST:
        return TrainedModel(done.weights, done.segmentation_weights, done.evaluation, done.figures)
    if done.last_evaluation is None or done.last_figures is None:
        raise NoOtherLastWeights(name=job.name)
    last = {kept.part: kept.last for kept in done.kept_weights}
    return TrainedModel(
        last[LossPart.CLASSIFICATION], last.get(LossPart.SEGMENTATION), done.last_evaluation, done.last_figures
    )


EVOLVE = evolves(
    TrainingJob,
    {
        TrainingQueued: lambda job, fact: TrainingJob(
            owner=fact.owner,
            model_id=fact.model_id,
            name=fact.model_name,
            model_image=fact.model_image,
            task_type=fact.task_type,
            environment=fact.environment,
            compute_resource_id=fact.compute_resource_id,
            order=fact.order,
            started_from=fact.started_from,
        ),
        TrainingStarted: lambda job, fact: replace(
            job, status=TrainingStatus.TRAINING, attempt=job.attempt.claimed_by(fact.worker)
        ),
        TrainingStageFinished: lambda job, fact: job,
        TrainingLossesMeasured: lambda job, fact: replace(
            job, measured={**job.measured, fact.part: max((job.measured.get(fact.part, 0), *fact.iterations))}
        ),
        TrainingValidated: lambda job, fact: job,
        TrainingCompleted: lambda job, fact: replace(job, status=TrainingStatus.COMPLETED, completed=fact),
        TrainingFailed: lambda job, fact: replace(job, status=TrainingStatus.FAILED),
        TrainingLogKept: lambda job, fact: job,
        TrainingTerminated: lambda job, fact: replace(job, status=TrainingStatus.TERMINATED),
        TrainingInterrupted: lambda job, fact: replace(
            job, status=TrainingStatus.WAITING, attempt=job.attempt.interrupted(is_fault=fact.is_fault)
        ),
        TrainingRestarted: lambda job, fact: replace(
            job, status=TrainingStatus.WAITING, attempt=job.attempt.restarted(), measured={}
        ),
        TrainingPublished: lambda job, fact: replace(job, status=TrainingStatus.PUBLISHED),
        TrainingDeleted: lambda job, fact: replace(job, is_deleted=True),
    },
)
