"""Whether workers on Kafka can be heard at all: a worker is silent only where somebody listens.

The relay notes each partition up to whose end it has come. While the brokers, or the relay, are away nobody is called silent;
afterwards everybody has the whole time again to be heard.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import Connection
from psycopg.rows import DictRow

if TYPE_CHECKING:  # the dispatcher asks here, too, with Kafka and without
    from kafka import TopicPartition

BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)
"""Since when workers are heard that write into the database themselves."""
DEAF_AFTER_SECONDS = 3.0
"""The relay looks every second; this is longer than a busy turn, and shorter than any silence that counts."""


def expect(connection: Connection[DictRow], partitions: Collection["TopicPartition"]) -> None:
    """From now on workers are heard on these partitions and no others."""
    known = [(one.topic, one.partition) for one in partitions]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO app.listening (topic, partition) VALUES (%s, %s) ON CONFLICT DO NOTHING", sorted(known)
        )
        cursor.execute("DELETE FROM app.listening WHERE topic <> ALL(%s)", (sorted({topic for topic, _ in known}),))


def note_heard(connection: Connection[DictRow], partitions: Collection["TopicPartition"]) -> None:
    """Everything that had been said on these partitions a moment ago was heard."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE app.listening SET heard_at = clock_timestamp(), since = CASE"
            " WHEN heard_at < clock_timestamp() - make_interval(secs => %s) THEN clock_timestamp() ELSE since END"
            " WHERE topic = %s AND partition = %s",
            [(DEAF_AFTER_SECONDS, one.topic, one.partition) for one in sorted(partitions)],
        )


def note_behind(connection: Connection[DictRow], behind: Mapping["TopicPartition", int]) -> None:
    """So many messages lie on each of these partitions that are not taken in."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE app.listening SET behind = %s, looked_at = clock_timestamp() WHERE topic = %s AND partition = %s",
            [(count, one.topic, one.partition) for one, count in sorted(behind.items())],
        )


def listening_since(connection: Connection[DictRow]) -> datetime | None:
    """Since when all workers are heard without a gap; None while they are not."""
    row = connection.execute(
        "SELECT max(since) AS since FROM app.listening"
        " HAVING min(heard_at) > clock_timestamp() - make_interval(secs => %s)",
        (DEAF_AFTER_SECONDS,),
    ).fetchone()
    return row["since"] if row else None
