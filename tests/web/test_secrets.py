"""No secret leaves: in no event, by no way that events take, in no page and in no log. Source: REQUIREMENTS, E-6, U-1, K-5."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from domain.facts import Fact, Recorded
from domain.public_events import is_public, public_events
from infra.logs import JsonLines
from tests.every_fact import FACT_TYPES, SECRET, every_fact
from tests.examples import QUALITY_LEAD, QUALITY_LEAD_ID, TRAINER_WANG_ID, example_id
from tests.permission_table import REQUESTS
from tests.web.busy_plant import open_busy_plant
from tests.web.machines import API
from tests.web.real_site import RealSite
from tests.web.requests import Sender
from tests.web.test_permissions import secret_of
from web.bearer import hash_of

PASSWORD = "Correct-Horse-77"
HASHES_STAND_IN = {("users", "password_hash"), ("api_tokens", "secret_hash")}
"""The columns of the read models where hashes are, for signing in."""


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[RealSite]:
    """Everything has happened, and every other fact, too."""
    with open_busy_plant(database, tmp_path) as site:
        moment = site.read.audit.history(TRAINER_WANG_ID)[0].happened_at
        happened = [
            Recorded(thing, version, fact, moment)
            for topic, last in every_fact().items()
            for thing in (example_id(topic),)
            for version, fact in enumerate(_with_what_comes_before(topic, last), 1)
        ]
        site.services.wait(site.log.append(happened))
        yield site


def _with_what_comes_before(topic: str, fact: Fact) -> list[Fact]:
    """What happens to a user happens to one that was created."""
    return [every_fact()["user.created"], fact] if topic.startswith("user.") and topic != "user.created" else [fact]


def secrets_of(site: RealSite) -> set[str]:
    """What must stand nowhere."""
    tokens = [secret_of(user_id) for user_id in (QUALITY_LEAD_ID, TRAINER_WANG_ID)]
    return {SECRET, QUALITY_LEAD.password_hash, site.services.settings.secret, *tokens, *map(hash_of, tokens)}


def assert_free_of(secrets: set[str], text: str, told: str) -> None:
    found = [secret for secret in secrets if secret in text]
    assert not found, f"{told}: {found}"


def test_there_are_secrets_to_be_found(site: RealSite, database: str) -> None:
    with psycopg.connect(database) as connection:
        stored = " ".join(
            bytes(row[0]).decode("utf-8", "replace") for row in connection.execute("SELECT state FROM assay_events")
        )
    assert SECRET in stored
    assert QUALITY_LEAD.password_hash in stored
    assert {topic for topic, fact_type in FACT_TYPES.items() if fact_type.PRIVATE} >= {
        "user.created",
        "user.password_changed",
        "api_token.created",
    }


def test_no_page_no_file_no_stream_and_no_api_answer_holds_a_secret(
    site: RealSite, caplog: pytest.LogCaptureFixture
) -> None:  # E-6
    caplog.set_level(0)
    secrets = secrets_of(site)
    for line in REQUESTS:
        for user_id in (QUALITY_LEAD_ID, TRAINER_WANG_ID):
            answer = Sender(site, user_id).ask(line)
            session = (site.client.cookies.get("assay_session") or "").partition(".")[0]
            assert_free_of(secrets | ({session} if session else set()), answer.text, line)
            assert_free_of(secrets, str(answer.headers), line)
    for topic, fact_type in FACT_TYPES.items():
        if fact_type.PRIVATE:
            for address in ("", "/state?version=1", "/state?version=2", "/events.jsonl"):
                answer = Sender(site, QUALITY_LEAD_ID).send(
                    "GET /audit", address=f"/history/{example_id(topic)}{address}"
                )
                assert answer.status_code in (200, 404), address
                assert_free_of(secrets, answer.text, f"{topic}{address}")
    formatter = JsonLines("web")
    for record in caplog.records:
        assert_free_of(secrets, formatter.format(record), record.name)


def test_no_event_of_any_type_takes_a_secret_along(site: RealSite) -> None:  # E-6, K-1
    """By the audit's export, by the HTTP API, and by the feed, whose messages are these."""
    secrets = secrets_of(site)
    exported = Sender(site, QUALITY_LEAD_ID).send(
        "GET /audit/events.jsonl", address="/audit/events.jsonl?everything=yes"
    )
    assert {json.loads(line)["type"] for line in exported.text.splitlines()} == set(FACT_TYPES)
    assert_free_of(secrets, exported.text, "export")
    told, after, has_more = list[str](), 0, True
    while has_more:
        answer = Sender(site, QUALITY_LEAD_ID).send_as_machine(
            "GET /api/v1/events", address=f"{API}/events?limit=1000&after={after}"
        )
        assert_free_of(secrets, answer.text, "API")
        told += [event["type"].removeprefix("assay.") for event in answer.json()["events"]]
        after, has_more = answer.json()["next"], answer.json()["has_more"]
    assert set(told) == {topic for topic, fact_type in FACT_TYPES.items() if is_public(fact_type)}
    sent = msgspec.json.encode(public_events(site.log.read(0, 10_000))).decode()
    assert_free_of(secrets, sent, "feed")
    assert SECRET not in sent


def test_the_read_models_hold_hashes_where_people_and_machines_sign_in_only(
    site: RealSite, database: str
) -> None:  # E-6
    secrets, found = secrets_of(site), set()
    with psycopg.connect(database) as connection:
        columns = connection.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_name <> 'assay_events'"
        ).fetchall()
        for schema, table, column in columns:
            query = f'SELECT string_agg("{column}"::text, \' \') FROM "{schema}"."{table}"'
            (text,) = connection.execute(query.encode()).fetchone() or ("",)
            if any(secret in (text or "") for secret in secrets):
                found.add((table, column))
    assert found == HASHES_STAND_IN


def test_what_people_type_and_machines_carry_is_never_stored(site: RealSite, database: str) -> None:  # U-1, K-5
    lead = Sender(site, QUALITY_LEAD_ID)
    user = [
        ("username", "trainer_zhao"),
        ("password", PASSWORD),
        ("role", "model_trainer"),
        ("email", ""),
        ("remark", ""),
    ]
    assert lead.send("POST /users/new", fields=user).status_code == 303
    new = [("new_password", PASSWORD), ("repeated_password", PASSWORD)]
    assert lead.send("POST /users/{user_id}/password", fields=new).status_code == 303
    token = [
        ("name", "MES"),
        ("username", "trainer_wang"),
        ("scope", "act"),
        ("lifetime", "90"),
        ("form_id", str(example_id("form"))),
    ]
    page = lead.send("POST /api-tokens/new", fields=token)
    (secret,) = set(re.findall(r"assay_[A-Za-z0-9_-]{43}", page.text))
    Sender(site, None).send("POST /sign-in", fields=[("username", "trainer_zhao"), ("password", PASSWORD)])
    session = site.client.cookies["assay_session"].partition(".")[0]
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            for row in connection.execute(f'SELECT * FROM "{schema}"."{table}"'.encode()):
                text = " ".join(
                    bytes(one).decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in row
                )
                assert_free_of({PASSWORD, secret, session}, text, table)
