"""Machines say how they fare: a row each in `app.machines`, overwritten by the newest measurement.

Whoever speaks for a machine brings it: a process of the server there, or a worker with the announcements that it makes anyway, over
the database or over Kafka.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from domain.machine_figures import MachineFigures
from domain.system_resources import MachineSays
from infra.connections import connect
from infra.machine_figures import FRESH_SECONDS, MachineMeter, MachineWatch, watched_places
from infra.settings import Settings

log = logging.getLogger(__name__)

FORGOTTEN_AFTER_DAYS = 1
"""Machines and workers alike: containers have a new name each time."""


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


@contextlib.contextmanager
def announced_machine(settings: Settings) -> Iterator[None]:
    """Inside, the overview knows this machine as one of the server. Of several processes on it one measures, while it lives."""
    assert settings.database_url is not None
    announcer = _Announcer(settings.database_url, settings.machine_name)
    # In the state folder, which the containers of a machine share; a run folder each of them has for itself.
    only_one = OnlyOne(settings.records / f"machine-{quote(settings.machine_name, safe='')}.lock")
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
                self._connection = connect(self._dsn, autocommit=True, row_factory=dict_row)
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
