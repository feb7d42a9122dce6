"""The small scripts in a real browser, over fakes. Without scripts the same pages work as plain forms; other tests show that."""

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from jinja2 import FileSystemLoader
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect, ServerSentEvent
from playwright.sync_api import Browser, Locator, Route, expect, sync_playwright
from playwright.sync_api import Page as Tab

from domain.environments import EnvironmentNode, EnvironmentNodesAdded
from domain.users import EmailIsInvalid
from projections.all import READ_MODELS
from tests.eventually import eventually
from tests.examples import ENVIRONMENT_ID, INDUSTRY_ID, PREDICTION_JOB_ID, REPAIR_STATION, example_id, plant
from tests.parts import require
from tests.projections.read_side import ReadSide
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.predictions import FakeEvaluationReports, FakePredictionJobs, job
from tests.web.served_pages import Server, served, signed_in
from tests.web.site import QUALITY_LEAD, FakeAssay, new_services, renew
from web.cascade import Cascade, environment_cascade
from web.environment_changes import EnvironmentChanges
from web.environment_choices import EnvironmentChoices
from web.environments import Environments
from web.forms import Form
from web.live import Live
from web.pages import Desk, Page, templates
from web.prediction_jobs import PredictionJobs
from web.services import ReadModels, Services
from web.users import Users

TRY_OUT = """
{% extends "base.html" %}
{% import "_cascade.html" as cascade %}{% import "_forms.html" as forms %}{% import "_tables.html" as tables %}
{% block title %}Try-out{% endblock %}
{% block stream %}/try-out/live{% endblock %}
{% block scripts %}<script src="{{ static('viewer.js') }}" defer></script>{% endblock %}
{% block main %}
<p data-live="clock">before</p>
<ul data-live="jobs"><li data-key="a"><a href="#a">Look at a</a> <b>0 %</b></li></ul>
<form>{{ cascade.fields(page.cascade, page.form) }}</form>
{{ forms.json(page.form, "parameters", "parameters") }}
{{ forms.act(site, "/try-out/slow", "Slow") }}
<a href="/try-out/ask" data-dialog>Ask</a>
<p id="made" data-arrived>just made</p>
<div class="table-frame"><table>
    <caption>Rows</caption>
    <tr>
      <td>{{ tables.tick_all("rows") }}</td>
      <td>{{ tables.tick("rows", "1", "one", form="ticked") }}</td>
      <td>{{ tables.tick("rows", "2", "two", form="ticked") }}</td>
    </tr>
</table></div>
<div class="table-frame" id="wide"><table>
    <caption>Wide</caption>
    <thead><tr>
      <th scope="col">Name</th>{% for number in range(20) %}<th scope="col">Column {{ number }}</th>{% endfor %}
      <th scope="col">Acts</th>
    </tr></thead>
    <tbody><tr>
      <th scope="row">panel-z</th>{% for number in range(20) %}<td class="number">{{ number }}</td>{% endfor %}
      <td>{% call tables.acts() %}<a href="#main">Publish</a>{% endcall %}</td>
    </tr></tbody>
</table></div>
<form id="ticked" action="/try-out/remove" data-dialog>{% call tables.ticked("rows") %}<button>Remove</button>{% endcall %}</form>
<a href="{{ static('mark.svg') }}" data-view="all" data-caption="panel-a TPFIP">first</a>
<a href="{{ static('mark.svg') }}" data-view="all" data-caption="panel-b TTMUD">second</a>
{% endblock %}
"""
ASK = """
{% extends "base.html" %}
{% import "_forms.html" as forms %}
{% block title %}Ask{% endblock %}
{% block main %}
{% call forms.form(site, page.form, "/try-out/slow", submit="Send", cancel="/try-out") %}
{{ forms.text(page.form, "answer", "Answer") }}
{% endcall %}
{% endblock %}
"""
PAGES = """
{% extends "base.html" %}
{% block title %}Pages{% endblock %}
{% block scripts %}<script src="{{ static('viewer.js') }}" defer></script>{% endblock %}
{% block main %}
<ul data-first="{{ page.first }}" data-total="4">
  {% for number in (page.first, page.first + 1) %}
  {% set picture = static('mark.svg') %}
  {% set name = "picture " ~ number %}
  <li><a href="{{ picture }}" data-view="images" data-caption="{{ name }}" data-mask="{{ picture }}"
    {% if name == "picture 1" %} data-prediction="{{ picture }}"{% endif %}>{{ name }}</a></li>
  {% endfor %}
</ul>
{% if page.first > 1 %}<a rel="prev" href="/try-out/pages?page=1">before</a>{% endif %}
{% if page.first == 1 %}<a rel="next" href="/try-out/pages?page=2">after</a>{% endif %}
{% endblock %}
"""
FACTORY, OTHER, FAB, OTHER_FAB = (UUID(int=number) for number in range(1, 5))
MANY_PRODUCTS = 300
NODES = [
    EnvironmentNode(FACTORY, "深圳工厂"),
    EnvironmentNode(OTHER, "武汉工厂"),
    EnvironmentNode(FAB, "t1", FACTORY),
    EnvironmentNode(OTHER_FAB, "t3", OTHER),
    *(EnvironmentNode(UUID(int=100 + number), f"panel-{number:03d}", FAB) for number in range(MANY_PRODUCTS)),
]
EXPECTED = re.compile(r"status of (4|500)|ERR_INTERNET_DISCONNECTED")
"""What a browser says in its console of answers that a test asked for."""
slow_requests: list[str] = []
may_answer = threading.Event()
live_jobs = ['<li data-key="a"><a href="#a">Look at a</a> <b>0 %</b></li>']
"""The last one is what the live list shows."""


class TryOutPage(Page, frozen=True):
    TEMPLATE = "try_out.html"
    cascade: Cascade


class AskPage(Page, frozen=True):
    TEMPLATE = "ask.html"


class PicturesPage(Page, frozen=True):
    TEMPLATE = "try_out_pages.html"
    first: int


class TryOut(Controller):
    path = "/try-out"

    @get("/ask", sync_to_thread=True)
    def ask(self, desk: NamedDependency[Desk]) -> Response[str]:
        return desk.show(AskPage())

    @get("/remove", sync_to_thread=True)
    def remove(self, form: NamedDependency[Form], desk: NamedDependency[Desk]) -> Response[str]:
        rows = form.all("rows")
        return desk.show(AskPage(form=Form.of(answer=" and ".join(rows))), status=200 if rows else 422)

    @get("/pages", sync_to_thread=True)
    def pages(self, form: NamedDependency[Form], desk: NamedDependency[Desk]) -> Response[str]:
        return desk.show(PicturesPage(first=3 if form.text("page") == "2" else 1))

    @get("/", sync_to_thread=True)
    def page(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        form = Form.of(parameters="{\n\n}")
        return desk.show(TryOutPage(form=form, cascade=environment_cascade(read, form, several_at_last=True)))

    @get("/live", sync_to_thread=True)
    def live(self, live: NamedDependency[Live]) -> ServerSentEvent:
        return live.follow(lambda: {"clock": "<b>after</b>", "jobs": live_jobs[-1]})

    @post("/slow", sync_to_thread=True)
    def slow(self, desk: NamedDependency[Desk]) -> Redirect:
        slow_requests.append("asked")
        may_answer.wait(10)
        return desk.go("/try-out")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    require("Chromium", present=found, how_to_get_it="apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our pages and the try-out, made once."""
    folder = tmp_path_factory.mktemp("templates")
    (folder / "try_out.html").write_text(TRY_OUT)
    (folder / "ask.html").write_text(ASK)
    (folder / "try_out_pages.html").write_text(PAGES)
    loader = cast(FileSystemLoader, templates("en").loader)
    loader.searchpath.append(str(folder))
    with served(
        new_services(), Users, Environments, EnvironmentChanges, PredictionJobs, EnvironmentChoices, TryOut
    ) as server:
        yield server
    loader.searchpath.pop()
    cast(Any, templates("en").cache).clear()


@pytest.fixture
def services(server: Server) -> Services:
    renew(server.services)
    object.__setattr__(server.services, "stopping", lambda: server.should_exit)
    industry = msgspec.structs.replace(PANELS, level_names=("工厂", "厂别", "产品"))
    server.services.read.industries = FakeIndustries(industry)
    server.services.read.environments = FakeEnvironments(NODES)
    return server.services


@pytest.fixture
def tab(browser: Browser, server: Server, services: Services, caplog: pytest.LogCaptureFixture) -> Iterator[Tab]:
    """A tab in which the super administrator is signed in, in English. Nothing may be said in its console."""
    context = signed_in(browser, server)
    context.set_default_timeout(5000)
    tab = context.new_page()
    said: list[str] = []
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("console", lambda message: said.append(message.text) if not EXPECTED.search(message.text) else None)
    yield tab
    context.close()
    assert not said
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


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


def test_a_page_that_asks_to_sign_in_is_no_dialog(tab: Tab, services: Services) -> None:
    tab.goto("/account")
    services.sessions.close_all(UUID(int=1))
    tab.get_by_role("link", name="Change password").click()
    expect(tab).to_have_url(re.compile(r"/sign-in\?next="))


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


def test_the_viewer_zooms_moves_and_goes_through_the_pictures(tab: Tab) -> None:  # P-5
    tab.goto("/try-out")
    tab.get_by_role("link", name="first").click()
    viewer = tab.get_by_role("dialog", name="panel-a TPFIP")
    picture = viewer.locator("img").first
    expect(viewer.get_by_text("1/2 · panel-a TPFIP")).to_be_visible()

    def shape() -> str:
        return str(picture.evaluate("image => image.style.transform"))

    expect(picture).to_have_attribute("style", re.compile("scale"))
    fitted = shape()
    tab.keyboard.press("+")
    zoomed = shape()
    assert zoomed != fitted
    tab.mouse.move(400, 300)
    tab.mouse.wheel(0, -300)
    expect(picture).not_to_have_attribute("style", re.compile(re.escape(zoomed)))
    tab.keyboard.press("0")
    assert shape() == fitted
    tab.keyboard.press("PageDown")
    expect(tab.get_by_text("2/2 · panel-b TTMUD")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("link", name="second")).to_be_focused()


def test_the_viewer_goes_on_with_the_next_page_and_back(tab: Tab) -> None:  # D-9
    tab.goto("/try-out/pages")
    tab.get_by_role("link", name="picture 2").click()
    viewer = tab.locator("dialog.viewer")
    expect(viewer.get_by_text("2/4 · picture 2")).to_be_visible()
    expect(viewer.locator("img").first).to_have_attribute("style", re.compile("scale"))
    tab.keyboard.press("ArrowRight")
    expect(viewer.get_by_text("3/4 · picture 3")).to_be_visible()
    expect(tab).to_have_url(re.compile("page=2$"))
    expect(viewer.locator("img").first).to_have_attribute("style", re.compile("scale"))
    tab.keyboard.press("ArrowLeft")
    expect(viewer.get_by_text("2/4 · picture 2")).to_be_visible()
    expect(tab).to_have_url(re.compile("page=1$"))


def test_arrows_move_a_zoomed_picture_and_m_lays_the_mask_over(tab: Tab) -> None:  # D-9
    tab.goto("/try-out/pages")
    tab.get_by_role("link", name="picture 1").click()
    viewer = tab.locator("dialog.viewer")
    picture, mask = viewer.locator("img").first, viewer.locator("img[data-layer=mask]")
    expect(picture).to_have_attribute("style", re.compile("scale"))
    tab.keyboard.press("+")
    zoomed = picture.get_attribute("style")
    tab.keyboard.press("ArrowRight")
    expect(viewer.get_by_text("1/4 · picture 1")).to_be_visible()
    assert picture.get_attribute("style") != zoomed
    expect(mask).to_be_hidden()
    tab.keyboard.press("m")
    expect(mask).to_be_visible()
    tab.keyboard.press("m")
    expect(mask).to_be_hidden()
    expect(viewer.locator("a[download]")).to_have_attribute("href", re.compile(r"mark.*\?download=1$"))


def test_mask_and_prediction_are_laid_over_one_by_one_or_both_and_stay_so(tab: Tab) -> None:  # P-5
    tab.goto("/try-out/pages")
    tab.get_by_role("link", name="picture 1").click()
    viewer = tab.locator("dialog.viewer")
    mask, prediction = viewer.locator("img[data-layer=mask]"), viewer.locator("img[data-layer=prediction]")
    tab.keyboard.press("p")
    expect(prediction).to_be_visible()
    expect(mask).to_be_hidden()
    viewer.locator("button[data-layer=mask]").click()
    expect(mask).to_be_visible()
    expect(prediction).to_be_visible()
    tab.keyboard.press("PageDown")
    expect(viewer.get_by_text("2/4 · picture 2")).to_be_visible()
    expect(mask).to_be_visible()
    expect(viewer.locator("button[data-layer=mask]")).to_have_attribute("aria-pressed", "true")
    expect(prediction).to_be_hidden()
    expect(viewer.locator("button[data-layer=prediction]")).to_be_hidden()


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


@pytest.fixture
def plant_of_many(services: Services, database: str) -> Iterator[None]:
    """A station with 150 products, asked on a real read side."""
    nodes = tuple(
        EnvironmentNode(example_id(f"面板{number}"), f"面板{number}", REPAIR_STATION.node_id) for number in range(150)
    )
    history = plant().add(ENVIRONMENT_ID, EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=nodes))
    with ExitStack() as stack:
        side = ReadSide(stack, database, READ_MODELS, None)
        side.take_in(history)
        services.read.industries, services.read.environments = side.industries, side.environments
        yield


def open_branch(tab: Tab, name: str, child: str) -> None:
    """With the keyboard alone."""
    tab.locator("summary", has_text=name).focus()
    tab.keyboard.press("Enter")
    expect(tab.locator(".tree-name", has_text=re.compile(f"^{child}$"))).to_be_visible()


@pytest.mark.usefixtures("plant_of_many")
def test_a_branch_is_fetched_when_it_is_opened_and_the_address_keeps_it(tab: Tab) -> None:  # M-3
    tab.goto("/environments")
    expect(tab.locator(".tree li")).to_have_count(2)
    open_branch(tab, "一厂区", "阵列厂")
    open_branch(tab, "阵列厂", "修补站")
    open_branch(tab, "修补站", "面板99")
    expect(tab.locator(".tree-name", has_text="面板")).to_have_count(100)
    tab.get_by_role("link", name="Show more (50 left)").click()
    expect(tab.locator(".tree-name", has_text="面板")).to_have_count(150)
    tab.reload()
    expect(tab.locator("details[data-branch][open]")).to_have_count(3)
    tab.locator("summary", has_text="一厂区").click()
    expect(tab.locator("details[data-branch][open] > summary:visible")).to_have_count(0)
    expect(tab).to_have_url(re.compile(r"open=none$"))  # the address follows a moment after the page
    tab.reload()
    expect(tab.locator("details[data-branch][open]")).to_have_count(0)


@pytest.mark.usefixtures("plant_of_many")
def test_a_question_that_is_settled_already_is_told_on_the_page_it_leads_to(tab: Tab) -> None:  # M-3
    tab.goto("/environments")
    link = tab.get_by_role("link", name="Delete 一厂区")
    link.evaluate("(link, id) => { link.href = `/environments/${id}/remove`; }", str(example_id("gone")))
    link.click()
    expect(tab.get_by_role("status").get_by_text("This was deleted or removed already.")).to_be_visible()
    expect(tab.get_by_role("dialog")).to_be_hidden()


@pytest.mark.usefixtures("plant_of_many")
def test_a_search_in_a_dialog_stays_in_it(tab: Tab) -> None:  # M-4
    tab.goto(f"/environments?open={REPAIR_STATION.node_id}")
    link = tab.get_by_role("link", name="Remove 产品 修补站")
    link.evaluate("link => { link.href += '?search=面板1'; }")
    link.click()
    dialog = tab.get_by_role("dialog", name="Remove 产品")
    dialog.get_by_label("are offered").fill("面板14")
    dialog.get_by_role("button", name="Search").click()
    expect(dialog.locator("input[type=checkbox][name=node_ids]")).to_have_count(11)
    expect(tab).to_have_url(re.compile("/environments"))


@pytest.mark.usefixtures("plant_of_many")
def test_ticking_all_ticks_what_the_filter_shows(tab: Tab) -> None:  # M-4
    tab.goto(f"/environments?open={REPAIR_STATION.node_id}")
    tab.get_by_role("link", name="Remove 产品 修补站").click()
    boxes = tab.locator("dialog input[name=node_ids]:checked")
    tab.get_by_label("Filter by name").fill("面板14")
    tab.get_by_label("Tick all").check()
    expect(boxes).to_have_count(11)
    tab.get_by_label("Filter by name").fill("")
    expect(tab.get_by_label("Tick all")).not_to_be_checked()
    tab.locator("dialog button.primary").click()
    expect(tab.locator("dialog .confirm")).to_contain_text("Remove 11 × 产品?")
