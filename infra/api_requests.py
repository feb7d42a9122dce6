"""Which Idempotency-Key came with which body, so that a key that is used for something else is noticed.

That nothing is made twice does not depend on it: ids follow from keys, and the log takes an id once.
"""

import hashlib
from uuid import UUID

from projections.read_model import Pool
from web.api.problems import KeyWasUsed

KEPT_DAYS = 30
"""A machine that repeats a request does so within minutes."""


class ApiRequests:
    """The table `app.api_requests`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def keep(self, request_key: UUID, body: bytes) -> bool:
        """Note the body of a key; returns whether what it asks for is done.

        Raises:
            KeyWasUsed: it was another one before.
        """
        digest = hashlib.sha256(body).digest()
        with self._pool.connection() as connection:
            connection.execute(
                "DELETE FROM app.api_requests WHERE made_at < clock_timestamp() - make_interval(days => %s)",
                (KEPT_DAYS,),
            )
            connection.execute(
                "INSERT INTO app.api_requests (request_key, digest) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (request_key, digest),
            )
            row = connection.execute(
                "SELECT digest, is_done FROM app.api_requests WHERE request_key = %s", (request_key,)
            ).fetchone()
        if row is not None and bytes(row["digest"]) != digest:
            raise KeyWasUsed
        return row is not None and bool(row["is_done"])

    def done(self, request_key: UUID) -> None:
        """Note that what a key asks for is done."""
        with self._pool.connection() as connection:
            connection.execute("UPDATE app.api_requests SET is_done = true WHERE request_key = %s", (request_key,))
