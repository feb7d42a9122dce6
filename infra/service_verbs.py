"""What starts and stops an installation, and says what runs: `up`, `down`, `status`, `demo` and `prepare`."""

import functools
import logging
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.embedded_postgres import (
    database_for_a_moment,
    ensure_postgres,
    postgres_runs,
    stop_postgres,
    with_database,
)
from infra.kept_secrets import STILL_TO_BE_TOLD, forget_first_password, untold_password
from infra.logs import start_logging
from infra.postgres_programs import PostgresFailed
from infra.processes import (
    AlreadyRuns,
    DoesNotStart,
    Lock,
    Supervisor,
    is_in_journal,
    keep_bounded,
    last_lines,
    read_status,
    report_ready,
    stop_supervisor,
    take_lock,
)
from infra.programs import program, programs_of
from infra.settings import (
    Settings,
    WrongSetting,
    refuse_unfinished_restore,
    remember_data_root,
    secrets_in,
)

log = logging.getLogger(__name__)

DEMO_ROOT = "demo"
"""The data root of the images that the demo makes or copies; it lies in the state folder."""
NOT_RUNNING = 3  # as systemd's status says it


def add_service_verbs(verbs: Any) -> None:
    """Add the verbs to those of `infra.cli`."""
    start = verbs.add_parser("up", help="start everything; Ctrl-C stops it")
    start.add_argument("--background", action="store_true", help="return when everything works; `assay down` stops it")
    start.set_defaults(run=lambda settings, asked: up(settings, in_background=asked.background))
    verbs.add_parser("down", help="stop everything").set_defaults(run=lambda settings, _: down(settings))
    verbs.add_parser("status", help="show what runs").set_defaults(run=lambda settings, _: status(settings))
    verbs.add_parser(
        "prepare", help="make tables, folders and the first administrator where they are missing (`up` does)"
    ).set_defaults(run=lambda settings, _: prepare(settings))
    show = verbs.add_parser("demo", help="start in the background and put one job through")
    show.add_argument("--images", type=Path, metavar="FOLDER", help="your own images, a folder for each defect code")
    show.set_defaults(run=lambda settings, asked: demo(settings, asked.images))
    hidden = verbs.add_parser("supervise")
    hidden.add_argument("--lock-fd", type=int, required=True)
    hidden.add_argument("--ready-fd", type=int, required=True)
    hidden.set_defaults(run=lambda settings, asked: supervise(settings, Lock(asked.lock_fd), asked.ready_fd))


def up(settings: Settings, *, in_background: bool) -> int:
    """Start everything; returns when it is stopped, or in the background when every process works."""
    return _up(settings, in_background=in_background)[0]


def _up(settings: Settings, *, in_background: bool) -> tuple[int, list[str]]:
    """The exit status, and what the first start said about the sign-in."""
    try:
        lock = take_lock(settings.records)
    except AlreadyRuns:
        return _say_that_it_runs(settings), []
    refuse_unfinished_restore(settings)
    _refuse_taken_ports(settings)
    _fetch_local_broker(settings)
    try:
        sign_in = _prepare(settings)
    except BaseException:
        stop_postgres(settings)
        raise
    if in_background:
        return _start_in_background(settings, lock), sign_in
    print("Starting. Ctrl-C stops everything.")
    return supervise(settings, lock, ready_fd=None), sign_in


def supervise(settings: Settings, lock: Lock, ready_fd: int | None) -> int:
    """Keep the processes running until a signal comes; the outcome of the start goes to `ready_fd` or the terminal."""
    level = logging.INFO if ready_fd is not None else logging.WARNING
    start_logging("supervisor", level=level, hidden=secrets_in(settings))
    supervisor = Supervisor(
        [program(name) for name in programs_of(settings)],
        folder=settings.records,
        logs=settings.logs,
        address=settings.address,
        keep_foundation=functools.partial(_keep_foundation, settings),
    )

    def say_ready() -> None:
        if ready_fd is None:
            print(f"Assay runs at {settings.address}")
        report_ready(ready_fd)

    try:
        supervisor.run(when_ready=say_ready)
    except DoesNotStart as error:
        if ready_fd is None:
            raise
        os.write(ready_fd, str(error).encode())
        return 1
    finally:
        stop_postgres(settings)
        lock.release()
    return 0


def down(settings: Settings) -> int:
    """Stop everything, also what a killed supervisor left."""
    stopped = stop_supervisor(settings.records)
    try:
        take_lock(settings.records).release()
    except AlreadyRuns:
        print("Assay is just starting or stopping. Try again in a moment.", file=sys.stderr)
        return 1
    stopped = postgres_runs(settings) or stopped
    stop_postgres(settings)
    print("Assay has stopped." if stopped else "Assay was not running.")
    return 0


def status(settings: Settings) -> int:
    """Print what runs."""
    running = read_status(settings.records)
    if running is None:
        print("Assay is not running.")
        if any(settings.run.glob("*.sock")):
            print("Processes that systemd or containers start are told of by `assay health`.")
        return NOT_RUNNING
    print(f"Assay runs at {running.address} (process {running.pid})")
    for process in running.processes:
        state = "ready" if process.is_ready else "starting" if process.pid else "waiting to start"
        print(f"  {process.name:<12}{process.pid or '-':<10}{state:<24}restarts: {process.restart_count}")
    return 0 if running.is_ready else 1


def demo(settings: Settings, images: Path | None) -> int:
    """Start everything in the background, then put the main job through; with `images` on the user's own."""
    known, root = dict(settings.data_roots), None
    (settings.state / DEMO_ROOT).mkdir(parents=True, exist_ok=True)
    settings = remember_data_root(settings, DEMO_ROOT, settings.state / DEMO_ROOT)
    if images is not None:
        root = _root_name(images.resolve(), known)
        settings = remember_data_root(settings, root, images)
    if settings.data_roots != known and stop_supervisor(settings.records):
        print("Starting again, so that every process knows the folders of images.")
    started, sign_in = _up(settings, in_background=True)
    if started:
        return started
    from infra import bootstrap  # noqa: PLC0415 - loads every layer; `down` and `status` need none

    return bootstrap.run_demo(with_database(settings), root, DEMO_ROOT, sign_in)


def prepare(settings: Settings) -> int:
    """Make tables, folders and the first administrator where they are missing, for processes that no `up` starts.

    What it prints may end in a journal, so a made-up password is not among it.
    """
    with database_for_a_moment(settings) as with_database:
        _prepare(with_database, is_overheard=True)
    print("Everything is prepared.")
    return 0


def _prepare(settings: Settings, *, is_overheard: bool = False) -> list[str]:
    """What the first start says is printed; where others could read that later, a made-up password stays in its file."""
    from infra.first_start import prepare  # noqa: PLC0415 - as above

    _tell_missing_roots(settings)
    told = prepare(with_database(settings))
    if (is_overheard or is_in_journal()) and untold_password(settings) is not None:
        print(f"“{settings.administrator}” signs in with the password in {settings.state / STILL_TO_BE_TOLD}.")
        print("Read it, change it in 管理账户信息 (My account), and remove the file.", flush=True)
        return []
    for sentence in told:
        print(sentence, flush=True)
    forget_first_password(settings)
    return told


def _tell_missing_roots(settings: Settings) -> None:
    """A folder may be mounted later, so nobody is kept from starting."""
    for variable, roots in (("ASSAY_DATA_ROOTS", settings.data_roots), ("ASSAY_ARCHIVE_ROOTS", settings.archive_roots)):
        for name, root in roots.items():
            if not root.is_relative_to(settings.state) and not root.is_dir():
                print(f"{variable}: there is no folder {root} yet, so nothing is found in “{name}”.", file=sys.stderr)


def _start_in_background(settings: Settings, lock: Lock) -> int:
    outcome, told = os.pipe()
    settings.logs.mkdir(parents=True, exist_ok=True)
    own_log = settings.logs / "supervisor.log"
    with own_log.open("ab") as output:
        subprocess.Popen(
            [
                *(sys.executable, "-m", "infra.cli", "supervise"),
                *("--lock-fd", str(lock.descriptor), "--ready-fd", str(told)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[lock.descriptor, told],
            start_new_session=True,
        )
    os.close(told)
    lock.release()  # the supervisor holds it now
    with os.fdopen(outcome) as pipe:
        said = pipe.read()  # until the supervisor has spoken or is gone
    if said != "ready\n":
        print(said or f"The supervisor did not start. The end of {own_log}:\n{last_lines(own_log)}", file=sys.stderr)
        return 1
    print(f"Assay runs at {settings.address}")
    return 0


def _fetch_local_broker(settings: Settings) -> None:
    if settings.kafka is not None and settings.kafka.is_local:
        from infra import local_kafka  # noqa: PLC0415 - as above

        local_kafka.fetch_broker()


def _say_that_it_runs(settings: Settings) -> int:
    running = read_status(settings.records)
    if running and running.is_ready:
        print(f"Assay runs already at {running.address}")
        return 0
    print("Assay is starting or stopping already, or a process keeps failing; see `assay status`.", file=sys.stderr)
    return 1


def _refuse_taken_ports(settings: Settings) -> None:
    _refuse_taken_port(settings.host, settings.port, "ASSAY_PORT (and ASSAY_HOST)")
    if settings.metrics_port is not None:
        _refuse_taken_port(settings.metrics_host, settings.metrics_port, "ASSAY_METRICS_PORT (and ASSAY_METRICS_HOST)")


def _refuse_taken_port(host: str, port: int, variables: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise WrongSetting(
                f"{host}:{port} cannot be used ({error.strerror}). Set {variables} to a free address."
            ) from error


def _keep_foundation(settings: Settings) -> None:
    _keep_database(settings)
    for log_file in (settings.logs / "supervisor.log", settings.state / "postgres" / "server.log"):
        keep_bounded(log_file)


def _keep_database(settings: Settings) -> None:
    if settings.database_url or postgres_runs(settings):
        return
    log.warning("database_died")
    try:
        ensure_postgres(settings)
    except PostgresFailed:
        log.exception("database_does_not_start")  # the next look tries again


def _root_name(folder: Path, known: dict[str, Path]) -> str:
    for name, root in known.items():
        if root.resolve() == folder:
            return name
    plain = re.sub(r"[^a-z0-9_-]+", "-", folder.name.lower()).strip("-_") or "images"
    names = [plain, *(f"{plain}-{number}" for number in range(2, len(known) + 3))]
    return next(name for name in names if name not in known)
