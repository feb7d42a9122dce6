"""Unfinished forms of the wizards, one a person and kind. Not in the log: nobody has decided anything yet."""

from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg_pool import ConnectionPool


class Drafts:
    """Drafts in the database, so that they outlive the browser and the server."""

    def __init__(self, pool: ConnectionPool[Connection[DictRow]]) -> None:
        self._pool = pool

    def load(self, user_id: UUID, kind: str) -> bytes | None:
        """What was saved last, None where there is no draft."""
        with self._pool.connection() as connection:
            row = connection.execute(
                "SELECT content FROM app.drafts WHERE user_id = %s AND kind = %s", (user_id, kind)
            ).fetchone()
        return bytes(row["content"]) if row else None

    def save(self, user_id: UUID, kind: str, content: bytes) -> None:
        """Keep a draft in place of the one before."""
        with self._pool.connection() as connection:
            connection.execute(
                "INSERT INTO app.drafts (user_id, kind, content) VALUES (%s, %s, %s)"
                " ON CONFLICT (user_id, kind) DO UPDATE SET content = excluded.content, saved_at = clock_timestamp()",
                (user_id, kind, content),
            )

    def drop(self, user_id: UUID, kind: str) -> None:
        """Forget a draft."""
        with self._pool.connection() as connection:
            connection.execute("DELETE FROM app.drafts WHERE user_id = %s AND kind = %s", (user_id, kind))

    def drop_all(self, user_id: UUID) -> None:
        """Forget every draft of a user who is deleted."""
        with self._pool.connection() as connection:
            connection.execute("DELETE FROM app.drafts WHERE user_id = %s", (user_id,))
