"""Scores of a model on judged images, and their formulas. Shape letters: D = defect codes, N = samples."""

import enum

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


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One image with its verdict. `true_index` and `predicted_index` point into the report's defect codes, -1 for none.

    `scores` holds the probability of every class (0..1), so that every figure can be recomputed; empty unless judged.
    `width` and `height` are in pixels, 0 where the image could not be read. `has_mask` says that a mask lies beside it.
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

    @property
    def confidence(self) -> float:
        """The probability of the predicted class, 0..1; 0 where nothing was predicted."""
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
    """The artifact behind a report: every sample with its scores, stored as MessagePack."""

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
    sample_count_D, correct_D = confusion_DD.sum(axis=1), confusion_DD.diagonal()
    return EvaluationFigures(
        accuracy=overall_accuracy(confusion_DD),
        recall=macro_recall(confusion_DD),
        defects=tuple(
            DefectFigures(
                defect_code=defect_code,
                precision=_or_none(precision_D[index]),
                recall=_or_none(recall_D[index]),
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


def _share(part_D: Counts, whole_D: Counts) -> Shares:
    share_D: Shares = np.full(len(whole_D), np.nan)
    np.divide(part_D, whole_D, out=share_D, where=whole_D > 0)
    return share_D


def _or_none(share: np.float64) -> float | None:
    return None if np.isnan(share) else float(share)
