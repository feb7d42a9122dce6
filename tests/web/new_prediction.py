"""What the pages of predictions ask for: the real write side, a published version, question-bank paths that can be emptied."""

import dataclasses
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec

from commands.assay import Assay
from domain.compute_resources import ComputeResourceKind
from domain.data_paths import DefectCodeCount, FolderName, Inspection
from domain.datasets import DatasetPurpose
from infra.artifacts import Artifacts
from infra.running_logs import RunningLogs
from projections.compute_resources import ComputeResourceRow
from projections.models import ModelVersionChoice
from tests.examples import (
    BINDING,
    CLASSIFICATION_USED,
    DEFECT_CODES,
    MODEL_ID,
    PANEL_75,
    PORTS,
    PREDICTION_JOB_ID,
    QUALITY_LEAD,
    QUESTION_BANK_FOLDER,
    QUESTION_BANK_ID,
    QUESTION_BANK_PATH_ID,
    TRAINER_WANG,
    TRAINING_QUEUED,
    TWO_CORES,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    KnownFolders,
    MemoryLog,
    example_id,
    inspection,
    plant,
)
from tests.web.drafts import MemoryDrafts
from tests.web.offered_datasets import OfferedDatasets, dataset, path_row
from tests.web.offered_versions import OfferedModels
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.predictions import QUEUED_AT, FakeHeartbeats, FakePredictionJobs
from tests.web.reading import words
from tests.web.site import MODEL_TRAINER
from tests.web.site import QUALITY_LEAD as QUALITY_LEAD_ACCOUNT
from web.services import Services

JOBS, NEW = "/prediction-jobs", "/prediction-jobs/new"
JOB = f"{JOBS}/{PREDICTION_JOB_ID}"
ME = MODEL_TRAINER.user_id
TYPED_FOLDER = FolderName("data", "panel-a/next-line")
STRANGE_FOLDER = FolderName("data", "panel-b")


class EmptiableFolders(KnownFolders):
    """Folders that can be emptied while a person fills in the form."""

    def __init__(self) -> None:
        self.known = {
            "/data/panel-a/question-bank": inspection(QUESTION_BANK_FOLDER, images_per_code=10),
            "/data/panel-a/next-line": inspection(TYPED_FOLDER, images_per_code=2),
            "/data/panel-b": msgspec.structs.replace(
                inspection(STRANGE_FOLDER), defect_codes=(DefectCodeCount("TXXXX", 120),)
            ),
        }
        super().__init__(self.known)
        self.looks = 0

    def inspect_folders(self, folders: Sequence[FolderName]) -> list[Inspection]:
        self.looks += 1
        return super().inspect_folders(folders)

    def empty(self, folder: FolderName) -> None:
        gone = {typed: one for typed, one in self.known.items() if one.folder != folder}
        super().__init__(gone)


def version(label: str, name: str = "panel-a", model_id: UUID = MODEL_ID) -> ModelVersionChoice:
    return ModelVersionChoice(
        model_id=model_id,
        model_name=name,
        label=label,
        task_type=CLASSIFICATION_USED,
        environment=BINDING,
        model_image=TRAINING_QUEUED.model_image,
        network="ResNet18",
        defect_codes=DEFECT_CODES,
        accuracy=0.9,
        recall=0.9,
        published_at=QUEUED_AT,
    )


QUESTIONS = dataset(
    QUESTION_BANK_ID,
    "panel-a-questions",
    path_row(QUESTION_BANK_PATH_ID, inspection(QUESTION_BANK_FOLDER, images_per_code=10)),
)


class FakeComputeResources:
    def __init__(self, *ids: UUID) -> None:
        self.ids = ids

    def list(self) -> tuple[ComputeResourceRow, ...]:
        return tuple(
            ComputeResourceRow(one, ComputeResourceKind.GENERAL_PURPOSE, TWO_CORES.resources, QUEUED_AT)
            for one in self.ids
        )

    def get(self, compute_resource_id: UUID) -> ComputeResourceRow | None:
        return next((one for one in self.list() if one.compute_resource_id == compute_resource_id), None)


def furnish(services: Services, folders: EmptiableFolders, log: MemoryLog, tmp_path: Path) -> Services:
    """The pages over all of it."""
    mine = msgspec.structs.replace(VERSION_PUBLISHED, owner=ME)
    history = plant().add(ME, TRAINER_WANG).add(QUALITY_LEAD_ACCOUNT.user_id, QUALITY_LEAD).add(MODEL_ID, mine)
    log.events += history.events
    parts: dict[str, Any] = {
        "assay": Assay(log, dataclasses.replace(PORTS, data_folders=folders)),
        "drafts": MemoryDrafts(),
        "heartbeats": FakeHeartbeats(),
        "artifacts": Artifacts(tmp_path),
        "running_logs": RunningLogs(tmp_path / "scratch"),
        "data_folders": folders,
    }
    for name, part in parts.items():
        object.__setattr__(services, name, part)  # the application holds these very services
    services.read.prediction_jobs = FakePredictionJobs()
    services.read.models = OfferedModels(ME, version("v1.01"))
    services.read.datasets = OfferedDatasets(DatasetPurpose.QUESTION_BANK, QUESTIONS)
    services.read.compute_resources = FakeComputeResources(TWO_CORES_ID, example_id("four cores"))
    services.read.industries = FakeIndustries(PANELS)
    services.read.environments = FakeEnvironments(gone=[PANEL_75.node_id])
    return services


def text(answer: httpx.Response) -> str:
    return words(html.unescape(answer.text))
