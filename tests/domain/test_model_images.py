"""Section I: the first import of a name, further versions, loading in the background, deletion and what becomes of files."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from domain.attempts import AttemptIsOver
from domain.data_paths import FolderName
from domain.messages import LoadingOrder
from domain.model_images import (
    AnotherArchiveIsLoading,
    ArchiveHasAnotherName,
    ArchiveNameIsInvalid,
    ArchiveSource,
    EnvironmentIsMissing,
    LoadStatus,
    ModelImage,
    ModelImageExists,
    ModelImageFileRemovalFailed,
    ModelImageFileRemoved,
    ModelImageHasNoVersion,
    ModelImageImported,
    ModelImageKind,
    ModelImageLoaded,
    ModelImageLoadingDismissed,
    ModelImageLoadingFailed,
    ModelImageLoadingInterrupted,
    ModelImageLoadingQueued,
    ModelImageLoadingStarted,
    ModelImageVersionDeleted,
    ModelImageVersionNotLoaded,
    add_version,
    archive_name,
    delete_version,
    dismiss_loading,
    fail_loading,
    finish_loading,
    import_image,
    interrupt_loading,
    note_removal_failed,
    note_removed,
    retry_loading,
    start_loading,
)
from domain.refusals import NotFound
from domain.sentences import Sentence
from tests.examples import (
    ARCHIVE,
    BINDING,
    CLASSIFICATION_USED,
    LOADING_QUEUED,
    LOADING_STARTED,
    MODEL_IMAGE_IMPORTED,
    MODEL_IMAGE_LOADED,
    PACKAGE,
    artifact,
)
from tests.given_when_then import given, state_of, when

WRONG_CHECKSUM = Sentence("The checksum of {file} is wrong.", {"file": "ResNet18.safetensors"})
FAILED = ModelImageLoadingFailed(reason=WRONG_CHECKSUM)
GENERAL = {
    "kind": ModelImageKind.GENERAL,
    "task_type": CLASSIFICATION_USED,
    "environment": None,
    "archive": ARCHIVE,
    "source": ArchiveSource.REMOTE_PATH,
}
BUSINESS = GENERAL | {"kind": ModelImageKind.BUSINESS, "environment": BINDING}
LOADING = (MODEL_IMAGE_IMPORTED, LOADING_QUEUED, LOADING_STARTED)
LOADED = (*LOADING, MODEL_IMAGE_LOADED)
SECOND_ARCHIVE = FolderName("archives", "resnet18@1.1.tar")
SECOND = {"archive": SECOND_ARCHIVE, "source": ArchiveSource.UPLOAD}
SECOND_QUEUED = ModelImageLoadingQueued(
    order=LoadingOrder(archive=SECOND_ARCHIVE, name="resnet18", archive_version="1.1"), source=ArchiveSource.UPLOAD
)
DELETED = ModelImageVersionDeleted(number=1, name="resnet18")


# I-1


def test_a_general_image_waits_to_be_loaded() -> None:
    given().when(import_image, **GENERAL).then(MODEL_IMAGE_IMPORTED, LOADING_QUEUED)


def test_a_business_image_is_bound_to_products() -> None:
    given().when(import_image, **BUSINESS).then(
        ModelImageImported(
            name="resnet18", kind=ModelImageKind.BUSINESS, task_type=CLASSIFICATION_USED, environment=BINDING
        ),
        LOADING_QUEUED,
    )


def test_a_business_image_without_products_is_refused() -> None:
    given().when(import_image, **(BUSINESS | {"environment": None})).then_refused(
        EnvironmentIsMissing, "Choose it down to the last level", at="environment"
    )


def test_a_general_image_is_bound_to_nothing_whatever_was_chosen() -> None:
    given().when(import_image, **(GENERAL | {"environment": BINDING})).then(MODEL_IMAGE_IMPORTED, LOADING_QUEUED)


# I-3


@pytest.mark.parametrize(
    ("file_name", "name", "version"),
    [
        ("image@123", "image", "123"),
        ("image@123.tar", "image", "123"),
        ("image@123.tar.gz", "image", "123"),
        ("image@123.tgz", "image", "123"),
        ("image@1.2.3.tar.zst", "image", "1.2.3"),
        ("Panel_A-2.aoi@v1.0-rc.1", "Panel_A-2.aoi", "v1.0-rc.1"),
    ],
)
def test_name_and_version_come_from_the_file_name_with_or_without_a_suffix(
    file_name: str, name: str, version: str
) -> None:
    assert archive_name(file_name) == (name, version)


@pytest.mark.parametrize(
    "file_name",
    [
        "image",
        "image.tar",
        "@123",
        "image@",
        "image@.tar",
        "image@.tgz",
        "im age@1",
        "镜像@1",
        "a@b@c",
        "image@1\n",
        "",
    ],
)
def test_a_file_name_of_another_form_is_refused(file_name: str) -> None:
    when(archive_name, file_name).then_refused(ArchiveNameIsInvalid, at="archive")


def test_a_file_name_that_no_file_system_holds_is_refused() -> None:  # I-3
    when(archive_name, f"{'a' * 300}@1.0").then_refused(ArchiveNameIsInvalid, at="archive")


def test_the_folder_of_an_archive_says_nothing_about_its_name() -> None:
    below = FolderName("archives", "2025@march/resnet18@1.0.tar")
    queued = ModelImageLoadingQueued(order=LoadingOrder(archive=below, name="resnet18", archive_version="1.0"))
    given().when(import_image, **(GENERAL | {"archive": below})).then(MODEL_IMAGE_IMPORTED, queued)


def test_a_name_that_exists_takes_no_second_first_version() -> None:
    given(*LOADED).when(import_image, **GENERAL).then_refused(ModelImageExists, at="archive")


def test_a_name_whose_first_archive_is_still_loading_exists() -> None:
    given(*LOADING).when(import_image, **GENERAL).then_refused(ModelImageExists)


# I-4


def test_the_first_loaded_archive_is_version_1() -> None:
    given(*LOADING).when(finish_loading, 1, MODEL_IMAGE_LOADED.archive, PACKAGE).then(MODEL_IMAGE_LOADED)
    image: ModelImage = state_of(*LOADED)
    assert image.loaded_version(1).label == "v1.0"
    assert image.loaded_version(1).archive_version == "1.0"


def test_every_further_success_adds_one() -> None:
    given(*LOADED, LOADING_QUEUED, LOADING_STARTED).when(finish_loading, 2, artifact("resnet18@2.0.tar"), PACKAGE).then(
        ModelImageLoaded(number=2, archive=artifact("resnet18@2.0.tar"), package=PACKAGE)
    )


def test_a_failed_load_takes_no_number() -> None:
    given(*LOADED, LOADING_QUEUED, LOADING_STARTED, FAILED, LOADING_QUEUED, LOADING_STARTED).when(
        finish_loading, 3, artifact("resnet18@2.1.tar"), PACKAGE
    ).then(ModelImageLoaded(number=2, archive=artifact("resnet18@2.1.tar"), package=PACKAGE))


def test_the_number_of_a_deleted_version_is_not_used_again() -> None:
    given(*LOADED, LOADING_QUEUED, LOADING_STARTED, DELETED).when(
        finish_loading, 2, artifact("resnet18@2.0.tar"), PACKAGE
    ).then(ModelImageLoaded(number=2, archive=artifact("resnet18@2.0.tar"), package=PACKAGE))


def test_numbers_go_on_when_a_name_is_imported_anew_after_its_last_version_was_deleted() -> None:
    given(*LOADED, DELETED).when(import_image, **BUSINESS).then(
        replace(MODEL_IMAGE_IMPORTED, kind=ModelImageKind.BUSINESS, environment=BINDING), LOADING_QUEUED
    )
    again = (*LOADED, DELETED, MODEL_IMAGE_IMPORTED, LOADING_QUEUED, LOADING_STARTED)
    given(*again).when(finish_loading, 2, artifact("resnet18@2.0.tar"), PACKAGE).then(
        ModelImageLoaded(number=2, archive=artifact("resnet18@2.0.tar"), package=PACKAGE)
    )


def test_a_further_version_inherits_everything_but_the_archive() -> None:
    given(*LOADED).when(add_version, **SECOND).then(SECOND_QUEUED)
    image: ModelImage = state_of(*LOADED, SECOND_QUEUED)
    assert (image.kind, image.task_type, image.environment) == (ModelImageKind.GENERAL, CLASSIFICATION_USED, None)


@pytest.mark.parametrize("file_name", ["resnet34@1.1.tar", "resnet18-b@1.1.tar"])
def test_an_archive_of_another_name_is_no_further_version(file_name: str) -> None:
    given(*LOADED).when(add_version, **(SECOND | {"archive": FolderName("archives", file_name)})).then_refused(
        ArchiveHasAnotherName, "named resnet18@<version>", at="archive"
    )


def test_names_that_differ_only_in_case_are_the_same_name() -> None:
    queued = ModelImageLoadingQueued(
        order=LoadingOrder(archive=FolderName("archives", "ResNet18@2"), name="ResNet18", archive_version="2")
    )
    given(*LOADED).when(add_version, archive=queued.order.archive, source=ArchiveSource.REMOTE_PATH).then(queued)


def test_of_two_who_add_versions_at_once_the_second_is_told_what_is_loading() -> None:
    given(*LOADED, SECOND_QUEUED).when(add_version, **SECOND).then_refused(
        AnotherArchiveIsLoading, "“resnet18@1.1.tar” is just being loaded", at="archive"
    )


def test_a_version_can_be_added_after_one_that_failed() -> None:
    given(*LOADED, SECOND_QUEUED, LOADING_STARTED, FAILED).when(add_version, **SECOND).then(SECOND_QUEUED)


def test_nothing_is_added_to_an_image_of_which_nothing_is_loaded() -> None:
    for facts in ((*LOADING, FAILED), (*LOADED, DELETED)):
        given(*facts).when(add_version, **SECOND).then_refused(ModelImageHasNoVersion, "as a new model image")


def test_a_failed_loading_is_retried_as_it_was_and_takes_the_place_of_the_old_one() -> None:
    failed = (*LOADED, SECOND_QUEUED, LOADING_STARTED, FAILED)
    given(*failed).when(retry_loading, 5).then(ModelImageLoadingDismissed(loading=5), SECOND_QUEUED)
    retried: ModelImage = state_of(*failed, ModelImageLoadingDismissed(loading=5), SECOND_QUEUED)
    assert (retried.status, retried.failures, retried.source) == (LoadStatus.LOADING, (), ArchiveSource.UPLOAD)


def test_a_loading_is_not_retried_while_another_one_runs() -> None:
    given(*LOADED, SECOND_QUEUED, LOADING_STARTED, FAILED, LOADING_QUEUED).when(retry_loading, 5).then_refused(
        AnotherArchiveIsLoading
    )


@pytest.mark.parametrize("decide", [retry_loading, dismiss_loading])
def test_what_did_not_fail_is_neither_retried_nor_dismissed(decide: Callable[..., object]) -> None:
    given(*LOADED).when(decide, 2).then_refused(NotFound)
    given(*LOADED, SECOND_QUEUED).when(decide, 5).then_refused(NotFound)
    given(*LOADED, SECOND_QUEUED, LOADING_STARTED, FAILED).when(decide, 6).then_refused(NotFound)


def test_a_failed_loading_is_dismissed_once() -> None:
    failed = (*LOADED, SECOND_QUEUED, LOADING_STARTED, FAILED)
    given(*failed).when(dismiss_loading, 5).then(ModelImageLoadingDismissed(loading=5))
    given(*failed, ModelImageLoadingDismissed(loading=5)).when(dismiss_loading, 5).then_refused(NotFound)


def test_the_image_goes_with_a_first_archive_that_failed_and_was_dismissed() -> None:
    assert not state_of(*LOADING, FAILED).is_deleted
    assert state_of(*LOADING, FAILED, ModelImageLoadingDismissed(loading=2)).is_deleted


# I-5


def test_a_version_is_deleted_once() -> None:
    given(*LOADED).when(delete_version, 1).then(DELETED)
    given(*LOADED, DELETED).when(delete_version, 1).then_refused(NotFound)
    given(*LOADED).when(delete_version, 2).then_refused(NotFound)


def test_the_image_goes_with_its_last_version() -> None:
    two = (*LOADED, SECOND_QUEUED, LOADING_STARTED, replace(MODEL_IMAGE_LOADED, number=2))
    assert not state_of(*two, DELETED).is_deleted
    assert state_of(*two, DELETED, ModelImageVersionDeleted(number=2, name="resnet18")).is_deleted


def test_with_the_last_version_goes_what_had_failed_but_not_what_is_loading() -> None:
    assert state_of(*LOADED, SECOND_QUEUED, LOADING_STARTED, FAILED, DELETED).is_deleted
    loading: ModelImage = state_of(*LOADED, SECOND_QUEUED, LOADING_STARTED, DELETED)
    assert not loading.is_deleted
    assert not state_of(*LOADED, SECOND_QUEUED, LOADING_STARTED, DELETED, FAILED).is_deleted, "its reason is shown"


def test_a_loading_that_fails_after_the_last_version_went_can_be_retried() -> None:
    facts = (*LOADED, SECOND_QUEUED, LOADING_STARTED, DELETED, FAILED)
    given(*facts).when(retry_loading, 5).then(ModelImageLoadingDismissed(loading=5), SECOND_QUEUED)


# S-5: the files of a deleted version


def test_every_file_of_a_deleted_version_is_noted_as_removed_once() -> None:
    archive, weights = MODEL_IMAGE_LOADED.archive.checksum, artifact("resnet18.safetensors").checksum
    removed = ModelImageFileRemoved(number=1, checksum=archive)
    given(*LOADED, DELETED).when(note_removed, 1, archive).then(removed)
    given(*LOADED, DELETED, removed).when(note_removed, 1, archive).then()
    given(*LOADED, DELETED, removed).when(note_removed, 1, weights).then(
        ModelImageFileRemoved(number=1, checksum=weights)
    )


def test_a_file_that_cannot_be_removed_is_noted_once_a_reason() -> None:
    archive, reason = (
        MODEL_IMAGE_LOADED.archive.checksum,
        Sentence("The storage says “{problem}”.", {"problem": "busy"}),
    )
    failed = ModelImageFileRemovalFailed(number=1, checksum=archive, reason=reason)
    given(*LOADED, DELETED).when(note_removal_failed, 1, archive, reason).then(failed)
    given(*LOADED, DELETED, failed).when(note_removal_failed, 1, archive, reason).then()
    given(*LOADED, DELETED, failed).when(note_removal_failed, 1, archive, WRONG_CHECKSUM).then(
        ModelImageFileRemovalFailed(number=1, checksum=archive, reason=WRONG_CHECKSUM)
    )


def test_no_file_of_a_version_that_stands_is_noted_as_removed() -> None:
    given(*LOADED).when(note_removed, 1, MODEL_IMAGE_LOADED.archive.checksum).then_refused(NotFound)
    given(*LOADED, DELETED).when(note_removed, 1, artifact("something else").checksum).then_refused(NotFound)


def test_a_name_of_which_nothing_was_loaded_can_be_imported_again_as_something_else() -> None:
    given(*LOADING, FAILED).when(import_image, **BUSINESS).then(
        replace(MODEL_IMAGE_IMPORTED, kind=ModelImageKind.BUSINESS, environment=BINDING), LOADING_QUEUED
    )


def test_reports_about_the_failed_archive_do_not_touch_the_one_imported_again() -> None:
    given(*LOADING, FAILED, MODEL_IMAGE_IMPORTED, LOADING_QUEUED).when(start_loading, 1, "gpu-1").then_refused(
        AttemptIsOver
    )
    given(*LOADING, FAILED, MODEL_IMAGE_IMPORTED, LOADING_QUEUED).when(start_loading, 2, "gpu-1").then(LOADING_STARTED)


# Loading by workers: S-5


def test_one_worker_gets_the_archive() -> None:
    given(MODEL_IMAGE_IMPORTED, LOADING_QUEUED).when(start_loading, 1, "gpu-1").then(LOADING_STARTED)
    given(*LOADING).when(start_loading, 1, "gpu-2").then_refused(AttemptIsOver)


def test_an_archive_that_nobody_claimed_cannot_be_finished() -> None:
    given(MODEL_IMAGE_IMPORTED, LOADING_QUEUED).when(finish_loading, 1, artifact("late"), PACKAGE).then_refused(
        AttemptIsOver
    )


def test_a_loaded_archive_cannot_fail_any_more() -> None:
    given(*LOADED).when(fail_loading, 1, WRONG_CHECKSUM).then_refused(AttemptIsOver)


def test_an_archive_that_cannot_be_loaded_keeps_its_reason() -> None:
    given(*LOADING).when(fail_loading, 1, WRONG_CHECKSUM).then(FAILED)
    assert state_of(*LOADING, FAILED).status is LoadStatus.FAILED


def test_a_silent_worker_gives_the_archive_to_another() -> None:
    given(*LOADING).when(interrupt_loading, 1, 3).then(ModelImageLoadingInterrupted())
    interrupted = (*LOADING, ModelImageLoadingInterrupted())
    given(*interrupted).when(finish_loading, 1, artifact("late"), PACKAGE).then_refused(AttemptIsOver)
    given(*interrupted).when(start_loading, 2, "gpu-2").then(ModelImageLoadingStarted(worker="gpu-2"))


def test_after_the_configured_tries_loading_fails_with_advice() -> None:
    tried = (*LOADING, *(ModelImageLoadingInterrupted(), LOADING_STARTED) * 2)
    outcome = given(*tried).when(interrupt_loading, 3, 3)
    outcome.then(ModelImageLoadingFailed(reason=Sentence(_text_of_giving_up(), {"count": 3})))


def test_a_worker_stopped_in_good_order_uses_up_no_try() -> None:
    tried = (*LOADING, *(ModelImageLoadingInterrupted(is_fault=False), LOADING_STARTED) * 5)
    given(*tried).when(interrupt_loading, 6, 3, is_fault=False).then(ModelImageLoadingInterrupted(is_fault=False))


# What can be used


def test_a_version_that_was_never_loaded_cannot_be_used() -> None:
    image: ModelImage = state_of(*LOADED)
    when(image.loaded_version, 2).then_refused(ModelImageVersionNotLoaded, at="model_image_version")


def test_a_deleted_version_cannot_be_used() -> None:
    image: ModelImage = state_of(*LOADED, DELETED)
    when(image.loaded_version, 1).then_refused(ModelImageVersionNotLoaded)


def _text_of_giving_up() -> str:
    return (
        "{count} workers in a row fell silent while working on this. "
        "Look at the workers' logs and memory, then start it again."
    )
