"""Packages: what loads, what is refused and in which words (I-6)."""

import gzip
import hashlib
import io
import itertools
import json
import pickle
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
import zstandard
from safetensors.torch import load, save_file

from domain.artifacts import Artifact
from domain.data_paths import FolderName
from domain.messages import JobKind, LoadingOrder, PackageLoaded
from domain.model_packages import NetworkInput, NetworkTask, ResolutionRule
from domain.refusals import Refusal
from domain.training_parameters import read_model_parameters, read_prediction_parameters, read_training_parameters
from gpu_worker import package_archives, packages
from gpu_worker.jobs import Progress
from gpu_worker.networks import (
    KNOWN_NETWORKS,
    NetworkUnknown,
    TensorHasOtherShape,
    TensorMissing,
    TensorUnknown,
    WeightsNotFinite,
    WeightsUnreadable,
    new_network,
    save_weights,
)
from gpu_worker.package_archives import (
    ArchiveHasTooManyEntries,
    ArchiveIsBroken,
    ArchiveIsNotATar,
    ArchiveUnpacksTooLarge,
    EntryIsNoFile,
    EntryLeavesThePackage,
    EntryNameIsWrong,
    EntryStandsTwice,
)
from gpu_worker.package_descriptions import (
    SHIPPED,
    DescriptionIsMalformed,
    FormatUnknown,
    InputSideIsUneven,
    NetworkOfferedTwice,
    NoNetworkOffered,
    ResolutionRangeIsWrong,
    ResolutionRuleIsTwofold,
)
from gpu_worker.packages import (
    DescriptionIsMissing,
    DescriptionIsTooLarge,
    FileHasOtherChecksum,
    FileHasOtherSize,
    FileIsMissing,
    FileIsNotNamed,
    build_package,
    load_package,
    read_package,
    write_shipped_description,
)
from tests.conftest import CHECKOUT
from tests.gpu_worker.workplace import ROOT, Workplace
from web.i18n import translate


def read(archive: Path) -> Any:
    scratch = archive.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    kept: list[Artifact] = []

    def keep(file: Path) -> Artifact:
        kept.append(Artifact(hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size))
        return kept[-1]

    try:
        return read_package(archive, scratch, keep)
    finally:
        assert not list(scratch.iterdir()), "nothing is left behind"


UNEVEN = {"task": "segmentation", "name": "UNet-ResNet18", "input": {"width": 200, "height": 256}}


def deepcopied(content: Any) -> Any:
    """Without shared parts, which YAML would write as aliases."""
    return json.loads(json.dumps(content))


def a_description(**changes: Any) -> bytes:
    return yaml.safe_dump(deepcopied({**SHIPPED, **changes}), allow_unicode=True).encode()


def packed(
    file: Path, entries: Mapping[str, bytes] | None = None, *, add: Callable[[tarfile.TarFile], None] | None = None
) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, content in (entries if entries is not None else {"image.yaml": a_description()}).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        if add is not None:
            add(tar)
    return file


# I-6
def test_a_package_says_how_its_networks_want_their_images(tmp_path: Path) -> None:
    """Standardised as the package's weights know it; another mean would only make the model worse, and nobody would see why."""
    size = {"width": 96, "height": 64}
    as_said = {"mean": [0.2, 0.3, 0.5], "deviation": [0.5, 0.4, 0.3]}
    networks = [
        {"task": "classification", "name": "ResNet18", "input": {**size, **as_said}},
        {"task": "classification", "name": "ResNet34", "input": size},
    ]
    package = read(packed(tmp_path / "a.tar", {"image.yaml": a_description(networks=networks)}))
    assert [network.input for network in package.networks] == [
        NetworkInput(width=96, height=64, mean=(0.2, 0.3, 0.5), deviation=(0.5, 0.4, 0.3)),
        NetworkInput(width=96, height=64, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)),
    ]


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    write_shipped_description(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("weights") / "w"
    save_weights(new_network("ResNet18", 5, seed=1).state_dict(), file, "ResNet18", tuple("ABCDE"))
    return file.read_bytes()


@pytest.mark.parametrize(
    "name", ["resnet18@1.0", "resnet18@1.0.tar", "resnet18@1.0.tar.gz", "resnet18@1.0.tgz", "resnet18@1.0.tar.zst"]
)
def test_the_shipped_package_loads_in_every_format_and_carries_the_manuals_parameters(
    shipped: Path, tmp_path: Path, name: str
) -> None:
    archive = build_package(shipped, tmp_path / name)
    package = read(archive.rename(tmp_path / "upload"))  # I-3: the content tells the format
    networks = [network.name for network in package.networks_for(NetworkTask.CLASSIFICATION)]
    assert networks == ["ResNet18", "ResNet34", "ResNet50"]
    assert package.resolution_rule.is_empty
    model = read_model_parameters(package.model_parameters, networks)
    assert (model.classification.name, model.classification.num_of_classes) == ("ResNet18", 5)
    assert model.special_defect_codes == ("TSFAS", "TSDFS")
    training = read_training_parameters(package.training_parameters)
    sgd, of_segmentation = training.classification, training.segmentation
    assert (sgd.base_lr, sgd.batch_size, sgd.max_iter) == (0.001, 256, 40000)  # W-6
    assert of_segmentation is not None
    assert (of_segmentation.base_lr, of_segmentation.batch_size, of_segmentation.max_iter) == (0.01, 16, 100000)
    (segmentation,) = package.networks_for(NetworkTask.SEGMENTATION)
    assert (segmentation.name, segmentation.input.width, package.special_code_min_pixels) == ("UNet-ResNet18", 256, 16)
    assert read_prediction_parameters(package.prediction_parameters).batch_size == 32


@pytest.mark.parametrize("name", ["p.tar", "p.tar.gz", "p.tar.zst"])
def test_equal_content_gives_equal_bytes(shipped: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "later").mkdir()
    one = build_package(shipped, tmp_path / name).read_bytes()
    assert build_package(shipped, tmp_path / "later" / name).read_bytes() == one


def test_initial_weights_are_verified_and_kept(shipped: Path, tmp_path: Path, weights: bytes) -> None:
    (shipped / "weights").mkdir()
    (shipped / "weights" / "r.safetensors").write_bytes(weights)
    network = {**SHIPPED["networks"][0], "weights": "weights/r.safetensors"}
    rule = {"min_width": 100, "min_height": 100, "max_width": 200, "max_height": 300}
    (shipped / "image.yaml").write_bytes(a_description(networks=[network], resolution_rule=rule))
    package = read(build_package(shipped, tmp_path / "p.tar"))
    assert package.networks[0].weights == Artifact(hashlib.sha256(weights).hexdigest(), len(weights))
    assert package.resolution_rule == ResolutionRule(min_width=100, min_height=100, max_width=200, max_height=300)


def test_loading_reports_the_archive_and_what_it_offers(shipped: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    place.images.mkdir()
    archive = build_package(shipped, place.images / "resnet18@1.0.tar.gz")
    content = archive.read_bytes()
    order = LoadingOrder(archive=FolderName(ROOT, archive.name), name="resnet18", archive_version="1.0")
    load_package(order, place.job(JobKind.LOADING))
    report = place.the(PackageLoaded)
    assert place.content(report.archive) == content
    assert archive.read_bytes() == content  # the upload stays where it is
    assert report.package.network(NetworkTask.CLASSIFICATION, "ResNet18") is not None


@pytest.mark.parametrize("name", ["panel-aoi@7.tar", "panel-aoi@7.tar.zst"])
def test_loading_tells_how_far_it_is_all_the_way(tmp_path: Path, weights: bytes, name: str) -> None:  # I-2
    place = Workplace(tmp_path)
    place.images.mkdir()
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "w").write_bytes(weights)
    networks = [{**SHIPPED["networks"][0], "weights": "w"}]
    (tmp_path / "source" / "image.yaml").write_bytes(a_description(networks=networks))
    build_package(tmp_path / "source", place.images / name)
    order = LoadingOrder(archive=FolderName(ROOT, name), name="panel-aoi", archive_version="7")
    load_package(order, place.job(JobKind.LOADING))
    shares = [progress.share for progress in place.told]
    assert shares == sorted(shares)
    assert len(set(shares)) > 40, "about every mebibyte of 43, read and copied"
    assert (shares[0] < 0.05, 0.85 < shares[-1] <= 0.9) == (True, True)
    assert [activity for activity, _ in itertools.groupby(progress.activity for progress in place.told)] == [
        "Copying the archive",
        "Verifying the package",
    ]


def test_what_is_kept_is_the_copy_that_was_verified(tmp_path: Path, shipped: Path) -> None:
    place = Workplace(tmp_path)
    place.images.mkdir()
    archive = build_package(shipped, place.images / "resnet18@1.0.tar")
    content = archive.read_bytes()
    order = LoadingOrder(archive=FolderName(ROOT, archive.name), name="resnet18", archive_version="1.0")
    job = place.job(JobKind.LOADING)

    def swap(progress: Progress) -> None:
        if progress.activity == packages.VERIFYING:
            archive.write_bytes(b"another file by now")

    load_package(order, replace(job, tell=swap))
    assert place.content(place.the(PackageLoaded).archive) == content


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member)

    return add


def a_sparse_file(tar: tarfile.TarFile) -> None:
    member = tarfile.TarInfo("weights/sparse")
    member.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": "999999999999", "GNU.sparse.map": "0,1"}
    tar.addfile(member)


@pytest.mark.parametrize(
    ("add", "refusal", "words"),
    [
        (entry("/etc/cron.d/x"), EntryLeavesThePackage, "“/etc/cron.d/x”"),
        (entry("../../outside"), EntryLeavesThePackage, "without “..”"),
        (entry("weights/../../outside"), EntryLeavesThePackage, "points outside"),
        (entry("w", tarfile.SYMTYPE, "/etc/passwd"), EntryIsNoFile, "“w” in the archive is a link"),
        (entry("w", tarfile.LNKTYPE, "image.yaml"), EntryIsNoFile, "link or a special file"),
        (entry("w", tarfile.CHRTYPE), EntryIsNoFile, "special file"),
        (entry("w", tarfile.BLKTYPE), EntryIsNoFile, "special file"),
        (entry("w", tarfile.FIFOTYPE), EntryIsNoFile, "special file"),
        (entry("w", tarfile.GNUTYPE_SPARSE), EntryIsNoFile, "special file"),
        (a_sparse_file, EntryIsNoFile, "special file"),
        (entry("image.yaml"), EntryStandsTwice, "“image.yaml” stands twice"),
        (entry("./image.yaml"), EntryStandsTwice, "stands twice"),
        (entry("IMAGE.YAML"), EntryStandsTwice, "stands twice"),
        (entry("C:\\windows"), EntryNameIsWrong, "not a usable file name"),
        (entry("a\nb"), EntryNameIsWrong, r"“a\\nb”"),
        (entry("a" * 201), EntryNameIsWrong, "not a usable file name"),
        (entry("ＩＭＡＧＥ.yaml"), EntryStandsTwice, "stands twice"),
        (entry("weights//../..//etc/x"), EntryLeavesThePackage, "points outside"),
        (entry("w", tarfile.CONTTYPE), EntryIsNoFile, "special file"),
        (entry("extra.txt"), FileIsNotNamed, "“extra.txt”, which image.yaml does not name"),
    ],
)
def test_hostile_entries_are_refused_by_name(
    tmp_path: Path, add: Callable[[tarfile.TarFile], None], refusal: type[Refusal], words: str
) -> None:
    with pytest.raises(refusal, match=words):
        read(packed(tmp_path / "p.tar", add=add))


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", ArchiveIsNotATar),
        (b"PK\x03\x04" + bytes(1000), ArchiveIsNotATar),
        (bytes(10240), ArchiveIsNotATar),
        (b"\x1f\x8b" + bytes(100), ArchiveIsBroken),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, ArchiveIsBroken),
        (gzip.compress(b"no tar inside" * 100), ArchiveIsNotATar),
    ],
)
def test_other_files_are_no_packages(tmp_path: Path, content: bytes, refusal: type[Refusal]) -> None:
    (tmp_path / "p.tar").write_bytes(content)
    with pytest.raises(refusal):
        read(tmp_path / "p.tar")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x1f\x8b" + bytes(100), "其压缩内容无法解压"),
        (gzip.compress(b"x" * 9000)[:40], "内容不完整"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, "其压缩内容无法解压"),
    ],
)
def test_what_is_wrong_with_an_archive_is_told_in_the_readers_language(
    tmp_path: Path, content: bytes, told: str
) -> None:  # S-4
    (tmp_path / "p.tar").write_bytes(content)
    with pytest.raises(ArchiveIsBroken) as refused:
        read(tmp_path / "p.tar")
    assert told in translate(refused.value.sentence, "zh")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["tar", "gzip", "zstd"])
def test_an_archive_that_broke_off_anywhere_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    whole = pack(packed(tmp_path / "whole.tar").read_bytes())
    broken = tmp_path / "broken"
    padded = -(-len(a_description()) // 512) * 512
    last = (
        512 + padded + 1024 if pack is bytes else len(whole)
    )  # behind the two blocks of its end a tar is only filled up
    for length in {*range(0, last, 97), *range(0, last, 512), last - 1}:
        broken.write_bytes(whole[:length])
        with pytest.raises((ArchiveIsBroken, ArchiveIsNotATar, DescriptionIsMissing)):
            read(broken)
    broken.write_bytes(whole)
    assert read(broken).networks


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["tar", "gzip", "zstd"])
def test_nothing_hides_behind_the_end_of_an_archive(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    whole = packed(tmp_path / "whole.tar").read_bytes()
    for content in (pack(whole + b"#!/bin/sh"), pack(whole + bytes(2 << 20)), pack(whole) + b"#!/bin/sh\nrm -rf /"):
        (tmp_path / "p").write_bytes(content)
        with pytest.raises(ArchiveIsBroken, match="again"):
            read(tmp_path / "p")


def test_an_archive_inside_an_archive_is_not_opened(tmp_path: Path) -> None:
    whole = packed(tmp_path / "whole.tar").read_bytes()
    for content in (gzip.compress(gzip.compress(whole)), zstandard.compress(gzip.compress(whole))):
        (tmp_path / "p").write_bytes(content)
        with pytest.raises(ArchiveIsNotATar):
            read(tmp_path / "p")
    inner = {"image.yaml": a_description(), "inner.tar": whole}
    with pytest.raises(FileIsNotNamed, match=r"“inner\.tar”"):
        read(packed(tmp_path / "p", inner))


def test_a_frame_that_wants_a_gigabyte_of_memory_is_refused(tmp_path: Path) -> None:
    window_of_2_gib = b"\x28\xb5\x2f\xfd" + bytes([0x00, (31 - 10) << 3]) + b"\x01\x00\x00"
    (tmp_path / "p").write_bytes(window_of_2_gib)
    with pytest.raises(ArchiveIsBroken):
        read(tmp_path / "p")


def test_folders_count_as_entries(tmp_path: Path) -> None:
    def many(tar: tarfile.TarFile) -> None:
        for number in range(1001):
            entry(f"folder-{number}", tarfile.DIRTYPE)(tar)

    with pytest.raises(ArchiveHasTooManyEntries):
        read(packed(tmp_path / "p.tar", add=many))


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst"])
def test_a_truncated_archive_is_refused(shipped: Path, tmp_path: Path, weights: bytes, suffix: str) -> None:
    (shipped / "r.safetensors").write_bytes(weights)
    network = {**SHIPPED["networks"][0], "weights": "r.safetensors"}
    (shipped / "image.yaml").write_bytes(a_description(networks=[network]))
    archive = build_package(shipped, tmp_path / f"p{suffix}")
    content = archive.read_bytes()
    for share in (0.001, 0.3, 0.9):
        archive.write_bytes(content[: int(len(content) * share)])
        with pytest.raises((ArchiveIsBroken, ArchiveIsNotATar, FileIsMissing), match="again"):
            read(archive)


def test_a_bomb_is_refused_by_what_it_unpacks_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_archives, "MAXIMUM_UNPACKED_BYTES", 4 << 20)
    content = packed(tmp_path / "p.tar", {"image.yaml": a_description(), "zeros": bytes(8 << 20)}).read_bytes()
    for name, bomb in (("gz", gzip.compress(content)), ("zst", zstandard.compress(content)), ("tar", content)):
        (tmp_path / name).write_bytes(bomb)
        with pytest.raises(ArchiveUnpacksTooLarge):
            read(tmp_path / name)
    assert len(gzip.compress(content)) < 20_000


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveHasTooManyEntries):
        read(packed(tmp_path / "p.tar", {f"f{number}": b"" for number in range(1001)}))


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 7 << 30
    (tmp_path / "p.tar").write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + bytes(10240))
    with pytest.raises(ArchiveIsBroken, match="claims to be larger"):
        read(tmp_path / "p.tar")


def test_a_negative_size_does_not_make_the_reader_walk_in_circles(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("w").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + (-1024).to_bytes(2, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "p.tar").write_bytes(bytes(header) + bytes(10240))
    with pytest.raises(ArchiveIsBroken):
        read(tmp_path / "p.tar")


def aliases_of_aliases() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 12)]
    return "\n".join(lines).encode()


def with_rule(**rule: Any) -> bytes:
    return a_description(resolution_rule=rule)


def with_input(**changes: Any) -> bytes:
    network = {**SHIPPED["networks"][0], "input": {"width": 64, "height": 64, **changes}}
    return yaml.safe_dump({**deepcopied(SHIPPED), "networks": [network]}, allow_unicode=True).encode()


@pytest.mark.parametrize(
    ("description", "refusal", "words"),
    [
        (b"networks: [", DescriptionIsMalformed, "line 1, column 12 is not YAML. Correct it"),
        (a_description() + b"format: 1\n", DescriptionIsMalformed, "“format” stands twice"),
        (b"format: 1\nnetworks: [{task: classification, task: segmentation}]", DescriptionIsMalformed, "“task” stands twice"),
        (b"format: " + b"9" * 5000, DescriptionIsMalformed, "a value in it cannot be understood"),
        (b"? [a, b]\n: 1", DescriptionIsMalformed, "Correct it"),
        (a_description(networks="ResNet18"), DescriptionIsMalformed, "“networks” must be array, not str"),
        (a_description(summary=1), DescriptionIsMalformed, "str"),
        (a_description(files={"w": {"size": -1, "sha256": "0" * 64}}), DescriptionIsMalformed, ">= 0"),
        (a_description(files={"w": {"size": 1, "sha256": "../../etc"}}), DescriptionIsMalformed, "must fit the regular expression"),
        (with_input(mean=[float("nan"), 0.0, 0.0]), DescriptionIsMalformed, ">= -10"),
        (with_input(deviation=[0.2, 0.2, float("inf")]), DescriptionIsMalformed, "<= 10"),
        (with_input(deviation=[0.0, 0.2, 0.2]), DescriptionIsMalformed, "> 0"),
        (with_input(mean=[0.5]), DescriptionIsMalformed, "array of length 3"),
        (with_input(width=1 << 20), DescriptionIsMalformed, "<= 4096"),
        (b"\xff\xfe\x00x", DescriptionIsMalformed, "must be object"),
        (b"summary: \xff\xfa", DescriptionIsMalformed, "not a text in UTF-8"),
        (b"just text", DescriptionIsMalformed, "“image.yaml” must be object, not str"),
        (b"a: !!python/object/apply:os.system ['touch /tmp/owned']", DescriptionIsMalformed, "tags"),
        (aliases_of_aliases(), DescriptionIsMalformed, "aliases"),
        (b"[" * 5000, DescriptionIsMalformed, "nested deeper than 20 levels"),
        (b"x: " + b"y" * (1 << 20), DescriptionIsTooLarge, "1024 KiB"),
        (a_description(format=2), FormatUnknown, "format 2; this platform reads format 1"),
        (a_description(networks=[]), NoNetworkOffered, "ResNet18"),
        (a_description(networks=SHIPPED["networks"][-1:]), NoNetworkOffered, "ResNet18"),
        (a_description(networks=[*SHIPPED["networks"][:3], UNEVEN]), InputSideIsUneven, "Use 224 × 256"),
        (a_description(surprise=1), DescriptionIsMalformed, "“surprise” at “image.yaml” means nothing here"),
        (with_rule(exact_sizes=[[0, 128]]), DescriptionIsMalformed, ">= 1"),
        (with_rule(exact_sizes=[[128]]), DescriptionIsMalformed, "length 2"),
        (with_rule(exact_sizes=[[128, 128]], max_width=200, max_height=200), ResolutionRuleIsTwofold, "Keep one"),
        (with_rule(min_width=100, min_height=100), ResolutionRangeIsWrong, "100 to 0 wide"),
        (with_rule(max_width=100), ResolutionRangeIsWrong, "0 to 0 high"),
        (with_rule(min_width=201, max_width=200, max_height=9), ResolutionRangeIsWrong, "201 to 200"),
        (with_rule(max_width=200, min_height=9, max_height=8), ResolutionRangeIsWrong, "9 to 8 high"),
        (a_description(networks=SHIPPED["networks"] * 2), NetworkOfferedTwice, "“ResNet18” twice"),
        (a_description(networks=[{**SHIPPED["networks"][0], "name": "VGG16"}]), NetworkUnknown, "VGG16"),
        (a_description(networks=[{**SHIPPED["networks"][0], "input": {"width": 8, "height": 8}}]), DescriptionIsMalformed, ">= 32"),
        (a_description(networks=[{**SHIPPED["networks"][0], "weights": "w"}]), FileIsMissing, "“w”"),
        (a_description(files={"w": {"size": 1, "sha256": "0" * 64}}), FileIsMissing, "“w”"),
        (a_description(training_parameters={"classification": {"base_lr": -1}}), Refusal, "base_lr"),
        (a_description(model_parameters={"classification": {"name": "X", "num_of_classes": 2}, "code_list": ["A", "B"]}),
         Refusal, "“X”"),
        (a_description(prediction_parameters={"batch_size": "many"}), Refusal, "batch_size"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_refused_with_what_is_wrong(
    tmp_path: Path, description: bytes, refusal: type[Refusal], words: str
) -> None:
    with pytest.raises(refusal, match=words):
        read(packed(tmp_path / "p.tar", {"image.yaml": description}))


@pytest.mark.parametrize(
    ("rule", "is_empty"),
    [
        ({}, True),
        ({"exact_sizes": [[1280, 960], [640, 480]]}, False),
        ({"max_width": 200, "max_height": 100}, False),
        ({"min_width": 200, "max_width": 200, "min_height": 9, "max_height": 9}, False),
    ],
)
def test_a_resolution_rule_is_sizes_or_a_range_or_left_to_the_images(  # W-10
    tmp_path: Path, rule: dict[str, Any], is_empty: bool
) -> None:
    package = read(packed(tmp_path / "p.tar", {"image.yaml": with_rule(**rule)}))
    assert package.resolution_rule.is_empty is is_empty
    assert package.resolution_rule.complies(200, 9) is (is_empty or "max_width" in rule)


def test_what_is_no_weights_is_verified_and_stays_in_the_archive(tmp_path: Path, weights: bytes) -> None:
    networks = [{**SHIPPED["networks"][0], "weights": "w"}]
    licence = b"all rights reserved"
    named = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in (("w", weights), ("LICENCE", licence))
    }
    entries = {"image.yaml": a_description(networks=networks, files=named), "w": weights, "LICENCE": licence}
    kept = []

    def keep(file: Path) -> Artifact:
        kept.append(file.name)
        return Artifact("0" * 64, 1)

    read_package(packed(tmp_path / "p.tar", entries), tmp_path, keep)
    assert kept == ["w"]
    with pytest.raises(FileHasOtherChecksum, match="“LICENCE”"):
        read(packed(tmp_path / "q.tar", {**entries, "LICENCE": b"no rights reserved!"}))


def test_a_package_without_a_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DescriptionIsMissing):
        read(packed(tmp_path / "p.tar", {"notes.txt": b"x"}))


@pytest.mark.parametrize(
    ("named", "refusal"),
    [
        ({"size": 5, "sha256": hashlib.sha256(b"right").hexdigest()}, FileHasOtherChecksum),
        ({"size": 6, "sha256": hashlib.sha256(b"wrong").hexdigest()}, FileHasOtherSize),
        ({"size": 5, "sha256": hashlib.sha256(b"wrong").hexdigest()}, WeightsUnreadable),
    ],
)
def test_a_file_must_be_the_one_that_was_packed(tmp_path: Path, named: dict[str, Any], refusal: type[Refusal]) -> None:
    networks = [{**SHIPPED["networks"][0], "weights": "w"}]
    entries = {"image.yaml": a_description(networks=networks, files={"w": named}), "w": b"wrong"}
    with pytest.raises(refusal, match="“w”"):
        read(packed(tmp_path / "p.tar", entries))


def test_weights_of_another_network_do_not_fit(tmp_path: Path, weights: bytes) -> None:
    networks = [SHIPPED["networks"][0], {**SHIPPED["networks"][2], "weights": "w"}]
    named = {"w": {"size": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}}
    with pytest.raises(Refusal, match="do not fit ResNet50"):
        read(packed(tmp_path / "p.tar", {"image.yaml": a_description(networks=networks, files=named), "w": weights}))


def with_weights(file: Path, content: bytes) -> Path:
    networks = [{**SHIPPED["networks"][0], "weights": "w"}]
    named = {"w": {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}}
    return packed(file, {"image.yaml": a_description(networks=networks, files=named), "w": content})


def changed(weights: bytes, file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> bytes:
    tensors = load(weights)
    change(tensors)
    save_file(tensors, file)
    return file.read_bytes()


@pytest.mark.parametrize(
    ("change", "refusal", "words"),
    [
        (lambda tensors: tensors.pop("layer4.1.bn2.weight"), TensorMissing, "“layer4.1.bn2.weight” is missing"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), TensorUnknown, "it has no “extra”"),
        (lambda tensors: tensors.update({"conv1.weight": torch.zeros(64, 3, 7, 8)}), TensorHasOtherShape, "64 × 3 × 7 × 8"),
        (lambda tensors: tensors.update({"bn1.weight": torch.ones(64, dtype=torch.int8)}), TensorHasOtherShape, "int8"),
        (lambda tensors: tensors["bn1.bias"].fill_(float("nan")), WeightsNotFinite, "“bn1.bias”"),
        (lambda tensors: tensors["bn1.bias"].fill_(float("inf")), WeightsNotFinite, "“bn1.bias”"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, weights: bytes, change: Any, refusal: type[Refusal], words: str
) -> None:
    content = changed(weights, tmp_path / "changed", change)
    with pytest.raises(refusal, match=words):
        read(with_weights(tmp_path / "p.tar", content))


def test_a_pickle_is_not_opened_whatever_it_is_called(tmp_path: Path) -> None:
    class Owned:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "owned",))

    torch.save({"conv1.weight": Owned()}, tmp_path / "weights.pt")
    for content in (pickle.dumps(Owned()), (tmp_path / "weights.pt").read_bytes()):
        with pytest.raises(WeightsUnreadable):
            read(with_weights(tmp_path / "p.tar", content))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        (1 << 62).to_bytes(8, "little") + b"{}",
        ((1 << 20) + 1).to_bytes(8, "little") + b" " * ((1 << 20) + 1),
        (2).to_bytes(8, "little") + b"[]",
        (1000).to_bytes(8, "little") + b"{}",
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}'[:60],
    ],
    ids=["empty", "cut", "claims exabytes", "a book", "a list", "behind the end", "no json"],
)
def test_a_hostile_header_of_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WeightsUnreadable, match="Write them again"):
        read(with_weights(tmp_path / "p.tar", content))


def test_weights_larger_than_any_network_are_not_read(
    tmp_path: Path, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "MAXIMUM_WEIGHTS_BYTES", 1 << 20)
    with pytest.raises(WeightsUnreadable, match="more than 0 GiB"):
        read(with_weights(tmp_path / "p.tar", weights))


def test_building_leaves_nothing_behind_when_it_is_refused(shipped: Path, tmp_path: Path) -> None:
    (shipped / "w").write_bytes(b"no weights")
    (shipped / "image.yaml").write_bytes(a_description(networks=[{**SHIPPED["networks"][0], "weights": "w"}]))
    with pytest.raises(WeightsUnreadable):
        build_package(shipped, tmp_path / "p.tar")
    (shipped / "image.yaml").write_bytes(a_description(networks=[{**SHIPPED["networks"][0], "weights": "../secret"}]))
    (tmp_path / "secret").write_bytes(b"x")
    with pytest.raises(FileIsMissing):
        build_package(shipped, tmp_path / "p.tar")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["secret", "source"]


def test_the_largest_description_is_a_page_not_a_book() -> None:
    assert len(a_description()) < packages.MAXIMUM_DESCRIPTION_BYTES // 100


def test_the_documented_description_is_one(tmp_path: Path, weights: bytes) -> None:
    page = (CHECKOUT / "gpu_worker" / "PACKAGES.md").read_text(encoding="utf-8")
    documented = page.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "source" / "weights").mkdir(parents=True)
    (tmp_path / "source" / "image.yaml").write_text(documented, encoding="utf-8")
    (tmp_path / "source" / "weights" / "resnet18.safetensors").write_bytes(weights)
    package = read(build_package(tmp_path / "source", tmp_path / "panel-aoi@7.tar"))
    assert package.resolution_rule == ResolutionRule(exact_sizes=((1280, 960),))
    assert [(network.task, network.weights is not None) for network in package.networks] == [
        (NetworkTask.CLASSIFICATION, True),
        (NetworkTask.CLASSIFICATION, False),
        (NetworkTask.SEGMENTATION, False),
    ]
    assert read_training_parameters(package.training_parameters).segmentation is not None


def test_the_documentation_names_every_network() -> None:
    page = (CHECKOUT / "gpu_worker" / "PACKAGES.md").read_text(encoding="utf-8")
    assert [name for names in KNOWN_NETWORKS.values() for name in names if name not in page] == []
