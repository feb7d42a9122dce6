"""Metrics of the whole installation, asked of the database when somebody looks. Each process tells of what it owns.

A database that is away leaves its metrics out; the process that tells is still up, and not ready.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psycopg
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from domain.system_resources import WorkerState
from infra.connections import connect
from infra.followers import FOLLOWING, followers_of
from infra.line_of_work import lines, seen_workers
from infra.settings import Settings

log = logging.getLogger(__name__)

Ask = Callable[[Connection[DictRow]], Iterator[Metric]]
ANSWERS_WITHIN = "2s"
"""A look must not add to the load of a database that is slow already."""


class StoredMetrics(Collector):
    """What one process tells of the database."""

    def __init__(self, dsn: str, questions: Sequence[Ask]) -> None:
        self._dsn, self._questions = dsn, questions

    def collect(self) -> Iterator[Metric]:
        """Everything that can be told at this moment."""
        try:
            with connect(self._dsn, autocommit=True, row_factory=dict_row) as connection:
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
    follows = [_followers(process)] if process in FOLLOWING else []
    questions = [*follows, *own.get(process, [])]
    collectors: list[Collector] = [StoredMetrics(settings.database_url, questions)] if questions else []
    if process == "housekeeper":
        collectors.append(FreeStorage({"state": settings.state, "shared": settings.shared}))
    return collectors


def _followers(process: str) -> Ask:
    def ask(connection: Connection[DictRow]) -> Iterator[Metric]:
        position = GaugeMetricFamily(
            "assay_follower_position", "Position of the log up to which a follower is.", labels=["follower"]
        )
        lag = GaugeMetricFamily(
            "assay_follower_lag_seconds",
            "Age of the oldest event that a follower has not taken in.",
            labels=["follower"],
        )
        for follower in followers_of(connection, process):
            name = f"read_model:{follower.name}" if process == "projector" else follower.name
            position.add_metric([name], follower.position)
            lag.add_metric([name], follower.behind_seconds)
        yield from (position, lag)

    return ask


def _log_position(connection: Connection[DictRow]) -> Iterator[Metric]:
    position = _number(connection, "SELECT coalesce(max(notification_id), 0) AS number FROM public.assay_events")
    yield GaugeMetricFamily("assay_log_position", "Position of the newest event of the log.", value=position)


def _read_models(connection: Connection[DictRow]) -> Iterator[Metric]:
    stopped = GaugeMetricFamily(
        "assay_read_model_stopped", "Whether a read model stands before an event it cannot take.", labels=["read_model"]
    )
    for read_model in followers_of(connection, "projector"):
        stopped.add_metric([read_model.name], float(read_model.is_stopped))
    yield stopped


def _jobs(connection: Connection[DictRow]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("assay_jobs_waiting", "Jobs that no worker has taken.", labels=["kind"])
    running = GaugeMetricFamily("assay_jobs_running", "Jobs that a worker has.", labels=["kind"])
    oldest = GaugeMetricFamily(
        "assay_jobs_oldest_waiting_seconds",
        "For how long the job waits that has waited longest; 0 where none waits.",
        labels=["kind"],
    )
    now = _number(connection, "SELECT extract(epoch FROM clock_timestamp()) AS number")
    for line in lines(connection):
        waiting.add_metric([line.kind.value], line.waiting_count)
        running.add_metric([line.kind.value], line.running_count)
        since = line.oldest_since.timestamp() if line.oldest_since else now
        oldest.add_metric([line.kind.value], max(now - since, 0.0))
    yield from (waiting, running, oldest)


def _workers_heard(silence_seconds: float) -> Ask:
    def ask(connection: Connection[DictRow]) -> Iterator[Metric]:
        seen = seen_workers(connection, silence_seconds=silence_seconds)
        heard = [worker for worker in seen if worker.state is not WorkerState.SILENT]
        workers = GaugeMetricFamily("assay_workers", "Workers that are heard.", labels=["state"])
        for state in (WorkerState.BUSY, WorkerState.FREE):
            workers.add_metric([state.value], sum(worker.state is state for worker in heard))
        yield workers
        offered = [worker.offered for worker in heard]
        for name, told, number in (
            ("assay_workers_cpu_cores", "CPU cores that the workers heard offer.", sum(o.cpu_cores for o in offered)),
            ("assay_workers_memory_bytes", "Memory that they offer.", sum(o.memory_gib for o in offered) * 2**30),
            ("assay_workers_gpu_cards", "GPU cards that they offer.", sum(o.gpu_cards for o in offered)),
            (
                "assay_workers_gpu_memory_bytes",
                "Memory of these cards.",
                sum(o.gpu_cards * o.gpu_memory_gib for o in offered) * 2**30,
            ),
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
