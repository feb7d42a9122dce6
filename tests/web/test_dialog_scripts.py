"""Dialogs in a real browser, over fakes. Without scripts the same pages work as plain forms; other tests show that."""

import re
from typing import Any, cast
from uuid import UUID

import pytest
from playwright.sync_api import Locator, expect
from playwright.sync_api import Page as Tab

from domain.users import EmailIsInvalid
from tests.eventually import eventually
from tests.web.served_pages import browser
from tests.web.site import QUALITY_LEAD, FakeAssay
from tests.web.try_out import may_answer, server, services, slow_requests, tab
from web.services import Services

__all__ = ["browser", "server", "services", "tab"]


def test_a_dialog_stays_while_it_is_refused_and_shows_the_sentence(tab: Tab, services: Services) -> None:  # U-5
    cast(FakeAssay, services.assay).refuse_with(EmailIsInvalid(email="lead@"))
    tab.goto("/account")
    tab.get_by_role("link", name="Change e-mail address").click()
    dialog = tab.get_by_role("dialog", name="Change e-mail address")
    field = dialog.get_by_label("E-mail address")
    expect(field).to_be_focused()
    field.fill("lead@")
    dialog.get_by_role("button", name="Done").click()
    expect(dialog.get_by_text("“lead@” is not an e-mail address")).to_be_visible()
    expect(field).to_have_value("lead@")
    assert tab.url.endswith("/account")
    field.fill("lead@fab.example")
    dialog.get_by_role("button", name="Done").click()
    expect(tab.get_by_text("Your e-mail address is saved.")).to_be_visible()
    expect(dialog).to_be_hidden()
    assert cast(FakeAssay, services.assay).commands[0].email == "lead@fab.example"


@pytest.mark.parametrize(
    ("page", "link", "field"),
    [("/account", "Change password", "Old password"), ("/users", "Reset password", "New password")],
)
def test_a_dialog_begins_at_its_first_field_that_is_seen(
    tab: Tab, page: str, link: str, field: str
) -> None:  # U-4, U-5
    tab.goto(page)
    tab.get_by_role("link", name=link).first.click()
    dialog = tab.get_by_role("dialog", name=link)
    expect(dialog.get_by_label(field, exact=True)).to_be_focused()
    assert tab.evaluate("document.querySelector('dialog').scrollLeft") == 0


def test_a_dialog_closes_by_escape_and_gives_the_focus_back(tab: Tab) -> None:  # S-4
    tab.goto("/account")
    link = tab.get_by_role("link", name="Change password")
    link.press("Enter")
    expect(tab.get_by_role("dialog", name="Change password")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_be_hidden()
    expect(link).to_be_focused()


def change_email(tab: Tab, address: str) -> Locator:
    """The dialog of one's own address, open and filled in."""
    tab.goto("/account")
    tab.get_by_role("link", name="Change e-mail address").click()
    dialog = tab.get_by_role("dialog", name="Change e-mail address")
    dialog.get_by_label("E-mail address").fill(address)
    return dialog


def test_a_notice_comes_without_taking_the_focus_and_can_be_closed(tab: Tab) -> None:  # S-4
    change_email(tab, "lead@fab.example").get_by_role("button", name="Done").click()
    notice = tab.get_by_role("status").filter(has_text="Your e-mail address is saved.")
    expect(notice).to_be_visible()
    expect(tab.get_by_role("link", name="Change e-mail address")).to_be_focused()
    notice.get_by_role("button", name="Close").click()
    expect(tab.get_by_text("Your e-mail address is saved.")).to_be_hidden()


def test_the_way_back_leads_past_a_dialog_that_was_sent(tab: Tab) -> None:
    tab.goto("/users")
    change_email(tab, "lead@fab.example").get_by_role("button", name="Done").click()
    expect(tab.get_by_text("Your e-mail address is saved.")).to_be_visible()
    tab.go_back()
    expect(tab.get_by_role("heading", name="Users")).to_be_visible()


def test_what_was_typed_is_thrown_away_by_the_second_escape_only(tab: Tab) -> None:
    dialog = change_email(tab, "lead@")
    tab.keyboard.press("Escape")
    expect(dialog.get_by_role("alert")).to_contain_text("not saved yet")
    expect(dialog.get_by_label("E-mail address")).to_have_value("lead@")
    tab.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(tab.get_by_role("link", name="Change e-mail address")).to_be_focused()


def test_a_broken_connection_is_told_in_the_dialog_and_nothing_is_lost(tab: Tab, services: Services) -> None:
    dialog = change_email(tab, "lead@fab.example")
    tab.context.set_offline(True)
    dialog.get_by_role("button", name="Done").click()
    expect(dialog.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(dialog.get_by_label("E-mail address")).to_have_value("lead@fab.example")
    tab.context.set_offline(False)
    dialog.get_by_role("button", name="Done").click()
    expect(tab.get_by_text("Your e-mail address is saved.")).to_be_visible()
    assert len(cast(FakeAssay, services.assay).commands) == 1


def test_our_own_mistake_is_told_in_the_dialog_and_nothing_is_lost(
    tab: Tab, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    dialog = change_email(tab, "lead@fab.example")
    cast(Any, services.assay).dispatch = broken
    dialog.get_by_role("button", name="Done").click()
    expect(dialog.get_by_role("alert")).to_contain_text("It is our mistake")
    expect(dialog.get_by_role("alert")).to_contain_text("request")
    expect(dialog.get_by_label("E-mail address")).to_have_value("lead@fab.example")
    expect(dialog.get_by_role("button", name="Done")).to_be_enabled()
    caplog.clear()


def broken(_command: object) -> int:
    raise RuntimeError("the disk is full")


def test_a_session_that_ended_leads_from_the_dialog_to_the_sign_in_and_back(tab: Tab, services: Services) -> None:
    dialog = change_email(tab, "lead@fab.example")
    services.sessions.close_all(QUALITY_LEAD.user_id)
    dialog.get_by_role("button", name="Done").click()
    expect(tab.get_by_text("What you entered is kept")).to_be_visible()
    tab.get_by_label("User name").fill("quality_lead")
    tab.get_by_label("Password", exact=True).fill("Secret1")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Show the form again").click()
    expect(tab.get_by_label("E-mail address")).to_have_value("lead@fab.example")
    tab.get_by_role("button", name="Done").click()
    expect(tab.get_by_role("heading", name="My account")).to_be_visible()


def test_a_changed_password_leads_to_the_sign_in_with_its_notice(tab: Tab) -> None:  # U-5
    tab.goto("/account")
    tab.get_by_role("link", name="Change password").click()
    dialog = tab.get_by_role("dialog", name="Change password")
    for name in ("Old password", "New password", "New password again"):
        dialog.get_by_label(name, exact=True).fill("Secret1")
    dialog.get_by_role("button", name="Change password").click()
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(tab.get_by_text("Your password is changed.")).to_be_visible()


def test_a_dialog_is_sent_once(tab: Tab) -> None:
    slow_requests.clear()
    may_answer.clear()
    tab.goto("/try-out")
    tab.get_by_role("link", name="Ask").click()
    tab.get_by_role("dialog", name="Ask").get_by_role("button", name="Send").dblclick()
    eventually(lambda: slow_requests)
    may_answer.set()
    expect(tab.get_by_role("dialog")).to_be_hidden()
    assert slow_requests == ["asked"]
    expect(tab.get_by_text("just made")).to_be_in_viewport()


def test_what_is_ticked_is_asked_about_in_a_dialog(tab: Tab) -> None:  # D-7
    tab.goto("/try-out")
    tab.get_by_label("Tick all").check()
    button = tab.get_by_role("button", name="Remove", exact=True)
    button.click()
    expect(tab.get_by_role("dialog", name="Ask").get_by_label("Answer")).to_have_value("1 and 2")
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_be_hidden()
    expect(button).to_be_focused()
    expect(tab).to_have_url(re.compile("/try-out$"))


def test_a_question_without_a_tick_is_told_on_its_own_page(tab: Tab) -> None:  # D-7
    tab.goto("/try-out")
    tab.get_by_role("button", name="Remove", exact=True).click()
    expect(tab).to_have_url(re.compile(r"/try-out/remove\?$"))
    expect(tab.get_by_role("dialog")).to_be_hidden()


def test_a_page_that_asks_to_sign_in_is_no_dialog(tab: Tab, services: Services) -> None:
    tab.goto("/account")
    services.sessions.close_all(UUID(int=1))
    tab.get_by_role("link", name="Change password").click()
    expect(tab).to_have_url(re.compile(r"/sign-in\?next="))
