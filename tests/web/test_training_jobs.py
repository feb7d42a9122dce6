"""训练任务管理 as people meet it: the list, the monitor, the actions and the report (T-1 to T-7, R-1)."""

import html
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import msgspec
import pytest

from commands.models import PublishModelVersion
from commands.training_jobs import DeleteTrainingJob, RestartTraining, TerminateTraining
from domain.artifacts import Artifact
from domain.messages import Heartbeat, JobKind, LossPart, PartLog, StageName
from domain.refusals import NotTheOwner
from domain.sentences import Sentence
from domain.training_jobs import OnlyTrainingCanBeTerminated, TrainedWeights, TrainingStatus, VersionUsed
from domain.training_parameters import Augmentation, PreprocessingParameters
from domain.uses import NeededIsGone
from domain.waiting import NOBODY_RUNS
from projections.compute_resources import ComputeResourceRow
from projections.evaluation_reports import LAST_LABEL, TRAINING_LABEL
from projections.read_model import Page
from projections.training_jobs import (
    Creator,
    LossPoint,
    PartRow,
    StageRow,
    TrainingJobDetail,
    TrainingJobRow,
    ValidationRow,
)
from tests.examples import (
    APPLIED_RULE,
    BINDING,
    CLASSIFICATION_USED,
    FIGURES,
    LAST_FIGURES,
    MODEL_ID,
    PANEL_75,
    TRAINER_LI_ID,
    TRAINING_JOB_ID,
    TRAINING_ORDER,
    TRAINING_QUEUED,
    TWO_CORES,
    TWO_CORES_ID,
    WORSE_AT_THE_END,
    artifact,
    example_id,
)
from tests.web.predictions import FakeEvaluationReports, FakeHeartbeats
from tests.web.reading import assert_in_order, stream, words
from tests.web.site import MODEL_TRAINER, FakeChanges, FakeWaiting, Site
from web.services import Services

MONITOR = f"/training-jobs/{TRAINING_JOB_ID}"
OTHERS_ID = example_id("trainer_li's job")
OTHERS = f"/training-jobs/{OTHERS_ID}"


def job(**changes: Any) -> TrainingJobDetail:
    """A job of the signed-in model trainer that has been training for a minute."""
    fields: dict[str, Any] = {
        "job_id": TRAINING_JOB_ID,
        "owner": MODEL_TRAINER.user_id,
        "owner_name": "trainer_wang",
        "model_id": MODEL_ID,
        "model_name": "panel-a",
        "model_image": TRAINING_QUEUED.model_image,
        "task_type": CLASSIFICATION_USED,
        "status": TrainingStatus.TRAINING,
        "version": "",
        "worker": "gpu-1",
        "attempt": 1,
        "run": 1,
        "queued_at": datetime(2026, 3, 1, 8, 0, tzinfo=UTC),
        "running_since": datetime.now(UTC) - timedelta(seconds=60),
        "ended_at": None,
        "spent_seconds": 0.0,
        "iteration": 50,
        "max_iter": 200,
        "environment": BINDING,
        "compute_resource_id": TWO_CORES_ID,
        "ordered": TRAINING_ORDER,
        "reason": None,
        "log": None,
        "part_logs": (),
        "losses": None,
        "weights": None,
        "evaluation": None,
        "figures": None,
        "resolution_rule": None,
        "device": "",
        "software": "",
    }
    return TrainingJobDetail(**fields | changes)


ENDED: dict[str, Any] = {
    "running_since": None,
    "ended_at": datetime(2026, 3, 1, 8, 3, tzinfo=UTC),
    "spent_seconds": 93.5,
    "iteration": 200,
}
COMPLETED: dict[str, Any] = {
    **ENDED,
    "status": TrainingStatus.COMPLETED,
    "log": artifact("log", 4),
    "losses": artifact("losses", 4),
    "figures": FIGURES,
    "device": "cpu",
    "software": "torch 2.9.1",
}
WORSE: dict[str, Any] = {
    **COMPLETED,
    "kept_weights": WORSE_AT_THE_END.kept_weights,
    "last_figures": LAST_FIGURES,
}
"""Its best validation was not its last."""
BEAT = Heartbeat(
    worker="gpu-1",
    kind=JobKind.TRAINING,
    job_id=TRAINING_JOB_ID,
    attempt=1,
    progress=0.42,
    iteration=77,
    loss=0.25,
    seconds_left=3600.0,
    activity="Training",
)


def stage(name: StageName, **found: Any) -> StageRow:
    fields: dict[str, Any] = {
        "stage": name,
        "seconds": 1.5,
        "image_count": 0,
        "non_compliant_count": 0,
        "damaged_count": 0,
        "left_out_count": 0,
        "unmasked_count": 0,
        "training_count": 0,
        "validation_count": 0,
        "resolution_rule": None,
        "manifest": None,
        "preview": None,
    }
    return StageRow(**fields | found)


class FakeTrainingJobs:
    def __init__(self, *jobs: TrainingJobDetail) -> None:
        self.jobs = {job.job_id: job for job in jobs}
        self.asked: dict[str, Any] = {}
        self.questions: list[str] = []
        self.stage_rows: list[StageRow] = []
        self.part_rows = [PartRow(part=LossPart.CLASSIFICATION, iteration=0, max_iter=200, learning_rate=None)]
        self.points: list[LossPoint] = []
        self.validation_rows: list[ValidationRow] = []

    def page(self, **asked: Any) -> Page[TrainingJobRow]:
        self.asked = asked
        self.questions.append("page")
        return Page(items=tuple(self.jobs.values()), total=len(self.jobs), number=1, size=20)

    def creators(self) -> list[Creator]:
        return [Creator(job.owner, job.owner_name) for job in self.jobs.values()]

    def get(self, job_id: UUID) -> TrainingJobDetail | None:
        return self.jobs.get(job_id)

    def stages(self, _job_id: UUID) -> list[StageRow]:
        return self.stage_rows

    def parts(self, _job_id: UUID) -> list[PartRow]:
        return self.part_rows

    def losses(self, _job_id: UUID, _part: LossPart) -> list[LossPoint]:
        self.questions.append("losses")
        return self.points

    def validations(self, _job_id: UUID) -> list[ValidationRow]:
        return self.validation_rows


@pytest.fixture
def services(services: Services) -> Services:
    resource = ComputeResourceRow(TWO_CORES_ID, TWO_CORES.kind, TWO_CORES.resources, datetime(2026, 3, 1, tzinfo=UTC))
    services.read.compute_resources = SimpleNamespace(get=lambda _resource_id: resource)
    object.__setattr__(services, "running_logs", FakeRunningLogs())
    services.read.environments = SimpleNamespace(standing=lambda ids: [one for one in ids if one != PANEL_75.node_id])
    use(services, job())
    return services


def use(services: Services, *jobs: TrainingJobDetail, beat: Heartbeat | None = None) -> FakeTrainingJobs:
    services.read.training_jobs = FakeTrainingJobs(*jobs)
    object.__setattr__(services, "heartbeats", FakeHeartbeats(*([beat] if beat else [])))
    jobs_of: FakeTrainingJobs = services.read.training_jobs
    return jobs_of


def text(answer: httpx.Response, status: int = 200) -> str:
    assert answer.status_code == status, answer.text
    return words(html.unescape(answer.text))


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


# The monitor


def test_the_monitor_shows_each_stage_with_state_time_and_counts(trainer: Site) -> None:  # T-4
    augmented = msgspec.structs.replace(
        TRAINING_ORDER, preprocessing=PreprocessingParameters(augmentations=(Augmentation.FLIPPING,))
    )
    read = use(trainer.services, job(ordered=augmented))
    shown = text(trainer.get(MONITOR))
    assert_in_order(shown, "归一化处理", "进行中", "—", "数据划分", "未开始", "数据增强", "未开始")
    read.stage_rows = [
        stage(
            StageName.RESOLUTION_SCREENING,
            seconds=6.25,
            image_count=120,
            non_compliant_count=3,
            damaged_count=1,
            resolution_rule=APPLIED_RULE,
        ),
        stage(StageName.DATA_SPLIT, training_count=93, validation_count=23, manifest=artifact("manifest")),
    ]
    shown = text(trainer.get(MONITOR))
    assert_in_order(shown, "归一化处理", "完成", "6.2 秒", "图片 120 张", "不合规样本 3 张", "损坏 1 张", "224 × 224")
    assert_in_order(shown, "数据划分", "完成", "训练集 93 张", "验证集 23 张", "下载图片清单")
    assert_in_order(shown, "数据增强", "进行中")
    assert "已完成" not in shown  # the manual's word is 完成
    read.stage_rows.append(stage(StageName.DATA_AUGMENTATION, preview=artifact("preview")))
    page = trainer.get(MONITOR)
    assert_in_order(text(page), "数据增强", "完成", "图像翻转")
    assert f'src="{MONITOR}/preview"' in page.text


def test_a_stage_that_runs_says_for_how_long(trainer: Site) -> None:  # T-4
    begun = datetime.now(UTC) - timedelta(seconds=70)
    read = use(trainer.services, job(running_since=begun))
    read.stage_rows = [stage(StageName.RESOLUTION_SCREENING, seconds=40.0)]
    shown = text(trainer.get(MONITOR))
    (seconds,) = re.findall(r"数据划分 进行中 (\d+) 秒", shown)
    assert 30 <= int(seconds) < 40
    use(trainer.services, job(running_since=begun, interruptions=1)).stage_rows = read.stage_rows
    assert "数据划分 进行中 —" in text(
        trainer.get(MONITOR)
    )  # the worker that goes on begins with the first stage again


def test_stages_that_a_job_did_not_reach_are_not_said_to_run(trainer: Site) -> None:  # T-4
    use(trainer.services, job(**{**ENDED, "status": TrainingStatus.FAILED}))
    shown = text(trainer.get(MONITOR))
    assert_in_order(shown, "归一化处理", "已中断", "数据划分", "未执行")
    assert "进行中" not in shown


def test_what_was_deleted_since_is_marked_in_the_monitor(trainer: Site) -> None:  # M-1, M-3, M-6, M-8
    resource = trainer.read.compute_resources.get(TWO_CORES_ID)
    shown = text(trainer.get(MONITOR))
    assert_in_order(shown, "行业 显示面板", "产品 65寸面板", "75寸面板 （已删除）")
    assert "4 GiB （已删除）" not in shown
    gone = msgspec.structs.replace(resource, is_deleted=True)
    trainer.read.compute_resources = SimpleNamespace(get=lambda _resource_id: gone)
    assert "2 核 · 4 GiB （已删除）" in text(trainer.get(MONITOR))


def test_the_monitor_says_what_the_training_started_from(trainer: Site) -> None:  # W-12
    assert "初始权重 模型镜像自带的权重" in text(trainer.get(MONITOR))
    use(trainer.services, job(started_from=VersionUsed(MODEL_ID, "panel-b", "v1.03")))
    assert "初始权重 panel-b v1.03 的权重" in text(trainer.get(MONITOR))
    use(trainer.services, job(ordered=msgspec.structs.replace(TRAINING_ORDER, initial_weights=None)))
    assert "初始权重 无：从零开始训练" in text(trainer.get(MONITOR))


def test_a_job_whose_compute_resource_was_deleted_says_so_when_it_is_started_again(trainer: Site) -> None:  # M-6
    trainer.assay.refuse_with(NeededIsGone(name="panel-a"))
    answer = trainer.post(f"{MONITOR}/restart")
    assert 400 <= answer.status_code < 500
    assert "“panel-a”无法启动：其所需的计算资源或模型镜像版本已删除。请新建任务并另行选择。" in answer.text


def test_the_monitor_shows_progress_time_and_expected_end(trainer: Site) -> None:  # T-5
    use(trainer.services, job(), beat=BEAT)
    shown = text(trainer.get(MONITOR))
    end = (datetime.now(UTC) + timedelta(hours=1)).astimezone()
    assert_in_order(shown, "42 %", "迭代次数", "77 / 200", "训练时长", "00:01:0", "预计训练结束时间", f"{end:%Y-%m-%d}")
    assert_in_order(shown, "损失", "0.25")


def test_the_loss_curve_has_iterations_below_and_losses_beside(trainer: Site) -> None:  # T-5
    read = use(trainer.services, job())
    assert_in_order(text(trainer.get(MONITOR)), "分类训练损失函数", "暂无数据")
    read.points = [LossPoint(10, 1.1), LossPoint(20, 0.9), LossPoint(30, 0.7)]
    read.part_rows = [PartRow(part=LossPart.CLASSIFICATION, iteration=30, max_iter=200, learning_rate=0.008)]
    page = trainer.get(MONITOR)
    assert_in_order(text(page), "分类训练损失函数", "iteration", "loss", "已记录到第 30 次迭代，此时学习率为 0.008")
    assert_in_order(text(page), "30", "0.7", "20", "0.9", "10", "1.1")  # the same as a table
    assert 'data-points="10 1.1,20 0.9,30 0.7"' in page.text
    in_the_legend, curve = re.findall(r'<path class="line line-1" d="([^"]+)"', page.text)
    assert curve.count("L") == 2, in_the_legend


@pytest.mark.parametrize(
    ("iteration", "end"), [(1, 5), (100, 150), (2000, 2500), (12_000, 15_000), (36_000, 40_000), (40_000, 40_000)]
)
def test_the_axis_of_a_long_training_grows_with_its_curve(trainer: Site, iteration: int, end: int) -> None:  # T-5
    read = use(trainer.services, job(max_iter=40_000))
    read.part_rows = [PartRow(part=LossPart.CLASSIFICATION, iteration=iteration, max_iter=40_000, learning_rate=0.01)]
    read.points = [LossPoint(iteration, 0.4)]
    (axis_end,) = re.findall(r'data-x-high="([\d.]+)"', trainer.get(MONITOR).text)
    assert float(axis_end) == end


def test_segmentation_has_a_curve_of_its_own(trainer: Site) -> None:  # T-5
    read = use(trainer.services, job())
    assert "分割训练损失函数" not in text(trainer.get(MONITOR))
    read.part_rows.append(PartRow(part=LossPart.SEGMENTATION, iteration=0, max_iter=900, learning_rate=None))
    assert "分割训练损失函数" in text(trainer.get(MONITOR))


def test_validation_figures_come_as_they_are_measured(trainer: Site) -> None:  # T-5
    read = use(trainer.services, job())
    read.validation_rows = [
        ValidationRow(
            part=LossPart.CLASSIFICATION,
            iteration=iteration,
            accuracy=accuracy,
            recall=None,
            loss=0.5,
            iou=None,
            code_ious=(),
        )
        for iteration, accuracy in ((50, 0.7), (100, 0.85))
    ]
    assert_in_order(text(trainer.get(MONITOR)), "分类验证指标", "100", "85.0 %", "—", "0.5", "50", "70.0 %")


def test_a_segmentation_is_validated_by_the_iou_of_every_code(trainer: Site) -> None:  # T-5, R-1
    read = use(trainer.services, job())
    read.part_rows.append(PartRow(part=LossPart.SEGMENTATION, iteration=40, max_iter=900, learning_rate=0.01))
    read.validation_rows = [
        ValidationRow(
            part=LossPart.SEGMENTATION,
            iteration=40,
            accuracy=None,
            recall=None,
            loss=0.5,
            iou=0.375,
            code_ious=(0.75, None, 0.0),
        )
    ]
    shown = text(trainer.get(MONITOR))
    assert_in_order(
        shown, "分割验证指标", "平均交并比", "TPFIP", "TTFBS", "TTMUD", "40", "37.5 %", "75.0 %", "—", "0.0 %"
    )


def test_images_without_a_mask_are_counted(trainer: Site) -> None:  # W-9
    read = use(trainer.services, job())
    read.stage_rows = [stage(StageName.RESOLUTION_SCREENING, image_count=9, unmasked_count=2)]
    assert "2 张没有掩膜，未用于分割训练" in text(trainer.get(MONITOR))
    read.stage_rows = [stage(StageName.RESOLUTION_SCREENING, image_count=9)]
    assert "没有掩膜" not in text(trainer.get(MONITOR))


def test_the_monitor_moves_part_by_part_without_reloading(trainer: Site) -> None:  # T-5
    use(trainer.services, job(), beat=BEAT)
    page = trainer.get(MONITOR)
    assert f'data-stream="{MONITOR}/live"' in page.text
    sent = stream(trainer, f"{MONITOR}/live")
    parts = re.findall(r"^data: (\w+)\r?$", sent, re.MULTILINE)
    assert parts == ["acts", "progress", "stages", "curves", "facts"]
    assert all(f'data-live="{part}"' in page.text for part in parts)
    assert "42 %" in sent


def test_a_long_curve_is_read_again_only_when_it_has_grown(trainer: Site) -> None:  # T-5
    read = use(trainer.services, job(), beat=BEAT)
    grown = [PartRow(part=LossPart.CLASSIFICATION, iteration=at, max_iter=200, learning_rate=0.008) for at in (30, 60)]
    for part_rows, questions in (([grown[0]] * 3, 1), ([grown[0], grown[0], grown[1]], 2)):
        read.questions.clear()
        looks = iter([[row] for row in part_rows])
        read.parts = lambda _job_id, looks=looks: next(looks)  # type: ignore[method-assign,misc]
        object.__setattr__(trainer.services, "changes", FakeChanges(7, 8, 9))
        stream(trainer, f"{MONITOR}/live", rounds=3)
        assert read.questions == ["losses"] * questions


def test_a_run_that_is_started_again_is_drawn_anew_though_it_is_where_the_one_before_was(
    trainer: Site,
) -> None:  # T-2, T-5
    read = use(trainer.services, job())
    looks = iter([job(run=1), job(run=1), job(run=1), job(run=2)])
    read.get = lambda _job_id: next(looks)  # type: ignore[method-assign,assignment]
    object.__setattr__(trainer.services, "changes", FakeChanges(7, 8, 9))
    stream(trainer, f"{MONITOR}/live", rounds=3)
    assert read.questions == ["losses", "losses"]


def test_who_works_on_a_job_moves_too(trainer: Site) -> None:  # T-5
    read = use(trainer.services, job(status=TrainingStatus.WAITING, worker=""))
    looks = iter([job(worker="")] * 2 + [job(worker="gpu-7")])
    read.get = lambda _job_id: next(looks)  # type: ignore[method-assign,assignment]
    object.__setattr__(trainer.services, "changes", FakeChanges(7, 8))
    assert "gpu-7" in stream(trainer, f"{MONITOR}/live", rounds=2)


def test_the_monitor_of_a_job_that_is_deleted_meanwhile_ends(trainer: Site) -> None:  # T-2
    class Leaving(FakeChanges):
        async def next_change(self, after: int, timeout: float, rest: float) -> int:  # noqa: ASYNC109 - as above it
            trainer.read.training_jobs.jobs.clear()
            return await super().next_change(after, timeout, rest)

    object.__setattr__(trainer.services, "changes", Leaving(7))
    assert "event: gone" in stream(trainer, f"{MONITOR}/live", rounds=9)


def test_a_failed_job_says_why_and_offers_its_log(trainer: Site) -> None:  # T-7
    reason = Sentence(
        "The training diverged: the loss of iteration {iteration} is not a finite number (learning rate"
        " {learning_rate}). Lower base_lr, then start again.",
        {"iteration": 312, "learning_rate": 0.5},
    )
    use(trainer.services, job(**{**ENDED, "status": TrainingStatus.FAILED, "reason": reason, "log": artifact("log")}))
    page = trainer.get(MONITOR)
    assert_in_order(text(page), "训练失败。", "第 312 次迭代的损失不是有限数值", "请减小 base_lr")
    assert f'href="{MONITOR}/log"' in page.text


def test_everything_is_still_there_after_the_job_ended(trainer: Site) -> None:  # T-5
    read = use(trainer.services, job(**COMPLETED))
    read.points = [LossPoint(200, 0.3)]
    read.stage_rows = [stage(StageName.DATA_SPLIT, training_count=93)]
    shown = text(trainer.get(MONITOR))
    assert_in_order(shown, "100 %", "200 / 200", "00:01:33", "结束时间", "下载日志", "分类训练损失函数", "训练集 93 张")
    assert_in_order(shown, "cpu", "torch 2.9.1", "65寸面板")
    assert "预计训练结束时间" not in shown


def test_a_waiting_job_says_why_and_for_what_it_waits(trainer: Site) -> None:  # T-6
    use(trainer.services, job(status=TrainingStatus.WAITING, running_since=None, worker=""))
    object.__setattr__(trainer.services, "waiting", FakeWaiting(Sentence(NOBODY_RUNS)))
    why = ("没有正在运行的训练节点可以处理此任务。", "起等待。")
    assert_in_order(text(trainer.get(MONITOR)), *why, "所需计算资源：通用型 · 2 核 · 4 GiB")
    assert_in_order(text(trainer.get("/training-jobs")), "panel-a", "等待中", *why)


def test_a_training_whose_worker_is_not_heard_says_so(trainer: Site) -> None:  # T-6
    silent = "目前收不到训练节点“gpu-1”的消息"
    use(trainer.services, job())
    assert silent in text(trainer.get(MONITOR))
    use(trainer.services, job(), beat=BEAT)
    assert silent not in text(trainer.get(MONITOR))
    use(trainer.services, job(running_since=datetime.now(UTC)))  # it has just begun
    assert silent not in text(trainer.get(MONITOR))
    use(trainer.services, job(**COMPLETED))
    assert silent not in text(trainer.get(MONITOR))


def test_a_job_that_waits_for_nothing_is_not_said_to(trainer: Site) -> None:  # T-6
    object.__setattr__(trainer.services, "waiting", FakeWaiting(Sentence(NOBODY_RUNS)))
    use(trainer.services, job(status=TrainingStatus.TRAINING))
    assert "起等待" not in text(trainer.get(MONITOR)) + text(trainer.get("/training-jobs"))


def test_only_a_run_that_was_interrupted_goes_on_from_its_checkpoint(trainer: Site) -> None:  # T-2, T-6
    waiting: dict[str, Any] = {"status": TrainingStatus.WAITING, "running_since": None, "worker": ""}
    use(trainer.services, job(**waiting, attempt=4, run=2))
    assert "检查点" not in text(trainer.get(MONITOR))
    use(trainer.services, job(**waiting, attempt=4, run=2, interruptions=2))
    assert "已中断 2 次；训练将从上一个检查点继续" in text(trainer.get(MONITOR))


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


# Files


class FakeArtifacts:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def intact(self, wanted: Artifact, *, by_content: bool = False) -> Path:  # noqa: ARG002 - contents are as they were put
        found = self.folder / wanted.checksum
        found.write_bytes(b"1234")
        return found


def test_log_losses_images_and_preview_are_downloaded(trainer: Site, tmp_path: Path) -> None:  # T-5
    read = use(trainer.services, job(**COMPLETED))
    read.stage_rows = [
        stage(StageName.DATA_SPLIT, manifest=artifact("manifest", 4)),
        stage(StageName.DATA_AUGMENTATION, preview=artifact("preview", 4)),
    ]
    object.__setattr__(trainer.services, "artifacts", FakeArtifacts(tmp_path))
    for name, file_name in (
        ("log", "panel-a-v1.0.log"),
        ("losses", "panel-a-v1.0-losses.jsonl"),
        ("manifest", "panel-a-v1.0-images.jsonl"),
    ):
        answer = trainer.get(f"{MONITOR}/{name}")
        assert (answer.status_code, answer.content) == (200, b"1234")
        assert file_name in answer.headers["Content-Disposition"]
    preview = trainer.get(f"{MONITOR}/preview")
    assert (preview.headers["Content-Type"], preview.headers["Content-Disposition"][:6]) == ("image/png", "inline")


def test_each_of_two_networks_has_a_log_of_its_own(trainer: Site, tmp_path: Path) -> None:  # T-5
    logs = tuple(PartLog(part=part, log=artifact(f"{part.value} log", 4)) for part in LossPart)
    use(trainer.services, job(**{**COMPLETED, "part_logs": logs}))
    object.__setattr__(trainer.services, "artifacts", FakeArtifacts(tmp_path))
    assert_in_order(text(trainer.get(MONITOR)), "下载日志", "分类训练日志", "分割训练日志")
    for part in LossPart:
        answer = trainer.get(f"{MONITOR}/log/{part.value}")
        assert (answer.status_code, answer.content) == (200, b"1234")
        assert f"panel-a-v1.0-{part.value}.log" in answer.headers["Content-Disposition"]
    assert trainer.get(f"{MONITOR}/log/nonsense").status_code == 404
    use(trainer.services, job(**COMPLETED))
    assert "分割训练日志" not in text(trainer.get(MONITOR))
    assert trainer.get(f"{MONITOR}/log/segmentation").status_code == 404


def test_files_that_a_job_does_not_have_are_not_found(trainer: Site) -> None:
    for name in ("log", "losses", "manifest", "preview"):
        assert trainer.get(f"{MONITOR}/{name}").status_code == 404
    told = "训练开始后可下载日志", "训练节点还没有写入日志", "本次运行没有留下日志"
    states = TrainingStatus.WAITING, TrainingStatus.TRAINING, TrainingStatus.FAILED
    for status, said in zip(states, told, strict=True):
        use(trainer.services, job(status=status))
        assert said in text(trainer.get(MONITOR))


class FakeRunningLogs:
    """Logs by run; None is the whole one."""

    def __init__(self, *files: tuple[int, LossPart | None, Path]) -> None:
        self.files = files

    def of(self, _job_id: UUID, run: int) -> Path | None:
        return next((file for one, part, file in self.files if one == run and part is None), None)

    def of_parts(self, _job_id: UUID, run: int) -> dict[LossPart, Path]:
        return {part: file for one, part, file in self.files if one == run and part}


def test_the_log_of_a_running_training_is_downloaded_as_far_as_it_is(trainer: Site, tmp_path: Path) -> None:  # T-5
    whole, part = tmp_path / "log.txt", tmp_path / "log-segmentation.txt"
    whole.write_text("up to now")
    part.write_text("of the segmentation")
    logs = FakeRunningLogs((2, None, whole), (2, LossPart.SEGMENTATION, part))
    object.__setattr__(trainer.services, "running_logs", logs)
    use(trainer.services, job(run=2))
    assert_in_order(text(trainer.get(MONITOR)), "下载日志", "分割训练日志")
    first = trainer.get(f"{MONITOR}/log")
    assert (first.text, first.headers["Content-Type"]) == ("up to now", "text/plain; charset=utf-8")
    assert trainer.get(f"{MONITOR}/log/segmentation").text == "of the segmentation"
    assert trainer.get(f"{MONITOR}/log", **{"If-None-Match": first.headers["ETag"]}).status_code == 304
    whole.write_text("up to now, and more")
    assert trainer.get(f"{MONITOR}/log", **{"If-None-Match": first.headers["ETag"]}).text == "up to now, and more"
    use(trainer.services, job(run=3))  # which has not begun
    assert trainer.get(f"{MONITOR}/log").status_code == 404


def test_a_log_that_was_kept_goes_before_the_one_that_was_written(trainer: Site, tmp_path: Path) -> None:  # T-5
    (tmp_path / "log.txt").write_text("written")
    object.__setattr__(trainer.services, "artifacts", FakeArtifacts(tmp_path))
    object.__setattr__(trainer.services, "running_logs", FakeRunningLogs((1, None, tmp_path / "log.txt")))
    use(trainer.services, job(**COMPLETED))
    assert trainer.get(f"{MONITOR}/log").text == "1234"
    use(trainer.services, job(**{**ENDED, "status": TrainingStatus.TERMINATED}))  # its worker died before it kept any
    assert trainer.get(f"{MONITOR}/log").text == "written"


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


# The report


def test_the_report_of_a_training_is_that_of_its_validation_split(trainer: Site) -> None:
    use(trainer.services, job(**COMPLETED))
    trainer.read.evaluation_reports = FakeEvaluationReports((TRAINING_JOB_ID, TRAINING_LABEL))
    page = trainer.get(f"{MONITOR}/report")
    assert_in_order(text(page), "panel-a 的模型评估报告", "模型发布", "基于验证集", "准确率", "召回率", "混淆矩阵")
    assert f"{MONITOR}/report?true=TTFBS" in html.unescape(page.text)


def test_a_report_tells_best_and_last_weights_with_iteration_and_figures(trainer: Site) -> None:  # R-1, V-1
    use(trainer.services, job(**WORSE))
    trainer.read.evaluation_reports = FakeEvaluationReports((TRAINING_JOB_ID, TRAINING_LABEL))
    page = trainer.get(f"{MONITOR}/report")
    shown = text(page)
    assert_in_order(shown, "保留的权重", "最佳权重", "150", "90.0 %", "最后权重", "200", "80.0 %", "75.0 %")
    assert f'href="{MONITOR}/report/last"' in page.text
    assert "各缺陷" not in shown.split("保留的权重")[0]


def test_the_last_weights_have_a_report_of_their_own(trainer: Site) -> None:
    use(trainer.services, job(**WORSE))
    trainer.read.evaluation_reports = FakeEvaluationReports((TRAINING_JOB_ID, LAST_LABEL))
    page = trainer.get(f"{MONITOR}/report/last")
    assert_in_order(text(page), "最后一次迭代的权重", "混淆矩阵")
    assert f"{MONITOR}/report/last?true=TTFBS" in html.unescape(page.text)
    sample = trainer.get(f"/evaluation-reports/{TRAINING_JOB_ID}/{LAST_LABEL}/samples/7?true=TTFBS")
    assert f'href="{MONITOR}/report/last?true=TTFBS#samples"' in sample.text
    trainer.read.evaluation_reports = FakeEvaluationReports((TRAINING_JOB_ID, TRAINING_LABEL))
    assert trainer.get(f"{MONITOR}/report/last").status_code == 404


def test_last_weights_that_are_the_best_are_told_as_one(trainer: Site) -> None:
    use(trainer.services, job(**{**WORSE, "last_figures": None}))
    trainer.read.evaluation_reports = FakeEvaluationReports((TRAINING_JOB_ID, TRAINING_LABEL))
    page = trainer.get(f"{MONITOR}/report")
    assert_in_order(text(page), "最佳权重，也是最后权重", "没有其他权重")
    assert "/report/last" not in page.text
    assert "最后权重" not in text(trainer.get(f"{MONITOR}/publish"))


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


def test_the_owner_downloads_the_weights_and_nobody_else(trainer: Site, tmp_path: Path) -> None:  # U, V-1
    object.__setattr__(trainer.services, "artifacts", FakeArtifacts(tmp_path))
    kept = msgspec.structs.replace(WORSE_AT_THE_END.kept_weights[0], last=artifact("last", 4))
    use(trainer.services, job(**{**WORSE, "kept_weights": (kept,)}))
    answer = trainer.get(f"{MONITOR}/weights/last/classification")
    assert answer.content == b"1234"
    assert "panel-a-v1.0-classification-last.safetensors" in answer.headers["Content-Disposition"]
    for unknown in ("worst/classification", "last/segmentation"):
        assert trainer.get(f"{MONITOR}/weights/{unknown}").status_code == 404
    use(trainer.services, job(**{**WORSE, "owner": TRAINER_LI_ID}))
    assert trainer.get(f"{MONITOR}/weights/last/classification").status_code == 403
    trainer.read.evaluation_reports = FakeEvaluationReports((TRAINING_JOB_ID, TRAINING_LABEL))
    assert "/weights/" not in trainer.get(f"{MONITOR}/report").text


def test_the_report_of_others_can_be_read(trainer: Site) -> None:  # T-2
    use(trainer.services, job(**COMPLETED, owner=TRAINER_LI_ID))
    trainer.read.evaluation_reports = FakeEvaluationReports((TRAINING_JOB_ID, TRAINING_LABEL))
    shown = text(trainer.get(f"{MONITOR}/report"))
    assert "混淆矩阵" in shown
    assert "模型发布" not in shown


def test_before_the_end_there_is_no_report(trainer: Site) -> None:
    trainer.read.evaluation_reports = FakeEvaluationReports()
    assert trainer.get(f"{MONITOR}/report").status_code == 404
