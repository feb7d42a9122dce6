"""What every answer carries, forms without their token, errors without internals. Source: REQUIREMENTS, U-1, U-6, S-3."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.testing import TestClient

from domain.refusals import NotFound, NotPermitted
from tests.web.site import Site
from web.app import SECURITY_HEADERS, create_app
from web.pages import Desk
from web.services import Services
from web.sign_in import MyAccount, SignIn


class Broken(Controller):
    path = "/broken"

    @get("/", sync_to_thread=True, is_public=True)
    def fails(self) -> str:
        raise RuntimeError("the secret is in /etc/assay")

    @get("/missing", sync_to_thread=True, is_public=True)
    def misses(self) -> str:
        raise NotFound

    @post("/forbidden", sync_to_thread=True)
    def forbids(self, desk: NamedDependency[Desk]) -> str:
        desk.say("never seen")
        raise NotPermitted


@pytest.fixture
def broken(services: Services) -> Iterator[Site]:
    with TestClient(create_app(services, (SignIn, MyAccount, Broken)), raise_server_exceptions=False) as client:
        client.follow_redirects = False
        yield Site(services, client)


@pytest.mark.parametrize(
    "address", ["/sign-in", "/users", "/nowhere", "/users/nowhere/at/all", "/health", "/ready", "/broken"]
)
def test_every_answer_carries_the_security_headers(broken: Site, address: str) -> None:
    answer = broken.get(address)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-ID"])


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy
    for directive in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert directive in policy


def test_pages_are_not_kept_by_caches(site: Site) -> None:
    assert site.get("/").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("token", ["", "wrong", "汉字"])
def test_a_form_without_its_token_is_refused(site: Site, token: str) -> None:  # U-1
    answer = site.client.post(
        "/account/email", data={"csrf_token": token, "email": "eve@evil.example"}, headers={"Accept": "text/html"}
    )
    assert answer.status_code == 403
    assert "此表单已过期" in answer.text
    assert site.assay.commands == []


def test_another_sessions_token_is_refused(site: Site) -> None:  # U-1
    token = site.token
    site.post("/sign-out")
    site.sign_in()
    answer = site.client.post(
        "/account/email", data={"csrf_token": token, "email": ""}, headers={"Accept": "text/html"}
    )
    assert answer.status_code == 403


def test_a_form_sent_by_another_site_is_refused_even_with_a_token(site: Site) -> None:  # U-1
    answer = site.client.post(
        "/account/email", data={"csrf_token": site.token, "email": ""}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403


def test_scripts_carry_the_token_in_a_header(site: Site) -> None:  # U-1
    answer = site.client.post("/account/email", data={"email": ""}, headers={"X-CSRF-Token": site.token})
    assert answer.status_code == 303


def test_a_multipart_body_is_never_read_for_its_token(site: Site) -> None:
    # Litestar 2.25's own check eats the body and a streaming handler then waits for ever.
    answer = site.client.post(
        "/account/email",
        files={"file": b"x" * 100_000},
        data={"csrf_token": site.token},
        headers={"Accept": "text/html"},
    )
    assert answer.status_code == 403


def test_signing_in_needs_a_token_too(stranger: Site) -> None:  # U-1
    stranger.get("/sign-in")
    answer = stranger.client.post("/sign-in", data={"username": "quality_lead", "password": "Secret1"})
    assert answer.status_code == 403
    assert "assay_session" not in answer.cookies


def test_our_own_mistake_shows_its_number_and_nothing_else(broken: Site, caplog: pytest.LogCaptureFixture) -> None:
    answer = broken.get("/broken", **{"X-Request-ID": "line-3-terminal-7"})
    assert answer.status_code == 500
    assert "line-3-terminal-7" in answer.text
    assert "/etc/assay" not in answer.text
    assert "Traceback" not in answer.text
    [record] = [record for record in caplog.records if record.message == "request_failed"]
    assert record.__dict__["request_id"] == "line-3-terminal-7"
    assert "/etc/assay" in str(record.exc_info)


def test_what_is_not_there_is_a_404_page(broken: Site) -> None:
    for address in ("/broken/missing", "/nowhere"):
        answer = broken.get(address)
        assert answer.status_code == 404
        assert "您访问的内容不存在，或已被删除。" in answer.text


@pytest.mark.parametrize("address", ["/nowhere", "/users/nowhere/at/all", "/sign-out"])
def test_who_is_signed_in_keeps_the_menu_at_an_address_that_does_not_exist(site: Site, address: str) -> None:
    answer = site.get(address)
    assert answer.status_code in (404, 405)
    assert "您访问的内容不存在，或已被删除。" in answer.text
    assert 'href="/users"' in answer.text
    assert "quality_lead" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_model_trainer_keeps_the_own_menu_there_and_no_other(trainer: Site) -> None:  # U-6
    page = trainer.get("/nowhere").text
    assert "trainer_wang" in page
    assert 'href="/users"' not in page


@pytest.mark.parametrize("address", ["/nowhere", "/users/nowhere/at/all", "/sign-out"])
def test_a_stranger_learns_nothing_at_an_address_that_does_not_exist(stranger: Site, address: str) -> None:  # U-6
    page = stranger.get(address).text
    assert "您访问的内容不存在，或已被删除。" in page
    assert '<aside class="menu">' not in page
    assert "csrf" not in page


def test_an_address_that_does_not_exist_is_told_without_the_database_too(site: Site) -> None:  # S-3
    def unreachable(_user_id: object) -> None:
        raise ConnectionError("the database is away")

    site.read.users.account = unreachable
    answer = site.get("/nowhere")
    assert answer.status_code == 404
    assert "您访问的内容不存在，或已被删除。" in answer.text
    assert "quality_lead" not in answer.text


def test_what_is_not_permitted_is_a_403_page(broken: Site) -> None:  # U-6
    broken.sign_in("trainer_wang")
    broken.account = broken.read.users.account(next(iter(broken.read.users.accounts)))
    answer = broken.post("/broken/forbidden")
    assert answer.status_code == 403
    assert "您的角色没有此操作的权限" in answer.text


def test_each_handler_has_one_path(site: Site) -> None:
    # Litestar 2.25 wraps a plain handler once for each of its paths, and then answers 500 on all of them.
    handlers = [handler for route in site.client.app.routes for handler in getattr(route, "route_handlers", [])]
    assert len(handlers) > 10
    assert not [sorted(handler.paths) for handler in handlers if len(handler.paths) > 1]


def test_programs_get_errors_as_json(broken: Site) -> None:
    answer = broken.get("/broken/missing", Accept="application/json")
    assert answer.status_code == 404
    assert answer.json() == {
        "status": 404,
        "title": "未找到",
        "request_id": answer.headers["X-Request-ID"],
        "refusals": [["", "您访问的内容不存在，或已被删除。"]],
    }


def test_a_program_that_is_not_signed_in_gets_401(stranger: Site) -> None:
    assert stranger.get("/users", Accept="application/json").status_code == 401


@pytest.mark.parametrize("given", ["short", "has space in it", "x" * 65, "<script>alert(1)</script>"])
def test_a_request_id_that_is_none_is_replaced(stranger: Site, given: str) -> None:
    assert stranger.get("/sign-in", **{"X-Request-ID": given}).headers["X-Request-ID"] != given


def test_commands_know_their_request(site: Site) -> None:  # E-1
    site.client.headers["X-Request-ID"] = "line-3-terminal-7"
    site.post("/account/email", email="")
    assert site.assay.commands[0].request == "line-3-terminal-7"


def test_a_model_trainer_sees_no_management_page(trainer: Site) -> None:  # U-6
    assert trainer.get("/users").status_code == 403
    assert trainer.get("/users/new").status_code == 403
    assert 'href="/users"' not in trainer.get("/").text


def test_scripts_and_styles_are_kept_for_ever_under_the_hash_of_their_content(stranger: Site) -> None:
    [address] = re.findall(r'href="(/static/app\.[0-9a-f]{12}\.css)"', stranger.get("/sign-in").text)
    answer = stranger.get(address)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/css")
    assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["app.css", "..%2f..%2fpyproject.toml", "%2e%2e%2fapp.py", "app.0123456789ab.css"])
def test_nothing_but_our_static_files_is_served(stranger: Site, name: str) -> None:
    assert stranger.get(f"/static/{name}").status_code == 404


def test_a_form_larger_than_any_of_ours_is_refused(site: Site) -> None:
    site.client.headers["Referer"] = f"{site.client.base_url}/account/email"
    answer = site.post("/account/email", email="x" * (5 << 20))
    assert answer.status_code == 413
    assert "内容过大" in answer.text
    assert '<a class="button primary" href="/account/email">' in answer.text


def test_a_form_with_more_fields_than_any_of_ours_is_refused(site: Site) -> None:
    answer = site.post("/account/email", email=["x"] * 20_001)
    assert answer.status_code == 422
    assert "表单内容过多" in answer.text
    assert site.assay.commands == []


def test_health_and_readiness_answer_without_a_session(stranger: Site) -> None:  # S-3
    assert stranger.get("/health").json() == {"status": "alive"}
    assert stranger.get("/ready").json() == {"status": "ready"}


def test_a_server_without_its_database_is_not_ready_and_says_so_in_a_word(services: Services) -> None:  # S-3
    parts = {"database": "away", "read_models": "ready"}
    with TestClient(create_app(replace(services, readiness=lambda: parts))) as client:
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()) == (503, {"status": "not_ready", "parts": parts})
        assert (answer.headers["Cache-Control"], answer.headers["Retry-After"]) == ("no-store", "10")
        assert client.get("/health").status_code == 200
