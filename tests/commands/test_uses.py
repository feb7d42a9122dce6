"""Nothing is deleted that a waiting or running job needs, whoever is faster."""

from collections.abc import Callable

import msgspec
import pytest

from commands.assay import Assay, Command
from commands.compute_resources import DeleteComputeResource
from commands.model_images import (
    DeleteModelImageVersion,
    FailLoading,
    InterruptLoading,
    RetryLoading,
    StartLoading,
)
from commands.prediction_jobs import (
    DeletePredictionJob,
    InterruptPrediction,
    QueuePredictionJob,
    RecordPrediction,
    RestartPrediction,
    StartPrediction,
    TerminatePrediction,
)
from commands.task_types import DeleteTaskType
from commands.training_jobs import (
    DeleteTrainingJob,
    InterruptTraining,
    QueueTrainingJob,
    RecordTraining,
    RestartTraining,
    StartTraining,
    TerminateTraining,
)
from domain.facts import SYSTEM
from domain.model_images import ModelImage
from domain.prediction_jobs import PredictionFailed
from domain.refusals import Refusal
from domain.sentences import Sentence
from domain.training_jobs import TrainingFailed
from domain.training_requests import NoComputeResourceChosen
from domain.uses import IsInUse, Needed, NeededIsGone, Uses
from tests.commands import test_model_images as images
from tests.commands import test_prediction_jobs as predictions
from tests.commands import test_training_jobs as trainings
from tests.commands.meeting import at_once
from tests.examples import (
    CLASSIFICATION_ID,
    MODEL_ID,
    MODEL_IMAGE_ID,
    PORTS,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    QUALITY_LEAD_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    MemoryLog,
    assay_after,
    example_id,
    plant,
)

DELETE_RESOURCE = DeleteComputeResource(actor=QUALITY_LEAD_ID, compute_resource_id=TWO_CORES_ID)
DELETE_TASK_TYPE = DeleteTaskType(actor=QUALITY_LEAD_ID, task_type_id=CLASSIFICATION_ID)
DELETE_IMAGE_VERSION = DeleteModelImageVersion(actor=TRAINER_WANG_ID, model_image_id=MODEL_IMAGE_ID, number=1)
QUEUE_TRAINING = QueueTrainingJob(
    actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID, model_id=MODEL_ID, draft=trainings.DRAFT, seed=7
)
QUEUE_PREDICTION = QueuePredictionJob(actor=TRAINER_WANG_ID, job_id=PREDICTION_JOB_ID, draft=predictions.DRAFT)
FULL_DISK = Sentence("The disk is full.")

START = StartTraining(actor=SYSTEM, job_id=TRAINING_JOB_ID, attempt=1, worker="gpu-1")
START_PREDICTION = StartPrediction(actor=SYSTEM, job_id=PREDICTION_JOB_ID, attempt=1, worker="gpu-1")
TERMINATE = TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID)
TERMINATE_PREDICTION = TerminatePrediction(actor=TRAINER_WANG_ID, job_id=PREDICTION_JOB_ID)
INTERRUPT = InterruptTraining(actor=SYSTEM, job_id=TRAINING_JOB_ID, attempt=1)
INTERRUPT_PREDICTION = InterruptPrediction(actor=SYSTEM, job_id=PREDICTION_JOB_ID, attempt=1)
RESTART, RESTART_PREDICTION = (
    RestartTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID),
    RestartPrediction(actor=TRAINER_WANG_ID, job_id=PREDICTION_JOB_ID),
)


def reported(fact: object) -> Command:
    """A worker's report, of a training or of a prediction."""
    if isinstance(fact, type(TRAINING_COMPLETED) | TrainingFailed):
        return RecordTraining(actor=SYSTEM, job_id=TRAINING_JOB_ID, attempt=1, fact=fact)
    assert isinstance(fact, type(PREDICTION_COMPLETED) | PredictionFailed)
    return RecordPrediction(actor=SYSTEM, job_id=PREDICTION_JOB_ID, attempt=1, fact=fact)


def assay_with(*commands: Command) -> Assay:
    """A plant with a published version, after these commands."""
    assay, _ = assay_after(plant().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID))
    for command in commands:
        assay.dispatch(command)
    return assay


OF_TRAININGS: list[Callable[[Assay], object]] = [
    lambda assay: assay.dispatch(DELETE_RESOURCE),
    lambda assay: assay.dispatch(DELETE_TASK_TYPE),
    lambda assay: assay.dispatch(DELETE_IMAGE_VERSION),
]
NEEDING = [
    (QUEUE_TRAINING,),
    (QUEUE_TRAINING, START),
    (QUEUE_TRAINING, START, INTERRUPT),
    (QUEUE_TRAINING, START, TERMINATE, RESTART),
    (QUEUE_TRAINING, START, reported(TrainingFailed(reason=FULL_DISK)), RESTART),
]
ENDED = [
    (),
    (QUEUE_TRAINING, DeleteTrainingJob(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID)),
    (QUEUE_TRAINING, START, TERMINATE),
    (QUEUE_TRAINING, START, reported(TrainingFailed(reason=FULL_DISK))),
    (QUEUE_TRAINING, START, reported(TRAINING_COMPLETED)),
]


@pytest.mark.parametrize("commands", NEEDING)
@pytest.mark.parametrize("delete", OF_TRAININGS)
def test_what_a_waiting_or_running_training_needs_stays(
    commands: tuple[Command, ...], delete: Callable[[Assay], object]
) -> None:  # M-6
    with pytest.raises(IsInUse, match=r"Waiting or running jobs need this \(1\): “panel-a”"):
        delete(assay_with(*commands))


@pytest.mark.parametrize("commands", ENDED)
@pytest.mark.parametrize("delete", OF_TRAININGS)
def test_what_ended_trainings_needed_can_go(
    commands: tuple[Command, ...], delete: Callable[[Assay], object]
) -> None:  # M-6
    delete(assay_with(*commands))


@pytest.mark.parametrize(
    "commands",
    [
        (QUEUE_PREDICTION,),
        (QUEUE_PREDICTION, START_PREDICTION),
        (QUEUE_PREDICTION, START_PREDICTION, INTERRUPT_PREDICTION),
        (QUEUE_PREDICTION, START_PREDICTION, TERMINATE_PREDICTION, RESTART_PREDICTION),
    ],
)
def test_a_prediction_needs_its_compute_resource_and_nothing_else(commands: tuple[Command, ...]) -> None:  # M-6
    assay = assay_with(*commands)
    with pytest.raises(IsInUse, match="“panel-a-check”"):
        assay.dispatch(DELETE_RESOURCE)
    assay.dispatch(DELETE_IMAGE_VERSION)
    assay.dispatch(DELETE_TASK_TYPE)


@pytest.mark.parametrize(
    "commands",
    [
        (QUEUE_PREDICTION, DeletePredictionJob(actor=TRAINER_WANG_ID, job_id=PREDICTION_JOB_ID)),
        (QUEUE_PREDICTION, START_PREDICTION, TERMINATE_PREDICTION),
        (QUEUE_PREDICTION, START_PREDICTION, reported(PredictionFailed(reason=FULL_DISK))),
        (QUEUE_PREDICTION, START_PREDICTION, reported(PREDICTION_COMPLETED)),
    ],
)
def test_an_ended_prediction_needs_nothing(commands: tuple[Command, ...]) -> None:  # M-6
    assay_with(*commands).dispatch(DELETE_RESOURCE)


FAIL_LOADING = FailLoading(actor=SYSTEM, model_image_id=images.PANEL_AOI_ID, attempt=1, reason=FULL_DISK)
START_LOADING = StartLoading(actor=SYSTEM, model_image_id=images.PANEL_AOI_ID, attempt=1, worker="gpu-1")
INTERRUPT_LOADING = InterruptLoading(actor=SYSTEM, model_image_id=images.PANEL_AOI_ID, attempt=1)


@pytest.mark.parametrize(
    "commands", [(), (START_LOADING,), (START_LOADING, INTERRUPT_LOADING)], ids=["waiting", "loading", "interrupted"]
)
def test_what_a_loading_package_needs_stays(commands: tuple[Command, ...]) -> None:  # M-6, I-4
    assay, _ = assay_after(plant(), images.WITH_ARCHIVES)
    for command in (images.IMPORT, *commands):
        assay.dispatch(command)
    with pytest.raises(IsInUse, match="“panel-aoi”"):
        assay.dispatch(DELETE_TASK_TYPE)


def test_a_further_version_needs_its_task_type_while_it_loads() -> None:  # M-6, I-4
    assay, _ = assay_after(plant(), images.WITH_ARCHIVES)
    assay.dispatch(images.adding("/archives/resnet18@1.1.tar"))
    with pytest.raises(IsInUse, match="“resnet18”"):
        assay.dispatch(DELETE_TASK_TYPE)
    images.load(assay, MODEL_IMAGE_ID, 2)
    assay.dispatch(DELETE_TASK_TYPE)


def test_a_package_that_could_not_be_loaded_needs_nothing_until_it_is_tried_again() -> None:  # M-6, I-4
    assay, _ = assay_after(plant(), images.WITH_ARCHIVES)
    for command in (images.IMPORT, START_LOADING, FAIL_LOADING):
        assay.dispatch(command)
    uses = assay.find(Uses, Needed.task_type(CLASSIFICATION_ID).uses_id)
    assert uses is not None
    assert uses.jobs == {}
    failed = assay.load(ModelImage, images.PANEL_AOI_ID).failures[0]
    retry = RetryLoading(actor=TRAINER_WANG_ID, model_image_id=images.PANEL_AOI_ID, loading=failed.loading)
    assay.dispatch(retry)
    with pytest.raises(IsInUse, match="“panel-aoi”"):
        assay.dispatch(DELETE_TASK_TYPE)


def test_a_package_whose_task_type_was_deleted_keeps_its_copy_and_is_tried_again() -> None:  # M-5, M-6
    assay, _ = assay_after(plant(), images.WITH_ARCHIVES)
    for command in (images.IMPORT, START_LOADING, FAIL_LOADING, DELETE_TASK_TYPE):
        assay.dispatch(command)
    failed = assay.load(ModelImage, images.PANEL_AOI_ID).failures[0]
    retry = RetryLoading(actor=TRAINER_WANG_ID, model_image_id=images.PANEL_AOI_ID, loading=failed.loading)
    assert assay.dispatch(retry) > 0


def test_a_job_whose_workers_all_died_needs_nothing() -> None:  # M-6, T-6
    assay = assay_with(QUEUE_TRAINING)
    for attempt in range(1, PORTS.max_attempts + 1):
        assay.dispatch(msgspec.structs.replace(START, attempt=attempt))
        with pytest.raises(IsInUse):
            assay.dispatch(DELETE_RESOURCE)
        assay.dispatch(msgspec.structs.replace(INTERRUPT, attempt=attempt))
    assay.dispatch(DELETE_RESOURCE)


def test_every_job_counts() -> None:  # M-6
    assay = assay_with(QUEUE_TRAINING, QUEUE_PREDICTION, START)
    with pytest.raises(IsInUse, match=r"Waiting or running jobs need this \(2\): “panel-a”, “panel-a-check”"):
        assay.dispatch(DELETE_RESOURCE)
    assay.dispatch(TERMINATE)
    with pytest.raises(IsInUse, match=r"Waiting or running jobs need this \(1\): “panel-a-check”"):
        assay.dispatch(DELETE_RESOURCE)


@pytest.mark.parametrize(
    ("commands", "restart"),
    [
        ((QUEUE_TRAINING, START, TERMINATE), RESTART),
        ((QUEUE_PREDICTION, START_PREDICTION, TERMINATE_PREDICTION), RESTART_PREDICTION),
    ],
)
def test_a_job_whose_compute_resource_was_deleted_is_not_started_again(
    commands: tuple[Command, ...], restart: Command
) -> None:  # M-6, T-2
    assay = assay_with(*commands, DELETE_RESOURCE)
    with pytest.raises(NeededIsGone, match="Make a new job and choose another one"):
        assay.dispatch(restart)


def test_a_training_whose_image_version_was_deleted_is_not_started_again() -> None:  # M-6, T-2, I-5
    assay = assay_with(QUEUE_TRAINING, START, TERMINATE, DELETE_IMAGE_VERSION)
    with pytest.raises(NeededIsGone, match="Make a new job and choose another one"):
        assay.dispatch(RESTART)


def test_a_job_whose_task_type_was_deleted_keeps_its_copy_and_starts_again() -> None:  # M-5, M-6
    assay = assay_with(QUEUE_TRAINING, START, TERMINATE, DELETE_TASK_TYPE)
    assert assay.dispatch(RESTART) > 0


def test_a_deleted_compute_resource_is_offered_to_no_new_job() -> None:  # M-6
    assay = assay_with(DELETE_RESOURCE)
    for queue in (QUEUE_TRAINING, QUEUE_PREDICTION):
        with pytest.raises(NoComputeResourceChosen):
            assay.dispatch(queue)


@pytest.mark.parametrize(
    ("queue", "delete", "needed"),
    [
        (QUEUE_TRAINING, DELETE_RESOURCE, Needed.compute_resource(TWO_CORES_ID)),
        (QUEUE_PREDICTION, DELETE_RESOURCE, Needed.compute_resource(TWO_CORES_ID)),
        (QUEUE_TRAINING, DELETE_IMAGE_VERSION, Needed.model_image_version(MODEL_IMAGE_ID, 1)),
    ],
)
def test_of_a_job_and_a_deletion_at_the_same_moment_one_is_refused(
    queue: Command, delete: Command, needed: Needed
) -> None:  # M-6, I-5
    log = MemoryLog(plant().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID).events)
    answers = at_once(log, PORTS, queue, delete)
    assert sum(isinstance(answer, Refusal) for answer in answers) == 1
    uses = log.load(Uses, needed.uses_id)
    assert uses is not None
    assert bool(uses.jobs) is not uses.is_ruled_out


def test_of_an_import_and_the_deletion_of_its_task_type_at_the_same_moment_one_is_refused() -> None:  # M-6, I-1
    answers = at_once(MemoryLog(plant().events), images.WITH_ARCHIVES, images.IMPORT, DELETE_TASK_TYPE)
    assert sum(isinstance(answer, Refusal) for answer in answers) == 1


def test_jobs_queued_before_uses_were_noted_run_to_their_end() -> None:  # E-1
    old = plant().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
    old.add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID)
    old.add(PREDICTION_JOB_ID, PREDICTION_QUEUED, actor=TRAINER_WANG_ID)
    assay, _ = assay_after(old)
    for command in (
        START,
        START_PREDICTION,
        TERMINATE,
        reported(PREDICTION_COMPLETED),
        RESTART,
        msgspec.structs.replace(START, attempt=2),
    ):
        assert assay.dispatch(command) > 0
    with pytest.raises(IsInUse, match="“panel-a”"):
        assay.dispatch(DELETE_RESOURCE)  # the restart was noted
    assert assay.find(Uses, example_id("nothing")) is None
