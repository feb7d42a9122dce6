"""What is counted and told of each request, whatever it asks for."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.types import Receive, Scope, Send

from infra.metrics import OWN
from infra.web_requests import WatchedRequests
from tests.web.site import new_services
from web.app import create_app

ADDRESS = "http://assay.example"


@pytest.fixture(scope="module")
def app() -> Litestar:
    return create_app(new_services())


def asked(app: Any, method: str, path: str, **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        watched: Any = WatchedRequests(app)
        transport = httpx.ASGITransport(watched, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
            return await client.request(method, path, headers={"Accept": "text/html", **headers})

    return asyncio.run(ask())


def count(name: str, **labels: str) -> float:
    return OWN["web"].get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/sign-in", {"method": "GET", "route": "/sign-in", "status": "200"}),
        ("GET", "/static/gone.css", {"method": "GET", "route": "/static/{name}", "status": "404"}),
        ("GET", "/wp-login.php", {"method": "GET", "route": "none", "status": "404"}),
        ("GET", "/users/7f3b/x/y/z", {"method": "GET", "route": "none", "status": "404"}),
        ("POST", "/users/new", {"method": "POST", "route": "/users/new", "status": "303"}),
    ],
)
def test_a_request_is_counted_under_its_route_never_its_address(
    app: Litestar, method: str, path: str, labels: dict[str, str]
) -> None:  # S-3
    place = {name: labels[name] for name in ("method", "route")}
    before = count("assay_http_requests_total", **labels), count("assay_http_request_duration_seconds_count", **place)
    asked(app, method, path)
    after = count("assay_http_requests_total", **labels), count("assay_http_request_duration_seconds_count", **place)
    assert after == (before[0] + 1, before[1] + 1)


def test_what_strangers_make_up_becomes_no_name_of_a_series(app: Litestar) -> None:  # S-3
    for word in ("a", "b", "c"):
        asked(app, f"MAKE{word}", f"/{word}")
        asked(app, "GET", f"/static/{word}")
    told = {
        tuple(sample.labels.values()) for family in OWN["web"].collect() for sample in family.samples if sample.labels
    }
    assert not [labels for labels in told if {"a", "b", "c"} & {part.strip("/") for part in labels}]
    assert not [labels for labels in told if any(part.startswith("MAKE") for part in labels)]
    assert count("assay_http_requests_total", method="other", route="none", status="404") >= 3


async def _stream(_scope: Scope, _receive: Receive, send: Send) -> None:
    started: Any = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    await send(started)
    assert count("assay_http_streams_open") == 1
    assert count("assay_http_requests_in_progress") == 1
    await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": False})


def test_a_live_page_is_open_as_long_as_it_lasts_and_is_no_slow_request(app: Litestar) -> None:  # S-3
    before = count("assay_http_request_duration_seconds_count", method="GET", route="none")
    asked(_stream, "GET", "/live")
    assert count("assay_http_streams_open") == 0
    assert count("assay_http_requests_in_progress") == 0
    assert count("assay_http_request_duration_seconds_count", method="GET", route="none") == before


async def _broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ConnectionError("the caller is gone")


def test_a_request_that_breaks_off_is_counted_and_told_of(caplog: pytest.LogCaptureFixture) -> None:  # S-3
    labels = {"method": "GET", "route": "none", "status": "broken_off"}
    before = count("assay_http_requests_total", **labels)
    with caplog.at_level(logging.INFO):
        asked(_broken, "GET", "/users")
    assert count("assay_http_requests_total", **labels) == before + 1
    assert [vars(line)["status"] for line in caplog.records if line.message == "request_answered"] == ["broken_off"]


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("line-3.scan_0042", True),
        ("short", False),
        ("x" * 65, False),
        ("two words here", False),
        ("semi;colon-1", False),
    ],
)
def test_a_request_id_is_taken_over_where_it_looks_like_one(app: Litestar, given: str, is_kept: bool) -> None:  # S-3
    answer = asked(app, "GET", "/sign-in", **{"X-Request-ID": given})
    assert (answer.headers["X-Request-ID"] == given) is is_kept
    assert answer.headers["X-Request-ID"]


def test_each_request_is_one_line_but_what_is_asked_all_the_time(
    app: Litestar, caplog: pytest.LogCaptureFixture
) -> None:  # S-3
    with caplog.at_level(logging.INFO):
        asked(app, "GET", "/sign-in?next=/users", **{"X-Request-ID": "probe-2026"})
        for often in ("/health", "/ready", "/static/app.css"):
            asked(app, "GET", often)
    (line,) = [vars(line) for line in caplog.records if line.message == "request_answered"]
    assert (line["method"], line["route"], line["path"], line["status"]) == ("GET", "/sign-in", "/sign-in", "200")
    assert line["milliseconds"] > 0
