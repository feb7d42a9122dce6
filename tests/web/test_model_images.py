"""模型镜像管理 in the manual's words: list, import, further versions, details, deletion, download."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands.model_images import (
    AddModelImageVersion,
    DeleteModelImageVersion,
    DismissLoading,
    ImportModelImage,
    RetryLoading,
    model_image_id,
)
from domain.data_paths import FolderName
from domain.environments import EnvironmentChoiceIsIncomplete
from domain.messages import Heartbeat, JobKind
from domain.model_images import (
    STORAGE_KEEPS_FILE,
    AnotherArchiveIsLoading,
    ArchiveNameIsInvalid,
    ArchiveNotFound,
    ArchiveSource,
    LoadStatus,
    ModelImageExists,
    ModelImageKind,
)
from domain.refusals import NotFound, Refusal
from domain.sentences import Sentence
from domain.task_types import TaskKind
from domain.uploads import Upload
from domain.uses import IsInUse
from domain.waiting import ALL_ARE_BUSY
from gpu_worker.package_descriptions import SHIPPED
from infra.artifacts import Artifacts
from infra.uploads import Uploads
from projections.artifact_removals import ArtifactRemoval
from projections.model_images import ModelImageRow, ModelImageVersionRow, UploadUsed
from projections.overview import SetupSteps
from projections.read_model import Page
from projections.task_types import TaskTypeRow
from tests.examples import (
    AOI_STATION,
    ARRAY_FAB,
    BINDING,
    CLASSIFICATION_ID,
    CLASSIFICATION_USED,
    FACTORY_1,
    MODEL_IMAGE_ID,
    PACKAGE,
    PANEL_65,
    PANEL_75,
    artifact,
    example_id,
)
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.reading import assert_in_order, stream, words
from tests.web.site import MODEL_TRAINER, QUALITY_LEAD, FakeWaiting, Site
from web.services import Services

LONG_AGO = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)


def version(**changes: Any) -> ModelImageVersionRow:
    fields: dict[str, Any] = {
        "loading": 2,
        "status": LoadStatus.LOADED,
        "number": 1,
        "file_name": "resnet18@1.0.tar",
        "source": ArchiveSource.REMOTE_PATH,
        "place": FolderName("archives", "2025/resnet18@1.0.tar"),
        "archive": artifact("resnet18@1.0.tar", 46_000_000),
        "package": PACKAGE,
        "reason": None,
        "worker": "gpu-1",
        "imported_by": "trainer_wang",
        "imported_at": LONG_AGO,
    }
    return ModelImageVersionRow(**(fields | changes))


def unfinished(status: LoadStatus, **changes: Any) -> ModelImageVersionRow:
    gone = {"number": None, "archive": None, "package": None}
    return version(status=status, file_name="panel-aoi@7.tar", **(gone | changes))


def image(*versions: ModelImageVersionRow, **changes: Any) -> ModelImageRow:
    fields: dict[str, Any] = {
        "model_image_id": MODEL_IMAGE_ID,
        "name": "resnet18",
        "kind": ModelImageKind.GENERAL,
        "task_type": CLASSIFICATION_USED,
        "environment": None,
        "modified_by": "trainer_wang",
        "modified_at": LONG_AGO,
        "versions": versions or (version(),),
    }
    return ModelImageRow(**(fields | changes))


PANEL_AOI_ID = model_image_id("panel-aoi")
PANEL_AOI = image(
    unfinished(LoadStatus.LOADING),
    model_image_id=PANEL_AOI_ID,
    name="panel-aoi",
    kind=ModelImageKind.BUSINESS,
    environment=BINDING,
)


class FakeModelImages:
    def __init__(self, *rows: ModelImageRow) -> None:
        self.rows = rows
        self.asked: list[tuple[tuple[UUID, ...], str, int]] = []
        self.chosen: list[tuple[ModelImageKind | None, UUID | None]] = []
        self.used: list[UploadUsed] = []

    def page(
        self,
        *,
        place_ids: Sequence[UUID],
        kind: ModelImageKind | None,
        task_type_id: UUID | None,
        search: str,
        number: int,
    ) -> Page[ModelImageRow]:
        self.asked.append((tuple(place_ids), search, number))
        self.chosen.append((kind, task_type_id))
        return Page(items=self.rows, total=len(self.rows), number=1, size=20)

    def uploads_used(self) -> list[UploadUsed]:
        return self.used

    def get(self, image_id: UUID) -> ModelImageRow | None:
        return next((row for row in self.rows if row.model_image_id == image_id), None)


class FakeRemovals:
    def __init__(self, *removals: ArtifactRemoval) -> None:
        self.removals = removals

    def waiting(self) -> tuple[ArtifactRemoval, ...]:
        return self.removals


class FakeTaskTypes:
    def list(self) -> tuple[TaskTypeRow, ...]:
        return (TaskTypeRow(CLASSIFICATION_ID, "分类", TaskKind.CLASSIFICATION, LONG_AGO),)


class FakeHeartbeats:
    def __init__(self, *beats: Heartbeat) -> None:
        self.beats = {beat.job_id: beat for beat in beats}

    def of(self, job_id: UUID) -> Heartbeat | None:
        return self.beats.get(job_id)

    def of_all(self, job_ids: list[UUID]) -> dict[UUID, Heartbeat]:
        return {job_id: beat for job_id, beat in self.beats.items() if job_id in job_ids}


def beat(progress: float) -> Heartbeat:
    return Heartbeat(worker="gpu-1", kind=JobKind.LOADING, job_id=PANEL_AOI_ID, attempt=1, progress=progress)


@pytest.fixture
def uploads(services: Services, tmp_path: Path) -> Uploads:
    """Nobody has uploaded anything."""
    uploads = Uploads(tmp_path / "uploads", most_bytes=1 << 30, keep_free_bytes=0, keep_seconds=3600)
    object.__setattr__(services, "uploads", uploads)
    return uploads


def an_upload(uploads: Uploads, *, content: bytes = b"an archive", of: UUID = QUALITY_LEAD.user_id) -> Upload:
    """image@123.tar, arrived as far as `content` goes; it has ten bytes."""
    upload = uploads.begin(of, "image@123.tar", 10)
    part = uploads.open(upload.upload_id, of, 0)
    assert part is not None
    part.write(content)
    part.close()
    return uploads.find(upload.upload_id, of)


@pytest.fixture
def images(site: Site, uploads: Uploads) -> FakeModelImages:
    """resnet18 v1.0 is loaded, panel-aoi is loading; there is an industry with levels."""
    site.read.model_images = FakeModelImages(PANEL_AOI, image())
    site.read.artifact_removals = FakeRemovals()
    site.read.industries = FakeIndustries(PANELS)
    site.read.environments = FakeEnvironments(gone=[PANEL_65.node_id])
    site.read.task_types = FakeTaskTypes()
    object.__setattr__(site.services, "heartbeats", FakeHeartbeats(beat(0.42)))
    found: FakeModelImages = site.read.model_images
    return found


# The list


def test_the_list_shows_every_image_with_its_versions(site: Site, images: FakeModelImages) -> None:
    answer = site.get("/model-images")
    assert answer.status_code == 200
    assert_in_order(
        words(answer.text),
        "panel-aoi",
        "业务",
        "一厂区 / 阵列厂 / AOI站 / 65寸面板",
        "（已删除） 、75寸面板",
        "显示面板",
        "加载中",
    )
    assert_in_order(words(answer.text), "resnet18", "v1.0", "通用", "分类", "成功", "trainer_wang", "查看详情")
    assert_in_order(words(answer.text), "resnet18@1.0.tar", "43.9 MiB", "成功", "导出镜像")


def test_the_progress_of_a_loading_archive_comes_from_its_worker(site: Site, images: FakeModelImages) -> None:  # I-2
    page = site.get("/model-images").text
    assert '<progress max="1" value="0.42"' in page
    assert "42 %" in page


def test_an_archive_that_nobody_has_claimed_says_what_it_waits_for(site: Site, images: FakeModelImages) -> None:
    images.rows = (image(unfinished(LoadStatus.LOADING, worker="")),)
    assert "等待训练节点处理" in site.get("/model-images").text
    object.__setattr__(site.services, "waiting", FakeWaiting(Sentence(ALL_ARE_BUSY)))
    for address in ("/model-images", f"/model-images/{MODEL_IMAGE_ID}"):
        assert_in_order(words(site.get(address).text), "可处理此任务的训练节点均在忙碌，此任务排在第一位。", "起等待。")


def test_an_archive_that_is_loading_waits_for_nothing(site: Site, images: FakeModelImages) -> None:
    object.__setattr__(site.services, "waiting", FakeWaiting(Sentence(ALL_ARE_BUSY)))
    assert "起等待" not in site.get("/model-images").text


def test_a_failed_archive_shows_its_reason_and_nothing_to_download(site: Site, images: FakeModelImages) -> None:  # I-2
    reason = Sentence("No model image has the name “{name}”.", {"name": "panel-aoi"})
    images.rows = (image(unfinished(LoadStatus.FAILED, reason=reason)),)
    page = site.get("/model-images").text
    assert_in_order(words(page), "失败", "No model image has the name “panel-aoi”.")
    assert "导出镜像" not in page


def test_images_that_are_not_loaded_begin_opened(site: Site, images: FakeModelImages) -> None:
    page = site.get("/model-images").text
    assert f'data-key="{PANEL_AOI_ID}" open>' in page
    assert f'data-key="{MODEL_IMAGE_ID}">' in page


def test_the_filter_asks_for_the_deepest_place_that_is_chosen(site: Site, images: FakeModelImages) -> None:  # I-5
    site.get(f"/model-images?level_1={FACTORY_1.node_id}&level_2={ARRAY_FAB.node_id}&level_3=&search=aoi&page=2")
    assert images.asked == [((ARRAY_FAB.node_id,), "aoi", 2)]


def test_the_list_is_filtered_by_kind_and_task_type(site: Site, images: FakeModelImages) -> None:  # I-5
    page = site.get(f"/model-images?kind=business&task_type_id={CLASSIFICATION_ID}").text
    assert '<option value="business" selected>' in page
    assert f'<option value="{CLASSIFICATION_ID}" selected>' in page
    site.get(f"/model-images?kind=nonsense&task_type_id={example_id('no task type')}")
    assert images.chosen == [(ModelImageKind.BUSINESS, CLASSIFICATION_ID), (None, None)]


def test_a_filter_that_fits_nothing_offers_to_show_all(site: Site, images: FakeModelImages) -> None:
    images.rows = ()
    assert "没有符合条件的镜像" in site.get("/model-images?search=nothing").text
    assert "还没有模型镜像" in site.get("/model-images").text


def test_the_list_works_before_there_is_any_industry(site: Site, images: FakeModelImages) -> None:  # M-7
    site.read.industries = FakeIndustries()
    site.read.overview.steps = SetupSteps(False, False, True, True)
    assert site.get("/model-images").status_code == 200
    assert "还没有可绑定的生产环境" in site.get("/model-images/import").text


def test_without_a_task_type_the_import_shows_the_set_up_steps(site: Site, images: FakeModelImages) -> None:  # M-7
    site.read.overview.steps = SetupSteps(True, True, False, True)
    page = site.get("/model-images/import").text
    assert 'id="setup"' in page
    assert 'href="/task-types"' in page
    assert 'name="archive"' not in page


def test_the_rows_move_without_reloading(site: Site, images: FakeModelImages) -> None:  # I-2
    images.rows = (PANEL_AOI,)
    events = stream(site, "/model-images/live?search=aoi")
    assert "event: fragment" in events
    assert "data: rows" in events
    assert 'value="0.42"' in events
    assert images.asked == [((), "aoi", 1)], "the stream shows what the list was filtered by"


def test_a_row_that_was_closed_stays_closed_when_it_moves(site: Site, images: FakeModelImages) -> None:
    assert " open>" not in stream(site, "/model-images/live")


# The import


def test_a_general_image_is_imported_from_a_path_on_the_server(site: Site, images: FakeModelImages) -> None:  # I-1, I-2
    answer = site.post(
        "/model-images/import", kind="general", task_type_id=str(CLASSIFICATION_ID), archive=" /archives/image@123 "
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/model-images")
    (command,) = site.assay.commands
    assert command == ImportModelImage(
        actor=command.actor,
        request=command.request,
        kind=ModelImageKind.GENERAL,
        task_type_id=CLASSIFICATION_ID,
        archive="/archives/image@123",
    )
    assert "模型镜像正在后台加载" in site.get("/model-images").text


def test_a_business_image_is_bound_to_the_chosen_products(site: Site, images: FakeModelImages) -> None:  # I-1
    site.post(
        "/model-images/import",
        kind="business",
        task_type_id=str(CLASSIFICATION_ID),
        archive="/archives/image@123",
        level_1=str(FACTORY_1.node_id),
        level_2=str(ARRAY_FAB.node_id),
        level_3=str(AOI_STATION.node_id),
        level_4=[str(PANEL_65.node_id), str(PANEL_75.node_id)],
    )
    assert site.assay.commands[0].environment == (PANEL_65.node_id, PANEL_75.node_id)


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (ArchiveNotFound(), "当前路径下无法找到有效的模型镜像文件"),
        (ArchiveNameIsInvalid(), "模型镜像文件名称不满足格式要求"),
        (ModelImageExists(), "模型镜像已存在，请从新增版本入口追加新版本"),
    ],
)
def test_the_manuals_sentences_stand_beside_the_path(  # I-3: exactly these words
    site: Site, images: FakeModelImages, refusal: Refusal, sentence: str
) -> None:
    site.assay.refuse_with(refusal)
    answer = site.post(
        "/model-images/import", kind="general", task_type_id=str(CLASSIFICATION_ID), archive="/etc/passwd"
    )
    assert answer.status_code == 422
    assert f'<p class="field-error" id="archive-error" role="alert">{sentence}</p>' in answer.text
    assert 'value="/etc/passwd"' in answer.text, "what was entered stays"


def test_a_missing_product_is_told_beside_the_environment(site: Site, images: FakeModelImages) -> None:
    site.assay.refuse_with(EnvironmentChoiceIsIncomplete(level="产品"))
    answer = site.post(
        "/model-images/import",
        kind="business",
        task_type_id=str(CLASSIFICATION_ID),
        archive="/archives/image@123",
        environment="",
        level_1=str(FACTORY_1.node_id),
    )
    assert answer.status_code == 422
    assert 'id="environment-error"' in answer.text
    assert f'value="{FACTORY_1.node_id}" selected' in answer.text, "what was chosen stays"


def test_without_scripts_the_next_level_is_shown_and_nothing_is_imported(  # S-4
    site: Site, images: FakeModelImages
) -> None:
    fields = {"kind": "business", "task_type_id": "", "archive": "/archives/image@123"}
    answer = site.post("/model-images/import", **fields, level_1=str(FACTORY_1.node_id), do="levels")
    assert answer.status_code == 200
    assert f'<option value="{ARRAY_FAB.node_id}">' in answer.text
    assert 'value="/archives/image@123"' in answer.text
    assert site.assay.commands == []


def test_the_other_language_shows_the_form_again_without_its_file(site: Site, images: FakeModelImages) -> None:  # S-4
    entered = {"kind": "business", "source": "remote_path", "archive": "/archives/image@123.tar"}
    again = site.post("/model-images/import/file", as_entered="en", **entered)
    assert again.status_code == 200
    assert "Import model image" in again.text
    assert 'value="business" checked' in again.text
    assert 'name="archive" value="/archives/image@123.tar"' in again.text
    assert site.assay.commands == []


def test_without_a_task_type_nothing_is_asked(site: Site, images: FakeModelImages) -> None:
    answer = site.post("/model-images/import", kind="general", archive="/archives/image@123")
    assert answer.status_code == 422
    assert 'id="task_type_id-error"' in answer.text
    assert site.assay.commands == []


def test_an_upload_that_has_arrived_is_imported(site: Site, images: FakeModelImages, uploads: Uploads) -> None:  # I-2
    upload_id = an_upload(uploads).upload_id
    answer = site.post(
        "/model-images/import",
        kind="general",
        task_type_id=str(CLASSIFICATION_ID),
        source="upload",
        upload_id=str(upload_id),
        archive="/archives/typed-before@1",
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/model-images")
    (command,) = site.assay.commands
    assert (command.upload_id, command.archive) == (upload_id, "")


def test_without_a_file_the_form_asks_for_one(site: Site, images: FakeModelImages) -> None:
    answer = site.post(
        "/model-images/import", kind="general", task_type_id=str(CLASSIFICATION_ID), source="upload", upload_id=""
    )
    assert answer.status_code == 422
    assert '<p class="field-error" id="file-error" role="alert">请选择文件。</p>' in answer.text
    assert site.assay.commands == []


def test_a_refused_form_keeps_the_upload(site: Site, images: FakeModelImages, uploads: Uploads) -> None:
    upload = an_upload(uploads)
    site.assay.refuse_with(ModelImageExists())
    answer = site.post(
        "/model-images/import",
        kind="general",
        task_type_id=str(CLASSIFICATION_ID),
        source="upload",
        upload_id=str(upload.upload_id),
    )
    assert answer.status_code == 422
    assert f'name="upload_id" value="{upload.upload_id}"' in answer.text
    assert_in_order(words(answer.text), "image@123.tar", "100 %", "模型镜像已存在，请从新增版本入口追加新版本")


def test_the_form_offers_both_ways_and_the_users_own_uploads(
    site: Site, images: FakeModelImages, uploads: Uploads
) -> None:  # I-2
    complete, broken = an_upload(uploads), an_upload(uploads, content=b"half ")
    queued, others = an_upload(uploads), an_upload(uploads, of=MODEL_TRAINER.user_id)
    images.used = [UploadUsed(f"{queued.upload_id}/image@123.tar", LoadStatus.LOADING)]
    page = site.get("/model-images/import").text
    assert_in_order(
        words(page), "上传方式", "本地文件上传", "远程服务器路径", "立即导入", "100 %", "使用", "50 %", "移除"
    )
    assert f"upload_id={complete.upload_id}" in page
    assert f"upload_id={broken.upload_id}" not in page, "what is not complete cannot be used"
    assert f"/uploads/{broken.upload_id}/cancel" in page
    assert str(queued.upload_id) not in page
    assert str(others.upload_id) not in page
    again = site.get(f"/model-images/import?upload_id={complete.upload_id}").text
    assert f'name="upload_id" value="{complete.upload_id}"' in again


def test_a_model_trainer_imports_too(trainer: Site, uploads: Uploads) -> None:  # section U
    trainer.read.industries, trainer.read.environments = FakeIndustries(), FakeEnvironments()
    trainer.read.task_types, trainer.read.model_images = FakeTaskTypes(), FakeModelImages()
    answer = trainer.post(
        "/model-images/import", kind="general", task_type_id=str(CLASSIFICATION_ID), archive="/archives/image@123"
    )
    assert answer.status_code == 303
    assert trainer.assay.commands[0].actor == MODEL_TRAINER.user_id


# Further versions, failures, deletion

PANEL_AOI_ADDRESS = f"/model-images/{PANEL_AOI_ID}"
RESNET18_ADDRESS = f"/model-images/{MODEL_IMAGE_ID}"


def test_a_version_is_added_where_one_is_loaded(site: Site, images: FakeModelImages) -> None:  # I-4
    page = site.get("/model-images").text
    assert f'href="{RESNET18_ADDRESS}/versions/new"' in page
    assert f'href="{PANEL_AOI_ADDRESS}/versions/new"' not in page
    assert "新增版本" in site.get(RESNET18_ADDRESS).text


def test_the_form_of_a_version_shows_what_is_inherited_and_asks_for_an_archive(
    site: Site, images: FakeModelImages
) -> None:  # I-4
    page = site.get(f"{RESNET18_ADDRESS}/versions/new").text
    assert_in_order(
        words(page), "镜像类型 通用", "任务类型 分类", "最新版本 v1.0", "本地文件上传", "文件名称应为 resnet18@"
    )
    assert f'data-into="{MODEL_IMAGE_ID}"' in page
    assert 'name="task_type_id"' not in page


def test_a_version_comes_from_a_path_or_an_upload(site: Site, images: FakeModelImages, uploads: Uploads) -> None:  # I-4
    upload_id = an_upload(uploads).upload_id
    for fields in (
        {"source": "remote_path", "archive": "/archives/resnet18@2"},
        {"source": "upload", "upload_id": str(upload_id)},
    ):
        answer = site.post(f"{RESNET18_ADDRESS}/versions/new", **fields)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/model-images")
    typed, uploaded = site.assay.commands
    assert isinstance(typed, AddModelImageVersion)
    assert (typed.model_image_id, typed.archive, typed.upload_id) == (MODEL_IMAGE_ID, "/archives/resnet18@2", None)
    assert (uploaded.archive, uploaded.upload_id) == ("", upload_id)


def test_the_second_of_two_who_add_a_version_is_told_what_is_loading(site: Site, images: FakeModelImages) -> None:
    site.assay.refuse_with(AnotherArchiveIsLoading(file="resnet18@2.tar", name="resnet18"))
    answer = site.post(f"{RESNET18_ADDRESS}/versions/new", source="remote_path", archive="/archives/resnet18@3")
    assert answer.status_code == 422
    assert "“resnet18@2.tar”正在作为“resnet18”的新版本加载" in words(answer.text)


def test_a_failed_archive_is_loaded_again_or_removed(site: Site, images: FakeModelImages) -> None:  # I-4
    images.rows = (image(version(), unfinished(LoadStatus.FAILED, loading=7)),)
    page = site.get("/model-images").text
    assert_in_order(words(page), "重新加载", "移除")
    for act, command_type in (("retry", RetryLoading), ("dismiss", DismissLoading)):
        assert f'action="{RESNET18_ADDRESS}/loadings/7/{act}"' in page
        assert site.post(f"{RESNET18_ADDRESS}/loadings/7/{act}").headers["Location"] == "/model-images"
        command = site.assay.commands[-1]
        assert isinstance(command, command_type)
        assert (command.model_image_id, command.loading) == (MODEL_IMAGE_ID, 7)


def test_deleting_a_version_asks_first_and_says_what_goes(site: Site, images: FakeModelImages) -> None:  # I-5
    page = site.get(f"{RESNET18_ADDRESS}/versions/1/delete").text
    assert_in_order(words(page), "v1.0", "resnet18@1.0.tar", "43.9 MiB", "这是最后一个版本")
    images.rows = (image(version(), version(number=2, loading=5)),)
    assert "这是最后一个版本" not in site.get(f"{RESNET18_ADDRESS}/versions/1/delete").text
    answer = site.post(f"{RESNET18_ADDRESS}/versions/1/delete")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/model-images")
    (command,) = site.assay.commands
    assert isinstance(command, DeleteModelImageVersion)
    assert (command.model_image_id, command.number) == (MODEL_IMAGE_ID, 1)


def test_a_version_that_jobs_need_stays_and_the_page_names_them(
    site: Site, images: FakeModelImages
) -> None:  # M-6, I-5
    assert "使用过该版本的训练任务无法再次启动" in words(site.get(f"{RESNET18_ADDRESS}/versions/1/delete").text)
    site.assay.refuse_with(IsInUse(count=2, names="“panel-a”, “panel-b”"))
    answer = site.post(f"{RESNET18_ADDRESS}/versions/1/delete")
    assert answer.status_code == 422
    assert "有 2 个等待中或运行中的任务正在使用：“panel-a”, “panel-b”。" in words(answer.text)


@pytest.mark.parametrize(
    "address",
    [
        f"{RESNET18_ADDRESS}/versions/2/delete",
        f"{PANEL_AOI_ADDRESS}/versions/1/delete",
        f"/model-images/{example_id('gone')}/versions/1/delete",
        f"/model-images/{example_id('gone')}/versions/new",
    ],
)
def test_what_is_gone_already_is_told_by_the_list(site: Site, images: FakeModelImages, address: str) -> None:
    for ask in (site.get, site.post):
        answer = ask(address)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/model-images")
        assert "该项此前已被删除或移除" in words(site.get("/model-images").text)
    assert site.assay.commands == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"{RESNET18_ADDRESS}/versions/1/delete", "该项此前已被删除或移除"),
        (f"{RESNET18_ADDRESS}/versions/new", "该项此前已被删除或移除"),
        (f"{RESNET18_ADDRESS}/loadings/7/dismiss", "该项此前已被删除或移除"),
        (f"{RESNET18_ADDRESS}/loadings/7/retry", "已有人重新加载该镜像文件，或已将其移除"),
    ],
)
def test_the_slower_of_two_clicks_leads_to_the_list(
    site: Site, images: FakeModelImages, address: str, said: str
) -> None:
    site.assay.refuse_with(NotFound())
    answer = site.post(address, source="remote_path", archive="/archives/resnet18@2")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/model-images")
    assert said in words(site.get("/model-images").text)


def test_files_that_are_still_there_are_told_with_the_reason(site: Site, images: FakeModelImages) -> None:  # S-5
    fields: dict[str, Any] = {
        "model_image_id": MODEL_IMAGE_ID,
        "number": 1,
        "checksum": "0" * 64,
        "size": 46_000_000,
        "name": "resnet18",
        "is_archive": True,
        "is_referred": False,
        "reason": Sentence(STORAGE_KEEPS_FILE, {"problem": "Read-only file system"}),
        "deleted_by": "trainer_wang",
        "deleted_at": LONG_AGO,
    }
    waits_for_a_job = fields | {"is_referred": True, "reason": None, "is_archive": False}
    site.read.artifact_removals = FakeRemovals(ArtifactRemoval(**fields), ArtifactRemoval(**waits_for_a_job))
    shown = words(site.get("/model-images").text)
    assert_in_order(shown, "已删除版本", "resnet18 v1.0", "镜像文件", "43.9 MiB", "Read-only file system")
    assert "初始权重" not in shown, "it stays on purpose"


# Details and download


def test_the_details_show_everything_that_the_package_says(site: Site, images: FakeModelImages) -> None:  # I-5
    answer = site.get(f"/model-images/{MODEL_IMAGE_ID}")
    assert answer.status_code == 200
    shown = words(answer.text)
    assert_in_order(shown, "镜像名称 resnet18", "镜像类型 通用", "任务类型 分类", "版本数 1")
    assert_in_order(shown, "远程服务器路径 archives:2025/resnet18@1.0.tar", "trainer_wang")
    assert_in_order(shown, "大小 43.9 MiB", artifact("resnet18@1.0.tar").checksum, "分辨率规格 未指定")
    assert_in_order(shown, "ResNet18", "分类", "64 × 64", "均值 0.485 · 0.456 · 0.406，标准差 0.229 · 0.224 · 0.225")
    assert_in_order(shown, "缺省参数", "模型参数", '"num_of_classes": 3', "训练参数", '"max_iter": 200', "预测参数")


def test_what_the_shipped_package_says_of_itself_is_said_in_the_readers_language(
    site: Site, images: FakeModelImages
) -> None:  # S-4
    summaries = {SHIPPED["summary"]: "ResNet 分类网络和用于分割的 U-Net", "{作者} 100%": "{作者} 100%"}
    for summary, told in summaries.items():
        images.rows = (image(version(package=msgspec.structs.replace(PACKAGE, summary=summary))),)
        assert told in words(site.get(f"/model-images/{MODEL_IMAGE_ID}").text)


def test_the_details_of_a_business_image_name_the_levels_and_what_was_deleted_since(
    site: Site, images: FakeModelImages
) -> None:
    shown = words(site.get(f"/model-images/{PANEL_AOI_ID}").text)  # M-3
    assert_in_order(
        shown, "行业 显示面板", "工厂 一厂区", "厂别 阵列厂", "站点 AOI站", "产品 65寸面板 （已删除） 、75寸面板"
    )


def test_the_details_move_while_loading(site: Site, images: FakeModelImages) -> None:
    events = stream(site, f"/model-images/{PANEL_AOI_ID}/live")
    assert "data: versions" in events
    assert 'value="0.42"' in events


def test_an_image_that_does_not_exist_is_not_found(site: Site, images: FakeModelImages) -> None:
    for address in ("", "/live", "/versions/1/archive"):
        assert site.get(f"/model-images/{example_id('nothing')}{address}").status_code == 404


def test_the_archive_is_downloaded_under_its_own_name(
    site: Site, images: FakeModelImages, tmp_path: Path
) -> None:  # I-5
    artifacts = Artifacts(tmp_path / "artifacts")
    (tmp_path / "archive").write_bytes(b"a whole archive")
    images.rows = (image(version(archive=artifacts.keep(tmp_path / "archive"))),)
    object.__setattr__(site.services, "artifacts", artifacts)
    answer = site.get(f"/model-images/{MODEL_IMAGE_ID}/versions/1/archive")
    assert (answer.status_code, answer.content) == (200, b"a whole archive")
    assert 'filename="resnet18@1.0.tar"' in answer.headers["Content-Disposition"]
    assert answer.headers["Content-Length"] == "15"
    rest = site.get(f"/model-images/{MODEL_IMAGE_ID}/versions/1/archive", Range="bytes=8-")
    assert (rest.status_code, rest.content) == (206, b"archive"), "a download that broke off goes on"
    assert 'data-download="15"' in site.get("/model-images").text, "a script shows how far it is"


def test_a_version_that_was_never_loaded_cannot_be_downloaded(site: Site, images: FakeModelImages) -> None:
    for number in (0, 2):
        assert site.get(f"/model-images/{MODEL_IMAGE_ID}/versions/{number}/archive").status_code == 404
    assert site.get(f"/model-images/{PANEL_AOI_ID}/versions/1/archive").status_code == 404


def test_strangers_see_nothing(stranger: Site) -> None:  # U-1
    below = ("", "/versions/1/archive", "/versions/new", "/versions/1/delete")
    for route in ("", "/import", "/live", f"/uploads/{MODEL_IMAGE_ID}", *(f"/{MODEL_IMAGE_ID}{end}" for end in below)):
        assert stranger.get(f"/model-images{route}").headers["Location"].startswith("/sign-in?next=")
