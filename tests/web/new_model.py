"""A new model in four steps: what the steps ask for, what is entered, and how it is sent."""

import dataclasses
import html
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from commands.assay import Assay
from domain.data_paths import FolderName, Inspection
from domain.datasets import DatasetPurpose
from domain.model_images import ModelImageImported, ModelImageKind, TaskTypeUsed
from domain.model_packages import ModelPackage, NetworkInput, NetworkTask, OfferedNetwork
from domain.names import NameKind, claim_id
from domain.task_types import TaskKind
from domain.training_jobs import TrainingQueued
from domain.users import UserCreated
from projections.compute_resources import ComputeResourceRow
from projections.model_images import ModelImageVersionChoice
from tests.examples import (
    AOI_STATION,
    ARRAY_FAB,
    BINDING,
    DATA_FOLDERS,
    FACTORY_1,
    LOADING_QUEUED,
    LOADING_STARTED,
    MODEL_IMAGE_ID,
    MODEL_IMAGE_LOADED,
    MODEL_PARAMETERS_TEXT,
    ONE_GPU,
    ONE_GPU_ID,
    PACKAGE,
    PANEL_65,
    PANEL_75,
    PORTS,
    SEGMENTATION_ID,
    TRAINING_DATASET_ID,
    TRAINING_PARAMETERS_TEXT,
    TRAINING_PATH_ID,
    TWO_CORES,
    TWO_CORES_ID,
    History,
    KnownFolders,
    MemoryLog,
    example_id,
    inspection,
    plant,
)
from tests.web.drafts import MemoryDrafts
from tests.web.offered_datasets import OfferedDatasets, dataset, path_row
from tests.web.offered_versions import OfferedImages, OfferedModels
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.reading import words
from tests.web.site import MODEL_TRAINER, Site
from web.services import Services

NEW = "/training-jobs/new"
BUSINESS_ID = claim_id(NameKind.MODEL_IMAGE, "aoi65")
SEGMENTING_PACKAGE = msgspec.structs.replace(
    PACKAGE,
    networks=(
        *PACKAGE.networks,
        OfferedNetwork(task=NetworkTask.SEGMENTATION, name="UNet", input=NetworkInput(width=256, height=256)),
    ),
    training_parameters=(
        '{"classification": {"base_lr": 0.01, "batch_size": 8, "max_iter": 300},'
        ' "segmentation": {"base_lr": 0.02, "batch_size": 4, "max_iter": 900}}'
    ),
)
MASKED_FOLDER = FolderName("data", "panel-a/masked")
MASKED = msgspec.structs.replace(
    inspection(MASKED_FOLDER),
    defect_codes=tuple(
        msgspec.structs.replace(count, mask_count=20 if count.defect_code == "TPFIP" else 0)
        for count in inspection().defect_codes
    ),
)
FOLDERS = {**DATA_FOLDERS, "/data/panel-a/masked": MASKED}
VALUE = f"{MODEL_IMAGE_ID}/1"
BUSINESS_VALUE = f"{BUSINESS_ID}/1"
STEP_1 = {
    "model_name": "panel-a",
    "kind": "general",
    "model_image_version": VALUE,
    "model_parameters": MODEL_PARAMETERS_TEXT,
    "level_1": str(FACTORY_1.node_id),
    "level_2": str(ARRAY_FAB.node_id),
    "level_3": str(AOI_STATION.node_id),
    "level_4": [str(PANEL_65.node_id), str(PANEL_75.node_id)],
    "do": "next",
}
STEP_2 = {"import": str(TRAINING_PATH_ID), "do": "next"}
STEP_3 = {
    "compute_resource": str(TWO_CORES_ID),
    "training_parameters": TRAINING_PARAMETERS_TEXT,
    "starting_weights": "package",
    "do": "next",
}
STEP_4 = {"split_ratio": "0.8", "resolution_screening": "on", "do": "next"}
IMAGES_LEARNT_FROM = round(0.8 * 40 * 3)
"""The training split of what lies in the data path, 40 images of each of three classes."""


def version(
    model_image_id: UUID,
    name: str,
    kind: ModelImageKind = ModelImageKind.GENERAL,
    package: ModelPackage = PACKAGE,
) -> ModelImageVersionChoice:
    return ModelImageVersionChoice(
        model_image_id=model_image_id,
        name=name,
        kind=kind,
        task_type=SEGMENTING_TYPE if package is SEGMENTING_PACKAGE else MODEL_TASK_TYPE,
        environment=BINDING if kind is ModelImageKind.BUSINESS else None,
        number=1,
        archive=MODEL_IMAGE_LOADED.archive,
        package=package,
        imported_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


MODEL_TASK_TYPE = TaskTypeUsed(example_id("分类"), "分类", TaskKind.CLASSIFICATION)
SEGMENTING_TYPE = TaskTypeUsed(SEGMENTATION_ID, "分割分类", TaskKind.SEGMENTATION_AND_CLASSIFICATION)
SEGMENTING_ID = claim_id(NameKind.MODEL_IMAGE, "resnet18-unet")
SEGMENTING_VALUE = f"{SEGMENTING_ID}/1"
VERSIONS = (
    version(MODEL_IMAGE_ID, "resnet18"),
    version(SEGMENTING_ID, "resnet18-unet", package=SEGMENTING_PACKAGE),
    version(BUSINESS_ID, "aoi65", ModelImageKind.BUSINESS),
)


def history() -> History:
    """The plant, the signed-in model trainer, and two more model images."""
    loaded = (LOADING_QUEUED, LOADING_STARTED)
    return (
        plant()
        .add(
            MODEL_TRAINER.user_id,
            UserCreated(username=MODEL_TRAINER.username, role=MODEL_TRAINER.role, password_hash="hash of Secret1"),
        )
        .add(
            SEGMENTING_ID,
            ModelImageImported(name="resnet18-unet", kind=ModelImageKind.GENERAL, task_type=SEGMENTING_TYPE),
            *loaded,
            msgspec.structs.replace(MODEL_IMAGE_LOADED, package=SEGMENTING_PACKAGE),
        )
        .add(
            BUSINESS_ID,
            ModelImageImported(
                name="aoi65", kind=ModelImageKind.BUSINESS, task_type=MODEL_TASK_TYPE, environment=BINDING
            ),
            *loaded,
            MODEL_IMAGE_LOADED,
        )
    )


RESOURCES = tuple(
    ComputeResourceRow(resource_id, fact.kind, fact.resources, datetime(2026, 3, 1, tzinfo=UTC))
    for resource_id, fact in ((TWO_CORES_ID, TWO_CORES), (ONE_GPU_ID, ONE_GPU))
)


def use(services: Services, log: MemoryLog, folders: dict[str, Inspection]) -> None:
    """The real write side over a log in memory, and read models that hold what the tests need."""
    ports = dataclasses.replace(PORTS, data_folders=KnownFolders(folders))
    object.__setattr__(services, "assay", Assay(log, ports))


PANEL_A = dataset(TRAINING_DATASET_ID, "panel-a-training", path_row(TRAINING_PATH_ID, inspection()))


def furnish(services: Services, log: MemoryLog) -> Services:
    """Everything that the four steps ask for."""
    use(services, log, FOLDERS)
    object.__setattr__(services, "drafts", MemoryDrafts())
    services.read.industries, services.read.environments = FakeIndustries(PANELS), FakeEnvironments()
    services.read.model_images = OfferedImages(*VERSIONS)
    services.read.models = OfferedModels(MODEL_TRAINER.user_id)
    services.read.compute_resources = SimpleNamespace(list=lambda: RESOURCES)
    services.read.datasets = OfferedDatasets(DatasetPurpose.TRAINING, PANEL_A)
    return services


def goes_to(answer: httpx.Response, address: str) -> None:
    assert (answer.status_code, answer.headers.get("Location")) == (303, address), words(html.unescape(answer.text))


def send(site: Site, step: int, **changes: Any) -> httpx.Response:
    """A step as it should be, with some fields changed; None leaves a field out. Browsers send lines with CR LF."""
    fields = {**(STEP_1, STEP_2, STEP_3, STEP_4)[step - 1], **changes}
    if step == 4 and "job_id" not in fields:
        fields["job_id"] = job_id_on(site)
    sent = {
        name: value.replace("\n", "\r\n") if isinstance(value, str) else value
        for name, value in fields.items()
        if value is not None
    }
    return site.post(f"{NEW}/step-{step}", **sent)


def job_id_on(site: Site) -> str:
    found = re.search(r'name="job_id" value="([^"]+)"', site.get(f"{NEW}/step-4").text)
    assert found, "step 4 is not open"
    return found[1]


def through(site: Site, step: int, **changes: Any) -> None:
    """Every step before `step`, done right."""
    for earlier in range(1, step):
        goes_to(send(site, earlier, **changes.get(f"step_{earlier}", {})), f"{NEW}/step-{earlier + 1}")


def queued(log: MemoryLog) -> list[TrainingQueued]:
    return [event.data for event in log.events if isinstance(event.data, TrainingQueued)]


def value_of(page: str, field: str) -> str:
    """What stands in a field of a page."""
    area = re.search(rf'<textarea id="{field}"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    found = area or re.search(rf'<input type="text" id="{field}" name="{field}" value="([^"]*)"', page)
    assert found, f"there is no field {field}"
    return html.unescape(found[1])


def is_ticked(page: str, field: str, value: str) -> bool:
    found = re.search(rf'<input type="(?:checkbox|radio)"[^>]*name="{field}" value="{value}"[^>]*>', page)
    assert found, f"there is no {field} with {value}"
    return " checked" in found[0]


@pytest.fixture
def log() -> MemoryLog:
    """What has happened before somebody begins."""
    return MemoryLog(history().events)


@pytest.fixture
def services(services: Services, log: MemoryLog) -> Services:
    """What the wizard asks."""
    return furnish(services, log)
