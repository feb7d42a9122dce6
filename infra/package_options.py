"""`assay package`: from options, a folder or nothing to a package; and what a package says of itself after it was verified.

The options themselves stand in `infra.package_verb`, because this module loads torch.
"""

import argparse
import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from domain.artifacts import Artifact
from domain.model_images import archive_name
from domain.model_packages import NetworkTask
from domain.refusals import Refusal
from gpu_worker.networks import KNOWN_NETWORKS
from gpu_worker.package_descriptions import FORMAT, SHIPPED, SHIPPED_NAME
from gpu_worker.packages import DESCRIPTION, build_package, build_shipped_package, read_package

_DESCRIBING: Final = (
    "network",
    "input",
    "mean",
    "deviation",
    "codes",
    "classes",
    "images",
    "special_code_min_pixels",
    "training_parameters",
    "prediction_parameters",
    "summary",
)
"""The options that say what image.yaml would."""
_SIZE: Final = re.compile(r"([0-9]+)[x×]([0-9]+)")
_RANGE: Final = re.compile(r"([0-9]+)[x×]([0-9]+)-([0-9]+)[x×]([0-9]+)")


class WrongOption(ValueError):
    """An option that cannot be used; the sentence names it and says what belongs there."""


def run(asked: argparse.Namespace, archives: Path) -> list[str]:
    """Build or verify; returns what to print.

    Raises:
        WrongOption, Refusal, OSError
    """
    if asked.verify is not None:
        return verify(asked.verify)
    wanted = asked.target or archives / f"{SHIPPED_NAME}.tar"
    _name_of(wanted)
    if not wanted.parent.is_dir():
        raise WrongOption(f"There is no folder {wanted.parent}. Make it, or name another target.")
    describing = [f"--{name.replace('_', '-')}" for name in _DESCRIBING if getattr(asked, name) is not None]
    if asked.folder:
        if describing:
            raise WrongOption(f"{describing[0]} describes a package without a folder. Leave one of the two out.")
        return [str(build_package(asked.folder, wanted))]
    if asked.network:
        return [str(_build_from_options(asked, wanted))]
    if describing:
        raise WrongOption(
            f"{describing[0]} describes a package of your own. Name its networks, too, for example --network ResNet18."
        )
    return [str(build_shipped_package(wanted))]


def _name_of(file: Path) -> tuple[str, str]:
    try:
        return archive_name(file.name)
    except Refusal as refusal:
        raise WrongOption(
            f"{file.name}: {refusal}. Write <name>@<version>, for example panel-aoi@7.tar.zst, with a-z, A-Z, 0-9, ., _ and -"
            " in both."
        ) from refusal


def verify(file: Path) -> list[str]:
    """What a package says of itself, when all of it is right; nothing is kept and nothing is run.

    Raises:
        Refusal, OSError
    """
    name, version = _name_of(file)
    with tempfile.TemporaryDirectory(prefix="assay-verify-") as scratch:
        package = read_package(file, Path(scratch), _identity)
    lines = [f"{name} {version}: the package is right", *([package.summary] if package.summary else [])]
    for network in package.networks:
        size = f"{network.input.width}x{network.input.height}"
        weights = (
            f"weights {network.weights.checksum} ({network.weights.size} bytes)" if network.weights else "no weights"
        )
        lines.append(f"  {network.task.value}: {network.name}, input {size}, {weights}")
    archive = _identity(file)
    return [*lines, f"  sha256 {archive.checksum}, {archive.size} bytes"]


def description_of_options(asked: argparse.Namespace) -> tuple[dict[str, Any], Mapping[str, Path]]:
    """The content of `image.yaml`, and the weights to lie beside it by the names it gives them.

    Raises:
        WrongOption
    """
    weights: dict[str, Path] = {}
    networks = []
    for option in asked.network:
        name, _, file = option.partition("=")
        network: dict[str, Any] = {"task": _task_of(name).value, "name": name, "input": _input(asked)}
        if file:
            network["weights"] = f"weights/{name}.safetensors"
            weights[network["weights"]] = Path(file)
        networks.append(network)
    model = dict(SHIPPED["model_parameters"])
    codes = asked.codes.split(",") if asked.codes else list(model["code_list"])
    classes = asked.classes or (len(codes) if asked.codes else model["classification"]["num_of_classes"])
    offered = [network["name"] for network in networks if network["task"] == NetworkTask.CLASSIFICATION.value]
    first = offered[0] if offered else networks[0]["name"]
    content = {
        "format": FORMAT,
        "summary": asked.summary or "",
        "networks": networks,
        "model_parameters": {**model, "classification": {"name": first, "num_of_classes": classes}, "code_list": codes},
        "training_parameters": _json(asked.training_parameters, SHIPPED["training_parameters"]),
        "prediction_parameters": _json(asked.prediction_parameters, SHIPPED["prediction_parameters"]),
        **({"resolution_rule": _rule(asked.images)} if asked.images else {}),
    }
    if asked.special_code_min_pixels is not None:
        content["special_code_min_pixels"] = asked.special_code_min_pixels
    return content, weights


def _build_from_options(asked: argparse.Namespace, wanted: Path) -> Path:
    content, weights = description_of_options(asked)
    with tempfile.TemporaryDirectory(prefix="assay-package-") as folder:
        for name, file in weights.items():
            place = Path(folder) / name
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(file.read_bytes())
        # Through JSON: parts that are shared in memory would be written as aliases, which no package may have.
        plain = msgspec.json.decode(msgspec.json.encode(content))
        (Path(folder) / DESCRIPTION).write_text(
            yaml.safe_dump(plain, allow_unicode=True, sort_keys=False), encoding="utf-8"
        )
        return build_package(Path(folder), wanted)


def _task_of(name: str) -> NetworkTask:
    found = next((task for task, known in KNOWN_NETWORKS.items() if name in known), None)
    if found is None:
        known = ", ".join(name for names in KNOWN_NETWORKS.values() for name in names)
        raise WrongOption(f"--network {name} is not known. This platform knows: {known}.")
    return found


def _input(asked: argparse.Namespace) -> dict[str, Any]:
    size = _SIZE.fullmatch(asked.input or "128x128")
    if size is None:
        raise WrongOption(f"--input {asked.input} is no size. Write for example 128x128.")
    channels = {name: getattr(asked, name) for name in ("mean", "deviation") if getattr(asked, name)}
    return {
        "width": int(size[1]),
        "height": int(size[2]),
        **{name: _triple(name, text) for name, text in channels.items()},
    }


def _triple(name: str, text: str) -> list[float]:
    try:
        red, green, blue = map(float, text.split(","))
    except ValueError:
        raise WrongOption(f"--{name} {text} are not three numbers. Write for example 0.485,0.456,0.406.") from None
    return [red, green, blue]


def _rule(sizes: list[str]) -> dict[str, Any]:
    if len(sizes) == 1 and (bounds := _RANGE.fullmatch(sizes[0])):
        names = ("min_width", "min_height", "max_width", "max_height")
        return dict(zip(names, map(int, bounds.groups()), strict=True))
    exact = [_SIZE.fullmatch(size) for size in sizes]
    if None in exact:
        raise WrongOption(
            f"--images {' '.join(sizes)}: write sizes such as 224x224, or one range such as 100x100-400x300."
        )
    return {"exact_sizes": [[int(size[1]), int(size[2])] for size in exact if size]}


def _json(file: Path | None, default: Any) -> Any:
    if file is None:
        return default
    try:
        return msgspec.json.decode(file.read_bytes())
    except msgspec.DecodeError as error:
        raise WrongOption(f"{file} is not JSON ({error}). Correct it.") from error


def _identity(file: Path) -> Artifact:
    with file.open("rb") as opened:
        return Artifact(hashlib.file_digest(opened, "sha256").hexdigest(), file.stat().st_size)
