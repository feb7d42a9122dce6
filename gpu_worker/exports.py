"""The export package (X-1): a zip with the weights, `config.yaml` and a short guide. Equal versions give equal bytes.

The native library and its model container are not part of it yet; the guide says so.
"""

import hashlib
import zipfile
from pathlib import Path
from typing import Any, Final

import yaml

from domain.messages import ExportBuilt, ExportOrder
from domain.model_packages import NetworkInput, ResolutionRule
from domain.sentences import N_
from gpu_worker.jobs import Job
from gpu_worker.networks import load_trained_weights

EXPORTING = N_("Writing the export package")
FORMAT: Final = 1
WEIGHTS, CONFIG, GUIDE = "weights.safetensors", "config.yaml", "README.md"
SEGMENTATION_WEIGHTS: Final = "segmentation.safetensors"

_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
_GUIDE: Final = """# {model} {label}

## 中文
- `{weights}`：模型权重（safetensors，float32），网络为 {network}。
- `{config}`：网络输入、标准化、缺陷 code（按输出顺序）、分辨率规则、权重校验值与评估指标。
- `{segmentation_weights}`（仅当模型含分割时）：分割网络的权重；`{config}` 的 `segmentation` 说明其输入与输出。
- 本包尚不含本地推理库（libCsotArtifact.so）与 models.xbin；后续版本的导出会提供。

使用方法：读入图片，转为 8 位 RGB，以双线性插值（Pillow BILINEAR）缩放到 {width} × {height}，除以 255，
减去 mean 并除以 deviation，以通道优先（1 × 3 × 高 × 宽）送入网络；对输出做 softmax，最大者为预测的 code。
含分割时，同一图片再按 `segmentation.input` 处理：每个像素的最大输出为其预测，0 表示无缺陷，其余依次为 `segmentation.defect_codes`。
若像素最多的 code 属于特殊缺陷且像素数大于 `special_code_min_pixels`，则该图片的结果为此特殊缺陷，否则以分类为准。
使用前请核对 `{weights}` 的 SHA-256 与 `{config}` 中的 `weights.sha256` 一致。

## English
- `{weights}`: the weights (safetensors, float32) of a {network}.
- `{config}`: input, standardisation, defect codes in the order of the outputs, resolution rule, checksum of the weights, figures.
- `{segmentation_weights}` (only where the model segments): the weights of the segmentation, which `{config}` describes.
- The native library (libCsotArtifact.so) and models.xbin are not part of this package yet; a later export brings them.

To predict: read an image as 8-bit RGB, resize it to {width} × {height} with Pillow's BILINEAR, divide by 255, subtract mean and
divide by deviation, pass it to the network as 1 × 3 × height × width; the largest softmax output is the predicted code.
Where the model segments, do the same with `segmentation.input`: the largest output of each pixel is what it shows, 0 for no defect,
then `segmentation.defect_codes` in their order. If the code with the most pixels is a special one and has more than
`special_code_min_pixels`, the image is given that code; otherwise the classification decides.
Before use, compare the SHA-256 of `{weights}` with `weights.sha256` in `{config}`.
"""


def build_export(order: ExportOrder, job: Job) -> None:
    """Write the package and report it.

    Raises:
        Refusal: the weights are unreadable or do not fit.
        JobStopped
    """
    job.go_on(0.0, EXPORTING)
    version = order.version
    weights = job.artifacts.path(version.weights)
    _, classes = load_trained_weights(weights, version.network, version.defect_codes)
    files = {WEIGHTS: weights.read_bytes()}
    if version.segmentation is not None:
        of_segmentation = job.artifacts.path(version.segmentation.weights)
        load_trained_weights(of_segmentation, version.segmentation.network, version.segmentation.defect_codes)
        files[SEGMENTATION_WEIGHTS] = of_segmentation.read_bytes()
    config = yaml.safe_dump(config_of(order, classes, files), allow_unicode=True, sort_keys=False)
    guide = _GUIDE.format(
        model=order.model_name,
        label=version.label,
        network=version.network,
        weights=WEIGHTS,
        segmentation_weights=SEGMENTATION_WEIGHTS,
        config=CONFIG,
        width=version.input.width,
        height=version.input.height,
    )
    job.go_on(0.5, EXPORTING)
    package = job.workspace / "export.zip"
    write_zip(package, {GUIDE: guide.encode(), CONFIG: config.encode(), **files})
    job.report(ExportBuilt(**job.sender, package=job.artifacts.keep(package)))


def config_of(order: ExportOrder, classes: tuple[str, ...], files: dict[str, bytes]) -> dict[str, Any]:
    """What a program on the line must know of the model, as plain values for YAML; `files` are its weights by their names."""
    version = order.version
    figures = {"accuracy": order.accuracy, "recall": order.recall}
    config = {
        "format": FORMAT,
        "model": {"name": order.model_name, "version": version.label},
        "network": {"task": "classification", "name": version.network},
        "input": _input(version.input),
        "defect_codes": list(classes),
        "resolution_rule": _plain(version.resolution_rule),
        "weights": _file(WEIGHTS, files[WEIGHTS]),
        "figures": figures,
    }
    if version.segmentation is not None:
        config["segmentation"] = {
            "network": version.segmentation.network,
            "input": _input(version.segmentation.input),
            "defect_codes": list(version.segmentation.defect_codes),
            "special_code_min_pixels": version.segmentation.special_code_min_pixels,
            "weights": _file(SEGMENTATION_WEIGHTS, files[SEGMENTATION_WEIGHTS]),
        }
        figures["iou"] = order.iou
    return config


def _input(network_input: NetworkInput) -> dict[str, Any]:
    return {
        "width": network_input.width,
        "height": network_input.height,
        "channels": "RGB",
        "resize": "bilinear",
        "mean": list(network_input.mean),
        "deviation": list(network_input.deviation),
    }


def _file(name: str, content: bytes) -> dict[str, Any]:
    return {"file": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_zip(target: Path, files: dict[str, bytes]) -> None:
    """Files in the given order, without time or owner. Weights hardly shrink, so nothing is compressed."""
    with zipfile.ZipFile(target, "w") as package:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.external_attr = 0o644 << 16
            package.writestr(entry, content)


def _plain(rule: ResolutionRule) -> dict[str, Any]:
    if rule.is_empty:
        return {}
    if rule.exact_sizes:
        return {"exact_sizes": [list(size) for size in rule.exact_sizes]}
    return {
        "min_width": rule.min_width,
        "min_height": rule.min_height,
        "max_width": rule.max_width,
        "max_height": rule.max_height,
    }
