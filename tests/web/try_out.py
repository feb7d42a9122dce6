"""Pages of ours and one more on which the small scripts are tried out, in a real browser, over fakes."""

import re
import threading
from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from jinja2 import FileSystemLoader
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect, ServerSentEvent
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab

from domain.environments import EnvironmentNode
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.served_pages import Server, browser, served, signed_in
from tests.web.site import new_services, renew
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

__all__ = ["browser"]

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
