"""Problems that nobody can be asked about at the moment, kept where a page can show them."""

import contextlib
from typing import LiteralString

import psycopg
from psycopg import sql

from infra.connections import connect

LONGEST_PROBLEM = 500


def as_problem(error: Exception, longest: int = LONGEST_PROBLEM) -> str:
    """An error as a page shows it and a table can hold it; some say their name themselves, some say nothing else."""
    name = type(error).__name__
    return f"{name}: {str(error).removeprefix(f'{name}: ')}".rstrip(": ").replace("\0", "")[:longest]


def note_problem(dsn: str, table: LiteralString, error: Exception) -> None:
    """Overwrite the problem in the only row of a table of `app`; nothing happens while the database is the problem."""
    statement = sql.SQL(
        "INSERT INTO {} (problem, problem_at) VALUES (%s, clock_timestamp())"
        " ON CONFLICT (only_row) DO UPDATE SET problem = excluded.problem, problem_at = excluded.problem_at"
    ).format(sql.Identifier("app", table))
    with contextlib.suppress(psycopg.Error), connect(dsn, autocommit=True) as connection:
        connection.execute(statement, (as_problem(error),))
