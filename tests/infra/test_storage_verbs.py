"""What nobody needs any more is found and removed by a command; what must be there is checked. Source: I-5, S-3, S-5."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from domain.artifacts import Artifact
from domain.exports import ExportBuilt, export_id
from domain.training_jobs import TrainingDeleted
from gpu_worker.settings import WorkerSettings
from infra.artifacts import Artifacts
from infra.cli import parser
from infra.storage_verbs import run
from infra.stored_files import damaged_artifacts, named_now, remove, unneeded_artifacts, unused_folders
from infra.worker_bootstrap import open_storage
from tests.examples import MODEL_ID, TRAINER_WANG_ID, TRAINING_COMPLETED, TRAINING_JOB_ID, TRAINING_QUEUED, example_id
from tests.infra.backed_up_plant import BackedUpPlant, backed_up_plant, settings_of

Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def plant(database: str, tmp_path: Path) -> Iterator[BackedUpPlant]:
    with backed_up_plant(database, tmp_path / "plant") as made:
        made.project()
        yield made


@pytest.fixture
def ask(plant: BackedUpPlant) -> Ask:
    """`ask("--remove")` gives the exit status and what was said."""

    def asked(*arguments: str) -> tuple[int, str]:
        said: list[str] = []
        status = run(parser().parse_args(("storage", *arguments)), plant.settings, time.time(), said.append)
        return status, "\n".join(said)

    return asked


def stored(plant: BackedUpPlant) -> set[str]:
    return {artifact.checksum for artifact in plant.artifacts.untouched(-1.0)}


def test_what_no_fact_names_is_listed_and_goes_only_when_asked(plant: BackedUpPlant, ask: Ask) -> None:  # I-5, S-5
    named = stored(plant)
    unnamed = plant.kept(b"a log of a worker that died")
    status, said = ask()
    assert (status, said.splitlines()[-1]) == (0, "Nothing was removed: that is for --remove.")
    assert f"1970-01-01 00:00        27 B  {plant.artifacts.place(unnamed)}  (no fact names it)" in said
    assert stored(plant) == named | {unnamed.checksum}
    _, said = ask("--remove")
    assert "1 files and folders (27 B) and 0 uploads were removed." in said
    assert stored(plant) == named
    assert ask()[1].splitlines()[-1] == "There is nothing to remove."


def test_what_was_kept_lately_may_still_be_named(plant: BackedUpPlant, ask: Ask) -> None:  # S-5
    unnamed = plant.kept(b"a result that is being reported")
    os.utime(plant.artifacts.path(unnamed))
    assert "0 files and folders (0 B)" in ask("--remove")[1]
    assert unnamed.checksum in stored(plant)


def test_what_only_deleted_jobs_named_goes_when_that_is_asked_for(plant: BackedUpPlant, ask: Ask) -> None:  # I-5
    second = example_id("second job")
    weights, evaluation = plant.kept(b"weights of a deleted job"), plant.kept(b"its evaluation")
    completed = replace(TRAINING_COMPLETED, weights=weights, evaluation=evaluation)
    plant.history.add(second, TRAINING_QUEUED, actor=TRAINER_WANG_ID).add(second, completed)
    plant.happens()
    assert "There is nothing to remove." in ask("--deleted")[1]
    plant.history.add(second, TrainingDeleted())
    plant.happens()
    assert "There is nothing to remove." in ask()[1]
    before = stored(plant)
    assert "only what was deleted named it: 2," in ask("--deleted", "--remove")[1]
    assert before - stored(plant) == {weights.checksum, evaluation.checksum}, (
        "what both named stays for the one that stands"
    )


def test_files_of_a_published_version_stay_though_its_job_is_deleted(plant: BackedUpPlant, ask: Ask) -> None:  # M-6
    plant.history.add(TRAINING_JOB_ID, TrainingDeleted())
    plant.happens()
    weights = plant.with_files(TRAINING_COMPLETED.weights)
    ask("--deleted", "--remove")
    assert weights.checksum in stored(plant)


def test_a_file_that_is_wanted_again_meanwhile_stays(plant: BackedUpPlant) -> None:  # S-5
    plant.kept(b"the same log twice")
    (leftover,) = unneeded_artifacts(plant.artifacts, plant.database, with_deleted=False)
    os.utime(leftover.path)  # somebody keeps the same content, as `Artifacts.keep` does
    assert remove([leftover], plant.artifacts) == []
    assert leftover.path.exists()


def test_nothing_goes_while_a_backup_is_taken(plant: BackedUpPlant, ask: Ask) -> None:  # S-3
    unnamed = plant.kept(b"a log of a worker that died")
    with plant.artifacts.held():
        _, said = ask("--remove")
        assert "1 stay: somebody has begun to use them again, or a backup is being taken." in said
        assert unnamed.checksum in stored(plant)
    ask("--remove")
    assert unnamed.checksum not in stored(plant)


def test_nothing_that_workers_report_meanwhile_is_removed(plant: BackedUpPlant) -> None:  # S-5
    """Workers keep a file and report it at once, again and again, while the command removes whatever nobody touched lately."""
    stop, reported = threading.Event(), list[Artifact]()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            file = plant.settings.shared / f"result-{number}"
            file.write_bytes(b"result %d" % number)
            artifact = plant.artifacts.keep(file)
            plant.history.add(export_id(MODEL_ID, f"v{number}"), ExportBuilt(package=artifact))
            plant.happens()
            reported.append(artifact)

    old = [plant.kept(b"unnamed %d" % number) for number in range(20)]
    thread = threading.Thread(target=work)
    thread.start()
    try:
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            found = unneeded_artifacts(plant.artifacts, plant.database, with_deleted=True, untouched_seconds=30.0)
            remove(found, plant.artifacts, untouched_seconds=30.0)
    finally:
        stop.set()
        thread.join()
    assert len(reported) > 20
    assert all(plant.artifacts.has(artifact) for artifact in reported)
    assert not any(plant.artifacts.has(artifact) for artifact in old)


def test_uploads_that_expired_are_counted_and_one_on_its_way_stays(plant: BackedUpPlant, ask: Ask) -> None:  # I-2, S-5
    uploads = open_storage(plant.settings).uploads
    for name in ("abandoned", "arriving"):
        upload = uploads.begin(TRAINER_WANG_ID, f"{name}@1", 4)
        if name == "abandoned":
            for place in (*(uploads.folder / str(upload.upload_id)).iterdir(), uploads.folder / str(upload.upload_id)):
                os.utime(place, (0, 0))
    assert "uploads that were loaded or that nobody goes on with: 1" in ask()[1]
    assert len(uploads.of(TRAINER_WANG_ID)) == 2
    assert "and 1 uploads were removed." in ask("--remove")[1]
    assert [one.file_name for one in uploads.of(TRAINER_WANG_ID)] == ["arriving@1"]


def test_folders_that_workers_left_go_and_those_of_jobs_that_go_on_stay(plant: BackedUpPlant, ask: Ask) -> None:  # S-5
    scratch, kept = plant.settings.scratch, WorkerSettings()
    left, used = scratch / "jobs" / "left" / "1", scratch / "jobs" / "used" / "1"
    decoded = scratch / "decoded" / "long-unused"
    for folder in (left, used, decoded):
        folder.mkdir(parents=True)
        (folder / "log.txt").write_bytes(b"x" * 1_000)
    long_ago = int(time.time() - max(kept.keep_workspaces_seconds, kept.keep_decoded_seconds) - 60) * 10**9
    for place in (left / "log.txt", left, used, decoded / "log.txt", decoded):
        # The log of the one in use is new, its folder is not. Disks keep times more exactly than to the microsecond.
        os.utime(place, ns=(long_ago + 400, long_ago + 400))
    assert "job work folder: 1, 1000 B" in ask()[1]
    ask("--remove")
    assert (left.exists(), used.exists(), decoded.exists()) == (False, True, False)


def test_a_folder_that_a_job_uses_again_meanwhile_stays(plant: BackedUpPlant) -> None:  # S-5
    folder = plant.settings.scratch / "jobs" / "resumed" / "1"
    folder.mkdir(parents=True)
    os.utime(folder, (0, 0))
    found = unused_folders(plant.settings.scratch, workspaces_older_than=1_000.0, decoded_older_than=0.0)
    (folder / "checkpoint").touch()
    assert remove(found, plant.artifacts) == []
    assert folder.exists()


# The other way round


def test_what_is_there_and_as_it_was_is_said_to_be(plant: BackedUpPlant, ask: Ask) -> None:  # S-3
    status, said = ask("--check")
    assert (status, said.splitlines()[-1]) == (0, "Everything is there and as it was.")


def test_a_missing_and_a_damaged_file_are_named(plant: BackedUpPlant, ask: Ask) -> None:  # S-3
    gone, other = (plant.with_files(artifact) for artifact in (TRAINING_COMPLETED.weights, TRAINING_COMPLETED.log))
    plant.artifacts.path(gone).unlink()
    content = plant.artifacts.path(other).read_bytes()
    plant.artifacts.path(other).write_bytes(content[:-1] + b"?")
    status, said = ask("--check")
    assert status == 1
    assert f"missing: {plant.artifacts.place(gone)}" in said
    assert f"damaged: {plant.artifacts.place(other)}" in said
    assert "1 are missing, 1 damaged." in said


def test_a_file_that_was_cut_off_is_missing_its_end(plant: BackedUpPlant, ask: Ask) -> None:  # S-3
    cut = plant.with_files(TRAINING_COMPLETED.weights)
    plant.artifacts.path(cut).write_bytes(b"")
    status, said = ask("--check")
    assert (status, f"missing: {plant.artifacts.place(cut)}" in said) == (1, True)


def test_reading_keeps_to_its_pace(plant: BackedUpPlant) -> None:  # S-5
    names = named_now(plant.database)
    waited: list[float] = []
    found = damaged_artifacts(plant.artifacts, names, print, bytes_per_second=1.0, wait=waited.append)
    assert list(found) == []
    assert len(waited) == len(names.named)
    byte_count = sum(artifact.size for artifact in names.named.values())
    assert byte_count / 2 < sum(waited) <= byte_count, "what reading itself took counts as waited"


def test_an_empty_installation_has_nothing_to_remove(database: str, tmp_path: Path) -> None:
    said: list[str] = []
    assert run(parser().parse_args(("storage",)), settings_of(database, tmp_path), time.time(), said.append) == 0
    assert said[-1] == "There is nothing to remove."
    assert not list(Artifacts(tmp_path / "shared" / "artifacts").untouched(-1.0))
