"""R-1, and the formulas of GLOSSARY “Decided where the manual leaves it open”, 1."""

import msgspec
import numpy as np
import pytest

from domain.evaluation import (
    Counts,
    Evaluation,
    Sample,
    SampleState,
    confusion_matrix,
    figures_of,
    macro_recall,
    overall_accuracy,
    precision_per_defect,
    recall_per_defect,
)
from tests.examples import DEFECT_CODES, EVALUATION, sample


def counts(*rows: tuple[int, ...]) -> Counts:
    return np.array(rows, dtype=np.int64)


# Rows true, columns predicted: 6 TPFIP of which 5 right, 3 TTFBS of which 1 right, 1 TTMUD taken for TTFBS.
CONFUSION = counts((5, 1, 0), (2, 1, 0), (0, 1, 0))


def test_precision_is_the_share_of_those_predicted_that_are_right() -> None:
    np.testing.assert_allclose(precision_per_defect(CONFUSION), [5 / 7, 1 / 3, np.nan])


def test_recall_is_the_share_of_those_that_show_it_that_were_found() -> None:
    np.testing.assert_allclose(recall_per_defect(CONFUSION), [5 / 6, 1 / 3, 0.0])


def test_a_defect_never_predicted_has_no_precision_rather_than_none_right() -> None:
    assert np.isnan(precision_per_defect(CONFUSION)[2])


def test_a_defect_that_no_image_shows_has_no_recall_and_is_not_in_the_mean() -> None:
    confusion = counts((3, 1), (0, 0))
    assert np.isnan(recall_per_defect(confusion)[1])
    assert macro_recall(confusion) == 0.75


def test_accuracy_is_correct_divided_by_all() -> None:
    assert overall_accuracy(CONFUSION) == 6 / 10


def test_overall_recall_is_the_mean_over_defects_however_many_images_each_has() -> None:
    confusion = counts((98, 0), (1, 1))
    assert macro_recall(confusion) == 0.75
    assert overall_accuracy(confusion) == 0.99


def test_without_images_there_are_no_figures() -> None:
    nothing = np.zeros((2, 2), dtype=np.int64)
    assert overall_accuracy(nothing) is None
    assert macro_recall(nothing) is None
    figures = figures_of(Evaluation(defect_codes=("TPFIP", "TTFBS"), samples=()))
    assert (figures.accuracy, figures.recall, figures.sample_count) == (None, None, 0)
    assert [(defect.precision, defect.recall) for defect in figures.defects] == [(None, None), (None, None)]


def test_the_confusion_matrix_has_true_codes_in_rows_and_leaves_out_what_has_no_code() -> None:
    true_N, predicted_N = np.array([0, 0, 1, 2, -1, 1]), np.array([0, 1, 1, 0, 0, -1])
    assert confusion_matrix(true_N, predicted_N, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_figures_count_judged_images_only() -> None:  # R-1, W-10
    # Ten judged images of which one TTFBS was taken for TPFIP, and one that does not comply.
    figures = figures_of(EVALUATION, left_out_count=5)
    assert (figures.sample_count, figures.misjudged_count, figures.non_compliant_count) == (10, 1, 1)
    assert (figures.accuracy, figures.left_out_count, figures.damaged_count) == (0.9, 5, 0)
    assert figures.recall == pytest.approx((1 + 3 / 4 + 1) / 3)
    by_code = {defect.defect_code: defect for defect in figures.defects}
    assert list(by_code) == list(DEFECT_CODES)
    assert (by_code["TPFIP"].precision, by_code["TPFIP"].recall) == (4 / 5, 1.0)
    assert (by_code["TTFBS"].sample_count, by_code["TTFBS"].misjudged_count) == (4, 1)
    assert (by_code["TTMUD"].sample_count, by_code["TTMUD"].non_compliant_count) == (2, 1)
    assert figures.confusion == ((4, 0, 0), (1, 3, 0), (0, 0, 2))


def test_damaged_images_are_counted_apart() -> None:
    damaged = sample(1, 0, -1, state=SampleState.DAMAGED)
    figures = figures_of(Evaluation(defect_codes=DEFECT_CODES, samples=(sample(0, 0, 0), damaged)))
    assert (figures.accuracy, figures.sample_count, figures.damaged_count) == (1.0, 1, 1)


def test_the_confidence_is_the_probability_of_the_predicted_class() -> None:
    assert sample(0, 1, 2, confidence=0.7).confidence == 0.7
    assert sample(0, 1, -1, state=SampleState.NON_COMPLIANT).confidence == 0.0


def test_an_evaluation_travels_as_bytes_and_comes_back_whole() -> None:
    stored = msgspec.msgpack.encode(EVALUATION)
    assert msgspec.msgpack.decode(stored, type=Evaluation) == EVALUATION
    assert isinstance(EVALUATION.samples[0], Sample)
