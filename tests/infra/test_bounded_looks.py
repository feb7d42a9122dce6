"""Storage that hangs holds up nobody for long, and nobody else. Source: REQUIREMENTS, S-2 and D-3."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from domain.data_paths import DataPathState, FolderDoesNotAnswer, FolderName
from domain.messages import ManifestEntry
from domain.provenance import ImageState
from infra.artifacts import Artifacts
from infra.bounded_looks import MOST_SLOW, SLOW_AFTER_SECONDS, BoundedLooks
from infra.images import Images
from infra.manifests import Manifests
from infra.scans import ScannedFolders
from tests.eventually import eventually
from tests.infra.hanging_folders import AWAY, HERE, HangingFolders


class NoScans:
    """Nothing was ever scanned."""

    def find(self, _folders: Any) -> dict[FolderName, Any]:
        return {}

    def drop(self, _folder: FolderName) -> None: ...


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[HangingFolders]:
    folders = HangingFolders(tmp_path)
    yield folders
    folders.is_back.set()


def test_a_folder_that_does_not_answer_is_told_and_others_are_looked_into(
    folders: HangingFolders, tmp_path: Path
) -> None:  # D-3
    looks = BoundedLooks(patience_seconds=0.2)
    scanned: Any = ScannedFolders(folders, NoScans(), looks)  # type: ignore[arg-type]
    images = Images(folders, tmp_path / "cache", tmp_path / "indexes", looks)
    for look in (
        lambda: scanned.inspect_paths(["away:panel-a"]),
        lambda: scanned.inspect_folders([AWAY]),
        lambda: scanned.scan_again([AWAY]),
        lambda: images.page(AWAY, "TPFIP", offset=0, count=10),
        lambda: images.file(AWAY),
        lambda: images.thumbnail(AWAY, 160),
    ):
        with pytest.raises(FolderDoesNotAnswer, match="away:panel-a"):
            look()
    (found,) = scanned.inspect_folders([HERE])
    assert found.state is DataPathState.INVALID, "it holds no images, and says so"
    assert images.file(HERE) is None


def test_an_image_that_does_not_answer_stays_unchecked(folders: HangingFolders, tmp_path: Path) -> None:  # E-3
    manifests = Manifests(Artifacts(tmp_path / "artifacts"), folders, BoundedLooks(patience_seconds=0.2))
    entry = ManifestEntry(root="away", path="panel-a/1.png", size=1, checksum="0" * 64, defect_code="TPFIP")
    assert [image.state for image in manifests.checked([entry], seconds=60)] == [ImageState.UNCHECKED]


def test_where_several_looks_are_slow_no_more_are_begun_until_one_is_back() -> None:  # S-2
    now, is_back, begun = [0.0], threading.Event(), []
    looks = BoundedLooks(patience_seconds=0.0, clock=lambda: now[0])

    def hangs() -> None:
        begun.append("look")
        assert is_back.wait(60)

    for _ in range(MOST_SLOW):
        with pytest.raises(FolderDoesNotAnswer):
            looks.look("away", AWAY, hangs)
    now[0] += SLOW_AFTER_SECONDS
    eventually(lambda: len(begun) == MOST_SLOW)
    with pytest.raises(FolderDoesNotAnswer):
        looks.look("away", AWAY, lambda: begun.append("one more"))
    is_back.set()
    eventually(lambda: begins(looks, lambda: begun.append("once it is back")))
    assert "one more" not in begun


def begins(looks: BoundedLooks, look: Callable[[], None]) -> bool:
    """Whether a look is begun; nobody waits for its end."""
    has_begun = threading.Event()

    def begin() -> None:
        look()
        has_begun.set()

    with suppress(FolderDoesNotAnswer):
        looks.look("away", AWAY, begin)
    return has_begun.wait(0.1)


def test_what_a_look_raises_reaches_whoever_asked() -> None:
    def fails() -> None:
        raise TimeoutError("the server says so itself")

    with pytest.raises(TimeoutError, match="says so itself"):
        BoundedLooks().look("data", HERE, fails)
