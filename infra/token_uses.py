"""When API tokens were used last: telemetry for whoever wonders whether a token is still needed, not part of the log."""

from collections.abc import Sequence
from uuid import UUID

from projections.read_model import Pool
from web.bearer import LastUse

NOTED_EVERY_SECONDS = 60
"""A use is noted at most this often, so that a machine that asks every second writes next to nothing."""


class TokenUses:
    """The table `app.token_uses`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def note(self, token_id: UUID, address: str) -> None:
        """Somebody asked with this token, from this address."""
        with self._pool.connection() as connection:
            connection.execute(
                "INSERT INTO app.token_uses AS known VALUES (%s, clock_timestamp(), %s)"
                " ON CONFLICT (token_id) DO UPDATE SET used_at = excluded.used_at, address = excluded.address"
                " WHERE known.used_at < excluded.used_at - make_interval(secs => %s) OR known.address <> excluded.address",
                (token_id, address, NOTED_EVERY_SECONDS),
            )

    def of(self, token_ids: Sequence[UUID]) -> dict[UUID, LastUse]:
        """The last uses of some tokens, as far as they were ever used."""
        with self._pool.connection() as connection:
            rows = connection.execute(
                "SELECT token_id, used_at, address FROM app.token_uses WHERE token_id = ANY(%s)", (list(token_ids),)
            ).fetchall()
        return {row["token_id"]: LastUse(row["used_at"], row["address"]) for row in rows}
