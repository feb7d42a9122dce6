"""概览: the key figures, each with its list, and the steps before the first training. Source: REQUIREMENTS, O-1, M-7."""

import re

import pytest

from projections.overview import SetupSteps
from tests.web.reading import assert_in_order, words
from tests.web.site import QUALITY_LEAD, Site


def test_each_figure_opens_the_list_of_what_it_counts(site: Site) -> None:  # O-1
    page = site.get("/").text
    mine = f"owner={QUALITY_LEAD.user_id}"
    for address, *shown in (
        ("/models", "模型数量", "2"),
        ("/models?sort=accuracy", "模型最低精度", "97.5 %"),
        (f"/training-jobs?{mine}", "训练任务数量", "1,234"),
        ("/prediction-jobs", "评估任务数量", "1"),
        (f"/training-jobs?status=failed&amp;{mine}", "训练 2"),
    ):
        link = re.search(rf'<a[^>]* href="{re.escape(address)}"[^>]*>(.*?)</a>', page)
        assert link, address
        assert_in_order(words(link[1]), *shown)
    assert_in_order(words(page), "异常任务数量", "3", "训练 2", "评估 1")


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
