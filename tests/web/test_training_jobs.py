"""训练任务管理 as people meet it: the list, and what owners do with their jobs (T-1 to T-3, T-7)."""

import html
import re
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from commands.models import PublishModelVersion
from commands.training_jobs import DeleteTrainingJob, RestartTraining, TerminateTraining
from domain.refusals import NotTheOwner
from domain.sentences import Sentence
from domain.training_jobs import OnlyTrainingCanBeTerminated, TrainedWeights, TrainingStatus
from tests.examples import TRAINER_LI_ID, TRAINING_JOB_ID, example_id
from tests.web.reading import assert_in_order, stream, text, words
from tests.web.site import MODEL_TRAINER, FakeChanges, Site
from tests.web.trainings import BEAT, COMPLETED, ENDED, MONITOR, OTHERS, OTHERS_ID, WORSE, furnish, job, use
from web.services import Services


@pytest.fixture
def services(services: Services) -> Services:
    return furnish(services)


def acts(page: str) -> list[str]:
    """What the only row of the list offers."""
    found = re.search(r'<div class="acts">(.*?)</div>', page, re.DOTALL)
    assert found
    return words(found[1]).split()


# The list


@pytest.mark.parametrize(
    ("changes", "state", "offered"),
    [
        ({"status": TrainingStatus.WAITING}, "等待中", ["删除"]),
        ({}, "正在训练", ["监控", "终止"]),
        ({**ENDED, "status": TrainingStatus.TERMINATED}, "训练终止", ["监控", "启动", "删除"]),
        (COMPLETED, "训练完成", ["监控", "模型评估报告", "模型发布", "删除"]),
        ({**ENDED, "status": TrainingStatus.FAILED}, "训练失败", ["监控", "启动", "删除"]),
        ({**COMPLETED, "status": TrainingStatus.PUBLISHED}, "已发布", ["监控", "模型评估报告"]),
    ],
)
def test_each_state_has_the_manuals_word_and_actions(
    trainer: Site, changes: dict[str, Any], state: str, offered: list[str]
) -> None:  # T-1, T-2
    use(trainer.services, job(**changes))
    answer = trainer.get("/training-jobs")
    assert_in_order(text(answer).split("个训练任务")[1], "panel-a", state, "trainer_wang")
    assert acts(answer.text) == offered


def test_jobs_of_others_can_be_looked_at_only(trainer: Site) -> None:  # T-2, U
    use(trainer.services, job(**COMPLETED, owner=TRAINER_LI_ID, owner_name="trainer_li"))
    assert acts(trainer.get("/training-jobs").text) == ["监控", "模型评估报告"]
    use(trainer.services, job(owner=TRAINER_LI_ID))
    assert acts(trainer.get("/training-jobs").text) == ["监控"]
    assert "终止" not in text(trainer.get(MONITOR)).split("panel-a v1.0")[1]


def test_a_row_shows_version_duration_and_progress(trainer: Site) -> None:  # T-3
    use(trainer.services, job(**{**ENDED, "status": TrainingStatus.TERMINATED, "iteration": 50}))
    assert_in_order(text(trainer.get("/training-jobs")), "panel-a", "v1.0", "训练终止", "00:01:33", "28 %")
    use(trainer.services, job(**{**COMPLETED, "status": TrainingStatus.PUBLISHED, "version": "v1.01"}))
    assert_in_order(text(trainer.get("/training-jobs")), "panel-a", "v1.01", "已发布", "100 %")


def test_a_heartbeat_knows_more_of_the_progress_than_the_log(trainer: Site) -> None:  # T-3
    use(trainer.services, job(), beat=BEAT)
    assert "42 %" in text(trainer.get("/training-jobs"))
    of_an_earlier_attempt = msgspec.structs.replace(BEAT, attempt=0)
    use(trainer.services, job(), beat=of_an_earlier_attempt)
    assert "28 %" in text(trainer.get("/training-jobs"))


def test_a_worker_that_goes_on_does_not_begin_at_nothing_again(trainer: Site) -> None:  # T-3, T-6
    preparing = msgspec.structs.replace(BEAT, progress=0.02, iteration=0)
    use(trainer.services, job(), beat=preparing)
    assert "28 %" in text(trainer.get("/training-jobs"))
    use(trainer.services, job(iteration=0), beat=preparing)
    assert "2 %" in text(trainer.get("/training-jobs"))
    use(trainer.services, job(iteration=200), beat=msgspec.structs.replace(preparing, progress=0.98))
    assert "98 %" in text(trainer.get("/training-jobs"))  # 100 % is what is completed


def test_the_list_moves_without_reloading(trainer: Site) -> None:  # T-3
    use(trainer.services, job(), beat=BEAT)
    page = trainer.get("/training-jobs?status=training")
    assert 'data-stream="/training-jobs/live?status=training"' in page.text
    sent = stream(trainer, "/training-jobs/live?status=training")
    assert "42 %" in sent
    assert trainer.read.training_jobs.asked["status"] is TrainingStatus.TRAINING


def test_a_list_without_a_moving_job_asks_nothing_until_the_read_models_move(trainer: Site) -> None:  # T-3
    read = use(trainer.services, job(**COMPLETED))
    object.__setattr__(trainer.services, "heartbeats", None)
    object.__setattr__(trainer.services, "changes", FakeChanges(7, 7, 7, 8, 8))
    sent = stream(trainer, "/training-jobs/live", rounds=5)
    assert (read.questions, sent.count("event: fragment")) == (["page", "page"], 1)


def test_filters_sorting_and_page_stand_in_the_address(trainer: Site) -> None:  # T-3
    answer = trainer.get(
        f"/training-jobs?status=failed&owner={TRAINER_LI_ID}&search=panel&sort=-duration&page=2&unknown=x"
    )
    assert trainer.read.training_jobs.asked == {
        "status": TrainingStatus.FAILED,
        "owner": TRAINER_LI_ID,
        "search": "panel",
        "sort": "-duration",
        "page": 2,
    }
    assert re.search(r'<option value="failed" selected>训练失败</option>', answer.text)
    trainer.get("/training-jobs?status=unheard&owner=nobody&sort=password_hash")
    assert trainer.read.training_jobs.asked == {
        "status": None,
        "owner": None,
        "search": "",
        "sort": "-queued_at",
        "page": 1,
    }


def test_an_empty_list_says_what_to_do_first(trainer: Site) -> None:
    use(trainer.services)
    assert_in_order(text(trainer.get("/training-jobs")), "还没有训练任务", "新建模型")
    assert "没有符合条件的训练任务" in text(trainer.get("/training-jobs?search=nothing"))


def test_an_unknown_job_does_not_exist(trainer: Site) -> None:
    for address in ("", "/live", "/log", "/report"):
        assert trainer.get(f"/training-jobs/{example_id('no such job')}{address}").status_code == 404


@pytest.mark.parametrize("action", ["terminate", "delete", "publish", "restart"])
def test_whoever_acts_on_what_is_gone_is_told_so_in_the_list(trainer: Site, action: str) -> None:  # T-2
    gone = f"/training-jobs/{example_id('no such job')}/{action}"
    for ask in (trainer.post, trainer.get)[: 1 if action == "restart" else 2]:
        answer = ask(gone)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/training-jobs")
        assert "该项此前已被删除或移除。" in text(trainer.get("/training-jobs"))


@pytest.mark.parametrize(
    ("action", "status", "told"),
    [
        ("publish", TrainingStatus.PUBLISHED, "“panel-a”不能发布：只有训练完成的任务才能发布，且只能发布一次。"),
        ("terminate", TrainingStatus.COMPLETED, "“panel-a”已不在训练中。"),
        ("terminate", TrainingStatus.WAITING, "“panel-a”正在等待"),
        ("delete", TrainingStatus.PUBLISHED, "“panel-a”在当前状态下不能删除。"),
    ],
)
def test_what_is_settled_already_is_told_and_not_asked(
    trainer: Site, action: str, status: TrainingStatus, told: str
) -> None:  # T-2, V-1
    use(trainer.services, job(**{**COMPLETED, "status": status}))
    answer = trainer.get(f"{MONITOR}/{action}")
    assert (answer.status_code, answer.headers["Location"]) == (303, MONITOR)
    assert told in text(trainer.get(MONITOR))


def test_what_was_filtered_stays_so_when_a_job_is_deleted(trainer: Site) -> None:  # T-2, T-3
    use(trainer.services, job(**{**ENDED, "status": TrainingStatus.FAILED}))
    filtered = "/training-jobs?status=failed"
    question = f"{MONITOR}/delete?back={quote(filtered, safe='')}"
    assert f'href="{question}"' in html.unescape(trainer.get(filtered).text)
    assert f'name="back" value="{filtered}"' in html.unescape(trainer.get(question).text)
    assert trainer.post(f"{MONITOR}/delete", back=filtered).headers["Location"] == filtered
    assert trainer.post(f"{MONITOR}/delete", back="https://evil.example").headers["Location"] == "/training-jobs"


# Actions


@pytest.mark.parametrize(
    ("action", "command", "state", "question"),
    [
        ("terminate", TerminateTraining, {}, "确定终止“panel-a”的训练吗？"),
        ("delete", DeleteTrainingJob, COMPLETED, "确定删除训练任务“panel-a”吗？"),
        ("publish", PublishModelVersion, COMPLETED, "确定将“panel-a”发布到我的模型吗？"),
    ],
)
def test_what_cannot_be_undone_is_asked_for_first(
    trainer: Site, action: str, command: type[Any], state: dict[str, Any], question: str
) -> None:
    use(trainer.services, job(**state))
    shown = trainer.get(f"{MONITOR}/{action}")
    assert question in text(shown)
    assert f'action="{MONITOR}/{action}"' in shown.text
    assert trainer.assay.commands == []
    answer = trainer.post(f"{MONITOR}/{action}")
    assert answer.status_code == 303
    (sent,) = trainer.assay.commands
    assert (type(sent), sent.actor, sent.job_id) == (command, MODEL_TRAINER.user_id, TRAINING_JOB_ID)


def test_the_list_says_why_a_training_failed(trainer: Site) -> None:  # T-7
    failed = {**ENDED, "status": TrainingStatus.FAILED, "reason": Sentence("“{name}” has 99 versions.", {"name": "a"})}
    use(trainer.services, job(**failed))
    row = trainer.get("/training-jobs").text
    assert "has 99 versions" in row[row.index('<tr class="reason"') :]


def test_starting_again_needs_one_click(trainer: Site) -> None:  # T-2
    use(trainer.services, job(**{**ENDED, "status": TrainingStatus.FAILED}))
    assert f'action="{MONITOR}/restart"' in trainer.get("/training-jobs").text
    assert trainer.post(f"{MONITOR}/restart").headers["Location"] == MONITOR
    assert [type(command) for command in trainer.assay.commands] == [RestartTraining]


@pytest.mark.parametrize("action", ["terminate", "restart", "delete", "publish"])
def test_others_jobs_are_not_acted_on_even_by_a_direct_request(trainer: Site, action: str) -> None:  # U-6
    use(trainer.services, job(job_id=OTHERS_ID, owner=TRAINER_LI_ID))
    trainer.assay.refuse_with(NotTheOwner())
    assert "此项属于其他用户" in text(trainer.post(f"{OTHERS}/{action}"), 403)
    assert trainer.assay.commands == []


def test_a_refused_action_says_what_to_do_next(trainer: Site) -> None:
    trainer.assay.refuse_with(OnlyTrainingCanBeTerminated(name="panel-a"))
    assert "“panel-a”已不在训练中。请在列表中查看其状态。" in text(trainer.post(f"{MONITOR}/terminate"), 422)


def test_who_publishes_chooses_the_best_or_the_last_weights(trainer: Site) -> None:  # V-1
    use(trainer.services, job(**WORSE))
    page = trainer.get(f"{MONITOR}/publish")
    assert re.search(r'name="weights" value="best" checked', page.text)
    assert_in_order(
        text(page), "最佳权重（第 150 次迭代）", "准确率 90.0 %", "最后权重（第 200 次迭代）", "准确率 80.0 %"
    )
    for chosen in ("last", "best", "nonsense"):
        trainer.post(f"{MONITOR}/publish", weights=chosen)
    sent = [command.chosen_weights for command in trainer.assay.commands]
    assert sent == [TrainedWeights.LAST, TrainedWeights.BEST, TrainedWeights.BEST]
