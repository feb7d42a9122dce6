"""What a new model starts from: a published version, the package's weights, or nothing (W-12).

Forms are sent as a browser without scripts sends them; the rules are the real ones.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from domain.training_jobs import VersionUsed
from projections.models import ModelVersionChoice
from tests.examples import (
    BINDING,
    DEFECT_CODES,
    MODEL_ID,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_LOADED,
    MODEL_PARAMETERS_TEXT,
    PACKAGE,
    VERSION_PUBLISHED,
    MemoryLog,
    example_id,
)
from tests.web.new_model import (
    MODEL_TASK_TYPE,
    NEW,
    VERSIONS,
    goes_to,
    history,
    is_ticked,
    log,
    queued,
    send,
    services,
    through,
    version,
)
from tests.web.offered_versions import OfferedImages, OfferedModels
from tests.web.reading import assert_in_order, text
from tests.web.site import MODEL_TRAINER, Site

__all__ = ["log", "services"]

FROM_PANEL_B = f"{MODEL_ID}/v1.01"


def panel_b(label: str = "v1.01", **changes: Any) -> ModelVersionChoice:
    fields: dict[str, Any] = {
        "model_id": MODEL_ID,
        "model_name": "panel-b",
        "label": label,
        "task_type": MODEL_TASK_TYPE,
        "environment": BINDING,
        "model_image": VERSION_PUBLISHED.model_image,
        "network": "ResNet18",
        "defect_codes": DEFECT_CODES,
        "accuracy": 0.9,
        "recall": 0.9,
        "published_at": datetime(2026, 3, 1, tzinfo=UTC),
    }
    return ModelVersionChoice(**(fields | changes))


@pytest.fixture
def with_panel_b(trainer: Site, log: MemoryLog) -> Site:
    """The signed-in model trainer has published panel-b v1.01 of three codes."""
    published = msgspec.structs.replace(VERSION_PUBLISHED, owner=MODEL_TRAINER.user_id, model_name="panel-b")
    log.events = [*history().add(MODEL_ID, published).events]
    trainer.read.models = OfferedModels(MODEL_TRAINER.user_id, panel_b())
    return trainer


def test_a_new_model_starts_from_a_published_version(with_panel_b: Site, log: MemoryLog) -> None:  # W-12
    through(with_panel_b, 3)
    shown = text(with_panel_b.get(f"{NEW}/step-3"))
    assert_in_order(
        shown, "初始权重", "模型镜像自带的权重", "已发布版本的权重", "从零开始训练", "panel-b v1.01 · ResNet18"
    )
    assert "code 及其顺序相同：保留最后一层" in shown
    goes_to(send(with_panel_b, 3, starting_weights="version", starting_version=FROM_PANEL_B), f"{NEW}/step-4")
    assert_in_order(text(with_panel_b.get(f"{NEW}/step-4")), "初始权重 panel-b v1.01 · 保留最后一层")
    send(with_panel_b, 4)
    (job,) = queued(log)
    assert job.started_from == VersionUsed(MODEL_ID, "panel-b", "v1.01")
    assert job.order.initial_weights == VERSION_PUBLISHED.weights
    assert job.model_id != MODEL_ID


def test_with_other_codes_the_last_layer_is_said_to_be_made_anew(with_panel_b: Site) -> None:  # W-12
    two = MODEL_PARAMETERS_TEXT.replace('"num_of_classes": 3', '"num_of_classes": 2')
    through(with_panel_b, 3, step_1={"model_parameters": two})
    assert "code 不同（TPFIP、TTFBS、TTMUD）：重新生成最后一层" in text(with_panel_b.get(f"{NEW}/step-3"))
    send(with_panel_b, 3, starting_weights="version", starting_version=FROM_PANEL_B)
    assert "panel-b v1.01 · code 不同，重新生成最后一层" in text(with_panel_b.get(f"{NEW}/step-4"))


def test_a_start_from_a_version_needs_one_to_be_chosen(with_panel_b: Site) -> None:  # W-12
    through(with_panel_b, 3)
    answer = send(with_panel_b, 3, starting_weights="version", starting_version="")
    assert "请选择作为初始权重的模型版本" in text(answer, 422)
    assert is_ticked(answer.text, "starting_weights", "version")


def test_versions_to_start_from_are_searched_and_the_chosen_one_stays(with_panel_b: Site) -> None:  # W-12, W-1
    other = panel_b(model_id=example_id("glass"), model_name="glass-edge")
    with_panel_b.read.models = OfferedModels(MODEL_TRAINER.user_id, panel_b(), other, has_more=True)
    through(with_panel_b, 3)
    assert "现显示最新的 2 个" in text(with_panel_b.get(f"{NEW}/step-3"))
    chosen = {"starting_weights": "version", "starting_version": FROM_PANEL_B}
    goes_to(send(with_panel_b, 3, do="find", find_version="EDGE", **chosen), f"{NEW}/step-3")
    page = with_panel_b.get(f"{NEW}/step-3")
    assert_in_order(text(page), "panel-b v1.01", "glass-edge v1.01")
    assert is_ticked(page.text, "starting_version", FROM_PANEL_B)
    send(with_panel_b, 3, do="find", find_version="nothing like it", starting_weights="version")
    assert "没有该名称且神经网络为 ResNet18 的模型版本" in text(with_panel_b.get(f"{NEW}/step-3"))


def test_without_a_version_of_the_network_the_page_says_so(trainer: Site) -> None:  # W-12
    through(trainer, 3)
    assert "您还没有神经网络为 ResNet18 的已发布版本" in text(trainer.get(f"{NEW}/step-3"))


def test_somebody_elses_version_is_refused_whatever_the_form_says(
    with_panel_b: Site, log: MemoryLog
) -> None:  # W-12, U
    theirs = msgspec.structs.replace(VERSION_PUBLISHED, owner=example_id("someone else"))
    log.events = [*history().add(MODEL_ID, theirs).events]
    through(with_panel_b, 3)
    assert send(with_panel_b, 3, starting_weights="version", starting_version=FROM_PANEL_B).status_code == 403
    assert queued(log) == []


def test_where_the_image_has_no_weights_nothing_is_what_is_ticked(trainer: Site, log: MemoryLog) -> None:  # W-12
    network = msgspec.structs.replace(PACKAGE.networks[0], weights=None)
    bare = msgspec.structs.replace(PACKAGE, networks=(network,))
    log.events = [
        *history().add(MODEL_IMAGE_ID, msgspec.structs.replace(MODEL_IMAGE_LOADED, number=2, package=bare)).events
    ]
    second = msgspec.structs.replace(version(MODEL_IMAGE_ID, "resnet18", package=bare), number=2)
    trainer.read.model_images = OfferedImages(*VERSIONS, second)
    through(trainer, 3, step_1={"model_image_version": f"{MODEL_IMAGE_ID}/2"})
    page = trainer.get(f"{NEW}/step-3")
    assert is_ticked(page.text, "starting_weights", "nothing")
    assert 'value="package"' not in page.text
    assert "该模型镜像不含 ResNet18 的权重" in text(page)
    goes_to(send(trainer, 3, starting_weights="nothing"), f"{NEW}/step-4")
    assert "初始权重 无：从零开始训练" in text(trainer.get(f"{NEW}/step-4"))
