"""What every process has in common, and the supervisor behind `assay up`, which starts Assay's processes, starts again what
dies, and stops all in order.

Whether it runs is told by a lock, which the kernel frees however the supervisor ends; `supervisor.json` beside it says
more. Its children die with it, so a killed supervisor leaves nothing behind but the database server, which the next
start attaches to.
"""

import contextlib
import ctypes
import fcntl
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import msgspec

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0
"""Between a death and the next start: a job must be in other hands within half a minute, however often its worker died."""
_STEADY_SECONDS = 60.0
_KILLING_ROUNDS = 3
"""A process may start another one while it is looked for; one that waits for a broken disk does not go, and nobody waits for it."""
LOG_BYTES = 20 * 2**20
"""Where a log begins anew; the one before it is kept."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One process to keep running. `{ready}` in `arguments` becomes the number of the descriptor for `report_ready`."""

    name: str
    arguments: tuple[str, ...]
    patience_seconds: float = 10.0
    """How long it may take to stop before it is killed."""
    can_wait: bool = False
    """It is started once all that cannot wait are ready, and takes no processor from them."""


class ProcessStatus(msgspec.Struct, frozen=True):
    """What `assay status` shows of one process; `pid` is None between a death and the next start."""

    name: str
    pid: int | None
    is_ready: bool
    restart_count: int


class SupervisorStatus(msgspec.Struct, frozen=True):
    """What the supervisor says of itself. `started_at_ticks` is the kernel's, so that a reused pid is not taken for it."""

    pid: int
    started_at_ticks: int
    address: str
    processes: tuple[ProcessStatus, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether every process works."""
        return bool(self.processes) and all(process.is_ready for process in self.processes)


class AlreadyRuns(RuntimeError):
    """Another supervisor holds the lock of this folder."""


class DoesNotStart(RuntimeError):
    """A process died again and again before it was ever ready, or took too long."""


class Lock:
    """The right to supervise in a folder, held as long as any process has the descriptor open."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` holds the lock already; `take_lock` makes one."""
        self.descriptor = descriptor

    def release(self) -> None:
        """Let the next one in, unless another process was given the descriptor, too."""
        os.close(self.descriptor)


def take_lock(folder: Path) -> Lock:
    """The lock of `folder`, which holds the supervisor's records.

    Raises:
        AlreadyRuns: somebody else has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyRuns(
            f"Assay runs in {folder.parent}. Stop it with `assay down`, or name another folder in ASSAY_STATE."
        ) from None
    return Lock(descriptor)


def read_status(folder: Path) -> SupervisorStatus | None:
    """What the running supervisor of `folder` last said; None when none runs, whatever a dead one left there."""
    try:
        status = msgspec.json.decode((folder / "supervisor.json").read_bytes(), type=SupervisorStatus)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return status if _start_of(status.pid) == status.started_at_ticks else None


def stop_supervisor(folder: Path, *, patience_seconds: float = 120.0) -> bool:
    """Ask the running supervisor to stop and wait until it is gone; False when none ran. It is killed when it does not listen."""
    status = read_status(folder)
    if status is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(status.pid)  # from here on it cannot be confused with a later process
        try:
            if _start_of(status.pid) != status.started_at_ticks:
                return False
            for manner in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(process, manner)
                if select.select([process], [], [], patience_seconds)[0]:
                    break
        finally:
            os.close(process)
    return True


def report_ready(descriptor: int | None) -> None:
    """Tell the supervisor, ours or systemd, that this process works now; without one nobody is told."""
    tell_systemd("READY=1")
    if descriptor is not None:
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, b"ready\n")
        os.close(descriptor)


def tell_systemd(state: str) -> None:
    """What sd_notify(3) sends; systemd names the socket in the environment, nobody else does."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(state.encode(), f"\0{address[1:]}" if address[0] == "@" else address)


def is_in_journal() -> bool:
    """Whether what this process prints is kept in systemd's journal, where others may read it. Terminals inherit the variable, so
    it has to name our very output, see systemd.exec(5).
    """
    printed = os.fstat(1)
    return os.environ.get("JOURNAL_STREAM") == f"{printed.st_dev}:{printed.st_ino}"


class Pulse:
    """When this process last went round its loop: the sign of a life that a thread beside it cannot fake."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beaten_at: float | None = None

    def beat(self) -> None:
        """The loop goes round."""
        self._beaten_at = self._clock()

    @property
    def silent_seconds(self) -> float:
        """Since the last beat; 0 before the first, because a start may take long."""
        return 0.0 if self._beaten_at is None else self._clock() - self._beaten_at


PULSE = Pulse()


class StopWanted(threading.Event):
    """Set by SIGTERM and Ctrl-C. Every loop asks it each time it goes round, which is its pulse."""

    def __init__(self) -> None:
        super().__init__()
        self._cond = threading.Condition(threading.RLock())  # a signal may come while this very thread holds the lock

    def is_set(self) -> bool:
        """Whether to stop."""
        self._beat()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Rest for so long, less when told to stop; whether to stop."""
        self._beat()
        return super().wait(timeout)

    @staticmethod
    def _beat() -> None:
        if threading.current_thread() is threading.main_thread():
            PULSE.beat()


@contextlib.contextmanager
def until_told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set."""
    stop = StopWanted()

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        tell_systemd("STOPPING=1")

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log, for the person at the terminal."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:]) if path.exists() else ""


def keep_bounded(log_file: Path, most_bytes: int = LOG_BYTES) -> None:
    """Let a log that has grown too long begin anew and keep one before it. Whoever writes into it goes on with the same open file,
    so it is copied and emptied, not renamed; a line of this very moment may be lost.

    Raises:
        OSError: there is no space for the copy; nothing has changed then.
    """
    if not log_file.exists() or log_file.stat().st_size <= most_bytes:
        return
    copying = log_file.with_suffix(".log.copying")
    try:
        shutil.copyfile(log_file, copying)
        copying.replace(log_file.with_suffix(".log.1"))
    finally:
        copying.unlink(missing_ok=True)
    os.truncate(log_file, 0)


class _Child:
    """A program with its process, if it has one at the moment."""

    def __init__(self, program: Program, log_file: Path) -> None:
        self.program = program
        self.log_file = log_file
        self.process: subprocess.Popen[bytes] | None = None
        self.is_ready = False
        self.restart_count = -1  # the first start is none
        self.start_at = 0.0
        self._started_at = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._ready_pipe: int | None = None

    @property
    def has_started(self) -> bool:
        """At least once."""
        return self.restart_count >= 0

    @property
    def status(self) -> ProcessStatus:
        pid = self.process.pid if self.process else None
        return ProcessStatus(self.program.name, pid, self.is_ready, max(self.restart_count, 0))

    def start(self) -> None:
        """Where there is no memory for a process, or no space for a log, the next look tries again."""
        self.restart_count += 1
        self._started_at = time.monotonic()
        try:
            self.process = self._new_process()
        except OSError:
            log.exception("process_not_started", extra={"name_of_process": self.program.name})
            self._put_off()
            return
        log.info("process_started", extra={"name_of_process": self.program.name, "pid": self.process.pid})

    def _new_process(self) -> subprocess.Popen[bytes]:
        supervisor = os.getpid()
        # Systemd hears the supervisor only.
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        self._ready_pipe, told = os.pipe()
        os.set_blocking(self._ready_pipe, False)
        try:
            with self.log_file.open("ab") as output:
                return subprocess.Popen(
                    [argument.replace("{ready}", str(told)) for argument in self.program.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[told],
                    env=environment,
                    start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops in order
                    preexec_fn=lambda: _die_with(supervisor),  # noqa: PLW1509 - no threads here that could hold a lock
                )
        except OSError:
            self._close_pipe()
            raise
        finally:
            os.close(told)

    def look(self) -> None:
        """Notice that it became ready, that it died, that it is time to start again."""
        if self.process is None:
            if time.monotonic() >= self.start_at:
                self.start()
            return
        if (exit_status := self.process.poll()) is not None:
            self._bury(exit_status)
        elif not self.is_ready and self._says_ready():
            self.is_ready = True
            log.info("process_ready", extra={"name_of_process": self.program.name})
        keep_bounded(self.log_file)

    def ask_to_stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def wait_until_stopped(self) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(self.program.patience_seconds)
        except subprocess.TimeoutExpired:
            log.warning("process_killed", extra={"name_of_process": self.program.name})
        self._kill_session()
        self.process.wait()
        self._close_pipe()
        self.process, self.is_ready = None, False

    def _bury(self, exit_status: int) -> None:
        self._kill_session()
        self._close_pipe()
        if time.monotonic() - self._started_at > _STEADY_SECONDS:
            self._pause_seconds = _FIRST_PAUSE_SECONDS
        died = {"name_of_process": self.program.name, "exit_status": exit_status, "pause_seconds": self._pause_seconds}
        log.warning("process_died", extra=died)
        self._put_off()

    def _put_off(self) -> None:
        self.process, self.is_ready = None, False
        self.start_at = time.monotonic() + self._pause_seconds
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)

    def _kill_session(self) -> None:
        """Whatever the process started itself goes with it, also what stands still or has made a group of its own: the job of a
        killed worker must not go on beside its successor.
        """
        leader = self.process.pid if self.process else None
        for _ in range(_KILLING_ROUNDS):
            for pid in _session_of(leader):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _says_ready(self) -> bool:
        if self._ready_pipe is None:
            return False
        try:
            return os.read(self._ready_pipe, 16) != b""
        except BlockingIOError:
            return False

    def _close_pipe(self) -> None:
        if self._ready_pipe is not None:
            os.close(self._ready_pipe)
            self._ready_pipe = None


class Supervisor:
    """Keeps programs running in a folder of records, from the first start until a signal or `DoesNotStart`."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        folder: Path,
        logs: Path,
        address: str,
        keep_foundation: Callable[[], None] = lambda: None,
    ) -> None:
        """Programs start in the given order, those that can wait after the others, and stop in the opposite of the given one.

        `keep_foundation` is called about every second and sees to what the programs stand on, the database server.
        """
        logs.mkdir(parents=True, exist_ok=True)
        self._children = [_Child(program, logs / f"{program.name}.log") for program in programs]
        self._folder = folder
        self._address = address
        self._keep_foundation = keep_foundation
        self._shown: SupervisorStatus | None = None

    def run(self, *, when_ready: Callable[[], None], start_within_seconds: float = 120.0, starts: int = 3) -> None:
        """Supervise until SIGTERM, SIGINT or SIGHUP; `when_ready` is called once, when every process works.

        Raises:
            DoesNotStart: a process died `starts` times before it was ready, or not all were ready in time.
        """
        with _signals() as signals:
            deadline: float | None = time.monotonic() + start_within_seconds
            try:
                while not signals.stop_wanted:
                    _tried(self._keep_foundation)
                    self._look()
                    _tried(self._show)
                    if deadline is not None:
                        if all(child.is_ready for child in self._children):
                            deadline = None
                            when_ready()
                        else:
                            self._refuse_hopeless(deadline, starts)
                    signals.wait(1.0 if deadline is None else 0.05)
            finally:
                self._stop()

    def _look(self) -> None:
        for child in self._children:
            if child.has_started or not child.program.can_wait:
                _tried(child.look)
        if all(child.is_ready for child in self._children if not child.program.can_wait):
            for child in self._children:
                if not child.has_started:
                    child.start()

    def _refuse_hopeless(self, deadline: float, starts: int) -> None:
        for child in self._children:
            is_hopeful = child.restart_count + 1 < starts and time.monotonic() < deadline
            if child.is_ready or not child.has_started or is_hopeful:
                continue
            if child.process is None or time.monotonic() >= deadline:
                said = last_lines(child.log_file)
                raise DoesNotStart(f"{child.program.name} does not start. The end of {child.log_file}:\n{said}")

    def _stop(self) -> None:
        """One after the other, so that nobody misses those it depends on."""
        for child in reversed(self._children):
            child.ask_to_stop()
            child.wait_until_stopped()
            log.info("process_stopped", extra={"name_of_process": child.program.name})
        (self._folder / "supervisor.json").unlink(missing_ok=True)

    def _show(self) -> None:
        statuses = tuple(child.status for child in self._children)
        status = SupervisorStatus(os.getpid(), _start_of(os.getpid()) or 0, self._address, statuses)
        if status != self._shown:
            beside = self._folder / ".supervisor.json"
            beside.write_bytes(msgspec.json.encode(status))
            beside.rename(self._folder / "supervisor.json")
            self._shown = status


def _tried(look: Callable[[], None]) -> None:
    """What fails, most often for a full disk, is tried again with the next look: nothing that runs may end because of it."""
    try:
        look()
    except Exception:  # an edge: the supervisor outlives whatever it looks after
        log.exception("look_failed")


class _Signals:
    """Signals turned into something to wait for; a dead child ends the wait at once."""

    def __init__(self, wakeup: int) -> None:
        self.stop_wanted = False
        self._wakeup = wakeup

    def handle(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.stop_wanted = True

    def wait(self, seconds: float) -> None:
        if select.select([self._wakeup], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakeup, 4096)


@contextlib.contextmanager
def _signals() -> Iterator[_Signals]:
    wakeup, written = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(written, False)
    signals = _Signals(wakeup)
    heard = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
    before = {number: signal.signal(number, signals.handle) for number in heard}
    descriptor_before = signal.set_wakeup_fd(written)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(descriptor_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(wakeup)
        os.close(written)


def _die_with(supervisor: int) -> None:
    """Runs in the child between fork and exec: the kernel kills it when the supervisor ends in whatever way."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:  # it ended before we asked
        os._exit(1)


def _start_of(pid: int) -> int | None:
    """When a living process was started, in ticks since boot; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _session_of(leader: int | None) -> list[int]:
    """The living processes of a session, none where there is no leader."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] != "Z":
                    found.append(int(entry.name))
    return found
