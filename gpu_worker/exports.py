"""The export package (X-1): a zip with all that a program on the line needs to predict as the platform does, without Python.

What is written is opened with its own library and compared before anybody gets it. Equal versions give equal bytes.
"""

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from domain.messages import ExportBuilt, ExportOrder
from domain.model_packages import NetworkInput, ResolutionRule
from domain.sentences import N_
from gpu_worker.jobs import Job
from gpu_worker.native_agreement import check_agreement
from gpu_worker.native_library import FOLDER, native_library, needed_glibc
from gpu_worker.native_library import NAME as LIBRARY
from gpu_worker.native_models import model_file
from gpu_worker.native_versions import Platform, native_model
from gpu_worker.networks import load_trained_weights

EXPORTING = N_("Writing the export package")
MODEL, CONFIG, HEADER, GUIDE = "models.xbin", "config.yaml", "csot.h", "README.md"
EXAMPLES: Final = ("example.c", "Example.cs")

_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
_TEXTS: Final = FOLDER / "package"


def build_export(order: ExportOrder, job: Job) -> None:
    """Write the package, compare it with the platform, and report it.

    Raises:
        Refusal: the weights are unreadable or do not fit, there is no library, or it does not predict as the platform does.
        JobStopped
    """
    job.go_on(0.0, EXPORTING)
    platform = _platform(order, job)
    package = job.workspace / "export.zip"
    write_zip(package, files_of(order, platform))
    # A folder of its own each time: a library that this process has open must never be overwritten.
    with TemporaryDirectory(dir=job.workspace) as folder, zipfile.ZipFile(package) as zipped:
        zipped.extractall(folder)
        unpacked = Path(folder)
        check_agreement(platform, order, unpacked / MODEL, unpacked / CONFIG, unpacked / LIBRARY, job)
    job.report(ExportBuilt(**job.sender, package=job.artifacts.keep(package)))


def files_of(order: ExportOrder, platform: Platform) -> dict[str, bytes]:
    """What the package holds, by name.

    Raises:
        OtherProcessor, LibraryIsMissing, TooManyCodesToMark
    """
    library = native_library().read_bytes()
    version = order.version
    return {
        MODEL: model_file(native_model(version, platform, _described(order, platform))),
        LIBRARY: library,
        CONFIG: config_of(order, platform).encode(),
        HEADER: (FOLDER / HEADER).read_bytes(),
        **{name: (_TEXTS / name).read_bytes() for name in EXAMPLES},
        GUIDE: _filled(
            GUIDE,
            model=order.model_name,
            label=version.label,
            width=str(version.input.width),
            height=str(version.input.height),
            glibc=needed_glibc(library),
        ).encode(),
    }


def config_of(order: ExportOrder, platform: Platform) -> str:
    """The settings of the library with their explanations, and for people what the model is."""
    described = yaml.safe_dump(_described(order, platform), allow_unicode=True, sort_keys=False)
    return _filled(
        CONFIG,
        title=f"{order.model_name} {order.version.label}",
        example_code=platform.defect_codes[0],
        model="".join(f"  {line}\n" for line in described.splitlines()).rstrip(),
    )


def write_zip(target: Path, files: dict[str, bytes]) -> None:
    """Files in the given order, without time or owner. Weights hardly shrink, so nothing is compressed."""
    with zipfile.ZipFile(target, "w") as package:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.external_attr = 0o644 << 16
            package.writestr(entry, content)


def _platform(order: ExportOrder, job: Job) -> Platform:
    version = order.version
    classifier, classes = load_trained_weights(
        job.artifacts.path(version.weights), version.network, version.defect_codes
    )
    if version.segmentation is None:
        return Platform(classifier, None, classes, len(classes))
    segmentation, defect_codes = load_trained_weights(
        job.artifacts.path(version.segmentation.weights),
        version.segmentation.network,
        version.segmentation.defect_codes,
    )
    return Platform(classifier, segmentation, defect_codes, len(classes))


def _filled(name: str, **values: str) -> str:
    """A text of the package with its {places} filled in."""
    text = (_TEXTS / name).read_text(encoding="utf-8")
    for place, value in values.items():
        text = text.replace("{" + place + "}", value)
    return text


def _described(order: ExportOrder, platform: Platform) -> dict[str, Any]:
    version = order.version
    described = {
        "name": order.model_name,
        "version": version.label,
        "network": version.network,
        "input": _input(version.input),
        "classes": list(platform.defect_codes[: platform.class_count]),
        "special_codes": list(platform.defect_codes[platform.class_count :]),
        "resolution_rule": _plain(version.resolution_rule),
        "accuracy": order.accuracy,
        "recall": order.recall,
    }
    if version.segmentation is not None:
        described["segmentation"] = {
            "network": version.segmentation.network,
            "input": _input(version.segmentation.input),
            "special_code_min_pixels": version.segmentation.special_code_min_pixels,
            "iou": order.iou,
        }
    return described


def _input(network_input: NetworkInput) -> dict[str, Any]:
    return {
        "width": network_input.width,
        "height": network_input.height,
        "mean": list(network_input.mean),
        "deviation": list(network_input.deviation),
    }


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
