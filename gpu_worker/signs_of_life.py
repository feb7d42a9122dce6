"""What was heard of a job, and what is told of it while that is nothing: a process that hangs says nothing itself.

People are told within seconds what holds a job up. It is ended only after a time in which everything that works has said something;
until then whatever held it up may be mended, and the job goes on as if nothing had been.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from domain.sentences import N_, Sentence
from gpu_worker.settings import WorkerSettings

STANDS_STILL = N_("Its process was stopped on the worker and stands still")
WAITS_FOR_STORAGE = N_("Waiting for a disk or for shared storage that does not answer")
SAYS_NOTHING = N_("Nothing was heard of its process for a minute")

HANGS = N_(
    "The job showed no sign of life for {minutes} minutes; the last that it told was: {activity}. See whether the storage and the "
    "devices of the worker “{worker}” answer, then start again."
)
STORAGE_HANGS = N_(
    "The shared storage did not answer the worker “{worker}” for {minutes} minutes. See whether it is mounted there and answers, "
    "then start again."
)

TOLD_AFTER_SECONDS: Final = 10.0
"""What holds a job up for longer is told; storage that is only slow answers sooner."""
QUIET_SECONDS: Final = 60.0
"""A step of a large network on a slow processor takes less; where the kernel names nothing, the quiet itself is told."""


class SignsOfLife:
    """Those of one job: of its process, and of the worker, which waits for the storage on its behalf."""

    def __init__(
        self,
        process: int,
        worker: str,
        settings: WorkerSettings,
        *,
        is_ready: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_ready`: the process has loaded its libraries."""
        self._process, self._worker, self._settings, self._clock = process, worker, settings, clock
        self._is_ready = is_ready
        self._heard_at = clock()
        self._at_storage_since: float | None = None

    def heard(self) -> None:
        """The process said something, or was answered."""
        self._is_ready, self._heard_at = True, self._clock()

    @contextmanager
    def at_storage(self) -> Iterator[None]:
        """Inside, the worker waits for the shared storage, and nobody for the process."""
        self._at_storage_since = self._clock()
        try:
            yield
        finally:
            self._heard_at, self._at_storage_since = self._clock(), None

    @property
    def is_at_storage(self) -> bool:
        """Whether the worker waits for the shared storage."""
        return self._at_storage_since is not None

    def held_up_by(self) -> str:
        """What to tell people instead of what the job told last; "" while there is nothing else to tell."""
        since = self._at_storage_since
        if since is not None:
            return WAITS_FOR_STORAGE if self._clock() - since > TOLD_AFTER_SECONDS else ""
        quiet_seconds = self._clock() - self._heard_at
        if quiet_seconds <= TOLD_AFTER_SECONDS:
            return ""
        return _named_by_the_kernel(self._process) or (SAYS_NOTHING if quiet_seconds > QUIET_SECONDS else "")

    def verdict(self, activity: str) -> Sentence | None:
        """Why the job is over; None while it may go on. `activity` is what it told last."""
        since = self._at_storage_since
        if since is not None:
            if self._clock() - since <= self._settings.storage_patience_seconds:
                return None
            minutes = round(self._settings.storage_patience_seconds / 60)
            return Sentence(STORAGE_HANGS, {"worker": self._worker, "minutes": minutes})
        patience = self._settings.quiet_patience_seconds if self._is_ready else self._settings.ready_patience_seconds
        if self._clock() - self._heard_at <= patience:
            return None
        minutes = round(patience / 60)
        return Sentence(HANGS, {"minutes": minutes, "activity": Sentence(activity), "worker": self._worker})


def _named_by_the_kernel(process: int) -> str:
    """What keeps a process, or one that it started, from going on; "" where it could."""
    states = set(_states_of(process))
    if states & {"T", "t"}:
        return STANDS_STILL
    return WAITS_FOR_STORAGE if "D" in states else ""


def _states_of(process: int) -> Iterator[str]:
    """Of all threads, see proc_pid_stat(5); what ends meanwhile has none."""
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                yield (task / "stat").read_text().rpartition(")")[2].split()[0]
                for child in (task / "children").read_text().split():
                    yield from _states_of(int(child))
