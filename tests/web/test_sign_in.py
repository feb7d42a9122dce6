"""Signing in and out, sessions, the own account, the language. Source: REQUIREMENTS, U-1, U-3, U-5, S-4."""

import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from litestar.testing import TestClient

from commands.users import ChangeOwnEmail, ChangeOwnPassword
from domain.users import EmailIsInvalid, OldPasswordIsWrong
from tests.web.site import MODEL_TRAINER, QUALITY_LEAD, FakeAccount, FakeUsers, Site
from web.app import create_app
from web.attempts import Attempts, network_of
from web.entered import Entered
from web.services import Services
from web.sessions import Cookies, Session, Signer, Visits, safe_address
from web.sign_in import Browser

WRONG = "用户名或密码不正确，请检查后重试。"


def test_a_stranger_is_led_to_the_sign_in_page_and_back(stranger: Site) -> None:  # U-1
    answer = stranger.get("/users?page=2")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=/users%3Fpage%3D2")
    signed_in = stranger.post("/sign-in", username="quality_lead", password="Secret1", next="/users?page=2")
    assert (signed_in.status_code, signed_in.headers["Location"]) == (303, "/users?page=2")


def test_who_is_led_to_the_sign_in_page_is_told_of_the_way_back(stranger: Site) -> None:
    assert "登录后将返回之前的页面。" in stranger.get("/sign-in?next=/users").text
    assert "登录后将返回之前的页面。" not in stranger.get("/sign-in").text


def test_a_page_of_nowhere_is_nowhere_to_go_back_to(stranger: Site) -> None:
    answer = stranger.client.post("/account/email", headers={"Referer": "http://[evil.example", "Accept": "text/html"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")


def test_a_strangers_form_leads_to_the_sign_in_page_and_does_nothing(stranger: Site) -> None:  # U-1
    answer = stranger.post("/users/new", username="panel_expert", password="Secret1", role="model_trainer")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/sign-in")
    assert stranger.assay.commands == []


def test_signing_in_opens_the_overview(site: Site) -> None:  # U-1
    assert site.get("/").status_code == 200
    assert "quality_lead" in site.get("/").text


def test_who_is_signed_in_needs_no_sign_in_page(site: Site) -> None:
    for asked, led_to in (("/sign-in", "/"), ("/sign-in?next=/users", "/users"), ("/sign-in?next=//evil.example", "/")):
        answer = site.get(asked)
        assert (answer.status_code, answer.headers["Location"]) == (303, led_to)


@pytest.mark.parametrize(("username", "password"), [("quality_lead", "wrong"), ("nobody_here", "Secret1"), ("", "")])
def test_failures_answer_alike(stranger: Site, username: str, password: str) -> None:  # U-1
    answer = stranger.sign_in(username, password)
    assert answer.status_code == 422
    assert WRONG in answer.text
    assert "Set-Cookie" not in answer.headers


def test_failures_take_alike_time_because_a_password_is_always_verified(stranger: Site) -> None:  # U-1
    verified = stranger.services.passwords.verified  # type: ignore[attr-defined]
    stranger.sign_in("quality_lead", "wrong")
    stranger.sign_in("nobody_here", "wrong")
    assert len(verified) == 2
    assert verified[0] == QUALITY_LEAD.password_hash != verified[1]


def test_a_refused_sign_in_keeps_the_user_name_and_never_the_password(stranger: Site) -> None:
    answer = stranger.sign_in("quality_lead", "wr0ng-secret")
    assert 'value="quality_lead"' in answer.text
    assert "wr0ng-secret" not in answer.text


def test_a_refused_sign_in_is_in_the_log_without_what_was_typed(
    stranger: Site, caplog: pytest.LogCaptureFixture
) -> None:  # E-6
    for username in ("quality_lead", "MyPassword1"):  # people type it into the wrong field
        stranger.sign_in(username, "Wrong1")
    records = [record.__dict__ for record in caplog.records if record.message == "sign_in_refused"]
    assert [(record["address"], record["user_id"]) for record in records] == [
        ("testclient", QUALITY_LEAD.user_id),
        ("testclient", None),
    ]
    assert "MyPassword1" not in str(records)
    assert "Wrong1" not in str(records)


def test_failures_for_one_account_are_slowed_down(stranger: Site) -> None:  # U-1
    for _ in range(5):
        assert WRONG in stranger.sign_in("quality_lead", "wrong").text
    refused = stranger.sign_in("quality_lead", "Secret1")
    assert refused.status_code == 422
    assert "失败次数过多，请等待" in refused.text
    assert stranger.sign_in("trainer_wang").status_code == 303  # others are not concerned


def test_a_name_that_does_not_exist_is_slowed_down_alike(stranger: Site) -> None:  # U-1
    for _ in range(5):
        stranger.sign_in("nobody_here", "wrong")
    assert "失败次数过多，请等待" in stranger.sign_in("NOBODY_here", "wrong").text


def guess_elsewhere(site: Site, times: int) -> None:
    """Somebody guesses the password of quality_lead in another browser, behind another address."""
    for _ in range(times):
        for attempts, key in site.services.attempts.counted("quality_lead", "10.0.0.66"):
            attempts.failed(key)


def test_a_browser_that_knows_the_account_is_not_locked_out_by_guesses_elsewhere(stranger: Site) -> None:  # U-1
    assert stranger.sign_in().status_code == 303
    stranger.post("/sign-out")
    guess_elsewhere(stranger, 50)
    assert stranger.sign_in("quality_lead", "wrong").status_code == 422
    assert stranger.sign_in().status_code == 303
    stranger.post("/sign-out")
    stranger.client.cookies.delete("assay_browser")
    assert "失败次数过多，请等待" in stranger.sign_in().text


def test_a_browser_that_knows_the_account_is_slowed_down_by_its_own_failures(stranger: Site) -> None:  # U-1
    stranger.sign_in()
    stranger.post("/sign-out")
    for _ in range(5):
        assert WRONG in stranger.sign_in("quality_lead", "wrong").text
    assert "失败次数过多，请等待" in stranger.sign_in().text


def test_a_browser_is_known_only_to_the_accounts_that_signed_in_with_it(stranger: Site) -> None:  # U-1
    stranger.sign_in("trainer_wang")
    stranger.post("/sign-out")
    guess_elsewhere(stranger, 5)
    assert "失败次数过多，请等待" in stranger.sign_in("quality_lead").text


def test_a_terminal_of_a_shift_knows_each_of_its_people(stranger: Site) -> None:  # U-1
    for username in ("quality_lead", "trainer_wang"):
        stranger.sign_in(username)
        stranger.post("/sign-out")
    guess_elsewhere(stranger, 50)
    assert stranger.sign_in("QUALITY_lead").status_code == 303


@pytest.mark.parametrize("forged", ["mark~account", "mark~account.signature", ""])
def test_a_browser_cannot_say_by_itself_whom_it_knows(stranger: Site, forged: str) -> None:  # U-1
    account = Signer(stranger.services.settings.secret).mark("account", "quality_lead")
    stranger.client.cookies.set("assay_browser", forged.replace("account", account))
    guess_elsewhere(stranger, 5)
    assert "失败次数过多，请等待" in stranger.sign_in().text


def test_what_a_browser_keeps_names_nobody(stranger: Site) -> None:
    cookie = stranger.sign_in().cookies["assay_browser"]
    assert "quality" not in cookie
    assert str(QUALITY_LEAD.user_id) not in cookie


def test_a_browser_remembers_the_last_eight_accounts() -> None:
    visits = Visits(None, Signer("0123456789abcdef0123456789abcdef"), Cookies(secure=False))  # type: ignore[arg-type]
    browser = Browser("mark")
    for number in range(10):
        kept = visits.signer.read("browser", str(browser.remembering(f"trainer_{number}", visits).value))
        mark, *accounts = kept.split("~")
        browser = Browser(mark, tuple(accounts))
    known = [number for number in range(10) if browser.known_as(f"trainer_{number}", visits)]
    assert known == list(range(2, 10))


def test_who_signs_in_again_and_again_takes_nobody_elses_place_in_a_browser() -> None:  # U-1
    visits = Visits(None, Signer("0123456789abcdef0123456789abcdef"), Cookies(secure=False))  # type: ignore[arg-type]
    browser = Browser("mark")
    for username in ("trainer_wang", *["quality_lead"] * 10):
        kept = visits.signer.read("browser", str(browser.remembering(username, visits).value))
        mark, *accounts = kept.split("~")
        browser = Browser(mark, tuple(accounts))
    assert browser.known_as("trainer_wang", visits) == "mark"


def test_the_right_password_forgets_the_slips_before_it(stranger: Site) -> None:  # U-1
    stranger.services.attempts.by_account = Attempts(
        free=2, longest=60, clock=lambda: 0.0
    )  # however slow this machine is
    for _ in range(3):
        assert stranger.sign_in("quality_lead", "wrong").status_code == 422
        assert stranger.sign_in().status_code == 303
        stranger.post("/sign-out")
        stranger.client.cookies.delete("assay_browser")


def test_whoever_signs_in_between_guesses_still_waits_for_them_at_that_address(stranger: Site) -> None:  # U-1
    stranger.services.attempts.by_address = Attempts(free=3, longest=60, clock=lambda: 0.0)
    for number in range(3):
        assert WRONG in stranger.sign_in(f"guessed_{number}", "wrong").text
        if number < 2:
            assert stranger.sign_in("trainer_wang").status_code == 303
            stranger.post("/sign-out")
            stranger.client.cookies.delete("assay_browser")
    assert "失败次数过多，请等待" in stranger.sign_in("trainer_wang").text


def test_a_session_that_was_open_before_another_sign_in_ends(site: Site) -> None:  # U-1
    cookie = site.client.cookies["assay_session"]
    assert site.sign_in("trainer_wang").status_code == 303
    site.client.cookies.clear()
    site.client.cookies.set("assay_session", cookie)
    assert site.get("/").status_code == 303


def test_a_session_belongs_to_the_password_that_was_right(stranger: Site) -> None:  # U-4
    class Resetting(FakeUsers):
        """The password is reset between the look at its hash and the opening of the session."""

        def credentials(self, username: str) -> FakeAccount | None:
            found = super().credentials(username)
            for user_id, account in self.accounts.items():
                self.accounts[user_id] = msgspec.structs.replace(account, session_epoch=account.session_epoch + 1)
            return found

    stranger.read.users = Resetting(QUALITY_LEAD)
    stranger.sign_in()
    assert stranger.get("/").status_code == 303


def test_each_failure_doubles_the_wait_up_to_the_longest() -> None:  # U-1
    now = 0.0
    attempts = Attempts(free=2, longest=5, clock=lambda: now)
    waits = []
    for _ in range(6):
        waits.append(attempts.wait_seconds("quality_lead"))
        attempts.failed("quality_lead")
    assert waits == [0, 0, 1, 2, 4, 5]
    now = 5.0
    assert attempts.wait_seconds("quality_lead") == 0
    attempts.succeeded("quality_lead")
    attempts.failed("quality_lead")
    assert attempts.wait_seconds("quality_lead") == 0


def test_an_hour_without_a_failure_forgets_those_before() -> None:  # U-1
    now = 0.0
    attempts = Attempts(free=2, longest=60, clock=lambda: now)
    for moment in (0.0, 3599.0, 7198.0):  # each within an hour of the one before
        now = moment
        attempts.failed("quality_lead")
    assert attempts.wait_seconds("quality_lead") == 2
    now += 3600
    attempts.failed("quality_lead")
    assert attempts.wait_seconds("quality_lead") == 0


def test_counting_failures_takes_bounded_memory() -> None:  # U-1
    attempts = Attempts(free=1, longest=60, capacity=100, clock=lambda: 0.0)
    attempts.failed("quality_lead")
    for number in range(1000):
        attempts.failed(f"user_{number}")
        attempts.failed("quality_lead")  # who is guessed all the while is not crowded out
    assert len(attempts._failures) == 100
    assert [attempts.wait_seconds(key) for key in ("quality_lead", "user_999", "user_1")] == [60, 1, 0]


@pytest.mark.parametrize(
    ("address", "other", "is_one"),
    [
        ("10.0.0.66", "10.0.0.67", False),
        ("2001:db8:0:7::1", "2001:db8:0:7:ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:7::1", "2001:db8:0:6::1", False),
        ("testclient", "an unknown client", False),
    ],
)
def test_an_ipv6_customer_counts_as_one_address(address: str, other: str, is_one: bool) -> None:  # U-1
    assert (network_of(address) == network_of(other)) is is_one


def test_failures_from_one_address_are_slowed_down(stranger: Site) -> None:  # U-1
    for number in range(30):
        assert WRONG in stranger.sign_in(f"guessed_{number}", "wrong").text
    assert "失败次数过多，请等待" in stranger.sign_in("trainer_wang").text


def test_each_sign_in_gets_a_new_session_id(services: Services) -> None:  # U-1
    ids = []
    with TestClient(create_app(services), raise_server_exceptions=False) as client:
        client.follow_redirects = False
        site = Site(services, client)
        for _ in range(2):
            answer = site.sign_in()
            ids.append(answer.cookies["assay_session"])
            client.cookies.delete("assay_session")
    assert ids[0] != ids[1]


def test_a_session_id_that_the_browser_chose_is_never_adopted(stranger: Site) -> None:  # U-1, session fixation
    stranger.client.cookies.set("assay_session", "chosen-by-someone.else")
    answer = stranger.sign_in()
    assert "chosen-by-someone" not in answer.headers["Set-Cookie"]


def test_an_unsigned_or_foreign_session_id_opens_nothing(stranger: Site, services: Services) -> None:  # U-1
    session_id = services.sessions.open(Session(user_id=QUALITY_LEAD.user_id, epoch=QUALITY_LEAD.session_epoch))
    for cookie in (
        session_id,
        f"{session_id}.",
        Signer("another secret of another installation").sign("session", session_id),
    ):
        stranger.client.cookies.set("assay_session", cookie)
        assert stranger.get("/").status_code == 303
    stranger.client.cookies.set("assay_session", Signer(services.settings.secret).sign("session", session_id))
    assert stranger.get("/").status_code == 200


def test_strangers_leave_no_session_behind(stranger: Site) -> None:
    stranger.get("/sign-in")
    stranger.get("/users")
    stranger.sign_in("quality_lead", "wrong")
    assert len(stranger.services.sessions._sessions) == 0  # type: ignore[attr-defined]


def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(stranger: Site) -> None:  # U-1
    cookie = stranger.sign_in().headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie


def test_a_browser_keeps_a_session_for_a_week_and_a_language_for_a_year(stranger: Site) -> None:  # U-1, S-4
    kept = [
        cookie
        for answer in (stranger.sign_in(), stranger.post("/language", language="en", next="/"))
        for cookie in answer.headers.get_list("Set-Cookie")
    ]
    ages = {cookie.partition("=")[0]: re.findall(r"Max-Age=(\d+)", cookie) for cookie in kept}
    assert ages == {"assay_session": ["604800"], "assay_browser": ["31536000"], "assay_language": ["31536000"]}


def test_over_https_the_cookie_is_secure_and_bound_to_the_host(services: Services) -> None:  # U-1
    secure = replace(services, settings=replace(services.settings, secure_cookies=True))
    with TestClient(create_app(secure), base_url="https://assay.example", raise_server_exceptions=False) as client:
        client.follow_redirects = False
        answer = Site(secure, client).sign_in()
    assert answer.headers["Set-Cookie"].startswith("__Host-assay_session=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_signing_out_ends_the_session_on_the_server(site: Site) -> None:  # U-1
    cookie = site.client.cookies["assay_session"]
    answer = site.post("/sign-out")
    assert answer.headers["Location"] == "/sign-in"
    assert "assay_session" not in site.client.cookies  # and in the browser
    site.client.cookies.set("assay_session", cookie)
    assert site.get("/").status_code == 303


def test_the_session_of_a_deleted_user_ends_at_once(site: Site) -> None:  # U-3
    del site.read.users.accounts[QUALITY_LEAD.user_id]
    assert site.get("/").status_code == 303


def test_a_changed_password_ends_every_session(site: Site) -> None:  # U-5
    site.read.users.accounts[QUALITY_LEAD.user_id] = msgspec.structs.replace(QUALITY_LEAD, session_epoch=2)
    assert site.get("/").status_code == 303


def test_changing_the_own_password_asks_for_the_old_one_and_signs_out(site: Site) -> None:  # U-5
    answer = site.post("/account/password", old_password="Secret1", new_password="Better2", repeated_password="Better2")
    assert answer.headers["Location"] == "/sign-in"
    [command] = site.assay.commands
    assert isinstance(command, ChangeOwnPassword)
    assert (command.actor, command.old_password, command.new_password) == (QUALITY_LEAD.user_id, "Secret1", "Better2")
    assert "密码已修改，请使用新密码登录。" in site.get("/sign-in").text


def test_two_different_new_passwords_change_nothing(site: Site) -> None:  # U-5
    answer = site.post("/account/password", old_password="Secret1", new_password="Better2", repeated_password="Better3")
    assert answer.status_code == 422
    assert "两次输入的新密码不一致" in answer.text
    assert site.assay.commands == []
    assert site.get("/").status_code == 200


def test_a_wrong_old_password_is_said_beside_its_field(site: Site) -> None:  # U-5
    site.assay.refuse_with(OldPasswordIsWrong())
    answer = site.post("/account/password", old_password="Wrong1", new_password="Better2", repeated_password="Better2")
    assert answer.status_code == 422
    assert 'id="old_password-error" role="alert">旧密码不正确' in answer.text
    assert "Better2" not in answer.text


def test_guesses_of_the_old_password_are_slowed_down_in_their_session_only(site: Site) -> None:  # U-1 U-5
    site.services.attempts.by_session = Attempts(free=5, longest=60, clock=lambda: 0.0)  # however slow this machine is
    fields = {"old_password": "Guess1", "new_password": "Better2", "repeated_password": "Better2"}
    for _ in range(5):
        site.assay.refuse_with(OldPasswordIsWrong())
        assert "旧密码不正确" in site.post("/account/password", **fields).text
    refused = site.post("/account/password", **fields | {"old_password": "Secret1"})
    assert refused.status_code == 422
    assert "失败次数过多，请等待" in refused.text
    assert site.assay.commands == []
    site.client.cookies.clear()
    site.sign_in()
    assert site.post("/account/password", **fields | {"old_password": "Secret1"}).headers["Location"] == "/sign-in"


def test_everyone_changes_the_own_email(trainer: Site) -> None:  # U-5
    assert trainer.post("/account/email", email="wang@fab.example").headers["Location"] == "/account"
    [command] = trainer.assay.commands
    assert isinstance(command, ChangeOwnEmail)
    assert (command.actor, command.email) == (MODEL_TRAINER.user_id, "wang@fab.example")
    assert "邮箱已保存。" in trainer.get("/account").text


def test_the_own_email_is_shown_to_be_changed_and_a_wrong_one_is_told_beside_it(site: Site) -> None:  # U-5
    assert 'value="lead@fab.example"' in site.get("/account/email").text
    site.assay.refuse_with(EmailIsInvalid(email="lead@"))
    answer = site.post("/account/email", email="lead@")
    assert answer.status_code == 422
    assert 'id="email-error" role="alert">' in answer.text
    assert 'value="lead@"' in answer.text


def test_a_notice_is_shown_once(site: Site) -> None:
    site.post("/account/email", email="")
    assert "邮箱已保存。" in site.get("/account").text
    assert "邮箱已保存。" not in site.get("/account").text


def test_nobody_else_puts_notices_into_our_mouth(site: Site) -> None:
    site.client.cookies.set("assay_notices", b'[{"sentence":{"text":"Send your password to eve"}}]'.hex() + ".forged")
    assert "eve" not in site.get("/account").text


def test_a_text_that_was_signed_for_one_purpose_passes_for_no_other() -> None:  # U-1
    signer = Signer("0123456789abcdef0123456789abcdef")
    assert signer.read("session", signer.sign("session", "mark")) == "mark"
    assert signer.read("session", signer.sign("visitor", "mark")) == ""
    assert signer.mark("form", "mark") != signer.mark("session", "mark")


def test_a_secret_that_could_be_guessed_signs_nothing() -> None:  # U-1
    with pytest.raises(ValueError, match="at least 32 characters"):
        Signer("x" * 31)


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "",
        "users",
    ],
)
def test_no_link_signs_people_in_to_elsewhere(address: str) -> None:
    assert safe_address(address) == "/"


def test_an_address_of_ours_is_kept() -> None:
    assert safe_address("/datasets/training?name=panel-a&page=2") == "/datasets/training?name=panel-a&page=2"


def test_pages_are_chinese_until_english_is_chosen(stranger: Site) -> None:  # S-4
    assert '<html lang="zh-CN">' in stranger.get("/sign-in").text
    assert stranger.post("/language", language="en", next="/sign-in").headers["Location"] == "/sign-in"
    page = stranger.get("/sign-in").text
    assert '<html lang="en">' in page
    assert "User name" in page


def test_an_unknown_language_is_chinese(site: Site) -> None:  # S-4
    site.post("/language", language="xx", next="//evil.example")
    assert site.client.cookies["assay_language"] == "zh"
    assert '<html lang="zh-CN">' in site.get("/").text


# The other language keeps what was entered, without scripts, too.

NEW_USER: dict[str, Any] = {
    "username": "panel_expert",
    "role": "super_administrator",
    "email": "wang@",
    "remark": "夜班\n第二行",
}


def test_the_other_language_shows_a_form_as_it_was_entered(site: Site) -> None:  # S-4
    page = site.get("/users/new").text
    button = re.search(r'<button[^>]* form="form"[^>]* name="as_entered" value="en"', page)
    assert button
    assert button.start() > page.index("</form>"), "the Enter key presses the first button of a form"
    again = site.post("/users/new", as_entered="en", **NEW_USER)
    assert again.status_code == 200
    assert "New user" in again.text
    assert 'value="panel_expert"' in again.text
    assert 'value="super_administrator" checked' in again.text
    assert "夜班\n第二行</textarea>" in again.text
    assert 'class="field-error"' not in again.text
    assert site.assay.commands == []
    assert "New user" in site.get("/users/new").text  # it stays chosen


def test_the_other_language_of_a_question_does_not_answer_it(site: Site) -> None:  # S-4
    site.assay.refuse_with(AssertionError("nothing is asked of the rules"))
    answer = site.post(f"/users/{MODEL_TRAINER.user_id}/delete", as_entered="en", heir="quality_lead")
    assert answer.status_code == 200
    assert site.assay.commands == []


def test_what_has_no_page_to_show_does_nothing_either(site: Site) -> None:  # S-4
    site.read.api_tokens = SimpleNamespace(get=lambda _token_id: SimpleNamespace(name="MES"))
    answer = site.post(f"/api-tokens/{UUID(int=9)}/revoke", as_entered="en")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/api-tokens/{UUID(int=9)}/revoke")
    assert site.assay.commands == []


def test_a_language_that_there_is_not_is_no_language(site: Site) -> None:
    assert site.post("/users/new", as_entered="fr", password="Secret1", **NEW_USER).status_code == 303


def test_the_other_language_needs_the_token_of_the_form(site: Site) -> None:  # U-1
    answer = site.client.post("/users/new", data={"as_entered": "en", **NEW_USER}, headers={"Accept": "text/html"})
    assert answer.status_code == 403


# A session that ends while a form is filled in.

OURS = {"Origin": "http://testserver.local", "Accept": "text/html"}


def sent_too_late(
    site: Site, address: str = "/users/new", headers: Mapping[str, str] = OURS, **fields: Any
) -> httpx.Response:
    """A form of a page that was made before the session ended."""
    return site.client.post(address, data={"csrf_token": "of-another-session", **fields}, headers=headers)


def hidden_fields(page: str) -> dict[str, str]:
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page)}


def test_what_was_entered_outlives_its_session(stranger: Site) -> None:  # U-1
    asked = sent_too_late(stranger, password="Secret1", do="next", **NEW_USER)
    assert asked.status_code == 401
    assert "您输入的内容已保留" in asked.text
    assert "Secret1" not in unescape(asked.text)

    fields = hidden_fields(asked.text)
    wrong = stranger.client.post("/sign-in", data={**fields, "username": "quality_lead", "password": "wrong"})
    assert hidden_fields(wrong.text)["entered"] == fields["entered"]
    signed_in = stranger.client.post("/sign-in", data={**fields, "username": "quality_lead", "password": "Secret1"})
    assert signed_in.status_code == 200
    assert 'action="/users/new"' in signed_in.text
    assert stranger.assay.commands == []

    shown = stranger.client.post("/users/new", data=hidden_fields(signed_in.text))
    assert shown.status_code == 200
    assert 'name="username" value="panel_expert"' in shown.text
    assert "夜班\n第二行</textarea>" in shown.text
    assert stranger.assay.commands == []


def test_a_form_from_before_another_sign_in_is_offered_again(site: Site) -> None:  # U-1
    answer = sent_too_late(site, **NEW_USER)
    assert answer.status_code == 403
    assert site.assay.commands == []
    shown = site.client.post("/users/new", data=hidden_fields(answer.text))
    assert 'name="username" value="panel_expert"' in shown.text
    assert site.assay.commands == []


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site", **OURS}, {"Sec-Fetch-Site": "none"}, {}],
)
def test_of_a_form_that_may_be_anothers_nothing_is_kept(site: Site, headers: dict[str, str]) -> None:  # U-1
    answer = sent_too_late(site, headers={**headers, "Accept": "text/html"}, **NEW_USER)
    assert answer.status_code == 403
    assert "panel_expert" not in answer.text
    site.post("/sign-out")
    answer = sent_too_late(site, headers={**headers, "Accept": "text/html"}, **NEW_USER)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")


def test_more_than_a_sign_in_may_carry_is_not_kept_and_said_to_be_lost(stranger: Site) -> None:  # U-1
    here = {**OURS, "Referer": "http://testserver.local/users/new"}
    lost = sent_too_late(stranger, headers=here, remark="夜" * 10_000, username="panel_expert")
    assert (lost.status_code, "您已登出，且您提交的内容过大，未能保留" in lost.text) == (401, True)
    wrong = {**hidden_fields(lost.text), "username": "quality_lead", "password": "wrong"}
    assert "未能保留" in stranger.client.post("/sign-in", data=wrong).text, "also after a slip"
    signed_in = stranger.client.post("/sign-in", data={**wrong, "password": "Secret1"})
    assert (signed_in.status_code, signed_in.headers["Location"]) == (303, "/users/new")


def test_a_file_that_was_sent_too_late_is_said_to_be_lost(stranger: Site) -> None:  # U-1
    answer = stranger.client.post("/model-images/import/file", files={"file": ("a@1", b"1")}, headers=OURS)
    assert (answer.status_code, "未能保留" in answer.text) == (401, True)


def test_less_than_that_is_kept(stranger: Site) -> None:  # U-1
    asked = sent_too_late(stranger, remark="夜" * 5_000, username="panel_expert")
    fields = hidden_fields(asked.text) | {"username": "quality_lead", "password": "Secret1"}
    assert "夜" * 5_000 in stranger.client.post("/sign-in", data=fields).text


def test_what_nobody_entered_is_no_hindrance(stranger: Site) -> None:
    stranger.get("/sign-in")
    answer = stranger.post(
        "/sign-in", username="quality_lead", password="Secret1", entered="n", entered_at="/users/new"
    )
    assert answer.status_code == 303


def test_no_password_outlives_its_session() -> None:  # U-1, E-6
    sent = "username=trainer_zhao&password=Secret1&old_password=Secret2&repeated_password=Secret3&csrf_token=x"
    entered = Entered.read("/users/new", sent)
    assert entered is not None
    assert entered.fields == (("username", "trainer_zhao"),)


def test_a_form_of_more_fields_than_any_of_ours_is_not_kept() -> None:
    assert Entered.read("/users/new", "&".join(["email=x"] * 20_001)) is None


def test_a_button_alone_holds_nothing_to_be_kept(stranger: Site) -> None:
    answer = sent_too_late(stranger, f"/api-tokens/{UUID(int=9)}/revoke")
    assert answer.status_code == 303


def test_what_was_entered_leads_to_no_other_site(stranger: Site) -> None:
    stranger.get("/sign-in")
    fields = {
        "entered": "bmFtZT1h",
        "entered_at": "//evil.example/users",
        "username": "quality_lead",
        "password": "Secret1",
    }
    assert "evil.example" not in stranger.post("/sign-in", **fields).text
