"""What a model was found to be worth on judged images: the samples, and the figures that a report shows.

The formulas of the figures are in `domain.evaluation_figures`: they need numpy, and most processes only pass figures on.
"""

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

from domain.data_paths import FolderName

CODE_COLOURS: Final = ((0, 150, 255), (255, 176, 0), (140, 82, 255), (0, 190, 120), (255, 110, 30), (90, 215, 230))
"""Red, green and blue of predicted pixels, by the place of their code in code_list; after the last the first comes again."""


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


def special_code(predicted_pixels: Sequence[int], class_count: int, min_pixels: int) -> int | None:
    """The index of the special code to give to an image, None where the classifier decides (W-4).

    Codes from `class_count` on are special. One is given when it has the most predicted pixels of all codes, and more than
    `min_pixels`; of codes with equally many the first counts, so a class goes before a special code.
    """
    first = max(range(len(predicted_pixels)), key=lambda index: predicted_pixels[index], default=0)
    is_given = first >= class_count and predicted_pixels[first] > min_pixels
    return first if is_given else None


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
