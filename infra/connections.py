"""Connections to the database: the only place that opens them.

A network that is cut says nothing: whoever waits for an answer over it waits until the system gives up, for hours, and the server
goes on believing in the session and in its locks. So both ends are told to look every few seconds whether the other is there.
What an administrator wrote into the address goes before all of this.
"""

from functools import lru_cache, partial
from typing import Any, Final, overload

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, Row, RowFactory, TupleRow, dict_row, tuple_row
from psycopg_pool import ConnectionPool, PoolTimeout

from projections.read_model import SCHEMA, Pool, use_schema

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

POOL_PATIENCE_SECONDS = 5.0
"""How long a query waits for a connection: longer than a database takes that is only busy."""
PATIENCE_WHILE_AWAY_SECONDS = 0.25
"""The same once a wait was in vain: longer than connecting takes, and short enough that those who ask cannot hold up each other."""
RECONNECT_SECONDS = 5.0
"""How long a pool goes on trying to connect by itself. Its pauses double each time (psycopg_pool 3.3), by default up to minutes, so
that it would come back as late again as the database had been away; after this whoever asks next makes it try anew.
"""
_SAYS_IT_IS_AWAY = ("08", "57P", "53300")
"""What SQLSTATEs of a server begin with that is there no more, or not yet, or for nobody else."""


@overload
def connect(dsn: str, *, autocommit: bool = False) -> Connection[TupleRow]: ...
@overload
def connect(dsn: str, *, autocommit: bool = False, row_factory: RowFactory[Row]) -> Connection[Row]: ...
def connect(dsn: str, *, autocommit: bool = False, row_factory: RowFactory[Any] = tuple_row) -> Connection[Any]:
    """A connection of one's own."""
    return psycopg.connect(with_limits(dsn), autocommit=autocommit, row_factory=row_factory)


def open_pool(dsn: str, *, schema: str = SCHEMA, size: int = 4) -> Pool:
    """Connections for queries: times in UTC, tables of `schema` without naming it. A connection that a restart of the
    database broke is replaced before it is used.
    """
    return _Connections(
        with_limits(dsn),
        kwargs={"row_factory": dict_row, "autocommit": True},
        min_size=1,
        max_size=size,
        timeout=POOL_PATIENCE_SECONDS,
        reconnect_timeout=RECONNECT_SECONDS,
        configure=partial(use_schema, schema=schema),
        check=ConnectionPool.check_connection,
        open=True,
    )


class _Connections(ConnectionPool[Connection[DictRow]]):
    """A pool that once it waited in vain makes nobody wait long, until a connection is to be had again."""

    _is_away = False

    def getconn(self, timeout: float | None = None) -> Connection[DictRow]:
        if timeout is None and self._is_away:
            timeout = PATIENCE_WHILE_AWAY_SECONDS
        try:
            connection = super().getconn(timeout)
        except PoolTimeout:
            self._is_away = True
            raise
        self._is_away = False
        return connection


def is_away(error: BaseException) -> bool:
    """Whether an error, or what led to it, says that the database does not answer, and not that it refuses something."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, psycopg.Error):
        cause = cause.__cause__
    if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_SAYS_IT_IS_AWAY)


@lru_cache
def with_limits(dsn: str) -> str:
    """The address with a limit for each wait that it sets none for."""
    chosen = conninfo_to_dict(dsn)
    missing = {name: limit for name, limit in LIMITS.items() if name not in chosen}
    # Of two options that say the same the server takes the last.
    return make_conninfo(dsn, **missing, options=f"{SERVERS_LIMITS} {chosen.get('options') or ''}".rstrip())
