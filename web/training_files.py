"""The files that a training leaves behind, for people and for machines: logs, curves, images, weights. T-4, T-5.

Everyone may have them but the weights, which are the owner's, as the model is.
"""

from typing import Any
from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from domain.artifacts import Artifact
from domain.permissions import check_owner
from domain.refusals import NotFound
from domain.training_jobs import TrainedWeights
from projections.training_jobs import TrainingJobDetail
from web.downloads import Download, run_log, stored_file
from web.services import Services
from web.training_lines import ADDRESS, job_of


class TrainingFiles(Controller):
    """Under the address of their job."""

    path = f"{ADDRESS}/{{job_id:uuid}}"

    @get("/log", sync_to_thread=True)
    def log(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """下载日志: of a run that goes on, as far as it is."""
        return whole_log(services, job_of(services.read, job_id))

    @get("/log/{part:str}", sync_to_thread=True)
    def part_log(self, job_id: FromPath[UUID], part: FromPath[str], services: NamedDependency[Services]) -> Download:
        """下载日志 of one of two networks (T-5)."""
        return part_log(services, job_of(services.read, job_id), part)

    @get("/losses", sync_to_thread=True)
    def losses(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """Every raw point of the loss curves, as JSON Lines."""
        return losses(services, job_of(services.read, job_id))

    @get("/manifest", sync_to_thread=True)
    def manifest(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """Which images trained and validated, with their checksums, as JSON Lines."""
        return manifest(services, job_of(services.read, job_id))

    @get("/preview", sync_to_thread=True)
    def preview(self, job_id: FromPath[UUID], services: NamedDependency[Services]) -> Download:
        """Augmented samples, as a picture."""
        return preview(services, job_of(services.read, job_id))

    @get("/weights/{which:str}/{part:str}", sync_to_thread=True)
    def weights(
        self,
        job_id: FromPath[UUID],
        which: FromPath[str],
        part: FromPath[str],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
    ) -> Download:
        """The best or the last weights of a network, as safetensors; for the owner, as the model is."""
        return weights(services, job_of(services.read, job_id), which, part, actor)


def whole_log(services: Services, job: TrainingJobDetail) -> Download:
    """The log of a run; of one that goes on, as far as it is.

    Raises:
        NotFound
    """
    return run_log(services, job.log, services.running_logs.of(job.job_id, job.run), f"{_name_of(job)}.log")


def part_log(services: Services, job: TrainingJobDetail, part: str) -> Download:
    """The log of one of two networks (T-5).

    Raises:
        NotFound
    """
    kept = next((kept.log for kept in job.part_logs if kept.part.value == part), None)
    files = services.running_logs.of_parts(job.job_id, job.run)
    running = next((file for one, file in files.items() if one.value == part), None)
    return run_log(services, kept, running, f"{_name_of(job)}-{part}.log")


def losses(services: Services, job: TrainingJobDetail) -> Download:
    """Every raw point of the loss curves, as JSON Lines.

    Raises:
        NotFound
    """
    return _file(services, job.losses, f"{_name_of(job)}-losses.jsonl")


def manifest(services: Services, job: TrainingJobDetail) -> Download:
    """Which images trained and validated, with their checksums, as JSON Lines.

    Raises:
        NotFound
    """
    found = next((row.manifest for row in services.read.training_jobs.stages(job.job_id) if row.manifest), None)
    return _file(services, found, f"{_name_of(job)}-images.jsonl")


def preview(services: Services, job: TrainingJobDetail) -> Download:
    """Augmented samples, as a picture.

    Raises:
        NotFound
    """
    found = next((row.preview for row in services.read.training_jobs.stages(job.job_id) if row.preview), None)
    return _file(services, found, "augmented-samples.png", kind="image/png", is_attachment=False)


def weights(services: Services, job: TrainingJobDetail, which: str, part: str, actor: UUID) -> Download:
    """The best or the last weights of a network, as safetensors; for the owner, as the model is.

    Raises:
        NotTheOwner, NotFound
    """
    check_owner(job.owner, actor)
    kept = next((one for one in job.kept_weights if one.part.value == part), None)
    files = {TrainedWeights.BEST.value: kept.best, TrainedWeights.LAST.value: kept.last} if kept else {}
    return _file(services, files.get(which), f"{_name_of(job)}-{part}-{which}.safetensors")


def _name_of(job: TrainingJobDetail) -> str:
    return f"{job.model_name}-{job.label}"


def _file(services: Services, artifact: Artifact | None, name: str, **options: Any) -> Download:
    if artifact is None:
        raise NotFound
    return stored_file(services, artifact, name, **options)
