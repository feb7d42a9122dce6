"""Proof that the log alone gives the read tables (E-2): replay it beside them, then compare every row.

The live tables are copied as they are at one moment, with the positions that they have reached; the log is replayed into other
tables up to those positions. So the service goes on meanwhile, and nothing of what it writes is compared with anything else.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from psycopg import Connection, IsolationLevel
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL, Composed, Identifier

from infra.advisory_locks import take_lock
from infra.connections import connect
from infra.event_store import EventLog
from infra.projector import Projector
from projections.read_model import SCHEMA, Artifacts, ReadModel

COPIED, REPLAYED = "read_copied", "read_replayed"
MOST_EXAMPLES = 3
_LOCK = 0x7265706C6179  # any number that no other program on the server uses


class ReplayIsRunning(RuntimeError):
    """Somebody else replays into the same tables."""


class ComparedTable(NamedTuple):
    """What replaying gave of one table. `lost` rows stand in the live table only, `new` ones in the replayed one only; `examples`
    are some of both.
    """

    name: str
    row_count: int
    lost: int
    new: int
    examples: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether every row is."""
        return not (self.lost or self.new)


class ComparedModel(NamedTuple):
    """What replaying gave of one read model. `problem` is why it could not be compared, empty where it was."""

    name: str
    position: int
    tables: tuple[ComparedTable, ...]
    problem: str = ""

    @property
    def is_same(self) -> bool:
        """Whether it was compared, and every row is the same."""
        return not self.problem and all(table.is_same for table in self.tables)


def verify_replay(
    log: EventLog,
    dsn: str,
    read_models: Iterable[type[ReadModel]],
    artifacts: Artifacts | None = None,
    *,
    schema: str = SCHEMA,
) -> list[ComparedModel]:
    """Replay the log beside the live tables and compare them. Takes as much room again on the disk, twice, until it returns.

    Raises:
        ReplayIsRunning
    """
    models = list(read_models)
    with connect(dsn, autocommit=True, row_factory=dict_row) as connection, _alone(connection):
        reached, problems = _copy(connection, models, schema)
        chosen = [model for model in models if model.name in reached]
        projector = Projector(log, dsn, chosen, artifacts, schema=REPLAYED)
        try:
            stopped = projector.replay(reached)
        finally:
            projector.close()
        return [
            ComparedModel(
                model.name,
                reached.get(model.name, 0),
                () if model.name in problems else tuple(_compared(connection, table.name) for table in model.tables),
                problems.get(model.name) or stopped.get(model.name, ""),
            )
            for model in models
        ]


def _copy(
    connection: Connection[DictRow], models: list[type[ReadModel]], schema: str
) -> tuple[Mapping[str, int], Mapping[str, str]]:
    """Copy the live tables of one moment; how far they are, and why some cannot be compared."""
    reached: dict[str, int] = {}
    problems: dict[str, str] = {}
    standing = connection.execute(SQL("SELECT unnest(tables) AS name FROM {}").format(Identifier(schema, "positions")))
    tables = [Identifier(schema, row["name"]) for row in standing.fetchall()]
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        # Before anything is read: a rebuild that takes its place now would bring rows that this moment does not see.
        connection.execute(SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(SQL(", ").join(tables)))
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(COPIED)))
        rows = connection.execute(SQL("SELECT * FROM {}").format(Identifier(schema, "positions"))).fetchall()
        stored = {row["name"]: row for row in rows}
        for model in models:
            row = stored.get(model.name)
            if row is None or row["definition"] != model.definition():
                problems[model.name] = "its tables are those of another release; they are being rebuilt"
            elif row["problem"]:
                problems[model.name] = row["problem"]
            else:
                reached[model.name] = row["position"]
                for table in model.tables:
                    connection.execute(
                        SQL("CREATE UNLOGGED TABLE {} AS TABLE {}").format(
                            Identifier(COPIED, table.name), Identifier(schema, table.name)
                        )
                    )
    connection.isolation_level = None
    return reached, problems


def _compared(connection: Connection[DictRow], table: str) -> ComparedTable:
    """Rows are compared as they are written; two that are the same twice count twice."""
    copied, replayed = Identifier(COPIED, table), Identifier(REPLAYED, table)
    counted = connection.execute(SQL("SELECT count(*) AS found FROM {}").format(copied)).fetchone()
    assert counted is not None
    lost, lost_rows = _only_in(connection, copied, replayed)
    new, new_rows = _only_in(connection, replayed, copied)
    examples = [f"only live: {row}" for row in lost_rows] + [f"only replayed: {row}" for row in new_rows]
    return ComparedTable(table, counted["found"], lost, new, tuple(examples))


def _only_in(connection: Connection[DictRow], here: Identifier, there: Identifier) -> tuple[int, list[str]]:
    difference: Composed = SQL(
        "SELECT one::text AS line FROM {} AS one EXCEPT ALL SELECT one::text FROM {} AS one"
    ).format(here, there)
    rows = connection.execute(
        SQL("WITH found AS ({}) SELECT line, (SELECT count(*) FROM found) AS found FROM found LIMIT %s").format(
            difference
        ),
        (MOST_EXAMPLES,),
    ).fetchall()
    return (rows[0]["found"], [row["line"] for row in rows]) if rows else (0, [])


@contextmanager
def _alone(connection: Connection[DictRow]) -> Iterator[None]:
    """Nobody else replays meanwhile; what a killed replay left is gone before, what this one leaves afterwards."""
    if not take_lock(connection, _LOCK):
        raise ReplayIsRunning("another replay is running")
    try:
        _drop(connection)
        yield
    finally:
        _drop(connection)
        connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _drop(connection: Connection[DictRow]) -> None:
    for schema in (COPIED, REPLAYED, f"{REPLAYED}_rebuilding"):
        connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))
