"""JSON that people write in an editor: read strictly, every mistake named by line and field."""

import json
import re
from typing import Any, TypeVar

import msgspec

from domain.refusals import Refusal
from domain.sentences import N_

T = TypeVar("T")
_PLACE = re.compile(r" - at `(?P<path>[^`]+)`$")


class JsonIsMalformed(Refusal):
    """The text is not JSON at all."""

    message = N_(
        "Line {line}, column {column}: this is not valid JSON. Look for a missing comma, quote or bracket just before."
    )


class JsonCommaIsMissing(JsonIsMalformed):
    """The manual's own sample lacks a comma; say so kindly, do not guess."""

    message = N_(
        "Line {line}, column {column}: a comma seems to be missing at the end of the line before. Add it, then go on."
    )


class JsonFieldIsWrong(Refusal):
    """A field has the wrong type, is missing or unknown."""

    message = N_("Line {line}, “{name}”: {problem}")


class FieldIsMissing(JsonFieldIsWrong):
    """A required field is not there."""

    message = N_("“{name}” is missing. Add it, or take the default parameters again.")


class FieldIsUnknown(JsonFieldIsWrong):
    """A field that means nothing here is likely a slip of the pen."""

    message = N_("Line {line}: “{name}” is not a known parameter. Correct its name or remove it.")


class FieldHasWrongType(JsonFieldIsWrong):
    """A text where a number belongs, and the like."""

    message = N_("Line {line}: “{name}” has a value of the wrong kind ({problem}).")


def read_json(text: str, shape: type[T], *, field: str) -> T:
    """Parse `text` into `shape` (a msgspec struct that forbids unknown fields); `field` is the form field of the editor.

    Raises:
        JsonIsMalformed: the text is not JSON; with line and column, counted from 1.
        JsonFieldIsWrong: a field is missing, unknown or of the wrong kind; with its line.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        kind = JsonCommaIsMissing if "',' delimiter" in error.msg else JsonIsMalformed
        raise kind(at=field, line=error.lineno, column=error.colno) from error
    except (ValueError, RecursionError) as error:
        raise JsonIsMalformed(at=field, line=1, column=1) from error
    try:
        return msgspec.convert(content, shape)
    except msgspec.ValidationError as error:
        raise _wrong_field(text, str(error), field) from error


def write_json(content: Any) -> str:
    """JSON as a person would write it, for the editor."""
    return json.dumps(msgspec.to_builtins(content), indent=4, ensure_ascii=False)


def line_of(text: str, path: str) -> int:
    """The line (from 1) on which the field `$.a.b[2]` stands: each key is looked for behind the one before."""
    position = 0
    for key in re.findall(r"[^.$\[\]]+(?![\]])", path):
        found = text.find(f'"{key}"', position)
        if found >= 0:
            position = found
    return text.count("\n", 0, position) + 1


def _wrong_field(text: str, problem: str, field: str) -> JsonFieldIsWrong:
    place = _PLACE.search(problem)
    path = place["path"] if place else "$"
    told = _PLACE.sub("", problem).replace("`", "")
    if found := re.match(r"Object missing required field (?P<name>\S+)", told):
        return FieldIsMissing(at=field, line=line_of(text, path), name=_join(path, found["name"]), problem=told)
    if found := re.match(r"Object contains unknown field (?P<name>\S+)", told):
        full = _join(path, found["name"])
        return FieldIsUnknown(at=field, line=line_of(text, full), name=full, problem=told)
    return FieldHasWrongType(
        at=field, line=line_of(text, path), name=path.removeprefix("$").lstrip(".") or "JSON", problem=told
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}".removeprefix("$").lstrip(".")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
