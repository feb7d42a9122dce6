"""What things look like in the HTTP API. These structs only grow, whatever becomes of pages and read models."""

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import DataPathProblem, DataPathState, DefectCodeCount, FolderName
from domain.datasets import DatasetPurpose
from domain.environments import EnvironmentBinding
from domain.evaluation import EvaluationFigures
from domain.exports import ExportStatus
from domain.model_images import LoadStatus, ModelImageKind, TaskTypeUsed
from domain.model_packages import ResolutionRule
from domain.prediction_jobs import PredictionKind, PredictionStatus
from domain.training_jobs import ModelImageUsed, TrainingStatus

T = TypeVar("T")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Something as it is sent."""


def shaped(row: object, shape: type[T], **known: Any) -> T:
    """A row of a read model as it is sent; `known` are fields that the row does not have so."""
    names = [name for name in shape.__struct_fields__ if name not in known]  # type: ignore[attr-defined]
    return shape(**{name: getattr(row, name) for name in names}, **known)


class Dataset(Shape, frozen=True, kw_only=True):
    """A dataset without its paths."""

    dataset_id: UUID
    name: str
    purpose: DatasetPurpose
    environment: EnvironmentBinding
    path_count: int
    image_count: int
    changed_by: str
    changed_at: datetime


class DataPath(Shape, frozen=True, kw_only=True):
    """A data path with what was found there at the last inspection."""

    path_id: UUID
    folder: FolderName
    state: DataPathState
    image_count: int
    defect_codes: tuple[DefectCodeCount, ...]
    total_bytes: int
    mask_count: int
    damaged_count: int
    problem: DataPathProblem | None


class ModelImageVersion(Shape, frozen=True, kw_only=True):
    """One archive of a model image. `number`, `archive` and the default parameters are there once it is loaded, `reason` where
    it could not be.
    """

    loading: int
    status: LoadStatus
    number: int | None
    file_name: str
    archive: Artifact | None
    reason: str
    imported_by: str
    imported_at: datetime


class ModelImage(Shape, frozen=True, kw_only=True):
    """A model image with its versions, the newest first."""

    model_image_id: UUID
    name: str
    kind: ModelImageKind
    task_type: TaskTypeUsed
    environment: EnvironmentBinding | None
    modified_by: str
    modified_at: datetime
    versions: tuple[ModelImageVersion, ...]


class TrainingJob(Shape, frozen=True, kw_only=True):
    """A training job in a list. `share_done` is what the log knows of its progress, 0 to 1."""

    job_id: UUID
    model_id: UUID
    model_name: str
    model_image: ModelImageUsed
    task_type: TaskTypeUsed
    status: TrainingStatus
    version: str
    owner: UUID
    owner_name: str
    worker: str
    queued_at: datetime
    ended_at: datetime | None
    spent_seconds: float
    iteration: int
    max_iter: int
    share_done: float


class TrainingJobDetail(TrainingJob, frozen=True, kw_only=True):
    """A training job; what only a finished run has is null before, `reason` says why it failed."""

    environment: EnvironmentBinding
    compute_resource_id: UUID
    data_paths: tuple[FolderName, ...]
    reason: str
    figures: EvaluationFigures | None
    resolution_rule: ResolutionRule | None


class PredictionJob(Shape, frozen=True, kw_only=True):
    """A prediction job; its figures are those of its first version, null until it is completed."""

    job_id: UUID
    name: str
    kind: PredictionKind
    model_id: UUID
    model_name: str
    versions: tuple[str, ...]
    data_paths: tuple[FolderName, ...]
    status: PredictionStatus
    owner: UUID
    owner_name: str
    worker: str
    queued_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    accuracy: float | None
    recall: float | None
    iou: float | None
    reason: str


class Report(Shape, frozen=True, kw_only=True):
    """The figures of one version on the images of a job."""

    version: str
    defect_codes: tuple[str, ...]
    figures: EvaluationFigures


class Model(Shape, frozen=True, kw_only=True):
    """A model as its newest version."""

    model_id: UUID
    name: str
    version: str
    version_count: int
    task_type: TaskTypeUsed
    accuracy: float | None
    modified_by: str
    modified_at: datetime


class ModelVersion(Shape, frozen=True, kw_only=True):
    """A published version."""

    version: str
    published_by: str
    published_at: datetime
    job_id: UUID
    model_image: ModelImageUsed
    environment: EnvironmentBinding
    weights: Artifact
    figures: EvaluationFigures
    resolution_rule: ResolutionRule


class ModelDetail(Shape, frozen=True, kw_only=True):
    """A model with its versions, the newest first."""

    model_id: UUID
    name: str
    owner: UUID
    owner_name: str
    task_type: TaskTypeUsed
    environment: EnvironmentBinding
    versions: tuple[ModelVersion, ...]


class Export(Shape, frozen=True, kw_only=True):
    """The export package of a version. `package` is there once it is built, `reason` where it could not be."""

    model_id: UUID
    version: str
    status: ExportStatus
    package: Artifact | None
    reason: str
    requested_at: datetime
    finished_at: datetime | None
