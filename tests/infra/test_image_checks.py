"""All images of a manifest are compared in the background, however many, and after a kill from where it was. Source: E-3, S-5."""

import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from domain.artifacts import Artifact
from domain.messages import ManifestEntry
from domain.provenance import ImageState
from infra.artifacts import Artifacts
from infra.connections import open_pool
from infra.data_folders import DataFolders
from infra.image_checks import ImageCheck, ImageChecker, ImageChecks
from infra.manifests import Manifests
from infra.side_tables import create_side_tables
from projections.read_model import Pool
from tests.eventually import eventually

SAME, CHANGED, GONE, UNCHECKED = ImageState.SAME, ImageState.CHANGED, ImageState.GONE, ImageState.UNCHECKED


class Archive:
    """Images that a training saw, a list of them, and who compares."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self.pool, self.folder = pool, folder
        self.images = folder / "images"
        self.images.mkdir()
        self.artifacts = Artifacts(folder / "artifacts")
        self.checks = ImageChecks(pool, folder / "indexes")
        self.checker = ImageChecker(self.checks, Manifests(self.artifacts, DataFolders({"data": self.images})))

    def listed(self, count: int) -> Artifact:
        """So many images, of which number 2 has changed since and number 3 is gone."""
        lines = []
        for number in range(count):
            content = b"image %d" % number
            if number != 3:
                (self.images / f"{number}.png").write_bytes(b"IMAGE 2" if number == 2 else content)
            entry = ManifestEntry(
                root="data",
                path=f"{number}.png",
                size=len(content),
                checksum=sha256(content).hexdigest(),
                defect_code="OK",
            )
            lines.append(msgspec.json.encode(entry) + b"\n")
        (self.folder / "manifest").write_bytes(b"".join(lines))
        return self.artifacts.keep(self.folder / "manifest")

    def known(self, manifest: Artifact) -> ImageCheck:
        found = self.checks.of(manifest)
        assert found is not None
        return found


@pytest.fixture
def archive(database: str, tmp_path: Path) -> Iterator[Archive]:
    create_side_tables(database)
    with open_pool(database) as pool:
        yield Archive(pool, tmp_path)


def test_every_image_is_compared_and_those_that_differ_are_known(archive: Archive) -> None:  # E-3
    manifest = archive.listed(5)
    archive.checks.ask(manifest, 5)
    assert archive.checks.states(archive.known(manifest), 0, 5) == [UNCHECKED] * 5
    assert archive.checker.turn()
    check = archive.known(manifest)
    assert (check.is_done, check.same_count, check.changed_count, check.gone_count) == (True, 3, 1, 1)
    assert archive.checks.states(check, 0, 5) == [SAME, SAME, CHANGED, GONE, SAME]
    assert archive.checks.states(check, 2, 2) == [CHANGED, GONE]
    assert archive.checks.differing(check) == [2, 3]
    assert not archive.checker.turn(), "there is nothing to do"


def test_it_goes_on_where_a_kill_cut_it_off(archive: Archive) -> None:  # S-5
    manifest = archive.listed(6)
    archive.checks.ask(manifest, 6)
    archive.checks.move(archive.known(manifest), [SAME, SAME, CHANGED])
    file = next((archive.folder / "indexes").iterdir())
    file.write_bytes(file.read_bytes() + b"\1\1")  # written, but killed before the row moved
    check = archive.known(manifest)
    assert (check.reached, check.is_done, archive.checks.states(check, 0, 6)) == (
        3,
        False,
        [SAME, SAME, CHANGED, UNCHECKED, UNCHECKED, UNCHECKED],
    )
    archive.checker.turn()
    assert archive.checks.states(archive.known(manifest), 0, 6) == [SAME, SAME, CHANGED, GONE, SAME, SAME]


def test_a_turn_that_was_overtaken_counts_nothing_twice(archive: Archive) -> None:  # S-5
    manifest = archive.listed(3)
    archive.checks.ask(manifest, 3)
    stale = archive.known(manifest)
    archive.checker.turn()
    archive.checks.move(stale, [CHANGED])
    assert (archive.known(manifest).reached, archive.known(manifest).changed_count) == (3, 1)


def test_asking_again_begins_anew_only_when_the_last_has_ended(archive: Archive) -> None:
    manifest = archive.listed(3)
    archive.checks.ask(manifest, 3)
    archive.checks.move(archive.known(manifest), [SAME])
    archive.checks.ask(manifest, 3)
    assert archive.known(manifest).reached == 1
    archive.checker.turn()
    (archive.images / "2.png").write_bytes(b"image 2")
    archive.checks.ask(manifest, 3)
    assert archive.known(manifest).reached == 0
    archive.checker.turn()
    assert archive.checks.differing(archive.known(manifest)) == []


def test_a_list_that_is_gone_ends_it_with_a_reason(archive: Archive) -> None:  # S-5
    manifest = archive.listed(3)
    archive.checks.ask(manifest, 3)
    archive.artifacts.path(manifest).unlink()
    archive.checker.turn()
    check = archive.known(manifest)
    assert check.is_done
    assert str(check.problem).startswith("The list of images is missing")


def test_a_list_that_is_damaged_ends_it_with_a_reason(archive: Archive) -> None:  # S-5
    manifest = archive.listed(3)
    archive.checks.ask(manifest, 3)
    file = archive.artifacts.path(manifest)
    file.write_bytes(bytes(file.stat().st_size))
    archive.checker.turn()
    check = archive.known(manifest)
    assert check.is_done
    assert str(check.problem).startswith("The list of images is damaged")


def test_one_that_fails_for_an_unforeseen_reason_holds_up_no_other(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:  # S-5
    odd, plain = archive.listed(3), archive.listed(5)
    for manifest, count in ((odd, 3), (plain, 5)):
        archive.checks.ask(manifest, count)
    entries = archive.checker._manifests.entries

    def fails(manifest: Artifact, first: int, count: int) -> object:
        if manifest == odd:
            raise EOFError("the list ends in the middle")
        return entries(manifest, first, count)

    monkeypatch.setattr(archive.checker._manifests, "entries", fails)
    archive.checker.turn()
    assert "cut off by an error" in str(archive.known(odd).problem)
    assert archive.known(plain).is_done
    assert archive.known(plain).problem is None


def test_it_works_until_it_is_told_to_stop(archive: Archive, database: str) -> None:  # S-5
    stop = threading.Event()
    thread = threading.Thread(target=archive.checker.run, args=(database, stop))
    thread.start()
    try:
        manifest = archive.listed(1_200)  # more than a turn takes
        archive.checks.ask(manifest, 1_200)
        eventually(lambda: archive.known(manifest).is_done)
    finally:
        stop.set()
        thread.join()
    assert archive.known(manifest).same_count == 1_198
