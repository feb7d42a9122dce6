from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.compute_resources import ComputeResourceCreated, ComputeResourceDeleted
from domain.environments import EnvironmentNodesAdded
from domain.facts import Fact
from domain.industries import DefaultIndustryChosen, IndustryLevelsDefined
from domain.messages import VersionResult
from domain.models import ModelVersionWithdrawn
from domain.prediction_jobs import (
    PredictionCompleted,
    PredictionDeleted,
    PredictionFailed,
    PredictionKind,
    PredictionStatus,
    PredictionTerminated,
)
from domain.sentences import Sentence
from domain.task_types import TaskTypeCreated, TaskTypeDeleted
from domain.training_jobs import TrainingDeleted, TrainingFailed, TrainingRestarted, TrainingStatus
from domain.users import UserDeleted
from projections.compute_resources import ComputeResources
from projections.environments import Environments
from projections.industries import Industries
from projections.models import Models
from projections.overview import KeyFigures, LowestAccuracy, Overview, SetupSteps
from projections.prediction_jobs import PredictionJobs
from projections.task_types import TaskTypes
from projections.training_jobs import TrainingJobs
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
    TRAINER_LI_ID,
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
SECOND_PREDICTION_ID, THIRD_PREDICTION_ID = example_id("panel-a-check again"), example_id("panel-a-check once more")
COMPARISON_ID, OTHER_MODEL_ID = example_id("one-to-two"), example_id("model panel-b")
COMPARISON_QUEUED = replace(PREDICTION_QUEUED, name="one-to-two", kind=PredictionKind.COMPARISON)
OUT_OF_MEMORY = Sentence("The GPU has too little memory. Lower batch_size.")


def published() -> History:
    """trainer_wang has one published model, v1.01, of 90 % accuracy."""
    return (
        plant()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED, TRAINING_PUBLISHED)
        .add(MODEL_ID, VERSION_PUBLISHED)
    )


def predicted(accuracy: float | None, label: str = "v1.01") -> PredictionCompleted:
    figures = replace(PREDICTION_COMPLETED.results[0].figures, accuracy=accuracy)
    result = VersionResult(label=label, evaluation=artifact("another evaluation"), figures=figures)
    return replace(PREDICTION_COMPLETED, results=(result,))


def compared(first: float, second: float) -> PredictionCompleted:
    [one, other] = (predicted(accuracy, label).results[0] for accuracy, label in ((first, "v1.01"), (second, "v1.02")))
    return replace(PREDICTION_COMPLETED, results=(one, other))


def lowest(accuracy: float, label: str = "v1.01", report_id: UUID | None = None) -> LowestAccuracy:
    return LowestAccuracy(accuracy=accuracy, model_id=MODEL_ID, model_name="panel-a", label=label, report_id=report_id)


def second_version(accuracy: float | None) -> Fact:
    return replace(VERSION_PUBLISHED, version="v1.02", figures=replace(VERSION_PUBLISHED.figures, accuracy=accuracy))


def test_a_new_user_has_nothing_and_no_lowest_accuracy(project: Project) -> None:  # O-1
    read = project(plant(), Users, Overview)
    assert read.overview.key_figures(TRAINER_WANG_ID) == KeyFigures()


def test_the_figures_count_what_the_user_owns_and_nothing_else(project: Project) -> None:  # O-1
    history = published().add(PREDICTION_JOB_ID, PREDICTION_QUEUED).add(COMPARISON_ID, COMPARISON_QUEUED)
    read = project(history, Users, Overview)
    figures = read.overview.key_figures(TRAINER_WANG_ID)
    assert figures == KeyFigures(
        model_count=1, lowest=lowest(0.9), training_job_count=1, prediction_job_count=1, comparison_count=1
    )
    assert figures.evaluation_job_count == 2
    assert read.overview.key_figures(QUALITY_LEAD_ID) == KeyFigures()


def test_the_newest_report_of_a_version_gives_its_accuracy(project: Project) -> None:  # O-1
    history = published().add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, predicted(0.75))
    read = project(history, Users, Overview)
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest == lowest(0.75, report_id=PREDICTION_JOB_ID)
    read.take_in(history.add(SECOND_PREDICTION_ID, PREDICTION_QUEUED, PREDICTION_STARTED, predicted(0.95)))
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest == lowest(0.95, report_id=SECOND_PREDICTION_ID)


def test_a_comparison_is_no_report_of_one_version(project: Project) -> None:  # O-1, V-3
    history = published().add(MODEL_ID, second_version(0.8))
    history.add(COMPARISON_ID, COMPARISON_QUEUED, PREDICTION_STARTED, compared(0.1, 0.2))
    read = project(history, Users, Overview)
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest == lowest(0.8, "v1.02")


def test_a_deleted_report_gives_way_to_the_one_before_and_in_the_end_to_the_training(project: Project) -> None:  # O-1
    history = published()
    for job_id, accuracy in ((PREDICTION_JOB_ID, 0.75), (SECOND_PREDICTION_ID, 0.5), (THIRD_PREDICTION_ID, 0.25)):
        history.add(job_id, PREDICTION_QUEUED, PREDICTION_STARTED, predicted(accuracy))
    read = project(history.add(SECOND_PREDICTION_ID, PredictionDeleted()), Users, Overview)
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest == lowest(0.25, report_id=THIRD_PREDICTION_ID)
    read.take_in(history.add(THIRD_PREDICTION_ID, PredictionDeleted()))
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest == lowest(0.75, report_id=PREDICTION_JOB_ID)
    read.take_in(history.add(PREDICTION_JOB_ID, PredictionDeleted()))
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest == lowest(0.9)


def test_the_lowest_accuracy_is_taken_over_all_versions_that_stand(project: Project) -> None:  # O-1, V-4
    history = published().add(MODEL_ID, second_version(0.6))
    read = project(history, Users, Overview)
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest == lowest(0.6, "v1.02")
    read.take_in(history.add(MODEL_ID, ModelVersionWithdrawn(version="v1.02", reason="misses TPFIP")))
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest == lowest(0.9)
    read.take_in(history.add(MODEL_ID, ModelVersionWithdrawn(version="v1.01", reason="misses TPFIP")))
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest is None


def test_a_version_without_an_accuracy_has_no_share_in_the_lowest(project: Project) -> None:  # O-1
    history = published().add(MODEL_ID, second_version(None))
    assert project(history, Users, Overview).overview.key_figures(TRAINER_WANG_ID).lowest == lowest(0.9)


def test_a_failed_job_counts_until_it_is_started_again_or_deleted(project: Project) -> None:  # O-1
    failed = TrainingFailed(reason=OUT_OF_MEMORY)
    history = plant().add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, failed)
    history.add(SECOND_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, failed)
    history.add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, PredictionFailed(reason=OUT_OF_MEMORY))
    history.add(COMPARISON_ID, COMPARISON_QUEUED, PREDICTION_STARTED, PredictionFailed(reason=OUT_OF_MEMORY))
    read = project(history, Users, Overview)
    figures = read.overview.key_figures(TRAINER_WANG_ID)
    assert figures == KeyFigures(
        training_job_count=2,
        prediction_job_count=1,
        comparison_count=1,
        failed_training_job_count=2,
        failed_prediction_job_count=1,
        failed_comparison_count=1,
    )
    assert figures.failed_job_count == 4
    history.add(TRAINING_JOB_ID, TrainingRestarted()).add(SECOND_JOB_ID, TrainingDeleted())
    read.take_in(history.add(PREDICTION_JOB_ID, PredictionDeleted()).add(COMPARISON_ID, PredictionDeleted()))
    assert read.overview.key_figures(TRAINER_WANG_ID) == KeyFigures(training_job_count=1)


def eventful_plant() -> History:
    """Jobs of every kind and in many states, of two users; a model with a withdrawn version and one without any other."""
    failed, prediction_failed = TrainingFailed(reason=OUT_OF_MEMORY), PredictionFailed(reason=OUT_OF_MEMORY)
    withdrawn = ModelVersionWithdrawn(version="v1.01", reason="misses TPFIP")
    history = published().add(MODEL_ID, second_version(0.8), withdrawn)
    history.add(OTHER_MODEL_ID, replace(VERSION_PUBLISHED, model_name="panel-b"), withdrawn)
    trainings: list[list[Fact]] = [[], [TRAINING_STARTED], [TRAINING_STARTED, failed], [TrainingDeleted()]]
    for number, facts in enumerate(trainings):
        history.add(example_id(f"training {number}"), TRAINING_QUEUED, *facts)
        history.add(example_id(f"training of li {number}"), replace(TRAINING_QUEUED, owner=TRAINER_LI_ID), *facts)
    for queued in (PREDICTION_QUEUED, COMPARISON_QUEUED):
        completed = predicted(0.5) if queued is PREDICTION_QUEUED else compared(0.5, 0.6)
        courses: list[list[Fact]] = [
            [],
            [PREDICTION_STARTED, completed],
            [PREDICTION_STARTED, completed, PredictionDeleted()],
            [PREDICTION_STARTED, prediction_failed],
            [PREDICTION_STARTED, prediction_failed],
            [PREDICTION_STARTED, prediction_failed, PredictionDeleted()],
            [PREDICTION_STARTED, PredictionTerminated()],
        ]
        for number, facts in enumerate(courses):
            history.add(example_id(f"{queued.name} {number}"), queued, *facts)
            history.add(example_id(f"{queued.name} of li {number}"), replace(queued, owner=TRAINER_LI_ID), *facts)
    return history


@pytest.mark.parametrize("is_inherited", [False, True])
def test_each_list_has_as_many_rows_as_its_figure_says(project: Project, is_inherited: bool) -> None:  # O-1, U-7
    history = eventful_plant()
    if is_inherited:
        history.add(TRAINER_LI_ID, UserDeleted(heir=TRAINER_WANG_ID))
    read = project(history, Users, TrainingJobs, PredictionJobs, Models, Overview)
    for user_id in (TRAINER_WANG_ID, TRAINER_LI_ID, QUALITY_LEAD_ID):
        if is_inherited and user_id == TRAINER_LI_ID:
            continue  # nobody's overview any more
        figures = read.overview.key_figures(user_id)
        assert figures.model_count == read.models.page(user_id).total
        assert figures.training_job_count == read.training_jobs.page(owner=user_id).total
        failed = read.training_jobs.page(owner=user_id, status=TrainingStatus.FAILED)
        assert figures.failed_training_job_count == failed.total
        counts = {
            PredictionKind.QUESTION_BANK: (figures.prediction_job_count, figures.failed_prediction_job_count),
            PredictionKind.COMPARISON: (figures.comparison_count, figures.failed_comparison_count),
        }
        for kind, (count, failed_count) in counts.items():
            assert count == read.prediction_jobs.page(user_id, kind).total
            failed = read.prediction_jobs.page(user_id, kind, status=PredictionStatus.FAILED)
            assert failed_count == failed.total
    wang = read.overview.key_figures(TRAINER_WANG_ID)
    assert (wang.model_count, wang.failed_job_count) == (2, 10 if is_inherited else 5)


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
    history = published().add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, predicted(0.75))
    history.add(SECOND_PREDICTION_ID, PREDICTION_QUEUED, PREDICTION_STARTED, predicted(None), PredictionDeleted())
    history.add(SECOND_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TrainingFailed(reason=OUT_OF_MEMORY))
    tables = project(history, Users, Overview).assert_rebuild_equals_live()
    assert (len(tables["overview_jobs"]), len(tables["overview_versions"])) == (3, 1)


def test_of_versions_equally_low_the_first_by_name_is_named(project: Project) -> None:  # O-1
    history = published().add(MODEL_ID, second_version(0.9))
    history.add(OTHER_MODEL_ID, replace(VERSION_PUBLISHED, model_name="apple"))
    found = project(history, Users, Overview).overview.key_figures(TRAINER_WANG_ID).lowest
    assert (found.model_name, found.label) == ("apple", "v1.01")


def test_a_deleted_report_gives_way_to_the_newest_of_the_same_version(project: Project) -> None:  # O-1, V-3
    history = published().add(MODEL_ID, second_version(0.95))
    for job_id, accuracy, label in (
        (PREDICTION_JOB_ID, 0.75, "v1.01"),
        (SECOND_PREDICTION_ID, 0.5, "v1.01"),
        (example_id("of the other version"), 0.96, "v1.02"),
        (THIRD_PREDICTION_ID, 0.25, "v1.01"),
    ):
        history.add(job_id, PREDICTION_QUEUED, PREDICTION_STARTED, predicted(accuracy, label))
    read = project(history.add(THIRD_PREDICTION_ID, PredictionDeleted()), Users, Overview)
    assert read.overview.key_figures(TRAINER_WANG_ID).lowest == lowest(0.5, report_id=SECOND_PREDICTION_ID)


def test_an_industry_that_is_not_the_default_sets_nothing_up(project: Project) -> None:  # M-7
    history = History()
    for event in plant().events:
        if not isinstance(event.data, DefaultIndustryChosen):
            history.add(event.originator_id, event.data)
    assert project(history, *MASTER_DATA).overview.setup() == SetupSteps(False, False, True, True)
