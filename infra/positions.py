"""Waiting for a position: for the read models after an action, or for the log to grow.

One thread for each process listens; who waits is woken within a millisecond of the commit that was waited for.
"""

import contextlib
import logging
import threading
import time

import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier

from infra.connections import connect
from projections.read_model import SCHEMA

log = logging.getLogger(__name__)

FALLBACK_SECONDS = 0.25
"""How often the table is asked while somebody waits: a notification may be lost, a page should not be."""
STOP_SECONDS = 0.25
"""How soon the thread notices that it is to end."""
PAUSE_SECONDS = 0.5
"""Between attempts to reach the database."""


def progress_channel(schema: str = SCHEMA) -> str:
    """Where the projector says which position every read model has reached."""
    return f"{schema}_progress"


class _Watcher:
    """Follows a position that others move: by notifications on `channel`, at need by `query`."""

    def __init__(self, dsn: str, channel: str, query: Composed) -> None:
        self._dsn, self._channel, self._query = dsn, channel, query
        self._reached = 0
        self._waiting = 0
        self._moved = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._watch, name=f"watch {channel}", daemon=True)
        self._thread.start()

    @property
    def reached(self) -> int:
        """The last position heard of."""
        return self._reached

    def wait(self, position: int, timeout: float = 5.0) -> None:
        """Return as soon as `position` is reached.

        Raises:
            TimeoutError: it is not after `timeout` seconds.
        """
        if self._reached >= position:
            return
        with self._moved:
            self._waiting += 1
            try:
                if not self._moved.wait_for(lambda: self._reached >= position or self._closing, timeout):
                    raise TimeoutError(f"{self._channel}: position {position} is not reached, but {self._reached}")
            finally:
                self._waiting -= 1

    def close(self) -> None:
        """End the thread; who still waits is let go."""
        with self._moved:
            self._closing = True
            self._moved.notify_all()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closing:
            try:
                with connect(self._dsn, autocommit=True) as connection:
                    self._follow(connection)
            except psycopg.Error as error:
                log.warning("watcher_lost_database", extra={"channel": self._channel, "problem": str(error)})
                self._pause()
            except Exception:  # the edge of a thread for which every page would wait in vain
                log.exception("watcher_failed", extra={"channel": self._channel})
                self._pause()

    def _pause(self) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self._closing, PAUSE_SECONDS)

    def _follow(self, connection: Connection[tuple[int | None]]) -> None:
        connection.execute(SQL("LISTEN {}").format(Identifier(self._channel)))
        self._tell(self._ask(connection))
        asked_at = time.monotonic()
        while not self._closing:
            heard = list(connection.notifies(timeout=min(STOP_SECONDS, FALLBACK_SECONDS), stop_after=1))
            told = [int(notification.payload) for notification in heard if notification.payload]
            if told:
                self._tell(max(told))
            elif heard or (self._waiting and time.monotonic() - asked_at >= FALLBACK_SECONDS):
                self._tell(self._ask(connection))
                asked_at = time.monotonic()

    def _ask(self, connection: Connection[tuple[int | None]]) -> int:
        with contextlib.suppress(psycopg.errors.UndefinedTable):  # no projector has ever run
            row = connection.execute(self._query).fetchone()
            return (row[0] if row else None) or 0
        return 0

    def _tell(self, position: int) -> None:
        if position != self._reached:
            with self._moved:
                self._reached = position
                self._moved.notify_all()


class PositionWatcher(_Watcher):
    """Waits until every read model has reached a position. One that stopped at an event is not waited for."""

    def __init__(self, dsn: str, *, schema: str = SCHEMA) -> None:
        query = SQL("SELECT min(position) FROM {} WHERE problem IS NULL").format(Identifier(schema, "positions"))
        super().__init__(dsn, progress_channel(schema), query)


class LogWatcher(_Watcher):
    """Waits until the log has grown: a follower at position n waits for n + 1."""

    def __init__(self, dsn: str) -> None:
        super().__init__(
            dsn, "assay_events", SQL("SELECT max(notification_id) FROM {}").format(Identifier("assay_events"))
        )
