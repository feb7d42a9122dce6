"""Who follows the log, how far each is, and how long it has left behind what it has not taken in."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from psycopg import Connection
from psycopg.rows import class_row

FOLLOWING: Mapping[str, str] = MappingProxyType(
    {
        "projector": "SELECT name, position, problem IS NOT NULL AS is_stopped FROM read.positions",
        "dispatcher": "SELECT 'dispatcher' AS name, coalesce((SELECT position FROM app.dispatcher), 0) AS position",
        "notary": "SELECT 'notary' AS name, coalesce((SELECT max(position) FROM app.chain), 0) AS position",
        "feed": "SELECT 'feed' AS name, coalesce((SELECT position FROM app.feed), 0) AS position",
    }
)
"""Where each process keeps how far it is; the projector for each of its read models."""


class Follower(msgspec.Struct, frozen=True, kw_only=True):
    """`behind_seconds` is the age of the oldest event that it has not taken in, 0 where there is none; `is_stopped` where it stands
    before an event that it cannot take.
    """

    name: str
    position: int
    behind_seconds: float
    is_stopped: bool = False


def followers_of(connection: Connection[Any], process: str) -> list[Follower]:
    """The followers that a process moves, by name.

    Raises:
        UndefinedTable: it has never run.
    """
    with connection.cursor(row_factory=class_row(Follower)) as cursor:
        return cursor.execute(
            "SELECT followers.*, greatest(coalesce((SELECT extract(epoch FROM clock_timestamp() - recorded_at)"  # noqa: S608 - ours
            " FROM public.assay_events WHERE notification_id > position ORDER BY notification_id LIMIT 1), 0), 0)::float"
            f" AS behind_seconds FROM ({FOLLOWING[process]}) AS followers ORDER BY name"
        ).fetchall()
