from datetime import timedelta
from typing import Any

import msgspec
import pytest

from domain.data_paths import FolderName
from domain.facts import Fact
from domain.messages import LossPart, PartLog, StageName
from domain.sentences import Sentence
from domain.training_jobs import (
    TrainedWeights,
    TrainingDeleted,
    TrainingFailed,
    TrainingInterrupted,
    TrainingLogKept,
    TrainingLossesMeasured,
    TrainingRestarted,
    TrainingStageFinished,
    TrainingStarted,
    TrainingStatus,
    TrainingTerminated,
    TrainingValidated,
    VersionUsed,
)
from domain.training_parameters import PreprocessingParameters, SgdParameters, TrainingParameters
from projections.training_jobs import Creator, LossPoint, TrainingJobs
from projections.users import Users
from tests.examples import (
    APPLIED_RULE,
    FIGURES,
    LAST_FIGURES,
    MODEL_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    WORSE_AT_THE_END,
    History,
    artifact,
    example_id,
    plant,
)
from tests.projections.read_side import Project, ReadSide

SCREENED = TrainingStageFinished(
    stage=StageName.RESOLUTION_SCREENING,
    seconds=4.5,
    image_count=120,
    non_compliant_count=3,
    damaged_count=1,
    resolution_rule=APPLIED_RULE,
)
SPLIT = TrainingStageFinished(
    stage=StageName.DATA_SPLIT, seconds=0.2, training_count=93, validation_count=23, manifest=artifact("manifest")
)
MEASURED = TrainingLossesMeasured(
    part=LossPart.CLASSIFICATION, iterations=(10, 20), losses=(1.1, 0.9), learning_rate=0.009
)
VALIDATED = TrainingValidated(part=LossPart.CLASSIFICATION, iteration=20, accuracy=0.75, recall=None, loss=0.8)
FAILED = TrainingFailed(
    reason=Sentence("The training diverged at iteration {iteration}.", {"iteration": 7}), log=artifact("failed.log")
)


def read_after(project: Project, *facts: Fact) -> ReadSide:
    return project(job_history(*facts), Users, TrainingJobs)


def job_history(*facts: Fact) -> History:
    return plant().add(TRAINING_JOB_ID, TRAINING_QUEUED, *facts)


def the_row(read: ReadSide) -> Any:
    (row,) = read.training_jobs.page().items
    return row


def test_a_queued_job_waits_under_the_version_of_its_model_image(project: Project) -> None:  # T-3
    row = the_row(read_after(project))
    assert (row.model_name, row.label, row.status, row.owner_name) == (
        "panel-a",
        "v1.0",
        TrainingStatus.WAITING,
        "trainer_wang",
    )
    assert row.duration_seconds(row.queued_at) is None
    assert row.share_done == 0.0


TENTH_TRAINED = 0.05 + 0.93 * 0.1
"""As its worker says it: 5 % are prepared, 2 % are to be judged."""
ALL_MEASURED = msgspec.structs.replace(MEASURED, iterations=(200,), losses=(0.1,))


@pytest.mark.parametrize(
    ("facts", "status", "share"),
    [
        ((TRAINING_STARTED,), TrainingStatus.TRAINING, 0.0),
        ((TRAINING_STARTED, MEASURED), TrainingStatus.TRAINING, TENTH_TRAINED),
        ((TRAINING_STARTED, MEASURED, TrainingTerminated()), TrainingStatus.TERMINATED, TENTH_TRAINED),
        ((TRAINING_STARTED, MEASURED, FAILED), TrainingStatus.FAILED, TENTH_TRAINED),
        ((TRAINING_STARTED, MEASURED, TrainingInterrupted()), TrainingStatus.WAITING, TENTH_TRAINED),
        ((TRAINING_STARTED, ALL_MEASURED), TrainingStatus.TRAINING, 0.98),  # to be judged
        ((TRAINING_STARTED, MEASURED, TrainingTerminated(), TrainingRestarted()), TrainingStatus.WAITING, 0.0),
        ((TRAINING_STARTED, TRAINING_COMPLETED), TrainingStatus.COMPLETED, 1.0),
        ((TRAINING_STARTED, TRAINING_COMPLETED, TRAINING_PUBLISHED), TrainingStatus.PUBLISHED, 1.0),
    ],
)
def test_the_list_shows_the_state_and_how_far_a_job_is(  # T-1, T-3
    project: Project, facts: tuple[Fact, ...], status: TrainingStatus, share: float
) -> None:
    row = the_row(read_after(project, *facts))
    assert (row.status, row.share_done) == (status, pytest.approx(share))


def test_a_published_job_bears_its_model_version(project: Project) -> None:  # T-3, V-1
    assert the_row(read_after(project, TRAINING_STARTED, TRAINING_COMPLETED, TRAINING_PUBLISHED)).label == "v1.01"


def test_a_completed_job_tells_what_its_best_and_last_weights_are_worth(project: Project) -> None:  # T-5, V-1
    chosen = msgspec.structs.replace(TRAINING_PUBLISHED, chosen_weights=TrainedWeights.LAST)
    history = job_history(TRAINING_STARTED, WORSE_AT_THE_END, chosen)
    history.add(example_id("not yet published"), TRAINING_QUEUED, TRAINING_STARTED, WORSE_AT_THE_END)
    read = project(history, Users, TrainingJobs).training_jobs
    job, other = read.get(TRAINING_JOB_ID), read.get(example_id("not yet published"))
    assert job.kept_weights == WORSE_AT_THE_END.kept_weights
    assert (job.figures, job.last_figures) == (FIGURES, LAST_FIGURES)
    assert (job.chosen_weights, other.chosen_weights) == (TrainedWeights.LAST, None)


def test_the_clock_runs_while_a_worker_trains_and_stands_still_while_the_job_waits(project: Project) -> None:  # T-3
    # Facts of a history lie one minute apart: trained 1 minute, waited 1 minute, training again.
    history = job_history(TRAINING_STARTED, TrainingInterrupted(), TrainingStarted(worker="gpu-2", attempt=2))
    read = project(history, Users, TrainingJobs)
    row = the_row(read)
    assert row.duration_seconds(row.running_since + timedelta(seconds=5)) == 65.0
    history.add(TRAINING_JOB_ID, TRAINING_COMPLETED)
    read.take_in(history)
    ended = the_row(read)
    assert ended.duration_seconds(ended.ended_at + timedelta(hours=1)) == 120.0


def test_the_interruptions_of_a_run_are_counted_and_forgotten_when_it_starts_again(
    project: Project,
) -> None:  # T-2, T-6
    history = job_history(
        TRAINING_STARTED, TrainingInterrupted(), TRAINING_STARTED, TrainingInterrupted(is_fault=False)
    )
    read = project(history, Users, TrainingJobs)
    assert the_row(read).interruptions == 2
    history.add(TRAINING_JOB_ID, TRAINING_STARTED, TrainingTerminated(), TrainingRestarted())
    read.take_in(history)
    assert the_row(read).interruptions == 0


def test_filters_find_by_state_creator_and_a_part_of_the_name(project: Project) -> None:  # T-3
    other = msgspec.structs.replace(
        TRAINING_QUEUED, owner=TRAINER_LI_ID, model_name="glass-b", model_id=example_id("b")
    )
    history = job_history(TRAINING_STARTED).add(example_id("glass-b job"), other)
    read = project(history, Users, TrainingJobs)

    def found(**filters: Any) -> list[str]:
        return [row.model_name for row in read.training_jobs.page(**filters).items]

    assert found() == ["glass-b", "panel-a"]
    assert found(status=TrainingStatus.TRAINING) == ["panel-a"]
    assert found(owner=TRAINER_LI_ID) == ["glass-b"]
    assert found(search="LASS") == ["glass-b"]
    assert found(search="%") == []
    assert found(status=TrainingStatus.FAILED) == []
    assert read.training_jobs.creators() == [
        Creator(TRAINER_LI_ID, "trainer_li"),
        Creator(TRAINER_WANG_ID, "trainer_wang"),
    ]


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("name", "glass-b"),
        ("-name", "panel-a"),
        ("status", "panel-a"),
        ("creator", "glass-b"),
        ("queued_at", "panel-a"),
        ("-duration", "panel-a"),
    ],
)
def test_the_list_is_sorted_by_any_column(project: Project, sort: str, first: str) -> None:  # T-3
    other = msgspec.structs.replace(TRAINING_QUEUED, owner=TRAINER_LI_ID, model_name="glass-b")
    history = job_history(TRAINING_STARTED).add(example_id("glass-b job"), other)
    page = project(history, Users, TrainingJobs).training_jobs.page(sort=sort)
    assert page.items[0].model_name == first


def test_the_monitor_finds_everything_after_the_job_ended(project: Project) -> None:  # T-4, T-5
    read = read_after(project, TRAINING_STARTED, SCREENED, SPLIT, MEASURED, VALIDATED, TRAINING_COMPLETED)
    job = read.training_jobs.get(TRAINING_JOB_ID)
    assert (job.ordered, job.environment) == (TRAINING_QUEUED.order, TRAINING_QUEUED.environment)
    assert (job.figures, job.log, job.device) == (TRAINING_COMPLETED.figures, TRAINING_COMPLETED.log, "cpu")
    stages = {row.stage: row for row in read.training_jobs.stages(TRAINING_JOB_ID)}
    screened, split = stages[StageName.RESOLUTION_SCREENING], stages[StageName.DATA_SPLIT]
    assert (screened.seconds, screened.non_compliant_count, screened.damaged_count) == (4.5, 3, 1)
    assert (split.training_count, split.validation_count, split.manifest) == (93, 23, artifact("manifest"))
    assert read.training_jobs.losses(TRAINING_JOB_ID, LossPart.CLASSIFICATION) == [
        LossPoint(10, 1.1),
        LossPoint(20, 0.9),
    ]
    (part,) = read.training_jobs.parts(TRAINING_JOB_ID)
    assert (part.iteration, part.max_iter, part.learning_rate) == (20, 200, 0.009)
    (validation,) = read.training_jobs.validations(TRAINING_JOB_ID)
    assert (validation.iteration, validation.accuracy, validation.recall, validation.loss) == (20, 0.75, None, 0.8)


def test_a_failed_job_keeps_its_reason_and_its_log(project: Project) -> None:  # T-7
    read = read_after(project, TRAINING_STARTED, FAILED).training_jobs
    job = read.get(TRAINING_JOB_ID)
    assert (job.reason, job.log) == (FAILED.reason, FAILED.log)
    assert [row.reason for row in read.page().items] == [FAILED.reason]


LOG_KEPT = TrainingLogKept(
    log=artifact("terminated.log"),
    part_logs=(PartLog(part=LossPart.SEGMENTATION, log=artifact("segmentation.log")),),
)
TERMINATED = (TRAINING_STARTED, MEASURED, TrainingTerminated(), LOG_KEPT)


def test_a_terminated_job_gets_its_log(project: Project) -> None:  # T-5
    job = read_after(project, *TERMINATED).training_jobs.get(TRAINING_JOB_ID)
    assert (job.status, job.log, job.part_logs) == (TrainingStatus.TERMINATED, LOG_KEPT.log, LOG_KEPT.part_logs)


def test_starting_again_takes_the_logs_of_the_run_before_away(project: Project) -> None:  # T-2
    job = read_after(project, *TERMINATED, TrainingRestarted()).training_jobs.get(TRAINING_JOB_ID)
    assert (job.log, job.part_logs) == (None, ())


def test_the_validations_of_a_segmentation_carry_the_iou_of_every_code(project: Project) -> None:  # T-5
    measured = TrainingValidated(
        part=LossPart.SEGMENTATION,
        iteration=40,
        accuracy=None,
        recall=None,
        loss=0.5,
        iou=0.25,
        code_ious=(0.5, None, 0.0),
    )
    (row,) = read_after(project, TRAINING_STARTED, measured).training_jobs.validations(TRAINING_JOB_ID)
    assert (row.part, row.iou, row.code_ious, row.accuracy) == (LossPart.SEGMENTATION, 0.25, (0.5, None, 0.0), None)


def test_points_measured_again_after_a_resume_count_once(project: Project) -> None:  # T-6
    again = TrainingLossesMeasured(
        part=LossPart.CLASSIFICATION, iterations=(20, 30), losses=(0.9, 0.7), learning_rate=0.008
    )
    resumed = TrainingStarted(worker="gpu-2", attempt=2)
    read = read_after(project, TRAINING_STARTED, SCREENED, MEASURED, TrainingInterrupted(), resumed, SCREENED, again)
    curve = read.training_jobs.losses(TRAINING_JOB_ID, LossPart.CLASSIFICATION)
    assert [point.iteration for point in curve] == [10, 20, 30]
    assert len(read.training_jobs.stages(TRAINING_JOB_ID)) == 1
    assert (the_row(read).worker, the_row(read).iteration) == ("gpu-2", 30)


def test_starting_again_clears_what_the_run_before_has_measured(project: Project) -> None:  # T-2
    read = read_after(project, TRAINING_STARTED, SCREENED, MEASURED, VALIDATED, FAILED, TrainingRestarted())
    job = read.training_jobs.get(TRAINING_JOB_ID)
    assert (job.status, job.run, job.reason, job.log, job.ended_at) == (TrainingStatus.WAITING, 2, None, None, None)
    assert job.duration_seconds(job.queued_at) is None
    assert read.training_jobs.stages(TRAINING_JOB_ID) == []
    assert read.training_jobs.losses(TRAINING_JOB_ID, LossPart.CLASSIFICATION) == []
    assert read.training_jobs.validations(TRAINING_JOB_ID) == []
    assert [part.learning_rate for part in read.training_jobs.parts(TRAINING_JOB_ID)] == [None]


def test_a_job_that_trains_segmentation_has_two_curves(project: Project) -> None:  # T-5
    order = msgspec.structs.replace(
        TRAINING_QUEUED.order,
        training_parameters=TrainingParameters(
            SgdParameters(base_lr=0.01, batch_size=16, max_iter=200),
            SgdParameters(base_lr=0.01, batch_size=4, max_iter=600),
        ),
        preprocessing=PreprocessingParameters(train_segmentation=True),
    )
    measured = TrainingLossesMeasured(part=LossPart.SEGMENTATION, iterations=(100,), losses=(0.5,), learning_rate=0.01)
    history = plant().add(
        TRAINING_JOB_ID, msgspec.structs.replace(TRAINING_QUEUED, order=order), TRAINING_STARTED, MEASURED, measured
    )
    read = project(history, Users, TrainingJobs)
    parts = read.training_jobs.parts(TRAINING_JOB_ID)
    assert [(part.part, part.iteration, part.max_iter) for part in parts] == [
        (LossPart.CLASSIFICATION, 20, 200),
        (LossPart.SEGMENTATION, 100, 600),
    ]
    assert the_row(read).share_done == pytest.approx(0.05 + 0.93 * 120 / 800)
    assert read.training_jobs.losses(TRAINING_JOB_ID, LossPart.SEGMENTATION) == [LossPoint(100, 0.5)]


def test_a_long_curve_is_drawn_from_at_most_600_points_that_keep_every_spike(project: Project) -> None:  # T-5
    # A slowly falling curve of 7000 points with one spike up and one dip.
    losses = [2.0 - number / 7000 for number in range(7000)]
    losses[3333], losses[5001] = 9.5, 0.001
    whole = TrainingLossesMeasured(
        part=LossPart.CLASSIFICATION,
        iterations=tuple(range(20, 140_020, 20)),
        losses=tuple(losses),
        learning_rate=0.001,
    )
    curve = read_after(project, TRAINING_STARTED, whole).training_jobs.losses(TRAINING_JOB_ID, LossPart.CLASSIFICATION)
    assert 400 < len(curve) <= 602
    assert {LossPoint(20 * 3334, 9.5), LossPoint(20 * 5002, 0.001)} <= set(curve)
    assert (curve[0].iteration, curve[-1].iteration) == (20, 140_000)
    assert [point.iteration for point in curve] == sorted({point.iteration for point in curve})


def test_a_deleted_job_leaves_nothing_behind(project: Project) -> None:  # T-2
    read = read_after(project, TRAINING_STARTED, SCREENED, MEASURED, VALIDATED, TrainingTerminated(), TrainingDeleted())
    assert read.training_jobs.get(TRAINING_JOB_ID) is None
    tables = read.assert_rebuild_equals_live()
    assert {name: len(rows) for name, rows in tables.items() if name.startswith("training_")} == {
        "training_jobs": 0,
        "training_parts": 0,
        "training_stages": 0,
        "training_losses": 0,
        "training_validations": 0,
    }


def test_a_rebuild_gives_the_same_jobs(project: Project) -> None:  # E-2
    history = job_history(TRAINING_STARTED, SCREENED, SPLIT, MEASURED, VALIDATED, TrainingInterrupted())
    history.add(TRAINING_JOB_ID, TrainingStarted(worker="gpu-2", attempt=2), MEASURED, FAILED, TrainingRestarted())
    history.add(TRAINING_JOB_ID, TrainingStarted(worker="gpu-1", attempt=3), SCREENED, MEASURED, TRAINING_COMPLETED)
    history.add(TRAINING_JOB_ID, TRAINING_PUBLISHED)
    other = msgspec.structs.replace(
        TRAINING_QUEUED.order, model_name="glass-b", data_paths=(FolderName("data", "glass-b"),)
    )
    history.add(
        example_id("glass-b job"), msgspec.structs.replace(TRAINING_QUEUED, order=other), TRAINING_STARTED, MEASURED
    )
    tables = project(history, Users, TrainingJobs).assert_rebuild_equals_live()
    assert [len(tables[name]) for name in ("training_jobs", "training_stages", "training_losses")] == [2, 1, 2]


def test_a_job_tells_which_version_it_started_from(project: Project) -> None:  # W-11, W-12
    started_from = VersionUsed(MODEL_ID, "panel-a", "v1.01")
    again = msgspec.structs.replace(TRAINING_QUEUED, started_from=started_from)
    history = plant().add(TRAINING_JOB_ID, TRAINING_QUEUED).add(example_id("again"), again)
    read = project(history, Users, TrainingJobs).training_jobs
    assert (read.get(TRAINING_JOB_ID).started_from, read.get(example_id("again")).started_from) == (None, started_from)


def two_jobs() -> History:
    """Another job beside the one that is asked for, with other measurements of everything."""
    other = example_id("glass-b job")
    queued = msgspec.structs.replace(TRAINING_QUEUED, model_name="Glass-b")
    history = job_history(TRAINING_STARTED, SCREENED, MEASURED, VALIDATED)
    elsewhere = msgspec.structs.replace(MEASURED, iterations=(150,), losses=(0.1,))
    validated = msgspec.structs.replace(VALIDATED, iteration=150)
    return history.add(other, queued, TRAINING_STARTED, SPLIT, elsewhere, validated)


def test_every_job_has_measurements_of_its_own(project: Project) -> None:  # T-3, T-5
    read = project(two_jobs(), Users, TrainingJobs).training_jobs
    for job_id, stage, iteration, share in (
        (TRAINING_JOB_ID, StageName.RESOLUTION_SCREENING, 20, TENTH_TRAINED),
        (example_id("glass-b job"), StageName.DATA_SPLIT, 150, 0.05 + 0.93 * 0.75),
    ):
        assert [row.stage for row in read.stages(job_id)] == [stage]
        assert [part.iteration for part in read.parts(job_id)] == [iteration]
        assert [row.iteration for row in read.validations(job_id)] == [iteration]
        assert read.losses(job_id, LossPart.CLASSIFICATION)[-1].iteration == iteration
        assert read.get(job_id).share_done == pytest.approx(share)
    assert {row.model_name: row.iteration for row in read.page().items} == {"panel-a": 20, "Glass-b": 150}


def test_names_are_sorted_whatever_their_case_and_equal_rows_newest_first(project: Project) -> None:  # T-3
    history = two_jobs().add(example_id("a third job"), msgspec.structs.replace(TRAINING_QUEUED, model_name="apple"))
    history.add(example_id("a fourth job"), msgspec.structs.replace(TRAINING_QUEUED, model_name="zebra"))
    read = project(history, Users, TrainingJobs).training_jobs
    assert [row.model_name for row in read.page(sort="name").items] == ["apple", "Glass-b", "panel-a", "zebra"]
    newest_first = ["zebra", "apple", "Glass-b", "panel-a"]
    for sort in ("creator", "-creator"):
        assert [row.model_name for row in read.page(sort=sort).items] == newest_first


def test_validations_come_by_network_and_iteration(project: Project) -> None:  # T-5
    facts = [
        TrainingValidated(part=part, iteration=iteration, accuracy=None, recall=None, loss=None)
        for part, iteration in (
            (LossPart.SEGMENTATION, 5),
            (LossPart.CLASSIFICATION, 100),
            (LossPart.CLASSIFICATION, 20),
            (LossPart.SEGMENTATION, 3),
        )
    ]
    rows = read_after(project, TRAINING_STARTED, *facts).training_jobs.validations(TRAINING_JOB_ID)
    assert [(row.part, row.iteration) for row in rows] == [
        (LossPart.CLASSIFICATION, 20),
        (LossPart.CLASSIFICATION, 100),
        (LossPart.SEGMENTATION, 3),
        (LossPart.SEGMENTATION, 5),
    ]


def test_a_curve_begins_and_ends_where_it_was_measured(project: Project) -> None:  # T-5
    zigzag = [1.0, *([2.0, 0.5] * 2), 1.0]
    measured = TrainingLossesMeasured(
        part=LossPart.CLASSIFICATION, iterations=(1, 2, 3, 4, 5, 6), losses=tuple(zigzag), learning_rate=0.1
    )
    nothing = msgspec.structs.replace(measured, iterations=(), losses=())
    read = read_after(project, TRAINING_STARTED, nothing, measured).training_jobs
    curve = read.losses(TRAINING_JOB_ID, LossPart.CLASSIFICATION, most=2)
    assert [point.iteration for point in curve] == [1, 2, 3, 6]  # first, highest, lowest, last
    assert [point.loss for point in curve] == [1.0, 2.0, 0.5, 1.0]
    assert read.parts(TRAINING_JOB_ID)[0].iteration == 6


def test_every_new_start_is_a_run_of_its_own(project: Project) -> None:  # T-2
    again = (TRAINING_STARTED, TrainingTerminated(), TrainingRestarted())
    assert the_row(read_after(project, *again, *again, *again)).run == 4


def test_parameters_of_a_segmentation_that_is_not_trained_have_no_effect(project: Project) -> None:  # W-9
    sgd = SgdParameters(base_lr=0.01, batch_size=16, max_iter=200)
    order = msgspec.structs.replace(
        TRAINING_QUEUED.order,
        training_parameters=TrainingParameters(sgd, sgd),
        preprocessing=PreprocessingParameters(train_segmentation=False),
    )
    queued = msgspec.structs.replace(TRAINING_QUEUED, order=order)
    read = project(plant().add(TRAINING_JOB_ID, queued), Users, TrainingJobs).training_jobs
    assert [part.part for part in read.parts(TRAINING_JOB_ID)] == [LossPart.CLASSIFICATION]
    assert read.get(TRAINING_JOB_ID).max_iter == 200
