"""What the feed sends, described for those who receive it: AsyncAPI 3.0 with a JSON Schema for each type of event. Source: K-3.

All of it is made from the fact classes. `assay event-schemas` writes it to `infra/event_schemas/`, and refuses where whoever relies
on the released schemas (`released.json`) would be broken; a test holds the written files against what the code says and the feed
sends. With a release, `asyncapi.json` is copied over `released.json`.
"""

import importlib
import json
import pkgutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import domain
from domain.public_events import SCHEMA_PREFIX, TYPE_PREFIX, PublicEvent, public_facts, public_shape
from infra.mes_feed import EVENTS

VERSION = "1.0.0"
DESCRIPTION, RELEASED, JSON_SCHEMAS = "asyncapi.json", "released.json", "json-schemas"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCHEMAS = "#/components/schemas/"
_ENVELOPE = "PublicEvent"


def asyncapi() -> dict[str, Any]:
    """The document."""
    facts = _facts()
    forms = {topic: public_shape(fact_type) for topic, fact_type in facts.items()}
    references, schemas = msgspec.json.schema_components(
        [PublicEvent, *forms.values()], ref_template=_SCHEMAS + "{name}"
    )
    data_of = dict(zip(forms, references[1:], strict=True))
    messages = {topic: _message(topic, data_of[topic], facts[topic].__doc__ or "") for topic in facts}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Assay, public events",
            "version": VERSION,
            "description": (
                "CloudEvents 1.0 in JSON (structured mode), keyed by aggregate: in order for each aggregate, at least once. "
                "An event that comes again has the same id. New types and new fields may appear; nothing is renamed or removed."
            ),
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            "events": {
                "address": f"{{prefix}}.{EVENTS.name}",
                "title": "Public events",
                "parameters": {"prefix": {"description": "ASSAY_KAFKA_TOPIC_PREFIX", "default": "assay"}},
                "messages": {topic: {"$ref": f"#/components/messages/{topic}"} for topic in messages},
                "bindings": {"kafka": {"partitions": EVENTS.partitions}},
            }
        },
        "operations": {
            "publish": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "Everything that happens.",
            }
        },
        "components": {"messages": messages, "schemas": dict(sorted(schemas.items()))},
    }


def schema_of(document: dict[str, Any], event_type: str) -> dict[str, Any]:
    """The JSON Schema of whole events of a type, complete in itself."""
    topic = event_type.removeprefix(TYPE_PREFIX)
    payload: dict[str, Any] = document["components"]["messages"][topic]["payload"]
    schemas: dict[str, Any] = document["components"]["schemas"]
    needed: dict[str, Any] = {}
    wanted = _references(payload)
    while wanted:
        name = wanted.pop()
        if name not in needed:
            needed[name] = schemas[name]
            wanted |= _references(schemas[name])
    schema = {"$schema": _DIALECT, "$id": SCHEMA_PREFIX + topic, **payload, "$defs": needed}
    placed: dict[str, Any] = json.loads(json.dumps(schema).replace(_SCHEMAS, "#/$defs/"))
    return placed


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What whoever relies on the document `old` would miss in events of the document `new`; empty where nothing.

    Receivers ignore fields and types of events that they do not know. So a type of event, a field, or the kind of a field may not
    go, a field that always came must still always come, and no value may appear where the old document lists all.
    """
    found = []
    for topic, message in old["components"]["messages"].items():
        there = new["components"]["messages"].get(topic)
        if there is None:
            found.append(f"{topic}: events of this type are gone")
            continue
        compared = _Comparison(old["components"]["schemas"], new["components"]["schemas"])
        found += (f"{topic}: {problem}" for problem in compared.of(message["payload"], there["payload"], "$"))
    return sorted(set(found))


def files() -> dict[str, str]:
    """Everything that is written, by its name: the document, and a JSON Schema for each type of event."""
    document = asyncapi()
    schemas = {
        f"{JSON_SCHEMAS}/{topic}.json": written(schema_of(document, topic))
        for topic in document["components"]["messages"]
    }
    return {DESCRIPTION: written(document), **schemas}


def write(folder: Path) -> list[str]:
    """Write all files, unless that would break receivers; returns what would."""
    released = folder / RELEASED
    if released.exists() and (broken := breaks(json.loads(released.read_text(encoding="utf-8")), asyncapi())):
        return broken
    (folder / JSON_SCHEMAS).mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")
    return []


def written(document: dict[str, Any]) -> str:
    """As it stands in the file."""
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _facts() -> dict[str, Any]:
    for module in pkgutil.iter_modules(domain.__path__):
        importlib.import_module(f"domain.{module.name}")
    return dict(public_facts())


def _message(topic: str, data: dict[str, Any], told: str) -> dict[str, Any]:
    payload = {
        "allOf": [{"$ref": _SCHEMAS + _ENVELOPE}],
        "properties": {"type": {"const": TYPE_PREFIX + topic}, "data": data},
    }
    summary = " ".join(textwrap.dedent(told).split())
    return {"name": TYPE_PREFIX + topic, "summary": summary, "x-dataschema": SCHEMA_PREFIX + topic, "payload": payload}


class _Comparison:
    """Follows two schemas side by side; each pair of named schemas once."""

    def __init__(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Named schemas of both documents."""
        self._old, self._new = old, new
        self._seen: set[tuple[str, str]] = set()

    def of(self, old: dict[str, Any], new: dict[str, Any], at: str) -> Iterator[str]:
        """What the new schema lacks at a place."""
        names = (old.get("$ref", ""), new.get("$ref", ""))
        if any(names):
            if names in self._seen:
                return
            self._seen.add(names)
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        for one, other in zip(old.get("allOf", ()), new.get("allOf", ()), strict=False):
            yield from self.of(one, other, at)
        yield from self._kinds(old, new, at)
        known = new.get("properties", {})
        for name, field in old.get("properties", {}).items():
            if name in known:
                yield from self.of(field, known[name], f"{at}.{name}")
            else:
                yield f"{at}.{name} is gone"
        for name in sorted(set(old.get("required", ())) - set(new.get("required", ()))):
            yield f"{at}.{name} may be missing now"
        if isinstance(old.get("items"), dict) and isinstance(new.get("items"), dict):
            yield from self.of(old["items"], new["items"], f"{at}[]")
        if "anyOf" in old and "anyOf" in new:
            yield from self._choices(old["anyOf"], new["anyOf"], at)

    def _kinds(self, old: dict[str, Any], new: dict[str, Any], at: str) -> Iterator[str]:
        if "enum" in old and (more := [one for one in new.get("enum", ["anything"]) if one not in old["enum"]]):
            yield f"{at} may be {', '.join(map(repr, more))} now"
        if "const" in old and old["const"] != new.get("const"):
            yield f"{at} is not {old['const']!r} any more"
        if "type" in old and old["type"] != new.get("type"):
            yield f"{at} is not of the type {old['type']} any more"
        if "anyOf" not in old and "anyOf" in new and ("type" in old or "enum" in old):
            yield f"{at} may be something else now"

    def _choices(self, old: list[dict[str, Any]], new: list[dict[str, Any]], at: str) -> Iterator[str]:
        for choice in new:
            # Each pair is looked at anew: what one pair has shown says nothing about another.
            if all(list(_Comparison(self._old, self._new).of(one, choice, at)) for one in old):
                yield f"{at} may be something else now"


def _references(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return {name for one in schema for name in _references(one)}
    if not isinstance(schema, dict):
        return set()
    found = {name for one in schema.values() for name in _references(one)}
    reference = schema.get("$ref")
    return found | {reference.removeprefix(_SCHEMAS)} if isinstance(reference, str) else found


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return schemas[reference.removeprefix(_SCHEMAS)] if reference else schema
