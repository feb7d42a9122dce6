"""The audit page, the histories of things, and their states at any moment, over the real parts. Source: REQUIREMENTS, E."""

import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from domain.data_paths import FolderName
from domain.datasets import DataPath, DatasetDeleted
from domain.facts import Origin, Recorded
from domain.messages import ManifestEntry, StageName
from domain.models import ModelVersionWithdrawn
from domain.prediction_jobs import PredictionTerminated
from domain.training_jobs import TrainingStageFinished
from domain.users import UserEmailChanged, UserPasswordChanged
from infra.artifacts import Artifacts
from infra.data_folders import DataFolders
from infra.image_checks import ImageChecker
from infra.manifests import Manifests
from projections.audit import Question
from tests.every_fact import SECRET, every_fact
from tests.examples import (
    CLASSIFICATION_ID,
    INDUSTRY_ID,
    MODEL_ID,
    MODEL_IMAGE_ID,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    example_id,
    inspection,
    plant,
)
from tests.web.reading import words
from tests.web.real_site import RealSite, open_real_site
from web.audit import MOST_FIELDS_SHOWN
from web.i18n import local_time_with_seconds

HASH = "argon2 of nothing that anybody may read"


@pytest.fixture
def real(database: str, tmp_path: Path) -> Iterator[RealSite]:
    history = (
        plant()
        .add(TRAINING_DATASET_ID, TRAINING_DATASET, actor=TRAINER_WANG_ID)
        .add(TRAINER_WANG_ID, UserEmailChanged(email="wang@fab.example"), actor=QUALITY_LEAD_ID)
        .add(TRAINER_WANG_ID, UserPasswordChanged(password_hash=HASH), actor=QUALITY_LEAD_ID)
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
        .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, PredictionTerminated(), actor=TRAINER_WANG_ID)
    )
    with open_real_site(database, tmp_path) as site:
        site.happened(history)
        yield site


def enter(real: RealSite, user_id: UUID, *, epoch: int = 0) -> RealSite:
    """The browser of one of the plant's people, in English."""
    real.enter(user_id, epoch=epoch)
    real.client.cookies.set("assay_language", "en")
    return real


def test_a_super_administrator_reads_who_did_what(real: RealSite) -> None:  # E-3
    page = words(enter(real, QUALITY_LEAD_ID).get("/audit").text)
    assert "trainer_wang terminated the prediction" in page
    assert "quality_lead gave “trainer_wang” the e-mail address “wang@fab.example”." in page
    assert "was taken" not in page
    assert "was taken" in words(real.get("/audit?everything=yes").text)


def test_the_story_is_told_in_chinese_too(real: RealSite) -> None:  # E-3, S-4
    enter(real, QUALITY_LEAD_ID).client.cookies.set("assay_language", "zh")
    assert "quality_lead 把“trainer_wang”的邮箱设为“wang@fab.example”。" in words(real.get("/audit").text)


FILTERED = (
    ("/audit?who=QUALITY_LEAD&kind=user", "changed the password", "created the dataset"),
    ("/audit?who=nobody_at_all", "No event fits the filter", "created the dataset"),
    ("/audit?who=系统&kind=user", "The platform created the user “quality_lead”", "changed the password"),
    ("/audit?topic=user.email_changed", "e-mail address", "changed the password"),
    ("/audit?thing=panel-a-train", "created the dataset", "changed the password"),
    (f"/audit?thing={TRAINING_DATASET_ID}", "created the dataset", "changed the password"),
    ("/audit?thing=nothing-like-it", "No event fits the filter", "created the dataset"),
    ("/audit?since=2030-01-01T00:00", "No event fits the filter", "created the dataset"),
    ("/audit?until=2030-01-01T00:00&kind=dataset", "created the dataset", "changed the password"),
    ("/audit?older=nonsense&kind=dataset", "created the dataset", "changed the password"),
    ("/audit?older=2030-01-01T00:00:00Z~x&kind=nothing", "terminated the prediction", "No event fits"),
)
"""What an address shows, and what it leaves out."""


def test_the_name_of_whoever_did_it_is_offered(real: RealSite) -> None:  # E-3
    offered = re.findall(r'<option value="([^"]+)"></option>', enter(real, QUALITY_LEAD_ID).get("/audit").text)
    assert {"quality_lead", "trainer_wang", "The platform"} <= set(offered)
    assert "A user is found by the whole name" in words(real.get("/audit?who=quality").text)


def test_the_filters_of_the_list(real: RealSite) -> None:  # E-3
    enter(real, QUALITY_LEAD_ID)
    for address, found, not_found in FILTERED:
        page = words(real.get(address).text)
        assert found in page, address
        assert not_found not in page, address


def test_a_time_that_is_none_is_told_and_kept(real: RealSite) -> None:
    answer = enter(real, QUALITY_LEAD_ID).get("/audit?since=yesterday")
    assert answer.status_code == 422
    assert "“yesterday” is no time" in answer.text
    assert real.get(f"/history/{TRAINING_JOB_ID}/state?moment=0000").status_code == 422


def test_reading_on_and_back_stays_within_the_filter(real: RealSite) -> None:
    enter(real, QUALITY_LEAD_ID)
    moment = real.read.audit.search(Question()).rows[2]
    mark = f"{moment.happened_at.isoformat()}~{moment.position}".replace("+", "%2B")
    older, newer = (real.get(f"/audit?{side}={mark}&everything=yes").text for side in ("older", "newer"))
    assert "terminated the prediction" not in older
    assert "terminated the prediction" in newer
    assert "everything=yes&amp;older=" in newer


def test_a_history_begins_with_the_newest_and_leads_to_every_state(real: RealSite) -> None:  # E-3
    page = enter(real, QUALITY_LEAD_ID).get(f"/history/{TRAINER_WANG_ID}").text
    assert words(page).index("changed the password") < words(page).index("created the user “trainer_wang”")
    state = words(real.get(f"/history/{TRAINER_WANG_ID}/state?version=2").text)
    assert "wang@fab.example" in state
    assert "Event before" in state
    assert "Event after" in state
    assert "wang@fab.example" not in words(real.get(f"/history/{TRAINER_WANG_ID}/state?version=1").text).split("Now")[0]


def test_the_state_at_a_past_moment(real: RealSite) -> None:  # E-3
    enter(real, QUALITY_LEAD_ID)
    rows = real.read.audit.history(TRAINER_WANG_ID)
    moment = rows[1].happened_at.astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    assert "trainer_wang after event 2" in words(real.get(f"/history/{TRAINER_WANG_ID}/state?moment={moment}").text)
    early = real.get(f"/history/{TRAINER_WANG_ID}/state?moment=2000-01-01T00:00")
    assert (early.status_code, "did not exist yet" in early.text) == (422, True)


def test_the_state_at_a_second_holds_what_is_shown_to_have_happened_in_it(real: RealSite) -> None:  # E-3
    moment = datetime(2026, 4, 1, 8, 30, 59, 400_000, tzinfo=UTC)
    gone = Recorded(TRAINING_DATASET_ID, 2, DatasetDeleted(), moment, Origin(actor=TRAINER_WANG_ID))
    real.services.wait(real.log.append([gone]))
    enter(real, QUALITY_LEAD_ID)
    shown = local_time_with_seconds(moment)
    assert shown in words(real.get(f"/history/{TRAINING_DATASET_ID}").text)
    for asked, after in (
        (shown, "after event 2"),
        (local_time_with_seconds(moment - timedelta(seconds=1)), "after event 1"),
    ):
        assert after in words(real.get(f"/history/{TRAINING_DATASET_ID}/state?moment={asked}").text), asked


def test_what_an_event_changed_is_shown_however_large_the_state_is(real: RealSite) -> None:  # E-3
    paths = tuple(
        DataPath(example_id(f"path {number}"), inspection(FolderName("data", f"line-{number}")))
        for number in range(MOST_FIELDS_SHOWN // 10)
    )
    large = example_id("a large dataset")
    created = msgspec.structs.replace(TRAINING_DATASET, name="line-1-to-60", data_paths=paths)
    real.happened_to(large, created, DatasetDeleted(), actor=TRAINER_WANG_ID)
    page = words(enter(real, QUALITY_LEAD_ID).get(f"/history/{large}/state?version=2").text)
    assert f"The first {MOST_FIELDS_SHOWN} of" in page
    assert "is_deleted false true" in page.split("data_paths[1]")[0]


def test_a_state_that_never_was_is_not_found(real: RealSite) -> None:
    enter(real, QUALITY_LEAD_ID)
    for version in ("0", "99", "-1", "1.5", "", "9" * 40):
        assert real.get(f"/history/{TRAINER_WANG_ID}/state?version={version}").status_code == 404, version


@pytest.mark.parametrize(
    ("user_id", "seen", "refused"),
    [
        (QUALITY_LEAD_ID, [TRAINER_LI_ID, CLASSIFICATION_ID, MODEL_ID, PREDICTION_JOB_ID, TRAINING_JOB_ID], []),
        (
            TRAINER_WANG_ID,
            [TRAINER_WANG_ID, MODEL_ID, PREDICTION_JOB_ID, TRAINING_JOB_ID, TRAINING_DATASET_ID, MODEL_IMAGE_ID],
            [TRAINER_LI_ID, CLASSIFICATION_ID, INDUSTRY_ID],
        ),
        (
            TRAINER_LI_ID,
            [TRAINING_JOB_ID, TRAINING_DATASET_ID, MODEL_IMAGE_ID],
            [TRAINER_WANG_ID, MODEL_ID, PREDICTION_JOB_ID, INDUSTRY_ID],
        ),
    ],
    ids=["super administrator", "owner", "another trainer"],
)
def test_a_history_is_for_those_who_may_see_the_thing(
    real: RealSite, user_id: UUID, seen: list[UUID], refused: list[UUID]
) -> None:  # U, U-6
    enter(real, user_id, epoch=1 if user_id == TRAINER_WANG_ID else 0)
    for part in ("", "/state?version=1", "/events.jsonl"):
        assert [real.get(f"/history/{thing}{part}").status_code for thing in seen] == [200] * len(seen)
        assert [real.get(f"/history/{thing}{part}").status_code for thing in refused] == [403] * len(refused)
    assert real.get(f"/history/{example_id('nothing')}").status_code == 404


def test_the_export_holds_every_event_of_the_filter_as_a_line_of_json(real: RealSite) -> None:  # E-3
    text = enter(real, QUALITY_LEAD_ID).get("/audit/events.jsonl?everything=yes").text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["position"] for line in lines] == list(range(real.log.position(), 0, -1))
    email = next(line for line in lines if line["type"] == "user.email_changed")
    assert email["fact"] == {"email": "wang@fab.example"}
    assert (email["actor_name"], email["name"], email["version"]) == ("quality_lead", "trainer_wang", 2)
    assert set(email["told"]) == {"zh", "en"}
    password = next(line for line in lines if line["type"] == "user.password_changed")
    assert (password["fact"], password["withheld"]) == ({}, ["password_hash"])


def test_no_secret_leaves_by_any_page_whatever_the_event(real: RealSite) -> None:  # E-6
    enter(real, QUALITY_LEAD_ID)
    moment = real.read.audit.history(MODEL_ID)[0].happened_at
    facts = every_fact()
    happened = [
        Recorded(thing, version, fact, moment)
        for topic in facts
        if topic.startswith("user.")
        for thing in (example_id(topic),)
        for version, fact in enumerate((facts["user.created"], facts[topic]), 1)
    ]
    happened += [
        Recorded(example_id(topic), 1, fact, moment) for topic, fact in facts.items() if not topic.startswith("user.")
    ]
    real.services.wait(real.log.append(happened))
    shown = [real.get(address).text for address in ("/audit?everything=yes", "/audit/events.jsonl?everything=yes")]
    assert set(facts) == {json.loads(line)["type"] for line in shown[1].splitlines()}
    for event in happened:
        if event.data.TOPIC.startswith("user."):
            shown.append(real.get(f"/history/{event.originator_id}/state?version={event.originator_version}").text)
            shown.append(real.get(f"/history/{event.originator_id}/events.jsonl").text)
    assert "UserCreated.username" in "".join(shown)
    assert not [text for text in shown if SECRET in text or HASH in text]


def test_the_provenance_of_a_withdrawn_version_says_so(real: RealSite) -> None:  # E-3, V-4
    address = f"/provenance/{MODEL_ID}/{VERSION_PUBLISHED.version}"
    enter(real, QUALITY_LEAD_ID)
    assert "withdrawn" not in words(real.get(address).text)
    withdrawn = ModelVersionWithdrawn(version=VERSION_PUBLISHED.version, reason="the camera was moved")
    real.happened_to(MODEL_ID, withdrawn, actor=TRAINER_WANG_ID)
    page = words(real.get(address).text)
    assert "This version was withdrawn: nothing new begins with it." in page
    assert "Withdrawn trainer_wang" in page
    assert "the camera was moved" in page


def test_a_version_shows_its_provenance_to_its_owner_and_to_auditors(real: RealSite, tmp_path: Path) -> None:  # E-3
    manifest = Artifacts(tmp_path / "artifacts").keep(manifest_of(tmp_path))
    split = TrainingStageFinished(
        stage=StageName.DATA_SPLIT, seconds=1, training_count=2, validation_count=1, manifest=manifest
    )
    version = msgspec.structs.replace(VERSION_PUBLISHED, job_id=TRAINING_JOB_ID, version="v1.02")
    moment = real.read.audit.history(MODEL_ID)[0].happened_at
    origin = Origin(actor=TRAINER_WANG_ID)
    happened = [
        Recorded(TRAINING_JOB_ID, 2, TRAINING_STARTED, moment),
        Recorded(TRAINING_JOB_ID, 3, split, moment),
        Recorded(TRAINING_JOB_ID, 4, TRAINING_COMPLETED, moment),
        Recorded(MODEL_ID, 2, version, moment, origin),
    ]
    real.services.wait(real.log.append(happened))
    address = f"/provenance/{MODEL_ID}/v1.02"
    answer = enter(real, TRAINER_WANG_ID, epoch=1).get(address)
    assert way_back(answer.text) == ["/models", f"/models/{MODEL_ID}", f"/models/{MODEL_ID}/versions/v1.02"]
    page = words(answer.text)
    for shown in (TRAINING_COMPLETED.device, TRAINING_COMPLETED.software, "gpu-1", "trainer_wang", manifest.checksum):
        assert shown in page
    assert page.count("not compared") == 3
    assert "On this page: 1 unchanged, 1 changed, 1 gone, 0 not compared" in words(
        real.get(f"{address}?check=yes").text
    )
    assert real.post(f"{address}/check").headers["Location"] == f"{address}#images"
    assert "Comparing in the background: 0 of 3 images" in words(real.get(address).text)
    data_folders = DataFolders({"data": tmp_path})
    checks = real.services.image_checks
    ImageChecker(checks, Manifests(Artifacts(tmp_path / "artifacts"), data_folders)).turn()
    page = words(real.get(address).text)
    assert "1 unchanged, 1 changed, 1 gone" in page
    assert page.count("not compared") == 0
    differing = words(real.get(f"{address}?differing=yes").text)
    assert ("2.png" in differing, "3.png" in differing, "1.png" in differing) == (True, True, False)
    assert enter(real, TRAINER_LI_ID).post(f"{address}/check").status_code == 403
    assert way_back(enter(real, QUALITY_LEAD_ID).get(address).text) == ["/audit"]
    assert real.get(f"/provenance/{MODEL_ID}/v9.99").status_code == 404
    assert real.post(f"/provenance/{MODEL_ID}/v9.99/check").status_code == 404
    assert enter(real, TRAINER_LI_ID).get(address).status_code == 403
    lost = Artifacts(tmp_path / "artifacts").path(manifest)
    lost.write_bytes(bytes(lost.stat().st_size))
    assert_says_what_is_wrong(
        enter(real, QUALITY_LEAD_ID), address, "The list of images is damaged on the server's storage."
    )
    lost.unlink()
    told = "The list of images is missing on the server's storage."
    assert_says_what_is_wrong(real, address, told)
    answer = real.post(f"{address}/check")
    assert (answer.status_code, told in html.unescape(answer.text)) == (404, True)


def way_back(page: str) -> list[str]:
    """Where the pages lead that the trail names above this one."""
    (trail,) = re.findall(r'<nav class="trail".*?</nav>', page, re.DOTALL)
    return re.findall(r'href="([^"]*)"', trail)


def assert_says_what_is_wrong(site: RealSite, address: str, told: str) -> None:
    """With all that is not in the list, and with every question about its images."""
    for question in ("", "?check=yes", "?differing=yes"):
        shown = words(html.unescape(site.get(f"{address}{question}").text))
        assert (told in shown, TRAINING_COMPLETED.software in shown) == (True, True), question


def test_a_version_without_its_list_of_images_says_so(real: RealSite) -> None:
    page = words(enter(real, QUALITY_LEAD_ID).get(f"/provenance/{MODEL_ID}/{VERSION_PUBLISHED.version}").text)
    assert "recorded no list of images" in page


def manifest_of(folder: Path) -> Path:
    """Three images: as it was, changed since, gone."""
    entries = []
    for name, then, now in (("1.png", b"same", b"same"), ("2.png", b"before", b"after!"), ("3.png", b"gone", None)):
        if now is not None:
            (folder / name).write_bytes(now)
        checksum = sha256(then).hexdigest()
        entries.append(
            ManifestEntry(
                root="data", path=name, size=len(then), checksum=checksum, defect_code="TPFIP", split="training"
            )
        )
    file = folder / "manifest.jsonl"
    file.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in entries))
    return file
