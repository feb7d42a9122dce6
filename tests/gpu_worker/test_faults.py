"""What may happen to a machine while a job runs: it is killed, its disk fills up, its memory is short, images and folders go.

The disks are real ones, small and mounted for the test; the kills are SIGKILL.
"""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from domain.messages import AnyReport, LossPart, Resources, StageFinished, TrainingSucceeded
from domain.training_parameters import Augmentation, SgdParameters
from gpu_worker import checkpoints
from gpu_worker.child_process import reason_in_child
from gpu_worker.jobs import Job, Progress
from gpu_worker.loss_curve import LossIsNotFinite
from gpu_worker.ports import FolderNotFound
from gpu_worker.preprocessing import DECODING, READING
from gpu_worker.reasons import DISK_IS_FULL, OUT_OF_MEMORY, STORAGE_FAILS, UNEXPECTED
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.training import train
from tests.gpu_worker.workplace import Workplace, an_order, paint, paint_codes, paint_defects
from tests.small_disk import small_disk

SETTINGS = TrainingSettings(precision=Precision.FLOAT32, on_cpu=True, checkpoint_every_iterations=2)


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    paint_codes(tmp_path / "images" / "train")
    return Workplace(tmp_path)


def at_decoding(job: Job, act: Callable[[], object]) -> Job:
    """The job with something done when all images were read and the first one was decoded."""
    has_acted = False

    def tell(progress: Progress) -> None:
        nonlocal has_acted
        if progress.activity == DECODING and not has_acted:
            has_acted = True
            act()

    return replace(job, tell=tell)


def after_the_stages(job: Job, act: Callable[[], object]) -> Job:
    """The job with something done when everything is prepared."""
    stages: list[AnyReport] = []

    def report(report: AnyReport) -> None:
        job.report(report)
        if isinstance(report, StageFinished):
            stages.append(report)
            if len(stages) == 3:
                act()

    return replace(job, report=report)


ORDER = an_order(max_iter=8, data_paths=("train",), augmentations=tuple(Augmentation))
BOTH_PARTS = an_order(
    max_iter=8,
    data_paths=("train",),
    augmentations=tuple(Augmentation),
    segmentation=SgdParameters(base_lr=0.02, batch_size=4, max_iter=4),
)

CHILD = """
import sys
from pathlib import Path
import torch
from domain.messages import Resources
from gpu_worker.training import train
from tests.gpu_worker.test_faults import ORDER, SETTINGS
from tests.gpu_worker.workplace import Workplace
torch.set_num_threads(1)
train(ORDER, Resources(), Workplace(Path(sys.argv[1])).job(), SETTINGS)
"""


def killed(folder: Path, moment: Callable[[], bool]) -> None:
    """A training in a process that is killed as soon as the moment is there."""
    process = subprocess.Popen([sys.executable, "-c", CHILD, folder])
    try:
        while not moment():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.001)  # the moments are short
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL


# T-6
def test_a_training_killed_at_any_moment_ends_with_the_same_losses_and_weights(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        paint_codes(tmp_path / name / "images" / "train")
    whole, again = Workplace(tmp_path / "whole"), Workplace(tmp_path / "killed")
    train(ORDER, Resources(), whole.job(), SETTINGS)

    workspace = again.job().workspace
    checkpoint = checkpoints.file_of(workspace, LossPart.CLASSIFICATION)
    writing = checkpoint.with_name(f"{checkpoint.name}.writing")
    killed(again.folder, lambda: bool(list(again.folder.glob("decoded/*.building"))))
    assert not checkpoint.exists()
    killed(again.folder, lambda: writing.exists() and writing.stat().st_size > 0)
    assert writing.exists(), "the first checkpoint was half written"
    assert not checkpoint.exists()
    killed(again.folder, checkpoint.exists)
    first = checkpoints.load(workspace, LossPart.CLASSIFICATION)
    assert first is not None
    writing.unlink(missing_ok=True)
    killed(again.folder, lambda: writing.exists() and writing.stat().st_size > 0)
    assert checkpoint.exists()

    train(ORDER, Resources(), again.job(attempt=5), SETTINGS)
    ours, wanted = again.the(TrainingSucceeded), whole.the(TrainingSucceeded)
    assert "going on after iteration" in again.content(ours.log).decode()
    assert again.content(ours.losses) == whole.content(wanted.losses)
    assert (ours.weights, ours.evaluation, ours.figures) == (wanted.weights, wanted.evaluation, wanted.figures)


class PowerCut(BaseException):
    """Nobody handles it."""


def with_a_power_cut(job: Job, after: int) -> Job:
    """The job until it has told or asked something so many times."""
    left = after

    def lives() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerCut

    def report(report: AnyReport) -> None:
        lives()
        job.report(report)

    def tell(progress: Progress) -> None:
        lives()
        job.tell(progress)

    def is_stopping() -> bool:
        lives()
        return False

    return replace(job, report=report, tell=tell, is_stopping=is_stopping)


BOTH = an_order(
    max_iter=5,
    batch_size=4,
    data_paths=("train",),
    augmentations=tuple(Augmentation),
    segmentation=SgdParameters(base_lr=0.02, batch_size=4, max_iter=5),
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    torch.set_num_threads(1)
    place = Workplace(tmp_path_factory.mktemp("undisturbed"))
    paint_defects(place.images / "train", count=3)
    train(BOTH, Resources(), place.job(), SETTINGS)
    return place


# T-6
@pytest.mark.parametrize("seed", range(2))
def test_a_training_of_two_networks_that_breaks_off_again_and_again_ends_the_same(
    tmp_path: Path, undisturbed: Workplace, seed: int
) -> None:
    paint_defects(tmp_path / "images" / "train", count=3)
    place, dice, attempt = Workplace(tmp_path), random.Random(seed), 1
    is_over = False
    while not is_over:
        job = place.job(attempt=attempt)
        try:
            train(BOTH, Resources(), with_a_power_cut(job, after=dice.randint(25, 60)), SETTINGS)
            is_over = True
        except PowerCut:
            attempt += 1
    assert attempt > 2
    ours, wanted = place.the(TrainingSucceeded), undisturbed.the(TrainingSucceeded)
    assert place.content(ours.losses) == undisturbed.content(wanted.losses)
    assert (ours.kept_weights, ours.evaluation, ours.last_evaluation) == (
        wanted.kept_weights,
        wanted.evaluation,
        wanted.last_evaluation,
    )


HASHED = """
import sys
from pathlib import Path
import torch
from domain.messages import Resources
from gpu_worker.training import train
from tests.gpu_worker.test_faults import BOTH, SETTINGS
from tests.gpu_worker.workplace import Workplace
torch.set_num_threads(1)
train(BOTH, Resources(), Workplace(Path(sys.argv[1])).job(), SETTINGS)
"""


def test_pythons_hashes_decide_nothing(tmp_path: Path, undisturbed: Workplace) -> None:
    """They are drawn anew for every process, so the order of a set must not reach a training."""
    paint_defects(tmp_path / "images" / "train", count=3)
    subprocess.run(
        [sys.executable, "-c", HASHED, tmp_path], check=True, env={**os.environ, "PYTHONHASHSEED": "20261127"}
    )
    kept = {file.name for file in (tmp_path / "artifacts").iterdir()}
    wanted = undisturbed.the(TrainingSucceeded)
    for artifact in (wanted.losses, wanted.evaluation, *(weights.last for weights in wanted.kept_weights)):
        assert artifact.checksum in kept


def train_from(folder: Path) -> None:
    """In a process that will be killed."""
    torch.set_num_threads(1)
    train(BOTH_PARTS, Resources(), Workplace(folder).job(), SETTINGS)


# T-6
def test_a_training_killed_at_moments_that_nobody_chose_ends_with_the_same_weights(tmp_path: Path) -> None:
    """While it reads, decodes, learns, validates, saves or judges: wherever it happens to be."""
    for name in ("whole", "killed"):
        paint_defects(tmp_path / name / "images" / "train")
    started = time.monotonic()
    whole, again = Workplace(tmp_path / "whole"), Workplace(tmp_path / "killed")
    train(BOTH_PARTS, Resources(), whole.job(), SETTINGS)
    seconds = time.monotonic() - started

    moments = random.Random()  # others each time; in the end every one was tried
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])  # so that each begins with its libraries loaded
    kills = 0
    for _ in range(8):
        process = processes.Process(target=train_from, args=(again.folder,))
        process.start()
        process.join(moments.uniform(0, seconds / 3))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    assert kills

    train(BOTH_PARTS, Resources(), again.job(attempt=9), SETTINGS)
    ours, wanted = again.the(TrainingSucceeded), whole.the(TrainingSucceeded)
    assert again.content(ours.losses) == whole.content(wanted.losses)
    assert (ours.kept_weights, ours.evaluation, ours.figures) == (
        wanted.kept_weights,
        wanted.evaluation,
        wanted.figures,
    )


def test_a_disk_that_fills_up_while_images_are_decoded_is_named(place: Workplace) -> None:
    with small_disk(place.folder / "decoded", 64), pytest.raises(OSError, match="No space left") as failed:
        train(ORDER, Resources(), place.job(), SETTINGS)
    assert reason_in_child(failed.value).text == DISK_IS_FULL
    train(ORDER, Resources(), place.job(), SETTINGS)  # once there is space
    assert place.the(TrainingSucceeded).figures.sample_count


def test_a_disk_that_fills_up_under_a_checkpoint_leaves_the_one_before(place: Workplace) -> None:
    """Weights and momenta of ResNet18 are 86 MiB, with the best weights 128 MiB; from the third iteration on there are such."""
    every = msgspec.structs.replace(SETTINGS, checkpoint_every_iterations=1)
    with small_disk(place.folder / "workspace", 200 << 10):
        with pytest.raises(Exception, match=r".") as failed:
            train(an_order(max_iter=6, data_paths=("train",)), Resources(), place.job(), every)
        assert reason_in_child(failed.value).text == DISK_IS_FULL
        checkpoint = checkpoints.load(place.job().workspace, LossPart.CLASSIFICATION)
        assert checkpoint is not None
        assert (checkpoint.iteration, checkpoint.best) == (2, None)
        assert not list(place.job().workspace.glob("*.writing"))


def test_an_image_that_goes_while_it_is_used_is_left_out_and_is_welcome_again(place: Workplace) -> None:
    image = place.images / "train" / "SPOT" / "003.png"
    content = image.read_bytes()
    train(ORDER, Resources(), at_decoding(place.job(), image.unlink), SETTINGS)
    first = place.all(StageFinished)[0]
    assert (first.image_count, first.damaged_count) == (24, 1)
    log = place.content(place.the(TrainingSucceeded).log).decode()
    assert "images:train/SPOT/003.png is damaged and left out: [Errno 2] No such file" in log

    image.write_bytes(content)
    shutil.rmtree(place.job().workspace)
    place.reports.clear()
    train(ORDER, Resources(), place.job(), SETTINGS)
    assert place.all(StageFinished)[0].damaged_count == 0  # nobody remembers it as damaged


def test_an_image_that_goes_between_two_networks_is_learnt_from_by_neither(tmp_path: Path) -> None:
    paint_defects(tmp_path / "images" / "train", count=3)
    place = Workplace(tmp_path)
    decoded: list[Progress] = []
    job = place.job()

    def tell(progress: Progress) -> None:
        if progress.activity == DECODING:
            decoded.append(progress)
            if len(decoded) == 9:  # all of them at the size of the first network
                (place.images / "train" / "SPOT" / "001.png").unlink()

    train(BOTH, Resources(), replace(job, tell=tell), SETTINGS)
    screened, split, _ = place.all(StageFinished)
    assert (screened.image_count, screened.damaged_count) == (9, 1)
    assert (split.training_count or 0) + (split.validation_count or 0) == 8
    assert "SPOT/001.png is damaged and left out" in place.content(place.the(TrainingSucceeded).log).decode()


def test_storage_that_was_away_for_a_moment_costs_no_image(place: Workplace) -> None:
    """While images are read, and while those of the first code folder are decoded; in the end all are there again."""
    folder, elsewhere = place.images / "train", place.images / "elsewhere"
    moments = {(READING, 1): "away", (READING, 24): "back", (DECODING, 1): "away", (DECODING, 8): "back"}
    told: Counter[str] = Counter()

    def tell(progress: Progress) -> None:
        told[progress.activity] += progress.share > 0
        match moments.pop((progress.activity, told[progress.activity]), ""):
            case "away":
                folder.rename(elsewhere)
            case "back":
                elsewhere.rename(folder)

    train(ORDER, Resources(), replace(place.job(), tell=tell), SETTINGS)
    assert not moments
    first = place.all(StageFinished)[0]
    assert (first.image_count, first.damaged_count) == (24, 0)
    assert (
        len([folder for folder in (place.folder / "decoded").iterdir() if not folder.suffix]) == 3
    )  # for later jobs, too


def test_a_folder_that_goes_while_it_is_used_is_named(place: Workplace) -> None:
    folder = place.images / "train"
    job = at_decoding(place.job(), lambda: folder.rename(place.images / "elsewhere"))
    with pytest.raises(FolderNotFound, match="“images:train” cannot be read on the worker"):
        train(ORDER, Resources(), job, SETTINGS)


def test_an_image_that_another_takes_the_place_of_while_it_is_used_is_left_out(place: Workplace) -> None:
    image = place.images / "train" / "SPOT" / "003.png"
    train(ORDER, Resources(), at_decoding(place.job(), lambda: paint(image, seed=99, size=(80, 20))), SETTINGS)
    first = place.all(StageFinished)[0]
    assert (first.image_count, first.damaged_count) == (24, 1)
    log = place.content(place.the(TrainingSucceeded).log).decode()
    assert "images:train/SPOT/003.png is damaged and left out: the file changed while it was being used" in log


def test_a_mask_that_goes_while_it_is_used_leaves_its_image_without_one(tmp_path: Path) -> None:  # W-9
    place = Workplace(tmp_path)
    paint_defects(place.images / "train")
    masks = sorted(place.images.glob("train/*/masks/*.png"))
    train(BOTH_PARTS, Resources(), at_decoding(place.job(), masks[-1].unlink), SETTINGS)
    log = place.content(place.the(TrainingSucceeded).log).decode()
    code, name = masks[-1].parts[-3], masks[-1].name
    assert f"the mask of images:train/{code}/{name} cannot be used: [Errno 2] No such file" in log
    unmasked = len(list(place.images.glob("train/*/*.png"))) - (len(masks) - 1)
    assert place.all(StageFinished)[0].unmasked_count == unmasked


def test_decoded_images_are_needed_no_more(place: Workplace) -> None:
    job = after_the_stages(place.job(), lambda: shutil.rmtree(place.images))
    train(ORDER, Resources(), job, SETTINGS)
    assert place.the(TrainingSucceeded).figures.sample_count


def test_too_little_memory_is_said_to_be_too_little_memory(place: Workplace) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, place.folder], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == OUT_OF_MEMORY
    assert "can't allocate memory: you tried to allocate" in place.job().log_file.read_text()


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import torch
from gpu_worker.job_process import run_job
from tests.gpu_worker.test_faults import SETTINGS
from tests.gpu_worker.running_worker import train_message
from tests.gpu_worker.workplace import Workplace, an_order
torch.set_num_threads(1)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
most = used + (600 << 20)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
order = an_order(batch_size=8192, input_side=64, data_paths=("train",))
print(run_job(train_message(order), Workplace(Path(sys.argv[1])).job(), SETTINGS).reason.text)
"""


def test_a_loss_that_is_not_finite_stops_before_its_step(place: Workplace) -> None:
    every = msgspec.structs.replace(SETTINGS, checkpoint_every_iterations=1)
    with pytest.raises(LossIsNotFinite) as refused:
        train(an_order(max_iter=30, base_lr=100.0, data_paths=("train",)), Resources(), place.job(), every)
    checkpoint = checkpoints.load(place.job().workspace, LossPart.CLASSIFICATION)
    assert checkpoint is not None
    assert checkpoint.iteration == int(refused.value.values["iteration"]) - 1


def test_what_an_error_hides_is_told_and_nothing_else_is_guessed() -> None:
    full, away, plain = OSError(28, "No space left on device"), OSError(116, "Stale file handle"), ValueError("no")
    wrapped = RuntimeError("writing failed")
    wrapped.__context__ = full
    assert reason_in_child(wrapped).text == DISK_IS_FULL
    assert reason_in_child(away).text == STORAGE_FAILS
    assert reason_in_child(plain).text == UNEXPECTED
    assert reason_in_child(RuntimeError("std::bad_alloc")).text == OUT_OF_MEMORY
    of_device = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    assert reason_in_child(RuntimeError(of_device)).text == OUT_OF_MEMORY
    assert reason_in_child(RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")).text == UNEXPECTED
