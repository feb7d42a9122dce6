from collections.abc import Callable

import pytest
from msgspec.structs import replace

from domain.attempts import AttemptIsOver
from domain.facts import Fact
from domain.messages import LossPart
from domain.refusals import Refusal
from domain.sentences import Sentence
from domain.training_jobs import (
    ACTIONS,
    LOOKING,
    CannotBeDeleted,
    CannotBeStartedAgain,
    OnlyCompletedCanBePublished,
    OnlyTrainingCanBeTerminated,
    TrainingAction,
    TrainingDeleted,
    TrainingFailed,
    TrainingInterrupted,
    TrainingJob,
    TrainingLogKept,
    TrainingLossesMeasured,
    TrainingPublished,
    TrainingRestarted,
    TrainingStarted,
    TrainingStatus,
    TrainingTerminated,
    VersionUsed,
    WaitingJobCannotBeTerminated,
    delete,
    interrupt,
    offered,
    publish,
    queue,
    report,
    restart,
    start,
    terminate,
)
from domain.uses import Needed
from tests.examples import (
    BINDING,
    CLASSIFICATION_USED,
    MODEL_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_ORDER,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    artifact,
    example_id,
)
from tests.given_when_then import given, state_of, when

QUEUED, STARTED = TRAINING_QUEUED, TRAINING_STARTED
FAILED = TrainingFailed(reason=Sentence("The disk is full."), log=artifact("failed.log"))
MEASURED = TrainingLossesMeasured(
    part=LossPart.CLASSIFICATION, iterations=(10, 20), losses=(1.1, 0.9), learning_rate=0.01
)
HISTORIES: dict[TrainingStatus, tuple[Fact, ...]] = {
    TrainingStatus.WAITING: (QUEUED,),
    TrainingStatus.TRAINING: (QUEUED, STARTED),
    TrainingStatus.TERMINATED: (QUEUED, STARTED, TrainingTerminated()),
    TrainingStatus.COMPLETED: (QUEUED, STARTED, TRAINING_COMPLETED),
    TrainingStatus.FAILED: (QUEUED, STARTED, FAILED),
    TrainingStatus.PUBLISHED: (QUEUED, STARTED, TRAINING_COMPLETED, TRAINING_PUBLISHED),
}
DECISIONS: dict[TrainingAction, Callable[[TrainingJob], list[Fact]]] = {
    TrainingAction.TERMINATE: terminate,
    TrainingAction.START_AGAIN: restart,
    TrainingAction.DELETE: delete,
    TrainingAction.PUBLISH: lambda job: publish(job, "v1.01"),
}


def test_a_queued_job_holds_the_order_the_worker_will_get() -> None:
    when(
        queue,
        owner=TRAINER_WANG_ID,
        model_id=MODEL_ID,
        model_image=QUEUED.model_image,
        task_type=CLASSIFICATION_USED,
        environment=BINDING,
        compute_resource_id=TWO_CORES_ID,
        order=TRAINING_ORDER,
    ).then(QUEUED)


# T-1
@pytest.mark.parametrize("status", TrainingStatus)
def test_every_state_of_the_manual_is_reached(status: TrainingStatus) -> None:
    assert state_of(*HISTORIES[status]).status is status


# T-2
@pytest.mark.parametrize("action", DECISIONS)
@pytest.mark.parametrize("status", TrainingStatus)
def test_what_a_state_offers_is_done_and_everything_else_is_refused(
    status: TrainingStatus, action: TrainingAction
) -> None:
    job = state_of(*HISTORIES[status])
    if action in ACTIONS[status]:
        assert DECISIONS[action](job)
    else:
        with pytest.raises(Refusal):
            DECISIONS[action](job)


# T-2: looking changes nothing, so no decision is behind it
def test_every_offer_is_looking_or_a_decision() -> None:
    assert {action for offered in ACTIONS.values() for action in offered} == LOOKING | set(DECISIONS)


# T-2, U-6
@pytest.mark.parametrize("status", TrainingStatus)
def test_a_job_of_somebody_else_can_be_looked_at_and_no_more(status: TrainingStatus) -> None:
    assert offered(status, TRAINER_WANG_ID, TRAINER_WANG_ID) == ACTIONS[status]
    assert set(offered(status, TRAINER_WANG_ID, TRAINER_LI_ID)) == set(ACTIONS[status]) & {
        TrainingAction.MONITOR,
        TrainingAction.REPORT,
    }


# T-2
def test_a_waiting_job_cannot_be_terminated() -> None:
    given(QUEUED).when(terminate).then_refused(WaitingJobCannotBeTerminated, "“panel-a” is waiting for a worker")


def test_a_training_job_is_terminated() -> None:
    given(QUEUED, STARTED).when(terminate).then(TrainingTerminated())


# T-5
def test_the_log_of_a_terminated_run_is_kept_until_it_is_started_again_or_deleted() -> None:
    kept = TrainingLogKept(log=artifact("terminated.log"))
    terminated = (QUEUED, STARTED, TrainingTerminated())
    given(*terminated).when(report, 1, kept).then(kept)
    for after in (TrainingRestarted(), TrainingDeleted()):
        given(*terminated, after).when(report, 1, kept).then_refused(AttemptIsOver, "This attempt is over")
    given(*terminated).when(report, 1, MEASURED).then_refused(AttemptIsOver, "This attempt is over")


# T-5, K-1
def test_a_loss_that_the_log_knows_is_not_noted_again() -> None:
    resumed = (QUEUED, STARTED, MEASURED, TrainingInterrupted(), TrainingStarted(worker="gpu-2", attempt=2))
    from_the_beginning = replace(MEASURED, iterations=(10, 20, 30), losses=(1.1, 0.9, 0.8))
    given(*resumed).when(report, 2, from_the_beginning).then(replace(MEASURED, iterations=(30,), losses=(0.8,)))
    given(*resumed).when(report, 2, MEASURED).then()
    assert state_of(QUEUED, STARTED, replace(MEASURED, iterations=(), losses=())).measured == {
        LossPart.CLASSIFICATION: 0
    }
    of_the_other_network = replace(MEASURED, part=LossPart.SEGMENTATION)
    given(*resumed).when(report, 2, of_the_other_network).then(of_the_other_network)
    again = (*resumed, FAILED, TrainingRestarted(), TrainingStarted(worker="gpu-2", attempt=3))
    given(*again).when(report, 3, MEASURED).then(MEASURED)


@pytest.mark.parametrize("status", [TrainingStatus.COMPLETED, TrainingStatus.FAILED, TrainingStatus.TERMINATED])
def test_a_job_that_ended_cannot_be_terminated(status: TrainingStatus) -> None:
    given(*HISTORIES[status]).when(terminate).then_refused(OnlyTrainingCanBeTerminated, "is not training any more")


@pytest.mark.parametrize("status", [TrainingStatus.TERMINATED, TrainingStatus.FAILED])
def test_a_terminated_or_failed_job_starts_again_in_a_new_run(status: TrainingStatus) -> None:
    given(*HISTORIES[status]).when(restart).then(TrainingRestarted())
    again = state_of(*HISTORIES[status], TrainingRestarted())
    assert (again.status, again.attempt.number, again.attempt.run) == (TrainingStatus.WAITING, 2, 2)


def test_a_training_job_cannot_be_started_again() -> None:
    given(QUEUED, STARTED).when(restart).then_refused(
        CannotBeStartedAgain, "only after it was terminated or has failed"
    )


@pytest.mark.parametrize("status", [TrainingStatus.TRAINING, TrainingStatus.PUBLISHED])
def test_a_training_or_published_job_cannot_be_deleted(status: TrainingStatus) -> None:
    given(*HISTORIES[status]).when(delete).then_refused(CannotBeDeleted, "Terminate it first; a published one stays")


def test_a_waiting_job_can_be_deleted() -> None:
    given(QUEUED).when(delete).then(TrainingDeleted())


# V-1
def test_only_a_completed_job_is_published_and_only_once() -> None:
    given(*HISTORIES[TrainingStatus.COMPLETED]).when(publish, "v1.01").then(TrainingPublished(version="v1.01"))
    given(*HISTORIES[TrainingStatus.PUBLISHED]).when(publish, "v1.02").then_refused(OnlyCompletedCanBePublished)
    given(*HISTORIES[TrainingStatus.FAILED]).when(publish, "v1.01").then_refused(OnlyCompletedCanBePublished)


# T-6
def test_one_attempt_belongs_to_one_worker() -> None:
    given(QUEUED).when(start, 1, "gpu-1").then(TrainingStarted(worker="gpu-1", attempt=1))
    given(QUEUED, STARTED).when(start, 1, "gpu-2").then_refused(AttemptIsOver)


def test_a_late_message_claims_nothing() -> None:
    given(QUEUED, STARTED, TrainingInterrupted()).when(start, 1, "gpu-2").then_refused(AttemptIsOver)
    given(QUEUED, STARTED, TrainingInterrupted()).when(start, 2, "gpu-2").then(
        TrainingStarted(worker="gpu-2", attempt=2)
    )


def test_a_deleted_job_cannot_be_claimed() -> None:
    given(QUEUED, TrainingDeleted()).when(start, 1, "gpu-1").then_refused(AttemptIsOver)


def test_reports_of_the_current_attempt_are_noted() -> None:
    given(QUEUED, STARTED).when(report, 1, MEASURED).then(MEASURED)


@pytest.mark.parametrize(
    "history",
    [
        (QUEUED, STARTED, TrainingTerminated()),
        (QUEUED, STARTED, TrainingInterrupted()),
        (QUEUED, STARTED, TrainingInterrupted(), TrainingStarted(worker="gpu-2", attempt=2)),
        (QUEUED, STARTED, TRAINING_COMPLETED),
    ],
    ids=["terminated", "interrupted", "given to another worker", "completed"],
)
def test_reports_of_an_attempt_that_is_over_are_void(history: tuple[Fact, ...]) -> None:
    given(*history).when(report, 1, MEASURED).then_refused(AttemptIsOver, "The worker stops")


def test_a_silent_worker_leaves_the_run_to_another_one() -> None:
    given(QUEUED, STARTED).when(interrupt, 1, 3).then(TrainingInterrupted())
    waiting = state_of(QUEUED, STARTED, TrainingInterrupted())
    assert (waiting.status, waiting.attempt.number, waiting.attempt.run) == (TrainingStatus.WAITING, 2, 1)


def test_after_the_configured_tries_the_job_fails_with_a_reason() -> None:
    twice = (
        QUEUED,
        STARTED,
        TrainingInterrupted(),
        TrainingStarted(worker="gpu-2", attempt=2),
        TrainingInterrupted(),
        TrainingStarted(worker="gpu-3", attempt=3),
    )
    (failed,) = interrupt(state_of(*twice), 3, 3)
    assert isinstance(failed, TrainingFailed)
    assert str(failed.reason).startswith("3 workers in a row fell silent")


def test_a_worker_stopped_in_good_order_counts_as_no_fault() -> None:
    given(QUEUED, STARTED).when(interrupt, 1, 1, is_fault=False).then(TrainingInterrupted(is_fault=False))
    given(QUEUED, STARTED).when(interrupt, 1, 1).then(
        TrainingFailed(
            reason=Sentence(
                "{count} workers in a row fell silent while working on this. Look at the workers' logs and memory, then "
                "start it again.",
                {"count": 1},
            )
        )
    )


def test_starting_again_forgets_the_faults_of_the_run_before() -> None:
    failed_once = (QUEUED, STARTED, TrainingInterrupted(), TrainingStarted(worker="gpu-2", attempt=2), FAILED)
    again = (*failed_once, TrainingRestarted(), TrainingStarted(worker="gpu-1", attempt=3))
    given(*again).when(interrupt, 3, 2).then(TrainingInterrupted())


# W-11, M-6
def test_a_retraining_needs_nothing_but_its_compute_resource() -> None:
    again = replace(QUEUED, started_from=VersionUsed(MODEL_ID, "panel-a", "v1.01"))
    assert state_of(again).needed == (Needed.compute_resource(TWO_CORES_ID),)
    assert state_of(again, STARTED).needed == (Needed.compute_resource(TWO_CORES_ID),)
    assert state_of(again, STARTED, FAILED).needed == ()


def test_a_new_model_that_starts_from_another_ones_version_needs_its_model_image() -> None:  # W-12, M-6
    new = replace(QUEUED, started_from=VersionUsed(example_id("another model"), "panel-b", "v1.01"))
    job: TrainingJob = state_of(new)
    assert not job.is_retraining
    assert job.needed == state_of(QUEUED).needed
    assert Needed.model_image_version(QUEUED.model_image.model_image_id, 1) in job.needed
