"""What things look like in the HTTP API. These structs only grow, whatever becomes of pages and read models."""

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import DataPathProblem, DataPathState, DefectCodeCount, FolderName
from domain.datasets import DatasetPurpose
from domain.environments import EnvironmentBinding
from domain.evaluation import DefectFigures, EvaluationFigures, Outcome, SampleState
from domain.exports import ExportStatus
from domain.messages import LossPart, StageName
from domain.model_images import LoadStatus, ModelImageKind, TaskTypeUsed
from domain.model_packages import NetworkTask, ResolutionRule
from domain.prediction_jobs import PredictionKind, PredictionStatus
from domain.training_jobs import ModelImageUsed, TrainedWeights, TrainingStatus

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


class PreviewedDataPath(Shape, frozen=True, kw_only=True):
    """What a first look at a folder has found. While the state is `scanning` the figures are those of what was seen so far.

    `formats` are (name, count), `resolutions` the most frequent ones: (width, height, count).
    """

    folder: FolderName
    state: DataPathState
    image_count: int
    defect_codes: tuple[DefectCodeCount, ...]
    formats: tuple[tuple[str, int], ...]
    resolutions: tuple[tuple[int, int, int], ...]
    total_bytes: int
    mask_count: int
    damaged_count: int
    has_groups: bool


class ListedImage(Shape, frozen=True, kw_only=True):
    """An image of a data path, or a file that only carries an image's name: `is_damaged`, without a resolution.

    `width` and `height` in pixels as people see them, `size` in bytes.
    """

    folder: FolderName
    has_mask: bool
    width: int
    height: int
    size: int
    is_damaged: bool


class Network(Shape, frozen=True, kw_only=True):
    """A network that a package offers for a task; its input in pixels."""

    task: NetworkTask
    name: str
    width: int
    height: int


class Package(Shape, frozen=True, kw_only=True):
    """What a loaded archive offers. Parameters are what a new model or prediction begins with where nothing else is sent."""

    summary: str
    networks: tuple[Network, ...]
    resolution_rule: ResolutionRule
    model_parameters: Any
    training_parameters: Any
    prediction_parameters: Any


class ModelImageVersion(Shape, frozen=True, kw_only=True):
    """One archive of a model image; `loading` names it before it has a number, and where it never gets one. `number`, `archive`
    and `package` are there once it is loaded, `reason` where it could not be.
    """

    loading: int
    status: LoadStatus
    number: int | None
    file_name: str
    archive: Artifact | None
    package: Package | None
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


class JobNow(Shape, frozen=True, kw_only=True):
    """What a job that runs does at this moment, as its worker said last. `progress` is 0 to 1, `seconds_left` an estimate."""

    progress: float
    iteration: int
    loss: float | None
    seconds_left: float | None
    activity: str


class JobWait(Shape, frozen=True, kw_only=True):
    """Since when a job waits for a worker, and why."""

    since: datetime
    reason: str


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
    """A training job; what only a finished run has is null before, `reason` says why it failed. `figures` are those of the best
    weights, `last_figures` of the last ones where they are others; `chosen_weights` are those that were published.
    """

    environment: EnvironmentBinding
    compute_resource_id: UUID
    data_paths: tuple[FolderName, ...]
    reason: str
    figures: EvaluationFigures | None
    last_figures: EvaluationFigures | None
    chosen_weights: TrainedWeights | None
    resolution_rule: ResolutionRule | None
    now: JobNow | None
    wait: JobWait | None


class Stage(Shape, frozen=True, kw_only=True):
    """A stage of the preprocessing: `finished`, `running`, `waiting`, `broken_off` where the run ended during it, or `skipped`
    where it ended before. What it found is null until it is finished.
    """

    stage: StageName
    state: str
    seconds: float | None
    image_count: int | None
    non_compliant_count: int | None
    damaged_count: int | None
    left_out_count: int | None
    unmasked_count: int | None
    training_count: int | None
    validation_count: int | None


class CurvePoint(Shape, frozen=True, kw_only=True):
    """A point of a loss curve; iterations count from 1."""

    iteration: int
    loss: float


class Validation(Shape, frozen=True, kw_only=True):
    """Figures on the validation split at one iteration, 0 to 1; null where undefined."""

    iteration: int
    accuracy: float | None
    recall: float | None
    loss: float | None
    iou: float | None


class Curve(Shape, frozen=True, kw_only=True):
    """How the training of one network went, up to its newest report."""

    part: LossPart
    iteration: int
    max_iter: int
    learning_rate: float | None
    losses: tuple[CurvePoint, ...]
    validations: tuple[Validation, ...]


class PredictionJob(Shape, frozen=True, kw_only=True):
    """A prediction job, or a comparison in a list; its figures are those of its first version, null until it is completed."""

    job_id: UUID
    name: str
    kind: PredictionKind
    model_id: UUID
    model_name: str
    task_type: str
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


class PredictionJobDetail(PredictionJob, frozen=True, kw_only=True):
    """A prediction job, or a comparison."""

    compute_resource_id: UUID
    batch_size: int
    resolution_screening: bool
    now: JobNow | None
    wait: JobWait | None


class Sample(Shape, frozen=True, kw_only=True):
    """An image of a report with its verdict. Scores are 0 to 1, one for each class of the classifier, none unless it was judged.
    `predicted_pixels` are there where the model segments.
    """

    number: int
    folder: FolderName
    checksum: str
    width: int
    height: int
    state: SampleState
    true_defect_code: str | None
    predicted_defect_code: str | None
    confidence: float
    scores: dict[str, float]
    predicted_pixels: dict[str, int] | None
    has_mask: bool


class Verdict(Shape, frozen=True, kw_only=True):
    """What one version of a comparison made of an image; `number` is that of the sample in the version's own report."""

    number: int
    state: SampleState
    predicted_defect_code: str | None
    confidence: float
    scores: dict[str, float]


class ComparedSample(Shape, frozen=True, kw_only=True):
    """An image with the verdicts of both versions in their order, null for one that does not know its code."""

    number: int
    folder: FolderName
    checksum: str
    width: int
    height: int
    true_defect_code: str | None
    verdicts: tuple[Verdict | None, ...]


class ComparedCode(Shape, frozen=True, kw_only=True):
    """One code in both versions, in their order; null for one that does not know it. `flips` counts its images by outcome."""

    defect_code: str
    figures: tuple[DefectFigures | None, ...]
    flips: dict[Outcome, int]


class ComparisonReport(Shape, frozen=True, kw_only=True):
    """Two versions on the same images, the one that was published first before the other; `figures` are in the same order.

    `flips` counts the images that both judged: `fixed` and `broken` are those on which the second is right and the first wrong,
    and the other way round. Where the samples are missing or damaged on the storage there are none, and `problem` says so.
    """

    versions: tuple[str, ...]
    figures: tuple[EvaluationFigures, ...]
    flips: dict[Outcome, int]
    codes: tuple[ComparedCode, ...]
    problem: str = ""


class Report(Shape, frozen=True, kw_only=True):
    """The figures of one version on the images of a job; `version` is `validation` or `validation-last` for a training."""

    version: str
    defect_codes: tuple[str, ...]
    figures: EvaluationFigures


class Model(Shape, frozen=True, kw_only=True):
    """A model as its newest version that stands; `is_withdrawn` where none does."""

    model_id: UUID
    name: str
    version: str
    version_count: int
    task_type: TaskTypeUsed
    accuracy: float | None
    modified_by: str
    modified_at: datetime
    is_withdrawn: bool


class ModelVersion(Shape, frozen=True, kw_only=True):
    """A published version. One that is withdrawn (`withdrawn_at`) stays in the history, and nothing new begins with it.

    `chosen_weights` are those of its training that were published, and `figures` theirs; parameters are the manual's JSON.
    """

    version: str
    published_by: str
    published_at: datetime
    job_id: UUID
    model_image: ModelImageUsed
    environment: EnvironmentBinding
    model_parameters: Any
    training_parameters: Any
    weights: Artifact
    chosen_weights: TrainedWeights
    figures: EvaluationFigures
    resolution_rule: ResolutionRule
    withdrawn_by: str
    withdrawn_at: datetime | None
    withdrawal_reason: str


class ModelReport(Report, frozen=True, kw_only=True):
    """The report of the newest question-bank prediction of a version; `job_id` is that prediction."""

    job_id: UUID


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
    now: JobNow | None
    wait: JobWait | None
