"""What waiting and running jobs need cannot be deleted under them."""

import pytest

from domain.uses import IsInUse, Needed, NeededIsGone, UseBegun, UseEnded, UseRuledOut, begin, end, rule_out
from tests.examples import (
    CLASSIFICATION_ID,
    MODEL_IMAGE_ID,
    PREDICTION_JOB_ID,
    TRAINING_JOB_ID,
    TWO_CORES_ID,
    example_id,
)
from tests.given_when_then import given

TWO_CORES = Needed.compute_resource(TWO_CORES_ID)
RESNET18 = Needed.model_image_version(MODEL_IMAGE_ID, 1)
CLASSIFICATION = Needed.task_type(CLASSIFICATION_ID)
TRAINS = UseBegun(job_id=TRAINING_JOB_ID, name="panel-a")
PREDICTS = UseBegun(job_id=PREDICTION_JOB_ID, name="panel-a-check")
GONE = UseRuledOut()


def test_a_job_that_begins_to_wait_is_noted() -> None:  # M-6
    given().when(begin, TWO_CORES, TRAINING_JOB_ID, "panel-a").then(TRAINS)
    given(TRAINS).when(begin, TWO_CORES, PREDICTION_JOB_ID, "panel-a-check").then(PREDICTS)


def test_what_a_waiting_or_running_job_needs_is_not_deleted() -> None:  # M-6
    given(TRAINS).when(rule_out).then_refused(IsInUse, "Waiting or running jobs need this (1): “panel-a”.")
    given(TRAINS, PREDICTS).when(rule_out).then_refused(
        IsInUse, "Waiting or running jobs need this (2): “panel-a”, “panel-a-check”."
    )


def test_a_refusal_names_no_more_jobs_than_anyone_reads() -> None:  # M-6
    many = [UseBegun(job_id=example_id(f"job {number}"), name=f"panel-{number}") for number in range(1, 12)]
    given(*many).when(rule_out).then_refused(
        IsInUse, "Waiting or running jobs need this (11): “panel-1”, “panel-2”, “panel-3”, …."
    )


def test_what_no_job_needs_any_more_can_be_deleted() -> None:  # M-6
    ended = UseEnded(job_id=TRAINING_JOB_ID)
    given(TRAINS).when(end, TRAINING_JOB_ID).then(ended)
    given(TRAINS, ended).when(rule_out).then(GONE)
    given().when(rule_out).then(GONE)


def test_a_job_may_need_the_same_again() -> None:  # T-2
    again = given(TRAINS, UseEnded(job_id=TRAINING_JOB_ID))
    again.when(begin, TWO_CORES, TRAINING_JOB_ID, "panel-a").then(TRAINS)
    given(TRAINS, UseEnded(job_id=TRAINING_JOB_ID), TRAINS).when(rule_out).then_refused(IsInUse)


def test_the_end_of_a_job_whose_beginning_was_never_noted_changes_nothing() -> None:
    given().when(end, TRAINING_JOB_ID).then()
    given(PREDICTS).when(end, TRAINING_JOB_ID).then()
    given(GONE).when(end, TRAINING_JOB_ID).then()


@pytest.mark.parametrize("needed", [TWO_CORES, RESNET18])
def test_no_job_begins_that_needs_what_was_deleted(needed: Needed) -> None:  # M-6
    given(GONE).when(begin, needed, TRAINING_JOB_ID, "panel-a").then_refused(
        NeededIsGone, "“panel-a” cannot be started: the compute resource or the model image version"
    )


def test_a_deleted_task_type_lives_on_in_the_images_that_were_made_for_it() -> None:  # M-5, M-6
    given(GONE).when(begin, CLASSIFICATION, TRAINING_JOB_ID, "panel-a").then()


def test_every_version_of_an_image_is_needed_for_itself() -> None:  # M-6
    others = [TWO_CORES, CLASSIFICATION, RESNET18, Needed.model_image_version(MODEL_IMAGE_ID, 2)]
    assert len({needed.uses_id for needed in others}) == 4
