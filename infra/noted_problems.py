"""The last problem of a process that only waits for others, kept where a page can show it."""

import contextlib
from typing import LiteralString

import psycopg
from psycopg import sql

LONGEST_PROBLEM = 500


def note_problem(dsn: str, table: LiteralString, error: Exception) -> None:
    """Overwrite the problem in the only row of a table of `app`; nothing happens while the database is the problem."""
    name = type(error).__name__
    told = f"{name}: {str(error).removeprefix(f'{name}: ')}".rstrip(": ").replace("\0", "")[:LONGEST_PROBLEM]
    statement = sql.SQL(
        "INSERT INTO {} (problem, problem_at) VALUES (%s, clock_timestamp())"
        " ON CONFLICT (only_row) DO UPDATE SET problem = excluded.problem, problem_at = excluded.problem_at"
    ).format(sql.Identifier("app", table))
    with contextlib.suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True, connect_timeout=2) as connection:
        connection.execute(statement, (told,))
