"""The native library of exports, on one core, beside torch: time for an image, time to open a model, memory."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from benchmarks.harness import Bench, Row, bench, in_turns, median_ratio
from domain.model_packages import NetworkInput, ResolutionRule
from gpu_worker.metrics import scores_of
from gpu_worker.native_library import FOLDER, LIBRARY
from gpu_worker.native_library import NativeModel as Opened
from gpu_worker.native_models import NativeModel, NativeNetwork, model_file
from gpu_worker.native_networks import operations_of
from gpu_worker.networks import new_network

CODES = ("OK", "SCRATCH", "SPOT", "STAIN", "CRACK", "TSFAS")
CLASSIFIER, SEGMENTATION = NetworkInput(width=224, height=224), NetworkInput(width=256, height=256)
MOST_MIB = 300
CPU = torch.device("cpu")


@bench
def native_latency(bench: Bench) -> Iterator[Row]:
    """ResNet18 at 224 x 224, images as pixels in, probabilities out; torch as the platform predicts."""
    torch.set_num_threads(1)
    model = new_network("ResNet18", 5, 1).eval().to(memory_format=torch.channels_last)
    file = bench.folder / "models.xbin"
    file.write_bytes(model_file(_model(model, None)))
    with Opened(file) as opened:
        for batch in (1, 16):
            images_NHWC = np.random.default_rng(1).integers(0, 256, (batch, 224, 224, 3), np.uint8)
            pixels_NCHW = np.ascontiguousarray(images_NHWC.transpose(0, 3, 1, 2))
            ours, theirs = in_turns(
                bench.rounds,
                _milliseconds(lambda images=images_NHWC: opened.predict(list(images)), batch),  # type: ignore[misc]
                _milliseconds(
                    lambda pixels=pixels_NCHW: scores_of(model, pixels, CLASSIFIER, CPU),  # type: ignore[misc]
                    batch,
                ),
            )
            yield Row(
                name=f"native library, ResNet18, batch of {batch}",
                figure=median(ours),
                unit="ms/image",
                compared_with="torch",
                compared_figure=median(theirs),
                ratio=median_ratio(theirs, ours),
                least_ratio=1.5,
            )


@bench
def native_model(bench: Bench) -> Iterator[Row]:
    """A classifier and a segmentation: until it is open, and the peak of a C program that predicts one image with it."""
    folder = bench.folder / "native"
    folder.mkdir(exist_ok=True)
    model = _model(new_network("ResNet18", 5, 1).eval(), new_network("UNet-ResNet18", 6, 2).eval())
    file = folder / "models.xbin"
    file.write_bytes(model_file(model))
    (opening,) = in_turns(bench.rounds, _milliseconds(lambda: Opened(file).close(), 1))
    yield Row(name="native library, opening both networks", figure=median(opening), unit="ms")
    compiler = shutil.which("cc")
    if compiler is None:
        return
    yield Row(
        name="native library, memory with both networks",
        figure=_peak_mib(folder, compiler),
        unit="MiB",
        most=MOST_MIB,
    )


def _model(classifier: nn.Module, segmentation: nn.Module | None) -> NativeModel:
    return NativeModel(
        defect_codes=CODES if segmentation else CODES[:5],
        class_count=5,
        resolution_rule=ResolutionRule(),
        classifier=NativeNetwork(CLASSIFIER, operations_of(classifier)),
        segmentation=NativeNetwork(SEGMENTATION, operations_of(segmentation)) if segmentation else None,
    )


def _milliseconds(act: Callable[[], object], count: int) -> Callable[[], float]:
    """Processor time: what else runs on the machine does not count."""

    def measured() -> float:
        started = time.process_time()
        act()
        return 1000 * (time.process_time() - started) / count

    return measured


def _peak_mib(folder: Path, compiler: str) -> float:
    """The example of the package, in `folder`, on one image."""
    shutil.copy(LIBRARY, folder)
    (folder / "config.yaml").write_text("threads: 1\n")
    (folder / "image.rgb").write_bytes(bytes(1024 * 768 * 3))
    example = [compiler, str(FOLDER / "package" / "example.c"), f"-I{FOLDER}", f"-L{folder}", "-lCsotArtifact"]
    subprocess.run([*example, "-Wl,-rpath,$ORIGIN", "-o", str(folder / "example")], check=True)
    os.mkfifo(folder / "mask.gray")
    arguments = ["./example", "1024", "768", "image.rgb", "mask.gray"]
    with (
        subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL) as program,
        (folder / "mask.gray").open("rb") as mask,  # opens when the program has predicted and begins to write
    ):
        status = Path(f"/proc/{program.pid}/status").read_text()
        mask.read()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
