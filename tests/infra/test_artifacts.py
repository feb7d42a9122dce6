"""Files named by their content: kept once, removed only when nobody has just begun to rely on them (I-5, S-5)."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.artifacts import Artifact
from gpu_worker.reasons import DISK_IS_FULL, reason_of
from infra.artifacts import Artifacts
from tests.small_disk import fill, make_read_only, small_disk

MINUTE = 60.0


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def kept(artifacts: Artifacts, folder: Path, content: bytes = b"weights", *, age_seconds: float = 0.0) -> Artifact:
    file = folder / f"file-{threading.get_ident()}"
    file.write_bytes(content)
    os.utime(file, (0, 0))  # an old file that is kept now counts as new
    artifact = artifacts.keep(file)
    if age_seconds:
        place = artifacts.path(artifact)
        os.utime(place, (place.stat().st_atime, place.stat().st_mtime - age_seconds))
    return artifact


def test_a_file_that_nobody_touched_lately_is_removed(artifacts: Artifacts, tmp_path: Path) -> None:
    artifact = kept(artifacts, tmp_path, age_seconds=2 * MINUTE)
    assert artifacts.remove(artifact, untouched_seconds=MINUTE)
    with pytest.raises(FileNotFoundError):
        artifacts.path(artifact)


def test_removing_what_is_gone_is_done_already(artifacts: Artifacts, tmp_path: Path) -> None:
    artifact = kept(artifacts, tmp_path, age_seconds=2 * MINUTE)
    assert artifacts.remove(artifact, untouched_seconds=MINUTE)
    assert artifacts.remove(artifact, untouched_seconds=MINUTE)


def test_a_file_that_was_just_kept_stays(artifacts: Artifacts, tmp_path: Path) -> None:
    artifact = kept(artifacts, tmp_path)
    assert not artifacts.remove(artifact, untouched_seconds=MINUTE)
    assert artifacts.read(artifact) == b"weights"


def test_keeping_the_same_content_again_makes_it_wanted_again(artifacts: Artifacts, tmp_path: Path) -> None:
    artifact = kept(artifacts, tmp_path, age_seconds=2 * MINUTE)
    kept(artifacts, tmp_path)
    assert not artifacts.remove(artifact, untouched_seconds=MINUTE)
    assert artifacts.read(artifact) == b"weights"


def test_what_is_kept_while_it_is_removed_is_there_afterwards(artifacts: Artifacts, tmp_path: Path) -> None:
    artifact = kept(artifacts, tmp_path)
    for _ in range(50):
        place = artifacts.path(artifact)
        os.utime(place, (0, 0))
        both = threading.Barrier(2)

        def remove(both: threading.Barrier = both) -> bool:
            both.wait()
            return artifacts.remove(artifact, untouched_seconds=MINUTE)

        def keep(both: threading.Barrier = both) -> Artifact:
            both.wait()
            return kept(artifacts, tmp_path)

        with ThreadPoolExecutor(2) as pool:
            removing, keeping = pool.submit(remove), pool.submit(keep)
            removing.result()
            assert keeping.result() == artifact
        assert artifacts.read(artifact) == b"weights"


def test_a_storage_that_does_not_let_a_file_go_says_so(artifacts: Artifacts, tmp_path: Path) -> None:
    artifact = Artifact("ab" + "0" * 62, 1)
    (tmp_path / "artifacts" / "ab" / artifact.checksum).mkdir(
        parents=True
    )  # what no unlink removes, whoever runs the tests
    os.utime(tmp_path / "artifacts" / "ab" / artifact.checksum, (0, 0))
    with pytest.raises(OSError, match="directory"):
        artifacts.remove(artifact, untouched_seconds=MINUTE)


@pytest.mark.parametrize("found", [b"weight", b"WEIGHTS"], ids=["cut short", "scribbled over"])
def test_a_damaged_file_takes_its_content_again_when_it_is_kept_once_more(
    artifacts: Artifacts, tmp_path: Path, found: bytes
) -> None:
    artifact = kept(artifacts, tmp_path)
    assert artifacts.is_intact(artifact)
    artifacts.path(artifact).write_bytes(found)
    assert not artifacts.is_intact(artifact)
    assert kept(artifacts, tmp_path) == artifact
    assert artifacts.read(artifact) == b"weights"


def test_a_file_that_is_gone_is_not_intact(artifacts: Artifacts, tmp_path: Path) -> None:
    artifact = kept(artifacts, tmp_path)
    artifacts.path(artifact).unlink()
    assert not artifacts.is_intact(artifact)


def test_a_full_storage_keeps_what_it_has_and_nothing_half(tmp_path: Path) -> None:  # T-7
    with small_disk(tmp_path / "artifacts", 256) as disk:
        artifacts = Artifacts(disk)
        before = kept(artifacts, tmp_path)
        with pytest.raises(OSError, match="No space left") as failed:
            kept(artifacts, tmp_path, b"report" * 100_000)
        assert reason_of(failed.value).text == DISK_IS_FULL
        assert artifacts.read(before) == b"weights"
        assert [file.name for file in disk.glob("??/*")] == [before.checksum]
        fill(disk).unlink()
        kept(artifacts, tmp_path, b"report")  # once there is space


def test_a_storage_that_can_only_be_read_says_so_and_where(tmp_path: Path) -> None:  # T-7
    with small_disk(tmp_path / "artifacts", 256) as disk:
        artifacts = Artifacts(disk)
        before = kept(artifacts, tmp_path)
        make_read_only(disk)
        for content in (b"weights", b"report"):  # also what lies there already
            with pytest.raises(OSError, match="Read-only") as failed:
                kept(artifacts, tmp_path, content)
            assert f"“{disk}" in str(reason_of(failed.value))
            assert "can only be read" in str(reason_of(failed.value))
        assert artifacts.read(before) == b"weights"
