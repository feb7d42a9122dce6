"""Locks of the database that a connection holds until it ends, however it ends: of several processes one leads, the others wait."""

from typing import Any

from psycopg import Connection
from psycopg.rows import scalar_row


def take_lock(connection: Connection[Any], lock: int) -> bool:
    """Whether this connection holds the lock now; asking again is allowed. `lock` is a number that nothing else there uses."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute("SELECT pg_try_advisory_lock(%s)", (lock,)).fetchone())
