"""Machines that were heard, workers on them and the line of jobs, as the overview is told; and what is kept of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from domain.machine_figures import Card, MachineFigures
from domain.messages import COMPUTING, PACKAGING, Heartbeat, JobKind, Resources
from domain.system_resources import PERIODS, Line, MachineSays, Span, SystemHistory, WorkerState
from infra.announced_machines import OnlyOne, announced_machine, note_machine
from infra.connections import open_pool
from infra.heartbeats import Heartbeats
from infra.line_of_work import note_worker
from infra.load_history import LoadHistory, LoadKeeper, keep
from infra.machine_figures import FRESH_SECONDS
from infra.machines import Machines
from infra.recent_answers import RecentAnswer
from infra.settings import read_settings
from infra.side_tables import create_side_tables
from projections.read_model import Pool
from tests.eventually import eventually
from tests.examples import example_id

GIB = 1 << 30
SILENCE_SECONDS = 15.0
OFFERED = Resources(cpu_cores=8, memory_gib=64, gpu_cards=1, gpu_memory_gib=80)


class Plant:
    """The tables beside the log, filled by hand; `later` lets time pass."""

    def __init__(self, database: str, connection: Connection[DictRow], pool: Pool) -> None:
        self.database, self.connection = database, connection
        self.machines = Machines(pool, silence_seconds=SILENCE_SECONDS, asked_every_seconds=0.0)
        self.history = LoadHistory(pool, asked_every_seconds=0.0)
        self.heartbeats = Heartbeats(pool, silence_seconds=SILENCE_SECONDS)

    def later(self, seconds: float) -> None:
        """What was noted until now lies so much further back."""
        for table, columns in (
            ("machines", ("measured_at", "served_at")),
            ("workers", ("seen_at",)),
            ("work", ("changed_at",)),
            ("machine_history", ("at",)),
            ("line_history", ("at",)),
        ):
            moved = ", ".join(f"{column} = {column} - make_interval(secs => {seconds})" for column in columns)
            self.connection.execute(f"UPDATE app.{table} SET {moved}".encode())

    def queue(self, number: int, kind: JobKind, *, is_running: bool = False) -> UUID:
        """A job in the mirror of the log, as the dispatcher puts it there."""
        job_id = example_id(f"job {number}")
        self.connection.execute(
            "INSERT INTO app.work (job_id, kind, queued_at, attempt, is_running) VALUES (%s, %s, %s, 1, %s)",
            (job_id, kind.value, number, is_running),
        )
        return job_id

    def keep(self, times: int = 1) -> None:
        for _ in range(times):
            keep(self.connection)

    def count(self, table: str) -> int:
        row = self.connection.execute(f"SELECT count(*) AS rows FROM app.{table}".encode()).fetchone()
        assert row is not None
        return int(row["rows"])


@pytest.fixture
def plant(database: str) -> Iterator[Plant]:
    create_side_tables(database)
    with (
        psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection,
        open_pool(database, size=1) as pool,
    ):
        yield Plant(database, connection, pool)


def says(name: str, cpu_load: float = 0.25, **figures: object) -> MachineSays:
    whole = {"cpu_cores": 8, "memory_used_bytes": GIB, "memory_total_bytes": 4 * GIB} | figures
    return MachineSays(name=name, figures=MachineFigures(cpu_load=cpu_load, **whole))  # type: ignore[arg-type]


def test_an_empty_plant_has_no_machines_and_empty_lines(plant: Plant) -> None:  # O-1
    now = plant.machines.now()
    assert now.machines == ()
    assert now.lines == tuple(Line(kind=kind) for kind in JobKind)


def test_a_machine_is_one_row_whoever_runs_on_it(plant: Plant) -> None:  # O-1
    note_machine(plant.connection, says("fab-1"), is_server=True)
    for worker, kinds in (("fab-1", COMPUTING), ("fab-1-packages", PACKAGING)):
        note_worker(plant.connection, worker, kinds, OFFERED, says("fab-1"))
    note_worker(plant.connection, "gpu-2", COMPUTING, OFFERED, says("gpu-2", 0.75))
    server, other = plant.machines.now().machines
    assert (server.name, server.served_at is not None, [worker.name for worker in server.workers]) == (
        "fab-1",
        True,
        ["fab-1", "fab-1-packages"],
    )
    assert (other.name, other.served_at, [worker.name for worker in other.workers]) == ("gpu-2", None, ["gpu-2"])
    assert other.figures is not None
    assert other.figures.cpu_load == 0.75


def test_several_servers_stand_before_machines_with_workers_only(plant: Plant) -> None:  # O-1, S-2
    note_worker(plant.connection, "a-gpu", COMPUTING, OFFERED, says("a-gpu"))
    for name in ("web-2", "web-1"):
        note_machine(plant.connection, says(name), is_server=True)
    assert [machine.name for machine in plant.machines.now().machines] == ["web-1", "web-2", "a-gpu"]


def test_a_worker_that_measures_nothing_is_a_machine_without_figures(plant: Plant) -> None:  # O-1
    note_worker(plant.connection, "old-1", COMPUTING, OFFERED)
    note_worker(plant.connection, "gpu-1", COMPUTING, OFFERED, MachineSays(name="rack-7"))
    first, second = plant.machines.now().machines
    assert (first.name, first.figures, first.measured_at) == ("old-1", None, None)
    assert (second.name, second.figures, second.workers[0].name) == ("rack-7", None, "gpu-1")


def test_the_measurement_of_the_server_goes_before_that_of_a_worker_beside_it(plant: Plant) -> None:  # O-1
    note_machine(plant.connection, says("fab-1", 0.5), is_server=True)
    note_worker(plant.connection, "fab-1", COMPUTING, OFFERED, says("fab-1", 0.125))
    [machine] = plant.machines.now().machines
    assert machine.figures is not None
    assert machine.figures.cpu_load == 0.5
    plant.later(FRESH_SECONDS + 1)
    note_worker(plant.connection, "fab-1", COMPUTING, OFFERED, says("fab-1", 0.125))
    [machine] = plant.machines.now().machines
    assert machine.figures is not None
    assert (machine.figures.cpu_load, machine.is_server_silent) == (0.125, True)


def test_a_worker_is_free_then_busy_then_free_again(plant: Plant) -> None:  # O-1
    note_worker(plant.connection, "gpu-1", COMPUTING, OFFERED, says("gpu-1"))
    [worker] = plant.machines.now().machines[0].workers
    assert worker.state is WorkerState.FREE
    job_id = plant.queue(1, JobKind.TRAINING, is_running=True)
    beat = Heartbeat(worker="gpu-1", kind=JobKind.TRAINING, job_id=job_id, attempt=1, progress=0.5)
    plant.heartbeats.beat(beat, says("gpu-1", 0.9))
    [machine] = plant.machines.now().machines
    [worker] = machine.workers
    assert (worker.state, worker.job, worker.progress) == (WorkerState.BUSY, JobKind.TRAINING, 0.5)
    assert machine.figures is not None
    assert machine.figures.cpu_load == 0.9
    plant.connection.execute("DELETE FROM app.work")
    [worker] = plant.machines.now().machines[0].workers
    assert (worker.state, worker.job, worker.progress) == (WorkerState.FREE, None, None)


def test_a_worker_that_fell_silent_is_never_shown_alive(plant: Plant) -> None:  # O-1, T-6
    job_id = plant.queue(1, JobKind.TRAINING, is_running=True)
    note_worker(plant.connection, "gpu-1", COMPUTING, OFFERED, says("gpu-1"))
    plant.heartbeats.beat(Heartbeat(worker="gpu-1", kind=JobKind.TRAINING, job_id=job_id, attempt=1), says("gpu-1"))
    plant.later(SILENCE_SECONDS - 3)
    [worker] = plant.machines.now().machines[0].workers
    assert worker.state is WorkerState.BUSY
    plant.later(4)
    [machine] = plant.machines.now().machines
    [worker] = machine.workers
    assert (worker.state, worker.job) == (WorkerState.SILENT, None)
    row = plant.connection.execute("SELECT seen_at FROM app.workers").fetchone()
    assert row is not None
    assert worker.seen_at == row["seen_at"]
    assert machine.figures is None
    assert machine.measured_at is not None


def test_a_machine_is_forgotten_after_a_day(plant: Plant) -> None:  # O-1
    note_machine(plant.connection, says("web-1"), is_server=True)
    note_worker(plant.connection, "gpu-1", COMPUTING, OFFERED, says("gpu-1"))
    plant.later(86400 - 60)
    plant.keep()
    assert [machine.name for machine in plant.machines.now().machines] == ["web-1", "gpu-1"]
    plant.later(120)
    plant.keep()
    assert plant.machines.now().machines == ()


def test_the_line_tells_how_many_wait_of_each_kind_and_since_when(plant: Plant) -> None:  # O-1
    plant.queue(1, JobKind.TRAINING, is_running=True)
    plant.queue(2, JobKind.TRAINING)
    plant.later(600)
    plant.queue(3, JobKind.TRAINING)
    plant.queue(4, JobKind.EXPORT)
    lines = {line.kind: line for line in plant.machines.now().lines}
    training, export = lines[JobKind.TRAINING], lines[JobKind.EXPORT]
    assert (training.waiting_count, training.running_count, export.waiting_count) == (2, 1, 1)
    assert training.oldest_since is not None
    assert export.oldest_since is not None
    assert 590 < (export.oldest_since - training.oldest_since).total_seconds() < 660
    assert lines[JobKind.LOADING] == Line(kind=JobKind.LOADING)


def test_what_many_pages_ask_is_asked_once() -> None:  # O-1
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    now = RecentAnswer(ask, 1000.0)
    assert [now(), now()] == [1, 1]
    always = RecentAnswer(ask, 0.0)
    assert [always(), always()] == [2, 3]


# What is kept


def moments(history: SystemHistory, machine: str) -> list[tuple[float, float | None]]:
    return [(round(one.cpu, 3), one.cards) for one in dict(history.machines).get(machine, ())]


def test_the_last_hour_is_kept_in_short_steps(plant: Plant) -> None:  # O-1
    cards = (
        Card(load=0.5, used_bytes=GIB, total_bytes=2 * GIB),
        Card(load=1.0, used_bytes=2 * GIB, total_bytes=2 * GIB),
    )
    plant.queue(1, JobKind.TRAINING)
    note_machine(plant.connection, says("gpu-1", 0.5, cards=cards), is_server=True)
    plant.keep()
    history = plant.history.last(Span.HOUR)
    [[name, [moment]]] = history.machines
    assert (name, moment.cpu, moment.memory, moment.cards, moment.cards_memory) == ("gpu-1", 0.5, 0.25, 0.75, 0.75)
    assert [(one.waiting_count, one.running_count) for one in history.line] == [(1, 0)]
    assert moment.at == history.until


def test_a_machine_without_gpus_has_no_line_of_them(plant: Plant) -> None:  # O-1
    note_machine(plant.connection, says("web-1", 0.5, cards=(Card(),)), is_server=True)
    note_machine(plant.connection, says("web-2", 0.5), is_server=True)
    plant.keep()
    assert [moments(plant.history.last(Span.HOUR), name) for name in ("web-1", "web-2")] == [[(0.5, None)]] * 2


def test_a_step_is_one_row_however_often_and_by_however_many_it_is_written(plant: Plant) -> None:  # O-1, S-2
    note_machine(plant.connection, says("web-1", 0.25), is_server=True)
    plant.keep(2)
    note_machine(plant.connection, says("web-1", 0.75), is_server=True)
    with psycopg.connect(plant.database, autocommit=True, row_factory=dict_row) as other:
        keep(other)
        plant.keep()
    shown = moments(plant.history.last(Span.HOUR), "web-1")
    assert len(shown) <= 2  # the test may cross the border of a step
    assert shown[-1] == (0.75, None)


def test_a_step_of_the_day_is_the_mean_of_its_short_steps_and_the_longest_line(plant: Plant) -> None:  # O-1
    step = PERIODS[Span.DAY].step.total_seconds()
    at = f"date_bin('{step} s', clock_timestamp(), 'epoch')"
    for seconds, cpu, waiting in ((0, 0.2, 1), (20, 0.4, 7), (40, 0.9, 4)):
        when = f"{at} + make_interval(secs => {seconds})"
        plant.connection.execute(
            f"INSERT INTO app.machine_history VALUES ('hour', 'web-1', {when}, %s, 0.5, NULL, NULL)".encode(), (cpu,)
        )
        plant.connection.execute(f"INSERT INTO app.line_history VALUES ('hour', {when}, %s, 0)".encode(), (waiting,))
    plant.keep()
    history = plant.history.last(Span.DAY)
    assert moments(history, "web-1") == [(0.5, None)]
    assert [one.waiting_count for one in history.line] == [7]


def test_a_silent_machine_leaves_a_gap(plant: Plant) -> None:  # O-1
    note_machine(plant.connection, says("gpu-1"))
    plant.keep()
    plant.later(FRESH_SECONDS + 30)
    plant.keep()
    history = plant.history.last(Span.HOUR)
    assert len(moments(history, "gpu-1")) == 1
    assert len(history.line) == 2


def test_old_rows_go_so_that_what_is_kept_is_bounded(plant: Plant) -> None:  # O-1
    note_machine(plant.connection, says("web-1"), is_server=True)
    plant.keep()
    plant.later(PERIODS[Span.HOUR].length.total_seconds())
    plant.keep()
    assert plant.history.last(Span.HOUR).machines == ()
    assert len(moments(plant.history.last(Span.DAY), "web-1")) == 1
    plant.later(PERIODS[Span.DAY].length.total_seconds())
    plant.keep()
    assert plant.count("machine_history") == 0
    assert plant.count("line_history") == 2  # of this moment, in either span


def test_what_is_kept_outlives_a_restart(plant: Plant) -> None:  # O-1
    note_machine(plant.connection, says("web-1"), is_server=True)
    plant.keep()
    create_side_tables(plant.database)
    with open_pool(plant.database, size=1) as pool:
        assert len(moments(LoadHistory(pool).last(Span.HOUR), "web-1")) == 1


def test_the_keeper_writes_every_few_seconds_only(plant: Plant) -> None:  # O-1
    keeper = LoadKeeper()
    keeper.keep_up(plant.connection)
    plant.connection.execute("DELETE FROM app.line_history")
    keeper.keep_up(plant.connection)
    assert plant.count("line_history") == 0


# The processes of the server on one machine


@contextmanager
def a_process_of_the_server(plant: Plant, state: Path) -> Iterator[None]:
    state.mkdir(exist_ok=True)
    environment = {"ASSAY_STATE": str(state), "ASSAY_DATABASE_URL": plant.database, "ASSAY_MACHINE_NAME": "fab/1"}
    with announced_machine(read_settings(environment)):
        yield


def test_a_process_of_the_server_announces_its_machine(plant: Plant, tmp_path: Path) -> None:  # O-1
    with a_process_of_the_server(plant, tmp_path / "state"):
        eventually(lambda: plant.machines.now().machines)
    [machine] = plant.machines.now().machines
    assert (machine.name, machine.is_server_silent) == ("fab/1", False)
    assert machine.figures is not None
    assert machine.figures.disks[0].total_bytes is not None


def test_of_several_processes_on_a_machine_one_measures_while_it_lives(tmp_path: Path) -> None:  # O-1
    first, second = (OnlyOne(tmp_path / "run" / "machine.lock") for _ in range(2))
    assert [first.is_me(), second.is_me(), first.is_me()] == [True, False, True]
    first.close()
    assert [second.is_me(), first.is_me()] == [True, False]
    second.close()


def test_where_files_cannot_be_locked_every_process_measures(tmp_path: Path) -> None:  # O-1
    (tmp_path / "run").write_text("no folder")
    assert all(OnlyOne(tmp_path / "run" / "machine.lock").is_me() for _ in range(2))
