"""The public events, and a manufacturing execution system that follows them. Source: REQUIREMENTS, K-3, K-5."""

from pathlib import Path

from msgspec.structs import replace

from domain.api_tokens import ApiTokenCreated, TokenScope
from domain.datasets import DatasetCreated, DatasetDeleted
from domain.exports import ExportBuilt, ExportStarted, export_id
from domain.users import UserRefusedAction
from tests.examples import (
    MODEL_ID,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_DATASET,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    VERSION_PUBLISHED,
    History,
    example_id,
)
from tests.web.machines import NEW_TRAINING, Machine, machine_of, rule_of
from tests.web.real_site import RealSite
from web.bearer import hash_of


def dataset_named(name: str) -> DatasetCreated:
    return replace(TRAINING_DATASET, name=name, data_paths=())


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
        ("POST", f"{version}/retrain", {name: NEW_TRAINING[name] for name in ("data_paths", "compute_resource_id")}),
        ("POST", "/uploads", {"file_name": "unet@1.0", "size": 10}),
        ("DELETE", f"/training-jobs/{TRAINING_JOB_ID}", None),
    ):
        answer = mes.ask(method, path, body, key="key-0001")
        assert rule_of(answer) == (403, "ScopeIsMes"), path
    assert site.log.position() == before
