"""What is remembered of each thing to tell what happens to it next: its name, its owner, and what a change would replace.

A fact says only what is new, so this is kept beside the log, and looked up with the next fact.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from domain import (
    api_tokens,
    compute_resources,
    datasets,
    environments,
    exports,
    industries,
    model_images,
    models,
    names,
    prediction_jobs,
    task_types,
    training_jobs,
    unusable_reports,
    users,
    uses,
)
from domain.audit.wording import name_kind_words, resources_name, role_words
from domain.facts import Fact
from domain.sentences import Sentence, Value


class Subject(msgspec.Struct, frozen=True):
    """What is remembered of one aggregate to tell what happens to it next. `was` is what a change would replace."""

    name: str = ""
    owner: UUID | None = None
    was: dict[str, Value | Sentence] = {}


Names: TypeAlias = Callable[[UUID], str]
"""What other things that a fact refers to are called."""
Remembering: TypeAlias = Callable[[Any, Subject, Names], Subject]


def remembered(fact: Fact, before: Subject, named: Names) -> Subject:
    """What is remembered of an aggregate after a fact."""
    remember = _REMEMBERED.get(type(fact))
    return remember(fact, before, named) if remember else before


def names_given(fact: Fact) -> Iterable[tuple[UUID, str]]:
    """What a fact calls things beside its own aggregate that later facts may refer to by their ids."""
    match fact:
        case environments.EnvironmentNodesAdded(nodes=nodes):
            return ((node.node_id, node.name) for node in nodes)
        case datasets.DatasetCreated(data_paths=data_paths) | datasets.DataPathsAdded(data_paths=data_paths):
            return ((path.path_id, str(path.inspection.folder)) for path in data_paths)
    return ()


def uses_named(fact: Fact, aggregate_id: UUID, subject: Subject) -> Iterable[tuple[UUID, str]]:
    """The aggregates of uses that stand beside a thing are called as it is."""
    match fact:
        case compute_resources.ComputeResourceCreated() | compute_resources.ComputeResourceChanged():
            yield uses.Needed.compute_resource(aggregate_id).uses_id, subject.name
        case model_images.ModelImageLoaded(number=number):
            label = f"{subject.name} {model_images.version_label(number)}"
            yield uses.Needed.model_image_version(aggregate_id, number).uses_id, label
        case task_types.TaskTypeCreated() | task_types.TaskTypeRenamed():
            yield uses.Needed.task_type(aggregate_id).uses_id, subject.name


def _now(subject: Subject, **was: Value | Sentence) -> Subject:
    return msgspec.structs.replace(subject, was=subject.was | was)


_REMEMBERED: Mapping[type[Fact], Remembering] = MappingProxyType(
    {
        users.UserCreated: lambda fact, _subject, _named: Subject(
            fact.username, None, {"email": fact.email, "role": role_words(fact.role)}
        ),
        users.UserEmailChanged: lambda fact, subject, _named: _now(subject, email=fact.email),
        users.UserRoleChanged: lambda fact, subject, _named: _now(subject, role=role_words(fact.role)),
        industries.IndustryCreated: lambda fact, _subject, _named: Subject(fact.name),
        industries.IndustryLevelsDefined: lambda fact, subject, _named: _now(
            subject, levels=" / ".join(fact.level_names)
        ),
        industries.DefaultIndustryChosen: lambda fact, subject, named: _now(subject, industry=named(fact.industry_id)),
        environments.EnvironmentNodesAdded: lambda fact, _subject, named: Subject(named(fact.industry_id)),
        task_types.TaskTypeCreated: lambda fact, _subject, _named: Subject(fact.name),
        task_types.TaskTypeRenamed: lambda fact, subject, _named: msgspec.structs.replace(subject, name=fact.name),
        compute_resources.ComputeResourceCreated: lambda fact, _subject, _named: Subject(
            resources_name(fact.resources)
        ),
        compute_resources.ComputeResourceChanged: lambda fact, _subject, _named: Subject(
            resources_name(fact.resources)
        ),
        datasets.DatasetCreated: lambda fact, _subject, _named: Subject(fact.name),
        model_images.ModelImageImported: lambda fact, _subject, _named: Subject(fact.name),
        training_jobs.TrainingQueued: lambda fact, _subject, _named: Subject(fact.model_name, fact.owner),
        models.ModelVersionPublished: lambda fact, _subject, _named: Subject(fact.model_name, fact.owner),
        exports.ExportQueued: lambda fact, _subject, _named: Subject(
            f"{fact.order.model_name} {fact.order.version.label}", fact.owner
        ),
        prediction_jobs.PredictionQueued: lambda fact, _subject, _named: Subject(fact.name, fact.owner),
        api_tokens.ApiTokenCreated: lambda fact, _subject, _named: Subject(fact.name),
        unusable_reports.UnusableReportRetried: lambda fact, _subject, _named: Subject(str(fact.place)),
        unusable_reports.UnusableReportDismissed: lambda fact, _subject, _named: Subject(str(fact.place)),
        names.NameClaimed: lambda fact, _subject, _named: Subject(
            fact.name, None, {"kind": name_kind_words(fact.kind)}
        ),
    }
)
"""What is to be remembered after a fact, where it says anything that a later sentence needs."""
