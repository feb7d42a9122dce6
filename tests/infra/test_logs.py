"""Logs can be read by machines and hold no secrets."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from commands.users import ChangeOwnPassword
from infra.logs import JsonLines, LinesForPeople, start_logging, surrounded_by
from infra.passwords import Argon2Passwords
from tests.examples import QUALITY_LEAD
from web.bearer import new_secret

JOB = UUID("5b6f3c1e-8a53-4f3e-9d1c-0a1b2c3d4e5f")


class Lines:
    """A logger with what it has written."""

    def __init__(self, log: logging.Logger, written: io.StringIO) -> None:
        self.log = log
        self._written = written

    @property
    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self._written.getvalue().splitlines()[-1])
        return line


@pytest.fixture
def lines() -> Iterator[Lines]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines("worker"))
    log = logging.getLogger("assay.tests")
    log.propagate = False
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield Lines(log, written)
    log.removeHandler(handler)


def connect() -> None:
    raise ConnectionError("postgresql://assay:hunter2@db/assay does not answer")


def test_an_event_is_one_line_with_its_fields(lines: Lines) -> None:
    lines.log.info("training_started", extra={"job_id": JOB, "worker": "gpu-1"})
    line = lines.last
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "process": "worker",
        "logger": "assay.tests",
        "event": "training_started",
        "job_id": str(JOB),
        "worker": "gpu-1",
    }


TOKEN = "assay_" + "x" * 43


@pytest.mark.parametrize(
    "told",
    [
        "postgresql://assay:hunter2@db/assay",
        "postgresql://assay:hunter2@hunter2@db/assay",
        "host=db password=hunter2 user=assay",
        "host=db password='hunter2 hunter2' user=assay",
        'sasl_plain_password="hunter2", sasl_mechanism="PLAIN"',
        "{'password': 'hunter2', 'username': 'admin'}",
        "kafka://relay:hunter2@kafka-1:9093",
        "Cookie: assay_session=hunter2.mark; assay_language=zh",
        "set-cookie: assay_session=hunter2",
        "Authorization: Bearer hunter2hunter2",
        "the header said Bearer hunter2hunter2",
        "client_secret: hunter2",
    ],
)
def test_a_secret_inside_a_sentence_is_hidden(lines: Lines, told: str) -> None:  # S-3
    lines.log.warning("told: %s", told, extra={"problem": ValueError(told), "several": [told], "named": {"it": told}})
    written = json.dumps(lines.last)
    assert "hunter2" not in written
    assert "told: " in written


def test_an_api_token_is_hidden_wherever_it_stands(lines: Lines) -> None:  # S-3
    lines.log.info("asked", extra={"with": f"curl -d {TOKEN} …", "content": TOKEN.encode()})
    assert "xxxx" not in json.dumps(lines.last)
    assert lines.last["content"] == "[49 bytes]"


def test_ids_of_tokens_are_no_secrets(lines: Lines) -> None:  # S-3
    lines.log.info("asked", extra={"token_id": JOB, "token_name": "mes-line-3"})
    assert (lines.last["token_id"], lines.last["token_name"]) == (str(JOB), "mes-line-3")


def test_what_the_settings_keep_secret_is_hidden_whatever_it_looks_like(lines: Lines) -> None:  # S-3
    lines.log.handlers[0].setFormatter(JsonLines("web", hidden=["Panel2026", "web"]))
    lines.log.info("asked Panel2026", extra={"path": "/web/Panel2026"})
    assert lines.last["event"] == "asked [hidden]"
    assert lines.last["path"] == "/web/[hidden]", "a short word is left alone"


def test_a_line_tells_of_the_request_around_it(lines: Lines) -> None:  # S-3
    asked_by = {"request_id": "probe-2026"}
    with surrounded_by(lambda: asked_by):
        lines.log.info("artifact_missing")
        assert lines.last["request_id"] == "probe-2026"
        asked_by["user_id"] = "7"
        lines.log.info("artifact_missing", extra={"request_id": "its own"})
        assert (lines.last["request_id"], lines.last["user_id"]) == ("its own", "7")
    lines.log.info("artifact_missing")
    assert "request_id" not in lines.last


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "is_json"), [(Terminal(), False), (io.StringIO(), True)])
def test_a_person_at_a_terminal_reads_words_and_everything_else_json(stream: io.StringIO, is_json: bool) -> None:  # S-3
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        start_logging("worker", stream=stream)
        try:
            connect()
        except ConnectionError:
            logging.getLogger("assay.terminal").warning("job_given_up", extra={"job_id": JOB}, exc_info=True)
    finally:
        logging.captureWarnings(capture=False)
        logging.getLogger().handlers[:], logging.getLogger().level = before
    first, *others = stream.getvalue().splitlines()
    assert first.startswith("{") is is_json
    assert f"{JOB}" in first
    assert bool(others) is not is_json
    if not is_json:
        assert re.match(rf"\d\d:\d\d:\d\d warning job_given_up process=worker job_id={JOB}$", first)
    assert "hunter2" not in stream.getvalue()


def test_a_text_of_others_commands_no_terminal() -> None:
    record = logging.makeLogRecord({"name": "web", "levelname": "INFO", "msg": "asked", "path": "a\x1b[2J\r\nb\u202e"})
    assert LinesForPeople("web").format(record).endswith("path=a\\x1b[2J\\r\\nb\\u202e")
    record.exc_info = (ConnectionError, ConnectionError("no\x1b[2J way"), None)
    _, *error = LinesForPeople("web").format(record).splitlines()
    assert error == ["ConnectionError: no\\x1b[2J way"]


@pytest.mark.parametrize("name", ["password", "session_token", "Set-Cookie", "client_secret", "Authorization"])
def test_a_field_named_like_a_secret_is_hidden(lines: Lines, name: str) -> None:
    lines.log.info("signed_in", extra={name: "hunter2", "request": {name: "hunter2"}})
    assert "hunter2" not in json.dumps(lines.last)


def test_a_password_inside_an_address_is_hidden(lines: Lines) -> None:
    lines.log.info("connected", extra={"to": ["postgresql://assay:hunter2@db/assay", "host=db password=hunter2"]})
    assert lines.last["to"] == ["postgresql://assay:[hidden]@db/assay", "host=db password=[hidden]"]


def test_an_error_keeps_its_place_and_loses_its_password(lines: Lines) -> None:
    try:
        connect()
    except ConnectionError:
        lines.log.exception("process_failed")
    assert "test_logs.py" in lines.last["error"]
    assert "hunter2" not in lines.last["error"]


def test_a_message_with_several_lines_stays_one_line(lines: Lines) -> None:
    lines.log.info("told\nby a library")
    assert lines.last["event"] == "told\nby a library"


def test_facts_and_commands_are_told_without_their_secrets(lines: Lines) -> None:  # E-6
    command = ChangeOwnPassword(actor=JOB, old_password="hunter2", new_password="hunter3")
    token = new_secret()
    lines.log.error(
        "command_failed %s", command, extra={"command": command, "facts": [QUALITY_LEAD], "sent": f"x {token} y"}
    )
    written = json.dumps(lines.last)
    assert QUALITY_LEAD.username in written
    for secret in ("hunter2", "hunter3", QUALITY_LEAD.password_hash, token):
        assert secret not in written
    lines.log.error("row (%s) cannot be written", Argon2Passwords(memory_kib=64).hash("hunter2"))
    assert lines.last["event"] == "row ([hidden]) cannot be written"


def test_a_text_of_others_makes_no_second_line(lines: Lines) -> None:
    lines.log.info("path_not_found", extra={"path": "a\r\n{}\u2028\x9b31m\u202eb\udcff面板"})
    assert lines.last["path"] == "a\r\n{}\\u2028\\x9b31m\\u202eb\\udcff面板"
