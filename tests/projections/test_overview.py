import pytest
from msgspec.structs import replace

from domain.compute_resources import ComputeResourceCreated, ComputeResourceDeleted
from domain.environments import EnvironmentNodesAdded
from domain.facts import Fact
from domain.industries import IndustryLevelsDefined
from domain.messages import VersionResult
from domain.prediction_jobs import PredictionDeleted, PredictionFailed
from domain.sentences import Sentence
from domain.task_types import TaskTypeCreated, TaskTypeDeleted
from domain.training_jobs import TrainingDeleted, TrainingFailed, TrainingRestarted
from projections.compute_resources import ComputeResources
from projections.environments import Environments
from projections.industries import Industries
from projections.overview import KeyFigures, Overview, SetupSteps
from projections.task_types import TaskTypes
from projections.users import Users
from tests.examples import (
    CLASSIFICATION_ID,
    FACTORY_1,
    INDUSTRY_ID,
    MODEL_ID,
    ONE_GPU_ID,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    QUALITY_LEAD_ID,
    SEGMENTATION_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    History,
    artifact,
    example_id,
    plant,
)
from tests.projections.read_side import Project

SECOND_JOB_ID = example_id("panel-b training job")
OUT_OF_MEMORY = Sentence("The GPU has too little memory. Lower batch_size.")


def published() -> History:
    """trainer_wang has one published model, v1.01, of 90 % accuracy."""
    return (
        plant()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED, TRAINING_PUBLISHED)
        .add(MODEL_ID, VERSION_PUBLISHED)
    )


def predicted(accuracy: float | None) -> Fact:
    figures = replace(PREDICTION_COMPLETED.results[0].figures, accuracy=accuracy)
    result = VersionResult(label="v1.01", evaluation=artifact("another evaluation"), figures=figures)
    return replace(PREDICTION_COMPLETED, results=(result,))


def test_a_new_user_has_nothing_and_no_lowest_accuracy(project: Project) -> None:  # O-1
    read = project(plant(), Users, Overview)
    assert read.overview.key_figures(TRAINER_WANG_ID) == KeyFigures(0, None, 0, 0, 0, 0)


def test_the_figures_count_what_the_user_owns_and_nothing_else(project: Project) -> None:  # O-1
    history = published().add(PREDICTION_JOB_ID, PREDICTION_QUEUED)
    read = project(history, Users, Overview)
    assert read.overview.key_figures(TRAINER_WANG_ID) == KeyFigures(1, 0.9, 1, 1, 0, 0)
    assert read.overview.key_figures(QUALITY_LEAD_ID) == KeyFigures(0, None, 0, 0, 0, 0)


def test_the_newest_report_of_a_version_gives_its_accuracy(project: Project) -> None:  # O-1
    history = published().add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, predicted(0.75))
    read = project(history, Users, Overview)
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest_accuracy == 0.75
    again = example_id("panel-a-check again")
    read.take_in(history.add(again, PREDICTION_QUEUED, PREDICTION_STARTED, predicted(0.95)))
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest_accuracy == 0.95


def test_the_lowest_accuracy_is_taken_over_all_versions(project: Project) -> None:  # O-1
    figures = replace(VERSION_PUBLISHED.figures, accuracy=0.6)
    history = published().add(MODEL_ID, replace(VERSION_PUBLISHED, version="v1.02", figures=figures))
    figures_of_wang = project(history, Users, Overview).overview.key_figures(TRAINER_WANG_ID)
    assert (figures_of_wang.model_count, figures_of_wang.lowest_accuracy) == (1, 0.6)


def test_a_failed_job_counts_until_it_is_started_again_or_deleted(project: Project) -> None:  # O-1
    failed = TrainingFailed(reason=OUT_OF_MEMORY)
    history = plant().add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, failed)
    history.add(SECOND_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, failed)
    history.add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, PredictionFailed(reason=OUT_OF_MEMORY))
    read = project(history, Users, Overview)
    figures = read.overview.key_figures(TRAINER_WANG_ID)
    assert (figures, figures.failed_job_count) == (KeyFigures(0, None, 2, 1, 2, 1), 3)
    history.add(TRAINING_JOB_ID, TrainingRestarted()).add(SECOND_JOB_ID, TrainingDeleted())
    read.take_in(history.add(PREDICTION_JOB_ID, PredictionDeleted()))
    assert read.overview.key_figures(TRAINER_WANG_ID) == KeyFigures(0, None, 1, 0, 0, 0)


MASTER_DATA = (Industries, Environments, TaskTypes, ComputeResources, Users, Overview)


def test_everything_is_set_up_once_all_four_kinds_of_master_data_exist(project: Project) -> None:  # M-7
    assert project(plant(), *MASTER_DATA).overview.setup() == SetupSteps(True, True, True, True)


def test_nothing_is_set_up_in_an_empty_platform(project: Project) -> None:  # M-7
    assert project(History(), *MASTER_DATA).overview.setup() == SetupSteps(False, False, False, False)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (IndustryLevelsDefined, SetupSteps(False, False, True, True)),
        (EnvironmentNodesAdded, SetupSteps(True, False, True, True)),
        (TaskTypeCreated, SetupSteps(True, True, False, True)),
        (ComputeResourceCreated, SetupSteps(True, True, True, False)),
    ],
)
def test_each_step_stays_open_while_its_master_data_is_missing(
    project: Project, missing: type[Fact], expected: SetupSteps
) -> None:  # M-7
    history = History()
    for event in plant().events:
        if not isinstance(event.data, missing):
            history.add(event.originator_id, event.data)
    assert project(history, *MASTER_DATA).overview.setup() == expected


def test_what_was_deleted_is_to_be_set_up_again(project: Project) -> None:  # M-7
    history = plant().add(TWO_CORES_ID, ComputeResourceDeleted()).add(ONE_GPU_ID, ComputeResourceDeleted())
    history.add(CLASSIFICATION_ID, TaskTypeDeleted()).add(SEGMENTATION_ID, TaskTypeDeleted())
    setup = project(history, *MASTER_DATA).overview.setup()
    assert setup == SetupSteps(True, True, False, False)
    assert not setup.is_done


def test_an_environment_counts_once_it_reaches_down_to_the_last_level(project: Project) -> None:  # M-7
    only_factories = EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(FACTORY_1,))
    history = History()
    for event in plant().events:
        history.add(
            event.originator_id, only_factories if isinstance(event.data, EnvironmentNodesAdded) else event.data
        )
    assert project(history, *MASTER_DATA).overview.setup() == SetupSteps(True, False, True, True)


def test_a_rebuild_gives_the_same_figures(project: Project) -> None:  # E-2
    history = published().add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, predicted(None))
    history.add(SECOND_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TrainingFailed(reason=OUT_OF_MEMORY))
    tables = project(history, Users, Overview).assert_rebuild_equals_live()
    assert (len(tables["overview_jobs"]), len(tables["overview_versions"])) == (3, 1)
