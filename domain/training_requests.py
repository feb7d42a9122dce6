"""What the wizard asks for, and the check of each of its steps. Source: REQUIREMENTS, section W; manual, “新建模型”.

A draft holds what a person entered, exactly as entered; the steps turn it into a `TrainingOrder` or say why not.
"""

import enum
from collections.abc import Sequence
from uuid import UUID

import msgspec

from domain.data_paths import ChosenFolders, DataPathState, FolderName, Inspection
from domain.messages import Resources, SegmentationOrder, TrainingOrder
from domain.model_images import ModelImage, ModelImageVersion
from domain.model_packages import NetworkTask, OfferedNetwork
from domain.names import check_object_name
from domain.refusals import Refusal, collect, raise_together
from domain.sentences import N_
from domain.task_types import TaskKind
from domain.training_parameters import (
    Augmentation,
    ModelParameters,
    PreprocessingParameters,
    TrainingParameters,
    check_preprocessing,
    read_model_parameters,
    read_training_parameters,
)

LEAST_IMAGES_PER_CLASS = 2


class StartingWeights(enum.Enum):
    """What a new model starts from (W-12). Starting from a published version comes with retraining."""

    PACKAGE = "package"
    NOTHING = "nothing"


class TrainingDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The wizard's fields as entered. `environment` holds the ids of the chosen last-level nodes."""

    model_name: str = ""
    model_image_id: UUID | None = None
    model_image_version: int = 0
    model_parameters: str = ""
    environment: tuple[UUID, ...] = ()
    data_paths: tuple[FolderName, ...] = ()
    compute_resource_id: UUID | None = None
    training_parameters: str = ""
    split_ratio: float = 0.8
    resolution_screening: bool = True
    augmentations: tuple[Augmentation, ...] = ()
    train_segmentation: bool = False
    group_pattern: str = ""
    starting_weights: StartingWeights = StartingWeights.PACKAGE

    @property
    def preprocessing(self) -> PreprocessingParameters:
        """Step 4 as the worker reads it."""
        return PreprocessingParameters(
            split_ratio=self.split_ratio,
            resolution_screening=self.resolution_screening,
            augmentations=self.augmentations,
            train_segmentation=self.train_segmentation,
            group_pattern=self.group_pattern,
        )


class NoModelImageChosen(Refusal):
    """Step 1 needs a version."""

    field = "model_image_version"
    message = N_("Choose a model image version.")


class EnvironmentIsGone(Refusal):
    """A place that was chosen in an earlier visit may have been removed since."""

    field = "environment"
    message = N_("The chosen production environment does not exist any more. Choose it anew.")


class NoDataPathChosen(Refusal):
    """Step 2 needs images."""

    field = "data_paths"
    message = N_("Import data paths from a dataset, or enter at least one.")


class DataPathHasNoImages(Refusal):
    """W-5: a path without images blocks the next step. The field is `data_paths.<line>`, lines counted from 1."""

    message = N_("There are no images at this path. Remove the path, or put images there.")


class DataPathStillScanning(Refusal):
    """D-3: steps that need the counts wait for them. The field is `data_paths.<line>`."""

    message = N_("This path is still being scanned. Wait until its images are counted.")


class DataPathsShareImages(Refusal):
    """An image that comes twice would stand on both sides of the split. The field is `data_paths.<line>`."""

    message = N_("“{other}” already holds the images of this path, or this path holds its. Keep only one of them.")


class DefectCodeNotListed(Refusal):
    """W-5: every code of the images must be known to the model. The field is `data_paths.<line>`."""

    message = N_("The code “{defect_code}” is not in code_list. Add it in step 1, or remove the path.")


class TooFewImagesOfClass(Refusal):
    """W-5: a class with fewer than two images cannot be split."""

    field = "data_paths"
    message = N_(
        "The class “{defect_code}” has {count} images; it needs at least {least}. Add a path with more of them."
    )


class NoComputeResourceChosen(Refusal):
    """Step 3 needs a resource."""

    field = "compute_resource"
    message = N_("Choose a compute resource.")


class SegmentationNotPossible(Refusal):
    """W-9: only for task types of that kind, with a package that brings a network for it."""

    field = "train_segmentation"
    message = N_("This model image cannot train segmentation. Switch it off, or choose another model image in step 1.")


class SegmentationParametersMissing(Refusal):
    """Training segmentation needs its parameters."""

    field = "train_segmentation"
    message = N_("Training segmentation needs the “segmentation” part of the training parameters. Add it in step 3.")


class DefectCodeHasNoMasks(Refusal):
    """W-9: a code without any mask cannot be learned by segmentation."""

    field = "train_segmentation"
    message = N_(
        "No image of the code “{defect_code}” has a mask. Add masks beside its images, or switch segmentation off."
    )


def check_model_step(draft: TrainingDraft, version: ModelImageVersion | None) -> ModelParameters:
    """Step 1: name, model image version and model parameters.

    Raises:
        ObjectNameIsInvalid, NoModelImageChosen, and what `read_model_parameters` raises (all that apply, together).
    """
    refusals: list[Refusal] = []
    collect(refusals, check_object_name, draft.model_name, field="model_name")
    parameters: ModelParameters | None = None
    if version is None:
        refusals.append(NoModelImageChosen())
    else:
        offered = [
            [network.name for network in version.package.networks_for(task)]
            for task in (NetworkTask.CLASSIFICATION, NetworkTask.SEGMENTATION)
        ]
        parameters = collect(refusals, read_model_parameters, draft.model_parameters, *offered)
    raise_together(refusals)
    assert parameters is not None
    return parameters


def check_data_step(parameters: ModelParameters, inspections: Sequence[Inspection]) -> None:
    """Step 2: the images of the chosen paths, as just inspected, in the order of the draft.

    Raises:
        NoDataPathChosen, DataPathHasNoImages, DataPathStillScanning, DataPathsShareImages, DefectCodeNotListed,
        TooFewImagesOfClass.
    """
    refusals = unusable_paths(inspections)
    refusals += [
        DefectCodeNotListed(at=f"data_paths.{line}", defect_code=count.defect_code)
        for line, inspection in enumerate(inspections, 1)
        for count in inspection.defect_codes
        if count.defect_code not in parameters.code_list
    ]
    if not refusals:
        counts = images_per_code(inspections)
        refusals += [
            TooFewImagesOfClass(defect_code=code, count=counts.get(code, 0), least=LEAST_IMAGES_PER_CLASS)
            for code in parameters.classifier_codes
            if counts.get(code, 0) < LEAST_IMAGES_PER_CLASS
        ]
    raise_together(refusals)


def unusable_paths(inspections: Sequence[Inspection]) -> list[Refusal]:
    """What keeps data paths from being trained on or predicted, each beside its line (W-5, D-3)."""
    refusals: list[Refusal] = [] if inspections else [NoDataPathChosen()]
    before = ChosenFolders()
    for line, inspection in enumerate(inspections, 1):
        if inspection.state is DataPathState.SCANNING:
            refusals.append(DataPathStillScanning(at=f"data_paths.{line}"))
        elif inspection.state is DataPathState.INVALID or inspection.image_count == 0:
            refusals.append(DataPathHasNoImages(at=f"data_paths.{line}"))
        if other := before.overlapping(inspection.folder):
            refusals.append(DataPathsShareImages(at=f"data_paths.{line}", other=str(other)))
        before.add(inspection.folder)
    return refusals


def images_per_code(inspections: Sequence[Inspection]) -> dict[str, int]:
    """How many images each code has over all paths, in the order of the paths."""
    counts: dict[str, int] = {}
    for inspection in inspections:
        for count in inspection.defect_codes:
            counts[count.defect_code] = counts.get(count.defect_code, 0) + count.image_count
    return counts


def check_training_step(draft: TrainingDraft, resources: Resources | None) -> TrainingParameters:
    """Step 3: compute resource and training parameters.

    Raises:
        NoComputeResourceChosen, and what `read_training_parameters` raises (all that apply, together).
    """
    refusals: list[Refusal] = []
    if resources is None:
        refusals.append(NoComputeResourceChosen())
    parameters: TrainingParameters | None = collect(refusals, read_training_parameters, draft.training_parameters)
    raise_together(refusals)
    assert parameters is not None
    return parameters


def check_preprocessing_step(
    draft: TrainingDraft, image: ModelImage, version: ModelImageVersion, training: TrainingParameters
) -> None:
    """Step 4: split, screening, augmentation, segmentation.

    Raises:
        SplitRatioIsWrong, GroupPatternIsWrong, SegmentationNotPossible, SegmentationParametersMissing.
    """
    refusals: list[Refusal] = []
    collect(refusals, check_preprocessing, draft.preprocessing)
    if draft.train_segmentation and not can_train_segmentation(image, version):
        refusals.append(SegmentationNotPossible())
    elif draft.train_segmentation and training.segmentation is None:
        refusals.append(SegmentationParametersMissing())
    raise_together(refusals)


def check_masks(parameters: ModelParameters, inspections: Sequence[Inspection]) -> None:
    """Step 4, where segmentation is trained: every code of the list that has images trains it, special or not (W-4, W-9).

    Raises:
        DefectCodeHasNoMasks: for each code none of whose images has a mask.
    """
    masks = {code: 0 for code in images_per_code(inspections) if code in parameters.code_list}
    for inspection in inspections:
        for count in inspection.defect_codes:
            if count.defect_code in masks:
                masks[count.defect_code] += count.mask_count
    raise_together([DefectCodeHasNoMasks(defect_code=code) for code, count in masks.items() if not count])


def can_train_segmentation(image: ModelImage, version: ModelImageVersion) -> bool:
    """Whether 「开启训练分割」 is offered (W-9)."""
    has_kind = image.task_type.kind is TaskKind.SEGMENTATION_AND_CLASSIFICATION
    return has_kind and bool(version.package.networks_for(NetworkTask.SEGMENTATION))


def order_training(
    draft: TrainingDraft,
    *,
    version: ModelImageVersion,
    model_parameters: ModelParameters,
    training_parameters: TrainingParameters,
    data_paths: Sequence[FolderName],
    seed: int,
) -> TrainingOrder:
    """The order for the worker, from steps that were checked."""
    network = _network(version, NetworkTask.CLASSIFICATION, model_parameters.classification.name)
    starts_from_package = draft.starting_weights is StartingWeights.PACKAGE
    return TrainingOrder(
        model_name=draft.model_name,
        model_parameters=model_parameters,
        input=network.input,
        segmentation=_segmentation(version, model_parameters, starts_from_package)
        if draft.train_segmentation
        else None,
        resolution_rule=version.package.resolution_rule,
        data_paths=tuple(data_paths),
        training_parameters=training_parameters,
        preprocessing=draft.preprocessing,
        initial_weights=network.weights if starts_from_package else None,
        seed=seed,
    )


def _segmentation(
    version: ModelImageVersion, parameters: ModelParameters, starts_from_package: bool
) -> SegmentationOrder:
    """The network that the parameters name; where they name none, the first that the package offers."""
    offered = version.package.networks_for(NetworkTask.SEGMENTATION)
    name = parameters.segmentation.name if parameters.segmentation else offered[0].name
    network = _network(version, NetworkTask.SEGMENTATION, name)
    return SegmentationOrder(
        network=network.name,
        input=network.input,
        special_code_min_pixels=version.package.special_code_min_pixels,
        initial_weights=network.weights if starts_from_package else None,
    )


def _network(version: ModelImageVersion, task: NetworkTask, name: str) -> OfferedNetwork:
    network = version.package.network(task, name)
    if network is None:
        raise ValueError(f"{name} was checked to be offered, but is not")
    return network
