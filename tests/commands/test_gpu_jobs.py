"""The two tables between the log and the workers: which message a waiting job is, which command a report asks for."""

import math
import re
import typing
from collections.abc import Callable
from itertools import product
from uuid import UUID

import msgspec
import pytest

from commands.assay import Command
from commands.exports import InterruptExport, RecordExport, StartExport
from commands.gpu_jobs import (
    LINE_FACTS,
    Step,
    command_for,
    compute_resource_of,
    failure_instead,
    interruption_of,
    message_for,
    running_attempt,
    state_type_of,
)
from commands.model_images import FailLoading, FinishLoading, InterruptLoading, StartLoading
from commands.prediction_jobs import InterruptPrediction, RecordPrediction, StartPrediction
from commands.training_jobs import InterruptTraining, RecordTraining, StartTraining
from domain import messages
from domain.attempts import AttemptIsOver
from domain.exports import (
    Export,
    ExportBuilt,
    ExportFailed,
    ExportInterrupted,
    ExportPackageLost,
    ExportQueued,
    ExportStarted,
    export_id,
)
from domain.facts import _EVOLVE, SYSTEM, Fact, Origin, State
from domain.impossible_numbers import ImpossibleNumber
from domain.messages import ExportOrder, JobKind, LossPart, Resources, StageName
from domain.model_images import (
    ModelImage,
    ModelImageFileRemovalFailed,
    ModelImageFileRemoved,
    ModelImageLoadingDismissed,
    ModelImageLoadingFailed,
    ModelImageLoadingInterrupted,
    ModelImageVersionDeleted,
)
from domain.permissions import Permission
from domain.prediction_jobs import (
    PredictionCompleted,
    PredictionDeleted,
    PredictionFailed,
    PredictionInterrupted,
    PredictionJob,
    PredictionLogKept,
    PredictionRestarted,
    PredictionTerminated,
)
from domain.sentences import Sentence
from domain.training_jobs import (
    TrainingCompleted,
    TrainingDeleted,
    TrainingFailed,
    TrainingInterrupted,
    TrainingJob,
    TrainingLogKept,
    TrainingLossesMeasured,
    TrainingRestarted,
    TrainingStageFinished,
    TrainingStarted,
    TrainingTerminated,
    TrainingValidated,
)
from tests.examples import (
    APPLIED_RULE,
    FIGURES,
    LOADING_QUEUED,
    LOADING_STARTED,
    MODEL_ID,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_IMPORTED,
    MODEL_IMAGE_LOADED,
    PACKAGE,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    History,
    artifact,
    assay_after,
    example_id,
    plant,
)
from tests.given_when_then import state_of

NEEDS = Resources(cpu_cores=2, memory_gib=4)
JOB_ID = example_id("some job")
REASON = Sentence("The disk is full.")
EXPORT_ORDER = ExportOrder(model_name="panel-a", version=PREDICTION_QUEUED.order.versions[0])
EXPORT_QUEUED = ExportQueued(owner=TRAINER_WANG_ID, model_id=MODEL_ID, order=EXPORT_ORDER)
EXPORT_ID = export_id(MODEL_ID, "v1.01")


def sender(kind: JobKind) -> dict[str, typing.Any]:
    return {"kind": kind, "job_id": JOB_ID, "attempt": 2, "worker": "gpu-1"}


def report_of(report_type: type[messages.Report], kind: JobKind) -> typing.Any:
    values: dict[type[messages.Report], dict[str, typing.Any]] = {
        messages.JobClaimed: {},
        messages.JobReleased: {},
        messages.StageFinished: {"stage": StageName.DATA_SPLIT, "seconds": 1.5, "training_count": 80},
        messages.LossesMeasured: {
            "part": LossPart.CLASSIFICATION,
            "iterations": (10, 20),
            "losses": (1.1, 0.9),
            "learning_rate": 0.01,
        },
        messages.ValidationMeasured: {
            "part": LossPart.CLASSIFICATION,
            "iteration": 20,
            "accuracy": 0.75,
            "recall": None,
            "loss": 0.8,
        },
        messages.TrainingSucceeded: {
            "seconds": 93.5,
            "weights": artifact("weights"),
            "evaluation": artifact("evaluation"),
            "figures": FIGURES,
            "log": artifact("log"),
            "losses": artifact("losses"),
            "resolution_rule": APPLIED_RULE,
            "device": "cpu",
            "software": "torch 2.9.1",
        },
        messages.PredictionSucceeded: {
            "seconds": 12.5,
            "results": PREDICTION_COMPLETED.results,
            "manifest": artifact("manifest"),
            "log": artifact("log"),
        },
        messages.PackageLoaded: {"archive": artifact("archive"), "package": PACKAGE},
        messages.ExportBuilt: {"package": artifact("export.zip")},
        messages.JobFailed: {"reason": REASON, "log": artifact("log")},
        messages.LogKept: {"log": artifact("log")},
    }
    return report_type(**sender(kind), **values[report_type])


REPORT_TYPES: tuple[type[messages.Report], ...] = typing.get_args(messages.AnyReport)
TRAINING, PREDICTION, LOADING, EXPORT = JobKind
EXPECTED: dict[tuple[JobKind, type[messages.Report]], tuple[type[Command], type[Fact] | None]] = {
    (TRAINING, messages.JobClaimed): (StartTraining, None),
    (TRAINING, messages.StageFinished): (RecordTraining, TrainingStageFinished),
    (TRAINING, messages.LossesMeasured): (RecordTraining, TrainingLossesMeasured),
    (TRAINING, messages.ValidationMeasured): (RecordTraining, TrainingValidated),
    (TRAINING, messages.TrainingSucceeded): (RecordTraining, TrainingCompleted),
    (TRAINING, messages.JobReleased): (InterruptTraining, None),
    (TRAINING, messages.JobFailed): (RecordTraining, TrainingFailed),
    (TRAINING, messages.LogKept): (RecordTraining, TrainingLogKept),
    (PREDICTION, messages.JobClaimed): (StartPrediction, None),
    (PREDICTION, messages.PredictionSucceeded): (RecordPrediction, PredictionCompleted),
    (PREDICTION, messages.JobReleased): (InterruptPrediction, None),
    (PREDICTION, messages.JobFailed): (RecordPrediction, PredictionFailed),
    (PREDICTION, messages.LogKept): (RecordPrediction, PredictionLogKept),
    (LOADING, messages.JobClaimed): (StartLoading, None),
    (LOADING, messages.PackageLoaded): (FinishLoading, None),
    (LOADING, messages.JobReleased): (InterruptLoading, None),
    (LOADING, messages.JobFailed): (FailLoading, None),
    (EXPORT, messages.JobClaimed): (StartExport, None),
    (EXPORT, messages.ExportBuilt): (RecordExport, ExportBuilt),
    (EXPORT, messages.JobReleased): (InterruptExport, None),
    (EXPORT, messages.JobFailed): (RecordExport, ExportFailed),
}


# K-1, K-2
@pytest.mark.parametrize(("kind", "report_type"), list(product(JobKind, REPORT_TYPES)))
def test_every_report_of_every_kind_asks_for_its_command_or_is_a_mistake_of_the_worker(
    kind: JobKind, report_type: type[messages.Report]
) -> None:
    report = report_of(report_type, kind)
    if (kind, report_type) not in EXPECTED:
        with pytest.raises(ValueError, match=f"a {kind.value} job sends no {report_type.__name__}"):
            command_for(report)
        return
    command_type, fact_type = EXPECTED[kind, report_type]
    command: typing.Any = command_for(report)
    assert (type(command), command.actor, command.attempt) == (command_type, SYSTEM, 2)
    assert JOB_ID in (getattr(command, field) for field in command.__struct_fields__)
    assert type(getattr(command, "fact", None)) is (fact_type or type(None))


@pytest.mark.parametrize(("kind", "report_type"), [key for key, (_, fact_type) in EXPECTED.items() if fact_type])
def test_nothing_of_a_report_is_lost_on_the_way_into_the_log(kind: JobKind, report_type: type[messages.Report]) -> None:
    report = report_of(report_type, kind)
    command: typing.Any = command_for(report)
    told = {name: getattr(report, name) for name in report.__struct_fields__ if name not in sender(kind)}
    kept = msgspec.structs.asdict(command.fact)
    if kind is not TRAINING:
        told.pop("part_logs", None)  # only a training has more than one network
    if not isinstance(command.fact, ExportFailed):  # an export has no log
        assert kept == told
    assert kept["reason"] == REASON if isinstance(report, messages.JobFailed) else True


def numbers_in(value: typing.Any, *place: str | int) -> list[tuple[tuple[str | int, ...], float]]:
    """Where in a report, as JSON has it, numbers stand."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [(place, value)]
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in inside for found in numbers_in(inner, *place, key)]


def with_number(report: messages.Report, place: tuple[str | int, ...], number: float) -> typing.Any:
    changed: typing.Any = msgspec.to_builtins(report)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = number
    return msgspec.convert(changed, messages.AnyReport)


# K-1
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1 << 63, -1])
@pytest.mark.parametrize(("kind", "report_type"), EXPECTED)
def test_no_number_that_cannot_be_gets_into_the_log_wherever_it_stands(
    kind: JobKind, report_type: type[messages.Report], number: float
) -> None:
    """A foreign worker may send anything, and what is once in the log must be read for ever."""
    report = report_of(report_type, kind)
    for place, true_number in numbers_in(msgspec.to_builtins(report)):
        try:
            told = with_number(report, place, number)
        except msgspec.ValidationError:
            continue  # nobody could even decode it
        if isinstance(number, int) and isinstance(true_number, float):
            continue  # what is measured may be large, or below zero
        with pytest.raises(ImpossibleNumber, match=re.escape(f"{place[0]}")):
            command_for(told)


def test_a_failure_may_tell_of_a_number_that_cannot_be() -> None:  # I-6
    failed = report_of(messages.JobFailed, LOADING)
    claimed = Sentence("its header claims {count} bytes", {"count": (1 << 64) - 1})
    command_for(msgspec.structs.replace(failed, reason=claimed))
    for reason in (
        Sentence("{share}", {"share": math.nan}),
        Sentence("{inner}", {"inner": Sentence("{x}", {"x": math.inf})}),
    ):
        with pytest.raises(ImpossibleNumber, match="reason"):
            command_for(msgspec.structs.replace(failed, reason=reason))


# T-7
@pytest.mark.parametrize(("kind", "report_type"), EXPECTED)
def test_a_job_whose_end_was_told_with_an_impossible_number_fails_and_another_goes_on(
    kind: JobKind, report_type: type[messages.Report]
) -> None:
    command: typing.Any = failure_instead(report_of(report_type, kind))
    if report_type not in messages.ENDINGS:
        assert command is None
        return
    reason = command.reason if kind is LOADING else command.fact.reason
    assert (type(command), command.attempt) == (EXPECTED[kind, messages.JobFailed][0], 2)
    assert "a number that cannot be" in str(reason)


def test_a_worker_stopped_in_good_order_is_no_fault() -> None:
    for kind in JobKind:
        released: typing.Any = command_for(report_of(messages.JobReleased, kind))
        silent: typing.Any = interruption_of(kind, JOB_ID, 2)
        assert type(released) is type(silent)
        assert (released.is_fault, silent.is_fault) == (False, True)


def test_no_person_can_send_what_workers_send() -> None:
    for command_type, _ in EXPECTED.values():
        assert command_type.PERMISSION is Permission.SYSTEM


WAITING_STATES: dict[JobKind, tuple[UUID, tuple[Fact, ...]]] = {
    TRAINING: (TRAINING_JOB_ID, (TRAINING_QUEUED,)),
    PREDICTION: (PREDICTION_JOB_ID, (PREDICTION_QUEUED,)),
    LOADING: (MODEL_IMAGE_ID, (MODEL_IMAGE_IMPORTED, LOADING_QUEUED)),
    EXPORT: (EXPORT_ID, (EXPORT_QUEUED,)),
}
STARTED: dict[JobKind, Fact] = {
    TRAINING: TRAINING_STARTED,
    PREDICTION: PREDICTION_STARTED,
    LOADING: LOADING_STARTED,
    EXPORT: ExportStarted(worker="gpu-1"),
}
INTERRUPTED: dict[JobKind, Fact] = {
    TRAINING: TrainingInterrupted(),
    PREDICTION: PredictionInterrupted(),
    LOADING: ModelImageLoadingInterrupted(),
    EXPORT: ExportInterrupted(),
}
ENDED: dict[JobKind, tuple[Fact, ...]] = {
    TRAINING: (
        TRAINING_COMPLETED,
        TrainingFailed(reason=REASON),
        TrainingTerminated(),
    ),
    PREDICTION: (PREDICTION_COMPLETED, PredictionFailed(reason=REASON), PredictionTerminated()),
    LOADING: (MODEL_IMAGE_LOADED, ModelImageLoadingFailed(reason=REASON)),
    EXPORT: (ExportBuilt(package=artifact("export.zip")), ExportFailed(reason=REASON)),
}


def state(kind: JobKind, *further: Fact) -> State:
    aggregate_id, facts = WAITING_STATES[kind]
    found: State = state_of(*facts, *further, aggregate_id=aggregate_id)
    return found


# T-6
@pytest.mark.parametrize("kind", JobKind)
def test_a_waiting_job_is_a_message_with_everything_a_worker_needs(kind: JobKind) -> None:
    message: typing.Any = message_for(state(kind), NEEDS)
    expected = {
        TRAINING: messages.TrainModel(
            job_id=TRAINING_JOB_ID, attempt=1, run=1, needs=NEEDS, order=TRAINING_QUEUED.order
        ),
        PREDICTION: messages.PredictImages(
            job_id=PREDICTION_JOB_ID, attempt=1, needs=NEEDS, order=PREDICTION_QUEUED.order
        ),
        LOADING: messages.LoadModelImage(job_id=MODEL_IMAGE_ID, attempt=1, needs=NEEDS, order=LOADING_QUEUED.order),
        EXPORT: messages.BuildExport(job_id=EXPORT_ID, attempt=1, needs=NEEDS, order=EXPORT_ORDER),
    }
    assert message == expected[kind]


@pytest.mark.parametrize("kind", JobKind)
def test_a_running_job_waits_for_nobody(kind: JobKind) -> None:
    assert message_for(state(kind, STARTED[kind])) is None
    assert running_attempt(state(kind, STARTED[kind])) == 1
    assert running_attempt(state(kind)) is None


@pytest.mark.parametrize("kind", JobKind)
def test_an_interrupted_job_waits_again_under_its_next_attempt(kind: JobKind) -> None:
    waiting = state(kind, STARTED[kind], INTERRUPTED[kind])
    message: typing.Any = message_for(waiting)
    assert message.attempt == 2
    assert running_attempt(waiting) is None


@pytest.mark.parametrize(("kind", "ended"), [(kind, fact) for kind, facts in ENDED.items() for fact in facts])
def test_a_job_that_ended_is_no_message(kind: JobKind, ended: Fact) -> None:
    over = state(kind, STARTED[kind], ended)
    assert message_for(over) is None
    assert running_attempt(over) is None


def test_a_deleted_job_is_no_message() -> None:
    assert message_for(state(TRAINING, TrainingDeleted())) is None
    assert message_for(state(PREDICTION, PredictionDeleted())) is None
    assert message_for(None) is None


def test_starting_again_begins_a_run_that_no_checkpoint_belongs_to() -> None:
    again = state(TRAINING, TRAINING_STARTED, TrainingTerminated(), TrainingRestarted())
    message = message_for(again)
    assert isinstance(message, messages.TrainModel)
    assert (message.attempt, message.run) == (2, 2)
    resumed = message_for(state(TRAINING, TRAINING_STARTED, TrainingInterrupted()))
    assert isinstance(resumed, messages.TrainModel)
    assert (resumed.attempt, resumed.run) == (2, 1)
    assert message_for(state(PREDICTION, PREDICTION_STARTED, PredictionTerminated(), PredictionRestarted())) is not None


@pytest.mark.parametrize("kind", JobKind)
def test_a_job_asks_for_its_compute_resource_and_small_work_for_none(kind: JobKind) -> None:
    wanted = {TRAINING: TWO_CORES_ID, PREDICTION: TWO_CORES_ID}
    assert compute_resource_of(state(kind)) == wanted.get(kind)


@pytest.mark.parametrize("kind", JobKind)
def test_messages_travel_as_json_and_come_back_whole(kind: JobKind) -> None:
    message = message_for(state(kind), NEEDS)
    assert msgspec.json.decode(msgspec.json.encode(message), type=messages.Message) == message


@pytest.mark.parametrize(("kind", "report_type"), list(EXPECTED))
def test_reports_travel_as_json_and_come_back_whole(kind: JobKind, report_type: type[messages.Report]) -> None:
    report = report_of(report_type, kind)
    assert msgspec.json.decode(msgspec.json.encode(report), type=messages.AnyReport) == report


def test_the_dispatcher_looks_at_every_fact_that_makes_a_job_wait_run_or_end() -> None:
    silent = {  # these change neither whether a job waits nor whether it runs
        TrainingStageFinished,
        TrainingLossesMeasured,
        TrainingValidated,
        TrainingLogKept,
        PredictionLogKept,
        type(TRAINING_PUBLISHED),
        type(MODEL_IMAGE_IMPORTED),
        ModelImageLoadingDismissed,
        ModelImageVersionDeleted,
        ModelImageFileRemoved,
        ModelImageFileRemovalFailed,
        ExportPackageLost,
    }
    for kind in JobKind:
        for fact_type in _EVOLVE[state_type_of(kind)]:
            known = LINE_FACTS.get(fact_type)
            assert (known.kind if known else None) is (None if fact_type in silent else kind), fact_type.__name__
    assert set(LINE_FACTS) <= {fact_type for kind in JobKind for fact_type in _EVOLVE[state_type_of(kind)]}


@pytest.mark.parametrize("kind", JobKind)
def test_a_fact_says_where_it_leaves_a_job_in_the_line(kind: JobKind) -> None:  # T-6
    def steps(step: Step) -> set[type[Fact]]:
        return {fact_type for fact_type, known in LINE_FACTS.items() if known == (kind, step)}

    *_, queued = WAITING_STATES[kind][1]
    restarted: dict[JobKind, set[type[Fact]]] = {TRAINING: {TrainingRestarted}, PREDICTION: {PredictionRestarted}}
    deleted: dict[JobKind, set[type[Fact]]] = {TRAINING: {TrainingDeleted}, PREDICTION: {PredictionDeleted}}
    assert steps(Step.COMES) == {type(queued)} | restarted.get(kind, set())
    assert steps(Step.STAYS) == {type(STARTED[kind]), type(INTERRUPTED[kind])}
    assert steps(Step.GOES) == set(map(type, ENDED[kind])) | deleted.get(kind, set())


def test_each_kind_of_job_is_an_aggregate() -> None:
    assert [state_type_of(kind) for kind in JobKind] == [TrainingJob, PredictionJob, ModelImage, Export]


Ask = Callable[[typing.Any], int]


@pytest.fixture
def log_of_a_waiting_training() -> tuple[Ask, Callable[[], list[Fact]]]:
    assay, log = assay_after(plant().add(TRAINING_JOB_ID, TRAINING_QUEUED))

    def facts() -> list[Fact]:
        return [event.data for event in log.events if event.originator_id == TRAINING_JOB_ID][1:]

    return (lambda report: assay.dispatch(command_for(report))), facts


def training_report(report_type: type[messages.Report], attempt: int = 1, worker: str = "gpu-1") -> typing.Any:
    return msgspec.structs.replace(
        report_of(report_type, TRAINING), job_id=TRAINING_JOB_ID, attempt=attempt, worker=worker
    )


# K-1: at least once on the way, exactly once in the log
def test_a_duplicate_claim_is_void(log_of_a_waiting_training: tuple[Ask, Callable[[], list[Fact]]]) -> None:
    ask, facts = log_of_a_waiting_training
    ask(training_report(messages.JobClaimed))
    for worker in ("gpu-1", "gpu-2"):
        with pytest.raises(AttemptIsOver):
            ask(training_report(messages.JobClaimed, worker=worker))
    assert facts() == [TrainingStarted(worker="gpu-1", attempt=1)]


def test_a_duplicate_result_is_void(log_of_a_waiting_training: tuple[Ask, Callable[[], list[Fact]]]) -> None:
    ask, facts = log_of_a_waiting_training
    ask(training_report(messages.JobClaimed))
    ask(training_report(messages.TrainingSucceeded))
    with pytest.raises(AttemptIsOver):
        ask(training_report(messages.TrainingSucceeded))
    with pytest.raises(AttemptIsOver):
        ask(training_report(messages.JobFailed))
    assert [type(fact) for fact in facts()] == [TrainingStarted, TrainingCompleted]


def test_reports_of_a_stale_attempt_are_void(log_of_a_waiting_training: tuple[Ask, Callable[[], list[Fact]]]) -> None:
    ask, facts = log_of_a_waiting_training
    ask(training_report(messages.JobClaimed))
    ask(training_report(messages.JobReleased))
    ask(training_report(messages.JobClaimed, attempt=2, worker="gpu-2"))
    for report_type in (messages.LossesMeasured, messages.TrainingSucceeded, messages.JobFailed, messages.JobReleased):
        with pytest.raises(AttemptIsOver):
            ask(training_report(report_type, attempt=1))
    ask(training_report(messages.LossesMeasured, attempt=2, worker="gpu-2"))
    assert [type(fact) for fact in facts()] == [
        TrainingStarted,
        TrainingInterrupted,
        TrainingStarted,
        TrainingLossesMeasured,
    ]


def test_what_a_worker_reports_is_in_the_log_under_the_system_not_a_person() -> None:
    assay, log = assay_after(History().add(TRAINING_JOB_ID, TRAINING_QUEUED))
    assay.dispatch(command_for(training_report(messages.JobClaimed)))
    assert log.events[-1].origin == Origin(actor=SYSTEM)
