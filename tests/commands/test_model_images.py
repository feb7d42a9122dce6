"""Importing, adding versions, loading and deleting, through dispatch: I-1 to I-5, U-6, S-5."""

from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from commands.assay import Assay
from commands.model_images import (
    AddModelImageVersion,
    CheckArchiveName,
    DeleteModelImageVersion,
    DismissLoading,
    FailLoading,
    FinishLoading,
    ImportModelImage,
    InterruptLoading,
    NoteFileRemovalFailed,
    NoteFileRemoved,
    RetryLoading,
    StartLoading,
    model_image_id,
)
from domain.attempts import AttemptIsOver
from domain.data_paths import FolderName
from domain.environments import EnvironmentChoiceIsIncomplete
from domain.exports import ExportQueued
from domain.facts import SYSTEM, Fact
from domain.model_images import (
    AnotherArchiveIsLoading,
    ArchiveHasAnotherName,
    ArchiveNameIsInvalid,
    ArchiveNotFound,
    ArchiveSource,
    ModelImage,
    ModelImageExists,
    ModelImageFileRemovalFailed,
    ModelImageFileRemoved,
    ModelImageImported,
    ModelImageKind,
    ModelImageLoaded,
    ModelImageLoadingFailed,
    ModelImageLoadingQueued,
    ModelImageLoadingStarted,
    ModelImageVersionDeleted,
)
from domain.prediction_jobs import PredictionQueued
from domain.refusals import NotFound, NotPermitted, Refusal, Refusals
from domain.sentences import Sentence
from domain.uploads import UploadIsGone
from infra.event_store import create_tables, open_event_log
from tests.commands.meeting import at_once
from tests.commands.test_exports import REQUEST as REQUEST_EXPORT
from tests.commands.test_prediction_jobs import queue as queue_prediction
from tests.examples import (
    AOI_STATION,
    BINDING,
    CLASSIFICATION_ID,
    CLASSIFICATION_USED,
    MODEL_ID,
    MODEL_IMAGE_ID,
    PACKAGE,
    PANEL_65,
    PANEL_75,
    PORTS,
    QUESTION_BANK,
    QUESTION_BANK_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    VERSION_PUBLISHED,
    KnownArchives,
    MemoryLog,
    artifact,
    assay_after,
    example_id,
    plant,
)

PANEL_AOI = "/archives/panel-aoi@7.tar"
ARCHIVES = {
    PANEL_AOI: FolderName("archives", "panel-aoi@7.tar"),
    "/archives/Panel-AOI@8.tar": FolderName("archives", "Panel-AOI@8.tar"),
    "/archives/resnet18@1.1.tar": FolderName("archives", "resnet18@1.1.tar"),
    "/archives/no-version.tar": FolderName("archives", "no-version.tar"),
}
UPLOAD_ID, SECOND_UPLOAD_ID = example_id("an upload of trainer_wang"), example_id("another one")
UPLOADED = FolderName(".uploads", f"{UPLOAD_ID}/panel-aoi@8.tar")
SECOND_UPLOADED = FolderName(".uploads", f"{SECOND_UPLOAD_ID}/resnet18@1.1.tar.zst")
UPLOADS = {(UPLOAD_ID, TRAINER_WANG_ID): UPLOADED, (SECOND_UPLOAD_ID, TRAINER_WANG_ID): SECOND_UPLOADED}
WITH_ARCHIVES = replace(PORTS, archives=KnownArchives(ARCHIVES, UPLOADS))
PANEL_AOI_ID = model_image_id("panel-aoi")
IMPORT = ImportModelImage(
    actor=TRAINER_WANG_ID, kind=ModelImageKind.GENERAL, task_type_id=CLASSIFICATION_ID, archive=PANEL_AOI
)
FAILURE = Sentence("The archive is damaged.")


@pytest.fixture
def written() -> tuple[Assay, MemoryLog]:
    """A plant with the loaded resnet18 v1.0 and some archives on the server."""
    return assay_after(plant(), WITH_ARCHIVES)


def newest(log: MemoryLog, fact_type: type[Fact]) -> Any:
    """The newest event of a type; uses may stand behind it, which `test_uses.py` is about."""
    return [event for event in log.events if isinstance(event.data, fact_type)][-1]


def importing(archive: str = PANEL_AOI, **changes: object) -> ImportModelImage:
    fields = {name: getattr(IMPORT, name) for name in IMPORT.__struct_fields__}
    return ImportModelImage(**(fields | {"archive": archive} | changes))


def test_a_model_trainer_imports_a_general_image(written: tuple[Assay, MemoryLog]) -> None:  # I-1, section U
    assay, log = written
    assay.dispatch(importing())
    image = assay.load(ModelImage, PANEL_AOI_ID)
    assert (image.name, image.task_type, image.environment) == ("panel-aoi", CLASSIFICATION_USED, None)
    assert log.events[-1].origin.actor == TRAINER_WANG_ID


def test_a_business_image_is_bound_to_several_products_of_one_station(written: tuple[Assay, MemoryLog]) -> None:  # I-1
    assay, log = written
    products = (PANEL_65.node_id, PANEL_75.node_id)
    assay.dispatch(importing(kind=ModelImageKind.BUSINESS, environment=products))
    imported = newest(log, ModelImageImported).data
    assert imported.environment == BINDING


@pytest.mark.parametrize("chosen", [(), (AOI_STATION.node_id,)], ids=["nothing", "only a station"])
def test_a_business_image_needs_a_product(written: tuple[Assay, MemoryLog], chosen: tuple[UUID, ...]) -> None:
    assay, log = written
    before = len(log.events)
    with pytest.raises(EnvironmentChoiceIsIncomplete, match="产品"):
        assay.dispatch(importing(kind=ModelImageKind.BUSINESS, environment=chosen))
    assert len(log.events) == before


def test_every_mistake_of_an_import_is_told_at_once(written: tuple[Assay, MemoryLog]) -> None:  # I-1, I-3
    assay, log = written
    before = len(log.events)
    with pytest.raises(Refusals) as refused:
        assay.dispatch(importing("/etc/passwd", kind=ModelImageKind.BUSINESS, environment=()))
    assert [type(refusal) for refusal in refused.value.refusals] == [ArchiveNotFound, EnvironmentChoiceIsIncomplete]
    assert len(log.events) == before


@pytest.mark.parametrize(
    ("archive", "refusal"),
    [
        ("/etc/passwd", ArchiveNotFound),
        ("", ArchiveNotFound),
        ("/archives/no-version.tar", ArchiveNameIsInvalid),
        ("/archives/resnet18@1.1.tar", ModelImageExists),
    ],
)
def test_the_manuals_three_refusals_stand_beside_the_path_and_store_nothing(  # I-3
    written: tuple[Assay, MemoryLog], archive: str, refusal: type[Refusal]
) -> None:
    assay, log = written
    before = len(log.events)
    with pytest.raises(refusal) as refused:
        assay.dispatch(importing(archive))
    assert refused.value.at == "archive"
    assert len(log.events) == before


def test_names_that_differ_only_in_case_are_one_name(written: tuple[Assay, MemoryLog]) -> None:  # I-3
    assay, _ = written
    assay.dispatch(importing())
    with pytest.raises(ModelImageExists):
        assay.dispatch(importing("/archives/Panel-AOI@8.tar"))


def test_an_unknown_task_type_is_refused(written: tuple[Assay, MemoryLog]) -> None:
    assay, _ = written
    with pytest.raises(NotFound):
        assay.dispatch(importing(task_type_id=example_id("no task type")))


def test_no_person_reports_in_the_name_of_a_worker(written: tuple[Assay, MemoryLog]) -> None:  # U-6
    assay, _ = written
    assay.dispatch(importing())
    with pytest.raises(NotPermitted):
        assay.dispatch(StartLoading(actor=TRAINER_WANG_ID, model_image_id=PANEL_AOI_ID, attempt=1, worker="gpu-1"))


def test_a_failed_load_takes_no_number(written: tuple[Assay, MemoryLog]) -> None:  # I-4
    assay, log = written
    assay.dispatch(importing())
    start(assay, 1)
    assay.dispatch(FailLoading(actor=SYSTEM, model_image_id=PANEL_AOI_ID, attempt=1, reason=FAILURE))
    assay.dispatch(importing())
    start(assay, 2)
    archive = artifact("panel-aoi@7.tar")
    assay.dispatch(
        FinishLoading(actor=SYSTEM, model_image_id=PANEL_AOI_ID, attempt=2, archive=archive, package=PACKAGE)
    )
    loaded = ModelImageLoaded(number=1, archive=archive, package=PACKAGE)
    assert [event.data for event in log.events if event.originator_id == PANEL_AOI_ID][-1] == loaded


def test_an_upload_is_imported_by_whom_it_belongs_to_and_the_log_says_where_it_came_from(  # I-2, E-1
    written: tuple[Assay, MemoryLog],
) -> None:
    assay, log = written
    before = len(log.events)
    with pytest.raises(UploadIsGone):
        assay.dispatch(importing("", actor=TRAINER_LI_ID, upload_id=UPLOAD_ID))
    assert len(log.events) == before
    assay.dispatch(importing("", upload_id=UPLOAD_ID))
    queued = newest(log, ModelImageLoadingQueued)
    assert (queued.data.source, queued.data.order.archive) == (ArchiveSource.UPLOAD, UPLOADED)
    assert queued.origin.actor == TRAINER_WANG_ID


@pytest.mark.parametrize(
    ("file_name", "into", "refusal"),
    [
        ("panel-aoi.tar", None, ArchiveNameIsInvalid),
        ("resnet18@3.tar", None, ModelImageExists),
        ("ResNet18@3.tar", None, ModelImageExists),
        ("panel-aoi@3.tar", MODEL_IMAGE_ID, ArchiveHasAnotherName),
        ("resnet18.tar", MODEL_IMAGE_ID, ArchiveNameIsInvalid),
        ("resnet18@3.tar", example_id("nothing"), NotFound),
    ],
)
def test_a_wrong_name_is_refused_before_a_byte_is_uploaded(  # I-3
    written: tuple[Assay, MemoryLog], file_name: str, into: UUID | None, refusal: type[Refusal]
) -> None:
    assay, _ = written
    with pytest.raises(refusal):
        assay.dispatch(CheckArchiveName(actor=TRAINER_WANG_ID, file_name=file_name, model_image_id=into))


@pytest.mark.parametrize(("file_name", "into"), [("panel-aoi@3.tar", None), ("resnet18@3.tar", MODEL_IMAGE_ID)])
def test_asking_about_a_name_stores_nothing(
    written: tuple[Assay, MemoryLog], file_name: str, into: UUID | None
) -> None:
    assay, log = written
    before = len(log.events)
    assert assay.dispatch(CheckArchiveName(actor=TRAINER_WANG_ID, file_name=file_name, model_image_id=into)) == 0
    assert len(log.events) == before


def test_a_version_is_added_from_either_place_by_anyone(written: tuple[Assay, MemoryLog]) -> None:  # I-4
    assay, log = written
    assay.dispatch(
        AddModelImageVersion(actor=TRAINER_LI_ID, model_image_id=MODEL_IMAGE_ID, archive="/archives/resnet18@1.1.tar")
    )
    load(assay, MODEL_IMAGE_ID, 2)
    assay.dispatch(adding(upload_id=SECOND_UPLOAD_ID))
    load(assay, MODEL_IMAGE_ID, 3)
    numbers = [event.data.number for event in log.events if isinstance(event.data, ModelImageLoaded)]
    assert numbers == [1, 2, 3]


def test_a_path_that_holds_no_archive_adds_no_version(written: tuple[Assay, MemoryLog]) -> None:  # I-3, I-4
    assay, _ = written
    with pytest.raises(ArchiveNotFound):
        assay.dispatch(adding("/etc/passwd"))
    with pytest.raises(NotFound):
        assay.dispatch(adding("/archives/resnet18@1.1.tar", model_image_id=example_id("nothing")))


def test_a_failed_loading_is_retried_or_dismissed(written: tuple[Assay, MemoryLog]) -> None:  # I-4
    assay, log = written
    assay.dispatch(adding(upload_id=SECOND_UPLOAD_ID))
    start(assay, 2, MODEL_IMAGE_ID)
    assay.dispatch(FailLoading(actor=SYSTEM, model_image_id=MODEL_IMAGE_ID, attempt=2, reason=FAILURE))
    (failure,) = assay.load(ModelImage, MODEL_IMAGE_ID).failures
    retry = RetryLoading(actor=TRAINER_LI_ID, model_image_id=MODEL_IMAGE_ID, loading=failure.loading)
    assay.dispatch(retry)
    with pytest.raises(NotFound):
        assay.dispatch(retry)
    start(assay, 3, MODEL_IMAGE_ID)
    assay.dispatch(FailLoading(actor=SYSTEM, model_image_id=MODEL_IMAGE_ID, attempt=3, reason=FAILURE))
    (failure,) = assay.load(ModelImage, MODEL_IMAGE_ID).failures
    assay.dispatch(DismissLoading(actor=TRAINER_LI_ID, model_image_id=MODEL_IMAGE_ID, loading=failure.loading))
    assert assay.load(ModelImage, MODEL_IMAGE_ID).failures == ()
    assert log.events[-1].origin.actor == TRAINER_LI_ID


def test_an_archive_that_has_gone_meanwhile_is_not_retried(written: tuple[Assay, MemoryLog]) -> None:  # I-3, I-4
    _, log = written
    assay = Assay(log, WITH_ARCHIVES)
    assay.dispatch(adding(upload_id=SECOND_UPLOAD_ID))
    start(assay, 2, MODEL_IMAGE_ID)
    assay.dispatch(FailLoading(actor=SYSTEM, model_image_id=MODEL_IMAGE_ID, attempt=2, reason=FAILURE))
    (failure,) = assay.load(ModelImage, MODEL_IMAGE_ID).failures
    without = Assay(log, PORTS)
    with pytest.raises(ArchiveNotFound):
        without.dispatch(RetryLoading(actor=TRAINER_LI_ID, model_image_id=MODEL_IMAGE_ID, loading=failure.loading))


def test_a_deleted_version_is_gone_and_its_files_follow(written: tuple[Assay, MemoryLog]) -> None:  # I-5, S-5
    assay, log = written
    delete = DeleteModelImageVersion(actor=TRAINER_LI_ID, model_image_id=MODEL_IMAGE_ID, number=1)
    archive = assay.load(ModelImage, MODEL_IMAGE_ID).loaded_version(1).archive
    assay.dispatch(delete)
    with pytest.raises(NotFound):
        assay.dispatch(delete)
    note = NoteFileRemoved(actor=SYSTEM, model_image_id=MODEL_IMAGE_ID, number=1, checksum=archive.checksum)
    assay.dispatch(note)
    assert assay.dispatch(note) == 0
    noted = [event for event in log.events if event.originator_id == MODEL_IMAGE_ID][-2:]
    assert [event.data for event in noted] == [
        ModelImageVersionDeleted(number=1, name="resnet18"),
        ModelImageFileRemoved(number=1, checksum=archive.checksum),
    ]
    assert [event.origin.actor for event in noted] == [TRAINER_LI_ID, SYSTEM]
    weights = artifact("resnet18.safetensors").checksum
    assay.dispatch(
        NoteFileRemovalFailed(actor=SYSTEM, model_image_id=MODEL_IMAGE_ID, number=1, checksum=weights, reason=FAILURE)
    )
    assert isinstance(log.events[-1].data, ModelImageFileRemovalFailed)
    assay.dispatch(importing("/archives/resnet18@1.1.tar"))
    load(assay, MODEL_IMAGE_ID, 2)
    assert [one.number for one in assay.load(ModelImage, MODEL_IMAGE_ID).loaded_versions] == [2], "1 was taken"


def test_no_person_notes_what_became_of_files(written: tuple[Assay, MemoryLog]) -> None:  # U-6
    assay, _ = written
    with pytest.raises(NotPermitted):
        assay.dispatch(
            NoteFileRemoved(actor=TRAINER_WANG_ID, model_image_id=MODEL_IMAGE_ID, number=1, checksum="0" * 64)
        )


def test_a_silent_worker_loses_the_archive_to_the_next(written: tuple[Assay, MemoryLog]) -> None:  # S-5
    assay, _ = written
    assay.dispatch(importing())
    start(assay, 1)
    assay.dispatch(InterruptLoading(actor=SYSTEM, model_image_id=PANEL_AOI_ID, attempt=1))
    with pytest.raises(AttemptIsOver):
        assay.dispatch(FailLoading(actor=SYSTEM, model_image_id=PANEL_AOI_ID, attempt=1, reason=FAILURE))
    start(assay, 2)
    assert assay.load(ModelImage, PANEL_AOI_ID).attempt.worker == "gpu-1"


def test_as_many_workers_may_fall_silent_as_the_settings_say(written: tuple[Assay, MemoryLog]) -> None:  # S-5
    _, log = written
    assay = Assay(log, replace(WITH_ARCHIVES, max_attempts=1))
    assay.dispatch(importing())
    start(assay, 1)
    assay.dispatch(InterruptLoading(actor=SYSTEM, model_image_id=PANEL_AOI_ID, attempt=1))
    assert newest(log, ModelImageLoadingFailed).originator_id == PANEL_AOI_ID


def test_reports_about_an_image_that_does_not_exist_are_refused(written: tuple[Assay, MemoryLog]) -> None:
    assay, _ = written
    with pytest.raises(NotFound):
        start(assay, 1)


def test_of_two_imports_of_a_name_at_once_one_wins(database: str) -> None:  # I-3, on real PostgreSQL
    create_tables(database)
    with closing(open_event_log(database)) as log:
        log.append(plant().events)
        answers = at_once(log, WITH_ARCHIVES, importing(), importing("/archives/Panel-AOI@8.tar"))
        assert sorted(type(answer).__name__ for answer in answers) == ["ModelImageExists", "int"]
        assert [type(event.data) for event in log.history(PANEL_AOI_ID)].count(ModelImageImported) == 1


def test_of_two_who_add_a_version_at_once_one_is_told_to_wait(database: str) -> None:  # I-4, on real PostgreSQL
    create_tables(database)
    with closing(open_event_log(database)) as log:
        log.append(plant().events)
        answers = at_once(log, WITH_ARCHIVES, adding("/archives/resnet18@1.1.tar"), adding(upload_id=SECOND_UPLOAD_ID))
        assert sorted(type(answer).__name__ for answer in answers) == [AnotherArchiveIsLoading.__name__, "int"]
        assay = Assay(log, WITH_ARCHIVES)
        load(assay, MODEL_IMAGE_ID, 2)
        assert [one.number for one in assay.load(ModelImage, MODEL_IMAGE_ID).versions] == [1, 2]


def test_of_two_workers_at_once_one_gets_the_archive(database: str) -> None:  # S-5, on real PostgreSQL
    create_tables(database)
    with closing(open_event_log(database)) as log:
        log.append(plant().events)
        Assay(log, WITH_ARCHIVES).dispatch(importing())
        claims = [
            StartLoading(actor=SYSTEM, model_image_id=PANEL_AOI_ID, attempt=1, worker=worker)
            for worker in ("gpu-1", "gpu-2")
        ]
        answers = at_once(log, WITH_ARCHIVES, *claims)
        assert sorted(type(answer).__name__ for answer in answers) == ["AttemptIsOver", "int"]
        claimed = [event.data for event in log.history(PANEL_AOI_ID) if type(event.data) is ModelImageLoadingStarted]
        assert len(claimed) == 1


def test_the_id_of_a_model_image_follows_from_its_name() -> None:
    assert model_image_id("resnet18") == model_image_id("ResNet18") == MODEL_IMAGE_ID


def adding(archive: str = "", **changes: object) -> AddModelImageVersion:
    fields: dict[str, object] = {"actor": TRAINER_WANG_ID, "model_image_id": MODEL_IMAGE_ID, "archive": archive}
    return AddModelImageVersion(**(fields | changes))  # type: ignore[arg-type]


def start(assay: Assay, attempt: int, image_id: UUID = PANEL_AOI_ID) -> None:
    assay.dispatch(StartLoading(actor=SYSTEM, model_image_id=image_id, attempt=attempt, worker="gpu-1"))


def load(assay: Assay, image_id: UUID, attempt: int) -> None:
    start(assay, attempt, image_id)
    archive = artifact(f"archive of attempt {attempt}")
    assay.dispatch(
        FinishLoading(actor=SYSTEM, model_image_id=image_id, attempt=attempt, archive=archive, package=PACKAGE)
    )


def test_a_published_model_needs_its_package_no_more() -> None:  # M-6, I-5
    history = plant().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
    history.add(MODEL_IMAGE_ID, ModelImageVersionDeleted(number=1, name="resnet18"))
    history.add(QUESTION_BANK_ID, QUESTION_BANK)
    assay, log = assay_after(history)
    assay.dispatch(REQUEST_EXPORT)
    assay.dispatch(queue_prediction())
    facts = [event.data for event in log.events]
    exported = next(fact for fact in facts if isinstance(fact, ExportQueued))
    predicted = next(fact for fact in facts if isinstance(fact, PredictionQueued))
    for version in (exported.order.version, *predicted.order.versions):
        assert version.weights == TRAINING_COMPLETED.weights, "its own, not the package's"
