"""Each of the four steps of 新建模型 as people meet it: W-2 to W-12.

Forms are sent as a browser without scripts sends them; the rules are the real ones.
"""

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from domain.data_paths import DataPathState, FolderName, Inspection
from domain.datasets import DatasetPurpose
from domain.facts import Fact
from domain.model_images import ModelImageImported, ModelImageKind
from domain.names import NameClaimed, NameKind, claim_id
from domain.training_advice import LearntFrom, advised_from_nothing
from domain.training_jobs import VersionUsed
from domain.training_parameters import read_training_parameters
from domain.training_requests import StartingWeights
from infra.images import ListedImage, ListedImages
from projections.models import ModelVersionChoice
from projections.overview import SetupSteps
from tests.examples import (
    ARRAY_FAB,
    BINDING,
    DEFECT_CODES,
    FACTORY_1,
    FACTORY_2,
    MODEL_ID,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_LOADED,
    MODEL_PARAMETERS_TEXT,
    PACKAGE,
    TRAINING_DATASET_ID,
    TRAINING_FOLDER,
    TRAINING_PARAMETERS_TEXT,
    TRAINING_PATH_ID,
    VERSION_PUBLISHED,
    MemoryLog,
    example_id,
    inspection,
)
from tests.web.new_model import (
    BUSINESS_VALUE,
    IMAGES_LEARNT_FROM,
    MASKED_FOLDER,
    MODEL_TASK_TYPE,
    NEW,
    PANEL_A,
    SEGMENTING_PACKAGE,
    SEGMENTING_TYPE,
    SEGMENTING_VALUE,
    VALUE,
    VERSIONS,
    furnish,
    goes_to,
    history,
    is_ticked,
    queued,
    send,
    through,
    use,
    value_of,
    version,
)
from tests.web.offered_datasets import OfferedDatasets, dataset, path_row
from tests.web.offered_versions import OfferedImages, OfferedModels
from tests.web.reading import assert_in_order, text, words
from tests.web.site import MODEL_TRAINER, Site
from web.services import Services


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(history().events)


@pytest.fixture
def services(services: Services, log: MemoryLog) -> Services:
    return furnish(services, log)


# Step 1


def test_the_editor_opens_with_the_packages_defaults(trainer: Site) -> None:  # W-3
    page = trainer.get(f"{NEW}/step-1").text
    assert is_ticked(page, "model_image_version", VALUE)
    assert value_of(page, "model_parameters") == MODEL_PARAMETERS_TEXT


def test_the_facts_of_each_version_stand_beside(trainer: Site) -> None:  # W-2
    shown = text(trainer.get(f"{NEW}/step-1"))
    assert_in_order(shown, "resnet18-unet v1.0", "任务类型", "分割分类", "ResNet18 · 64 × 64", "UNet · 256 × 256")


def test_the_defaults_of_another_version_are_taken_on_request(trainer: Site) -> None:  # W-3
    answer = send(trainer, 1, model_image_version=SEGMENTING_VALUE, model_parameters="{}", do="defaults")
    goes_to(answer, f"{NEW}/step-1")
    page = trainer.get(f"{NEW}/step-1").text
    assert value_of(page, "model_parameters") == SEGMENTING_PACKAGE.model_parameters
    assert is_ticked(page, "model_image_version", SEGMENTING_VALUE)


def test_the_manuals_sample_without_its_comma_is_told_by_line(trainer: Site) -> None:  # W-3
    sample = MODEL_PARAMETERS_TEXT.replace("    },\n", "    }\n", 1)
    assert "第 6 行第 5 列：上一行末尾似乎缺少逗号" in text(send(trainer, 1, model_parameters=sample), 422)


def test_a_taken_name_is_told_at_once(trainer: Site, log: MemoryLog) -> None:  # W-2
    claimed: Fact = NameClaimed(kind=NameKind.MODEL, name="panel-a", owner=example_id("someone's model"))
    log.events = [*history().add(claim_id(NameKind.MODEL, "panel-a"), claimed).events]
    assert "名称“panel-a”已被使用" in text(send(trainer, 1), 422)


def test_without_a_place_the_step_names_the_level(trainer: Site) -> None:  # W-2
    assert "请逐级选择生产环境" in text(send(trainer, 1, level_4=None, level_3=None, level_2=None, level_1=None), 422)


def test_a_version_of_the_kind_that_is_not_shown_counts_as_none(trainer: Site) -> None:
    assert "请选择模型镜像版本" in text(send(trainer, 1, kind="business"), 422)


def test_a_business_image_brings_parameters_and_place(trainer: Site, log: MemoryLog) -> None:  # W-2
    business = {"kind": "business", "model_image_version": BUSINESS_VALUE, "model_parameters": "{", "level_4": None}
    through(trainer, 4, step_1=business)
    goes_to(send(trainer, 4), "/training-jobs")
    (job,) = queued(log)
    assert (job.environment, job.model_image.name) == (BINDING, "aoi65")
    assert job.order.model_parameters.code_list == ("TPFIP", "TTFBS", "TTMUD")


def test_what_a_business_image_brings_can_be_read_before_it_is_chosen(trainer: Site) -> None:  # W-2
    business = text(trainer.get(f"{NEW}/step-1")).split("业务类型镜像及其版本")[1]
    assert_in_order(business, "aoi65 v1.0", "生产环境", "65寸面板", '"num_of_classes": 3', '"TTMUD"')


def test_a_code_that_a_business_image_does_not_bring_points_to_another_image(  # W-2, W-5
    trainer: Site, log: MemoryLog
) -> None:
    counts = tuple(
        msgspec.structs.replace(count, defect_code=f"X{count.defect_code}") for count in inspection().defect_codes
    )
    use(trainer.services, log, {"/data/panel-a/train": msgspec.structs.replace(inspection(), defect_codes=counts)})
    through(trainer, 2, step_1={"kind": "business", "model_image_version": BUSINESS_VALUE})
    shown = text(send(trainer, 2), 422)
    assert "不在业务类镜像“aoi65”自带的 code_list 中。请移除该路径，或在第一步选择其他镜像。" in shown
    assert "请在第一步中添加" not in shown


def test_too_many_typed_paths_are_told_and_stay(trainer: Site) -> None:  # W-1, W-5
    through(trainer, 2)
    typed = "\n".join(f"/data/panel-{number}" for number in range(1001))
    assert "一次添加 1,001 条数据路径过多，每次最多添加 1,000 条" in text(send(trainer, 2, typed=typed, do="add"), 422)
    assert value_of(trainer.get(f"{NEW}/step-2").text, "typed") == typed


def test_business_images_are_narrowed_by_place(trainer: Site) -> None:  # W-2
    goes_to(send(trainer, 1, filter_level_1=str(FACTORY_2.node_id), do="filter"), f"{NEW}/step-1")
    assert BUSINESS_VALUE not in trainer.get(f"{NEW}/step-1").text
    goes_to(send(trainer, 1, filter_level_1=str(FACTORY_1.node_id), do="filter"), f"{NEW}/step-1")
    assert BUSINESS_VALUE in trainer.get(f"{NEW}/step-1").text


def test_without_scripts_the_next_level_is_shown_and_kept(trainer: Site) -> None:  # S-4, W-1
    goes_to(send(trainer, 1, level_2=None, level_3=None, level_4=None, do="levels"), f"{NEW}/step-1")
    page = trainer.get(f"{NEW}/step-1").text
    assert f'<option value="{ARRAY_FAB.node_id}">' in page
    assert value_of(page, "model_name") == "panel-a"


def test_without_a_loaded_image_the_page_says_what_to_do(trainer: Site) -> None:  # M-7
    trainer.read.model_images = OfferedImages()
    assert_in_order(text(trainer.get(f"{NEW}/step-1")), "还没有加载成功的模型镜像", "前往模型镜像管理")


def test_without_master_data_the_page_shows_the_set_up_steps(trainer: Site) -> None:  # M-7
    trainer.read.model_images = OfferedImages()
    trainer.read.overview = SimpleNamespace(
        setup=lambda: SetupSteps(
            has_industry=True, has_environment=False, has_task_type=True, has_compute_resource=True
        )
    )
    page = trainer.get(f"{NEW}/step-1").text
    assert 'id="setup"' in page
    assert 'name="model_name"' not in page


@pytest.mark.parametrize("missing", ["has_industry", "has_environment", "has_task_type", "has_compute_resource"])
def test_a_trainer_is_told_who_enters_what_is_missing(trainer: Site, missing: str) -> None:  # M-7
    trainer.read.overview.steps = msgspec.structs.replace(trainer.read.overview.steps, **{missing: False})
    page = trainer.get(f"{NEW}/step-1")
    assert "超级管理员尚未完成主数据配置，缺少的项目标注如下。" in text(page)
    assert 'name="model_name"' not in page.text
    for address in ("/industries", "/environments", "/task-types", "/compute-resources"):
        assert f'href="{address}"' not in page.text


# Step 2


def test_the_manuals_notes_stand_on_the_page(trainer: Site) -> None:  # W-5
    through(trainer, 2)
    assert_in_order(
        text(trainer.get(f"{NEW}/step-2")),
        "为了保证模型训练的质量，在新建模型时请务必导入模型镜像训练时所有训练数据集的路径",
        "模型重新训练的时候，不可删除新建模型时所绑定的数据路径",
        "若绑定的数据路径下有任一一条状态为无效，则无法进行下一步",
    )


def test_ticked_paths_of_a_dataset_are_imported(trainer: Site) -> None:  # W-5
    through(trainer, 2)
    goes_to(send(trainer, 2, do="import"), f"{NEW}/step-2")
    shown = text(trainer.get(f"{NEW}/step-2"))
    assert_in_order(shown, "data:panel-a/train", "有效", "120", "TPFIP 40", "删除")
    assert_in_order(shown, "各 code 的图片数量", "TPFIP", "40", "分类类别")


def test_datasets_are_searched_and_nothing_entered_is_lost(trainer: Site) -> None:  # W-5
    other = path_row(example_id("other"), inspection(FolderName("data", "other")))
    trainer.read.datasets = OfferedDatasets(
        DatasetPurpose.TRAINING, PANEL_A, dataset(example_id("panel-b"), "panel-b", other), has_more=True
    )
    through(trainer, 2)
    page = text(trainer.get(f"{NEW}/step-2"))
    assert_in_order(page, "panel-a-training", "panel-b")
    assert "现显示最近修改的 2 个" in page
    goes_to(send(trainer, 2, do="find", find="PANEL-B", typed="/data/panel-a/masked"), f"{NEW}/step-2")
    offered, chosen = text(trainer.get(f"{NEW}/step-2")).split("已选数据路径", 1)
    assert ("panel-b" in offered, "panel-a-training" in offered) == (True, False)
    assert_in_order(chosen, "data:panel-a/train", "data:panel-a/masked")
    assert 'name="find" value="PANEL-B"' in trainer.get(f"{NEW}/step-2").text
    send(trainer, 2, **{"import": str(example_id("other"))}, do="import", find="nothing like it")
    offered, chosen = text(trainer.get(f"{NEW}/step-2")).split("已选数据路径", 1)
    assert "没有名称包含“nothing like it”" in offered
    assert_in_order(chosen, "data:panel-a/train", "data:panel-a/masked", "data:other")


def test_enter_in_the_search_searches(trainer: Site) -> None:  # W-5
    through(trainer, 2)
    form = trainer.get(f"{NEW}/step-2").text.split(f'action="{NEW}/step-2"')[1]
    first = re.search(r"<button([^>]*)>", form)  # the one that Enter presses
    assert first is not None
    assert 'value="find"' in first[1]


def test_the_first_paths_of_a_large_dataset_say_that_there_are_others(trainer: Site) -> None:  # W-5
    large = msgspec.structs.replace(PANEL_A, path_count=4321)
    trainer.read.datasets = OfferedDatasets(DatasetPurpose.TRAINING, large, more_paths=True)
    through(trainer, 2)
    assert_in_order(text(trainer.get(f"{NEW}/step-2")), "panel-a-training", "4,321 条路径", "现显示前 1 条")


def test_ticks_that_name_nothing_are_taken_for_none(trainer: Site) -> None:  # W-5
    through(trainer, 2)
    goes_to(send(trainer, 2, **{"import": "; DROP"}, do="import"), f"{NEW}/step-2")
    goes_to(send(trainer, 2, **{"import": str(example_id("gone"))}, do="import"), f"{NEW}/step-2")
    assert "尚未选择数据路径" in text(trainer.get(f"{NEW}/step-2"))


def test_typed_paths_are_checked_one_by_one(trainer: Site) -> None:  # W-5, D-4
    through(trainer, 2)
    answer = send(trainer, 2, **{"import": None}, typed="/data/panel-a/train\n/etc", do="add")
    shown = text(answer, 422)
    assert_in_order(shown, "/etc", "校验数据集路径失败：路径有误")
    assert_in_order(text(trainer.get(f"{NEW}/step-2")), "data:panel-a/train", "120")


def test_a_path_is_removed_again(trainer: Site) -> None:  # W-5
    through(trainer, 2)
    send(trainer, 2, do="import")
    goes_to(trainer.post(f"{NEW}/step-2", do=f"remove.{TRAINING_FOLDER}"), f"{NEW}/step-2")
    assert "120" not in text(trainer.get(f"{NEW}/step-2")).split("已选数据路径")[1]


def test_the_second_step_needs_a_path(trainer: Site) -> None:  # W-5
    through(trainer, 2)
    assert "请从数据集导入数据路径" in text(send(trainer, 2, **{"import": None}), 422)


def test_a_path_that_became_empty_blocks_the_step_beside_its_line(trainer: Site, log: MemoryLog) -> None:  # W-5
    through(trainer, 3)
    empty = Inspection(folder=TRAINING_FOLDER, state=DataPathState.INVALID)
    use(trainer.services, log, {"/data/panel-a/train": empty})
    answer = send(trainer, 2, **{"import": None})
    assert_in_order(text(answer, 422), "data:panel-a/train", "该路径下没有图片", "无效")
    goes_to(trainer.get(f"{NEW}/step-3"), f"{NEW}/step-2?check=on")


def test_a_code_outside_code_list_and_a_class_with_one_image_block_the_step(trainer: Site, log: MemoryLog) -> None:
    other = FolderName("data", "other")
    counts = tuple(
        msgspec.structs.replace(count, defect_code=code, image_count=images)
        for count, (code, images) in zip(
            inspection().defect_codes, (("TPFIP", 9), ("TTFBS", 9), ("TXXXX", 3)), strict=True
        )
    )
    use(trainer.services, log, {"/data/other": msgspec.structs.replace(inspection(other), defect_codes=counts)})
    through(trainer, 2)
    shown = text(send(trainer, 2, **{"import": None}, typed="/data/other"), 422)
    assert "code“TXXXX”不在 code_list 中" in shown
    few = tuple(
        msgspec.structs.replace(count, image_count=1 if count.defect_code == "TTMUD" else 9)
        for count in inspection().defect_codes
    )
    use(trainer.services, log, {"/data/other": msgspec.structs.replace(inspection(other), defect_codes=few)})
    shown = text(send(trainer, 2, **{"import": None}), 422)
    assert "类别“TTMUD”有 1 张图片，至少需要 2 张" in shown
    assert_in_order(shown, "各 code 的图片数量", "TTMUD", "1", "分类类别，图片不足")


def test_a_path_with_a_code_outside_code_list_is_shown_as_invalid_at_once(trainer: Site) -> None:  # W-5
    two = MODEL_PARAMETERS_TEXT.replace('"TTMUD"', '"TXXXX"')
    through(trainer, 2, step_1={"model_parameters": two})
    send(trainer, 2, do="import")
    chosen = text(trainer.get(f"{NEW}/step-2")).split("已选数据路径", 1)[1]
    assert_in_order(chosen, "data:panel-a/train", "无效", "不在 code_list 中：TTMUD", "120")
    send(trainer, 1)
    chosen = text(trainer.get(f"{NEW}/step-2")).split("已选数据路径", 1)[1]
    assert_in_order(chosen, "data:panel-a/train", "有效", "120")
    assert "无效" not in chosen.split("各 code 的图片数量")[0]


def test_the_number_opens_the_images_of_the_path(trainer: Site) -> None:  # W-5, D-9
    through(trainer, 2)
    send(trainer, 2, do="import")
    page = trainer.get(f"{NEW}/step-2").text
    assert f"/training-datasets/{TRAINING_DATASET_ID}/paths/{TRAINING_PATH_ID}" in page
    trainer.post(f"{NEW}/step-2", typed="/data/panel-a/masked", do="add")
    assert f"{NEW}/images/2" in trainer.get(f"{NEW}/step-2").text
    asked: list[tuple[FolderName, str]] = []

    def images(folder: FolderName, code: str, *, offset: int, count: int) -> ListedImages:
        asked.append((folder, code))
        image = ListedImage(folder=FolderName("data", "panel-a/masked/TTFBS/1.png"), has_mask=True)
        return ListedImages(images=(image,)[offset:count], total=1)

    object.__setattr__(trainer.services, "images", SimpleNamespace(page=images))
    assert "1.png" in text(trainer.get(f"{NEW}/images/2?code=TTFBS"))
    assert asked == [(MASKED_FOLDER, "TTFBS")]
    assert trainer.get(f"{NEW}/images/3").status_code == 404


# Step 3


def test_the_third_step_offers_resources_and_the_packages_defaults(trainer: Site) -> None:  # W-6
    through(trainer, 3)
    page = trainer.get(f"{NEW}/step-3")
    assert_in_order(text(page), "通用型 · 2 核 · 4 GiB", "GPU型 · 8 核 · 32 GiB · 1 卡 × 24 GiB")
    assert value_of(page.text, "training_parameters") == TRAINING_PARAMETERS_TEXT


def test_the_curve_of_the_learning_rate_is_drawn_without_scripts(trainer: Site) -> None:  # W-7, S-4
    through(trainer, 3)
    assert 'id="learning-rate-classification-title"' in trainer.get(f"{NEW}/step-3").text
    exp = TRAINING_PARAMETERS_TEXT.replace('"max_iter": 200', '"max_iter": 200, "lr_policy": "exp", "gamma": 0.98')
    goes_to(send(trainer, 3, training_parameters=exp, do="preview"), f"{NEW}/step-3")
    page = trainer.get(f"{NEW}/step-3")
    assert value_of(page.text, "training_parameters") == exp
    assert "exp 0.0001795" in text(page)  # 0.01 · 0.98^199


def test_wrong_parameters_have_no_curve_but_a_line(trainer: Site) -> None:  # W-7
    through(trainer, 3)
    wrong = TRAINING_PARAMETERS_TEXT.replace("0.01", '"fast"')
    shown = text(send(trainer, 3, training_parameters=wrong, do="preview"), 422)
    assert_in_order(shown, "第 3 行：“classification.base_lr”必须为数字", "训练参数正确后显示学习率曲线")
    assert shown.count("“classification.base_lr”必须为数字") == 1


def test_the_script_gets_the_curves_alone(trainer: Site) -> None:  # W-7
    answer = trainer.post(f"{NEW}/learning-rates", training_parameters=SEGMENTING_PACKAGE.training_parameters)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert ("分类学习率" in answer.text, "分割学习率" in answer.text) == (True, False)
    both = trainer.post(
        f"{NEW}/learning-rates", training_parameters=SEGMENTING_PACKAGE.training_parameters, segmentation="on"
    )
    assert "分割学习率" in both.text
    wrong = words(trainer.post(f"{NEW}/learning-rates", training_parameters='{\n"classification": 1}').text)
    assert_in_order(wrong, "第 2 行：“classification”必须为花括号中的命名字段", "训练参数正确后显示学习率曲线")


def test_the_defaults_are_restored_on_request(trainer: Site) -> None:  # W-6
    through(trainer, 3)
    goes_to(send(trainer, 3, training_parameters="", do="defaults"), f"{NEW}/step-3")
    assert value_of(trainer.get(f"{NEW}/step-3").text, "training_parameters") == TRAINING_PARAMETERS_TEXT


def test_what_a_training_from_nothing_needs_is_filled_in_on_request(trainer: Site) -> None:  # W-6
    through(trainer, 3)
    goes_to(send(trainer, 3, training_parameters="{", do="advised"), f"{NEW}/step-3")
    page = trainer.get(f"{NEW}/step-3")
    advised = read_training_parameters(value_of(page.text, "training_parameters"))
    assert advised == advised_from_nothing(LearntFrom(IMAGES_LEARNT_FROM, 0), with_segmentation=False)
    goes_to(send(trainer, 3, training_parameters=value_of(page.text, "training_parameters")), f"{NEW}/step-4")


def test_the_advice_knows_whether_segmentation_is_offered(trainer: Site) -> None:  # W-9
    through(trainer, 3, step_1={"model_image_version": SEGMENTING_VALUE})
    send(trainer, 3, do="advised")
    assert read_training_parameters(value_of(trainer.get(f"{NEW}/step-3").text, "training_parameters")).segmentation


def test_the_page_says_how_often_each_image_is_learnt_from(trainer: Site) -> None:  # W-6
    through(trainer, 3)
    page = trainer.get(f"{NEW}/step-3").text
    assert f'data-images="{IMAGES_LEARNT_FROM}"' in page
    answer = trainer.post(f"{NEW}/learning-rates", training_parameters=TRAINING_PARAMETERS_TEXT, images="40")
    assert "200 个批次，每批 16 张" in text(answer)
    assert "80 次" in text(answer)
    for nonsense in ("", "0", "-3", "many", "1e400"):
        asked = trainer.post(f"{NEW}/learning-rates", training_parameters=TRAINING_PARAMETERS_TEXT, images=nonsense)
        assert asked.status_code == 200
        assert "个批次" not in text(asked)


def test_untouched_parameters_follow_the_version_and_changed_ones_stay(trainer: Site) -> None:  # W-6
    through(trainer, 4)
    send(trainer, 1, model_image_version=SEGMENTING_VALUE)
    untouched = trainer.get(f"{NEW}/step-3").text
    assert value_of(untouched, "training_parameters") == SEGMENTING_PACKAGE.training_parameters
    changed = TRAINING_PARAMETERS_TEXT.replace("200", "201")
    send(trainer, 3, training_parameters=changed)
    send(trainer, 1)
    assert value_of(trainer.get(f"{NEW}/step-3").text, "training_parameters") == changed


def test_training_from_nothing_is_chosen_and_recorded(trainer: Site, log: MemoryLog) -> None:  # W-12
    through(trainer, 4, step_3={"starting_weights": StartingWeights.NOTHING.value})
    send(trainer, 4)
    assert queued(log)[0].order.initial_weights is None


# Step 4


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


# W-12: what a new model starts from
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


# W-2: of many versions a part is offered


def test_model_images_are_searched_and_nothing_entered_is_lost(trainer: Site) -> None:  # W-2, W-1
    trainer.read.model_images = OfferedImages(*VERSIONS, has_more=True)
    assert "现显示最新的 2 个" in text(trainer.get(f"{NEW}/step-1"))
    goes_to(send(trainer, 1, do="find", find_general="UNET"), f"{NEW}/step-1")
    page = trainer.get(f"{NEW}/step-1")
    assert (VALUE in page.text, SEGMENTING_VALUE in page.text) == (True, True), "the chosen one stays"
    assert is_ticked(page.text, "model_image_version", VALUE)
    assert value_of(page.text, "model_name") == "panel-a"
    assert 'name="find_general" value="UNET"' in page.text
    send(trainer, 1, do="find", find_general="nothing like it", model_image_version="")
    assert "没有该名称的通用类型镜像" in text(trainer.get(f"{NEW}/step-1"))
    send(trainer, 1, do="find", find_business="nothing like it", kind="business")
    assert "该生产环境下没有该名称的业务类型镜像" in text(trainer.get(f"{NEW}/step-1"))


def test_enter_searches_in_a_search_and_goes_on_elsewhere(trainer: Site) -> None:  # S-4, W-2
    goes_to(send(trainer, 1, do="enter", find_general="unet"), f"{NEW}/step-1")
    goes_to(send(trainer, 1, do="enter", find_general="unet"), f"{NEW}/step-2")
    goes_to(send(trainer, 2), f"{NEW}/step-3")
    goes_to(send(trainer, 3, do="enter", find_version="panel"), f"{NEW}/step-3")
    goes_to(send(trainer, 3, do="enter", find_version="panel"), f"{NEW}/step-4")


@pytest.mark.parametrize(
    "named", ["x/1", f"{MODEL_IMAGE_ID}/x", f"{MODEL_IMAGE_ID}", f"{MODEL_IMAGE_ID}/99999999999999999999"]
)
def test_a_version_that_is_nonsense_counts_as_none(trainer: Site, named: str) -> None:  # W-2
    assert "请选择模型镜像版本" in text(send(trainer, 1, model_image_version=named), 422)
