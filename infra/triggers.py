"""Tells workers on Kafka that jobs wait: each when it begins to wait, and again as long as it does, whatever was lost."""

import logging
import threading
import time
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from kafka.errors import KafkaError
from psycopg.rows import dict_row

from domain.messages import JobKind
from infra.advisory_locks import take_lock
from infra.connections import connect
from infra.dispatcher import WORK_CHANNEL
from infra.kafka import JOBS, Kafka
from infra.noted_problems import note_problem
from infra.worker_messages import JobWaits

log = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
MOST_AT_ONCE = 100
"""Those that wait longest; workers that have done these ask for the others."""
_STEP_SECONDS = 0.5
_LEADER_LOCK = 0x547269676765  # any number that no other program on the server uses


class Triggers:
    """A thread beside the relay; of all relays one sends triggers."""

    def __init__(self, kafka: Kafka, dsn: str, producer: Any) -> None:
        """`producer` stays the relay's."""
        self._kafka, self._dsn, self._producer = kafka, dsn, producer
        self._stop = threading.Event()
        self._told: dict[tuple[UUID, int], float] = {}
        self._thread = threading.Thread(target=self._run, daemon=True, name="triggers")

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._tell_while_leading()
            except (psycopg.OperationalError, psycopg.InterfaceError, KafkaError) as error:
                log.warning("broker_or_database_is_away", exc_info=True)
                note_problem(self._dsn, "relay", error)
                self._stop.wait(1.0)
            except Exception:  # the edge of a thread that nobody would miss: workers would be woken by nobody
                log.exception("telling_failed")
                self._stop.wait(1.0)

    def _tell_while_leading(self) -> None:
        with connect(self._dsn, autocommit=True, row_factory=dict_row) as connection:
            connection.execute(f"LISTEN {WORK_CHANNEL}")
            while not self._stop.is_set():
                if take_lock(connection, _LEADER_LOCK):
                    is_told = self._tell(
                        connection.execute(
                            "SELECT job_id, kind, attempt FROM app.work WHERE NOT is_running ORDER BY queued_at LIMIT %s",
                            (MOST_AT_ONCE,),
                        ).fetchall()
                    )
                    if is_told:
                        connection.execute(
                            "INSERT INTO app.relay (told_at) VALUES (clock_timestamp())"
                            " ON CONFLICT (only_row) DO UPDATE SET told_at = excluded.told_at"
                        )
                for _ in connection.notifies(timeout=_STEP_SECONDS, stop_after=1):
                    pass

    def _tell(self, waiting: list[dict[str, Any]]) -> bool:
        """Whether anybody was told of anything."""
        now, is_told = time.monotonic(), False
        told, self._told = self._told, {}
        for row in waiting:
            attempt = (row["job_id"], row["attempt"])
            again_at = told.get(attempt, 0.0)
            if now >= again_at:
                again_at = now + AGAIN_SECONDS
                waits = JobWaits(kind=JobKind(row["kind"]), job_id=row["job_id"], attempt=row["attempt"])
                self._producer.send(self._kafka.topic(JOBS), msgspec.json.encode(waits), key=row["job_id"].bytes)
                is_told = True
            self._told[attempt] = again_at
        return is_told
