"""What the overview says of the system: the machines with what runs on them, the line of jobs, and how both were lately (O-1).

Momentary, so neither fact nor state: machines say it again every few seconds, and what is kept of it is thrown away after a day.
"""

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

import msgspec

from domain.machine_figures import MachineFigures
from domain.messages import JobKind


class MachineSays(msgspec.Struct, frozen=True, kw_only=True):
    """What travels from a machine; without figures where none were measured lately."""

    name: str
    figures: MachineFigures | None = None


class WorkerState(enum.Enum):
    """A worker that was not heard for a while is silent, whatever it did before."""

    FREE = "free"
    BUSY = "busy"
    SILENT = "silent"


class WorkerNow(msgspec.Struct, frozen=True, kw_only=True):
    """A worker at this moment; `seen_at` is when it was heard last, `job` the kind of job that it is at."""

    name: str
    state: WorkerState
    seen_at: datetime
    job: JobKind | None = None
    progress: float | None = None


class MachineNow(msgspec.Struct, frozen=True, kw_only=True):
    """A machine at this moment. `figures` is None, and `measured_at` tells since when, where they say nothing of this moment.

    `served_at` is when a process of the server was heard there last, None where it runs workers only.
    """

    name: str
    figures: MachineFigures | None = None
    measured_at: datetime | None = None
    served_at: datetime | None = None
    is_server_silent: bool = False
    workers: tuple[WorkerNow, ...] = ()


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs of one kind: how many wait, since when the one that waits longest, and how many run."""

    kind: JobKind
    waiting_count: int = 0
    running_count: int = 0
    oldest_since: datetime | None = None


class SystemNow(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at this moment. Machines of the server come first, then the others, by name; lines are those of every kind."""

    machines: tuple[MachineNow, ...] = ()
    lines: tuple[Line, ...] = ()


class Span(enum.Enum):
    """How far a chart goes back."""

    HOUR = "hour"
    DAY = "day"


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A span in steps: each step of each series is one row, so the rows of a machine are bounded whatever happens."""

    length: timedelta
    step: timedelta


PERIODS: Mapping[Span, Period] = MappingProxyType(
    {
        Span.HOUR: Period(length=timedelta(hours=1), step=timedelta(seconds=20)),
        Span.DAY: Period(length=timedelta(days=1), step=timedelta(minutes=5)),
    }
)


class MachineMoment(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a machine's history; shares 0..1, None where nothing was measured."""

    at: datetime
    cpu: float
    memory: float
    cards: float | None = None
    cards_memory: float | None = None


class LineMoment(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the history of the line: the most jobs that waited and ran in it."""

    at: datetime
    waiting_count: int
    running_count: int


class SystemHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the last hour or day, until `until`. Steps in which nothing was measured are missing."""

    span: Span
    until: datetime
    machines: tuple[tuple[str, tuple[MachineMoment, ...]], ...] = ()
    line: tuple[LineMoment, ...] = ()
