"""What people are told of each fact: one sentence a fact, for the audit page, the histories of things and the command line (E-3).

A fact says only what is new; `domain/audit/remembered.py` knows what it was before, and what the thing is called. `{who}` is
filled where the sentence is shown.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from domain import (
    api_tokens,
    datasets,
    environments,
    exports,
    industries,
    model_images,
    models,
    names,
    prediction_jobs,
    task_types,
    unusable_reports,
    users,
    uses,
)
from domain import compute_resources as resources
from domain import training_jobs as training
from domain.audit.kinds import Kind, kind_of
from domain.audit.remembered import Names, Subject, remembered
from domain.audit.wording import (
    folders_named,
    inspection_words,
    name_kind_words,
    part_words,
    resources_name,
    role_words,
    say,
    scope_words,
    several_named,
)
from domain.durations import clock
from domain.facts import SYSTEM, Fact
from domain.messages import LossPart, StageName
from domain.sentences import N_, Sentence, Value
from domain.shares import percent

Telling: TypeAlias = Callable[[Any, Subject, Names], Sentence]


def tell(fact: Fact, subject: Subject | None, named: Names) -> tuple[Sentence, Subject]:
    """The sentence of a fact, and what is remembered of its aggregate afterwards. `subject` is None for the first fact."""
    before = subject or Subject()
    after = remembered(fact, before, named)
    telling = TOLD.get(type(fact))
    if telling is None:  # history is shown whole, also what a newer part of the platform has no words for yet
        return say(N_("“{topic}” happened to “{name}”."), topic=fact.TOPIC, name=before.name), after
    return telling(fact, msgspec.structs.replace(before, name=before.name or after.name), named), after


def who_sentence(told: Sentence, actor: UUID, username: str) -> Sentence:
    """What is told, with the person who did it; nobody did what the platform does by itself."""
    who: Value | Sentence = Sentence(N_("The platform")) if actor == SYSTEM else username
    return Sentence(told.text, told.values | {"who": who})


def kinds_told() -> Mapping[Kind, tuple[type[Fact], ...]]:
    """Every fact that has a sentence, by the kind of thing it happens to, in the order of this file."""
    found: dict[Kind, list[type[Fact]]] = {}
    for fact_type in TOLD:
        found.setdefault(kind_of(fact_type), []).append(fact_type)
    return {kind: tuple(fact_types) for kind, fact_types in found.items()}


def _about(text: str) -> Telling:
    """A sentence that needs nothing but the name of the thing, and who did it."""
    return lambda _fact, subject, _named: say(text, name=subject.name)


def _from_to(text: str, kept: str, **given: Callable[[Any], Value | Sentence]) -> Telling:
    """A sentence of a change; what stood there `before` was kept under the name `kept`."""
    return lambda fact, subject, _named: say(
        text,
        name=subject.name,
        before=subject.was.get(kept, "—"),
        **{place: written(fact) for place, written in given.items()},
    )


def _stage(fact: training.TrainingStageFinished, subject: Subject, _named: Names) -> Sentence:
    match fact.stage:
        case StageName.RESOLUTION_SCREENING:
            return say(
                N_("The training of “{name}” looked through {count} images, {non_compliant} of them non-compliant."),
                name=subject.name,
                count=fact.image_count,
                non_compliant=fact.non_compliant_count,
            )
        case StageName.DATA_SPLIT:
            return say(
                N_(
                    "The training of “{name}” split its images: {training} to train with, {validation} to validate with."
                ),
                name=subject.name,
                training=fact.training_count,
                validation=fact.validation_count,
            )
    return say(
        N_("The training of “{name}” prepared its images in {duration}."),
        name=subject.name,
        duration=clock(fact.seconds),
    )


def _queued_training(fact: training.TrainingQueued, subject: Subject, _named: Names) -> Sentence:
    image = f"{fact.model_image.name} {model_images.version_label(fact.model_image.number)}"
    if fact.started_from is None:
        return say(
            N_("{who} queued a training of “{name}” with the model image “{image}”."), name=subject.name, image=image
        )
    return say(
        N_("{who} queued a training of “{name}” with the model image “{image}”, starting from {version}."),
        name=subject.name,
        image=image,
        version=f"{fact.started_from.model_name} {fact.started_from.label}",
    )


def _validated(fact: training.TrainingValidated, subject: Subject, _named: Names) -> Sentence:
    values: dict[str, Value | Sentence] = {"name": subject.name, "iteration": fact.iteration}
    if fact.part is LossPart.SEGMENTATION:
        return say(
            N_("The segmentation of “{name}” was validated at iteration {iteration}: IoU {iou}."),
            iou=percent(fact.iou),
            **values,
        )
    return say(
        N_("“{name}” was validated at iteration {iteration}: accuracy {accuracy}, recall {recall}."),
        accuracy=percent(fact.accuracy),
        recall=percent(fact.recall),
        **values,
    )


def _losses(fact: training.TrainingLossesMeasured, subject: Subject, _named: Names) -> Sentence:
    return say(
        N_("“{name}” measured its losses up to iteration {iteration} ({part}); the last is {loss}."),
        name=subject.name,
        iteration=fact.iterations[-1] if fact.iterations else 0,
        part=part_words(fact.part),
        loss=f"{fact.losses[-1]:.4g}" if fact.losses else "—",
    )


def _levels(fact: industries.IndustryLevelsDefined, subject: Subject, _named: Names) -> Sentence:
    after = " / ".join(fact.level_names)
    if "levels" not in subject.was:
        return say(N_("{who} defined the levels of the industry “{name}”: {after}."), name=subject.name, after=after)
    return say(
        N_("{who} changed the levels of the industry “{name}” from “{before}” to “{after}”."),
        name=subject.name,
        before=subject.was["levels"],
        after=after,
    )


def _default(fact: industries.DefaultIndustryChosen, subject: Subject, named: Names) -> Sentence:
    after = named(fact.industry_id)
    if "industry" not in subject.was:
        return say(N_("{who} made “{after}” the default industry."), after=after)
    return say(
        N_("{who} changed the default industry from “{before}” to “{after}”."),
        before=subject.was["industry"],
        after=after,
    )


def _email(fact: users.UserEmailChanged, subject: Subject, _named: Names) -> Sentence:
    before = subject.was.get("email", "")
    if not before:
        return say(N_("{who} gave “{name}” the e-mail address “{after}”."), name=subject.name, after=fact.email or "—")
    if not fact.email:
        return say(N_("{who} removed the e-mail address “{before}” of “{name}”."), name=subject.name, before=before)
    return say(
        N_("{who} changed the e-mail address of “{name}” from “{before}” to “{after}”."),
        name=subject.name,
        before=before,
        after=fact.email,
    )


def _predicted(fact: prediction_jobs.PredictionCompleted, subject: Subject, _named: Names) -> Sentence:
    return say(
        N_("The prediction “{name}” is complete: accuracy {accuracy}."),
        name=subject.name,
        accuracy=several_named(f"{result.label} {percent(result.figures.accuracy)}" for result in fact.results),
    )


def _interrupted(at_fault: str, in_good_order: str) -> Telling:
    """A worker that fell silent, or one that was stopped in good order."""
    return lambda fact, subject, _named: say(at_fault if fact.is_fault else in_good_order, name=subject.name)


def _failed(text: str) -> Telling:
    return lambda fact, subject, _named: say(text, name=subject.name, reason=fact.reason)


def _by_worker(text: str) -> Telling:
    return lambda fact, subject, _named: say(text, name=subject.name, worker=fact.worker)


TOLD: Mapping[type[Fact], Telling] = MappingProxyType(
    {
        # Users
        users.UserCreated: lambda fact, _subject, _named: say(
            N_("{who} created the user “{name}” with the role “{role}”."),
            name=fact.username,
            role=role_words(fact.role),
        ),
        users.UserPasswordChanged: _about(N_("{who} changed the password of “{name}”.")),
        users.UserEmailChanged: _email,
        users.UserRoleChanged: _from_to(
            N_("{who} changed the role of “{name}” from “{before}” to “{after}”."),
            "role",
            after=lambda fact: role_words(fact.role),
        ),
        users.UserDeleted: lambda fact, subject, named: say(
            N_("{who} deleted the user “{name}”. What was theirs belongs to “{heir}”."),
            name=subject.name,
            heir=named(fact.heir),
        ),
        users.UserBecameHeir: lambda fact, subject, named: say(
            N_("“{name}” owns what was owned by “{user}”."), name=subject.name, user=named(fact.deleted_user)
        ),
        api_tokens.ApiTokenCreated: lambda fact, subject, named: say(
            N_("{who} created the API token “{name}”, which acts for “{user}” and may {scope}."),
            name=subject.name,
            user=named(fact.user_id),
            scope=scope_words(fact.scope),
        ),
        api_tokens.ApiTokenRevoked: _about(N_("{who} revoked the API token “{name}”.")),
        unusable_reports.UnusableReportRetried: lambda fact, _subject, _named: say(
            N_("{who} had the unusable report {place} taken in again. Its reason was: {reason}"),
            place=str(fact.place),
            reason=fact.reason,
        ),
        unusable_reports.UnusableReportDismissed: lambda fact, _subject, _named: say(
            N_("{who} dismissed the unusable report {place}: {reason}"), place=str(fact.place), reason=fact.reason
        ),
        users.UserRefusedAction: lambda fact, subject, _named: say(
            N_("“{name}” was refused: {action}"), name=subject.name, action=fact.command
        ),
        users.SuperAdministratorJoined: lambda fact, _subject, named: say(
            N_("“{name}” became a super administrator."), name=named(fact.user_id)
        ),
        users.SuperAdministratorLeft: lambda fact, _subject, named: say(
            N_("“{name}” is no super administrator any more."), name=named(fact.user_id)
        ),
        # Master data
        industries.IndustryCreated: _about(N_("{who} created the industry “{name}”.")),
        industries.IndustryLevelsDefined: _levels,
        industries.IndustryDeleted: _about(N_("{who} deleted the industry “{name}”.")),
        industries.DefaultIndustryChosen: _default,
        industries.OtherIndustryDeleted: lambda fact, _subject, named: say(
            N_("“{name}” was deleted; it was not the default industry."), name=named(fact.industry_id)
        ),
        environments.EnvironmentNodesAdded: lambda fact, subject, _named: say(
            N_("{who} added places to the production environment of “{name}” ({count}): {places}"),
            name=subject.name,
            count=len(fact.nodes),
            places=several_named(node.name for node in fact.nodes),
        ),
        environments.EnvironmentNodesRemoved: lambda fact, subject, named: say(
            N_("{who} removed places from the production environment of “{name}” ({count}): {places}"),
            name=subject.name,
            count=len(fact.node_ids),
            places=several_named(named(node_id) for node_id in fact.node_ids),
        ),
        environments.EnvironmentDeleted: _about(N_("The production environment of “{name}” went with its industry.")),
        task_types.TaskTypeCreated: _about(N_("{who} created the task type “{name}”.")),
        task_types.TaskTypeRenamed: lambda fact, subject, _named: say(
            N_("{who} changed the name of the task type “{before}” to “{after}”."),
            before=subject.name,
            after=fact.name,
        ),
        task_types.TaskTypeDeleted: _about(N_("{who} deleted the task type “{name}”.")),
        resources.ComputeResourceCreated: _about(N_("{who} created the compute resource “{name}”.")),
        resources.ComputeResourceChanged: lambda fact, subject, _named: say(
            N_("{who} changed the compute resource “{before}” to “{after}”."),
            before=subject.name,
            after=resources_name(fact.resources),
        ),
        resources.ComputeResourceDeleted: _about(N_("{who} deleted the compute resource “{name}”.")),
        # Datasets
        datasets.DatasetCreated: lambda fact, _subject, _named: say(
            N_("{who} created the dataset “{name}” with data paths ({count}): {paths}"),
            name=fact.name,
            count=len(fact.data_paths),
            paths=folders_named(path.inspection.folder for path in fact.data_paths),
        ),
        datasets.DataPathsAdded: lambda fact, subject, _named: say(
            N_("{who} added data paths to the dataset “{name}” ({count}): {paths}"),
            name=subject.name,
            count=len(fact.data_paths),
            paths=folders_named(path.inspection.folder for path in fact.data_paths),
        ),
        datasets.DataPathsRemoved: lambda fact, subject, named: say(
            N_("{who} removed data paths from the dataset “{name}” ({count}): {paths}"),
            name=subject.name,
            count=len(fact.path_ids),
            paths=several_named(named(path_id) for path_id in fact.path_ids),
        ),
        datasets.DataPathInspected: lambda fact, subject, _named: say(
            N_("The data path “{folder}” of the dataset “{name}” was checked: {found}."),
            name=subject.name,
            folder=str(fact.inspection.folder),
            found=inspection_words(fact.inspection),
        ),
        datasets.DatasetDeleted: _about(N_("{who} deleted the dataset “{name}”.")),
        # Model images
        model_images.ModelImageImported: _about(N_("{who} imported the model image “{name}”.")),
        model_images.ModelImageLoadingQueued: lambda fact, subject, _named: say(
            N_("{who} had the archive “{archive}” of the model image “{name}” loaded."),
            name=subject.name,
            archive=f"{fact.order.name}@{fact.order.archive_version}",
        ),
        model_images.ModelImageLoadingStarted: _by_worker(
            N_("The worker “{worker}” began to load an archive of the model image “{name}”.")
        ),
        model_images.ModelImageLoadingInterrupted: _interrupted(
            N_("The worker that loaded an archive of “{name}” fell silent. The archive waits for another."),
            N_("The worker that loaded an archive of “{name}” was stopped. The archive waits for another."),
        ),
        model_images.ModelImageLoaded: lambda fact, subject, _named: say(
            N_("Version {version} of the model image “{name}” is loaded (SHA-256 {checksum})."),
            name=subject.name,
            version=model_images.version_label(fact.number),
            checksum=fact.archive.checksum,
        ),
        model_images.ModelImageLoadingFailed: _failed(
            N_("An archive of the model image “{name}” could not be loaded: {reason}")
        ),
        model_images.ModelImageLoadingDismissed: _about(
            N_("{who} took an archive of “{name}” that could not be loaded off the list.")
        ),
        model_images.ModelImageVersionDeleted: lambda fact, subject, _named: say(
            N_("{who} deleted version {version} of the model image “{name}”."),
            name=subject.name,
            version=model_images.version_label(fact.number),
        ),
        model_images.ModelImageFileRemoved: lambda fact, subject, _named: say(
            N_("A file of the deleted version {version} of “{name}” is gone from storage (SHA-256 {checksum})."),
            name=subject.name,
            version=model_images.version_label(fact.number),
            checksum=fact.checksum,
        ),
        model_images.ModelImageFileRemovalFailed: lambda fact, subject, _named: say(
            N_("A file of the deleted version {version} of “{name}” could not be removed: {reason}"),
            name=subject.name,
            version=model_images.version_label(fact.number),
            reason=fact.reason,
        ),
        # Training jobs
        training.TrainingQueued: _queued_training,
        training.TrainingStarted: lambda fact, subject, _named: say(
            N_("The worker “{worker}” began attempt {attempt} at the training of “{name}”."),
            name=subject.name,
            worker=fact.worker,
            attempt=fact.attempt,
        ),
        training.TrainingStageFinished: _stage,
        training.TrainingLossesMeasured: _losses,
        training.TrainingValidated: _validated,
        training.TrainingCompleted: lambda fact, subject, _named: say(
            N_("The training of “{name}” is complete after {duration}: accuracy {accuracy}, recall {recall}."),
            name=subject.name,
            duration=clock(fact.seconds),
            accuracy=percent(fact.figures.accuracy),
            recall=percent(fact.figures.recall),
        ),
        training.TrainingFailed: _failed(N_("The training of “{name}” failed: {reason}")),
        training.TrainingLogKept: _about(N_("The log of the terminated training of “{name}” was kept.")),
        training.TrainingTerminated: _about(N_("{who} terminated the training of “{name}”.")),
        training.TrainingInterrupted: _interrupted(
            N_("The worker that trained “{name}” fell silent. The training goes on from its last checkpoint."),
            N_("The worker that trained “{name}” was stopped. The training goes on from its last checkpoint."),
        ),
        training.TrainingRestarted: _about(N_("{who} started the training of “{name}” again.")),
        training.TrainingPublished: lambda fact, subject, _named: say(
            N_("{who} published the training of “{name}” as {version}."), name=subject.name, version=fact.version
        ),
        training.TrainingDeleted: _about(N_("{who} deleted the training job “{name}”.")),
        # Models and exports
        models.ModelVersionPublished: lambda fact, _subject, _named: say(
            N_("{who} published {version} of the model “{name}”: accuracy {accuracy}, recall {recall}."),
            name=fact.model_name,
            version=fact.version,
            accuracy=percent(fact.figures.accuracy),
            recall=percent(fact.figures.recall),
        ),
        models.ModelVersionWithdrawn: lambda fact, subject, _named: say(
            N_("{who} withdrew {version} of the model “{name}”: {reason}"),
            name=subject.name,
            version=fact.version,
            reason=fact.reason,
        ),
        models.ModelDataPathReleased: lambda fact, subject, _named: say(
            N_("{who} released the data path “{folder}” of the model “{name}”."),
            name=subject.name,
            folder=str(fact.folder),
        ),
        exports.ExportQueued: _about(N_("{who} asked for the export package of {name}.")),
        exports.ExportStarted: _by_worker(N_("The worker “{worker}” began to build the export package of {name}.")),
        exports.ExportInterrupted: _interrupted(
            N_("The worker that built the export package of {name} fell silent. Another one builds it."),
            N_("The worker that built the export package of {name} was stopped. Another one builds it."),
        ),
        exports.ExportBuilt: lambda fact, subject, _named: say(
            N_("The export package of {name} is built (SHA-256 {checksum})."),
            name=subject.name,
            checksum=fact.package.checksum,
        ),
        exports.ExportFailed: _failed(N_("The export package of {name} could not be built: {reason}")),
        exports.ExportPackageLost: _about(
            N_("{who} asked for the export package of {name}, which the storage had lost or damaged.")
        ),
        # Prediction jobs
        prediction_jobs.PredictionQueued: lambda fact, _subject, _named: say(
            N_("{who} queued the prediction “{name}” with {versions}."),
            name=fact.name,
            versions=several_named(f"{fact.model_name} {version.label}" for version in fact.order.versions),
        ),
        prediction_jobs.PredictionStarted: lambda fact, subject, _named: say(
            N_("The worker “{worker}” began attempt {attempt} at the prediction “{name}”."),
            name=subject.name,
            worker=fact.worker,
            attempt=fact.attempt,
        ),
        prediction_jobs.PredictionCompleted: _predicted,
        prediction_jobs.PredictionFailed: _failed(N_("The prediction “{name}” failed: {reason}")),
        prediction_jobs.PredictionLogKept: _about(N_("The log of the terminated prediction “{name}” was kept.")),
        prediction_jobs.PredictionTerminated: _about(N_("{who} terminated the prediction “{name}”.")),
        prediction_jobs.PredictionInterrupted: _interrupted(
            N_("The worker of the prediction “{name}” fell silent. The prediction waits for another."),
            N_("The worker of the prediction “{name}” was stopped. The prediction waits for another."),
        ),
        prediction_jobs.PredictionRestarted: _about(N_("{who} started the prediction “{name}” again.")),
        prediction_jobs.PredictionDeleted: _about(N_("{who} deleted the prediction job “{name}”.")),
        # Bookkeeping
        names.NameClaimed: lambda fact, _subject, _named: say(
            N_("The name “{name}” ({kind}) was taken."), name=fact.name, kind=name_kind_words(fact.kind)
        ),
        names.NameReleased: lambda _fact, subject, _named: say(
            N_("The name “{name}” ({kind}) became free."), name=subject.name, kind=subject.was.get("kind", "—")
        ),
        uses.UseBegun: lambda fact, subject, _named: say(
            N_("The job “{job}” needs “{name}” from now on."), job=fact.name, name=subject.name or "—"
        ),
        uses.UseEnded: lambda fact, subject, named: say(
            N_("The job “{job}” needs “{name}” no more."), job=named(fact.job_id), name=subject.name or "—"
        ),
        uses.UseRuledOut: lambda _fact, subject, _named: say(
            N_("No job can need “{name}” any more: it was deleted."), name=subject.name or "—"
        ),
    }
)


BOOKKEEPING: frozenset[type[Fact]] = frozenset(
    {
        users.UserBecameHeir,
        users.SuperAdministratorJoined,
        users.SuperAdministratorLeft,
        industries.OtherIndustryDeleted,
        environments.EnvironmentDeleted,
        names.NameClaimed,
        names.NameReleased,
        uses.UseBegun,
        uses.UseEnded,
        uses.UseRuledOut,
        model_images.ModelImageFileRemoved,
        training.TrainingStageFinished,
        training.TrainingLossesMeasured,
        training.TrainingValidated,
        training.TrainingLogKept,
        training.TrainingPublished,
        prediction_jobs.PredictionLogKept,
    }
)
"""Measurements, and facts that stand beside another one so that the rules can hold: lists leave them out until asked for them."""
