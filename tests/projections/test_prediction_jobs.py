"""The list of prediction jobs, from facts."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.facts import Fact
from domain.prediction_jobs import (
    PredictionDeleted,
    PredictionFailed,
    PredictionInterrupted,
    PredictionKind,
    PredictionLogKept,
    PredictionRestarted,
    PredictionStatus,
    PredictionTerminated,
)
from domain.sentences import Sentence
from infra.connections import open_pool
from infra.event_store import create_tables, open_event_log
from infra.projector import Projector
from projections.prediction_jobs import SORTS, PredictionJobs
from projections.users import Users
from tests.examples import (
    FIGURES,
    MODEL_ID,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    TRAINER_LI,
    TRAINER_LI_ID,
    TRAINER_WANG,
    TRAINER_WANG_ID,
    TWO_CORES_ID,
    History,
    artifact,
    example_id,
)
from tests.projections.rebuild import assert_rebuild_equals_live

REASON = Sentence("The disk is full.")
LOG_KEPT = PredictionLogKept(log=artifact("terminated.log"))
After = Callable[..., PredictionJobs]


@pytest.fixture
def after(database: str) -> Iterator[After]:
    """The read model after a history; each is also rebuilt and compared (E-2)."""
    create_tables(database)
    log = open_event_log(database)
    with open_pool(database) as pool:

        def project(history: History) -> PredictionJobs:
            log.append(history.events)
            projector = Projector(log, database, [Users, PredictionJobs])
            projector.drain()
            projector.close()
            assert_rebuild_equals_live(log, database, [Users, PredictionJobs], batch=2)
            return PredictionJobs(pool)

        yield project
    log.close()


def _job(*facts: Fact, job_id: UUID = PREDICTION_JOB_ID) -> History:
    people = History().add(TRAINER_WANG_ID, TRAINER_WANG).add(TRAINER_LI_ID, TRAINER_LI)
    return people.add(job_id, *facts, actor=TRAINER_WANG_ID)


def test_a_queued_job_waits_in_its_owners_list_only(after: After) -> None:  # P-2
    jobs = after(_job(PREDICTION_QUEUED))
    (row,) = jobs.page(TRAINER_WANG_ID, PredictionKind.QUESTION_BANK).items
    assert (row.name, row.model_name, row.versions, row.status) == (
        "panel-a-check",
        "panel-a",
        ("v1.01",),
        PredictionStatus.WAITING,
    )
    assert row.seconds is None
    assert (row.compute_resource_id, row.batch_size) == (TWO_CORES_ID, PREDICTION_QUEUED.order.parameters.batch_size)
    assert jobs.page(TRAINER_LI_ID, PredictionKind.QUESTION_BANK).items == ()
    assert jobs.page(TRAINER_WANG_ID, PredictionKind.COMPARISON).items == ()


def test_a_completed_job_has_its_figures_and_its_duration(after: After) -> None:  # P-2
    jobs = after(_job(PREDICTION_QUEUED, PREDICTION_STARTED, PREDICTION_COMPLETED))
    row = jobs.get(PREDICTION_JOB_ID)
    assert row is not None
    assert (row.status, row.worker, row.seconds) == (PredictionStatus.COMPLETED, "gpu-1", 60.0)
    assert (row.accuracy, row.recall, row.iou) == (FIGURES.accuracy, FIGURES.recall, None)
    assert row.log == PREDICTION_COMPLETED.log


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ((PredictionFailed(reason=REASON),), PredictionStatus.FAILED),
        ((PredictionTerminated(),), PredictionStatus.TERMINATED),
        ((PredictionInterrupted(),), PredictionStatus.WAITING),
        ((PredictionFailed(reason=REASON), PredictionRestarted()), PredictionStatus.WAITING),
        ((PredictionTerminated(), LOG_KEPT, PredictionRestarted()), PredictionStatus.WAITING),
    ],
)
def test_every_ending_shows_its_state(after: After, ending: tuple[Fact, ...], status: PredictionStatus) -> None:  # P-2
    row = after(_job(PREDICTION_QUEUED, PREDICTION_STARTED, *ending)).get(PREDICTION_JOB_ID)
    assert row is not None
    assert row.status is status
    assert row.reason == (REASON if status is PredictionStatus.FAILED else None)
    assert row.log is None
    assert (row.started_at is None) == (status is PredictionStatus.WAITING)


def test_a_job_knows_the_attempt_whose_log_is_written(after: After) -> None:  # P-2
    begun_again = msgspec.structs.replace(PREDICTION_STARTED, attempt=2)
    interrupted = _job(PREDICTION_QUEUED, PREDICTION_STARTED, PredictionInterrupted(), begun_again)
    jobs = after(interrupted.add(other := example_id("waiting"), PREDICTION_QUEUED))
    assert [jobs.get(job_id).attempt for job_id in (PREDICTION_JOB_ID, other)] == [2, 0]  # type: ignore[union-attr]


def test_a_job_that_is_started_again_has_no_log_yet(after: After) -> None:  # P-2
    failed = PredictionFailed(reason=REASON, log=artifact("failed.log"))
    row = after(_job(PREDICTION_QUEUED, PREDICTION_STARTED, failed, PredictionRestarted())).get(PREDICTION_JOB_ID)
    assert row is not None
    assert (row.log, row.attempt) == (None, 0)


def test_a_terminated_job_gets_its_log(after: After) -> None:  # P-2
    terminated = _job(PREDICTION_QUEUED, PREDICTION_STARTED, PredictionTerminated(), LOG_KEPT)
    row = after(terminated).get(PREDICTION_JOB_ID)
    assert row is not None
    assert (row.status, row.log) == (PredictionStatus.TERMINATED, LOG_KEPT.log)


def test_the_mean_iou_of_a_version_that_segments_is_there(after: After) -> None:  # R-1, P-3
    [result] = PREDICTION_COMPLETED.results
    figures = msgspec.structs.replace(result.figures, iou=0.625)
    completed = msgspec.structs.replace(
        PREDICTION_COMPLETED, results=(msgspec.structs.replace(result, figures=figures),)
    )
    row = after(_job(PREDICTION_QUEUED, PREDICTION_STARTED, completed)).get(PREDICTION_JOB_ID)
    assert row is not None
    assert row.iou == 0.625


def test_a_deleted_job_is_gone(after: After) -> None:
    jobs = after(_job(PREDICTION_QUEUED, PredictionDeleted()))
    assert jobs.get(PREDICTION_JOB_ID) is None
    assert jobs.page(TRAINER_WANG_ID, PredictionKind.QUESTION_BANK).total == 0


def test_the_newest_prediction_of_a_version_is_found(after: After) -> None:  # V-3
    newer = example_id("newer")
    history = _job(PREDICTION_QUEUED, PREDICTION_STARTED, PREDICTION_COMPLETED)
    history.add(newer, PREDICTION_QUEUED, PREDICTION_STARTED, PREDICTION_COMPLETED)
    history.add(example_id("unfinished"), PREDICTION_QUEUED, PREDICTION_STARTED)
    jobs = after(history)
    assert jobs.newest_for(MODEL_ID, "v1.01") == newer
    assert jobs.newest_for(MODEL_ID, "v1.02") is None


OTHERS = {
    "edge-check": {"name": "edge-check", "model_name": "glass-edge", "task_type": "分割分类"},
    "panel-b-check": {"name": "panel-b-check"},
}


def _several() -> History:
    """Three predictions of trainer_wang, the first completed, the last failed, and a comparison."""
    history = _job(PREDICTION_QUEUED, PREDICTION_STARTED, PREDICTION_COMPLETED)
    for name, changes in OTHERS.items():
        history.add(example_id(name), msgspec.structs.replace(PREDICTION_QUEUED, **changes))
    history.add(example_id("panel-b-check"), PREDICTION_STARTED, PredictionFailed(reason=REASON))
    compared = msgspec.structs.replace(PREDICTION_QUEUED, name="one-to-two", kind=PredictionKind.COMPARISON)
    return history.add(example_id("one-to-two"), compared)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["panel-b-check", "edge-check", "panel-a-check"]),
        ({"status": PredictionStatus.FAILED}, ["panel-b-check"]),
        ({"status": PredictionStatus.TERMINATED}, []),
        ({"task_type": "分割分类"}, ["edge-check"]),
        ({"search": "PANEL"}, ["panel-b-check", "panel-a-check"]),
        ({"model": "glass"}, ["edge-check"]),
        ({"model": "panel", "search": "b-"}, ["panel-b-check"]),
        ({"sort": "name"}, ["edge-check", "panel-a-check", "panel-b-check"]),
    ],
)
def test_a_list_is_filtered_and_sorted_as_asked(after: After, asked: dict[str, Any], names: list[str]) -> None:  # P-2
    jobs = after(_several())
    page = jobs.page(TRAINER_WANG_ID, PredictionKind.QUESTION_BANK, **asked)
    assert [row.name for row in page.items] == names
    assert page.total == len(names)
    assert jobs.page(TRAINER_LI_ID, PredictionKind.QUESTION_BANK, **asked).total == 0


def test_every_order_that_is_offered_is_one_that_the_database_knows(after: After) -> None:
    jobs = after(_several())
    for sort in SORTS:
        assert jobs.page(TRAINER_WANG_ID, PredictionKind.QUESTION_BANK, sort=f"-{sort}").total == 3


def test_the_model_types_of_a_list_are_those_of_its_jobs(after: After) -> None:  # P-2
    jobs = after(_several())
    assert sorted(jobs.task_types(TRAINER_WANG_ID, PredictionKind.QUESTION_BANK)) == ["分割分类", "分类"]
    assert jobs.task_types(TRAINER_WANG_ID, PredictionKind.COMPARISON) == ["分类"]
    assert jobs.task_types(TRAINER_LI_ID, PredictionKind.QUESTION_BANK) == []


def test_durations_are_sorted_and_what_has_none_comes_last(after: After) -> None:  # P-2
    quick, slow, waiting = (example_id(name) for name in ("quick", "slow", "waiting"))
    history = _job(msgspec.structs.replace(PREDICTION_QUEUED, name="quick"), job_id=quick)
    history.add(slow, msgspec.structs.replace(PREDICTION_QUEUED, name="slow"), PREDICTION_STARTED)
    history.add(waiting, msgspec.structs.replace(PREDICTION_QUEUED, name="waiting"))
    history.add(quick, PREDICTION_STARTED, PREDICTION_COMPLETED).add(slow, PREDICTION_COMPLETED)
    jobs = after(history)
    for sort, names in (("seconds", ["quick", "slow", "waiting"]), ("-seconds", ["slow", "quick", "waiting"])):
        rows = jobs.page(TRAINER_WANG_ID, PredictionKind.QUESTION_BANK, sort=sort).items
        assert [row.name for row in rows] == names


def test_a_comparison_is_listed_with_the_figures_of_its_first_version_and_is_no_models_newest_report(
    after: After,
) -> None:  # P-3, V-3
    [result] = PREDICTION_COMPLETED.results
    second = msgspec.structs.replace(
        result, label="v1.02", figures=msgspec.structs.replace(result.figures, accuracy=0.1)
    )
    completed = msgspec.structs.replace(PREDICTION_COMPLETED, results=(result, second))
    compared = msgspec.structs.replace(PREDICTION_QUEUED, kind=PredictionKind.COMPARISON)
    other = msgspec.structs.replace(PREDICTION_QUEUED, model_id=example_id("another model"))
    history = _job(PREDICTION_QUEUED, PREDICTION_STARTED, PREDICTION_COMPLETED)
    history.add(example_id("elsewhere"), other, PREDICTION_STARTED, PREDICTION_COMPLETED)
    jobs = after(history.add(example_id("compared"), compared, PREDICTION_STARTED, completed))
    row = jobs.get(example_id("compared"))
    assert row is not None
    assert row.accuracy == FIGURES.accuracy
    assert jobs.newest_for(MODEL_ID, "v1.01") == PREDICTION_JOB_ID
