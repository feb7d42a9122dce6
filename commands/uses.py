"""What is saved beside jobs and deletions, so that nothing is deleted that a waiting or running job needs (M-6)."""

from typing import TypeVar
from uuid import UUID

from commands.assay import Assay, Change
from domain import uses
from domain.facts import Fact, after
from domain.model_images import ModelImage
from domain.prediction_jobs import PredictionJob
from domain.training_jobs import TrainingJob
from domain.uses import Needed, Uses

J = TypeVar("J", TrainingJob, PredictionJob, ModelImage)


def with_uses(assay: Assay, job_type: type[J], job_id: UUID, job: J | None, facts: list[Fact]) -> list[Change]:
    """What happened to a job or to a model image that loads, and what it thereby begins to need or needs no more.

    Raises:
        NeededIsGone: it begins to need what was deleted.
    """
    changed = after(job_type, job, facts)
    assert changed is not None
    before, now = job.needed if job else (), changed.needed
    changes = [Change(job_id, job, facts)]
    for needed in now:
        if needed not in before:
            known = assay.find(Uses, needed.uses_id)
            changes.append(Change(needed.uses_id, known, uses.begin(known, needed, job_id, changed.name)))
    for needed in before:
        if needed not in now:
            known = assay.find(Uses, needed.uses_id)
            changes.append(Change(needed.uses_id, known, uses.end(known, job_id)))
    return changes


def without_uses(assay: Assay, needed: Needed) -> Change:
    """What the deletion of something that jobs need saves beside itself.

    Raises:
        IsInUse: a waiting or running job needs it.
    """
    known = assay.find(Uses, needed.uses_id)
    return Change(needed.uses_id, known, uses.rule_out(known))
