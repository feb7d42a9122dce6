"""The audit of the grown plant's events: how long its searches take, how fast its tables are made anew."""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from itertools import cycle
from uuid import UUID, uuid4

import msgspec
import psycopg

from benchmarks.bench_event_log import decode
from benchmarks.harness import Bench, Row, bench, in_turns, median_ratio, percentile
from benchmarks.served_plant import StandingPlant, standing_plant
from domain.audit.kinds import Kind
from infra.connections import open_pool
from infra.event_store import EventLog, open_event_log
from infra.projector import Projector
from projections.audit import Audit, Place, Question

MOST_MILLISECONDS = 150.0
ROUNDS_OF_A_ROUND = 10
"""A question is put so often in each round of the command line."""
REBUILT_EVENTS = 100_000
"""The first ones."""


@bench
def audit_searches(bench: Bench) -> Iterator[Row]:
    """The 95th percentile of each kind of question; each time with another user, moment or name."""
    standing = bench.once(standing_plant)
    with open_pool(standing.database(), size=1) as pool:
        for name, ask in questions(Audit(pool), standing).items():
            ask()
            taken = [milliseconds(ask) for _ in range(bench.rounds * ROUNDS_OF_A_ROUND)]
            yield Row(
                name=f"audit, {name}",
                figure=percentile(taken, 95),
                unit="ms",
                most=MOST_MILLISECONDS,
                compared_with=f"median {statistics.median(taken):.1f} ms",
            )


@bench
def audit_rebuild(bench: Bench) -> Iterator[Row]:
    """From empty tables to the first events told, against reading and decoding the same events."""
    standing, count = bench.once(standing_plant), int(REBUILT_EVENTS * bench.share)
    database = standing.database()
    with closing(open_event_log(database)) as log:
        upto = log.read(0, count)[-1][0]
        rebuilt, decoded = in_turns(
            bench.rounds, partial(rebuild, log, database, upto, count), partial(decode, log, upto)
        )
    yield Row(
        name="audit, made anew from the log",
        figure=statistics.median(rebuilt),
        unit="events/s",
        compared_with="reading and decoding alone",
        compared_figure=statistics.median(decoded),
        ratio=median_ratio(rebuilt, decoded),
        least_ratio=0.1,
    )


def questions(audit: Audit, standing: StandingPlant) -> dict[str, Callable[[], object]]:
    """What people look for; each call asks about something else."""
    plant, drawn = standing.plant, random.Random(7)  # noqa: S311 - the same questions in every run
    jobs = cycle(map(UUID, standing.some("aggregate_id", "audit_things WHERE kind = 'training_job'")))
    names = cycle(standing.some("name", "audit_things WHERE kind = 'dataset'"))

    def user() -> UUID:
        return drawn.choice(plant.lives.people)

    def late() -> Place:
        return Place(plant.moment(), drawn.randrange(plant.size.events))

    def day(question: Question) -> Question:
        since = plant.moment()
        return msgspec.structs.replace(question, since=since, until=since + timedelta(days=1))

    def named() -> Question:
        things = audit.called(next(names))
        return Question(things=tuple(thing.aggregate_id for thing in things))

    return {
        "the newest": lambda: audit.search(Question()),
        "the newest, everything": lambda: audit.search(Question(everything=True)),
        "a late page, everything": lambda: audit.search(Question(everything=True), older_than=late()),
        "back from a late page": lambda: audit.search(Question(everything=True), newer_than=late()),
        "of a user": lambda: audit.search(Question(actor=user())),
        "of a user, a late page": lambda: audit.search(Question(actor=user()), older_than=late()),
        "of a kind of thing": lambda: audit.search(Question(kind=Kind.DATASET), older_than=late()),
        "of a frequent type": lambda: audit.search(Question(topic="training.losses_measured"), older_than=late()),
        "of a rare type": lambda: audit.search(Question(topic="model.version_withdrawn")),
        "of a user and a type that never meet": lambda: audit.search(
            Question(actor=user(), topic="training.losses_measured")
        ),
        "of a user in a kind": lambda: audit.search(Question(actor=user(), kind=Kind.TRAINING_JOB)),
        "of a day": lambda: audit.search(day(Question(everything=True))),
        "of a user on a day": lambda: audit.search(day(Question(actor=user()))),
        "of a name": lambda: audit.search(named()),
        "the history of a job": lambda: audit.history(next(jobs)),
        "how far a job was at a moment": lambda: audit.version_at(next(jobs), plant.moment()),
    }


def milliseconds(ask: Callable[[], object]) -> float:
    """How long one question takes."""
    start = time.perf_counter()
    ask()
    return (time.perf_counter() - start) * 1_000


def rebuild(log: EventLog, database: str, upto: int, count: int) -> float:
    """Events a second, until the tables hold everything up to a position."""
    schema = f"rebuild_{uuid4().hex[:8]}"
    with closing(Projector(log, database, [Audit], schema=schema)) as projector:
        projector.build_tables()
        start = time.perf_counter()
        problems = projector.replay({Audit.name: upto})
        seconds = time.perf_counter() - start
    assert not problems
    with psycopg.connect(database, autocommit=True) as connection:
        for name in (schema, f"{schema}_rebuilding"):
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())
    return count / seconds
