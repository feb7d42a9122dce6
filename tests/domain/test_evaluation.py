"""R-1, and the formulas of GLOSSARY “Decided where the manual leaves it open”, 1."""

import msgspec
import numpy as np
import pytest
from sklearn import metrics as reckoned  # type: ignore[import-untyped]

from domain.evaluation import Evaluation, Outcome, Sample, SampleState, Segmented, outcome_of, special_code
from domain.evaluation_figures import (
    Counts,
    confusion_matrix,
    figures_of,
    iou_of,
    iou_per_defect,
    macro_recall,
    overall_accuracy,
    precision_per_defect,
    recall_per_defect,
)
from tests.examples import DEFECT_CODES, EVALUATION, FIGURES, sample


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


def test_an_image_of_no_code_of_the_report_is_in_no_codes_figures() -> None:
    """Its index is -1, which must not be read as the last code; nor has an image that was set aside a share in the IoU."""
    known, stray = (
        msgspec.structs.replace(sample(number, true_index, 1), segmented=Segmented((0, 4, 0), 4, 2))
        for number, true_index in ((0, 1), (1, -1))
    )
    aside = sample(2, -1, -1, state=SampleState.NON_COMPLIANT)
    seen_aside = msgspec.structs.replace(
        sample(3, 1, -1, state=SampleState.NON_COMPLIANT), segmented=Segmented((0, 9, 0), 9, 9)
    )
    figures = figures_of(Evaluation(defect_codes=DEFECT_CODES, samples=(known, stray, aside, seen_aside)))
    assert [one.non_compliant_count for one in figures.defects] == [0, 1, 0]
    assert [one.sample_count for one in figures.defects] == [0, 1, 0]
    assert [one.iou for one in figures.defects] == [None, 2 / (4 + 8 - 2), None]
    assert (figures.accuracy, figures.non_compliant_count) == (1.0, 2)


def test_the_confidence_is_the_probability_of_the_predicted_class() -> None:
    assert sample(0, 1, 2, confidence=0.7).confidence == 0.7
    assert sample(0, 1, -1, state=SampleState.NON_COMPLIANT).confidence == 0.0


def test_an_evaluation_travels_as_bytes_and_comes_back_whole() -> None:
    stored = msgspec.msgpack.encode(EVALUATION)
    assert msgspec.msgpack.decode(stored, type=Evaluation) == EVALUATION
    assert isinstance(EVALUATION.samples[0], Sample)


# Reckoned again by scikit-learn, from the same true and predicted codes. Its NaN is our None: a figure that nobody can know.


def drawn(seed: int) -> tuple[tuple[str, ...], Evaluation]:
    """A random report: of up to eight codes some show in no image, some are never predicted, some neither."""
    random = np.random.default_rng(seed)
    code_count = int(random.integers(2, 9))
    shown, foretold = (np.flatnonzero(random.random(code_count) < 0.7) for _ in range(2))
    image_count = int(random.integers(0, 200)) if len(shown) and len(foretold) else 0
    skill = random.random()
    samples = []
    for number in range(image_count):
        true_index = int(random.choice(shown))
        is_right = random.random() < skill and true_index in foretold
        samples.append(sample(number, 0, true_index if is_right else int(random.choice(foretold))))
        samples[-1] = msgspec.structs.replace(samples[-1], true_index=true_index)
    codes = tuple(f"T{number:04d}" for number in range(code_count))
    return codes, Evaluation(defect_codes=codes, samples=tuple(samples))


@pytest.mark.parametrize("seed", range(40))
def test_every_figure_of_a_report_is_what_scikit_learn_reckons(seed: int) -> None:
    codes, evaluation = drawn(seed)
    figures, labels = figures_of(evaluation), range(len(codes))
    if not evaluation.samples:
        assert (figures.accuracy, figures.recall) == (None, None)
        return
    true_N = [one.true_index for one in evaluation.samples]
    predicted_N = [one.predicted_index for one in evaluation.samples]
    precision_D, recall_D, _, support_D = reckoned.precision_recall_fscore_support(
        true_N, predicted_N, labels=labels, average=None, zero_division=np.nan
    )
    np.testing.assert_array_equal(
        figures.confusion, reckoned.confusion_matrix(true_N, predicted_N, labels=list(labels))
    )
    assert figures.accuracy == pytest.approx(reckoned.accuracy_score(true_N, predicted_N))
    assert figures.recall == pytest.approx(
        reckoned.recall_score(true_N, predicted_N, labels=sorted(set(true_N)), average="macro")
    )
    ours_D2 = np.array([(one.precision, one.recall) for one in figures.defects], dtype=float)
    np.testing.assert_allclose(ours_D2, np.stack([precision_D, recall_D], axis=1))
    assert [one.sample_count for one in figures.defects] == support_D.tolist()
    wrong = reckoned.accuracy_score(true_N, predicted_N, normalize=False)
    assert figures.misjudged_count == len(true_N) - wrong


def test_the_random_reports_hold_every_edge_case() -> None:
    """Otherwise the comparison above would say nothing of codes without samples and of codes that are never predicted."""
    defects = [one for seed in range(40) for one in figures_of(drawn(seed)[1]).defects]
    assert any(one.precision is None and one.recall is not None for one in defects)
    assert any(one.recall is None and one.precision is not None for one in defects)
    assert any(one.precision is None and one.recall is None for one in defects)
    assert any(one.precision == 0 and one.recall == 0 for one in defects)
    assert not all(drawn(seed)[1].samples for seed in range(40))


# Segmentation. The maps say of every pixel 0 for no defect, else 1 + the index of its code.


def seen(predicted_HW: Counts, mask_HW: Counts | None, true_index: int) -> Segmented:
    """What a worker counts, pixel by pixel."""
    predicted, common, marked = [0, 0, 0], 0, 0
    for row in range(predicted_HW.shape[0]):
        for column in range(predicted_HW.shape[1]):
            shown = int(predicted_HW[row, column])
            if shown:
                predicted[shown - 1] += 1
            if mask_HW is not None and mask_HW[row, column]:
                marked += 1
                common += shown == 1 + true_index
    return Segmented(
        predicted_pixels=tuple(predicted),
        marked_pixels=None if mask_HW is None else marked,
        common_pixels=common,
    )


def test_iou_is_the_share_of_pixels_that_are_both_of_those_that_are_either() -> None:
    random = np.random.default_rng(7)
    samples, maps = [], []
    for number in range(12):
        true_index = number % 3
        predicted_HW = random.integers(0, 4, (9, 7)) * (random.random((9, 7)) < 0.6)
        mask_HW = (random.random((9, 7)) < 0.3).astype(np.int64)
        maps.append((predicted_HW, mask_HW * (1 + true_index)))
        samples.append(
            msgspec.structs.replace(sample(number, true_index, 0), segmented=seen(predicted_HW, mask_HW, true_index))
        )
    unmasked = seen(np.full((9, 7), 3), None, 2)  # counts nowhere: nobody knows which of its pixels are right
    samples.append(msgspec.structs.replace(sample(12, 2, 2), segmented=unmasked))
    evaluation = Evaluation(defect_codes=DEFECT_CODES, samples=tuple(samples))

    expected = []
    for code in (1, 2, 3):
        intersection = union = 0
        for predicted_HW, true_HW in maps:
            for shown, true in zip(predicted_HW.ravel().tolist(), true_HW.ravel().tolist(), strict=True):
                intersection += shown == code and true == code
                union += shown == code or true == code
        expected.append(intersection / union)
    assert iou_per_defect(evaluation).tolist() == pytest.approx(expected)
    figures = figures_of(evaluation)
    assert [defect.iou for defect in figures.defects] == pytest.approx(expected)
    assert figures.iou == pytest.approx(sum(expected) / 3)


@pytest.mark.parametrize("seed", range(20))
def test_iou_is_what_scikit_learn_reckons_of_the_flattened_masks(seed: int) -> None:
    random = np.random.default_rng(seed)
    marking = random.random(3) < 0.7  # masks of good parts mark nothing
    samples, true_P, predicted_P = [], [], []
    for number in range(9):
        true_index = number % 3
        predicted_HW = random.integers(0, 4, (8, 6)) * (random.random((8, 6)) < random.random())
        mask_HW = (random.random((8, 6)) < 0.4).astype(np.int64) * marking[true_index]
        samples.append(
            msgspec.structs.replace(sample(number, true_index, 0), segmented=seen(predicted_HW, mask_HW, true_index))
        )
        true_P.append((mask_HW * (1 + true_index)).ravel())
        predicted_P.append(predicted_HW.ravel())
    ours_D = iou_per_defect(Evaluation(defect_codes=DEFECT_CODES, samples=tuple(samples)))
    theirs_D = reckoned.jaccard_score(
        np.concatenate(true_P), np.concatenate(predicted_P), labels=[1, 2, 3], average=None, zero_division=0
    )
    np.testing.assert_allclose(ours_D, theirs_D)


def test_a_code_neither_marked_nor_predicted_has_no_iou_and_is_not_in_the_mean() -> None:
    good = msgspec.structs.replace(sample(0, 0, 0), segmented=Segmented((0, 0, 0), 0, 0))
    half = msgspec.structs.replace(sample(1, 1, 1), segmented=Segmented((0, 30, 0), 60, 30))
    figures = figures_of(Evaluation(defect_codes=DEFECT_CODES, samples=(good, half)))
    assert [defect.iou for defect in figures.defects] == [None, 0.5, None]
    assert figures.iou == 0.5
    assert iou_of(counts((0, 4))[0], counts((0, 0))[0], counts((0, 0))[0]).tolist()[1] == 0.0


def test_without_segmentation_there_is_no_iou() -> None:
    assert (FIGURES.iou, {defect.iou for defect in FIGURES.defects}) == (None, {None})


# W-4: two classes, then two special codes
@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ((0, 5, 40, 0), 2),
        ((0, 0, 11, 12), 3),
        ((0, 0, 10, 0), None),  # not above the minimum of 10
        ((0, 41, 40, 0), None),  # a class has more
        ((40, 0, 40, 0), None),  # a class has as many
        ((0, 0, 20, 20), 2),
        ((0, 0, 0, 0), None),
    ],
)
def test_a_special_code_is_given_where_it_has_the_most_pixels_above_the_minimum(
    pixels: tuple[int, ...], expected: int | None
) -> None:
    assert special_code(pixels, class_count=2, min_pixels=10) == expected


def test_the_confidence_of_a_special_code_is_that_of_its_pixels() -> None:  # W-4
    given_code = Segmented((0, 0, 40), 50, 35, special_confidence=0.75)
    assert msgspec.structs.replace(sample(0, 2, 2, confidence=0.9), segmented=given_code).confidence == 0.75
    assert msgspec.structs.replace(sample(0, 2, 2), segmented=Segmented((9, 0, 2))).confidence == 0.9


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (True, True, Outcome.BOTH_RIGHT),
        (False, True, Outcome.FIXED),
        (True, False, Outcome.BROKEN),
        (False, False, Outcome.BOTH_WRONG),
        (None, True, Outcome.ONE_JUDGED),
        (False, None, Outcome.ONE_JUDGED),
        (None, None, Outcome.NONE_JUDGED),
    ],
)
def test_two_verdicts_make_an_outcome(first: bool | None, second: bool | None, outcome: Outcome) -> None:  # P-4
    assert outcome_of(first, second) is outcome
