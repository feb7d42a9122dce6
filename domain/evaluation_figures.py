"""The formulas of a report's figures (R-1). Shape letters: D = defect codes, N = samples."""

import numpy as np
import numpy.typing as npt

from domain.evaluation import DefectFigures, Evaluation, EvaluationFigures, SampleState

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


def confusion_matrix(true_N: Counts, predicted_N: Counts, defect_count: int) -> Counts:
    """(D, D) counts of images, rows true, columns predicted; indices outside 0..D-1 are not counted."""
    counted = (true_N >= 0) & (predicted_N >= 0)
    cells = true_N[counted] * defect_count + predicted_N[counted]
    return np.bincount(cells, minlength=defect_count**2).reshape(defect_count, defect_count).astype(np.int64)


def precision_per_defect(confusion_DD: Counts) -> Shares:
    """(D,) of the images predicted as a defect, the share that truly show it; NaN where a defect was never predicted."""
    return _share(confusion_DD.diagonal(), confusion_DD.sum(axis=0))


def recall_per_defect(confusion_DD: Counts) -> Shares:
    """(D,) of the images that show a defect, the share predicted as it; NaN where no image shows it."""
    return _share(confusion_DD.diagonal(), confusion_DD.sum(axis=1))


def overall_accuracy(confusion_DD: Counts) -> float | None:
    """Correct ÷ all; None without images."""
    total = int(confusion_DD.sum())
    return float(confusion_DD.trace() / total) if total else None


def macro_recall(confusion_DD: Counts) -> float | None:
    """The mean recall over the defects that occur; None without images."""
    recall_D = recall_per_defect(confusion_DD)
    return None if np.isnan(recall_D).all() else float(np.nanmean(recall_D))


def iou_per_defect(evaluation: Evaluation) -> Shares:
    """(D,) of the pixels that are marked or predicted as a defect, the share that are both; NaN where there are none.

    Pixels of all judged images with a mask together: each image's mask marks its own code.
    """
    shape = len(evaluation.defect_codes)
    marked_D, predicted_D, common_D = (np.zeros(shape, np.int64) for _ in range(3))
    for sample in evaluation.samples:
        seen = sample.segmented
        if sample.state is SampleState.JUDGED and seen is not None and seen.marked_pixels is not None:
            predicted_D += np.array(seen.predicted_pixels, dtype=np.int64)
            if sample.true_index >= 0:
                marked_D[sample.true_index] += seen.marked_pixels
                common_D[sample.true_index] += seen.common_pixels
    return iou_of(marked_D, predicted_D, common_D)


def iou_of(marked_D: Counts, predicted_D: Counts, common_D: Counts) -> Shares:
    """(D,) intersection over union, from counts of pixels: marked as a defect, predicted as it, both; NaN where there are none."""
    return _share(common_D, marked_D + predicted_D - common_D)


def mean_iou(iou_D: Shares) -> float | None:
    """The mean over the codes that are marked or predicted somewhere; None where none is."""
    return None if np.isnan(iou_D).all() else float(np.nanmean(iou_D))


def figures_of(evaluation: Evaluation, left_out_count: int = 0) -> EvaluationFigures:
    """Every figure of a report from its samples."""
    defect_count = len(evaluation.defect_codes)
    judged = [sample for sample in evaluation.samples if sample.state is SampleState.JUDGED]
    true_N = np.array([sample.true_index for sample in judged], dtype=np.int64)
    predicted_N = np.array([sample.predicted_index for sample in judged], dtype=np.int64)
    confusion_DD = confusion_matrix(true_N, predicted_N, defect_count)
    non_compliant = [0] * defect_count
    for sample in evaluation.samples:
        if sample.state is SampleState.NON_COMPLIANT and sample.true_index >= 0:
            non_compliant[sample.true_index] += 1
    precision_D, recall_D = precision_per_defect(confusion_DD), recall_per_defect(confusion_DD)
    iou_D = iou_per_defect(evaluation)
    sample_count_D, correct_D = confusion_DD.sum(axis=1), confusion_DD.diagonal()
    return EvaluationFigures(
        accuracy=overall_accuracy(confusion_DD),
        recall=macro_recall(confusion_DD),
        iou=mean_iou(iou_D),
        defects=tuple(
            DefectFigures(
                defect_code=defect_code,
                precision=or_none(precision_D[index]),
                recall=or_none(recall_D[index]),
                iou=or_none(iou_D[index]),
                sample_count=int(sample_count_D[index]),
                misjudged_count=int(sample_count_D[index] - correct_D[index]),
                non_compliant_count=non_compliant[index],
            )
            for index, defect_code in enumerate(evaluation.defect_codes)
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion_DD),
        sample_count=len(judged),
        misjudged_count=int(sample_count_D.sum() - correct_D.sum()),
        non_compliant_count=sum(sample.state is SampleState.NON_COMPLIANT for sample in evaluation.samples),
        damaged_count=sum(sample.state is SampleState.DAMAGED for sample in evaluation.samples),
        left_out_count=left_out_count,
    )


def or_none(share: np.float64) -> float | None:
    """A share as it travels: NaN is None."""
    return None if np.isnan(share) else float(share)


def _share(part_D: Counts, whole_D: Counts) -> Shares:
    share_D: Shares = np.full(len(whole_D), np.nan)
    np.divide(part_D, whole_D, out=share_D, where=whole_D > 0)
    return share_D
