"""Jobs, versions, datasets and model images through the HTTP API: all that the pages can do. Source: K-5."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from domain.artifacts import Artifact
from domain.evaluation import Evaluation
from domain.evaluation_figures import figures_of
from domain.exports import ExportBuilt, ExportStarted, export_id
from domain.messages import LossPart, StageName, VersionResult
from domain.model_images import ModelImageLoadingFailed
from domain.models import ModelVersionWithdrawn
from domain.prediction_jobs import PredictionFailed, PredictionKind, PredictionTerminated
from domain.sentences import Sentence
from domain.training_jobs import TrainingLossesMeasured, TrainingStageFinished, TrainingValidated
from tests.examples import (
    DEFECT_CODES,
    LOADING_QUEUED,
    MODEL_ID,
    MODEL_IMAGE_ID,
    PANEL_65,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    QUESTION_BANK_FOLDER,
    REPAIR_STATION,
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
    example_id,
    sample,
)
from tests.web.machines import Machine, machine_of, open_plant
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


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    with open_plant(database, tmp_path) as real:
        yield real


@pytest.fixture
def wang(site: RealSite) -> Machine:
    """Acts for trainer_wang, whose everything is."""
    return machine_of(site, TRAINER_WANG_ID)


@pytest.fixture
def li(site: RealSite) -> Machine:
    """Acts for somebody else."""
    return machine_of(site, TRAINER_LI_ID)


def kept(site: RealSite, folder: Path, content: bytes) -> Artifact:
    """A file on the shared storage."""
    file = folder / "to be kept"
    file.write_bytes(content)
    artifact: Artifact = site.services.artifacts.keep(file)
    return artifact


def rule_of(answer: Any) -> tuple[int, str]:
    """The status of a refusal and the rule that said no."""
    return answer.status_code, answer.json()["refusals"][0]["rule"]


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


# Logs and curves


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


def test_everyones_trainings_are_listed_by_state_and_creator(site: RealSite, wang: Machine) -> None:  # T-3
    site.happened_to(TRAINING_JOB_ID, TRAINING_QUEUED)
    site.happened_to(example_id("of li"), replace(TRAINING_QUEUED, owner=TRAINER_LI_ID, model_name="panel-li"))
    assert len(wang.get("/training-jobs").json()["items"]) == 2
    (of_li,) = wang.get(f"/training-jobs?owner={TRAINER_LI_ID}").json()["items"]
    assert of_li["model_name"] == "panel-li"
    assert wang.get(f"/training-jobs?owner={TRAINER_LI_ID}&status=training").json()["items"] == []


# Versions


def test_a_training_is_published_with_its_best_or_its_last_weights(site: RealSite, wang: Machine) -> None:  # V-1
    site.happened_to(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, WORSE_AT_THE_END)
    job = f"/training-jobs/{TRAINING_JOB_ID}"
    assert wang.get(job).json()["last_figures"]["accuracy"] == 0.8
    assert wang.ask("POST", f"{job}/publish?weights=worst").status_code == 400
    published = wang.ask("POST", f"{job}/publish?weights=last").json()
    assert (published["version"], published["chosen_weights"]) == ("v1.01", "last")
    version = wang.get(f"/models/{MODEL_ID}/versions/v1.01").json()
    assert (version["chosen_weights"], version["figures"]["accuracy"]) == ("last", 0.8)
    assert version["model_parameters"]["code_list"] == list(DEFECT_CODES)
    again = wang.ask("POST", f"{job}/publish")
    assert again.status_code == 422


def test_a_version_is_withdrawn_by_its_owner_with_a_reason(
    site: RealSite, wang: Machine, li: Machine, tmp_path: Path
) -> None:  # V-4
    site.happened_to(MODEL_ID, VERSION_PUBLISHED)
    at = export_id(MODEL_ID, "v1.01")
    version = f"/models/{MODEL_ID}/versions/v1.01"
    assert wang.ask("POST", f"{version}/export").status_code == 202
    site.happened_to(at, ExportStarted(worker="gpu-1"), ExportBuilt(package=kept(site, tmp_path, b"the package")))
    assert wang.get(f"{version}/export/package").content == b"the package"
    why = {"reason": "It misses scratches on line 3."}
    assert rule_of(li.ask("POST", f"{version}/withdraw", why)) == (403, "NotTheOwner")
    assert wang.ask("POST", f"{version}/withdraw", {"reason": ""}).status_code == 422
    withdrawn = wang.ask("POST", f"{version}/withdraw", why).json()
    assert (withdrawn["withdrawal_reason"], withdrawn["withdrawn_by"]) == (why["reason"], "trainer_wang")
    assert [type(one.data) for one in site.log.history(MODEL_ID)][-1] is ModelVersionWithdrawn
    (model,) = wang.get("/models").json()["items"]
    assert model["is_withdrawn"]
    assert wang.get(f"{version}/export/package").status_code == 404
    assert rule_of(wang.ask("POST", f"{version}/export")) == (422, "ModelVersionIsWithdrawn")


def test_the_report_of_a_version_is_that_of_its_newest_prediction(
    site: RealSite, wang: Machine, li: Machine
) -> None:  # V-3
    site.happened_to(MODEL_ID, VERSION_PUBLISHED)
    report = f"/models/{MODEL_ID}/versions/v1.01/report"
    assert wang.get(report).status_code == 404
    site.happened_to(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, PREDICTION_COMPLETED)
    told = wang.get(report).json()
    assert (told["job_id"], told["version"], told["figures"]["accuracy"]) == (str(PREDICTION_JOB_ID), "v1.01", 0.9)
    assert rule_of(li.get(report)) == (403, "NotTheOwner")


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


# Datasets and model images


def test_data_paths_are_looked_at_scanned_again_and_removed_together(site: RealSite, wang: Machine) -> None:  # D-7, D-9
    paths = f"/datasets/{TRAINING_DATASET_ID}/data-paths"
    (path,) = wang.get(paths).json()["items"]
    at = f"{paths}/{path['path_id']}"
    assert wang.get(at).json() == path
    assert wang.ask("POST", f"{at}/inspect").json()["state"] == "valid"
    assert wang.get(f"{at}/images?defect_code=TPFIP").json() == {"items": [], "next": None}  # no such folder here
    more = wang.ask("POST", paths, {"data_paths": ["/data/panel-a/question-bank"]}, key="key-0001")
    assert more.json()["path_count"] == 2
    ids = [one["path_id"] for one in wang.get(paths).json()["items"]]
    assert wang.ask("POST", f"{paths}/remove", {"path_ids": ids}).json()["path_count"] == 0
    assert wang.get(at).status_code == wang.get(f"{at}/images?defect_code=TPFIP").status_code == 404


def test_an_image_is_fetched_byte_for_byte_and_nothing_outside_the_data_roots(
    site: RealSite, wang: Machine, tmp_path: Path
) -> None:  # D-4
    (tmp_path / "panel-a").mkdir()
    (tmp_path / "panel-a" / "0001.bmp").write_bytes(b"BM and so on")
    image = wang.get("/images?root=data&path=panel-a/0001.bmp")
    assert image.content == b"BM and so on"
    assert (
        wang.get("/images?root=data&path=panel-a/0001.bmp", **{"If-None-Match": image.headers["ETag"]}).status_code
        == 304
    )
    for root, path in (("data", "../etc/passwd"), ("data", "panel-a/0002.bmp"), ("nowhere", "0001.bmp"), ("data", "")):
        assert wang.get(f"/images?root={root}&path={path}").status_code == 404, path


def test_lists_are_narrowed_to_a_place_and_to_a_kind(site: RealSite, wang: Machine) -> None:  # D-6, I-5
    for place, count in ((PANEL_65.node_id, 1), (REPAIR_STATION.node_id, 0)):
        found = wang.get(f"/datasets?purpose=training&place={place}").json()["items"]
        assert len(found) == count, place
    assert len(wang.get("/model-images?kind=general").json()["items"]) == 1
    assert wang.get("/model-images?kind=business").json()["items"] == []
    assert wang.get(f"/model-images?task_type_id={example_id('nothing')}").json()["items"] == []
    assert wang.get(f"/model-images?place={PANEL_65.node_id}").json()["items"] == []  # a general image is bound to none


def test_a_loaded_version_tells_its_networks_and_parameters(wang: Machine) -> None:  # I-5
    (version,) = wang.get(f"/model-images/{MODEL_IMAGE_ID}").json()["versions"]
    assert "ResNet18" in {one["name"] for one in version["package"]["networks"]}
    assert version["package"]["training_parameters"]["classification"]["max_iter"] > 0


def test_an_archive_that_failed_is_loaded_again_or_dismissed(site: RealSite, wang: Machine) -> None:  # I-4
    site.happened_to(MODEL_IMAGE_ID, LOADING_QUEUED, ModelImageLoadingFailed(reason=Sentence("It is no archive.")))

    def failed() -> dict[str, Any]:
        versions: list[dict[str, Any]] = wang.get(f"/model-images/{MODEL_IMAGE_ID}").json()["versions"]
        return versions[0]

    assert (failed()["status"], failed()["reason"]) == ("failed", "It is no archive.")
    loading = f"/model-images/{MODEL_IMAGE_ID}/loadings/{failed()['loading']}"
    assert wang.ask("POST", f"{loading}/retry").status_code == 202
    assert failed()["status"] == "loading"
    refused = wang.ask("DELETE", f"/model-images/{MODEL_IMAGE_ID}/loadings/{failed()['loading']}")
    assert refused.status_code == 404  # it is loading, so nothing failed
    site.happened_to(MODEL_IMAGE_ID, ModelImageLoadingFailed(reason=Sentence("It is no archive.")))
    loading = f"/model-images/{MODEL_IMAGE_ID}/loadings/{failed()['loading']}"
    assert wang.ask("DELETE", loading).status_code == 204
    assert failed()["status"] == "loaded"


# The document


def test_the_document_is_told_in_words_for_people_and_its_examples_are_true(site: RealSite) -> None:
    document = site.client.get("/api/v1/openapi.json").json()
    assert not any("." in name or name.endswith("_") for name in document["components"]["schemas"])
    assert {"DatasetList", "TrainingJobList"} <= set(document["components"]["schemas"])
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    for operation in operations:
        name = operation["operationId"]
        assert operation["tags"], name
        assert operation["description"].startswith(operation["summary"] or "?"), name
        assert {"401", "403", "404"} <= set(operation["responses"]), name
        assert "application/problem+json" in operation["responses"]["401"]["content"], name
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert body is None or "example" in body, name
    used = json.dumps(document["paths"])
    assert "#/components/schemas/DatasetList" in used
    assert "Listed_" not in used
    assert sum("requestBody" in operation for operation in operations) > 9


def test_a_terminated_prediction_is_no_longer_running(site: RealSite, wang: Machine) -> None:
    site.happened_to(PREDICTION_JOB_ID, PREDICTION_QUEUED, PREDICTION_STARTED, PredictionTerminated())
    job = wang.get(f"/prediction-jobs/{PREDICTION_JOB_ID}").json()
    assert (job["status"], job["now"], job["wait"]) == ("terminated", None, None)
