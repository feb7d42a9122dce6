"""A training job of the model trainer at every moment of its life, and the read models that know it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from domain.artifacts import Artifact
from domain.messages import Heartbeat, JobKind, LossPart, StageName
from domain.training_jobs import TrainingStatus
from projections.compute_resources import ComputeResourceRow
from projections.read_model import Page
from projections.training_jobs import (
    Creator,
    LossPoint,
    PartRow,
    StageRow,
    TrainingJobDetail,
    TrainingJobRow,
    ValidationRow,
)
from tests.examples import (
    BINDING,
    CLASSIFICATION_USED,
    FIGURES,
    LAST_FIGURES,
    MODEL_ID,
    PANEL_75,
    TRAINING_JOB_ID,
    TRAINING_ORDER,
    TRAINING_QUEUED,
    TWO_CORES,
    TWO_CORES_ID,
    WORSE_AT_THE_END,
    artifact,
    example_id,
)
from tests.web.predictions import FakeHeartbeats
from tests.web.site import MODEL_TRAINER
from web.services import Services

MONITOR = f"/training-jobs/{TRAINING_JOB_ID}"
OTHERS_ID = example_id("trainer_li's job")
OTHERS = f"/training-jobs/{OTHERS_ID}"


def job(**changes: Any) -> TrainingJobDetail:
    """A job of the signed-in model trainer that has been training for a minute."""
    fields: dict[str, Any] = {
        "job_id": TRAINING_JOB_ID,
        "owner": MODEL_TRAINER.user_id,
        "owner_name": "trainer_wang",
        "model_id": MODEL_ID,
        "model_name": "panel-a",
        "model_image": TRAINING_QUEUED.model_image,
        "task_type": CLASSIFICATION_USED,
        "status": TrainingStatus.TRAINING,
        "version": "",
        "worker": "gpu-1",
        "attempt": 1,
        "run": 1,
        "queued_at": datetime(2026, 3, 1, 8, 0, tzinfo=UTC),
        "running_since": datetime.now(UTC) - timedelta(seconds=60),
        "ended_at": None,
        "spent_seconds": 0.0,
        "iteration": 50,
        "max_iter": 200,
        "environment": BINDING,
        "compute_resource_id": TWO_CORES_ID,
        "ordered": TRAINING_ORDER,
        "reason": None,
        "log": None,
        "part_logs": (),
        "losses": None,
        "weights": None,
        "evaluation": None,
        "figures": None,
        "resolution_rule": None,
        "device": "",
        "software": "",
    }
    return TrainingJobDetail(**fields | changes)


ENDED: dict[str, Any] = {
    "running_since": None,
    "ended_at": datetime(2026, 3, 1, 8, 3, tzinfo=UTC),
    "spent_seconds": 93.5,
    "iteration": 200,
}
COMPLETED: dict[str, Any] = {
    **ENDED,
    "status": TrainingStatus.COMPLETED,
    "log": artifact("log", 4),
    "losses": artifact("losses", 4),
    "figures": FIGURES,
    "device": "cpu",
    "software": "torch 2.9.1",
}
WORSE: dict[str, Any] = {
    **COMPLETED,
    "kept_weights": WORSE_AT_THE_END.kept_weights,
    "last_figures": LAST_FIGURES,
}
"""Its best validation was not its last."""
BEAT = Heartbeat(
    worker="gpu-1",
    kind=JobKind.TRAINING,
    job_id=TRAINING_JOB_ID,
    attempt=1,
    progress=0.42,
    iteration=77,
    loss=0.25,
    seconds_left=3600.0,
    activity="Training",
)


def stage(name: StageName, **found: Any) -> StageRow:
    fields: dict[str, Any] = {
        "stage": name,
        "seconds": 1.5,
        "image_count": 0,
        "non_compliant_count": 0,
        "damaged_count": 0,
        "left_out_count": 0,
        "unmasked_count": 0,
        "training_count": 0,
        "validation_count": 0,
        "resolution_rule": None,
        "manifest": None,
        "preview": None,
    }
    return StageRow(**fields | found)


class FakeTrainingJobs:
    def __init__(self, *jobs: TrainingJobDetail) -> None:
        self.jobs = {job.job_id: job for job in jobs}
        self.asked: dict[str, Any] = {}
        self.questions: list[str] = []
        self.stage_rows: list[StageRow] = []
        self.part_rows = [PartRow(part=LossPart.CLASSIFICATION, iteration=0, max_iter=200, learning_rate=None)]
        self.points: list[LossPoint] = []
        self.validation_rows: list[ValidationRow] = []

    def page(self, **asked: Any) -> Page[TrainingJobRow]:
        self.asked = asked
        self.questions.append("page")
        return Page(items=tuple(self.jobs.values()), total=len(self.jobs), number=1, size=20)

    def creators(self) -> list[Creator]:
        return [Creator(job.owner, job.owner_name) for job in self.jobs.values()]

    def get(self, job_id: UUID) -> TrainingJobDetail | None:
        return self.jobs.get(job_id)

    def stages(self, _job_id: UUID) -> list[StageRow]:
        return self.stage_rows

    def parts(self, _job_id: UUID) -> list[PartRow]:
        return self.part_rows

    def losses(self, _job_id: UUID, _part: LossPart) -> list[LossPoint]:
        self.questions.append("losses")
        return self.points

    def validations(self, _job_id: UUID) -> list[ValidationRow]:
        return self.validation_rows


class FakeRunningLogs:
    """Logs by run; None is the whole one."""

    def __init__(self, *files: tuple[int, LossPart | None, Path]) -> None:
        self.files = files

    def of(self, _job_id: UUID, run: int) -> Path | None:
        return next((file for one, part, file in self.files if one == run and part is None), None)

    def of_parts(self, _job_id: UUID, run: int) -> dict[LossPart, Path]:
        return {part: file for one, part, file in self.files if one == run and part}


# Files


class FakeArtifacts:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def intact(self, wanted: Artifact, *, by_content: bool = False) -> Path:  # noqa: ARG002 - contents are as they were put
        found = self.folder / wanted.checksum
        found.write_bytes(b"1234")
        return found


def furnish(services: Services) -> Services:
    """Everything that the pages of a job ask for."""
    resource = ComputeResourceRow(TWO_CORES_ID, TWO_CORES.kind, TWO_CORES.resources, datetime(2026, 3, 1, tzinfo=UTC))
    services.read.compute_resources = SimpleNamespace(get=lambda _resource_id: resource)
    object.__setattr__(services, "running_logs", FakeRunningLogs())
    services.read.environments = SimpleNamespace(standing=lambda ids: [one for one in ids if one != PANEL_75.node_id])
    use(services, job())
    return services


def use(services: Services, *jobs: TrainingJobDetail, beat: Heartbeat | None = None) -> FakeTrainingJobs:
    services.read.training_jobs = FakeTrainingJobs(*jobs)
    object.__setattr__(services, "heartbeats", FakeHeartbeats(*([beat] if beat else [])))
    jobs_of: FakeTrainingJobs = services.read.training_jobs
    return jobs_of
