"""The pages over the real parts: event log, projector, read models, sessions and passwords on PostgreSQL."""

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from litestar.testing import TestClient

from domain.messages import LossPart, StageName
from domain.training_jobs import (
    TrainingLogKept,
    TrainingLossesMeasured,
    TrainingStageFinished,
    TrainingTerminated,
    TrainingValidated,
)
from tests.examples import (
    MODEL_ID,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG,
    TRAINER_WANG_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    History,
    artifact,
    plant,
)
from tests.web.reading import assert_in_order, words
from tests.web.real_site import RealSite, create_administrator, open_real_site
from tests.web.site import Site
from web.app import create_app


@pytest.fixture
def empty(database: str, tmp_path: Path) -> Iterator[RealSite]:
    """An installation before its first start."""
    with open_real_site(database, tmp_path) as site:
        yield site


@pytest.fixture
def real(empty: RealSite) -> RealSite:
    """An installation after its first start."""
    create_administrator(empty)
    return empty


def new_user(site: Site, username: str = "质检_李工", **changes: str) -> int:
    fields = {
        "username": username,
        "password": "Secret2",
        "role": "model_trainer",
        "email": "li@fab.example",
        "remark": "夜班",
    }
    return site.post("/users/new", **(fields | changes)).status_code


def test_a_new_user_stands_in_the_first_row_of_the_page_shown_next(real: Site) -> None:  # U-2, E-5
    assert real.sign_in().status_code == 303
    for number in range(10):
        assert new_user(real, f"trainer_{number}") == 303
        page = real.get("/users").text
        rows = re.findall(r'<th scope="row">(\w+)', page)
        assert rows == [*(f"trainer_{before}" for before in range(number, -1, -1)), "quality_lead"]
        assert f"用户“trainer_{number}”已创建。" in page


def test_the_monitor_shows_the_same_after_a_restart_of_everything(database: str, tmp_path: Path) -> None:  # T-4, T-5
    """The job has ended; web server, projector and connections are new, and the read models are made anew from the log."""
    measured = [
        TrainingStageFinished(
            stage=StageName.RESOLUTION_SCREENING, seconds=2.5, image_count=120, non_compliant_count=3
        ),
        TrainingStageFinished(stage=StageName.DATA_SPLIT, seconds=0.5, training_count=93, validation_count=24),
        TrainingLossesMeasured(
            part=LossPart.CLASSIFICATION, iterations=(10, 20), losses=(1.1, 0.9), learning_rate=0.009
        ),
        TrainingValidated(part=LossPart.CLASSIFICATION, iteration=20, accuracy=0.75, recall=0.5, loss=0.8),
    ]
    ended = [TrainingTerminated(), TrainingLogKept(log=artifact("terminated.log"))]
    history = History().add(TRAINER_WANG_ID, TRAINER_WANG)
    history.add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, *measured, *ended)
    shown = []
    for is_first in (True, False):
        with open_real_site(database, tmp_path) as site:
            if is_first:
                site.happened(history)
                create_administrator(site)
            else:
                with psycopg.connect(database, autocommit=True) as connection:
                    connection.execute("UPDATE read.positions SET rebuild = true WHERE name = 'training_jobs'")
                site.services.wait(site.log.position())
            assert site.sign_in().status_code == 303
            page = site.get(f"/training-jobs/{TRAINING_JOB_ID}")
            assert f'href="/training-jobs/{TRAINING_JOB_ID}/log"' in page.text
            shown.append(re.sub(r'<meta name="csrf-token"[^>]*>|name="csrf_token"[^>]*>', "", page.text))
    assert_in_order(words(shown[0]), "训练终止", "20 / 200", "0.9", "1.1", "75.0 %", "3", "93")
    assert shown[1] == shown[0]


def test_a_refused_user_leaves_nothing_behind(real: Site) -> None:  # U-2
    real.sign_in()
    assert new_user(real, "王五", password="x", email="nowhere") == 422
    assert "王五" not in real.get("/users").text
    assert new_user(real, "QUALITY_lead") == 422
    answer = real.post("/users/new", username="QUALITY_lead", password="Secret2", role="model_trainer")
    assert 'id="username-error" role="alert">名称“QUALITY_lead”已被使用' in answer.text


def test_the_new_user_signs_in_and_manages_nobody(real: Site) -> None:  # U-1, U-6
    real.sign_in()
    assert new_user(real) == 303
    real.post("/sign-out")
    assert real.sign_in("质检_李工", "Secret2").status_code == 303
    assert real.get("/").status_code == 200
    assert real.get("/users").status_code == 403
    assert new_user(real, "panel_expert") == 403
    assert real.sign_in("panel_expert", "Secret2").headers.get("Location") != "/users"


def test_a_changed_password_ends_every_session_and_only_the_new_one_opens(real: Site) -> None:  # U-5
    real.sign_in()
    elsewhere = real.client.cookies["assay_session"]
    real.client.cookies.delete("assay_session")
    real.sign_in()
    answer = real.post("/account/password", old_password="Secret1", new_password="Better2", repeated_password="Better2")
    assert answer.headers["Location"] == "/sign-in"
    assert real.get("/").status_code == 303
    real.client.cookies.set("assay_session", elsewhere)
    assert real.get("/").status_code == 303
    real.client.cookies.delete("assay_session")
    assert real.sign_in(password="Secret1").status_code == 422
    assert real.sign_in(password="Better2").status_code == 303


def test_sessions_outlive_a_restart_of_the_web_server(real: Site) -> None:  # S-2
    real.sign_in()
    with TestClient(create_app(real.services), raise_server_exceptions=False) as again:
        again.follow_redirects = False
        again.cookies.update(real.client.cookies)
        assert again.get("/").status_code == 200


def test_of_many_who_ask_for_one_name_at_once_one_gets_it(real: Site) -> None:  # U-2
    real.sign_in()
    with ThreadPoolExecutor(6) as browsers:
        answers = list(browsers.map(lambda _: new_user(real, "panel_expert"), range(6)))
    assert sorted(answers) == [303, 422, 422, 422, 422, 422]


def test_no_password_and_no_session_is_readable_in_the_database(real: Site, database: str) -> None:  # E-6
    real.sign_in()
    new_user(real)
    session = real.client.cookies["assay_session"].split(".")[0]
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert ("app", "sessions") in tables
        for schema, table in tables:
            rows = connection.execute(f'SELECT t::text FROM "{schema}"."{table}" AS t'.encode()).fetchall()
            for (row,) in rows:
                assert "Secret" not in row
                assert session not in row


def user_id_of(site: RealSite, username: str) -> UUID:
    found: UUID = site.read.users.named(username)
    return found


class Another:
    """A second browser at the same site."""

    def __init__(self, site: Site, username: str, password: str) -> None:
        self._client = TestClient(site.client.app, raise_server_exceptions=False)
        self._client.follow_redirects = False
        self.site = Site(site.services, self._client)
        assert self.site.sign_in(username, password).status_code == 303


def test_a_deleted_user_is_out_at_once_and_signs_in_like_nobody(real: RealSite) -> None:  # U-3
    real.sign_in()
    new_user(real, "trainer_wang")
    wang = Another(real, "trainer_wang", "Secret2").site
    wang_id = user_id_of(real, "trainer_wang")
    real.services.drafts.save(wang_id, "training", b"unfinished")
    address = f"/users/{wang_id}/delete"
    assert real.post(address).headers["Location"] == "/users"
    assert "trainer_wang" not in re.findall(r'<th scope="row">(\w+)', real.get("/users").text)
    assert wang.get("/").headers["Location"] == "/sign-in"
    gone, nobody = wang.sign_in("trainer_wang", "Secret2"), wang.sign_in("nobody_here", "Secret2")
    assert (gone.status_code, nobody.status_code) == (422, 422)
    assert gone.text.replace("trainer_wang", "") == nobody.text.replace("nobody_here", "")
    assert real.services.drafts.load(wang_id, "training") is None
    assert real.post(address).headers["Location"] == "/users"
    assert "该项此前已被删除或移除。" in real.get("/users").text


def test_a_deleted_users_name_stays_taken_and_the_form_says_why(real: RealSite) -> None:  # U-3
    real.sign_in()
    new_user(real, "trainer_wang")
    real.post(f"/users/{user_id_of(real, 'trainer_wang')}/delete")
    answer = real.post("/users/new", username="Trainer_WANG", password="Secret2", role="model_trainer")
    assert answer.status_code == 422
    assert 'id="username-error" role="alert">“Trainer_WANG”是已删除用户的用户名' in answer.text


def test_a_reset_password_ends_every_session_and_only_the_new_one_opens(real: RealSite) -> None:  # U-4
    real.sign_in()
    new_user(real, "trainer_wang")
    wang = Another(real, "trainer_wang", "Secret2").site
    address = f"/users/{user_id_of(real, 'trainer_wang')}/password"
    assert real.post(address, new_password="Better3").headers["Location"] == "/users"
    assert wang.get("/").status_code == 303
    assert wang.sign_in("trainer_wang", "Secret2").status_code == 422
    assert wang.sign_in("trainer_wang", "Better3").status_code == 303


def test_a_promoted_user_manages_at_once_and_a_demoted_one_no_more(real: RealSite) -> None:  # U-4
    real.sign_in()
    new_user(real, "trainer_wang")
    wang = Another(real, "trainer_wang", "Secret2").site
    address = f"/users/{user_id_of(real, 'trainer_wang')}/role"
    assert wang.get("/users").status_code == 403
    real.post(address, role="super_administrator")
    assert wang.get("/users").status_code == 200
    own = f"/users/{user_id_of(real, 'quality_lead')}/role"
    assert real.post(own, role="model_trainer").headers["Location"] == "/"
    assert real.get("/users").status_code == 403
    last = wang.post(address, role="model_trainer")
    assert last.status_code == 422
    assert "“trainer_wang”是最后一个超级管理员" in last.text


def test_an_heir_finds_what_was_inherited_and_both_names(empty: RealSite) -> None:  # U-7
    empty.happened(
        plant()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
        .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, actor=TRAINER_WANG_ID)
    )
    empty.enter(QUALITY_LEAD_ID)
    address = f"/users/{TRAINER_WANG_ID}/delete"
    assert "其名下有 1 个模型、1 个训练任务、1 个预测任务" in empty.get(address).text
    assert empty.post(address).status_code == 422
    assert empty.post(address, heir="trainer_li").headers["Location"] == "/users"
    assert_in_order(words(empty.get("/users?deleted=yes").text), "继承人", "trainer_wang", "trainer_li")
    assert empty.get(f"/models/{MODEL_ID}").status_code == 403
    empty.enter(TRAINER_LI_ID)
    for page in (f"/models/{MODEL_ID}", f"/prediction-jobs/{PREDICTION_JOB_ID}", "/training-jobs"):
        assert_in_order(words(empty.get(page).text), "trainer_wang （已删除）", "现归 trainer_li 所有")
    assert "panel-a" in empty.get("/models").text
    assert "panel-a-check" in empty.get("/prediction-jobs").text
    assert empty.post(f"/training-jobs/{TRAINING_JOB_ID}/delete").headers["Location"] == "/training-jobs"


def test_no_log_holds_a_password_or_a_session(
    real: RealSite, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:  # E-6
    caplog.set_level(logging.DEBUG)
    real.sign_in(password="Wr0ngSecret")
    real.sign_in()
    new_user(real, "trainer_wang", password="An0therSecret")
    real.post(f"/users/{user_id_of(real, 'trainer_wang')}/password", new_password="ThirdSecret3")
    real.read.users.page = None  # a mistake of our own while passwords are about
    assert real.get("/users").status_code == 500
    logged = "\n".join(logging.Formatter().format(record) for record in caplog.records) + "".join(capfd.readouterr())
    assert "request_failed" in logged
    for secret in ("Wr0ngSecret", "Secret1", "An0therSecret", "ThirdSecret3", "$argon2id$"):
        assert secret not in logged
    assert real.client.cookies["assay_session"].split(".")[0] not in logged
