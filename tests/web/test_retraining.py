"""重新训练 as people meet it (W-11, W-5): the wizard over the real write side, opened for a version of one's own model."""

import html
import re
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from domain.compute_resources import ComputeResourceDeleted
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.datasets import DatasetPurpose
from domain.facts import Fact
from domain.model_images import ModelImageVersionDeleted
from domain.models import ModelDataPathReleased
from domain.training_jobs import TrainingQueued, VersionUsed
from domain.training_parameters import Augmentation
from projections.models import LockedPath, ModelDetail
from tests.examples import (
    DATA_FOLDERS,
    MODEL_ID,
    MODEL_IMAGE_ID,
    TRAINING_COMPLETED,
    TRAINING_FOLDER,
    TRAINING_JOB_ID,
    TRAINING_ORDER,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    History,
    MemoryLog,
    example_id,
    inspection,
)
from tests.web.drafts import MemoryDrafts
from tests.web.new_model import PANEL_A as TRAINING_DATASET
from tests.web.new_model import RESOURCES, goes_to, history, is_ticked, use, value_of
from tests.web.offered_datasets import OfferedDatasets, dataset, path_row
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.reading import assert_in_order, text
from tests.web.site import MODEL_TRAINER, QUALITY_LEAD, Site
from tests.web.test_models import PANEL_A, version
from web.services import Services

RETRAIN = f"/models/{MODEL_ID}/versions/v1.01/retrain"
MORE_FOLDER = FolderName("data", "panel-a/more")
MORE_PATH_ID = example_id("panel-a/more")
FOLDERS = {**DATA_FOLDERS, "/data/panel-a/more": inspection(MORE_FOLDER)}
GONE = {"/data/panel-a/more": inspection(MORE_FOLDER)}
GIVEN = replace(
    TRAINING_ORDER,
    preprocessing=replace(TRAINING_ORDER.preprocessing, split_ratio=0.7, augmentations=(Augmentation.SCALING,)),
)
PUBLISHED = replace(VERSION_PUBLISHED, owner=MODEL_TRAINER.user_id, order=GIVEN)


def published(*facts: Fact) -> History:
    """panel-a v1.01 of the signed-in model trainer, with its job, and what happened to the model since."""
    queued = replace(TRAINING_QUEUED, owner=MODEL_TRAINER.user_id)
    return (
        history()
        .add(TRAINING_JOB_ID, queued, TRAINING_STARTED, TRAINING_COMPLETED, TRAINING_PUBLISHED)
        .add(MODEL_ID, PUBLISHED, *facts)
    )


class FakeModels:
    """panel-a with its only version; `released` are paths of its first training."""

    def __init__(self, *released: FolderName, owner: Any = MODEL_TRAINER.user_id) -> None:
        self.released = released
        self.model = replace(PANEL_A, owner=owner, versions=(version("v1.01", training_order=GIVEN),))

    def get(self, model_id: Any) -> ModelDetail | None:
        return self.model if model_id == MODEL_ID else None

    def locked_paths(self, model_id: Any) -> list[LockedPath]:
        assert model_id == MODEL_ID
        moment = self.model.modified_at if TRAINING_FOLDER in self.released else None
        return [LockedPath(root="data", path="panel-a/train", released_by="", released_at=moment)]


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(published().events)


@pytest.fixture
def services(services: Services, log: MemoryLog) -> Services:
    use(services, log, FOLDERS)
    object.__setattr__(services, "drafts", MemoryDrafts())
    services.read.industries, services.read.environments = FakeIndustries(PANELS), FakeEnvironments()
    services.read.compute_resources = SimpleNamespace(list=lambda: RESOURCES)
    services.read.models = FakeModels()
    services.read.datasets = OfferedDatasets(
        DatasetPurpose.TRAINING,
        TRAINING_DATASET,
        dataset(example_id("panel-a-more"), "panel-a-more", path_row(MORE_PATH_ID, inspection(MORE_FOLDER))),
    )
    return services


def form_of(site: Site, step: int) -> dict[str, Any]:
    """What a browser would send of a step as it is shown, without a button."""
    page = site.get(f"{RETRAIN}/step-{step}").text
    found = re.search(rf'<form method="post" action="{RETRAIN}/step-{step}".*?</form>', page, re.DOTALL)
    assert found, f"step {step} is not open"
    fields: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", found[0]):
        name, value = re.search(r'\bname="([^"]*)"', tag), re.search(r'\bvalue="([^"]*)"', tag)
        is_choice = 'type="checkbox"' in tag or 'type="radio"' in tag
        if name and (not is_choice or " checked" in tag):
            fields.setdefault(name[1], []).append(html.unescape(value[1]) if value else "")
    for name, value in re.findall(r'<textarea[^>]*name="([^"]*)".*?>\n?(.*?)</textarea>', found[0], re.DOTALL):
        fields[name] = html.unescape(value)
    fields.pop("csrf_token")
    return fields


def send(site: Site, step: int, button: str = "next", **changes: Any) -> httpx.Response:
    """Press a button of a step, with some fields changed."""
    return site.post(f"{RETRAIN}/step-{step}", **{**form_of(site, step), "do": button, **changes})


def chosen_paths(site: Site) -> str:
    """The list of step 2, without what it offers."""
    return text(site.get(f"{RETRAIN}/step-2")).split("已选数据路径", 1)[1]


def queued(log: MemoryLog) -> list[TrainingQueued]:
    new = log.events[len(published().events) :]
    return [event.data for event in new if isinstance(event.data, TrainingQueued)]


# From the list of models to the list of jobs


def test_the_version_page_leads_to_the_four_steps(trainer: Site) -> None:  # V-2, W-11
    goes_to(trainer.get(RETRAIN), f"{RETRAIN}/step-1")
    shown = text(trainer.get(f"{RETRAIN}/step-1"))
    assert_in_order(shown, "我的模型", "panel-a", "重新训练 panel-a v1.01", "确认模型", "选择数据路径")
    assert_in_order(shown, "模型名称 panel-a", "初始权重 v1.01 的权重", "模型镜像 resnet18 v1.0", "ResNet18 · 64 × 64")
    assert_in_order(shown, '"num_of_classes": 3', "产品 65寸面板、75寸面板", "下一步")


def test_what_stays_is_shown_and_cannot_be_edited(trainer: Site) -> None:  # W-11
    page = trainer.get(f"{RETRAIN}/step-1").text.split(f'action="{RETRAIN}/step-1"')[1].split("</form>")[0]
    assert "<textarea" not in page
    assert not re.search(r'<input(?![^>]*type="hidden")', page)


def test_a_retraining_is_left_for_later_from_any_step(trainer: Site) -> None:  # W-1
    for step in (1, 2, 3, 4):
        goes_to(send(trainer, step, "later"), f"/models/{MODEL_ID}/versions")
    goes_to(send(trainer, 4, "step-1", split_ratio="0.65"), f"{RETRAIN}/step-1")
    assert value_of(trainer.get(f"{RETRAIN}/step-4").text, "split_ratio") == "0.65"


def test_pressing_through_trains_with_what_the_version_was_given(trainer: Site, log: MemoryLog) -> None:  # W-11
    for step in (1, 2, 3):
        goes_to(send(trainer, step), f"{RETRAIN}/step-{step + 1}")
    goes_to(send(trainer, 4), "/training-jobs")
    (job,) = queued(log)
    assert job.model_id == MODEL_ID
    assert job.started_from == VersionUsed(MODEL_ID, "panel-a", "v1.01")
    assert replace(job.order, seed=7) == replace(GIVEN, initial_weights=VERSION_PUBLISHED.weights)
    assert job.compute_resource_id == TWO_CORES_ID


def test_every_step_is_filled_with_what_the_versions_job_was_given(trainer: Site) -> None:  # W-11
    second = text(trainer.get(f"{RETRAIN}/step-2"))
    assert_in_order(second, "data:panel-a/train", "有效", "120", "新建模型时绑定的路径，不可删除")
    third = trainer.get(f"{RETRAIN}/step-3")
    assert is_ticked(third.text, "compute_resource", str(TWO_CORES_ID))
    assert '"max_iter": 200' in value_of(third.text, "training_parameters")
    assert "训练从 panel-a v1.01 的权重开始，包括最后一层" in text(third)
    assert 'name="starting_weights"' not in third.text
    fourth = trainer.get(f"{RETRAIN}/step-4")
    assert value_of(fourth.text, "split_ratio") == "0.7"
    assert is_ticked(fourth.text, "augmentations", "scaling")
    assert_in_order(text(fourth), "训练内容", "panel-a", "初始权重 panel-a v1.01 · 保留最后一层", "TPFIP 40")


def test_paths_parameters_and_preprocessing_can_change(trainer: Site, log: MemoryLog) -> None:  # W-11
    send(trainer, 1)
    goes_to(send(trainer, 2, **{"import": str(MORE_PATH_ID)}), f"{RETRAIN}/step-3")
    parameters = value_of(trainer.get(f"{RETRAIN}/step-3").text, "training_parameters").replace("200", "500")
    goes_to(send(trainer, 3, training_parameters=parameters), f"{RETRAIN}/step-4")
    goes_to(send(trainer, 4, split_ratio="0.6", augmentations="flipping"), "/training-jobs")
    (job,) = queued(log)
    assert job.order.data_paths == (TRAINING_FOLDER, MORE_FOLDER)
    assert job.order.training_parameters.classification.max_iter == 500
    assert (job.order.preprocessing.split_ratio, job.order.preprocessing.augmentations) == (
        0.6,
        (Augmentation.FLIPPING,),
    )


def test_the_parameters_of_the_version_are_restored_on_request(trainer: Site) -> None:  # W-11
    send(trainer, 1)
    goes_to(send(trainer, 3, "defaults", training_parameters="{}"), f"{RETRAIN}/step-3")
    page = trainer.get(f"{RETRAIN}/step-3")
    assert '"max_iter": 200' in value_of(page.text, "training_parameters")
    assert "恢复 v1.01 的参数" in text(page)


def test_starting_from_something_else_is_not_taken_from_the_form(trainer: Site, log: MemoryLog) -> None:  # W-11
    send(trainer, 3, starting_weights="nothing", starting_version="")
    send(trainer, 4)
    (job,) = queued(log)
    assert job.order.initial_weights == VERSION_PUBLISHED.weights


# W-5


def test_a_locked_path_has_no_button_and_is_not_removed_by_a_made_up_one(trainer: Site) -> None:  # W-5
    page = trainer.get(f"{RETRAIN}/step-2").text
    assert f'value="remove.{TRAINING_FOLDER}"' not in page
    trainer.post(f"{RETRAIN}/step-2", do=f"remove.{TRAINING_FOLDER}")
    assert "data:panel-a/train" in chosen_paths(trainer)


def test_other_paths_can_be_removed_again(trainer: Site) -> None:  # W-5
    send(trainer, 2, "import", **{"import": str(MORE_PATH_ID)})
    assert f'value="remove.{MORE_FOLDER}"' in trainer.get(f"{RETRAIN}/step-2").text
    trainer.post(f"{RETRAIN}/step-2", do=f"remove.{MORE_FOLDER}")
    assert "data:panel-a/more" not in chosen_paths(trainer)


def test_a_locked_path_that_is_gone_says_who_can_help_and_can_go_once_released(
    trainer: Site, log: MemoryLog
) -> None:  # W-5
    use(trainer.services, log, GONE)
    goes_to(trainer.get(f"{RETRAIN}/step-3"), f"{RETRAIN}/step-2?check=on")
    told = text(trainer.get(f"{RETRAIN}/step-2?check=on"), 422)
    assert_in_order(told, "data:panel-a/train", "联系超级管理员解除锁定")
    log.events = [*published(ModelDataPathReleased(folder=TRAINING_FOLDER)).events]
    trainer.read.models = FakeModels(TRAINING_FOLDER)
    trainer.post(f"{RETRAIN}/step-2", **{"import": str(MORE_PATH_ID)}, do=f"remove.{TRAINING_FOLDER}")
    goes_to(send(trainer, 2), f"{RETRAIN}/step-3")
    goes_to(send(trainer, 4), "/training-jobs")
    assert log.events[-1].origin.actor == MODEL_TRAINER.user_id
    (job,) = [event.data for event in log.events if isinstance(event.data, TrainingQueued) and event.data.started_from]
    assert job.order.data_paths == (MORE_FOLDER,)


def test_a_code_the_model_does_not_know_points_to_a_new_model(trainer: Site, log: MemoryLog) -> None:  # W-5, W-11
    counts = tuple(
        msgspec.structs.replace(count, defect_code=code)
        for count, code in zip(inspection().defect_codes, ("TPFIP", "TTFBS", "TXXXX"), strict=True)
    )
    use(trainer.services, log, {**FOLDERS, "/data/other": replace(inspection(MORE_FOLDER), defect_codes=counts)})
    assert "code“TXXXX”不在 code_list 中，而重新训练不能更改 code_list" in text(
        send(trainer, 2, typed="/data/other"), 422
    )


# What need not stand, and what must


def test_the_model_image_version_need_not_stand(trainer: Site, log: MemoryLog) -> None:  # W-11, M-6
    gone = ModelImageVersionDeleted(number=1, name="resnet18")
    log.events = [*published().add(MODEL_IMAGE_ID, gone).events]
    for step in (1, 2, 3):
        goes_to(send(trainer, step), f"{RETRAIN}/step-{step + 1}")
    goes_to(send(trainer, 4), "/training-jobs")


def test_a_compute_resource_that_is_gone_is_chosen_anew(trainer: Site, log: MemoryLog) -> None:  # W-6
    log.events = [*published().add(TWO_CORES_ID, ComputeResourceDeleted()).events]
    page = trainer.get(f"{RETRAIN}/step-3").text
    assert not is_ticked(page, "compute_resource", str(TWO_CORES_ID))
    assert "请选择计算资源" in text(send(trainer, 3), 422)


# W-1


def test_each_version_has_its_own_unfinished_retraining(trainer: Site) -> None:  # W-1
    send(trainer, 1)
    send(trainer, 2, "import", **{"import": str(MORE_PATH_ID)})
    assert_in_order(text(trainer.get(RETRAIN)), "未完成的重新训练（“panel-a” v1.01）", "继续填写", "放弃并重新开始")
    goes_to(trainer.get(f"{RETRAIN}/continue"), f"{RETRAIN}/step-2")
    goes_to(trainer.get("/training-jobs/new"), "/training-jobs/new/step-1")
    goes_to(trainer.post(RETRAIN), f"{RETRAIN}/step-1")
    assert "data:panel-a/more" not in chosen_paths(trainer)


def test_the_last_button_pressed_again_trains_once(trainer: Site, log: MemoryLog) -> None:  # W-1
    fields = {**form_of(trainer, 4), "do": "next"}
    for _ in range(3):
        goes_to(trainer.post(f"{RETRAIN}/step-4", **fields), "/training-jobs")
    assert len(queued(log)) == 1


def test_a_step_that_became_wrong_meanwhile_is_asked_for_again(trainer: Site, log: MemoryLog) -> None:  # W-1
    fields = {**form_of(trainer, 4), "do": "next"}
    use(trainer.services, log, {"/data/panel-a/train": Inspection(folder=TRAINING_FOLDER, state=DataPathState.INVALID)})
    goes_to(trainer.post(f"{RETRAIN}/step-4", **fields), f"{RETRAIN}/step-2?check=on")
    assert queued(log) == []


def test_the_images_of_a_path_are_shown_below_the_retraining(trainer: Site) -> None:  # D-9
    send(trainer, 2, "add", typed="/data/panel-a/question-bank")
    assert f"{RETRAIN}/images/2" in trainer.get(f"{RETRAIN}/step-2").text


# Whose model it is


@pytest.mark.parametrize("address", ["", "/step-1", "/step-2", "/step-3", "/step-4", "/continue", "/images/1"])
def test_models_of_others_are_not_trained_again(trainer: Site, address: str) -> None:  # U, W-11
    trainer.read.models = FakeModels(owner=QUALITY_LEAD.user_id)
    assert trainer.get(f"{RETRAIN}{address}").status_code == 403


def test_a_version_that_was_never_published_is_not_found(trainer: Site) -> None:  # W-11
    assert trainer.get(RETRAIN.replace("v1.01", "v1.02")).status_code == 404
    assert trainer.get(RETRAIN.replace(str(MODEL_ID), str(example_id("nothing")))).status_code == 404
