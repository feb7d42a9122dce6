import json

import msgspec
import pytest

from domain.compute_resources import ComputeResource
from domain.data_paths import DataPathState, DefectCodeCount, FolderName, Inspection
from domain.json_forms import FieldIsMissing, JsonIsMalformed
from domain.messages import Resources, SegmentationOrder
from domain.model_images import ModelImage, ModelImageVersion
from domain.model_packages import ModelPackage, NetworkInput, NetworkTask, OfferedNetwork, ResolutionRule
from domain.names import ObjectNameIsInvalid
from domain.refusals import Refusal
from domain.task_types import TaskKind
from domain.training_parameters import (
    Augmentation,
    ClassificationModel,
    GroupPatternIsWrong,
    ModelParameters,
    NetworkNotOffered,
    SgdParameters,
    SplitRatioIsWrong,
    TrainingParameters,
)
from domain.training_requests import (
    DataPathHasNoImages,
    DataPathsShareImages,
    DataPathStillScanning,
    DefectCodeHasNoMasks,
    DefectCodeNotListed,
    NoComputeResourceChosen,
    NoDataPathChosen,
    NoModelImageChosen,
    SegmentationNotPossible,
    SegmentationParametersMissing,
    StartingWeights,
    TooFewImagesOfClass,
    TrainingDraft,
    can_train_segmentation,
    check_data_step,
    check_masks,
    check_model_step,
    check_preprocessing_step,
    check_training_step,
    images_per_code,
    order_training,
)
from tests.examples import (
    DEFECT_CODES,
    LOADING_QUEUED,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_IMPORTED,
    MODEL_IMAGE_LOADED,
    MODEL_PARAMETERS_TEXT,
    NETWORK_INPUT,
    PACKAGE,
    SEGMENTATION_ID,
    TRAINING_FOLDER,
    TRAINING_ORDER,
    TRAINING_PARAMETERS_TEXT,
    TWO_CORES,
    TWO_CORES_ID,
    artifact,
    inspection,
)
from tests.given_when_then import state_of, when

IMAGE: ModelImage = state_of(MODEL_IMAGE_IMPORTED, LOADING_QUEUED, MODEL_IMAGE_LOADED, aggregate_id=MODEL_IMAGE_ID)
VERSION: ModelImageVersion = IMAGE.versions[0]
RESOURCE: ComputeResource = state_of(TWO_CORES)
SEGMENTATION_NETWORK = OfferedNetwork(
    task=NetworkTask.SEGMENTATION, name="UNet", input=NetworkInput(width=256, height=256)
)
SEGMENTING_VERSION = msgspec.structs.replace(
    VERSION, package=msgspec.structs.replace(PACKAGE, networks=(*PACKAGE.networks, SEGMENTATION_NETWORK))
)
SEGMENTING_IMAGE = msgspec.structs.replace(
    IMAGE,
    task_type=msgspec.structs.replace(
        IMAGE.task_type, task_type_id=SEGMENTATION_ID, kind=TaskKind.SEGMENTATION_AND_CLASSIFICATION
    ),
    versions=(SEGMENTING_VERSION,),
)
DRAFT = TrainingDraft(
    model_name="panel-a",
    model_image_id=MODEL_IMAGE_ID,
    model_image_version=1,
    model_parameters=MODEL_PARAMETERS_TEXT,
    data_paths=(TRAINING_FOLDER,),
    compute_resource_id=TWO_CORES_ID,
    training_parameters=TRAINING_PARAMETERS_TEXT,
)
PARAMETERS = ModelParameters(ClassificationModel("ResNet18", 3), DEFECT_CODES)
WITH_SPECIAL_CODE = ModelParameters(ClassificationModel("ResNet18", 3), (*DEFECT_CODES, "TSFAS"))
CLASSIFYING = TrainingParameters(SgdParameters(base_lr=0.01, batch_size=16, max_iter=200))
SEGMENTING = TrainingParameters(
    SgdParameters(base_lr=0.01, batch_size=16, max_iter=200), SgdParameters(base_lr=0.01, batch_size=4, max_iter=600)
)


def draft(**changes: object) -> TrainingDraft:
    return msgspec.structs.replace(DRAFT, **changes)


def folder(name: str, **images_per_defect_code: int) -> Inspection:
    return Inspection(
        folder=FolderName("data", name),
        state=DataPathState.VALID,
        image_count=sum(images_per_defect_code.values()),
        defect_codes=tuple(DefectCodeCount(code, count) for code, count in images_per_defect_code.items()),
    )


# W-2, W-3
def test_the_first_step_gives_the_model_parameters() -> None:
    assert check_model_step(DRAFT, VERSION) == PARAMETERS


@pytest.mark.parametrize("name", ["", "1panel", "panel-", "面板", "a" * 61, "panel a"])
def test_a_model_name_follows_the_rule_for_names(name: str) -> None:
    when(check_model_step, draft(model_name=name), VERSION).then_refused(
        ObjectNameIsInvalid, "starts with a letter", at="model_name"
    )


@pytest.mark.parametrize("name", ["a", "a" * 60, "panel_a-2"])
def test_a_model_name_that_follows_the_rule_is_taken(name: str) -> None:
    check_model_step(draft(model_name=name), VERSION)


def test_every_mistake_of_the_first_step_is_told_at_once() -> None:
    when(check_model_step, draft(model_name="1", model_parameters="{"), VERSION).then_refused_together(
        ObjectNameIsInvalid, JsonIsMalformed
    )
    when(check_model_step, draft(model_name="1"), None).then_refused_together(ObjectNameIsInvalid, NoModelImageChosen)


# W-5
def test_paths_whose_images_are_known_to_the_model_are_taken() -> None:
    check_data_step(PARAMETERS, [inspection()])


def test_the_second_step_needs_a_path() -> None:
    when(check_data_step, PARAMETERS, []).then_refused(NoDataPathChosen, at="data_paths")


def test_a_path_without_images_is_named_by_its_line() -> None:
    empty = Inspection(folder=FolderName("data", "empty"), state=DataPathState.VALID)
    gone = Inspection(folder=FolderName("data", "gone"), state=DataPathState.INVALID, image_count=3)
    for wrong in (empty, gone):
        when(check_data_step, PARAMETERS, [inspection(), wrong]).then_refused(DataPathHasNoImages, at="data_paths.2")


def test_a_path_that_is_still_scanned_is_waited_for() -> None:
    scanning = msgspec.structs.replace(inspection(), state=DataPathState.SCANNING, image_count=0)
    when(check_data_step, PARAMETERS, [scanning]).then_refused(
        DataPathStillScanning, "Wait until its images are counted", at="data_paths.1"
    )


def test_two_paths_that_share_images_would_put_them_on_both_sides_of_the_split() -> None:  # W-8, D-4
    around = msgspec.structs.replace(inspection(), folder=FolderName("data", "panel-a"))
    inside = msgspec.structs.replace(inspection(), folder=FolderName("data", "panel-a/TPFIP"))
    when(check_data_step, PARAMETERS, [around, inside]).then_refused(
        DataPathsShareImages, "“data:panel-a” already holds the images", at="data_paths.2"
    )


def test_a_code_that_the_model_does_not_know_blocks_the_step() -> None:
    other = folder("other", TPFIP=4, TXXXX=1)
    when(check_data_step, PARAMETERS, [inspection(), other]).then_refused(
        DefectCodeNotListed, "“TXXXX” is not in code_list. Add it in step 1, or remove the path.", at="data_paths.2"
    )


def test_a_special_code_is_known_though_no_class() -> None:
    check_data_step(WITH_SPECIAL_CODE, [inspection(), folder("special", TSFAS=1)])


def test_a_class_needs_two_images_over_all_paths() -> None:
    one_each = folder("first", TPFIP=1, TTFBS=2, TTMUD=2)
    when(check_data_step, PARAMETERS, [one_each]).then_refused(
        TooFewImagesOfClass, "The class “TPFIP” has 1 images; it needs at least 2.", at="data_paths"
    )
    check_data_step(PARAMETERS, [one_each, folder("second", TPFIP=1)])


def test_a_class_without_any_image_is_told_too() -> None:
    when(check_data_step, PARAMETERS, [folder("first", TPFIP=9)]).then_refused_together(
        (TooFewImagesOfClass, "“TTFBS” has 0 images"), (TooFewImagesOfClass, "“TTMUD” has 0 images")
    )


def test_a_special_code_needs_no_images() -> None:  # W-4: it is no class
    check_data_step(WITH_SPECIAL_CODE, [inspection()])


def test_images_are_counted_over_all_paths() -> None:
    assert images_per_code([folder("a", TPFIP=3, TTFBS=1), folder("b", TTFBS=2)]) == {"TPFIP": 3, "TTFBS": 3}


# W-6
def test_the_third_step_gives_the_training_parameters() -> None:
    assert check_training_step(DRAFT, RESOURCE.resources) == CLASSIFYING


def test_the_third_step_needs_a_compute_resource_and_sound_parameters() -> None:
    when(check_training_step, DRAFT, None).then_refused(NoComputeResourceChosen, at="compute_resource")
    when(check_training_step, draft(training_parameters="{}"), Resources()).then_refused(
        FieldIsMissing, at="training_parameters"
    )
    when(check_training_step, draft(training_parameters="{}"), None).then_refused_together(
        NoComputeResourceChosen, FieldIsMissing
    )


# W-8
@pytest.mark.parametrize(
    ("changes", "refusal"), [({"split_ratio": 1.0}, SplitRatioIsWrong), ({"group_pattern": "("}, GroupPatternIsWrong)]
)
def test_the_fourth_step_checks_split_and_groups(changes: dict[str, object], refusal: type[Refusal]) -> None:
    when(check_preprocessing_step, draft(**changes), IMAGE, VERSION, CLASSIFYING).then_refused(refusal)


# W-9
def test_segmentation_is_offered_with_the_kind_and_a_network_for_it() -> None:
    assert can_train_segmentation(SEGMENTING_IMAGE, SEGMENTING_VERSION)
    assert not can_train_segmentation(IMAGE, SEGMENTING_VERSION)
    assert not can_train_segmentation(SEGMENTING_IMAGE, VERSION)


def test_segmentation_that_is_not_offered_is_refused() -> None:
    wanted = draft(train_segmentation=True)
    when(check_preprocessing_step, wanted, IMAGE, VERSION, SEGMENTING).then_refused(
        SegmentationNotPossible, at="train_segmentation"
    )


def test_segmentation_needs_its_parameters() -> None:
    wanted = draft(train_segmentation=True)
    when(check_preprocessing_step, wanted, SEGMENTING_IMAGE, SEGMENTING_VERSION, CLASSIFYING).then_refused(
        SegmentationParametersMissing, "Add it in step 3", at="train_segmentation"
    )
    check_preprocessing_step(wanted, SEGMENTING_IMAGE, SEGMENTING_VERSION, SEGMENTING)


def test_segmentation_needs_a_mask_for_every_code_that_has_images() -> None:
    def masked(code: str, images: int, masks: int) -> Inspection:
        return Inspection(
            folder=FolderName("data", code),
            state=DataPathState.VALID,
            image_count=images,
            defect_codes=(DefectCodeCount(code, images, masks),),
        )

    paths = [masked("TPFIP", 9, 1), masked("TTFBS", 5, 0), masked("TSFAS", 2, 0), masked("TTFBS", 1, 0)]
    when(check_masks, WITH_SPECIAL_CODE, paths).then_refused_together(
        (DefectCodeHasNoMasks, "No image of the code “TTFBS” has a mask."), (DefectCodeHasNoMasks, "“TSFAS”")
    )
    check_masks(WITH_SPECIAL_CODE, [*paths, masked("TTFBS", 1, 1), masked("TSFAS", 3, 2)])


def test_without_segmentation_its_parameters_have_no_effect() -> None:
    check_preprocessing_step(DRAFT, SEGMENTING_IMAGE, SEGMENTING_VERSION, CLASSIFYING)


def test_the_order_holds_everything_that_decides_the_run() -> None:
    order = order_training(
        DRAFT,
        version=VERSION,
        model_parameters=PARAMETERS,
        training_parameters=CLASSIFYING,
        data_paths=DRAFT.data_paths,
        seed=7,
    )
    assert order == TRAINING_ORDER


def test_the_order_carries_the_choices_of_the_fourth_step() -> None:
    chosen = draft(
        split_ratio=0.7,
        resolution_screening=False,
        augmentations=(Augmentation.FLIPPING, Augmentation.COLOR_ENHANCEMENT),
        group_pattern=r"^(\d+)",
        train_segmentation=True,
    )
    order = order_training(
        chosen,
        version=SEGMENTING_VERSION,
        model_parameters=PARAMETERS,
        training_parameters=SEGMENTING,
        data_paths=chosen.data_paths,
        seed=7,
    )
    assert order.preprocessing == chosen.preprocessing
    assert (order.preprocessing.split_ratio, order.preprocessing.resolution_screening) == (0.7, False)
    assert order.segmentation == SegmentationOrder(
        network="UNet",
        input=SEGMENTATION_NETWORK.input,
        special_code_min_pixels=SEGMENTING_VERSION.package.special_code_min_pixels,
    )


# W-3
def test_the_parameters_may_name_one_of_several_segmentation_networks() -> None:
    second = msgspec.structs.replace(SEGMENTATION_NETWORK, name="UNet-2", weights=artifact("unet-2.safetensors"))
    package = msgspec.structs.replace(
        SEGMENTING_VERSION.package, networks=(*SEGMENTING_VERSION.package.networks, second)
    )
    version = msgspec.structs.replace(SEGMENTING_VERSION, package=package)
    named = json.dumps({**json.loads(DRAFT.model_parameters), "segmentation": {"name": "UNet-2"}}, indent=4)
    parameters = check_model_step(draft(model_parameters=named), version)
    orders = [
        order_training(
            draft(train_segmentation=trains, starting_weights=weights),
            version=version,
            model_parameters=parameters,
            training_parameters=SEGMENTING,
            data_paths=(TRAINING_FOLDER,),
            seed=7,
        ).segmentation
        for trains, weights in (
            (True, StartingWeights.PACKAGE),
            (True, StartingWeights.NOTHING),
            (False, StartingWeights.PACKAGE),
        )
    ]
    assert [order and (order.network, order.initial_weights) for order in orders] == [
        ("UNet-2", second.weights),
        ("UNet-2", None),
        None,
    ]
    when(check_model_step, draft(model_parameters=named), SEGMENTING_VERSION).then_refused(
        NetworkNotOffered, "does not offer the network “UNet-2”. It offers: UNet", at="model_parameters"
    )


# W-12
@pytest.mark.parametrize(
    ("choice", "weights"),
    [(StartingWeights.PACKAGE, artifact("resnet18.safetensors")), (StartingWeights.NOTHING, None)],
)
def test_a_model_starts_from_the_packages_weights_or_from_nothing(choice: StartingWeights, weights: object) -> None:
    order = order_training(
        draft(starting_weights=choice),
        version=VERSION,
        model_parameters=PARAMETERS,
        training_parameters=CLASSIFYING,
        data_paths=(TRAINING_FOLDER,),
        seed=7,
    )
    assert order.initial_weights == weights


# W-10
def test_the_packages_resolution_rule_travels_with_the_order() -> None:
    rule = ResolutionRule(exact_sizes=((1024, 768),))
    package = ModelPackage(
        networks=(OfferedNetwork(task=NetworkTask.CLASSIFICATION, name="ResNet18", input=NETWORK_INPUT),),
        resolution_rule=rule,
    )
    order = order_training(
        DRAFT,
        version=msgspec.structs.replace(VERSION, package=package),
        model_parameters=PARAMETERS,
        training_parameters=CLASSIFYING,
        data_paths=DRAFT.data_paths,
        seed=7,
    )
    assert order.resolution_rule == rule
