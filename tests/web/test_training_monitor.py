"""监控 as people meet it: stages, curves, progress, and what moves while a job trains (T-4 to T-6)."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from domain.messages import LossPart, StageName
from domain.sentences import Sentence
from domain.training_jobs import TrainingStatus, VersionUsed
from domain.training_parameters import Augmentation, PreprocessingParameters
from domain.uses import NeededIsGone
from domain.waiting import NOBODY_RUNS
from projections.training_jobs import LossPoint, PartRow, ValidationRow
from tests.examples import APPLIED_RULE, MODEL_ID, TRAINING_ORDER, TWO_CORES_ID, artifact
from tests.web.reading import assert_in_order, stream, text
from tests.web.site import FakeChanges, FakeWaiting, Site
from tests.web.trainings import BEAT, COMPLETED, ENDED, MONITOR, furnish, job, stage, use
from web.services import Services


@pytest.fixture
def services(services: Services) -> Services:
    return furnish(services)


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
