"""AsyncAPI and JSON Schemas of public events: made from the code, true of what is sent, never breaking who relies on them. K-3"""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from domain.public_events import public_event, public_facts, public_shape
from infra.event_schemas import DESCRIPTION, RELEASED, asyncapi, breaks, files, schema_of, write, written
from tests.conftest import CHECKOUT
from tests.examples import (
    MODEL_ID,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    plant,
)

FOLDER = CHECKOUT / "infra" / "event_schemas"
DOCUMENT = asyncapi()
HISTORY = (
    plant()
    .add(TRAINING_DATASET_ID, TRAINING_DATASET)
    .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED)
    .add(MODEL_ID, VERSION_PUBLISHED)
    .add(PREDICTION_JOB_ID, PREDICTION_QUEUED)
)
PUBLIC = {event.data.TOPIC: event for event in HISTORY.events if event.data.TOPIC in public_facts()}


def test_the_written_files_are_those_of_the_code() -> None:
    """Where this fails, `assay event-schemas` writes them anew."""
    there = {str(file.relative_to(FOLDER)): file.read_text(encoding="utf-8") for file in FOLDER.rglob("*.json")}
    del there[RELEASED]
    assert there == files()
    assert there[DESCRIPTION] == written(DOCUMENT)


def test_whoever_relies_on_the_released_schemas_still_can() -> None:
    assert breaks(json.loads((FOLDER / RELEASED).read_text(encoding="utf-8")), DOCUMENT) == []


def test_every_public_fact_is_described_with_its_docstring() -> None:
    assert set(DOCUMENT["components"]["messages"]) == set(public_facts())
    assert all(message["summary"] for message in DOCUMENT["components"]["messages"].values())


@pytest.mark.parametrize("topic", sorted(PUBLIC))
def test_what_is_sent_fits_its_schema(topic: str) -> None:
    sent = json.loads(msgspec.json.encode(public_event(7, PUBLIC[topic])))
    validator = jsonschema_rs.validator_for(schema_of(DOCUMENT, sent["type"]))
    validator.validate(sent)
    for broken in (
        {**sent, "type": "assay.something.else"},
        {**sent, "data": 5},
        {**sent, "aggregateversion": "seven"},
    ):
        assert not validator.is_valid(broken)


def test_the_previous_release_reads_what_is_sent_now() -> None:
    released = json.loads((FOLDER / RELEASED).read_text(encoding="utf-8"))
    for event in PUBLIC.values():
        sent = json.loads(msgspec.json.encode(public_event(7, event)))
        jsonschema_rs.validator_for(schema_of(released, sent["type"])).validate(sent)


def test_what_the_previous_release_sent_is_read_now() -> None:
    """Facts only grow, so an event without the newest optional fields is still a whole one."""
    for topic, event in PUBLIC.items():
        form = public_shape(public_facts()[topic])
        sent = json.loads(msgspec.json.encode(public_event(7, event).data))
        least = {name: sent[name] for name in schema_of(DOCUMENT, topic)["$defs"][form.__name__].get("required", ())}
        assert msgspec.convert(least, form, strict=False) is not None


def changed(path: str, change: Any) -> dict[str, Any]:
    """The document with something else at a path of schemas: `DatasetCreated.properties.name`."""
    document = copy.deepcopy(DOCUMENT)
    place = document["components"]["schemas"]
    *way, last = path.split(".")
    for name in way:
        place = place[name]
    if change is None:
        del place[last]
    else:
        place[last] = change
    return document


@pytest.mark.parametrize(
    ("path", "change", "problem"),
    [
        ("DatasetCreated.properties.name", None, "$.data.name is gone"),
        ("DatasetCreated.properties.name", {"type": "integer"}, "$.data.name is not of the type string"),
        ("DatasetCreated.required", ["purpose"], "$.data.name may be missing now"),
        ("DatasetPurpose.enum", ["training", "question_bank", "exam"], "'exam' now"),
        ("PublicEvent.properties.subject", None, "$.subject is gone"),
        ("Inspection.properties.image_count", None, "image_count is gone"),
        ("DatasetCreated.properties.name", {"anyOf": [{"type": "string"}, {"type": "null"}]}, "may be something else"),
    ],
)
def test_what_would_break_receivers_is_named(path: str, change: Any, problem: str) -> None:
    found = breaks(DOCUMENT, changed(path, change))
    assert any(problem in sentence and sentence.startswith("dataset.created") for sentence in found), found


def test_what_only_grows_breaks_nobody() -> None:
    grown = changed("DatasetCreated.properties.colour", {"type": "string"})
    grown["components"]["messages"]["dataset.painted"] = grown["components"]["messages"]["dataset.created"]
    assert breaks(DOCUMENT, grown) == []
    assert breaks(grown, DOCUMENT) != []


def test_nothing_is_written_that_would_break_receivers(tmp_path: Path) -> None:
    grown = changed("DatasetCreated.properties.colour", {"type": "string"})
    (tmp_path / RELEASED).write_text(json.dumps(grown), encoding="utf-8")
    assert write(tmp_path) == ["dataset.created: $.data.colour is gone"]
    assert not (tmp_path / DESCRIPTION).exists()
    (tmp_path / RELEASED).unlink()
    assert write(tmp_path) == []
    assert (tmp_path / DESCRIPTION).read_text(encoding="utf-8") == written(DOCUMENT)
