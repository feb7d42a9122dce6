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


COMPUTING = frozenset((JobKind.TRAINING, JobKind.PREDICTION))
"""What runs on a compute resource, and may take days of it."""
PACKAGING = frozenset((JobKind.LOADING, JobKind.EXPORT))
"""What needs no compute resource and takes minutes: it never waits behind a training."""


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


class SegmentationOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The network that tells for every pixel which code it shows, and what it starts from.

    An image is given a special code that has more predicted pixels than `special_code_min_pixels`, at the size of `input` (W-4).
    """

    network: str
    input: NetworkInput
    special_code_min_pixels: int = 1
    initial_weights: Artifact | None = None


class TrainingOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a training run; nothing else does (beside the images themselves).

    `initial_weights` are safetensors of the same network (package, or a published version), None to start from nothing.
    `data_paths` are code folders or folders of code folders. `segmentation` is there where it is trained; orders of an earlier
    platform had `segmentation_input` in its place, and no worker that could train it.
    """

    model_name: str
    model_parameters: ModelParameters
    input: NetworkInput
    segmentation_input: NetworkInput | None = None
    segmentation: SegmentationOrder | None = None
    resolution_rule: ResolutionRule
    data_paths: tuple[FolderName, ...]
    training_parameters: TrainingParameters
    preprocessing: PreprocessingParameters
    initial_weights: Artifact | None = None
    seed: int


class SegmentationToPredict(msgspec.Struct, frozen=True, kw_only=True):
    """The segmentation of a version. `defect_codes` are all codes of the list, special ones last."""

    network: str
    defect_codes: tuple[str, ...]
    input: NetworkInput
    special_code_min_pixels: int
    weights: Artifact


class VersionToPredict(msgspec.Struct, frozen=True, kw_only=True):
    """One published version as a worker needs it. `label` is the version number, for example v1.01; `segmentation` is None for a
    version that classifies only.
    """

    label: str
    network: str
    defect_codes: tuple[str, ...]
    input: NetworkInput
    resolution_rule: ResolutionRule
    weights: Artifact
    segmentation: SegmentationToPredict | None = None


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
    """Write the export package (zip) of one published version.

    `evaluation` names the images with which package and platform are compared (X-1), the `Evaluation` artifact of the version's
    training; orders of an earlier platform have none.
    """

    model_name: str
    version: VersionToPredict
    evaluation: Artifact | None = None
    accuracy: float | None = None
    recall: float | None = None
    iou: float | None = None


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

    Counts that the stage does not know stay 0. `unmasked_count` is there where segmentation is trained: images without a mask that
    could be used for it (W-9). `manifest` (JSON Lines of path, size, SHA-256, code, split) comes with the split;
    `resolution_rule` is the rule that was applied; `preview` is a PNG of augmented samples, with the augmentation.
    """

    stage: StageName
    seconds: float
    image_count: int = 0
    non_compliant_count: int = 0
    damaged_count: int = 0
    left_out_count: int = 0
    unmasked_count: int = 0
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
    """Figures on the validation split at one iteration. Of a segmentation: `iou` is the mean, `code_ious` are in the order of the
    list of codes.
    """

    part: LossPart
    iteration: int
    accuracy: float | None
    recall: float | None
    loss: float | None = None
    iou: float | None = None
    code_ious: tuple[float | None, ...] = ()


class PartLog(msgspec.Struct, frozen=True, kw_only=True):
    """The text log of one network's training."""

    part: LossPart
    log: Artifact


class KeptWeights(msgspec.Struct, frozen=True, kw_only=True):
    """What was kept of the training of one network: the weights of its best validation and those of its last iteration, often the
    same file. Iterations count from 1.
    """

    part: LossPart
    best: Artifact
    best_iteration: int
    last: Artifact
    last_iteration: int


class TrainingSucceeded(Report, frozen=True, kw_only=True, tag="training_succeeded"):
    """The training ended. `weights` are safetensors, `evaluation` is the `Evaluation` artifact, `log` the text log of everything,
    `losses` the metrics file with every raw point (JSON Lines). `segmentation_weights` and `part_logs` are there where segmentation
    was trained, too.

    All these are of the best weights. `last_evaluation` and `last_figures` are the same of the last ones, None where no network has
    others than its best. `kept_weights` has an entry a network; workers before it was written sent none.
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
    segmentation_weights: Artifact | None = None
    part_logs: tuple[PartLog, ...] = ()
    kept_weights: tuple[KeptWeights, ...] = ()
    last_evaluation: Artifact | None = None
    last_figures: EvaluationFigures | None = None


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
    part_logs: tuple[PartLog, ...] = ()


ENDINGS = (TrainingSucceeded, PredictionSucceeded, PackageLoaded, ExportBuilt, JobFailed)
"""Reports after which nobody works on the job any more."""


class LogKept(Report, frozen=True, kw_only=True, tag="log_kept"):
    """The attempt was terminated; this is what it had logged until then (T-5)."""

    log: Artifact
    part_logs: tuple[PartLog, ...] = ()


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
    | LogKept
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


class LossEntry(msgspec.Struct, frozen=True):
    """One point of a loss curve, a line of JSON. `iteration` counts from 1; `part` is the value of a `LossPart`."""

    part: str
    iteration: int
    loss: float
    learning_rate: float


class ManifestEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One image of a job's manifest, a line of JSON. `split` is training, validation, or empty in predictions; `mask_checksum` is
    empty where no mask was used.
    """

    root: str
    path: str
    size: int
    checksum: str
    defect_code: str
    split: str = ""
    mask_checksum: str = ""
