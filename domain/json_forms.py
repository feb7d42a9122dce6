"""JSON that people write in an editor: read strictly, every mistake named by line and field."""

import json
import re
from typing import Any, TypeVar

import msgspec

from domain.refusals import Refusal
from domain.sentences import N_

T = TypeVar("T")
LONGEST_TEXT = 200_000
"""Characters: a thousand codes of sixty take half of it, each on a line of its own."""
_PLACE = re.compile(r" - at `(?P<path>[^`]+)`$")
_STEP = re.compile(r"([^.$\[\]]+)|\[(\d+)\]")
_SIGNS = {">=": "≥", "<=": "≤", ">": ">", "<": "<"}
_SOLID = re.compile(r"[^ \t\n\r]")


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


class JsonIsTooLong(Refusal):
    """Parameters are short; whoever pastes a file of another kind shall not wait for its first mistake."""

    message = N_("This has {length} characters; parameters have at most {most}. Look for what was pasted by mistake.")


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


class FieldMustBeWholeNumber(FieldHasWrongType):
    """A text or a fraction where something is counted."""

    message = N_("Line {line}: “{name}” must be a whole number.")


class FieldMustBeNumber(FieldHasWrongType):
    """A text where something is measured."""

    message = N_("Line {line}: “{name}” must be a number.")


class FieldMustBeText(FieldHasWrongType):
    """A number or list where a name belongs."""

    message = N_("Line {line}: “{name}” must be a text in quotes.")


class FieldMustBeList(FieldHasWrongType):
    """A single value where several belong."""

    message = N_("Line {line}: “{name}” must be a list in square brackets.")


class FieldMustBeObject(FieldHasWrongType):
    """A value where fields belong."""

    message = N_("Line {line}: “{name}” must hold named fields in curly brackets.")


class FieldIsOutOfRange(FieldHasWrongType):
    """A number beyond its bounds; `bound` is, for example, “≥ 1”."""

    message = N_("Line {line}: “{name}” must be {bound}.")


class FieldHasWrongLength(FieldHasWrongType):
    """A list with too few or too many entries; `bound` is, for example, “≥ 2”."""

    message = N_("Line {line}: the number of entries of “{name}” must be {bound}.")


class FieldValueIsUnknown(FieldHasWrongType):
    """A word that is none of those that mean something."""

    message = N_("Line {line}: “{name}” cannot be {value}. Use one of the values that the manual names.")


_KINDS = {
    "int": FieldMustBeWholeNumber,
    "float": FieldMustBeNumber,
    "str": FieldMustBeText,
    "array": FieldMustBeList,
    "object": FieldMustBeObject,
}


def read_json(text: str, shape: type[T], *, field: str) -> T:
    """Parse `text` into `shape` (a msgspec struct that forbids unknown fields); `field` is the form field of the editor.

    Raises:
        JsonIsTooLong
        JsonIsMalformed: the text is not JSON; with line and column, counted from 1.
        JsonFieldIsWrong: a field is missing, unknown or of the wrong kind; with its line.
    """
    if len(text) > LONGEST_TEXT:
        raise JsonIsTooLong(at=field, length=len(text), most=LONGEST_TEXT)
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
        # JSON may hold half a character, "\ud800"; no log and no page can.
        json.dumps(content, ensure_ascii=False).encode()
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
    """JSON as a person would write it, for the editor: what is absent is left out."""
    return json.dumps(_present(msgspec.to_builtins(content)), indent=4, ensure_ascii=False)


def line_of(text: str, path: str) -> int:
    """The line (from 1) of the field `$.a.b[2]` in JSON that could be read; of the nearest one around it where it is not there."""
    return text.count("\n", 0, _place_of(text, path)[0]) + 1


def lines_of_entries(text: str, path: str) -> list[int]:
    """The line of each entry of the list at `path`, in one pass over the text."""
    lines, line, before = [], 1, 0
    for start, _ in _members(text, _place_of(text, path)[1]).values():
        line += text.count("\n", before, start)
        before = start
        lines.append(line)
    return lines


def _place_of(text: str, path: str) -> tuple[int, int]:
    """Where a field begins, at its name, and where its value does."""
    found = value = _solid(text, 0)
    for key, index in _STEP.findall(path):
        place = _members(text, value).get(key or int(index))
        if place is None:
            break
        found, value = place
    return found, value


def _present(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _present(inner) for name, inner in value.items() if inner is not None}
    return value


def _members(text: str, position: int) -> dict[str | int, tuple[int, int]]:
    """Where each member of the object or array at `position` begins (an object's at its key), and where its value does."""
    members: dict[str | int, tuple[int, int]] = {}
    decode = json.JSONDecoder().raw_decode
    while text[position] in "{[,":
        start = _solid(text, position + 1)
        if text[start] in "}]":
            break
        key, end = decode(text, start)
        position = _solid(text, end)
        if text[position] == ":":
            value = _solid(text, position + 1)
            _, end = decode(text, value)
            members[key] = (start, value)
            position = _solid(text, end)
        else:
            members[len(members)] = (start, start)
    return members


def _solid(text: str, position: int) -> int:
    """The next position that is not blank."""
    found = _SOLID.search(text, position)
    return found.start() if found else len(text) - 1


def _wrong_field(text: str, problem: str, field: str) -> JsonFieldIsWrong:
    place = _PLACE.search(problem)
    path = place["path"] if place else "$"
    told = _PLACE.sub("", problem).replace("`", "")
    if found := re.match(r"Object missing required field (?P<name>\S+)", told):
        return FieldIsMissing(at=field, line=line_of(text, path), name=_join(path, found["name"]), problem=told)
    if found := re.match(r"Object contains unknown field (?P<name>\S+)", told):
        full = _join(path, found["name"])
        return FieldIsUnknown(at=field, line=line_of(text, full), name=full, problem=told)
    kind, values = _wrong_value(told)
    name = path.removeprefix("$").lstrip(".") or "JSON"
    return kind(at=field, line=line_of(text, path), name=name, problem=told, **values)


def _wrong_value(told: str) -> tuple[type[JsonFieldIsWrong], dict[str, str]]:
    if found := re.match(r"Expected array of length (?P<sign>[<>]=?) (?P<bound>\d+)", told):
        return FieldHasWrongLength, {"bound": f"{_SIGNS[found['sign']]} {found['bound']}"}
    if found := re.match(r"Expected (int|float) (?P<sign>[<>]=?) (?P<bound>\S+)", told):
        return FieldIsOutOfRange, {"bound": f"{_SIGNS[found['sign']]} {float(found['bound']):g}"}
    if found := re.match(r"Invalid enum value (?P<value>.+)", told):
        return FieldValueIsUnknown, {"value": found["value"].strip("'")}
    found = re.match(r"Expected (?P<kind>\w+)", told)
    return _KINDS.get(found["kind"] if found else "", FieldHasWrongType), {}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}".removeprefix("$").lstrip(".")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
