"""Algorithm packages (I-6): a tar with `image.yaml` and perhaps initial weights. Loading verifies all of it and runs nothing."""

import errno
import gzip
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec
import yaml
import zstandard

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import LoadingOrder, PackageLoaded
from domain.model_packages import ModelPackage, NetworkInput, OfferedNetwork, ResolutionRule
from domain.refusals import Refusal
from domain.sentences import N_, Sentence
from gpu_worker.jobs import Job
from gpu_worker.networks import WeightsUnreadable, check_package_weights
from gpu_worker.package_archives import PackageArchive, is_compressed, opened_archive
from gpu_worker.package_descriptions import (
    NOT_A_MAPPING,
    SHIPPED,
    Description,
    DescriptionIsMalformed,
    File,
    check_networks,
    check_resolution_rule,
    default_parameters,
    description_of,
    plain_yaml,
)
from gpu_worker.ports import FolderNotFound, Folders
from gpu_worker.regular_files import NoRegularFile, open_real_file

_IS_NOT_THERE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))
"""What opening says where a file has gone, or a link has taken the place of it or of a folder on the way."""
COPYING = N_("Copying the archive")
VERIFYING = N_("Verifying the package")
DESCRIPTION: Final = "image.yaml"
MAXIMUM_DESCRIPTION_BYTES: Final = 1 << 20
MAXIMUM_WEIGHTS_BYTES: Final = 2 << 30
"""Twenty times the largest network here."""
MAXIMUM_HEADER_BYTES: Final = 1 << 20
"""The header of the largest network has 40 KiB."""
TOO_LARGE = N_("it has more than {limit_gib} GiB")
HEADER_TOO_LARGE = N_("its header claims {count} bytes")


class DescriptionIsMissing(Refusal):
    """Without it nobody knows what the files are."""

    message = N_("The archive has no image.yaml at its top level. Build the package with the platform's own command.")


class DescriptionIsTooLarge(Refusal):
    """A description is a page of text."""

    message = N_("image.yaml is larger than {limit_kib} KiB. Put weights into files of their own.")


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


def load_package(order: LoadingOrder, job: Job) -> None:
    """Copy an archive, verify the copy, keep it with its weights on shared storage, and report what it offers.

    Raises:
        Refusal: with what is wrong with the package.
        JobStopped
    """
    copy = job.workspace / "archive"
    with _opened(order.archive, job.archives) as archive:
        size = os.fstat(archive.fileno()).st_size
        _copy(archive, copy, _Steps(job, COPYING, size, begin=0.0, end=0.4).on_bytes)
    size = copy.stat().st_size * (2 if is_compressed(copy) else 1)  # a compressed one is unpacked, then read
    package = read_package(
        copy, job.workspace, job.artifacts.keep, _Steps(job, VERIFYING, size, begin=0.4, end=0.9).on_bytes
    )
    job.report(PackageLoaded(**job.sender, archive=job.artifacts.keep(copy), package=package))


class _Steps:
    """Tells how far a part of the loading is, from the bytes of about `size` that it has seen."""

    def __init__(self, job: Job, activity: str, size: int, *, begin: float, end: float) -> None:
        self._job, self._activity, self._size, self._begin, self._end = job, activity, size, begin, end
        self._seen = 0

    def on_bytes(self, count: int) -> None:
        """So many more.

        Raises:
            JobStopped
        """
        self._seen += count
        done = min(1.0, self._seen / max(1, self._size))
        self._job.go_on(self._begin + (self._end - self._begin) * done, self._activity)


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
        default_parameters(description)
        weights = {}
        for name, file in description.files.items():
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                unpacked = Path(folder) / name.rpartition("/")[2]
                _unpack(opened, name, file, unpacked)
                users = [network.name for network in description.networks if network.weights == name]
                for network in users:
                    _check_header(unpacked)
                    check_package_weights(unpacked, network)
                if users:  # what else a package holds, a licence for example, stays in its archive
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
        **default_parameters(description),
    )


def build_package(folder: Path, target: Path) -> Path:
    """Make a package of `folder/image.yaml` and the weights it names; equal content gives equal bytes.

    `target` ends in .tar, .tar.gz, .tgz or .tar.zst, or has no such suffix (tar). The result has been verified as loading would.

    Raises:
        Refusal: with what is wrong; nothing is left behind.
    """
    content = plain_yaml((folder / DESCRIPTION).read_bytes())
    if not isinstance(content, dict):
        raise DescriptionIsMalformed(problem=Sentence(NOT_A_MAPPING))
    content.pop("files", None)
    files = {}
    for name in sorted({network.weights for network in description_of(content).networks if network.weights}):
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


def build_shipped_package(target: Path) -> Path:
    """Make the shipped ResNet18 package."""
    with tempfile.TemporaryDirectory() as folder:
        write_shipped_description(Path(folder))
        return build_package(Path(folder), target)


def write_shipped_description(folder: Path) -> None:
    """Write the `image.yaml` of the package that comes with the platform; `build_package` makes the package of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).write_text(yaml.safe_dump(SHIPPED, allow_unicode=True, sort_keys=False), encoding="utf-8")


def _description(opened: PackageArchive) -> Description:
    if DESCRIPTION not in opened.names:
        raise DescriptionIsMissing
    if opened.size(DESCRIPTION) > MAXIMUM_DESCRIPTION_BYTES:
        raise DescriptionIsTooLarge(limit_kib=MAXIMUM_DESCRIPTION_BYTES >> 10)
    description = description_of(plain_yaml(b"".join(opened.chunks(DESCRIPTION))))
    check_networks(description)
    check_resolution_rule(description.resolution_rule)
    for network in description.networks:
        if network.weights and network.weights not in description.files:
            raise FileIsMissing(file=network.weights)
    return description


def _unpack(opened: PackageArchive, name: str, file: File, target: Path) -> None:
    if opened.size(name) != file.size:
        raise FileHasOtherSize(file=name, found=opened.size(name), named=file.size)
    digest = hashlib.sha256()
    with target.open("wb") as written:
        for chunk in opened.chunks(name):
            digest.update(chunk)
            written.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise FileHasOtherChecksum(file=name)


def _check_header(weights: Path) -> None:
    """Before anything is read into memory: files and headers are no larger than any network's."""
    with weights.open("rb") as opened:
        header_bytes = int.from_bytes(opened.read(8), "little")
    if weights.stat().st_size > MAXIMUM_WEIGHTS_BYTES:
        raise WeightsUnreadable(
            file=weights.name, problem=Sentence(TOO_LARGE, {"limit_gib": MAXIMUM_WEIGHTS_BYTES >> 30})
        )
    if header_bytes > MAXIMUM_HEADER_BYTES:
        raise WeightsUnreadable(file=weights.name, problem=Sentence(HEADER_TOO_LARGE, {"count": header_bytes}))


def _opened(archive: FolderName, archives: Folders) -> BinaryIO:
    """Others may write where archives lie: what is not the file any more that was found there is gone.

    Raises:
        FolderNotFound
        OSError: it is there, and cannot be read.
    """
    path = archives.resolve(archive)
    try:
        return open_real_file(path)
    except OSError as error:
        if isinstance(error, NoRegularFile) or error.errno in _IS_NOT_THERE:
            raise FolderNotFound(folder=str(archive)) from error
        raise


def _copy(source: BinaryIO, target: Path, on_bytes: Callable[[int], None]) -> None:
    with target.open("wb") as written:
        while chunk := source.read(1 << 20):
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
