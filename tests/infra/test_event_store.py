"""The event log on a real PostgreSQL: what is stored, in which order, and what becomes of it when things go wrong."""

import importlib
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Self
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import (
    IntegrityError,
    MapperDeserialisationError,
    OperationalError,
    StoredEvent,
    Tracking,
)
from psycopg.conninfo import conninfo_to_dict

from domain.facts import FACTS, SYSTEM, Origin
from infra import recorder as recorder_module
from infra.event_store import WITHOUT_FACTS, EventLog, FactMapper, UnknownTopic, create_tables, open_event_log
from infra.positions import LogWatcher
from infra.recorder import LogRecorder, TrackingAfter, _Call, _Line
from tests.eventually import eventually
from tests.infra.example_runs import (
    INSPECTOR,
    LossReported,
    Run,
    RunRenamed,
    RunStarted,
    example_facts,
    history,
    recorded,
)

CHECKOUT = Path(__file__).parents[2]
__all__ = ["example_facts"]
pytestmark = pytest.mark.usefixtures("example_facts")


@pytest.fixture
def log(database: str) -> Iterator[EventLog]:
    create_tables(database)
    with closing(open_event_log(database)) as opened:
        yield opened


class LineBlocked:
    """Holds the lock that appends stand in line for, so that a test decides who waits together."""

    def __init__(self, database: str) -> None:
        self.connection = psycopg.connect(database, autocommit=True)

    def __enter__(self) -> Self:
        self.connection.execute("SELECT pg_advisory_lock(hashtextextended('public.assay_events', 0))")
        return self

    def __exit__(self, *_: object) -> None:
        self.free()

    def free(self) -> None:
        self.connection.close()


class LosesConnections:
    """An append whose connection breaks, call by call: before or after the server did its work, or not at all."""

    def __init__(self, recorder: LogRecorder, moments: Iterable[str]) -> None:
        self.append = recorder._call_append
        self.moments = iter(moments)

    def __call__(self, events: Sequence[StoredEvent], tracking: Tracking | None) -> Sequence[int]:
        moment = next(self.moments, "not at all")
        if moment == "before":
            raise OperationalError("the connection is lost")
        positions = self.append(events, tracking)
        if moment == "after":
            raise OperationalError("the connection is lost")
        return positions


def recorder_of(log: EventLog) -> LogRecorder:
    assert isinstance(log.recorder, LogRecorder)
    return log.recorder


# E-1
def test_an_event_says_who_did_what_when_to_which_aggregate_and_from_which_request(log: EventLog) -> None:
    run = uuid4()
    position = log.append([recorded(run, 1, RunStarted(name="panel-a"))])
    [(read_position, event)] = log.read(0, 10)
    assert read_position == position == log.position()
    assert event == recorded(run, 1, RunStarted(name="panel-a"))
    assert event.origin == Origin(actor=INSPECTOR, request="r-1")
    assert event.timestamp.utcoffset() == timedelta(0)


def test_the_log_can_be_read_with_nothing_but_sql(log: EventLog, database: str) -> None:
    run = uuid4()
    log.append([recorded(run, 1, RunStarted(name="面板"))])
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT originator_id, originator_version, topic, convert_from(state, 'UTF8')::jsonb FROM assay_events"
        ).fetchone()
    body = ["2026-03-02T08:30:01Z", {"name": "面板"}, {"actor": str(INSPECTOR), "request": "r-1"}, 1]
    assert row == (run, 1, "example.run_started", body)


def test_events_of_several_aggregates_are_stored_together_or_not_at_all(log: EventLog) -> None:
    first, second = uuid4(), uuid4()
    log.append([recorded(second, 1, RunStarted(name="panel-b"))])
    before = log.position()
    with pytest.raises(IntegrityError):
        log.append([recorded(first, 1, RunStarted(name="panel-a")), recorded(second, 1, RunStarted(name="taken"))])
    assert log.load(Run, first) is None
    assert log.position() == before
    log.append([recorded(first, 1, RunStarted(name="panel-a")), recorded(second, 2, RunRenamed(name="panel-c"))])
    assert [len(log.history(aggregate_id)) for aggregate_id in (first, second)] == [1, 2]


def test_reading_goes_on_behind_a_position_and_stops_at_the_limit_or_at_the_end_asked_for(log: EventLog) -> None:
    run = uuid4()
    log.append(history(run, RunStarted(name="panel-a"), *(LossReported(iteration=i, loss=0.5) for i in range(9))))
    positions = [position for position, _ in log.read(0, 100)]
    assert positions == sorted(set(positions))
    assert [position for position, _ in log.read(positions[3], 2)] == positions[4:6]
    assert [position for position, _ in log.read(positions[3], 100, upto=positions[5])] == positions[4:6]
    assert log.read(positions[-1], 100) == []


def test_an_empty_log_has_the_position_zero(log: EventLog) -> None:
    assert log.position() == 0
    assert log.read(0, 10) == []


def test_when_sixteen_threads_fight_for_the_same_versions_each_version_is_stored_once(log: EventLog) -> None:
    run = uuid4()
    refused: list[int] = []

    def fight(name: str) -> list[int]:
        won = []
        for version in range(1, 41):
            try:
                log.append([recorded(run, version, RunRenamed(name=name))])
            except IntegrityError:
                refused.append(version)
            else:
                won.append(version)
        return won

    with ThreadPoolExecutor(16) as threads:
        winners = dict(zip(map(str, range(16)), threads.map(fight, map(str, range(16))), strict=True))
    stored = log.history(run)
    assert [event.originator_version for event in stored] == list(range(1, 41))
    assert len(refused) == 16 * 40 - 40
    for event in stored:
        assert isinstance(event.data, RunRenamed)
        assert event.originator_version in winners[event.data.name]  # who was told "stored" is who is stored


def test_calls_that_wait_together_share_a_commit(log: EventLog, database: str) -> None:
    with LineBlocked(database) as line, ThreadPoolExecutor(9) as threads:
        calls = [threads.submit(log.append, [recorded(uuid4(), 1, RunStarted(name="panel-a"))]) for _ in range(9)]
        eventually(lambda: len(recorder_of(log)._line.waiting) == 8)  # the ninth leads and stands at the lock
        line.free()
    assert len({call.result() for call in calls}) == 9
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(DISTINCT xmin::text) FROM assay_events").fetchone()
    assert row == (2,)


@pytest.mark.parametrize(("comes_again", "second_group"), [(True, 3), (False, 2)])
def test_a_commit_waits_a_moment_for_who_was_just_answered(
    monkeypatch: pytest.MonkeyPatch, comes_again: bool, second_group: int
) -> None:
    monkeypatch.setattr(recorder_module, "LONGEST_COMMIT_SECONDS", 60.0)
    monkeypatch.setattr(recorder_module, "SHARE_WAITED", 60.0 if comes_again else 0.1)
    groups: list[int] = []
    first_commit_may_end = threading.Event()

    def commit(calls: Sequence[_Call]) -> None:
        groups.append(len(calls))
        first_commit_may_end.wait(20)

    line, began_at = _Line(commit), time.monotonic()
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(line.take_part, _Call([]))
        eventually(lambda: groups == [1])
        others = [threads.submit(line.take_part, _Call([])) for _ in range(2)]
        eventually(lambda: len(line.waiting) == 2 and time.monotonic() > began_at + 0.5)  # long, as measure for "just"
        first_commit_may_end.set()
        first.result()
        if comes_again:
            line.take_part(_Call([]))
        for other in others:
            other.result()
    assert groups == [1, second_group]
    assert not line.has_leader


def test_in_a_shared_commit_only_the_one_whose_version_is_taken_is_refused(log: EventLog, database: str) -> None:
    taken = uuid4()
    log.append([recorded(taken, 1, RunStarted(name="panel-a"))])
    with LineBlocked(database) as line, ThreadPoolExecutor(4) as threads:
        leading = threads.submit(log.append, [recorded(uuid4(), 1, RunStarted(name="panel-b"))])
        eventually(lambda: recorder_of(log)._line.has_leader and not recorder_of(log)._line.waiting)
        refused = threads.submit(log.append, [recorded(taken, 1, RunStarted(name="panel-c"))])
        stored = [threads.submit(log.append, [recorded(uuid4(), 1, RunStarted(name="panel-d"))]) for _ in range(2)]
        eventually(lambda: len(recorder_of(log)._line.waiting) == 3)
        line.free()
    assert isinstance(refused.exception(), IntegrityError)
    positions = [call.result() for call in (leading, *stored)]
    events = dict(log.read(0, 100))
    assert [events[position].data for position in positions] == [
        RunStarted(name="panel-b"),
        RunStarted(name="panel-d"),
        RunStarted(name="panel-d"),
    ]
    assert len(events) == 4


def test_an_error_that_is_nobodys_fault_reaches_everyone_who_waited(
    log: EventLog, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "PATIENCE_SECONDS", 0.0)
    with LineBlocked(database) as line, ThreadPoolExecutor(4) as threads:
        leading = threads.submit(log.append, [recorded(uuid4(), 1, RunStarted(name="panel-a"))])
        eventually(lambda: recorder_of(log)._line.has_leader and not recorder_of(log)._line.waiting)
        waiting = [threads.submit(log.append, [recorded(uuid4(), 1, RunStarted(name="panel-b"))]) for _ in range(3)]
        eventually(lambda: len(recorder_of(log)._line.waiting) == 3)
        monkeypatch.setattr(
            recorder_of(log), "_call_append", LosesConnections(recorder_of(log), itertools.repeat("before"))
        )
        line.free()
    assert [type(call.exception()) for call in waiting] == [OperationalError] * 3
    assert log.position() == leading.result()


FOLLOWED = """
import sys, threading
from uuid import uuid4
from infra.event_store import open_event_log
from tests.infra.example_runs import LossReported, know_the_example, recorded
know_the_example()
log = open_event_log(sys.argv[1])
def write():
    run = uuid4()
    for version in range(1, 51):
        log.append([recorded(run, version, LossReported(iteration=version, loss=0.5))])
threads = [threading.Thread(target=write) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
log.close()
"""


# K-1
def test_no_event_can_be_stored_behind_one_that_is_not_committed_yet(log: EventLog, database: str) -> None:
    first, second = uuid4(), uuid4()
    stored = log.mapper.to_stored_event(recorded(first, 1, RunStarted(name="panel-a")))
    with psycopg.connect(database) as slow, ThreadPoolExecutor(1) as threads:
        slow.execute(
            "SELECT assay_events_append(%s::uuid[], '{1}', %s::text[], %s::bytea[], NULL, NULL, NULL)",
            ([first], [stored.topic], [stored.state]),
        )
        append = threads.submit(log.append, [recorded(second, 1, RunStarted(name="panel-b"))])
        with psycopg.connect(database, autocommit=True) as looking:
            waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            eventually(lambda: append.done() or looking.execute(waiting).fetchone())
        assert log.read(0, 10) == []
        slow.commit()
        append.result()
    assert [event.originator_id for _, event in log.read(0, 10)] == [first, second]


# K-1
def test_a_follower_misses_no_event_while_several_processes_append(log: EventLog, database: str) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", FOLLOWED, database], cwd=CHECKOUT) for _ in range(2)]
    seen: list[int] = []
    while any(writer.poll() is None for writer in writers) or (seen or [0])[-1] < log.position():
        seen += [position for position, _ in log.read(seen[-1] if seen else 0, 20)]
    assert [writer.returncode for writer in writers] == [0, 0]
    with psycopg.connect(database) as connection:
        stored = [
            row[0] for row in connection.execute("SELECT notification_id FROM assay_events ORDER BY 1").fetchall()
        ]
        times = connection.execute("SELECT recorded_at FROM assay_events ORDER BY notification_id").fetchall()
    assert len(stored) == 2 * 4 * 50
    assert seen == stored
    assert times == sorted(times)  # the order of the log is the order of time


def test_waiting_for_the_log_to_grow_ends_with_the_append(log: EventLog, database: str) -> None:
    with closing(LogWatcher(database)) as watcher:
        with pytest.raises(TimeoutError):
            watcher.wait(1, timeout=0.3)
        position = log.append([recorded(uuid4(), 1, RunStarted(name="panel-a"))])
        watcher.wait(position, timeout=10)


def test_a_commit_whose_answer_was_lost_is_recognised_and_not_refused(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = uuid4()
    monkeypatch.setattr(recorder_of(log), "_call_append", LosesConnections(recorder_of(log), ["after"]))
    position = log.append(history(run, RunStarted(name="panel-a"), LossReported(iteration=1, loss=0.5)))
    assert position == log.position()
    assert len(log.history(run)) == 2


def test_after_a_lost_connection_somebody_elses_event_is_still_a_conflict(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = uuid4()
    log.append([recorded(run, 1, RunStarted(name="somebody else's"))])
    monkeypatch.setattr(recorder_of(log), "_call_append", LosesConnections(recorder_of(log), ["before"]))
    with pytest.raises(IntegrityError):
        log.append([recorded(run, 1, RunStarted(name="panel-a"))])


def test_unknown_fields_are_ignored_and_new_ones_take_their_default(log: EventLog, database: str) -> None:
    run = uuid4()
    state = b'["2026-03-02T08:30:01Z",{"name":"panel-a","speed":7},{"actor":"%b","shift":2},1,"more"]'
    state %= str(INSPECTOR).encode()
    recorder_of(log).insert_events([StoredEvent(run, 1, "example.run_started", state)])
    [(_, event)] = log.read(0, 10)
    assert event.data == RunStarted(name="panel-a", worker="")
    assert event.origin == Origin(actor=INSPECTOR)
    without_origin = b'["2026-03-02T08:30:01Z",{"name":"panel-b"}]'
    recorder_of(log).insert_events([StoredEvent(run, 2, "example.run_started", without_origin)])
    assert log.history(run)[1].origin == Origin(actor=SYSTEM)


@pytest.mark.parametrize(
    ("topic", "state", "refusal", "words"),
    [
        ("example.run_melted", b'["2026-03-02T08:30:01Z",{},{},1]', UnknownTopic, "'example.run_melted' of"),
        (
            "example.run_started",
            b'["2026-03-02T08:30:01Z",{"name":"a"},{},2]',
            MapperDeserialisationError,
            "newer release",
        ),
        ("example.run_started", b'["2026-03-02T08:30:01Z",{},{},1]', MapperDeserialisationError, "missing required"),
        ("example.run_started", b"\x00\x01", MapperDeserialisationError, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(
    topic: str, state: bytes, refusal: type[Exception], words: str
) -> None:
    run = uuid4()
    with pytest.raises(refusal, match=words) as caught:
        FactMapper().to_domain_event(StoredEvent(run, 3, topic, state))
    assert f"{run}, version 3" in str(caught.value)


def test_a_text_with_the_character_nul_is_never_stored_and_one_that_looks_like_it_is(log: EventLog) -> None:
    with pytest.raises(ValueError, match="NUL"):
        log.append([recorded(uuid4(), 1, RunStarted(name="panel\x00a"))])
    run = uuid4()
    log.append([recorded(run, 1, RunStarted(name=r"C:\u0000 \\u0000"))])
    assert log.history(run)[0].data == RunStarted(name=r"C:\u0000 \\u0000")


def test_every_fact_of_the_product_is_known_to_the_log() -> None:
    FactMapper()
    for module in (CHECKOUT / "domain").glob("*.py"):
        assert module.stem in ("__init__", *WITHOUT_FACTS) or f"domain.{module.stem}" in sys.modules
    assert "example.run_started" in FACTS
    for name in WITHOUT_FACTS:
        importlib.import_module(f"domain.{name}")
        assert f"domain.{name}" not in {fact.__module__ for fact in FACTS.values()}


def test_loading_folds_the_facts_and_reads_only_what_is_new(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    run = uuid4()
    log.append(history(run, RunStarted(name="panel-a"), *(LossReported(iteration=i, loss=0.5) for i in range(1, 500))))
    read: list[int] = []
    decode = log.mapper.to_domain_event

    def counted(stored_event: StoredEvent) -> object:
        read.append(stored_event.originator_version)
        return decode(stored_event)

    monkeypatch.setattr(log.mapper, "to_domain_event", counted)
    state = log.load(Run, run)
    assert state == Run(id=run, version=500, name="panel-a", iteration=499)
    assert len(read) == 500
    assert log.load(Run, run) is state
    with closing(open_event_log(log.factory.env["DSN"])) as another_process:
        another_process.append(history(run, RunRenamed(name="panel-b"), after_version=500))
    assert log.load(Run, run) == Run(id=run, version=501, name="panel-b", iteration=499)
    assert read[500:] == [501]


def test_loading_what_never_was_gives_nothing(log: EventLog) -> None:
    assert log.load(Run, uuid4()) is None
    assert log.history(uuid4()) == []


def test_the_cache_of_states_is_bounded(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log._states.maxsize = 3
    runs = [uuid4() for _ in range(5)]
    for run in runs:
        log.append([recorded(run, 1, RunStarted(name="panel-a"))])
        log.load(Run, run)
    assert len(log._states.cache) == 3
    assert [log.load(Run, run) is not None for run in runs] == [True] * 5


# K-1
def test_a_stalled_consumer_cannot_store_its_batch_a_second_time(log: EventLog) -> None:
    source, run = "kafka:reports:0", uuid4()
    assert log.tracked(source) is None
    log.append([recorded(run, 1, RunStarted(name="panel-a"))], TrackingAfter(source, 10, after=None))
    assert log.tracked(source) == 10
    log.append([recorded(run, 2, LossReported(iteration=1, loss=0.5))], TrackingAfter(source, 20, after=10))
    for stale in (TrackingAfter(source, 25, after=10), TrackingAfter(source, 25, after=None), Tracking(source, 20)):
        with pytest.raises(IntegrityError):
            log.append([recorded(run, 3, LossReported(iteration=2, loss=0.4))], stale)
    assert (log.tracked(source), len(log.history(run))) == (20, 2)
    log.append([], TrackingAfter(source, 30, after=20))
    assert log.tracked(source) == 30


def test_a_conflict_leaves_the_tracked_position_where_it_was(log: EventLog) -> None:
    run = uuid4()
    log.append([recorded(run, 1, RunStarted(name="panel-a"))])
    with pytest.raises(IntegrityError):
        log.append([recorded(run, 1, RunStarted(name="panel-b"))], TrackingAfter("kafka:reports:0", 10))
    assert log.tracked("kafka:reports:0") is None


def test_tables_can_be_created_by_several_processes_at_once_and_again(database: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        for made in [threads.submit(create_tables, database) for _ in range(4)]:
            made.result()
    create_tables(database)
    with closing(open_event_log(database)) as log:
        assert log.position() == 0
    with psycopg.connect(database) as connection:
        functions = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert functions == [("assay_events_append",)]  # the library's own, which loses events, does not exist


def test_variables_of_the_process_do_not_move_the_log(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, elsewhere in (("POSTGRES_SCHEMA", "elsewhere"), ("ASSAY_POSTGRES_ENABLE_DB_FUNCTIONS", "y")):
        monkeypatch.setenv(name, elsewhere)
    create_tables(database)
    with closing(open_event_log(database)) as log:
        assert log.append([recorded(uuid4(), 1, RunStarted(name="panel-a"))]) == 1


def test_the_address_may_be_a_url(database: str) -> None:
    parts = conninfo_to_dict(database)
    host = str(parts["host"]).replace("/", "%2F")
    url = f"postgresql://{parts['user']}@/{parts['dbname']}?host={host}&port={parts.get('port', 5432)}"
    create_tables(url)
    with closing(open_event_log(url, pool_size=1)) as log:
        assert log.append([recorded(uuid4(), 1, RunStarted(name="panel-a"))]) == 1


def test_after_closing_nothing_hangs_and_nothing_is_stored(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "PATIENCE_SECONDS", 0.0)
    create_tables(database)
    log = open_event_log(database)
    log.close()
    with pytest.raises(OperationalError):
        log.append([recorded(uuid4(), 1, RunStarted(name="panel-a"))])
