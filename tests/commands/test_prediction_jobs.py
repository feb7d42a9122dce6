import dataclasses
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands.assay import Assay, Command
from commands.prediction_jobs import (
    STEP_COUNT,
    DeletePredictionJob,
    InterruptPrediction,
    QueuePredictionJob,
    RecordPrediction,
    RestartPrediction,
    StartPrediction,
    TerminatePrediction,
    check_step,
)
from domain.attempts import AttemptIsOver
from domain.data_paths import DefectCodeCount
from domain.facts import SYSTEM, Fact
from domain.prediction_jobs import (
    DefectCodesUnknown,
    NoModelVersionChosen,
    PredictionDeleted,
    PredictionDraft,
    PredictionInterrupted,
    PredictionIsRunning,
    PredictionRestarted,
    PredictionStarted,
    PredictionTerminated,
)
from domain.refusals import NotFound, NotPermitted, NotTheOwner, Refusal, Refusals
from domain.training_requests import DataPathHasNoImages, NoComputeResourceChosen, NoDataPathChosen
from domain.users import UserRefusedAction
from domain.uses import UseBegun, UseEnded
from tests.commands.meeting import at_once
from tests.examples import (
    MODEL_ID,
    PORTS,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    QUALITY_LEAD_ID,
    QUESTION_BANK_FOLDER,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    History,
    KnownFolders,
    MemoryLog,
    assay_after,
    example_id,
    inspection,
    plant,
)

DRAFT = PredictionDraft(
    name="panel-a-check",
    model_id=MODEL_ID,
    versions=("v1.01",),
    data_paths=(QUESTION_BANK_FOLDER,),
    compute_resource_id=TWO_CORES_ID,
)


def plant_with_model() -> History:
    return plant().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)


def plant_with_job(*facts: Fact) -> History:
    return plant_with_model().add(PREDICTION_JOB_ID, PREDICTION_QUEUED, *facts, actor=TRAINER_WANG_ID)


def queue(actor: UUID = TRAINER_WANG_ID, **changes: Any) -> QueuePredictionJob:
    return QueuePredictionJob(actor=actor, job_id=PREDICTION_JOB_ID, draft=msgspec.structs.replace(DRAFT, **changes))


def new_facts(log: MemoryLog, history: History) -> list[Fact]:
    """What happened, but for the uses beside it, which `test_uses.py` is about."""
    new = [event.data for event in log.events[len(history.events) :]]
    return [fact for fact in new if not isinstance(fact, UseBegun | UseEnded)]


def refusals_of(assay: Assay, step: int, actor: UUID = TRAINER_WANG_ID, **changes: Any) -> list[type[Refusal]]:
    try:
        check_step(assay, msgspec.structs.replace(DRAFT, **changes), step, actor)
    except Refusal as refusal:
        return [type(refusal)]
    except Refusals as several:
        return [type(refusal) for refusal in several.refusals]
    return []


# P-1
def test_the_last_button_queues_the_job_with_everything_the_worker_needs() -> None:
    history = plant_with_model()
    assay, log = assay_after(history)
    assay.dispatch(queue())
    assert new_facts(log, history) == [PREDICTION_QUEUED]
    assert log.events[-1].origin.actor == TRAINER_WANG_ID


def test_a_second_click_queues_nothing_twice() -> None:
    history = plant_with_model()
    assay, log = assay_after(history)
    assay.dispatch(queue())
    assert assay.dispatch(queue()) == 0
    assert new_facts(log, history) == [PREDICTION_QUEUED]


def test_two_clicks_at_the_same_moment_queue_one_job() -> None:
    history = plant_with_model()
    log = MemoryLog(history.events)
    positions = at_once(log, PORTS, queue(), queue())
    assert sorted(str(position) for position in positions) == ["0", str(len(log.events))]
    assert new_facts(log, history) == [PREDICTION_QUEUED]


# U
def test_models_of_others_cannot_be_judged() -> None:
    history = plant_with_model()
    assay, log = assay_after(history)
    for stranger in (TRAINER_LI_ID, QUALITY_LEAD_ID):
        with pytest.raises(NotTheOwner):
            assay.dispatch(queue(actor=stranger))
        for step in range(1, STEP_COUNT + 1):
            assert refusals_of(assay, step, actor=stranger) == [NotTheOwner]
    assert new_facts(log, history) == []


@pytest.mark.parametrize("step", range(1, STEP_COUNT + 1))
def test_a_sound_draft_passes_every_step(step: int) -> None:
    assay, _ = assay_after(plant_with_model())
    checked = check_step(assay, DRAFT, step, TRAINER_WANG_ID)
    assert (checked.parameters is not None) is (step == STEP_COUNT)


def test_steps_behind_the_one_asked_for_are_not_checked_yet() -> None:
    assay, _ = assay_after(plant_with_model())
    assert refusals_of(assay, 1, data_paths=(), compute_resource_id=None) == []
    assert refusals_of(assay, 2, compute_resource_id=None) == []
    assert refusals_of(assay, 2, data_paths=(), compute_resource_id=None) == [NoDataPathChosen]
    assert refusals_of(assay, 3, data_paths=(), compute_resource_id=None) == [NoDataPathChosen]


@pytest.mark.parametrize("model_id", [None, example_id("no such model")])
def test_a_model_must_be_there(model_id: UUID | None) -> None:
    assay, _ = assay_after(plant_with_model())
    assert refusals_of(assay, 1, model_id=model_id) == [NoModelVersionChosen]


# P-1
def test_images_are_looked_at_again_when_the_job_is_queued() -> None:
    history = plant_with_model()
    for folders, refusal in (
        (KnownFolders({}), DataPathHasNoImages),
        (
            KnownFolders({"": inspection_with("TXXXX")}),
            DefectCodesUnknown,
        ),
    ):
        assay, log = assay_after(history, dataclasses.replace(PORTS, data_folders=folders))
        with pytest.raises(refusal) as refused:
            assay.dispatch(queue())
        assert refused.value.at == "data_paths.1"
        assert new_facts(log, history) == []


def inspection_with(defect_code: str) -> Any:
    return msgspec.structs.replace(
        inspection(QUESTION_BANK_FOLDER, images_per_code=1), defect_codes=(DefectCodeCount(defect_code, 3),)
    )


# P-1
def test_the_compute_resource_must_exist() -> None:
    assay, _ = assay_after(plant_with_model())
    assert refusals_of(assay, 3, compute_resource_id=None) == [NoComputeResourceChosen]
    assert refusals_of(assay, 3, compute_resource_id=example_id("no such resource")) == [NoComputeResourceChosen]


# P-2, U
@pytest.mark.parametrize(
    ("before", "command", "after"),
    [
        (
            (PREDICTION_STARTED,),
            TerminatePrediction(actor=TRAINER_WANG_ID, job_id=PREDICTION_JOB_ID),
            PredictionTerminated(),
        ),
        (
            (PREDICTION_STARTED, PredictionTerminated()),
            RestartPrediction(actor=TRAINER_WANG_ID, job_id=PREDICTION_JOB_ID),
            PredictionRestarted(),
        ),
        ((), DeletePredictionJob(actor=TRAINER_WANG_ID, job_id=PREDICTION_JOB_ID), PredictionDeleted()),
    ],
    ids=["terminate", "start again", "delete"],
)
def test_the_owner_acts_on_a_job_and_nobody_else_does(before: tuple[Fact, ...], command: Command, after: Fact) -> None:
    history = plant_with_job(*before)
    for stranger in (TRAINER_LI_ID, QUALITY_LEAD_ID):
        assay, log = assay_after(history)
        with pytest.raises(NotTheOwner):
            assay.dispatch(msgspec.structs.replace(command, actor=stranger))
        assert new_facts(log, history) == []
    assay, log = assay_after(history)
    assay.dispatch(command)
    assert new_facts(log, history) == [after]


def test_a_refused_action_leaves_nothing_behind() -> None:
    history = plant_with_job(PREDICTION_STARTED)
    assay, log = assay_after(history)
    with pytest.raises(PredictionIsRunning):
        assay.dispatch(DeletePredictionJob(actor=TRAINER_WANG_ID, job_id=PREDICTION_JOB_ID))
    assert new_facts(log, history) == []


def test_a_deleted_job_is_not_found_any_more() -> None:
    assay, _ = assay_after(plant_with_job(PredictionDeleted()))
    with pytest.raises(NotFound):
        assay.dispatch(RestartPrediction(actor=TRAINER_WANG_ID, job_id=PREDICTION_JOB_ID))


# T-6
def test_a_worker_claims_reports_and_is_noticed_when_it_falls_silent() -> None:
    history = plant_with_job()
    assay, log = assay_after(history)
    assay.dispatch(StartPrediction(actor=SYSTEM, job_id=PREDICTION_JOB_ID, attempt=1, worker="gpu-1"))
    assay.dispatch(InterruptPrediction(actor=SYSTEM, job_id=PREDICTION_JOB_ID, attempt=1))
    assay.dispatch(StartPrediction(actor=SYSTEM, job_id=PREDICTION_JOB_ID, attempt=2, worker="gpu-2"))
    with pytest.raises(AttemptIsOver):
        assay.dispatch(RecordPrediction(actor=SYSTEM, job_id=PREDICTION_JOB_ID, attempt=1, fact=PREDICTION_COMPLETED))
    assay.dispatch(RecordPrediction(actor=SYSTEM, job_id=PREDICTION_JOB_ID, attempt=2, fact=PREDICTION_COMPLETED))
    assert new_facts(log, history) == [
        PREDICTION_STARTED,
        PredictionInterrupted(),
        PredictionStarted(worker="gpu-2", attempt=2),
        PREDICTION_COMPLETED,
    ]


# U-6
def test_people_cannot_speak_for_workers() -> None:
    history = plant_with_job()
    assay, log = assay_after(history)
    with pytest.raises(NotPermitted):
        assay.dispatch(
            StartPrediction(actor=TRAINER_WANG_ID, job_id=PREDICTION_JOB_ID, attempt=1, worker="trainer_wang")
        )
    assert new_facts(log, history) == [UserRefusedAction(command="StartPrediction")]
