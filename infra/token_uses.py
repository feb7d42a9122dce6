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
                "INSERT INTO app.token_uses SELECT %(token)s, clock_timestamp(), %(address)s WHERE NOT EXISTS ("
                " SELECT FROM app.token_uses WHERE token_id = %(token)s AND address = %(address)s"
                " AND used_at > clock_timestamp() - make_interval(secs => %(every)s))"
                " ON CONFLICT (token_id) DO UPDATE SET used_at = excluded.used_at, address = excluded.address",
                {"token": token_id, "address": address, "every": NOTED_EVERY_SECONDS},
            )

    def of(self, token_ids: Sequence[UUID]) -> dict[UUID, LastUse]:
        """The last uses of some tokens, as far as they were ever used."""
        with self._pool.connection() as connection:
            rows = connection.execute(
                "SELECT token_id, used_at, address FROM app.token_uses WHERE token_id = ANY(%s)", (list(token_ids),)
            ).fetchall()
        return {row["token_id"]: LastUse(row["used_at"], row["address"]) for row in rows}
