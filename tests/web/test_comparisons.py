"""模型对比 in the manual's words: list, steps and report with both versions (P-1 to P-6), over the real parts."""

import csv
import html
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from PIL import Image

from domain.artifacts import Artifact
from domain.evaluation import Evaluation, Sample, SampleState, Segmented
from domain.evaluation_figures import figures_of
from domain.messages import VersionResult
from domain.prediction_jobs import PredictionKind, PredictionQueued
from tests.examples import (
    DEFECT_CODES,
    MODEL_ID,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    VERSION_PUBLISHED,
    example_id,
    plant,
    sample,
)
from tests.web.reading import assert_in_order, text, words
from tests.web.real_site import RealSite, open_real_site

LIST, NEW = "/comparisons", "/comparisons/new"
JOB_ID = example_id("one against two")
JOB = f"{LIST}/{JOB_ID}"
SECOND_VERSION = msgspec.structs.replace(VERSION_PUBLISHED, version="v1.02")
OTHER_MODEL_ID = example_id("glass-edge")


def judged(*predicted: int, non_compliant: int, pixels: tuple[int, ...]) -> Evaluation:
    """Six images: the first five of TPFIP, TPFIP, TTFBS, TTFBS, TTMUD; then one that a rule may set aside, and a broken file.
    `pixels` were predicted in the third.
    """
    true = (0, 0, 1, 1, 2)
    samples: list[Sample] = [sample(number, code, predicted[number]) for number, code in enumerate(true)]
    samples[2] = msgspec.structs.replace(samples[2], segmented=Segmented(pixels, overlay=b"a PNG"))
    samples.append(
        sample(5, 2, non_compliant, state=SampleState.NON_COMPLIANT if non_compliant < 0 else SampleState.JUDGED)
    )
    samples.append(sample(6, 2, -1, state=SampleState.DAMAGED))
    return Evaluation(defect_codes=DEFECT_CODES, samples=tuple(samples))


FIRST = judged(0, 1, 1, 0, 2, non_compliant=-1, pixels=(0, 1200, 0))
SECOND = judged(0, 0, 0, 0, 2, non_compliant=2, pixels=(1500, 300, 0))
"""From the first to the second, one TPFIP is fixed, one TTFBS broken, one TTFBS wrong in both."""


def queued(**changes: object) -> PredictionQueued:
    first = PREDICTION_QUEUED.order.versions[0]
    versions = (first, msgspec.structs.replace(first, label="v1.02"))
    order = msgspec.structs.replace(PREDICTION_QUEUED.order, versions=versions)
    fields = {"name": "one-against-two", "kind": PredictionKind.COMPARISON, "order": order} | changes
    return msgspec.structs.replace(PREDICTION_QUEUED, **fields)


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    """trainer_wang is signed in, and owns a model with two versions and their comparison; the images lie where the report says."""
    with open_real_site(database, tmp_path) as opened:

        def kept(name: str, evaluation: Evaluation) -> Artifact:
            (tmp_path / name).write_bytes(msgspec.msgpack.encode(evaluation))
            artifact: Artifact = opened.services.artifacts.keep(tmp_path / name)
            return artifact

        for one in FIRST.samples[:6]:
            picture = tmp_path / one.folder.path
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (one.true_index * 90, 0, 0)).save(picture)
        results = tuple(
            VersionResult(label=label, evaluation=kept(label, evaluation), figures=figures_of(evaluation))
            for label, evaluation in (("v1.01", FIRST), ("v1.02", SECOND))
        )
        completed = msgspec.structs.replace(PREDICTION_COMPLETED, results=results)
        other = msgspec.structs.replace(VERSION_PUBLISHED, model_name="glass-edge")
        opened.happened(
            plant()
            .add(MODEL_ID, VERSION_PUBLISHED, SECOND_VERSION, actor=TRAINER_WANG_ID)
            .add(OTHER_MODEL_ID, other, msgspec.structs.replace(other, version="v1.02"), actor=TRAINER_WANG_ID)
            .add(JOB_ID, queued(), PREDICTION_STARTED, completed, actor=TRAINER_WANG_ID)
            .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, actor=TRAINER_WANG_ID)
        )
        opened.enter(TRAINER_WANG_ID)
        yield opened


def shown(answer: httpx.Response) -> list[str]:
    """The files on the right side, in their order."""
    return re.findall(r'<p title="([^"]+)"', answer.text)


def test_the_list_shows_comparisons_only_and_both_versions(site: RealSite) -> None:  # P-2
    answer = text(site.get(LIST))
    assert_in_order(
        answer, "模型对比", "共 1 个对比任务", "one-against-two", "panel-a", "v1.01、v1.02", "分类", "预测完成"
    )
    assert "panel-a-check" not in answer
    assert "one-against-two" not in text(site.get("/prediction-jobs"))
    assert f'href="{LIST}"' in site.get("/").text


def test_the_list_is_filtered_by_state(site: RealSite) -> None:  # P-2
    assert "one-against-two" in text(site.get(f"{LIST}?status=completed"))
    assert "没有符合条件的任务" in text(site.get(f"{LIST}?status=failed"))


def test_the_report_shows_both_versions_and_their_difference(site: RealSite) -> None:  # P-3
    answer = site.get(f"{JOB}/report")
    assert_in_order(text(answer), "模型对比评估报告", "总体", "v1.01", "v1.02", "差值")
    assert_in_order(text(answer), "准确率 60.0 % 66.7 % +6.7", "召回率 66.7 % 66.7 % ±0.0")
    assert_in_order(text(answer), "各缺陷类别", "TPFIP 50.0 % 50.0 % ±0.0 50.0 % 100.0 % +50.0 2", "TTFBS")


def test_flips_stand_in_a_matrix_whose_cells_open_their_images(site: RealSite) -> None:  # P-4
    answer = site.get(f"{JOB}/report")
    assert_in_order(text(answer), "修复 变差 均误判 均正确", "全部缺陷类别 1 1 1 2", "TPFIP 1 0 0 1", "TTFBS 0 1 1 0")
    for kind, files in (("fixed", ["0001.png"]), ("broken", ["0002.png"]), ("both_wrong", ["0003.png"])):
        address = re.search(rf'href="([^"]*kind={kind}[^"]*true=T[^"]*)"', answer.text)
        assert address is not None
        assert shown(site.get(html.unescape(address[1]))) == files


def test_an_image_stands_with_both_predictions_and_confidences(site: RealSite) -> None:  # P-4
    answer = text(site.get(f"{JOB}/report?kind=broken"))
    assert_in_order(
        answer, "v1.01 预测正确，v1.02 误判。", "v1.01 ✓ TTFBS 90.0 %", "v1.02 ✗ TPFIP 90.0 %", "真实：TTFBS"
    )


def test_the_viewer_says_what_both_versions_predicted(site: RealSite) -> None:  # P-4, P-5
    answer = site.get(f"{JOB}/report?kind=broken").text
    assert 'data-caption="0002.png · TTFBS · v1.01 → TTFBS 90.0 % · v1.02 → TPFIP 90.0 %"' in answer


def test_what_only_one_version_judged_and_what_is_damaged_stands_apart(site: RealSite) -> None:  # P-4, W-10
    assert_in_order(
        text(site.get(f"{JOB}/report?kind=non_compliant")), "不合规样本 1", "640 × 480", "✓ TTMUD", "0005.png"
    )
    assert shown(site.get(f"{JOB}/report?kind=one_judged")) == ["0005.png"]
    assert shown(site.get(f"{JOB}/report?kind=damaged")) == ["0006.png"]


def test_each_version_has_its_own_report_too(site: RealSite) -> None:  # P-3
    assert_in_order(text(site.get(f"{JOB}/report/v1.02")), "准确率 66.7 %", "混淆矩阵")
    assert site.get(f"{JOB}/report/v1.03").status_code == 404


def test_one_image_is_shown_with_the_scores_of_all_classes_of_both(site: RealSite) -> None:  # P-4, P-5
    answer = site.get(f"{JOB}/samples/2?kind=disagreed")
    assert_in_order(
        text(answer),
        "真实缺陷类别 TTFBS",
        "v1.01 ✓ TTFBS",
        "v1.02 ✗ TPFIP",
        "TTFBS 真实 90.00 %",
        "TTMUD 5.00 % 5.00 %",
    )
    assert site.get(f"{JOB}/samples/7").status_code == 404


def test_one_image_is_shown_with_the_pixels_that_each_version_predicted(site: RealSite) -> None:  # P-5
    answer = site.get(f"{JOB}/samples/2?kind=disagreed")
    assert_in_order(text(answer), "预测像素", "v1.01 v1.02", "TPFIP 0 1,500", "TTFBS 1,200 300")
    assert re.findall(r'fill="(#\w+)"/></svg>(\w+)<', answer.text) == [("#0096ff", "TPFIP"), ("#ffb000", "TTFBS")]
    switches = re.findall(r'type="radio" name="predicted"(?: class="switch-(\d)")?( checked)?', answer.text)
    assert switches == [
        ("0", ""),
        ("1", " checked"),
        ("", ""),
    ]  # codes have one colour: both at once could not be told apart
    assert "预测像素" not in text(site.get(f"{JOB}/samples/1?kind=disagreed"))


def zipped(answer: httpx.Response) -> tuple[list[str], list[list[str]]]:
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        *names, table = archive.namelist()
        return names, list(csv.reader(io.StringIO(archive.read(table).decode("utf-8-sig"))))


def test_a_zip_names_the_true_code_and_what_each_version_predicted(site: RealSite) -> None:  # P-5
    names, table = zipped(site.get(f"{JOB}/samples.zip?kind=broken"))
    assert names == ["TTFBS/true-TTFBS_v1.01-TTFBS_v1.02-TPFIP_2_0002.png"]
    assert table[0][:6] == [
        "file",
        "true",
        "predicted v1.01",
        "confidence v1.01",
        "predicted v1.02",
        "confidence v1.02",
    ]
    assert table[1][1:6] == ["TTFBS", "TTFBS", "0.900000", "TPFIP", "0.900000"]


def test_ticked_images_are_downloaded_alone(site: RealSite) -> None:  # P-5
    names, _ = zipped(site.get(f"{JOB}/samples.zip?number=0&number=4&number=77"))
    assert [name.rsplit("_", 1)[1] for name in names] == ["0000.png", "0004.png"]


def test_two_versions_of_one_model_go_on_and_others_are_refused(site: RealSite) -> None:  # P-1
    def choose(*versions: str) -> httpx.Response:
        return site.post(f"{NEW}/step-1", do="next", name="one-to-two", version=list(versions))

    first, second, other = f"{MODEL_ID}/v1.01", f"{MODEL_ID}/v1.02", f"{OTHER_MODEL_ID}/v1.01"
    for wrong in ([first], [first, other]):
        answer = choose(*wrong)
        assert answer.status_code == 422
        assert "请选择同一模型的两个不同版本" in words(html.unescape(answer.text))
        assert all(f'value="{version}" checked' in answer.text for version in wrong)
    assert choose(second, first).headers["Location"] == f"{NEW}/step-2"


def test_nobody_sees_comparisons_of_others(site: RealSite) -> None:  # P-2, U
    site.enter(TRAINER_LI_ID)
    for page in ("", "/report", "/report/v1.01", "/samples/1", "/samples.zip", "/delete"):
        assert site.get(f"{JOB}{page}").status_code == 403
    assert "one-against-two" not in text(site.get(LIST))


def test_a_job_is_found_at_the_address_of_its_kind_only(site: RealSite) -> None:
    assert site.get(f"/prediction-jobs/{JOB_ID}").status_code == 404
    assert site.get(f"{LIST}/{PREDICTION_JOB_ID}").status_code == 404
    assert site.get(f"{LIST}/{PREDICTION_JOB_ID}/report").status_code == 404


def test_a_comparison_is_a_job_of_its_owner_with_both_versions(site: RealSite) -> None:  # P-2
    assert_in_order(text(site.get(JOB)), "one-against-two", "预测完成", "panel-a v1.01、v1.02")


def test_a_version_is_withdrawn_with_a_reason_that_the_history_shows(site: RealSite) -> None:  # V-4
    address = f"/models/{MODEL_ID}/versions"
    answer = site.post(f"{address}/v1.02/withdraw", reason=" ")
    assert answer.status_code == 422
    assert "请填写撤回原因" in words(html.unescape(answer.text))
    assert site.post(f"{address}/v1.02/withdraw", reason="漏检划伤").headers["Location"] == address
    assert_in_order(text(site.get(address)), "v1.02 已撤回", "trainer_wang", "漏检划伤", "v1.01")
    assert "panel-a" not in text(site.get(f"{NEW}/step-1"))  # one version is left, so there is nothing to compare
