"""Which files the facts of the log name, and which facts let go of them again. Source: I-5, S-5.

Named is what any fact has ever named, whatever became of it since: making the read tables anew may open it again. Referred to is
what something names that still stands; only this must be on the storage. The read model `artifact_removals` is made by these rules:
whoever changes them raises its `version`.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import msgspec
from msgspec.inspect import StructType, Type, type_info

from domain.artifacts import Artifact
from domain.exports import ExportPackageLost
from domain.facts import Fact
from domain.model_images import ModelImageLoaded, ModelImageVersionDeleted
from domain.prediction_jobs import PredictionDeleted
from domain.training_jobs import TrainingDeleted


class Release(msgspec.Struct, frozen=True):
    """An aggregate lets go of files: of those of one model image version, of all it named where `number` is None."""

    number: int | None


EVERYTHING: Final = Release(None)
_RELEASING: Final = (ModelImageVersionDeleted, TrainingDeleted, PredictionDeleted, ExportPackageLost)


def concerns_artifacts(fact_type: type[Fact]) -> bool:
    """Whether a fact of this type can name files, or let go of some."""
    return fact_type in _RELEASING or names_artifacts(fact_type)


def release_by(fact: Fact) -> Release | None:
    """What a fact lets go of."""
    match fact:
        case ModelImageVersionDeleted(number=number):
            return Release(number)
        case TrainingDeleted() | PredictionDeleted() | ExportPackageLost():
            return EVERYTHING
    return None


def number_named_by(fact: Fact) -> int | None:
    """The model image version whose files a fact names; None for files of anything else."""
    return fact.number if isinstance(fact, ModelImageLoaded) else None


@cache
def names_artifacts(fact_type: type[Fact]) -> bool:
    """Whether a fact of this type can name a file; most cannot, and some of those are long."""
    return _leads_to_artifact(type_info(fact_type), frozenset())


def artifacts_in(value: Any) -> Iterator[Artifact]:
    """Every file that a fact names, or a part of one."""
    if isinstance(value, Artifact):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from artifacts_in(getattr(value, name))
    elif isinstance(value, tuple | list | frozenset | set):
        for item in value:
            yield from artifacts_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from artifacts_in(item)


def _leads_to_artifact(kind: Type, seen: frozenset[type]) -> bool:
    if isinstance(kind, StructType):
        if kind.cls is Artifact:
            return True
        if kind.cls in seen:
            return False
        return any(_leads_to_artifact(field.type, seen | {kind.cls}) for field in kind.fields)
    inner = [getattr(kind, name, ()) for name in ("types", "item_types", "item_type", "key_type", "value_type")]
    flat = [one for part in inner for one in (part if isinstance(part, tuple) else (part,))]
    return any(_leads_to_artifact(one, seen) for one in flat)
