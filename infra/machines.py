"""The machines that were heard lately, beside the workers on them and the line of jobs: what the overview shows of this moment."""

from collections.abc import Iterator

import msgspec
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg_pool import ConnectionPool

from domain.machine_figures import MachineFigures
from domain.system_resources import MachineNow, SystemNow, WorkerNow, WorkerState
from infra.line_of_work import SeenWorker, lines, seen_workers
from infra.machine_figures import FRESH_SECONDS
from infra.recent_answers import RecentAnswer

ASKED_EVERY_SECONDS = 1.0
"""However many pages are open, the database is asked no more often than that by each server."""


class Machines:
    """What machines, workers and the line of jobs are like at this moment."""

    def __init__(
        self,
        pool: ConnectionPool[Connection[DictRow]],
        *,
        silence_seconds: float,
        asked_every_seconds: float = ASKED_EVERY_SECONDS,
    ) -> None:
        """Who was not heard for `silence_seconds` is silent."""
        self._pool, self._silence_seconds = pool, silence_seconds
        self._now = RecentAnswer(self._ask, asked_every_seconds)

    def now(self) -> SystemNow:
        """As it was a second ago at most."""
        return self._now()

    def _ask(self) -> SystemNow:
        # Figures come with the announcements of workers, which may be as far apart as silence allows.
        patience = {"fresh": max(FRESH_SECONDS, self._silence_seconds)}
        with self._pool.connection() as connection:
            machines = connection.execute(_MACHINES, patience).fetchall()
            workers = seen_workers(connection, silence_seconds=self._silence_seconds)
            return SystemNow(machines=tuple(_machines(machines, workers)), lines=lines(connection))


def _machines(machines: list[DictRow], workers: list[SeenWorker]) -> Iterator[MachineNow]:
    """Also those of which only a worker is known."""
    found = {row["name"]: row for row in machines}
    on: dict[str, list[WorkerNow]] = {name: [] for name in found}
    for worker in workers:
        on.setdefault(worker.machine, []).append(_worker(worker))
    for name in sorted(on, key=lambda name: (name not in found or found[name]["served_at"] is None, name)):
        yield _machine(name, found.get(name), tuple(on[name]))


def _machine(name: str, row: DictRow | None, workers: tuple[WorkerNow, ...]) -> MachineNow:
    if row is None:
        return MachineNow(name=name, workers=workers)
    return MachineNow(
        name=name,
        figures=msgspec.convert(row["figures"], MachineFigures) if row["is_fresh"] else None,
        measured_at=row["measured_at"],
        served_at=row["served_at"],
        is_server_silent=row["is_server_silent"],
        workers=workers,
    )


def _worker(worker: SeenWorker) -> WorkerNow:
    is_busy = worker.state is WorkerState.BUSY
    return WorkerNow(
        name=worker.name,
        state=worker.state,
        seen_at=worker.seen_at,
        job=worker.job if is_busy else None,
        progress=worker.progress if is_busy else None,
    )


_MACHINES = """
SELECT name, figures, measured_at, served_at,
    measured_at > clock_timestamp() - make_interval(secs => %(fresh)s) AS is_fresh,
    coalesce(served_at < clock_timestamp() - make_interval(secs => %(fresh)s), false) AS is_server_silent
FROM app.machines
"""
