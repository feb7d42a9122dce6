"""What leaves the service of its log: which facts are public, and how each looks outside. Source: REQUIREMENTS, K-1, K-3, E-6.

The envelope is that of CloudEvents 1.0, as JSON. A public event only grows, as facts do.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.facts import FACTS, Fact, Recorded

SOURCE: Final = "urn:assay"
TYPE_PREFIX: Final = "assay."
SCHEMA_PREFIX: Final = "urn:assay:event-schema:"
_SEQUENCE_DIGITS: Final = 19
"""As many as the largest position has, so that sequences compare as texts, which CloudEvents asks for."""

BOOKKEEPING: Final = ("name.", "use.", "super_administrators.", "unusable_report.")
"""Beginnings of topics by which the rules keep names and uses unique; what they say, other events say in better words. Reports that
nobody could use never were events.
"""
SECURITY: Final = ("user.password_changed", "user.refused_action", "api_token.")
"""What concerns who may do what here is for the audit, not for factories."""
PERSONAL: Final = {"user.created": {"email", "remark"}, "user.email_changed": {"email"}}
"""Fields about persons that no machine needs."""


class PublicEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of the log as others see it: the attributes of CloudEvents 1.0, its documented extensions `partitionkey` and
    `sequence`, and ours.

    `id` is unique, and the same whenever an event is sent again; `subject` is the aggregate; `aggregateversion` counts the events
    of the aggregate from 1, with gaps where one is not public; `sequence` is the place in the log.
    """

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    dataschema: str
    partitionkey: str
    sequence: str
    aggregateversion: int
    actor: UUID
    request: str = ""
    data: Any


def is_public(fact_type: type[Fact]) -> bool:
    """Whether others are told of facts of this type."""
    return not fact_type.TOPIC.startswith((*BOOKKEEPING, *SECURITY))


def public_facts() -> dict[str, type[Fact]]:
    """The public facts that this process knows, by topic and in that order."""
    return {topic: fact_type for topic, fact_type in sorted(FACTS.items()) if is_public(fact_type)}


@cache
def public_shape(fact_type: type[Fact]) -> type[msgspec.Struct]:
    """What others see of a fact: every field but those that stay here, also where a field holds its default."""
    withheld = fact_type.PRIVATE | PERSONAL.get(fact_type.TOPIC, set())
    fields: list[Any] = []
    for field in msgspec.structs.fields(fact_type):
        if field.name in withheld:
            continue
        default: Any = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = msgspec.field(default_factory=field.default_factory)
        fields.append((field.name, field.type, *(() if default is msgspec.NODEFAULT else (default,))))
    form = msgspec.defstruct(fact_type.__name__, fields, frozen=True, kw_only=True)
    form.__doc__ = fact_type.__doc__
    return form


def public_event(position: int, recorded: Recorded) -> PublicEvent:
    """The event at a position of the log, as others see it.

    Raises:
        ValueError: it is not public.
    """
    fact, subject = recorded.data, str(recorded.originator_id)
    if not is_public(type(fact)):
        raise ValueError(f"{fact.TOPIC} is not public")
    form = public_shape(type(fact))
    return PublicEvent(
        specversion="1.0",
        id=f"{subject}:{recorded.originator_version}",
        source=SOURCE,
        type=TYPE_PREFIX + fact.TOPIC,
        subject=subject,
        time=recorded.timestamp,
        datacontenttype="application/json",
        dataschema=SCHEMA_PREFIX + fact.TOPIC,
        partitionkey=subject,
        sequence=str(position).zfill(_SEQUENCE_DIGITS),
        aggregateversion=recorded.originator_version,
        actor=recorded.origin.actor,
        request=recorded.origin.request,
        data=form(**{name: getattr(fact, name) for name in form.__struct_fields__}),
    )


def public_events(events: Iterable[tuple[int, Recorded]]) -> list[PublicEvent]:
    """Of some events with their positions, those that are public, in their order."""
    return [public_event(position, recorded) for position, recorded in events if is_public(type(recorded.data))]
