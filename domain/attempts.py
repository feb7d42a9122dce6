"""Attempts: how work is handed to workers so that two can never own it and a dead one is noticed.

Every queueing, restart and interruption opens the next attempt. A worker claims one attempt; reports that name another are void.
"""

import msgspec
from msgspec.structs import replace

from domain.refusals import Refusal
from domain.sentences import N_, Sentence


class AttemptIsOver(Refusal):
    """The worker no longer owns the work: it was terminated, deleted or given to another worker."""

    message = N_("This attempt is over. The worker stops and takes the next job.")


class Attempt(msgspec.Struct, frozen=True):
    """`number` counts up for ever; `worker` is empty while nobody has claimed it; `interruptions` counts within a run."""

    number: int = 1
    run: int = 1
    worker: str = ""
    interruptions: int = 0

    def claimed_by(self, worker: str) -> "Attempt":
        """The attempt, now owned."""
        return replace(self, worker=worker)

    def interrupted(self, *, is_fault: bool) -> "Attempt":
        """The next attempt of the same run, open to every worker; only faults count towards giving up."""
        return replace(self, number=self.number + 1, worker="", interruptions=self.interruptions + is_fault)

    def restarted(self) -> "Attempt":
        """The first attempt of the next run, open to every worker."""
        return replace(self, number=self.number + 1, run=self.run + 1, worker="", interruptions=0)


def gave_up(attempt_count: int) -> Sentence:
    """Why a job failed whose workers died one after the other."""
    text = N_(
        "{count} workers in a row fell silent while working on this. Look at the workers' logs and memory, then start it again."
    )
    return Sentence(text, {"count": attempt_count})


def result_unusable() -> Sentence:
    """Why a job failed whose worker reported a result that cannot be."""
    return Sentence(
        N_(
            "The worker reported a result with a number that cannot be. Ask your administrator to look at the worker's release and"
            " at its report under “MES feed”, then start it again."
        )
    )


def is_last(attempt: Attempt, max_attempts: int, *, is_fault: bool) -> bool:
    """Whether an interruption ends the run, because so many workers fell silent over it."""
    return is_fault and attempt.interruptions + 1 >= max_attempts


def check_open(attempt: Attempt, number: int, *, is_waiting: bool) -> None:
    """Whether a worker may claim attempt `number`.

    Raises:
        AttemptIsOver
    """
    if not is_waiting or attempt.number != number:
        raise AttemptIsOver


def check_owned(attempt: Attempt, number: int, *, is_running: bool) -> None:
    """Whether a report about attempt `number` still counts.

    Raises:
        AttemptIsOver
    """
    if not is_running or attempt.number != number:
        raise AttemptIsOver
