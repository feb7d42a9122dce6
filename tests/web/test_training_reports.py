"""The report of a training, with its best and with its last weights (R-1, V-1)."""

import html

import pytest

from projections.evaluation_reports import LAST_LABEL, TRAINING_LABEL
from tests.examples import TRAINER_LI_ID, TRAINING_JOB_ID
from tests.web.predictions import FakeEvaluationReports
from tests.web.reading import assert_in_order, text
from tests.web.site import Site
from tests.web.trainings import COMPLETED, MONITOR, WORSE, furnish, job, use
from web.services import Services


@pytest.fixture
def services(services: Services) -> Services:
    return furnish(services)


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


def test_the_report_of_others_can_be_read(trainer: Site) -> None:  # T-2
    use(trainer.services, job(**COMPLETED, owner=TRAINER_LI_ID))
    trainer.read.evaluation_reports = FakeEvaluationReports((TRAINING_JOB_ID, TRAINING_LABEL))
    shown = text(trainer.get(f"{MONITOR}/report"))
    assert "混淆矩阵" in shown
    assert "模型发布" not in shown


def test_before_the_end_there_is_no_report(trainer: Site) -> None:
    trainer.read.evaluation_reports = FakeEvaluationReports()
    assert trainer.get(f"{MONITOR}/report").status_code == 404
