"""What a machine is told of a request that cannot be done, or cannot be read. Source: REQUIREMENTS, K-5."""

from dataclasses import replace
from typing import Any

import pytest

from domain.data_paths import FolderDoesNotAnswer
from tests.examples import TRAINING_DATASET_ID, TRAINING_PATH_ID, KnownFolders
from tests.web.machines import API, NEW_TRAINING, Machine, rule_of
from tests.web.real_site import RealSite


def test_every_broken_rule_is_named_with_its_field(wang: Machine) -> None:
    answer = wang.ask(
        "POST", "/training-jobs", NEW_TRAINING | {"model_name": "9lives", "environment": []}, key="key-0001"
    )
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, "urn:assay:problem:refused")
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert ("ObjectNameIsInvalid", "model_name") in [(one["rule"], one["field"]) for one in problem["refusals"]]
    in_chinese = wang.ask(
        "POST",
        "/training-jobs",
        NEW_TRAINING | {"model_name": "9lives"},
        key="key-0002",
        **{"Accept-Language": "zh-CN"},
    )
    assert "字母" in in_chinese.json()["detail"]


def test_a_body_that_does_not_fit_is_refused_with_the_place(wang: Machine) -> None:
    for wrong, place in (
        (NEW_TRAINING | {"split_ratio": "half"}, "split_ratio"),
        (NEW_TRAINING | {"spilt_ratio": 0.8}, ""),
    ):
        answer = wang.ask("POST", "/training-jobs", wrong, key="key-0001")
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:assay:problem:malformed")
        assert place in str(answer.json()["refusals"])


def test_a_body_that_is_too_large_is_refused_in_the_same_form(wang: Machine) -> None:
    answer = wang.ask("POST", "/training-jobs", NEW_TRAINING | {"group_pattern": "x" * (5 << 20)}, key="key-0001")
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
        wang.ask("POST", "/training-jobs", NEW_TRAINING | {"group_pattern": "\0"}, key="key-0001"),
    ):
        assert rule_of(answer) == (400, "TextHoldsNul")


def test_an_address_that_does_not_exist_is_told_in_the_same_form(wang: Machine) -> None:
    answer = wang.get("/nowhere")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    wrong_way = wang.ask("PATCH", "/datasets")
    assert (wrong_way.status_code, wrong_way.json()["type"]) == (405, "urn:assay:problem:method-not-allowed")


def test_storage_that_does_not_answer_is_told_by_a_problem_of_its_own(site: RealSite, lead: Machine) -> None:  # D-3
    class HangingFolders(KnownFolders):
        def scan_again(self, folders: Any) -> Any:
            raise FolderDoesNotAnswer(folder=str(folders[0]))

    site.services.assay.ports = replace(site.services.assay.ports, data_folders=HangingFolders())
    answer = lead.ask("POST", f"/datasets/{TRAINING_DATASET_ID}/data-paths/{TRAINING_PATH_ID}/inspect")
    assert rule_of(answer) == (503, "FolderDoesNotAnswer")
    assert (answer.json()["type"], answer.headers["Retry-After"]) == ("urn:assay:problem:storage-away", "10")
    shown = lead.get(f"/datasets/{TRAINING_DATASET_ID}/data-paths/{TRAINING_PATH_ID}").json()
    assert shown["state"] == "valid", "nothing is noted of a look that saw nothing"
