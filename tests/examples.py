"""One plant that all tests share: its people, its places, its data, its models; and the ten-line fakes of the ports.

Ids are constants, facts are whole: a test starts from `QUEUED` or a `History` of facts and changes what it is about with
`msgspec.structs.replace`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar
from uuid import UUID, uuid5

from msgspec.structs import replace

from commands.assay import Assay
from commands.ports import Ports, VersionConflict
from domain.artifacts import Artifact
from domain.compute_resources import ComputeResourceCreated, ComputeResourceKind
from domain.data_paths import DataPathState, DefectCodeCount, FolderName, Inspection
from domain.datasets import DataPath, DatasetCreated, DatasetPurpose
from domain.environments import EnvironmentBinding, EnvironmentNode, EnvironmentNodesAdded, environment_id
from domain.evaluation import Evaluation, EvaluationFigures, Sample, SampleState
from domain.evaluation_figures import figures_of
from domain.facts import SYSTEM, Fact, Origin, Recorded, State, fold
from domain.industries import DEFAULT_INDUSTRY_ID, DefaultIndustryChosen, IndustryCreated, IndustryLevelsDefined
from domain.messages import (
    KeptWeights,
    LoadingOrder,
    LossPart,
    PredictionOrder,
    Resources,
    TrainingOrder,
    VersionResult,
    VersionToPredict,
)
from domain.model_images import (
    ArchiveNotFound,
    ModelImageImported,
    ModelImageKind,
    ModelImageLoaded,
    ModelImageLoadingQueued,
    ModelImageLoadingStarted,
    TaskTypeUsed,
)
from domain.model_packages import ModelPackage, NetworkInput, NetworkTask, OfferedNetwork, ResolutionRule
from domain.models import ModelVersionPublished
from domain.names import NameClaimed, NameKind, claim_id
from domain.permissions import Role
from domain.prediction_jobs import PredictionCompleted, PredictionKind, PredictionQueued, PredictionStarted
from domain.task_types import TaskKind, TaskTypeCreated
from domain.training_jobs import ModelImageUsed, TrainingCompleted, TrainingPublished, TrainingQueued, TrainingStarted
from domain.training_parameters import (
    ClassificationModel,
    ModelParameters,
    PredictionParameters,
    PreprocessingParameters,
    SgdParameters,
    TrainingParameters,
)
from domain.uploads import UploadIsGone
from domain.users import SUPER_ADMINISTRATORS_ID, Belongings, SuperAdministratorJoined, UserCreated

S = TypeVar("S", bound=State)


def example_id(name: str) -> UUID:
    """The same id for the same name, in every run."""
    return uuid5(UUID(int=1), name)


def artifact(name: str, size: int = 1024) -> Artifact:
    """An artifact that nobody opens."""
    return Artifact(sha256(name.encode()).hexdigest(), size)


# People

QUALITY_LEAD_ID = example_id("quality_lead")
TRAINER_WANG_ID = example_id("trainer_wang")
TRAINER_LI_ID = example_id("trainer_li")
PASSWORD = "Panel2025"
QUALITY_LEAD = UserCreated(
    username="quality_lead",
    role=Role.SUPER_ADMINISTRATOR,
    password_hash=f"hash of {PASSWORD}",
    email="quality@example.com",
)
TRAINER_WANG = UserCreated(username="trainer_wang", role=Role.MODEL_TRAINER, password_hash=f"hash of {PASSWORD}")
TRAINER_LI = UserCreated(username="trainer_li", role=Role.MODEL_TRAINER, password_hash=f"hash of {PASSWORD}")

# Places: 显示面板, four levels, two factories

INDUSTRY_ID = example_id("显示面板")
LEVEL_NAMES = ("工厂", "厂别", "站点", "产品")
INDUSTRY = IndustryCreated(name="显示面板")
LEVELS = IndustryLevelsDefined(level_names=LEVEL_NAMES)
DEFAULT_CHOSEN = DefaultIndustryChosen(industry_id=INDUSTRY_ID)
ENVIRONMENT_ID = environment_id(INDUSTRY_ID)

FACTORY_1 = EnvironmentNode(example_id("一厂区"), "一厂区")
FACTORY_2 = EnvironmentNode(example_id("二厂区"), "二厂区")
ARRAY_FAB = EnvironmentNode(example_id("阵列厂"), "阵列厂", FACTORY_1.node_id)
CELL_FAB = EnvironmentNode(example_id("成盒厂"), "成盒厂", FACTORY_1.node_id)
AOI_STATION = EnvironmentNode(example_id("AOI站"), "AOI站", ARRAY_FAB.node_id)
REPAIR_STATION = EnvironmentNode(example_id("修补站"), "修补站", ARRAY_FAB.node_id)
PANEL_65 = EnvironmentNode(example_id("65寸面板"), "65寸面板", AOI_STATION.node_id)
PANEL_75 = EnvironmentNode(example_id("75寸面板"), "75寸面板", AOI_STATION.node_id)
NODES = (FACTORY_1, FACTORY_2, ARRAY_FAB, CELL_FAB, AOI_STATION, REPAIR_STATION, PANEL_65, PANEL_75)
NODES_ADDED = EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=NODES)
BINDING = EnvironmentBinding(
    industry_id=INDUSTRY_ID,
    industry="显示面板",
    level_names=LEVEL_NAMES,
    path=(FACTORY_1, ARRAY_FAB, AOI_STATION),
    products=(PANEL_65, PANEL_75),
)

# Task types and compute resources

CLASSIFICATION_ID = example_id("分类")
SEGMENTATION_ID = example_id("分割分类")
CLASSIFICATION = TaskTypeCreated(name="分类", kind=TaskKind.CLASSIFICATION)
SEGMENTATION = TaskTypeCreated(name="分割分类", kind=TaskKind.SEGMENTATION_AND_CLASSIFICATION)
CLASSIFICATION_USED = TaskTypeUsed(CLASSIFICATION_ID, "分类", TaskKind.CLASSIFICATION)

TWO_CORES_ID = example_id("two cores")
ONE_GPU_ID = example_id("one GPU")
TWO_CORES = ComputeResourceCreated(
    kind=ComputeResourceKind.GENERAL_PURPOSE, resources=Resources(cpu_cores=2, memory_gib=4)
)
ONE_GPU = ComputeResourceCreated(
    kind=ComputeResourceKind.GPU, resources=Resources(cpu_cores=8, memory_gib=32, gpu_cards=1, gpu_memory_gib=24)
)

# Data: the manual's defect codes

DEFECT_CODES = ("TPFIP", "TTFBS", "TTMUD")
TRAINING_FOLDER = FolderName("data", "panel-a/train")
QUESTION_BANK_FOLDER = FolderName("data", "panel-a/question-bank")


def inspection(folder: FolderName = TRAINING_FOLDER, *, images_per_code: int = 40) -> Inspection:
    """A valid folder of code folders."""
    return Inspection(
        folder=folder,
        state=DataPathState.VALID,
        image_count=images_per_code * len(DEFECT_CODES),
        defect_codes=tuple(DefectCodeCount(defect_code, images_per_code) for defect_code in DEFECT_CODES),
        formats=(("PNG", images_per_code * len(DEFECT_CODES)),),
        resolutions=((224, 224, images_per_code * len(DEFECT_CODES)),),
        total_bytes=images_per_code * len(DEFECT_CODES) * 48_000,
    )


TRAINING_DATASET_ID = example_id("panel-a-training")
TRAINING_PATH_ID = example_id("panel-a/train")
TRAINING_DATASET = DatasetCreated(
    name="panel-a-training",
    purpose=DatasetPurpose.TRAINING,
    environment=BINDING,
    data_paths=(DataPath(TRAINING_PATH_ID, inspection()),),
)
QUESTION_BANK_ID = example_id("panel-a-questions")
QUESTION_BANK_PATH_ID = example_id("panel-a/question-bank")
QUESTION_BANK = DatasetCreated(
    name="panel-a-questions",
    purpose=DatasetPurpose.QUESTION_BANK,
    environment=BINDING,
    data_paths=(DataPath(QUESTION_BANK_PATH_ID, inspection(QUESTION_BANK_FOLDER, images_per_code=10)),),
)

# The model image resnet18@1.0

NETWORK_INPUT = NetworkInput(width=64, height=64)
MODEL_PARAMETERS_TEXT = """{
    "classification": {
        "name": "ResNet18",
        "num_of_classes": 3
    },
    "code_list": [
        "TPFIP",
        "TTFBS",
        "TTMUD"
    ]
}"""
TRAINING_PARAMETERS_TEXT = """{
    "classification": {
        "base_lr": 0.01,
        "batch_size": 16,
        "max_iter": 200
    }
}"""
PACKAGE = ModelPackage(
    networks=(
        OfferedNetwork(
            task=NetworkTask.CLASSIFICATION,
            name="ResNet18",
            input=NETWORK_INPUT,
            weights=artifact("resnet18.safetensors"),
        ),
    ),
    model_parameters=MODEL_PARAMETERS_TEXT,
    training_parameters=TRAINING_PARAMETERS_TEXT,
    prediction_parameters='{\n    "batch_size": 32\n}',
)
MODEL_IMAGE_ID = claim_id(NameKind.MODEL_IMAGE, "resnet18")
ARCHIVE = FolderName("archives", "resnet18@1.0.tar")
MODEL_IMAGE_IMPORTED = ModelImageImported(
    name="resnet18", kind=ModelImageKind.GENERAL, task_type=CLASSIFICATION_USED, environment=None
)
LOADING_QUEUED = ModelImageLoadingQueued(
    order=LoadingOrder(archive=ARCHIVE, name="resnet18", archive_version="1.0"),
)
LOADING_STARTED = ModelImageLoadingStarted(worker="gpu-1")
MODEL_IMAGE_LOADED = ModelImageLoaded(number=1, archive=artifact("resnet18@1.0.tar", 46_000_000), package=PACKAGE)

# A training job of trainer_wang, from the wizard to version v1.01

TRAINING_ORDER = TrainingOrder(
    model_name="panel-a",
    model_parameters=ModelParameters(classification=ClassificationModel("ResNet18", 3), code_list=DEFECT_CODES),
    input=NETWORK_INPUT,
    resolution_rule=ResolutionRule(),
    data_paths=(TRAINING_FOLDER,),
    training_parameters=TrainingParameters(SgdParameters(base_lr=0.01, batch_size=16, max_iter=200)),
    preprocessing=PreprocessingParameters(),
    initial_weights=artifact("resnet18.safetensors"),
    seed=7,
)
APPLIED_RULE = ResolutionRule(exact_sizes=((224, 224),))


def sample(
    number: int,
    true_index: int,
    predicted_index: int,
    *,
    state: SampleState = SampleState.JUDGED,
    confidence: float = 0.9,
) -> Sample:
    """One image of an evaluation; its code folder is that of its true code."""
    others = (1 - confidence) / (len(DEFECT_CODES) - 1)
    scores = tuple(confidence if index == predicted_index else others for index in range(len(DEFECT_CODES)))
    name = f"{QUESTION_BANK_FOLDER.path}/{DEFECT_CODES[true_index]}/{number:04d}.png"
    is_judged = state is SampleState.JUDGED
    return Sample(
        folder=FolderName(QUESTION_BANK_FOLDER.root, name),
        checksum=sha256(name.encode()).hexdigest(),
        width=224 if is_judged else 640,
        height=224 if is_judged else 480,
        state=state,
        true_index=true_index,
        predicted_index=predicted_index if is_judged else -1,
        scores=scores if is_judged else (),
    )


EVALUATION = Evaluation(
    defect_codes=DEFECT_CODES,
    samples=(
        *(sample(number, 0, 0) for number in range(4)),
        *(sample(number, 1, 1) for number in range(4, 7)),
        sample(7, 1, 0, confidence=0.6),
        *(sample(number, 2, 2) for number in range(8, 10)),
        sample(10, 2, -1, state=SampleState.NON_COMPLIANT),
    ),
)
"""Ten judged images of which one TTFBS was taken for TPFIP, and one that does not comply."""
FIGURES: EvaluationFigures = figures_of(EVALUATION)

TRAINING_JOB_ID = example_id("panel-a training job")
MODEL_ID = example_id("panel-a")
TRAINING_QUEUED = TrainingQueued(
    owner=TRAINER_WANG_ID,
    model_id=MODEL_ID,
    model_name="panel-a",
    model_image=ModelImageUsed(MODEL_IMAGE_ID, "resnet18", 1),
    task_type=CLASSIFICATION_USED,
    environment=BINDING,
    compute_resource_id=TWO_CORES_ID,
    order=TRAINING_ORDER,
)
TRAINING_STARTED = TrainingStarted(worker="gpu-1", attempt=1)
TRAINING_COMPLETED = TrainingCompleted(
    seconds=93.5,
    weights=artifact("panel-a.safetensors"),
    evaluation=artifact("panel-a evaluation"),
    figures=FIGURES,
    log=artifact("panel-a.log"),
    losses=artifact("panel-a.losses"),
    resolution_rule=APPLIED_RULE,
    device="cpu",
    software="torch 2.9.1",
)
LAST_FIGURES: EvaluationFigures = replace(FIGURES, accuracy=0.8, recall=0.75)
WORSE_AT_THE_END = replace(
    TRAINING_COMPLETED,
    kept_weights=(
        KeptWeights(
            part=LossPart.CLASSIFICATION,
            best=TRAINING_COMPLETED.weights,
            best_iteration=150,
            last=artifact("panel-a-last.safetensors"),
            last_iteration=200,
        ),
    ),
    last_evaluation=artifact("panel-a last evaluation"),
    last_figures=LAST_FIGURES,
)
"""The same training, whose best validation was not its last."""
TRAINING_PUBLISHED = TrainingPublished(version="v1.01")
VERSION_PUBLISHED = ModelVersionPublished(
    owner=TRAINER_WANG_ID,
    model_name="panel-a",
    version="v1.01",
    job_id=TRAINING_JOB_ID,
    model_image=TRAINING_QUEUED.model_image,
    task_type=CLASSIFICATION_USED,
    environment=BINDING,
    order=TRAINING_ORDER,
    weights=TRAINING_COMPLETED.weights,
    evaluation=TRAINING_COMPLETED.evaluation,
    figures=FIGURES,
    resolution_rule=APPLIED_RULE,
)

# A question-bank prediction with that version

PREDICTION_JOB_ID = example_id("panel-a-check")
PREDICTION_QUEUED = PredictionQueued(
    owner=TRAINER_WANG_ID,
    name="panel-a-check",
    kind=PredictionKind.QUESTION_BANK,
    model_id=MODEL_ID,
    model_name="panel-a",
    task_type="分类",
    compute_resource_id=TWO_CORES_ID,
    order=PredictionOrder(
        versions=(
            VersionToPredict(
                label="v1.01",
                network="ResNet18",
                defect_codes=DEFECT_CODES,
                input=NETWORK_INPUT,
                resolution_rule=APPLIED_RULE,
                weights=TRAINING_COMPLETED.weights,
            ),
        ),
        data_paths=(QUESTION_BANK_FOLDER,),
        parameters=PredictionParameters(),
        resolution_screening=True,
    ),
)
PREDICTION_STARTED = PredictionStarted(worker="gpu-1", attempt=1)
PREDICTION_COMPLETED = PredictionCompleted(
    seconds=12.5,
    results=(VersionResult(label="v1.01", evaluation=artifact("panel-a-check evaluation"), figures=FIGURES),),
    manifest=artifact("panel-a-check manifest"),
    log=artifact("panel-a-check.log"),
)


class History:
    """Facts with their envelopes, one minute after another, as the log would hold them."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []

    def add(self, aggregate_id: UUID, *facts: Fact, actor: UUID = SYSTEM, after: int = 0) -> "History":
        """What happened next to one aggregate, and who caused it; `after` so many facts that a log holds of it already."""
        for fact in facts:
            version = after + 1 + sum(event.originator_id == aggregate_id for event in self.events)
            moment = datetime(2025, 3, 3, 8, 0, tzinfo=UTC) + timedelta(minutes=len(self.events))
            self.events.append(Recorded(aggregate_id, version, fact, moment, Origin(actor=actor)))
        return self

    def claim(self, kind: NameKind, name: str, owner: UUID, *, actor: UUID = SYSTEM) -> "History":
        """A name was taken; commands do it together with what bears the name."""
        return self.add(claim_id(kind, name), NameClaimed(kind=kind, name=name, owner=owner), actor=actor)


def plant() -> History:
    """A plant that is set up: people, places, task types, compute resources, the loaded model image."""
    return (
        History()
        .add(QUALITY_LEAD_ID, QUALITY_LEAD)
        .add(TRAINER_WANG_ID, TRAINER_WANG, actor=QUALITY_LEAD_ID)
        .add(TRAINER_LI_ID, TRAINER_LI, actor=QUALITY_LEAD_ID)
        .add(SUPER_ADMINISTRATORS_ID, SuperAdministratorJoined(user_id=QUALITY_LEAD_ID))
        .claim(NameKind.USER, "quality_lead", QUALITY_LEAD_ID)
        .claim(NameKind.USER, "trainer_wang", TRAINER_WANG_ID, actor=QUALITY_LEAD_ID)
        .claim(NameKind.USER, "trainer_li", TRAINER_LI_ID, actor=QUALITY_LEAD_ID)
        .add(INDUSTRY_ID, INDUSTRY, LEVELS, actor=QUALITY_LEAD_ID)
        .claim(NameKind.INDUSTRY, "显示面板", INDUSTRY_ID, actor=QUALITY_LEAD_ID)
        .add(DEFAULT_INDUSTRY_ID, DEFAULT_CHOSEN, actor=QUALITY_LEAD_ID)
        .add(ENVIRONMENT_ID, NODES_ADDED, actor=QUALITY_LEAD_ID)
        .add(CLASSIFICATION_ID, CLASSIFICATION)
        .add(SEGMENTATION_ID, SEGMENTATION)
        .claim(NameKind.TASK_TYPE, "分类", CLASSIFICATION_ID)
        .claim(NameKind.TASK_TYPE, "分割分类", SEGMENTATION_ID)
        .add(TWO_CORES_ID, TWO_CORES, actor=QUALITY_LEAD_ID)
        .add(ONE_GPU_ID, ONE_GPU, actor=QUALITY_LEAD_ID)
        .add(MODEL_IMAGE_ID, MODEL_IMAGE_IMPORTED, LOADING_QUEUED, actor=TRAINER_WANG_ID)
        .add(MODEL_IMAGE_ID, LOADING_STARTED, MODEL_IMAGE_LOADED)
    )


class MemoryLog:
    """The log in memory: versions are checked as PostgreSQL's primary key would."""

    def __init__(self, events: Sequence[Recorded] = ()) -> None:
        self.events = list(events)

    def load(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        return fold(state_type, (event for event in self.events if event.originator_id == aggregate_id))

    def append(self, events: Sequence[Recorded]) -> int:
        places = [(event.originator_id, event.originator_version) for event in (*self.events, *events)]
        if len(set(places)) < len(places):
            raise VersionConflict
        self.events += events
        return len(self.events)


class ReadablePasswords:
    """Hashes that tests can write down."""

    def hash(self, password: str) -> str:
        return f"hash of {password}"

    def verify(self, password_hash: str, password: str) -> bool:
        return password_hash == f"hash of {password}"


class KnownFolders:
    """Folders as typed, and what is in them; everything else is invalid."""

    def __init__(self, inspections: Mapping[str, Inspection] | None = None) -> None:
        self._by_typed = dict(inspections or {})

    def inspect_paths(self, typed_paths: Sequence[str]) -> list[Inspection]:
        return [
            self._by_typed.get(typed, Inspection(folder=FolderName("", typed), state=DataPathState.INVALID))
            for typed in typed_paths
        ]

    def inspect_folders(self, folders: Sequence[FolderName]) -> list[Inspection]:
        known = {inspection.folder: inspection for inspection in self._by_typed.values()}
        return [known.get(folder, Inspection(folder=folder, state=DataPathState.INVALID)) for folder in folders]

    def scan_again(self, folders: Sequence[FolderName]) -> list[Inspection]:
        return self.inspect_folders(folders)

    def scans_of(self, folders: Iterable[FolderName]) -> Mapping[FolderName, Any]:  # noqa: ARG002 - the contract's name
        return {}


class KnownArchives:
    """Archives as typed, and uploads by their id and owner."""

    def __init__(
        self,
        archives: Mapping[str, FolderName] | None = None,
        uploads: Mapping[tuple[UUID, UUID], FolderName] | None = None,
    ) -> None:
        self._by_typed, self._by_upload = dict(archives or {}), dict(uploads or {})

    def find(self, typed: str) -> FolderName:
        if typed not in self._by_typed:
            raise ArchiveNotFound
        return self._by_typed[typed]

    def uploaded(self, upload_id: UUID, owner: UUID) -> FolderName:
        if (upload_id, owner) not in self._by_upload:
            raise UploadIsGone
        return self._by_upload[upload_id, owner]

    def check(self, archive: FolderName) -> None:
        if archive not in (*self._by_typed.values(), *self._by_upload.values()):
            raise ArchiveNotFound


class KnownOwnership:
    """What each user owns; nothing where nothing is said."""

    def __init__(self, belongings: Mapping[UUID, Belongings] | None = None) -> None:
        self._by_user = dict(belongings or {})

    def belongings(self, user_id: UUID) -> Belongings:
        return self._by_user.get(user_id, Belongings())


class KnownFiles:
    """A storage that has kept everything, except what is named as lost."""

    def __init__(self, *lost: Artifact) -> None:
        self._lost = lost

    def is_intact(self, artifact: Artifact) -> bool:
        return artifact not in self._lost


DATA_FOLDERS = {
    "/data/panel-a/train": inspection(),
    "/data/panel-a/question-bank": inspection(QUESTION_BANK_FOLDER, images_per_code=10),
}
ARCHIVES = {"/archives/resnet18@1.0.tar": ARCHIVE}
PORTS = Ports(
    passwords=ReadablePasswords(),
    data_folders=KnownFolders(DATA_FOLDERS),
    archives=KnownArchives(ARCHIVES),
    ownership=KnownOwnership(),
    stored_files=KnownFiles(),
)


def assay_after(history: History, ports: Ports = PORTS) -> tuple[Assay, MemoryLog]:
    """The write side over a log in memory, and that log to look into."""
    log = MemoryLog(history.events)
    return Assay(log, ports), log
