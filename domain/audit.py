"""What people are told of each fact: one sentence a fact, for the audit page, the histories of things and the command line (E-3).

A fact says only what is new. What it was before, and what the thing is called, is remembered beside: `tell` takes what is
remembered of one aggregate, and gives the sentence and what is to be remembered from then on. `{who}` is filled where the
sentence is shown.
"""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from domain.data_paths import DataPathState, FolderName, Inspection
from domain.facts import SYSTEM, Fact, State, state_type_of
from domain.messages import LossPart, Resources, StageName
from domain.names import NameKind
from domain.permissions import Permission, Role, owns, permits
from domain.refusals import NotPermitted, NotTheOwner
from domain.sentences import N_, Sentence, Value
from domain.shares import percent

MOST_NAMED = 5
"""So many of several things a sentence names; the fact itself holds all of them."""
_HOUR, _MINUTE = 3600, 60


class Kind(enum.Enum):
    """What something is that has a history."""

    USER = "user"
    SUPER_ADMINISTRATORS = "super_administrators"
    INDUSTRY = "industry"
    DEFAULT_INDUSTRY = "default_industry"
    ENVIRONMENT = "environment"
    TASK_TYPE = "task_type"
    COMPUTE_RESOURCE = "compute_resource"
    DATASET = "dataset"
    MODEL_IMAGE = "model_image"
    TRAINING_JOB = "training_job"
    MODEL = "model"
    EXPORT = "export"
    PREDICTION_JOB = "prediction_job"
    NAME = "name"
    USE = "use"
    API_TOKEN = "api_token"  # noqa: S105 - a kind, no secret
    UNUSABLE_REPORT = "unusable_report"
    OTHER = "other"


KIND_NAMES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.USER: N_("User"),
        Kind.SUPER_ADMINISTRATORS: N_("Super administrators"),
        Kind.INDUSTRY: N_("Industry"),
        Kind.DEFAULT_INDUSTRY: N_("Default industry"),
        Kind.ENVIRONMENT: N_("Production environment"),
        Kind.TASK_TYPE: N_("Task type"),
        Kind.COMPUTE_RESOURCE: N_("Compute resource"),
        Kind.DATASET: N_("Dataset"),
        Kind.MODEL_IMAGE: N_("Model image"),
        Kind.TRAINING_JOB: N_("Training job"),
        Kind.MODEL: N_("Model"),
        Kind.EXPORT: N_("Export"),
        Kind.PREDICTION_JOB: N_("Prediction job"),
        Kind.NAME: N_("Name"),
        Kind.USE: N_("Use by jobs"),
        Kind.API_TOKEN: N_("API token"),
        Kind.UNUSABLE_REPORT: N_("Unusable report"),
        Kind.OTHER: N_("Other"),
    }
)
_KINDS: Mapping[type[State], Kind] = MappingProxyType(
    {
        users.User: Kind.USER,
        users.SuperAdministrators: Kind.SUPER_ADMINISTRATORS,
        industries.Industry: Kind.INDUSTRY,
        industries.DefaultIndustry: Kind.DEFAULT_INDUSTRY,
        environments.Environment: Kind.ENVIRONMENT,
        task_types.TaskType: Kind.TASK_TYPE,
        resources.ComputeResource: Kind.COMPUTE_RESOURCE,
        datasets.Dataset: Kind.DATASET,
        model_images.ModelImage: Kind.MODEL_IMAGE,
        training.TrainingJob: Kind.TRAINING_JOB,
        models.Model: Kind.MODEL,
        exports.Export: Kind.EXPORT,
        prediction_jobs.PredictionJob: Kind.PREDICTION_JOB,
        names.NameClaim: Kind.NAME,
        uses.Uses: Kind.USE,
        api_tokens.ApiToken: Kind.API_TOKEN,
        unusable_reports.UnusableReport: Kind.UNUSABLE_REPORT,
    }
)
_OF_EVERYBODY = frozenset((Kind.DATASET, Kind.MODEL_IMAGE, Kind.TRAINING_JOB))
"""Whose history everyone may read, as everyone may look at the things themselves (section U)."""
_OF_THE_OWNER = frozenset((Kind.MODEL, Kind.EXPORT, Kind.PREDICTION_JOB))
"""Whose history the owner may read, and nobody else but super administrators."""


class Subject(msgspec.Struct, frozen=True):
    """What is remembered of one aggregate to tell what happens to it next. `was` is what a change would replace."""

    name: str = ""
    owner: UUID | None = None
    was: dict[str, Value | Sentence] = {}


Names: TypeAlias = Callable[[UUID], str]
"""What other things that a fact refers to are called."""
Telling: TypeAlias = Callable[[Any, Subject, Names], Sentence]
Remembering: TypeAlias = Callable[[Any, Subject, Names], Subject]


def check_history(kind: Kind, aggregate_id: UUID, owner: UUID | None, reader: UUID, role: Role) -> None:
    """Whether the history of something is open to a reader: all of them to super administrators, to others what they may look at.

    `owner` is who owns the thing now, None where it is nobody's.

    Raises:
        NotTheOwner, NotPermitted
    """
    if permits(role, Permission.SUPERVISE) or kind in _OF_EVERYBODY:
        return
    if kind in _OF_THE_OWNER:
        if owner is None or not owns(owner, reader):
            raise NotTheOwner
    elif kind is not Kind.USER or aggregate_id != reader:
        raise NotPermitted


def kind_of(fact_type: type[Fact]) -> Kind:
    """What kind of thing a fact happens to."""
    try:
        return _KINDS[state_type_of(fact_type)]
    except LookupError:
        return Kind.OTHER


def tell(fact: Fact, subject: Subject | None, named: Names) -> tuple[Sentence, Subject]:
    """The sentence of a fact, and what is remembered of its aggregate afterwards. `subject` is None for the first fact."""
    fact_type, before = type(fact), subject or Subject()
    remember = _REMEMBERED.get(fact_type)
    after = remember(fact, before, named) if remember else before
    telling = TOLD.get(fact_type)
    if telling is None:  # history is shown whole, also what a newer part of the platform has no words for yet
        return _say(N_("“{topic}” happened to “{name}”."), topic=fact_type.TOPIC, name=before.name), after
    return telling(fact, msgspec.structs.replace(before, name=before.name or after.name), named), after


def who_sentence(told: Sentence, actor: UUID, username: str) -> Sentence:
    """What is told, with the person who did it; nobody did what the platform does by itself."""
    who: Value | Sentence = Sentence(N_("The platform")) if actor == SYSTEM else username
    return Sentence(told.text, told.values | {"who": who})


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
        case resources.ComputeResourceCreated() | resources.ComputeResourceChanged():
            yield uses.Needed.compute_resource(aggregate_id).uses_id, subject.name
        case model_images.ModelImageLoaded(number=number):
            label = f"{subject.name} {model_images.version_label(number)}"
            yield uses.Needed.model_image_version(aggregate_id, number).uses_id, label
        case task_types.TaskTypeCreated() | task_types.TaskTypeRenamed():
            yield uses.Needed.task_type(aggregate_id).uses_id, subject.name


def resources_name(needed: Resources) -> str:
    """A compute resource has no name; this is what it is, the same in every language."""
    general = f"CPU {needed.cpu_cores} · {needed.memory_gib:g} GiB"
    return general + (f" · GPU {needed.gpu_cards} × {needed.gpu_memory_gib:g} GiB" if needed.gpu_cards else "")


def _say(text: str, **values: Value | Sentence) -> Sentence:
    return Sentence(text, values)


def _about(text: str) -> Telling:
    """A sentence that needs nothing but the name of the thing, and who did it."""
    return lambda _fact, subject, _named: _say(text, name=subject.name)


def _some(several: Sequence[str]) -> str:
    return " / ".join((*several[:MOST_NAMED], "…") if len(several) > MOST_NAMED else several)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // _HOUR:02}:{whole % _HOUR // _MINUTE:02}:{whole % _MINUTE:02}"


def _scope(scope: api_tokens.TokenScope) -> Sentence:
    names = {
        api_tokens.TokenScope.READ: N_("only read"),
        api_tokens.TokenScope.ACT: N_("read and act"),
        api_tokens.TokenScope.MES: N_("follow events and fetch published models of everybody"),
        api_tokens.TokenScope.AUDIT: N_("only read, management and audit included"),
        api_tokens.TokenScope.MANAGE: N_("read, act and manage"),
    }
    return _say(names[scope])


def _role(role: Role) -> Sentence:
    return _say({Role.SUPER_ADMINISTRATOR: N_("Super administrator"), Role.MODEL_TRAINER: N_("Model trainer")}[role])


def _name_kind(kind: NameKind) -> Sentence:
    return _say(
        {
            NameKind.USER: N_("User"),
            NameKind.INDUSTRY: N_("Industry"),
            NameKind.TASK_TYPE: N_("Task type"),
            NameKind.TRAINING_DATASET: N_("Training dataset"),
            NameKind.QUESTION_BANK_DATASET: N_("Question-bank dataset"),
            NameKind.MODEL_IMAGE: N_("Model image"),
            NameKind.MODEL: N_("Model"),
        }[kind]
    )


def _part(part: LossPart) -> Sentence:
    return _say(
        {LossPart.CLASSIFICATION: N_("Classification"), LossPart.SEGMENTATION: N_("Segmentation")}[part],
    )


def _found(inspection: Inspection) -> Sentence:
    match inspection.state:
        case DataPathState.VALID:
            return _say(N_("valid, {count} images"), count=inspection.image_count)
        case DataPathState.SCANNING:
            return _say(N_("still being counted, {count} images so far"), count=inspection.image_count)
    return _say(N_("invalid"))


def _folders(folders: Iterable[FolderName]) -> str:
    return _some([str(folder) for folder in folders])


def _from_to(text: str, kept: str, **given: Callable[[Any], Value | Sentence]) -> Telling:
    """A sentence of a change; what stood there `before` was kept under the name `kept`."""
    return lambda fact, subject, _named: _say(
        text,
        name=subject.name,
        before=subject.was.get(kept, "—"),
        **{place: written(fact) for place, written in given.items()},
    )


def _stage(fact: training.TrainingStageFinished, subject: Subject, _named: Names) -> Sentence:
    match fact.stage:
        case StageName.RESOLUTION_SCREENING:
            return _say(
                N_("The training of “{name}” looked through {count} images, {non_compliant} of them non-compliant."),
                name=subject.name,
                count=fact.image_count,
                non_compliant=fact.non_compliant_count,
            )
        case StageName.DATA_SPLIT:
            return _say(
                N_(
                    "The training of “{name}” split its images: {training} to train with, {validation} to validate with."
                ),
                name=subject.name,
                training=fact.training_count,
                validation=fact.validation_count,
            )
    return _say(
        N_("The training of “{name}” prepared its images in {duration}."),
        name=subject.name,
        duration=_clock(fact.seconds),
    )


def _queued_training(fact: training.TrainingQueued, subject: Subject, _named: Names) -> Sentence:
    image = f"{fact.model_image.name} {model_images.version_label(fact.model_image.number)}"
    if fact.started_from is None:
        return _say(
            N_("{who} queued a training of “{name}” with the model image “{image}”."), name=subject.name, image=image
        )
    return _say(
        N_("{who} queued a training of “{name}” with the model image “{image}”, starting from {version}."),
        name=subject.name,
        image=image,
        version=f"{fact.started_from.model_name} {fact.started_from.label}",
    )


def _validated(fact: training.TrainingValidated, subject: Subject, _named: Names) -> Sentence:
    values: dict[str, Value | Sentence] = {"name": subject.name, "iteration": fact.iteration}
    if fact.part is LossPart.SEGMENTATION:
        return _say(
            N_("The segmentation of “{name}” was validated at iteration {iteration}: IoU {iou}."),
            iou=percent(fact.iou),
            **values,
        )
    return _say(
        N_("“{name}” was validated at iteration {iteration}: accuracy {accuracy}, recall {recall}."),
        accuracy=percent(fact.accuracy),
        recall=percent(fact.recall),
        **values,
    )


def _losses(fact: training.TrainingLossesMeasured, subject: Subject, _named: Names) -> Sentence:
    return _say(
        N_("“{name}” measured its losses up to iteration {iteration} ({part}); the last is {loss}."),
        name=subject.name,
        iteration=fact.iterations[-1] if fact.iterations else 0,
        part=_part(fact.part),
        loss=f"{fact.losses[-1]:.4g}" if fact.losses else "—",
    )


def _levels(fact: industries.IndustryLevelsDefined, subject: Subject, _named: Names) -> Sentence:
    after = " / ".join(fact.level_names)
    if "levels" not in subject.was:
        return _say(N_("{who} defined the levels of the industry “{name}”: {after}."), name=subject.name, after=after)
    return _say(
        N_("{who} changed the levels of the industry “{name}” from “{before}” to “{after}”."),
        name=subject.name,
        before=subject.was["levels"],
        after=after,
    )


def _default(fact: industries.DefaultIndustryChosen, subject: Subject, named: Names) -> Sentence:
    after = named(fact.industry_id)
    if "industry" not in subject.was:
        return _say(N_("{who} made “{after}” the default industry."), after=after)
    return _say(
        N_("{who} changed the default industry from “{before}” to “{after}”."),
        before=subject.was["industry"],
        after=after,
    )


def _email(fact: users.UserEmailChanged, subject: Subject, _named: Names) -> Sentence:
    before = subject.was.get("email", "")
    if not before:
        return _say(N_("{who} gave “{name}” the e-mail address “{after}”."), name=subject.name, after=fact.email or "—")
    if not fact.email:
        return _say(N_("{who} removed the e-mail address “{before}” of “{name}”."), name=subject.name, before=before)
    return _say(
        N_("{who} changed the e-mail address of “{name}” from “{before}” to “{after}”."),
        name=subject.name,
        before=before,
        after=fact.email,
    )


def _predicted(fact: prediction_jobs.PredictionCompleted, subject: Subject, _named: Names) -> Sentence:
    return _say(
        N_("The prediction “{name}” is complete: accuracy {accuracy}."),
        name=subject.name,
        accuracy=_some([f"{result.label} {percent(result.figures.accuracy)}" for result in fact.results]),
    )


def _interrupted(at_fault: str, in_good_order: str) -> Telling:
    """A worker that fell silent, or one that was stopped in good order."""
    return lambda fact, subject, _named: _say(at_fault if fact.is_fault else in_good_order, name=subject.name)


def _failed(text: str) -> Telling:
    return lambda fact, subject, _named: _say(text, name=subject.name, reason=fact.reason)


def _by_worker(text: str) -> Telling:
    return lambda fact, subject, _named: _say(text, name=subject.name, worker=fact.worker)


TOLD: Mapping[type[Fact], Telling] = MappingProxyType(
    {
        # Users
        users.UserCreated: lambda fact, _subject, _named: _say(
            N_("{who} created the user “{name}” with the role “{role}”."), name=fact.username, role=_role(fact.role)
        ),
        users.UserPasswordChanged: _about(N_("{who} changed the password of “{name}”.")),
        users.UserEmailChanged: _email,
        users.UserRoleChanged: _from_to(
            N_("{who} changed the role of “{name}” from “{before}” to “{after}”."),
            "role",
            after=lambda fact: _role(fact.role),
        ),
        users.UserDeleted: lambda fact, subject, named: _say(
            N_("{who} deleted the user “{name}”. What was theirs belongs to “{heir}”."),
            name=subject.name,
            heir=named(fact.heir),
        ),
        users.UserBecameHeir: lambda fact, subject, named: _say(
            N_("“{name}” owns what was owned by “{user}”."), name=subject.name, user=named(fact.deleted_user)
        ),
        api_tokens.ApiTokenCreated: lambda fact, subject, named: _say(
            N_("{who} created the API token “{name}”, which acts for “{user}” and may {scope}."),
            name=subject.name,
            user=named(fact.user_id),
            scope=_scope(fact.scope),
        ),
        api_tokens.ApiTokenRevoked: _about(N_("{who} revoked the API token “{name}”.")),
        unusable_reports.UnusableReportRetried: lambda fact, _subject, _named: _say(
            N_("{who} had the unusable report {place} taken in again. Its reason was: {reason}"),
            place=str(fact.place),
            reason=fact.reason,
        ),
        unusable_reports.UnusableReportDismissed: lambda fact, _subject, _named: _say(
            N_("{who} dismissed the unusable report {place}: {reason}"), place=str(fact.place), reason=fact.reason
        ),
        users.UserRefusedAction: lambda fact, subject, _named: _say(
            N_("“{name}” was refused: {action}"), name=subject.name, action=fact.command
        ),
        users.SuperAdministratorJoined: lambda fact, _subject, named: _say(
            N_("“{name}” became a super administrator."), name=named(fact.user_id)
        ),
        users.SuperAdministratorLeft: lambda fact, _subject, named: _say(
            N_("“{name}” is no super administrator any more."), name=named(fact.user_id)
        ),
        # Master data
        industries.IndustryCreated: _about(N_("{who} created the industry “{name}”.")),
        industries.IndustryLevelsDefined: _levels,
        industries.IndustryDeleted: _about(N_("{who} deleted the industry “{name}”.")),
        industries.DefaultIndustryChosen: _default,
        industries.OtherIndustryDeleted: lambda fact, _subject, named: _say(
            N_("“{name}” was deleted; it was not the default industry."), name=named(fact.industry_id)
        ),
        environments.EnvironmentNodesAdded: lambda fact, subject, _named: _say(
            N_("{who} added places to the production environment of “{name}” ({count}): {places}"),
            name=subject.name,
            count=len(fact.nodes),
            places=_some([node.name for node in fact.nodes[: MOST_NAMED + 1]]),
        ),
        environments.EnvironmentNodesRemoved: lambda fact, subject, named: _say(
            N_("{who} removed places from the production environment of “{name}” ({count}): {places}"),
            name=subject.name,
            count=len(fact.node_ids),
            places=_some([named(node_id) for node_id in fact.node_ids[: MOST_NAMED + 1]]),
        ),
        environments.EnvironmentDeleted: _about(N_("The production environment of “{name}” went with its industry.")),
        task_types.TaskTypeCreated: _about(N_("{who} created the task type “{name}”.")),
        task_types.TaskTypeRenamed: lambda fact, subject, _named: _say(
            N_("{who} changed the name of the task type “{before}” to “{after}”."),
            before=subject.name,
            after=fact.name,
        ),
        task_types.TaskTypeDeleted: _about(N_("{who} deleted the task type “{name}”.")),
        resources.ComputeResourceCreated: _about(N_("{who} created the compute resource “{name}”.")),
        resources.ComputeResourceChanged: lambda fact, subject, _named: _say(
            N_("{who} changed the compute resource “{before}” to “{after}”."),
            before=subject.name,
            after=resources_name(fact.resources),
        ),
        resources.ComputeResourceDeleted: _about(N_("{who} deleted the compute resource “{name}”.")),
        # Datasets
        datasets.DatasetCreated: lambda fact, _subject, _named: _say(
            N_("{who} created the dataset “{name}” with data paths ({count}): {paths}"),
            name=fact.name,
            count=len(fact.data_paths),
            paths=_folders(path.inspection.folder for path in fact.data_paths[: MOST_NAMED + 1]),
        ),
        datasets.DataPathsAdded: lambda fact, subject, _named: _say(
            N_("{who} added data paths to the dataset “{name}” ({count}): {paths}"),
            name=subject.name,
            count=len(fact.data_paths),
            paths=_folders(path.inspection.folder for path in fact.data_paths[: MOST_NAMED + 1]),
        ),
        datasets.DataPathsRemoved: lambda fact, subject, named: _say(
            N_("{who} removed data paths from the dataset “{name}” ({count}): {paths}"),
            name=subject.name,
            count=len(fact.path_ids),
            paths=_some([named(path_id) for path_id in fact.path_ids[: MOST_NAMED + 1]]),
        ),
        datasets.DataPathInspected: lambda fact, subject, _named: _say(
            N_("The data path “{folder}” of the dataset “{name}” was checked: {found}."),
            name=subject.name,
            folder=str(fact.inspection.folder),
            found=_found(fact.inspection),
        ),
        datasets.DatasetDeleted: _about(N_("{who} deleted the dataset “{name}”.")),
        # Model images
        model_images.ModelImageImported: _about(N_("{who} imported the model image “{name}”.")),
        model_images.ModelImageLoadingQueued: lambda fact, subject, _named: _say(
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
        model_images.ModelImageLoaded: lambda fact, subject, _named: _say(
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
        model_images.ModelImageVersionDeleted: lambda fact, subject, _named: _say(
            N_("{who} deleted version {version} of the model image “{name}”."),
            name=subject.name,
            version=model_images.version_label(fact.number),
        ),
        model_images.ModelImageFileRemoved: lambda fact, subject, _named: _say(
            N_("A file of the deleted version {version} of “{name}” is gone from storage (SHA-256 {checksum})."),
            name=subject.name,
            version=model_images.version_label(fact.number),
            checksum=fact.checksum,
        ),
        model_images.ModelImageFileRemovalFailed: lambda fact, subject, _named: _say(
            N_("A file of the deleted version {version} of “{name}” could not be removed: {reason}"),
            name=subject.name,
            version=model_images.version_label(fact.number),
            reason=fact.reason,
        ),
        # Training jobs
        training.TrainingQueued: _queued_training,
        training.TrainingStarted: lambda fact, subject, _named: _say(
            N_("The worker “{worker}” began attempt {attempt} at the training of “{name}”."),
            name=subject.name,
            worker=fact.worker,
            attempt=fact.attempt,
        ),
        training.TrainingStageFinished: _stage,
        training.TrainingLossesMeasured: _losses,
        training.TrainingValidated: _validated,
        training.TrainingCompleted: lambda fact, subject, _named: _say(
            N_("The training of “{name}” is complete after {duration}: accuracy {accuracy}, recall {recall}."),
            name=subject.name,
            duration=_clock(fact.seconds),
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
        training.TrainingPublished: lambda fact, subject, _named: _say(
            N_("{who} published the training of “{name}” as {version}."), name=subject.name, version=fact.version
        ),
        training.TrainingDeleted: _about(N_("{who} deleted the training job “{name}”.")),
        # Models and exports
        models.ModelVersionPublished: lambda fact, _subject, _named: _say(
            N_("{who} published {version} of the model “{name}”: accuracy {accuracy}, recall {recall}."),
            name=fact.model_name,
            version=fact.version,
            accuracy=percent(fact.figures.accuracy),
            recall=percent(fact.figures.recall),
        ),
        models.ModelVersionWithdrawn: lambda fact, subject, _named: _say(
            N_("{who} withdrew {version} of the model “{name}”: {reason}"),
            name=subject.name,
            version=fact.version,
            reason=fact.reason,
        ),
        models.ModelDataPathReleased: lambda fact, subject, _named: _say(
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
        exports.ExportBuilt: lambda fact, subject, _named: _say(
            N_("The export package of {name} is built (SHA-256 {checksum})."),
            name=subject.name,
            checksum=fact.package.checksum,
        ),
        exports.ExportFailed: _failed(N_("The export package of {name} could not be built: {reason}")),
        exports.ExportPackageLost: _about(
            N_("{who} asked for the export package of {name}, which the storage had lost or damaged.")
        ),
        # Prediction jobs
        prediction_jobs.PredictionQueued: lambda fact, _subject, _named: _say(
            N_("{who} queued the prediction “{name}” with {versions}."),
            name=fact.name,
            versions=_some([f"{fact.model_name} {version.label}" for version in fact.order.versions]),
        ),
        prediction_jobs.PredictionStarted: lambda fact, subject, _named: _say(
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
        names.NameClaimed: lambda fact, _subject, _named: _say(
            N_("The name “{name}” ({kind}) was taken."), name=fact.name, kind=_name_kind(fact.kind)
        ),
        names.NameReleased: lambda _fact, subject, _named: _say(
            N_("The name “{name}” ({kind}) became free."), name=subject.name, kind=subject.was.get("kind", "—")
        ),
        uses.UseBegun: lambda fact, subject, _named: _say(
            N_("The job “{job}” needs “{name}” from now on."), job=fact.name, name=subject.name or "—"
        ),
        uses.UseEnded: lambda fact, subject, named: _say(
            N_("The job “{job}” needs “{name}” no more."), job=named(fact.job_id), name=subject.name or "—"
        ),
        uses.UseRuledOut: lambda _fact, subject, _named: _say(
            N_("No job can need “{name}” any more: it was deleted."), name=subject.name or "—"
        ),
    }
)
"""One entry a fact; a test fails when one is missing."""

_REMEMBERED: Mapping[type[Fact], Remembering] = MappingProxyType(
    {
        users.UserCreated: lambda fact, _subject, _named: Subject(
            fact.username, None, {"email": fact.email, "role": _role(fact.role)}
        ),
        users.UserEmailChanged: lambda fact, subject, _named: _now(subject, email=fact.email),
        users.UserRoleChanged: lambda fact, subject, _named: _now(subject, role=_role(fact.role)),
        industries.IndustryCreated: lambda fact, _subject, _named: Subject(fact.name),
        industries.IndustryLevelsDefined: lambda fact, subject, _named: _now(
            subject, levels=" / ".join(fact.level_names)
        ),
        industries.DefaultIndustryChosen: lambda fact, subject, named: _now(subject, industry=named(fact.industry_id)),
        environments.EnvironmentNodesAdded: lambda fact, _subject, named: Subject(named(fact.industry_id)),
        task_types.TaskTypeCreated: lambda fact, _subject, _named: Subject(fact.name),
        task_types.TaskTypeRenamed: lambda fact, subject, _named: msgspec.structs.replace(subject, name=fact.name),
        resources.ComputeResourceCreated: lambda fact, _subject, _named: Subject(resources_name(fact.resources)),
        resources.ComputeResourceChanged: lambda fact, _subject, _named: Subject(resources_name(fact.resources)),
        datasets.DatasetCreated: lambda fact, _subject, _named: Subject(fact.name),
        model_images.ModelImageImported: lambda fact, _subject, _named: Subject(fact.name),
        training.TrainingQueued: lambda fact, _subject, _named: Subject(fact.model_name, fact.owner),
        models.ModelVersionPublished: lambda fact, _subject, _named: Subject(fact.model_name, fact.owner),
        exports.ExportQueued: lambda fact, _subject, _named: Subject(
            f"{fact.order.model_name} {fact.order.version.label}", fact.owner
        ),
        prediction_jobs.PredictionQueued: lambda fact, _subject, _named: Subject(fact.name, fact.owner),
        api_tokens.ApiTokenCreated: lambda fact, _subject, _named: Subject(fact.name),
        unusable_reports.UnusableReportRetried: lambda fact, _subject, _named: Subject(str(fact.place)),
        unusable_reports.UnusableReportDismissed: lambda fact, _subject, _named: Subject(str(fact.place)),
        names.NameClaimed: lambda fact, _subject, _named: Subject(fact.name, None, {"kind": _name_kind(fact.kind)}),
    }
)
"""What is to be remembered after a fact, where it says anything that a later sentence needs."""

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


def _now(subject: Subject, **was: Value | Sentence) -> Subject:
    return msgspec.structs.replace(subject, was=subject.was | was)


def kinds_told() -> Mapping[Kind, tuple[type[Fact], ...]]:
    """Every fact that has a sentence, by the kind of thing it happens to, in the order of this file."""
    found: dict[Kind, list[type[Fact]]] = {}
    for fact_type in TOLD:
        found.setdefault(kind_of(fact_type), []).append(fact_type)
    return {kind: tuple(fact_types) for kind, fact_types in found.items()}
