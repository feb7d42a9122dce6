"""Pure tables: what a fact makes of the line of work, which message a job sends to workers, which command a report asks for.

They are the whole coupling between the log and the workers, the same whether messages travel through the log itself (embedded)
or over Kafka.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar
from uuid import UUID

from commands.assay import Command
from commands.exports import InterruptExport, RecordExport, StartExport
from commands.model_images import FailLoading, FinishLoading, InterruptLoading, StartLoading
from commands.prediction_jobs import InterruptPrediction, RecordPrediction, StartPrediction
from commands.training_jobs import InterruptTraining, RecordTraining, StartTraining
from domain import messages
from domain.attempts import result_unusable
from domain.exports import (
    Export,
    ExportBuilt,
    ExportFailed,
    ExportInterrupted,
    ExportQueued,
    ExportStarted,
    ExportStatus,
)
from domain.facts import SYSTEM, Fact, State
from domain.impossible_numbers import refuse_impossible_numbers
from domain.messages import ENDINGS, AnyReport, JobKind, Message, Resources
from domain.model_images import (
    LoadStatus,
    ModelImage,
    ModelImageLoaded,
    ModelImageLoadingFailed,
    ModelImageLoadingInterrupted,
    ModelImageLoadingQueued,
    ModelImageLoadingStarted,
)
from domain.prediction_jobs import (
    PredictionCompleted,
    PredictionDeleted,
    PredictionFailed,
    PredictionInterrupted,
    PredictionJob,
    PredictionLogKept,
    PredictionQueued,
    PredictionRestarted,
    PredictionStarted,
    PredictionStatus,
    PredictionTerminated,
)
from domain.training_jobs import (
    TrainingCompleted,
    TrainingDeleted,
    TrainingFailed,
    TrainingInterrupted,
    TrainingJob,
    TrainingLogKept,
    TrainingLossesMeasured,
    TrainingQueued,
    TrainingRestarted,
    TrainingStageFinished,
    TrainingStarted,
    TrainingStatus,
    TrainingTerminated,
    TrainingValidated,
)

F = TypeVar("F", bound=Fact)
SMALL = Resources(cpu_cores=1, memory_gib=1)
"""What loading a package or building an export needs: any worker can."""

_STATE_TYPES: dict[JobKind, type[TrainingJob | PredictionJob | ModelImage | Export]] = {
    JobKind.TRAINING: TrainingJob,
    JobKind.PREDICTION: PredictionJob,
    JobKind.LOADING: ModelImage,
    JobKind.EXPORT: Export,
}


class Step(enum.Enum):
    """What a fact makes of a job in the line of work."""

    COMES = "it waits, behind all others"
    STAYS = "a worker has it, or it waits again in its old place"
    GOES = "nobody works on it any more"


class LineFact(NamedTuple):
    """A fact that changes whether a job waits or runs, by the kind of job."""

    kind: JobKind
    step: Step


_STEPS: dict[JobKind, dict[Step, tuple[type[Fact], ...]]] = {
    JobKind.TRAINING: {
        Step.COMES: (TrainingQueued, TrainingRestarted),
        Step.STAYS: (TrainingStarted, TrainingInterrupted),
        Step.GOES: (TrainingTerminated, TrainingCompleted, TrainingFailed, TrainingDeleted),
    },
    JobKind.PREDICTION: {
        Step.COMES: (PredictionQueued, PredictionRestarted),
        Step.STAYS: (PredictionStarted, PredictionInterrupted),
        Step.GOES: (PredictionTerminated, PredictionCompleted, PredictionFailed, PredictionDeleted),
    },
    JobKind.LOADING: {
        Step.COMES: (ModelImageLoadingQueued,),
        Step.STAYS: (ModelImageLoadingStarted, ModelImageLoadingInterrupted),
        Step.GOES: (ModelImageLoaded, ModelImageLoadingFailed),
    },
    JobKind.EXPORT: {
        Step.COMES: (ExportQueued,),
        Step.STAYS: (ExportStarted, ExportInterrupted),
        Step.GOES: (ExportBuilt, ExportFailed),
    },
}
LINE_FACTS: Mapping[type[Fact], LineFact] = MappingProxyType(
    {
        fact_type: LineFact(kind, step)
        for kind, steps in _STEPS.items()
        for step, fact_types in steps.items()
        for fact_type in fact_types
    }
)


def message_for(state: State | None, needs: Resources = SMALL) -> Message | None:
    """The message that tells workers of the work that waits in `state`; None where nothing waits there (any more).

    `needs` are the resources that the job's compute resource asks for at present.
    """
    match state:
        case TrainingJob(status=TrainingStatus.WAITING, is_deleted=False):
            return messages.TrainModel(
                job_id=state.id, attempt=state.attempt.number, run=state.attempt.run, needs=needs, order=state.order
            )
        case PredictionJob(status=PredictionStatus.WAITING, is_deleted=False):
            return messages.PredictImages(job_id=state.id, attempt=state.attempt.number, needs=needs, order=state.order)
        case ModelImage(status=LoadStatus.LOADING) if state.order is not None and not state.attempt.worker:
            return messages.LoadModelImage(
                job_id=state.id, attempt=state.attempt.number, needs=needs, order=state.order
            )
        case Export(status=ExportStatus.WAITING):
            return messages.BuildExport(job_id=state.id, attempt=state.attempt.number, needs=needs, order=state.order)
    return None


def compute_resource_of(state: State | None) -> UUID | None:
    """The compute resource that a waiting job asks for, None where any worker will do."""
    return state.compute_resource_id if isinstance(state, TrainingJob | PredictionJob) else None


def running_attempt(state: State | None) -> int | None:
    """The attempt that a worker owns at present, None where no worker does."""
    match state:
        case TrainingJob(status=TrainingStatus.TRAINING) | PredictionJob(status=PredictionStatus.PREDICTING):
            return state.attempt.number
        case Export(status=ExportStatus.BUILDING):
            return state.attempt.number
        case ModelImage(status=LoadStatus.LOADING) if state.attempt.worker:
            return state.attempt.number
    return None


def state_type_of(kind: JobKind) -> type[TrainingJob | PredictionJob | ModelImage | Export]:
    """The aggregate behind a kind of job."""
    return _STATE_TYPES[kind]


def command_for(report: AnyReport) -> Command:
    """The command that takes a worker's report into the log.

    Raises:
        ValueError: a job of this kind sends no such report.
        ImpossibleNumber
    """
    refuse_impossible_numbers(report)
    return _command_for(report)


def failure_instead(report: AnyReport) -> Command | None:
    """What is taken in where the end of a job was told with an impossible number: otherwise one worker after the other would come
    to the same end (T-7). None where the job goes on.
    """
    if not isinstance(report, ENDINGS):
        return None
    failed = messages.JobFailed(
        kind=report.kind,
        job_id=report.job_id,
        attempt=report.attempt,
        worker=report.worker,
        reason=result_unusable(),
    )
    return _command_for(failed)


def _command_for(report: AnyReport) -> Command:
    if isinstance(report, messages.JobReleased):
        return interruption_of(report.kind, report.job_id, report.attempt, is_fault=False)
    match report.kind:
        case JobKind.TRAINING:
            return _training_command(report)
        case JobKind.PREDICTION:
            return _prediction_command(report)
        case JobKind.LOADING:
            return _loading_command(report)
        case JobKind.EXPORT:
            return _export_command(report)


def interruption_of(kind: JobKind, job_id: UUID, attempt: int, *, is_fault: bool = True) -> Command:
    """The command that notes that the worker of an attempt fell silent, or was stopped in good order."""
    match kind:
        case JobKind.TRAINING:
            return InterruptTraining(actor=SYSTEM, job_id=job_id, attempt=attempt, is_fault=is_fault)
        case JobKind.PREDICTION:
            return InterruptPrediction(actor=SYSTEM, job_id=job_id, attempt=attempt, is_fault=is_fault)
        case JobKind.LOADING:
            return InterruptLoading(actor=SYSTEM, model_image_id=job_id, attempt=attempt, is_fault=is_fault)
        case JobKind.EXPORT:
            return InterruptExport(actor=SYSTEM, export_id=job_id, attempt=attempt, is_fault=is_fault)


def _training_command(report: AnyReport) -> Command:
    fact: Fact
    match report:
        case messages.JobClaimed():
            return StartTraining(actor=SYSTEM, job_id=report.job_id, attempt=report.attempt, worker=report.worker)
        case messages.StageFinished():
            fact = _as_fact(report, TrainingStageFinished)
        case messages.LossesMeasured():
            fact = _as_fact(report, TrainingLossesMeasured)
        case messages.ValidationMeasured():
            fact = _as_fact(report, TrainingValidated)
        case messages.TrainingSucceeded():
            fact = _as_fact(report, TrainingCompleted)
        case messages.JobFailed():
            fact = _as_fact(report, TrainingFailed)
        case messages.LogKept():
            fact = _as_fact(report, TrainingLogKept)
        case _:
            raise _misfit(report)
    return RecordTraining(actor=SYSTEM, job_id=report.job_id, attempt=report.attempt, fact=fact)


def _prediction_command(report: AnyReport) -> Command:
    fact: Fact
    match report:
        case messages.JobClaimed():
            return StartPrediction(actor=SYSTEM, job_id=report.job_id, attempt=report.attempt, worker=report.worker)
        case messages.PredictionSucceeded():
            fact = _as_fact(report, PredictionCompleted)
        case messages.JobFailed():
            fact = _as_fact(report, PredictionFailed)
        case messages.LogKept():
            fact = _as_fact(report, PredictionLogKept)
        case _:
            raise _misfit(report)
    return RecordPrediction(actor=SYSTEM, job_id=report.job_id, attempt=report.attempt, fact=fact)


def _loading_command(report: AnyReport) -> Command:
    image_id, attempt = report.job_id, report.attempt
    match report:
        case messages.JobClaimed():
            return StartLoading(actor=SYSTEM, model_image_id=image_id, attempt=attempt, worker=report.worker)
        case messages.PackageLoaded(archive=archive, package=package):
            return FinishLoading(
                actor=SYSTEM, model_image_id=image_id, attempt=attempt, archive=archive, package=package
            )
        case messages.JobFailed(reason=reason):
            return FailLoading(actor=SYSTEM, model_image_id=image_id, attempt=attempt, reason=reason)
    raise _misfit(report)


def _export_command(report: AnyReport) -> Command:
    match report:
        case messages.JobClaimed():
            return StartExport(actor=SYSTEM, export_id=report.job_id, attempt=report.attempt, worker=report.worker)
        case messages.ExportBuilt(package=package):
            return RecordExport(
                actor=SYSTEM, export_id=report.job_id, attempt=report.attempt, fact=ExportBuilt(package=package)
            )
        case messages.JobFailed(reason=reason):
            return RecordExport(
                actor=SYSTEM, export_id=report.job_id, attempt=report.attempt, fact=ExportFailed(reason=reason)
            )
    raise _misfit(report)


def _as_fact(report: AnyReport, fact_type: type[F]) -> F:
    return fact_type(**{name: getattr(report, name) for name in fact_type.__struct_fields__})


def _misfit(report: AnyReport) -> ValueError:
    return ValueError(f"a {report.kind.value} job sends no {type(report).__name__}")
