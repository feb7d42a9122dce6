import json
from typing import Any

import msgspec
import pytest

from domain.compute_resources import ComputeResource
from domain.data_paths import DataPathState, DefectCodeCount, FolderName, Inspection
from domain.json_forms import FieldIsMissing, JsonIsMalformed
from domain.messages import Resources, SegmentationOrder, TrainingOrder
from domain.model_images import ModelImage, ModelImageKind, ModelImageVersion
from domain.model_packages import ModelPackage, NetworkInput, NetworkTask, OfferedNetwork, ResolutionRule
from domain.models import Model, ModelDataPathReleased, ModelVersion
from domain.names import ObjectNameIsInvalid
from domain.refusals import Refusal
from domain.task_types import TaskKind
from domain.training_parameters import (
    USUAL_AUGMENTATIONS,
    Augmentation,
    ClassificationModel,
    GroupPatternIsWrong,
    ModelParameters,
    NetworkNotOffered,
    PreprocessingParameters,
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
    DefectCodeUnknownToImage,
    DefectCodeUnknownToModel,
    LockedDataPathHasNoImages,
    LockedDataPathIsMissing,
    NoComputeResourceChosen,
    NoDataPathChosen,
    NoModelImageChosen,
    NoStartingVersionChosen,
    SegmentationNotPossible,
    SegmentationParametersMissing,
    StartingVersion,
    StartingVersionHasAnotherNetwork,
    StartingWeights,
    TooFewImagesOfClass,
    TrainingDraft,
    basis_of_image,
    basis_of_version,
    check_data_step,
    check_masks,
    check_model_step,
    check_preprocessing_step,
    check_start,
    check_training_step,
    images_per_code,
    order_training,
    retraining_draft,
)
from tests.examples import (
    DEFECT_CODES,
    LOADING_QUEUED,
    MODEL_ID,
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
    VERSION_PUBLISHED,
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
BASIS = basis_of_image(IMAGE, VERSION)
SEGMENTING_BASIS = basis_of_image(SEGMENTING_IMAGE, SEGMENTING_VERSION)
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


def test_a_resnet18_can_be_trained_whatever_the_package_offers() -> None:
    larger = OfferedNetwork(
        task=NetworkTask.CLASSIFICATION,
        name="ResNet34",
        input=NetworkInput(width=96, height=96),
        weights=artifact("resnet34.safetensors"),
    )
    version = msgspec.structs.replace(VERSION, package=msgspec.structs.replace(PACKAGE, networks=(larger,)))
    parameters = check_model_step(DRAFT, version)
    order = order_training(
        DRAFT,
        package=version.package,
        model_parameters=parameters,
        training_parameters=CLASSIFYING,
        data_paths=(TRAINING_FOLDER,),
        seed=7,
    )
    assert (order.input, order.initial_weights) == (larger.input, None)
    other = draft(model_parameters=MODEL_PARAMETERS_TEXT.replace("ResNet18", "ResNet50"))
    when(check_model_step, other, version).then_refused(NetworkNotOffered, "It offers: ResNet34, ResNet18.")


# W-5
def test_paths_whose_images_are_known_to_the_model_are_taken() -> None:
    check_data_step(PARAMETERS, [inspection()], BASIS)


def test_the_second_step_needs_a_path() -> None:
    when(check_data_step, PARAMETERS, [], BASIS).then_refused(NoDataPathChosen, at="data_paths")


def test_a_path_without_images_is_named_by_its_line() -> None:
    empty = Inspection(folder=FolderName("data", "empty"), state=DataPathState.VALID)
    gone = Inspection(folder=FolderName("data", "gone"), state=DataPathState.INVALID, image_count=3)
    for wrong in (empty, gone):
        when(check_data_step, PARAMETERS, [inspection(), wrong], BASIS).then_refused(
            DataPathHasNoImages, at="data_paths.2"
        )


def test_a_path_that_is_still_scanned_is_waited_for() -> None:
    scanning = msgspec.structs.replace(inspection(), state=DataPathState.SCANNING, image_count=0)
    when(check_data_step, PARAMETERS, [scanning], BASIS).then_refused(
        DataPathStillScanning, "Wait until its images are counted", at="data_paths.1"
    )


def test_two_paths_that_share_images_would_put_them_on_both_sides_of_the_split() -> None:  # W-8, D-4
    around = msgspec.structs.replace(inspection(), folder=FolderName("data", "panel-a"))
    inside = msgspec.structs.replace(inspection(), folder=FolderName("data", "panel-a/TPFIP"))
    when(check_data_step, PARAMETERS, [around, inside], BASIS).then_refused(
        DataPathsShareImages, "“data:panel-a” already holds the images", at="data_paths.2"
    )


def test_a_code_that_the_model_does_not_know_blocks_the_step() -> None:
    other = folder("other", TPFIP=4, TXXXX=1)
    when(check_data_step, PARAMETERS, [inspection(), other], BASIS).then_refused(
        DefectCodeNotListed, "“TXXXX” is not in code_list. Add it in step 1, or remove the path.", at="data_paths.2"
    )


def test_a_business_image_brings_its_codes_so_none_can_be_added_in_step_1() -> None:  # W-2
    business = basis_of_image(msgspec.structs.replace(IMAGE, kind=ModelImageKind.BUSINESS), VERSION)
    when(check_data_step, PARAMETERS, [folder("other", TPFIP=4, TXXXX=1)], business).then_refused(
        DefectCodeUnknownToImage,
        "“TXXXX” is not in the code_list that the business image “resnet18” brings. Remove the path, or choose another",
        at="data_paths.1",
    )


def test_a_special_code_is_known_though_no_class() -> None:
    check_data_step(WITH_SPECIAL_CODE, [inspection(), folder("special", TSFAS=1)], BASIS)


def test_a_class_needs_two_images_over_all_paths() -> None:
    one_each = folder("first", TPFIP=1, TTFBS=2, TTMUD=2)
    when(check_data_step, PARAMETERS, [one_each], BASIS).then_refused(
        TooFewImagesOfClass, "The class “TPFIP” has 1 images; it needs at least 2.", at="data_paths"
    )
    check_data_step(PARAMETERS, [one_each, folder("second", TPFIP=1)], BASIS)


def test_a_class_without_any_image_is_told_too() -> None:
    when(check_data_step, PARAMETERS, [folder("first", TPFIP=9)], BASIS).then_refused_together(
        (TooFewImagesOfClass, "“TTFBS” has 0 images"), (TooFewImagesOfClass, "“TTMUD” has 0 images")
    )


def test_a_special_code_needs_no_images() -> None:  # W-4: it is no class
    check_data_step(WITH_SPECIAL_CODE, [inspection()], BASIS)


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
    when(check_preprocessing_step, draft(**changes), BASIS, CLASSIFYING).then_refused(refusal)


# W-9
def test_the_fourth_step_begins_with_four_fifths_screened_and_not_segmented() -> None:  # W-8
    begun = PreprocessingParameters(split_ratio=0.8, resolution_screening=True, augmentations=(), group_pattern="")
    assert TrainingDraft().preprocessing == PreprocessingParameters() == begun
    assert not begun.train_segmentation
    assert USUAL_AUGMENTATIONS == (Augmentation.COLOR_ENHANCEMENT, Augmentation.RANDOM_TRANSFORM)


def test_what_the_fourth_step_was_given_is_what_the_worker_reads() -> None:  # W-8
    given: dict[str, Any] = {
        "split_ratio": 0.7,
        "resolution_screening": False,
        "augmentations": (Augmentation.FLIPPING,),
        "train_segmentation": True,
        "group_pattern": "^[^_]+",
    }
    assert draft(**given).preprocessing == PreprocessingParameters(**given)


def test_segmentation_is_offered_with_the_kind_and_a_network_for_it() -> None:
    assert SEGMENTING_BASIS.can_train_segmentation
    assert not basis_of_image(IMAGE, SEGMENTING_VERSION).can_train_segmentation
    assert not basis_of_image(SEGMENTING_IMAGE, VERSION).can_train_segmentation


def test_segmentation_that_is_not_offered_is_refused() -> None:
    wanted = draft(train_segmentation=True)
    when(check_preprocessing_step, wanted, BASIS, SEGMENTING).then_refused(
        SegmentationNotPossible, at="train_segmentation"
    )


def test_segmentation_needs_its_parameters() -> None:
    wanted = draft(train_segmentation=True)
    when(check_preprocessing_step, wanted, SEGMENTING_BASIS, CLASSIFYING).then_refused(
        SegmentationParametersMissing, "Add it in step 3", at="train_segmentation"
    )
    check_preprocessing_step(wanted, SEGMENTING_BASIS, SEGMENTING)


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
    check_preprocessing_step(DRAFT, SEGMENTING_BASIS, CLASSIFYING)


def test_the_order_holds_everything_that_decides_the_run() -> None:
    order = order_training(
        DRAFT,
        package=VERSION.package,
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
        package=SEGMENTING_VERSION.package,
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
            package=version.package,
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
        package=VERSION.package,
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
        package=package,
        model_parameters=PARAMETERS,
        training_parameters=CLASSIFYING,
        data_paths=DRAFT.data_paths,
        seed=7,
    )
    assert order.resolution_rule == rule


# W-12
FIRST_VERSION = ModelVersion(VERSION_PUBLISHED)
FROM_VERSION = StartingVersion(MODEL_ID, "v1.01")
SEGMENTING_ORDER = msgspec.structs.replace(
    TRAINING_ORDER, segmentation=SegmentationOrder(network="UNet", input=SEGMENTATION_NETWORK.input)
)
SEGMENTING_FIRST = ModelVersion(
    msgspec.structs.replace(
        VERSION_PUBLISHED, order=SEGMENTING_ORDER, segmentation_weights=artifact("panel-a unet.safetensors")
    )
)


def started(start: ModelVersion | None, package: ModelPackage = SEGMENTING_VERSION.package) -> TrainingOrder:
    return order_training(
        draft(starting_weights=StartingWeights.VERSION, starting_version=FROM_VERSION, train_segmentation=True),
        package=package,
        model_parameters=PARAMETERS,
        training_parameters=SEGMENTING,
        data_paths=(TRAINING_FOLDER,),
        seed=7,
        start=start,
    )


def test_both_networks_start_from_the_weights_of_a_version() -> None:
    order = started(SEGMENTING_FIRST)
    assert order.initial_weights == VERSION_PUBLISHED.weights
    assert order.segmentation is not None
    assert order.segmentation.initial_weights == artifact("panel-a unet.safetensors")


def test_where_the_version_did_not_segment_the_packages_weights_are_left() -> None:
    assert (found := started(FIRST_VERSION).segmentation) is not None
    assert found.initial_weights is None
    weighted = msgspec.structs.replace(SEGMENTATION_NETWORK, weights=artifact("unet.safetensors"))
    package = msgspec.structs.replace(PACKAGE, networks=(*PACKAGE.networks, weighted))
    assert (found := started(FIRST_VERSION, package).segmentation) is not None
    assert found.initial_weights == artifact("unet.safetensors")
    assert (found := started(SEGMENTING_FIRST, package).segmentation) is not None
    assert found.initial_weights == artifact("panel-a unet.safetensors")


def test_a_start_from_a_version_needs_one_of_the_same_network() -> None:
    wanted = draft(starting_weights=StartingWeights.VERSION, starting_version=FROM_VERSION)
    check_start(wanted, PARAMETERS, FIRST_VERSION)
    when(check_start, wanted, PARAMETERS, None).then_refused(NoStartingVersionChosen, at="starting_version")
    larger = ModelParameters(ClassificationModel("ResNet34", 3), DEFECT_CODES)
    when(check_start, wanted, larger, FIRST_VERSION).then_refused(
        StartingVersionHasAnotherNetwork, "“panel-a v1.01” is a ResNet18, and the model parameters name ResNet34."
    )
    check_start(draft(), larger, None)


def test_other_codes_do_not_keep_a_model_from_starting_from_a_version() -> None:
    wanted = draft(starting_weights=StartingWeights.VERSION, starting_version=FROM_VERSION)
    check_start(wanted, ModelParameters(ClassificationModel("ResNet18", 2), ("TXXXX", "TYYYY")), FIRST_VERSION)


# W-11
MODEL: Model = state_of(VERSION_PUBLISHED, aggregate_id=MODEL_ID)
RETRAINING = msgspec.structs.replace(BASIS, retrained=MODEL)


def test_a_retraining_opens_with_what_the_versions_job_was_given() -> None:
    given_to_job = PreprocessingParameters(
        split_ratio=0.7,
        resolution_screening=False,
        augmentations=(Augmentation.SCALING,),
        group_pattern=r"^(\d+)",
    )
    version = ModelVersion(
        msgspec.structs.replace(
            VERSION_PUBLISHED, order=msgspec.structs.replace(TRAINING_ORDER, preprocessing=given_to_job)
        )
    )
    opened = retraining_draft(MODEL, version, TWO_CORES_ID)
    assert (opened.model_name, opened.data_paths, opened.compute_resource_id) == (
        "panel-a",
        (TRAINING_FOLDER,),
        TWO_CORES_ID,
    )
    assert opened.preprocessing == given_to_job
    assert check_training_step(opened, RESOURCE.resources) == TRAINING_ORDER.training_parameters
    assert "null" not in opened.training_parameters
    assert (opened.starting_weights, opened.starting_version) == (StartingWeights.VERSION, FROM_VERSION)


def test_a_retraining_builds_on_what_the_version_kept_and_never_on_the_packages_weights() -> None:
    package = msgspec.structs.replace(PACKAGE, networks=(*PACKAGE.networks, SEGMENTATION_NETWORK))
    basis = basis_of_version(MODEL, FIRST_VERSION, package)
    assert (basis.model_image, basis.task_type) == (VERSION_PUBLISHED.model_image, VERSION_PUBLISHED.task_type)
    assert [network.weights for network in basis.package.networks] == [None, None]
    assert not basis.can_train_segmentation, "the kept task type decides"


# W-5
def test_the_paths_of_the_first_training_cannot_be_left_out() -> None:
    other = msgspec.structs.replace(inspection(), folder=FolderName("data", "panel-a/more"))
    when(check_data_step, PARAMETERS, [other], RETRAINING).then_refused(
        LockedDataPathIsMissing, "“data:panel-a/train” was used when the model was new", at="data_paths"
    )
    check_data_step(PARAMETERS, [inspection(), other], RETRAINING)
    check_data_step(PARAMETERS, [other], BASIS)


def test_a_locked_path_without_images_needs_a_super_administrator() -> None:
    gone = Inspection(folder=TRAINING_FOLDER, state=DataPathState.INVALID)
    other = msgspec.structs.replace(inspection(), folder=FolderName("data", "panel-a/more"))
    when(check_data_step, PARAMETERS, [other, gone], RETRAINING).then_refused(
        LockedDataPathHasNoImages, "ask a super administrator to release it", at="data_paths.2"
    )
    model: Model = state_of(VERSION_PUBLISHED, ModelDataPathReleased(folder=TRAINING_FOLDER))
    released = msgspec.structs.replace(BASIS, retrained=model)
    check_data_step(PARAMETERS, [other], released)
    when(check_data_step, PARAMETERS, [other, gone], released).then_refused(DataPathHasNoImages, at="data_paths.2")


def test_a_retraining_cannot_learn_new_codes() -> None:  # W-11
    other = folder("other", TXXXX=4)
    when(check_data_step, PARAMETERS, [inspection(), other], RETRAINING).then_refused(
        DefectCodeUnknownToModel, "Remove the path, or make a new model.", at="data_paths.2"
    )
