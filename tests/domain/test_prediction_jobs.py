from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from domain.attempts import AttemptIsOver
from domain.data_paths import DataPathState, DefectCodeCount, FolderName, Inspection
from domain.facts import Fact
from domain.json_forms import JsonIsMalformed
from domain.messages import Resources
from domain.models import Model, ModelVersionIsWithdrawn, ModelVersionNotFound, ModelVersionWithdrawn
from domain.names import ObjectNameIsInvalid
from domain.prediction_jobs import (
    ACTIONS,
    DefectCodesUnknown,
    NoModelVersionChosen,
    PredictionAction,
    PredictionCannotBeStartedAgain,
    PredictionDeleted,
    PredictionDraft,
    PredictionFailed,
    PredictionInterrupted,
    PredictionIsNotRunning,
    PredictionIsRunning,
    PredictionJob,
    PredictionKind,
    PredictionLogKept,
    PredictionQueued,
    PredictionRestarted,
    PredictionStarted,
    PredictionStatus,
    PredictionTerminated,
    TwoVersionsNeeded,
    check_data_step,
    check_model_step,
    check_prediction_step,
    delete,
    interrupt,
    one_model,
    queue,
    report,
    restart,
    start,
    terminate,
)
from domain.refusals import Refusal
from domain.sentences import Sentence
from domain.training_parameters import PredictionParameters
from domain.training_requests import (
    DataPathHasNoImages,
    DataPathStillScanning,
    NoComputeResourceChosen,
    NoDataPathChosen,
)
from tests.examples import (
    MODEL_ID,
    PREDICTION_COMPLETED,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    QUESTION_BANK_FOLDER,
    TRAINER_WANG_ID,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    artifact,
    example_id,
    inspection,
)
from tests.given_when_then import given, state_of, when

QUEUED, STARTED = PREDICTION_QUEUED, PREDICTION_STARTED
FAILED = PredictionFailed(reason=Sentence("The disk is full."))
HISTORIES: dict[PredictionStatus, tuple[Fact, ...]] = {
    PredictionStatus.WAITING: (QUEUED,),
    PredictionStatus.PREDICTING: (QUEUED, STARTED),
    PredictionStatus.TERMINATED: (QUEUED, STARTED, PredictionTerminated()),
    PredictionStatus.COMPLETED: (QUEUED, STARTED, PREDICTION_COMPLETED),
    PredictionStatus.FAILED: (QUEUED, STARTED, FAILED),
}
DECISIONS: dict[PredictionAction, Callable[[PredictionJob], list[Fact]]] = {
    PredictionAction.TERMINATE: terminate,
    PredictionAction.START_AGAIN: lambda job: restart(job, MODEL),
    PredictionAction.DELETE: delete,
}
MODEL: Model = state_of(VERSION_PUBLISHED, aggregate_id=MODEL_ID)
WITHDRAWN: Model = state_of(
    VERSION_PUBLISHED, ModelVersionWithdrawn(version="v1.01", reason="Misses scratches."), aggregate_id=MODEL_ID
)
TWO_VERSIONS: Model = state_of(
    VERSION_PUBLISHED, msgspec.structs.replace(VERSION_PUBLISHED, version="v1.02"), aggregate_id=MODEL_ID
)
DRAFT = PredictionDraft(
    name="panel-a-check",
    model_id=MODEL_ID,
    versions=("v1.01",),
    data_paths=(QUESTION_BANK_FOLDER,),
    compute_resource_id=TWO_CORES_ID,
)


def draft(**changes: Any) -> PredictionDraft:
    return msgspec.structs.replace(DRAFT, **changes)


def found(**changes: Any) -> Inspection:
    return msgspec.structs.replace(inspection(QUESTION_BANK_FOLDER, images_per_code=10), **changes)


# The three steps.


# P-1
def test_the_model_step_gives_the_chosen_published_version() -> None:
    assert [version.label for version in check_model_step(DRAFT, MODEL)] == ["v1.01"]


# P-1
@pytest.mark.parametrize("versions", [(), ("v1.01", "v1.02")], ids=["none", "two"])
def test_a_question_bank_prediction_takes_exactly_one_version(versions: tuple[str, ...]) -> None:
    when(check_model_step, draft(versions=versions), MODEL).then_refused(
        NoModelVersionChosen, "Choose a model version", at="version"
    )


# P-1
@pytest.mark.parametrize("versions", [("v1.01", "v1.02"), ("v1.02", "v1.01")])
def test_a_comparison_takes_two_versions_the_earlier_one_first(versions: tuple[str, ...]) -> None:
    compared = draft(kind=PredictionKind.COMPARISON, versions=versions)
    assert [version.label for version in check_model_step(compared, TWO_VERSIONS)] == ["v1.01", "v1.02"]


# P-1
@pytest.mark.parametrize(
    "versions",
    [(), ("v1.01",), ("v1.01", "v1.01"), ("v1.01", "v1.02", "v1.03")],
    ids=["none", "one", "the same twice", "three"],
)
def test_a_comparison_of_anything_but_two_different_versions_is_refused(versions: tuple[str, ...]) -> None:
    when(check_model_step, draft(kind=PredictionKind.COMPARISON, versions=versions), TWO_VERSIONS).then_refused(
        TwoVersionsNeeded, "two different versions of one model", at="version"
    )


# P-1
def test_versions_of_several_models_are_no_choice() -> None:
    other = example_id("panel-b")
    assert one_model([(MODEL_ID, "v1.01"), (MODEL_ID, "v1.02")]) == (MODEL_ID, ("v1.01", "v1.02"))
    assert one_model([(MODEL_ID, "v1.01"), (other, "v1.02")]) == (None, ("v1.01", "v1.02"))
    assert one_model([]) == (None, ())
    when(check_model_step, draft(kind=PredictionKind.COMPARISON, versions=("v1.01", "v1.02")), None).then_refused(
        TwoVersionsNeeded, at="version"
    )


# V-4
@pytest.mark.parametrize("kind", PredictionKind)
def test_a_withdrawn_version_is_neither_judged_nor_compared(kind: PredictionKind) -> None:
    model = state_of(
        VERSION_PUBLISHED,
        msgspec.structs.replace(VERSION_PUBLISHED, version="v1.02"),
        ModelVersionWithdrawn(version="v1.01", reason="Misses scratches."),
        aggregate_id=MODEL_ID,
    )
    versions = ("v1.01", "v1.02") if kind is PredictionKind.COMPARISON else ("v1.01",)
    when(check_model_step, draft(kind=kind, versions=versions), model).then_refused(
        ModelVersionIsWithdrawn, "Choose another version", at="version"
    )


def test_a_model_must_be_chosen() -> None:
    when(check_model_step, DRAFT, None).then_refused(NoModelVersionChosen, at="version")


def test_a_version_that_was_never_published_cannot_be_judged() -> None:
    when(check_model_step, draft(versions=("v1.02",)), MODEL).then_refused(ModelVersionNotFound, at="version")


# D-1
def test_name_and_version_are_checked_together() -> None:
    when(check_model_step, draft(name="7-days", versions=()), MODEL).then_refused_together(
        (ObjectNameIsInvalid, "starts with a letter"), NoModelVersionChosen
    )


# P-1, W-5
def test_images_of_known_codes_may_be_judged() -> None:
    versions = check_model_step(DRAFT, MODEL)
    check_data_step(versions, [found()])
    check_data_step(versions, [found(defect_codes=(DefectCodeCount("TTMUD", 1),), image_count=1)])  # no class minimum


def test_without_a_path_there_is_nothing_to_judge() -> None:
    when(check_data_step, MODEL.versions, []).then_refused(NoDataPathChosen, at="data_paths")


# W-5
@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        (found(state=DataPathState.INVALID, image_count=0, defect_codes=()), DataPathHasNoImages),
        (found(image_count=0, defect_codes=()), DataPathHasNoImages),
        (found(state=DataPathState.SCANNING), DataPathStillScanning),
    ],
    ids=["invalid", "empty", "scanning"],
)
def test_a_path_that_cannot_be_used_blocks_the_step_at_its_line(wrong: Inspection, refusal: type[Refusal]) -> None:
    when(check_data_step, MODEL.versions, [found(), wrong]).then_refused(refusal, at="data_paths.2")


# P-1
def test_all_codes_that_the_version_does_not_know_are_named_at_once() -> None:
    strange = found(defect_codes=tuple(DefectCodeCount(code, 1) for code in ("TXXXX", "TPFIP", "TYYYY")))
    when(check_data_step, MODEL.versions, [found(), strange]).then_refused(
        DefectCodesUnknown, "TXXXX, TYYYY. Remove the path, or choose another version", at="data_paths.2"
    )


def test_every_wrong_path_is_told_of() -> None:
    strange = found(defect_codes=(DefectCodeCount("TXXXX", 1),))
    when(check_data_step, MODEL.versions, [found(image_count=0), strange]).then_refused_together(
        DataPathHasNoImages, DefectCodesUnknown
    )


# P-1
def test_parameters_are_json_with_a_default() -> None:
    resources = Resources(cpu_cores=2, memory_gib=4)
    assert check_prediction_step(PredictionDraft(), resources) == PredictionParameters(batch_size=32)
    assert check_prediction_step(draft(prediction_parameters='{"batch_size": 8}'), resources).batch_size == 8


def test_parameters_and_compute_resource_are_checked_together() -> None:
    when(check_prediction_step, draft(prediction_parameters='{"batch_size": }'), None).then_refused_together(
        NoComputeResourceChosen, JsonIsMalformed
    )


@pytest.mark.parametrize("wrong", ['{"batch_size": 0}', '{"batch_size": 1.5}', '{"size": 1}', "[]"])
def test_parameters_that_mean_nothing_are_refused(wrong: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_prediction_step(draft(prediction_parameters=wrong), Resources(cpu_cores=2, memory_gib=4))
    assert refused.value.at == "prediction_parameters"


# P-1
@pytest.mark.parametrize("screening", [True, False])
def test_a_queued_job_holds_the_order_the_worker_will_get(screening: bool) -> None:
    queued = msgspec.structs.replace(
        QUEUED, order=msgspec.structs.replace(QUEUED.order, resolution_screening=screening)
    )
    when(
        queue,
        draft(resolution_screening=screening),
        owner=TRAINER_WANG_ID,
        model=MODEL,
        versions=MODEL.versions,
        compute_resource_id=TWO_CORES_ID,
        parameters=PredictionParameters(),
        data_paths=(QUESTION_BANK_FOLDER,),
    ).then(queued)


def test_two_versions_make_a_comparison() -> None:
    second = msgspec.structs.replace(VERSION_PUBLISHED, version="v1.02")
    model = state_of(VERSION_PUBLISHED, second, aggregate_id=MODEL_ID)
    (queued,) = queue(
        DRAFT,
        owner=TRAINER_WANG_ID,
        model=model,
        versions=model.versions,
        compute_resource_id=TWO_CORES_ID,
        parameters=PredictionParameters(),
        data_paths=(FolderName("data", "panel-a/question-bank"),),
    )
    assert isinstance(queued, PredictionQueued)
    assert (queued.kind, len(queued.order.versions)) == (PredictionKind.COMPARISON, 2)


# The life of a job.


# P-2
@pytest.mark.parametrize("status", PredictionStatus)
def test_every_state_of_the_manual_is_reached(status: PredictionStatus) -> None:
    assert state_of(*HISTORIES[status]).status is status


# P-2
@pytest.mark.parametrize("action", DECISIONS)
@pytest.mark.parametrize("status", PredictionStatus)
def test_what_a_state_offers_is_done_and_everything_else_is_refused(
    status: PredictionStatus, action: PredictionAction
) -> None:
    job = state_of(*HISTORIES[status])
    if action in ACTIONS[status]:
        assert DECISIONS[action](job)
    else:
        with pytest.raises(Refusal):
            DECISIONS[action](job)


# P-2
def test_the_log_of_a_terminated_job_is_kept_until_it_is_started_again_or_deleted() -> None:  # P-2
    kept = PredictionLogKept(log=artifact("terminated.log"))
    terminated = (QUEUED, STARTED, PredictionTerminated())
    given(*terminated).when(report, 1, kept).then(kept)
    for after in (PredictionRestarted(), PredictionDeleted()):
        given(*terminated, after).when(report, 1, kept).then_refused(AttemptIsOver, "This attempt is over")


def test_a_report_is_offered_for_completed_jobs_only() -> None:
    assert [status for status in PredictionStatus if PredictionAction.REPORT in ACTIONS[status]] == [
        PredictionStatus.COMPLETED
    ]


# P-2
@pytest.mark.parametrize("status", set(PredictionStatus) - {PredictionStatus.PREDICTING})
def test_only_a_job_that_is_predicting_can_be_terminated(status: PredictionStatus) -> None:
    given(*HISTORIES[status]).when(terminate).then_refused(PredictionIsNotRunning, "“panel-a-check” is not predicting")
    given(QUEUED, STARTED).when(terminate).then(PredictionTerminated())


# P-2
@pytest.mark.parametrize("status", [PredictionStatus.TERMINATED, PredictionStatus.FAILED])
def test_a_terminated_or_failed_job_starts_again_in_a_new_run(status: PredictionStatus) -> None:
    given(*HISTORIES[status]).when(restart, MODEL).then(PredictionRestarted())
    again = state_of(*HISTORIES[status], PredictionRestarted())
    assert (again.status, again.attempt.number, again.attempt.run) == (PredictionStatus.WAITING, 2, 2)


# V-4
def test_a_job_with_a_withdrawn_version_is_not_started_again() -> None:
    given(*HISTORIES[PredictionStatus.FAILED]).when(restart, WITHDRAWN).then_refused(
        ModelVersionIsWithdrawn, "v1.01 of “panel-a” was withdrawn", at="version"
    )


def test_a_completed_job_cannot_be_started_again() -> None:
    given(*HISTORIES[PredictionStatus.COMPLETED]).when(restart, MODEL).then_refused(
        PredictionCannotBeStartedAgain, "only after it was terminated or has failed"
    )


# P-2
def test_a_job_that_is_predicting_must_be_terminated_before_it_is_deleted() -> None:
    given(QUEUED, STARTED).when(delete).then_refused(PredictionIsRunning, "Terminate it before you delete it")
    given(QUEUED, STARTED, PredictionTerminated()).when(delete).then(PredictionDeleted())


# T-6
def test_one_attempt_belongs_to_one_worker() -> None:
    given(QUEUED).when(start, 1, "gpu-1").then(STARTED)
    given(QUEUED, STARTED).when(start, 1, "gpu-2").then_refused(AttemptIsOver)


def test_a_deleted_job_is_claimed_by_nobody() -> None:
    given(QUEUED, PredictionDeleted()).when(start, 1, "gpu-1").then_refused(AttemptIsOver)


def test_the_worker_of_the_attempt_reports_the_result() -> None:
    given(QUEUED, STARTED).when(report, 1, PREDICTION_COMPLETED).then(PREDICTION_COMPLETED)


@pytest.mark.parametrize(
    "history",
    [
        (QUEUED, STARTED, PredictionTerminated()),
        (QUEUED, STARTED, PredictionInterrupted()),
        (QUEUED, STARTED, PredictionInterrupted(), PredictionStarted(worker="gpu-2", attempt=2)),
        (QUEUED, STARTED, PREDICTION_COMPLETED),
    ],
    ids=["terminated", "interrupted", "given to another worker", "completed"],
)
def test_reports_of_an_attempt_that_is_over_are_void(history: tuple[Fact, ...]) -> None:
    given(*history).when(report, 1, PREDICTION_COMPLETED).then_refused(AttemptIsOver, "The worker stops")


# T-6
def test_a_silent_worker_leaves_the_job_to_another_one() -> None:
    given(QUEUED, STARTED).when(interrupt, 1, 3).then(PredictionInterrupted())
    waiting = state_of(QUEUED, STARTED, PredictionInterrupted())
    assert (waiting.status, waiting.attempt.number) == (PredictionStatus.WAITING, 2)


# T-6
def test_after_the_configured_tries_the_job_fails_with_a_reason() -> None:
    (failed,) = interrupt(state_of(QUEUED, STARTED), 1, 1)
    assert isinstance(failed, PredictionFailed)
    assert "fell silent" in str(failed.reason)
    given(QUEUED, STARTED).when(interrupt, 1, 1, is_fault=False).then(PredictionInterrupted(is_fault=False))
