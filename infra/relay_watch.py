"""How far the relay is with what workers say over Kafka, and how lately it told them of jobs. Source: K-1."""

from datetime import datetime

import msgspec

from infra.line_of_work import lines
from projections.read_model import Pool

AWAY_AFTER_SECONDS = 10
"""The relay looks every second; this is longer than any of its turns, and shorter than anybody's patience."""


class TopicLag(msgspec.Struct, frozen=True, kw_only=True):
    """One topic of workers. `behind` counts messages that had come at the last look and were not taken in."""

    topic: str
    partition_count: int
    behind: int
    looked_at: datetime | None


class RelayState(msgspec.Struct, frozen=True, kw_only=True):
    """`unusable_count` are reports that nobody could use, `waiting_count` jobs that wait for a worker; `told_at` is when workers
    were last told of one. `is_away` where no relay has looked at each partition lately, `is_held_up` where its last problem is not
    over.
    """

    topics: tuple[TopicLag, ...] = ()
    is_away: bool = True
    is_held_up: bool = False
    problem: str = ""
    problem_at: datetime | None = None
    unusable_count: int = 0
    waiting_count: int = 0
    told_at: datetime | None = None

    @property
    def behind(self) -> int:
        """Over all topics."""
        return sum(topic.behind for topic in self.topics)


class RelayWatch:
    """Says how far the relay is."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def state(self) -> RelayState:
        """As it is now; a relay that never ran is away."""
        with self._pool.connection() as connection:
            topics = connection.execute(
                "SELECT topic, count(*) AS partition_count, sum(behind)::bigint AS behind, nullif(min(looked_at), '-infinity')"
                " AS looked_at FROM app.listening GROUP BY topic ORDER BY topic"
            ).fetchall()
            row = connection.execute(
                "WITH looks AS (SELECT min(looked_at) AS oldest FROM app.listening)"
                " SELECT coalesce(oldest < clock_timestamp() - make_interval(secs => %s), true) AS is_away,"
                " coalesce(problem_at > oldest, problem_at IS NOT NULL) AS is_held_up,"
                " coalesce(problem, '') AS problem, problem_at, told_at,"
                " (SELECT count(*) FROM app.unusable_reports) AS unusable_count"
                " FROM looks LEFT JOIN app.relay ON true",
                (AWAY_AFTER_SECONDS,),
            ).fetchone()
            waiting_count = sum(line.waiting_count for line in lines(connection))
        return msgspec.convert({"topics": topics, "waiting_count": waiting_count, **(row or {})}, RelayState)
