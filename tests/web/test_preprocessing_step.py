"""Step 4 of 新建模型, 添加预处理参数, as people meet it: W-8 and W-9.

Forms are sent as a browser without scripts sends them; the rules are the real ones.
"""

import msgspec
import pytest

from domain.model_images import ModelImageImported, ModelImageKind
from tests.examples import MODEL_IMAGE_ID, MemoryLog
from tests.web.new_model import (
    NEW,
    SEGMENTING_PACKAGE,
    SEGMENTING_TYPE,
    SEGMENTING_VALUE,
    goes_to,
    log,
    queued,
    send,
    services,
    through,
)
from tests.web.reading import assert_in_order, text
from tests.web.site import Site

__all__ = ["log", "services"]


def test_everything_is_summed_up_before_the_start(trainer: Site) -> None:
    through(trainer, 4)
    assert_in_order(
        text(trainer.get(f"{NEW}/step-4")),
        "训练内容",
        "panel-a",
        "resnet18 v1.0 · 分类",
        "ResNet18 · 3 类",
        "65寸面板",
        "data:panel-a/train",
        "通用型 · 2 核 · 4 GiB",
        "200 次迭代，每次 16 张图片",
        "TPFIP",
        "40",
    )


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"split_ratio": "1"}, "切分比例为训练集所占的比例"),
        ({"split_ratio": "most"}, "请输入数字"),
        ({"group_pattern": "("}, "正则表达式无效"),
        ({"augmentations": "blurring"}, "请从给出的选项中选择"),
    ],
)
def test_the_fourth_step_says_what_is_wrong(
    trainer: Site, log: MemoryLog, fields: dict[str, str], sentence: str
) -> None:  # W-8
    through(trainer, 4)
    assert sentence in text(send(trainer, 4, **fields), 422)
    assert queued(log) == []


def test_every_mistake_of_the_fourth_step_is_told_at_once(trainer: Site) -> None:  # W-8
    through(trainer, 4)
    shown = text(send(trainer, 4, split_ratio="80%", group_pattern="(panel"), 422)
    assert_in_order(shown, "请输入数字。", "正则表达式无效")


def test_segmentation_is_offered_where_the_task_type_and_the_package_allow_it(trainer: Site) -> None:  # W-9
    through(trainer, 4)
    assert 'name="train_segmentation"' not in trainer.get(f"{NEW}/step-4").text
    send(trainer, 1, model_image_version=SEGMENTING_VALUE)
    send(trainer, 3, training_parameters=SEGMENTING_PACKAGE.training_parameters)
    page = trainer.get(f"{NEW}/step-4")
    assert 'name="train_segmentation"' in page.text
    assert_in_order(text(page), "初始权重 模型镜像自带的权重", "随后训练 UNet", "初始权重：无：从零开始训练")


def test_a_task_type_of_that_kind_with_a_package_that_cannot_segment_says_so(  # W-9
    trainer: Site, log: MemoryLog
) -> None:
    through(trainer, 4)
    said = "模型镜像 resnet18 不含分割神经网络，因此只训练分类"
    assert said not in text(trainer.get(f"{NEW}/step-4"))
    imported = ModelImageImported(name="resnet18", kind=ModelImageKind.GENERAL, task_type=SEGMENTING_TYPE)
    log.events = [
        msgspec.structs.replace(event, data=imported)
        if isinstance(event.data, ModelImageImported) and event.originator_id == MODEL_IMAGE_ID
        else event
        for event in log.events
    ]
    page = trainer.get(f"{NEW}/step-4")
    assert said in text(page)
    assert 'name="train_segmentation"' not in page.text


def test_segmentation_of_a_code_without_masks_is_refused(trainer: Site, log: MemoryLog) -> None:  # W-9
    through(
        trainer,
        4,
        step_1={"model_image_version": SEGMENTING_VALUE},
        step_2={"import": None, "typed": "/data/panel-a/masked"},
        step_3={"training_parameters": SEGMENTING_PACKAGE.training_parameters},
    )
    shown = text(send(trainer, 4, train_segmentation="on"), 422)
    assert "code“TTFBS”的图片都没有掩膜" in shown
    assert "code“TPFIP”的图片都没有掩膜" not in shown
    goes_to(send(trainer, 4), "/training-jobs")
    assert not queued(log)[0].order.preprocessing.train_segmentation


def test_the_job_says_in_the_list_that_it_waits(trainer: Site, log: MemoryLog) -> None:
    through(trainer, 4)
    answer = send(trainer, 4)
    goes_to(answer, "/training-jobs")
    assert any("notices" in cookie for cookie in answer.headers.get_list("set-cookie"))
    assert queued(log)
