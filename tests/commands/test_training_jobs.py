import dataclasses
from contextlib import closing
from uuid import UUID

import msgspec
import pytest

from commands.assay import Assay, Command
from commands.models import PublishModelVersion
from commands.training_jobs import (
    STEP_COUNT,
    DeleteTrainingJob,
    InterruptTraining,
    QueueTrainingJob,
    RecordTraining,
    RestartTraining,
    StartTraining,
    TerminateTraining,
    check_step,
)
from domain.compute_resources import ComputeResource
from domain.environments import EnvironmentChoiceIsIncomplete, EnvironmentNodesRemoved
from domain.facts import SYSTEM, Fact
from domain.model_images import ModelImageImported, ModelImageKind, ModelImageVersionNotLoaded
from domain.models import ModelVersionPublished
from domain.names import NameClaim, NameClaimed, NameKind, NameReleased, NameTaken, ObjectNameIsInvalid, claim_id
from domain.refusals import NotFound, NotPermitted, NotTheOwner, Refusal, Refusals
from domain.training_jobs import (
    CannotBeDeleted,
    TrainingDeleted,
    TrainingFailed,
    TrainingInterrupted,
    TrainingJob,
    TrainingPublished,
    TrainingQueued,
    TrainingRestarted,
    TrainingStarted,
    TrainingStatus,
    TrainingTerminated,
    WaitingJobCannotBeTerminated,
)
from domain.training_requests import (
    DataPathHasNoImages,
    EnvironmentIsGone,
    NoComputeResourceChosen,
    NoModelImageChosen,
    StartingWeights,
    TrainingDraft,
)
from domain.uses import UseBegun, UseEnded
from infra.event_store import create_tables, open_event_log
from tests.commands.meeting import at_once
from tests.examples import (
    BINDING,
    ENVIRONMENT_ID,
    FACTORY_1,
    INDUSTRY_ID,
    LOADING_QUEUED,
    LOADING_STARTED,
    MODEL_ID,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_LOADED,
    MODEL_PARAMETERS_TEXT,
    PANEL_65,
    PANEL_75,
    PORTS,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_FOLDER,
    TRAINING_JOB_ID,
    TRAINING_PARAMETERS_TEXT,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    History,
    KnownFolders,
    MemoryLog,
    assay_after,
    example_id,
    plant,
)

DRAFT = TrainingDraft(
    model_name="panel-a",
    model_image_id=MODEL_IMAGE_ID,
    model_image_version=1,
    model_parameters=MODEL_PARAMETERS_TEXT,
    environment=(PANEL_65.node_id, PANEL_75.node_id),
    data_paths=(TRAINING_FOLDER,),
    compute_resource_id=TWO_CORES_ID,
    training_parameters=TRAINING_PARAMETERS_TEXT,
)
NAME_ID = claim_id(NameKind.MODEL, "panel-a")
NAME_CLAIMED = NameClaimed(kind=NameKind.MODEL, name="panel-a", owner=MODEL_ID)
BUSINESS_ID = claim_id(NameKind.MODEL_IMAGE, "aoi65")
BUSINESS_IMAGE = ModelImageImported(
    name="aoi65", kind=ModelImageKind.BUSINESS, task_type=TRAINING_QUEUED.task_type, environment=BINDING
)


def draft(**changes: object) -> TrainingDraft:
    return msgspec.structs.replace(DRAFT, **changes)


def queue(
    wanted: TrainingDraft = DRAFT, *, actor: UUID = TRAINER_WANG_ID, job_id: UUID = TRAINING_JOB_ID
) -> QueueTrainingJob:
    return QueueTrainingJob(actor=actor, job_id=job_id, model_id=MODEL_ID, draft=wanted, seed=7)


def plant_with_job(*facts: Fact) -> History:
    return plant().add(NAME_ID, NAME_CLAIMED).add(TRAINING_JOB_ID, TRAINING_QUEUED, *facts)


def new_facts(log: MemoryLog, history: History) -> list[Fact]:
    """What happened, but for the uses beside it, which `test_uses.py` is about."""
    new = [event.data for event in log.events[len(history.events) :]]
    return [fact for fact in new if not isinstance(fact, UseBegun | UseEnded)]


def refusals_of(assay: Assay, wanted: TrainingDraft, step: int) -> list[Refusal]:
    try:
        check_step(assay, wanted, step, TRAINER_WANG_ID)
    except Refusal as refusal:
        return [refusal]
    except Refusals as several:
        return several.refusals
    return []


# W-1 to W-10
def test_the_wizards_last_button_queues_the_job_and_claims_the_models_name() -> None:
    history = plant()
    assay, log = assay_after(history)
    assay.dispatch(queue())
    assert new_facts(log, history) == [TRAINING_QUEUED, NAME_CLAIMED]
    assert {event.origin.actor for event in log.events[len(history.events) :]} == {TRAINER_WANG_ID}


def test_a_second_click_queues_nothing_twice() -> None:  # W-1
    history = plant()
    assay, log = assay_after(history)
    assay.dispatch(queue())
    assert assay.dispatch(queue()) == 0
    assert new_facts(log, history) == [TRAINING_QUEUED, NAME_CLAIMED]


class HastyLog(MemoryLog):
    """Between a decision and its storing someone else is faster, once."""

    rival: QueueTrainingJob | None = None
    position = 0

    def append(self, events: object) -> int:
        if self.rival is not None:
            rival, self.rival = self.rival, None
            Assay(self, PORTS).dispatch(rival)
        return super().append(events)  # type: ignore[arg-type]


def test_two_clicks_at_the_same_moment_queue_one_job() -> None:  # W-1
    history = plant()
    log = HastyLog(history.events)
    log.rival = queue()
    assert Assay(log, PORTS).dispatch(queue()) == 0
    assert new_facts(log, history) == [TRAINING_QUEUED, NAME_CLAIMED]


def test_of_two_who_want_one_name_at_the_same_moment_the_slower_one_is_told() -> None:  # W-2
    history = plant()
    log = HastyLog(history.events)
    log.rival = queue()
    with pytest.raises(NameTaken, match="“panel-a” is taken"):
        Assay(log, PORTS).dispatch(queue(actor=TRAINER_LI_ID, job_id=example_id("another job")))
    assert new_facts(log, history) == [TRAINING_QUEUED, NAME_CLAIMED]


def test_a_taken_name_is_told_in_the_first_step_already() -> None:  # W-2
    assay, _ = assay_after(plant_with_job())
    for name in ("panel-a", "Panel-A"):
        (refusal,) = refusals_of(assay, draft(model_name=name), 1)
        assert (type(refusal), refusal.at) == (NameTaken, "model_name")
    assert refusals_of(assay, draft(model_name="panel-b"), 1) == []


@pytest.mark.parametrize("step", range(1, STEP_COUNT + 1))
def test_a_sound_draft_passes_every_step(step: int) -> None:
    assay, _ = assay_after(plant())
    checked = check_step(assay, DRAFT, step, TRAINER_WANG_ID, seed=7)
    assert (checked.order == TRAINING_QUEUED.order) is (step == STEP_COUNT)


def test_steps_behind_the_one_asked_for_are_not_checked_yet() -> None:  # W-1
    assay, _ = assay_after(plant())
    only_first = draft(data_paths=(), compute_resource_id=None, training_parameters="", split_ratio=5.0)
    assert refusals_of(assay, only_first, 1) == []
    assert [type(refusal).__name__ for refusal in refusals_of(assay, only_first, 4)] == ["NoDataPathChosen"]


def test_all_mistakes_of_the_first_step_are_told_at_once() -> None:
    assay, _ = assay_after(plant())
    wrong = draft(model_name="1", environment=(), model_image_id=None)
    assert [type(refusal) for refusal in refusals_of(assay, wrong, 1)] == [
        EnvironmentChoiceIsIncomplete,
        ObjectNameIsInvalid,
        NoModelImageChosen,
    ]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"model_image_id": example_id("no such image")}, NoModelImageChosen),
        ({"model_image_version": 2}, ModelImageVersionNotLoaded),
        ({"environment": (FACTORY_1.node_id,)}, EnvironmentChoiceIsIncomplete),
        ({"environment": (example_id("no such place"),)}, EnvironmentIsGone),
    ],
)
def test_what_is_chosen_must_be_there(changes: dict[str, object], refusal: type[Refusal]) -> None:  # W-2
    assay, _ = assay_after(plant())
    assert [type(found) for found in refusals_of(assay, draft(**changes), 1)] == [refusal]


def test_a_place_removed_since_is_asked_for_again() -> None:  # W-2, M-3
    gone = EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(PANEL_75.node_id,))
    assay, _ = assay_after(plant().add(ENVIRONMENT_ID, gone))
    (refusal,) = refusals_of(assay, DRAFT, 1)
    assert (type(refusal), refusal.at) == (EnvironmentIsGone, "environment")


def test_a_business_image_brings_parameters_and_environment() -> None:  # W-2
    history = plant().add(BUSINESS_ID, BUSINESS_IMAGE, LOADING_QUEUED, LOADING_STARTED, MODEL_IMAGE_LOADED)
    assay, log = assay_after(history)
    assay.dispatch(queue(draft(model_image_id=BUSINESS_ID, model_parameters="{", environment=())))
    queued = new_facts(log, history)[0]
    assert isinstance(queued, TrainingQueued)
    assert queued.environment == BINDING
    assert queued.order.model_parameters == TRAINING_QUEUED.order.model_parameters


def test_images_are_looked_at_again_when_the_job_is_queued() -> None:  # W-5
    history = plant()
    emptied = dataclasses.replace(PORTS, data_folders=KnownFolders({}))
    assay, log = assay_after(history, emptied)
    with pytest.raises(DataPathHasNoImages) as refused:
        assay.dispatch(queue())
    assert refused.value.at == "data_paths.1"
    assert new_facts(log, history) == []


def test_the_compute_resource_must_exist() -> None:  # W-6
    assay, _ = assay_after(plant())
    for wrong in (
        None,
        example_id("no such resource"),
    ):
        assert [type(found) for found in refusals_of(assay, draft(compute_resource_id=wrong), 3)] == [
            NoComputeResourceChosen
        ]
    assert assay.find(ComputeResource, TWO_CORES_ID) is not None


def test_the_seed_and_the_starting_weights_are_recorded() -> None:  # W-12
    assay, _ = assay_after(plant())
    checked = check_step(assay, draft(starting_weights=StartingWeights.NOTHING), STEP_COUNT, TRAINER_WANG_ID, seed=99)
    assert checked.order is not None
    assert (checked.order.seed, checked.order.initial_weights) == (99, None)


# T-2, U-6
@pytest.mark.parametrize(
    ("before", "command", "after"),
    [
        (
            (TRAINING_STARTED,),
            TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID),
            [TrainingTerminated()],
        ),
        (
            (TRAINING_STARTED, TrainingTerminated()),
            RestartTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID),
            [TrainingRestarted()],
        ),
        ((), DeleteTrainingJob(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID), [TrainingDeleted(), NameReleased()]),
        (
            (TRAINING_STARTED, TRAINING_COMPLETED),
            PublishModelVersion(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID),
            [TRAINING_PUBLISHED, VERSION_PUBLISHED],
        ),
    ],
    ids=["terminate", "start again", "delete", "publish"],
)
def test_the_owner_acts_on_a_job_and_nobody_else_does(
    before: tuple[Fact, ...], command: Command, after: list[Fact]
) -> None:
    history = plant_with_job(*before)
    for stranger in (TRAINER_LI_ID, QUALITY_LEAD_ID):
        assay, log = assay_after(history)
        with pytest.raises(NotTheOwner):
            assay.dispatch(msgspec.structs.replace(command, actor=stranger))
        assert new_facts(log, history) == []
    assay, log = assay_after(history)
    assay.dispatch(command)
    assert new_facts(log, history) == after


def test_a_refused_action_leaves_nothing_behind() -> None:
    history = plant_with_job()
    assay, log = assay_after(history)
    with pytest.raises(WaitingJobCannotBeTerminated):
        assay.dispatch(TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    assert new_facts(log, history) == []


def test_a_deleted_job_frees_its_name_for_everyone() -> None:  # W-2
    assay, log = assay_after(plant_with_job())
    assay.dispatch(DeleteTrainingJob(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    again = msgspec.structs.replace(
        queue(actor=TRAINER_LI_ID, job_id=example_id("another job")), model_id=example_id("another model")
    )
    assay.dispatch(again)
    assert log.load(NameClaim, NAME_ID) == NameClaim(id=NAME_ID, version=3, owner=example_id("another model"))


def test_a_name_under_which_a_version_was_published_stays_claimed() -> None:  # W-2
    second = example_id("second training of panel-a")
    history = (
        plant_with_job(TRAINING_STARTED, TRAINING_COMPLETED, TRAINING_PUBLISHED)
        .add(MODEL_ID, VERSION_PUBLISHED)
        .add(second, TRAINING_QUEUED)
    )
    assay, log = assay_after(history)
    assay.dispatch(DeleteTrainingJob(actor=TRAINER_WANG_ID, job_id=second))
    assert new_facts(log, history) == [TrainingDeleted()]
    with pytest.raises(CannotBeDeleted):
        assay.dispatch(DeleteTrainingJob(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))


def test_of_a_claim_and_a_deletion_at_the_same_moment_one_wins(database: str) -> None:  # T-2, on real PostgreSQL
    create_tables(database)
    with closing(open_event_log(database)) as log:
        log.append(plant_with_job().events)
        claim = StartTraining(actor=SYSTEM, job_id=TRAINING_JOB_ID, attempt=1, worker="gpu-1")
        delete = DeleteTrainingJob(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID)
        claimed, deleted = at_once(log, PORTS, claim, delete)
        job = log.load(TrainingJob, TRAINING_JOB_ID)
        assert job is not None
        if isinstance(claimed, int):
            assert isinstance(deleted, CannotBeDeleted)
            assert (job.status, job.is_deleted) == (TrainingStatus.TRAINING, False)
        else:
            assert isinstance(claimed, NotFound)
            assert (job.status, job.is_deleted) == (TrainingStatus.WAITING, True)


def test_what_was_deleted_does_not_exist_any_more() -> None:
    assay, _ = assay_after(plant_with_job(TrainingDeleted()))
    with pytest.raises(NotFound):
        assay.dispatch(RestartTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))


def test_publishing_gives_the_next_version_of_the_model() -> None:  # V-1
    second = example_id("second training of panel-a")
    history = (
        plant_with_job(TRAINING_STARTED, TRAINING_COMPLETED, TRAINING_PUBLISHED)
        .add(MODEL_ID, VERSION_PUBLISHED)
        .add(second, TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED)
    )
    assay, log = assay_after(history)
    assay.dispatch(PublishModelVersion(actor=TRAINER_WANG_ID, job_id=second))
    published, version = new_facts(log, history)
    assert published == TrainingPublished(version="v1.02")
    assert isinstance(version, ModelVersionPublished)
    assert (version.version, version.job_id) == ("v1.02", second)


# T-6
def test_a_worker_takes_a_job_reports_and_falls_silent_until_the_job_fails() -> None:
    history = plant_with_job()
    assay, log = assay_after(history)
    for attempt in range(1, PORTS.max_attempts + 1):
        assay.dispatch(StartTraining(actor=UUID(int=0), job_id=TRAINING_JOB_ID, attempt=attempt, worker="gpu-1"))
        assay.dispatch(InterruptTraining(actor=UUID(int=0), job_id=TRAINING_JOB_ID, attempt=attempt))
    assert [type(fact) for fact in new_facts(log, history)] == [
        TrainingStarted,
        TrainingInterrupted,
        TrainingStarted,
        TrainingInterrupted,
        TrainingStarted,
        TrainingFailed,
    ]


@pytest.mark.parametrize("actor", [TRAINER_WANG_ID, QUALITY_LEAD_ID])
def test_no_person_reports_in_a_workers_name(actor: UUID) -> None:  # U-6
    assay, _ = assay_after(plant_with_job(TRAINING_STARTED))
    reports: list[Command] = [
        StartTraining(actor=actor, job_id=TRAINING_JOB_ID, attempt=1, worker="gpu-1"),
        RecordTraining(actor=actor, job_id=TRAINING_JOB_ID, attempt=1, fact=TRAINING_COMPLETED),
        InterruptTraining(actor=actor, job_id=TRAINING_JOB_ID, attempt=1),
    ]
    for report in reports:
        with pytest.raises(NotPermitted):
            assay.dispatch(report)
