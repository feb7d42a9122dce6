"""How a process tells how it fares: whether it lives, whether it can work, and what it counts.

Each process answers HTTP on a socket of its own in the run folder, which only its user can open: `/health`, `/ready`, `/metrics`.
`assay health` asks there. With `ASSAY_METRICS_PORT`, one process of the machine, whichever came first, answers for all of them on
that port, too; when it ends, another takes over. So the same setting works wherever processes run, alone or together.
"""

import contextlib
import errno
import fcntl
import http.client
import logging
import os
import socket
import socketserver
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from infra.metrics import REGISTRY
from infra.processes import PULSE, Pulse, tell_systemd
from infra.readiness import Readiness, is_ready

log = logging.getLogger(__name__)

SUFFIX = ".sock"
STUCK_SECONDS = 600.0
"""So long a loop may take to go round: longer than it takes to keep an export of many gigabytes on slow storage."""
ASKED_WITHIN_SECONDS = 5.0
_TURN_SECONDS = 0.5
_TAKE_OVER_SECONDS = 2.0
_TOLD_WITHIN_WATCHDOG = 3
"""So often systemd hears of us in the time after which it would end us."""
_METRICS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process says of itself. `status` is alive or stuck; to who asked for readiness ready, starting, not_ready or stuck."""

    process: str
    status: str
    parts: dict[str, str] = {}

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to do."""
        return self.status in {"alive", "ready"}


class VitalSigns:
    """Those of this process."""

    def __init__(self, process: str, readiness: Readiness, pulse: Pulse = PULSE) -> None:
        self.process = process
        self._readiness, self._pulse = readiness, pulse
        self._has_started = False

    def started(self) -> None:
        """The process works from now on."""
        self._pulse.beat()
        self._has_started = True

    @property
    def is_alive(self) -> bool:
        """Whether its loop goes round."""
        return self._pulse.silent_seconds < STUCK_SECONDS

    def health(self) -> Told:
        """Whether it lives; asks nobody else."""
        return Told(self.process, "alive" if self.is_alive else "stuck")

    def readiness(self) -> Told:
        """Whether it can work, and what keeps it from that."""
        if not self.is_alive:
            return Told(self.process, "stuck")
        parts = self._readiness.parts()
        if not self._has_started:
            return Told(self.process, "starting", parts)
        return Told(self.process, "ready" if is_ready(parts) else "not_ready", parts)


@contextlib.contextmanager
def told(vital_signs: VitalSigns, run_folder: Path, *, host: str, port: int | None) -> Iterator[None]:
    """Inside, whoever asks is told: in the run folder, and for the whole machine on a port where one is given."""
    ending = threading.Event()
    listening, place = _listen(run_folder, vital_signs)
    threads = [threading.Thread(target=_answer_here, args=(listening, vital_signs, ending), name="vital signs")]
    if port is not None:
        threads.append(
            threading.Thread(target=_answer_for_all, args=(host, port, run_folder, ending), name="metrics port")
        )
    for thread in threads:
        thread.daemon = True
        thread.start()
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        ending.set()
        for thread in threads:
            thread.join()


def processes_in(run_folder: Path) -> list[str]:
    """Those that run here, or were killed here and have not come back."""
    return sorted(place.stem for place in run_folder.glob(f"*{SUFFIX}"))


def ask(run_folder: Path, process: str, question: str) -> Told | None:
    """`health` or `ready` of a process; None where it does not answer."""
    answer = _fetch(run_folder, process, f"/{question}")
    return msgspec.json.decode(answer, type=Told) if answer is not None else None


def _listen(run_folder: Path, vital_signs: VitalSigns) -> tuple["_OnSocket", Path]:
    """A socket under the name of the process, with a number where another process has that name and lives."""
    run_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (run_folder / "names.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = vital_signs.process
        for number in count(1):
            vital_signs.process = wanted if number == 1 else f"{wanted}-{number}"
            place = run_folder / f"{vital_signs.process}{SUFFIX}"
            if not _somebody_listens(place):
                place.unlink(missing_ok=True)
                with _near(place) as address:
                    listening = _OnSocket(address, _handler(_answers_here(vital_signs)))
                place.chmod(stat.S_IRUSR | stat.S_IWUSR)
                return listening, place
        raise AssertionError


def _somebody_listens(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, _near(place) as address:
        probe.settimeout(ASKED_WITHIN_SECONDS)
        try:
            probe.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True  # it is there and has no time for us
        return True


@contextlib.contextmanager
def _near(place: Path) -> Iterator[str]:
    """The address of a socket however deep its folder lies: a path to one must not be longer than 107 bytes."""
    folder = os.open(place.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{place.name}"
    finally:
        os.close(folder)


class _Answering(socketserver.ThreadingMixIn, socketserver.BaseServer):
    daemon_threads = True
    timeout = _TURN_SECONDS

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's names
        log.warning("look_broke_off", exc_info=sys.exc_info())


class _OnSocket(_Answering, socketserver.UnixStreamServer):
    pass


class _OnPort(_Answering, socketserver.TCPServer):
    allow_reuse_address = True

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)


Answers = dict[str, Callable[[], tuple[bool, str, bytes]]]
"""By path: whether all is well, the kind of the content, the content."""


def _handler(answers: Answers) -> type[BaseHTTPRequestHandler]:
    class Asked(BaseHTTPRequestHandler):
        timeout = ASKED_WITHIN_SECONDS

        def answer(self) -> None:
            """One question, then the connection ends."""
            answer = answers.get(self.path.partition("?")[0])
            if answer is None:
                self.send_error(http.HTTPStatus.NOT_FOUND)
                return
            is_well, kind, content = answer()
            self.send_response(http.HTTPStatus.OK if is_well else http.HTTPStatus.SERVICE_UNAVAILABLE)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = answer  # noqa: N815 - the library's name

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's names
            """Nobody wants a line for each look."""

        def version_string(self) -> str:
            """Not which Python this is."""
            return "assay"

    return Asked


def _answers_here(vital_signs: VitalSigns) -> Answers:
    def of(look: Callable[[], Told]) -> Callable[[], tuple[bool, str, bytes]]:
        def answer() -> tuple[bool, str, bytes]:
            said = look()
            return said.is_well, "application/json", msgspec.json.encode(said)

        return answer

    return {
        "/health": of(vital_signs.health),
        "/ready": of(vital_signs.readiness),
        "/metrics": lambda: (True, _METRICS_TEXT, generate_latest(REGISTRY)),
    }


def _answers_for_all(run_folder: Path) -> Answers:
    def of(question: str) -> Callable[[], tuple[bool, str, bytes]]:
        def answer() -> tuple[bool, str, bytes]:
            names = processes_in(run_folder)
            said = [ask(run_folder, name, question) or Told(name, "away") for name in names]
            return all(one.is_well for one in said), "application/json", msgspec.json.encode(said)

        return answer

    def metrics() -> tuple[bool, str, bytes]:
        registry = CollectorRegistry()
        registry.register(Gathered(run_folder))
        return True, _METRICS_TEXT, generate_latest(registry)

    return {"/health": of("health"), "/ready": of("ready"), "/metrics": metrics}


class Gathered(Collector):
    """The metrics of all processes of the run folder; the label `process` tells them apart."""

    def __init__(self, run_folder: Path) -> None:
        self._run_folder = run_folder

    def collect(self) -> Iterator[Metric]:
        """Each family once, with the samples of every process that has it."""
        families: dict[str, Metric] = {}
        up = GaugeMetricFamily("assay_process_up", "Whether a process of this machine answers.", labels=["process"])
        ready = GaugeMetricFamily("assay_process_ready", "Whether it can work.", labels=["process"])
        for process in processes_in(self._run_folder):
            content = _fetch(self._run_folder, process, "/metrics")
            said = ask(self._run_folder, process, "ready")
            up.add_metric([process], float(content is not None))
            ready.add_metric([process], float(said is not None and said.is_well))
            for family in text_string_to_metric_families(content.decode()) if content is not None else ():
                known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    known.add_sample(sample.name, {"process": process, **sample.labels}, sample.value)
        yield from (up, ready, *families.values())


def _answer_here(listening: _OnSocket, vital_signs: VitalSigns, ending: threading.Event) -> None:
    watchdog_seconds, tell_at = _watchdog_seconds(), 0.0
    with listening:
        while not ending.is_set():
            listening.handle_request()
            if watchdog_seconds and time.monotonic() >= tell_at and vital_signs.is_alive:
                tell_systemd("WATCHDOG=1")
                tell_at = time.monotonic() + watchdog_seconds / _TOLD_WITHIN_WATCHDOG


def _watchdog_seconds() -> float:
    """How often systemd wants to hear that we live; 0 where it does not, or means the process that started us."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6


def _answer_for_all(host: str, port: int, run_folder: Path, ending: threading.Event) -> None:
    """Answer on the port as soon as nobody else does."""
    has_told = False
    while not ending.is_set():
        try:
            listening = _OnPort(host, port, _handler(_answers_for_all(run_folder)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE and not has_told:
                has_told = True
                log.warning("metrics_port_cannot_be_opened", extra={"host": host, "port": port, "problem": str(error)})
            ending.wait(_TAKE_OVER_SECONDS)
            continue
        with listening:
            while not ending.is_set():
                listening.handle_request()


class _OverSocket(http.client.HTTPConnection):
    """HTTP to one process of the run folder."""

    def __init__(self, place: Path) -> None:
        super().__init__("localhost", timeout=ASKED_WITHIN_SECONDS)
        self._place = place

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        with _near(self._place) as address:
            self.sock.connect(address)


def _fetch(run_folder: Path, process: str, path: str) -> bytes | None:
    """What a process answers, whether it is well or not; None where it does not."""
    try:
        with contextlib.closing(_OverSocket(run_folder / f"{process}{SUFFIX}")) as connection:
            connection.request("GET", path)
            return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return None
