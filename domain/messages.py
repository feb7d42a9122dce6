"""What travels to workers and back: orders, reports and heartbeats. Plain values, the same over the log and over Kafka.

A message is a wake-up: the claim decides who works, so duplicates and late messages change nothing. Every report names the
attempt it belongs to; reports of an attempt that is over are ignored.
"""

import enum
from typing import TypeAlias
from uuid import UUID

import msgspec

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.evaluation import EvaluationFigures
from domain.model_packages import ModelPackage, NetworkInput, ResolutionRule
from domain.sentences import Sentence
from domain.training_parameters import (
    ModelParameters,
    PredictionParameters,
    PreprocessingParameters,
    TrainingParameters,
)


class JobKind(enum.Enum):
    """What a worker can be asked to do."""

    TRAINING = "training"
    PREDICTION = "prediction"
    LOADING = "loading"
    EXPORT = "export"


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What a job needs, or what a worker has. Memory in GiB; GPU memory per card."""

    cpu_cores: int = 1
    memory_gib: float = 1
    gpu_cards: int = 0
    gpu_memory_gib: float = 0

    def fits_in(self, offered: "Resources") -> bool:
        """Whether a worker that offers so much can run a job that needs this."""
        return (
            self.cpu_cores <= offered.cpu_cores
            and self.memory_gib <= offered.memory_gib
            and self.gpu_cards <= offered.gpu_cards
            and (self.gpu_cards == 0 or self.gpu_memory_gib <= offered.gpu_memory_gib)
        )


class TrainingOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a training run; nothing else does (beside the images themselves).

    `initial_weights` are safetensors of the same network (package, or a published version), None to start from nothing.
    `data_paths` are code folders or folders of code folders.
    """

    model_name: str
    model_parameters: ModelParameters
    input: NetworkInput
    segmentation_input: NetworkInput | None = None
    resolution_rule: ResolutionRule
    data_paths: tuple[FolderName, ...]
    training_parameters: TrainingParameters
    preprocessing: PreprocessingParameters
    initial_weights: Artifact | None = None
    seed: int


class VersionToPredict(msgspec.Struct, frozen=True, kw_only=True):
    """One published version as a worker needs it. `label` is the version number, for example v1.01."""

    label: str
    network: str
    defect_codes: tuple[str, ...]
    input: NetworkInput
    resolution_rule: ResolutionRule
    weights: Artifact


class PredictionOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Predict the images of `data_paths` with one version, or with two beside each other (a comparison)."""

    versions: tuple[VersionToPredict, ...]
    data_paths: tuple[FolderName, ...]
    parameters: PredictionParameters
    resolution_screening: bool


class LoadingOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Copy an image archive to shared storage and verify all of it. `archive` lies in a configured archive root."""

    archive: FolderName
    name: str
    archive_version: str


class ExportOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Write the export package (zip) of one published version."""

    model_name: str
    version: VersionToPredict
    accuracy: float | None = None
    recall: float | None = None


class TrainModel(msgspec.Struct, frozen=True, kw_only=True, tag="train_model"):
    """To workers: a training job waits. Attempts of one `run` go on from its checkpoint; another run begins from nothing."""

    job_id: UUID
    attempt: int
    run: int = 1
    needs: Resources
    order: TrainingOrder


class PredictImages(msgspec.Struct, frozen=True, kw_only=True, tag="predict_images"):
    """To workers: a prediction job waits."""

    job_id: UUID
    attempt: int
    needs: Resources
    order: PredictionOrder


class LoadModelImage(msgspec.Struct, frozen=True, kw_only=True, tag="load_model_image"):
    """To workers: an image archive waits to be loaded. `job_id` is the id of the loading."""

    job_id: UUID
    attempt: int
    needs: Resources
    order: LoadingOrder


class BuildExport(msgspec.Struct, frozen=True, kw_only=True, tag="build_export"):
    """To workers: an export package is wanted. `job_id` is the id of the export."""

    job_id: UUID
    attempt: int
    needs: Resources
    order: ExportOrder


Message: TypeAlias = TrainModel | PredictImages | LoadModelImage | BuildExport


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """From a worker about one attempt at one job."""

    kind: JobKind
    job_id: UUID
    attempt: int
    worker: str


class JobClaimed(Report, frozen=True, kw_only=True, tag="job_claimed"):
    """The worker wants this job; the log decides whether it gets it."""


class StageName(enum.Enum):
    """The preprocessing stages of a training (T-4)."""

    RESOLUTION_SCREENING = "resolution_screening"
    DATA_SPLIT = "data_split"
    DATA_AUGMENTATION = "data_augmentation"


class StageFinished(Report, frozen=True, kw_only=True, tag="stage_finished"):
    """A preprocessing stage ended after `seconds`.

    Counts that the stage does not know stay 0. `manifest` (JSON Lines of path, size, SHA-256, code, split) comes with the split;
    `resolution_rule` is the rule that was applied; `preview` is a PNG of augmented samples, with the augmentation.
    """

    stage: StageName
    seconds: float
    image_count: int = 0
    non_compliant_count: int = 0
    damaged_count: int = 0
    left_out_count: int = 0
    training_count: int = 0
    validation_count: int = 0
    resolution_rule: ResolutionRule | None = None
    manifest: Artifact | None = None
    preview: Artifact | None = None


class LossPart(enum.Enum):
    """Which network a loss curve belongs to."""

    CLASSIFICATION = "classification"
    SEGMENTATION = "segmentation"


class LossesMeasured(Report, frozen=True, kw_only=True, tag="losses_measured"):
    """A batch of points of the loss curve, thinned so that a job never reports more than some thousands of them.

    `iterations` count from 1, ascending; after a resume points come again with the same iteration and the same loss.
    """

    part: LossPart
    iterations: tuple[int, ...]
    losses: tuple[float, ...]
    learning_rate: float


class ValidationMeasured(Report, frozen=True, kw_only=True, tag="validation_measured"):
    """Figures on the validation split at one iteration."""

    part: LossPart
    iteration: int
    accuracy: float | None
    recall: float | None
    loss: float | None = None


class TrainingSucceeded(Report, frozen=True, kw_only=True, tag="training_succeeded"):
    """The training ended. `weights` are safetensors, `evaluation` is the `Evaluation` artifact, `log` the text log,
    `losses` the metrics file with every raw point (JSON Lines).
    """

    seconds: float
    weights: Artifact
    evaluation: Artifact
    figures: EvaluationFigures
    log: Artifact
    losses: Artifact
    resolution_rule: ResolutionRule
    device: str
    software: str


class VersionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one version predicted."""

    label: str
    evaluation: Artifact
    figures: EvaluationFigures


class PredictionSucceeded(Report, frozen=True, kw_only=True, tag="prediction_succeeded"):
    """The prediction ended; one result per version, in the order of the order."""

    seconds: float
    results: tuple[VersionResult, ...]
    manifest: Artifact
    log: Artifact


class PackageLoaded(Report, frozen=True, kw_only=True, tag="package_loaded"):
    """The archive is on shared storage, complete and verified."""

    archive: Artifact
    package: ModelPackage


class ExportBuilt(Report, frozen=True, kw_only=True, tag="export_built"):
    """The export package (zip) is on shared storage."""

    package: Artifact


class JobReleased(Report, frozen=True, kw_only=True, tag="job_released"):
    """The worker was told to stop and has written a checkpoint; another may go on."""


class JobFailed(Report, frozen=True, kw_only=True, tag="job_failed"):
    """The attempt ended without a result; `reason` is a sentence a person can act on, `log` holds the rest."""

    reason: Sentence
    log: Artifact | None = None


AnyReport: TypeAlias = (
    JobClaimed
    | StageFinished
    | LossesMeasured
    | ValidationMeasured
    | TrainingSucceeded
    | PredictionSucceeded
    | PackageLoaded
    | ExportBuilt
    | JobReleased
    | JobFailed
)


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Momentary telemetry, overwritten by the next one; never an event. `progress` is 0..1; `seconds_left` is an estimate."""

    worker: str
    kind: JobKind
    job_id: UUID
    attempt: int
    progress: float = 0.0
    iteration: int = 0
    loss: float | None = None
    seconds_left: float | None = None
    activity: str = ""


class ManifestEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One image of a job's manifest, a line of JSON. `split` is training, validation, or empty in predictions."""

    root: str
    path: str
    size: int
    checksum: str
    defect_code: str
    split: str = ""
