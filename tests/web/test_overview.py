"""概览: the key figures, each with its list, how busy the system is, and the steps before the first training.

Source: REQUIREMENTS, O-1, M-7; manual, “系统简介”.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.machine_figures import Card, Disk, MachineFigures, Place, PlaceKind
from domain.messages import JobKind
from domain.system_resources import (
    PERIODS,
    Line,
    LineMoment,
    MachineMoment,
    MachineNow,
    Span,
    SystemHistory,
    SystemNow,
    WorkerNow,
    WorkerState,
)
from projections.overview import KeyFigures, LowestAccuracy, SetupSteps
from tests.web.reading import assert_in_order, stream, words
from tests.web.site import QUALITY_LEAD, FakeChanges, Site
from web.i18n import local_time_with_seconds

GIB = 1 << 30
MODEL_ID, REPORT_ID = UUID(int=11), UUID(int=12)
LOWEST = LowestAccuracy(accuracy=0.975, model_id=MODEL_ID, model_name="panel-a", label="v1.01", report_id=REPORT_ID)
FIGURES = KeyFigures(
    model_count=2,
    lowest=LOWEST,
    training_job_count=1234,
    prediction_job_count=3,
    comparison_count=2,
    failed_training_job_count=2,
    failed_prediction_job_count=1,
    failed_comparison_count=1,
)
NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def link(page: str, address: str) -> str:
    found = re.search(rf'<a[^>]* href="{re.escape(address)}"[^>]*>(.*?)</a>', page, re.DOTALL)
    assert found, address
    return words(found[1])


def test_each_figure_opens_the_list_of_what_it_counts(site: Site) -> None:  # O-1
    site.read.overview.figures = FIGURES
    page = site.get("/").text
    mine = f"owner={QUALITY_LEAD.user_id}"
    for address, shown in (
        ("/models", "模型数量 2"),
        (f"/models/{MODEL_ID}/versions", "panel-a v1.01"),
        (f"/prediction-jobs/{REPORT_ID}/report", "最新题库预测报告"),
        (f"/training-jobs?{mine}", "训练任务数量 1,234"),
        ("/comparisons", "模型对比 2"),
        (f"/training-jobs?status=failed&amp;{mine}", "训练 2"),
        ("/prediction-jobs?status=failed", "题库预测 1"),
        ("/comparisons?status=failed", "模型对比 1"),
    ):
        assert link(page[page.index("<main") :], address) == shown
    shown = words(page)
    assert_in_order(shown, "模型最低精度", "97.5 %", "评估任务数量", "5", "题库预测 3", "异常任务数量", "4")


def test_before_the_first_prediction_the_lowest_accuracy_is_that_of_a_training(site: Site) -> None:  # O-1
    site.read.overview.figures = replace(FIGURES, lowest=replace(LOWEST, report_id=None))
    assert link(site.get("/").text, f"/models/{MODEL_ID}/versions/v1.01") == "来自训练评估"


def test_without_a_version_there_is_no_lowest_accuracy(site: Site) -> None:  # O-1
    assert_in_order(words(site.get("/").text), "模型最低精度", "—")


# The system

BUSY = WorkerNow(name="gpu-1", state=WorkerState.BUSY, seen_at=NOW, job=JobKind.TRAINING, progress=0.42)
FREE = WorkerNow(name="fab-1-packages", state=WorkerState.FREE, seen_at=NOW)
SILENT = WorkerNow(name="gpu-2", state=WorkerState.SILENT, seen_at=NOW)
FIGURES_OF_FAB_1 = MachineFigures(
    cpu_cores=8,
    cpu_load=0.37,
    memory_used_bytes=15 * GIB,
    memory_total_bytes=16 * GIB,
    disks=(
        Disk(places=(Place(PlaceKind.STATE), Place(PlaceKind.SHARED)), used_bytes=50 * GIB, total_bytes=100 * GIB),
        Disk(places=(Place(PlaceKind.DATA_ROOT, "line-3"),)),
    ),
    cards=(Card(name="NVIDIA H100", load=0.75, used_bytes=20 * GIB, total_bytes=80 * GIB, celsius=61),),
)


def system(*machines: MachineNow, **lines: Line) -> SystemNow:
    return SystemNow(machines=machines, lines=tuple(lines.get(kind.value, Line(kind=kind)) for kind in JobKind))


def row(page: str, machine: str) -> str:
    found = re.search(rf'<tr data-key="machine-{machine}">(.*?)</tr>', page, re.DOTALL)
    assert found, machine
    return words(found[1])


def test_a_row_a_machine_tells_what_runs_there_and_how_busy_and_full_it_is(trainer: Site) -> None:  # O-1, U
    machine = MachineNow(name="fab-1", figures=FIGURES_OF_FAB_1, measured_at=NOW, served_at=NOW, workers=(FREE, BUSY))
    trainer.services.machines.system = system(machine)
    page = trainer.get("/").text
    assert_in_order(
        row(page, "fab-1"),
        *("服务器", "运行中", "训练节点 fab-1-packages", "空闲", "训练节点 gpu-1", "正在训练", "42 %"),
        *("37 %", "8 核 94 %", "15.0 GiB / 16.0 GiB", "即将用尽"),
        *("50 %", "状态文件夹、共享存储 · 50.0 GiB / 100.0 GiB", "数据根目录 line-3：无法访问"),
        *("75 %", "0 · NVIDIA H100 · 20.0 GiB / 80.0 GiB · 61 °C"),
    )
    assert "系统资源使用状况" in words(page)


def test_a_worker_that_fell_silent_is_told_with_since_when(site: Site) -> None:  # O-1, T-6
    site.services.machines.system = system(MachineNow(name="gpu-2", measured_at=NOW, workers=(SILENT,)))
    shown = row(site.get("/").text, "gpu-2")
    since = local_time_with_seconds(NOW)
    assert_in_order(shown, "训练节点 gpu-2", "失去响应", f"自 {since} 起", f"自 {since} 起没有数据")
    assert "空闲" not in shown
    assert "%" not in shown


def test_a_server_that_fell_silent_is_told_beside_a_worker_that_lives(site: Site) -> None:  # O-1, S-2
    machine = MachineNow(
        name="web-2", figures=FIGURES_OF_FAB_1, measured_at=NOW, served_at=NOW, is_server_silent=True, workers=(FREE,)
    )
    site.services.machines.system = system(machine)
    assert_in_order(row(site.get("/").text, "web-2"), "服务器", "失去响应", "训练节点", "空闲", "37 %")


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"cards": ()}, "无"),
        ({"cards": (), "cards_problem": "Driver Not Loaded"}, "GPU 驱动没有响应：Driver Not Loaded"),
        ({"cards": (Card(),)}, "— 0 · 无法读取"),
    ],
)
def test_no_gpu_is_an_ordinary_case_and_a_broken_one_is_told(
    site: Site, figures: dict[str, Any], told: str
) -> None:  # O-1
    site.services.machines.system = system(
        MachineNow(name="fab-1", figures=replace(FIGURES_OF_FAB_1, **figures), measured_at=NOW)
    )
    assert row(site.get("/").text, "fab-1").endswith(told)


def test_a_machine_that_said_nothing_yet_is_there_without_figures(site: Site) -> None:  # O-1
    site.services.machines.system = system(MachineNow(name="old-1", workers=(FREE,)))
    assert "尚未收到" in row(site.get("/").text, "old-1")


def test_the_queue_tells_what_waits_and_since_when(site: Site) -> None:  # O-1
    training = Line(kind=JobKind.TRAINING, waiting_count=3, running_count=1, oldest_since=NOW)
    site.services.machines.system = system(training=training)
    shown = words(site.get("/").text)
    assert_in_order(shown, "全部用户的任务队列", "训练任务", "3", "1", local_time_with_seconds(NOW))
    assert_in_order(shown, "题库预测和模型对比", "0", "0", "—", "模型镜像加载", "模型导出")


def history(span: Span, *, cards: float | None = None, gap: int = 0) -> SystemHistory:
    """A full span of fab-1, and with `gap` so many steps missing in its middle."""
    period = PERIODS[span]
    count = int(period.length / period.step)
    numbers = [number for number in range(count) if not 100 <= number < 100 + gap]
    times = [NOW - period.length + (number + 1) * period.step for number in numbers]
    return SystemHistory(
        span=span,
        until=NOW,
        machines=(("fab-1", tuple(MachineMoment(at=at, cpu=0.5, memory=0.25, cards=cards) for at in times)),),
        line=tuple(LineMoment(at=at, waiting_count=3, running_count=1) for at in times),
    )


def charts(page: str) -> list[str]:
    return re.findall(r'<section class="panel" data-key="chart-.*?</section>', page, re.DOTALL)


def show_history(site: Site, span: Span = Span.HOUR, **kept: Any) -> None:
    site.services.machines.system = system(MachineNow(name="fab-1", figures=FIGURES_OF_FAB_1, measured_at=NOW))
    site.services.load_history.histories[span] = history(span, **kept)


def test_small_charts_show_the_last_hour(site: Site) -> None:  # O-1
    show_history(site)
    queue, machine = charts(site.get("/").text)
    assert_in_order(words(queue), "任务队列", "等待中 3", "进行中 1")
    assert_in_order(words(machine), "fab-1", "CPU 50", "内存 25")
    assert "GPU" not in words(machine)
    assert machine.count('<path class="line line-1" d="M') == 2  # in the legend and in the chart


def test_a_machine_with_gpus_has_lines_of_them(site: Site) -> None:  # O-1
    show_history(site, cards=0.75)
    assert "GPU 利用率 75" in words(charts(site.get("/").text)[1])


def test_the_last_day_is_another_address(site: Site) -> None:  # O-1, S-4
    show_history(site, Span.DAY)
    page = site.get("/?span=day").text
    assert link(page, "/?span=day#charts") == "最近 24 小时"
    assert 'data-stream="/live?span=day"' in page
    assert len(charts(page)) == 2
    assert 'data-stream="/live"' in site.get("/?span=week").text


def test_a_time_without_figures_is_a_gap_and_no_line(site: Site) -> None:  # O-1
    show_history(site, gap=5)
    machine = charts(site.get("/").text)[1]
    [drawn] = re.findall(r'<path class="line line-1" d="([^"]+)" data-name', machine)
    assert drawn.count("M") == 2


def test_each_chart_is_a_table_too(site: Site) -> None:  # S-4
    show_history(site)
    table = charts(site.get("/").text)[1]
    first = local_time_with_seconds(NOW - timedelta(minutes=59, seconds=40))
    assert_in_order(words(table), "以表格显示", "时间", "CPU", "内存", first, "50.0", "25.0")

    assert table.count("<tr>") == 14


def test_a_machine_that_is_forgotten_leaves_the_charts(site: Site) -> None:  # O-1
    show_history(site)
    site.services.machines.system = system()
    assert len(charts(site.get("/").text)) == 1


def test_what_moves_is_sent_and_nothing_else(site: Site) -> None:  # O-1
    machine = MachineNow(name="fab-1", figures=FIGURES_OF_FAB_1, measured_at=NOW)
    site.services.machines.system = system(machine)
    object.__setattr__(site.services, "changes", FakeChanges(7, 7, 7))
    answers = iter([system(machine), system(replace(machine, workers=(FREE,)))])
    last = system(replace(machine, workers=(FREE,)))
    site.services.machines.now = lambda: next(answers, last)
    sent = re.findall(r"data: (\w+)\r?\n", stream(site, "/live", rounds=3))
    names = [name for name in sent if name in ("figures", "line", "machines", "charts")]
    assert names == ["figures", "line", "machines", "charts", "machines"]


def test_once_everything_is_set_up_the_steps_give_way_to_the_work(site: Site) -> None:  # M-7
    shown = words(site.get("/").text)
    assert "从图片到发布模型" in shown
    assert "开始训练之前" not in shown


@pytest.mark.parametrize(
    ("step", "address"),
    [(0, "/industries"), (1, "/environments"), (2, "/task-types"), (3, "/compute-resources")],
)
def test_the_step_that_is_missing_is_the_one_that_is_offered(site: Site, step: int, address: str) -> None:  # M-7
    site.read.overview.steps = SetupSteps(*(number != step for number in range(4)))
    page = site.get("/").text
    steps = page[page.index('<ol class="setup-steps">') : page.index("</ol>")]
    assert re.findall(r'<a class="button[^"]*" href="([^"]+)"', steps) == [address]
    assert words(steps).count("已完成") == 3


def test_a_model_trainer_sees_what_is_missing_and_no_way_there(trainer: Site) -> None:  # M-7, U
    trainer.read.overview.steps = SetupSteps(False, True, True, True)
    page = trainer.get("/").text
    assert "超级管理员尚未完成主数据配置" in words(page)
    assert 'href="/industries"' not in page
