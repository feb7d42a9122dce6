"""题库预测 in the manual's words: the list, one job, and who may act on it (P-2), over the real write side."""

import html
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from domain.facts import Fact
from domain.messages import Heartbeat, JobKind
from domain.prediction_jobs import PredictionDeleted, PredictionJob, PredictionStatus, PredictionTerminated
from domain.sentences import Sentence
from domain.waiting import NOBODY_IS_LARGE_ENOUGH
from gpu_worker.jobs import LOG_FILE, workspace_of
from tests.examples import (
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    MemoryLog,
    example_id,
)
from tests.web.new_prediction import JOB, JOBS, ME, EmptiableFolders, FakeComputeResources, furnish, text
from tests.web.predictions import FakeHeartbeats, FakePredictionJobs, job
from tests.web.reading import assert_in_order, stream
from tests.web.site import QUALITY_LEAD as QUALITY_LEAD_ACCOUNT
from tests.web.site import FakeWaiting, Site
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


def queue_a_job(services: Services, log: MemoryLog, *facts: Fact, **changes: Any) -> None:
    """A job of the model trainer, in the log and in the list."""
    services.read.prediction_jobs.jobs.append(job(**changes))
    for fact in (msgspec.structs.replace(PREDICTION_QUEUED, owner=ME), *facts):
        version = 1 + sum(event.originator_id == PREDICTION_JOB_ID for event in log.events)
        log.events.append(
            msgspec.structs.replace(
                log.events[0], originator_id=PREDICTION_JOB_ID, originator_version=version, data=fact
            )
        )


def state_in(log: MemoryLog) -> PredictionJob:
    state = log.load(PredictionJob, PREDICTION_JOB_ID)
    assert state is not None
    return state


# The list.


def test_the_list_has_the_manuals_columns_and_the_users_own_jobs(trainer: Site) -> None:  # P-2
    trainer.read.prediction_jobs = FakePredictionJobs(
        job(), job(job_id=example_id("other"), owner=QUALITY_LEAD_ACCOUNT.user_id, name="not-mine")
    )
    shown = text(trainer.get(JOBS))
    assert_in_order(shown, "任务名称", "模型名称", "模型版本", "模型类型", "任务状态", "预测时长", "操作")
    assert_in_order(shown, "panel-a-check", "panel-a", "v1.01", "分类", "预测完成", "00:02:00", "查看评估报告", "删除")
    assert "not-mine" not in shown


def test_an_empty_list_says_what_to_do_first(trainer: Site) -> None:
    assert_in_order(text(trainer.get(JOBS)), "您还没有预测任务", "新建预测任务")


# P-2
@pytest.mark.parametrize(
    ("status", "word", "acts"),
    [
        (PredictionStatus.WAITING, "等待中", ["删除"]),
        (PredictionStatus.PREDICTING, "预测中", ["终止"]),
        (PredictionStatus.TERMINATED, "预测终止", ["启动", "删除"]),
        (PredictionStatus.COMPLETED, "预测完成", ["查看评估报告", "删除"]),
        (PredictionStatus.FAILED, "运行失败", ["启动", "删除"]),
    ],
)
def test_every_state_offers_its_own_actions(
    trainer: Site, status: PredictionStatus, word: str, acts: list[str]
) -> None:
    reason = Sentence("The disk is full.") if status is PredictionStatus.FAILED else None
    trainer.read.prediction_jobs = FakePredictionJobs(job(status=status, reason=reason))
    for address in (JOBS, JOB):
        shown = text(trainer.get(address))
        assert word in shown
        offered = [one for one in ("查看评估报告", "终止", "启动", "删除") if one in shown.replace("预测终止", "")]
        assert offered == acts
        assert (reason is not None) == ("The disk is full." in shown)


def test_a_waiting_job_says_why_it_waits(trainer: Site) -> None:  # P-2, T-6
    trainer.read.prediction_jobs = FakePredictionJobs(job(status=PredictionStatus.WAITING))
    assert "按提交先后依次运行" in text(trainer.get(JOB))
    object.__setattr__(trainer.services, "waiting", FakeWaiting(Sentence(NOBODY_IS_LARGE_ENOUGH)))
    for address in (JOBS, JOB):
        assert_in_order(
            text(trainer.get(address)), "正在运行的训练节点都不具备所需的计算资源。", "的配置。自 2026-03-02"
        )


def test_a_running_job_moves_without_reloading(trainer: Site) -> None:  # P-2
    started = datetime.now(UTC) - timedelta(seconds=75)
    running = job(status=PredictionStatus.PREDICTING, started_at=started, ended_at=None, log=None)
    trainer.read.prediction_jobs = FakePredictionJobs(running)
    beat = Heartbeat(
        worker="gpu-1", kind=JobKind.PREDICTION, job_id=PREDICTION_JOB_ID, attempt=1, progress=0.42, seconds_left=61
    )
    object.__setattr__(trainer.services, "heartbeats", FakeHeartbeats(beat))
    assert f'data-stream="{JOBS}/live"' in trainer.get(JOBS).text
    rows = stream(trainer, f"{JOBS}/live")
    assert "data: rows" in rows
    assert "42 %" in rows
    assert "00:01:15" in rows
    part = stream(trainer, f"{JOB}/live")
    assert "data: job" in part
    assert "00:01:01" in part


def test_a_job_whose_worker_says_nothing_shows_no_made_up_progress(trainer: Site) -> None:  # P-2
    started = datetime.now(UTC)
    trainer.read.prediction_jobs = FakePredictionJobs(
        job(status=PredictionStatus.PREDICTING, started_at=started, ended_at=None)
    )
    answer = trainer.get(JOB)
    assert re.search(r'<progress max="1" aria-label', answer.text)
    assert "%" not in text(answer)


# One job.


def test_a_job_tells_what_it_judges_and_how_it_went(trainer: Site) -> None:  # P-2
    trainer.read.prediction_jobs = FakePredictionJobs(job())
    shown = text(trainer.get(JOB))
    assert_in_order(shown, "预测完成", "预测时长 00:02:00", "训练节点 gpu-1", "下载日志")
    assert_in_order(shown, "panel-a v1.01", "data:panel-a/question-bank", "归一化处理", "开启", "90.0 %")


def test_a_job_says_which_compute_resource_it_waits_for_and_how_it_judges(trainer: Site) -> None:  # P-1, P-2
    trainer.read.prediction_jobs = FakePredictionJobs(job(status=PredictionStatus.WAITING, batch_size=4096))
    assert_in_order(text(trainer.get(JOB)), "计算资源 通用型 · 2 核 · 4 GiB batch_size 4,096 归一化处理 开启")
    assert "已删除" not in text(trainer.get(JOB))
    trainer.read.compute_resources = FakeComputeResources()
    assert "计算资源 （已删除）" in text(trainer.get(JOB)), "also where nothing is known of it any more"


def test_the_log_is_downloaded_under_the_name_of_the_job(trainer: Site, tmp_path: Path) -> None:  # P-2
    written = tmp_path / "run.log"
    written.write_text("loss 0.1\n")
    kept = trainer.services.artifacts.keep(written)
    trainer.read.prediction_jobs = FakePredictionJobs(job(log=kept))
    answer = trainer.get(f"{JOB}/log")
    assert (answer.status_code, answer.text) == (200, "loss 0.1\n")
    assert 'filename="panel-a-check.log"' in answer.headers["Content-Disposition"]
    trainer.read.prediction_jobs = FakePredictionJobs(job(log=None))
    assert trainer.get(f"{JOB}/log").status_code == 404
    assert "本次运行没有留下日志" in text(trainer.get(JOB))
    trainer.read.prediction_jobs = FakePredictionJobs(job(log=None, status=PredictionStatus.PREDICTING, ended_at=None))
    assert "训练节点还没有写入日志" in text(trainer.get(JOB))
    trainer.read.prediction_jobs = FakePredictionJobs(job(log=None, status=PredictionStatus.WAITING, started_at=None))
    assert "任务开始后可下载日志" in text(trainer.get(JOB))


def test_the_log_of_a_running_job_is_downloaded_as_far_as_it_is(trainer: Site, tmp_path: Path) -> None:  # P-2
    workspace = workspace_of(tmp_path / "scratch", PREDICTION_JOB_ID, 2, 2)
    workspace.mkdir(parents=True)
    (workspace / LOG_FILE).write_text("up to now")
    running: dict[str, Any] = {"status": PredictionStatus.PREDICTING, "ended_at": None, "log": None}
    trainer.read.prediction_jobs = FakePredictionJobs(job(**running, attempt=2))
    assert f'href="{JOB}/log"' in trainer.get(JOB).text
    first = trainer.get(f"{JOB}/log")
    assert (first.text, first.headers["Content-Type"]) == ("up to now", "text/plain; charset=utf-8")
    (workspace / LOG_FILE).write_text("up to now, and more")
    assert trainer.get(f"{JOB}/log", **{"If-None-Match": first.headers["ETag"]}).text == "up to now, and more"
    trainer.read.prediction_jobs = FakePredictionJobs(
        job(**running, attempt=3)
    )  # another worker's, which has not begun
    assert trainer.get(f"{JOB}/log").status_code == 404


def test_a_job_shows_its_log_as_soon_as_there_is_one(trainer: Site, tmp_path: Path) -> None:  # P-2
    running: dict[str, Any] = {"status": PredictionStatus.PREDICTING, "ended_at": None, "log": None, "attempt": 1}
    trainer.read.prediction_jobs = FakePredictionJobs(job(**running))
    assert f'href="{JOB}/log"' not in stream(trainer, f"{JOB}/live")
    workspace = workspace_of(tmp_path / "scratch", PREDICTION_JOB_ID, 1, 1)
    workspace.mkdir(parents=True)
    (workspace / LOG_FILE).write_text("begun")
    assert f'href="{JOB}/log"' in stream(trainer, f"{JOB}/live")


def test_a_log_that_was_kept_goes_before_the_one_that_was_written(trainer: Site, tmp_path: Path) -> None:  # P-2
    workspace = workspace_of(tmp_path / "scratch", PREDICTION_JOB_ID, 1, 1)
    workspace.mkdir(parents=True)
    (workspace / LOG_FILE).write_text("written")
    whole = tmp_path / "kept"
    whole.write_text("kept")
    kept = trainer.services.artifacts.keep(whole)
    trainer.read.prediction_jobs = FakePredictionJobs(job(log=kept, attempt=1))
    assert trainer.get(f"{JOB}/log").text == "kept"
    failed = job(status=PredictionStatus.FAILED, log=None, attempt=1)  # its worker died before it kept any
    trainer.read.prediction_jobs = FakePredictionJobs(failed)
    assert trainer.get(f"{JOB}/log").text == "written"


def test_terminating_is_asked_before_it_is_done(trainer: Site, log: MemoryLog) -> None:  # P-2
    queue_a_job(trainer.services, log, PREDICTION_STARTED, status=PredictionStatus.PREDICTING)
    for page in (JOBS, JOB):
        assert f'href="{JOB}/terminate" class="link-danger" data-dialog' in trainer.get(page).text
    assert_in_order(text(trainer.get(f"{JOB}/terminate")), "确定终止“panel-a-check”吗？", "再次启动时，预测从 0% 开始")
    assert state_in(log).status is PredictionStatus.PREDICTING
    answer = trainer.post(f"{JOB}/terminate")
    assert (answer.status_code, answer.headers["Location"]) == (303, JOB)
    assert state_in(log).status is PredictionStatus.TERMINATED
    assert log.events[-1].origin.actor == ME
    assert "“panel-a-check”已终止" in text(trainer.get(JOB))


@pytest.mark.parametrize(("stay", "back"), [("job", JOB), ("", JOBS)])
def test_starting_again_leads_back_to_where_one_was(trainer: Site, log: MemoryLog, stay: str, back: str) -> None:  # P-2
    queue_a_job(trainer.services, log, PREDICTION_STARTED, PredictionTerminated(), status=PredictionStatus.TERMINATED)
    answer = trainer.post(f"{JOB}/restart", stay=stay)
    assert (answer.status_code, answer.headers["Location"]) == (303, back)
    assert state_in(log).status is PredictionStatus.WAITING
    assert log.events[-1].origin.actor == ME
    assert "预测将从 0% 开始" in text(trainer.get(JOBS))


def test_an_action_that_comes_too_late_is_refused_with_a_sentence(trainer: Site, log: MemoryLog) -> None:  # P-2
    queue_a_job(trainer.services, log, PREDICTION_STARTED, PREDICTION_COMPLETED)
    answer = trainer.post(f"{JOB}/terminate")
    assert answer.status_code == 422
    assert "“panel-a-check”未处于预测中" in text(answer)
    assert state_in(log).status is PredictionStatus.COMPLETED


@pytest.mark.parametrize(
    ("act", "status", "told"),
    [
        ("terminate", PredictionStatus.COMPLETED, "“panel-a-check”未处于预测中"),
        ("delete", PredictionStatus.PREDICTING, "正在预测中，请先终止再删除"),
    ],
)
def test_what_is_settled_already_is_told_and_not_asked(
    trainer: Site, act: str, status: PredictionStatus, told: str
) -> None:  # P-2
    trainer.read.prediction_jobs = FakePredictionJobs(job(status=status))
    answer = trainer.get(f"{JOB}/{act}")
    assert (answer.status_code, answer.headers["Location"]) == (303, JOB)
    assert told in text(trainer.get(JOB))


def test_a_finished_job_is_not_started_again(trainer: Site, log: MemoryLog) -> None:  # P-2
    queue_a_job(trainer.services, log, PREDICTION_STARTED, PREDICTION_COMPLETED)
    answer = trainer.post(f"{JOB}/restart")
    assert answer.status_code == 422
    assert "“panel-a-check”只有在任务终止或失败之后才能重新启动" in text(answer)
    assert state_in(log).status is PredictionStatus.COMPLETED


def test_deleting_is_asked_before_it_is_done(trainer: Site, log: MemoryLog) -> None:  # P-2
    queue_a_job(trainer.services, log, PREDICTION_STARTED, PREDICTION_COMPLETED)
    assert "确定删除“panel-a-check”及其评估报告吗？" in text(trainer.get(f"{JOB}/delete"))
    assert not state_in(log).is_deleted
    answer = trainer.post(f"{JOB}/delete")
    assert (answer.status_code, answer.headers["Location"]) == (303, JOBS)
    assert isinstance(log.events[-1].data, PredictionDeleted)


def test_what_was_filtered_stays_so_when_a_job_goes_or_starts_again(trainer: Site, log: MemoryLog) -> None:  # P-2
    queue_a_job(trainer.services, log, PREDICTION_STARTED, PredictionTerminated(), status=PredictionStatus.TERMINATED)
    filtered = f"{JOBS}?status=terminated"
    shown = html.unescape(trainer.get(filtered).text)
    question = f"{JOB}/delete?back={quote(filtered, safe='')}"
    assert f'href="{question}"' in shown
    assert f'name="back" value="{filtered}"' in shown, "of the button that starts it again"
    assert f'name="back" value="{filtered}"' in html.unescape(trainer.get(question).text)
    for act in ("restart", "delete"):
        assert trainer.post(f"{JOB}/{act}", back=filtered).headers["Location"] == filtered
    assert trainer.post(f"{JOB}/delete", back=filtered).headers["Location"] == filtered, "also where it is gone"
    assert trainer.post(f"{JOB}/delete", back="https://evil.example").headers["Location"] == JOBS


def test_a_running_job_is_not_deleted(trainer: Site, log: MemoryLog) -> None:  # P-2
    queue_a_job(trainer.services, log, PREDICTION_STARTED, status=PredictionStatus.PREDICTING)
    answer = trainer.post(f"{JOB}/delete")
    assert answer.status_code == 422
    assert "正在预测中，请先终止再删除" in text(answer)
    assert not state_in(log).is_deleted


# Who may see and do it.


@pytest.mark.parametrize("page", ["", "/live", "/report", "/log", "/delete"])
def test_nobody_sees_jobs_of_others_not_even_a_super_administrator(site: Site, page: str) -> None:  # P-2, U
    site.read.prediction_jobs = FakePredictionJobs(job())
    answer = site.get(f"{JOB}{page}")
    assert answer.status_code == 403
    assert "panel-a-check" not in answer.text


@pytest.mark.parametrize("act", ["terminate", "restart", "delete"])
def test_nobody_acts_on_jobs_of_others(site: Site, log: MemoryLog, act: str) -> None:  # P-2, U
    queue_a_job(site.services, log, PREDICTION_STARTED)
    before = len(log.events)
    assert site.post(f"{JOB}/{act}").status_code == 403
    assert len(log.events) == before


def test_a_job_that_is_not_there_is_not_found(trainer: Site) -> None:
    for page in ("", "/report", "/log"):
        assert trainer.get(f"{JOB}{page}").status_code == 404
    for ask, act in ((trainer.get, "terminate"), (trainer.post, "terminate"), (trainer.post, "restart")):
        assert ask(f"{JOB}/{act}").headers["Location"] == JOBS
        assert "该项此前已被删除或移除" in text(trainer.get(JOBS))


def test_who_deletes_a_job_a_second_time_is_told_that_it_is_gone(trainer: Site, log: MemoryLog) -> None:  # P-2
    queue_a_job(trainer.services, log, PREDICTION_STARTED, PREDICTION_COMPLETED, PredictionDeleted())
    for is_listed in (True, False):  # the read models may be a moment behind
        trainer.read.prediction_jobs = FakePredictionJobs(*[job()] * is_listed)
        answer = trainer.post(f"{JOB}/delete")
        assert (answer.status_code, answer.headers["Location"]) == (303, JOBS)
        assert "该项此前已被删除或移除" in text(trainer.get(JOBS))
    assert trainer.get(f"{JOB}/delete").headers["Location"] == JOBS
