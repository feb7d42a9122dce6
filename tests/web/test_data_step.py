"""Step 2 of 新建模型, 选择数据路径, as people meet it: W-4 and W-5.

Forms are sent as a browser without scripts sends them; the rules are the real ones.
"""

import re
from types import SimpleNamespace

import msgspec

from domain.data_paths import DataPathState, FolderName, Inspection
from domain.datasets import DatasetPurpose
from infra.images import ListedImage, ListedImages
from tests.examples import (
    MODEL_PARAMETERS_TEXT,
    TRAINING_DATASET_ID,
    TRAINING_FOLDER,
    TRAINING_PATH_ID,
    MemoryLog,
    example_id,
    inspection,
)
from tests.web.new_model import MASKED_FOLDER, NEW, PANEL_A, goes_to, log, send, services, through, use
from tests.web.offered_datasets import OfferedDatasets, dataset, path_row
from tests.web.reading import assert_in_order, text
from tests.web.site import Site

__all__ = ["log", "services"]


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
