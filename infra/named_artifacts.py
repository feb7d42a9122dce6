"""The files that the log of one moment names, read from the log itself: a backup must not depend on a read model that lags."""

from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from psycopg import Connection

from domain.artifact_references import EVERYTHING, artifacts_in, concerns_artifacts, number_named_by, release_by
from domain.artifacts import Artifact
from domain.facts import FACTS, Recorded
from infra.event_store import FactMapper

READ_AT_ONCE = 2_000
_TOPICS_SEEN = """
WITH named AS (
    SELECT notification_id, concat_ws(' ', originator_id, originator_version, topic, encode(sha256(state), 'hex')) AS event
    FROM public.assay_events
    WHERE notification_id IN ((SELECT max(notification_id) FROM public.assay_events), (SELECT position FROM app.topics_seen))
)
SELECT newest.notification_id, newest.event, coalesce(seen.position, 0), coalesce(seen.topics, '{}')
FROM (SELECT * FROM named ORDER BY notification_id DESC LIMIT 1) AS newest LEFT JOIN (
    app.topics_seen AS seen JOIN named ON named.notification_id = seen.position AND named.event = seen.event
) ON true
"""
_TOPICS_BETWEEN = """
SELECT DISTINCT topic FROM public.assay_events WHERE notification_id > %s AND notification_id <= %s
"""
_REMEMBER = """
INSERT INTO app.topics_seen (position, event, topics) VALUES (%s, %s, %s)
ON CONFLICT (only_row) DO UPDATE SET position = excluded.position, event = excluded.event, topics = excluded.topics
"""


class UnknownFacts(Exception):
    """The log holds facts that this release does not know, and what they name neither; the text says what to do."""


class NamedArtifacts:
    """What some facts name, and what of it something that stands refers to."""

    def __init__(self) -> None:
        self.named: dict[str, Artifact] = {}
        self._standing: dict[UUID, set[tuple[int | None, str]]] = {}

    def take_in(self, recorded: Recorded) -> None:
        """The next fact of the log."""
        fact, originator_id = recorded.data, recorded.originator_id
        for artifact in artifacts_in(fact):
            self.named[artifact.checksum] = artifact
            self._standing.setdefault(originator_id, set()).add((number_named_by(fact), artifact.checksum))
        released = release_by(fact)
        if released == EVERYTHING:
            self._standing.pop(originator_id, None)
        elif released is not None:
            standing = self._standing.get(originator_id, set())
            self._standing[originator_id] = {one for one in standing if one[0] != released.number}

    def referred(self) -> set[str]:
        """The checksums that must be on the storage."""
        return {checksum for standing in self._standing.values() for _, checksum in standing}


def refuse_unknown_facts(connection: Connection[Any]) -> None:
    """Whoever cannot read the whole log would show a part of it as if it were all. What was looked through once is not again.

    Raises:
        UnknownFacts
    """
    _refuse_unknown(_topics_seen(connection))


def _topics_seen(connection: Connection[Any]) -> set[str]:
    """The topics of the log to its end.

    What is remembered are they, not what some release made of them, together with the event up to which they are all: so it
    holds for every release, and for no other log that was put in this one's place.
    """
    row = connection.execute(_TOPICS_SEEN).fetchone()
    if row is None:
        return set()
    upto, event, after, topics = row[0], row[1], row[2], set(row[3])
    if after < upto:
        topics |= {topic for (topic,) in connection.execute(_TOPICS_BETWEEN, (after, upto)).fetchall()}
        connection.execute(_REMEMBER, (upto, event, sorted(topics)))
    return topics


def _refuse_unknown(topics: set[str]) -> None:
    if unknown := sorted(topics - set(FACTS)):
        raise UnknownFacts(
            f"This release does not know {', '.join(unknown)}: a newer one wrote them. Use that one, or restore the backup from"
            " before it."
        )


def named_in_log(connection: Connection[Any]) -> NamedArtifacts:
    """Of the log as `connection` sees it, which must be inside a transaction.

    Raises:
        UnknownFacts
    """
    mapper = FactMapper()
    _refuse_unknown({row[0] for row in connection.execute("SELECT DISTINCT topic FROM public.assay_events").fetchall()})
    found = NamedArtifacts()
    for stored in _stored(connection, [topic for topic, fact in FACTS.items() if concerns_artifacts(fact)]):
        found.take_in(cast("Recorded", mapper.to_domain_event(stored)))
    return found


def _stored(connection: Connection[Any], topics: list[str]) -> Iterator[StoredEvent]:
    with connection.cursor(name="facts_about_files") as cursor:
        cursor.itersize = READ_AT_ONCE
        cursor.execute(
            "SELECT originator_id, originator_version, topic, state FROM public.assay_events WHERE topic = ANY(%s)"
            " ORDER BY notification_id",
            (topics,),
        )
        for originator_id, version, topic, state in cursor:
            yield StoredEvent(originator_id, version, topic, bytes(state))
