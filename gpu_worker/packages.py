"""Algorithm packages (I-6): a tar with `image.yaml` and optionally initial weights. Loading verifies everything and runs nothing.

`image.yaml` says, beside what `ModelPackage` holds, its format number and the size and SHA-256 of every other file:

    format: 1
    summary: …
    networks:
      - {task: classification, name: ResNet18, input: {width: 96, height: 96}, weights: weights/resnet18.safetensors}
    resolution_rule: {exact_sizes: [[128, 128]]}        # or min_width … max_height; left out: the most frequent size
    special_code_min_pixels: 1
    model_parameters: {…}                               # defaults, as people see them in the editors
    training_parameters: {…}
    prediction_parameters: {…}
    files:
      weights/resnet18.safetensors: {size: 44789012, sha256: …}
"""

import gzip
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, cast

import msgspec
import yaml
import zstandard
from msgspec import Meta

from domain.artifacts import Artifact
from domain.json_forms import write_json
from domain.messages import LoadingOrder, PackageLoaded
from domain.model_packages import ModelPackage, NetworkInput, NetworkTask, OfferedNetwork, ResolutionRule
from domain.refusals import Refusal
from domain.sentences import N_
from domain.training_parameters import read_model_parameters, read_prediction_parameters, read_training_parameters
from gpu_worker.jobs import Job
from gpu_worker.networks import LARGEST_INPUT, SMALLEST_INPUT, check_network, check_package_weights
from gpu_worker.package_archives import PackageArchive, opened_archive

VERIFYING = N_("Verifying the package")
FORMAT: Final = 1
DESCRIPTION: Final = "image.yaml"
MAXIMUM_DESCRIPTION_BYTES: Final = 1 << 20
_MAXIMUM_DEPTH: Final = 20

SHIPPED_NAME: Final = "resnet18@1.0"
SHIPPED: Final[Mapping[str, Any]] = {
    "format": FORMAT,
    "summary": "ResNet classifiers trained from nothing; the default parameters are those of the manual.",
    "networks": [
        {"task": "classification", "name": name, "input": {"width": 128, "height": 128}}
        for name in ("ResNet18", "ResNet34", "ResNet50")
    ],
    "model_parameters": {
        "classification": {"name": "ResNet18", "num_of_classes": 5},
        "code_list": ["TPFIP", "TTFBS", "TTMUD", "TGGS0", "TPOTS", "TSFAS", "TSDFS"],
    },
    "training_parameters": {
        "classification": {
            "base_lr": 0.001,
            "batch_size": 256,
            "max_iter": 40000,
            "weight_decay": 0.0001,
            "momentum": 0.9,
            "lr_policy": "poly",
            "power": 0.9,
            "gamma": 0.1,
        },
        "segmentation": {
            "base_lr": 0.01,
            "batch_size": 16,
            "max_iter": 100000,
            "weight_decay": 0.0001,
            "momentum": 0.9,
            "lr_policy": "poly",
            "power": 0.9,
            "gamma": 0.1,
        },
    },
    "prediction_parameters": {"batch_size": 32},
}
"""Source of the parameters: manual, “模型参数范例”, “默认参数范例”."""

_Side = Annotated[int, Meta(ge=SMALLEST_INPUT, le=LARGEST_INPUT)]
_Pixels = Annotated[int, Meta(ge=0, le=1_000_000)]
_Share = Annotated[float, Meta(ge=-10, le=10)]
_Deviation = Annotated[float, Meta(gt=0, le=10)]


class DescriptionIsMissing(Refusal):
    """Without it nobody knows what the files are."""

    message = N_("The archive has no image.yaml at its top level. Build the package with the platform's own command.")


class DescriptionIsTooLarge(Refusal):
    """A description is a page of text."""

    message = N_("image.yaml is larger than {limit_kib} KiB. Put weights into files of their own.")


class DescriptionIsMalformed(Refusal):
    """The text is not YAML, or uses what a description does not need."""

    message = N_("image.yaml cannot be read: {problem}. Correct it and build the package again.")


class FormatUnknown(Refusal):
    """A package of a newer platform."""

    message = N_("The package has format {found}; this platform reads format {known}. Build it for this platform.")


class NetworkOfferedTwice(Refusal):
    """A person chooses networks by name."""

    message = N_("image.yaml offers the network “{network}” twice for the same task. Remove one of them.")


class NoNetworkOffered(Refusal):
    """Every task classifies."""

    message = N_("image.yaml offers no classification network. Add one, for example ResNet18.")


class FileIsMissing(Refusal):
    """Named but not there."""

    message = N_("image.yaml names “{file}”, but the archive does not hold it. Build the package again.")


class FileIsNotNamed(Refusal):
    """There but not named: nobody has vouched for it."""

    message = N_("The archive holds “{file}”, which image.yaml does not name under “files”. Build the package again.")


class FileHasOtherSize(Refusal):
    """Not the file that was packed."""

    message = N_("“{file}” has {found} bytes instead of {named}. The package is damaged; build or upload it again.")


class FileHasOtherChecksum(Refusal):
    """Not the file that was packed."""

    message = N_(
        "“{file}” does not have the checksum that image.yaml names. The package is damaged; build or upload it again."
    )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    width: _Side
    height: _Side
    mean: tuple[_Share, _Share, _Share] = NetworkInput(width=1, height=1).mean
    deviation: tuple[_Deviation, _Deviation, _Deviation] = NetworkInput(width=1, height=1).deviation


class _Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    task: NetworkTask
    name: str
    input: _Input
    weights: str = ""


class _Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    exact_sizes: tuple[tuple[_Pixels, _Pixels], ...] = ()
    min_width: _Pixels = 0
    min_height: _Pixels = 0
    max_width: _Pixels = 0
    max_height: _Pixels = 0


class _Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    networks: tuple[_Network, ...]
    model_parameters: dict[str, Any]
    training_parameters: dict[str, Any]
    prediction_parameters: dict[str, Any] = {}
    resolution_rule: _Rule = _Rule()
    special_code_min_pixels: Annotated[int, Meta(ge=1)] = 1
    summary: Annotated[str, Meta(max_length=2000)] = ""
    files: dict[str, _File] = {}


def load_package(order: LoadingOrder, job: Job) -> None:
    """Verify an archive, copy it and its weights to shared storage, and report what it offers.

    Raises:
        Refusal: with what is wrong with the package.
        JobStopped
    """
    archive = job.archives.resolve(order.archive)
    total = archive.stat().st_size
    read = 0

    def on_bytes(count: int) -> None:
        nonlocal read
        read += count
        job.go_on(min(0.9, read / max(1, 2 * total)), VERIFYING)

    package = read_package(archive, job.workspace, job.artifacts.keep, on_bytes)
    copy = job.workspace / "archive"
    _copy(archive, copy, on_bytes)
    job.report(PackageLoaded(**job.sender, archive=job.artifacts.keep(copy), package=package))


def read_package(
    archive: Path, scratch: Path, keep: Callable[[Path], Artifact], on_bytes: Callable[[int], None] = lambda _: None
) -> ModelPackage:
    """Verify all of an archive; `keep` is given the weights, once they fit.

    Raises:
        Refusal: with what is wrong with the package.
    """
    with opened_archive(archive, scratch, on_bytes) as opened:
        description = _description(opened)
        named = set(description.files) | {DESCRIPTION}
        for name in sorted(named - set(opened.names)):
            raise FileIsMissing(file=name)
        for name in sorted(set(opened.names) - named):
            raise FileIsNotNamed(file=name)
        _checked_parts(description)
        weights = {}
        for name, file in description.files.items():
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                unpacked = Path(folder) / name.rpartition("/")[2]
                _unpack(opened, name, file, unpacked)
                for network in description.networks:
                    if network.weights == name:
                        check_package_weights(unpacked, network.name)
                weights[name] = keep(unpacked)
    return ModelPackage(
        networks=tuple(
            OfferedNetwork(
                task=network.task,
                name=network.name,
                input=NetworkInput(**msgspec.structs.asdict(network.input)),
                weights=weights[network.weights] if network.weights else None,
            )
            for network in description.networks
        ),
        resolution_rule=ResolutionRule(**msgspec.structs.asdict(description.resolution_rule)),
        special_code_min_pixels=description.special_code_min_pixels,
        summary=description.summary,
        **_checked_parts(description),
    )


def build_package(folder: Path, target: Path) -> Path:
    """Make a package of `folder/image.yaml` and the weights it names; equal content gives equal bytes.

    `target` ends in .tar, .tar.gz, .tgz or .tar.zst, or has no such suffix (tar). The result has been verified as loading would.

    Raises:
        Refusal: with what is wrong; nothing is left behind.
    """
    content = _yaml((folder / DESCRIPTION).read_bytes())
    if not isinstance(content, dict):
        raise DescriptionIsMalformed(problem="not a mapping")
    content.pop("files", None)
    files = {}
    for name in sorted({network.weights for network in _converted(content).networks if network.weights}):
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            raise FileIsMissing(file=name)
        files[name] = {"size": file.stat().st_size, "sha256": _sha256(file)}
    described = yaml.safe_dump({**content, "files": files}, allow_unicode=True, sort_keys=False).encode()
    building = target.with_name(f"{target.name}.building")
    try:
        _write_tar(building, target.name, described, {name: folder / name for name in files})
        read_package(building, building.parent, lambda file: Artifact(_sha256(file), file.stat().st_size))
        building.replace(target)
    finally:
        building.unlink(missing_ok=True)
    return target


def write_shipped_description(folder: Path) -> None:
    """Write the `image.yaml` of the package that comes with the platform; `build_package` makes the package of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).write_text(yaml.safe_dump(SHIPPED, allow_unicode=True, sort_keys=False), encoding="utf-8")


def _description(opened: PackageArchive) -> _Description:
    if DESCRIPTION not in opened.names:
        raise DescriptionIsMissing
    if opened.size(DESCRIPTION) > MAXIMUM_DESCRIPTION_BYTES:
        raise DescriptionIsTooLarge(limit_kib=MAXIMUM_DESCRIPTION_BYTES >> 10)
    content = _yaml(b"".join(opened.chunks(DESCRIPTION)))
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and found != FORMAT:
        raise FormatUnknown(found=found, known=FORMAT)
    description = _converted(content)
    _check_networks(description)
    return description


def _converted(content: Any) -> _Description:
    try:
        return msgspec.convert(content, _Description)
    except msgspec.ValidationError as error:
        raise DescriptionIsMalformed(problem=str(error)) from error


def _yaml(text: bytes) -> Any:
    """Plain YAML. Aliases are refused: a few lines of them can stand for more values than memory holds; deep nesting likewise."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise DescriptionIsMalformed(problem="aliases (*name) are not allowed")
            if depth > _MAXIMUM_DEPTH:
                raise DescriptionIsMalformed(problem=f"nested deeper than {_MAXIMUM_DEPTH} levels")
        return yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise DescriptionIsMalformed(problem=" ".join(str(error).split())) from error


def _check_networks(description: _Description) -> None:
    offered = [(network.task, network.name) for network in description.networks]
    for task, name in offered:
        check_network(task, name)
        if offered.count((task, name)) > 1:
            raise NetworkOfferedTwice(network=name)
    if NetworkTask.CLASSIFICATION not in (task for task, _ in offered):
        raise NoNetworkOffered
    for network in description.networks:
        if network.weights and network.weights not in description.files:
            raise FileIsMissing(file=network.weights)


def _checked_parts(description: _Description) -> Mapping[str, str]:
    """The default parameters as the editors will show them, each checked as if a person had written it."""
    names = [network.name for network in description.networks if network.task is NetworkTask.CLASSIFICATION]
    model = write_json(description.model_parameters)
    training = write_json(description.training_parameters)
    prediction = write_json(description.prediction_parameters)
    read_model_parameters(model, names)
    read_training_parameters(training)
    read_prediction_parameters(prediction)
    return {"model_parameters": model, "training_parameters": training, "prediction_parameters": prediction}


def _unpack(opened: PackageArchive, name: str, file: _File, target: Path) -> None:
    if opened.size(name) != file.size:
        raise FileHasOtherSize(file=name, found=opened.size(name), named=file.size)
    digest = hashlib.sha256()
    with target.open("wb") as written:
        for chunk in opened.chunks(name):
            digest.update(chunk)
            written.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise FileHasOtherChecksum(file=name)


def _copy(source: Path, target: Path, on_bytes: Callable[[int], None]) -> None:
    with source.open("rb") as opened, target.open("wb") as written:
        while chunk := opened.read(1 << 20):
            written.write(chunk)
            on_bytes(len(chunk))


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write_tar(building: Path, target_name: str, description: bytes, files: Mapping[str, Path]) -> None:
    with building.open("wb") as opened, _compressed(opened, target_name) as packed:  # noqa: SIM117 - the tar ends first
        with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(_entry(DESCRIPTION, len(description)), io.BytesIO(description))
            for name, file in files.items():
                with file.open("rb") as content:
                    tar.addfile(_entry(name, file.stat().st_size), content)


@contextmanager
def _compressed(opened: BinaryIO, target_name: str) -> Iterator[BinaryIO]:
    if target_name.endswith((".tar.gz", ".tgz")):
        with gzip.GzipFile(filename="", fileobj=opened, mode="wb", mtime=0) as packed:
            yield cast("BinaryIO", packed)
    elif target_name.endswith(".tar.zst"):
        with zstandard.ZstdCompressor().stream_writer(opened, closefd=False) as writer:
            yield cast("BinaryIO", writer)
    else:
        yield opened


def _entry(name: str, size: int) -> tarfile.TarInfo:
    """No owner, no time: equal content gives equal bytes."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o644
    return entry
