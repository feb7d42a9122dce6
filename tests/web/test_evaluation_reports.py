"""模型评估报告: the whole report, its drill-down and single samples (R-1, P-3 to P-5), and who may see which."""

import csv
import html
import io
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace

import httpx
import msgspec
import pytest

from domain.data_paths import FolderName
from domain.evaluation import SampleState, Segmented
from projections.evaluation_reports import TRAINING_LABEL
from tests.examples import PREDICTION_JOB_ID, TRAINER_LI_ID, TRAINING_JOB_ID, example_id
from tests.web.predictions import (
    FIGURES,
    JUDGED,
    FakeEvaluationReports,
    FakePredictionJobs,
    image_address,
    job,
    with_iou,
)
from tests.web.reading import assert_in_order, text, words
from tests.web.site import Site
from web.evaluation_reports import HEAT_LEVELS, report_view
from web.forms import Form
from web.sample_zips import MOST_NAME_BYTES, name_in_zip
from web.services import Services

REPORT = f"/prediction-jobs/{PREDICTION_JOB_ID}/report"
SAMPLES = f"/evaluation-reports/{PREDICTION_JOB_ID}/v1.01/samples"
VALIDATION = f"/evaluation-reports/{TRAINING_JOB_ID}/{TRAINING_LABEL}/samples"
KEYS = ((PREDICTION_JOB_ID, "v1.01"), (TRAINING_JOB_ID, TRAINING_LABEL))


@pytest.fixture
def services(services: Services) -> Services:
    services.read.prediction_jobs = FakePredictionJobs(job())
    services.read.evaluation_reports = FakeEvaluationReports(*KEYS)
    return services


def rows_of(answer: httpx.Response, table: str) -> list[list[str]]:
    """The words of each cell of a table, by rows."""
    [found] = re.findall(rf'<table class="{table}">.*?</table>', answer.text, re.DOTALL)
    rows = re.findall(r"<tr.*?</tr>", found, re.DOTALL)
    return [[words(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in rows]


def shown_samples(answer: httpx.Response) -> list[int]:
    """The numbers of the samples on the right side."""
    return [int(number) for number in re.findall(r'<a href="/evaluation-reports/[^"]*/samples/([0-9]+)', answer.text)]


# The left side.


def test_the_report_begins_with_the_overall_figures_and_says_what_they_are(trainer: Site) -> None:  # R-1, P-3
    assert_in_order(
        text(trainer.get(REPORT)),
        "模型评估报告",
        "panel-a v1.01",
        "总体",
        "准确率 90.0 % 预测正确数 ÷ 全部已预测图片",
        "召回率 91.7 % 各出现缺陷类别的平均值",
        "已预测图片 10 其中误判 1 张",
        "各缺陷类别",
        "混淆矩阵",
    )


def test_what_was_not_judged_is_said_apart(trainer: Site) -> None:  # P-4
    figures = msgspec.structs.replace(FIGURES, left_out_count=4)
    trainer.read.evaluation_reports = FakeEvaluationReports(*KEYS, figures=figures)
    assert_in_order(
        text(trainer.get(REPORT)),
        "1 张图片的分辨率不符合模型规格，不计入任何指标。",
        "1 张图片无法读取，不计入任何指标。",
        "4 张图片属于特殊缺陷",
    )


def test_every_code_has_its_figures(trainer: Site) -> None:
    assert rows_of(trainer.get(REPORT), "by-code") == [
        ["缺陷类别", "准确率", "召回率", "样本数", "误判数", "不合规数"],
        ["TPFIP", "80.0 %", "100.0 %", "4", "0", "0"],
        ["TTFBS", "100.0 %", "75.0 %", "4", "1", "0"],
        ["TTMUD", "100.0 %", "100.0 %", "2", "0", "1"],
    ]


def test_undefined_figures_are_dashes_and_never_zero(trainer: Site) -> None:
    never = msgspec.structs.replace(FIGURES.defects[2], precision=None, recall=None, sample_count=0)
    figures = msgspec.structs.replace(FIGURES, defects=(*FIGURES.defects[:2], never))
    trainer.read.evaluation_reports = FakeEvaluationReports(*KEYS, figures=figures)
    assert rows_of(trainer.get(REPORT), "by-code")[3] == ["TTMUD", "—", "—", "0", "0", "1"]


def test_iou_is_shown_with_segmentation_only(trainer: Site) -> None:
    assert "IoU" not in text(trainer.get(REPORT))
    trainer.read.evaluation_reports = FakeEvaluationReports(*KEYS, figures=with_iou(FIGURES))
    answer = trainer.get(REPORT)
    assert "交并比 IoU 71.2 %" in text(answer)
    assert rows_of(answer, "by-code")[1] == ["TPFIP", "80.0 %", "100.0 %", "62.5 %", "4", "0", "0"]


def test_the_confusion_matrix_counts_true_codes_by_rows_and_predictions_by_columns(trainer: Site) -> None:
    assert rows_of(trainer.get(REPORT), "matrix") == [
        ["真实 ╲ 预测", "TPFIP", "TTFBS", "TTMUD"],
        ["TPFIP", "4", "0", "0"],
        ["TTFBS", "1", "3", "0"],
        ["TTMUD", "0", "0", "2"],
    ]


def test_cells_are_tinted_by_the_share_of_their_row(services: Services) -> None:
    view = report_view(services.read, PREDICTION_JOB_ID, "v1.01", Form(), address=REPORT)
    heats = [[cell.heat for cell in cells] for _, cells in view.matrix]
    assert heats == [[HEAT_LEVELS, 0, 0], [2, 4, 0], [0, 0, HEAT_LEVELS]]
    assert [[cell.is_correct for cell in cells] for _, cells in view.matrix] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def test_a_cell_opens_its_images_and_an_empty_one_opens_nothing(trainer: Site) -> None:
    page = trainer.get(REPORT)
    links = re.findall(r'<td class="[^"]*"><a data-choose href="([^"]*)"', page.text)
    assert len(links) == 4
    answer = trainer.get(html.unescape(links[1]))
    assert links[1].startswith(f"{REPORT}?true=TTFBS&amp;predicted=TPFIP")
    assert shown_samples(answer) == [7]
    assert_in_order(text(answer), "TTFBS 预测为 TPFIP", "所选图片 1", "TPFIP 60.0 %", "0007.png")


# The right side.


def test_at_first_all_misjudged_samples_are_shown_with_code_prediction_and_confidence(trainer: Site) -> None:  # P-4
    answer = trainer.get(REPORT)
    assert shown_samples(answer) == [7]
    assert_in_order(
        text(answer),
        "全部缺陷类别",
        "误判样本 1",
        "不合规样本 1",
        "已计入指标",
        "TPFIP 60.0 %",
        "真实：TTFBS",
        "0007.png",
    )
    assert image_address("thumbnail", 7) in answer.text


def test_a_chosen_code_shows_its_own_samples_only(trainer: Site) -> None:  # P-4
    assert shown_samples(trainer.get(f"{REPORT}?true=TTFBS")) == [7]
    answer = trainer.get(f"{REPORT}?true=TPFIP")
    assert shown_samples(answer) == []
    assert "没有误判样本。" in text(answer)
    assert re.search(r'<tr class="chosen">\s*<th scope="row"><a [^>]*aria-current="true">TPFIP', answer.text)


def test_non_compliant_samples_come_with_their_resolution_and_count_in_nothing(trainer: Site) -> None:  # P-4
    answer = trainer.get(f"{REPORT}?true=TTMUD&state=non_compliant")
    assert shown_samples(answer) == [10]
    assert_in_order(text(answer), "不合规样本 1", "不计入任何指标", "640 × 480", "0010.png")
    assert shown_samples(trainer.get(f"{REPORT}?true=TPFIP&state=non_compliant")) == []


def test_images_that_cannot_be_read_are_listed_apart(trainer: Site) -> None:  # P-4
    answer = trainer.get(f"{REPORT}?state=damaged")
    assert shown_samples(answer) == [11]
    assert "无法读取，未参与预测，不计入任何指标" in text(answer)


def test_nonsense_in_the_address_is_left_out(trainer: Site) -> None:
    for question in ("?true=<script>", "?predicted=NO_SUCH_CODE", "?state=sold", "?page=-1", "?page=x"):
        assert shown_samples(trainer.get(f"{REPORT}{question}")) == [7]


def test_every_sample_can_be_enlarged_and_downloaded(trainer: Site) -> None:  # P-5
    answer = trainer.get(f"{REPORT}?state=non_compliant")
    assert f'href="{image_address("original", 10)}" data-view="samples"' in answer.text
    assert f'data-mask="{image_address("mask", 10)}"' in answer.text
    assert f'href="{image_address("original", 10)}&amp;download=1" download' in answer.text


# One sample.


def test_the_viewer_says_what_was_predicted_and_how_surely(trainer: Site) -> None:  # P-4, P-5
    assert 'data-caption="0007.png · TTFBS → TPFIP 60.0 %"' in trainer.get(REPORT).text


def test_a_sample_shows_its_verdict_and_the_scores_of_all_classes(trainer: Site) -> None:  # P-5
    answer = trainer.get(f"{SAMPLES}/7")
    shown = text(answer)
    assert_in_order(shown, "题库预测", "panel-a-check", "模型评估报告", "0007.png")
    assert_in_order(shown, "真实缺陷类别 TTFBS", "预测结果 TPFIP （误判）", "置信度 60.00 %", "分辨率 224 × 224")
    assert [row[::2] for row in rows_of(answer, "scores")[1:]] == [
        ["TPFIP", "60.00 %"],
        ["TTFBS 真实", "20.00 %"],
        ["TTMUD", "20.00 %"],
    ]
    assert '<progress max="1" value="0.6"' in answer.text
    assert image_address("original", 7) in answer.text
    assert "sample-mask" not in answer.text


def test_a_mask_is_laid_over_where_there_is_one(trainer: Site) -> None:  # P-5
    answer = trainer.get(f"{SAMPLES}/10?state=non_compliant")
    assert f'<img class="sample-mask" src="{image_address("mask", 10)}"' in answer.text
    assert_in_order(text(answer), "未预测：分辨率不符合模型规格", "640 × 480")
    assert "置信度" not in text(answer)


SEEN = Segmented((60, 1200, 0), marked_pixels=1500, common_pixels=1100, overlay=b"a picture")
SEGMENTED = [*JUDGED.samples[:7], msgspec.structs.replace(JUDGED.samples[7], segmented=SEEN), *JUDGED.samples[8:]]


def test_the_predicted_pixels_are_laid_over_and_told_by_code(trainer: Site) -> None:  # P-5
    trainer.read.evaluation_reports = FakeEvaluationReports(*KEYS, samples=SEGMENTED)
    answer = trainer.get(f"{SAMPLES}/7")
    overlay = f"{SAMPLES}/7/predicted-mask"
    assert f'<img class="sample-mask predicted" src="{overlay}"' in answer.text
    assert f'data-prediction="{overlay}"' in answer.text
    assert f'data-prediction="{overlay}"' in trainer.get(REPORT).text
    assert "1,500 个，其中 1,100 个被预测为该类别" in text(answer)
    assert rows_of(answer, "scores pixels")[1:] == [["TTFBS", "1,200"], ["TPFIP", "60"]]
    colours = re.findall(r'fill="(#\w+)"/></svg>(\w+)<', answer.text)
    assert colours == [("#ffb000", "TTFBS"), ("#0096ff", "TPFIP")], "as the worker draws the second and the first code"
    picture = trainer.get(overlay)
    assert (picture.headers["Content-Type"], picture.content) == ("image/png", b"a picture")
    assert "predicted-mask" not in trainer.get(f"{SAMPLES}/6").text
    assert trainer.get(f"{SAMPLES}/6/predicted-mask").status_code == 404


def test_an_image_in_which_nothing_was_found_says_so(trainer: Site) -> None:
    nothing = msgspec.structs.replace(JUDGED.samples[0], segmented=Segmented((0, 0, 0)))
    trainer.read.evaluation_reports = FakeEvaluationReports(*KEYS, samples=[nothing])
    answer = trainer.get(f"{SAMPLES}/0")
    assert "分割未发现缺陷" in text(answer)
    assert "sample-mask" not in answer.text


def test_one_goes_from_sample_to_sample_of_the_same_choice_and_back(trainer: Site) -> None:
    answer = trainer.get(f"{SAMPLES}/1?true=TPFIP&predicted=TPFIP")
    question = "?true=TPFIP&amp;predicted=TPFIP"
    assert "第 2 张，共 4 张" in text(answer)
    assert f'rel="prev" href="{SAMPLES}/0{question}"' in answer.text
    assert f'rel="next" href="{SAMPLES}/2{question}"' in answer.text
    assert f'href="{REPORT}{question}#samples"' in answer.text
    assert 'rel="prev"' not in trainer.get(f"{SAMPLES}/0?true=TPFIP&predicted=TPFIP").text


def test_a_sample_that_is_not_there_is_not_found(trainer: Site) -> None:
    assert trainer.get(f"{SAMPLES}/12").status_code == 404
    assert trainer.get(f"/evaluation-reports/{PREDICTION_JOB_ID}/v9.99/samples/0").status_code == 404
    assert trainer.get(f"/evaluation-reports/{example_id('no such job')}/v1.01/samples/0").status_code == 404


# Several samples.


class FilesOf:
    """Every sample but the last one asked for still has its file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, image: FolderName) -> Path | None:
        found = self.folder / image.path.rpartition("/")[2]
        if image.path.endswith("0010.png"):
            return None
        found.write_bytes(image.path.encode())
        return found


def unzipped(answer: httpx.Response) -> dict[str, str]:
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode("utf-8-sig") for name in archive.namelist()}


@pytest.fixture
def zipping(trainer: Site, tmp_path: Path) -> Site:
    trainer.read.training_jobs = SimpleNamespace(get=lambda _job_id: SimpleNamespace(model_name="panel-a"))
    object.__setattr__(trainer.services, "images", FilesOf(tmp_path))
    return trainer


def test_all_misjudged_samples_come_as_a_zip_with_their_verdicts(zipping: Site) -> None:  # P-5, R-1
    page = zipping.get(REPORT)
    address = re.search(r'href="([^"]*samples\.zip[^"]*)"', page.text)
    assert address
    answer = zipping.get(html.unescape(address[1]))
    files = unzipped(answer)
    name = "TTFBS/true-TTFBS_predicted-TPFIP_7_0007.png"
    assert list(files) == [name, "samples.csv"]
    assert files[name] == JUDGED.samples[7].folder.path
    [verdict] = csv.DictReader(io.StringIO(files["samples.csv"]))
    assert (verdict["true"], verdict["predicted"], verdict["confidence"]) == ("TTFBS", "TPFIP", "0.600000")
    assert verdict["sha256"] == JUDGED.samples[7].checksum
    assert "panel-a-check-v1.01.zip" in answer.headers["Content-Disposition"]
    training = zipping.get(f"{VALIDATION}.zip?true=TPFIP&predicted=TPFIP")
    assert len(unzipped(training)) == 5
    assert "panel-a-validation-TPFIP-TPFIP.zip" in training.headers["Content-Disposition"]


def test_the_ticked_samples_alone_come_as_a_zip(zipping: Site) -> None:  # P-5
    page = zipping.get(f"{REPORT}?true=TPFIP&predicted=TPFIP").text
    assert re.findall(r'name="number" value="(\d+)"', page) == ["0", "1", "2", "3"]
    files = unzipped(zipping.get(f"{SAMPLES}.zip?true=TPFIP&predicted=TPFIP&number=1&number=3&number=99&number=x"))
    names = [f"TPFIP/true-TPFIP_predicted-TPFIP_{number}_000{number}.png" for number in (1, 3)]
    assert list(files) == [*names, "samples.csv"]


def test_a_sample_whose_file_is_gone_stands_in_the_table_only(zipping: Site) -> None:  # P-5
    files = unzipped(zipping.get(f"{SAMPLES}.zip?state=non_compliant"))
    assert list(files) == ["samples.csv"]
    [verdict] = csv.DictReader(io.StringIO(files["samples.csv"]))
    assert (verdict["file"], verdict["true"], verdict["width"], verdict["confidence"]) == ("", "TTMUD", "640", "")


def test_two_samples_of_one_name_are_both_in_the_zip(zipping: Site) -> None:  # P-5
    twice = msgspec.structs.replace(JUDGED.samples[7], folder=FolderName("data", "other/TTFBS/0007.png"))
    zipping.read.evaluation_reports = FakeEvaluationReports(*KEYS, samples=[*JUDGED.samples, twice])
    names = list(unzipped(zipping.get(f"{SAMPLES}.zip")))
    numbers = (7, len(JUDGED.samples))
    assert names == [*(f"TTFBS/true-TTFBS_predicted-TPFIP_{number}_0007.png" for number in numbers), "samples.csv"]


def test_a_name_in_a_zip_is_never_too_long_for_a_file_system() -> None:  # P-5
    long_code, long_file = "边缘崩裂" * 15, f"{'二号产线三号相机夜班' * 8}_0042.png"
    both = [name_in_zip(long_code, f"predicted-{long_code}", number, long_file) for number in (7, 8)]
    for number, name in zip((7, 8), both, strict=True):
        folder, _, file = name.partition("/")
        assert folder == long_code
        assert len(file.encode()) <= MOST_NAME_BYTES
        assert file.startswith(f"true-{long_code[:50]}")
        assert f"…{number}…" in file
        assert file.endswith("_0042.png")
    assert len(set(both)) == 2
    assert name_in_zip("TPFIP", "predicted-TTFBS", 7, "0042.png") == "TPFIP/true-TPFIP_predicted-TTFBS_7_0042.png"


def test_a_sample_that_was_not_judged_has_no_prediction_in_its_name(zipping: Site) -> None:  # P-5
    names = list(unzipped(zipping.get(f"{SAMPLES}.zip?state=damaged")))
    assert names == ["TPFIP/true-TPFIP_predicted-none_11_0011.png", "samples.csv"]


# Who may see it.


def test_reports_of_training_jobs_can_be_read_by_everyone(site: Site) -> None:  # T-2
    answer = site.get(f"{VALIDATION}/7")
    assert f'href="/training-jobs/{TRAINING_JOB_ID}/report' in answer.text
    assert "0007.png" in text(answer)


@pytest.mark.parametrize("address", [REPORT, f"{SAMPLES}/7", f"{SAMPLES}.zip", f"{SAMPLES}/7/predicted-mask"])
def test_predictions_of_others_are_nobodys_business(site: Site, address: str) -> None:  # P-2, U
    answer = site.get(address)
    assert answer.status_code == 403
    assert "0007.png" not in answer.text


def test_the_label_of_a_training_report_opens_no_prediction(trainer: Site) -> None:  # P-2
    trainer.read.prediction_jobs = FakePredictionJobs(job(owner=TRAINER_LI_ID))
    assert trainer.get(f"/evaluation-reports/{PREDICTION_JOB_ID}/{TRAINING_LABEL}/samples/7").status_code == 404


def test_strangers_sign_in_first(stranger: Site) -> None:
    for address in (REPORT, f"{SAMPLES}/7", f"{VALIDATION}/7"):
        assert stranger.get(address).headers["Location"].startswith("/sign-in")


# Both languages.


@pytest.mark.parametrize("question", ["", *(f"?state={state.value}" for state in SampleState)])
def test_a_report_reads_in_english_too(trainer: Site, question: str) -> None:  # S-4
    trainer.post("/language", language="en", next="/")
    shown = text(trainer.get(f"{REPORT}{question}"))
    assert_in_order(shown, "Model evaluation report", "Accuracy 90.0 %", "Precision", "Confusion matrix")
    assert not re.search(r"[一-鿿]", shown.replace("分类", "").replace("中文", ""))
