"""What a worker is given in these tests: stores in a folder, small images painted on the spot, a job that keeps its reports."""

import hashlib
import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from PIL import Image

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import AnyReport, JobKind, SegmentationOrder, TrainingOrder
from domain.model_packages import NetworkInput, ResolutionRule
from domain.training_parameters import (
    ClassificationModel,
    ModelParameters,
    PreprocessingParameters,
    SgdParameters,
    TrainingParameters,
)
from gpu_worker.jobs import Job, Progress
from gpu_worker.ports import FolderNotFound

R = TypeVar("R")
JOB_ID = UUID("00000000-0000-0000-0000-00000000a001")
ROOT = "images"


@dataclass
class FolderOfArtifacts:
    """Artifacts in one folder, named by checksum."""

    folder: Path

    def keep(self, file: Path) -> Artifact:
        content = file.read_bytes()
        artifact = Artifact(hashlib.sha256(content).hexdigest(), len(content))
        self.folder.mkdir(exist_ok=True)
        shutil.move(file, self.folder / artifact.checksum)
        return artifact

    def path(self, artifact: Artifact) -> Path:
        path = self.folder / artifact.checksum
        if not path.is_file():
            raise FileNotFoundError(path)
        return path


@dataclass
class MountedFolders:
    """One root; nothing outside it."""

    root: Path

    def resolve(self, folder: FolderName) -> Path:
        path = (self.root / folder.path).resolve()
        if folder.root != ROOT or not path.is_relative_to(self.root.resolve()) or not path.exists():
            raise FolderNotFound(folder=str(folder))
        return path


class AppendToFile(logging.Handler):
    """Writes each line and closes the file again, so that no test leaves one open."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def emit(self, record: logging.LogRecord) -> None:
        with self.file.open("a") as opened:
            opened.write(self.format(record) + "\n")


@dataclass
class Workplace:
    """A machine with a root of images, shared storage and scratch space, all below one folder."""

    folder: Path
    reports: list[AnyReport] = field(default_factory=list)
    told: list[Progress] = field(default_factory=list)
    stop_after: int | None = None
    """Ask the job to stop after so many looks."""

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @property
    def artifacts(self) -> FolderOfArtifacts:
        return FolderOfArtifacts(self.folder / "artifacts")

    def job(self, kind: JobKind = JobKind.TRAINING, *, attempt: int = 1, cpu_cores: int = 1) -> Job:
        workspace = self.folder / "workspace"
        workspace.mkdir(exist_ok=True)
        log_file = workspace / "log.txt"
        log_file.touch()
        log = logging.getLogger("test job")
        log.setLevel(logging.INFO)
        log.propagate = False
        log.handlers = [AppendToFile(log_file)]
        folders = MountedFolders(self.images)
        return Job(
            kind=kind,
            job_id=JOB_ID,
            attempt=attempt,
            worker="gpu-1",
            cpu_cores=cpu_cores,
            artifacts=self.artifacts,
            folders=folders,
            archives=folders,
            workspace=workspace,
            decoded=self.folder / "decoded",
            report=self.reports.append,
            tell=self.told.append,
            is_stopping=self._looks,
            log=log,
            log_file=log_file,
        )

    def the(self, kind: type[R]) -> R:
        """The last report of a kind."""
        return [report for report in self.reports if isinstance(report, kind)][-1]

    def all(self, kind: type[R]) -> list[R]:
        return [report for report in self.reports if isinstance(report, kind)]

    def content(self, artifact: Artifact | None) -> bytes:
        assert artifact is not None
        return self.artifacts.path(artifact).read_bytes()

    def _looks(self) -> bool:
        if self.stop_after is None:
            return False
        self.stop_after -= 1
        return self.stop_after < 0


def paint(file: Path, *, seed: int, size: tuple[int, int] = (40, 40), level: int = 128, **options: Any) -> Path:
    """A noisy image around one brightness, in the format of the file name."""
    noise = np.random.default_rng(seed).normal(level, 20, (size[1], size[0], 3))
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(file, **options)
    return file


def paint_codes(folder: Path, count: int = 8, codes: tuple[str, ...] = ("OK", "SPOT", "SCRATCH")) -> None:
    """Code folders whose images differ in brightness, so that they can be learnt in a few iterations."""
    for number, code in enumerate(codes):
        for index in range(count):
            level = 40 + 170 * number // max(1, len(codes) - 1)
            paint(folder / code / f"{index:03}.png", seed=100 * number + index, level=level)


def paint_defects(
    folder: Path, count: int = 8, codes: tuple[str, ...] = ("OK", "SCRATCH", "SPOT"), *, side: int = 64
) -> None:
    """Code folders of grey noise with masks beside: OK shows nothing, the others a square each, the brighter the later the code."""
    for number, code in enumerate(codes):
        for index in range(count):
            random = np.random.default_rng(100 * number + index)
            pixels = random.normal(90, 12, (side, side, 3))
            mask = np.zeros((side, side), np.uint8)
            if code != "OK":
                left, top = random.integers(4, side // 2 - 4, 2)
                mask[top : top + side // 2, left : left + side // 2] = 255
                pixels[mask > 0] += 150 * number / (len(codes) - 1)
            (folder / code / "masks").mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / code / f"{index:03}.png")
            Image.fromarray(mask).save(folder / code / "masks" / f"{index:03}.png")


def an_order(
    *,
    codes: tuple[str, ...] = ("OK", "SCRATCH", "SPOT"),
    class_count: int | None = None,
    max_iter: int = 6,
    batch_size: int = 8,
    base_lr: float = 0.02,
    input_side: int = 32,
    resolution_rule: ResolutionRule = ResolutionRule(),  # noqa: B008 - frozen
    data_paths: tuple[str, ...] = ("",),
    initial_weights: Artifact | None = None,
    seed: int = 7,
    segmentation: SgdParameters | None = None,
    segmentation_weights: Artifact | None = None,
    **preprocessing: Any,
) -> TrainingOrder:
    """A training that takes a few seconds, of a segmentation, too, where its parameters are given."""
    return TrainingOrder(
        model_name="panel-a",
        model_parameters=ModelParameters(ClassificationModel("ResNet18", class_count or len(codes)), codes),
        input=NetworkInput(width=input_side, height=input_side),
        resolution_rule=resolution_rule,
        data_paths=tuple(FolderName(ROOT, path) for path in data_paths),
        training_parameters=TrainingParameters(
            SgdParameters(base_lr=base_lr, batch_size=batch_size, max_iter=max_iter, weight_decay=0.0005), segmentation
        ),
        segmentation=SegmentationOrder(
            network="UNet-ResNet18",
            input=NetworkInput(width=64, height=64),
            special_code_min_pixels=16,
            initial_weights=segmentation_weights,
        )
        if segmentation
        else None,
        preprocessing=PreprocessingParameters(train_segmentation=segmentation is not None, **preprocessing),
        initial_weights=initial_weights,
        seed=seed,
    )
