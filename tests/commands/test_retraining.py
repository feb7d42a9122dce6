"""重新训练 and a start from a published version, through dispatch: W-5, W-11, W-12, M-6, V-1."""

import dataclasses
from uuid import UUID

import msgspec
import pytest

from commands.assay import Assay
from commands.compute_resources import DeleteComputeResource
from commands.model_images import DeleteModelImageVersion
from commands.models import PublishModelVersion, ReleaseDataPath
from commands.task_types import DeleteTaskType
from commands.training_jobs import (
    DeleteTrainingJob,
    QueueTrainingJob,
    RecordTraining,
    RestartTraining,
    RetrainModel,
    StartTraining,
    TerminateTraining,
    check_step,
)
from domain.data_paths import FolderName
from domain.facts import SYSTEM, Fact
from domain.model_packages import NetworkInput, NetworkTask, OfferedNetwork
from domain.models import DataPathHasImages, Model, ModelDataPathReleased, ModelVersionNotFound, ModelVersionPublished
from domain.names import NameClaim, NameClaimed, NameKind, NameReleased, claim_id
from domain.refusals import NotFound, NotPermitted, NotTheOwner
from domain.training_jobs import TrainingDeleted, TrainingJob, TrainingQueued, VersionUsed
from domain.training_parameters import Augmentation
from domain.training_requests import (
    LockedDataPathHasNoImages,
    LockedDataPathIsMissing,
    StartingVersion,
    StartingVersionHasAnotherNetwork,
    StartingWeights,
    TrainingDraft,
    retraining_draft,
)
from domain.users import UserDeleted
from domain.uses import IsInUse, NeededIsGone
from tests.commands import test_training_jobs as trainings
from tests.commands.test_training_jobs import new_facts
from tests.examples import (
    CLASSIFICATION_ID,
    DATA_FOLDERS,
    MODEL_ID,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_LOADED,
    PACKAGE,
    PORTS,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_FOLDER,
    TRAINING_JOB_ID,
    TRAINING_ORDER,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    History,
    KnownFolders,
    artifact,
    assay_after,
    example_id,
    inspection,
    plant,
)
from tests.given_when_then import state_of

NAME_ID = claim_id(NameKind.MODEL, "panel-a")
RETRAINING_ID = example_id("panel-a retraining")
MORE_FOLDER = FolderName("data", "panel-a/more")
FIRST_OF_PANEL_A = VersionUsed(MODEL_ID, "panel-a", "v1.01")
MODEL: Model = state_of(VERSION_PUBLISHED, aggregate_id=MODEL_ID)
DRAFT = retraining_draft(MODEL, MODEL.versions[0], TWO_CORES_ID)
DELETE_IMAGE_VERSION = DeleteModelImageVersion(actor=TRAINER_WANG_ID, model_image_id=MODEL_IMAGE_ID, number=1)
DELETE_TASK_TYPE = DeleteTaskType(actor=QUALITY_LEAD_ID, task_type_id=CLASSIFICATION_ID)
WITH_MORE = dataclasses.replace(
    PORTS, data_folders=KnownFolders({**DATA_FOLDERS, "/data/panel-a/more": inspection(MORE_FOLDER)})
)
WITHOUT_THE_FIRST = dataclasses.replace(
    PORTS, data_folders=KnownFolders({"/data/panel-a/more": inspection(MORE_FOLDER)})
)


def published() -> History:
    """panel-a v1.01 of trainer_wang, with the job that made it."""
    return (
        plant()
        .add(NAME_ID, NameClaimed(kind=NameKind.MODEL, name="panel-a", owner=MODEL_ID))
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED, TRAINING_PUBLISHED)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
    )


def retrain(
    draft: TrainingDraft = DRAFT, *, actor: UUID = TRAINER_WANG_ID, job_id: UUID = RETRAINING_ID, version: str = "v1.01"
) -> RetrainModel:
    return RetrainModel(actor=actor, job_id=job_id, model_id=MODEL_ID, version=version, draft=draft, seed=9)


def changed(**fields: object) -> TrainingDraft:
    return msgspec.structs.replace(DRAFT, **fields)


def ran(assay: Assay, job_id: UUID, fact: Fact = TRAINING_COMPLETED) -> None:
    """A worker does the job."""
    assay.dispatch(StartTraining(actor=SYSTEM, job_id=job_id, attempt=1, worker="gpu-1"))
    assay.dispatch(RecordTraining(actor=SYSTEM, job_id=job_id, attempt=1, fact=fact))


# W-11: what stays and what can change


def test_a_retraining_keeps_the_model_and_starts_from_the_weights_of_the_version() -> None:  # W-11
    history = published()
    assay, log = assay_after(history)
    assay.dispatch(retrain())
    order = msgspec.structs.replace(TRAINING_ORDER, initial_weights=VERSION_PUBLISHED.weights, seed=9)
    assert new_facts(log, history) == [
        msgspec.structs.replace(TRAINING_QUEUED, order=order, started_from=FIRST_OF_PANEL_A)
    ]


def test_paths_training_parameters_and_preprocessing_can_change() -> None:  # W-11
    history = published()
    assay, log = assay_after(history, WITH_MORE)
    parameters = DRAFT.training_parameters.replace("200", "400")
    assay.dispatch(
        retrain(
            changed(
                data_paths=(MORE_FOLDER, TRAINING_FOLDER),
                training_parameters=parameters,
                split_ratio=0.6,
                augmentations=(Augmentation.FLIPPING,),
            )
        )
    )
    (queued,) = new_facts(log, history)
    assert isinstance(queued, TrainingQueued)
    assert queued.order.data_paths == (MORE_FOLDER, TRAINING_FOLDER)
    assert queued.order.training_parameters.classification.max_iter == 400
    assert (queued.order.preprocessing.split_ratio, queued.order.preprocessing.augmentations) == (
        0.6,
        (Augmentation.FLIPPING,),
    )


def test_name_image_model_parameters_and_environment_cannot_change() -> None:  # W-11
    history = published()
    assay, log = assay_after(history)
    assay.dispatch(
        retrain(
            changed(
                model_name="another",
                model_image_id=example_id("another image"),
                model_image_version=7,
                model_parameters="{",
                environment=(example_id("elsewhere"),),
                starting_weights=StartingWeights.NOTHING,
                starting_version=StartingVersion(example_id("another model"), "v9.99"),
                is_retraining=False,
            )
        )
    )
    order = msgspec.structs.replace(TRAINING_ORDER, initial_weights=VERSION_PUBLISHED.weights, seed=9)
    assert new_facts(log, history) == [
        msgspec.structs.replace(TRAINING_QUEUED, order=order, started_from=FIRST_OF_PANEL_A)
    ]


def test_the_chosen_version_counts_not_the_newest() -> None:  # W-11
    second = msgspec.structs.replace(VERSION_PUBLISHED, version="v1.02", weights=artifact("second.safetensors"))
    history = published().add(MODEL_ID, second)
    assay, log = assay_after(history)
    assay.dispatch(retrain(version="v1.01"))
    assay.dispatch(retrain(version="v1.02", job_id=example_id("from the second")))
    facts = [fact for fact in new_facts(log, history) if isinstance(fact, TrainingQueued)]
    assert [(fact.started_from and fact.started_from.label, fact.order.initial_weights) for fact in facts] == [
        ("v1.01", VERSION_PUBLISHED.weights),
        ("v1.02", artifact("second.safetensors")),
    ]


def test_a_version_that_was_never_published_cannot_be_trained_again() -> None:  # W-11
    assay, _ = assay_after(published())
    with pytest.raises(ModelVersionNotFound):
        assay.dispatch(retrain(version="v1.02"))


@pytest.mark.parametrize("actor", [TRAINER_LI_ID, QUALITY_LEAD_ID])
def test_only_the_owner_trains_a_model_again(actor: UUID) -> None:  # W-11, U
    history = published()
    assay, log = assay_after(history)
    with pytest.raises(NotTheOwner):
        assay.dispatch(retrain(actor=actor))
    with pytest.raises(NotTheOwner):
        check_step(assay, DRAFT, 1, actor)
    assert new_facts(log, history) == []


def test_the_heir_of_a_model_trains_it_again() -> None:  # U-7
    history = published().add(TRAINER_WANG_ID, UserDeleted(heir=TRAINER_LI_ID), actor=QUALITY_LEAD_ID)
    assay, log = assay_after(history)
    assay.dispatch(retrain(actor=TRAINER_LI_ID))
    (queued,) = new_facts(log, history)
    assert isinstance(queued, TrainingQueued)
    assert queued.owner == TRAINER_LI_ID


def test_a_draft_that_claims_to_be_a_retraining_makes_no_model_under_a_taken_name() -> None:  # W-2, U
    assay, log = assay_after(published())
    forged = QueueTrainingJob(actor=TRAINER_LI_ID, job_id=RETRAINING_ID, model_id=MODEL_ID, draft=DRAFT, seed=9)
    with pytest.raises(Exception, match="“panel-a” is taken"):
        assay.dispatch(forged)
    assert log.load(TrainingJob, RETRAINING_ID) is None


# W-11, M-6: nothing of the version's making has to stand


def test_neither_model_image_version_nor_task_type_must_stand() -> None:  # W-11, M-6
    history = published()
    assay, log = assay_after(history)
    assay.dispatch(DELETE_IMAGE_VERSION)
    assay.dispatch(DELETE_TASK_TYPE)
    assay.dispatch(retrain())
    job = log.load(TrainingJob, RETRAINING_ID)
    assert job is not None
    assert (job.model_image, job.task_type) == (VERSION_PUBLISHED.model_image, VERSION_PUBLISHED.task_type)
    assert job.order.input == TRAINING_ORDER.input


def test_a_waiting_retraining_keeps_nobody_from_deleting_them() -> None:  # M-6
    assay, _ = assay_after(published())
    assay.dispatch(retrain())
    assay.dispatch(DELETE_IMAGE_VERSION)
    assay.dispatch(DELETE_TASK_TYPE)
    with pytest.raises(IsInUse, match="“panel-a”"):
        assay.dispatch(DeleteComputeResource(actor=QUALITY_LEAD_ID, compute_resource_id=TWO_CORES_ID))


def test_a_retraining_starts_again_without_them_and_a_new_model_does_not() -> None:  # T-2, M-6
    for job, is_refused in ((retrain(), False), (trainings.queue(job_id=RETRAINING_ID), True)):
        assay, _ = assay_after(plant() if is_refused else published())
        assay.dispatch(job)
        assay.dispatch(StartTraining(actor=SYSTEM, job_id=RETRAINING_ID, attempt=1, worker="gpu-1"))
        assay.dispatch(TerminateTraining(actor=TRAINER_WANG_ID, job_id=RETRAINING_ID))
        assay.dispatch(DELETE_IMAGE_VERSION)
        again = RestartTraining(actor=TRAINER_WANG_ID, job_id=RETRAINING_ID)
        if is_refused:
            with pytest.raises(NeededIsGone):
                assay.dispatch(again)
        else:
            assert assay.dispatch(again)


# V-1, W-2


def test_two_retrainings_wait_at_once_and_become_the_next_versions() -> None:  # W-11, V-1
    second = example_id("panel-a second retraining")
    assay, log = assay_after(published())
    for job_id in (RETRAINING_ID, second):
        assay.dispatch(retrain(job_id=job_id))
    for job_id in (second, RETRAINING_ID):
        ran(assay, job_id)
        assay.dispatch(PublishModelVersion(actor=TRAINER_WANG_ID, job_id=job_id))
    model = log.load(Model, MODEL_ID)
    assert model is not None
    assert [(version.label, version.published.job_id) for version in model.versions] == [
        ("v1.01", TRAINING_JOB_ID),
        ("v1.02", second),
        ("v1.03", RETRAINING_ID),
    ]
    assert model.versions[1].published.started_from == FIRST_OF_PANEL_A


def test_a_second_click_trains_once() -> None:  # W-1
    history = published()
    assay, log = assay_after(history)
    assay.dispatch(retrain())
    assert assay.dispatch(retrain()) == 0
    assert len(new_facts(log, history)) == 1


def test_deleting_a_retraining_leaves_the_model_its_name() -> None:  # W-2
    history = published()
    assay, log = assay_after(history)
    assay.dispatch(retrain())
    assay.dispatch(DeleteTrainingJob(actor=TRAINER_WANG_ID, job_id=RETRAINING_ID))
    facts = new_facts(log, history)
    assert facts[-1] == TrainingDeleted()
    assert not any(isinstance(fact, NameReleased) for fact in facts)
    claim = log.load(NameClaim, NAME_ID)
    assert claim is not None
    assert claim.owner == MODEL_ID


# W-5: the paths of the first training


def test_the_paths_of_the_first_training_belong_to_every_further_one() -> None:  # W-5
    assay, _ = assay_after(published(), WITH_MORE)
    with pytest.raises(LockedDataPathIsMissing, match="data:panel-a/train"):
        assay.dispatch(retrain(changed(data_paths=(MORE_FOLDER,))))


def test_a_super_administrator_releases_a_locked_path_that_is_gone() -> None:  # W-5
    history = published()
    assay, log = assay_after(history, WITHOUT_THE_FIRST)
    both = retrain(changed(data_paths=(TRAINING_FOLDER, MORE_FOLDER)))
    with pytest.raises(LockedDataPathHasNoImages):
        assay.dispatch(both)
    assay.dispatch(ReleaseDataPath(actor=QUALITY_LEAD_ID, model_id=MODEL_ID, folder=TRAINING_FOLDER))
    assert new_facts(log, history) == [ModelDataPathReleased(folder=TRAINING_FOLDER)]
    assert log.events[-1].origin.actor == QUALITY_LEAD_ID
    assay.dispatch(retrain(changed(data_paths=(MORE_FOLDER,))))
    assert log.load(TrainingJob, RETRAINING_ID) is not None


def test_a_locked_path_with_images_is_not_released() -> None:  # W-5
    history = published()
    assay, log = assay_after(history)
    with pytest.raises(DataPathHasImages):
        assay.dispatch(ReleaseDataPath(actor=QUALITY_LEAD_ID, model_id=MODEL_ID, folder=TRAINING_FOLDER))
    assert new_facts(log, history) == []


def test_not_even_the_owner_releases_a_locked_path() -> None:  # W-5, U-6
    assay, log = assay_after(published(), WITHOUT_THE_FIRST)
    with pytest.raises(NotPermitted):
        assay.dispatch(ReleaseDataPath(actor=TRAINER_WANG_ID, model_id=MODEL_ID, folder=TRAINING_FOLDER))
    model = log.load(Model, MODEL_ID)
    assert model is not None
    assert model.locked_paths == (TRAINING_FOLDER,)


# W-12: a new model from a published version

PANEL_B = msgspec.structs.replace(
    trainings.DRAFT,
    model_name="panel-b",
    starting_weights=StartingWeights.VERSION,
    starting_version=StartingVersion(MODEL_ID, "v1.01"),
)
QUEUE_PANEL_B = QueueTrainingJob(
    actor=TRAINER_WANG_ID, job_id=RETRAINING_ID, model_id=example_id("panel-b"), draft=PANEL_B, seed=9
)


def test_a_new_model_starts_from_a_version_of_ones_own() -> None:  # W-12
    history = published()
    assay, log = assay_after(history)
    assay.dispatch(QUEUE_PANEL_B)
    queued = new_facts(log, history)[0]
    assert isinstance(queued, TrainingQueued)
    assert (queued.model_name, queued.started_from) == ("panel-b", FIRST_OF_PANEL_A)
    assert queued.order.initial_weights == VERSION_PUBLISHED.weights
    with pytest.raises(IsInUse):
        assay.dispatch(DELETE_IMAGE_VERSION)  # it is no retraining


def test_nobody_starts_from_somebody_elses_version() -> None:  # W-12, U
    history = published()
    for actor in (TRAINER_LI_ID, QUALITY_LEAD_ID):
        assay, log = assay_after(history)
        with pytest.raises(NotTheOwner):
            assay.dispatch(msgspec.structs.replace(QUEUE_PANEL_B, actor=actor))
        assert new_facts(log, history) == []


@pytest.mark.parametrize(
    ("chosen", "refusal"),
    [
        (StartingVersion(MODEL_ID, "v1.07"), ModelVersionNotFound),
        (StartingVersion(example_id("no such model"), "v1.01"), NotFound),
    ],
)
def test_a_version_to_start_from_must_be_there(chosen: StartingVersion, refusal: type[Exception]) -> None:  # W-12
    assay, _ = assay_after(published())
    with pytest.raises(refusal):
        check_step(assay, msgspec.structs.replace(PANEL_B, starting_version=chosen), 3, TRAINER_WANG_ID)


def test_a_version_of_another_network_is_told_in_step_3() -> None:  # W-12
    larger = OfferedNetwork(task=NetworkTask.CLASSIFICATION, name="ResNet34", input=NetworkInput(width=64, height=64))
    package = msgspec.structs.replace(PACKAGE, networks=(*PACKAGE.networks, larger))
    history = published().add(MODEL_IMAGE_ID, msgspec.structs.replace(MODEL_IMAGE_LOADED, number=2, package=package))
    assay, _ = assay_after(history)
    wanted = msgspec.structs.replace(
        PANEL_B, model_image_version=2, model_parameters=PANEL_B.model_parameters.replace("ResNet18", "ResNet34")
    )
    check_step(assay, wanted, 2, TRAINER_WANG_ID)
    with pytest.raises(StartingVersionHasAnotherNetwork) as refused:
        check_step(assay, wanted, 3, TRAINER_WANG_ID)
    assert refused.value.at == "starting_version"


# Events of earlier releases


def test_jobs_and_versions_of_earlier_releases_started_from_no_version() -> None:  # E-1
    stored = msgspec.json.encode(TRAINING_QUEUED), msgspec.json.encode(VERSION_PUBLISHED)
    assert not any(b"started_from" in content for content in stored)
    assert msgspec.json.decode(stored[0], type=TrainingQueued).started_from is None
    assert msgspec.json.decode(stored[1], type=ModelVersionPublished).started_from is None
