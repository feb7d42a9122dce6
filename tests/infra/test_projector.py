"""The projector on a real PostgreSQL: nothing lost, nothing twice, nobody held up (E-2, E-5, S-2)."""

import logging
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent

from domain.facts import FACTS, Recorded
from infra import positions as positions_module
from infra import projector as projector_module
from infra.embedded_postgres import ensure_postgres, stop_postgres
from infra.event_store import EventLog, create_tables, open_event_log
from infra.positions import PositionWatcher
from infra.projector import NotLeading, Projector, RebuildStopped
from infra.recorder import LogRecorder
from infra.settings import read_settings
from projections.read_model import ReadModel, Rows, Table
from tests.eventually import eventually
from tests.infra.example_runs import LossReported, RunRemoved, RunRenamed, Runs, RunStarted, example_facts, history
from tests.projections.rebuild import assert_rebuild_equals_live, tables_of

CHECKOUT = Path(__file__).parents[2]
__all__ = ["example_facts"]
pytestmark = pytest.mark.usefixtures("example_facts")


class Names(ReadModel):
    """A second read model, which looks away from everything but names."""

    name = "example_names"
    NAMES = Table("example_names", key=("run_id uuid",), columns=("name text",))

    def project(self, rows: Rows, recorded: Recorded) -> None:
        match recorded:
            case Recorded(originator_id=run_id, data=RunStarted(name=name) | RunRenamed(name=name)):
                rows.insert(self.NAMES, run_id, name=name)


class Delicate(ReadModel):
    """Cannot take every fact: some break its code, some its table."""

    name = "example_delicate"
    LOSSES = Table("example_delicate", key=("run_id uuid", "iteration int"), columns=("loss float8 CHECK (loss < 10)",))
    is_mended: ClassVar[bool] = False

    def project(self, rows: Rows, recorded: Recorded) -> None:
        match recorded:
            case Recorded(originator_id=run_id, data=LossReported(iteration=iteration, loss=loss)):
                if loss < 0 and not self.is_mended:
                    raise FileNotFoundError("the curve is not on this storage")
                if loss == 0:
                    rows.execute("SELECT %s", (self,))
                rows.insert(self.LOSSES, run_id, iteration, loss=loss)


@pytest.fixture
def log(database: str) -> Iterator[EventLog]:
    create_tables(database)
    with closing(open_event_log(database)) as opened:
        yield opened


@contextmanager
def running(projector: Projector) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=projector.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def project(log: EventLog, database: str, read_models: list[type[ReadModel]], batch: int = 1_000) -> None:
    with closing(Projector(log, database, read_models, batch=batch)) as projector:
        projector.drain()


def reported(run: UUID, losses: list[float], after_version: int = 0) -> list[Recorded]:
    facts = [LossReported(iteration=after_version + number, loss=loss) for number, loss in enumerate(losses, 1)]
    return history(run, *facts, after_version=after_version)


def positions(database: str) -> dict[str, int]:
    with psycopg.connect(database) as connection:
        return dict(connection.execute("SELECT name, position FROM read.positions").fetchall())


def problem(database: str, name: str) -> str:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT problem FROM read.positions WHERE name = %s", (name,)).fetchone()
    return str(row[0] or "") if row else ""


# E-5
def test_after_waiting_for_its_position_an_action_is_in_every_read_model(log: EventLog, database: str) -> None:
    with running(Projector(log, database, [Runs, Names])), closing(PositionWatcher(database)) as watcher:
        for number in range(20):
            run = uuid4()
            watcher.wait(log.append(history(run, RunStarted(name=f"panel-{number}"))), timeout=10)
            tables = tables_of(database, [Runs, Names])
            assert [row["name"] for row in tables["example_names"] if row["run_id"] == run] == [f"panel-{number}"]
            assert [row["name"] for row in tables["example_runs"] if row["run_id"] == run] == [f"panel-{number}"]


# E-5
def test_projector_and_page_are_woken_and_need_not_look_again_and_again(
    log: EventLog, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "POLL_SECONDS", 60.0)
    monkeypatch.setattr(positions_module, "FALLBACK_SECONDS", 60.0)
    with running(Projector(log, database, [Names])), closing(PositionWatcher(database)) as watcher:
        for number in range(5):
            watcher.wait(log.append(history(uuid4(), RunStarted(name=f"panel-{number}"))), timeout=20)


def test_a_fact_that_no_read_model_shows_moves_the_positions_too(log: EventLog, database: str) -> None:
    with running(Projector(log, database, [Names])), closing(PositionWatcher(database)) as watcher:
        watcher.wait(log.append(reported(uuid4(), [0.5])), timeout=10)
    assert positions(database) == {"example_names": log.position()}


def test_waiting_while_nothing_projects_ends_with_the_time_allowed(log: EventLog, database: str) -> None:
    position = log.append(history(uuid4(), RunStarted(name="panel-a")))
    with closing(PositionWatcher(database)) as watcher:
        with pytest.raises(TimeoutError, match="read_progress"):
            watcher.wait(position, timeout=0.4)
        Projector(log, database, [Names]).build_tables()
        with pytest.raises(TimeoutError):
            watcher.wait(position, timeout=0.4)


def test_a_position_is_found_in_the_table_where_its_notification_was_lost(log: EventLog, database: str) -> None:
    Projector(log, database, [Names]).build_tables()
    with closing(PositionWatcher(database)) as watcher:
        waiting = threading.Thread(target=watcher.wait, args=(7, 20))
        waiting.start()
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE read.positions SET position = 7")
        waiting.join()
        assert watcher.reached == 7


def test_an_event_is_projected_also_where_its_notification_was_lost(log: EventLog, database: str) -> None:
    with running(Projector(log, database, [Names])), psycopg.connect(database, autocommit=True) as connection:
        eventually(lambda: connection.execute("SELECT to_regclass('read.positions')").fetchone() != (None,))
        connection.execute(
            "INSERT INTO assay_events (originator_id, originator_version, topic, state) VALUES (%s, 1, %s, %s)",
            (uuid4(), "example.run_started", b'["2026-03-02T08:30:01Z",{"name":"panel-a"},{},1]'),
        )
        eventually(lambda: positions(database) == {"example_names": 1})


# E-2
@pytest.mark.parametrize("batch", [1, 7, 1_000])
def test_whatever_the_batches_the_log_gives_the_same_rows(log: EventLog, database: str, batch: int) -> None:
    for number in range(12):
        run = uuid4()
        log.append(history(run, RunStarted(name=f"panel-{number}"), RunRenamed(name="panel")))
        log.append(reported(run, [0.9, 0.5, 0.4], after_version=2))
        if number % 3 == 0:
            log.append(history(run, RunRemoved(), after_version=5))
            log.append(reported(run, [0.1], after_version=6))
    project(log, database, [Runs, Names], batch=batch)
    tables = assert_rebuild_equals_live(log, database, [Runs, Names], batch=5)
    assert [row["loss_count"] for row in tables["example_runs"]] == [3] * 8
    assert len(tables["example_losses"]) == 8 * 3 + 4  # what is reported after the end has no run to count it


def test_the_comparison_with_a_rebuild_notices_a_difference(log: EventLog, database: str) -> None:
    log.append(history(uuid4(), RunStarted(name="panel-a")))
    project(log, database, [Names])
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE read.example_names SET name = 'forged'")
    with pytest.raises(AssertionError):
        assert_rebuild_equals_live(log, database, [Names])


# S-2
def test_of_two_projectors_one_leads_and_the_other_takes_over_at_its_end(log: EventLog, database: str) -> None:
    first, second = (Projector(log, database, [Names]) for _ in range(2))
    first.drain()
    with pytest.raises(NotLeading):
        second.drain()
    with running(second), closing(PositionWatcher(database)) as watcher:
        position = log.append(history(uuid4(), RunStarted(name="panel-a")))
        with pytest.raises(TimeoutError):
            watcher.wait(position, timeout=0.4)
        first.close()
        watcher.wait(position, timeout=20)


CRASHING = """
import sys
from infra.event_store import open_event_log
from infra.projector import Projector, RebuildStopped
from tests.infra.example_runs import Deadly, Runs, know_the_example
know_the_example()
Deadly.version_that_kills = int(sys.argv[2])
Projector(open_event_log(sys.argv[1]), sys.argv[1], [Runs, Deadly], batch=50).drain()
"""


def test_a_projector_killed_in_the_middle_loses_nothing_and_repeats_nothing(log: EventLog, database: str) -> None:
    run = uuid4()
    log.append(history(run, RunStarted(name="panel-a")))
    log.append(reported(run, [0.5] * 400, after_version=1))
    for deadly_version in (120, 275):
        child = subprocess.run(
            [sys.executable, "-c", CRASHING, database, str(deadly_version)], cwd=CHECKOUT, check=False
        )
        assert child.returncode == -signal.SIGKILL
        assert positions(database)["example_runs"] == deadly_version // 50 * 50
    project(log, database, [Runs])
    assert positions(database) == {"example_runs": log.position()}
    tables = assert_rebuild_equals_live(log, database, [Runs])
    assert [row["loss_count"] for row in tables["example_runs"]] == [400]
    assert len(tables["example_losses"]) == 400


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (-1.0, "FileNotFoundError: the curve is not on this storage"),
        (99.0, "CheckViolation"),
        (0.0, "ProgrammingError: cannot adapt type 'Delicate'"),
    ],
)
def test_a_read_model_stops_before_an_event_it_cannot_take_and_the_others_go_on(
    log: EventLog, database: str, caplog: pytest.LogCaptureFixture, loss: float, words: str
) -> None:
    run = uuid4()
    log.append(history(run, RunStarted(name="panel-a")))
    poisoned = log.append(reported(run, [0.9, 0.8, loss], after_version=1))
    log.append(reported(run, [0.7] * 5, after_version=4))
    with caplog.at_level(logging.ERROR):
        project(log, database, [Runs, Delicate, Names])
    assert positions(database) == {
        "example_runs": log.position(),
        "example_names": log.position(),
        "example_delicate": poisoned - 1,
    }
    assert [row["loss"] for row in tables_of(database, [Delicate])["example_delicate"]] == [0.9, 0.8]
    [line] = caplog.records
    assert (line.getMessage(), getattr(line, "read_model", "")) == ("read_model_stopped", "example_delicate")
    assert f"stopped before event {poisoned} (example.loss_reported): {words}" in problem(database, "example_delicate")


def test_nobody_waits_for_a_read_model_that_stopped(
    log: EventLog, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "FALLBACK_SECONDS", 60.0)
    with running(Projector(log, database, [Delicate, Names])), closing(PositionWatcher(database)) as watcher:
        run = uuid4()
        watcher.wait(log.append(reported(run, [0.9, -1.0, 0.7])), timeout=20)
        watcher.wait(log.append(history(run, RunRenamed(name="panel-a"), after_version=3)), timeout=20)
    assert positions(database) == {"example_delicate": 1, "example_names": 4}
    with closing(PositionWatcher(database)) as a_page_that_comes_later:
        a_page_that_comes_later.wait(4, timeout=20)


def test_a_read_model_that_stopped_goes_on_once_it_can(
    log: EventLog, database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(projector_module, "RETRY_SECONDS", 0.1)
    log.append(reported(uuid4(), [0.9, -1.0, 0.7]))
    with running(Projector(log, database, [Delicate, Names])):
        eventually(lambda: len(caplog.records) > 0)
        assert "stopped before event 2" in problem(database, "example_delicate")
        monkeypatch.setattr(Delicate, "is_mended", True)
        eventually(lambda: positions(database)["example_delicate"] == log.position())
        assert problem(database, "example_delicate") == ""
    assert len(caplog.records) == 1  # trying again and again says nothing new
    assert_rebuild_equals_live(log, database, [Delicate, Names])


def test_a_projector_whose_positions_somebody_else_moved_writes_nothing(log: EventLog, database: str) -> None:
    log.append(history(uuid4(), RunStarted(name="panel-a")))
    with closing(Projector(log, database, [Names])) as projector:
        projector.drain()
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE read.positions SET position = 0")
        log.append(history(uuid4(), RunStarted(name="panel-b")))
        with pytest.raises(NotLeading, match="moved"):
            projector.drain()
    assert [row["name"] for row in tables_of(database, [Names])["example_names"]] == ["panel-a"]


def test_everything_before_a_fact_of_a_newer_release_is_projected(log: EventLog, database: str) -> None:
    run = uuid4()
    before = log.append(history(run, RunStarted(name="panel-a"), RunRenamed(name="panel-b")))
    assert isinstance(log.recorder, LogRecorder)
    log.recorder.insert_events([StoredEvent(run, 3, "example.run_melted", b'["2026-03-02T08:30:01Z",{},{},1]')])
    log.append(history(run, RunRenamed(name="panel-c"), after_version=3))
    project(log, database, [Names])
    assert positions(database) == {"example_names": before}
    assert "'example.run_melted' of" in problem(database, "example_names")
    assert [row["name"] for row in tables_of(database, [Names])["example_names"]] == ["panel-b"]
    assert "example.run_melted" not in FACTS


def test_a_read_model_whose_file_changed_is_made_anew_at_the_start(
    log: EventLog, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = uuid4()
    log.append(history(run, RunStarted(name="panel-a")))
    project(log, database, [Names, Runs])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE read.example_names ADD COLUMN of_an_older_release text NOT NULL DEFAULT 'old'")
        connection.execute("UPDATE read.example_runs SET name = 'untouched'")
    monkeypatch.setattr(Names, "version", 2)
    log.append(history(run, RunRenamed(name="panel-b"), after_version=1))
    project(log, database, [Names, Runs])
    tables = tables_of(database, [Names, Runs])
    assert tables["example_names"] == [{"run_id": run, "name": "panel-b"}]
    assert positions(database) == {"example_names": log.position(), "example_runs": log.position()}


def test_a_read_model_that_is_no_more_leaves_no_tables_and_holds_nobody_up(log: EventLog, database: str) -> None:
    project(log, database, [Names, Runs])
    project(log, database, [Names])
    assert positions(database).keys() == {"example_names"}
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'read' ORDER BY 1").fetchall()
    assert tables == [("example_names",), ("positions",)]


# E-2
def test_a_rebuild_while_the_service_runs_shows_nobody_a_half_made_table(log: EventLog, database: str) -> None:
    for _ in range(30):
        run = uuid4()
        log.append(history(run, RunStarted(name="panel-a")))
        log.append(reported(run, [0.5] * 50, after_version=1))
    done = threading.Event()
    counts: list[int] = []
    with running(Projector(log, database, [Runs, Names], batch=50)), closing(PositionWatcher(database)) as watcher:
        watcher.wait(log.position(), timeout=20)

        def look() -> None:
            with psycopg.connect(database, autocommit=True) as connection:
                while not done.is_set():
                    row = connection.execute("SELECT count(*) FROM read.example_losses").fetchone()
                    counts.append(row[0] if row else 0)

        def act() -> None:
            while not done.is_set():
                run = uuid4()
                watcher.wait(log.append(history(run, RunStarted(name="panel-b"))), timeout=10)

        threads = [threading.Thread(target=look), threading.Thread(target=act)]
        for thread in threads:
            thread.start()
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE read.example_losses SET loss = 99")  # so that old rows can be told from new ones
        with closing(Projector(log, database, [Runs, Names])) as another:
            another.rebuild("example_runs", timeout=60)
        done.set()
        for thread in threads:
            thread.join()
        watcher.wait(log.position(), timeout=20)
    assert set(counts) == {30 * 50}
    tables = assert_rebuild_equals_live(log, database, [Runs, Names])
    assert {row["loss"] for row in tables["example_losses"]} == {0.5}
    assert len(tables["example_runs"]) > 30


def test_a_rebuild_works_without_a_running_projector_and_names_what_it_does_not_know(
    log: EventLog, database: str
) -> None:
    log.append(history(uuid4(), RunStarted(name="panel-a")))
    with closing(Projector(log, database, [Names])) as projector:
        projector.rebuild("example_names")
        with pytest.raises(LookupError, match="example_games"):
            projector.rebuild("example_games")
    assert_rebuild_equals_live(log, database, [Names])


class CountedLog:
    """A log that remembers from where it was read."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.read_from: list[int] = []

    def read(self, after: int, limit: int, upto: int | None = None) -> list[tuple[int, Recorded]]:
        self.read_from.append(after)
        return self._log.read(after, limit, upto)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


# E-2
def test_read_models_are_rebuilt_together_from_one_reading_of_the_log(log: EventLog, database: str) -> None:
    run = uuid4()
    log.append(history(run, RunStarted(name="panel-a")))
    log.append(reported(run, [0.5] * 50, after_version=1))
    counted = CountedLog(log)
    with closing(Projector(counted, database, [Runs, Names], batch=10)) as projector:  # type: ignore[arg-type]
        projector.drain()
        counted.read_from.clear()
        projector.rebuild("example_runs", "example_names")
    in_the_middle = [position for position in counted.read_from if position < log.position()]
    assert len(in_the_middle) == len(set(in_the_middle)) == 6
    tables = assert_rebuild_equals_live(log, database, [Runs, Names])
    assert len(tables["example_losses"]) == 50


@pytest.mark.parametrize("is_running", [True, False], ids=["a projector runs", "none runs"])
def test_a_rebuild_that_cannot_take_an_event_says_so_at_once(
    log: EventLog, database: str, is_running: bool
) -> None:  # E-2, S-5
    log.append(reported(uuid4(), [0.9, -1.0, 0.7]))
    project(log, database, [Delicate, Names])
    first, second = (Projector(log, database, [Delicate, Names]) for _ in range(2))
    with running(first) if is_running else nullcontext(), closing(second) as another:
        with pytest.raises(RebuildStopped, match="'example_delicate' stopped before event 2"):
            another.rebuild("example_delicate")
        another.rebuild("example_names")


def test_the_tables_of_before_answer_and_go_on_while_a_rebuild_has_stopped(
    log: EventLog, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # E-2
    run = uuid4()
    monkeypatch.setattr(Delicate, "is_mended", True)
    log.append(reported(run, [0.9, -1.0]))
    project(log, database, [Delicate])
    monkeypatch.setattr(Delicate, "is_mended", False)  # a release that cannot take what an earlier one took
    with running(Projector(log, database, [Delicate])), closing(PositionWatcher(database)) as watcher:
        with closing(Projector(log, database, [Delicate])) as another, pytest.raises(RebuildStopped):
            another.rebuild("example_delicate")
        assert problem(database, "example_delicate") == ""
        watcher.wait(log.append(reported(run, [0.7], after_version=2)), timeout=20)
        assert [row["loss"] for row in tables_of(database, [Delicate])["example_delicate"]] == [0.9, -1.0, 0.7]
        monkeypatch.setattr(Delicate, "is_mended", True)
    with closing(Projector(log, database, [Delicate])) as mended:
        mended.rebuild("example_delicate")
    assert_rebuild_equals_live(log, database, [Delicate])


def test_log_projector_and_watcher_outlive_a_restart_of_the_database() -> None:
    with tempfile.TemporaryDirectory(prefix="assay-restart-", dir="/tmp") as state:
        Path(state).chmod(0o711)  # as root the server runs as another user, who must get in
        settings = read_settings({"ASSAY_STATE": state})
        database = ensure_postgres(settings)
        try:
            create_tables(database)
            with closing(open_event_log(database)) as log, closing(PositionWatcher(database)) as watcher:
                with running(Projector(log, database, [Runs])):
                    run = uuid4()
                    watcher.wait(log.append(history(run, RunStarted(name="panel-a"))), timeout=10)
                    stop_postgres(settings)
                    ensure_postgres(settings)
                    watcher.wait(log.append(reported(run, [0.5], after_version=1)), timeout=20)
                    assert tables_of(database, [Runs])["example_runs"][0]["loss_count"] == 1
                assert_rebuild_equals_live(log, database, [Runs])
        finally:
            stop_postgres(settings)
