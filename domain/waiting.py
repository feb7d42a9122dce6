"""Why a job waits, decided from the workers that were heard lately (T-6)."""

from collections.abc import Sequence

import msgspec

from domain.messages import JobKind, Resources
from domain.sentences import N_, Sentence

NOBODY_RUNS = N_(
    "No worker that could do this is running. Start one, or read in its log why it ended; nothing is lost meanwhile."
)
NOBODY_IS_LARGE_ENOUGH = N_(
    "No running worker has this compute resource. Start one that has it, or let a super administrator change the compute resource."
)
ALL_ARE_BUSY = N_("Every worker that could do this is busy. Jobs before this one: {ahead}.")
ONE_IS_FREE = N_("A worker is free and takes this within seconds. Jobs before this one: {ahead}.")


class HeardWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was heard lately: which kinds of jobs it takes, what it offers to them, and whether it is at one now."""

    name: str
    kinds: frozenset[JobKind]
    offered: Resources
    is_busy: bool


def why_it_waits(kind: JobKind, needs: Resources, workers: Sequence[HeardWorker], ahead: int) -> Sentence:
    """The reason at this moment; `ahead` are the jobs that go first, because they came before and fit on the same workers."""
    able = [worker for worker in workers if kind in worker.kinds]
    if not able:
        return Sentence(NOBODY_RUNS)
    fitting = [worker for worker in able if needs.fits_in(worker.offered)]
    if not fitting:
        return Sentence(NOBODY_IS_LARGE_ENOUGH)
    is_free = any(not worker.is_busy for worker in fitting)
    return Sentence(ONE_IS_FREE if is_free else ALL_ARE_BUSY, {"ahead": ahead})
