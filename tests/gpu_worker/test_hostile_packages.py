"""Packages that nobody builds in good faith: each is refused in a sentence, soon, and without taking the machine's memory (I-6)."""

import contextlib
import gzip
import hashlib
import json
import random
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
import zstandard

from domain.refusals import Refusal, Refusals
from gpu_worker.package_archives import (
    ArchiveIsBroken,
    ArchiveIsNotATar,
    EntryIsNoFile,
    EntryLeavesThePackage,
    EntryNameIsWrong,
    EntryStandsTwice,
)
from gpu_worker.package_descriptions import SHIPPED
from gpu_worker.packages import DescriptionIsTooLarge
from tests.gpu_worker.packed import a_description, entry, packed, read, with_weights

BLOCK = tarfile.BLOCKSIZE
END = bytes(10240)


def header(name: str = "w", kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytearray:
    """One block of a tar."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return bytearray(member.tobuf(tarfile.GNU_FORMAT))


def sealed(block: bytearray) -> bytes:
    """With the checksum that readers ask for."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def filled(content: bytes) -> bytes:
    """Up to whole blocks."""
    return content + bytes(-len(content) % BLOCK)


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header."""
    return sealed(header("pax", kind, len(records))) + filled(records)


def record(keyword: str, value: str) -> bytes:
    """One line of an extended header; it begins with its own length."""
    rest = f" {keyword}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def long_name(name: bytes) -> bytes:
    """GNU tar's way to a name of any length: an entry before the entry."""
    return sealed(header("././@LongLink", tarfile.GNUTYPE_LONGNAME, len(name) + 1)) + filled(name + b"\0")


def sparse_with_more_to_come(blocks: int) -> bytes:
    """An old GNU header of a file with holes, and so many blocks in which each says that the next one goes on."""
    first = header("w", tarfile.GNUTYPE_SPARSE)
    first[482] = 1
    hole = b"00000000001\0" + b"00000000001\0"
    return sealed(first) + (hole * 21 + b"\1" + bytes(7)) * blocks


def sparse_of_pax(holes: int) -> bytes:
    """A file with holes whose map stands before its content, and is as long as it says."""
    records = record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", "w")
    content = filled(f"{holes}\n".encode() + b"0\n" * (2 * holes))
    return pax(records) + sealed(header("w", size=len(content))) + content


def written(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


HOSTILE_HEADERS: dict[str, tuple[bytes, type[Refusal]]] = {
    "holes that go on behind the end": (sparse_with_more_to_come(0), ArchiveIsBroken),
    "a map of holes without end": (sparse_with_more_to_come(200_000), ArchiveIsBroken),
    "a map of holes as content": (sparse_of_pax(3), EntryIsNoFile),
    "a map of a million holes as content": (sparse_of_pax(1_000_000), ArchiveIsBroken),
    "a map of holes that is no number": (
        pax(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0"))
        + sealed(header(size=BLOCK))
        + b"x" * BLOCK,
        ArchiveIsBroken,
    ),
    "holes in a list": (pax(record("GNU.sparse.map", "0,1,x")) + sealed(header()), ArchiveIsBroken),
    "a name of a megabyte": (long_name(b"a" * (1 << 20)) + sealed(header()), ArchiveIsBroken),
    "a name of a kilobyte": (long_name(b"a" * 1000) + sealed(header()), EntryNameIsWrong),
    "a long name that leads out": (long_name(b"../" * 40 + b"etc/passwd") + sealed(header()), EntryLeavesThePackage),
    "a name for a name for a name": (long_name(b"a") * 200_000, ArchiveIsBroken),
    "headers for headers for headers": (pax(record("path", "a")) * 3000 + sealed(header()), ArchiveIsBroken),
    "a size that is negative": (pax(record("size", "-1024")) + sealed(header()), ArchiveIsBroken),
    "a size of more than there is": (pax(record("size", "9" * 18)) + sealed(header()), Refusal),
    "a size that is no number": (pax(record("size", "1e999")) + sealed(header(size=9 << 20)), Refusal),
    "a size that is a novel": (pax(record("size", "9" * 5000)) + sealed(header(size=9 << 20)), Refusal),
    "a path that leads out": (pax(record("path", "../../etc/passwd")) + sealed(header("w")), EntryLeavesThePackage),
    "a path for all that follow": (
        pax(record("path", "/etc/x"), tarfile.XGLTYPE) + sealed(header()),
        EntryLeavesThePackage,
    ),
    "a link by its extended header": (
        pax(record("linkpath", "/etc/passwd")) + sealed(header("w", tarfile.SYMTYPE)),
        EntryIsNoFile,
    ),
    "a record that is longer than its header": (pax(b"999 path=x\n") + sealed(header()), Refusal),
    "a record without an end": (pax(b"0 path=x\n") + sealed(header()), ArchiveIsBroken),
    "a name of nothing": (pax(record("path", "")) + sealed(header("")), Refusal),
    "names that no text can be": (long_name(b"\xff\xfe") + sealed(header()), EntryNameIsWrong),
    "a letter in two parts": (
        long_name("\u00e9".encode()) + sealed(header()) + long_name("e\u0301".encode()) + sealed(header()),
        EntryStandsTwice,
    ),
    "a name that reads backwards": (long_name("a\u202eb".encode()) + sealed(header()), EntryNameIsWrong),
}


@pytest.mark.parametrize("how", HOSTILE_HEADERS)
def test_no_header_takes_time_memory_or_another_name(tmp_path: Path, how: str) -> None:
    hostile, refusal = HOSTILE_HEADERS[how]
    content = packed(tmp_path / "whole").read_bytes()
    whole = written(tmp_path / "p", hostile + content)
    for archive in (whole, written(tmp_path / "q", zstandard.compress(whole.read_bytes()))):
        tracemalloc.start()
        try:
            with pytest.raises(refusal):
                read(archive)
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


def test_what_other_systems_note_beside_a_file_is_no_hindrance(tmp_path: Path) -> None:
    noted = record("mtime", "1764212345.123") + record("SCHILY.xattr.user.xdg.origin.url", "x" * 4000)
    content = packed(tmp_path / "whole").read_bytes()
    assert read(written(tmp_path / "p", pax(noted) + content)).networks


def test_a_tar_with_any_byte_changed_is_a_package_or_a_sentence(tmp_path: Path) -> None:
    """Headers of every kind, a thousand times with some bytes turned over; the checksums of blocks are right again."""
    kinds = (pax(record("path", "notes")), long_name(b"notes"), sparse_with_more_to_come(1), sparse_of_pax(2), b"")
    whole = packed(tmp_path / "whole").read_bytes()
    chance = random.Random(65)
    for number in range(1000):
        before = bytearray(kinds[number % len(kinds)] + sealed(header("notes")))
        for _ in range(chance.randint(1, 6)):
            before[chance.randrange(len(before))] = chance.choice((0, 1, 0x30, 0x37, 0x80, 0xFF, chance.randrange(256)))
        for start in range(0, len(before), BLOCK):
            if before[start + 257 : start + 262] == b"ustar":
                before[start : start + BLOCK] = sealed(before[start : start + BLOCK])
        archive = written(tmp_path / "p", bytes(before) + whole)
        with contextlib.suppress(Refusal, Refusals):
            read(archive)


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (gzip.compress(gzip.compress(b"x" * 1000)), ArchiveIsNotATar),
        (gzip.compress(b"x" * 1000)[:-4] + b"\0\0\0\0", ArchiveIsBroken),
        (b"\x50\x2a\x4d\x18" + (1 << 31).to_bytes(4, "little"), ArchiveIsNotATar),
        (b"\x28\xb5\x2f\xfd" + b"\xe0" + b"\xff" * 8 + b"\x01\x00\x00", ArchiveIsBroken),
        (b"\x28\xb5\x2f\xfd\x23\x01\x00\x00\x00\x08\x01\x00\x00", ArchiveIsBroken),
    ],
    ids=["gzip in gzip", "another length", "a frame to skip", "claims exabytes", "wants a dictionary"],
)
def test_hostile_compression_is_refused(tmp_path: Path, content: bytes, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        read(written(tmp_path / "p", content))


def with_line(line: str) -> bytes:
    return a_description() + line.encode("utf-8", "surrogatepass") + b"\n"


def with_parameters(**parameters: Any) -> bytes:
    return a_description(
        training_parameters={"classification": {**SHIPPED["training_parameters"]["classification"], **parameters}}
    )


NOT_FINITE = [".inf", "-.inf", ".nan", "1.0e+999"]


@pytest.mark.parametrize(
    ("description", "words"),
    [
        (b"base: &base {x: 1}\n" + a_description() + b"other: {<<: {y: 2}}\n", "<<"),
        (b"<<: {format: 1}\n" + a_description(), "<<"),
        (with_line("more: !!str 5"), "tags"),
        (with_line("more: !!binary aGVsbG8="), "tags"),
        (with_line("more: !!set {a, b}"), "tags"),
        (with_line("more: !local {a: b}"), "tags"),
        (with_line('more: "a\\0b"'), r"line \d+ holds a character that nobody sees"),
        (with_line('"a\\0b": more'), r"line \d+ holds a character that nobody sees"),
        (with_line('more: "a\\ud800b"'), r"line \d+ holds a character that nobody sees"),
        (with_line('more: "a\\x1b[31mb"'), r"line \d+ holds a character that nobody sees"),
        (with_line('more: "a\\u202eb"'), r"line \d+ holds a character that nobody sees"),
        (with_line("more: a\u202eb"), r"line \d+ holds a character that nobody sees"),
        (a_description() + b"---\nformat: 1\n", "not YAML|understood"),
        (with_line("more: 2026-13-45"), "understood"),
        (with_line(f"more: {'9' * 5000}"), "understood"),
        (a_description(special_code_min_pixels=10**30), "special_code_min_pixels"),
        (a_description(special_code_min_pixels=True), "special_code_min_pixels"),
        (a_description(format=True), "format"),
        (a_description(format=10**30), "format"),
        (a_description(format=1.0), "format"),
        (a_description(files={"w": {"size": 10**30, "sha256": "0" * 64}}), "w"),
        (a_description(model_parameters={1: 2}), "model_parameters|JSON|name"),
        (with_parameters(base_lr=10**400), "base_lr"),
        (with_parameters(base_lr=-(10**400)), "base_lr"),
        (with_parameters(batch_size=10**400), "batch_size"),
        (with_parameters(batch_size=1.5), "batch_size"),
        (with_parameters(base_lr="1e-3"), "base_lr"),
        (with_parameters(surprise={"a": [1] * 1000}), "surprise"),
        *((a_description().replace(b"base_lr: 0.001", b"base_lr: " + value.encode()), "finite") for value in NOT_FINITE),
        (a_description().replace(b"height: 128", b"height: 128\n    mean: [.nan, 0.0, 0.0]", 1), "mean|-10"),
    ],
)  # fmt: skip
def test_a_hostile_description_is_refused_in_a_sentence(tmp_path: Path, description: bytes, words: str) -> None:
    with pytest.raises((Refusal, Refusals), match=words) as refused:
        read(packed(tmp_path / "p", {"image.yaml": description}))
    assert "\0" not in str(refused.value)


def test_a_description_of_a_hundred_megabytes_is_not_read(tmp_path: Path) -> None:
    large = sealed(header("image.yaml", size=100 << 20)) + bytes(100 << 20) + END
    archive = written(tmp_path / "p", zstandard.compress(large))
    assert archive.stat().st_size < 20_000
    tracemalloc.start()
    try:
        with pytest.raises(DescriptionIsTooLarge, match="1024 KiB"):
            read(archive)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def of_header(tensors: dict[str, Any], content: bytes = b"") -> bytes:
    """A file of weights as its header says."""
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text + content


def tensor(shape: list[int], begin: int, end: int, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


TWICE = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
HOSTILE_WEIGHTS = {
    "two that share their bytes": of_header({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)),
    "a hole between two": of_header({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, bytes(12)),
    "bytes that nobody named": of_header({"a": tensor([1], 0, 4)}, bytes(12)),
    "an end before its beginning": of_header({"a": tensor([1], 4, 0)}, bytes(4)),
    "more than there is": of_header({"a": tensor([1 << 40], 0, 1 << 42)}, bytes(4)),
    "more than a number holds": of_header({"a": tensor([1 << 33, 1 << 33], 0, 4)}, bytes(4)),
    "less than nothing": of_header({"a": tensor([-1], 0, 4)}, bytes(4)),
    "a kind that there is not": of_header({"a": tensor([1], 0, 4, "F999")}, bytes(4)),
    "a name that stands twice": len(TWICE).to_bytes(8, "little") + TWICE + bytes(8),
    "notes that are no text": of_header({"__metadata__": {"assay": 5}}),
    "an origin that is none": of_header(
        {"__metadata__": {"origin": "[", "assay": "{"}, "a": tensor([1], 0, 4)}, bytes(4)
    ),
    "deep": (1 << 20).to_bytes(8, "little") + b"[" * (1 << 20),
}


@pytest.mark.parametrize("how", HOSTILE_WEIGHTS)
def test_a_hostile_file_of_weights_is_refused(tmp_path: Path, how: str) -> None:
    with pytest.raises(Refusal, match=r"“w”|ResNet18"):
        read(with_weights(tmp_path / "p", HOSTILE_WEIGHTS[how]))


def test_weights_that_claim_memory_get_none(tmp_path: Path) -> None:
    names = {f"t{number}": tensor([0], 0, 0) for number in range(15_000)}
    with pytest.raises(Refusal):
        read(with_weights(tmp_path / "p", of_header(names)))


@pytest.mark.parametrize("add", [entry("a/b"), entry("A/B"), entry("./a//b"), entry("a/./b")])
def test_names_are_told_apart_as_the_strictest_system_does(
    tmp_path: Path, add: Callable[[tarfile.TarFile], None]
) -> None:
    def twice(tar: tarfile.TarFile) -> None:
        entry("a/b")(tar)
        add(tar)

    with pytest.raises(EntryStandsTwice):
        read(packed(tmp_path / "p", add=twice))


def test_a_file_and_a_folder_of_one_name_are_no_package(tmp_path: Path) -> None:
    def both(tar: tarfile.TarFile) -> None:
        entry("w")(tar)
        entry("w/x")(tar)
        entry("w", tarfile.DIRTYPE)(tar)

    content = {"image.yaml": a_description(files={"w": {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}})}
    with pytest.raises(Refusal, match=r"“w/x”"):
        read(packed(tmp_path / "p", content, add=both))


def test_what_a_description_is_dumped_with_is_plain(tmp_path: Path) -> None:
    """What `assay package` writes, and what people write, has no need of what is refused."""
    text = yaml.safe_dump({**json.loads(json.dumps(SHIPPED)), "summary": "划伤\nTPFIP:\t65 英寸"}, allow_unicode=True)
    assert read(packed(tmp_path / "p", {"image.yaml": text.encode()})).summary == "划伤\nTPFIP:\t65 英寸"
