"""V-1: publishing and version numbers; V-4: withdrawing; W-5: the paths of the first training."""

import pytest
from msgspec.structs import replace

from domain.data_paths import DataPathProblem, DataPathState, FolderName, Inspection
from domain.facts import Fact
from domain.messages import KeptWeights, LossPart, SegmentationOrder, SegmentationToPredict
from domain.model_packages import NetworkInput, NetworkTask
from domain.models import (
    LONGEST_REASON,
    DataPathHasImages,
    DataPathIsNotLocked,
    Model,
    ModelDataPathReleased,
    ModelVersionIsWithdrawn,
    ModelVersionNotFound,
    ModelVersionPublished,
    ModelVersionWithdrawn,
    ReasonIsMissing,
    TooManyVersions,
    next_version,
    publish,
    release_path,
    withdraw,
)
from domain.training_jobs import (
    ModelImageUsed,
    NoOtherLastWeights,
    OnlyCompletedCanBePublished,
    TrainedWeights,
    VersionUsed,
)
from tests.examples import (
    DEFECT_CODES,
    LAST_FIGURES,
    MODEL_ID,
    MODEL_IMAGE_ID,
    TRAINING_COMPLETED,
    TRAINING_FOLDER,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    WORSE_AT_THE_END,
    artifact,
    inspection,
)
from tests.given_when_then import given, state_of, when

QUEUED_ON_V3 = replace(TRAINING_QUEUED, model_image=ModelImageUsed(MODEL_IMAGE_ID, "resnet18", 3))
JOB = state_of(TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED, aggregate_id=TRAINING_JOB_ID)
JOB_ON_V3 = state_of(QUEUED_ON_V3, TRAINING_STARTED, TRAINING_COMPLETED, aggregate_id=TRAINING_JOB_ID)


def published_on_v3(count: int) -> list[Fact]:
    return [
        replace(VERSION_PUBLISHED, version=f"v3.{number:02d}", model_image=QUEUED_ON_V3.model_image)
        for number in range(1, count + 1)
    ]


def test_the_first_version_of_a_model_begins_at_01_behind_the_image_version() -> None:
    given().when(publish, JOB).then(VERSION_PUBLISHED)
    assert next_version(None, JOB_ON_V3) == "v3.01"


def test_every_further_version_counts_up_within_the_model() -> None:  # the manual's v3.01 and v3.02
    model: Model = state_of(*published_on_v3(1))
    assert next_version(model, JOB_ON_V3) == "v3.02"
    assert next_version(state_of(*published_on_v3(98)), JOB_ON_V3) == "v3.99"


def test_after_99_a_new_image_version_is_advised() -> None:
    given(*published_on_v3(99)).when(publish, JOB_ON_V3).then_refused(
        TooManyVersions, "Import a new version of the model image"
    )


def test_a_new_image_version_begins_again_at_01() -> None:
    on_v4 = replace(JOB_ON_V3, model_image=ModelImageUsed(MODEL_IMAGE_ID, "resnet18", 4))
    assert next_version(state_of(*published_on_v3(99)), on_v4) == "v4.01"


def test_a_job_that_is_not_completed_cannot_be_published() -> None:
    training = state_of(TRAINING_QUEUED, TRAINING_STARTED, aggregate_id=TRAINING_JOB_ID)
    given().when(publish, training).then_refused(OnlyCompletedCanBePublished, "panel-a")


# V-1
def test_the_last_weights_are_published_when_they_are_chosen() -> None:
    job = state_of(TRAINING_QUEUED, TRAINING_STARTED, WORSE_AT_THE_END, aggregate_id=TRAINING_JOB_ID)
    kept = WORSE_AT_THE_END.kept_weights
    given().when(publish, job).then(replace(VERSION_PUBLISHED, kept_weights=kept, other_figures=LAST_FIGURES))
    given().when(publish, job, TrainedWeights.LAST).then(
        replace(
            VERSION_PUBLISHED,
            kept_weights=kept,
            chosen_weights=TrainedWeights.LAST,
            weights=artifact("panel-a-last.safetensors"),
            evaluation=artifact("panel-a last evaluation"),
            figures=LAST_FIGURES,
            other_figures=TRAINING_COMPLETED.figures,
        )
    )


def test_a_segmentation_is_published_with_its_own_last_weights() -> None:  # V-1
    unet = KeptWeights(
        part=LossPart.SEGMENTATION,
        best=artifact("unet.safetensors"),
        best_iteration=80,
        last=artifact("unet-last.safetensors"),
        last_iteration=100,
    )
    segmenting = replace(
        WORSE_AT_THE_END, segmentation_weights=unet.best, kept_weights=(*WORSE_AT_THE_END.kept_weights, unet)
    )
    job = state_of(TRAINING_QUEUED, TRAINING_STARTED, segmenting, aggregate_id=TRAINING_JOB_ID)
    for chosen, weights in ((TrainedWeights.BEST, unet.best), (TrainedWeights.LAST, unet.last)):
        (version,) = publish(None, job, chosen)
        assert isinstance(version, ModelVersionPublished)
        assert version.segmentation_weights == weights


def test_last_weights_that_are_the_best_are_no_choice() -> None:  # V-1
    given().when(publish, JOB, TrainedWeights.LAST).then_refused(NoOtherLastWeights, "Publish the best weights")


# W-4
def test_a_version_that_segments_tells_all_codes_special_ones_last() -> None:
    order = replace(
        TRAINING_QUEUED.order,
        model_parameters=replace(TRAINING_QUEUED.order.model_parameters, code_list=(*DEFECT_CODES, "TSFAS")),
        segmentation=SegmentationOrder(
            network="UNet", input=NetworkInput(width=256, height=256), special_code_min_pixels=9
        ),
    )
    segmenting = replace(TRAINING_COMPLETED, segmentation_weights=artifact("unet.safetensors"))
    job = state_of(replace(TRAINING_QUEUED, order=order), TRAINING_STARTED, segmenting, aggregate_id=TRAINING_JOB_ID)
    version = state_of(*publish(None, job), aggregate_id=MODEL_ID).published_version("v1.01").to_predict
    assert version.defect_codes == DEFECT_CODES
    assert version.segmentation == SegmentationToPredict(
        network="UNet",
        defect_codes=(*DEFECT_CODES, "TSFAS"),
        input=NetworkInput(width=256, height=256),
        special_code_min_pixels=9,
        weights=artifact("unet.safetensors"),
    )


def test_a_version_carries_what_a_worker_needs_to_predict_with_it() -> None:
    model: Model = state_of(VERSION_PUBLISHED, aggregate_id=MODEL_ID)
    version = model.published_version("v1.01").to_predict
    assert (version.label, version.network, version.defect_codes) == ("v1.01", "ResNet18", DEFECT_CODES)
    assert version.weights == TRAINING_COMPLETED.weights
    assert version.resolution_rule == TRAINING_COMPLETED.resolution_rule, "the rule travels with the model (W-10)"


def test_a_version_that_was_never_published_cannot_be_used() -> None:
    model: Model = state_of(VERSION_PUBLISHED)
    when(model.published_version, "v1.02").then_refused(ModelVersionNotFound, at="version")


# W-11, W-12
def test_a_version_keeps_what_its_training_started_from() -> None:
    started_from = VersionUsed(MODEL_ID, "panel-a", "v1.01")
    job = state_of(
        replace(TRAINING_QUEUED, started_from=started_from),
        TRAINING_STARTED,
        TRAINING_COMPLETED,
        aggregate_id=TRAINING_JOB_ID,
    )
    given(VERSION_PUBLISHED).when(publish, job).then(
        replace(VERSION_PUBLISHED, version="v1.02", started_from=started_from)
    )


def test_a_version_gives_weights_for_its_own_networks_only() -> None:  # W-12
    order = replace(
        TRAINING_QUEUED.order, segmentation=SegmentationOrder(network="UNet", input=NetworkInput(width=256, height=256))
    )
    fact = replace(VERSION_PUBLISHED, order=order, segmentation_weights=artifact("unet.safetensors"))
    (version,) = state_of(fact).versions
    assert version.weights_of(NetworkTask.CLASSIFICATION, "ResNet18") == VERSION_PUBLISHED.weights
    assert version.weights_of(NetworkTask.CLASSIFICATION, "ResNet34") is None
    assert version.weights_of(NetworkTask.SEGMENTATION, "UNet") == artifact("unet.safetensors")
    assert version.weights_of(NetworkTask.SEGMENTATION, "ResNet18") is None
    (classifying,) = state_of(VERSION_PUBLISHED).versions
    assert classifying.weights_of(NetworkTask.SEGMENTATION, "UNet") is None


# W-5
MORE_PATHS = replace(TRAINING_QUEUED.order, data_paths=(TRAINING_FOLDER, FolderName("data", "panel-a/more")))
SECOND = replace(VERSION_PUBLISHED, version="v1.02", order=MORE_PATHS)
GONE = Inspection(folder=TRAINING_FOLDER, state=DataPathState.INVALID, problem=DataPathProblem.GONE)
RELEASED = ModelDataPathReleased(folder=TRAINING_FOLDER)


def test_the_paths_of_the_first_training_are_locked_and_no_others() -> None:
    model: Model = state_of(VERSION_PUBLISHED, SECOND)
    assert model.locked_paths == (TRAINING_FOLDER,)


def test_a_locked_path_that_is_gone_can_be_released_once() -> None:
    given(VERSION_PUBLISHED).when(release_path, GONE).then(RELEASED)
    released = given(VERSION_PUBLISHED, RELEASED, SECOND)
    assert isinstance(released.state, Model)
    assert released.state.locked_paths == ()
    released.when(release_path, GONE).then_refused(DataPathIsNotLocked, "data:panel-a/train")


def test_only_locked_paths_are_released() -> None:
    other = replace(GONE, folder=FolderName("data", "panel-a/more"))
    given(VERSION_PUBLISHED, SECOND).when(release_path, other).then_refused(DataPathIsNotLocked, "panel-a/more")


@pytest.mark.parametrize("state", [DataPathState.VALID, DataPathState.SCANNING])
def test_a_path_that_can_be_used_stays_locked(state: DataPathState) -> None:
    given(VERSION_PUBLISHED).when(release_path, replace(inspection(), state=state)).then_refused(
        DataPathHasImages, "Only a path without images is released"
    )


WITHDRAWN = ModelVersionWithdrawn(version="v1.01", reason="Misses scratches on the rim.")


def test_a_version_is_withdrawn_with_a_reason() -> None:  # V-4
    given(VERSION_PUBLISHED).when(withdraw, "v1.01", " Misses scratches\r\n on the\u202e rim. ").then(WITHDRAWN)


def test_the_reason_may_be_as_long_as_is_said() -> None:  # V-4
    longest = "x" * LONGEST_REASON
    withdrawn = ModelVersionWithdrawn(version="v1.01", reason=longest)
    given(VERSION_PUBLISHED).when(withdraw, "v1.01", longest).then(withdrawn)


@pytest.mark.parametrize("reason", ["", " \n", "x" * (LONGEST_REASON + 1)])
def test_without_a_reason_nothing_is_withdrawn(reason: str) -> None:  # V-4
    given(VERSION_PUBLISHED).when(withdraw, "v1.01", reason).then_refused(ReasonIsMissing, "why", at="reason")


def test_a_version_is_withdrawn_once_and_only_where_it_is() -> None:  # V-4
    given(VERSION_PUBLISHED, WITHDRAWN).when(withdraw, "v1.01", "Again.").then_refused(ModelVersionIsWithdrawn)
    given(VERSION_PUBLISHED).when(withdraw, "v1.02", "Never was.").then_refused(ModelVersionNotFound)


def test_a_withdrawn_version_stays_in_the_history_and_keeps_its_number() -> None:  # V-4, V-1
    model: Model = state_of(*published_on_v3(2), replace(WITHDRAWN, version="v3.02"))
    assert [(version.label, version.is_withdrawn) for version in model.versions] == [("v3.01", False), ("v3.02", True)]
    assert next_version(model, JOB_ON_V3) == "v3.03"
    assert model.published_version("v3.01").label == "v3.01"
    with pytest.raises(ModelVersionIsWithdrawn):
        model.published_version("v3.02")
