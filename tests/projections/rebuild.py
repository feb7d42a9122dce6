"""Proof that read tables need no migration: the log alone gives the same rows (E-2)."""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from infra.event_store import EventLog
from infra.projector import Projector
from projections.read_model import SCHEMA, Artifacts, ReadModel

REBUILT = "read_rebuilt"

Tables = Mapping[str, list[dict[str, Any]]]


def assert_rebuild_equals_live(
    log: EventLog,
    database: str,
    read_models: Iterable[type[ReadModel]],
    artifacts: Artifacts | None = None,
    *,
    batch: int = 1_000,
) -> Tables:
    """Replay the whole log into tables of their own and compare every row with the live ones; returns the rows by table.

    The live tables must have taken in the whole log. `batch` may differ from the live one's, as it does in a rebuild.
    """
    models = list(read_models)
    rebuilt = Projector(log, database, models, artifacts, schema=REBUILT, batch=batch)
    rebuilt.drain()
    rebuilt.close()
    live_tables, rebuilt_tables = (tables_of(database, models, schema) for schema in (SCHEMA, REBUILT))
    assert rebuilt_tables == live_tables
    with psycopg.connect(database, autocommit=True) as connection:
        for schema in (REBUILT, f"{REBUILT}_rebuilding"):
            connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(schema)))
    return live_tables


def tables_of(database: str, read_models: Iterable[type[ReadModel]], schema: str = SCHEMA) -> Tables:
    """Every row of every table, in the order of its key."""
    with psycopg.connect(database, row_factory=dict_row) as connection:
        return {
            table.name: connection.execute(
                SQL("SELECT * FROM {} ORDER BY {}").format(
                    Identifier(schema, table.name), SQL(", ").join(map(Identifier, table.key))
                )
            ).fetchall()
            for model in read_models
            for table in model.tables
        }
