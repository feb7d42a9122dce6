"""The benchmarks' frame: a bench is a function that gives rows, every row one figure beside what it is compared with.

A machine's speed changes from minute to minute, so what is compared runs in turns in the same minutes (`in_turns`), and
the ratio of a row is the median of the ratios of the turns, not the ratio of two medians.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from infra.embedded_postgres import ensure_postgres, stop_postgres, superuser_address
from infra.settings import Settings, read_settings

T = TypeVar("T")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `ratio` is figure ÷ what it is compared with; `least…` and `most…` are what is wanted."""

    name: str
    figure: float
    unit: str
    compared_with: str = ""
    compared_figure: float | None = None
    ratio: float | None = None
    least_ratio: float | None = None
    most_ratio: float | None = None
    least: float | None = None
    most: float | None = None

    @property
    def wanted(self) -> str:
        """What is wanted, in words; empty where the row only informs."""
        limits = (
            ("≥", self.least, self.unit),
            ("≤", self.most, self.unit),
            ("ratio ≥", self.least_ratio, ""),
            ("ratio ≤", self.most_ratio, ""),
        )
        return ", ".join(f"{sign} {limit:g} {unit}".strip() for sign, limit, unit in limits if limit is not None)

    @property
    def is_met(self) -> bool | None:
        """Whether it is as wanted; None where nothing is."""
        met = []
        if self.least_ratio is not None:
            met.append(self.ratio is not None and self.ratio >= self.least_ratio)
        if self.most_ratio is not None:
            met.append(self.ratio is not None and self.ratio <= self.most_ratio)
        if self.least is not None:
            met.append(self.figure >= self.least)
        if self.most is not None:
            met.append(self.figure <= self.most)
        return all(met) if met else None


class Bench:
    """What a bench may use; PostgreSQL starts when the first bench asks for it."""

    def __init__(self, rounds: int, stack: ExitStack, share: float = 1.0) -> None:
        """`rounds` is how often the things compared take turns; the server ends with `stack`.

        `share` makes what a bench measures on smaller than it should be, to try things out.
        """
        self.rounds = rounds
        self.share = share
        self.stack = stack
        """Ends what is left for other benches, when the last one has ended."""
        self._made: dict[object, Any] = {}

    def once(self, make: "Callable[[Bench], T]") -> T:
        """What `make` gives to the first bench that asks for it, and to all that come after."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    @cached_property
    def folder(self) -> Path:
        """A folder for everything, gone afterwards. Short, because the path of a socket holds 107 bytes."""
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/tmp")))
        folder.chmod(0o711)  # as root the server runs as another user, who must get in
        return folder

    @cached_property
    def _postgres(self) -> Settings:
        settings = read_settings({"ASSAY_STATE": str(self.folder / "state")})
        self.stack.callback(stop_postgres, settings)
        ensure_postgres(settings)
        return settings

    @contextmanager
    def database(self) -> Iterator[str]:
        """The connection string of an empty database on a server with its usual settings."""
        name = f"bench_{uuid4().hex}"
        with psycopg.connect(superuser_address(self._postgres), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER assay TEMPLATE template0".encode())
            try:
                yield make_conninfo(ensure_postgres(self._postgres), dbname=name)
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


BenchFunction = Callable[[Bench], Iterable[Row]]
BENCHES: list[BenchFunction] = []


def bench(function: BenchFunction) -> BenchFunction:
    """Make `function` a bench of `python -m benchmarks`; its module is called `bench_….py`."""
    BENCHES.append(function)
    return function


def in_turns(rounds: int, *measured: Callable[[], T]) -> tuple[Sequence[T], ...]:
    """Every function's answers over `rounds` rounds, in which they take turns; one more round before warms up."""
    answers: list[list[T]] = [[] for _ in measured]
    for number in range(rounds + 1):
        for function, kept in zip(measured, answers, strict=True):
            answer = function()
            if number:
                kept.append(answer)
    return tuple(answers)


def median_ratio(figures: Sequence[float], compared: Sequence[float]) -> float:
    """The median of what each round says."""
    return statistics.median(figure / other for figure, other in zip(figures, compared, strict=True))


def percentile(figures: Sequence[float], percent: float) -> float:
    """The figure that `percent` of all do not exceed."""
    return sorted(figures)[min(len(figures) - 1, int(len(figures) * percent / 100))]
