"""The event log and what hangs on it: appending, replaying into a read model, reading one's own writes."""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from msgspec.structs import replace
from psycopg.sql import SQL, Identifier

from benchmarks.harness import Bench, Row, bench, in_turns, median_ratio, percentile
from domain.facts import Fact, Origin, Recorded
from domain.messages import LossPart
from domain.training_jobs import TrainingLossesMeasured
from infra.event_store import EventLog, create_tables, open_event_log
from infra.positions import PositionWatcher
from infra.projector import BATCH, Projector
from projections.all import READ_MODELS
from projections.training_jobs import TrainingJobs
from tests.examples import TRAINING_COMPLETED, TRAINING_PUBLISHED, TRAINING_QUEUED, TRAINING_STARTED

CHECKOUT = Path(__file__).parents[1]
ROUND_SECONDS = 1.0
LOSSES = TrainingLossesMeasured(
    part=LossPart.CLASSIFICATION, iterations=(100, 120), losses=(0.51234, 0.49876), learning_rate=0.00123
)
REPLAYED_JOBS = 400
REPORTS_OF_A_JOB = 46
"""With what comes before and after, 50 events a job."""
POINTS_OF_A_REPORT = 5
"""A job of an hour reports its 2,000 points in some 400 events."""
ACTIONS = 1_000
PAUSE_SECONDS = 0.01
"""Between two actions, about a hundred a second: many more than the people of a plant, not so many that they queue."""


Call = Callable[[UUID, int], object]


def recorded(job_id: UUID, version: int, fact: Fact) -> Recorded:
    """The fact in its envelope, as a person's command makes it."""
    return Recorded(job_id, version, fact, datetime.now(UTC), Origin(actor=job_id, request="b7f1c2d8"))


@contextmanager
def opened_log(database: str) -> Iterator[EventLog]:
    """The product's log on an empty database."""
    create_tables(database)
    with closing(open_event_log(database)) as log:
        yield log


@bench
def append(bench: Bench) -> Iterator[Row]:
    """Events of one fact each, appended by 1 and by 16 threads, against INSERTs of the same bytes, one commit each."""
    for threads in (1, 16):
        with bench.database() as database, opened_log(database) as log:
            with psycopg.connect(database) as connection:
                connection.execute("CREATE TABLE plain (LIKE assay_events INCLUDING ALL)")
            state = log.mapper.to_stored_event(recorded(uuid4(), 100, LOSSES)).state
            ours, plain = in_turns(
                bench.rounds,
                partial(calls_per_second, partial(appending, log), threads),
                partial(calls_per_second, partial(inserting, database, state), threads),
            )
        yield Row(
            name=f"append, {threads} concurrent command{'s' if threads > 1 else ''}",
            figure=statistics.median(ours),
            unit="commands/s",
            compared_with="plain INSERT of the same bytes",
            compared_figure=statistics.median(plain),
            ratio=median_ratio(ours, plain),
            least_ratio=0.6 if threads == 16 else None,
        )


@bench
def replay(bench: Bench) -> Iterator[Row]:
    """The whole log into the read model of training jobs, from empty tables, against reading and decoding it."""
    with bench.database() as database, opened_log(database) as log:
        for _ in range(REPLAYED_JOBS):
            log.append(history_of_a_job(uuid4()))
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE assay_events")
        replayed, decoded = in_turns(bench.rounds, partial(project, log, database), partial(decode, log))
    yield Row(
        name="replay into the read model of training jobs",
        figure=statistics.median(replayed),
        unit="events/s",
        compared_with="reading and decoding alone",
        compared_figure=statistics.median(decoded),
        ratio=median_ratio(replayed, decoded),
        least_ratio=0.5,
    )


@bench
def read_your_write(bench: Bench) -> Iterator[Row]:
    """From the end of an append until every read model shows it, the projector being a process of its own."""
    with (
        bench.database() as database,
        opened_log(database) as log,
        projecting(database),
        closing(PositionWatcher(database)) as watcher,
    ):
        watcher.wait(log.append([recorded(uuid4(), 1, TRAINING_QUEUED)]), timeout=30)
        waits = [wait_for_an_action(log, watcher) * 1_000 for _ in range(ACTIONS)]
    for percent, most in ((50, 5.0), (99, 20.0)):
        yield Row(
            name=f"read your write, p{percent} of {ACTIONS:,} actions",
            figure=percentile(waits, percent),
            unit="ms",
            most=most,
        )


@contextmanager
def appending(log: EventLog) -> Iterator[Call]:
    """What a command does at its end."""
    yield lambda job_id, version: log.append([recorded(job_id, version, LOSSES)])


@contextmanager
def inserting(database: str, state: bytes) -> Iterator[Call]:
    """The least that stores the same: a connection of its own, a prepared INSERT, one commit each."""
    with psycopg.connect(database, autocommit=True) as connection, connection.cursor() as cursor:
        yield lambda job_id, version: cursor.execute(
            "INSERT INTO plain (originator_id, originator_version, topic, state) VALUES (%s, %s, %s, %s)",
            (job_id, version, LOSSES.TOPIC, state),
            prepare=True,
        )


def calls_per_second(opened: Callable[[], AbstractContextManager[Call]], threads: int) -> float:
    """How many calls all threads together get done in a second, each on an aggregate of its own."""
    counts: list[int] = []
    end = time.perf_counter() + ROUND_SECONDS

    def work() -> None:
        job_id, version = uuid4(), 0
        with opened() as call:
            while time.perf_counter() < end:
                version += 1
                call(job_id, version)
        counts.append(version)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - start)


def history_of_a_job(job_id: UUID) -> list[Recorded]:
    """A job from its queueing to its publication."""
    middle: list[Fact] = []
    for number in range(REPORTS_OF_A_JOB):
        iterations = tuple(range(number * POINTS_OF_A_REPORT + 1, (number + 1) * POINTS_OF_A_REPORT + 1))
        losses = tuple(round(2.3 / iteration**0.5, 6) for iteration in iterations)
        middle.append(replace(LOSSES, iterations=iterations, losses=losses))
    facts = [TRAINING_QUEUED, TRAINING_STARTED, *middle, TRAINING_COMPLETED, TRAINING_PUBLISHED]
    return [recorded(job_id, version, fact) for version, fact in enumerate(facts, 1)]


def decode(log: EventLog, upto: int | None = None) -> float:
    """Events a second, read and decoded in batches as the projector reads them."""
    start, position, count = time.perf_counter(), 0, 0
    while events := log.read(position, BATCH, upto):
        position, count = events[-1][0], count + len(events)
    return count / (time.perf_counter() - start)


def project(log: EventLog, database: str) -> float:
    """Events a second, until the tables are whole."""
    schema = f"replay_{uuid4().hex[:8]}"
    with closing(Projector(log, database, [TrainingJobs], schema=schema)) as projector:
        projector.build_tables()
        start = time.perf_counter()
        projector.drain()
        seconds = time.perf_counter() - start
    with psycopg.connect(database, autocommit=True) as connection:
        jobs = connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier(schema, "training_jobs"))).fetchone()
        assert jobs == (REPLAYED_JOBS,)
        for made in (schema, f"{schema}_rebuilding"):
            connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(made)))
    return log.position() / seconds


def wait_for_an_action(log: EventLog, watcher: PositionWatcher) -> float:
    """Seconds."""
    time.sleep(PAUSE_SECONDS)
    position = log.append([recorded(uuid4(), 1, TRAINING_QUEUED)])
    start = time.perf_counter()
    watcher.wait(position, timeout=30)
    return time.perf_counter() - start


@contextmanager
def projecting(database: str) -> Iterator[None]:
    """The projector with every read model, in a process of its own as in `assay up`."""
    program = "import sys; from benchmarks.bench_event_log import follow; follow(sys.argv[1])"
    with subprocess.Popen([sys.executable, "-c", program, database], cwd=CHECKOUT) as process:
        try:
            yield
        finally:
            process.terminate()


def follow(database: str) -> None:
    """Project until the process ends."""
    with closing(open_event_log(database)) as log:
        Projector(log, database, READ_MODELS).run(threading.Event())
