"""Texts that nobody writes in good faith, in every field and in everything that is shown. Source: REQUIREMENTS, U-6, D-4, P-5."""

import csv
import html
import io
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import httpx
import pytest

from infra.logs import JsonLines
from tests.examples import MODEL_ID, QUALITY_LEAD_ID, TRAINER_WANG_ID
from tests.permission_table import REQUESTS
from tests.web.accessibility import Element, read
from tests.web.busy_plant import HOSTILE, begin_everything, open_busy_plant, spoiled
from tests.web.real_site import RealSite
from tests.web.requests import PAGES, PICTURE, Sender, line_of, sent_by
from web.spreadsheets import Spreadsheet

READS = {line: who for line, who in REQUESTS.items() if line.startswith("GET ")}
OF_PICTURES = ("GET /images/thumbnail", "GET /images/original", "GET /images/mask")


@pytest.fixture
def spoiled_site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    """A plant of which every text was spoiled, names of folders and files included."""
    with open_busy_plant(database, tmp_path, spoiled) as site:
        yield site


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    with open_busy_plant(database, tmp_path) as site:
        yield site


def assert_holds_nothing_of_others(told: str, answer: httpx.Response) -> None:
    """No tag, no address and no header of an answer was made by a text."""
    assert answer.status_code < 500, told
    assert "stolen" not in str(answer.headers), told
    assert urlsplit(answer.headers.get("Location", "/")).netloc == "", told
    if re.match(r"text/(html|event-stream)", answer.headers.get("Content-Type", "")):
        assert "<evil-tag" not in answer.text, told
        for address in re.findall(r'\s(?:href|src|action|formaction|data-stream)="([^"]*)"', answer.text):
            assert re.match(r"$|[?#]|/(?![/\\])", html.unescape(address).strip()), f"{told}: {address}"


def assert_has_our_tags_only(told: str, page: str) -> None:
    """Scripts are files of ours, and no attribute was made by a text."""
    for element in read(page).all():
        assert element.tag != "script" or element.attributes.get("src", "").startswith("/static/"), told
        assert not [name for name in element.attributes if name.startswith(("evil", "on"))], told


# What is shown


def test_every_page_shows_every_text_as_a_text(spoiled_site: RealSite) -> None:
    shown = 0
    for line, who in READS.items():
        for user_id in {sent_by(who), QUALITY_LEAD_ID, TRAINER_WANG_ID}:
            for language in ("zh", "en"):
                spoiled_site.client.cookies.clear()
                sender = Sender(spoiled_site, user_id)
                if line in PAGES:
                    answer = sender.send(
                        line, headers={"Cookie": f"assay_language={language}"} if language == "en" else None
                    )
                else:
                    answer = sender.send_as_machine(line)
                assert_holds_nothing_of_others(line, answer)
                if "html" in answer.headers.get("Content-Type", ""):
                    assert_has_our_tags_only(line, answer.text)
                shown += HOSTILE in html.unescape(answer.text)
    assert shown > 250  # the texts are there


def test_every_list_finds_a_text_by_what_stands_in_it(spoiled_site: RealSite) -> None:
    """Quotes, wildcards and brackets mean themselves, and what nobody has is not found."""
    lists = {
        "/users": "search",
        "/environments": "search",
        "/training-datasets": "search",
        "/question-bank-datasets": "search",
        "/model-images": "search",
        "/locked-paths": "search",
        "/audit": "thing",
        "/training-jobs": "search",
    }
    lead, wang = Sender(spoiled_site, QUALITY_LEAD_ID), Sender(spoiled_site, TRAINER_WANG_ID)
    of_wang = {"/models": "search", "/prediction-jobs": "search", "/comparisons": "search"}
    for sender, some in ((lead, lists), (wang, of_wang)):
        for address, field in some.items():
            for part in ("\"'><evil-tag", "%_=1+1", "{{ 7*7 }}", "% RAW %"):
                assert _shown_in(sender, address, field, part), f"{address} {part}"
            for part in ("' OR '1'='1", "__", "%%", "\\", "'; DROP TABLE users; --", ".*"):
                assert not _shown_in(sender, address, field, part), f"{address} {part}"


def _shown_in(sender: Sender, address: str, field: str, part: str) -> list[str]:
    """The rows of a list."""
    answer = sender.send(f"GET {address}", address=f"{address}?{urlencode({field: part, 'everything': 'yes'})}")
    assert answer.status_code == 200
    rows = [one for one in read(answer.text).all() if one.tag == "tr" and any(cell.tag == "td" for cell in one.all())]
    return [row.text for row in rows if "evil-tag" in row.text]


def test_what_happened_is_one_sentence_in_one_line_wherever_it_is_told(spoiled_site: RealSite) -> None:  # E-3
    lines = Sender(spoiled_site, QUALITY_LEAD_ID).send(
        "GET /audit/events.jsonl", address="/audit/events.jsonl?everything=yes"
    )
    events = [json.loads(line) for line in lines.text.splitlines()]
    assert len(events) == spoiled_site.log.position()
    assert sum(HOSTILE in event["told"]["zh"] for event in events) > 20


# What is exported


def test_a_spreadsheet_sees_texts_where_texts_are() -> None:  # P-5
    formulas = ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", '=HYPERLINK("http://evil.example")']
    plain = ["-", "TPFIP", "划伤", "a=1", "a;b", ""]
    table = Spreadsheet("code", "confidence")
    for text in (*formulas, "TPFIP;=1+1;-2", *plain):
        table.add(text, -0.5)
    with table.finished() as finished:
        rows = list(csv.reader(io.StringIO(finished.read().decode("utf-8-sig"), newline="")))
    assert [row[0] for row in rows] == ["code", *(f"'{text}" for text in formulas), "TPFIP;'=1+1;'-2", *plain]
    assert {row[1] for row in rows[1:]} == {"-0.5"}


@pytest.mark.parametrize(
    ("line", "question"),
    [
        ("GET /comparisons/{job_id}/samples.zip", {"kind": "both_right"}),
        ("GET /evaluation-reports/{job_id}/{label}/samples.zip", {}),
    ],
)
def test_a_zip_unpacks_into_its_own_folder_on_every_system(
    spoiled_site: RealSite, line: str, question: dict[str, str]
) -> None:  # P-5
    answer = Sender(spoiled_site, TRAINER_WANG_ID).send(line, fields=tuple(question.items()))
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        table = archive.read("samples.csv").decode("utf-8-sig")
    for name in names:
        assert re.fullmatch(r'[^\\:*?<>|"\x00-\x1f]+', name), name
        assert not {"", ".", ".."} & set(name.split("/")), name
        assert name.count("/") <= 1, name
    files = [row["file"] for row in csv.DictReader(io.StringIO(table)) if row["file"]]
    assert sorted(files) == sorted(set(names) - {"samples.csv"})
    assert len(files) >= 1


# What is sent


class Field(NamedTuple):
    """A text field of a form, by the line of the permission table that the form goes to."""

    line: str
    name: str


class FoundForm(NamedTuple):
    """A form as a browser would send it without touching it; `texts` are the names of what can be typed or changed."""

    line: str
    address: str
    fields: tuple[tuple[str, str], ...]
    texts: tuple[str, ...]


TAKES_AWAY = re.compile(r"delete|remove|default|/role|/sign-out|/withdraw|/users/{user_id}")
"""What is to come last, because other forms need what it takes away."""
TYPED = {
    "tags and quotes": f"面板Panel_1 {HOSTILE}'; DROP TABLE users; -- ` \\",
    "lines": "pan\0el\r\nSet-Cookie: stolen=1\r\n\r\n<evil-tag>\u202e\u200b\ufeff\x1b[31m\x7f\x85\u2028",
    "long": "长" * 3000,
    "number": "9" * 400,
    "address": "javascript:alert(1)//evil.example/../../../etc/passwd",
    "half": '{"\\ud800": "\\ud800"}',
}


def test_no_field_of_any_form_makes_more_of_a_text(site: RealSite) -> None:  # U-6, W-1
    sent: set[Field] = set()
    forms = forms_of(site, TRAINER_WANG_ID, QUALITY_LEAD_ID)
    for user_id, form in sorted(forms, key=lambda pair: (TAKES_AWAY.search(pair[1].line) is not None, pair[1].line)):
        begin_everything(site)
        for name in form.texts:
            sent.add(Field(form.line, name))
            for how, text in TYPED.items():
                fields = [(field, text if field == name else value) for field, value in form.fields]
                answer = Sender(site, user_id).send(form.line, address=form.address, fields=fields)
                assert_holds_nothing_of_others(f"{form.line}, {name}: {how}", answer)
    assert len(sent) > 150
    assert {
        "POST /users/new",
        "POST /models/{model_id}/versions/{label}/withdraw",
        "POST /training-jobs/new/step-4",
        "POST /comparisons/new/step-3",
    } < {line for line, _ in sent}
    for line, who in READS.items():  # what was kept of it
        assert_holds_nothing_of_others(line, Sender(site, sent_by(who)).ask(line))
    for line in Sender(site, QUALITY_LEAD_ID).send("GET /audit/events.jsonl").text.splitlines():
        json.loads(line)


def forms_of(site: RealSite, *user_ids: UUID) -> list[tuple[UUID, FoundForm]]:
    """Every form on every page, each once, with who found it; before anything is sent."""
    found: dict[tuple[str, tuple[str, ...]], tuple[UUID, FoundForm]] = {}
    for user_id in user_ids:
        for line in PAGES:
            if not line.startswith("GET "):
                continue
            answer = Sender(site, user_id if line != "GET /sign-in" else None).send(line)
            if answer.status_code == 200 and "text/html" in answer.headers["Content-Type"]:
                for element in read(answer.text).all():
                    if element.tag == "form":
                        form = _read_form(element, answer.url.path)
                        found.setdefault((form.line, form.texts), (user_id, form))
    return list(found.values())


def _read_form(form: Element, here: str) -> FoundForm:
    address = form.attributes.get("action") or here
    method = form.attributes.get("method", "get").upper()
    fields, texts = list[tuple[str, str]](), list[str]()
    for one in form.all():
        name, kind = one.attributes.get("name", ""), one.attributes.get("type", "text")
        if not name or name == "csrf_token" or kind == "file":
            continue
        if one.tag == "input" and kind in {"checkbox", "radio"}:
            fields += [(name, one.attributes.get("value", "on"))] if "checked" in one.attributes else []
        elif one.tag == "input":
            fields.append((name, one.attributes.get("value", "")))
            texts.append(name)
        elif one.tag == "textarea":
            fields.append((name, one.text))
            texts.append(name)
        elif one.tag == "select":
            options = [option.attributes for option in one.all() if option.tag == "option"]
            chosen = [option for option in options if "selected" in option] or options[-1:]
            fields += [(name, option.get("value", "")) for option in chosen]
            texts.append(name)
        elif one.tag == "button" and one.attributes.get("value") in {"next", "find"}:
            fields.append((name, one.attributes["value"]))
    path = address.partition("?")[0]
    return FoundForm(line_of(method, path), address, tuple(fields), tuple(dict.fromkeys(texts)))


def test_a_log_tells_any_text_in_one_line() -> None:  # S-3
    for text in TYPED.values():
        record = logging.makeLogRecord({"name": "web", "levelname": "INFO", "msg": "asked", "path": text})
        line = JsonLines("web").format(record)
        assert len(line.splitlines()) == 1
        assert json.loads(line)["event"] == "asked"


# Pictures and paths


def test_a_picture_is_shown_from_a_folder_of_any_name(spoiled_site: RealSite) -> None:  # D-9
    path = f"{spoiled('panel-a/question-bank/TPFIP/0000.png')}"
    for line in OF_PICTURES:
        fields = (("root", "data"), ("path", path), ("download", "yes"))
        answer = Sender(spoiled_site, TRAINER_WANG_ID).send(line, fields=fields)
        assert (answer.status_code, answer.headers["Content-Type"].startswith("image/")) == (200, True), line
        assert "evil-tag evil-attr=1>" not in answer.headers.get("Content-Disposition", ""), line


OUTSIDE = [
    "../secret.png",
    "panel-a/../../secret.png",
    "/etc/passwd",
    "//etc/passwd",
    "panel-a/link.png",
    "panel-a/linked/secret.png",
    "%2e%2e/secret.png",
    "..%2fsecret.png",
    "panel-a\\..\\..\\secret.png",
    "panel-a/question-bank/TPFIP/0000.png\0.txt",
    "x" * 5000,
    "a/" * 2000,
    "\udcff",
    "",
    ".",
    "artifacts",
]


def test_no_picture_lies_outside_the_data_roots(database: str, tmp_path: Path) -> None:  # D-4
    root = tmp_path / "root"
    root.mkdir()
    with open_busy_plant(database, root) as site:
        picture = root / PICTURE[1][1]
        secret = tmp_path / "secret.png"
        secret.write_bytes(picture.read_bytes())
        (root / "panel-a" / "link.png").symlink_to(secret)
        (root / "panel-a" / "linked").symlink_to(tmp_path)
        for line in OF_PICTURES:
            for path in OUTSIDE:
                for name in ("data", "archives", "", "..", "/"):
                    fields = (("root", name), ("path", path.encode("utf-8", "surrogateescape").decode("latin-1")))
                    answer = Sender(site, TRAINER_WANG_ID).send(line, fields=fields)
                    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "image/svg+xml"), (
                        f"{line} {path[:40]}"
                    )


ACTIVE = {
    "page.png": b"<!doctype html><script>alert(1)</script>",
    "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "page.html": b"<script>alert(1)</script>",
    "both.png": b"GIF89a/*<script>alert(1)</script>*/=0;",
    "script.webp": b"alert(1)",
    "truncated.png": b"\x89PNG\r\n\x1a\n<script>alert(1)</script>",
}


def test_no_file_of_a_data_path_is_ever_a_page(site: RealSite, tmp_path: Path) -> None:  # D-4, D-9
    folder = tmp_path / "panel-a" / "question-bank" / "TPFIP"
    for name, content in ACTIVE.items():
        (folder / name).write_bytes(content)
        for line in OF_PICTURES:
            fields = (("root", "data"), ("path", f"panel-a/question-bank/TPFIP/{name}"))
            answer = Sender(site, TRAINER_WANG_ID).send(line, fields=fields)
            kind = answer.headers["Content-Type"]
            assert kind in {"image/jpeg", "image/png", "image/svg+xml"}, f"{line} {name}"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert kind != "image/svg+xml" or b"alert" not in answer.content, f"{line} {name}"


def test_whose_model_it_is_stands_in_no_address(site: RealSite) -> None:
    """Every id of somebody else's thing is refused; the permission table's tests ask all of them, this one asks through fields."""
    lead = Sender(site, QUALITY_LEAD_ID)
    for kind in ("prediction-jobs", "comparisons"):
        address = f"/{kind}/new/step-1"
        fields = [
            ("name", "evening"),
            ("version", f"{MODEL_ID}/v1.01"),
            ("version", f"{MODEL_ID}/v1.02"),
            ("do", "next"),
        ]
        assert lead.send(f"POST {address}", fields=fields).status_code == 403, kind
    assert (
        lead.send(
            "GET /prediction-jobs/new", address=f"/prediction-jobs/new?model={MODEL_ID}&version=v1.01"
        ).status_code
        == 303
    )
    assert lead.send("GET /prediction-jobs/new/step-2").status_code == 403
