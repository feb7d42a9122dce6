"""How far public events are on their way to Kafka, for the page “MES feed” and for `assay feed-status`."""

from datetime import datetime

import msgspec

from projections.read_model import Pool


class FeedState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the feed is. `behind` counts events of the log that it has not looked at."""

    position: int = 0
    log_position: int = 0
    behind: int = 0
    sent_count: int = 0
    sent_at: datetime | None = None
    looked_at: datetime | None = None
    problem: str = ""
    problem_at: datetime | None = None

    @property
    def is_held_up(self) -> bool:
        """Whether the last problem is not over: nothing was sent or found since."""
        return self.problem_at is not None and (self.looked_at is None or self.looked_at < self.problem_at)


class FeedWatch:
    """Says how far the feed is."""

    def __init__(self, pool: Pool, *, topic: str) -> None:
        """`topic` is where the feed sends to; empty where there is no Kafka."""
        self._pool, self.topic = pool, topic

    def state(self) -> FeedState:
        """As it is now; a feed that never ran is at the beginning."""
        with self._pool.connection() as connection:
            row = connection.execute(
                "WITH feed AS (SELECT * FROM (SELECT) AS one LEFT JOIN app.feed ON true)"
                " SELECT coalesce(position, 0) AS position, coalesce(sent_count, 0) AS sent_count, sent_at, looked_at,"
                " coalesce(problem, '') AS problem, problem_at,"
                " (SELECT coalesce(max(notification_id), 0) FROM public.assay_events) AS log_position,"
                " (SELECT count(*) FROM public.assay_events WHERE notification_id > coalesce(feed.position, 0)) AS behind FROM feed"
            ).fetchone()
        return msgspec.convert(row, FeedState)
