"""【模型评估报告】 of a version, from the list to the figures (V-3), over the real parts."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.evaluation import Evaluation
from domain.evaluation_figures import figures_of
from domain.messages import VersionResult
from domain.prediction_jobs import PredictionCompleted, PredictionKind, PredictionQueued
from tests.examples import (
    DEFECT_CODES,
    MODEL_ID,
    PREDICTION_COMPLETED,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    TRAINER_WANG_ID,
    VERSION_PUBLISHED,
    example_id,
    plant,
    sample,
)
from tests.web.reading import assert_in_order, words
from tests.web.real_site import RealSite, open_real_site

OLDER, NEWER, UNFINISHED, COMPARED = (
    example_id(f"{name} check") for name in ("older", "newer", "unfinished", "compared")
)
VERSIONS = f"/models/{MODEL_ID}/versions"


def queued(name: str, *labels: str) -> PredictionQueued:
    """With one version, or with two: a comparison."""
    version = PREDICTION_QUEUED.order.versions[0]
    versions = tuple(msgspec.structs.replace(version, label=label) for label in labels)
    order = msgspec.structs.replace(PREDICTION_QUEUED.order, versions=versions)
    kind = PredictionKind.QUESTION_BANK if len(labels) == 1 else PredictionKind.COMPARISON
    return msgspec.structs.replace(PREDICTION_QUEUED, name=name, kind=kind, order=order)


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    """trainer_wang is signed in and owns a model with two versions. With the first were made two predictions and, later, one that
    is not finished and a comparison.
    """
    with open_real_site(database, tmp_path) as opened:

        def completed(right_count: int, *labels: str) -> PredictionCompleted:
            """So many of ten images were predicted rightly."""
            samples = tuple(sample(number, 0, 0 if number < right_count else 1) for number in range(10))
            evaluation = Evaluation(defect_codes=DEFECT_CODES, samples=samples)
            (tmp_path / "evaluation").write_bytes(msgspec.msgpack.encode(evaluation))
            kept = opened.services.artifacts.keep(tmp_path / "evaluation")
            results = [VersionResult(label=label, evaluation=kept, figures=figures_of(evaluation)) for label in labels]
            return msgspec.structs.replace(PREDICTION_COMPLETED, results=tuple(results))

        both = ("v1.01", "v1.02")
        second = msgspec.structs.replace(VERSION_PUBLISHED, version="v1.02")
        wang: dict[str, Any] = {"actor": TRAINER_WANG_ID}
        opened.happened(
            plant()
            .add(MODEL_ID, VERSION_PUBLISHED, second, **wang)
            .add(OLDER, queued("older", "v1.01"), PREDICTION_STARTED, completed(7, "v1.01"), **wang)
            .add(NEWER, queued("newer", "v1.01"), PREDICTION_STARTED, completed(9, "v1.01"), **wang)
            .add(UNFINISHED, queued("unfinished", "v1.01"), PREDICTION_STARTED, **wang)
            .add(COMPARED, queued("compared", *both), PREDICTION_STARTED, completed(5, *both), **wang)
        )
        opened.enter(TRAINER_WANG_ID)
        yield opened


def report_of(site: RealSite, label: str) -> str:
    """What somebody reads who clicks 【模型评估报告】 of the version."""
    assert f'href="{VERSIONS}/{label}/report">模型评估报告</a>' in site.get(VERSIONS).text
    answer = site.get(f"{VERSIONS}/{label}/report")
    if answer.status_code == 303:
        answer = site.get(answer.headers["Location"])
    assert answer.status_code == 200
    return words(html.unescape(answer.text))


def test_the_report_of_a_version_is_its_newest_finished_prediction_and_no_comparison(site: RealSite) -> None:  # V-3
    assert_in_order(report_of(site, "v1.01"), "模型评估报告", "newer", "panel-a v1.01", "准确率 90.0 %")


def test_when_the_newest_is_deleted_the_one_before_is_the_newest(site: RealSite) -> None:  # V-3
    assert site.post(f"/prediction-jobs/{NEWER}/delete").status_code == 303
    assert_in_order(report_of(site, "v1.01"), "older", "panel-a v1.01", "准确率 70.0 %")


def test_a_version_that_was_only_compared_has_none_and_says_what_to_do(site: RealSite) -> None:  # V-3
    assert "该版本还没有题库预测" in report_of(site, "v1.02")
