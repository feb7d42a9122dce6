"""Training: our step against the plain fp32 one, and a training from image files against torchvision's usual recipe."""

import itertools
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker sets it, for both sides

import numpy as np
import torch
import torchvision  # type: ignore[import-untyped]
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.transforms import v2  # type: ignore[import-untyped]

from benchmarks.harness import Bench, Row, bench, in_turns, median_ratio
from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import JobKind, Resources, TrainingOrder
from domain.model_packages import NetworkInput, ResolutionRule
from domain.training_parameters import (
    Augmentation,
    ClassificationModel,
    ModelParameters,
    PreprocessingParameters,
    SgdParameters,
    TrainingParameters,
)
from gpu_worker.augmentation import augment, draw
from gpu_worker.devices import chosen_device, fastest_precision
from gpu_worker.jobs import Job
from gpu_worker.metrics import standardized
from gpu_worker.networks import new_network
from gpu_worker.randomness import stream
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.sgd import Sgd
from gpu_worker.training import train

CODES = ("CHIP", "MURA", "OK", "SCRATCH")
INPUT = NetworkInput(width=128, height=128)
BATCH = 16
STEPS = 4
"""A turn of the step benchmark."""
IMAGES = 96
SOURCE_SIZE = (640, 480)
EPOCHS = 4
THREADS = 2
MOST_LONG_ROUNDS = 3
"""A whole training of both takes half a minute."""
AUGMENTATIONS = (Augmentation.FLIPPING, Augmentation.SCALING, Augmentation.COLOR_ENHANCEMENT)


class OurStep:
    """Pixels of 8 bits to moved weights, as the worker does it on this machine."""

    def __init__(self) -> None:
        self.device = chosen_device(Resources())
        self.precision = fastest_precision(new_network("ResNet18", len(CODES), seed=1), INPUT, self.device)
        self.model = new_network("ResNet18", len(CODES), seed=1).to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = Sgd(self.model, SgdParameters(base_lr=0.01, batch_size=BATCH, max_iter=1), {})
        self.pixels = torch.randint(
            0, 256, (BATCH, 3, INPUT.height, INPUT.width), dtype=torch.uint8, device=self.device
        )
        self.labels = torch.arange(BATCH, device=self.device) % len(CODES)
        self.iterations = itertools.count()

    def __call__(self) -> float:
        """Images a second over some steps."""
        started = time.perf_counter()
        for _ in range(STEPS):
            drawn = draw(BATCH, AUGMENTATIONS, stream(1, "bench", next(self.iterations))).to(self.device)
            images = standardized(augment(self.pixels.float() / 255, drawn, AUGMENTATIONS), INPUT)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision is Precision.BFLOAT16):
                loss = functional.cross_entropy(self.model(images), self.labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step(0.01)
        _finish(self.device)
        return STEPS * BATCH / (time.perf_counter() - started)


class PlainStep:
    """The same in float32 and torch's default layout, augmented sample by sample."""

    def __init__(self) -> None:
        self.device = chosen_device(Resources())
        self.model = torchvision.models.resnet18(weights=None, num_classes=len(CODES)).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        self.pixels = torch.randint(0, 256, (BATCH, 3, INPUT.height, INPUT.width), dtype=torch.uint8)
        self.labels = torch.arange(BATCH, device=self.device) % len(CODES)
        self.transform = plain_transform()

    def __call__(self) -> float:
        """Images a second over some steps."""
        started = time.perf_counter()
        for _ in range(STEPS):
            images = torch.stack([self.transform(sample) for sample in self.pixels]).to(self.device)
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(self.model(images), self.labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        _finish(self.device)
        return STEPS * BATCH / (time.perf_counter() - started)


def plain_transform() -> nn.Module:
    """What the augmentations are called in torchvision."""
    recipe: nn.Module = v2.Compose(
        [
            v2.Resize((INPUT.height, INPUT.width), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(degrees=0, scale=(0.85, 1.2), interpolation=v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(brightness=0.25, saturation=0.25, hue=0.02),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(INPUT.mean, INPUT.deviation),
        ]
    )
    return recipe


@bench
def training_step(bench: Bench) -> Iterator[Row]:
    """One step, from pixels in memory."""
    with _threads():
        ours, plain = in_turns(bench.rounds, OurStep(), PlainStep())
    yield _row("training step, ResNet18 at 128 × 128", ours, plain, "plain float32 step")


@bench
def training_from_files(bench: Bench) -> Iterator[Row]:
    """A whole training of a few epochs from JPEG files: reading, decoding, learning."""
    with tempfile.TemporaryDirectory() as name, _threads():
        folder = Path(name)
        _write_images(folder / "images")
        numbers = itertools.count()
        ours, plain = in_turns(
            min(bench.rounds, MOST_LONG_ROUNDS),
            lambda: _our_training(folder, next(numbers)),
            lambda: _plain_training(folder / "images"),
        )
    yield _row("training from 640 × 480 JPEG, end to end", ours, plain, "ImageFolder, DataLoader, float32")


def _finish(device: torch.device) -> None:
    """A GPU works ahead of the program."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _row(name: str, ours: Sequence[float], plain: Sequence[float], compared_with: str) -> Row:
    return Row(
        name=name,
        figure=statistics.median(ours),
        unit="images/s",
        compared_with=compared_with,
        compared_figure=statistics.median(plain),
        ratio=median_ratio(ours, plain),
        least_ratio=1.0,
    )


def _our_training(folder: Path, number: int) -> float:
    """Images a second, everything counted: stages, decoding, loop, checkpoints, validation, report."""
    workspace = folder / f"job-{number}"
    workspace.mkdir()
    log_file = workspace / "log.txt"
    log_file.touch()
    job = Job(
        kind=JobKind.TRAINING,
        job_id=UUID(int=number),
        attempt=1,
        worker="bench",
        cpu_cores=THREADS,
        artifacts=_Nowhere(),
        folders=_Folder(folder),
        archives=_Folder(folder),
        workspace=workspace,
        decoded=workspace / "decoded",
        report=lambda _: None,
        tell=lambda _: None,
        is_stopping=lambda: False,
        log=logging.getLogger("bench"),
        log_file=log_file,
    )
    iterations = EPOCHS * IMAGES // BATCH
    order = TrainingOrder(
        model_name="bench",
        model_parameters=ModelParameters(ClassificationModel("ResNet18", len(CODES)), CODES),
        input=INPUT,
        resolution_rule=ResolutionRule(),
        data_paths=(FolderName("bench", "images"),),
        training_parameters=TrainingParameters(SgdParameters(base_lr=0.01, batch_size=BATCH, max_iter=iterations)),
        preprocessing=PreprocessingParameters(split_ratio=0.75, augmentations=AUGMENTATIONS),
        seed=1,
    )
    started = time.perf_counter()
    train(order, Resources(), job, TrainingSettings())
    return EPOCHS * IMAGES / (time.perf_counter() - started)


def _plain_training(folder: Path) -> float:
    """Images a second of the usual recipe: decode and augment file by file in two worker processes, every epoch anew."""
    started = time.perf_counter()
    images = torchvision.datasets.ImageFolder(folder, transform=plain_transform())
    loader = DataLoader(images, batch_size=BATCH, shuffle=True, num_workers=THREADS, drop_last=True)
    device = chosen_device(Resources())
    model = torchvision.models.resnet18(weights=None, num_classes=len(CODES)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    count = 0
    for _ in range(EPOCHS):
        for samples, labels in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(samples.to(device)), labels.to(device))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            count += len(samples)
    return count / (time.perf_counter() - started)


def _write_images(folder: Path) -> None:
    random = np.random.default_rng(1)
    for number in range(IMAGES):
        code = CODES[number % len(CODES)]
        (folder / code).mkdir(parents=True, exist_ok=True)
        coarse = random.integers(60, 200, (12, 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(SOURCE_SIZE, Image.Resampling.BICUBIC)
        image.save(folder / code / f"{number}.jpg", quality=90)


@contextmanager
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Nowhere:
    def keep(self, file: Path) -> Artifact:
        return Artifact("0" * 64, file.stat().st_size)

    def path(self, artifact: Artifact) -> Path:
        raise FileNotFoundError(artifact.checksum)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resolve(self, folder: FolderName) -> Path:
        return self.folder / folder.path
