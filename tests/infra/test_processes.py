"""Supervision, with children of three lines that do what real ones may do."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from infra.processes import (
    LOG_BYTES,
    PULSE,
    AlreadyRuns,
    Program,
    Pulse,
    StopWanted,
    SupervisorStatus,
    keep_bounded,
    read_status,
    stop_supervisor,
    take_lock,
)
from tests.eventually import eventually
from tests.small_disk import fill, small_disk

CHECKOUT = Path(__file__).parents[2]
SUPERVISE = """
import sys
from pathlib import Path
import msgspec
from infra.processes import Program, Supervisor, take_lock
folder = Path(sys.argv[1])
lock = take_lock(folder)
programs = msgspec.json.decode(sys.argv[2], type=list[Program])
supervisor = Supervisor(programs, folder=folder, logs=folder / "logs", address="http://127.0.0.1:8080")
supervisor.run(when_ready=lambda: print("ready", flush=True), start_within_seconds=float(sys.argv[3]), starts=2)
"""


def obedient(name: str, folder: Path) -> Program:
    """Ready at once; tells when it starts and when it stops."""
    loop = "while :; do sleep 0.1 & wait; done"
    script = f'trap "echo {name} >> {folder}/stopped; exit" TERM; echo {name} >> {folder}/started; echo ready > /dev/fd/$0; {loop}'
    return Program(name=name, arguments=("sh", "-c", script, "{ready}"))


def deaf() -> Program:
    script = 'trap "" TERM; echo ready > /dev/fd/$0; while :; do sleep 0.1; done'
    return Program(name="worker", arguments=("sh", "-c", script, "{ready}"), patience_seconds=0.3)


def with_a_child() -> Program:
    """As a worker with its image decoders."""
    return Program(name="worker", arguments=("sh", "-c", "sleep 1000 & echo ready > /dev/fd/$0; wait", "{ready}"))


class Running:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, programs: Sequence[Program], *, within_seconds: float = 30.0) -> subprocess.Popen[str]:
        asked = msgspec.json.encode(programs).decode()
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, str(self.folder), asked, str(within_seconds)],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def start_ready(self, *programs: Program) -> subprocess.Popen[str]:
        process = self.start(programs)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    @property
    def status(self) -> SupervisorStatus:
        status = read_status(self.folder)
        assert status is not None
        return status

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.status.processes if process.pid]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    for process in running.started:
        process.kill()
        process.communicate()


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_status_shows_every_process_as_ready(running: Running) -> None:
    running.start_ready(obedient("projector", running.folder), obedient("web", running.folder))
    assert running.status.address == "http://127.0.0.1:8080"
    assert [(process.name, process.is_ready) for process in running.status.processes] == [
        ("projector", True),
        ("web", True),
    ]


def test_a_killed_process_is_started_again(running: Running) -> None:
    running.start_ready(obedient("worker", running.folder))
    (killed,) = running.pids
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: running.status.is_ready and running.pids != [killed])
    assert running.status.processes[0].restart_count == 1


def test_a_full_disk_ends_neither_the_supervisor_nor_what_it_looks_after(tmp_path: Path) -> None:  # S-2
    with small_disk(tmp_path / "state", 256) as disk:
        running = Running(disk)
        supervisor = running.start_ready(obedient("worker", tmp_path), obedient("web", tmp_path))
        filling = fill(disk)
        os.kill(running.pids[0], signal.SIGKILL)
        eventually(lambda: started(tmp_path) == ["web", "worker", "worker"])
        assert supervisor.poll() is None
        filling.unlink()
        eventually(
            lambda: [one.restart_count for one in running.status.processes] == [1, 0] and running.status.is_ready
        )
        assert stop_supervisor(disk)
        supervisor.communicate()


def test_a_process_that_cannot_be_started_now_is_started_later(running: Running) -> None:  # S-2
    supervisor = running.start_ready(obedient("worker", running.folder), obedient("web", running.folder))
    log_file = running.folder / "logs" / "worker.log"
    log_file.unlink()
    log_file.mkdir()  # nothing can be written there, as on a disk that lost its folders
    os.kill(running.pids[0], signal.SIGKILL)
    eventually(lambda: running.status.processes[0].restart_count == 1)
    assert supervisor.poll() is None
    log_file.rmdir()
    eventually(lambda: running.status.is_ready)
    assert started(running.folder) == ["web", "worker", "worker"]


def started(folder: Path) -> list[str]:
    """The names of the obedient, each as often as it was started."""
    return sorted((folder / "started").read_text().split())


def test_processes_stop_in_the_opposite_order_of_their_start(running: Running) -> None:
    names = ("projector", "dispatcher", "scanner", "worker", "web")
    process = running.start_ready(*(obedient(name, running.folder) for name in names))
    assert stop_supervisor(running.folder)
    assert process.wait() == 0
    assert (running.folder / "stopped").read_text().split() == ["web", "worker", "scanner", "dispatcher", "projector"]


def test_what_can_wait_starts_once_the_others_work_and_stops_in_its_place(running: Running) -> None:  # S-1
    names = ("projector", "worker", "web")
    programs = [msgspec.structs.replace(obedient(name, running.folder), can_wait=name == "worker") for name in names]
    process = running.start_ready(*programs)
    assert (running.folder / "started").read_text().split()[-1] == "worker"
    assert stop_supervisor(running.folder)
    assert process.wait() == 0
    assert (running.folder / "stopped").read_text().split() == ["web", "worker", "projector"]


def test_what_can_wait_is_never_started_where_the_others_do_not_work(running: Running) -> None:
    late = msgspec.structs.replace(obedient("worker", running.folder), can_wait=True)
    process = running.start([late, Program(name="web", arguments=("sh", "-c", "exit 1"))])
    assert process.wait() != 0
    assert "web does not start" in process.communicate()[1]
    assert not (running.folder / "logs" / "worker.log").exists()


def test_what_waited_once_is_started_again_at_once(running: Running) -> None:
    late = msgspec.structs.replace(obedient("worker", running.folder), can_wait=True)
    running.start_ready(obedient("web", running.folder), late)
    _, killed = running.pids
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: running.status.is_ready and killed not in running.pids)


def test_ctrl_c_stops_in_order_too(running: Running) -> None:
    process = running.start_ready(obedient("projector", running.folder), obedient("web", running.folder))
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    process.wait()
    assert (running.folder / "stopped").read_text().split() == ["web", "projector"]


def test_what_a_process_started_itself_goes_with_it(running: Running) -> None:
    running.start_ready(with_a_child())
    (worker,) = running.pids
    (decoder,) = children_of(worker)
    stop_supervisor(running.folder)
    eventually(lambda: is_gone(decoder))


def test_what_a_killed_process_started_goes_with_it_though_it_has_a_group_of_its_own_and_stands_still(
    running: Running,
) -> None:  # T-6
    """As the job of a worker, in the middle of a step that never ends."""
    script = "set -m; sleep 1000 & echo ready > /dev/fd/$0; wait"
    running.start_ready(Program(name="worker", arguments=("bash", "-c", script, "{ready}")))
    (worker,) = running.pids
    (job,) = children_of(worker)
    assert os.getpgid(job) == job
    os.kill(job, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: is_gone(job))


def test_a_process_that_does_not_listen_is_killed(running: Running) -> None:
    running.start_ready(deaf())
    (worker,) = running.pids
    stop_supervisor(running.folder)
    assert is_gone(worker)


def test_a_second_supervisor_is_refused_while_the_first_runs(running: Running) -> None:
    running.start_ready(obedient("web", running.folder))
    with pytest.raises(AlreadyRuns):
        take_lock(running.folder)


def test_nothing_is_left_of_a_killed_supervisor(running: Running) -> None:
    process = running.start_ready(obedient("web", running.folder), deaf())
    pids = running.pids
    process.kill()
    process.wait()
    eventually(lambda: all(is_gone(pid) for pid in pids))
    assert read_status(running.folder) is None
    take_lock(running.folder).release()


def test_a_process_that_dies_at_once_is_named_with_the_end_of_its_log(running: Running) -> None:
    broken = Program(name="worker", arguments=("sh", "-c", "echo no GPU driver; exit 7"))
    process = running.start([obedient("web", running.folder), broken])
    _, said = process.communicate()
    assert process.returncode == 1
    assert "worker does not start" in said
    assert "no GPU driver" in said
    assert (running.folder / "stopped").read_text() == "web\n", "the others are stopped in order"


def test_a_process_that_is_never_ready_is_given_up_in_time(running: Running) -> None:
    silent = Program(name="dispatcher", arguments=("sleep", "1000"))
    process = running.start([silent], within_seconds=0.5)
    _, said = process.communicate()
    assert "dispatcher does not start" in said


def test_a_log_begins_anew_before_it_fills_the_disk_and_loses_no_writer(tmp_path: Path) -> None:  # S-3
    log_file = tmp_path / "web.log"
    with log_file.open("ab", buffering=0) as written:  # as a child has it
        written.write(b"first\n" * 10)
        keep_bounded(log_file, 100)
        assert log_file.read_bytes() == b"first\n" * 10, "not yet"
        written.write(b"first\n" * 10)
        keep_bounded(log_file, 100)
        written.write(b"second\n")
    assert log_file.read_bytes() == b"second\n"
    assert (tmp_path / "web.log.1").read_bytes() == b"first\n" * 20


def test_a_log_that_cannot_be_copied_for_want_of_space_loses_nothing(tmp_path: Path) -> None:  # S-3
    with small_disk(tmp_path / "logs", 64) as disk:
        log_file, before = disk / "web.log", disk / "web.log.1"
        before.write_bytes(b"first\n")
        log_file.write_bytes(b"second\n" * 5000)
        with pytest.raises(OSError, match="No space left"):
            keep_bounded(log_file, 100)
        assert log_file.read_bytes() == b"second\n" * 5000
        assert before.read_bytes() == b"first\n"
        assert sorted(disk.iterdir()) == [log_file, before]


def test_the_log_of_a_running_process_is_kept_bounded(running: Running) -> None:  # S-3
    script = f"echo ready > /dev/fd/$0; head -c {LOG_BYTES + 1} /dev/zero; echo still here; sleep 1000"
    running.start_ready(Program(name="web", arguments=("sh", "-c", script, "{ready}")))
    logs = running.folder / "logs"
    eventually((logs / "web.log.1").exists)
    assert (logs / "web.log").stat().st_size <= LOG_BYTES


class Systemd:
    """What systemd hears of a process."""

    def __init__(self, folder: Path) -> None:
        self.address = folder / "notify"
        self._heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard.bind(str(self.address))
        self._heard.settimeout(20)

    def hears(self) -> str:
        return self._heard.recv(100).decode()

    def close(self) -> None:
        self._heard.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    systemd = Systemd(tmp_path)
    yield systemd
    systemd.close()


def test_systemd_hears_when_a_process_works_and_when_it_stops(systemd: Systemd) -> None:  # S-3
    script = (
        "from infra.processes import report_ready, until_told_to_stop\n"
        "with until_told_to_stop() as stop:\n"
        "    report_ready(None)\n"
        "    while not stop.wait(0.1): pass\n"
    )
    environment = {**os.environ, "NOTIFY_SOCKET": str(systemd.address)}
    with subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT, env=environment) as process:
        assert systemd.hears() == "READY=1"
        process.send_signal(signal.SIGTERM)
        assert systemd.hears() == "STOPPING=1"
    assert process.returncode == 0


def test_systemd_hears_of_the_supervisor_and_not_of_those_below_it(
    running: Running, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:  # S-3
    monkeypatch.setenv("NOTIFY_SOCKET", str(systemd.address))
    told = running.folder / "told"
    script = f'echo "${{NOTIFY_SOCKET-nobody}}" > {told}; echo ready > /dev/fd/$0; while :; do sleep 0.1; done'
    running.start_ready(Program(name="worker", arguments=("sh", "-c", script, "{ready}"), patience_seconds=0.3))
    assert told.read_text() == "nobody\n"


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_journal_is_known_by_our_own_output_not_by_a_variable_that_terminals_inherit(is_ours: bool) -> None:  # S-3
    reading, writing = os.pipe()
    journal = os.fstat(writing)
    environment = {**os.environ, "JOURNAL_STREAM": f"{journal.st_dev}:{journal.st_ino + (not is_ours)}"}
    script = "from infra.processes import is_in_journal; print(is_in_journal())"
    subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, env=environment, stdout=writing, check=True)
    os.close(writing)
    with os.fdopen(reading) as printed:
        assert printed.read() == f"{is_ours}\n"


def test_a_loop_that_goes_round_is_the_pulse_and_a_thread_beside_it_is_not() -> None:  # S-3
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    assert pulse.silent_seconds == 0.0, "a start may take long"
    pulse.beat()
    now[0] = 7.0
    assert pulse.silent_seconds == 7.0
    stop = StopWanted()
    beside = threading.Thread(target=stop.is_set)
    before = PULSE.silent_seconds
    beside.start()
    beside.join()
    assert PULSE.silent_seconds >= before
    stop.wait(0)
    assert PULSE.silent_seconds < 1.0


def test_a_record_of_a_dead_supervisor_is_not_believed_when_its_pid_is_reused(tmp_path: Path) -> None:
    stale = SupervisorStatus(pid=os.getpid(), started_at_ticks=1, address="http://127.0.0.1:8080")
    (tmp_path / "supervisor.json").write_bytes(msgspec.json.encode(stale))
    assert read_status(tmp_path) is None
    assert not stop_supervisor(tmp_path), "it would have stopped these tests"


def test_a_supervisor_that_hangs_is_killed_with_its_processes(running: Running) -> None:
    process = running.start_ready(obedient("web", running.folder))
    pids = running.pids
    process.send_signal(signal.SIGSTOP)
    assert stop_supervisor(running.folder, patience_seconds=0.2)
    process.wait()
    eventually(lambda: all(is_gone(pid) for pid in pids))


def test_a_second_up_says_that_it_runs_already_and_where(tmp_path: Path) -> None:
    running = Running(tmp_path / "run")
    process = running.start_ready(obedient("web", tmp_path))
    environment = {**os.environ, "ASSAY_STATE": str(tmp_path)}
    second = subprocess.run(
        [sys.executable, "-m", "infra.cli", "up", "--background"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    stop_supervisor(running.folder)
    process.communicate()
    assert (second.returncode, second.stdout) == (0, "Assay runs already at http://127.0.0.1:8080\n")
