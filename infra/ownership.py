"""Who owns how much, asked of the read models when a user is to be deleted."""

from uuid import UUID

from domain.users import Belongings
from projections.read_model import open_pool
from projections.users import Users


class Ownership:
    """Asked so rarely that no connection is kept for it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def belongings(self, user_id: UUID) -> Belongings:
        """What a user owns now, as far as the read models have come."""
        with open_pool(self._dsn, size=1) as pool:
            return Users(pool).belongings(user_id)
