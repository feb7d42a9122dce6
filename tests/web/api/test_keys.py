"""The same request with the same Idempotency-Key makes one thing. Source: REQUIREMENTS, K-5."""

from domain.training_jobs import TrainingQueued
from tests.examples import MODEL_IMAGE_ID, PANEL_65, TRAINER_LI_ID
from tests.web.machines import NEW_TRAINING, Machine, machine_of, rule_of
from tests.web.real_site import RealSite


def test_the_same_request_with_the_same_key_makes_one_job(site: RealSite, wang: Machine) -> None:
    answers = [wang.ask("POST", "/training-jobs", NEW_TRAINING, key="key-0001") for _ in range(3)]
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
    late = wang.ask("POST", "/training-jobs", NEW_TRAINING, key="key-0001")
    assert (late.status_code, late.json()["type"]) == (503, "urn:assay:problem:shown-late")
    wait(site.log.position())
    object.__setattr__(site.services, "wait", wait)
    assert wang.ask("POST", "/training-jobs", NEW_TRAINING, key="key-0001").status_code == 201
    assert sum(isinstance(one.data, TrainingQueued) for _, one in site.log.read(0, 1000)) == 1


def test_a_key_belongs_to_one_body_and_to_one_user(site: RealSite, wang: Machine) -> None:
    assert wang.ask("POST", "/training-jobs", NEW_TRAINING, key="key-0001").status_code == 201
    other = wang.ask("POST", "/training-jobs", NEW_TRAINING | {"split_ratio": 0.7}, key="key-0001")
    assert rule_of(other) == (409, "KeyWasUsed")
    of_li = machine_of(site, TRAINER_LI_ID).ask(
        "POST", "/training-jobs", NEW_TRAINING | {"model_name": "panel-c"}, key="key-0001"
    )
    assert of_li.status_code == 201, of_li.text


def test_without_a_usable_key_nothing_is_made(site: RealSite, wang: Machine) -> None:
    before = site.log.position()
    for key in ("", "short", "with blanks in it", "x" * 129):
        answer = wang.ask("POST", "/training-jobs", NEW_TRAINING, key=key)
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
