"""Archives of packages: what hides in them, breaks off or unpacks to too much is refused (I-6)."""

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from domain.refusals import Refusal
from gpu_worker import package_archives
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
from gpu_worker.package_descriptions import SHIPPED
from gpu_worker.packages import DescriptionIsMissing, FileIsMissing, FileIsNotNamed, build_package
from tests.gpu_worker.packed import a_description, entry, packed, read, shipped, weights
from web.i18n import translate

__all__ = ["shipped", "weights"]


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
