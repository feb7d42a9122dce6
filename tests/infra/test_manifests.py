"""Manifests are read by the page, and their images compared with what lies there now. Source: REQUIREMENTS, E-3."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from domain.artifacts import Artifact
from domain.messages import ManifestEntry
from domain.provenance import ImageListIsDamaged, ImageListIsGone, ImageState
from infra.artifacts import Artifacts
from infra.data_folders import DataFolders
from infra.manifests import LINES_BETWEEN_MARKS, Manifests

COUNT = 3 * LINES_BETWEEN_MARKS + 7


def entry(number: int, content: bytes = b"picture") -> ManifestEntry:
    return ManifestEntry(
        root="data",
        path=f"TPFIP/{number:04}.png",
        size=len(content),
        checksum=hashlib.sha256(content).hexdigest(),
        defect_code="TPFIP",
        split="training",
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "images" / "TPFIP").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def manifests(place: Path) -> Manifests:
    return Manifests(Artifacts(place / "artifacts"), DataFolders({"data": place / "images"}))


def kept(place: Path, count: int) -> Artifact:
    file = place / "manifest.jsonl"
    file.write_bytes(b"".join(msgspec.json.encode(entry(number)) + b"\n" for number in range(count)))
    return Artifacts(place / "artifacts").keep(file)


def test_a_late_page_holds_the_right_images(place: Path, manifests: Manifests) -> None:
    manifest = kept(place, COUNT)
    assert manifests.count(manifest) == COUNT
    for first, count in ((0, 5), (99, 3), (100, 2), (250, 60), (COUNT - 2, 50)):
        found = list(manifests.entries(manifest, first, count))
        assert found == [entry(number) for number in range(first, min(COUNT, first + count))]
    assert list(manifests.entries(manifest, COUNT, 5)) == []
    assert len(list(manifests.entries(manifest))) == COUNT


def test_an_empty_manifest_and_one_that_is_gone(place: Path, manifests: Manifests) -> None:
    empty = kept(place, 0)
    assert (manifests.count(empty), list(manifests.entries(empty))) == (0, [])
    with pytest.raises(ImageListIsGone):
        manifests.count(Artifact("0" * 64, 1))


@pytest.mark.parametrize("harmed", [b"", b"not a line of JSON", b"\0"])
def test_a_damaged_manifest_is_named_as_damaged(place: Path, manifests: Manifests, harmed: bytes) -> None:
    manifest = kept(place, 3)
    file = Artifacts(place / "artifacts").path(manifest)
    content = file.read_bytes()
    file.write_bytes(harmed + content[len(harmed) :] if harmed else content[:-1])
    with pytest.raises(ImageListIsDamaged):
        manifests.count(manifest)
    file.write_bytes(content)
    assert manifests.count(manifest) == 3
    file.write_bytes(harmed + content[len(harmed) :] if harmed else content[:-1])
    with pytest.raises(ImageListIsDamaged):
        list(manifests.entries(manifest))


def test_an_image_is_the_same_changed_or_gone(place: Path, manifests: Manifests) -> None:  # E-3
    for number, content in enumerate((b"picture", b"PICTURE", b"a longer picture")):
        (place / "images" / "TPFIP" / f"{number:04}.png").write_bytes(content)
    checked = manifests.checked([entry(number) for number in range(4)], seconds=60)
    assert [image.state for image in checked] == [
        ImageState.SAME,
        ImageState.CHANGED,
        ImageState.CHANGED,
        ImageState.GONE,
    ]


def test_an_image_outside_its_root_counts_as_gone(place: Path, manifests: Manifests) -> None:  # D-4
    (place / "secret.png").write_bytes(b"picture")
    outside = msgspec.structs.replace(entry(0), path="../secret.png")
    assert manifests.state(outside) is ImageState.GONE
    assert manifests.state(msgspec.structs.replace(entry(0), root="nowhere")) is ImageState.GONE


def test_what_no_time_is_left_for_stays_unchecked(place: Path, manifests: Manifests) -> None:
    (place / "images" / "TPFIP" / "0000.png").write_bytes(b"picture")
    assert [image.state for image in manifests.checked([entry(0)], seconds=0.0)] == [ImageState.UNCHECKED]
