"""The small scripts in a real browser, over fakes. Without scripts the same pages work as plain forms; other tests show that."""

import re
import shutil
import threading
from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

import pytest
import uvicorn
from jinja2 import FileSystemLoader
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect, ServerSentEvent
from playwright.sync_api import Browser, expect, sync_playwright
from playwright.sync_api import Page as Tab

from domain.users import EmailIsInvalid
from tests.eventually import eventually
from tests.examples import PREDICTION_JOB_ID
from tests.parts import require
from tests.web.predictions import FakeEvaluationReports, FakePredictionJobs, job
from tests.web.site import QUALITY_LEAD, FakeAssay, new_services, renew
from web.app import create_app
from web.cascade import Cascade, Node, cascade
from web.forms import Form
from web.live import Live
from web.overview import Overview
from web.pages import Desk, Page, templates
from web.prediction_jobs import PredictionJobs
from web.services import Services
from web.sessions import Session, Signer
from web.sign_in import MyAccount, SignIn
from web.users import Users

TRY_OUT = """
{% extends "base.html" %}
{% import "_cascade.html" as cascade %}{% import "_forms.html" as forms %}{% import "_dialogs.html" as dialogs %}
{% block title %}Try-out{% endblock %}
{% block stream %}/try-out/live{% endblock %}
{% block scripts %}<script src="{{ static('viewer.js') }}" defer></script>{% endblock %}
{% block main %}
<p data-live="clock">before</p>
{{ cascade.fields(page.cascade, page.form) }}
{{ forms.json(page.form, "parameters", "parameters") }}
{{ forms.act(site, "/try-out/slow", "Slow") }}
<a href="{{ static('mark.svg') }}" data-view="all" data-caption="panel-a TPFIP">first</a>
<a href="{{ static('mark.svg') }}" data-view="all" data-caption="panel-b TTMUD">second</a>
{% endblock %}
"""
FACTORY, OTHER, FAB, OTHER_FAB, PRODUCT = (UUID(int=number) for number in range(1, 6))
NODES = [
    Node(FACTORY, None, 1, "深圳工厂"),
    Node(OTHER, None, 1, "武汉工厂"),
    Node(FAB, FACTORY, 2, "t1"),
    Node(OTHER_FAB, OTHER, 2, "t3"),
    Node(PRODUCT, FAB, 3, "panel-a"),
]
slow_requests: list[str] = []
may_answer = threading.Event()


class TryOutPage(Page, frozen=True):
    TEMPLATE = "try_out.html"
    cascade: Cascade


class TryOut(Controller):
    path = "/try-out"

    @get("/", sync_to_thread=True)
    def page(self, desk: NamedDependency[Desk]) -> Response[str]:
        form = Form.of(parameters="{\n\n}")
        return desk.show(
            TryOutPage(form=form, cascade=cascade(("工厂", "厂别", "产品"), NODES, form, several_at_last=True))
        )

    @get("/live", sync_to_thread=True)
    def live(self, live: NamedDependency[Live]) -> ServerSentEvent:
        return live.follow(lambda: {"clock": "<b>after</b>"})

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


class Server(uvicorn.Server):
    """Serves in a thread on a port that is free."""

    def __init__(self, services: Services, *pages: type[Controller]) -> None:
        self.services = services
        app = create_app(services, (Overview, SignIn, MyAccount, *pages))
        super().__init__(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
        self.address = ""
        self.is_up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.address = f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"
        self.is_up.set()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our pages and the try-out, made once."""
    folder = tmp_path_factory.mktemp("templates")
    (folder / "try_out.html").write_text(TRY_OUT)
    loader = cast(FileSystemLoader, templates("en").loader)
    loader.searchpath.append(str(folder))
    server = Server(new_services(), Users, PredictionJobs, TryOut)
    thread = threading.Thread(target=server.run)
    thread.start()
    server.is_up.wait(10)
    yield server
    server.should_exit = True
    thread.join()
    loader.searchpath.pop()
    cast(Any, templates("en").cache).clear()


@pytest.fixture
def services(server: Server) -> Services:
    renew(server.services)
    object.__setattr__(server.services, "stopping", lambda: server.should_exit)
    return server.services


@pytest.fixture
def tab(browser: Browser, server: Server, services: Services, caplog: pytest.LogCaptureFixture) -> Iterator[Tab]:
    """A tab in which the super administrator is signed in, in English. Nothing may be said in its console."""
    session_id = services.sessions.open(Session(user_id=QUALITY_LEAD.user_id, epoch=QUALITY_LEAD.session_epoch))
    signed = Signer(services.settings.secret).sign("session", session_id)
    context = browser.new_context(base_url=server.address)
    context.add_cookies(
        [
            {"name": "assay_session", "value": signed, "url": server.address},
            {"name": "assay_language", "value": "en", "url": server.address},
        ]
    )
    context.set_default_timeout(5000)
    tab = context.new_page()
    said: list[str] = []
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("console", lambda message: said.append(message.text) if "status of 4" not in message.text else None)
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
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("“lead@” is not an e-mail address")).to_be_visible()
    expect(field).to_have_value("lead@")
    assert tab.url.endswith("/account")
    field.fill("lead@fab.example")
    dialog.get_by_role("button", name="Save").click()
    expect(tab.get_by_text("Your e-mail address is saved.")).to_be_visible()
    expect(dialog).to_be_hidden()
    assert cast(FakeAssay, services.assay).commands[0].email == "lead@fab.example"


def test_a_dialog_closes_by_escape_and_gives_the_focus_back(tab: Tab) -> None:  # S-4
    tab.goto("/account")
    link = tab.get_by_role("link", name="Change password")
    link.press("Enter")
    expect(tab.get_by_role("dialog", name="Change password")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_be_hidden()
    expect(link).to_be_focused()


def test_a_page_that_asks_to_sign_in_is_no_dialog(tab: Tab, services: Services) -> None:
    tab.goto("/account")
    services.sessions.close_all(UUID(int=1))
    tab.get_by_role("link", name="Change password").click()
    expect(tab).to_have_url(re.compile(r"/sign-in\?next="))


def test_a_cascade_offers_only_what_lies_below_the_choice_above(tab: Tab) -> None:  # D-2
    tab.goto("/try-out")
    fab = tab.get_by_label("厂别", exact=True)
    expect(fab).to_be_disabled()
    tab.get_by_label("工厂", exact=True).select_option("深圳工厂")
    assert fab.locator("option").all_text_contents() == ["Choose…", "t1"]
    expect(tab.get_by_label("panel-a")).to_be_hidden()
    fab.select_option("t1")
    tab.get_by_label("panel-a").check()
    tab.get_by_label("工厂", exact=True).select_option("武汉工厂")
    assert fab.locator("option").all_text_contents() == ["Choose…", "t3"]
    expect(tab.get_by_label("panel-a")).to_be_hidden()
    expect(tab.get_by_label("panel-a")).not_to_be_checked()


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
    expect(tab.get_by_role("link", name="New user")).to_be_focused()
