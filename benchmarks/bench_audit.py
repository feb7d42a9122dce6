"""The audit of a million events: how long its searches take, how fast its tables are made anew, how fast the log is verified."""

import hashlib
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from benchmarks.harness import Bench, Row, bench, in_turns, median_ratio, percentile
from domain.audit import Kind
from domain.datasets import DatasetDeleted
from domain.facts import Fact, Origin, Recorded
from domain.messages import LossPart
from domain.permissions import Role
from domain.training_jobs import TrainingLossesMeasured, TrainingValidated
from domain.users import UserCreated, UserEmailChanged
from infra.event_store import EventLog, create_tables, open_event_log
from infra.notary import Notary, verify
from infra.projector import BATCH, Projector
from infra.side_tables import create_side_tables
from projections.audit import Audit, Place, Question
from projections.read_model import open_pool
from projections.users import Users
from tests.examples import TRAINING_COMPLETED, TRAINING_DATASET, TRAINING_QUEUED, TRAINING_STARTED

EVENTS = 1_000_000
USERS = 200
EVENTS_AT_ONCE = 5_000
REPORTS_OF_A_JOB = 40
BEGAN = datetime(2024, 1, 1, 8, 0, tzinfo=UTC)
YEARS = timedelta(days=2 * 365)
MOST_MILLISECONDS = 150.0
ROUNDS_OF_A_ROUND = 10
"""A question is put so often in each round of the command line."""
VERIFIED_EVENTS = 100_000
"""Verifying reads every event once, so its rate does not depend on how many there are."""
REBUILT_EVENTS = 50_000
MODELS = (Users, Audit)


@bench
def audit_searches(bench: Bench) -> Iterator[Row]:
    """The 95th percentile of each kind of question; each time with another user, moment or name."""
    count = int(EVENTS * bench.share)
    with bench.database() as database, closing(opened_log(database)) as log:
        plant = Plant(log, count)
        with closing(Projector(log, database, MODELS)) as projector:
            projector.drain()
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE read.audit_events, read.audit_things, read.users")
        with open_pool(database, size=1) as pool:
            audit = Audit(pool)
            for name, ask in questions(audit, plant).items():
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
    """From empty tables to every event told, against reading and decoding the same events."""
    with bench.database() as database, closing(opened_log(database)) as log:
        Plant(log, int(REBUILT_EVENTS * bench.share))
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE assay_events")
        rebuilt, decoded = in_turns(bench.rounds, partial(rebuild, log, database), partial(decode, log))
    yield Row(
        name="audit, made anew from the log",
        figure=statistics.median(rebuilt),
        unit="events/s",
        compared_with="reading and decoding alone",
        compared_figure=statistics.median(decoded),
        ratio=median_ratio(rebuilt, decoded),
        least_ratio=0.1,
    )


@bench
def log_verified(bench: Bench) -> Iterator[Row]:
    """The log against its chain and its seals, against reading the same rows and their SHA-256 alone."""
    with bench.database() as database, closing(opened_log(database)) as log:
        create_side_tables(database)
        Plant(log, int(VERIFIED_EVENTS * bench.share))
        key, seals = Ed25519PrivateKey.generate(), bench.folder / "seals.jsonl"
        notary = Notary(database, key, seals)
        with psycopg.connect(database, autocommit=True) as connection:
            while notary.follow(connection):
                notary.seal_if_due(connection)
            notary.seal_if_due(connection, is_ending=True)
            connection.execute("VACUUM ANALYZE assay_events, app.chain")
        public_key = key.public_key().public_bytes_raw()
        verified, read = in_turns(
            bench.rounds, partial(verified_events, database, seals, public_key), partial(read_events, database)
        )
    yield Row(
        name="log verified against chain and seals",
        figure=statistics.median(verified),
        unit="events/s",
        compared_with="reading and SHA-256 alone",
        compared_figure=statistics.median(read),
        ratio=median_ratio(verified, read),
        least_ratio=0.2,
    )


class Plant:
    """People who make datasets, and train, over two years: a log of about `count` events, in the order of their times."""

    def __init__(self, log: EventLog, count: int) -> None:
        self.random = random.Random(7)  # noqa: S311 - the same plant in every run
        self.users = [UUID(int=number + 1) for number in range(USERS)]
        self.count, self.jobs, self.datasets = count, list[UUID](), list[UUID]()
        self._versions = dict.fromkeys(self.users, 1)
        waiting: list[Recorded] = []
        made = 0
        for number, user_id in enumerate(self.users):
            created = UserCreated(username=f"trainer_{number:03}", role=Role.MODEL_TRAINER, password_hash="$argon2id$")  # noqa: S106 - nobody signs in
            waiting.append(Recorded(user_id, 1, created, BEGAN, Origin(actor=self.users[0])))
        while made + len(waiting) < count:
            waiting += self._event_group((made + len(waiting)) / count)
            if len(waiting) >= EVENTS_AT_ONCE:
                log.append(waiting)
                made += len(waiting)
                waiting = []
        if waiting:
            log.append(waiting)

    def _event_group(self, share: float) -> list[Recorded]:
        """What one person did next: a job with its reports, or a dataset; now and then something rare."""
        moment, user = BEGAN + share * YEARS, self.random.choice(self.users)
        if self.random.random() < 0.01:
            return [self._changed_email(user, moment)]
        if self.random.random() < 0.5:
            dataset_id = uuid4()
            self.datasets.append(dataset_id)
            created = replace(TRAINING_DATASET, name=f"line-{len(self.datasets):06}")
            facts: list[Fact] = [created, DatasetDeleted()] if self.random.random() < 0.1 else [created]
            return [
                Recorded(dataset_id, version, fact, moment, Origin(actor=user)) for version, fact in enumerate(facts, 1)
            ]
        job_id = uuid4()
        self.jobs.append(job_id)
        losses = [
            TrainingLossesMeasured(
                part=LossPart.CLASSIFICATION, iterations=(number * 20 + 20,), losses=(0.5,), learning_rate=0.01
            )
            for number in range(REPORTS_OF_A_JOB)
        ]
        validated = TrainingValidated(part=LossPart.CLASSIFICATION, iteration=800, accuracy=0.97, recall=0.96)
        reports: list[Fact] = [TRAINING_STARTED, *losses, validated, TRAINING_COMPLETED]
        queued = replace(TRAINING_QUEUED, owner=user, model_name=f"model-{len(self.jobs):06}")
        return [
            Recorded(job_id, 1, queued, moment, Origin(actor=user)),
            *(Recorded(job_id, version, fact, moment) for version, fact in enumerate(reports, 2)),
        ]

    def _changed_email(self, user_id: UUID, moment: datetime) -> Recorded:
        self._versions[user_id] += 1
        changed = UserEmailChanged(email=f"{moment:%j}@fab.example")
        return Recorded(user_id, self._versions[user_id], changed, moment, Origin(actor=user_id))

    def moment(self) -> datetime:
        """Some moment of the two years."""
        return BEGAN + self.random.random() * YEARS


def questions(audit: Audit, plant: Plant) -> dict[str, Callable[[], object]]:
    """What people look for; each call asks about something else."""

    def user() -> UUID:
        return plant.random.choice(plant.users)

    def late() -> Place:
        return Place(plant.moment(), plant.random.randrange(plant.count))

    def day() -> dict[str, datetime]:
        since = plant.moment()
        return {"since": since, "until": since + timedelta(days=1)}

    def named() -> Question:
        things = audit.called(f"line-{plant.random.randrange(len(plant.datasets)):06}")
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
        "of a rare type": lambda: audit.search(Question(topic="user.email_changed")),
        "of a user and a type that never meet": lambda: audit.search(
            Question(actor=user(), topic="training.losses_measured")
        ),
        "of a user in a kind": lambda: audit.search(Question(actor=user(), kind=Kind.TRAINING_JOB)),
        "of a day": lambda: audit.search(Question(everything=True, **day())),
        "of a user on a day": lambda: audit.search(Question(actor=user(), **day())),
        "of a name": lambda: audit.search(named()),
        "the history of a job": lambda: audit.history(plant.random.choice(plant.jobs)),
        "how far a job was at a moment": lambda: audit.version_at(plant.random.choice(plant.jobs), plant.moment()),
    }


def opened_log(database: str) -> EventLog:
    """An empty log."""
    create_tables(database)
    return open_event_log(database)


def milliseconds(ask: Callable[[], object]) -> float:
    """How long one question takes."""
    start = time.perf_counter()
    ask()
    return (time.perf_counter() - start) * 1_000


def rebuild(log: EventLog, database: str) -> float:
    """Events a second, until the tables are whole."""
    schema = f"rebuild_{uuid4().hex[:8]}"
    with closing(Projector(log, database, [Audit], schema=schema)) as projector:
        projector.build_tables()
        start = time.perf_counter()
        projector.drain()
        seconds = time.perf_counter() - start
    with psycopg.connect(database, autocommit=True) as connection:
        for name in (schema, f"{schema}_rebuilding"):
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())
    return log.position() / seconds


def decode(log: EventLog) -> float:
    """Events a second, read in the batches of the projector."""
    start, position, count = time.perf_counter(), 0, 0
    while events := log.read(position, BATCH):
        position, count = events[-1][0], count + len(events)
    return count / (time.perf_counter() - start)


def verified_events(database: str, seals: Path, public_key: bytes) -> float:
    """Events a second; a log that does not fit would be no measurement."""
    start = time.perf_counter()
    found = verify(database, seals, public_key)
    assert not found.findings
    return found.event_count / (time.perf_counter() - start)


def read_events(database: str) -> float:
    """Events a second, each read and hashed, and nothing else."""
    start, count = time.perf_counter(), 0
    with psycopg.connect(database) as connection, connection.cursor(name="plain") as cursor:
        cursor.itersize = 2_000
        cursor.execute(
            "SELECT notification_id, originator_id, originator_version, topic, state, recorded_at"
            " FROM assay_events ORDER BY notification_id"
        )
        rows: Sequence[tuple[object, ...]]
        while rows := cursor.fetchmany(2_000):
            for row in rows:
                hashlib.sha256(bytes(row[4])).digest()  # type: ignore[call-overload]
            count += len(rows)
    return count / (time.perf_counter() - start)
