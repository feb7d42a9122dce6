"""The pages while the database is away, and once it is back. Source: REQUIREMENTS, S-2 and S-3."""

import re
import tempfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from infra import connections
from infra.embedded_postgres import ensure_postgres, stop_postgres
from infra.settings import Settings, read_settings
from tests.eventually import eventually
from tests.web.machines import machine_of
from tests.web.real_site import ADMINISTRATOR, create_administrator, open_real_site
from tests.web.site import Site

FROM_OUR_PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
NEW_USER = {"username": "trainer_zhao", "password": "Secret2", "role": "model_trainer", "remark": "夜班 <2>"}
IS_AWAY = {
    "zh": "数据库没有响应。已保存的内容不会丢失，训练仍在继续。",
    "en": "The database does not answer. Nothing that is stored is lost, and trainings go on.",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A database of its own, to be stopped and started."""
    monkeypatch.setattr(connections, "POOL_PATIENCE_SECONDS", 0.5)
    with tempfile.TemporaryDirectory(prefix="assay-away-", dir="/tmp") as state:
        Path(state).chmod(0o711)  # as root the server runs as another user, who must get in
        settings = read_settings({"ASSAY_STATE": state})
        try:
            yield settings
        finally:
            stop_postgres(settings)


def sent(site: Site, address: str, **fields: str) -> httpx.Response:
    """A form as a browser sends it that says from where it came."""
    return site.client.post(address, data=fields, headers=FROM_OUR_PAGE)


def hidden_fields(page: str) -> dict[str, str]:
    return {
        name: unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    }


def test_pages_and_machines_are_told_that_the_database_is_away_until_it_is_back(
    server: Settings, tmp_path: Path
) -> None:  # S-2
    with open_real_site(ensure_postgres(server), tmp_path) as site:
        create_administrator(site)
        machine = machine_of(site, ADMINISTRATOR.user_id)
        assert site.sign_in().status_code == 303
        token, cookies = site.token, dict(site.client.cookies)
        stop_postgres(server)

        for language in ("zh", "en"):
            site.client.cookies.set("assay_language", language)
            page = site.get("/users?search=li")
            assert (page.status_code, page.headers["Retry-After"], page.headers["Refresh"]) == (503, "10", "10")
            assert IS_AWAY[language] in page.text
            assert 'href="/users?search=li"' in page.text, "the way to try again at once"
        site.client.cookies.set("assay_language", "zh")
        kept = sent(site, "/users/new", csrf_token=token, **NEW_USER)
        assert (kept.status_code, kept.headers["Retry-After"]) == (503, "10")
        assert "Refresh" not in kept.headers, "it would lose what was entered"
        assert "您提交的内容尚未执行。" in kept.text
        shown_again = hidden_fields(kept.text)
        assert shown_again == {"csrf_token": token, **{key: NEW_USER[key] for key in NEW_USER if key != "password"}}

        told = machine.get("/me")
        assert (told.status_code, told.headers["Retry-After"]) == (503, "10")
        assert told.json()["type"] == "urn:assay:problem:database-away"
        assert site.client.get("/health").status_code == 200

        ensure_postgres(server)
        eventually(lambda: machine.get("/me").status_code == 200)
        site.client.cookies.update(cookies)
        again = sent(site, "/users/new", as_entered="zh", **shown_again)
        assert again.status_code == 200
        assert 'value="trainer_zhao"' in again.text
        assert "夜班 &lt;2&gt;" in again.text
        assert 'value="trainer_zhao"' not in site.get("/users").text
        assert sent(site, "/users/new", csrf_token=token, **NEW_USER).status_code == 303
        assert "trainer_zhao" in site.get("/users").text


def test_what_of_a_form_cannot_be_kept_is_told(site: Site) -> None:
    token = site.token
    the_database_goes_away(site, from_now_on="everything")
    large = sent(site, "/users/new", csrf_token=token, remark="x" * (1 << 20))
    assert large.status_code == 503
    assert "其中包含文件，或内容过大，无法保留在此页面。请稍后重新填写。" in large.text
    elsewhere = site.client.post(
        "/users/new", data=NEW_USER, headers={"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}
    )
    assert elsewhere.status_code == 503
    assert "trainer_zhao" not in elsewhere.text, "no form of another site is offered to be sent"


def test_what_may_have_been_done_is_not_told_to_be_undone(site: Site) -> None:
    token = site.token
    the_database_goes_away(site, from_now_on="commands")
    answer = sent(site, "/account/email", csrf_token=token, email="lead@fab2.example")
    assert answer.status_code == 503
    assert "无法确定您提交的内容是否已经执行，请先查看，再决定是否重复操作。" in answer.text
    assert hidden_fields(answer.text)["email"] == "lead@fab2.example"
    pressed = sent(site, "/sign-out", csrf_token=token)
    assert pressed.status_code == 303, "it asks for no command"


def test_a_script_is_told_in_words_of_its_own(site: Site) -> None:
    the_database_goes_away(site, from_now_on="everything")
    answer = site.client.get("/training-jobs/live", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert IS_AWAY["zh"] in answer.json()["refusals"][0][1]


def the_database_goes_away(site: Site, *, from_now_on: str) -> None:
    def unreachable(_asked: object) -> None:
        raise ConnectionError("the database is away")

    object.__setattr__(site.services, "is_away", lambda error: isinstance(error, ConnectionError))
    if from_now_on == "commands":
        site.assay.dispatch = unreachable
    else:
        site.read.users.account = unreachable
