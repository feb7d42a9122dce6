"""Trainings, predictions and comparisons: all that the pages can do. Source: REQUIREMENTS, sections T and P, K-5."""

import dataclasses
from pathlib import Path
from uuid import UUID

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from domain.evaluation import Evaluation
from domain.evaluation_figures import figures_of
from domain.messages import LossPart, StageName, VersionResult
from domain.prediction_jobs import PredictionFailed, PredictionKind, PredictionTerminated
from domain.sentences import Sentence
from domain.training_jobs import TrainingLossesMeasured, TrainingStageFinished, TrainingValidated
from tests.examples import (
    DEFECT_CODES,
    MODEL_ID,
    MODEL_IMAGE_ID,
    PANEL_65,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    QUESTION_BANK_FOLDER,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_DATASET_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    WORSE_AT_THE_END,
    History,
    example_id,
    sample,
)
from tests.web.machines import NEW_TRAINING, Machine, kept, machine_of, rule_of
from tests.web.real_site import RealSite

COMPARISON = {
    "name": "new-against-old",
    "model_id": str(MODEL_ID),
    "versions": ["v1.02", "v1.01"],
    "data_paths": [{"root": QUESTION_BANK_FOLDER.root, "path": QUESTION_BANK_FOLDER.path}],
    "compute_resource_id": str(TWO_CORES_ID),
}


FIRST = Evaluation(
    defect_codes=DEFECT_CODES,
    samples=(sample(0, 0, 0), sample(1, 0, 1), sample(2, 1, 1), sample(3, 1, 2), sample(4, 2, 1, confidence=0.7)),
)


SECOND = Evaluation(
    defect_codes=DEFECT_CODES,
    samples=(sample(0, 0, 0), sample(1, 0, 0), sample(2, 1, 0), sample(3, 1, 2), sample(4, 2, 2)),
)
"""Of five images one stays right and one wrong; images 1 and 4 are fixed, image 2 is broken."""


def compared(site: RealSite, wang: Machine, folder: Path) -> str:
    """A finished comparison of two versions; the address of the job."""
    second = replace(VERSION_PUBLISHED, version="v1.02")
    site.happened_to(MODEL_ID, VERSION_PUBLISHED, second)
    made = wang.ask("POST", "/comparisons", COMPARISON, key="key-0001")
    assert made.status_code == 201, made.text
    results = tuple(
        VersionResult(
            label=label,
            evaluation=kept(site, folder, msgspec.msgpack.encode(evaluation)),
            figures=figures_of(evaluation),
        )
        for label, evaluation in (("v1.01", FIRST), ("v1.02", SECOND))
    )
    log = kept(site, folder, b"compared\n")
    job_id = made.json()["job_id"]
    site.happened_to(UUID(job_id), PREDICTION_STARTED, replace(PREDICTION_COMPLETED, results=results, log=log))
    return f"/comparisons/{job_id}"


def test_an_id_of_something_else_is_not_found(wang: Machine) -> None:
    for path in (f"/training-jobs/{TRAINING_DATASET_ID}/terminate", f"/datasets/{MODEL_IMAGE_ID}/inspect"):
        assert wang.ask("POST", path).status_code == 404


def test_a_waiting_job_says_since_when_and_why(site: RealSite, wang: Machine, database: str) -> None:  # T-6
    site.happened_to(TRAINING_JOB_ID, TRAINING_QUEUED)
    queued_at = site.log.history(TRAINING_JOB_ID)[0].timestamp
    with psycopg.connect(database) as connection:  # as the dispatcher does
        connection.execute(
            "INSERT INTO app.work (job_id, kind, queued_at, attempt, compute_resource_id, is_running, changed_at)"
            " VALUES (%s, 'training', 1, 1, %s, false, %s)",
            (TRAINING_JOB_ID, TWO_CORES_ID, queued_at),
        )
    job = wang.get(f"/training-jobs/{TRAINING_JOB_ID}").json()
    assert "No worker" in job["wait"]["reason"]
    assert job["now"] is None
    site.happened_to(TRAINING_JOB_ID, TRAINING_STARTED)
    assert wang.get(f"/training-jobs/{TRAINING_JOB_ID}").json()["wait"] is None


def test_a_machine_names_no_more_data_paths_at_once_than_a_person(site: RealSite, wang: Machine) -> None:  # D-3, S-5
    site.happened(
        History()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
    )
    ports = site.services.assay.ports
    site.services.assay.ports = dataclasses.replace(ports, data_folders=site.services.data_folders)
    named, typed = {"root": "data", "path": "panel-a/train"}, "/data/panel-a/train"
    training = {"compute_resource_id": str(TWO_CORES_ID)}
    prediction = training | {"name": "evening", "model_id": str(MODEL_ID), "versions": ["v1.01"]}
    dataset = {"name": "panel-b", "purpose": "training", "environment": [str(PANEL_65.node_id)]}
    li = machine_of(site, TRAINER_LI_ID)
    for machine, path, body, folder in (
        (wang, "/training-jobs", NEW_TRAINING, named),
        (wang, f"/models/{MODEL_ID}/versions/v1.01/retrain", training, named),
        (wang, "/prediction-jobs", prediction, named),
        (wang, "/comparisons", prediction, named),
        (wang, "/datasets", dataset, typed),
        (li, f"/datasets/{TRAINING_DATASET_ID}/data-paths", {}, typed),
    ):
        answers = [
            machine.ask("POST", path, {**body, "data_paths": [folder] * count}, key=f"key-{count}-{path}")
            for count in (1000, 1001)
        ]
        as_many, too_many = ([refusal["rule"] for refusal in answer.json()["refusals"]] for answer in answers)
        assert (answers[1].status_code, too_many) == (422, ["TooManyPathsAtOnce"]), path
        assert "at once are too many" in answers[1].json()["detail"]
        assert as_many
        assert "TooManyPathsAtOnce" not in as_many, path


# Trainings


def test_a_job_is_watched_and_refuses_what_its_state_forbids(site: RealSite, wang: Machine) -> None:  # T-2
    site.happened(History().add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID))
    waiting = wang.ask("POST", f"/training-jobs/{TRAINING_JOB_ID}/terminate")
    assert rule_of(waiting) == (422, "WaitingJobCannotBeTerminated")
    assert wang.get("/training-jobs?status=waiting").json()["items"][0]["job_id"] == str(TRAINING_JOB_ID)
    assert wang.get("/training-jobs?status=published").json()["items"] == []
    assert wang.ask("DELETE", f"/training-jobs/{TRAINING_JOB_ID}").status_code == 204
    assert wang.get(f"/training-jobs/{TRAINING_JOB_ID}").status_code == 404


def test_everyones_trainings_are_listed_by_state_and_creator(site: RealSite, wang: Machine) -> None:  # T-3
    site.happened_to(TRAINING_JOB_ID, TRAINING_QUEUED)
    site.happened_to(example_id("of li"), replace(TRAINING_QUEUED, owner=TRAINER_LI_ID, model_name="panel-li"))
    assert len(wang.get("/training-jobs").json()["items"]) == 2
    (of_li,) = wang.get(f"/training-jobs?owner={TRAINER_LI_ID}").json()["items"]
    assert of_li["model_name"] == "panel-li"
    assert wang.get(f"/training-jobs?owner={TRAINER_LI_ID}&status=training").json()["items"] == []


def test_a_training_is_watched_by_its_stages_curves_and_log(
    site: RealSite, wang: Machine, li: Machine, tmp_path: Path
) -> None:  # T-4, T-5
    job = f"/training-jobs/{TRAINING_JOB_ID}"
    site.happened_to(
        TRAINING_JOB_ID,
        TRAINING_QUEUED,
        TRAINING_STARTED,
        TrainingStageFinished(
            stage=StageName.RESOLUTION_SCREENING, seconds=4.5, image_count=120, non_compliant_count=3
        ),
        TrainingLossesMeasured(
            part=LossPart.CLASSIFICATION, iterations=(10, 20), losses=(1.1, 0.9), learning_rate=0.009
        ),
        TrainingValidated(part=LossPart.CLASSIFICATION, iteration=20, accuracy=0.75, recall=None, loss=0.8),
    )
    stages = li.get(f"{job}/stages").json()
    assert [(one["state"], one["non_compliant_count"]) for one in stages] == [
        ("finished", 3),
        ("running", None),
        ("waiting", None),
    ]
    (curve,) = li.get(f"{job}/curves").json()
    assert curve["losses"] == [{"iteration": 10, "loss": 1.1}, {"iteration": 20, "loss": 0.9}]
    assert (curve["part"], curve["validations"][0]["accuracy"]) == ("classification", 0.75)
    assert wang.get(f"{job}/losses").status_code == wang.get(f"{job}/manifest").status_code == 404
    assert wang.get(f"{job}/log").status_code == 404
    completed = replace(
        WORSE_AT_THE_END,
        log=kept(site, tmp_path, b"iteration 20\n"),
        losses=kept(site, tmp_path, b'{"iteration": 10}\n'),
    )
    site.happened_to(TRAINING_JOB_ID, completed)
    assert (li.get(f"{job}/log").text, li.get(f"{job}/losses").text) == ("iteration 20\n", '{"iteration": 10}\n')
    assert li.get(f"{job}/log/segmentation").status_code == 404


def test_the_weights_of_a_training_are_its_owners(site: RealSite, wang: Machine, li: Machine, tmp_path: Path) -> None:
    (of_classification,) = WORSE_AT_THE_END.kept_weights
    last = kept(site, tmp_path, b"the last weights")
    completed = replace(WORSE_AT_THE_END, kept_weights=(replace(of_classification, last=last),))
    site.happened_to(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, completed)
    weights = f"/training-jobs/{TRAINING_JOB_ID}/weights/last/classification"
    assert wang.get(weights).content == b"the last weights"
    assert rule_of(li.get(weights)) == (403, "NotTheOwner")
    assert wang.get(weights.replace("last", "worst")).status_code == 404


def test_the_samples_of_a_training_report_are_read_to_their_end(
    site: RealSite, wang: Machine, li: Machine, tmp_path: Path
) -> None:  # R-1, P-4
    evaluation = kept(site, tmp_path, msgspec.msgpack.encode(FIRST))
    completed = replace(TRAINING_COMPLETED, evaluation=evaluation, figures=figures_of(FIRST))
    site.happened_to(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, completed)
    reports = f"/training-jobs/{TRAINING_JOB_ID}/reports"
    (report,) = li.get(reports).json()
    assert (report["version"], report["figures"]["misjudged_count"]) == ("validation", 3)
    misjudged = li.everything(f"{reports}/validation/samples", 2)
    assert {one["number"] for one in misjudged} == {1, 3, 4}
    assert len(li.everything(f"{reports}/validation/samples?only_misjudged=false", 2)) == 5
    (one,) = li.everything(f"{reports}/validation/samples?true_defect_code=TTMUD&predicted_defect_code=TTFBS", 50)
    assert one["scores"] == pytest.approx({"TPFIP": 0.15, "TTFBS": 0.7, "TTMUD": 0.15})
    assert li.get(f"{reports}/v9.99/samples").json() == {"items": [], "next": None}
    for after in ("WzAsIDFd", "WzEsIDIwMV0=", "WyJhIl0="):  # [0, 1], [1, 201], ["a"]
        assert rule_of(li.get(f"{reports}/validation/samples?after={after}")) == (400, "CursorIsWrong"), after


# Predictions


def test_a_job_is_found_at_the_address_of_its_kind_only(site: RealSite, wang: Machine) -> None:
    site.happened_to(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED)
    for method, part in (("GET", ""), ("POST", "/terminate"), ("DELETE", ""), ("GET", "/reports")):
        assert wang.ask(method, f"/comparisons/{PREDICTION_JOB_ID}{part}").status_code == 404, part
    assert wang.get(f"/prediction-jobs/{PREDICTION_JOB_ID}").json()["status"] == "predicting"


@pytest.mark.parametrize("kind", [PredictionKind.QUESTION_BANK, PredictionKind.COMPARISON])
def test_a_prediction_is_terminated_started_again_and_deleted(
    site: RealSite, wang: Machine, li: Machine, kind: PredictionKind
) -> None:  # P-2
    site.happened_to(MODEL_ID, VERSION_PUBLISHED)
    site.happened_to(PREDICTION_JOB_ID, replace(PREDICTION_QUEUED, kind=kind), PREDICTION_STARTED)
    job = f"/{'comparisons' if kind is PredictionKind.COMPARISON else 'prediction-jobs'}/{PREDICTION_JOB_ID}"
    assert rule_of(li.ask("POST", f"{job}/terminate")) == (403, "NotTheOwner")
    assert rule_of(wang.ask("DELETE", job)) == (422, "PredictionIsRunning")
    assert wang.ask("POST", f"{job}/terminate").json()["status"] == "terminated"
    assert rule_of(wang.ask("POST", f"{job}/terminate")) == (422, "PredictionIsNotRunning")
    assert wang.ask("POST", f"{job}/restart").json()["status"] == "waiting"
    assert wang.ask("DELETE", job).status_code == 204
    assert wang.get(job).status_code == 404


def test_a_terminated_prediction_is_no_longer_running(site: RealSite, wang: Machine) -> None:
    site.happened_to(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, PredictionTerminated())
    job = wang.get(f"/prediction-jobs/{PREDICTION_JOB_ID}").json()
    assert (job["status"], job["now"], job["wait"]) == ("terminated", None, None)


def test_predictions_are_listed_as_the_pages_filter_them(site: RealSite, wang: Machine) -> None:  # P-2
    night = example_id("night")
    site.happened_to(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED)
    site.happened_to(night, replace(PREDICTION_QUEUED, name="night-shift", model_name="panel-b", task_type="分割分类"))
    for question, names in (
        ("", {"panel-a-check", "night-shift"}),
        ("?status=predicting", {"panel-a-check"}),
        ("?task_type=分割分类", {"night-shift"}),
        ("?model=EL-B", {"night-shift"}),
        ("?search=check", {"panel-a-check"}),
        ("?search=check&status=waiting", set()),
    ):
        assert {one["name"] for one in wang.get(f"/prediction-jobs{question}").json()["items"]} == names, question
    (shown,) = wang.get("/prediction-jobs?task_type=分割分类").json()["items"]
    assert shown["task_type"] == "分割分类", "what is filtered by is told, too"
    detail = wang.get(f"/prediction-jobs/{night}").json()
    assert (detail["compute_resource_id"], detail["batch_size"]) == (str(TWO_CORES_ID), 32)


def test_the_log_of_a_prediction_is_text_once_it_has_ended(
    site: RealSite, wang: Machine, tmp_path: Path
) -> None:  # P-2
    site.happened_to(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED)
    assert wang.get(f"/prediction-jobs/{PREDICTION_JOB_ID}/log").status_code == 404
    failed = PredictionFailed(reason=Sentence("The disk is full."), log=kept(site, tmp_path, b"no space left\n"))
    site.happened_to(PREDICTION_JOB_ID, failed)
    log = wang.get(f"/prediction-jobs/{PREDICTION_JOB_ID}/log")
    assert (log.text, log.headers["Content-Type"]) == ("no space left\n", "text/plain; charset=utf-8")
    assert wang.get(f"/prediction-jobs/{PREDICTION_JOB_ID}").json()["reason"] == "The disk is full."


# Comparisons


def test_two_versions_are_compared_and_their_flips_are_told(
    site: RealSite, wang: Machine, li: Machine, tmp_path: Path
) -> None:  # P-1, P-3, P-4
    job = compared(site, wang, tmp_path)
    report = wang.get(f"{job}/report").json()
    assert report["versions"] == ["v1.01", "v1.02"]  # the one that was published first, however they were named
    assert [one["accuracy"] for one in report["figures"]] == [0.4, 0.6]
    assert report["flips"] == {"fixed": 2, "broken": 1, "both_wrong": 1, "both_right": 1}
    by_code = {one["defect_code"]: one for one in report["codes"]}
    assert by_code["TTFBS"]["flips"] == {"fixed": 0, "broken": 1, "both_wrong": 1, "both_right": 0}
    assert [figures["recall"] for figures in by_code["TTFBS"]["figures"]] == [0.5, 0.0]
    fixed = wang.everything(f"{job}/samples?kind=fixed", 1)
    assert {one["folder"]["path"].rsplit("/", 1)[-1] for one in fixed} == {"0001.png", "0004.png"}
    (of_code,) = wang.everything(f"{job}/samples?kind=fixed&true_defect_code=TTMUD", 50)
    assert [verdict["predicted_defect_code"] for verdict in of_code["verdicts"]] == ["TTFBS", "TTMUD"]
    assert of_code["verdicts"][0]["scores"]["TTFBS"] == pytest.approx(0.7)
    assert [one["version"] for one in wang.get(f"{job}/reports").json()] == ["v1.01", "v1.02"]
    for part in ("", "/report", "/samples", "/log", "/reports"):
        assert rule_of(li.get(f"{job}{part}")) == (403, "NotTheOwner"), part


def test_a_comparison_needs_two_versions_and_makes_one_job(site: RealSite, wang: Machine, li: Machine) -> None:  # P-1
    site.happened_to(MODEL_ID, VERSION_PUBLISHED, replace(VERSION_PUBLISHED, version="v1.02"))
    one_version = COMPARISON | {"versions": ["v1.01"]}
    assert rule_of(wang.ask("POST", "/comparisons", one_version, key="key-0001")) == (422, "TwoVersionsNeeded")
    two_versions = wang.ask("POST", "/prediction-jobs", COMPARISON, key="key-0002")
    assert rule_of(two_versions) == (422, "NoModelVersionChosen")
    answers = [wang.ask("POST", "/comparisons", COMPARISON, key="key-0003") for _ in range(2)]
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert rule_of(li.ask("POST", "/comparisons", COMPARISON, key="key-0003")) == (403, "NotTheOwner")
    (listed,) = wang.get("/comparisons").json()["items"]
    assert (listed["kind"], listed["status"], listed["versions"]) == ("comparison", "waiting", ["v1.01", "v1.02"])
    assert wang.get("/prediction-jobs").json()["items"] == li.get("/comparisons").json()["items"] == []
