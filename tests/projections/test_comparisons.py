"""A comparison's report: both versions beside each other, image by image (P-3, P-4)."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from domain.evaluation import Evaluation, Sample, SampleState
from domain.evaluation_figures import figures_of
from domain.messages import VersionResult
from domain.prediction_jobs import PredictionCompleted
from infra.connections import open_pool
from infra.event_store import create_tables, open_event_log
from infra.projector import Projector
from projections.comparisons import OUTCOMES, ComparedChoice, ComparedKind, Comparisons
from projections.evaluation_reports import EvaluationReports
from projections.sample_order import Order
from tests.examples import (
    DEFECT_CODES,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    History,
    artifact,
    sample,
)
from tests.projections.evaluation_files import EvaluationFolder

FIRST = Evaluation(
    defect_codes=DEFECT_CODES,
    samples=(
        sample(0, 0, 0, confidence=0.9),  # both right
        sample(1, 0, 1, confidence=0.8),  # fixed
        sample(2, 1, 1, confidence=0.7),  # broken
        sample(3, 1, 2, confidence=0.6),  # both wrong, alike
        sample(4, 2, 0, confidence=0.9),  # both wrong, differently
        sample(5, 2, 2, confidence=0.5),  # only the first judges it
        sample(6, 0, -1, state=SampleState.NON_COMPLIANT),  # neither judges it
        sample(8, 2, -1, state=SampleState.DAMAGED),
    ),
)


SECOND_CODES = (DEFECT_CODES[1], DEFECT_CODES[0], *DEFECT_CODES[2:], "TNEW")
"""Another order, and one code more: what an index means is the evaluation's own affair."""
NEW = len(SECOND_CODES) - 1


def as_second(one: Sample, **changes: int) -> Sample:
    """The same sample as the second version's evaluation holds it."""
    place = {-1: -1} | {index: SECOND_CODES.index(code) for index, code in enumerate(DEFECT_CODES)}
    known = dict(zip(DEFECT_CODES, one.scores, strict=False))
    scores = tuple(known.get(code, 0.0) for code in SECOND_CODES if known)
    indices = {"true_index": place[one.true_index], "predicted_index": place[one.predicted_index]} | changes
    return msgspec.structs.replace(one, scores=scores, **indices)


SECOND = Evaluation(
    defect_codes=SECOND_CODES,
    samples=(
        as_second(sample(4, 2, 1)),
        as_second(sample(3, 1, 2)),
        as_second(sample(2, 1, 0, confidence=0.65)),
        as_second(sample(1, 0, 0)),
        as_second(sample(0, 0, 0)),
        as_second(sample(7, 2, 1, confidence=0.6), true_index=NEW),  # a code that the first does not know
        as_second(sample(5, 2, -1, state=SampleState.NON_COMPLIANT)),
        as_second(sample(6, 0, -1, state=SampleState.NON_COMPLIANT)),
        as_second(sample(8, 2, -1, state=SampleState.DAMAGED)),
    ),
)
COMPLETED: PredictionCompleted = msgspec.structs.replace(
    PREDICTION_COMPLETED,
    results=tuple(
        VersionResult(label=label, evaluation=artifact(f"evaluation {label}"), figures=figures_of(evaluation))
        for label, evaluation in (("v1.02", FIRST), ("v1.10", SECOND))
    ),
)


@pytest.fixture
def comparisons(database: str, tmp_path: Path) -> Iterator[Comparisons]:
    create_tables(database)
    log = open_event_log(database)
    log.append(
        History()
        .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, COMPLETED)
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED)
        .events
    )
    projector = Projector(log, database, [EvaluationReports])
    projector.drain()
    projector.close()
    log.close()
    files = EvaluationFolder(tmp_path)
    for result, evaluation in zip(COMPLETED.results, (FIRST, SECOND), strict=True):
        files.put(result.evaluation, evaluation)
    with open_pool(database) as pool:
        yield Comparisons(EvaluationReports(pool, files, tmp_path / "indexes"))


def numbers(comparisons: Comparisons, kind: ComparedKind, code: str | None = None, **asked: Order) -> list[int]:
    choice = ComparedChoice(kind=kind, true_defect_code=code, **asked)
    return [int(one.file_name[:4]) for one in comparisons.samples(PREDICTION_JOB_ID, choice).items]


def test_both_versions_stand_beside_each_other_in_their_order(comparisons: Comparisons) -> None:  # P-3
    comparison = comparisons.get(PREDICTION_JOB_ID)
    assert comparison is not None
    assert comparison.labels == ("v1.02", "v1.10")
    assert [report.figures for report in comparison.reports] == [figures_of(FIRST), figures_of(SECOND)]
    assert comparison.defect_codes == (*DEFECT_CODES, "TNEW")
    by_code = {one.defect_code: one.figures for one in comparison.codes}
    first, second = by_code["TPFIP"]
    assert first is not None
    assert second is not None
    assert (first.recall, second.recall) == (0.5, 1.0)
    assert by_code["TNEW"][0] is None


def test_flips_are_counted_among_images_that_both_judged(comparisons: Comparisons) -> None:  # P-4
    comparison = comparisons.get(PREDICTION_JOB_ID)
    assert comparison is not None
    assert dict(zip(OUTCOMES, comparison.outcomes, strict=True)) == {
        OUTCOMES[0]: 1,
        OUTCOMES[1]: 1,
        OUTCOMES[2]: 2,
        OUTCOMES[3]: 1,
    }
    by_code = {one.defect_code: one.outcomes for one in comparison.codes}
    assert (by_code["TPFIP"], by_code["TTFBS"]) == ((1, 0, 0, 1), (0, 1, 1, 0))


def test_what_stands_beside_the_flips_is_counted_too(comparisons: Comparisons) -> None:  # P-4
    counts = comparisons.counts(PREDICTION_JOB_ID)
    assert (counts[ComparedKind.DISAGREED], counts[ComparedKind.ONE_JUDGED]) == (3, 2)
    assert (counts[ComparedKind.NON_COMPLIANT], counts[ComparedKind.DAMAGED]) == (2, 1)
    of_code = comparisons.counts(PREDICTION_JOB_ID, "TTFBS")
    assert (of_code[ComparedKind.FIRST_MISJUDGED], of_code[ComparedKind.SECOND_MISJUDGED]) == (1, 2)
    assert comparisons.counts(TRAINING_JOB_ID) == {}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ComparedKind.FIXED, [1]),
        (ComparedKind.BROKEN, [2]),
        (ComparedKind.BOTH_WRONG, [4, 3]),
        (ComparedKind.BOTH_RIGHT, [0]),
        (ComparedKind.DISAGREED, [4, 1, 2]),
        (ComparedKind.FIRST_MISJUDGED, [4, 1, 3]),
        (ComparedKind.SECOND_MISJUDGED, [3, 4, 2, 7]),
        (ComparedKind.ONE_JUDGED, [7, 5]),
        (ComparedKind.NON_COMPLIANT, [5, 6]),
        (ComparedKind.DAMAGED, [8]),
    ],
)
def test_each_kind_opens_its_images_the_surest_first(
    comparisons: Comparisons, kind: ComparedKind, expected: list[int]
) -> None:  # P-4
    assert numbers(comparisons, kind) == expected
    of_codes = [numbers(comparisons, kind, code) for code in (*DEFECT_CODES, "TNEW")]
    assert sorted(number for of_code in of_codes for number in of_code) == sorted(expected)


def test_lists_are_turned_round_and_sorted_by_folder(comparisons: Comparisons) -> None:
    assert numbers(comparisons, ComparedKind.DISAGREED, order=Order.LEAST_SURE) == [2, 1, 4]
    assert numbers(comparisons, ComparedKind.DISAGREED, order=Order.FOLDER) == [1, 2, 4]


def test_an_image_carries_both_verdicts_with_all_scores(comparisons: Comparisons) -> None:  # P-4
    one = next(comparisons.every_sample(PREDICTION_JOB_ID, ComparedChoice(kind=ComparedKind.FIXED)))
    first, second = one.verdicts
    assert first is not None
    assert second is not None
    assert (one.true_defect_code, first.predicted_defect_code, second.predicted_defect_code) == (
        "TPFIP",
        "TTFBS",
        "TPFIP",
    )
    assert (first.confidence, second.confidence) == (0.8, 0.9)
    assert dict(first.scores)["TTFBS"] == 0.8
    assert dict(second.scores)["TPFIP"] == 0.9
    assert (one.is_right(0), one.is_right(1)) == (False, True)
    assert comparisons.sample(PREDICTION_JOB_ID, one.number) == one
    assert second.number == 3  # its place in the second version's own report


def test_a_version_that_does_not_know_the_code_says_nothing(comparisons: Comparisons) -> None:  # P-4
    one, _ = comparisons.samples(PREDICTION_JOB_ID, ComparedChoice(kind=ComparedKind.ONE_JUDGED)).items
    assert (one.true_defect_code, one.verdicts[0], one.is_right(0), one.is_right(1)) == ("TNEW", None, None, False)


def test_an_image_knows_those_beside_it(comparisons: Comparisons) -> None:  # P-5
    choice = ComparedChoice()
    shown = [one.number for one in comparisons.samples(PREDICTION_JOB_ID, choice).items]
    place = comparisons.place(PREDICTION_JOB_ID, shown[1], choice)
    assert place is not None
    assert (place.place, place.total, place.previous, place.following) == (2, 3, shown[0], shown[2])
    assert comparisons.place(PREDICTION_JOB_ID, shown[1], ComparedChoice(kind=ComparedKind.BOTH_RIGHT)) is None


def test_a_report_of_one_version_is_no_comparison(comparisons: Comparisons) -> None:
    assert comparisons.get(TRAINING_JOB_ID) is None
    assert comparisons.sample(TRAINING_JOB_ID, 0) is None
    assert comparisons.samples(TRAINING_JOB_ID, ComparedChoice()).total == 0
    assert comparisons.sample(PREDICTION_JOB_ID, 9) is None


def test_a_version_that_set_an_image_aside_is_neither_right_nor_wrong(comparisons: Comparisons) -> None:  # P-4
    _, one = comparisons.samples(PREDICTION_JOB_ID, ComparedChoice(kind=ComparedKind.ONE_JUDGED)).items
    assert (one.true_defect_code, one.is_right(0), one.is_right(1)) == ("TTMUD", True, None)
