"""Why a job waits, decided from the workers that were heard lately (T-6)."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.messages import JobKind, Resources
from domain.sentences import N_, Sentence

NOBODY_RUNS = N_(
    "No worker that could do this is running. Start one, or read in its log why it ended; nothing is lost meanwhile."
)
NOBODY_IS_LARGE_ENOUGH = N_(
    "No running worker has this compute resource. Start one that has it, or let a super administrator change the compute resource."
)
ALL_ARE_BUSY = N_("Every worker that could do this is busy. It is next in line.")
ALL_ARE_BUSY_AND_OTHERS_GO_FIRST = N_("Every worker that could do this is busy. Jobs before it in line: {ahead}.")
ONE_IS_FREE = N_("A worker is free and takes it within seconds.")


class HeardWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was heard lately: which kinds of jobs it takes, what it offers to them, and whether it is at one now."""

    name: str
    kinds: frozenset[JobKind]
    offered: Resources
    is_busy: bool


class Wait(msgspec.Struct, frozen=True):
    """What a person is told of a job that waits."""

    since: datetime
    reason: Sentence


def why_it_waits(kind: JobKind, needs: Resources, workers: Sequence[HeardWorker], ahead: int) -> Sentence:
    """The reason at this moment; `ahead` are the jobs that go first, because they came before and fit on the same workers."""
    able = [worker for worker in workers if kind in worker.kinds]
    if not able:
        return Sentence(NOBODY_RUNS)
    fitting = [worker for worker in able if needs.fits_in(worker.offered)]
    if not fitting:
        return Sentence(NOBODY_IS_LARGE_ENOUGH)
    if any(not worker.is_busy for worker in fitting):
        return Sentence(ONE_IS_FREE)
    return Sentence(ALL_ARE_BUSY_AND_OTHERS_GO_FIRST, {"ahead": ahead}) if ahead else Sentence(ALL_ARE_BUSY)
