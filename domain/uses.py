"""What waiting and running jobs need, so that nobody deletes it under them. Source: REQUIREMENTS M-6.

Everything that jobs need has an aggregate of its uses beside it, saved in the same transaction as the facts of the job or of the
deletion. Two who decide at once decide on the same version, so the log lets only one of them through; the other decides anew.
"""

from collections.abc import Iterable
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from domain.facts import Fact, State, evolves, replace
from domain.refusals import Refusal
from domain.sentences import N_

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:assay:uses")
MOST_NAMES = 3
"""So many jobs a refusal names; a person looks the others up in the lists."""


class Needed(msgspec.Struct, frozen=True):
    """Something that a job needs while it waits or runs; `must_stand` where the job cannot begin without it."""

    uses_id: UUID
    must_stand: bool = True

    @classmethod
    def compute_resource(cls, compute_resource_id: UUID) -> "Needed":
        """Workers ask it for what the job may use."""
        return cls(uuid5(_NAMESPACE, f"compute_resource {compute_resource_id}"))

    @classmethod
    def model_image_version(cls, model_image_id: UUID, number: int) -> "Needed":
        """Workers read its initial weights; `number` is the whole number."""
        return cls(uuid5(_NAMESPACE, f"model_image {model_image_id} version {number}"))

    @classmethod
    def task_type(cls, task_type_id: UUID) -> "Needed":
        """Model images keep their own copy of it, so that a job can begin where it was deleted."""
        return cls(uuid5(_NAMESPACE, f"task_type {task_type_id}"), must_stand=False)


class UseBegun(Fact):
    """A job waits or runs that needs this; `name` is what people call the job."""

    TOPIC: ClassVar[str] = "use.begun"
    job_id: UUID
    name: str


class UseEnded(Fact):
    """The job came to an end, or was deleted."""

    TOPIC: ClassVar[str] = "use.ended"
    job_id: UUID


class UseRuledOut(Fact):
    """What jobs needed was deleted."""

    TOPIC: ClassVar[str] = "use.ruled_out"


class IsInUse(Refusal):
    """M-6: nothing is deleted under a waiting or running job."""

    message = N_(
        "Waiting or running jobs need this ({count}): {names}. Wait until they have ended, or terminate or delete them."
    )


class NeededIsGone(Refusal):
    """M-6: a job that ended does not keep anyone from deleting what it needed."""

    message = N_(
        "“{name}” cannot be started: the compute resource or the model image version that it needs was deleted. "
        "Make a new job and choose another one."
    )


class Uses(State):
    """The waiting and running jobs that need one thing: their names by their ids."""

    HAS_LONG_HISTORY: ClassVar[bool] = True
    jobs: dict[UUID, str] = msgspec.field(default_factory=dict)
    is_ruled_out: bool = False


def begin(uses: Uses | None, needed: Needed, job_id: UUID, name: str) -> list[Fact]:
    """A job begins to wait.

    Raises:
        NeededIsGone
    """
    if uses is not None and uses.is_ruled_out:
        if needed.must_stand:
            raise NeededIsGone(name=name)
        return []
    return [UseBegun(job_id=job_id, name=name)]


def end(uses: Uses | None, job_id: UUID) -> list[Fact]:
    """A job ends. Nothing happens where its beginning was not noted: it was queued by a release that did not."""
    return [UseEnded(job_id=job_id)] if uses is not None and job_id in uses.jobs else []


def rule_out(uses: Uses | None) -> list[Fact]:
    """What jobs need is being deleted.

    Raises:
        IsInUse
    """
    if uses is not None and uses.jobs:
        raise IsInUse(count=len(uses.jobs), names=_named(uses.jobs.values()))
    return [UseRuledOut()]


def _named(names: Iterable[str]) -> str:
    every = [f"“{name}”" for name in names]
    return ", ".join(every if len(every) <= MOST_NAMES else [*every[:MOST_NAMES], "…"])


def _begun(uses: Uses | None, fact: UseBegun) -> Uses:
    known = uses or Uses()
    return replace(known, jobs=known.jobs | {fact.job_id: fact.name})


EVOLVE = evolves(
    Uses,
    {
        UseBegun: _begun,
        UseEnded: lambda uses, fact: replace(
            uses, jobs={job_id: name for job_id, name in uses.jobs.items() if job_id != fact.job_id}
        ),
        UseRuledOut: lambda uses, fact: replace(uses or Uses(), is_ruled_out=True),
    },
)
