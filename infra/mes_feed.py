"""The feed: every public event on a topic of Kafka, for the factory's other systems. Source: REQUIREMENTS, K-1, K-3.

The log is the outbox. The feed reads it, sends what is public, waits until the brokers have all of it, and only then moves its
position, which lies in the database. So a crash at whatever moment sends some events again and leaves out none; an event that is
sent again has the same id. Events are keyed by aggregate, so that those of one aggregate lie in one partition, in their order.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import psycopg
from eventsourcing.persistence import InterfaceError, MapperDeserialisationError, OperationalError
from kafka.errors import KafkaError
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from domain.public_events import PublicEvent, public_events
from infra.advisory_locks import take_lock
from infra.connections import connect
from infra.event_store import EventLog
from infra.kafka import Kafka, Topic
from infra.noted_problems import note_problem
from infra.positions import LogWatcher

log = logging.getLogger(__name__)

MOST_BYTES = 32 << 20
"""A dataset may be made with thousands of data paths, and all of them stand in one event."""
EVENTS = Topic("events", partitions=8, kept_hours=30 * 24, most_bytes=MOST_BYTES)
"""To the factory: public events as CloudEvents. Keyed by aggregate."""
BATCH = 500
PAUSE_SECONDS = 1.0
DELIVERY_SECONDS = 30.0
"""How long the feed waits for the brokers to have a batch before it begins anew from its position."""
LOOKED_EVERY_SECONDS = 10
"""How often it is noted that there was nothing to send."""
CONTENT_TYPE: Final = b"application/cloudevents+json; charset=UTF-8"
_LEADER_LOCK = 0x46656564  # any number that no other program on the server uses
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError, KafkaError, TimeoutError)
_STUCK = (*_AWAY, MapperDeserialisationError)
"""Also a fact that only a newer release knows: nothing is passed over, so the feed waits for that release."""


class MesFeed:
    """One feed works at a time; others wait to take over."""

    def __init__(self, kafka: Kafka, event_log: EventLog, dsn: str) -> None:
        self._kafka, self._log, self._dsn = kafka, event_log, dsn

    def run(self, stop: threading.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop`; brokers and a database that are away are waited for."""
        ready()
        watcher = LogWatcher(self._dsn)
        try:
            while not stop.is_set():
                try:
                    self._lead(watcher, stop)
                except _STUCK as error:
                    log.warning("feed_is_held_up", exc_info=True)
                    note_problem(self._dsn, "feed", error)
                    stop.wait(PAUSE_SECONDS)
        finally:
            watcher.close()

    def _lead(self, watcher: LogWatcher, stop: threading.Event) -> None:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(connect(self._dsn, autocommit=True, row_factory=dict_row))
            while not take_lock(connection, _LEADER_LOCK):
                if stop.wait(PAUSE_SECONDS):
                    return
            self._kafka.make_topics((EVENTS,))
            producer = self._kafka.producer(max_request_size=MOST_BYTES)
            stack.callback(producer.close, timeout=PAUSE_SECONDS)
            position = position_of(connection)
            while not stop.is_set():
                position = self.follow(connection, producer, position)
                with contextlib.suppress(TimeoutError):
                    watcher.wait(position + 1, timeout=PAUSE_SECONDS)

    def follow(self, connection: Connection[DictRow], producer: Any, position: int) -> int:
        """Send the public events of the next batch behind `position`; returns how far the brokers have everything.

        Raises:
            KafkaError, TimeoutError: they do not have all of it; the position stays.
        """
        events = self._log.read(position, BATCH)
        if not events:
            connection.execute(
                "UPDATE app.feed SET looked_at = clock_timestamp() WHERE looked_at IS NULL OR looked_at < problem_at"
                " OR looked_at < clock_timestamp() - make_interval(secs => %s)",
                (LOOKED_EVERY_SECONDS,),
            )
            return position
        sent = public_events(events)
        self._send(producer, sent)
        reached = events[-1][0]
        moved = connection.execute(
            "UPDATE app.feed SET position = %s, sent_count = sent_count + %s, looked_at = clock_timestamp(),"
            " sent_at = CASE WHEN %s > 0 THEN clock_timestamp() ELSE sent_at END WHERE position = %s",
            (reached, len(sent), len(sent), position),
        )
        if moved.rowcount == 0:
            raise TimeoutError("another feed has moved on meanwhile")
        return reached

    def _send(self, producer: Any, events: Sequence[PublicEvent]) -> None:
        topic = self._kafka.topic(EVENTS)
        futures = [
            producer.send(
                topic,
                key=event.subject.encode(),
                value=msgspec.json.encode(event),
                headers=[("content-type", CONTENT_TYPE)],
            )
            for event in events
        ]
        producer.flush(timeout=DELIVERY_SECONDS)
        for future in futures:
            future.get(timeout=DELIVERY_SECONDS)


def position_of(connection: Connection[DictRow]) -> int:
    """How far the brokers have everything; the first feed begins at the beginning of the log."""
    connection.execute("INSERT INTO app.feed DEFAULT VALUES ON CONFLICT DO NOTHING")
    row = connection.execute("SELECT position FROM app.feed").fetchone()
    return int(row["position"]) if row else 0
