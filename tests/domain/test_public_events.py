"""Which facts others are told of, and how an event looks outside. Source: REQUIREMENTS, K-3, E-6."""

import importlib
import pkgutil
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

import domain
from domain.api_tokens import ApiTokenCreated, TokenScope
from domain.facts import FACTS, Fact, Origin, Recorded
from domain.names import NameReleased
from domain.public_events import (
    BOOKKEEPING,
    PERSONAL,
    SECURITY,
    is_public,
    public_event,
    public_events,
    public_facts,
    public_shape,
)
from domain.users import UserEmailChanged, UserRoleChanged
from tests.examples import QUALITY_LEAD, TRAINER_WANG_ID, VERSION_PUBLISHED, plant

for module in pkgutil.iter_modules(domain.__path__):
    importlib.import_module(f"domain.{module.name}")

AT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
ORIGIN = Origin(actor=TRAINER_WANG_ID, request="request-0001")


def recorded(fact: Fact, version: int = 3) -> Recorded:
    return Recorded(UUID(int=5), version, fact, AT, ORIGIN)


def test_an_event_looks_as_cloudevents_asks() -> None:
    event = msgspec.to_builtins(public_event(42, recorded(VERSION_PUBLISHED)))
    assert event.pop("data")["model_name"] == "panel-a"
    assert event == {
        "specversion": "1.0",
        "id": "00000000-0000-0000-0000-000000000005:3",
        "source": "urn:assay",
        "type": "assay.model.version_published",
        "subject": "00000000-0000-0000-0000-000000000005",
        "time": "2026-03-02T08:30:00Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:assay:event-schema:model.version_published",
        "partitionkey": "00000000-0000-0000-0000-000000000005",
        "sequence": "0000000000000000042",
        "aggregateversion": 3,
        "actor": str(TRAINER_WANG_ID),
        "request": "request-0001",
    }


def test_attribute_names_are_those_that_cloudevents_allows() -> None:
    assert all(
        name.isascii() and name.islower() and name.isalnum()
        for name in public_event(1, recorded(VERSION_PUBLISHED)).__struct_fields__
    )


def test_what_is_private_or_about_a_person_stays_here() -> None:  # E-6
    told = msgspec.json.encode(public_event(1, recorded(QUALITY_LEAD))).decode()
    assert QUALITY_LEAD.username in told
    for secret in ("password", QUALITY_LEAD.password_hash, "email", QUALITY_LEAD.email, "remark"):
        assert secret not in told
    assert msgspec.to_builtins(public_event(1, recorded(UserEmailChanged(email="wang@fab.example"))).data) == {}
    for topic, fields in PERSONAL.items():
        assert fields <= set(FACTS[topic].__struct_fields__), topic


@pytest.mark.parametrize("fact_type", public_facts().values(), ids=public_facts())
def test_every_other_field_is_told_also_where_it_holds_its_default(fact_type: type[Fact]) -> None:
    withheld = fact_type.PRIVATE | PERSONAL.get(fact_type.TOPIC, set())
    form = public_shape(fact_type)
    assert set(form.__struct_fields__) == set(fact_type.__struct_fields__) - withheld
    assert not form.__struct_config__.omit_defaults


def test_bookkeeping_and_matters_of_security_are_not_public() -> None:  # U-6
    token = ApiTokenCreated(name="MES", user_id=TRAINER_WANG_ID, scope=TokenScope.READ, secret_hash="f" * 64)
    for fact in (NameReleased(), token):
        assert not is_public(type(fact))
        with pytest.raises(ValueError, match="is not public"):
            public_event(1, recorded(fact))
    assert is_public(UserRoleChanged)
    for beginning in (*BOOKKEEPING, *SECURITY):
        assert any(topic.startswith(beginning) for topic in FACTS), beginning


def test_of_some_events_the_public_ones_are_told_in_their_order() -> None:
    events = list(enumerate(plant().events, 1))
    told = public_events(events)
    assert 0 < len(told) < len(events)
    assert [event.sequence for event in told] == sorted(event.sequence for event in told)
    assert public_events(events) == told  # the same again, whenever it is sent again
