"""How busy the machines and the line of jobs were during the last hour and the last day: two small tables of bounded length.

The leading dispatcher writes them. A row stands for a step of time and is the same whoever writes it, so a second writer would
double nothing. Rows of a day are made of those of an hour; what is older than its span goes.
"""

import time
from collections.abc import Mapping
from functools import partial
from itertools import groupby

from psycopg import Connection
from psycopg.rows import DictRow, class_row
from psycopg_pool import ConnectionPool

from domain.system_resources import PERIODS, LineMoment, MachineMoment, Span, SystemHistory
from infra.announced_machines import forget_machines
from infra.machine_figures import FRESH_SECONDS
from infra.recent_answers import RecentAnswer

KEPT_EVERY_SECONDS = 10.0
"""At least once in each step, so that none is missed; what was measured last stands for it."""


class LoadKeeper:
    """Writes the history; of several processes only the leading one."""

    def __init__(self) -> None:
        self._keep_at = 0.0

    def keep_up(self, connection: Connection[DictRow]) -> None:
        """Write what is due, if anything is: asked ten times a second, it looks at a clock."""
        if time.monotonic() < self._keep_at:
            return
        self._keep_at = time.monotonic() + KEPT_EVERY_SECONDS
        keep(connection)


def keep(connection: Connection[DictRow]) -> None:
    """Note this moment, renew the longer steps that it belongs to, and remove what is over."""
    hour, day = PERIODS[Span.HOUR], PERIODS[Span.DAY]
    with connection.transaction():
        connection.execute(_NOTE_MACHINES, {"step": hour.step, "fresh": FRESH_SECONDS})
        connection.execute(_NOTE_LINE, {"step": hour.step})
        # The step before is made anew, too: its last rows may have come since.
        connection.execute(_LENGTHEN_MACHINES, {"step": day.step})
        connection.execute(_LENGTHEN_LINE, {"step": day.step})
        for span, period in PERIODS.items():
            for table in ("machine_history", "line_history"):
                connection.execute(
                    f"DELETE FROM app.{table} WHERE span = %s AND at <= clock_timestamp() - %s",  # noqa: S608 - our own
                    (span.value, period.length),
                )
        forget_machines(connection)


class LoadHistory:
    """What was kept, for charts."""

    def __init__(
        self, pool: ConnectionPool[Connection[DictRow]], *, asked_every_seconds: float = KEPT_EVERY_SECONDS
    ) -> None:
        self._pool = pool
        self._spans: Mapping[Span, RecentAnswer[SystemHistory]] = {
            span: RecentAnswer(partial(self._ask, span), asked_every_seconds) for span in Span
        }

    def last(self, span: Span) -> SystemHistory:
        """The last hour or day up to the newest step."""
        return self._spans[span]()

    def _ask(self, span: Span) -> SystemHistory:
        period = PERIODS[span]
        asked = {"span": span.value, "length": period.length, "step": period.step}
        with self._pool.connection() as connection:
            machines = connection.execute(_MACHINES, asked).fetchall()
            with connection.cursor(row_factory=class_row(LineMoment)) as cursor:
                line = cursor.execute(_LINE, asked).fetchall()
            row = connection.execute("SELECT date_bin(%(step)s, clock_timestamp(), 'epoch') AS until", asked).fetchone()
        assert row is not None
        return SystemHistory(
            span=span,
            until=row["until"],
            machines=tuple(
                (name, tuple(_moment(row) for row in rows))
                for name, rows in groupby(machines, key=lambda row: str(row["machine"]))
            ),
            line=tuple(line),
        )


def _moment(row: DictRow) -> MachineMoment:
    return MachineMoment(
        at=row["at"], cpu=row["cpu"], memory=row["memory"], cards=row["cards"], cards_memory=row["cards_memory"]
    )


_MEAN = "(SELECT avg({}) FROM jsonb_array_elements(figures->'cards') AS card)"
_NOTE_MACHINES = f"""
INSERT INTO app.machine_history (span, machine, at, cpu, memory, cards, cards_memory)
SELECT 'hour', name, date_bin(%(step)s, clock_timestamp(), 'epoch'),
    (figures->>'cpu_load')::real,
    (figures->>'memory_used_bytes')::real / (figures->>'memory_total_bytes')::real,
    {_MEAN.format("(card->>'load')::real")},
    {_MEAN.format("(card->>'used_bytes')::real / nullif((card->>'total_bytes')::real, 0)")}
FROM app.machines WHERE measured_at > clock_timestamp() - make_interval(secs => %(fresh)s)
ON CONFLICT (span, at, machine) DO UPDATE
SET cpu = excluded.cpu, memory = excluded.memory, cards = excluded.cards, cards_memory = excluded.cards_memory
"""  # noqa: S608 - our own text
_NOTE_LINE = """
INSERT INTO app.line_history AS kept (span, at, waiting_count, running_count)
SELECT 'hour', date_bin(%(step)s, clock_timestamp(), 'epoch'),
    count(*) FILTER (WHERE NOT is_running), count(*) FILTER (WHERE is_running) FROM app.work
ON CONFLICT (span, at) DO UPDATE
SET waiting_count = greatest(kept.waiting_count, excluded.waiting_count),
    running_count = greatest(kept.running_count, excluded.running_count)
"""
_LENGTHEN_MACHINES = """
INSERT INTO app.machine_history (span, machine, at, cpu, memory, cards, cards_memory)
SELECT 'day', machine, date_bin(%(step)s, at, 'epoch') AS longer, avg(cpu), avg(memory), avg(cards), avg(cards_memory)
FROM app.machine_history
WHERE span = 'hour' AND at >= date_bin(%(step)s, clock_timestamp() - %(step)s, 'epoch')
GROUP BY machine, longer
ON CONFLICT (span, at, machine) DO UPDATE
SET cpu = excluded.cpu, memory = excluded.memory, cards = excluded.cards, cards_memory = excluded.cards_memory
"""
_LENGTHEN_LINE = """
INSERT INTO app.line_history (span, at, waiting_count, running_count)
SELECT 'day', date_bin(%(step)s, at, 'epoch') AS longer, max(waiting_count), max(running_count) FROM app.line_history
WHERE span = 'hour' AND at >= date_bin(%(step)s, clock_timestamp() - %(step)s, 'epoch')
GROUP BY longer
ON CONFLICT (span, at) DO UPDATE
SET waiting_count = excluded.waiting_count, running_count = excluded.running_count
"""
_MACHINES = """
SELECT machine, at, cpu, memory, cards, cards_memory FROM app.machine_history
WHERE span = %(span)s AND at > clock_timestamp() - %(length)s ORDER BY machine, at
"""
_LINE = """
SELECT at, waiting_count, running_count FROM app.line_history
WHERE span = %(span)s AND at > clock_timestamp() - %(length)s ORDER BY at
"""
