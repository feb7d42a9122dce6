"""The line of waiting jobs beside the workers that ask for them: what fits whom, and why the others wait (T-6).

`app.work` is the dispatcher's mirror of the log; a row in `app.workers` is overwritten each time a worker asks. Both are hints: the
log decides who gets a job.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg_pool import ConnectionPool

from commands.assay import Assay
from commands.gpu_jobs import SMALL, message_for, state_type_of
from domain.compute_resources import ComputeResource
from domain.impossible_numbers import refuse_impossible_numbers
from domain.messages import JobKind, Message, Resources
from domain.system_resources import Line, MachineSays, WorkerState
from domain.waiting import HeardWorker, Wait, why_it_waits
from infra.announced_machines import FORGOTTEN_AFTER_DAYS, note_machine

MOST_OFFERS = 20
"""Of the jobs that fit, so many are tried: all but the first are there because other workers may be faster."""


class WaitingJob(msgspec.Struct, frozen=True):
    """A job in the line; `compute_resource_id` is None for what needs none."""

    job_id: UUID
    kind: JobKind
    compute_resource_id: UUID | None


class SeenWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was heard during the last day, with what it takes and offers; `job` is what its newest heartbeat is of."""

    name: str
    machine: str
    kinds: frozenset[JobKind]
    offered: Resources
    seen_at: datetime
    is_silent: bool
    job: JobKind | None
    progress: float | None

    @property
    def state(self) -> WorkerState:
        """What it does at this moment."""
        if self.is_silent:
            return WorkerState.SILENT
        return WorkerState.FREE if self.job is None else WorkerState.BUSY


def note_worker(
    connection: Connection[DictRow],
    name: str,
    kinds: Collection[JobKind],
    offered: Resources,
    machine: MachineSays | None = None,
) -> None:
    """A worker asks for work: it is alive, and free until it is given some. `machine` is what it runs on.

    Raises:
        ImpossibleNumber
    """
    refuse_impossible_numbers(offered)
    connection.execute(
        "INSERT INTO app.workers (name, kinds, offered, machine, seen_at) VALUES (%s, %s, %s::jsonb, %s, clock_timestamp())"
        " ON CONFLICT (name) DO UPDATE SET kinds = excluded.kinds, offered = excluded.offered, machine = excluded.machine,"
        " seen_at = excluded.seen_at",
        (
            name,
            sorted(kind.value for kind in kinds),
            msgspec.json.encode(offered).decode(),
            machine.name if machine else None,
        ),
    )
    note_machine(connection, machine)


def offered_by(connection: Connection[DictRow], name: str) -> Resources | None:
    """What a worker offered last; None where it was never heard."""
    row = connection.execute("SELECT offered FROM app.workers WHERE name = %s", (name,)).fetchone()
    return msgspec.convert(row["offered"], Resources) if row else None


def forget_workers(connection: Connection[DictRow]) -> None:
    """Those that were not heard for a day."""
    connection.execute(
        "DELETE FROM app.workers WHERE seen_at < clock_timestamp() - make_interval(days => %s)", (FORGOTTEN_AFTER_DAYS,)
    )


def seen_workers(connection: Connection[DictRow], *, silence_seconds: float) -> list[SeenWorker]:
    """Who was heard during the last day, by name; silent is who was not heard for `silence_seconds`."""
    rows = connection.execute(_SEEN, {"silence": silence_seconds, "days": FORGOTTEN_AFTER_DAYS}).fetchall()
    return msgspec.convert(rows, list[SeenWorker])


def lines(connection: Connection[DictRow]) -> tuple[Line, ...]:
    """How many jobs of each kind wait and run."""
    found = {line.kind: line for line in msgspec.convert(connection.execute(_LINES).fetchall(), list[Line])}
    return tuple(found.get(kind, Line(kind=kind)) for kind in JobKind)


def first_that_fit(
    connection: Connection[DictRow], assay: Assay, kinds: Collection[JobKind], offered: Resources
) -> list[WaitingJob]:
    """The jobs that came first among those that a worker can take, however many others stand before them."""
    fitting = [resource_id for resource_id, needs in _asked_for(connection, assay).items() if needs.fits_in(offered)]
    rows = connection.execute(
        "SELECT job_id, kind, compute_resource_id FROM app.work WHERE NOT is_running AND kind = ANY(%s)"
        " AND (compute_resource_id IS NULL OR compute_resource_id = ANY(%s)) ORDER BY queued_at LIMIT %s",
        ([kind.value for kind in kinds], fitting, MOST_OFFERS),
    ).fetchall()
    return [WaitingJob(row["job_id"], JobKind(row["kind"]), row["compute_resource_id"]) for row in rows]


def offers(
    connection: Connection[DictRow], assay: Assay, kinds: Collection[JobKind], offered: Resources
) -> Iterator[tuple[JobKind, Message]]:
    """What a worker can claim, first come first: read anew from the log, so are the resources that each needs (M-6)."""
    for job in first_that_fit(connection, assay, kinds, offered):
        state = assay.find(state_type_of(job.kind), job.job_id)
        message = message_for(state, needs_of(assay, job.compute_resource_id))
        if message is not None and message.needs.fits_in(offered):
            yield job.kind, message


def needs_of(assay: Assay, compute_resource_id: UUID | None) -> Resources:
    """What a compute resource means at present (M-6)."""
    resource = assay.find(ComputeResource, compute_resource_id) if compute_resource_id else None
    return resource.resources if resource else SMALL


class Waiting:
    """Why the jobs in the line wait."""

    def __init__(self, pool: ConnectionPool[Connection[DictRow]], assay: Assay, *, silence_seconds: float) -> None:
        """A worker that was not heard for `silence_seconds` is not there."""
        self._pool, self._assay, self._silence_seconds = pool, assay, silence_seconds

    def of(self, job_id: UUID) -> Wait | None:
        """Since when and why a job waits; None where it does not, or has not been put in line yet."""
        return self.of_all([job_id]).get(job_id)

    def of_all(self, job_ids: Sequence[UUID]) -> dict[UUID, Wait]:
        """As `of`, for the rows of a list at once."""
        with self._pool.connection() as connection:
            rows = connection.execute(
                "SELECT job_id, kind, compute_resource_id, queued_at, changed_at FROM app.work"
                " WHERE NOT is_running AND job_id = ANY(%s)",
                (list(job_ids),),
            ).fetchall()
            if not rows:
                return {}
            workers = self._heard(connection)
            asked_for = _asked_for(connection, self._assay)
            waits = {}
            for row in rows:
                kind, needs = JobKind(row["kind"]), needs_of(self._assay, row["compute_resource_id"])
                fitting = [worker for worker in workers if kind in worker.kinds and needs.fits_in(worker.offered)]
                ahead = self._count_ahead(connection, row["queued_at"], fitting, asked_for)
                waits[row["job_id"]] = Wait(row["changed_at"], why_it_waits(kind, needs, workers, ahead))
        return waits

    def _heard(self, connection: Connection[DictRow]) -> list[HeardWorker]:
        return [
            HeardWorker(
                name=worker.name,
                kinds=worker.kinds,
                offered=worker.offered,
                is_busy=worker.state is WorkerState.BUSY,
            )
            for worker in seen_workers(connection, silence_seconds=self._silence_seconds)
            if worker.state is not WorkerState.SILENT
        ]

    @staticmethod
    def _count_ahead(
        connection: Connection[DictRow],
        queued_at: int,
        fitting: Sequence[HeardWorker],
        asked_for: dict[UUID, Resources],
    ) -> int:
        """Those that came before and fit on one of the same workers."""
        kinds = {kind.value for worker in fitting for kind in worker.kinds}
        competing = [
            resource_id
            for resource_id, needs in asked_for.items()
            if any(needs.fits_in(worker.offered) for worker in fitting)
        ]
        row = connection.execute(
            "SELECT count(*) AS ahead FROM app.work WHERE NOT is_running AND queued_at < %s AND kind = ANY(%s)"
            " AND (compute_resource_id IS NULL OR compute_resource_id = ANY(%s))",
            (queued_at, list(kinds), competing),
        ).fetchone()
        return row["ahead"] if row else 0


def _asked_for(connection: Connection[DictRow], assay: Assay) -> dict[UUID, Resources]:
    """The compute resources that waiting jobs ask for, of which there are few."""
    rows = connection.execute(
        "SELECT DISTINCT compute_resource_id FROM app.work WHERE NOT is_running AND compute_resource_id IS NOT NULL"
    ).fetchall()
    return {row["compute_resource_id"]: needs_of(assay, row["compute_resource_id"]) for row in rows}


_SEEN = """
SELECT workers.name, coalesce(workers.machine, workers.name) AS machine, kinds, offered, seen_at,
    seen_at < clock_timestamp() - make_interval(secs => %(silence)s) AS is_silent, running.kind AS job, running.progress
FROM app.workers AS workers LEFT JOIN LATERAL (
    SELECT work.kind, (beat.content->>'progress')::float AS progress
    FROM app.work AS work JOIN app.heartbeats AS beat USING (job_id, attempt)
    WHERE work.is_running AND beat.worker = workers.name ORDER BY beat.beaten_at DESC LIMIT 1
) AS running ON true
WHERE seen_at > clock_timestamp() - make_interval(days => %(days)s)
ORDER BY workers.name
"""
_LINES = """
SELECT kind, count(*) FILTER (WHERE NOT is_running) AS waiting_count, count(*) FILTER (WHERE is_running) AS running_count,
    min(changed_at) FILTER (WHERE NOT is_running) AS oldest_since
FROM app.work GROUP BY kind
"""
