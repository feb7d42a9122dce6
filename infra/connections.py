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
from psycopg.rows import Row, RowFactory, TupleRow, dict_row, tuple_row
from psycopg_pool import ConnectionPool

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
    return ConnectionPool(
        with_limits(dsn),
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
