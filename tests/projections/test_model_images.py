"""The list and details of model images on real PostgreSQL."""

from typing import Any

from msgspec.structs import replace

from commands.model_images import model_image_id
from domain.data_paths import FolderName
from domain.messages import LoadingOrder
from domain.model_images import (
    ArchiveSource,
    LoadStatus,
    ModelImageKind,
    ModelImageLoaded,
    ModelImageLoadingDismissed,
    ModelImageLoadingFailed,
    ModelImageLoadingInterrupted,
    ModelImageLoadingQueued,
    ModelImageVersionDeleted,
)
from domain.sentences import Sentence
from domain.users import UserDeleted
from projections.model_images import ModelImages, UploadUsed
from projections.users import Users
from tests.examples import (
    AOI_STATION,
    BINDING,
    CLASSIFICATION_USED,
    FACTORY_1,
    FACTORY_2,
    INDUSTRY_ID,
    LOADING_QUEUED,
    LOADING_STARTED,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_IMPORTED,
    MODEL_IMAGE_LOADED,
    PACKAGE,
    PANEL_65,
    PANEL_75,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    History,
    artifact,
    example_id,
    plant,
)
from tests.projections.read_side import Project, ReadSide

PANEL_AOI_ID = model_image_id("panel-aoi")
BUSINESS = replace(MODEL_IMAGE_IMPORTED, name="panel-aoi", kind=ModelImageKind.BUSINESS, environment=BINDING)
DAMAGED = ModelImageLoadingFailed(reason=Sentence("“{file}” is damaged.", {"file": "ResNet18.safetensors"}))


SECOND = ModelImageLoaded(number=2, archive=artifact("resnet18@1.1.tar", 47_000_000), package=PACKAGE)


def queued(file_name: str, source: ArchiveSource = ArchiveSource.REMOTE_PATH) -> ModelImageLoadingQueued:
    name, _, version = file_name.partition("@")
    archive = FolderName("archives", f"2025/{file_name}")
    if source is ArchiveSource.UPLOAD:
        archive = FolderName(".uploads", f"{example_id(file_name)}/{file_name}")
    order = LoadingOrder(archive=archive, name=name, archive_version=version)
    return ModelImageLoadingQueued(order=order, source=source)


def deleted(number: int) -> ModelImageVersionDeleted:
    return ModelImageVersionDeleted(number=number, name="resnet18")


def two_versions() -> History:
    """The plant with v1.0 of trainer_wang and v2.0 of trainer_li."""
    history = plant().add(MODEL_IMAGE_ID, queued("resnet18@1.1.tar"), actor=TRAINER_LI_ID)
    return history.add(MODEL_IMAGE_ID, LOADING_STARTED, SECOND)


def importing() -> History:
    """The plant with resnet18 v1.0, and a business image whose first archive is loading."""
    return plant().add(PANEL_AOI_ID, BUSINESS, queued("panel-aoi@7.tar"), LOADING_STARTED, actor=TRAINER_LI_ID)


def test_a_loaded_image_shows_its_version_with_the_archive_and_the_package(project: Project) -> None:  # I-5
    image = project(plant(), Users, ModelImages).model_images.get(MODEL_IMAGE_ID)
    assert (image.name, image.kind, image.task_type) == ("resnet18", ModelImageKind.GENERAL, CLASSIFICATION_USED)
    assert (image.environment, image.status, image.loaded_count) == (None, LoadStatus.LOADED, 1)
    version = image.version(1)
    assert (version.label, version.file_name, version.imported_by) == ("v1.0", "resnet18@1.0.tar", "trainer_wang")
    assert (version.archive, version.package) == (MODEL_IMAGE_LOADED.archive, PACKAGE)


def test_while_loading_there_is_no_number_and_the_worker_is_known(project: Project) -> None:  # I-2
    image = project(importing(), Users, ModelImages).model_images.get(PANEL_AOI_ID)
    assert (image.status, image.newest, image.environment) == (LoadStatus.LOADING, None, BINDING)
    assert [(one.number, one.label, one.worker, one.file_name) for one in image.versions] == [
        (None, "", "gpu-1", "panel-aoi@7.tar")
    ]


def test_a_silent_worker_is_not_named_any_more(project: Project) -> None:
    history = importing().add(PANEL_AOI_ID, ModelImageLoadingInterrupted())
    image = project(history, Users, ModelImages).model_images.get(PANEL_AOI_ID)
    assert (image.status, image.versions[0].worker) == (LoadStatus.LOADING, "")


def test_a_failed_archive_shows_its_reason(project: Project) -> None:  # I-2
    read = project(importing().add(PANEL_AOI_ID, DAMAGED), Users, ModelImages)
    image = read.model_images.get(PANEL_AOI_ID)
    assert (image.status, image.versions[0].reason, image.loaded_count) == (LoadStatus.FAILED, DAMAGED.reason, 0)
    read.assert_rebuild_equals_live()


def test_importing_a_failed_name_again_begins_its_rows_anew(project: Project) -> None:  # I-4
    history = importing().add(PANEL_AOI_ID, DAMAGED)
    history.add(PANEL_AOI_ID, replace(MODEL_IMAGE_IMPORTED, name="panel-aoi"), queued("panel-aoi@8.tar"))
    read = project(history, Users, ModelImages)
    image = read.model_images.get(PANEL_AOI_ID)
    assert (image.kind, image.environment) == (ModelImageKind.GENERAL, None)
    assert [(one.file_name, one.status, one.reason) for one in image.versions] == [
        ("panel-aoi@8.tar", LoadStatus.LOADING, None)
    ]
    read.assert_rebuild_equals_live()


def test_every_archive_of_an_image_has_a_row_the_newest_first(project: Project) -> None:
    history = plant()
    history.add(MODEL_IMAGE_ID, queued("resnet18@1.1.tar"), LOADING_STARTED, DAMAGED, actor=TRAINER_LI_ID)
    history.add(MODEL_IMAGE_ID, queued("resnet18@1.2.tar"), LOADING_STARTED, actor=TRAINER_LI_ID)
    second = artifact("resnet18@1.2.tar", 47_000_000)
    history.add(MODEL_IMAGE_ID, ModelImageLoaded(number=2, archive=second, package=PACKAGE))
    read = project(history, Users, ModelImages)
    image = read.model_images.get(MODEL_IMAGE_ID)
    assert [(one.label, one.status, one.imported_by) for one in image.versions] == [
        ("v2.0", LoadStatus.LOADED, "trainer_li"),
        ("", LoadStatus.FAILED, "trainer_li"),
        ("v1.0", LoadStatus.LOADED, "trainer_wang"),
    ]
    assert (image.newest.number, image.loaded_count, image.version(2).archive) == (2, 2, second)
    assert image.version(3) is None
    read.assert_rebuild_equals_live()


def test_a_deleted_version_is_listed_and_offered_nowhere(project: Project) -> None:  # I-5
    history = two_versions().add(MODEL_IMAGE_ID, deleted(2), actor=TRAINER_WANG_ID)
    read = project(history, Users, ModelImages)
    image = read.model_images.get(MODEL_IMAGE_ID)
    assert [one.label for one in image.versions] == ["v1.0"]
    assert (image.version(2), image.modified_by) == (None, "trainer_wang")
    assert [one.label for one in offered(read)] == ["v1.0"]
    read.assert_rebuild_equals_live()


def test_the_image_goes_with_its_last_version_and_with_it_what_had_failed(project: Project) -> None:  # I-5
    history = two_versions().add(MODEL_IMAGE_ID, queued("resnet18@1.2.tar"), LOADING_STARTED, DAMAGED)
    read = project(history.add(MODEL_IMAGE_ID, deleted(1)), Users, ModelImages)
    assert read.model_images.page().total == 1
    read.take_in(history.add(MODEL_IMAGE_ID, deleted(2)))
    assert (read.model_images.get(MODEL_IMAGE_ID), read.model_images.page().total) == (None, 0)
    tables = read.assert_rebuild_equals_live()
    assert [tables[name] for name in ("model_images", "model_image_versions")] == [[], []]


def test_what_is_loading_keeps_the_image_when_its_last_version_goes(project: Project) -> None:  # I-5
    history = plant().add(MODEL_IMAGE_ID, queued("resnet18@1.1.tar"), LOADING_STARTED, deleted(1))
    read = project(history, Users, ModelImages)
    assert [one.status for one in read.model_images.get(MODEL_IMAGE_ID).versions] == [LoadStatus.LOADING]
    read.take_in(history.add(MODEL_IMAGE_ID, SECOND))
    assert [one.label for one in read.model_images.get(MODEL_IMAGE_ID).versions] == ["v2.0"], "1 is not used again"


def test_a_name_imported_anew_goes_on_with_the_next_number(project: Project) -> None:  # I-4
    history = plant().add(MODEL_IMAGE_ID, deleted(1), MODEL_IMAGE_IMPORTED, queued("resnet18@9.tar"), LOADING_STARTED)
    read = project(history.add(MODEL_IMAGE_ID, SECOND), Users, ModelImages)
    assert [one.label for one in read.model_images.get(MODEL_IMAGE_ID).versions] == ["v2.0"]
    read.assert_rebuild_equals_live()


def test_a_failed_loading_that_is_dismissed_or_retried_leaves_the_list(project: Project) -> None:  # I-4
    history = plant().add(MODEL_IMAGE_ID, queued("resnet18@1.1.tar"), LOADING_STARTED, DAMAGED)
    read = project(history, Users, ModelImages)
    (failed, _) = read.model_images.get(MODEL_IMAGE_ID).versions
    read.take_in(
        history.add(
            MODEL_IMAGE_ID,
            ModelImageLoadingDismissed(loading=failed.loading),
            queued("resnet18@1.1.tar"),
            actor=TRAINER_LI_ID,
        )
    )
    image = read.model_images.get(MODEL_IMAGE_ID)
    assert [(one.status, one.imported_by) for one in image.versions] == [
        (LoadStatus.LOADING, "trainer_li"),
        (LoadStatus.LOADED, "trainer_wang"),
    ]
    assert image.modified_by == "trainer_li"
    read.assert_rebuild_equals_live()


def test_the_image_goes_with_a_first_archive_that_failed_and_was_dismissed(project: Project) -> None:  # I-4
    history = importing().add(PANEL_AOI_ID, DAMAGED, ModelImageLoadingDismissed(loading=2))
    read = project(history, Users, ModelImages)
    assert read.model_images.get(PANEL_AOI_ID) is None
    read.assert_rebuild_equals_live()


def test_where_an_archive_came_from_is_known(project: Project) -> None:  # I-2, E-1
    history = plant().add(MODEL_IMAGE_ID, queued("resnet18@1.1.tar", ArchiveSource.UPLOAD), LOADING_STARTED, DAMAGED)
    history.add(PANEL_AOI_ID, BUSINESS, queued("panel-aoi@7.tar", ArchiveSource.UPLOAD))
    read = project(history, Users, ModelImages)
    uploaded, typed = read.model_images.get(MODEL_IMAGE_ID).versions
    assert (uploaded.source, typed.source) == (ArchiveSource.UPLOAD, ArchiveSource.REMOTE_PATH)
    assert str(typed.place) == "archives:resnet18@1.0.tar"
    assert sorted(read.model_images.uploads_used(), key=lambda one: one.status.value) == [
        UploadUsed(f"{example_id('resnet18@1.1.tar')}/resnet18@1.1.tar", LoadStatus.FAILED),
        UploadUsed(f"{example_id('panel-aoi@7.tar')}/panel-aoi@7.tar", LoadStatus.LOADING),
    ]


def test_the_list_is_filtered_by_kind_and_task_type(project: Project) -> None:  # I-5
    read = project(importing(), Users, ModelImages)
    names = {
        kind: [image.name for image in read.model_images.page(kind=kind).items] for kind in (None, *ModelImageKind)
    }
    assert names == {
        None: ["panel-aoi", "resnet18"],
        ModelImageKind.GENERAL: ["resnet18"],
        ModelImageKind.BUSINESS: ["panel-aoi"],
    }
    assert read.model_images.page(task_type_id=CLASSIFICATION_USED.task_type_id).total == 2
    assert read.model_images.page(task_type_id=example_id("another task type")).total == 0
    assert read.model_images.page(kind=ModelImageKind.GENERAL, search="panel").total == 0


def test_the_newest_change_stands_in_the_first_row(project: Project) -> None:
    history = importing()
    read = project(history, Users, ModelImages)
    assert [image.name for image in read.model_images.page().items] == ["panel-aoi", "resnet18"]
    history.add(MODEL_IMAGE_ID, queued("resnet18@1.1.tar"), actor=TRAINER_WANG_ID)
    read.take_in(history)
    assert [image.name for image in read.model_images.page().items] == ["resnet18", "panel-aoi"]


def test_a_filter_at_any_level_finds_what_is_bound_there(project: Project) -> None:  # I-5
    read = project(importing(), Users, ModelImages)
    for place_id in (INDUSTRY_ID, FACTORY_1.node_id, AOI_STATION.node_id, PANEL_75.node_id):
        found = read.model_images.page(place_ids=[place_id])
        assert ([image.name for image in found.items], found.total) == (["panel-aoi"], 1), place_id
    assert read.model_images.page(place_ids=[FACTORY_2.node_id]).items == ()


def test_a_search_finds_parts_of_a_name_and_takes_signs_as_they_are(project: Project) -> None:
    read = project(importing(), Users, ModelImages)
    assert [image.name for image in read.model_images.page(search="AOI").items] == ["panel-aoi"]
    assert read.model_images.page(search="%").total == 0


def test_the_list_comes_in_pages(project: Project) -> None:
    read = project(importing(), Users, ModelImages)
    second = read.model_images.page(number=2, size=1)
    assert ([image.name for image in second.items], second.total) == (["resnet18"], 2)


def offered(read: ReadSide, kind: ModelImageKind = ModelImageKind.GENERAL, **narrowed: Any) -> Any:
    return read.model_images.version_choices(kind, **narrowed).versions


def test_only_loaded_versions_can_be_chosen_the_last_import_first(project: Project) -> None:  # W-2
    history = importing()
    history.add(MODEL_IMAGE_ID, LOADING_QUEUED, LOADING_STARTED, replace(MODEL_IMAGE_LOADED, number=2))
    history.add(MODEL_IMAGE_ID, LOADING_QUEUED, LOADING_STARTED, DAMAGED)
    read = project(history, Users, ModelImages)
    assert [(one.name, one.label) for one in offered(read)] == [("resnet18", "v2.0"), ("resnet18", "v1.0")]
    assert offered(read)[0].package == PACKAGE
    assert offered(read, ModelImageKind.BUSINESS) == ()
    assert read.model_images.version_choice(MODEL_IMAGE_ID, 2).label == "v2.0"
    assert read.model_images.version_choice(MODEL_IMAGE_ID, 3) is None
    assert read.model_images.has_versions()


def test_without_a_loaded_version_there_is_nothing_to_choose(project: Project) -> None:
    history = plant()
    read = project(history.add(MODEL_IMAGE_ID, deleted(1)), Users, ModelImages)
    assert (read.model_images.has_versions(), offered(read)) == (False, ())


def many_images() -> History:
    """resnet18 of the plant, then 24 others, image-00 to image-23."""
    history = plant()
    for number in range(24):
        imported = replace(MODEL_IMAGE_IMPORTED, name=f"image-{number:02}")
        history.add(example_id(imported.name), imported, LOADING_QUEUED, LOADING_STARTED, MODEL_IMAGE_LOADED)
    return history


def test_the_versions_imported_last_are_offered_and_the_others_found_by_name(project: Project) -> None:  # W-2
    read = project(many_images(), Users, ModelImages)
    choices = read.model_images.version_choices(ModelImageKind.GENERAL)
    assert [one.name for one in choices.versions] == [f"image-{number:02}" for number in range(23, 13, -1)]
    assert choices.has_more
    found = read.model_images.version_choices(ModelImageKind.GENERAL, search="IMAGE-0")
    assert [one.name for one in found.versions] == [f"image-{number:02}" for number in range(9, -1, -1)]
    assert not found.has_more
    assert offered(read, search="_") == (), "signs are taken as they are"


def test_what_is_chosen_already_stays_whatever_is_searched_for(project: Project) -> None:  # W-1, W-2
    read = project(many_images(), Users, ModelImages)
    chosen = (MODEL_IMAGE_ID, 1)
    assert [one.name for one in offered(read, chosen=chosen)][:2] == ["resnet18", "image-23"]
    assert [one.name for one in offered(read, chosen=chosen, search="image-07")] == ["resnet18", "image-07"]
    assert [one.name for one in offered(read, chosen=(MODEL_IMAGE_ID, 9), search="image-07")] == ["image-07"]


def test_business_images_are_narrowed_by_place(project: Project) -> None:  # W-2
    history = plant().add(PANEL_AOI_ID, BUSINESS, LOADING_QUEUED, LOADING_STARTED, MODEL_IMAGE_LOADED)
    read = project(history, Users, ModelImages)
    for place, names in ((FACTORY_1, ["panel-aoi"]), (PANEL_65, ["panel-aoi"]), (FACTORY_2, [])):
        found = offered(read, ModelImageKind.BUSINESS, place_ids=[place.node_id])
        assert [one.name for one in found] == names, place.name


def test_an_image_that_was_never_imported_is_not_there(project: Project) -> None:
    assert project(plant(), Users, ModelImages).model_images.get(example_id("nothing")) is None


def test_the_log_alone_gives_the_same_rows(project: Project) -> None:  # E-2
    tables = project(importing(), Users, ModelImages).assert_rebuild_equals_live()
    assert [len(tables[name]) for name in ("model_images", "model_image_versions")] == [2, 2]


def test_whoever_changed_it_last_stays_named_and_is_marked_once_deleted(project: Project) -> None:  # U-3
    history = plant()
    read = project(history, Users, ModelImages)
    before = read.model_images.get(MODEL_IMAGE_ID)
    assert (before.modified_by, before.is_modifier_deleted) == ("trainer_wang", False)
    assert not before.versions[0].is_importer_deleted
    read.take_in(history.add(TRAINER_WANG_ID, UserDeleted(heir=TRAINER_LI_ID)))
    after = read.model_images.get(MODEL_IMAGE_ID)
    assert (after.modified_by, after.is_modifier_deleted) == ("trainer_wang", True)
    assert (after.versions[0].imported_by, after.versions[0].is_importer_deleted) == ("trainer_wang", True)


def test_what_is_loading_or_failed_is_no_version_that_can_be_used(project: Project) -> None:  # W-2
    history = History().add(PANEL_AOI_ID, BUSINESS, queued("panel-aoi@7.tar"), LOADING_STARTED)
    read = project(history, Users, ModelImages)
    assert not read.model_images.has_versions()
    read.take_in(history.add(PANEL_AOI_ID, DAMAGED))
    assert not read.model_images.has_versions()


def test_one_version_is_found_by_its_very_number(project: Project) -> None:  # W-2
    history = plant().add(MODEL_IMAGE_ID, LOADING_QUEUED, LOADING_STARTED, replace(MODEL_IMAGE_LOADED, number=2))
    read = project(history, Users, ModelImages)
    assert [read.model_images.version_choice(MODEL_IMAGE_ID, number).number for number in (1, 2)] == [1, 2]
