"""新建模型 as people meet it, from the first step to the list: nothing is lost, nothing is made twice (W-1).

Forms are sent as a browser without scripts sends them; the rules are the real ones.
"""

import re

import msgspec
import pytest

from commands.training_jobs import QueueTrainingJob
from domain.environments import EnvironmentNodesRemoved
from domain.training_parameters import Augmentation
from tests.examples import (
    BINDING,
    ENVIRONMENT_ID,
    INDUSTRY_ID,
    PANEL_75,
    TRAINING_FOLDER,
    TRAINING_PARAMETERS_TEXT,
    TWO_CORES_ID,
    MemoryLog,
)
from tests.web.new_model import (
    FOLDERS,
    NEW,
    goes_to,
    history,
    is_ticked,
    job_id_on,
    log,
    queued,
    send,
    services,
    through,
    use,
    value_of,
)
from tests.web.reading import assert_in_order, text
from tests.web.site import MODEL_TRAINER, Site
from web.training_drafts import KeptDraft

__all__ = ["log", "services"]


# From the first step to the list


def test_the_four_steps_queue_a_training_job(trainer: Site, log: MemoryLog) -> None:  # W-1 to W-12
    through(trainer, 4)
    goes_to(send(trainer, 4, augmentations=["flipping", "scaling"]), "/training-jobs")
    (job,) = queued(log)
    assert (job.owner, job.model_name, job.environment) == (MODEL_TRAINER.user_id, "panel-a", BINDING)
    assert (job.order.data_paths, job.compute_resource_id) == ((TRAINING_FOLDER,), TWO_CORES_ID)
    assert job.order.preprocessing.augmentations == (Augmentation.FLIPPING, Augmentation.SCALING)
    assert job.order.training_parameters.classification.max_iter == 200


def test_the_steps_are_those_of_the_manual(trainer: Site) -> None:
    titles = ("选择模型镜像", "选择数据路径", "配置训练参数", "添加预处理参数")
    assert_in_order(text(trainer.get(f"{NEW}/step-1")), "新建模型", *titles, "模型名称", "下一步")
    through(trainer, 4)
    assert_in_order(text(trainer.get(f"{NEW}/step-4")), *titles, "切分比例", "归一化处理", "数据增强", "上一步", "完成")


def test_the_wizard_is_closed_to_strangers(stranger: Site) -> None:
    goes_to(stranger.get(f"{NEW}/step-1"), "/sign-in?next=/training-jobs/new/step-1")


# W-1: nothing is lost


def test_going_back_and_forth_loses_nothing(trainer: Site) -> None:  # W-1
    through(trainer, 4)
    goes_to(
        send(trainer, 4, split_ratio="0.7", resolution_screening=None, augmentations="flipping", do="back"),
        f"{NEW}/step-3",
    )
    goes_to(send(trainer, 3, training_parameters="{", do="back"), f"{NEW}/step-2")
    first = trainer.get(f"{NEW}/step-1").text
    assert value_of(first, "model_name") == "panel-a"
    assert is_ticked(first, "level_4", str(PANEL_75.node_id))
    assert "data:panel-a/train" in text(trainer.get(f"{NEW}/step-2"))
    third = trainer.get(f"{NEW}/step-3").text
    assert value_of(third, "training_parameters") == "{"
    assert is_ticked(third, "compute_resource", str(TWO_CORES_ID))
    goes_to(send(trainer, 3), f"{NEW}/step-4")
    fourth = trainer.get(f"{NEW}/step-4").text
    assert value_of(fourth, "split_ratio") == "0.7"
    assert is_ticked(fourth, "augmentations", "flipping")
    assert not is_ticked(fourth, "augmentations", "scaling")
    assert " checked" not in str(re.search(r'<input[^>]*name="resolution_screening"[^>]*>', fourth))


@pytest.mark.parametrize("step", [2, 3, 4])
def test_the_titles_of_earlier_steps_lead_there_and_lose_nothing(trainer: Site, step: int) -> None:  # W-1
    through(trainer, 4)
    page = trainer.get(f"{NEW}/step-{step}").text
    steps = page.split('<ol class="steps"')[1].split("</ol>")[0]
    assert re.findall(r'<button[^>]* form="step" name="do" value="(step-\d)"', steps) == [
        f"step-{earlier}" for earlier in range(1, step)
    ]
    unfinished = {
        2: {"typed": "/data/panel-a/masked"},
        3: {"training_parameters": "{"},
        4: {"split_ratio": "0.65", "job_id": job_id_on(trainer)},
    }
    goes_to(send(trainer, step, do="step-1", **unfinished[step]), f"{NEW}/step-1")
    kept = {
        2: lambda: "data:panel-a/masked" in text(trainer.get(f"{NEW}/step-2")),
        3: lambda: value_of(trainer.get(f"{NEW}/step-3").text, "training_parameters") == "{",
        4: lambda: value_of(trainer.get(f"{NEW}/step-4").text, "split_ratio") == "0.65",
    }
    assert kept[step]()


@pytest.mark.parametrize(
    ("step", "field", "entered"),
    [
        (1, "model_parameters", '{"a": '),
        (2, "typed", "/etc"),
        (3, "training_parameters", "{"),
        (4, "split_ratio", "half"),
    ],
)
def test_the_other_language_keeps_a_step_as_it_was_left(  # S-4, W-1
    trainer: Site, step: int, field: str, entered: str
) -> None:
    through(trainer, 4)
    job_id = {"job_id": job_id_on(trainer)} if step == 4 else {}
    goes_to(send(trainer, step, as_entered="en", do="", **{field: entered}, **job_id), f"{NEW}/step-{step}")
    page = trainer.get(f"{NEW}/step-{step}").text
    assert "New model" in page
    assert value_of(page, field) == entered


@pytest.mark.parametrize("button", ["step-2", "step-3", "step-4", "step-9"])
def test_no_button_leads_past_a_step_that_is_not_right(trainer: Site, button: str) -> None:  # W-1
    goes_to(send(trainer, 1, model_name="", do=button), f"{NEW}/step-1")


@pytest.mark.parametrize(
    ("step", "field", "entered"),
    [(1, "model_parameters", '{"a": '), (2, "typed", "/etc"), (3, "training_parameters", "{"), (4, "split_ratio", "?")],
)
def test_going_on_later_keeps_the_step_as_it_was_left(  # W-1
    trainer: Site, step: int, field: str, entered: str
) -> None:
    through(trainer, 4)
    assert 'name="do" value="later"' in trainer.get(f"{NEW}/step-{step}").text
    job_id = {"job_id": job_id_on(trainer)} if step == 4 else {}
    goes_to(send(trainer, step, do="later", **{field: entered}, **job_id), "/training-jobs")
    assert value_of(trainer.get(f"{NEW}/step-{step}").text, field) == entered
    assert "未完成的模型“panel-a”" in text(trainer.get(NEW))


def test_the_enter_key_presses_no_title_of_a_step(trainer: Site) -> None:  # W-1
    through(trainer, 4)
    for step, value in ((1, "enter"), (2, "find"), (3, "enter"), (4, "next")):
        first = re.search(r'<button[^>]* name="do" value="([^"]+)"', trainer.get(f"{NEW}/step-{step}").text)
        assert first is not None
        assert first[1] == value


def test_what_was_entered_stays_where_an_earlier_step_became_wrong_meanwhile(trainer: Site, log: MemoryLog) -> None:
    through(trainer, 4)  # W-1
    job_id = job_id_on(trainer)
    use(trainer.services, log, {})
    goes_to(send(trainer, 3, training_parameters="{"), f"{NEW}/step-2?check=on")
    goes_to(send(trainer, 4, split_ratio="0.65", job_id=job_id), f"{NEW}/step-2?check=on")
    use(trainer.services, log, FOLDERS)
    assert value_of(trainer.get(f"{NEW}/step-3").text, "training_parameters") == "{"
    send(trainer, 3)
    assert value_of(trainer.get(f"{NEW}/step-4").text, "split_ratio") == "0.65"


def test_a_page_of_a_model_that_is_queued_says_nothing_of_the_next_one(trainer: Site) -> None:  # W-1
    through(trainer, 4)
    send(trainer, 4)
    goes_to(send(trainer, 3, training_parameters="{"), f"{NEW}/step-1")
    goes_to(send(trainer, 2), f"{NEW}/step-1")
    goes_to(trainer.get(NEW), f"{NEW}/step-1")
    through(trainer, 3, step_1={"model_name": "panel-b"})
    assert value_of(trainer.get(f"{NEW}/step-3").text, "training_parameters") == TRAINING_PARAMETERS_TEXT


def test_a_refused_step_is_kept_as_it_was_entered(trainer: Site) -> None:  # W-1
    answer = send(trainer, 1, model_name="1 wrong", model_parameters='{"a": ')
    assert_in_order(text(answer, 422), "名称为 1 到 60 个字符", "第 1 行第 7 列：不是有效的 JSON")
    page = trainer.get(f"{NEW}/step-1").text
    assert (value_of(page, "model_name"), value_of(page, "model_parameters")) == ("1 wrong", '{"a": ')


def test_an_unfinished_model_is_gone_on_with_or_begun_anew(trainer: Site) -> None:  # W-1
    goes_to(trainer.get(NEW), f"{NEW}/step-1")
    through(trainer, 3)
    send(trainer, 3, do="back")
    assert_in_order(text(trainer.get(NEW)), "未完成的模型“panel-a”", "继续填写", "放弃并重新开始")
    goes_to(trainer.get(f"{NEW}/continue"), f"{NEW}/step-3")
    goes_to(trainer.post(NEW), f"{NEW}/step-1")
    assert value_of(trainer.get(f"{NEW}/step-1").text, "model_name") == ""
    goes_to(trainer.get(NEW), f"{NEW}/step-1")


def test_a_draft_that_cannot_be_read_any_more_begins_anew(trainer: Site) -> None:
    trainer.services.drafts.save(MODEL_TRAINER.user_id, "training", b'{"an earlier": "release"}')
    goes_to(trainer.get(NEW), f"{NEW}/step-1")


# W-1: each step is checked on the server before the next opens


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_step_does_not_open_before_the_first_is_right(trainer: Site, step: int) -> None:
    goes_to(trainer.get(f"{NEW}/step-{step}"), f"{NEW}/step-1")
    send(trainer, 1, model_name="")
    goes_to(trainer.get(f"{NEW}/step-{step}"), f"{NEW}/step-1?check=on")
    assert "名称为 1 到 60 个字符" in text(trainer.get(f"{NEW}/step-1?check=on"), 422)


def test_step_4_opens_once_step_3_is_right(trainer: Site) -> None:
    through(trainer, 3)
    goes_to(trainer.get(f"{NEW}/step-4"), f"{NEW}/step-3")
    assert "请选择计算资源" in text(send(trainer, 3, compute_resource=None), 422)
    goes_to(trainer.get(f"{NEW}/step-4"), f"{NEW}/step-3?check=on")
    goes_to(send(trainer, 3), f"{NEW}/step-4")
    text(trainer.get(f"{NEW}/step-4"))


def test_the_usual_augmentations_are_ticked_until_somebody_unticks_them(trainer: Site) -> None:  # W-8
    through(trainer, 4)
    fourth = trainer.get(f"{NEW}/step-4").text
    ticked = {augmentation for augmentation in Augmentation if is_ticked(fourth, "augmentations", augmentation.value)}
    assert ticked == {Augmentation.COLOR_ENHANCEMENT, Augmentation.RANDOM_TRANSFORM}
    goes_to(send(trainer, 4, do="back"), f"{NEW}/step-3")
    fourth = trainer.get(f"{NEW}/step-4").text
    assert not any(is_ticked(fourth, "augmentations", augmentation.value) for augmentation in Augmentation)


def test_what_became_wrong_meanwhile_is_asked_for_again(trainer: Site, log: MemoryLog) -> None:
    through(trainer, 4)
    job_id = job_id_on(trainer)
    gone = EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(PANEL_75.node_id,))
    log.events = [*history().add(ENVIRONMENT_ID, gone).events]
    goes_to(send(trainer, 4, job_id=job_id), f"{NEW}/step-1?check=on")
    assert "所选的生产环境已不存在" in text(trainer.get(f"{NEW}/step-1?check=on"), 422)
    assert queued(log) == []


# The last button, pressed twice


def test_pressed_again_after_the_answer_the_last_button_queues_nothing(trainer: Site, log: MemoryLog) -> None:  # W-1
    through(trainer, 4)
    job_id = job_id_on(trainer)
    for _ in range(3):
        goes_to(send(trainer, 4, job_id=job_id), "/training-jobs")
    assert len(queued(log)) == 1


def test_pressed_again_before_the_draft_is_gone_the_last_button_queues_nothing(trainer: Site, log: MemoryLog) -> None:
    through(trainer, 4)
    job_id = job_id_on(trainer)
    kept = dict(trainer.services.drafts.contents)
    goes_to(send(trainer, 4, job_id=job_id), "/training-jobs")
    trainer.services.drafts.contents = kept
    answer = send(trainer, 4, job_id=job_id)
    goes_to(answer, "/training-jobs")
    assert len(queued(log)) == 1


def test_of_two_clicks_at_the_same_moment_the_slower_one_leads_to_the_list_too(trainer: Site, log: MemoryLog) -> None:
    through(trainer, 4)
    job_id = job_id_on(trainer)
    kept = msgspec.json.decode(trainer.services.drafts.load(MODEL_TRAINER.user_id, "training"), type=KeptDraft)
    faster = QueueTrainingJob(
        actor=MODEL_TRAINER.user_id, job_id=kept.job_id, model_id=kept.model_id, draft=kept.draft, seed=kept.seed
    )
    trainer.services.drafts.saved = lambda: trainer.services.assay.dispatch(faster)
    goes_to(send(trainer, 4, job_id=job_id), "/training-jobs")
    assert len(queued(log)) == 1


def test_a_page_of_a_discarded_model_leads_to_the_start(trainer: Site, log: MemoryLog) -> None:
    through(trainer, 4)
    job_id = job_id_on(trainer)
    trainer.post(NEW)
    goes_to(send(trainer, 4, job_id=job_id), NEW)
    assert queued(log) == []
