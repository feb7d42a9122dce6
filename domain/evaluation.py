"""Scores of a model on judged images, and their formulas. Shape letters: D = defect codes, N = samples."""

import enum
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from domain.data_paths import FolderName

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


class SampleState(enum.Enum):
    """What became of an image in an evaluation."""

    JUDGED = "judged"
    NON_COMPLIANT = "non_compliant"
    DAMAGED = "damaged"


class Outcome(enum.Enum):
    """How two versions compare on one image (P-4). A comparison counts flips among images that both judged; an image that only one
    judged (the rules of the versions differ) and one that neither did say nothing about which is better.
    """

    BOTH_RIGHT = "both_right"
    FIXED = "fixed"
    BROKEN = "broken"
    BOTH_WRONG = "both_wrong"
    ONE_JUDGED = "one_judged"
    NONE_JUDGED = "none_judged"


class Segmented(msgspec.Struct, frozen=True, array_like=True):
    """What a segmentation saw in an image; pixels are counted at the size of its input.

    `predicted_pixels` are in the order of the report's defect codes. `marked_pixels` are those that the image's mask marks, None
    without a mask that could be used; `common_pixels` are those among them predicted as the image's code. `special_confidence` is
    the mean probability of the special code over its predicted pixels, None where no special code was given. `overlay` is a PNG of
    the predicted pixels for people, each code in a colour, the rest transparent; empty where there are none or it was not kept.
    """

    predicted_pixels: tuple[int, ...]
    marked_pixels: int | None = None
    common_pixels: int = 0
    special_confidence: float | None = None
    overlay: bytes = b""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One image with its verdict. `true_index` and `predicted_index` point into the report's defect codes, -1 for none.

    `scores` holds the probability of every class of the classifier (0..1), so that every figure can be recomputed; empty unless
    judged. `width` and `height` are in pixels, 0 where the image could not be read. `has_mask` says that a mask lies beside it;
    `segmented` is there where the model segments.
    """

    folder: FolderName
    checksum: str
    width: int
    height: int
    state: SampleState
    true_index: int
    predicted_index: int = -1
    scores: tuple[float, ...] = ()
    has_mask: bool = False
    segmented: Segmented | None = None

    @property
    def confidence(self) -> float:
        """The probability of what was predicted, 0..1; 0 where nothing was predicted."""
        if self.segmented is not None and self.segmented.special_confidence is not None:
            return self.segmented.special_confidence
        return max(self.scores, default=0.0)


class DefectFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one defect code; None where undefined (shown as “—”). `sample_count` counts judged images of this code."""

    defect_code: str
    precision: float | None
    recall: float | None
    iou: float | None = None
    sample_count: int
    misjudged_count: int
    non_compliant_count: int = 0


class EvaluationFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a report shows (R-1). Non-compliant and damaged images are counted apart and are in no other figure.

    `confusion` counts images: rows true, columns predicted, in the order of `defects`.
    """

    accuracy: float | None
    recall: float | None
    iou: float | None = None
    defects: tuple[DefectFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    sample_count: int
    misjudged_count: int
    non_compliant_count: int = 0
    damaged_count: int = 0
    left_out_count: int = 0


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The artifact behind a report: every sample with its scores, stored as MessagePack.

    `defect_codes` are the classes of the classifier, and behind them, where the model segments, the special codes.
    """

    defect_codes: tuple[str, ...]
    samples: tuple[Sample, ...]


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


def special_code(predicted_pixels: Sequence[int], class_count: int, min_pixels: int) -> int | None:
    """The index of the special code to give to an image, None where the classifier decides (W-4).

    Codes from `class_count` on are special. One is given when it has the most predicted pixels of all codes, and more than
    `min_pixels`; of codes with equally many the first counts, so a class goes before a special code.
    """
    first = max(range(len(predicted_pixels)), key=lambda index: predicted_pixels[index], default=0)
    is_given = first >= class_count and predicted_pixels[first] > min_pixels
    return first if is_given else None


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


def outcome_of(first_is_right: bool | None, second_is_right: bool | None) -> Outcome:
    """What became of an image from the first version to the second; None for a version that did not judge it."""
    match first_is_right, second_is_right:
        case None, None:
            return Outcome.NONE_JUDGED
        case (None, _) | (_, None):
            return Outcome.ONE_JUDGED
        case True, True:
            return Outcome.BOTH_RIGHT
        case True, False:
            return Outcome.BROKEN
        case False, True:
            return Outcome.FIXED
    return Outcome.BOTH_WRONG


def _share(part_D: Counts, whole_D: Counts) -> Shares:
    share_D: Shares = np.full(len(whole_D), np.nan)
    np.divide(part_D, whole_D, out=share_D, where=whole_D > 0)
    return share_D


def or_none(share: np.float64) -> float | None:
    """A share as it travels: NaN is None."""
    return None if np.isnan(share) else float(share)
