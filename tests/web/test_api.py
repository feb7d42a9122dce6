"""The HTTP API over the real parts: who gets in, what is told, and that nothing is missed or made twice. Source: K-5."""

import dataclasses
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from commands.datasets import DeleteDataset
from commands.users import DeleteUser
from domain.api_tokens import ApiTokenCreated, ApiTokenRevoked, TokenScope
from domain.datasets import DatasetCreated, DatasetDeleted
from domain.exports import ExportBuilt, ExportStarted, export_id
from domain.facts import SYSTEM
from domain.training_jobs import TrainingQueued
from domain.users import UserRefusedAction
from tests.examples import (
    MODEL_ID,
    MODEL_IMAGE_ID,
    PANEL_65,
    PREDICTION_QUEUED,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    History,
    example_id,
)
from tests.web.machines import API, Machine, machine_of, open_plant
from tests.web.real_site import RealSite
from web.bearer import hash_of

JOB = {
    "model_name": "panel-b",
    "model_image_id": str(MODEL_IMAGE_ID),
    "model_image_version": 1,
    "environment": [str(PANEL_65.node_id)],
    "data_paths": [{"root": "data", "path": "panel-a/train"}],
    "compute_resource_id": str(TWO_CORES_ID),
}


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    with open_plant(database, tmp_path) as real:
        yield real


@pytest.fixture
def wang(site: RealSite) -> Machine:
    """Acts for trainer_wang."""
    return machine_of(site, TRAINER_WANG_ID)


# Who gets in


def test_a_token_says_whom_it_acts_for(wang: Machine) -> None:
    me = wang.get("/me").json()
    assert (me["username"], me["role"], me["scope"], me["token_name"]) == (
        "trainer_wang",
        "model_trainer",
        "act",
        "MES, hall 2",
    )


def test_without_a_right_token_nothing_is_told(site: RealSite) -> None:
    right = f"assay_{'A' * 43}"
    for authorization in (
        "",
        "Bearer",
        "Bearer nonsense",
        f"Bearer {right}",
        f"Basic {right}",
        f"Bearer {right[:-1]}\x7f",
    ):
        headers = {"Authorization": authorization} if authorization else {}
        answer = site.client.get(f"{API}/datasets?purpose=training", headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), authorization
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:assay:problem:wrong-token"


def test_the_session_of_a_browser_counts_for_nothing(site: RealSite) -> None:
    site.enter(QUALITY_LEAD_ID)
    assert site.client.get("/users").status_code == 200
    assert site.client.get(f"{API}/me").status_code == 401


def test_an_expired_token_and_one_of_a_deleted_user_open_nothing(site: RealSite) -> None:
    assert machine_of(site, TRAINER_LI_ID, lifetime=timedelta(seconds=-1)).get("/me").status_code == 401
    of_li = machine_of(site, TRAINER_LI_ID, lifetime=timedelta(hours=1))
    assert of_li.get("/me").status_code == 200
    deletion = DeleteUser(actor=QUALITY_LEAD_ID, user_id=TRAINER_LI_ID, heir=TRAINER_WANG_ID)
    site.services.wait(site.services.assay.dispatch(deletion))
    assert of_li.get("/me").status_code == 401


def test_who_sends_many_wrong_tokens_waits_and_nobody_else_does(site: RealSite, wang: Machine) -> None:
    guesser = Machine(site, f"assay_{'A' * 43}")
    answers = [guesser.get("/me") for _ in range(25)]
    assert {answer.status_code for answer in answers[:20]} == {401}
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert wang.get("/me").status_code == 200  # from the same address


def test_a_token_that_may_only_read_changes_nothing(site: RealSite) -> None:
    reader = machine_of(site, TRAINER_WANG_ID, TokenScope.READ)
    before = site.log.position()
    refused = reader.ask("POST", "/training-jobs", JOB, key="key-0001")
    assert (refused.status_code, refused.json()["refusals"][0]["rule"]) == (403, "ScopeIsRead")
    assert site.log.position() == before
    assert reader.get("/training-jobs").status_code == 200


def test_the_log_says_who_acted_with_which_token_through_which_request(site: RealSite, wang: Machine) -> None:  # E-1
    answer = wang.ask("POST", "/training-jobs", JOB, key="key-0001")
    queued = next(one for _, one in reversed(site.log.read(0, 1000)) if isinstance(one.data, TrainingQueued))
    (token_id,) = [one.originator_id for _, one in site.log.read(0, 1000) if isinstance(one.data, ApiTokenCreated)]
    assert (queued.origin.actor, queued.origin.token) == (TRAINER_WANG_ID, token_id)
    assert queued.origin.request == answer.headers["X-Request-ID"]


def test_the_last_use_is_noted(site: RealSite, wang: Machine) -> None:
    (token_id,) = [one.originator_id for _, one in site.log.read(0, 1000) if isinstance(one.data, ApiTokenCreated)]
    assert site.services.token_uses.of([token_id]) == {}
    wang.get("/me")
    assert site.services.token_uses.of([token_id])[token_id].address == "testclient"


# What is told


def test_every_broken_rule_is_named_with_its_field(wang: Machine) -> None:
    answer = wang.ask("POST", "/training-jobs", JOB | {"model_name": "9lives", "environment": []}, key="key-0001")
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, "urn:assay:problem:refused")
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert ("ObjectNameIsInvalid", "model_name") in [(one["rule"], one["field"]) for one in problem["refusals"]]
    in_chinese = wang.ask(
        "POST", "/training-jobs", JOB | {"model_name": "9lives"}, key="key-0002", **{"Accept-Language": "zh-CN"}
    )
    assert "字母" in in_chinese.json()["detail"]


def test_a_body_that_does_not_fit_is_refused_with_the_place(wang: Machine) -> None:
    for wrong, place in ((JOB | {"split_ratio": "half"}, "split_ratio"), (JOB | {"spilt_ratio": 0.8}, "")):
        answer = wang.ask("POST", "/training-jobs", wrong, key="key-0001")
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:assay:problem:malformed")
        assert place in str(answer.json()["refusals"])


def test_a_body_that_is_too_large_is_refused_in_the_same_form(wang: Machine) -> None:
    answer = wang.ask("POST", "/training-jobs", JOB | {"group_pattern": "x" * (5 << 20)}, key="key-0001")
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:assay:problem:too-large")


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '{"name": ' * 50_000, '{"name": "\\ud800"}', "9" * 5000, "1e999", "", "\ufeff{}"]
)
def test_a_body_that_no_program_of_ours_could_read_is_refused(site: RealSite, wang: Machine, body: str) -> None:
    headers = {
        "Authorization": f"Bearer {wang.secret}",
        "Idempotency-Key": "key-0001",
        "Content-Type": "application/json",
    }
    answer = site.client.post(f"{API}/training-jobs", content=body.encode(), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:assay:problem:malformed")


def test_what_no_text_can_hold_is_refused_before_it_comes_anywhere(wang: Machine) -> None:
    for answer in (
        wang.get("/datasets?purpose=training&search=%00"),
        wang.ask("POST", "/training-jobs", JOB | {"group_pattern": "\0"}, key="key-0001"),
    ):
        assert (answer.status_code, answer.json()["refusals"][0]["rule"]) == (400, "TextHoldsNul")


def test_an_address_that_does_not_exist_is_told_in_the_same_form(wang: Machine) -> None:
    answer = wang.get("/nowhere")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    wrong_way = wang.ask("PATCH", "/datasets")
    assert (wrong_way.status_code, wrong_way.json()["type"]) == (405, "urn:assay:problem:method-not-allowed")


# Lists


def dataset_named(name: str) -> DatasetCreated:
    return replace(TRAINING_DATASET, name=name, data_paths=())


def test_what_is_there_throughout_is_listed_once_however_much_changes_meanwhile(site: RealSite, wang: Machine) -> None:
    names = [f"panel-{letter}" for letter in "bdfhjlnp"]
    for name in names:
        site.happened(History().add(example_id(name), dataset_named(name)))
    path = "/datasets?purpose=training&limit=3"
    first = wang.get(path).json()
    site.happened(History().add(example_id("panel-a0"), dataset_named("panel-a0")))  # before what was read
    site.happened(History().add(example_id("panel-k"), dataset_named("panel-k")))  # behind it
    site.services.wait(site.services.assay.dispatch(DeleteDataset(actor=SYSTEM, dataset_id=example_id("panel-b"))))
    seen = [one["name"] for one in first["items"]]
    while first["next"]:
        first = wang.get(f"{path}&after={first['next']}").json()
        seen += [one["name"] for one in first["items"]]
    assert len(seen) == len(set(seen))
    assert {name for name in seen if name != "panel-a-training"} == {*names, "panel-k"}


def test_every_list_can_be_read_to_its_end(site: RealSite, wang: Machine) -> None:
    jobs = [example_id(f"job {number}") for number in range(5)]
    for number, job_id in enumerate(jobs):
        queued = replace(TRAINING_QUEUED, model_id=example_id(f"model {number}"))
        site.happened(History().add(job_id, queued, actor=TRAINER_WANG_ID))
        predicted = example_id(f"prediction {number}")
        site.happened(History().add(predicted, PREDICTION_QUEUED, actor=TRAINER_WANG_ID))
        published = replace(VERSION_PUBLISHED, model_name=f"panel-{number}")
        site.happened(History().add(example_id(f"model {number}"), published, actor=TRAINER_WANG_ID))
    for limit in (1, 2, 5, 200):
        assert {one["job_id"] for one in wang.everything("/training-jobs", limit)} == set(map(str, jobs))
        assert len(wang.everything("/prediction-jobs", limit)) == 5
        assert [one["name"] for one in wang.everything("/models", limit)] == [f"panel-{n}" for n in range(5)]
        assert [one["name"] for one in wang.everything("/model-images", limit)] == ["resnet18"]
        assert len(wang.everything(f"/datasets/{TRAINING_DATASET_ID}/data-paths", limit)) == 1
    assert machine_of(site, TRAINER_LI_ID).everything("/models", 5) == []


def test_a_place_that_no_list_gave_is_refused(wang: Machine) -> None:
    for after in ("nonsense", "!!!!", "WyJhIl0=", "WyJcdTAwMDAiLCAiYSJd", "bnVsbA=="):
        answer = wang.get(f"/datasets?purpose=training&after={after}")
        assert (answer.status_code, answer.json()["refusals"][0]["rule"]) == (400, "CursorIsWrong"), after


# Making things once


def test_the_same_request_with_the_same_key_makes_one_job(site: RealSite, wang: Machine) -> None:
    answers = [wang.ask("POST", "/training-jobs", JOB, key="key-0001") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}, answers[0].text
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sum(isinstance(one.data, TrainingQueued) for _, one in site.log.read(0, 1000)) == 1
    assert answers[0].json()["status"] == "waiting"


def test_what_is_done_and_cannot_be_shown_yet_is_told_so_and_found_with_the_same_key(
    site: RealSite, wang: Machine
) -> None:  # E-5
    def never(position: int) -> None:
        raise TimeoutError(position)

    wait = site.services.wait
    object.__setattr__(site.services, "wait", never)
    late = wang.ask("POST", "/training-jobs", JOB, key="key-0001")
    assert (late.status_code, late.json()["type"]) == (503, "urn:assay:problem:shown-late")
    wait(site.log.position())
    object.__setattr__(site.services, "wait", wait)
    assert wang.ask("POST", "/training-jobs", JOB, key="key-0001").status_code == 201
    assert sum(isinstance(one.data, TrainingQueued) for _, one in site.log.read(0, 1000)) == 1


def test_a_key_belongs_to_one_body_and_to_one_user(site: RealSite, wang: Machine) -> None:
    assert wang.ask("POST", "/training-jobs", JOB, key="key-0001").status_code == 201
    other = wang.ask("POST", "/training-jobs", JOB | {"split_ratio": 0.7}, key="key-0001")
    assert (other.status_code, other.json()["refusals"][0]["rule"]) == (409, "KeyWasUsed")
    of_li = machine_of(site, TRAINER_LI_ID).ask(
        "POST", "/training-jobs", JOB | {"model_name": "panel-c"}, key="key-0001"
    )
    assert of_li.status_code == 201, of_li.text


def test_without_a_usable_key_nothing_is_made(site: RealSite, wang: Machine) -> None:
    before = site.log.position()
    for key in ("", "short", "with blanks in it", "x" * 129):
        answer = wang.ask("POST", "/training-jobs", JOB, key=key)
        assert answer.status_code == 400, key
        (told,) = answer.json()["refusals"]
        assert "idempotency" in (told["field"] + told["message"]).lower()
    assert site.log.position() == before


def test_paths_are_added_once_and_a_version_is_imported_once(site: RealSite, wang: Machine) -> None:
    body = {"name": "panel-q", "purpose": "question_bank", "environment": [str(PANEL_65.node_id)], "data_paths": []}
    dataset = wang.ask("POST", "/datasets", body | {"data_paths": ["/data/panel-a/train"]}, key="key-0001").json()
    for _ in range(2):
        more = {"data_paths": ["/data/panel-a/question-bank"]}
        answer = wang.ask("POST", f"/datasets/{dataset['dataset_id']}/data-paths", more, key="key-0002")
        assert (answer.status_code, answer.json()["path_count"]) == (201, 2), answer.text
    for _ in range(2):
        imported = wang.ask(
            "POST",
            f"/model-images/{MODEL_IMAGE_ID}/versions",
            {"archive": "/archives/resnet18@1.0.tar"},
            key="key-0003",
        )
        assert imported.status_code == 202, imported.text
    assert len(wang.get(f"/model-images/{MODEL_IMAGE_ID}").json()["versions"]) == 2


def test_an_archive_is_uploaded_in_parts_and_imported(site: RealSite, wang: Machine) -> None:  # I-2
    content = b"an archive" * 1000
    wish = {"file_name": "resnet18@1.1", "size": len(content), "model_image_id": str(MODEL_IMAGE_ID)}
    begun = wang.ask("POST", "/uploads", wish, key="key-0001").json()
    assert wang.ask("POST", "/uploads", wish, key="key-0001").json() == begun
    address = f"/uploads/{begun['upload_id']}"
    half = len(content) // 2
    assert wang.send(f"{address}?offset=0", content[:half]).json()["received"] == half
    wrong = wang.send(f"{address}?offset=5", content)
    assert (wrong.status_code, wrong.json()["received"]) == (409, half)
    assert machine_of(site, TRAINER_LI_ID).get(address).status_code in (404, 422)
    assert wang.send(f"{address}?offset={half}", content[half:]).json()["received"] == len(content)
    named = wang.ask("POST", "/uploads", wish | {"file_name": "no version"}, key="key-0002")
    assert (named.status_code, named.json()["refusals"][0]["rule"]) == (422, "ArchiveNameIsInvalid")
    assert wang.ask("DELETE", address).status_code == 204
    assert wang.ask("DELETE", address).status_code == 204


# The main way of a machine


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
    again = {name: JOB[name] for name in ("data_paths", "compute_resource_id")}
    for path, body in (("/prediction-jobs", prediction), (f"/models/{MODEL_ID}/versions/v1.01/retrain", again)):
        answers = [wang.ask("POST", path, body, key="key-0001") for _ in range(2)]
        assert {answer.status_code for answer in answers} == {201}, answers[0].text
        assert len({answer.json()["job_id"] for answer in answers}) == 1
        by_li = machine_of(site, TRAINER_LI_ID).ask("POST", path, body, key="key-0001")
        assert (by_li.status_code, by_li.json()["refusals"][0]["rule"]) == (403, "NotTheOwner")
    (job,) = wang.get("/prediction-jobs").json()["items"]
    assert (job["name"], job["status"], job["accuracy"]) == ("evening", "waiting", None)
    assert wang.get(f"/prediction-jobs/{job['job_id']}/reports").json() == []
    assert {one["model_id"] for one in wang.get("/training-jobs").json()["items"]} == {str(MODEL_ID)}
    unknown = wang.ask("POST", f"/models/{MODEL_ID}/versions/v9.99/retrain", again, key="key-0002")
    assert unknown.status_code == 404


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
        (wang, "/training-jobs", JOB, named),
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


def test_a_job_is_watched_and_refuses_what_its_state_forbids(site: RealSite, wang: Machine) -> None:  # T-2
    site.happened(History().add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID))
    waiting = wang.ask("POST", f"/training-jobs/{TRAINING_JOB_ID}/terminate")
    assert (waiting.status_code, waiting.json()["refusals"][0]["rule"]) == (422, "WaitingJobCannotBeTerminated")
    assert wang.get("/training-jobs?status=waiting").json()["items"][0]["job_id"] == str(TRAINING_JOB_ID)
    assert wang.get("/training-jobs?status=published").json()["items"] == []
    assert wang.ask("DELETE", f"/training-jobs/{TRAINING_JOB_ID}").status_code == 204
    assert wang.get(f"/training-jobs/{TRAINING_JOB_ID}").status_code == 404


def test_an_id_of_something_else_is_not_found(wang: Machine) -> None:
    for path in (f"/training-jobs/{TRAINING_DATASET_ID}/terminate", f"/datasets/{MODEL_IMAGE_ID}/inspect"):
        assert wang.ask("POST", path).status_code == 404


def test_places_are_offered_from_the_top_down(wang: Machine) -> None:
    top = wang.get("/environment-nodes").json()
    assert [node["name"] for node in top["nodes"]] == ["一厂区", "二厂区"]
    below = wang.get(f"/environment-nodes?below={top['nodes'][0]['node_id']}").json()
    assert [node["name"] for node in below["nodes"]] == ["阵列厂", "成盒厂"]


# A manufacturing execution system


def test_an_mes_follows_events_and_fetches_the_published_models_of_everybody(
    site: RealSite, tmp_path: Path
) -> None:  # K-3, K-5
    site.happened(History().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID))
    mes = machine_of(site, TRAINER_LI_ID, TokenScope.MES)  # who owns nothing and is no super administrator
    (published,) = [
        one for one in mes.get("/events?limit=1000").json()["events"] if one["type"] == "assay.model.version_published"
    ]
    address = f"/models/{published['subject']}/versions/{published['data']['version']}"
    assert mes.get(address).json()["weights"]["checksum"] == VERSION_PUBLISHED.weights.checksum
    assert [one["model_id"] for one in mes.everything("/models", 1)] == [str(MODEL_ID)]
    assert mes.ask("POST", f"{address}/export").status_code == 202
    (tmp_path / "panel-a.zip").write_bytes(b"the package of panel-a")
    package = site.services.artifacts.keep(tmp_path / "panel-a.zip")
    at = export_id(MODEL_ID, "v1.01")
    queued = site.log.history(at)
    site.happened_to(at, ExportStarted(worker="gpu-1"), ExportBuilt(package=package))
    assert mes.get(f"{address}/export/package").content == b"the package of panel-a"
    token_id = next(one.originator_id for _, one in site.log.read(0, 1000) if isinstance(one.data, ApiTokenCreated))
    assert {(one.origin.actor, one.origin.token) for one in queued} == {(TRAINER_LI_ID, token_id)}  # E-1


def test_an_mes_may_nothing_else_whatever_its_user_may(site: RealSite) -> None:  # K-5
    site.happened(
        History()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=QUALITY_LEAD_ID)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=QUALITY_LEAD_ID)
    )
    mes = machine_of(site, QUALITY_LEAD_ID, TokenScope.MES)
    version = f"/models/{MODEL_ID}/versions/v1.01"
    before = site.log.position()
    for method, path, body in (
        ("GET", "/training-jobs", None),
        ("GET", f"/training-jobs/{TRAINING_JOB_ID}/log", None),
        ("GET", "/datasets?purpose=training", None),
        ("GET", f"{version}/report", None),
        ("POST", f"{version}/withdraw", {"reason": "It misses scratches."}),
        ("POST", f"{version}/retrain", {name: JOB[name] for name in ("data_paths", "compute_resource_id")}),
        ("POST", "/uploads", {"file_name": "unet@1.0", "size": 10}),
        ("DELETE", f"/training-jobs/{TRAINING_JOB_ID}", None),
    ):
        answer = mes.ask(method, path, body, key="key-0001")
        assert (answer.status_code, answer.json()["refusals"][0]["rule"]) == (403, "ScopeIsMes"), path
    assert site.log.position() == before


# Events


def test_who_follows_next_sees_every_public_event_once_in_order(site: RealSite) -> None:  # K-3
    lead = machine_of(site, QUALITY_LEAD_ID, TokenScope.READ)
    for number in range(7):
        name = f"panel-x{number}"
        site.happened(History().add(example_id(name), dataset_named(name), DatasetDeleted(), actor=TRAINER_WANG_ID))
    seen, after, has_more = [], 0, True
    while has_more:
        part = lead.get(f"/events?after={after}&limit=4").json()
        assert len(part["events"]) <= 4
        seen += part["events"]
        after, has_more = part["next"], part["has_more"]
    assert [one["sequence"] for one in seen] == sorted({one["sequence"] for one in seen})
    assert sum(one["type"] == "assay.dataset.created" for one in seen) == 7 + 1  # with that of the plant
    assert lead.get(f"/events?after={after}").json() == {"events": [], "next": after, "has_more": False}
    site.happened(History().add(example_id("panel-y"), dataset_named("panel-y"), actor=TRAINER_WANG_ID))
    (new,) = lead.get(f"/events?after={after}").json()["events"]
    assert (new["data"]["name"], new["actor"], new["specversion"]) == ("panel-y", str(TRAINER_WANG_ID), "1.0")


def test_no_secret_and_no_hash_is_among_the_events(site: RealSite) -> None:  # E-6
    lead = machine_of(site, QUALITY_LEAD_ID)
    told = lead.get("/events?limit=1000").text
    assert "assay.user.created" in told
    for secret in (lead.secret, hash_of(lead.secret), "hash of", "secret_hash", "password", "quality@example.com"):
        assert secret not in told


def test_only_super_administrators_follow_the_events(site: RealSite, wang: Machine) -> None:  # U-6
    assert wang.get("/events").status_code == 403
    assert not any(isinstance(one.data, UserRefusedAction) for _, one in site.log.read(0, 1000))


def test_a_revoked_token_is_refused_from_the_next_request_on(site: RealSite, wang: Machine) -> None:
    (token_id,) = [one.originator_id for _, one in site.log.read(0, 1000) if isinstance(one.data, ApiTokenCreated)]
    assert wang.get("/me").status_code == 200
    revoked = replace(History().add(token_id, ApiTokenRevoked()).events[0], originator_version=2)
    site.services.wait(site.log.append([revoked]))
    assert wang.get("/me").status_code == 401
