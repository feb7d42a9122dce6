"""Two commands that decide on the same state before either has saved: `at_once(log, PORTS, first, second)`."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

from commands.assay import Assay, Command
from commands.ports import Log, Ports
from domain.facts import Recorded, State
from domain.refusals import Refusal

S = TypeVar("S", bound=State)


class MeetingLog:
    """A log whose first appends of each thread wait for each other."""

    def __init__(self, log: Log, commands: int) -> None:
        self._log = log
        self._meeting = threading.Barrier(commands, timeout=20)
        self._here = threading.local()

    def load(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        return self._log.load(state_type, aggregate_id)

    def append(self, events: Sequence[Recorded]) -> int:
        if not getattr(self._here, "has_met", False):
            self._here.has_met = True
            self._meeting.wait()
        return self._log.append(events)


def at_once(log: Log, ports: Ports, *commands: Command) -> list[int | Refusal]:
    """The log position or the refusal of each command."""
    assay = Assay(MeetingLog(log, len(commands)), ports)

    def ask(command: Command) -> int | Refusal:
        try:
            return assay.dispatch(command)
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(len(commands)) as threads:
        return list(threads.map(ask, commands))
