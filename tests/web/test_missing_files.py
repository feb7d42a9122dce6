"""What people and machines are told of a report whose file is gone from the storage, or is not what it was (S-5)."""

import html
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from domain.artifacts import Artifact
from domain.evaluation import Evaluation
from domain.evaluation_figures import figures_of
from domain.messages import VersionResult
from domain.prediction_jobs import PredictionKind
from tests.examples import (
    DEFECT_CODES,
    MODEL_ID,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    example_id,
    plant,
    sample,
)
from tests.web.machines import Machine, machine_of
from tests.web.reading import words
from tests.web.real_site import RealSite, open_real_site
from web.sessions import Session, Signer

COMPARISON_ID = example_id("one against two")
TRAINING, PREDICTION = f"/training-jobs/{TRAINING_JOB_ID}", f"/prediction-jobs/{PREDICTION_JOB_ID}"
COMPARISON = f"/comparisons/{COMPARISON_ID}"
REPORTS = (f"{TRAINING}/report", f"{PREDICTION}/report", f"{COMPARISON}/report", f"{COMPARISON}/report/v1.02")
OF_SAMPLES = tuple(
    f"{report}/samples{what}"
    for report in (
        f"/evaluation-reports/{TRAINING_JOB_ID}/validation",
        f"/evaluation-reports/{PREDICTION_JOB_ID}/v1.01",
        f"/evaluation-reports/{COMPARISON_ID}/v1.02",
    )
    for what in ("/0", "/0/predicted-mask", ".zip", ".zip?number=0")
) + tuple(f"{COMPARISON}/samples{what}" for what in ("/0", ".zip", ".zip?number=0"))
OF_MACHINES = (
    f"{TRAINING}/reports/validation/samples",
    f"{PREDICTION}/reports/v1.01/samples",
    f"{COMPARISON}/reports/v1.02/samples",
    f"{COMPARISON}/samples",
)
GONE, DAMAGED = "服务器存储上缺少该文件", "服务器存储上的该文件已损坏"
GONE_IN_ENGLISH = "The file is missing on the server's storage. Ask your administrator to restore it from the backup."
DAMAGED_IN_ENGLISH = GONE_IN_ENGLISH.replace("missing", "damaged")


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def scribbled_over(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


HARMS = pytest.mark.parametrize(
    ("harm", "rule", "told", "in_english"),
    [
        (Path.unlink, "FileIsGone", GONE, GONE_IN_ENGLISH),
        (cut_short, "FileIsDamaged", DAMAGED, DAMAGED_IN_ENGLISH),
        (scribbled_over, "FileIsDamaged", DAMAGED, DAMAGED_IN_ENGLISH),
    ],
    ids=["gone", "cut short", "scribbled over"],
)


class Plant(msgspec.Struct, frozen=True):
    """trainer_wang at a browser, a machine of theirs, and the file that all reports of the second version are of."""

    site: RealSite
    machine: Machine
    evaluation: Path

    def look(self, address: str) -> httpx.Response:
        """What trainer_wang sees; the machine's requests leave no session behind."""
        mark = self.site.services.sessions.open(Session(user_id=TRAINER_WANG_ID, epoch=0))
        signed = Signer(self.site.services.settings.secret).sign("session", mark)
        self.site.client.cookies.set("assay_session", signed)
        return self.site.get(address)

    def opened(self) -> None:
        """Somebody looks at everything, so that nothing is made anew later."""
        for address in (*REPORTS, *OF_SAMPLES):
            assert self.look(address).status_code == (404 if address.endswith("predicted-mask") else 200), address
        for address in OF_MACHINES:
            assert self.machine.get(address).status_code == 200, address


@pytest.fixture
def harmed(database: str, tmp_path: Path) -> Iterator[Plant]:
    """A training, a prediction and a comparison, each of them completed."""
    with open_real_site(database, tmp_path) as site:

        def kept(name: str, predicted: int) -> VersionResult:
            samples = (sample(0, 0, predicted), sample(1, 1, 1))
            evaluation = Evaluation(defect_codes=DEFECT_CODES, samples=samples)
            (tmp_path / name).write_bytes(msgspec.msgpack.encode(evaluation))
            artifact: Artifact = site.services.artifacts.keep(tmp_path / name)
            return VersionResult(label=name, evaluation=artifact, figures=figures_of(evaluation))

        right, wrong = kept("v1.01", 0), kept("v1.02", 1)
        version = PREDICTION_QUEUED.order.versions[0]
        both = tuple(msgspec.structs.replace(version, label=result.label) for result in (right, wrong))
        compared = msgspec.structs.replace(
            PREDICTION_QUEUED,
            name="one-against-two",
            kind=PredictionKind.COMPARISON,
            order=msgspec.structs.replace(PREDICTION_QUEUED.order, versions=both),
        )
        predicted = msgspec.structs.replace(wrong, label="v1.01")
        completed = [
            msgspec.structs.replace(PREDICTION_COMPLETED, results=results) for results in ((predicted,), (right, wrong))
        ]
        trained = msgspec.structs.replace(TRAINING_COMPLETED, evaluation=wrong.evaluation, figures=wrong.figures)
        site.happened(
            plant()
            .add(
                MODEL_ID,
                VERSION_PUBLISHED,
                msgspec.structs.replace(VERSION_PUBLISHED, version="v1.02"),
                actor=TRAINER_WANG_ID,
            )
            .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, trained, actor=TRAINER_WANG_ID)
            .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, completed[0], actor=TRAINER_WANG_ID)
            .add(COMPARISON_ID, compared, PREDICTION_STARTED, completed[1], actor=TRAINER_WANG_ID)
        )
        yield Plant(site, machine_of(site, TRAINER_WANG_ID), site.services.artifacts.path(wrong.evaluation))


def assert_told_everywhere(plant: Plant, rule: str, told: str, in_english: str) -> None:
    """Reports stand with their figures, everything about samples says why it is not there."""
    for address in REPORTS:
        answer = plant.look(address)
        shown = words(html.unescape(answer.text))
        assert (answer.status_code, told in shown, "50.0 %" in shown) == (200, True, True), address
        assert "目前无法显示；各项指标不受影响。" in shown, address
    for address in OF_SAMPLES:
        answer = plant.look(address)
        assert (answer.status_code, told in answer.text) == (404, True), address
    for address in OF_MACHINES:
        answer = plant.machine.get(address)
        assert answer.status_code == 404, address
        (refusal,) = answer.json()["refusals"]
        assert (refusal["rule"], refusal["message"]) == (rule, in_english), address
        assert told in plant.machine.get(address, **{"Accept-Language": "zh"}).text
    for job in (TRAINING, PREDICTION, COMPARISON):
        assert plant.machine.get(f"{job}/reports").status_code == 200, "figures are no samples"


@HARMS
def test_a_report_whose_file_is_harmed_before_anybody_looked_says_so(
    harmed: Plant, harm: Callable[[Path], None], rule: str, told: str, in_english: str
) -> None:
    harm(harmed.evaluation)
    assert_told_everywhere(harmed, rule, told, in_english)
    answer = harmed.machine.get(f"{COMPARISON}/report")
    report = answer.json()
    assert (answer.status_code, report["problem"], report["flips"]) == (200, in_english, {})
    assert [one["accuracy"] for one in report["figures"]] == [1.0, 0.5]
    assert [one["flips"] for one in report["codes"]] == [{}, {}, {}]
    assert told in harmed.machine.get(f"{COMPARISON}/report", **{"Accept-Language": "zh"}).json()["problem"]
    assert "修复" not in words(harmed.look(f"{COMPARISON}/report").text), "nobody could count flips"


@HARMS
def test_a_report_whose_file_is_harmed_while_people_look_at_it_says_so(
    harmed: Plant, harm: Callable[[Path], None], rule: str, told: str, in_english: str
) -> None:
    harmed.opened()
    harm(harmed.evaluation)
    assert_told_everywhere(harmed, rule, told, in_english)


@HARMS
def test_a_report_says_in_english_too_what_is_wrong_with_its_file(
    harmed: Plant, harm: Callable[[Path], None], rule: str, told: str, in_english: str
) -> None:
    harm(harmed.evaluation)
    harmed.site.post("/language", language="en", next="/")
    for address in (*REPORTS, *OF_SAMPLES):
        shown = words(html.unescape(harmed.look(address).text))
        assert in_english in shown, address
        assert told not in shown


def test_a_restored_file_is_shown_as_before(harmed: Plant) -> None:
    content = harmed.evaluation.read_bytes()
    harmed.evaluation.unlink()
    assert GONE in harmed.look(REPORTS[0]).text
    harmed.evaluation.write_bytes(content)
    harmed.opened()
    report = harmed.machine.get(f"{COMPARISON}/report").json()
    assert (report["problem"], report["flips"]["broken"], report["codes"][0]["flips"]["broken"]) == ("", 1, 1)
