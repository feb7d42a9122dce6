"""The part of the bootstrap that a machine with nothing but the `worker` extra runs: no database, no event store, no pages."""

import os
from collections.abc import Callable
from contextlib import ExitStack

import msgspec

from domain.messages import JobKind
from gpu_worker.ports import JobOutcome, Mailbox
from infra.archives import Archives
from infra.artifacts import Artifacts
from infra.data_folders import DataFolders
from infra.machine_figures import watched_machine
from infra.metrics import JOB_SECONDS_TAKEN, JOBS, WORKER_IS_BUSY
from infra.processes import until_told_to_stop
from infra.settings import Settings
from infra.uploads import Uploads
from infra.worker_roles import WorkerRole

BACKGROUND_NICENESS = 5
"""Pages and training come first where processors are few."""
ASKS_WITHIN_SILENCE = 3
"""A free worker says so that often before it would count as gone."""
LONGEST_UNASKED_SECONDS = 5.0


class JobMetrics:
    """Counts the jobs of a worker."""

    def job_taken(self, kind: JobKind) -> None:  # noqa: ARG002 - the port's name
        """As `gpu_worker.ports.Observer`."""
        WORKER_IS_BUSY.set(1)

    def job_left(self, kind: JobKind, outcome: JobOutcome, seconds: float) -> None:
        """As `gpu_worker.ports.Observer`."""
        WORKER_IS_BUSY.set(0)
        JOBS.labels(kind.value, outcome).inc()
        JOB_SECONDS_TAKEN.labels(kind.value, outcome).observe(seconds)


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """What server and workers share, as this machine mounts it."""

    artifacts: Artifacts
    data_folders: DataFolders
    archives: Archives
    uploads: Uploads


def open_storage(settings: Settings) -> Storage:
    """Shared storage at the place of the settings."""
    uploads = Uploads(
        settings.shared / "uploads",
        most_bytes=settings.upload_gib << 30,
        keep_free_bytes=settings.upload_keep_free_gib << 30,
        keep_seconds=settings.upload_hours * 3600,
    )
    return Storage(
        artifacts=Artifacts(settings.shared / "artifacts"),
        data_folders=DataFolders(settings.data_roots, closed=[settings.state, settings.shared]),
        archives=Archives(settings.archive_roots, uploads),
        uploads=uploads,
    )


def run_kafka_worker(settings: Settings, ready: Callable[[], None], role: WorkerRole) -> None:
    """Be a worker that finds its jobs on Kafka, until SIGTERM (K-4)."""
    from infra.kafka import Kafka  # noqa: PLC0415 - an embedded worker needs none
    from infra.kafka_mailbox import KafkaMailbox  # noqa: PLC0415

    assert settings.kafka is not None
    with ExitStack() as stack:
        mailbox = KafkaMailbox(
            Kafka(settings.kafka),
            worker=role.name_in(settings),
            kinds=role.kinds,
            ask_every_seconds=min(LONGEST_UNASKED_SECONDS, settings.worker_silence_seconds / ASKS_WITHIN_SILENCE),
            machine=stack.enter_context(watched_machine(settings)).says,
        )
        stack.callback(mailbox.close)
        work(settings, mailbox, role, ready)


def work(settings: Settings, mailbox: Mailbox, role: WorkerRole, ready: Callable[[], None]) -> None:
    """Do what the mailbox brings until SIGTERM."""
    from gpu_worker import worker  # noqa: PLC0415 - each process loads what it is

    if role.is_in_background:
        os.nice(BACKGROUND_NICENESS)
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # merely looking at a card takes memory from what trains on it
    storage = open_storage(settings)
    with until_told_to_stop() as stop:
        ready()
        worker.run_worker(
            mailbox,
            storage.artifacts,
            storage.data_folders,
            storage.archives,
            settings.scratch,
            name=role.name_in(settings),
            stop=stop.is_set,
            settings=worker.WorkerSettings(
                beat_every_seconds=settings.heartbeat_seconds,
                most_cpu_cores=settings.worker_threads,
                is_ready_ahead=not role.is_in_background,
            ),
            observer=JobMetrics(),
        )
