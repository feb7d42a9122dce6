"""Connections to the database: the only place that opens them.

A network that is cut says nothing: whoever waits for an answer over it waits until the system gives up, for hours. So both ends
are told to look often whether the other is still there, and who has waited long for an answer asks over a second connection
whether the server still works on it. A statement may take as long as it takes; nobody waits for one that nobody works on.

What an administrator wrote into the address goes before all of this.
"""

import contextlib
import logging
import select
import threading
import time
from collections.abc import Generator
from functools import lru_cache, partial
from typing import Any, Final, Self, TypeAlias, TypeVar, overload

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, Row, RowFactory, TupleRow, dict_row, tuple_row
from psycopg_pool import ConnectionPool

from projections.read_model import SCHEMA, Pool, use_schema

log = logging.getLogger(__name__)

ASKS_AFTER_SECONDS: Final = 5.0
"""Nearly every statement is answered sooner, so that hardly anybody asks."""
SUSPECTS_AFTER_SECONDS: Final = 0.5
"""As before, on a connection from before a moment at which another one was found cut: it is probably cut, too."""
ANSWERS_WITHIN_SECONDS: Final = 5
"""A server that does not answer a new client so soon is away."""

LIMITS: Final = {
    "connect_timeout": 2,  # seconds; a server on the same network answers in milliseconds
    "keepalives_idle": 5,  # seconds without a word until the system asks whether the other end is there
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds; longer than a machine takes to move to another host
}
SERVERS_LIMITS: Final = (
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3 -c tcp_user_timeout=10000"
)
"""The same for the server: it holds the locks of a client that it believes to be there, and with them whoever could take over."""

_WORKING: Final = {"active", "fastpath function call", "disabled", None}
"""What the server calls a session that it works for; it may have been told not to say."""

Result = TypeVar("Result")
Columns = TypeVar("Columns")
_Waits: TypeAlias = Generator[Any, Any, Result]


class DatabaseConnection(Connection[Row]):
    """A connection that notices when nobody answers any more. It then breaks, as if the server had ended it."""

    _address = ""
    _opened_at = 0.0

    @classmethod
    def connect(cls, conninfo: str = "", **settings: Any) -> Self:
        """As psycopg's, within the limits."""
        address = with_limits(conninfo)
        connection = super().connect(address, **settings)
        connection._address, connection._opened_at = address, time.monotonic()  # noqa: SLF001 - our own
        CUT.end_sessions(connection, address)
        return connection

    def wait(self, gen: _Waits[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        """As psycopg's, which every statement goes through; who waits for a certain time only is left alone."""
        return super().wait(gen if timeout is not None else self._asking(gen), interval, timeout)

    def _asking(self, gen: _Waits[Result]) -> _Waits[Result]:
        """Between two answers, see that there is somebody to wait for."""
        heard_at = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at >= self._patience():
                    self._give_up_unless_answered()
                    heard_at = time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as end:
            result: Result = end.value
            return result

    def _patience(self) -> float:
        is_suspect = self._opened_at < CUT.noticed_at(self._address)
        return SUSPECTS_AFTER_SECONDS if is_suspect else ASKS_AFTER_SECONDS

    def _give_up_unless_answered(self) -> None:
        process = self.pgconn.backend_pid
        try:
            with _Question.connect(self._address, autocommit=True, connect_timeout=ANSWERS_WITHIN_SECONDS) as question:
                row = question.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (process,)).fetchone()
            if row is not None and row[0] in _WORKING:
                return
            if select.select([self.pgconn.socket], [], [], 1.0)[0]:
                return  # the answer was on its way
            problem = "the server waits for us, and we for it"
        except psycopg.OperationalError as error:
            problem = f"a new client is not answered: {error}"
        CUT.note(self._address, process, self._opened_at)
        self.close()
        log.warning("database_does_not_answer", extra={"problem": problem})
        raise psycopg.OperationalError(f"the database does not answer any more; {problem}")


class _Question(Connection[TupleRow]):
    """A connection for one question that is answered soon or not at all."""

    def wait(self, gen: _Waits[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        return super().wait(gen, interval, ANSWERS_WITHIN_SECONDS if timeout is None else timeout)


class CutConnections:
    """What was found cut. The server may believe in such a session for as long as what lies between keeps it up, with its locks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noticed_at: dict[str, float] = {}
        self._sessions: dict[str, dict[int, float]] = {}

    def noticed_at(self, address: str) -> float:
        """When a connection to this server was last found cut."""
        return self._noticed_at.get(address, 0.0)

    def note(self, address: str, process: int, opened_at: float) -> None:
        """A connection of ours to the server's `process` is given up."""
        with self._lock:
            self._noticed_at[address] = time.monotonic()
            self._sessions.setdefault(address, {})[process] = opened_at

    def end_sessions(self, connection: Connection[Any], address: str) -> None:
        """End what was given up. A process that is younger than our connection was is somebody else's by now."""
        with self._lock:
            sessions = self._sessions.pop(address, {})
        if not sessions:
            return
        now = time.monotonic()
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid)"
                " FROM unnest(%s::int[], %s::float[]) AS given_up (process, age) JOIN pg_stat_activity ON pid = process"
                " WHERE usename = current_user AND clock_timestamp() - backend_start >= make_interval(secs => age)",
                (list(sessions), [now - opened_at for opened_at in sessions.values()]),
            )
            connection.commit()
        except psycopg.Error:
            with self._lock:
                self._sessions.setdefault(address, {}).update(sessions)
            with contextlib.suppress(psycopg.Error):
                connection.rollback()


CUT: Final = CutConnections()


@overload
def connect(dsn: str, *, autocommit: bool = False) -> Connection[TupleRow]: ...
@overload
def connect(dsn: str, *, autocommit: bool = False, row_factory: RowFactory[Columns]) -> Connection[Columns]: ...
def connect(dsn: str, *, autocommit: bool = False, row_factory: RowFactory[Any] = tuple_row) -> Connection[Any]:
    """A connection of one's own."""
    return DatabaseConnection[Any].connect(dsn, autocommit=autocommit, row_factory=row_factory)


def open_pool(dsn: str, *, schema: str = SCHEMA, size: int = 4) -> Pool:
    """Connections for queries: times in UTC, tables of `schema` without naming it. A connection that a restart of the
    database broke is replaced before it is used.
    """
    return ConnectionPool(
        dsn,
        connection_class=DatabaseConnection[DictRow],
        kwargs={"row_factory": dict_row, "autocommit": True},
        min_size=1,
        max_size=size,
        timeout=5,
        configure=partial(use_schema, schema=schema),
        check=ConnectionPool.check_connection,
        open=True,
    )


@lru_cache
def with_limits(dsn: str) -> str:
    """The address with a limit for each wait that it sets none for."""
    chosen = conninfo_to_dict(dsn)
    missing = {name: limit for name, limit in LIMITS.items() if name not in chosen}
    # Of two options that say the same the server takes the last.
    return make_conninfo(dsn, **missing, options=f"{SERVERS_LIMITS} {chosen.get('options') or ''}".rstrip())
