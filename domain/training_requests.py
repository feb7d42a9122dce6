"""What the wizard asks for, and the check of each of its steps. Source: REQUIREMENTS, section W; manual, “新建模型”.

A draft holds what a person entered, exactly as entered; the steps turn it into a `TrainingOrder` or say why not.
"""

import enum
from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import ChosenFolders, DataPathState, FolderName, Inspection
from domain.json_forms import write_json
from domain.messages import Resources, SegmentationOrder, TrainingOrder
from domain.model_images import ModelImage, ModelImageKind, ModelImageVersion, TaskTypeUsed
from domain.model_packages import ModelPackage, NetworkTask, OfferedNetwork
from domain.models import Model, ModelVersion
from domain.names import check_object_name
from domain.refusals import Refusal, collect, raise_together
from domain.sentences import N_
from domain.task_types import TaskKind
from domain.training_jobs import ModelImageUsed, VersionUsed
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
ALWAYS_OFFERED = "ResNet18"
"""A classifier may be one whatever the package offers (W-3)."""


class StartingWeights(enum.Enum):
    """What a training starts from (W-12); a retraining always from the version that is trained again (W-11)."""

    PACKAGE = "package"
    NOTHING = "nothing"
    VERSION = "version"


class StartingVersion(msgspec.Struct, frozen=True):
    """A published version, by its model and its label."""

    model_id: UUID
    label: str


class TrainingDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The wizard's fields as entered. `environment` holds the ids of the chosen last-level nodes.

    Of a retraining, name, model image version, model parameters and environment are those of `starting_version` (W-11).
    """

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
    starting_version: StartingVersion | None = None
    is_retraining: bool = False

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


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What a training builds on: a loaded model image version, or what a published version kept of one (M-6, W-11).

    `retrained` is the model that is trained again, None for a new one; `brings_codes` where a business image does (W-2).
    """

    model_image: ModelImageUsed
    task_type: TaskTypeUsed
    package: ModelPackage
    retrained: Model | None = None
    brings_codes: bool = False

    @property
    def can_train_segmentation(self) -> bool:
        """Whether 「开启训练分割」 is offered (W-9)."""
        has_kind = self.task_type.kind is TaskKind.SEGMENTATION_AND_CLASSIFICATION
        return has_kind and bool(self.package.networks_for(NetworkTask.SEGMENTATION))


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


class DefectCodeUnknownToImage(Refusal):
    """W-5, W-2: a business image brings its codes. The field is `data_paths.<line>`."""

    message = N_(
        "The code “{defect_code}” is not in the code_list that the business image “{model_image}” brings. "
        "Remove the path, or choose another model image in step 1."
    )


class DefectCodeUnknownToModel(Refusal):
    """W-5, W-11: the codes of a model that is trained again stay as they are. The field is `data_paths.<line>`."""

    message = N_(
        "The code “{defect_code}” is not in code_list, and a model that is trained again keeps its codes. "
        "Remove the path, or make a new model."
    )


class LockedDataPathIsMissing(Refusal):
    """W-5: the paths of a model's first training belong to each further one."""

    field = "data_paths"
    message = N_("“{folder}” was used when the model was new and cannot be left out. Add it again.")


class LockedDataPathHasNoImages(Refusal):
    """W-5. The field is `data_paths.<line>`."""

    message = N_(
        "There are no images at this path any more. It was used when the model was new and cannot be removed: "
        "put the images back, or ask a super administrator to release it."
    )


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


class NoStartingVersionChosen(Refusal):
    """W-12: a start from a published version needs one."""

    field = "starting_version"
    message = N_("Choose the version whose weights the training starts from, or other initial weights.")


class StartingVersionHasAnotherNetwork(Refusal):
    """W-12: weights fit the network that they were trained for."""

    field = "starting_version"
    message = N_(
        "“{version}” is a {network}, and the model parameters name {wanted}. "
        "Choose a version of the same network, or other initial weights."
    )


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
        offered[0] = list(dict.fromkeys((*offered[0], ALWAYS_OFFERED)))
        parameters = collect(refusals, read_model_parameters, draft.model_parameters, *offered)
    raise_together(refusals)
    assert parameters is not None
    return parameters


def basis_of_image(image: ModelImage, version: ModelImageVersion) -> Basis:
    """A new model builds on a model image version that can be used (W-2)."""
    return Basis(
        model_image=ModelImageUsed(image.id, image.name, version.number),
        task_type=image.task_type,
        package=version.package,
        brings_codes=image.kind is ModelImageKind.BUSINESS,
    )


def basis_of_version(model: Model, version: ModelVersion, package: ModelPackage) -> Basis:
    """A retraining builds on what the version kept (W-11), whatever became of its model image, task type and places since.

    `package` is what its model image version brought; initial weights of it may be gone and are not used. The training parameters
    to begin with are those of the version.
    """
    kept = version.published
    networks = tuple(msgspec.structs.replace(network, weights=None) for network in package.networks)
    return Basis(
        model_image=kept.model_image,
        task_type=kept.task_type,
        package=msgspec.structs.replace(
            package, networks=networks, training_parameters=write_json(kept.order.training_parameters)
        ),
        retrained=model,
    )


def retraining_draft(model: Model, version: ModelVersion, compute_resource_id: UUID | None) -> TrainingDraft:
    """The wizard as it opens for a retraining: filled with what the job of the version was given (W-11)."""
    order, image = version.published.order, version.published.model_image
    preprocessing = order.preprocessing
    return TrainingDraft(
        model_name=model.name,
        model_image_id=image.model_image_id,
        model_image_version=image.number,
        model_parameters=write_json(order.model_parameters),
        data_paths=order.data_paths,
        compute_resource_id=compute_resource_id,
        training_parameters=write_json(order.training_parameters),
        split_ratio=preprocessing.split_ratio,
        resolution_screening=preprocessing.resolution_screening,
        augmentations=preprocessing.augmentations,
        train_segmentation=preprocessing.train_segmentation,
        group_pattern=preprocessing.group_pattern,
        starting_weights=StartingWeights.VERSION,
        starting_version=StartingVersion(model.id, version.label),
        is_retraining=True,
    )


def check_data_step(parameters: ModelParameters, inspections: Sequence[Inspection], basis: Basis) -> None:
    """Step 2: the images of the chosen paths, as just inspected, in the order of the draft.

    Raises:
        NoDataPathChosen, DataPathHasNoImages, DataPathStillScanning, DataPathsShareImages, DefectCodeNotListed,
        DefectCodeUnknownToImage, DefectCodeUnknownToModel, LockedDataPathIsMissing, LockedDataPathHasNoImages,
        TooFewImagesOfClass.
    """
    locked = basis.retrained.locked_paths if basis.retrained else ()
    chosen = {inspection.folder for inspection in inspections}
    refusals = unusable_paths(inspections, locked)
    refusals += [LockedDataPathIsMissing(folder=str(folder)) for folder in locked if folder not in chosen]
    refusals += [
        _unknown_code(basis, line, count.defect_code)
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


def _unknown_code(basis: Basis, line: int, defect_code: str) -> Refusal:
    """What to do about it depends on where the codes come from."""
    at = f"data_paths.{line}"
    if basis.retrained:
        return DefectCodeUnknownToModel(at=at, defect_code=defect_code)
    if basis.brings_codes:
        return DefectCodeUnknownToImage(at=at, defect_code=defect_code, model_image=basis.model_image.name)
    return DefectCodeNotListed(at=at, defect_code=defect_code)


def unusable_paths(inspections: Sequence[Inspection], locked: Collection[FolderName] = ()) -> list[Refusal]:
    """What keeps data paths from being trained on or predicted, each beside its line (W-5, D-3); `locked` ones are not removed."""
    refusals: list[Refusal] = [] if inspections else [NoDataPathChosen()]
    before = ChosenFolders()
    for line, inspection in enumerate(inspections, 1):
        if inspection.state is DataPathState.SCANNING:
            refusals.append(DataPathStillScanning(at=f"data_paths.{line}"))
        elif inspection.state is DataPathState.INVALID or inspection.image_count == 0:
            empty = LockedDataPathHasNoImages if inspection.folder in locked else DataPathHasNoImages
            refusals.append(empty(at=f"data_paths.{line}"))
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


def check_start(draft: TrainingDraft, parameters: ModelParameters, start: ModelVersion | None) -> None:
    """Step 3, where the training starts from a published version, `start`: it has the same network (W-12).

    Raises:
        NoStartingVersionChosen, StartingVersionHasAnotherNetwork.
    """
    if draft.starting_weights is not StartingWeights.VERSION:
        return
    if start is None:
        raise NoStartingVersionChosen
    network, wanted = start.published.order.model_parameters.classification.name, parameters.classification.name
    if network != wanted:
        version = f"{start.published.model_name} {start.label}"
        raise StartingVersionHasAnotherNetwork(version=version, network=network, wanted=wanted)


def check_preprocessing_step(draft: TrainingDraft, basis: Basis, training: TrainingParameters) -> None:
    """Step 4: split, screening, augmentation, segmentation.

    Raises:
        SplitRatioIsWrong, GroupPatternIsWrong, SegmentationNotPossible, SegmentationParametersMissing.
    """
    refusals: list[Refusal] = []
    collect(refusals, check_preprocessing, draft.preprocessing)
    if draft.train_segmentation and not basis.can_train_segmentation:
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


def order_training(
    draft: TrainingDraft,
    *,
    package: ModelPackage,
    model_parameters: ModelParameters,
    training_parameters: TrainingParameters,
    data_paths: Sequence[FolderName],
    seed: int,
    start: ModelVersion | None = None,
) -> TrainingOrder:
    """The order for the worker, from steps that were checked; `start` is the version whose weights it starts from, if any."""
    network = _network(package, NetworkTask.CLASSIFICATION, model_parameters.classification.name)
    return TrainingOrder(
        model_name=draft.model_name,
        model_parameters=model_parameters,
        input=network.input,
        segmentation=_segmentation(draft, package, model_parameters, start) if draft.train_segmentation else None,
        resolution_rule=package.resolution_rule,
        data_paths=tuple(data_paths),
        training_parameters=training_parameters,
        preprocessing=draft.preprocessing,
        initial_weights=_initial_weights(draft, network, start),
        seed=seed,
    )


def version_used(draft: TrainingDraft, start: ModelVersion | None) -> VersionUsed | None:
    """What the job records of the version that it starts from (W-12)."""
    if start is None or draft.starting_version is None:
        return None
    return VersionUsed(draft.starting_version.model_id, start.published.model_name, start.label)


def segmentation_network(package: ModelPackage, parameters: ModelParameters) -> OfferedNetwork:
    """The network that the parameters name; where they name none, the first that the package offers."""
    offered = package.networks_for(NetworkTask.SEGMENTATION)
    name = parameters.segmentation.name if parameters.segmentation else offered[0].name
    return _network(package, NetworkTask.SEGMENTATION, name)


def _segmentation(
    draft: TrainingDraft, package: ModelPackage, parameters: ModelParameters, start: ModelVersion | None
) -> SegmentationOrder:
    network = segmentation_network(package, parameters)
    return SegmentationOrder(
        network=network.name,
        input=network.input,
        special_code_min_pixels=package.special_code_min_pixels,
        initial_weights=_initial_weights(draft, network, start),
    )


def _initial_weights(draft: TrainingDraft, network: OfferedNetwork, start: ModelVersion | None) -> Artifact | None:
    """A version that has no weights of this network, because it did not segment, leaves it to the package's, if there are any."""
    if draft.starting_weights is StartingWeights.NOTHING:
        return None
    of_start = start.weights_of(network.task, network.name) if start else None
    return of_start or network.weights


def _network(package: ModelPackage, task: NetworkTask, name: str) -> OfferedNetwork:
    network = package.network(task, name)
    if network is None and task is NetworkTask.CLASSIFICATION and name == ALWAYS_OFFERED:
        first = package.networks_for(task)[0]  # the images come as the package wants them for its own
        network = msgspec.structs.replace(first, name=name, weights=None)
    if network is None:
        raise ValueError(f"{name} was checked to be offered, but is not")
    return network
