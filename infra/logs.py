"""Logs: a static event name with fields, and never a secret; one JSON object a line, or a line for people at a terminal.

Write `log.info("training_started", extra={"job_id": job_id, "worker": worker})`. What surrounds a line, the request that is being
answered, is added to it wherever it is written.
"""

import logging
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from enum import Enum
from functools import partial
from typing import Any, TextIO
from uuid import UUID

import msgspec

from domain.texts import written_out

_SECRET_NAME = re.compile(
    r"password|passwd|secret|token(?!_id$|_name$)|cookie|authorization|api_?key|csrf", re.IGNORECASE
)
_SECRETS = (
    (re.compile(r"(\w://[^\s:/@]*):\S+@"), r"\1:[hidden]@"),
    (
        re.compile(
            r"""\b(\w*(?:password\w*|passwd|secret(?:_hash)?|token)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&]+)""",
            re.IGNORECASE,
        ),
        r"\1[hidden]",
    ),
    (
        re.compile(r"""\b((?:set-)?cookie|(?:proxy-)?authorization)(["']?\s*[=:]\s*)[^\n]+""", re.IGNORECASE),
        r"\1\2[hidden]",
    ),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), r"\1 [hidden]"),
    (re.compile(r"\bassay_[A-Za-z0-9_-]{43}|\$argon2\w+\$[^\s'\")]+"), "[hidden]"),
)
"""Passwords inside addresses, assignments, headers as they travel; API tokens and hashes, which tell by their beginning what they
are.
"""
_ESCAPED_BY_JSON = "".join(map(chr, range(ord(" "))))
"""What else would end a line for some readers, turn its direction, or cannot be written, is spelt out before."""
_HIDDEN = "[hidden]"
_PLAIN = (type(None), bool, int, float, UUID, date, Enum)
_SHORTEST_HIDDEN = 6
"""As long as the shortest password. Shorter values of settings would black out ordinary words."""
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_surroundings: ContextVar[Callable[[], Mapping[str, Any]]] = ContextVar("surroundings", default=dict)


class JsonLines(logging.Formatter):
    """Turns a record into `{"time", "level", "process", "logger", "event", …fields}`; an exception stands under `error`."""

    def __init__(self, process: str, hidden: Collection[str] = ()) -> None:
        """`process` is the verb under which the process was started; `hidden` are secrets that it knows."""
        super().__init__()
        self._process = process
        self._hidden = tuple(secret for secret in hidden if len(secret) >= _SHORTEST_HIDDEN)

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        return msgspec.json.encode(self.line(record)).decode()

    def line(self, record: logging.LogRecord) -> dict[str, Any]:
        """What there is to say, without secrets."""
        clean = partial(without_secrets, hidden=self._hidden)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "event": clean(record.getMessage()),
        }
        own = {name: field for name, field in vars(record).items() if name not in _OWN_FIELDS}
        line |= {name: clean(field, name) for name, field in {**_surroundings.get()(), **own}.items()}
        if record.exc_info:
            line["error"] = clean(self.formatException(record.exc_info))
        return line


class LinesForPeople(JsonLines):
    """The same for a terminal: `08:15:30 warning worker_fell_silent job_id=… attempt=2`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and below it what went wrong."""
        line = self.line(record)
        moment, level, event = (line.pop(name) for name in ("time", "level", "event"))
        error = line.pop("error", None)
        del line["logger"]
        fields = " ".join(f"{name}={field}" for name, field in line.items())
        told = written_out(f"{moment.astimezone():%H:%M:%S} {level:<7} {event} {fields}")
        return "\n".join([told, written_out(error, but="\n")] if error else [told])


def start_logging(
    process: str, *, stream: TextIO = sys.stderr, level: int = logging.INFO, hidden: Collection[str] = ()
) -> None:
    """Send every logger of this process to `stream`; call it once, when the process starts. `hidden` never appears there."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter((LinesForPeople if stream.isatty() else JsonLines)(process, hidden))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("kafka").setLevel(max(level, logging.WARNING))  # its clients tell of every connection
    logging.captureWarnings(capture=True)


@contextmanager
def surrounded_by(fields: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
    """Inside, every line of this task or thread has these fields, too, asked for when the line is written."""
    before = _surroundings.set(fields)
    try:
        yield
    finally:
        _surroundings.reset(before)


def without_secrets(content: Any, name: str = "", *, hidden: Collection[str] = ()) -> Any:
    """`content` as JSON has it, with everything hidden that is named or looks like a secret, or is one of `hidden`."""
    if _SECRET_NAME.search(name):
        return _HIDDEN
    if isinstance(content, _PLAIN):
        return content
    if isinstance(content, bytes | bytearray | memoryview):
        return f"[{len(content)} bytes]"
    if isinstance(content, msgspec.Struct):
        named = {field: getattr(content, field) for field in content.__struct_fields__}
        return {field: without_secrets(value, field, hidden=hidden) for field, value in named.items()}
    if isinstance(content, Mapping):
        return {str(key): without_secrets(value, str(key), hidden=hidden) for key, value in content.items()}
    if isinstance(content, list | tuple | set | frozenset):
        return [without_secrets(value, hidden=hidden) for value in content]
    text = str(content)
    for secret in hidden:
        text = text.replace(secret, _HIDDEN)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return written_out(text, but=_ESCAPED_BY_JSON)
