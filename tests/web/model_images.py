"""Model images that pages show, in every state of their archives, and what stands beside them: uploads, beats, removals."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from commands.model_images import model_image_id
from domain.data_paths import FolderName
from domain.messages import Heartbeat, JobKind
from domain.model_images import ArchiveSource, LoadStatus, ModelImageKind
from domain.task_types import TaskKind
from domain.uploads import Upload
from infra.uploads import Uploads
from projections.artifact_removals import ArtifactRemoval
from projections.model_images import ModelImageRow, ModelImageVersionRow, UploadUsed
from projections.read_model import Page
from projections.task_types import TaskTypeRow
from tests.examples import BINDING, CLASSIFICATION_ID, CLASSIFICATION_USED, MODEL_IMAGE_ID, PACKAGE, PANEL_65, artifact
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.site import QUALITY_LEAD, Site
from web.services import Services

LONG_AGO = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)


def version(**changes: Any) -> ModelImageVersionRow:
    fields: dict[str, Any] = {
        "loading": 2,
        "status": LoadStatus.LOADED,
        "number": 1,
        "file_name": "resnet18@1.0.tar",
        "source": ArchiveSource.REMOTE_PATH,
        "place": FolderName("archives", "2025/resnet18@1.0.tar"),
        "archive": artifact("resnet18@1.0.tar", 46_000_000),
        "package": PACKAGE,
        "reason": None,
        "worker": "gpu-1",
        "imported_by": "trainer_wang",
        "imported_at": LONG_AGO,
    }
    return ModelImageVersionRow(**(fields | changes))


def unfinished(status: LoadStatus, **changes: Any) -> ModelImageVersionRow:
    gone = {"number": None, "archive": None, "package": None}
    return version(status=status, file_name="panel-aoi@7.tar", **(gone | changes))


def image(*versions: ModelImageVersionRow, **changes: Any) -> ModelImageRow:
    fields: dict[str, Any] = {
        "model_image_id": MODEL_IMAGE_ID,
        "name": "resnet18",
        "kind": ModelImageKind.GENERAL,
        "task_type": CLASSIFICATION_USED,
        "environment": None,
        "modified_by": "trainer_wang",
        "modified_at": LONG_AGO,
        "versions": versions or (version(),),
    }
    return ModelImageRow(**(fields | changes))


PANEL_AOI_ID = model_image_id("panel-aoi")
PANEL_AOI = image(
    unfinished(LoadStatus.LOADING),
    model_image_id=PANEL_AOI_ID,
    name="panel-aoi",
    kind=ModelImageKind.BUSINESS,
    environment=BINDING,
)


class FakeModelImages:
    def __init__(self, *rows: ModelImageRow) -> None:
        self.rows = rows
        self.asked: list[tuple[tuple[UUID, ...], str, int]] = []
        self.chosen: list[tuple[ModelImageKind | None, UUID | None]] = []
        self.used: list[UploadUsed] = []

    def page(
        self,
        *,
        place_ids: Sequence[UUID],
        kind: ModelImageKind | None,
        task_type_id: UUID | None,
        search: str,
        number: int,
    ) -> Page[ModelImageRow]:
        self.asked.append((tuple(place_ids), search, number))
        self.chosen.append((kind, task_type_id))
        return Page(items=self.rows, total=len(self.rows), number=1, size=20)

    def uploads_used(self) -> list[UploadUsed]:
        return self.used

    def get(self, image_id: UUID) -> ModelImageRow | None:
        return next((row for row in self.rows if row.model_image_id == image_id), None)


class FakeRemovals:
    def __init__(self, *removals: ArtifactRemoval) -> None:
        self.removals = removals

    def waiting(self) -> tuple[ArtifactRemoval, ...]:
        return self.removals


class FakeTaskTypes:
    def list(self) -> tuple[TaskTypeRow, ...]:
        return (TaskTypeRow(CLASSIFICATION_ID, "分类", TaskKind.CLASSIFICATION, LONG_AGO),)


class FakeHeartbeats:
    def __init__(self, *beats: Heartbeat) -> None:
        self.beats = {beat.job_id: beat for beat in beats}

    def of(self, job_id: UUID) -> Heartbeat | None:
        return self.beats.get(job_id)

    def of_all(self, job_ids: list[UUID]) -> dict[UUID, Heartbeat]:
        return {job_id: beat for job_id, beat in self.beats.items() if job_id in job_ids}


def beat(progress: float) -> Heartbeat:
    return Heartbeat(worker="gpu-1", kind=JobKind.LOADING, job_id=PANEL_AOI_ID, attempt=1, progress=progress)


@pytest.fixture
def uploads(services: Services, tmp_path: Path) -> Uploads:
    """Nobody has uploaded anything."""
    uploads = Uploads(tmp_path / "uploads", most_bytes=1 << 30, keep_free_bytes=0, keep_seconds=3600)
    object.__setattr__(services, "uploads", uploads)
    return uploads


def an_upload(uploads: Uploads, *, content: bytes = b"an archive", of: UUID = QUALITY_LEAD.user_id) -> Upload:
    """image@123.tar, arrived as far as `content` goes; it has ten bytes."""
    upload = uploads.begin(of, "image@123.tar", 10)
    part = uploads.open(upload.upload_id, of, 0)
    assert part is not None
    part.write(content)
    part.close()
    return uploads.find(upload.upload_id, of)


@pytest.fixture
def images(site: Site, uploads: Uploads) -> FakeModelImages:
    """resnet18 v1.0 is loaded, panel-aoi is loading; there is an industry with levels."""
    site.read.model_images = FakeModelImages(PANEL_AOI, image())
    site.read.artifact_removals = FakeRemovals()
    site.read.industries = FakeIndustries(PANELS)
    site.read.environments = FakeEnvironments(gone=[PANEL_65.node_id])
    site.read.task_types = FakeTaskTypes()
    object.__setattr__(site.services, "heartbeats", FakeHeartbeats(beat(0.42)))
    found: FakeModelImages = site.read.model_images
    return found
