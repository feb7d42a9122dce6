"""The pages over the real parts: event log, projector, read models, sessions and passwords on PostgreSQL."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from litestar.testing import TestClient

from tests.web.real_site import RealSite, create_administrator, open_real_site
from tests.web.site import Site
from web.app import create_app


@pytest.fixture
def real(database: str, tmp_path: Path) -> Iterator[RealSite]:
    """An installation after its first start."""
    with open_real_site(database, tmp_path) as site:
        create_administrator(site)
        yield site


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


def test_a_refused_user_leaves_nothing_behind(real: Site) -> None:  # U-2
    real.sign_in()
    assert new_user(real, "abc", password="x", email="nowhere") == 422
    assert "abc" not in real.get("/users").text
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
