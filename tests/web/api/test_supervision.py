"""The overview, locked paths, the MES feed, the audit and provenance over the HTTP API. Source: O-1, W-5, K-1, E-3, K-5."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from commands.users import ChangeUserEmail
from domain.api_tokens import TokenScope
from domain.provenance import ImageState
from infra.unusable_reports import keep_unusable
from tests.examples import (
    MODEL_ID,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_DATASET_ID,
    TRAINING_FOLDER,
    TRAINING_JOB_ID,
    VERSION_PUBLISHED,
    example_id,
)
from tests.infra.kafka_plant import losses
from tests.web.busy_plant import COMPARISON_ID, open_busy_plant
from tests.web.machines import Machine, machine_of, rule_of
from tests.web.real_site import RealSite

PROVENANCE = f"/models/{MODEL_ID}/versions/v1.01/provenance"


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    """Everything has happened once, and trainer_wang owns what has an owner."""
    with open_busy_plant(database, tmp_path) as site:
        yield site


@pytest.fixture
def wang(site: RealSite) -> Machine:
    """Manages in the name of trainer_wang, which is little."""
    return machine_of(site, TRAINER_WANG_ID, TokenScope.MANAGE)


# The overview


def test_key_figures_are_everybodys_own(site: RealSite, lead: Machine, wang: Machine) -> None:  # O-1, M-7
    figures = machine_of(site, TRAINER_WANG_ID, TokenScope.READ).get("/overview").json()
    counts = {name: value for name, value in figures.items() if name.endswith("_count")}
    assert counts == {
        "model_count": 1,
        "training_job_count": 2,
        "prediction_job_count": 2,
        "comparison_count": 1,
        "failed_training_job_count": 1,
        "failed_prediction_job_count": 1,
        "failed_comparison_count": 0,
    }
    assert (figures["lowest_accuracy"]["model_name"], figures["lowest_accuracy"]["model_id"]) == (
        "panel-a",
        str(MODEL_ID),
    )
    assert set(figures["setup"].values()) == {True}
    of_lead = lead.get("/overview").json()
    assert (of_lead["model_count"], of_lead["lowest_accuracy"]) == (0, None)


def test_the_system_is_the_same_for_all(site: RealSite, wang: Machine) -> None:  # O-1
    now = wang.get("/overview/system").json()
    assert {line["kind"] for line in now["lines"]} == {"training", "prediction", "loading", "export"}
    for span in ("hour", "day"):
        history = wang.get(f"/overview/system/history?span={span}").json()
        assert (history["span"], history["machines"]) == (span, [])
    assert wang.get("/overview/system/history?span=year").status_code == 400


# Locked paths


def test_a_locked_path_is_released_once_its_images_are_gone(
    site: RealSite, lead: Machine, tmp_path: Path
) -> None:  # W-5
    (model,) = lead.everything("/locked-paths", 5)
    assert (model["name"], model["owner_name"], model["released_count"]) == ("panel-a", "trainer_wang", 0)
    assert lead.everything("/locked-paths?search=nothing", 5) == []
    path = f"/locked-paths/{MODEL_ID}"
    wish = {"folder": {"root": TRAINING_FOLDER.root, "path": TRAINING_FOLDER.path}}
    (line,) = lead.get(path).json()
    assert (line["folder"], line["can_be_released"], line["released_at"]) == (wish["folder"], False, None)
    assert rule_of(lead.ask("POST", f"{path}/release", wish)) == (422, "DataPathHasImages")
    (tmp_path / TRAINING_FOLDER.path).rename(tmp_path / "elsewhere")
    (line,) = lead.get(path).json()
    assert (line["state"], line["can_be_released"]) == ("invalid", True)
    (released,) = lead.ask("POST", f"{path}/release", wish).json()
    assert (released["released_by"], released["can_be_released"]) == ("quality_lead", False)
    assert rule_of(lead.ask("POST", f"{path}/release", wish)) == (422, "DataPathIsNotLocked")
    assert lead.get(f"/locked-paths/{example_id('nothing')}").status_code == 404


# The MES feed


def test_an_unusable_report_is_taken_in_or_dismissed(site: RealSite, lead: Machine, database: str) -> None:  # K-1
    state = lead.get("/mes-feed").json()
    assert (state["topic"], state["feed"]["sent_count"], state["relay"]["is_away"]) == ("", 0, True)
    assert state["feed"]["log_position"] == site.log.position()
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        for offset, content in enumerate((b"noise", msgspec.json.encode(losses(1)))):
            keep_unusable(connection, "kafka 1/3", "assay.reports", offset, f"report {offset}", "no", content)
    assert lead.get("/mes-feed").json()["relay"]["unusable_count"] == 2
    usable, noise = lead.everything("/mes-feed/reports", 1)
    assert (noise["preview"], noise["place"]["partition"]) == ("noise", 3)
    answer = lead.ask("POST", f"/mes-feed/reports/{usable['report_id']}/retry")
    assert (answer.status_code, answer.json()) == (200, {"outcome": "over"})  # the job has long ended
    assert lead.ask("POST", f"/mes-feed/reports/{noise['report_id']}/retry").json() == {"outcome": "still_unusable"}
    assert lead.ask("DELETE", f"/mes-feed/reports/{noise['report_id']}").status_code == 204
    assert lead.everything("/mes-feed/reports", 5) == []
    for gone in (usable, noise):
        assert lead.ask("DELETE", f"/mes-feed/reports/{gone['report_id']}").status_code == 404
        assert lead.ask("POST", f"/mes-feed/reports/{gone['report_id']}/retry").status_code == 404
    told = lead.get(f"/history/{noise['report_id']}").json()["items"]
    assert [one["type"] for one in told] == ["unusable_report.dismissed", "unusable_report.retried"]
    assert {one["actor_name"] for one in told} == {"quality_lead"}


# The audit


def test_the_audit_is_read_to_its_end_and_tells_what_the_export_of_the_page_tells(
    site: RealSite, lead: Machine
) -> None:  # E-3
    site.enter(QUALITY_LEAD_ID)
    exported = [msgspec.json.decode(line) for line in site.get("/audit/events.jsonl?everything=yes").text.splitlines()]
    for limit in (7, 200):
        found = lead.everything("/audit?everything=true", limit)
        assert [one["position"] for one in found] == [one["position"] for one in exported]
        for one, line in zip(found, exported, strict=True):
            assert (one["fact"], one["told"], one["actor"]) == (line["fact"], line["told"], line["actor"])
            assert one["withheld"] == line.get("withheld", [])


def test_the_audit_is_searched_by_person_kind_type_thing_and_time(site: RealSite, lead: Machine) -> None:  # E-3
    def types(question: str) -> set[str]:
        return {one["type"] for one in lead.everything(f"/audit?{question}", 50)}

    site.services.wait(
        site.services.assay.dispatch(
            ChangeUserEmail(actor=QUALITY_LEAD_ID, user_id=TRAINER_LI_ID, email="li@fab.example")
        )
    )
    (changed,) = lead.everything("/audit?type=user.email_changed", 5)
    assert (changed["actor_name"], changed["name"], changed["fact"]) == (
        "quality_lead",
        "trainer_li",
        {"email": "li@fab.example"},
    )
    assert types("who=trainer_li&type=user.refused_action") == {"user.refused_action"}
    assert types("who=trainer_li&type=user.email_changed") == set()
    assert types("who=nobody") == set()
    assert types(f"thing={TRAINING_DATASET_ID}") == {"dataset.created"}
    assert types("thing=panel-a-versions&kind=prediction_job") >= {"prediction.queued", "prediction.completed"}
    assert types("kind=api_token") == {"api_token.created"}
    at = changed["happened_at"].replace("+", "%2B")
    assert types(f"since={at}&kind=user") == {"user.email_changed"}
    assert "user.email_changed" not in types(f"until={at}&kind=user")
    assert lead.get("/audit?since=yesterday").status_code == 400
    assert lead.get("/audit?kind=planet").status_code == 400
    assert types("type=planet.moved") == set()


def test_a_token_made_for_the_audit_is_told_of_without_its_secret(lead: Machine) -> None:  # E-6
    for one in lead.everything("/audit?kind=api_token", 5):
        assert "secret_hash" in one["withheld"]
        assert "secret_hash" not in one["fact"]


def test_a_thing_has_a_history_and_was_something_at_any_moment(site: RealSite, lead: Machine) -> None:  # E-3
    history = lead.everything(f"/history/{TRAINING_JOB_ID}", 2)
    assert [one["version"] for one in history] == list(range(len(history), 0, -1))
    assert len(history) > 3
    first = lead.get(f"/history/{TRAINING_JOB_ID}/state?version=1").json()
    assert (first["version"], first["newest_version"], first["kind"]) == (1, len(history), "training_job")
    assert first["state"]["status"] == "waiting"
    newest = lead.get(f"/history/{TRAINING_JOB_ID}/state").json()
    assert (newest["version"], newest["state"]["status"]) == (len(history), "published")
    moment = history[0]["happened_at"].replace("+", "%2B")
    assert lead.get(f"/history/{TRAINING_JOB_ID}/state?moment={moment}").json() == newest
    assert rule_of(lead.get(f"/history/{TRAINING_JOB_ID}/state?moment=2020-01-01T00:00:00Z")) == (
        422,
        "NothingHappenedYet",
    )
    assert lead.get(f"/history/{TRAINING_JOB_ID}/state?version=1000").status_code == 404
    assert lead.get(f"/history/{example_id('nothing')}").status_code == 404
    assert lead.get(f"/history/{example_id('nothing')}/state").status_code == 404


def test_a_history_is_open_to_who_may_look_at_the_thing(site: RealSite, wang: Machine) -> None:  # U-6
    li = machine_of(site, TRAINER_LI_ID, TokenScope.MANAGE)
    assert (
        wang.get(f"/history/{MODEL_ID}").status_code == wang.get(f"/history/{COMPARISON_ID}/state").status_code == 200
    )
    assert rule_of(li.get(f"/history/{MODEL_ID}")) == (403, "NotTheOwner")
    assert rule_of(li.get(f"/history/{COMPARISON_ID}/state")) == (403, "NotTheOwner")
    assert li.get(f"/history/{TRAINING_DATASET_ID}").status_code == 200
    assert rule_of(li.get(f"/history/{QUALITY_LEAD_ID}")) == (403, "NotPermitted")


@pytest.mark.parametrize("after", ["WyJ4Il0=", "WzBd", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5XQ==", "bnVsbA=="])
def test_a_place_that_no_history_gave_is_refused(lead: Machine, after: str) -> None:
    """`["x"]`, `[0]`, a number beyond all versions, and null."""
    assert rule_of(lead.get(f"/history/{MODEL_ID}?after={after}")) == (400, "CursorIsWrong")
    assert rule_of(lead.get(f"/audit?after={after}")) == (400, "CursorIsWrong")


# Provenance


def test_a_version_tells_what_made_it(lead: Machine, wang: Machine) -> None:  # E-3
    made = wang.get(PROVENANCE).json()
    assert made == lead.get(PROVENANCE).json()
    assert (made["model_name"], made["version"], made["published"]["username"]) == ("panel-a", "v1.01", "trainer_wang")
    assert made["weights"]["checksum"] == VERSION_PUBLISHED.weights.checksum
    assert [one["worker"] for one in made["attempts"]] == ["gpu-1"]
    assert made["package"]["checksum"]
    assert made["seed"] == VERSION_PUBLISHED.order.seed
    assert made["check"] is None
    withdrawn = wang.get(PROVENANCE.replace("v1.01", "v1.03")).json()
    assert (withdrawn["withdrawal_reason"], withdrawn["withdrawn"]["username"]) == (
        "the camera was moved",
        "trainer_wang",
    )
    assert wang.get(PROVENANCE.replace("v1.01", "v9.01")).status_code == 404


def test_images_are_listed_and_compared_in_the_background(site: RealSite, wang: Machine, lead: Machine) -> None:  # E-3
    (image,) = wang.everything(f"{PROVENANCE}/images", 5)
    assert (image["folder"]["path"], image["defect_code"], image["split"]) == ("panel-a/1.png", "TPFIP", "training")
    assert image["state"] == ImageState.UNCHECKED.value
    asked = lead.ask("POST", f"{PROVENANCE}/check")
    assert (asked.status_code, asked.json()["image_count"], asked.json()["is_done"]) == (202, 1, False)
    (check,) = site.services.image_checks.waiting()
    site.services.image_checks.move(check, [ImageState.GONE])
    (image,) = wang.everything(f"{PROVENANCE}/images", 5)
    assert image["state"] == "gone"
    told = wang.get(PROVENANCE).json()["check"]
    assert (told["is_done"], told["gone_count"]) == (True, 1)
    li = machine_of(site, TRAINER_LI_ID, TokenScope.MANAGE)
    for method, way in (("GET", ""), ("GET", "/images"), ("POST", "/check")):
        assert rule_of(li.ask(method, f"{PROVENANCE}{way}")) == (403, "NotTheOwner")
