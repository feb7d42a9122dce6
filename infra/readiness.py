"""Whether a process can do its work: a state for each part that it stands on, asked for anew each time somebody looks.

A state is one word that tells a stranger nothing else: `ready`, or what is wrong.
"""

import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.settings import Settings
from infra.worker_roles import ROLES

log = logging.getLogger(__name__)

READY, AWAY, BEHIND, STOPPED, MISSING, FULL = "ready", "away", "behind", "stopped", "missing", "full"
BEHIND_SECONDS = 10.0
"""Twice as long as a page waits for the read models: by then people see that their change is not there."""
LEAST_FREE_BYTES = 64 << 20
"""With less, the next upload, log or checkpoint may be cut off."""
ANSWERS_WITHIN_SECONDS = 2
HANGS_AFTER_SECONDS = 4.0
"""A database that is away is known to be sooner, and whoever asks over the socket of a process waits no longer than five."""
LOOKS_AGAIN_SECONDS = 1.0
"""Strangers may ask as often as they like; so often the parts are looked at."""

Look = Callable[[], str]
ON_KAFKA = frozenset({"relay", "feed"})


class Readiness:
    """The parts of one process."""

    def __init__(
        self,
        looks: Mapping[str, Look],
        *,
        patience_seconds: float = HANGS_AFTER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._looks, self._patience_seconds, self._clock = looks, patience_seconds, clock
        self._lock = threading.Lock()
        self._looking: threading.Thread | None = None
        self._looking_at = ""
        self._known = dict.fromkeys(looks, AWAY)
        self._known_at: float | None = None

    def parts(self) -> dict[str, str]:
        """The state of each part, at most a second old. One that hangs, as mounted storage can, is away for whoever asks; it holds
        up a thread of its own, and neither pages nor signs of life.
        """
        with self._lock:
            if self._looking is not None and not self._looking.is_alive():
                self._looking = None
            is_recent = self._known_at is not None and self._clock() - self._known_at < LOOKS_AGAIN_SECONDS
            if self._looking is None and not is_recent:
                self._looking = threading.Thread(target=self._look, name="looks at what we stand on", daemon=True)
                self._looking.start()
            looking = self._looking
        if looking is None:
            return dict(self._known)
        looking.join(self._patience_seconds)
        return {**self._known, self._looking_at: AWAY} if looking.is_alive() else dict(self._known)

    def _look(self) -> None:
        for name, look in self._looks.items():
            self._looking_at = name
            try:
                self._known[name] = look()
            except Exception:  # the edge of a thread: what cannot be looked at is not there for us
                log.exception("cannot_be_looked_at", extra={"part": name})
                self._known[name] = AWAY
        self._known_at = self._clock()  # its end: a slow answer must not be old at once


def is_ready(parts: Mapping[str, str]) -> bool:
    """Whether every part is."""
    return all(state == READY for state in parts.values())


def readiness_of(settings: Settings, process: str) -> Readiness:
    """What a process stands on. `settings` name its database, where it has one."""
    looks: dict[str, Look] = {}
    dsn = settings.database_url
    is_kafka_worker = process in ROLES and settings.kafka is not None
    if dsn is not None and not is_kafka_worker:
        looks["database"] = lambda: look_at_database(dsn)
        if process in {"web", "projector"}:
            looks["read_models"] = lambda: look_at_read_models(dsn, is_stopped_told=process == "projector")
    if not is_kafka_worker:
        looks["state_folder"] = lambda: look_at_folder(settings.state)
    if process in ROLES or process in {"web", "housekeeper"}:
        looks["shared_storage"] = lambda: look_at_folder(settings.shared)
    if settings.kafka is not None and (is_kafka_worker or process in ON_KAFKA):
        brokers = settings.kafka.brokers
        looks["brokers"] = lambda: look_at_brokers(brokers)
    return Readiness(looks)


def look_at_database(dsn: str) -> str:
    """Whether the database answers a new client."""
    import psycopg  # noqa: PLC0415 - a machine with nothing but a worker has no psycopg

    from infra.connections import connect  # noqa: PLC0415

    try:
        with connect(dsn, autocommit=True) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return AWAY
    return READY


def look_at_read_models(dsn: str, *, is_stopped_told: bool) -> str:
    """Whether the read models keep up with the log; one that stopped holds nobody back, but is told of where asked."""
    import psycopg  # noqa: PLC0415 - as above

    from infra.connections import connect  # noqa: PLC0415
    from infra.followers import followers_of  # noqa: PLC0415

    try:
        with connect(dsn, autocommit=True) as connection:
            read_models = followers_of(connection, "projector")
    except psycopg.errors.UndefinedTable:
        return MISSING
    except psycopg.Error:
        return AWAY
    if not read_models:
        return MISSING
    if is_stopped_told and any(one.is_stopped for one in read_models):
        return STOPPED
    is_behind = any(one.behind_seconds > BEHIND_SECONDS for one in read_models if not one.is_stopped)
    return BEHIND if is_behind else READY


def look_at_folder(folder: Path, *, least_free_bytes: int = LEAST_FREE_BYTES) -> str:
    """Whether a folder is there, takes files and has room for some."""
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return MISSING
    return FULL if shutil.disk_usage(folder).free < least_free_bytes else READY


def look_at_brokers(brokers: tuple[str, ...]) -> str:
    """Whether any broker takes a connection; whether it knows us, its clients find out."""
    for broker in brokers:
        host, _, port = broker.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_WITHIN_SECONDS):
                return READY
        except OSError:
            continue
    return AWAY
