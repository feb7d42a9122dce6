"""Every request that the application answers, sent as nobody should send it. Source: REQUIREMENTS, U-1, U-6, K-5, E-6; OWASP ASVS.

All of them stand in the permission table, which a test compares with the routes: a new one cannot be forgotten here.
"""

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID

import httpx
import pytest
from litestar.testing import TestClient

from domain.users import UserRefusedAction
from tests.examples import QUALITY_LEAD_ID, TRAINER_LI_ID, TRAINER_WANG_ID
from tests.permission_table import REQUESTS, Who
from tests.web.accessibility import read
from tests.web.busy_plant import open_busy_plant
from tests.web.machines import API
from tests.web.real_site import RealSite
from tests.web.requests import FOR_MACHINES, PAGES, QUESTIONS, UNSAFE_PAGES, Sender, address_of, line_of, sent_by
from tests.web.site import Site
from tests.web.test_permissions import secret_of
from web.app import SECURITY_HEADERS, create_app
from web.services import WebSettings

READS = {line: who for line, who in REQUESTS.items() if line.startswith("GET ")}
FOR_EVERYBODY_TO_KEEP = {"GET /static/{name}"}
FILES = frozenset({"samples.zip", "events.jsonl", "log", "losses", "manifest", "archive", "package", "{part}"})
"""Ends of the addresses that answer with a file."""


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    with open_busy_plant(database, tmp_path) as site:
        yield site


def test_nearly_every_page_of_the_plant_has_something_to_show(site: RealSite) -> None:
    """Otherwise the tests below would look at error pages only."""
    shown = [line for line, who in READS.items() if Sender(site, sent_by(who)).ask(line).status_code == 200]
    assert len(shown) > 0.85 * len(READS), sorted(set(READS) - set(shown))


# What every answer carries


def assert_says_how_to_treat_it(line: str, answer: httpx.Response) -> None:
    told = f"{line}: {answer.status_code} {dict(answer.headers)}"
    for name, value in SECURITY_HEADERS.items():
        assert name == "Cache-Control" or answer.headers[name] == value, told
    for name in ("Server", "X-Powered-By", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"):
        assert name not in answer.headers, told
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-ID"]), told
    assert answer.headers.get("Content-Type", "").count("charset") <= 1, told
    if line not in FOR_EVERYBODY_TO_KEEP or answer.status_code != 200:
        assert re.match(r"no-store$|private, (no-store|no-cache|max-age=\d+)$", answer.headers["Cache-Control"]), told
    if "html" in answer.headers.get("Content-Type", ""):
        assert answer.headers["Cache-Control"] == "no-store", told  # also not for the way back after signing out
    for cookie in answer.headers.get_list("Set-Cookie"):
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; ")), told
        assert "Domain" not in cookie, told


def test_every_answer_says_how_to_treat_it(site: RealSite) -> None:  # U-1
    for line, who in sorted(REQUESTS.items(), key=lambda pair: pair[0] not in READS):
        assert_says_how_to_treat_it(line, Sender(site, None).ask(line))
        assert_says_how_to_treat_it(line, Sender(site, sent_by(who)).ask(line))


def test_every_refusal_says_how_to_treat_it(site: RealSite) -> None:
    for line, who in REQUESTS.items():
        if who not in (Who.ANYBODY, Who.EVERYONE):
            answer = Sender(site, TRAINER_LI_ID).ask(line)
            assert answer.status_code == 403, line
            assert_says_how_to_treat_it(line, answer)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PATCH", "DELETE", "PUT", "POST"])
@pytest.mark.parametrize(
    "address", ["/nowhere", "/users", f"{API}/me", f"{API}/nowhere", "/static/app.js", "/users//", "//"]
)
def test_what_is_not_there_says_it_too(stranger: Site, method: str, address: str) -> None:
    answer = stranger.client.request(method, address)
    assert answer.status_code in (303, 401, 403, 404, 405)
    assert_says_how_to_treat_it(f"{method} {address}", answer)


def test_files_are_no_pages(site: RealSite) -> None:
    seen = set()
    for line, who in READS.items():
        if line.rsplit("/", 1)[-1] in FILES:
            answer = Sender(site, sent_by(who)).ask(line)
            assert (answer.status_code, "attachment" in answer.headers["Content-Disposition"]) == (200, True), line
            assert "html" not in answer.headers["Content-Type"], line
            seen.add(line.rsplit("/", 1)[-1])
    assert seen == FILES


def test_over_tls_cookies_and_browsers_stay_with_it(site: RealSite) -> None:  # U-1
    settings = WebSettings(secret=site.services.settings.secret, secure_cookies=True)
    services = replace(site.services, settings=settings)
    with TestClient(create_app(services), base_url="https://assay.fab.example") as client:
        answer = client.get("/sign-in")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    cookies = answer.headers.get_list("Set-Cookie")
    assert cookies
    assert all(cookie.startswith("__Host-assay_") and "Secure" in cookie.split("; ") for cookie in cookies)
    assert "Strict-Transport-Security" not in Sender(site, None).send("GET /sign-in").headers


# Forms of other sites (CSRF)


FORGED: dict[str, dict[str, str]] = {
    "by a page of another site": {"Origin": "https://evil.example"},
    "by a page of another port": {"Origin": "http://testserver.local:8081"},
    "by a page that hides where it is from": {"Origin": "null"},
    "by a page of nowhere": {"Origin": "http://[evil.example"},
    "by another site, as the browser says": {"Sec-Fetch-Site": "cross-site"},
    "by another name of the same site": {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver.local"},
}


def assert_refused_as_forged(site: RealSite, line: str, answer: httpx.Response, how: str, before: int) -> None:
    assert answer.status_code == 403, f"{line} {how}: {answer.status_code}"
    assert "此表单已过期" in answer.text, f"{line} {how}"
    assert site.log.position() == before, f"{line} {how}"


def test_no_page_does_anything_without_the_token_of_its_session(site: RealSite) -> None:  # U-1
    before = site.log.position()
    for line, who in UNSAFE_PAGES.items():
        sender = Sender(site, sent_by(who))
        of_another_session = Sender(site, TRAINER_LI_ID).enter()
        for token in ("", "nonsense", of_another_session):
            assert_refused_as_forged(site, line, sender.send(line, token=token), f"with {token!r}", before)
    assert len(UNSAFE_PAGES) > 60


def test_no_page_does_anything_for_another_site_even_with_the_token(site: RealSite) -> None:  # U-1
    before = site.log.position()
    for line, who in UNSAFE_PAGES.items():
        for how, headers in FORGED.items():
            answer = Sender(site, sent_by(who)).send(line, headers=headers)
            assert_refused_as_forged(site, line, answer, how, before)


def test_our_own_pages_are_believed(site: RealSite) -> None:  # U-1
    behind_a_proxy = {"Sec-Fetch-Site": "same-origin", "Origin": "https://assay.fab.example"}
    for headers in ({}, {"Origin": "http://testserver.local"}, behind_a_proxy):
        assert Sender(site, TRAINER_WANG_ID).send("POST /account/email", headers=headers).status_code == 303, headers


def test_no_session_of_a_browser_reaches_the_api_and_no_token_reaches_a_page(site: RealSite) -> None:  # K-5
    before = site.log.position()
    for line, who in FOR_MACHINES.items():
        if who is not Who.ANYBODY:
            token = Sender(site, sent_by(who)).enter()
            method, pattern = line.split(" ")
            answer = site.client.request(method, address_of(pattern), headers={"X-CSRF-Token": token}, json={})
            assert answer.status_code in (401, 429), line
    for line, who in PAGES.items():
        if who is not Who.ANYBODY:
            bearer = {"Authorization": f"Bearer {secret_of(sent_by(who))}"}
            answer = Sender(site, None).send(line, headers=bearer)
            assert answer.headers.get("Location", "").startswith("/sign-in"), line
    assert site.log.position() == before


# Addresses


HOSTILE_PARTS = {
    "int": ["-1", "0", f"1{'0' * 30}", "9" * 5000, "٣", "1e3"],
    "str": [
        "%00",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%252e%252e%252f",
        "%ff%fe",
        "%ed%a0%80",
        "%0d%0aSet-Cookie:%20stolen=1",
        "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "%E2%80%AE",
        "x" * 5000,
        "'%20OR%20'1'='1",
    ],
    "uuid": ["x", "%00", "0" * 36, "%7B00000000-0000-0000-0000-000000000000%7D", "..%2f" * 9],
}


def test_no_part_of_an_address_breaks_a_page_or_leads_out_of_it(site: RealSite) -> None:
    kinds = {
        (re.sub(r":[a-z]+}", "}", route.path), name): kind
        for route in site.client.app.routes
        for name, kind in re.findall(r"{(\w+):(\w+)}", route.path)
    }
    assert set(kinds.values()) == set(HOSTILE_PARTS)
    for line, who in REQUESTS.items():
        pattern = line.split(" ")[1]
        for name in re.findall(r"{(\w+)}", pattern):
            for part in HOSTILE_PARTS[kinds[pattern, name]]:
                address, sender = address_of(pattern, **{name: part}), Sender(site, sent_by(who))
                is_page = line in PAGES
                answer = (
                    sender.send(line, address=address) if is_page else sender.send_as_machine(line, address=address)
                )
                told = f"{line} with {part[:40]}: {answer.status_code}"
                assert answer.status_code < 500, told
                assert "stolen" not in answer.headers.get("Set-Cookie", ""), told
                assert "<script>alert" not in answer.text, told
                assert "root:" not in answer.text, told


HOSTILE_ANSWERS = [
    "-1",
    "9" * 5000,
    f"1{'0' * 30}",
    "٣²",
    "0001-01-01T00:00",
    "9999-12-31T23:59:59.999999-14:00",
    f"2026-01-01T00:00:00+00:00~{'9' * 30}",
    f"{UUID(int=1)}.{'9' * 30}",
    "%00%ff%ed%a0%80",
    *(
        b64encode(place).decode()
        for place in (b"[1" + b"0" * 30 + b",20]", b"[-1,-1]", b'["0001-01-01T00:00:00+14:00",-1]')
    ),
]


def questions_on(site: RealSite) -> set[tuple[str, str]]:
    """What addresses ask: lines of the permission table, and names behind the question mark of a link, a form or a description."""
    found = set[tuple[str, str]]()
    for line, who in READS.items():
        answer = Sender(site, sent_by(who)).ask(line)
        if line in PAGES and "html" in answer.headers.get("Content-Type", ""):
            for element in read(answer.text).all():
                address = urlsplit(element.attributes.get("href") or element.attributes.get("action") or "")
                names = [name for name, _ in parse_qsl(address.query, keep_blank_values=True)]
                if element.tag == "form" and element.attributes.get("method", "get") == "get":
                    names += [field.attributes["name"] for field in element.all() if "name" in field.attributes]
                found.update((line_of("GET", address.path or answer.url.path), name) for name in names)
    for path, item in site.client.app.openapi_schema.paths.items():
        if item.get is not None:
            found.update((f"GET {path}", one.name) for one in item.get.parameters or () if one.param_in == "query")
    return found


def test_no_question_of_an_address_breaks_a_page(site: RealSite) -> None:
    questions = sorted(questions_on(site))
    for line, name in questions:
        for answered in HOSTILE_ANSWERS:
            given = answered if "%" in answered else quote(answered)
            others = "".join(f"&{known}={quote(value)}" for known, value in QUESTIONS.get(line, ()) if known != name)
            address = f"{address_of(line.split(' ')[1])}?{name}={given}{others}"
            sender = Sender(site, sent_by(REQUESTS[line]))
            is_page = line in PAGES
            answer = sender.send(line, address=address) if is_page else sender.send_as_machine(line, address=address)
            assert answer.status_code < 500, f"{line}?{name}={answered[:40]}: {answer.status_code}"
    assert len(questions) > 60


def test_the_name_that_a_request_gives_the_server_stands_nowhere(site: RealSite) -> None:
    for host in ("evil.example:8080", "testserver.local@evil.example", "evil.example" * 30, "evil'\"><b>"):
        for line in ("GET /", "GET /sign-in", "GET /users", "GET /model-images/import"):
            for user_id in (None, QUALITY_LEAD_ID):
                answer = Sender(site, user_id).send(line, headers={"Host": host})
                assert "evil" not in answer.text, line
                assert not answer.headers.get("Location", "/").startswith(("//", "http")), line


def test_the_way_back_from_an_error_stays_here(site: RealSite) -> None:
    for came_from in ("//evil.example/x", "/\\evil.example", "https://evil.example/", "http://[evil.example"):
        headers = {"Referer": came_from if "://" in came_from else f"http://testserver.local{came_from}"}
        page = Sender(site, QUALITY_LEAD_ID).send("GET /", address="/nowhere", headers=headers).text
        assert "evil.example" not in page
        assert 'href="/"' in page


# What is refused leaves one line


def test_what_was_refused_stands_in_the_audit_in_one_line(site: RealSite) -> None:  # U-6
    sender = Sender(site, TRAINER_WANG_ID)
    before = site.log.position()
    for line, who in UNSAFE_PAGES.items():
        if who is Who.SUPER_ADMINISTRATOR:
            sender.send(line, address=f"{address_of(line.split(' ')[1])}?a=%0d%0a%00%E2%80%AE")
    facts = [recorded.data for _, recorded in site.log.read(before, 1000)]
    assert len(facts) > 15
    for fact in facts:
        assert isinstance(fact, UserRefusedAction)
        assert fact.command.isprintable()
        assert "?" not in fact.command


def test_a_stranger_is_told_the_same_of_what_exists_and_of_what_does_not(site: RealSite) -> None:  # U-6
    unknown = UUID(int=99)
    for line, who in READS.items():
        if line in FOR_MACHINES or who is Who.ANYBODY or "{" not in line:
            continue
        there = Sender(site, None).send(line)
        pattern = line.split(" ")[1]
        names = {name: unknown for name in re.findall(r"{(\w+)}", pattern) if name.endswith("_id")}
        elsewhere = Sender(site, None).send(line, address=address_of(pattern, **names))
        assert there.status_code == elsewhere.status_code == 303, line
        assert len(there.content) == len(elsewhere.content), line


# Sizes


TAKES_FILES = {
    "PUT /model-images/uploads/{upload_id}",
    "POST /model-images/import/file",
    "POST /model-images/{model_image_id}/versions/new/file",
    "PUT /api/v1/uploads/{upload_id}",
}
"""They write to the disk what comes, in pieces, up to what was announced and to `ASSAY_UPLOAD_GIB`."""


def test_no_request_is_larger_than_what_it_is_for(site: RealSite) -> None:
    before = site.log.position()
    large = "x" * ((4 << 20) + 1)
    for line, who in REQUESTS.items():
        sender = Sender(site, sent_by(who))
        if line in TAKES_FILES or line.startswith(("GET ", "DELETE ")):
            continue
        answer = (
            sender.send_as_machine(line, body=large)
            if line in FOR_MACHINES
            else sender.send(line, fields=[("a", large)])
        )
        assert answer.status_code == 413, f"{line}: {answer.status_code}"
        assert_says_how_to_treat_it(line, answer)
    for line in ("POST /model-images/import/file", "POST /model-images/{model_image_id}/versions/new/file"):
        answer = Sender(site, TRAINER_WANG_ID).send(line, fields=[("a", large)])
        assert answer.status_code == 413, f"{line}: {answer.status_code}"
    assert site.log.position() == before


def test_who_is_not_signed_in_has_little_to_send(site: RealSite) -> None:  # U-1
    for line in ("POST /sign-in", "POST /language"):
        assert Sender(site, None).send(line, fields=[("next", "/" * 70_000)]).status_code == 413


def test_nobody_makes_a_page_look_into_folders_without_end(site: RealSite) -> None:  # D-3
    many = "\n".join(f"data:panel-a/{number}" for number in range(1001))
    fields = [("several", many), ("typed", many), ("do", "add"), ("name", "panel-b")]
    for line in (
        "POST /training-datasets/new",
        "POST /training-datasets/{dataset_id}/add",
        "POST /training-jobs/new/step-2",
        "POST /prediction-jobs/new/step-2",
    ):
        answer = Sender(site, TRAINER_WANG_ID).send(line, fields=fields)
        assert answer.status_code == 422, line
        assert "条数据路径过多，每次最多添加" in answer.text, line
