"""What this machine can compute with, and in which precision."""

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor, nn

from domain.messages import Resources
from domain.model_packages import NetworkInput
from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.settings import Precision

GIB = 1 << 30
_BFLOAT16_FLAGS = frozenset(("avx512_bf16", "amx_bf16", "bf16"))


class GpuIsMissing(Refusal):
    """A job that asks for GPU memory would take days on a CPU."""

    message = N_(
        "The compute resource asks for {gpu_cards} GPU cards, but this worker has none that works. Check its driver."
    )


def available_resources() -> Resources:
    """What this machine offers to jobs: cores and memory that this process may use, and GPU cards (memory of the smallest)."""
    cards = [torch.cuda.get_device_properties(card).total_memory / GIB for card in range(torch.cuda.device_count())]
    return Resources(
        cpu_cores=len(os.sched_getaffinity(0)),
        memory_gib=round(_memory_bytes() / GIB, 1),
        gpu_cards=len(cards),
        gpu_memory_gib=round(min(cards, default=0), 1),
    )


def chosen_device(needs: Resources, *, on_cpu: bool = False) -> torch.device:
    """A GPU where there is one and nobody wants the CPU, else the CPU.

    Raises:
        GpuIsMissing
    """
    return device_for(needs, has_gpu=torch.cuda.is_available(), on_cpu=on_cpu)


def device_for(needs: Resources, *, has_gpu: bool, on_cpu: bool) -> torch.device:
    """The device of a machine with or without a GPU; a job that was promised a GPU never runs without.

    Raises:
        GpuIsMissing
    """
    if has_gpu and not on_cpu:
        return torch.device("cuda", 0)
    if needs.gpu_cards:
        raise GpuIsMissing(gpu_cards=needs.gpu_cards)
    return torch.device("cpu")


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU where the device takes it from while it goes on with its work: from memory that is not pinned a GPU's
    driver may carry nothing before everything that was asked for is done (CUDA Runtime API, “API synchronization behavior”).
    """
    return tensor.pin_memory() if device.type == "cuda" else tensor


def describe(device: torch.device, precision: Precision, thread_count: int) -> str:
    """Device and precision for the report."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision.value}"
    return f"{_cpu('model name') or platform.machine()}, {thread_count} × CPU, {precision.value}"


def software() -> str:
    """The versions that made a result."""
    return f"Assay {metadata.version('assay')}, Python {platform.python_version()}, torch {torch.__version__}"


def keep_evaluation_exact() -> None:
    """float32 means float32: by default a GPU would round convolutions to TF32, and platform and factory would disagree."""
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]


def fastest_precision(model: nn.Module, network_input: NetworkInput, device: torch.device) -> Precision:
    """In which a network learns soonest. bfloat16 on a GPU that has it. On a CPU that has instructions for it both are measured; on
    others it takes twice as long.
    """
    if device.type == "cuda":
        return Precision.BFLOAT16 if torch.cuda.is_bf16_supported(including_emulation=False) else Precision.FLOAT32
    if not _BFLOAT16_FLAGS & set(_cpu("flags", "Features").split()):
        return Precision.FLOAT32
    model = model.to(memory_format=torch.channels_last)
    seconds = {precision: _step_seconds(model, network_input, precision) for precision in Precision}
    # Half as exact as it is, bfloat16 has to be clearly faster.
    return Precision.BFLOAT16 if 1.2 * seconds[Precision.BFLOAT16] < seconds[Precision.FLOAT32] else Precision.FLOAT32


def _step_seconds(model: nn.Module, network_input: NetworkInput, precision: Precision) -> float:
    images = torch.zeros(4, 3, network_input.height, network_input.width).contiguous(memory_format=torch.channels_last)
    seconds = []
    for _ in range(3):
        started = (
            time.process_time()
        )  # what else the machine does must not choose, nor change what a second run chooses
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is Precision.BFLOAT16):
            loss = model(images).float().logsumexp(1).mean()
        torch.autograd.grad(loss, list(model.parameters()))
        seconds.append(time.process_time() - started)
    return min(seconds)


def _memory_bytes() -> int:
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    granted = limit.read_text().strip() if limit.is_file() else "max"
    return min(installed, int(granted)) if granted.isdecimal() else installed


def _cpu(*keys: str) -> str:
    """What /proc/cpuinfo says of the first core under one of some keys; empty where it says nothing."""
    lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.partition("\t")[0].strip() in keys), "")
