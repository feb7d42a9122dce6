"""模型管理 in the manual's words: my models, 版本管理, 模型评估报告, 导出."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from commands.exports import RequestExport
from domain.artifacts import Artifact
from domain.exports import ExportStatus, export_id
from domain.messages import Heartbeat, JobKind
from domain.models import ModelVersionNotFound
from domain.sentences import Sentence
from domain.training_jobs import TrainedWeights, VersionUsed
from domain.training_parameters import Augmentation
from infra.artifacts import Artifacts
from projections.exports import ExportRow
from projections.models import ModelDetail, ModelRow, ModelVersionRow
from projections.read_model import Page
from tests.examples import (
    BINDING,
    CLASSIFICATION_USED,
    FIGURES,
    LAST_FIGURES,
    MODEL_ID,
    TRAINING_JOB_ID,
    TRAINING_ORDER,
    VERSION_PUBLISHED,
    WORSE_AT_THE_END,
    artifact,
    example_id,
)
from tests.web.reading import assert_in_order, stream, words
from tests.web.site import MODEL_TRAINER, QUALITY_LEAD, Site

LONG_AGO = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)
PREDICTION_JOB_ID = example_id("panel-a-check")
VERSIONS = f"/models/{MODEL_ID}/versions"
EXPORT = f"{VERSIONS}/v1.01/export"


def version(label: str = "v1.01", **changes: Any) -> ModelVersionRow:
    fields: dict[str, Any] = {
        "version": label,
        "published_by": "quality_lead",
        "published_at": LONG_AGO,
        "job_id": TRAINING_JOB_ID,
        "model_image": VERSION_PUBLISHED.model_image,
        "task_type": CLASSIFICATION_USED,
        "environment": BINDING,
        "training_order": TRAINING_ORDER,
        "weights": VERSION_PUBLISHED.weights,
        "figures": FIGURES,
        "resolution_rule": VERSION_PUBLISHED.resolution_rule,
    }
    return ModelVersionRow(**(fields | changes))


PANEL_A = ModelDetail(
    model_id=MODEL_ID,
    name="panel-a",
    owner=QUALITY_LEAD.user_id,
    owner_name="quality_lead",
    task_type=CLASSIFICATION_USED,
    environment=BINDING,
    modified_by="quality_lead",
    modified_at=LONG_AGO,
    versions=(version("v1.02"), version("v1.01")),
)
ROW = ModelRow(
    model_id=MODEL_ID,
    name="panel-a",
    version="v1.02",
    version_count=2,
    task_type=CLASSIFICATION_USED,
    accuracy=0.9,
    modified_by="quality_lead",
    modified_at=LONG_AGO,
)
WAITING = ExportRow(
    export_id=export_id(MODEL_ID, "v1.01"),
    model_id=MODEL_ID,
    version="v1.01",
    status=ExportStatus.WAITING,
    worker="",
    package=None,
    reason=None,
    requested_at=LONG_AGO,
    finished_at=None,
)
BUILDING = replace(WAITING, status=ExportStatus.BUILDING, worker="gpu-1")
BUILT = replace(WAITING, status=ExportStatus.BUILT, package=artifact("panel-a-v1.01.zip"), finished_at=LONG_AGO)
LOST = replace(BUILT, package=artifact("panel-a-v1.01.lost.zip"))
FAILED = replace(WAITING, status=ExportStatus.FAILED, reason=Sentence("The disk is full."), finished_at=LONG_AGO)


class FakeModelImages:
    def __init__(self) -> None:
        image = VERSION_PUBLISHED.model_image
        self.there = {(image.model_image_id, image.number)}

    def version_choice(self, model_image_id: UUID, number: int) -> object | None:
        return object() if (model_image_id, number) in self.there else None


class FakeModels:
    def __init__(self, *models: ModelDetail) -> None:
        self.models = models
        self.rows: tuple[ModelRow, ...] = (ROW,)
        self.asked: list[tuple[UUID, str, str, int]] = []

    def page(self, owner: UUID, *, search: str, sort: str, number: int) -> Page[ModelRow]:
        self.asked.append((owner, search, sort, number))
        return Page(items=self.rows, total=len(self.rows), number=1, size=20)

    def get(self, model_id: UUID) -> ModelDetail | None:
        return next((model for model in self.models if model.model_id == model_id), None)


class FakeStorage:
    def has(self, kept: Artifact) -> bool:
        return kept != LOST.package


class FakeExports:
    def __init__(self, *exports: ExportRow) -> None:
        self.exports = {export.version: export for export in exports}

    def get(self, model_id: UUID, label: str) -> ExportRow | None:
        return self.of_model(model_id).get(label)

    def of_model(self, model_id: UUID) -> dict[str, ExportRow]:
        return {label: export for label, export in self.exports.items() if export.model_id == model_id}


class FakeEnvironments:
    """Every place still stands."""

    def standing(self, ids: Sequence[UUID]) -> tuple[UUID, ...]:
        return tuple(ids)


class FakePredictionJobs:
    """v1.01 was predicted with; v1.02 was not."""

    def newest_for(self, model_id: UUID, label: str) -> UUID | None:
        return PREDICTION_JOB_ID if (model_id, label) == (MODEL_ID, "v1.01") else None


class FakeHeartbeats:
    def of(self, job_id: UUID) -> Heartbeat | None:
        if job_id != BUILDING.export_id:
            return None
        return Heartbeat(worker="gpu-1", kind=JobKind.EXPORT, job_id=job_id, attempt=1, progress=0.3)


@pytest.fixture
def models(site: Site) -> FakeModels:
    """panel-a with v1.01 and v1.02 belongs to the signed-in super administrator; nothing was exported."""
    found = site.read.models = FakeModels(PANEL_A)
    site.read.exports = FakeExports()
    site.read.model_images = FakeModelImages()
    site.read.environments = FakeEnvironments()
    site.read.prediction_jobs = FakePredictionJobs()
    object.__setattr__(site.services, "heartbeats", FakeHeartbeats())
    object.__setattr__(site.services, "artifacts", FakeStorage())
    return found


# The list


def test_the_list_shows_the_manuals_columns_and_acts(site: Site, models: FakeModels) -> None:  # V-2
    answer = site.get("/models")
    assert answer.status_code == 200
    assert_in_order(words(answer.text), "模型名称", "模型版本", "模型类型", "修改人", "最近修改时间", "操作")
    assert_in_order(
        words(answer.text), "panel-a", "v1.02", "分类", "quality_lead", "模型评估报告 重新训练 题库预测 导出"
    )


def test_a_new_model_is_begun_from_the_list(site: Site, models: FakeModels) -> None:  # W-2: manual, “新建模型”
    page = site.get("/models").text
    assert re.search(r'<a class="button primary" href="/training-jobs/new">.*?新建模型</a>', page, re.DOTALL)


def test_only_own_models_are_asked_for(site: Site, models: FakeModels) -> None:  # section U
    site.get("/models?search=panel&sort=-name&page=3")
    assert models.asked == [(QUALITY_LEAD.user_id, "panel", "-name", 3)]


def test_an_unknown_column_falls_back_to_the_newest_change_first(site: Site, models: FakeModels) -> None:
    site.get("/models?sort=weights;drop")
    assert models.asked[0][2] == "-modified_at"


def test_an_empty_list_says_how_models_come_into_being(site: Site, models: FakeModels) -> None:
    models.rows = ()
    assert "训练完成的任务发布后，模型会显示在这里" in site.get("/models").text
    assert "没有该名称的模型" in site.get("/models?search=nothing").text


# One model


def test_the_details_show_the_production_environment(site: Site, models: FakeModels) -> None:  # V-2
    shown = words(site.get(f"/models/{MODEL_ID}").text)
    assert_in_order(shown, "模型详情", "版本管理", "模型名称 panel-a", "最新版本 v1.02", "模型镜像 resnet18 v1.0")
    assert_in_order(shown, "行业 显示面板", "工厂 一厂区", "产品 65寸面板、75寸面板")


def test_the_version_history_lists_every_version_with_its_figures(site: Site, models: FakeModels) -> None:  # V-2
    site.read.exports = FakeExports(BUILT)
    shown = words(site.get(VERSIONS).text)
    assert_in_order(
        shown, "v1.02", "90.0 %", "91.7 %", "训练评估报告 resnet18 v1.0", "—", "模型评估报告 重新训练 题库预测 导出"
    )
    assert_in_order(shown, "v1.01", "90.0 %", "91.7 %", "训练评估报告 resnet18 v1.0", "已生成", "导出")


def test_a_version_says_which_one_its_training_started_from(site: Site, models: FakeModels) -> None:  # W-12, V-2
    started = version("v1.02", started_from=VersionUsed(MODEL_ID, "panel-a", "v1.01"))
    models.models = (replace(PANEL_A, versions=(started, version("v1.01"))),)
    assert_in_order(words(site.get(VERSIONS).text), "v1.02", "初始权重：panel-a v1.01", "v1.01")
    page = site.get(f"{VERSIONS}/v1.02")
    assert f'<a href="{VERSIONS}/v1.01">panel-a v1.01</a>' in page.text
    other = replace(started, started_from=VersionUsed(example_id("glass"), "glass-edge", "v3.07"))
    models.models = (replace(PANEL_A, versions=(other,)),)
    assert_in_order(words(site.get(f"{VERSIONS}/v1.02").text), "初始权重来源 glass-edge v3.07", "切分比例")


def test_undefined_figures_are_shown_as_a_dash(site: Site, models: FakeModels) -> None:
    without = version(figures=replace(FIGURES, accuracy=None, recall=None))
    models.models = (replace(PANEL_A, versions=(without,)),)
    assert_in_order(words(site.get(VERSIONS).text), "quality_lead — — 训练评估报告")


def test_every_version_leads_to_its_job_its_report_and_a_prediction(site: Site, models: FakeModels) -> None:  # V-2
    page = site.get(VERSIONS).text
    assert f'href="/training-jobs/{TRAINING_JOB_ID}/report"' in page
    for label in ("v1.01", "v1.02"):
        assert f'href="/prediction-jobs/new?model={MODEL_ID}&amp;version={label}"' in page
        assert f'href="{VERSIONS}/{label}/retrain"' in page
        assert f'action="{VERSIONS}/{label}/export"' in page
        assert f'href="{VERSIONS}/{label}/report"' in page


@pytest.mark.parametrize("address", [f"/models/{MODEL_ID}", f"{VERSIONS}/v1.01"])
def test_a_model_image_that_is_gone_is_named_and_not_linked(
    site: Site, models: FakeModels, address: str
) -> None:  # I-5
    image = VERSION_PUBLISHED.model_image
    link = f'href="/model-images/{image.model_image_id}"'
    assert link in site.get(address).text
    site.read.model_images.there.clear()
    shown = site.get(address).text
    assert link not in shown
    assert "已删除" in words(shown)


def test_a_version_shows_how_it_was_trained(site: Site, models: FakeModels) -> None:  # E-3, V-2
    preprocessing = replace(
        TRAINING_ORDER.preprocessing, split_ratio=0.805, augmentations=(Augmentation.FLIPPING, Augmentation.SCALING)
    )
    trained = version(training_order=replace(TRAINING_ORDER, preprocessing=preprocessing))
    models.models = (replace(PANEL_A, versions=(trained,)),)
    shown = words(site.get(f"{VERSIONS}/v1.01").text)
    assert_in_order(shown, "准确率 90.0 %", "召回率 91.7 %", "验证集图片 10", "1 张误判")
    assert_in_order(shown, "神经网络 ResNet18", "缺陷类别 TPFIP、TTFBS、TTMUD", "分辨率规格 224 × 224")
    assert VERSION_PUBLISHED.weights.checksum in shown
    assert_in_order(
        shown, "数据路径 data:panel-a/train", "切分比例 80.5 %", "归一化处理 开启", "数据增强 图像翻转、图像缩放"
    )
    assert_in_order(shown, '"num_of_classes": 3', '"base_lr": 0.01', '"lr_policy": "poly"')


def test_a_version_says_which_weights_it_has_and_what_the_others_were_worth(
    site: Site, models: FakeModels
) -> None:  # V-1, V-2
    last = version(
        "v1.02",
        chosen_weights=TrainedWeights.LAST,
        kept_weights=WORSE_AT_THE_END.kept_weights,
        figures=LAST_FIGURES,
        other_figures=FIGURES,
    )
    models.models = (replace(PANEL_A, versions=(last,)),)
    page = site.get(f"{VERSIONS}/v1.02").text
    assert_in_order(
        words(page), "准确率 80.0 %", "训练的最后权重", "最佳 150，最后 200", "最佳权重（未采用）", "90.0 %"
    )
    for address in (f"{VERSIONS}/v1.02", VERSIONS, f"{VERSIONS}/v1.02/report"):
        assert f'href="/training-jobs/{TRAINING_JOB_ID}/report/last"' in site.get(address).text
    models.models = (replace(PANEL_A, versions=(version("v1.02"),)),)  # published before the last weights were kept
    assert "权重的迭代次数" not in words(site.get(f"{VERSIONS}/v1.02").text)


def test_further_versions_and_exports_appear_without_reloading(site: Site, models: FakeModels) -> None:
    site.read.exports = FakeExports(BUILDING)
    events = stream(site, f"{VERSIONS}/live")
    assert "data: versions" in events
    assert "生成中" in events


def test_the_evaluation_report_is_the_newest_prediction_of_the_version(site: Site, models: FakeModels) -> None:  # V-3
    answer = site.get(f"{VERSIONS}/v1.01/report")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/prediction-jobs/{PREDICTION_JOB_ID}/report")


def test_without_a_prediction_the_report_says_what_to_do(site: Site, models: FakeModels) -> None:  # V-3
    answer = site.get(f"{VERSIONS}/v1.02/report")
    assert answer.status_code == 200
    assert "该版本还没有题库预测" in answer.text
    assert f'href="/prediction-jobs/new?model={MODEL_ID}&amp;version=v1.02"' in answer.text


# Withdrawing a version


def test_a_version_that_is_withdrawn_already_is_not_asked_about(site: Site, models: FakeModels) -> None:  # V-4
    question = f"{VERSIONS}/v1.01/withdraw"
    assert "撤回后无法恢复" in site.get(question).text
    gone = version("v1.01", withdrawn_at=LONG_AGO, withdrawn_by="quality_lead", withdrawal_reason="漏检划痕")
    models.models = (replace(PANEL_A, versions=(version("v1.02"), gone)),)
    answer = site.get(question)
    assert (answer.status_code, answer.headers["Location"]) == (303, VERSIONS)
    assert "“panel-a”的版本 v1.01 已撤回" in site.get(VERSIONS).text


# Whose model it is


ADDRESSES = ("", "/versions", "/versions/live", "/versions/v1.01", "/versions/v1.01/report", "/versions/v1.01/export")
MORE = ("/versions/v1.01/export/live", "/versions/v1.01/export/package")


@pytest.mark.parametrize("address", [*ADDRESSES, *MORE])
def test_models_of_others_are_nobodys_business(site: Site, models: FakeModels, address: str) -> None:  # section U
    models.models = (replace(PANEL_A, owner=MODEL_TRAINER.user_id),)
    answer = site.get(f"/models/{MODEL_ID}{address}")
    assert answer.status_code == 403, "also for a super administrator"
    assert "panel-a" not in answer.text


@pytest.mark.parametrize("address", [*ADDRESSES, *MORE])
def test_a_model_that_does_not_exist_is_not_found(site: Site, models: FakeModels, address: str) -> None:
    assert site.get(f"/models/{example_id('nothing')}{address}").status_code == 404


def test_a_version_that_was_never_published_is_not_found(site: Site, models: FakeModels) -> None:
    for address in ("", "/report", "/export", "/export/live", "/export/package"):
        assert site.get(f"{VERSIONS}/v1.09{address}").status_code == 404


def test_strangers_see_nothing(stranger: Site) -> None:  # U-1
    for address in ADDRESSES:
        assert stranger.get(f"/models/{MODEL_ID}{address}").headers["Location"].startswith("/sign-in?next=")


# The export


def test_asking_for_the_package_leads_to_its_page(site: Site, models: FakeModels) -> None:
    answer = site.post(EXPORT)
    assert (answer.status_code, answer.headers["Location"]) == (303, EXPORT)
    (command,) = site.assay.commands
    assert (type(command), command.model_id, command.version) == (RequestExport, MODEL_ID, "v1.01")
    assert command.actor == QUALITY_LEAD.user_id


def test_a_refused_export_is_told(site: Site, models: FakeModels) -> None:
    site.assay.refuse_with(ModelVersionNotFound())
    answer = site.post(EXPORT)
    assert answer.status_code == 422
    assert "该模型没有这个版本" in answer.text


def test_who_asks_for_a_package_that_is_there_is_told_that_it_was_looked_at(site: Site, models: FakeModels) -> None:
    site.read.exports = FakeExports(BUILT)
    site.post(EXPORT)
    assert "与生成时一致" in words(site.get(EXPORT).text)


@pytest.mark.parametrize(
    ("export", "says", "offers"),
    [
        (None, "尚未导出过该版本", "导出"),
        (WAITING, "正在等待训练节点", ""),
        (BUILDING, "正在生成并校验", ""),
        (FAILED, "The disk is full.", "重新导出"),
        (BUILT, BUILT.package.checksum if BUILT.package else "", "下载模型文件包"),
        (LOST, "服务器存储上的文件已丢失或损坏", "重新导出"),
    ],
    ids=["nobody asked", "waiting", "building", "failed", "built", "lost"],
)
def test_the_page_of_an_export_says_how_far_it_is(
    site: Site, models: FakeModels, export: ExportRow | None, says: str, offers: str
) -> None:
    site.read.exports = FakeExports(*([export] if export else []))
    answer = site.get(EXPORT)
    assert answer.status_code == 200
    shown = words(answer.text.split('data-live="export"')[1])
    assert says in shown
    if offers:
        assert offers in shown
    else:
        assert "<button" not in answer.text.split('data-live="export"')[1].split("</main>")[0]


def test_the_export_moves_without_reloading(site: Site, models: FakeModels) -> None:
    site.read.exports = FakeExports(BUILDING)
    events = stream(site, f"{EXPORT}/live")
    assert "data: export" in events
    assert 'value="0.3"' in events


def test_the_package_is_downloaded_under_the_name_of_model_and_version(
    site: Site, models: FakeModels, tmp_path: Path
) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    (tmp_path / "package").write_bytes(b"PK...")
    site.read.exports = FakeExports(replace(BUILT, package=artifacts.keep(tmp_path / "package")))
    object.__setattr__(site.services, "artifacts", artifacts)
    answer = site.get(f"{EXPORT}/package")
    assert (answer.status_code, answer.content) == (200, b"PK...")
    assert answer.headers["Content-Type"] == "application/zip"
    assert 'filename="panel-a-v1.01.zip"' in answer.headers["Content-Disposition"]


@pytest.mark.parametrize("export", [None, WAITING, BUILDING, FAILED], ids=["none", "waiting", "building", "failed"])
def test_a_package_that_is_not_built_cannot_be_downloaded(
    site: Site, models: FakeModels, export: ExportRow | None
) -> None:
    site.read.exports = FakeExports(*([export] if export else []))
    assert site.get(f"{EXPORT}/package").status_code == 404
