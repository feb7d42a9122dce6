"""Sessions in the database, so that every web process knows them and a restart signs nobody out."""

from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg_pool import ConnectionPool

from web.sessions import IDLE_SECONDS, LONGEST_SECONDS, Session, new_session_id, session_key

RENEW_SECONDS = 60
"""A session's last use is noted at most this often, so that reading pages writes next to nothing."""


class SessionStore:
    """The table `app.sessions`. Only a hash of the id is kept, so that a stolen table opens no session."""

    def __init__(self, pool: ConnectionPool[Connection[DictRow]]) -> None:
        self._pool = pool

    def open(self, session: Session) -> str:
        """Keep a session; those that are too old go."""
        session_id = new_session_id()
        with self._pool.connection() as connection:
            connection.execute(
                "DELETE FROM app.sessions WHERE seen_at < clock_timestamp() - make_interval(secs => %s)"
                " OR opened_at < clock_timestamp() - make_interval(secs => %s)",
                (IDLE_SECONDS, LONGEST_SECONDS),
            )
            connection.execute(
                "INSERT INTO app.sessions (session_key, user_id, epoch) VALUES (%s, %s, %s)",
                (session_key(session_id), session.user_id, session.epoch),
            )
        return session_id

    def find(self, session_id: str) -> Session | None:
        """The session, if it is not too old."""
        with self._pool.connection() as connection:
            row = connection.execute(
                "SELECT user_id, epoch, seen_at < clock_timestamp() - make_interval(secs => %s) AS is_to_renew"
                " FROM app.sessions WHERE session_key = %s"
                " AND seen_at >= clock_timestamp() - make_interval(secs => %s)"
                " AND opened_at >= clock_timestamp() - make_interval(secs => %s)",
                (RENEW_SECONDS, session_key(session_id), IDLE_SECONDS, LONGEST_SECONDS),
            ).fetchone()
            if row is None:
                return None
            if row["is_to_renew"]:
                connection.execute(
                    "UPDATE app.sessions SET seen_at = clock_timestamp() WHERE session_key = %s",
                    (session_key(session_id),),
                )
        return Session(user_id=row["user_id"], epoch=row["epoch"])

    def close(self, session_id: str) -> None:
        """End one session."""
        with self._pool.connection() as connection:
            connection.execute("DELETE FROM app.sessions WHERE session_key = %s", (session_key(session_id),))

    def close_all(self, user_id: UUID) -> None:
        """End every session of a user."""
        with self._pool.connection() as connection:
            connection.execute("DELETE FROM app.sessions WHERE user_id = %s", (user_id,))
