"""A published model answers what made it. Source: REQUIREMENTS, E-3."""

from typing import Any

from msgspec.structs import replace

from domain.facts import SYSTEM
from domain.messages import StageName
from domain.models import ModelVersionWithdrawn
from domain.provenance import provenance_of
from domain.training_jobs import TrainingInterrupted, TrainingRestarted, TrainingStageFinished, TrainingTerminated
from tests.examples import (
    MODEL_ID,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_LOADED,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    History,
    artifact,
    plant,
)


def split(name: str) -> TrainingStageFinished:
    return TrainingStageFinished(
        stage=StageName.DATA_SPLIT, seconds=1.0, training_count=96, validation_count=24, manifest=artifact(name)
    )


def made(history: History) -> Any:
    of = {
        thing: [event for event in history.events if event.originator_id == thing]
        for thing in (MODEL_ID, TRAINING_JOB_ID, MODEL_IMAGE_ID)
    }
    published = next(event for event in of[MODEL_ID] if event.data == VERSION_PUBLISHED)
    return provenance_of(published, of[MODEL_ID], of[TRAINING_JOB_ID], of[MODEL_IMAGE_ID])


def trained_twice() -> History:
    """Terminated, started again by another owner, interrupted once, completed, published."""
    return (
        plant()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID)
        .add(TRAINING_JOB_ID, TRAINING_STARTED, split("first run"))
        .add(TRAINING_JOB_ID, TrainingTerminated(), TrainingRestarted(), actor=TRAINER_LI_ID)
        .add(TRAINING_JOB_ID, replace(TRAINING_STARTED, worker="gpu-2", attempt=2), split("second run"))
        .add(TRAINING_JOB_ID, TrainingInterrupted(), replace(TRAINING_STARTED, worker="gpu-3", attempt=3))
        .add(TRAINING_JOB_ID, TRAINING_COMPLETED)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_LI_ID)
    )


def test_a_version_says_who_made_it_and_when() -> None:  # E-3
    history = trained_twice()
    found = made(history)
    assert (found.queued_by.actor, found.published_by.actor) == (TRAINER_WANG_ID, TRAINER_LI_ID)
    assert [act.actor for act in found.restarted_by] == [TRAINER_LI_ID]
    assert found.people == (TRAINER_LI_ID, TRAINER_WANG_ID)
    assert SYSTEM not in found.people
    assert found.published_by.moment == history.events[-1].timestamp


def test_images_and_workers_are_those_of_the_run_that_succeeded() -> None:
    found = made(trained_twice())
    assert found.manifest == artifact("second run")
    assert [(attempt.worker, attempt.number) for attempt in found.attempts] == [("gpu-2", 2), ("gpu-3", 3)]
    assert (found.training_count, found.validation_count) == (96, 24)


def test_the_package_is_the_archive_of_the_version_that_was_used() -> None:
    history = trained_twice().add(MODEL_IMAGE_ID, replace(MODEL_IMAGE_LOADED, number=2, archive=artifact("v2")))
    assert made(history).package == MODEL_IMAGE_LOADED.archive


def test_a_version_that_was_taken_back_says_by_whom_and_why() -> None:  # E-3, V-4
    history = trained_twice().add(MODEL_ID, replace(VERSION_PUBLISHED, version="v1.02"), actor=TRAINER_LI_ID)
    history.add(MODEL_ID, ModelVersionWithdrawn(version="v1.02", reason="blurred"), actor=QUALITY_LEAD_ID)
    assert (made(history).withdrawn_by, made(history).withdrawal_reason) == (None, ""), "another version was"
    history.add(MODEL_ID, ModelVersionWithdrawn(version="v1.01", reason="the camera was moved"), actor=QUALITY_LEAD_ID)
    found = made(history)
    assert found.withdrawn_by is not None
    assert (found.withdrawn_by.actor, found.withdrawal_reason) == (QUALITY_LEAD_ID, "the camera was moved")
    assert QUALITY_LEAD_ID in found.people


def test_what_was_never_recorded_is_not_made_up() -> None:
    found = made(plant().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID))
    assert (found.manifest, found.completed, found.completed_at, found.queued_by) == (None, None, None, None)
    assert found.people == (TRAINER_WANG_ID,)
