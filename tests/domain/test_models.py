"""V-1: publishing and version numbers."""

from msgspec.structs import replace

from domain.facts import Fact
from domain.messages import SegmentationOrder, SegmentationToPredict
from domain.model_packages import NetworkInput
from domain.models import Model, ModelVersionNotFound, TooManyVersions, next_version, publish
from domain.training_jobs import ModelImageUsed, OnlyCompletedCanBePublished
from tests.examples import (
    DEFECT_CODES,
    MODEL_ID,
    MODEL_IMAGE_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    artifact,
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
