"""Metrics of the whole installation, asked of the database when somebody looks. Each process tells of what it owns.

A database that is away leaves its metrics out; the process that tells is still up, and not ready.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from domain.messages import JobKind
from infra.settings import Settings

log = logging.getLogger(__name__)

Ask = Callable[[Connection[DictRow]], Iterator[Metric]]
ANSWERS_WITHIN = "2s"
"""A look must not add to the load of a database that is slow already."""

_FOLLOWERS = {
    "projector": "SELECT 'read_model:' || name AS follower, position FROM read.positions",
    "dispatcher": "SELECT 'dispatcher' AS follower, coalesce((SELECT position FROM app.dispatcher), 0) AS position",
    "notary": "SELECT 'notary' AS follower, coalesce((SELECT max(position) FROM app.chain), 0) AS position",
    "feed": "SELECT 'feed' AS follower, coalesce((SELECT position FROM app.feed), 0) AS position",
}
"""How far each follower of the log is, by the process that moves it."""


class StoredMetrics(Collector):
    """What one process tells of the database."""

    def __init__(self, dsn: str, questions: Sequence[Ask]) -> None:
        self._dsn, self._questions = dsn, questions

    def collect(self) -> Iterator[Metric]:
        """Everything that can be told at this moment."""
        try:
            with psycopg.connect(self._dsn, autocommit=True, row_factory=dict_row, connect_timeout=2) as connection:
                connection.execute("SELECT set_config('statement_timeout', %s, false)", (ANSWERS_WITHIN,))
                told = [metric for ask in self._questions for metric in ask(connection)]
        except psycopg.Error as error:
            log.warning("metrics_left_out", extra={"problem": str(error)})
            return
        yield from told


class FreeStorage(Collector):
    """How much room the folders have that Assay writes to."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def collect(self) -> Iterator[Metric]:
        """A folder that cannot be reached is left out."""
        free = GaugeMetricFamily("assay_storage_free_bytes", "Free room of a storage.", labels=["storage"])
        for name, folder in self._folders.items():
            try:
                free.add_metric([name], shutil.disk_usage(folder).free)
            except OSError as error:
                log.warning("metrics_left_out", extra={"storage": name, "problem": str(error)})
        yield free


def stored_metrics_of(settings: Settings, process: str) -> list[Collector]:
    """What a process tells beside its own counts; nothing where it has no database."""
    assert settings.database_url is not None
    own: dict[str, list[Ask]] = {
        "projector": [_log_position, _read_models],
        "dispatcher": [_jobs, _workers_heard(settings.worker_silence_seconds)],
        "relay": [_unusable_reports],
        "scanner": [_scans],
    }
    follows = [_followers(_FOLLOWERS[process])] if process in _FOLLOWERS else []
    questions = [*follows, *own.get(process, [])]
    collectors: list[Collector] = [StoredMetrics(settings.database_url, questions)] if questions else []
    if process == "housekeeper":
        collectors.append(FreeStorage({"state": settings.state, "shared": settings.shared}))
    return collectors


def _followers(question: str) -> Ask:
    def ask(connection: Connection[DictRow]) -> Iterator[Metric]:
        position = GaugeMetricFamily(
            "assay_follower_position", "Position of the log up to which a follower is.", labels=["follower"]
        )
        lag = GaugeMetricFamily(
            "assay_follower_lag_seconds",
            "Age of the oldest event that a follower has not taken in.",
            labels=["follower"],
        )
        rows = connection.execute(
            "SELECT follower, position, coalesce((SELECT extract(epoch FROM clock_timestamp() - recorded_at)"  # noqa: S608 - ours
            " FROM public.assay_events WHERE notification_id > position ORDER BY notification_id LIMIT 1), 0)::float AS lag"
            f" FROM ({question}) AS followers ORDER BY follower"
        ).fetchall()
        for row in rows:
            position.add_metric([row["follower"]], row["position"])
            lag.add_metric([row["follower"]], max(row["lag"], 0.0))
        yield from (position, lag)

    return ask


def _log_position(connection: Connection[DictRow]) -> Iterator[Metric]:
    position = _number(connection, "SELECT coalesce(max(notification_id), 0) AS number FROM public.assay_events")
    yield GaugeMetricFamily("assay_log_position", "Position of the newest event of the log.", value=position)


def _read_models(connection: Connection[DictRow]) -> Iterator[Metric]:
    stopped = GaugeMetricFamily(
        "assay_read_model_stopped", "Whether a read model stands before an event it cannot take.", labels=["read_model"]
    )
    for row in connection.execute("SELECT name, problem FROM read.positions ORDER BY name").fetchall():
        stopped.add_metric([row["name"]], float(row["problem"] is not None))
    yield stopped


def _jobs(connection: Connection[DictRow]) -> Iterator[Metric]:
    rows = connection.execute(
        "SELECT kind, count(*) FILTER (WHERE NOT is_running) AS waiting, count(*) FILTER (WHERE is_running) AS running,"
        " extract(epoch FROM clock_timestamp() - min(changed_at) FILTER (WHERE NOT is_running))::float AS oldest"
        " FROM app.work GROUP BY kind"
    ).fetchall()
    found: dict[str, dict[str, Any]] = {row["kind"]: row for row in rows}
    waiting = GaugeMetricFamily("assay_jobs_waiting", "Jobs that no worker has taken.", labels=["kind"])
    running = GaugeMetricFamily("assay_jobs_running", "Jobs that a worker has.", labels=["kind"])
    oldest = GaugeMetricFamily(
        "assay_jobs_oldest_waiting_seconds",
        "For how long the job waits that has waited longest; 0 where none waits.",
        labels=["kind"],
    )
    for kind in JobKind:
        row = found.get(kind.value, {"waiting": 0, "running": 0, "oldest": None})
        waiting.add_metric([kind.value], row["waiting"])
        running.add_metric([kind.value], row["running"])
        oldest.add_metric([kind.value], max(row["oldest"] or 0.0, 0.0))
    yield from (waiting, running, oldest)


def _workers_heard(silence_seconds: float) -> Ask:
    def ask(connection: Connection[DictRow]) -> Iterator[Metric]:
        row = connection.execute(_WORKERS, {"silence": silence_seconds}).fetchone()
        assert row is not None
        workers = GaugeMetricFamily("assay_workers", "Workers that are heard.", labels=["state"])
        workers.add_metric(["busy"], row["busy"])
        workers.add_metric(["free"], row["heard"] - row["busy"])
        yield workers
        for name, told, number in (
            ("assay_workers_cpu_cores", "CPU cores that the workers heard offer.", row["cpu_cores"]),
            ("assay_workers_memory_bytes", "Memory that they offer.", row["memory_gib"] * 2**30),
            ("assay_workers_gpu_cards", "GPU cards that they offer.", row["gpu_cards"]),
            ("assay_workers_gpu_memory_bytes", "Memory of these cards.", row["gpu_memory_gib"] * 2**30),
        ):
            yield GaugeMetricFamily(name, told, value=number)

    return ask


def _unusable_reports(connection: Connection[DictRow]) -> Iterator[Metric]:
    count = _number(connection, "SELECT count(*) AS number FROM app.unusable_reports")
    yield GaugeMetricFamily("assay_unusable_reports", "Reports kept because nobody could use them.", value=count)


def _scans(connection: Connection[DictRow]) -> Iterator[Metric]:
    count = _number(connection, "SELECT count(*) AS number FROM app.scans WHERE NOT is_done")
    yield GaugeMetricFamily("assay_scans_waiting", "Folders that are being scanned or wait for it.", value=count)


def _number(connection: Connection[DictRow], question: str) -> float:
    row = connection.execute(question.encode()).fetchone()
    return float(row["number"]) if row else 0.0


_WORKERS = """
SELECT count(*) AS heard,
    count(*) FILTER (WHERE EXISTS (
        SELECT FROM app.work AS work JOIN app.heartbeats AS beat USING (job_id, attempt)
        WHERE work.is_running AND beat.worker = workers.name
    )) AS busy,
    coalesce(sum((offered->>'cpu_cores')::float), 0) AS cpu_cores,
    coalesce(sum((offered->>'memory_gib')::float), 0) AS memory_gib,
    coalesce(sum((offered->>'gpu_cards')::float), 0) AS gpu_cards,
    coalesce(sum((offered->>'gpu_cards')::float * (offered->>'gpu_memory_gib')::float), 0) AS gpu_memory_gib
FROM app.workers AS workers WHERE seen_at > clock_timestamp() - make_interval(secs => %(silence)s)
"""
