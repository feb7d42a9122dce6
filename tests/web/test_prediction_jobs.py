"""题库预测 in the manual's words: the list, one job, and 新建预测任务 in three steps (P-1, P-2), over the real write side."""

import dataclasses
import html
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import msgspec
import pytest

from commands.assay import Assay
from domain.compute_resources import ComputeResourceKind
from domain.data_paths import DefectCodeCount, FolderName, Inspection
from domain.datasets import DatasetPurpose
from domain.facts import Fact, Recorded
from domain.messages import Heartbeat, JobKind
from domain.prediction_jobs import (
    PredictionDeleted,
    PredictionJob,
    PredictionQueued,
    PredictionStatus,
    PredictionTerminated,
)
from domain.sentences import Sentence
from domain.waiting import NOBODY_IS_LARGE_ENOUGH
from gpu_worker.jobs import LOG_FILE, workspace_of
from infra.artifacts import Artifacts
from infra.images import ListedImage, ListedImages
from infra.running_logs import RunningLogs
from projections.compute_resources import ComputeResourceRow
from projections.models import ModelVersionChoice
from projections.overview import SetupSteps
from tests.examples import (
    BINDING,
    CLASSIFICATION_USED,
    DEFECT_CODES,
    FACTORY_2,
    LEVEL_NAMES,
    MODEL_ID,
    NODES,
    PANEL_65,
    PANEL_75,
    PORTS,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    QUALITY_LEAD,
    QUESTION_BANK_FOLDER,
    QUESTION_BANK_ID,
    QUESTION_BANK_PATH_ID,
    TRAINER_WANG,
    TRAINING_QUEUED,
    TWO_CORES,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    KnownFolders,
    MemoryLog,
    example_id,
    inspection,
    plant,
)
from tests.web.offered_datasets import OfferedDatasets, dataset, path_row
from tests.web.offered_versions import OfferedModels
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.predictions import QUEUED_AT, FakeHeartbeats, FakePredictionJobs, job
from tests.web.reading import assert_in_order, stream, words
from tests.web.site import MODEL_TRAINER, FakeWaiting, Site
from tests.web.site import QUALITY_LEAD as QUALITY_LEAD_ACCOUNT
from web.services import Services

JOBS, NEW = "/prediction-jobs", "/prediction-jobs/new"
JOB = f"{JOBS}/{PREDICTION_JOB_ID}"
ME = MODEL_TRAINER.user_id
TYPED_FOLDER = FolderName("data", "panel-a/next-line")
STRANGE_FOLDER = FolderName("data", "panel-b")


class EmptiableFolders(KnownFolders):
    """Folders that can be emptied while a person fills in the form."""

    def __init__(self) -> None:
        self.known = {
            "/data/panel-a/question-bank": inspection(QUESTION_BANK_FOLDER, images_per_code=10),
            "/data/panel-a/next-line": inspection(TYPED_FOLDER, images_per_code=2),
            "/data/panel-b": msgspec.structs.replace(
                inspection(STRANGE_FOLDER), defect_codes=(DefectCodeCount("TXXXX", 120),)
            ),
        }
        super().__init__(self.known)
        self.looks = 0

    def inspect_folders(self, folders: Sequence[FolderName]) -> list[Inspection]:
        self.looks += 1
        return super().inspect_folders(folders)

    def empty(self, folder: FolderName) -> None:
        gone = {typed: one for typed, one in self.known.items() if one.folder != folder}
        super().__init__(gone)


class MemoryDrafts:
    def __init__(self) -> None:
        self.kept: dict[tuple[UUID, str], bytes] = {}

    def load(self, user_id: UUID, kind: str) -> bytes | None:
        return self.kept.get((user_id, kind))

    def save(self, user_id: UUID, kind: str, content: bytes) -> None:
        self.kept[user_id, kind] = content

    def drop(self, user_id: UUID, kind: str) -> None:
        self.kept.pop((user_id, kind), None)


def version(label: str, name: str = "panel-a", model_id: UUID = MODEL_ID) -> ModelVersionChoice:
    return ModelVersionChoice(
        model_id=model_id,
        model_name=name,
        label=label,
        task_type=CLASSIFICATION_USED,
        environment=BINDING,
        model_image=TRAINING_QUEUED.model_image,
        network="ResNet18",
        defect_codes=DEFECT_CODES,
        accuracy=0.9,
        recall=0.9,
        published_at=QUEUED_AT,
    )


QUESTIONS = dataset(
    QUESTION_BANK_ID,
    "panel-a-questions",
    path_row(QUESTION_BANK_PATH_ID, inspection(QUESTION_BANK_FOLDER, images_per_code=10)),
)


class FakeComputeResources:
    def __init__(self, *ids: UUID) -> None:
        self.ids = ids

    def list(self) -> tuple[ComputeResourceRow, ...]:
        return tuple(
            ComputeResourceRow(one, ComputeResourceKind.GENERAL_PURPOSE, TWO_CORES.resources, QUEUED_AT)
            for one in self.ids
        )

    def get(self, compute_resource_id: UUID) -> ComputeResourceRow | None:
        return next((one for one in self.list() if one.compute_resource_id == compute_resource_id), None)


class OneImage:
    def page(self, data_path: FolderName, defect_code: str, *, offset: int, count: int) -> ListedImages:
        assert (offset, count) == (0, 60)
        folder = FolderName(data_path.root, f"next-line/{defect_code}.png")
        return ListedImages(images=(ListedImage(folder=folder, has_mask=False),), total=1)


@pytest.fixture
def folders() -> EmptiableFolders:
    return EmptiableFolders()


@pytest.fixture
def log() -> MemoryLog:
    """What the write side has stored; each test adds what it needs."""
    return MemoryLog()


@pytest.fixture
def services(services: Services, folders: EmptiableFolders, log: MemoryLog, tmp_path: Path) -> Services:
    mine = msgspec.structs.replace(VERSION_PUBLISHED, owner=ME)
    history = plant().add(ME, TRAINER_WANG).add(QUALITY_LEAD_ACCOUNT.user_id, QUALITY_LEAD).add(MODEL_ID, mine)
    log.events += history.events
    parts: dict[str, Any] = {
        "assay": Assay(log, dataclasses.replace(PORTS, data_folders=folders)),
        "drafts": MemoryDrafts(),
        "heartbeats": FakeHeartbeats(),
        "artifacts": Artifacts(tmp_path),
        "running_logs": RunningLogs(tmp_path / "scratch"),
        "data_folders": folders,
    }
    for name, part in parts.items():
        object.__setattr__(services, name, part)  # the application holds these very services
    services.read.prediction_jobs = FakePredictionJobs()
    services.read.models = OfferedModels(ME, version("v1.01"))
    services.read.datasets = OfferedDatasets(DatasetPurpose.QUESTION_BANK, QUESTIONS)
    services.read.compute_resources = FakeComputeResources(TWO_CORES_ID, example_id("four cores"))
    services.read.industries = FakeIndustries(PANELS)
    services.read.environments = FakeEnvironments(gone=[PANEL_75.node_id])
    return services


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


def text(answer: httpx.Response) -> str:
    return words(html.unescape(answer.text))


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


# 新建预测任务.


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
