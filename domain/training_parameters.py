"""The JSON parameters of the wizard: model, training, preprocessing and prediction parameters. Source: manual, “新建模型”."""

import enum
import re
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from domain.json_forms import line_of, lines_of_entries, read_json
from domain.learning_rates import LearningRatePolicy, learning_rate
from domain.refusals import Refusal, raise_together
from domain.sentences import N_
from domain.texts import is_seen

MODEL_PARAMETERS = "model_parameters"
TRAINING_PARAMETERS = "training_parameters"
PREDICTION_PARAMETERS = "prediction_parameters"
LONGEST_PATTERN = 200
MOST_ITERATIONS = 100_000_000
_DEFECT_CODE = re.compile(r"[^\s/\\.][^/\\]{0,58}[^\s/\\]|[^\s/\\.]")


class ClassificationModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` is a network the package offers; the first `num_of_classes` codes are the classes of the classifier."""

    name: str
    num_of_classes: Annotated[int, Meta(ge=2, le=1000)]


class SegmentationModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` is a segmentation network the package offers."""

    name: str


class ModelParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The manual's model parameters. Codes after the first `num_of_classes` are special codes (W-3)."""

    classification: ClassificationModel
    code_list: Annotated[tuple[str, ...], Meta(min_length=2, max_length=1000)]
    segmentation: SegmentationModel | None = None

    @property
    def classifier_codes(self) -> tuple[str, ...]:
        """The defect codes that the classifier tells apart, in the order of its outputs."""
        return self.code_list[: self.classification.num_of_classes]

    @property
    def special_defect_codes(self) -> tuple[str, ...]:
        """Codes behind the classes; never an output of the classifier (W-4)."""
        return self.code_list[self.classification.num_of_classes :]


class SgdParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stochastic gradient descent with momentum; `max_iter` counts batches. Source: manual, “配置训练参数”."""

    base_lr: Annotated[float, Meta(gt=0, le=100)]
    batch_size: Annotated[int, Meta(ge=1, le=65536)]
    max_iter: Annotated[int, Meta(ge=1, le=MOST_ITERATIONS)]
    weight_decay: Annotated[float, Meta(ge=0, le=1)] = 0.0001
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    lr_policy: LearningRatePolicy = LearningRatePolicy.POLY
    power: Annotated[float, Meta(ge=0, le=100)] = 0.9
    gamma: Annotated[float, Meta(ge=0, le=100)] = 0.1

    def rate_at(self, iteration: int) -> float:
        """The learning rate of an iteration, counted from 0."""
        return learning_rate(
            self.lr_policy,
            base_lr=self.base_lr,
            iteration=iteration,
            max_iter=self.max_iter,
            gamma=self.gamma,
            power=self.power,
        )


class TrainingParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`segmentation` has no effect while segmentation is not trained (W-9)."""

    classification: SgdParameters
    segmentation: SgdParameters | None = None


class PredictionParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a prediction job."""

    batch_size: Annotated[int, Meta(ge=1, le=65536)] = 32


class Augmentation(enum.Enum):
    """Ways to make further training images of one (W-8)."""

    COLOR_ENHANCEMENT = "color_enhancement"
    SCALING = "scaling"
    FLIPPING = "flipping"
    RANDOM_TRANSFORM = "random_transform"


USUAL_AUGMENTATIONS: Final = (Augmentation.COLOR_ENHANCEMENT, Augmentation.RANDOM_TRANSFORM)
"""What a new model begins with in the wizard: few images teach more with it. Where left and right, or up and down, make a
difference, scaling takes the place of the random transform.
"""


class PreprocessingParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Step 4 of the wizard. `split_ratio` is the share of the training split, 0 < ratio < 1.

    `group_pattern` is a regular expression over the file name; images with the same first group (or whole match) show the same
    part and stay on one side of the split; `groups.csv` in a code folder goes before it (W-8).
    """

    split_ratio: float = 0.8
    resolution_screening: bool = True
    augmentations: tuple[Augmentation, ...] = ()
    train_segmentation: bool = False
    group_pattern: str = ""


class TooManyClasses(Refusal):
    """There must be a code for every class."""

    field = MODEL_PARAMETERS
    message = N_(
        "Line {line}: “classification.num_of_classes” is {class_count}, but code_list has only {code_count} codes. "
        "Add codes or lower the number."
    )


class DefectCodeRepeated(Refusal):
    """A code stands for one class."""

    field = MODEL_PARAMETERS
    message = N_("Line {line}: the code “{defect_code}” stands twice in code_list. Remove one of them.")


class DefectCodeIsInvalid(Refusal):
    """A code is the name of a folder."""

    field = MODEL_PARAMETERS
    message = N_(
        "Line {line}: “{defect_code}” cannot be a defect code. Use the name of its folder: 1 to 60 characters without slashes."
    )


class NetworkNotOffered(Refusal):
    """The package brings its networks; others are unknown."""

    field = MODEL_PARAMETERS
    message = N_("Line {line}: this model image does not offer the network “{network}”. It offers: {offered}.")


class GammaGrows(Refusal):
    """With exp the rate is multiplied by gamma again and again."""

    field = TRAINING_PARAMETERS
    message = N_(
        "Line {line}: with the policy exp, “{name}” must be ≤ 1; otherwise the learning rate grows without end."
    )


class SplitRatioIsWrong(Refusal):
    """Both splits need images."""

    field = "split_ratio"
    message = N_("The split ratio is the share of the training split, between 0.05 and 0.95, for example 0.8.")


class GroupPatternIsWrong(Refusal):
    """A broken expression would put every image into its own group unnoticed."""

    field = "group_pattern"
    message = N_("This is not a valid regular expression: {problem}. Correct it, or leave the field empty.")


class GroupPatternIsTooLong(Refusal):
    """What finds the number of a part in a file name is short."""

    field = "group_pattern"
    message = N_("A regular expression for groups has at most {most} characters; this one has {length}.")


def read_model_parameters(
    text: str, offered_networks: Sequence[str], offered_segmentations: Sequence[str] = ()
) -> ModelParameters:
    """Step 1's editor, checked against the networks the package offers for classification and for segmentation.

    Raises:
        JsonIsMalformed, JsonFieldIsWrong, TooManyClasses, DefectCodeRepeated, DefectCodeIsInvalid, NetworkNotOffered.
    """
    parameters = read_json(text, ModelParameters, field=MODEL_PARAMETERS)
    refusals: list[Refusal] = []
    model = parameters.classification
    named = [("classification", model.name, offered_networks)]
    if parameters.segmentation is not None:
        named.append(("segmentation", parameters.segmentation.name, offered_segmentations))
    for part, network, offered in named:
        if network not in offered:
            line = line_of(text, f"$.{part}.name")
            refusals.append(NetworkNotOffered(line=line, network=network, offered=", ".join(offered) or "—"))
    if model.num_of_classes > len(parameters.code_list):
        refusals.append(
            TooManyClasses(
                line=line_of(text, "$.classification.num_of_classes"),
                class_count=model.num_of_classes,
                code_count=len(parameters.code_list),
            )
        )
    seen: set[str] = set()
    lines = lines_of_entries(text, "$.code_list")
    for line, defect_code in zip(lines, parameters.code_list, strict=True):
        if not _DEFECT_CODE.fullmatch(defect_code) or not is_seen(defect_code):
            refusals.append(DefectCodeIsInvalid(line=line, defect_code=defect_code))
        if defect_code in seen:
            refusals.append(DefectCodeRepeated(line=line, defect_code=defect_code))
        seen.add(defect_code)
    raise_together(refusals)
    return parameters


def read_training_parameters(text: str) -> TrainingParameters:
    """Step 3's editor.

    Raises:
        JsonIsMalformed, JsonFieldIsWrong, GammaGrows: with line and field.
    """
    parameters = read_json(text, TrainingParameters, field=TRAINING_PARAMETERS)
    for name, part in (("classification", parameters.classification), ("segmentation", parameters.segmentation)):
        if part is not None and part.lr_policy is LearningRatePolicy.EXP and part.gamma > 1:
            path = f"{name}.gamma"
            raise GammaGrows(line=line_of(text, path), name=path)
    return parameters


def read_prediction_parameters(text: str) -> PredictionParameters:
    """The editor of a prediction job.

    Raises:
        JsonIsMalformed, JsonFieldIsWrong: with line and field.
    """
    return read_json(text, PredictionParameters, field=PREDICTION_PARAMETERS)


def check_preprocessing(parameters: PreprocessingParameters) -> None:
    """Step 4's values.

    Raises:
        SplitRatioIsWrong, GroupPatternIsTooLong, GroupPatternIsWrong.
    """
    refusals: list[Refusal] = []
    if not 0.05 <= parameters.split_ratio <= 0.95:
        refusals.append(SplitRatioIsWrong())
    if len(parameters.group_pattern) > LONGEST_PATTERN:
        refusals.append(GroupPatternIsTooLong(most=LONGEST_PATTERN, length=len(parameters.group_pattern)))
    else:
        try:
            re.compile(parameters.group_pattern)
        except (re.error, OverflowError) as error:  # OverflowError: a{99999999999}
            refusals.append(GroupPatternIsWrong(problem=str(error)))
    raise_together(refusals)
