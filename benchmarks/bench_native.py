"""The native library of exports, on one core, beside torch and ONNX Runtime: time for an image, time to open a model, memory."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from PIL import Image
from torch import nn

from benchmarks.harness import Bench, Row, bench, in_turns, median_ratio
from benchmarks.onnx_networks import onnx_network
from domain.model_packages import NetworkInput, ResolutionRule
from gpu_worker.images import Pixels, pixels_of
from gpu_worker.metrics import scores_of, standardized
from gpu_worker.native_library import FOLDER, native_library
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
    """ResNet18 at 224 x 224, with and without a U-Net at 256 x 256, one core, images as pixels in, verdicts out.

    Torch predicts as the platform does. ONNX Runtime is spared what the library does besides: it is given standardised floats, and
    leaves softmax and masks to others.
    """
    torch.set_num_threads(1)
    networks = [
        _Network(new_network("ResNet18", 5, 1), CLASSIFIER),
        _Network(new_network("UNet-ResNet18", 6, 2), SEGMENTATION),
    ]
    for name, used, batches in (("ResNet18", networks[:1], (1, 16)), ("ResNet18 and U-Net", networks, (1,))):
        file = bench.folder / "models.xbin"
        file.write_bytes(model_file(_model(*(network.model for network in used))))
        with Opened(file) as opened:
            for batch in batches:
                images = list(
                    np.random.default_rng(1).integers(0, 256, (batch, CLASSIFIER.height, CLASSIFIER.width, 3), np.uint8)
                )
                for network in used:
                    network.prepare(images)
                ours, runtime, eager = in_turns(
                    bench.rounds,
                    _milliseconds(lambda images=images: opened.predict(images), batch),  # type: ignore[misc]
                    _milliseconds(lambda used=used: [network.run_onnx() for network in used], batch),  # type: ignore[misc]
                    _milliseconds(lambda used=used: [network.run_torch() for network in used], batch),  # type: ignore[misc]
                )
                for compared_with, theirs, most in (("ONNX Runtime", runtime, 0.6), ("torch", eager, 1 / 1.5)):
                    yield Row(
                        name=f"native library, {name}, batch of {batch}",
                        figure=median(ours),
                        unit="ms/image",
                        compared_with=compared_with,
                        compared_figure=median(theirs),
                        ratio=median_ratio(ours, theirs),
                        most_ratio=round(most, 2),
                    )


class _Network:
    """One network in torch and in ONNX Runtime, and images for it."""

    def __init__(self, model: nn.Module, network_input: NetworkInput) -> None:
        self.model, self.input = model.eval(), network_input
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        content = onnx_network(operations_of(model), network_input.width, network_input.height)
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._eager = model.to(memory_format=torch.channels_last)

    def prepare(self, images: list[Pixels]) -> None:
        size = self.input.width, self.input.height
        self._pixels_NCHW = np.stack([pixels_of(Image.fromarray(image), *size) for image in images])
        standard_NCHW = standardized(torch.from_numpy(self._pixels_NCHW).float().div(255), self.input)
        self._standard_NCHW = np.ascontiguousarray(standard_NCHW.numpy())
        apart = np.abs(self.run_onnx() - self._features()).max()
        assert apart < 1e-3, f"ONNX Runtime computes something else: {apart}"

    def run_onnx(self) -> npt.NDArray[np.float32]:
        (output,) = self._session.run(None, {"image": self._standard_NCHW})
        return output  # type: ignore[no-any-return]

    def run_torch(self) -> npt.NDArray[np.float32]:
        return scores_of(self._eager, self._pixels_NCHW, self.input, CPU)

    def _features(self) -> npt.NDArray[np.float32]:
        """What the last operation gives: of a U-Net every second pixel of the masks."""
        with torch.inference_mode():
            output = self._eager(torch.from_numpy(self._standard_NCHW)).numpy()
        return output[..., None, None] if output.ndim == 2 else output[..., ::2, ::2]  # type: ignore[no-any-return]


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


def _model(classifier: nn.Module, segmentation: nn.Module | None = None) -> NativeModel:
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
    shutil.copy(native_library(), folder)
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
