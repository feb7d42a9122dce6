"""Reports and their samples, from facts and the artifacts they name."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from domain.evaluation import SampleState, Segmented
from domain.prediction_jobs import PredictionDeleted
from domain.training_jobs import TrainingDeleted
from infra.connections import open_pool
from infra.event_store import EventLog, create_tables, open_event_log
from infra.projector import Projector
from projections import evaluation_reports, sample_index
from projections.evaluation_reports import LAST_LABEL, TRAINING_LABEL, EvaluationReports, SampleChoice
from projections.sample_order import Order
from tests.examples import (
    EVALUATION,
    FIGURES,
    LAST_FIGURES,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    WORSE_AT_THE_END,
    History,
    example_id,
    sample,
)
from tests.projections.evaluation_files import EvaluationFolder
from tests.projections.rebuild import assert_rebuild_equals_live

WORSE_ID = example_id("a training whose best validation was not its last")
SEEN = Segmented((3, 40, 0), marked_pixels=50, common_pixels=30, overlay=b"\x89PNG not really")
SEGMENTED = msgspec.structs.replace(
    EVALUATION,
    samples=tuple(
        msgspec.structs.replace(one, segmented=SEEN) if number == 7 else one
        for number, one in enumerate(EVALUATION.samples)
    ),
)
MISJUDGED_TTFBS = SampleChoice(true_defect_code="TTFBS", only_misjudged=True)


@pytest.fixture
def log(database: str) -> Iterator[EventLog]:
    create_tables(database)
    opened = open_event_log(database)
    opened.append(
        History()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED)
        .add(WORSE_ID, TRAINING_QUEUED, TRAINING_STARTED, WORSE_AT_THE_END)
        .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, PREDICTION_COMPLETED)
        .events
    )
    yield opened
    opened.close()


@pytest.fixture
def reports(log: EventLog, database: str, tmp_path: Path) -> Iterator[EvaluationReports]:
    """All reports are of the example evaluation; one of its samples was segmented."""
    drained(log, database)
    files = EvaluationFolder(tmp_path)
    last = WORSE_AT_THE_END.last_evaluation
    assert last is not None
    for evaluation in (TRAINING_COMPLETED.evaluation, last, PREDICTION_COMPLETED.results[0].evaluation):
        files.put(evaluation, SEGMENTED)
    with open_pool(database) as pool:
        yield EvaluationReports(pool, files, tmp_path / "indexes")


def drained(log: EventLog, database: str) -> None:
    projector = Projector(log, database, [EvaluationReports])
    projector.drain()
    projector.close()


def test_a_report_keeps_the_figures_it_was_completed_with(reports: EvaluationReports) -> None:
    report = reports.get(TRAINING_JOB_ID)
    assert report is not None
    assert (report.figures, report.defect_codes) == (FIGURES, EVALUATION.defect_codes)


def test_last_weights_other_than_the_best_have_a_report_of_their_own(reports: EvaluationReports) -> None:
    best, last = reports.get(WORSE_ID), reports.get(WORSE_ID, LAST_LABEL)
    assert best is not None
    assert last is not None
    assert (best.figures, last.figures) == (FIGURES, LAST_FIGURES)
    assert reports.sample(WORSE_ID, LAST_LABEL, 7) == reports.sample(WORSE_ID, TRAINING_LABEL, 7)
    assert reports.get(TRAINING_JOB_ID, LAST_LABEL) is None


def test_there_is_no_report_under_another_label(reports: EvaluationReports) -> None:
    assert reports.get(PREDICTION_JOB_ID, TRAINING_LABEL) is None
    assert reports.get(PREDICTION_JOB_ID, "v1.01") is not None


def test_the_misjudged_samples_of_a_code_carry_prediction_and_confidence(reports: EvaluationReports) -> None:  # P-4
    misjudged = reports.samples(PREDICTION_JOB_ID, "v1.01", MISJUDGED_TTFBS)
    (sample,) = misjudged.items
    assert (sample.number, sample.predicted_defect_code, sample.confidence) == (7, "TPFIP", 0.6)
    assert sample.is_misjudged
    none = msgspec.structs.replace(MISJUDGED_TTFBS, true_defect_code="TPFIP")
    assert reports.samples(PREDICTION_JOB_ID, "v1.01", none).total == 0


def test_a_cell_of_the_confusion_matrix_opens_its_images(reports: EvaluationReports) -> None:
    for row, true_code in enumerate(EVALUATION.defect_codes):
        for column, predicted_code in enumerate(EVALUATION.defect_codes):
            choice = SampleChoice(true_defect_code=true_code, predicted_defect_code=predicted_code)
            cell = reports.samples(TRAINING_JOB_ID, TRAINING_LABEL, choice)
            assert cell.total == FIGURES.confusion[row][column]


def test_non_compliant_samples_are_apart_and_carry_their_resolution(reports: EvaluationReports) -> None:  # P-4, W-10
    (sample,) = reports.samples(PREDICTION_JOB_ID, "v1.01", SampleChoice(state=SampleState.NON_COMPLIANT)).items
    assert (sample.width, sample.height, sample.predicted_defect_code, sample.scores) == (640, 480, None, ())
    assert not sample.is_misjudged


def test_what_a_segmentation_saw_comes_with_the_sample_and_its_overlay_by_itself(reports: EvaluationReports) -> None:
    sample = reports.sample(TRAINING_JOB_ID, TRAINING_LABEL, 7)
    assert sample is not None
    assert sample.segmented == msgspec.structs.replace(SEEN, overlay=b"")
    assert sample.has_overlay
    assert reports.overlay(TRAINING_JOB_ID, TRAINING_LABEL, 7) == SEEN.overlay
    other = reports.sample(TRAINING_JOB_ID, TRAINING_LABEL, 6)
    assert other is not None
    assert (other.segmented, other.has_overlay) == (None, False)
    assert reports.overlay(TRAINING_JOB_ID, TRAINING_LABEL, 6) is None


def test_samples_come_in_pages(reports: EvaluationReports) -> None:
    pages = [reports.samples(TRAINING_JOB_ID, TRAINING_LABEL, page=number, size=4) for number in (1, 2, 3)]
    assert [len(page.items) for page in pages] == [4, 4, 2]
    assert len({sample.number for page in pages for sample in page.items}) == 10


def test_samples_are_sorted_as_asked(reports: EvaluationReports) -> None:  # P-4
    def numbers(order: Order) -> list[int]:
        choice = SampleChoice(true_defect_code="TTFBS", order=order)
        return [sample.number for sample in reports.samples(TRAINING_JOB_ID, TRAINING_LABEL, choice).items]

    assert numbers(Order.SUREST) == [4, 5, 6, 7]  # 7 is the least sure one
    assert numbers(Order.LEAST_SURE) == [7, 6, 5, 4]
    assert numbers(Order.FOLDER) == [4, 5, 6, 7]


def test_a_page_behind_the_end_is_the_last_one(reports: EvaluationReports) -> None:
    page = reports.samples(TRAINING_JOB_ID, TRAINING_LABEL, page=9, size=4)
    assert (page.number, [sample.number for sample in page.items]) == (3, [9, 7])


def test_all_samples_of_a_choice_come_as_its_pages_do(reports: EvaluationReports) -> None:  # P-5
    pages = [reports.samples(TRAINING_JOB_ID, TRAINING_LABEL, page=number, size=4) for number in (1, 2, 3)]
    assert [*reports.every_sample(TRAINING_JOB_ID, TRAINING_LABEL)] == [one for page in pages for one in page.items]
    assert [*reports.every_sample(PREDICTION_JOB_ID, "v9.99")] == []


def test_a_sample_is_found_by_its_number(reports: EvaluationReports) -> None:
    sample = reports.sample(TRAINING_JOB_ID, TRAINING_LABEL, 7)
    assert sample is not None
    assert sample.file_name == "0007.png"
    assert reports.sample(TRAINING_JOB_ID, TRAINING_LABEL, 11) is None


def test_a_sample_knows_those_beside_it_in_the_same_choice(reports: EvaluationReports) -> None:  # P-5
    of_code = SampleChoice(true_defect_code="TTFBS")
    chosen = [sample.number for sample in reports.samples(TRAINING_JOB_ID, TRAINING_LABEL, of_code).items]
    places = [reports.place(TRAINING_JOB_ID, TRAINING_LABEL, number, of_code) for number in chosen]
    assert [(place.place, place.previous, place.following) for place in places if place] == [
        (1, None, 5),
        (2, 4, 6),
        (3, 5, 7),
        (4, 6, None),
    ]
    assert {place.total for place in places if place} == {4}
    assert reports.place(TRAINING_JOB_ID, TRAINING_LABEL, 7, SampleChoice(true_defect_code="TPFIP")) is None


def test_a_report_goes_with_its_job(log: EventLog, database: str, reports: EvaluationReports) -> None:
    deleted = History().add(PREDICTION_JOB_ID, PredictionDeleted()).events[0]
    log.append([msgspec.structs.replace(deleted, originator_version=4)])
    drained(log, database)
    assert reports.get(PREDICTION_JOB_ID, "v1.01") is None
    assert reports.samples(PREDICTION_JOB_ID, "v1.01").total == 0
    assert reports.get(TRAINING_JOB_ID) is not None


def test_a_rebuild_gives_the_same_rows(log: EventLog, database: str, reports: EvaluationReports) -> None:  # E-2
    rows = assert_rebuild_equals_live(log, database, [EvaluationReports], batch=2)
    assert len(rows["evaluation_reports"]) == 4  # one run has two reports


def test_reports_of_a_training_go_with_it(log: EventLog, database: str, reports: EvaluationReports) -> None:
    deleted = History().add(WORSE_ID, TrainingDeleted()).events[0]
    log.append([msgspec.structs.replace(deleted, originator_version=4)])
    drained(log, database)
    assert reports.of_job(WORSE_ID) == []
    assert reports.get(TRAINING_JOB_ID) is not None


def test_large_reports_are_made_and_read_in_chunks(
    reports: EvaluationReports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # P-5
    whole = [*reports.every_sample(TRAINING_JOB_ID, TRAINING_LABEL)]
    monkeypatch.setattr(sample_index, "_CHUNK", 4)
    monkeypatch.setattr(evaluation_reports, "READ_AT_ONCE", 3)
    monkeypatch.setattr(sample_index, "MOST_OPEN", 1)
    files = EvaluationFolder(tmp_path)
    again = EvaluationReports(reports.pool, files, tmp_path / "other indexes")
    assert [*again.every_sample(TRAINING_JOB_ID, TRAINING_LABEL)] == whole
    assert [*again.every_sample(PREDICTION_JOB_ID, "v1.01")] == whole
    assert len(list((tmp_path / "other indexes").iterdir())) == 2, "one that was made stays while others are made"
    assert [*again.every_sample(TRAINING_JOB_ID, TRAINING_LABEL)] == whole


def test_samples_of_equal_confidence_keep_the_order_of_the_report(tmp_path: Path) -> None:
    samples = tuple(sample(number, number % 3, 0, confidence=0.5 + number % 2 / 4) for number in range(200))
    (tmp_path / "evaluation").write_bytes(msgspec.msgpack.encode(msgspec.structs.replace(EVALUATION, samples=samples)))
    sample_index.make_index(tmp_path / "index", [tmp_path / "evaluation"])
    index = sample_index.SampleIndex(tmp_path / "index", [tmp_path / "evaluation"])
    numbers = index.ordered(index.is_in(0, SampleState.JUDGED), Order.SUREST).tolist()
    assert numbers == [*range(1, 200, 2), *range(0, 200, 2)]
