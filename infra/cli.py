"""The command line. Its verbs are the words of the README; `infra.bootstrap` builds what they start."""

import argparse
import functools
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import msgspec

from infra.audit_options import add_audit_verbs
from infra.backup_options import add_backup_verbs
from infra.embedded_postgres import ensure_postgres, postgres_runs, stop_postgres
from infra.logs import start_logging
from infra.postgres_programs import PostgresFailed
from infra.processes import (
    AlreadyRuns,
    DoesNotStart,
    Lock,
    Program,
    Supervisor,
    is_in_journal,
    keep_bounded,
    last_lines,
    read_status,
    report_ready,
    stop_supervisor,
    take_lock,
)
from infra.settings import (
    CHECKOUT,
    STILL_TO_BE_TOLD,
    Settings,
    WrongSetting,
    forget_first_password,
    read_settings,
    refuse_unfinished_restore,
    remember_data_root,
    secrets_in,
    untold_password,
)
from infra.storage_options import add_storage_verb
from infra.worker_roles import ROLES

log = logging.getLogger(__name__)

PROGRAMS = (
    "broker",
    "projector",
    "dispatcher",
    "relay",
    "feed",
    "notary",
    "scanner",
    "housekeeper",
    "worker",
    "packager",
    "web",
)
"""In the order of their start; they stop the other way round. Which of them run is told by `programs_of`."""
CAN_WAIT = ("notary", "scanner", "housekeeper", "worker", "packager")
"""What no page stands on starts once the pages are there: each keeps a processor busy for some tenths of a second, and a worker's
first look at what it computes with for seconds."""

MOST_FINDINGS_SHOWN = 20
PATIENCE_SECONDS = {"web": 30.0, "worker": 40.0, "packager": 40.0}
"""How long a process may take to stop before it is killed: the web server lets those finish whom it is answering (20 s), a worker
waits for the checkpoint of its job (30 s)."""
OTHERS_PATIENCE_SECONDS = 10.0

DEMO_ROOT = "demo"
"""The data root of the images that the demo makes or copies; it lies in the state folder."""
_NOT_RUNNING = 3  # as systemd's status says it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        settings = read_settings()
        return _run(asked, settings)
    except (WrongSetting, PostgresFailed, DoesNotStart, AlreadyRuns) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(asked: argparse.Namespace, settings: Settings) -> int:  # noqa: C901 - a case a verb
    match asked.verb:
        case "up":
            return up(settings, in_background=asked.background)
        case "down":
            return down(settings)
        case "status":
            return status(settings)
        case "demo":
            return demo(settings, asked.images)
        case "package":
            return package(settings, asked)
        case "verify":
            return verify(settings, asked.key)
        case "export-log":
            return export_log(settings, asked.target)
        case "prepare":
            return prepare(settings)
        case "health":
            return health(settings, asked.process, question="health" if asked.alive else "ready")
        case "feed-status":
            return feed_status(settings)
        case "unusable-reports":
            return unusable_reports(settings, asked)
        case "event-schemas":
            return event_schemas(asked.folder)
        case "audit" | "provenance" | "rebuild" | "replay":
            return audited(settings, asked)
        case "backup":
            return backup(settings, asked)
        case "restore":
            return restore(settings, asked)
        case "storage":
            return storage(settings, asked)
        case "supervise":
            return supervise(settings, Lock(asked.lock_fd), asked.ready_fd)
        case _:
            return run_process(settings, asked.verb, asked.ready_fd)


def programs_of(settings: Settings) -> list[str]:
    """What runs beside each other: relay and feed where there is Kafka, a broker of our own where it is to be local."""
    has_none = settings.kafka is None
    is_left_out = {
        "broker": settings.kafka is None or not settings.kafka.is_local,
        "relay": has_none,
        "feed": has_none,
    }
    return [name for name in PROGRAMS if not is_left_out.get(name)]


def up(settings: Settings, *, in_background: bool) -> int:
    """Start everything; returns when it is stopped, or in the background when every process works."""
    return _up(settings, in_background=in_background)[0]


def _up(settings: Settings, *, in_background: bool) -> tuple[int, list[str]]:
    """The exit status, and what the first start said about the sign-in."""
    try:
        lock = take_lock(_records(settings))
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
        [_program(name) for name in programs_of(settings)],
        folder=_records(settings),
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
    stopped = stop_supervisor(_records(settings))
    try:
        take_lock(_records(settings)).release()
    except AlreadyRuns:
        print("Assay is just starting or stopping. Try again in a moment.", file=sys.stderr)
        return 1
    stopped = postgres_runs(settings) or stopped
    stop_postgres(settings)
    print("Assay has stopped." if stopped else "Assay was not running.")
    return 0


def status(settings: Settings) -> int:
    """Print what runs."""
    running = read_status(_records(settings))
    if running is None:
        print("Assay is not running.")
        return _NOT_RUNNING
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
    if settings.data_roots != known and stop_supervisor(_records(settings)):
        print("Starting again, so that every process knows the folders of images.")
    started, sign_in = _up(settings, in_background=True)
    if started:
        return started
    from infra import bootstrap  # noqa: PLC0415 - loads every layer; `down` and `status` need none

    return bootstrap.run_demo(_with_database(settings), root, DEMO_ROOT, sign_in)


def package(settings: Settings, asked: argparse.Namespace) -> int:
    """Build a model image package, or verify one."""
    from domain.refusals import Refusal, Refusals  # noqa: PLC0415
    from infra import package_options  # noqa: PLC0415 - needs torch

    try:
        for line in package_options.run(asked, next(iter(settings.archive_roots.values()))):
            print(line)
    except (package_options.WrongOption, Refusal, Refusals, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def verify(settings: Settings, key: str | None) -> int:
    """Verify the log against its chain and its seals; 1 where something does not fit."""
    from infra import bootstrap  # noqa: PLC0415 - as above

    try:
        with _database_for_a_moment(settings) as settings:
            public_key, found = bootstrap.verify_log(settings, bytes.fromhex(key) if key else None)
    except ValueError as error:
        print(f"The seals cannot be verified: {error}", file=sys.stderr)
        return 2
    for finding in found.findings[:MOST_FINDINGS_SHOWN]:
        print(f"position {finding.position}: {finding.what}")
    if len(found.findings) > MOST_FINDINGS_SHOWN:
        print(f"… and {len(found.findings) - MOST_FINDINGS_SHOWN} more")
    print(f"{found.event_count:,} events, {found.chained_count:,} of them chained, {found.seal_count:,} seals.")
    print(
        f"Public key of the seals: {public_key.hex()}{'' if key else ' (of this installation; keep a copy elsewhere)'}"
    )
    print("Something does not fit." if found.findings else "Everything fits.")
    return 1 if found.findings else 0


def export_log(settings: Settings, target: Path) -> int:
    """Write the log as JSON Lines that `infra/chain.py` verifies on any machine."""
    from infra import bootstrap  # noqa: PLC0415 - as above

    try:
        with _database_for_a_moment(settings) as settings:
            count = bootstrap.export_log(settings, target)
    except OSError as error:
        print(f"{target} cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"{count:,} events in {target}; the seals are in {settings.seals}.")
    return 0


def prepare(settings: Settings) -> int:
    """Make tables, folders and the first administrator where they are missing, for processes that no `up` starts.

    What it prints may end in a journal, so a made-up password is not among it.
    """
    with _database_for_a_moment(settings) as with_database:
        _prepare(with_database, is_overheard=True)
    print("Everything is prepared.")
    return 0


def health(settings: Settings, processes: Sequence[str], *, question: str) -> int:
    """Print how processes of this machine fare; 1 where one is not well, 3 where one, or all, do not run."""
    from infra import vital_signs  # noqa: PLC0415 - as above

    running = vital_signs.processes_in(settings.run)
    names = [name for asked in processes for name in _instances(asked, running)] if processes else running
    if not names:
        print("No process of Assay runs here.")
    outcome = 0 if names else _NOT_RUNNING
    for name in names:
        said = vital_signs.ask(settings.run, name, question)
        if said is None:
            print(f"{name:<12}does not run")
            outcome = _NOT_RUNNING
            continue
        parts = "".join(f"  {part}: {state}" for part, state in said.parts.items())
        print(f"{name:<12}{said.status:<10}{parts}".rstrip())
        outcome = outcome or int(not said.is_well)
    return outcome


def feed_status(settings: Settings) -> int:
    """Print how far the feed and the relay are; 1 where something holds one of them up."""
    from infra import bootstrap  # noqa: PLC0415 - as above

    with _database_for_a_moment(settings) as settings:
        state, relay = bootstrap.feed_state(settings)
    if settings.kafka is None:
        print("Kafka is not configured (ASSAY_KAFKA_BROKERS): events are read through the HTTP API only.")
    sent_at = f", the last at {state.sent_at:%Y-%m-%d %H:%M:%S %Z}" if state.sent_at else ""
    print(f"{state.sent_count:,} events sent{sent_at}; {state.behind:,} events of the log are still to be looked at.")
    if state.problem_at is not None:
        print(f"The last problem, at {state.problem_at:%Y-%m-%d %H:%M:%S %Z}: {state.problem}")
    if settings.kafka is None:
        return 1 if state.is_held_up else 0
    for topic in relay.topics:
        looked_at = f"looked at {topic.looked_at:%Y-%m-%d %H:%M:%S %Z}" if topic.looked_at else "never looked at"
        print(
            f"{topic.topic}: {topic.behind:,} messages in {topic.partition_count} partitions to be taken in, {looked_at}."
        )
    told_at = f"{relay.told_at:%Y-%m-%d %H:%M:%S %Z}" if relay.told_at else "never"
    print(f"{relay.waiting_count:,} jobs wait; workers were last told of one: {told_at}.")
    if relay.problem_at is not None:
        print(f"The relay's last problem, at {relay.problem_at:%Y-%m-%d %H:%M:%S %Z}: {relay.problem}")
    if relay.is_away:
        print("No relay takes in what workers say; see `assay status` and its log.")
    if relay.unusable_count:
        print(f"{relay.unusable_count:,} reports of workers could not be used; see `assay unusable-reports`.")
    return 1 if state.is_held_up or relay.is_held_up or relay.is_away else 0


def unusable_reports(settings: Settings, asked: argparse.Namespace) -> int:
    """List the reports of workers that nobody could use, or try or dismiss some; 1 where one is still unusable or gone."""
    from domain.facts import SYSTEM  # noqa: PLC0415 - as above
    from infra import bootstrap  # noqa: PLC0415
    from infra.unusable_reports import act_on, lines_of  # noqa: PLC0415

    with _database_for_a_moment(settings) as settings, bootstrap.open_unusable_reports(settings) as (assay, reports):
        if not asked.retry and not asked.dismiss:
            for line in lines_of(reports):
                print(line)
            return 0
        told = [*act_on(assay, reports, SYSTEM, retry=asked.retry, dismiss=asked.dismiss)]
    for is_done, line in told:
        print(line, file=sys.stdout if is_done else sys.stderr)
    return 0 if all(is_done for is_done, _ in told) else 1


def event_schemas(folder: Path) -> int:
    """Write AsyncAPI and JSON Schemas of the public events; 1 where a receiver of the released ones would be broken."""
    from infra import event_schemas as schemas  # noqa: PLC0415 - loads every slice

    broken = schemas.write(folder)
    for sentence in broken:
        print(sentence, file=sys.stderr)
    print("Nothing is written." if broken else f"AsyncAPI and JSON Schemas are in {folder}.")
    return 1 if broken else 0


def audited(settings: Settings, asked: argparse.Namespace) -> int:
    """Ask what happened, make read tables anew, or prove by replaying that they and a training are what the log says."""
    from infra import audit_verbs, bootstrap  # noqa: PLC0415 - as above

    try:
        with _database_for_a_moment(settings) as settings, bootstrap.open_core(settings) as core:
            return audit_verbs.run(asked, core, settings, functools.partial(print, flush=True))
    except audit_verbs.NoAnswer as reason:
        print(reason, file=sys.stderr)
        return 1


def backup(settings: Settings, asked: argparse.Namespace) -> int:
    """Take a backup while the service runs, or check one."""
    from infra import backup_folder, backup_verbs  # noqa: PLC0415 - as above

    say = functools.partial(print, flush=True)
    try:
        if asked.check:
            return backup_verbs.check(asked, say)
        _refuse_without_installation(settings)
        with _database_for_a_moment(settings) as settings:
            return backup_verbs.back_up(asked, settings, say)
    except backup_folder.BackupFailed as reason:
        print(reason, file=sys.stderr)
        return 1


def restore(settings: Settings, asked: argparse.Namespace) -> int:
    """Put a backup back into an empty place, in which nothing may run meanwhile."""
    from infra import backup_folder, backup_verbs  # noqa: PLC0415 - as above

    say = functools.partial(print, flush=True)
    try:
        chosen = backup_verbs.choose(asked, say)
        lock = take_lock(_records(settings))
        try:
            with _database_for_a_moment(settings) as settings:
                return backup_verbs.put_back(chosen, asked, settings, say)
        finally:
            lock.release()
    except backup_folder.BackupFailed as reason:
        print(reason, file=sys.stderr)
        return 1


def storage(settings: Settings, asked: argparse.Namespace) -> int:
    """Say what lies on the storage that nobody needs and remove it, or check what must be there."""
    from infra import named_artifacts, storage_verbs  # noqa: PLC0415 - as above

    _refuse_without_installation(settings)
    try:
        with _database_for_a_moment(settings) as settings:
            return storage_verbs.run(asked, settings, time.time(), functools.partial(print, flush=True))
    except named_artifacts.UnknownFacts as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}.", file=sys.stderr)
    return 1


def run_process(settings: Settings, verb: str, ready_fd: int | None) -> int:
    """Be one of the processes until it is told to stop."""
    start_logging(verb, level=logging.getLevelName(settings.log_level.upper()), hidden=secrets_in(settings))
    try:
        has_database = verb != "broker" and not (verb in ROLES and settings.kafka is not None)
        with _told_of(_with_database(settings) if has_database else settings, verb, ready_fd) as (settings, ready):
            _run_process(settings, verb, ready)
    except Exception:  # the edge of the process: logged, then the supervisor starts it again
        log.exception("process_failed")
        return 1
    log.info("process_ends")
    return 0


@contextmanager
def _told_of(settings: Settings, verb: str, ready_fd: int | None) -> Iterator[tuple[Settings, Callable[[], None]]]:
    """Inside, whoever asks is told how this process fares; gives the settings, and what to call when it works."""
    from infra.metrics import REGISTRY, tells_as  # noqa: PLC0415 - as above
    from infra.readiness import readiness_of  # noqa: PLC0415
    from infra.vital_signs import VitalSigns, told  # noqa: PLC0415

    tells_as(verb)
    if settings.database_url is not None and verb not in ROLES:
        from infra.stored_metrics import stored_metrics_of  # noqa: PLC0415 - a machine with nothing but a worker has no psycopg

        for collector in stored_metrics_of(settings, verb):
            REGISTRY.register(collector)
    signs = VitalSigns(verb, readiness_of(settings, verb))

    def ready() -> None:
        signs.started()
        report_ready(ready_fd)
        log.info("process_works")

    with told(signs, settings.run, host=settings.metrics_host, port=settings.metrics_port):
        yield settings, ready


def _run_process(settings: Settings, verb: str, ready: Callable[[], None]) -> None:
    if verb == "broker":
        from infra import local_kafka  # noqa: PLC0415 - as above

        local_kafka.run_broker(settings, ready)
    elif verb in ROLES and settings.kafka is not None:
        from infra.worker_bootstrap import run_kafka_worker  # noqa: PLC0415 - as above

        run_kafka_worker(settings, ready, ROLES[verb])
    else:
        _run_on_database(settings, verb, ready)


def _run_on_database(settings: Settings, verb: str, ready: Callable[[], None]) -> None:
    if verb in ROLES:  # a worker announces the machine with itself
        from infra import bootstrap  # noqa: PLC0415 - as above

        return bootstrap.run_worker(settings, ready, ROLES[verb])
    from infra.machines import announced_machine  # noqa: PLC0415 - as above

    with announced_machine(settings):
        _run_for_server(settings, verb, ready)
    return None


def _run_for_server(settings: Settings, verb: str, ready: Callable[[], None]) -> None:
    from infra import bootstrap  # noqa: PLC0415 - as above

    match verb:
        case "projector":
            bootstrap.run_projector(settings, ready)
        case "dispatcher":
            bootstrap.run_dispatcher(settings, ready)
        case "scanner":
            bootstrap.run_scanner(settings, ready)
        case "notary":
            bootstrap.run_notary(settings, ready)
        case "housekeeper":
            bootstrap.run_housekeeper(settings, ready)
        case "relay":
            bootstrap.run_relay(settings, ready)
        case "feed":
            bootstrap.run_feed(settings, ready)
        case "web":
            bootstrap.run_web(settings, ready)


def _prepare(settings: Settings, *, is_overheard: bool = False) -> list[str]:
    """What the first start says is printed; where others could read that later, a made-up password stays in its file."""
    from infra import bootstrap  # noqa: PLC0415 - as above

    told = bootstrap.prepare(_with_database(settings))
    if (is_overheard or is_in_journal()) and untold_password(settings) is not None:
        print(f"“{settings.administrator}” signs in with the password in {settings.state / STILL_TO_BE_TOLD}.")
        print("Read it, change it in 管理账户信息 (My account), and remove the file.", flush=True)
        return []
    for sentence in told:
        print(sentence, flush=True)
    forget_first_password(settings)
    return told


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
    running = read_status(_records(settings))
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


def _refuse_without_installation(settings: Settings) -> None:
    """Nothing is made where a wrong ASSAY_STATE points."""
    if settings.database_url is None and not (settings.state / "postgres").exists():
        raise WrongSetting(f"{settings.state} holds no installation. Set ASSAY_STATE, or ASSAY_DATABASE_URL.")


def _keep_foundation(settings: Settings) -> None:
    for log_file in (settings.logs / "supervisor.log", settings.state / "postgres" / "server.log"):
        keep_bounded(log_file)
    _keep_database(settings)


def _keep_database(settings: Settings) -> None:
    if settings.database_url or postgres_runs(settings):
        return
    log.warning("database_died")
    try:
        ensure_postgres(settings)
    except PostgresFailed:
        log.exception("database_does_not_start")  # the next look tries again


def _program(name: str) -> Program:
    return Program(
        name=name,
        arguments=(sys.executable, "-m", "infra.cli", name, "--ready-fd", "{ready}"),
        patience_seconds=PATIENCE_SECONDS.get(name, OTHERS_PATIENCE_SECONDS),
        can_wait=name in CAN_WAIT,
    )


def _with_database(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, database_url=ensure_postgres(settings))


@contextmanager
def _database_for_a_moment(settings: Settings) -> Iterator[Settings]:
    """The settings with their database, which runs no longer than before."""
    runs = settings.database_url is not None or postgres_runs(settings)
    try:
        yield _with_database(settings)
    finally:
        if not runs:
            stop_postgres(settings)


def _records(settings: Settings) -> Path:
    return settings.state / "run"


def _instances(process: str, running: Sequence[str]) -> list[str]:
    """A process, and others under its name with a number; itself where none runs."""
    found = [name for name in running if re.fullmatch(rf"{re.escape(process)}(-\d+)?", name)]
    return found or [process]


def _root_name(folder: Path, known: dict[str, Path]) -> str:
    for name, root in known.items():
        if root.resolve() == folder:
            return name
    plain = re.sub(r"[^a-z0-9_-]+", "-", folder.name.lower()).strip("-_") or "images"
    names = [plain, *(f"{plain}-{number}" for number in range(2, len(known) + 3))]
    return next(name for name in names if name not in known)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="assay", description="Train, compare and release inspection models.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    start = verbs.add_parser("up", help="start everything; Ctrl-C stops it")
    start.add_argument("--background", action="store_true", help="return when everything works; `assay down` stops it")
    verbs.add_parser("down", help="stop everything")
    verbs.add_parser("status", help="show what runs")
    verbs.add_parser(
        "prepare", help="make tables, folders and the first administrator where they are missing (`up` does)"
    )
    fares = verbs.add_parser("health", help="show whether processes of this machine are alive and can work")
    fares.add_argument("process", nargs="*", metavar="process", help="default: all that run here")
    fares.add_argument("--alive", action="store_true", help="only whether they are alive; asks nobody but them")
    show = verbs.add_parser("demo", help="start in the background and put one job through")
    show.add_argument("--images", type=Path, metavar="FOLDER", help="your own images, a folder for each defect code")
    for name in PROGRAMS:
        process = verbs.add_parser(name, help=f"be the {name} (`up` starts it)")
        process.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    _add_package_options(verbs.add_parser("package", help="build a model image package, or verify one"))
    proof = verbs.add_parser(
        "verify", help="verify that nobody changed the log; names the first event that does not fit"
    )
    proof.add_argument(
        "--key", metavar="HEX", help="the public key of the seals, from a copy; default: this installation's"
    )
    exported = verbs.add_parser("export-log", help="write the log as JSON Lines, without secrets, for an auditor")
    exported.add_argument("target", type=Path, metavar="FILE")
    verbs.add_parser(
        "feed-status",
        help="show how far public events and workers' reports are on their way through Kafka, and what holds them up",
    )
    kept = verbs.add_parser(
        "unusable-reports", help="list the reports of workers that nobody could use, or act on some"
    )
    kept.add_argument("--retry", type=UUID, nargs="+", default=[], metavar="ID", help="take them in once more")
    kept.add_argument("--dismiss", type=UUID, nargs="+", default=[], metavar="ID", help="throw them away")
    described = verbs.add_parser("event-schemas", help="write AsyncAPI and JSON Schemas of the public events")
    described.add_argument("folder", type=Path, nargs="?", default=CHECKOUT / "infra" / "event_schemas")
    add_audit_verbs(verbs)
    add_backup_verbs(verbs)
    add_storage_verb(verbs)
    hidden = verbs.add_parser("supervise")
    hidden.add_argument("--lock-fd", type=int, required=True)
    hidden.add_argument("--ready-fd", type=int, required=True)
    return parser


def _add_package_options(parser: argparse.ArgumentParser) -> None:
    """What `infra.package_options` makes a package of."""
    add = parser.add_argument
    add(
        "folder",
        type=Path,
        nargs="?",
        help="with image.yaml and weights; default: what the options say, or the shipped package",
    )
    add("--target", type=Path, help="<name>@<version>[.tar|.tar.gz|.tgz|.tar.zst]; default: in the first archive root")
    add("--verify", type=Path, metavar="FILE", help="only verify a package, as loading it would")
    add(
        "--network",
        action="append",
        metavar="NAME[=WEIGHTS]",
        help="a network it offers, perhaps with initial weights (safetensors); repeatable",
    )
    add("--input", metavar="WIDTHxHEIGHT", help="what images are resized to; default: 128x128")
    add("--mean", metavar="R,G,B", help="standardisation, of values from 0 to 1; default: ImageNet's")
    add("--deviation", metavar="R,G,B", help="standardisation; default: ImageNet's")
    add("--codes", metavar="CODE,...", help="the default code list, special codes last; default: the manual's")
    add("--classes", type=int, metavar="NUMBER", help="how many of the codes are classes; default: all")
    add(
        "--images",
        action="append",
        metavar="SIZE",
        help="image sizes that comply: 224x224 (repeatable), or one range such as 100x100-400x300; default: left to the images",
    )
    add("--special-code-min-pixels", type=int, metavar="NUMBER", help="predicted pixels of a special code; default: 1")
    add("--training-parameters", type=Path, metavar="FILE", help="JSON; default: the manual's")
    add("--prediction-parameters", type=Path, metavar="FILE", help="JSON; default: the manual's")
    add("--summary", metavar="TEXT", help="what people read beside the package")


if __name__ == "__main__":
    sys.exit(main())
