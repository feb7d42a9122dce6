"""Who did what, when, to what (E-3): a line for every fact, found by person, kind, type, thing and time among millions.

Lists go by keys, newest first, and never count: however far back one reads, a page costs the same. Each question is put to the
index of one type of fact after the other, and the newest of all answers are shown; so two indexes answer every question.
"""

import hashlib
import inspect
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

import domain.audit
from domain.audit.kinds import Kind, kind_of
from domain.audit.remembered import Subject, names_given, uses_named
from domain.audit.told import BOOKKEEPING, kinds_told, tell, who_sentence
from domain.facts import FACTS, SYSTEM, Recorded
from domain.names import name_key
from domain.sentences import Sentence
from projections.read_model import ReadModel, Rows, Table

ROWS_ON_A_PAGE = 50
MOST_THINGS = 20
"""So many things of a similar name are looked through at once."""


class Place(msgspec.Struct, frozen=True):
    """Where a list goes on: beyond the event of this moment and position."""

    moment: datetime
    position: int


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; what is left out does not matter. Times count from `since` to before `until`.

    `things` are aggregates; no thing fits an empty tuple. Without `topic`, bookkeeping is left out unless `everything` is wanted.
    """

    actor: UUID | None = None
    kind: Kind | None = None
    topic: str = ""
    things: tuple[UUID, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    everything: bool = False

    @property
    def topics(self) -> list[str]:
        """The types of facts that can answer."""
        if self.topic:
            return [self.topic] if self.topic in FACTS else []
        return [
            fact_type.TOPIC
            for fact_type in FACTS.values()
            if (self.kind is None or kind_of(fact_type) is self.kind)
            and (self.everything or self.kind in _ONLY_BOOKKEEPING or fact_type not in BOOKKEEPING)
        ]


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `name` is what its thing is called now; `told` is the sentence without the person."""

    position: int
    aggregate_id: UUID
    version: int
    kind: Kind
    topic: str
    actor: UUID
    actor_name: str
    happened_at: datetime
    request: str
    name: str
    told: Sentence

    @property
    def sentence(self) -> Sentence:
        """What happened, and who did it."""
        return who_sentence(self.told, self.actor, self.actor_name)

    @property
    def is_by_person(self) -> bool:
        """Whether anybody asked for it."""
        return self.actor != SYSTEM

    @property
    def place(self) -> Place:
        """Where it stands in the list."""
        return Place(self.happened_at, self.position)


class AuditPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list, the newest first, and whether there is more on either side."""

    rows: tuple[AuditRow, ...]
    has_newer: bool
    has_older: bool


class Person(msgspec.Struct, frozen=True):
    """Somebody who did something."""

    user_id: UUID
    username: str


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """Something that has a history. `owner` is who owns it now, None where it is nobody's."""

    aggregate_id: UUID
    kind: Kind
    name: str
    owner: UUID | None


class Audit(ReadModel):
    """Every event told, and what things are called."""

    name = "audit"
    events = Table(
        "audit_events",
        key=("aggregate_id uuid", "version int"),
        columns=(
            "position bigint NOT NULL",
            "kind text NOT NULL",
            "topic text NOT NULL",
            "actor uuid NOT NULL",
            "happened_at timestamptz NOT NULL",
            "request text NOT NULL",
            "told jsonb NOT NULL",
        ),
        indexes=(
            "CREATE INDEX ON audit_events (topic, happened_at, position)",
            "CREATE INDEX ON audit_events (actor, topic, happened_at, position)",
        ),
    )
    things = Table(
        "audit_things",
        key=("aggregate_id uuid",),
        columns=(
            "kind text NOT NULL",
            "name text NOT NULL",
            "name_key text NOT NULL",
            "owner uuid",
            "was jsonb NOT NULL",
        ),
        indexes=("CREATE INDEX ON audit_things (kind, name_key)",),
    )
    names = Table("audit_names", key=("id uuid",), columns=("name text NOT NULL",))

    @classmethod
    def definition(cls) -> str:
        """What is told of a fact is decided in `domain/audit`; other words there are other rows here."""
        folder = Path(inspect.getfile(domain.audit)).parent
        source = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py")))
        return hashlib.sha256(f"{super().definition()}\n{source}".encode()).hexdigest()

    def project(self, rows: Rows, recorded: Recorded) -> None:
        aggregate_id, fact = recorded.originator_id, recorded.data
        kind = kind_of(type(fact))

        def named(thing_id: UUID) -> str:
            row = rows.row(self.things, thing_id) or rows.row(self.names, thing_id)
            return row["name"] if row else ""

        # What just began needs no look into the tables, and of a batch most things just began or were looked up already.
        known = rows.row(self.things, aggregate_id) if recorded.originator_version > 1 else None
        if known is not None:
            was = msgspec.convert(known["was"], dict[str, int | float | str | Sentence])
            before = Subject(known["name"], known["owner"], was)
        else:
            before = Subject(named(aggregate_id) if kind is Kind.USE else "")
        told, after = tell(fact, before, named)
        if known is None or after != before:
            rows.insert(
                self.things,
                aggregate_id,
                kind=kind,
                name=after.name,
                name_key=name_key(after.name),
                owner=after.owner,
                was=after.was,
            )
            rows.insert_many(self.names, uses_named(fact, aggregate_id, after))
        rows.insert_many(self.names, names_given(fact))
        rows.insert(
            self.events,
            aggregate_id,
            recorded.originator_version,
            position=rows.position,
            kind=kind,
            topic=fact.TOPIC,
            actor=recorded.origin.actor,
            happened_at=recorded.timestamp,
            request=recorded.origin.request,
            told=told,
        )

    def search(
        self,
        question: Question,
        *,
        older_than: Place | None = None,
        newer_than: Place | None = None,
        size: int = ROWS_ON_A_PAGE,
    ) -> AuditPart:
        """A part of what answers the question: the newest, or what follows a place on one side of it."""
        found = self._found(question, older_than, newer_than, size + 1)
        is_more, rows = len(found) > size, found[:size]
        if newer_than is not None:
            return AuditPart(rows=tuple(reversed(rows)), has_newer=is_more, has_older=True)
        return AuditPart(rows=tuple(rows), has_newer=older_than is not None, has_older=is_more)

    def history(self, aggregate_id: UUID, *, before: int | None = None, size: int = ROWS_ON_A_PAGE) -> list[AuditRow]:
        """What happened to one thing, the newest first, from before a version on."""
        return self._all(
            f"{_rows('audit_events')} WHERE event.aggregate_id = %(thing)s"
            " AND (%(before)s::int IS NULL OR event.version < %(before)s)"
            " ORDER BY event.version DESC LIMIT %(size)s",
            {"thing": aggregate_id, "before": before, "size": size},
            AuditRow,
        )

    def version_at(self, aggregate_id: UUID, moment: datetime) -> int | None:
        """How many facts of one thing had happened at a moment; None where nothing had."""
        return self._one(
            "SELECT version FROM audit_events WHERE aggregate_id = %s AND happened_at <= %s ORDER BY version DESC LIMIT 1",
            (aggregate_id, moment),
            int,
        )

    def person(self, username: str) -> UUID | None:
        """Who bears a name, or bore it: names are never given twice (U-3)."""
        return self._one("SELECT user_id FROM users WHERE name_key = %s", (name_key(username),), UUID)

    def usernames(self) -> list[str]:
        """What everybody is called who is there, then what those were called who are not any more."""
        return self._all("SELECT username FROM users ORDER BY deleted_at IS NOT NULL, name_key", (), str)

    def people(self, user_ids: Sequence[UUID]) -> dict[UUID, str]:
        """What people are, or were, called."""
        statement = "SELECT user_id, username FROM users WHERE user_id = ANY(%s)"
        return {person.user_id: person.username for person in self._all(statement, (list(user_ids),), Person)}

    def thing(self, aggregate_id: UUID) -> Thing | None:
        """Something by its id."""
        return self._one(f"{_THINGS} WHERE aggregate_id = %s", (aggregate_id,), Thing)

    def called(self, name: str, kind: Kind | None = None) -> list[Thing]:
        """The things whose names contain `name`, at most `MOST_THINGS`."""
        return self._all(
            f"{_THINGS} WHERE strpos(thing.name_key, %(name)s) > 0 AND (%(kind)s::text IS NULL OR thing.kind = %(kind)s)"
            " AND thing.kind NOT IN ('name', 'use') ORDER BY length(thing.name), thing.name_key, aggregate_id"
            " LIMIT %(most)s",
            {"name": name_key(name), "kind": kind.value if kind else None, "most": MOST_THINGS},
            Thing,
        )

    def _found(
        self, question: Question, older_than: Place | None, newer_than: Place | None, size: int
    ) -> list[AuditRow]:
        topics = question.topics
        if not topics or question.things == ():
            return []
        direction = "ASC" if newer_than else "DESC"
        conditions, parameters = _conditions(question, older_than, newer_than)
        order = f"happened_at {direction}, position {direction}"
        if question.things is not None:
            source = f"SELECT * FROM audit_events WHERE aggregate_id = ANY(%(things)s) AND topic = ANY(%(topics)s){conditions}"  # noqa: S608
        else:
            source = (
                "SELECT part.* FROM unnest(%(topics)s::text[]) AS wanted (topic) CROSS JOIN LATERAL ("  # noqa: S608 - our own
                f"SELECT * FROM audit_events WHERE topic = wanted.topic{conditions} ORDER BY {order} LIMIT %(size)s) AS part"
            )
        return self._all(
            f"{_rows(f'({source} ORDER BY {order} LIMIT %(size)s)')}"
            f" ORDER BY event.happened_at {direction}, event.position {direction}",
            {**parameters, "topics": topics, "things": list(question.things or ()), "size": size},
            AuditRow,
        )


def _conditions(question: Question, older_than: Place | None, newer_than: Place | None) -> tuple[str, dict[str, Any]]:
    """What the indexes are asked, beside the type of fact."""
    asked: Sequence[tuple[str, str, Any]] = (
        ("actor = %(actor)s", "actor", question.actor),
        ("happened_at >= %(since)s", "since", question.since),
        ("happened_at < %(until)s", "until", question.until),
    )
    conditions = [condition for condition, _, value in asked if value is not None]
    parameters = {name: value for _, name, value in asked if value is not None}
    for place, comparison in ((older_than, "<"), (newer_than, ">")):
        if place is not None:
            conditions.append(f"(happened_at, position) {comparison} (%(moment)s, %(position)s)")
            parameters |= {"moment": place.moment, "position": place.position}
    return "".join(f" AND {condition}" for condition in conditions), parameters


_ONLY_BOOKKEEPING: frozenset[Kind | None] = frozenset(
    kind for kind, fact_types in kinds_told().items() if BOOKKEEPING.issuperset(fact_types)
)
"""Who asks for one of these kinds wants to see it."""
_THINGS = (
    "SELECT thing.aggregate_id, thing.kind, thing.name, coalesce(maker.in_charge, thing.owner) AS owner"
    " FROM audit_things AS thing LEFT JOIN users AS maker ON maker.user_id = thing.owner"
)


def _rows(events: str) -> str:
    """Lines of events that are given as a table or a subquery, with names."""
    return (
        "SELECT event.position, event.aggregate_id, event.version, event.kind, event.topic, event.actor, event.happened_at,"  # noqa: S608
        " event.request, event.told, coalesce(users.username, '') AS actor_name, coalesce(thing.name, '') AS name"
        f" FROM {events} AS event LEFT JOIN users ON users.user_id = event.actor"
        " LEFT JOIN audit_things AS thing ON thing.aggregate_id = event.aggregate_id"
    )
