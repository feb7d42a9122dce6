"""新建预测任务 as people meet it: three steps, in which nothing is lost (P-1). The rules are the real ones."""

import html
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from domain.data_paths import FolderName
from domain.facts import Recorded
from domain.prediction_jobs import PredictionQueued
from infra.images import ListedImage, ListedImages
from projections.overview import SetupSteps
from tests.examples import (
    BINDING,
    FACTORY_2,
    LEVEL_NAMES,
    MODEL_ID,
    NODES,
    PANEL_65,
    PREDICTION_QUEUED,
    QUESTION_BANK_FOLDER,
    QUESTION_BANK_ID,
    QUESTION_BANK_PATH_ID,
    TWO_CORES_ID,
    MemoryLog,
)
from tests.web.new_prediction import JOBS, ME, NEW, EmptiableFolders, FakeComputeResources, furnish, text
from tests.web.offered_versions import OfferedModels
from tests.web.predictions import FakePredictionJobs, job
from tests.web.reading import assert_in_order
from tests.web.site import Site
from web.services import Services


@pytest.fixture
def folders() -> EmptiableFolders:
    return EmptiableFolders()


@pytest.fixture
def log() -> MemoryLog:
    """What the write side has stored; each test adds what it needs."""
    return MemoryLog()


@pytest.fixture
def services(services: Services, folders: EmptiableFolders, log: MemoryLog, tmp_path: Path) -> Services:
    return furnish(services, folders, log, tmp_path)


class OneImage:
    def page(self, data_path: FolderName, defect_code: str, *, offset: int, count: int) -> ListedImages:
        assert (offset, count) == (0, 60)
        folder = FolderName(data_path.root, f"next-line/{defect_code}.png")
        return ListedImages(images=(ListedImage(folder=folder, has_mask=False),), total=1)


def entered(answer: httpx.Response) -> dict[str, Any]:
    """What the form of a step would send without a button: every field with its value, as a browser collects them."""
    [form] = re.findall(rf'<form method="post" action="{NEW}/step-[123]".*?</form>', answer.text, re.DOTALL)
    fields: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'\bname="([^"]*)"', tag), re.search(r'\bvalue="([^"]*)"', tag)
        is_choice = 'type="checkbox"' in tag or 'type="radio"' in tag
        if name and (not is_choice or " checked" in tag):
            fields.setdefault(name[1], []).append(html.unescape(value[1]) if value else "")
    for name, options in re.findall(r'<select[^>]*name="([^"]*)".*?>(.*?)</select>', form, re.DOTALL):
        fields[name] = re.findall(r'value="([^"]*)"[^>]* selected', options)[:1]
    for name, value in re.findall(r'<textarea[^>]*name="([^"]*)".*?>\n?(.*?)</textarea>', form, re.DOTALL):
        fields[name] = html.unescape(value)
    fields.pop("csrf_token")
    return fields


def press(site: Site, step: int, button: str, **changes: Any) -> httpx.Response:
    """Open a step, change what is given, press a button; the page one is led to, or the same page with refusals."""
    fields = entered(site.get(f"{NEW}/step-{step}")) | changes
    answer = site.post(f"{NEW}/step-{step}", do=button, **fields)
    if answer.status_code != 303:
        return answer
    return site.get(answer.headers["Location"].partition("#")[0])


def through_step_1(site: Site, name: str = "panel-a-check") -> None:
    answer = press(site, 1, "next", name=name, version=f"{MODEL_ID}/v1.01")
    assert answer.url.path == f"{NEW}/step-2"


def through_step_2(site: Site) -> None:
    through_step_1(site)
    press(site, 2, "import", **{"import": str(QUESTION_BANK_PATH_ID)})
    assert press(site, 2, "next").url.path == f"{NEW}/step-3"


def newest_job(log: MemoryLog) -> Recorded:
    return next(event for event in reversed(log.events) if isinstance(event.data, PredictionQueued))


def test_three_steps_queue_a_job(trainer: Site, log: MemoryLog) -> None:  # P-1
    through_step_2(trainer)
    summary = text(trainer.get(f"{NEW}/step-3"))
    assert_in_order(summary, "任务名称 panel-a-check", "panel-a v1.01", "30", "data:panel-a/question-bank")
    answer = press(trainer, 3, "next", compute_resource=str(TWO_CORES_ID))
    assert answer.url.path == JOBS
    assert "预测任务“panel-a-check”已提交" in text(answer)
    queued = newest_job(log)
    assert queued.data == msgspec.structs.replace(PREDICTION_QUEUED, owner=ME)
    assert queued.origin.actor == ME


def test_pressing_the_last_button_twice_makes_one_job(trainer: Site, log: MemoryLog) -> None:
    through_step_2(trainer)
    fields = entered(trainer.get(f"{NEW}/step-3")) | {"compute_resource": str(TWO_CORES_ID)}
    assert trainer.post(f"{NEW}/step-3", do="next", **fields).status_code == 303
    queued = newest_job(log)
    trainer.read.prediction_jobs = FakePredictionJobs(job(job_id=queued.originator_id))
    again = trainer.post(f"{NEW}/step-3", do="next", **fields)
    assert (again.status_code, again.headers["Location"]) == (303, JOBS)
    assert newest_job(log) is queued


def test_going_on_later_keeps_what_was_entered(trainer: Site, log: MemoryLog) -> None:  # P-1, W-1
    answer = press(trainer, 1, "later", name="half-a-na")
    assert answer.url.path == JOBS
    assert "已填写的内容均已保留，可稍后继续。" in text(answer)
    assert 'name="name" value="half-a-na"' in trainer.get(f"{NEW}/step-1").text
    through_step_2(trainer)
    assert press(trainer, 2, "later").url.path == JOBS
    assert press(trainer, 3, "later", prediction_parameters="{").url.path == JOBS
    assert ">{</textarea>" in trainer.get(f"{NEW}/step-3").text.replace("\n{", "{")
    assert not any(isinstance(event.data, PredictionQueued) for event in log.events)


def test_a_queued_job_leaves_an_empty_form_behind(trainer: Site) -> None:
    through_step_2(trainer)
    press(trainer, 3, "next", compute_resource=str(TWO_CORES_ID))
    assert 'name="name" value=""' in trainer.get(f"{NEW}/step-1").text


def test_the_first_step_tells_all_its_mistakes_at_once_and_keeps_what_was_entered(trainer: Site) -> None:  # P-1
    answer = press(trainer, 1, "next", name="7-days")
    assert answer.status_code == 422
    assert_in_order(text(answer), "名称为 1 到 60 个字符", "请选择一个模型版本")
    assert text(answer).count("请选择一个模型版本") == 1, "beside its field and nowhere else"
    assert 'value="7-days"' in answer.text
    assert 'value="7-days"' in trainer.get(f"{NEW}/step-1").text


def test_what_was_removed_since_is_marked_and_the_industry_is_shown(trainer: Site) -> None:  # M-3, M-8
    shown = text(trainer.get(f"{NEW}/step-1"))
    assert_in_order(shown, "一厂区 / 阵列厂 / AOI站 / 65寸面板", "75寸面板 （已删除）", "显示面板")


def test_without_a_compute_resource_the_set_up_steps_are_shown(trainer: Site) -> None:  # M-7
    trainer.read.overview.steps = SetupSteps(True, True, True, False)
    page = trainer.get(f"{NEW}/step-1").text
    assert 'id="setup"' in page
    assert "超级管理员" in text(trainer.get(f"{NEW}/step-1"))
    assert 'href="/compute-resources"' not in page
    assert 'name="version"' not in page


def test_versions_are_narrowed_down_by_the_environment(trainer: Site) -> None:  # P-1
    assert "panel-a" in text(trainer.get(f"{NEW}/step-1"))
    chosen = {f"level_{number}": str(node.node_id) for number, node in enumerate((*BINDING.path, PANEL_65), 1)}
    assert 'name="version"' in press(trainer, 1, "filter", name="panel-a-check", **chosen).text
    answer = press(trainer, 1, "filter", **{**dict.fromkeys(chosen, ""), "level_1": str(FACTORY_2.node_id)})
    assert 'name="version"' not in answer.text
    assert "没有符合条件的版本" in text(answer)
    assert 'value="panel-a-check"' in answer.text


def test_without_a_published_model_the_first_step_says_what_to_do(trainer: Site) -> None:
    trainer.read.models = OfferedModels(ME)
    assert_in_order(text(trainer.get(f"{NEW}/step-1")), "您还没有已发布的模型", "请先训练并发布模型")


def test_a_version_is_chosen_already_where_one_comes_from_it(trainer: Site) -> None:  # V-2
    answer = trainer.get(f"{NEW}?model={MODEL_ID}&version=v1.01")
    assert answer.headers["Location"] == f"{NEW}/step-1"
    page = trainer.get(f"{NEW}/step-1")
    assert f'value="{MODEL_ID}/v1.01" checked' in page.text


def test_a_version_of_someone_else_is_not_judged(site: Site) -> None:  # U
    site.get(f"{NEW}?model={MODEL_ID}&version=v1.01")
    site.read.models = OfferedModels(ME)
    assert site.post(f"{NEW}/step-1", do="next", name="mine-now", version=f"{MODEL_ID}/v1.01").status_code == 403
    assert site.get(f"{NEW}/step-2").status_code == 403


def test_later_steps_do_not_open_before_the_ones_before_are_right(trainer: Site) -> None:  # P-1, W-1
    for step in (2, 3):
        answer = trainer.get(f"{NEW}/step-{step}")
        assert answer.status_code == 422
        assert "请选择一个模型版本" in text(answer)
    through_step_1(trainer)
    answer = trainer.get(f"{NEW}/step-3")
    assert answer.status_code == 422
    assert "请从数据集导入数据路径" in text(answer)


def test_ticked_paths_of_datasets_are_imported_with_their_figures(
    trainer: Site, folders: EmptiableFolders
) -> None:  # W-5
    through_step_1(trainer)
    answer = press(trainer, 2, "import", **{"import": str(QUESTION_BANK_PATH_ID)})
    assert_in_order(
        text(answer), "已选数据路径", "共 30 张图片", "data:panel-a/question-bank", "有效", "30", "TPFIP 10"
    )
    assert f"/question-bank-datasets/{QUESTION_BANK_ID}/paths/{QUESTION_BANK_PATH_ID}" in answer.text
    assert "所有数据集的路径均已选择" in text(answer)
    assert folders.looks == 0


def test_datasets_are_searched_and_nothing_entered_is_lost(trainer: Site) -> None:  # P-1
    through_step_1(trainer)
    ticked = {"import": str(QUESTION_BANK_PATH_ID)}
    offered, chosen = text(press(trainer, 2, "find", find="Panel-Z", **ticked)).split("已选数据路径", 1)
    assert "没有名称包含“Panel-Z”" in offered
    assert "data:panel-a/question-bank" in chosen
    answer = press(trainer, 2, f"remove.{QUESTION_BANK_FOLDER}", find="")
    assert "panel-a-questions" in text(answer).split("已选数据路径")[0]


def test_typed_paths_are_checked_line_by_line_and_wrong_ones_stay_to_be_corrected(trainer: Site) -> None:  # W-5
    through_step_1(trainer)
    answer = press(trainer, 2, "add", typed="/data/panel-a/next-line\n/nowhere\n/data/panel-a/next-line")
    assert answer.status_code == 422
    assert "校验数据集路径失败：路径有误" in text(answer)
    assert text(answer).count("data:panel-a/next-line") == 1
    assert entered(answer)["typed"] == "/nowhere"


def test_a_path_is_removed_by_its_own_button(trainer: Site) -> None:  # W-5
    through_step_1(trainer)
    press(trainer, 2, "add", typed="/data/panel-a/next-line\n/data/panel-a/question-bank")
    answer = press(trainer, 2, "remove.data:panel-a/next-line")
    assert "data:panel-a/next-line" not in text(answer)
    assert "data:panel-a/question-bank" in text(answer)


def test_the_number_of_a_typed_path_opens_its_images(trainer: Site) -> None:  # W-5, D-9
    through_step_1(trainer)
    answer = press(trainer, 2, "add", typed="/data/panel-a/next-line")
    assert f'href="{NEW}/images/1"' in answer.text
    object.__setattr__(trainer.services, "images", OneImage())
    shown = text(trainer.get(f"{NEW}/images/1?code=TTFBS"))
    assert_in_order(shown, "题库预测", "新建预测任务", "TPFIP 2", "TTFBS.png")
    for line in (0, 2):
        assert trainer.get(f"{NEW}/images/{line}").status_code == 404


def test_without_paths_the_next_step_does_not_open(trainer: Site) -> None:  # P-1
    through_step_1(trainer)
    answer = press(trainer, 2, "next")
    assert (answer.status_code, answer.url.path) == (422, f"{NEW}/step-2")
    assert "请从数据集导入数据路径，或至少输入一条数据路径" in text(answer)


def test_codes_that_the_version_does_not_know_are_named_at_their_path(trainer: Site) -> None:  # P-1
    through_step_1(trainer)
    added = press(trainer, 2, "add", typed="/data/panel-a/next-line\n/data/panel-b")
    assert added.status_code == 200  # it is told at once, and refused when the next step is asked for
    told = text(added).split("已选数据路径")[-1]
    assert_in_order(told, "data:panel-a/next-line", "有效", "data:panel-b", "无效", "模型版本不识别：TXXXX")
    answer = press(trainer, 2, "next")
    assert (answer.status_code, answer.url.path) == (422, f"{NEW}/step-2")
    assert_in_order(text(answer), "data:panel-b", "该模型版本不包含以下 code：TXXXX")


def test_a_folder_emptied_meanwhile_is_noticed_before_the_next_step(
    trainer: Site, folders: EmptiableFolders
) -> None:  # W-5
    through_step_1(trainer)
    press(trainer, 2, "import", **{"import": str(QUESTION_BANK_PATH_ID)})
    folders.empty(QUESTION_BANK_FOLDER)
    answer = press(trainer, 2, "next")
    assert (answer.status_code, answer.url.path) == (422, f"{NEW}/step-2")
    assert_in_order(text(answer), "data:panel-a/question-bank", "该路径下没有图片", "无效")


def test_a_folder_emptied_after_its_step_stops_the_last_button(
    trainer: Site, folders: EmptiableFolders, log: MemoryLog
) -> None:  # P-1
    through_step_2(trainer)
    before = len(log.events)
    folders.empty(QUESTION_BANK_FOLDER)
    answer = press(trainer, 3, "next", compute_resource=str(TWO_CORES_ID))
    assert answer.status_code == 422
    assert "该路径下没有图片" in text(answer)
    assert len(log.events) == before


def test_parameters_begin_with_the_default_and_screening_is_on(trainer: Site) -> None:  # P-1
    through_step_2(trainer)
    fields = entered(trainer.get(f"{NEW}/step-3"))
    assert msgspec.json.decode(fields["prediction_parameters"]) == {"batch_size": 32}
    assert fields["resolution_screening"] == ["on"]


def test_wrong_parameters_are_told_with_line_and_field_and_stay_as_entered(trainer: Site, log: MemoryLog) -> None:
    through_step_2(trainer)
    before = len(log.events)
    answer = press(trainer, 3, "next", compute_resource="", prediction_parameters='{"batch_size": 0}')
    assert answer.status_code == 422
    assert_in_order(text(answer), "请选择计算资源", "第 1 行", "batch_size")
    assert entered(answer)["prediction_parameters"] == '{"batch_size": 0}'
    assert len(log.events) == before


def test_screening_can_be_switched_off_and_stays_off(trainer: Site, log: MemoryLog) -> None:  # P-1
    through_step_2(trainer)
    fields = entered(trainer.get(f"{NEW}/step-3")) | {"compute_resource": str(TWO_CORES_ID)}
    del fields["resolution_screening"]
    trainer.post(f"{NEW}/step-3", do="back", **fields)
    fields = entered(trainer.get(f"{NEW}/step-3"))
    assert "resolution_screening" not in fields
    trainer.post(f"{NEW}/step-3", do="next", **fields)
    queued: Any = newest_job(log).data
    assert queued.order.resolution_screening is False


def test_the_only_compute_resource_is_chosen_already(trainer: Site) -> None:
    trainer.read.compute_resources = FakeComputeResources(TWO_CORES_ID)
    through_step_2(trainer)
    assert entered(trainer.get(f"{NEW}/step-3"))["compute_resource"] == [str(TWO_CORES_ID)]


def test_going_back_and_forth_loses_nothing(trainer: Site) -> None:  # W-1
    through_step_2(trainer)
    press(trainer, 3, "back", prediction_parameters='{"batch_size": ', compute_resource=str(TWO_CORES_ID))
    press(trainer, 2, "back", typed="/not/yet/there")
    first = entered(trainer.get(f"{NEW}/step-1"))
    assert (first["name"], first["version"]) == (["panel-a-check"], [f"{MODEL_ID}/v1.01"])
    second = trainer.get(f"{NEW}/step-2")
    assert "data:panel-a/question-bank" in text(second)
    assert entered(second)["typed"] == "/not/yet/there"
    third = entered(trainer.get(f"{NEW}/step-3"))
    assert (third["prediction_parameters"], third["compute_resource"]) == ('{"batch_size": ', [str(TWO_CORES_ID)])


def test_starting_over_forgets_everything(trainer: Site) -> None:
    through_step_1(trainer)
    assert trainer.post(f"{NEW}/over").headers["Location"] == f"{NEW}/step-1"
    assert 'name="name" value=""' in trainer.get(f"{NEW}/step-1").text


def test_a_draft_of_an_older_release_is_left_aside(trainer: Site) -> None:
    trainer.services.drafts.save(ME, "prediction", b"\x81\xa4name\xa1x")
    assert trainer.get(f"{NEW}/step-1").status_code == 200


@pytest.mark.parametrize("step", [1, 2, 3])
def test_every_step_reads_in_english_too(trainer: Site, step: int) -> None:  # S-4
    through_step_2(trainer)
    trainer.post("/language", language="en", next="/")
    shown = text(trainer.get(f"{NEW}/step-{step}"))
    for name in (*LEVEL_NAMES, *(node.name for node in NODES), "二厂区", "显示面板", "中文", "分类"):
        shown = shown.replace(name, "")
    assert not re.search(r"[一-鿿]", shown)
