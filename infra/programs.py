"""The processes of an installation: which run beside each other, in which order, and how long each may take to stop."""

import sys

from infra.processes import Program
from infra.settings import Settings

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
PATIENCE_SECONDS = {"web": 30.0, "worker": 40.0, "packager": 40.0}
"""How long a process may take to stop before it is killed: the web server lets those finish whom it is answering (20 s), a worker
waits for the checkpoint of its job (30 s)."""
OTHERS_PATIENCE_SECONDS = 10.0


def programs_of(settings: Settings) -> list[str]:
    """What runs beside each other: relay and feed where there is Kafka, a broker of our own where it is to be local."""
    has_none = settings.kafka is None
    is_left_out = {
        "broker": settings.kafka is None or not settings.kafka.is_local,
        "relay": has_none,
        "feed": has_none,
    }
    return [name for name in PROGRAMS if not is_left_out.get(name)]


def program(name: str) -> Program:
    """What the supervisor starts."""
    return Program(
        name=name,
        arguments=(sys.executable, "-m", "infra.cli", name, "--ready-fd", "{ready}"),
        patience_seconds=PATIENCE_SECONDS.get(name, OTHERS_PATIENCE_SECONDS),
        can_wait=name in CAN_WAIT,
    )
