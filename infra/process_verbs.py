"""What is one process of an installation, and what asks how processes fare: a verb a program, and `health`."""

import argparse
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from infra.embedded_postgres import with_database
from infra.logs import start_logging
from infra.processes import report_ready
from infra.programs import PROGRAMS
from infra.service_verbs import NOT_RUNNING
from infra.settings import Settings, WrongSetting, secrets_in
from infra.worker_roles import ROLES

log = logging.getLogger(__name__)


WHAT_THEY_DO = {
    "broker": "be a Kafka broker of this machine's own",
    "projector": "feed the read tables",
    "dispatcher": "keep the line of jobs, notice silent workers",
    "relay": "with Kafka: take workers' reports into the log",
    "feed": "with Kafka: send public events",
    "notary": "chain and seal the log",
    "scanner": "look through large folders",
    "housekeeper": "remove files that nobody needs",
    "worker": "train and predict",
    "packager": "load packages, build exports",
    "web": "serve pages and HTTP API",
}
"""The process of each verb, for who runs it by itself; `infra/OPERATIONS.md` says more."""


def add_health_verb(verbs: Any) -> None:
    """Add `health` to the verbs of `infra.cli`."""
    fares = verbs.add_parser("health", help="show whether processes of this machine are alive and can work")
    fares.add_argument("process", nargs="*", metavar="process", help="default: all that run here")
    fares.add_argument("--alive", action="store_true", help="only whether they are alive; asks nobody but them")
    fares.set_defaults(
        run=lambda settings, asked: health(settings, asked.process, question="health" if asked.alive else "ready")
    )


def add_process_verbs(verbs: Any) -> None:
    """Add a verb for each process to those of `infra.cli`; `up` starts them."""
    for name in PROGRAMS:
        process = verbs.add_parser(name, help=f"{WHAT_THEY_DO[name]} (a process that `up` starts)")
        process.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
        process.set_defaults(run=lambda settings, asked: run_process(settings, asked.verb, asked.ready_fd))


def run_process(settings: Settings, verb: str, ready_fd: int | None) -> int:
    """Be one of the processes until it is told to stop."""
    start_logging(verb, level=logging.getLevelName(settings.log_level.upper()), hidden=secrets_in(settings))
    try:
        has_database = verb != "broker" and not (verb in ROLES and settings.kafka is not None)
        with _told_of(with_database(settings) if has_database else settings, verb, ready_fd) as (settings, ready):
            _run_process(settings, verb, ready)
    except Exception:  # the edge of the process: logged, then the supervisor starts it again
        log.exception("process_failed")
        return 1
    log.info("process_ends")
    return 0


@contextmanager
def _told_of(settings: Settings, verb: str, ready_fd: int | None) -> Iterator[tuple[Settings, Callable[[], None]]]:
    """Inside, whoever asks is told how this process fares; gives the settings, and what to call when it works."""
    from infra.metrics import REGISTRY, tells_as  # noqa: PLC0415 - each process loads what it is
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
    from infra.announced_machines import announced_machine  # noqa: PLC0415 - as above

    with announced_machine(settings):
        _run_for_server(settings, verb, ready)
    return None


def _run_for_server(settings: Settings, verb: str, ready: Callable[[], None]) -> None:
    from infra import bootstrap  # noqa: PLC0415 - as above

    run = {
        "projector": bootstrap.run_projector,
        "dispatcher": bootstrap.run_dispatcher,
        "scanner": bootstrap.run_scanner,
        "notary": bootstrap.run_notary,
        "housekeeper": bootstrap.run_housekeeper,
        "relay": bootstrap.run_relay,
        "feed": bootstrap.run_feed,
        "web": bootstrap.run_web,
    }
    run[verb](settings, ready)


def health(settings: Settings, processes: Sequence[str], *, question: str) -> int:
    """Print how processes of this machine fare; 1 where one is not well, 3 where one, or all, do not run."""
    from infra import vital_signs  # noqa: PLC0415 - as above

    if unknown := [asked for asked in processes if asked.split("-")[0] not in PROGRAMS]:
        raise WrongSetting(f"There is no process {', '.join(unknown)}. These are: {', '.join(PROGRAMS)}.")
    running = vital_signs.processes_in(settings.run)
    names = [name for asked in processes for name in _instances(asked, running)] if processes else running
    if not names:
        print("No process of Assay runs here.")
    outcome = 0 if names else NOT_RUNNING
    for name in names:
        said = vital_signs.ask(settings.run, name, question)
        if said is None:
            print(f"{name:<12}does not run")
            outcome = NOT_RUNNING
            continue
        parts = "".join(f"  {part}: {state}" for part, state in said.parts.items())
        print(f"{name:<12}{said.status:<10}{parts}".rstrip())
        outcome = outcome or int(not said.is_well)
    return outcome


def _instances(process: str, running: Sequence[str]) -> list[str]:
    """A process, and others under its name with a number; itself where none runs."""
    found = [name for name in running if re.fullmatch(rf"{re.escape(process)}(-\d+)?", name)]
    return found or [process]
