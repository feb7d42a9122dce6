"""What has a history: the kinds of things that facts happen to, and who may read the histories of which. Source: E-3, U, U-6."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

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
from domain.facts import Fact, State, state_type_of
from domain.permissions import Permission, Role, owns, permits
from domain.refusals import NotPermitted, NotTheOwner
from domain.sentences import N_


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
        compute_resources.ComputeResource: Kind.COMPUTE_RESOURCE,
        datasets.Dataset: Kind.DATASET,
        model_images.ModelImage: Kind.MODEL_IMAGE,
        training_jobs.TrainingJob: Kind.TRAINING_JOB,
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


def kind_of(fact_type: type[Fact]) -> Kind:
    """What kind of thing a fact happens to."""
    try:
        return _KINDS[state_type_of(fact_type)]
    except LookupError:
        return Kind.OTHER


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
