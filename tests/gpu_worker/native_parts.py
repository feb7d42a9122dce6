"""The native engine's parts as the tests call them, and networks to give to them."""

import ctypes
import functools
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from domain.model_packages import NetworkInput, ResolutionRule
from gpu_worker.native_library import BUILT, FOLDER
from gpu_worker.native_models import NativeModel, NativeNetwork, model_file, network_section
from gpu_worker.native_networks import Operation, OperationKind, Operations, operations_of
from gpu_worker.networks import new_network

INSTRUCTION_SETS = ("base", "avx2", "avx512")
CODES = ("OK", "SCRATCH", "SPOT")
SPECIAL = "TSFAS"

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


def built(target: str) -> Path:
    """A program or library that only the tests need; compiled once, then taken from the build folder."""
    if not BUILT.is_file():
        pytest.fail("the native library is not built: install g++ and run “make native”")
    made = subprocess.run(
        ["make", "--no-print-directory", target], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return FOLDER / "build" / target


@functools.cache
def probe() -> Any:
    loaded = ctypes.CDLL(str(built("libCsotProbe.so")))
    loaded.probe_network.restype = ctypes.c_size_t
    loaded.probe_problem.restype = ctypes.c_char_p
    return loaded


def runnable_sets() -> tuple[str, ...]:
    """The instruction sets of this machine's processor; one that is missing here is proven elsewhere."""
    flags = set(Path("/proc/cpuinfo").read_text().split())
    have = {"base": True, "avx2": {"avx2", "fma"} <= flags, "avx512": {"avx512f", "avx512bw", "avx512vl"} <= flags}
    return tuple(name for name in INSTRUCTION_SETS if have[name])


def run_network(
    operations: Sequence[Operation],
    images_NCHW: Floats,
    shape: tuple[int, ...],
    instruction_set: str,
    threads: int = 1,
    change: Callable[[bytes], bytes] = bytes,
) -> Floats:
    """What the engine computes of standardised images; `shape` is that of one output, `change` alters the section before."""
    images_NCHW = np.ascontiguousarray(images_NCHW, np.float32)
    count, _, height, width = images_NCHW.shape
    section = change(network_section(NativeNetwork(NetworkInput(width=width, height=height), tuple(operations))))
    output = np.full((count, *shape), np.nan, np.float32)
    floats = probe().probe_network(
        section,
        ctypes.c_size_t(len(section)),
        instruction_set.encode(),
        threads,
        images_NCHW.ctypes.data_as(ctypes.c_void_p),
        count,
        output.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_size_t(output.size),
    )
    assert floats == output.size // count, probe().probe_problem()
    return output


def a_network(network: str, code_count: int, seed: int = 1) -> nn.Module:
    """As if trained: its normalisations have seen something, so that folding them is not folding nothing."""
    model = new_network(network, code_count, seed)
    random = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            size = len(module.running_mean)
            module.running_mean.copy_(torch.randn(size, generator=random) * 0.1)
            module.running_var.copy_(torch.rand(size, generator=random) + 0.5)
            module.weight.data.copy_(torch.rand(size, generator=random) * 0.5 + 0.5)
            module.bias.data.copy_(torch.randn(size, generator=random) * 0.1)
    return model.eval()


def a_small_model(*, segments: bool = True, rule: ResolutionRule = ResolutionRule(), **changes: Any) -> NativeModel:  # noqa: B008 - frozen
    """Few operations and few channels, of every kind, so that hundreds of files can be opened in a second."""
    random = torch.Generator().manual_seed(3)

    def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
        made = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
        made.weight.data.copy_(torch.randn(made.weight.shape, generator=random) * (2 / inputs / size**2) ** 0.5)
        made.bias.data.copy_(torch.randn(outputs, generator=random) * 0.1)  # type: ignore[union-attr]
        return made

    classifier = Operations()
    stem = classifier.convolution(0, convolution(3, 32, 7, 2), relu=True)
    pooled = classifier.write(Operation(OperationKind.MAX_POOL, stem))
    deeper = classifier.convolution(pooled, convolution(32, 32, 3), relu=True, added=pooled)
    classifier.convolution(classifier.write(Operation(OperationKind.AVERAGE, deeper)), convolution(32, 3, 1))
    segmentation = Operations()
    first = segmentation.convolution(0, convolution(3, 32, 3, 2), relu=True)
    second = segmentation.convolution(first, convolution(32, 16, 3, 2), relu=True)
    doubled = segmentation.write(Operation(OperationKind.DOUBLING, second))
    joined = segmentation.write(Operation(OperationKind.JOINING, doubled, first))
    segmentation.convolution(joined, convolution(48, 5, 1))
    values: dict[str, Any] = {
        "defect_codes": (*CODES, SPECIAL) if segments else CODES,
        "class_count": 3,
        "resolution_rule": rule,
        "special_code_min_pixels": 4,
        "classifier": NativeNetwork(NetworkInput(width=64, height=48), tuple(classifier.written)),
        "segmentation": NativeNetwork(NetworkInput(width=64, height=64), tuple(segmentation.written))
        if segments
        else None,
        "note": {"name": "panel-a"},
    }
    return NativeModel(**(values | changes))


def written(folder: Path, model: NativeModel | bytes, config: str | None = None) -> tuple[Path, Path | None]:
    """The files of a model."""
    file = folder / "models.xbin"
    file.write_bytes(model if isinstance(model, bytes) else model_file(model))
    if config is None:
        return file, None
    settings = folder / "config.yaml"
    settings.write_text(config, encoding="utf-8")
    return file, settings


def native_network(network: str, code_count: int, side: int, seed: int = 1) -> tuple[nn.Module, NativeNetwork]:
    """A network as torch and as the engine compute it."""
    model = a_network(network, code_count, seed)
    return model, NativeNetwork(NetworkInput(width=side, height=side), operations_of(model))


def a_picture(seed: int, width: int, height: int) -> Pixels:
    """(height, width, 3) soft shapes with noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / random.uniform(5, 40) + columns / random.uniform(5, 40) + phase) for phase in (0, 1, 2)]
    return (128 + 70 * np.stack(waves, 2) + random.normal(0, 20, (height, width, 3))).clip(0, 255).astype(np.uint8)
