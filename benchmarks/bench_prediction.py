"""Prediction: a job of the worker against a plain loop over the same model, from photographs and from images that cost nothing to
decode.

Both sides have the same weights, threads and batches and take turns. By CPU time other programs are felt less than by the clock.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker sets it, for both sides

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.harness import Bench, Row, bench, median_ratio
from domain.data_paths import FolderName
from domain.messages import JobKind, PredictionOrder, PredictionSucceeded, Resources, VersionToPredict
from domain.model_packages import NetworkInput, ResolutionRule
from domain.training_parameters import PredictionParameters
from gpu_worker.devices import chosen_device
from gpu_worker.metrics import scores_of, standardized
from gpu_worker.networks import new_network, save_weights
from gpu_worker.prediction import predict
from tests.gpu_worker.workplace import ROOT, Workplace

CODES = ("OK", "SCRATCH", "SPOT", "STAIN")
INPUT = NetworkInput(width=224, height=224)
IMAGES, BATCH = 768, 32
PHOTOGRAPH, SMALL = (1280, 960), (INPUT.width, INPUT.height)
MOST_ROUNDS = 3
"""A round takes a minute."""


class Speed(NamedTuple):
    """Images a second, by the clock and by the CPU time of this process."""

    by_clock: float
    by_cpu: float


@bench
def prediction_from_photographs(bench: Bench) -> Iterator[Row]:
    """JPEG of 1.2 megapixels to a report, against Pillow and torch one after the other, as one writes it first."""
    yield from _beside(bench, "photographs", PHOTOGRAPH, "jpg", "plain loop", _plain_loop, 1.5)


@bench
def prediction_of_small_images(bench: Bench) -> Iterator[Row]:
    """Files of the input size in the page cache to a report, against the forward pass alone over pixels that lie ready."""
    yield from _beside(bench, "small images", SMALL, "bmp", "forward pass", _forward_pass, 0.95)


def _beside(
    bench: Bench,
    kind: str,
    size: tuple[int, int],
    suffix: str,
    compared_with: str,
    plain: Callable[[nn.Module, Sequence[Path]], None],
    least: float,
) -> Iterator[Row]:
    place = Workplace(bench.folder / "prediction")
    files = _write_images(place.images, max(BATCH, round(bench.share * IMAGES)), size, suffix)
    threads = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    try:
        model = new_network("ResNet18", len(CODES), seed=1).eval().to(chosen_device(Resources()))
        version = _version(place, model)
        ours: list[Speed] = []
        theirs: list[Speed] = []
        for _ in range(min(bench.rounds, MOST_ROUNDS) + 1):
            ours.append(_speed(len(files), lambda: _job(place, version, cores)))
            theirs.append(_speed(len(files), lambda: plain(model, files)))
    finally:
        torch.set_num_threads(threads)
        shutil.rmtree(place.folder)
    for name, index, least_ratio in (("", 0, least), (", by CPU time", 1, None)):
        figures, compared = ([speed[index] for speed in side[1:]] for side in (ours, theirs))
        yield Row(
            name=f"prediction of {kind}{name}",
            figure=median(figures),
            unit="img/CPU-s" if index else "images/s",
            compared_with=compared_with,
            compared_figure=median(compared),
            ratio=median_ratio(figures, compared),
            least_ratio=least_ratio,
        )


def _job(place: Workplace, version: VersionToPredict, cores: int) -> None:
    order = PredictionOrder(
        versions=(version,),
        data_paths=(FolderName(ROOT, ""),),
        parameters=PredictionParameters(batch_size=BATCH),
        resolution_screening=False,
    )
    predict(order, Resources(), place.job(JobKind.PREDICTION, cpu_cores=cores))
    assert place.the(PredictionSucceeded).results[0].figures.sample_count >= BATCH


def _plain_loop(model: nn.Module, files: Sequence[Path]) -> None:
    device = next(model.parameters()).device
    for start in range(0, len(files), BATCH):
        pixels = [
            np.asarray(Image.open(file).convert("RGB").resize(SMALL, Image.Resampling.BILINEAR))
            for file in files[start : start + BATCH]
        ]
        scores_of(model, np.stack(pixels).transpose(0, 3, 1, 2), INPUT, device)


def _forward_pass(model: nn.Module, files: Sequence[Path]) -> None:
    """As fast as torch does it: channels last, without anything around it."""
    device = next(model.parameters()).device
    model = model.to(memory_format=torch.channels_last)
    images_NCHW = standardized(torch.rand(BATCH, 3, INPUT.height, INPUT.width, device=device), INPUT)
    with torch.inference_mode():
        for start in range(0, len(files), BATCH):
            model(images_NCHW[: len(files) - start]).cpu()


def _speed(count: int, act: Callable[[], None]) -> Speed:
    clock, cpu = time.perf_counter(), time.process_time()
    act()
    return Speed(count / (time.perf_counter() - clock), count / (time.process_time() - cpu))


def _version(place: Workplace, model: nn.Module) -> VersionToPredict:
    file = place.folder / "weights"
    save_weights(model.state_dict(), file, "ResNet18", CODES)
    return VersionToPredict(
        label="v1.01",
        network="ResNet18",
        defect_codes=CODES,
        input=INPUT,
        resolution_rule=ResolutionRule(),
        weights=place.artifacts.keep(file),
    )


def _write_images(folder: Path, count: int, size: tuple[int, int], suffix: str) -> list[Path]:
    random = np.random.default_rng(1)
    files = []
    for number in range(count):
        file = folder / CODES[number % len(CODES)] / f"{number:04}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse = random.integers(0, 256, (size[1] // 16, size[0] // 16, 3), np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(file)
        files.append(file)
    return files
