"""JSON that people write in an editor: read strictly, every mistake named by line and field."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from domain.refusals import Refusal
from domain.sentences import N_

T = TypeVar("T")
LONGEST_TEXT = 200_000
"""Characters: a thousand codes of sixty take half of it, each on a line of its own."""
_DEEPEST = 20
"""Levels; no parameters nest half as deep, and each is looked through once more."""
_PLACE = re.compile(r" - at `(?P<path>[^`]+)`$")
_STEP = re.compile(r"([^.$\[\]]+)|\[(\d{1,6})\]")
_SIGNS = {">=": "≥", "<=": "≤", ">": ">", "<": "<"}
_SOLID = re.compile(r"[^ \t\n\r]")
_NOT_FINITE = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<word>-?Infinity|NaN)')
_SIGNS_MEANT = dict(zip("，、：；“”„‟＂'‘’｛｝［］【】", ',,::""""""""{}[][]', strict=True))
"""The sign of JSON that was meant, by the sign that a Chinese input method or a text program writes for it."""
_ORDINARY_BLANKS, _OTHER_BLANKS = " \t\n\r", "\u00a0\u2002\u2003\u2009\u200b\u3000\ufeff"


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


class JsonCommaIsMissingHere(JsonIsMalformed):
    """The same inside of a line."""

    message = N_("Line {line}, column {column}: a comma seems to be missing just before. Add it, then go on.")


class JsonCommaIsTooMany(JsonIsMalformed):
    """Where a line was removed or copied, the comma before the bracket stays."""

    message = N_("Line {line}, column {column}: no comma may stand behind the last entry. Remove it.")


class JsonQuoteIsMissing(JsonIsMalformed):
    """JSON only notices at the end of the line, or of everything."""

    message = N_('Line {line}, column {column}: this text has no closing quote ("). Add it, then go on.')


class JsonSignIsAnother(JsonIsMalformed):
    """Chinese input methods and text programs write signs that look like those of JSON."""

    message = N_("Line {line}, column {column}: {sign} means nothing here. Write {plain} instead.")


class JsonBlankIsAnother(JsonIsMalformed):
    """What looks like a blank, or like nothing."""

    message = N_("Line {line}, column {column}: this blank is not an ordinary one. Write it anew.")


class JsonNumberIsNotFinite(JsonIsMalformed):
    """Python reads NaN and Infinity, JSON and trainings do not."""

    message = N_("Line {line}, column {column}: “{word}” is not a number to calculate with. Write a finite one.")


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


class FieldStandsTwice(JsonFieldIsWrong):
    """Which of the two counts would depend on the reader."""

    message = N_("Line {line}: “{name}” stands twice. Keep one of the two.")


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
        JsonFieldIsWrong: a field is missing, unknown, there twice or of the wrong kind; with its line.
    """
    if len(text) > LONGEST_TEXT:
        raise JsonIsTooLong(at=field, length=len(text), most=LONGEST_TEXT)
    try:
        content = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once)
        # JSON may hold half a character, "\ud800"; no log and no page can.
        json.dumps(content, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise _malformed(text, error, field) from error
    except _NotFinite as error:
        raise _not_finite(text, field) from error
    except _Twice as error:
        raise _twice(text, field) from error
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
    return _place(text, _place_of(text, path)[0])["line"]


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
    return {key: (start, value) for key, start, value in _entries(text, position)}


def _entries(text: str, position: int) -> Iterator[tuple[str | int, int, int]]:
    """Key or index, where it begins, and where its value does, of all that stands in the object or array at `position`."""
    decode = json.JSONDecoder().raw_decode
    for index in itertools.count():
        if text[position] not in "{[,":
            return
        start = _solid(text, position + 1)
        if text[start] in "}]":
            return
        key, end = decode(text, start)
        position = _solid(text, end)
        if text[position] == ":":
            value = _solid(text, position + 1)
            _, end = decode(text, value)
            yield key, start, value
            position = _solid(text, end)
        else:
            yield index, start, start


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


class _NotFinite(ValueError):
    """NaN or Infinity; the reader does not say where."""


class _Twice(ValueError):
    """A name stands twice in an object; the reader does not say where."""


def _refuse_constant(name: str) -> float:
    raise _NotFinite(name)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Twice
    return members


def _malformed(text: str, error: json.JSONDecodeError, field: str) -> JsonIsMalformed:
    """What a person most likely did, where that can be told."""
    before, rest = text[: error.pos].rstrip(_ORDINARY_BLANKS), text[error.pos :].lstrip(_ORDINARY_BLANKS)
    sign = rest[:1]
    if "control character" in error.msg or "Unterminated string" in error.msg:
        return JsonQuoteIsMissing(at=field, **_place(text, error.pos))
    if sign and sign in _OTHER_BLANKS:
        return JsonBlankIsAnother(at=field, **_place(text, error.pos))
    if sign in _SIGNS_MEANT:
        return JsonSignIsAnother(at=field, sign=sign, plain=_SIGNS_MEANT[sign], **_place(text, error.pos))
    behind = rest[1:].lstrip(_ORDINARY_BLANKS)[:1]
    if sign == "," and behind in ("]", "}"):  # Python 3.13 looks at the comma,
        return JsonCommaIsTooMany(at=field, **_place(text, error.pos))
    if sign in ("]", "}") and before.endswith(","):  # those before it at what follows
        return JsonCommaIsTooMany(at=field, **_place(text, len(before) - 1))
    if "',' delimiter" in error.msg and re.match(r'["{\[\d-]|(?:true|false|null)\b', rest):
        is_at_the_beginning = not text[: error.pos].rpartition("\n")[2].strip()
        kind: type[JsonIsMalformed] = JsonCommaIsMissing if is_at_the_beginning else JsonCommaIsMissingHere
        return kind(at=field, **_place(text, error.pos))
    return JsonIsMalformed(at=field, **_place(text, error.pos))


def _not_finite(text: str, field: str) -> JsonIsMalformed:
    found = next(found for found in _NOT_FINITE.finditer(text) if found["word"])
    return JsonNumberIsNotFinite(at=field, word=found["word"], **_place(text, found.start()))


def _twice(text: str, field: str) -> Refusal:
    found = next(_standing_twice(text, _solid(text, 0), ()), None)
    if found is None:
        return JsonIsMalformed(at=field, line=1, column=1)
    keys, position = found
    name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    return FieldStandsTwice(at=field, line=_place(text, position)["line"], name=name)


def _standing_twice(
    text: str, position: int, above: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """The keys to what stands twice in the object at `position` or inside of it, and where it does so for the second time."""
    seen = set()
    for key, start, value in _entries(text, position):
        keys = (*above, key)
        if key in seen:
            yield keys, start
        seen.add(key)
        if text[value] in "{[" and len(keys) < _DEEPEST:
            yield from _standing_twice(text, value, keys)


def _place(text: str, position: int) -> dict[str, int]:
    """Line and column of a place, both from 1."""
    return {"line": text.count("\n", 0, position) + 1, "column": position - text.rfind("\n", 0, position)}
