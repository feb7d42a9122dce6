"""Models and their versions: published, exported, judged, trained again, withdrawn. Source: REQUIREMENTS, sections V and X, K-5."""

import hashlib
from pathlib import Path

from domain.exports import ExportBuilt, ExportStarted, export_id
from domain.models import ModelVersionWithdrawn
from tests.examples import (
    DEFECT_CODES,
    MODEL_ID,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    WORSE_AT_THE_END,
    History,
)
from tests.web.machines import NEW_TRAINING, Machine, kept, machine_of, rule_of
from tests.web.real_site import RealSite


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


def test_a_published_version_is_exported_and_fetched_with_its_checksum(
    site: RealSite, wang: Machine, tmp_path: Path
) -> None:
    site.happened(History().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID))
    address = f"/models/{MODEL_ID}/versions/v1.01/export"
    assert wang.get(address).status_code == 404
    asked = wang.ask("POST", address)
    assert (asked.status_code, asked.json()["status"]) == (202, "waiting")
    assert wang.ask("POST", address).json()["requested_at"] == asked.json()["requested_at"]
    (tmp_path / "panel-a.zip").write_bytes(b"the package of panel-a")
    package = site.services.artifacts.keep(tmp_path / "panel-a.zip")
    at = export_id(MODEL_ID, "v1.01")
    site.happened_to(at, ExportStarted(worker="gpu-1"), ExportBuilt(package=package))
    built = wang.get(address).json()
    file = wang.get(f"{address}/package")
    assert built["package"]["checksum"] == hashlib.sha256(file.content).hexdigest() == file.headers["ETag"].strip('"')
    assert wang.get(f"{address}/package", Range="bytes=4-10").content == file.content[4:11]
    stranger = machine_of(site, TRAINER_LI_ID)
    assert stranger.get(f"{address}/package").status_code == 403
    assert stranger.ask("POST", address).json()["refusals"][0]["rule"] == "NotTheOwner"


def test_a_version_is_judged_and_trained_again_by_its_owner_only(site: RealSite, wang: Machine) -> None:  # P-1, W-11
    site.happened(
        History()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
    )
    prediction = {
        "name": "evening",
        "model_id": str(MODEL_ID),
        "versions": ["v1.01"],
        "data_paths": [{"root": "data", "path": "panel-a/question-bank"}],
        "compute_resource_id": str(TWO_CORES_ID),
    }
    again = {name: NEW_TRAINING[name] for name in ("data_paths", "compute_resource_id")}
    for path, body in (("/prediction-jobs", prediction), (f"/models/{MODEL_ID}/versions/v1.01/retrain", again)):
        answers = [wang.ask("POST", path, body, key="key-0001") for _ in range(2)]
        assert {answer.status_code for answer in answers} == {201}, answers[0].text
        assert len({answer.json()["job_id"] for answer in answers}) == 1
        by_li = machine_of(site, TRAINER_LI_ID).ask("POST", path, body, key="key-0001")
        assert rule_of(by_li) == (403, "NotTheOwner")
    (job,) = wang.get("/prediction-jobs").json()["items"]
    assert (job["name"], job["status"], job["accuracy"]) == ("evening", "waiting", None)
    assert wang.get(f"/prediction-jobs/{job['job_id']}/reports").json() == []
    assert {one["model_id"] for one in wang.get("/training-jobs").json()["items"]} == {str(MODEL_ID)}
    unknown = wang.ask("POST", f"/models/{MODEL_ID}/versions/v9.99/retrain", again, key="key-0002")
    assert unknown.status_code == 404


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
