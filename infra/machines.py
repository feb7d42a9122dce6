"""The machines that were heard lately, beside the workers on them and the line of jobs: what the overview shows of this moment.

A row in `app.machines` is overwritten by the newest measurement, whoever brings it: a process of the server on that machine, or a
worker with the announcements that it makes anyway, over the database or over Kafka.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from domain.machine_figures import MachineFigures
from domain.messages import JobKind
from domain.system_resources import Line, MachineNow, MachineSays, SystemNow, WorkerNow, WorkerState
from infra.machine_figures import FRESH_SECONDS, MachineMeter, MachineWatch, watched_places
from infra.recent_answers import RecentAnswer
from infra.settings import Settings

log = logging.getLogger(__name__)


FORGOTTEN_AFTER_DAYS = 1
"""As workers are: containers have a new name each time."""
ASKED_EVERY_SECONDS = 1.0
"""However many pages are open, the database is asked no more often than that by each server."""


def note_machine(connection: Connection[DictRow], machine: MachineSays | None, *, is_server: bool = False) -> None:
    """Keep what a machine says. Where a process of the server measures it, a worker beside it need not be believed, too."""
    if machine is None or machine.figures is None:
        return
    connection.execute(
        "INSERT INTO app.machines AS known (name, figures, measured_at, served_at)"
        " VALUES (%(name)s, %(figures)s::jsonb, clock_timestamp(), CASE WHEN %(is_server)s THEN clock_timestamp() END)"
        " ON CONFLICT (name) DO UPDATE SET figures = excluded.figures, measured_at = excluded.measured_at,"
        " served_at = coalesce(excluded.served_at, known.served_at)"
        " WHERE %(is_server)s OR known.served_at IS NULL"
        " OR known.served_at < clock_timestamp() - make_interval(secs => %(fresh)s)",
        {
            "name": machine.name,
            "figures": msgspec.json.encode(machine.figures).decode(),
            "is_server": is_server,
            "fresh": FRESH_SECONDS,
        },
    )


def forget_machines(connection: Connection[DictRow]) -> None:
    """Those that were not heard for a day."""
    connection.execute(
        "DELETE FROM app.machines WHERE measured_at < clock_timestamp() - make_interval(days => %s)",
        (FORGOTTEN_AFTER_DAYS,),
    )


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
        patience = {"silence": self._silence_seconds, "fresh": max(FRESH_SECONDS, self._silence_seconds)}
        with self._pool.connection() as connection:
            workers = connection.execute(_WORKERS, patience | {"days": FORGOTTEN_AFTER_DAYS}).fetchall()
            machines = connection.execute(_MACHINES, patience).fetchall()
            lines = connection.execute(_LINES).fetchall()
        return SystemNow(machines=tuple(_machines(machines, workers)), lines=_lines(lines))


@contextlib.contextmanager
def announced_machine(settings: Settings) -> Iterator[None]:
    """Inside, the overview knows this machine as one of the server. Of several processes on it one measures, while it lives."""
    assert settings.database_url is not None
    announcer = _Announcer(settings.database_url, settings.machine_name)
    # In the state folder, which the containers of a machine share; a run folder each of them has for itself.
    only_one = OnlyOne(settings.state / "run" / f"machine-{quote(settings.machine_name, safe='')}.lock")
    watch = MachineWatch(MachineMeter(watched_places(settings)), take=announcer.take, is_wanted=only_one.is_me)
    watch.start()
    try:
        yield
    finally:
        watch.stop()
        announcer.close()
        only_one.close()


class _Announcer:
    """Leaves the figures of this machine in the database; while that is away, they are not missed."""

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn, self._name = dsn, name
        self._connection: Connection[DictRow] | None = None

    def take(self, figures: MachineFigures) -> None:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self._dsn, autocommit=True, row_factory=dict_row, connect_timeout=2)
            note_machine(self._connection, MachineSays(name=self._name, figures=figures), is_server=True)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            log.warning("database_is_away", exc_info=True)
            self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class OnlyOne:
    """Of the processes that ask, the first, until it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def is_me(self) -> bool:
        """Whether this process is the one; asking again is allowed. Where files cannot be locked everybody is."""
        if self._descriptor is not None:
            return True
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            return not isinstance(error, BlockingIOError)
        self._descriptor = descriptor
        return True

    def close(self) -> None:
        """Let the next one in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def _machines(machines: list[DictRow], workers: list[DictRow]) -> Iterator[MachineNow]:
    """Also those of which only a worker is known."""
    found = {row["name"]: row for row in machines}
    on: dict[str, list[WorkerNow]] = {name: [] for name in found}
    for row in workers:
        on.setdefault(row["machine"], []).append(_worker(row))
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


def _worker(row: DictRow) -> WorkerNow:
    is_busy = row["job"] is not None and not row["is_silent"]
    state = WorkerState.SILENT if row["is_silent"] else WorkerState.BUSY if is_busy else WorkerState.FREE
    return WorkerNow(
        name=row["name"],
        state=state,
        seen_at=row["seen_at"],
        job=JobKind(row["job"]) if is_busy else None,
        progress=row["progress"] if is_busy else None,
    )


def _lines(rows: list[DictRow]) -> tuple[Line, ...]:
    known: dict[str, Any] = {row["kind"]: row for row in rows}
    return tuple(
        Line(**known[kind.value] | {"kind": kind}) if kind.value in known else Line(kind=kind) for kind in JobKind
    )


_WORKERS = """
SELECT workers.name, coalesce(workers.machine, workers.name) AS machine, seen_at,
    seen_at < clock_timestamp() - make_interval(secs => %(silence)s) AS is_silent,
    running.kind AS job, running.progress
FROM app.workers AS workers LEFT JOIN LATERAL (
    SELECT work.kind, (beat.content->>'progress')::float AS progress
    FROM app.work AS work JOIN app.heartbeats AS beat USING (job_id, attempt)
    WHERE work.is_running AND beat.worker = workers.name ORDER BY beat.beaten_at DESC LIMIT 1
) AS running ON true
WHERE seen_at > clock_timestamp() - make_interval(days => %(days)s)
ORDER BY workers.name
"""
_MACHINES = """
SELECT name, figures, measured_at, served_at,
    measured_at > clock_timestamp() - make_interval(secs => %(fresh)s) AS is_fresh,
    coalesce(served_at < clock_timestamp() - make_interval(secs => %(fresh)s), false) AS is_server_silent
FROM app.machines
"""
_LINES = """
SELECT kind, count(*) FILTER (WHERE NOT is_running) AS waiting_count, count(*) FILTER (WHERE is_running) AS running_count,
    min(changed_at) FILTER (WHERE NOT is_running) AS oldest_since
FROM app.work GROUP BY kind
"""
