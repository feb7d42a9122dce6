"""模型镜像管理 in the manual's words: list, further versions, failures, details, deletion, download."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from commands.model_images import AddModelImageVersion, DeleteModelImageVersion, DismissLoading, RetryLoading
from domain.model_images import STORAGE_KEEPS_FILE, AnotherArchiveIsLoading, LoadStatus, ModelImageKind
from domain.refusals import NotFound
from domain.sentences import Sentence
from domain.uses import IsInUse
from domain.waiting import ALL_ARE_BUSY
from gpu_worker.package_descriptions import SHIPPED
from infra.artifacts import Artifacts
from infra.uploads import Uploads
from projections.artifact_removals import ArtifactRemoval
from projections.overview import SetupSteps
from tests.examples import ARRAY_FAB, CLASSIFICATION_ID, FACTORY_1, MODEL_IMAGE_ID, PACKAGE, artifact, example_id
from tests.web.model_images import (
    LONG_AGO,
    PANEL_AOI,
    PANEL_AOI_ID,
    FakeModelImages,
    FakeRemovals,
    an_upload,
    image,
    images,
    unfinished,
    uploads,
    version,
)
from tests.web.places import FakeIndustries
from tests.web.reading import assert_in_order, stream, words
from tests.web.site import FakeWaiting, Site

__all__ = ["images", "uploads"]


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
