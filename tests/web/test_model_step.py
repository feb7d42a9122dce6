"""Step 1 of 新建模型, 选择模型镜像, as people meet it: W-2 and W-3.

Forms are sent as a browser without scripts sends them; the rules are the real ones.
"""

from types import SimpleNamespace

import msgspec
import pytest

from domain.facts import Fact
from domain.names import NameClaimed, NameKind, claim_id
from projections.overview import SetupSteps
from tests.examples import (
    ARRAY_FAB,
    BINDING,
    FACTORY_1,
    FACTORY_2,
    MODEL_IMAGE_ID,
    MODEL_PARAMETERS_TEXT,
    MemoryLog,
    example_id,
    inspection,
)
from tests.web.new_model import (
    BUSINESS_VALUE,
    NEW,
    SEGMENTING_PACKAGE,
    SEGMENTING_VALUE,
    VALUE,
    VERSIONS,
    goes_to,
    history,
    is_ticked,
    log,
    queued,
    send,
    services,
    through,
    use,
    value_of,
)
from tests.web.offered_versions import OfferedImages
from tests.web.reading import assert_in_order, text
from tests.web.site import Site

__all__ = ["log", "services"]


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
