"""Logs: one JSON object a line, a static event name with fields, and never a secret.

Write `log.info("training_started", extra={"job_id": job_id, "worker": worker})`.
"""

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

_SECRET_NAME = re.compile(r"password|passwd|secret|token|cookie|authorization|api_?key", re.IGNORECASE)
_SECRET_IN_URL = re.compile(r"(?P<scheme>\w://[^\s:/@]*):[^\s@]+@")
_SECRET_IN_DSN = re.compile(r"\b(?P<name>\w*password\w*|secret_hash)\s*=\s*('[^']*'|\"[^\"]*\"|\S+)", re.IGNORECASE)
"""Also in the text of a command or a fact, as an error may show it."""
_SECRET_ITSELF = re.compile(r"\$argon2\w+\$[^\s'\")]+|\bassay_[A-Za-z0-9_-]{43}\b")
"""Hashes of passwords and API tokens, wherever they stand."""
_UNSEEN = re.compile(r"[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")
"""What would end a line for some readers, turn its direction, or cannot be written; JSON escapes only what is below the blank."""
_HIDDEN = "[hidden]"
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """Turns a record into `{"time", "level", "process", "event", …fields}`; an exception stands under `error`."""

    def __init__(self, process: str) -> None:
        """`process` is the verb under which the process was started."""
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "event": without_secrets(record.getMessage()),
        }
        line |= {name: without_secrets(field, name) for name, field in vars(record).items() if name not in _OWN_FIELDS}
        if record.exc_info:
            line["error"] = without_secrets(self.formatException(record.exc_info))
        return msgspec.json.encode(line, enc_hook=str).decode()


def start_logging(process: str, *, stream: TextIO = sys.stderr, level: int = logging.INFO) -> None:
    """Send every logger of this process to `stream`; call it once, when the process starts."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(process))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("kafka").setLevel(max(level, logging.WARNING))  # its clients tell of every connection
    logging.captureWarnings(capture=True)


def _spelt_out(text: str) -> str:
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def without_secrets(content: Any, name: str = "") -> Any:
    """`content` with everything hidden that is named like a secret, and passwords inside addresses."""
    if _SECRET_NAME.search(name):
        return _HIDDEN
    if isinstance(content, str):
        hidden = _SECRET_IN_URL.sub(rf"\g<scheme>:{_HIDDEN}@", content)
        return _spelt_out(_SECRET_ITSELF.sub(_HIDDEN, _SECRET_IN_DSN.sub(rf"\g<name>={_HIDDEN}", hidden)))
    if isinstance(content, msgspec.Struct):
        return {field: without_secrets(getattr(content, field), field) for field in content.__struct_fields__}
    if isinstance(content, Mapping):
        return {str(key): without_secrets(value, str(key)) for key, value in content.items()}
    if isinstance(content, (list, tuple, set, frozenset)):
        return [without_secrets(value) for value in content]
    return content
