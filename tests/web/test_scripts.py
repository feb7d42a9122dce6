"""The small scripts in a real browser, over fakes. Without scripts the same pages work as plain forms; other tests show that."""

import re
from typing import cast

from playwright.sync_api import Page as Tab
from playwright.sync_api import Route, expect

from domain.users import EmailIsInvalid
from tests.eventually import eventually
from tests.examples import PREDICTION_JOB_ID
from tests.web.predictions import FakeEvaluationReports, FakePredictionJobs, job
from tests.web.served_pages import Server, browser
from tests.web.site import QUALITY_LEAD, FakeAssay
from tests.web.try_out import live_jobs, may_answer, server, services, slow_requests, tab
from web.services import Services

__all__ = ["browser", "server", "services", "tab"]


def test_a_menu_is_gone_through_by_arrows_and_left_by_escape(tab: Tab) -> None:  # S-4
    tab.goto("/try-out")
    knob = tab.locator("summary", has_text=QUALITY_LEAD.username)
    knob.press("Enter")
    tab.keyboard.press("ArrowDown")
    expect(tab.get_by_role("link", name="My account")).to_be_focused()
    tab.keyboard.press("ArrowUp")
    expect(tab.get_by_role("button", name="Sign out")).to_be_focused()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("link", name="My account")).to_be_hidden()
    expect(knob).to_be_focused()


def test_a_table_that_is_too_wide_keeps_the_name_and_the_acts_of_a_row_in_view(tab: Tab) -> None:
    tab.goto("/try-out")
    wide = tab.locator("#wide")
    wide.scroll_into_view_if_needed()
    wide.evaluate("frame => frame.scrollLeft = 300")
    for seen in (wide.get_by_text("panel-z"), wide.get_by_role("link", name="Publish"), wide.get_by_text("Acts")):
        expect(seen).to_be_in_viewport(ratio=1)
    expect(wide.get_by_text("Column 0", exact=True)).not_to_be_in_viewport(ratio=1)
    expect(wide).not_to_have_attribute("data-fits", "")


def test_boxes_are_ticked_together_and_counted(tab: Tab) -> None:  # D-7
    tab.goto("/try-out")
    counted = tab.get_by_text("Ticked:")
    expect(counted).to_be_hidden()
    tab.get_by_label("Tick all").check()
    expect(counted).to_have_text("Ticked: 2")
    tab.get_by_label("two").uncheck()
    expect(counted).to_have_text("Ticked: 1")
    expect(tab.get_by_label("Tick all")).to_have_js_property("indeterminate", value=True)


def test_a_refused_page_begins_where_something_is_to_be_mended(tab: Tab, services: Services) -> None:
    cast(FakeAssay, services.assay).refuse_with(EmailIsInvalid(email="wang@"))
    tab.goto("/users/new")
    expect(tab.get_by_label("User name")).to_be_focused()
    tab.get_by_label("E-mail address").fill("wang@")
    tab.get_by_role("button", name="Done").click()
    expect(tab.get_by_label("E-mail address")).to_be_focused()


def test_the_other_language_shows_the_same_page_with_its_filters(tab: Tab) -> None:
    tab.goto("/users?page=1")
    tab.get_by_role("button", name="中文").click()
    expect(tab.get_by_role("heading", name="用户管理")).to_be_visible()
    assert tab.url.endswith("/users?page=1")


def test_the_other_language_keeps_what_was_typed(tab: Tab) -> None:  # S-4
    tab.goto("/users/new")
    tab.get_by_label("User name").fill("panel_expert")
    tab.get_by_text("中文").first.click()
    expect(tab.get_by_role("heading", name="新建用户")).to_be_visible()
    expect(tab.get_by_label("用户名")).to_have_value("panel_expert")
    tab.get_by_role("button", name="English").focus()
    tab.keyboard.press("Enter")
    expect(tab.get_by_label("User name")).to_have_value("panel_expert")


def test_on_a_narrow_screen_the_menu_folds_up_behind_its_name(tab: Tab) -> None:  # S-4
    entry = tab.get_by_role("link", name="Users")
    tab.goto("/users")
    expect(entry).to_be_visible()
    tab.set_viewport_size({"width": 390, "height": 844})
    expect(entry).to_be_hidden()
    tab.get_by_role("checkbox", name="Menu").focus()
    tab.keyboard.press("Space")
    expect(entry).to_be_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") == 390


def test_the_enter_key_sends_a_form_and_changes_no_language(tab: Tab, services: Services) -> None:  # S-4
    tab.goto("/users/new")
    tab.get_by_label("User name").fill("panel_expert")
    tab.get_by_label("Password", exact=True).fill("Secret1")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Users")).to_be_visible()
    assert [command.username for command in cast(FakeAssay, services.assay).commands] == ["panel_expert"]


def test_a_cascade_offers_only_what_lies_below_the_choice_above(tab: Tab) -> None:  # D-2
    tab.goto("/try-out")
    factory, fab = tab.get_by_label("工厂", exact=True), tab.get_by_label("厂别", exact=True)
    product = tab.get_by_label("panel-007")
    expect(fab).to_be_disabled()
    expect(tab.get_by_role("button", name="Show the next level")).to_be_hidden()
    factory.focus()
    factory.select_option("深圳工厂")
    expect(fab.locator("option")).to_have_text(["Choose…", "t1"])
    expect(factory).to_be_focused()
    expect(product).to_be_hidden()
    fab.select_option("t1")
    product.check()
    factory.select_option("武汉工厂")
    expect(fab.locator("option")).to_have_text(["Choose…", "t3"])
    expect(product).to_be_hidden()
    factory.select_option("深圳工厂")
    fab.select_option("t1")
    expect(product).not_to_be_checked()


def test_a_long_level_is_searched_and_ticked_together_and_keeps_its_ticks(tab: Tab) -> None:  # D-2
    tab.goto("/try-out")
    tab.get_by_label("工厂", exact=True).select_option("深圳工厂")
    tab.get_by_label("厂别", exact=True).select_option("t1")
    expect(tab.get_by_text("200 of 300 are shown.")).to_be_visible()
    tab.get_by_label("panel-007").check()
    search = tab.get_by_label("Find 产品")
    search.press_sequentially("29")
    boxes = tab.locator("input[name=level_3]")
    expect(boxes).to_have_count(1 + 13)
    expect(search).to_be_focused()
    expect(search).to_have_value("29")
    expect(tab.get_by_label("panel-007")).to_be_checked()
    tab.get_by_label("Tick all 14").check()
    search.fill("")
    search.press("Enter")
    expect(boxes).to_have_count(200 + 14)
    expect(tab.locator("input[name=level_3]:checked")).to_have_count(14)
    assert tab.url.endswith("/try-out"), "the Enter key searches and sends no form"


def test_the_newest_of_two_quick_choices_counts(tab: Tab, server: Server) -> None:  # D-2
    tab.goto("/try-out")
    waiting: list[Route] = []
    tab.route("**/environment-choices?*", lambda route: waiting.append(route))  # noqa: PLW0108 - Playwright marks functions
    factory, fab = tab.get_by_label("工厂", exact=True), tab.get_by_label("厂别", exact=True)
    factory.select_option("深圳工厂")
    factory.select_option("武汉工厂")
    eventually(lambda: tab.evaluate("true") and len(waiting) == 2)
    for route in reversed(waiting):
        route.continue_()
    expect(fab.locator("option")).to_have_text(["Choose…", "t3"])


def test_the_json_editor_numbers_its_lines_and_indents_by_tab(tab: Tab) -> None:  # W-3
    tab.goto("/try-out")
    editor, numbers = tab.get_by_label("parameters"), tab.locator(".editor-lines div")
    assert numbers.all_text_contents() == ["1", "2", "3"]
    editor.press("Control+End")
    editor.press("Enter")
    editor.press("Tab")
    expect(editor).to_have_value("{\n\n}\n    ")
    assert numbers.count() == 4
    editor.press("Escape")
    editor.press("Tab")
    expect(editor).not_to_be_focused()


def test_a_form_is_sent_once(tab: Tab) -> None:
    slow_requests.clear()
    may_answer.clear()
    tab.goto("/try-out")
    slow = tab.get_by_role("button", name="Slow")
    slow.dblclick(no_wait_after=True)
    eventually(lambda: slow_requests)
    may_answer.set()
    tab.wait_for_url("**/try-out")
    expect(tab.get_by_role("button", name="Slow")).to_be_enabled()
    assert slow_requests == ["asked"]


def test_live_fragments_take_their_place(tab: Tab) -> None:  # T-3
    tab.goto("/try-out")
    expect(tab.locator("[data-live=clock] b")).to_have_text("after")


def test_a_live_list_changes_only_what_differs(tab: Tab) -> None:  # T-3
    """A click whose button is down, the focus and what a script noted outlive that the list is drawn again."""
    tab.goto("/try-out")
    row, link = tab.locator("[data-key=a]"), tab.get_by_role("link", name="Look at a")
    row.evaluate("row => { row.noted = true; }")
    link.focus()
    box = link.bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + 5, box["y"] + 5)
    tab.mouse.down()
    live_jobs.append('<li data-key="a"><a href="#a">Look at a</a> <b>5 %</b></li>')
    try:
        expect(row.locator("b")).to_have_text("5 %")
        tab.mouse.up()
        tab.wait_for_url("**/try-out#a")
        live_jobs.append(f'<li data-key="b"><a href="#b">Look at b</a></li>{live_jobs[-1]}')
        expect(tab.locator("[data-live=jobs] li")).to_have_text(["Look at b", "Look at a 5 %"])
        assert row.evaluate("row => row.noted")
        expect(link).to_be_focused()
        live_jobs.append('<li data-key="b"><a href="#b">Look at b</a></li>')
        expect(tab.locator("[data-live=jobs] li")).to_have_text(["Look at b"])
    finally:
        del live_jobs[1:]


def test_a_report_shows_other_samples_and_the_reader_stays_where_he_is(tab: Tab, services: Services) -> None:  # P-4
    services.read.prediction_jobs = FakePredictionJobs(job(owner=QUALITY_LEAD.user_id))
    services.read.evaluation_reports = FakeEvaluationReports((PREDICTION_JOB_ID, "v1.01"))
    report = f"/prediction-jobs/{PREDICTION_JOB_ID}/report"
    tab.goto(report)
    tab.evaluate("document.body.dataset.here = 'still the same page'")
    cell = tab.get_by_role("table", name=re.compile("^Rows: the true code")).get_by_role("link", name="1", exact=True)
    cell.press("Enter")
    expect(tab.get_by_role("heading", name="TTFBS predicted as TPFIP")).to_be_visible()
    expect(cell).to_be_focused()
    assert tab.evaluate("document.body.dataset.here") == "still the same page"
    assert "?true=TTFBS&predicted=TPFIP" in tab.url
    tab.go_back()
    expect(tab.get_by_role("heading", name="All defect codes")).to_be_visible()
    expect(tab).to_have_url(re.compile(f"{report}$"))


def test_pages_are_usable_by_keyboard_from_the_first_key(tab: Tab) -> None:  # S-4
    tab.goto("/users")
    tab.keyboard.press("Tab")
    expect(tab.get_by_text("Skip to the content")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("main")).to_be_focused()
    tab.keyboard.press("Tab")
    expect(tab.get_by_role("link", name="New", exact=True)).to_be_focused()
