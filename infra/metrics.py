"""What each process counts and measures, for Prometheus; the table in `infra/OPERATIONS.md` explains every name.

Labels are names from the code (routes, commands, facts, kinds of jobs), never what a caller sent. What the database knows of the
whole installation is asked for by `infra.stored_metrics` when somebody looks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call] # they double the number of series and say nothing that `rate` needs

REGISTRY = CollectorRegistry()
"""Of this process."""
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
OWN = {process: CollectorRegistry() for process in ("web", "worker", "dispatcher", "relay")}
"""What only processes of one kind can say anything about; `tells_as` adds it to what this process tells."""

REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""A page that takes longer than a quarter of a second is felt, longer than a second is complained about."""
COMMAND_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
JOB_SECONDS = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 86400.0, 3 * 86400.0)
"""From a tiny prediction to a training over a weekend."""

BUILD = Gauge("assay_build_info", "The release that runs, always 1.", ["version"], registry=REGISTRY)
BUILD.labels(version("assay")).set(1)

HTTP_REQUESTS = Counter(
    "assay_http_requests_total", "Requests answered.", ["method", "route", "status"], registry=OWN["web"]
)
HTTP_SECONDS = Histogram(
    "assay_http_request_duration_seconds",
    "From the request to the end of the answer; live streams are not in it.",
    ["method", "route"],
    buckets=REQUEST_SECONDS,
    registry=OWN["web"],
)
HTTP_IN_PROGRESS = Gauge(
    "assay_http_requests_in_progress", "Requests being answered, live streams included.", registry=OWN["web"]
)
HTTP_STREAMS = Gauge("assay_http_streams_open", "Live pages that are open in browsers.", registry=OWN["web"])

COMMANDS = Counter(
    "assay_commands_total",
    "Commands decided. Outcomes: done, refused by a rule, not_permitted, failed.",
    ["command", "outcome"],
    registry=REGISTRY,
)
COMMAND_SECONDS_TAKEN = Histogram(
    "assay_command_duration_seconds",
    "Authorising, deciding and storing one command.",
    ["command"],
    buckets=COMMAND_SECONDS,
    registry=REGISTRY,
)
EVENTS_APPENDED = Counter(
    "assay_events_appended_total", "Events that this process appended to the log.", ["type"], registry=REGISTRY
)

UPLOADS = Counter("assay_uploads_total", "Uploads. States: begun, complete.", ["state"], registry=OWN["web"])
UPLOADED_BYTES = Counter("assay_upload_received_bytes_total", "Bytes of uploads that were stored.", registry=OWN["web"])

JOBS = Counter(
    "assay_jobs_total",
    "Attempts that ended on this worker. Outcomes: done, failed, released (the worker was stopped), over (terminated or given to "
    "another worker), lost (its report could not be delivered).",
    ["kind", "outcome"],
    registry=OWN["worker"],
)
JOB_SECONDS_TAKEN = Histogram(
    "assay_job_duration_seconds",
    "From taking a job to leaving it.",
    ["kind", "outcome"],
    buckets=JOB_SECONDS,
    registry=OWN["worker"],
)
WORKER_IS_BUSY = Gauge("assay_worker_busy", "Whether this worker has a job.", registry=OWN["worker"])
JOBS_INTERRUPTED = Counter(
    "assay_jobs_interrupted_total",
    "Jobs taken from workers that fell silent.",
    ["kind"],
    registry=OWN["dispatcher"],
)

REPORTS_TAKEN = Counter(
    "assay_relay_reports_total",
    "Reports read from Kafka. Outcomes: taken, void (of an attempt that is over), unusable.",
    ["outcome"],
    registry=OWN["relay"],
)
REPORTS_BEHIND = Gauge(
    "assay_relay_lag_reports", "Reports on this relay's partitions that it has not read.", registry=OWN["relay"]
)


class Pool(Protocol):
    """The part of a connection pool that tells how it fares."""

    def get_stats(self) -> dict[str, int]:
        """Figures by name."""


class _Pools(Collector):
    """The open pools of this process by name."""

    def __init__(self) -> None:
        self.opened: dict[str, Pool] = {}

    def collect(self) -> Iterator[Metric]:
        """What psycopg's pools tell of themselves."""
        connections = GaugeMetricFamily(
            "assay_database_pool_connections", "Open connections to the database.", labels=["pool", "state"]
        )
        waiting = GaugeMetricFamily(
            "assay_database_pool_requests_waiting", "Threads that wait for a connection.", labels=["pool"]
        )
        requests = CounterMetricFamily(
            "assay_database_pool_requests",
            "Connections asked for. Outcomes: served, failed.",
            labels=["pool", "outcome"],
        )
        waited = CounterMetricFamily(
            "assay_database_pool_wait_seconds", "Time that threads have waited for connections.", labels=["pool"]
        )
        for name, pool in list(self.opened.items()):
            stats = pool.get_stats()
            free, failed = stats.get("pool_available", 0), stats.get("requests_errors", 0)
            connections.add_metric([name, "free"], free)
            connections.add_metric([name, "used"], max(stats.get("pool_size", 0) - free, 0))
            waiting.add_metric([name], stats.get("requests_waiting", 0))
            requests.add_metric([name, "served"], stats.get("requests_num", 0) - failed)
            requests.add_metric([name, "failed"], failed)
            waited.add_metric([name], stats.get("requests_wait_ms", 0) / 1000)
        yield from (connections, waiting, requests, waited)


_POOLS = _Pools()
REGISTRY.register(_POOLS)


@contextmanager
def told_of_pool(name: str, pool: Pool) -> Iterator[None]:
    """Inside, the metrics tell of a pool of connections."""
    _POOLS.opened[name] = pool
    try:
        yield
    finally:
        _POOLS.opened.pop(name, None)


def tells_as(process: str) -> None:
    """Let this process tell what those of its kind have to tell; `packager` is a worker, too."""
    own = OWN.get("worker" if process == "packager" else process)
    if own is not None:
        REGISTRY.register(own)
