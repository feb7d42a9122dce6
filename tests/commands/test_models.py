"""Publishing and withdrawing, through dispatch: V-1, V-4, U-6."""

from contextlib import closing
from typing import TypeVar
from uuid import UUID

import pytest
from msgspec.structs import replace

from commands.assay import Command
from commands.exports import RequestExport
from commands.models import PublishModelVersion, WithdrawModelVersion
from commands.prediction_jobs import QueuePredictionJob, RecordPrediction, StartPrediction
from commands.training_jobs import RetrainModel, own_version
from domain.facts import SYSTEM, Fact
from domain.models import Model, ModelVersionIsWithdrawn, ModelVersionPublished, ModelVersionWithdrawn
from domain.prediction_jobs import PredictionDraft, PredictionJob, PredictionKind, PredictionStatus
from domain.refusals import NotFound, NotTheOwner
from domain.training_jobs import (
    OnlyCompletedCanBePublished,
    TrainedWeights,
    TrainingJob,
    TrainingPublished,
    TrainingStatus,
)
from domain.training_requests import StartingVersion, TrainingDraft
from infra.event_store import EventLog, create_tables, open_event_log
from tests.commands.meeting import at_once
from tests.examples import (
    MODEL_ID,
    PORTS,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    QUALITY_LEAD_ID,
    QUESTION_BANK_FOLDER,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    WORSE_AT_THE_END,
    History,
    artifact,
    assay_after,
    example_id,
    plant,
)

F = TypeVar("F", bound=Fact)
SECOND_JOB_ID = example_id("panel-a retrained")
PUBLISH = PublishModelVersion(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID)
PUBLISH_SECOND = PublishModelVersion(actor=TRAINER_WANG_ID, job_id=SECOND_JOB_ID)


def completed() -> History:
    """Two completed jobs of one model."""
    retrained = replace(TRAINING_COMPLETED, weights=artifact("panel-a-retrained.safetensors"))
    return (
        plant()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED, actor=TRAINER_WANG_ID)
        .add(SECOND_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, retrained, actor=TRAINER_WANG_ID)
    )


def test_publishing_makes_a_version_and_marks_the_job_in_one_step() -> None:
    assay, log = assay_after(completed())
    assay.dispatch(PUBLISH)
    assert [event.data for event in log.events[-2:]] == [TRAINING_PUBLISHED, VERSION_PUBLISHED]
    assert assay.load(TrainingJob, TRAINING_JOB_ID).status is TrainingStatus.PUBLISHED


def test_the_job_and_the_version_say_which_weights_were_chosen() -> None:
    history = plant().add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, WORSE_AT_THE_END, actor=TRAINER_WANG_ID)
    assay, log = assay_after(history)
    assay.dispatch(replace(PUBLISH, chosen_weights=TrainedWeights.LAST))
    job, version = [event.data for event in log.events[-2:]]
    assert isinstance(job, TrainingPublished)
    assert isinstance(version, ModelVersionPublished)
    assert job.chosen_weights is version.chosen_weights is TrainedWeights.LAST
    assert version.weights == WORSE_AT_THE_END.kept_weights[0].last


def test_the_next_job_of_the_model_becomes_the_next_version() -> None:
    assay, _ = assay_after(completed())
    assay.dispatch(PUBLISH)
    assay.dispatch(PUBLISH_SECOND)
    model = assay.load(Model, MODEL_ID)
    assert [version.label for version in model.versions] == ["v1.01", "v1.02"]
    assert model.versions[1].published.job_id == SECOND_JOB_ID
    assert model.versions[1].published.weights == artifact("panel-a-retrained.safetensors")


def test_a_job_is_published_once_only() -> None:
    assay, log = assay_after(completed())
    assay.dispatch(PUBLISH)
    before = len(log.events)
    with pytest.raises(OnlyCompletedCanBePublished, match="only once"):
        assay.dispatch(PUBLISH)
    assert len(log.events) == before


def test_a_job_that_is_still_training_cannot_be_published() -> None:
    assay, log = assay_after(plant().add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, actor=TRAINER_WANG_ID))
    before = len(log.events)
    with pytest.raises(OnlyCompletedCanBePublished):
        assay.dispatch(PUBLISH)
    assert len(log.events) == before


@pytest.mark.parametrize("actor", [TRAINER_LI_ID, QUALITY_LEAD_ID], ids=["another trainer", "a super administrator"])
def test_only_the_owner_publishes(actor: UUID) -> None:  # section U: own only, for both roles
    assay, log = assay_after(completed())
    before = len(log.events)
    with pytest.raises(NotTheOwner):
        assay.dispatch(replace(PUBLISH, actor=actor))
    assert len(log.events) == before


def test_an_unknown_job_cannot_be_published() -> None:
    assay, _ = assay_after(plant())
    with pytest.raises(NotFound):
        assay.dispatch(PUBLISH)


def test_two_publishes_at_once_get_01_and_02(database: str) -> None:  # V-1, on real PostgreSQL
    create_tables(database)
    with closing(open_event_log(database)) as log:
        log.append(completed().events)
        answers = at_once(log, PORTS, PUBLISH, PUBLISH_SECOND)
        assert all(isinstance(answer, int) for answer in answers), answers
        published = facts(log, MODEL_ID, ModelVersionPublished)
        assert [version.version for version in published] == ["v1.01", "v1.02"]
        told = {job_id: facts(log, job_id, TrainingPublished) for job_id in (TRAINING_JOB_ID, SECOND_JOB_ID)}
        assert told == {version.job_id: [TrainingPublished(version=version.version)] for version in published}


def test_one_job_published_twice_at_once_becomes_one_version(database: str) -> None:  # V-1, on real PostgreSQL
    create_tables(database)
    with closing(open_event_log(database)) as log:
        log.append(completed().events)
        answers = at_once(log, PORTS, PUBLISH, PUBLISH)
        assert sorted(type(answer).__name__ for answer in answers) == ["OnlyCompletedCanBePublished", "int"]
        assert len(facts(log, MODEL_ID, ModelVersionPublished)) == 1


def facts(log: EventLog, aggregate_id: UUID, fact_type: type[F]) -> list[F]:
    return [event.data for event in log.history(aggregate_id) if isinstance(event.data, fact_type)]


WITHDRAW = WithdrawModelVersion(actor=TRAINER_WANG_ID, model_id=MODEL_ID, version="v1.01", reason="Misses scratches.")
WITHDRAWN = ModelVersionWithdrawn(version="v1.01", reason="Misses scratches.")


def with_two_versions() -> History:
    return plant().add(MODEL_ID, VERSION_PUBLISHED, replace(VERSION_PUBLISHED, version="v1.02"), actor=TRAINER_WANG_ID)


def test_the_owner_withdraws_a_version() -> None:  # V-4
    assay, log = assay_after(with_two_versions())
    assay.dispatch(WITHDRAW)
    assert log.events[-1].data == WITHDRAWN
    assert log.events[-1].origin.actor == TRAINER_WANG_ID


@pytest.mark.parametrize("actor", [TRAINER_LI_ID, QUALITY_LEAD_ID], ids=["another trainer", "a super administrator"])
def test_nobody_else_withdraws_it(actor: UUID) -> None:  # V-4, U-6
    assay, log = assay_after(with_two_versions())
    before = len(log.events)
    with pytest.raises(NotTheOwner):
        assay.dispatch(replace(WITHDRAW, actor=actor))
    assert len(log.events) == before


def test_nothing_new_begins_with_a_withdrawn_version() -> None:  # V-4
    draft = PredictionDraft(
        name="panel-a-check",
        model_id=MODEL_ID,
        versions=("v1.01",),
        data_paths=(QUESTION_BANK_FOLDER,),
        compute_resource_id=TWO_CORES_ID,
    )
    compared = replace(draft, kind=PredictionKind.COMPARISON, versions=("v1.01", "v1.02"))
    retraining = TrainingDraft(compute_resource_id=TWO_CORES_ID)
    version = StartingVersion(MODEL_ID, "v1.01")
    commands: list[Command] = [
        QueuePredictionJob(actor=TRAINER_WANG_ID, job_id=example_id("prediction"), draft=draft),
        QueuePredictionJob(actor=TRAINER_WANG_ID, job_id=example_id("comparison"), draft=compared),
        RequestExport(actor=TRAINER_WANG_ID, model_id=MODEL_ID, version="v1.01"),
        RetrainModel(
            actor=TRAINER_WANG_ID, job_id=SECOND_JOB_ID, model_id=MODEL_ID, version="v1.01", draft=retraining, seed=1
        ),
        WITHDRAW,
    ]
    assay, log = assay_after(with_two_versions().add(MODEL_ID, WITHDRAWN, actor=TRAINER_WANG_ID))
    before = len(log.events)
    for command in commands:
        with pytest.raises(ModelVersionIsWithdrawn):
            assay.dispatch(command)
    with pytest.raises(ModelVersionIsWithdrawn):
        own_version(assay, version, TRAINER_WANG_ID)  # what the wizard's third step asks
    assert len(log.events) == before


def test_jobs_with_a_version_that_was_withdrawn_meanwhile_go_on() -> None:  # V-4
    history = with_two_versions().add(PREDICTION_JOB_ID, PREDICTION_QUEUED, actor=TRAINER_WANG_ID)
    assay, log = assay_after(history)
    assay.dispatch(WITHDRAW)
    assay.dispatch(StartPrediction(actor=SYSTEM, job_id=PREDICTION_JOB_ID, attempt=1, worker="gpu-1"))
    assay.dispatch(RecordPrediction(actor=SYSTEM, job_id=PREDICTION_JOB_ID, attempt=1, fact=PREDICTION_COMPLETED))
    assert log.events[-1].data != WITHDRAWN
    assert assay.load(PredictionJob, PREDICTION_JOB_ID).status is PredictionStatus.COMPLETED
