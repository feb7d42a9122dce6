"""Several ranks that train one network together: real processes that meet over gloo, as they meet over NCCL on GPUs."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from domain.messages import (
    AnyReport,
    LossesMeasured,
    LossPart,
    Resources,
    TrainingOrder,
    TrainingSucceeded,
    ValidationMeasured,
)
from domain.training_parameters import Augmentation, SgdParameters
from gpu_worker import checkpoints
from gpu_worker.batches import BatchOrder
from gpu_worker.jobs import Job, JobStopped, Progress
from gpu_worker.preprocessing import prepare
from gpu_worker.ranks import RankFailed, load_prepared, save_prepared
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.team import RankLost, Team, team_size
from gpu_worker.training import train
from tests.gpu_worker.running_worker import eventually
from tests.gpu_worker.workplace import Workplace, an_order, paint_codes, paint_defects

ALONE = TrainingSettings(precision=Precision.FLOAT32, on_cpu=True)
TWO = TrainingSettings(precision=Precision.FLOAT32, on_cpu=True, cpu_ranks=2)
LONG = 100_000
"""A training that no test waits for."""
CPU = torch.device("cpu")


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    paint_codes(tmp_path / "images")
    return Workplace(tmp_path)


def losses(place: Workplace) -> list[float]:
    lines = place.content(place.the(TrainingSucceeded).losses).splitlines()
    return [msgspec.json.decode(line)["loss"] for line in lines]


def log_of(place: Workplace) -> str:
    return place.content(place.the(TrainingSucceeded).log).decode()


def ranks(head: int | str = "self") -> list[int]:
    """The ranks that a process started, the first rank first."""
    tasks = Path(f"/proc/{head}/task").iterdir()
    children = sorted(int(child) for task in tasks for child in (task / "children").read_text().split())
    return [child for child in children if b"gpu_worker.rank_process" in _command_line(child)]


def _command_line(process: int) -> bytes:
    """Empty where it has ended meanwhile: torch starts programs of its own for a moment."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def in_two_ranks(place: Workplace, order: TrainingOrder, settings: TrainingSettings = TWO, *, attempt: int = 1) -> None:
    train(order, Resources(), place.job(attempt=attempt, cpu_cores=2), settings)


def while_it_trains(job: Job, act: Callable[[], object]) -> Job:
    """The job with something done to it at its first sign of life."""
    has_acted = threading.Event()

    def tell(progress: Progress) -> None:
        job.tell(progress)
        if progress.iteration and not has_acted.is_set():
            has_acted.set()
            act()

    return replace(job, tell=tell)


def test_all_ranks_end_with_the_same_parameters(place: Workplace) -> None:
    in_two_ranks(place, an_order(max_iter=4, augmentations=tuple(Augmentation)))
    assert "2 ranks share each batch of 8 images" in log_of(place)
    assert re.search(
        r"the parameters have the checksum [0-9a-f]{64}", log_of(place)
    )  # compared with the others' (Team.agree)
    assert [iteration for report in place.all(LossesMeasured) for iteration in report.iterations] == [1, 2, 3, 4]
    assert not ranks()


@pytest.mark.parametrize("batch_size", [18, 17])  # of an odd batch one rank has more
def test_two_ranks_learn_what_one_learns(place: Workplace, batch_size: int) -> None:
    order = an_order(max_iter=1, batch_size=batch_size, base_lr=0.002, augmentations=tuple(Augmentation))
    # Large images and many of them: batch normalisation sees half of a batch in each rank, which is the only difference.
    order = msgspec.structs.replace(order, input=msgspec.structs.replace(order.input, width=96, height=96))
    train(order, Resources(), place.job(), ALONE)
    alone = losses(place)
    shutil.rmtree(place.job().workspace)
    in_two_ranks(place, order)
    assert losses(place) == pytest.approx(alone, rel=0.1)


def test_a_segmentation_is_shared_too(tmp_path: Path) -> None:
    paint_defects(tmp_path / "images")
    place = Workplace(tmp_path)
    sgd = SgdParameters(base_lr=0.02, batch_size=4, max_iter=3)
    in_two_ranks(place, an_order(max_iter=2, segmentation=sgd, augmentations=tuple(Augmentation)))
    assert len(losses(place)) == 5
    assert log_of(place).count("the parameters have the checksum") == 2
    (_, of_segmentation) = place.the(TrainingSucceeded).part_logs
    assert "iteration 3: " in place.content(of_segmentation.log).decode()


def when_validated(job: Job, part: LossPart, act: Callable[[], object]) -> Job:
    """The job with something done to it at the first validation of a network."""
    has_acted = False

    def report(report: AnyReport) -> None:
        nonlocal has_acted
        job.report(report)
        if isinstance(report, ValidationMeasured) and report.part is part and not has_acted:
            has_acted = True
            act()

    return replace(job, report=report)


# T-6
def test_ranks_that_were_stopped_at_either_network_go_on_bit_for_bit(tmp_path: Path) -> None:
    sgd = SgdParameters(base_lr=0.02, batch_size=8, max_iter=12)
    order = an_order(max_iter=12, segmentation=sgd, augmentations=tuple(Augmentation))
    places = []
    for name in ("whole", "stopped"):
        paint_defects(tmp_path / name / "images")
        places.append(Workplace(tmp_path / name))
    whole, stopped = places
    in_two_ranks(whole, order)

    for attempt, part in enumerate(LossPart, 1):
        is_stopping = threading.Event()
        job = replace(stopped.job(attempt=attempt, cpu_cores=2), is_stopping=is_stopping.is_set)
        with pytest.raises(JobStopped):
            train(order, Resources(), when_validated(job, part, is_stopping.set), TWO)
        assert not ranks()
        assert not stopped.all(TrainingSucceeded)
        checkpoint = checkpoints.load(job.workspace, part)
        assert checkpoint is not None
        assert 0 < checkpoint.iteration < 12
    in_two_ranks(stopped, order, attempt=3)
    assert log_of(stopped).count("going on after iteration") == 3
    ours, wanted = stopped.the(TrainingSucceeded), whole.the(TrainingSucceeded)
    assert losses(stopped) == losses(whole)
    assert (ours.kept_weights, ours.evaluation) == (wanted.kept_weights, wanted.evaluation)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_the_job_and_its_checkpoint_is_good(place: Workplace, rank: int) -> None:
    order = an_order(max_iter=LONG)
    settings = msgspec.structs.replace(TWO, checkpoint_every_iterations=1)
    job = while_it_trains(place.job(cpu_cores=2), lambda: os.kill(ranks()[rank], signal.SIGKILL))
    with pytest.raises(RankFailed) as failed:
        train(order, Resources(), job, settings)
    assert "ended the job (signal 9)" in str(failed.value.sentence)  # the cause, not that the other missed it
    assert f"rank {rank} ended without a word (exit code -9)" in job.log_file.read_text()
    assert not ranks()
    checkpoint = checkpoints.load(job.workspace, LossPart.CLASSIFICATION)
    assert checkpoint is not None


def test_a_rank_that_hangs_is_waited_for_and_then_given_up(place: Workplace) -> None:
    job = while_it_trains(place.job(cpu_cores=2), lambda: os.kill(ranks()[1], signal.SIGSTOP))
    settings = msgspec.structs.replace(TWO, rank_patience_seconds=8.0)
    with pytest.raises(RankFailed) as failed:
        train(an_order(max_iter=LONG), Resources(), job, settings)
    assert failed.value.sentence.text == RankLost.message
    assert not ranks()


def leave_orphans(place: Workplace, when: Callable[[], object], act: Callable[[list[int]], object]) -> list[int]:
    """The ranks of a process that was killed at some moment of its training, after something was done to them."""
    process = subprocess.Popen([sys.executable, "-c", HEAD, place.folder])
    try:
        eventually(lambda: (len(ranks(process.pid)) == 2 and when()) or process.poll() is not None)
        left = ranks(process.pid)
        assert len(left) == 2
        act(left)
    finally:
        process.kill()
        process.wait()
    return left


def has_begun(place: Workplace) -> bool:
    return "INFO iteration" in (place.folder / "workspace" / "log.txt").read_text()


def test_ranks_end_with_the_process_that_started_them(place: Workplace) -> None:
    left = leave_orphans(place, lambda: True, lambda _: None)  # they still load their libraries
    eventually(lambda: not any(Path(f"/proc/{rank}").exists() for rank in left))


def test_even_a_rank_that_hangs_ends_with_the_process_that_started_it(place: Workplace) -> None:
    left = leave_orphans(place, lambda: has_begun(place), lambda left: os.kill(left[1], signal.SIGSTOP))
    eventually(lambda: not any(Path(f"/proc/{rank}").exists() for rank in left))


HEAD = """
import sys
from pathlib import Path
from domain.messages import Resources
from gpu_worker.training import train
from tests.gpu_worker.test_ranks import LONG, TWO
from tests.gpu_worker.running_worker import eventually
from tests.gpu_worker.workplace import Workplace, an_order
train(an_order(max_iter=LONG), Resources(), Workplace(Path(sys.argv[1])).job(cpu_cores=2), TWO)
"""


def test_a_diverging_training_says_so_in_ranks_too(place: Workplace) -> None:
    with pytest.raises(RankFailed) as failed:
        in_two_ranks(place, an_order(max_iter=30, base_lr=100.0))
    assert "The training diverged: the loss of iteration" in str(failed.value.sentence)
    assert not ranks()


def test_shares_are_the_whole_batch_and_nothing_twice() -> None:
    indices = BatchOrder([0, 1, 2] * 9, 11, 7).indices(3)
    for count in (1, 2, 3, 11):
        teams = [Team(rank, count, 11) for rank in range(count)]
        shares = [indices[team.mine] for team in teams]
        assert sorted(np.concatenate(shares).tolist()) == sorted(indices.tolist())
        assert sum(team.share for team in teams) == pytest.approx(1)
        assert [team.share * 11 for team in teams] == pytest.approx([len(share) for share in shares])
        assert [team.is_first for team in teams] == [True] + [False] * (count - 1)


def test_a_cpu_has_one_rank_and_no_batch_is_shared_by_more_ranks_than_it_has_images() -> None:
    assert team_size(gpu_cards=4, cpu_ranks=1, batch_size=32, device=CPU) == 1
    assert team_size(gpu_cards=0, cpu_ranks=4, batch_size=3, device=CPU) == 3


def test_what_was_prepared_is_the_same_in_another_process(tmp_path: Path) -> None:
    paint_defects(tmp_path / "images")
    place = Workplace(tmp_path)
    order = an_order(segmentation=SgdParameters(base_lr=0.02, batch_size=4, max_iter=3))
    prepared = prepare(order, place.job())
    save_prepared(prepared, tmp_path / "prepared")
    again = load_prepared(tmp_path / "prepared")
    assert (again.validates, again.labels, again.screening.compliant) == (
        prepared.validates,
        prepared.labels,
        prepared.screening.compliant,
    )
    everything = np.arange(len(prepared.labels))
    before, after = prepared.screening.segmentation, again.screening.segmentation
    assert before is not None
    assert after is not None
    for one, other in (
        (prepared.screening.decoded, again.screening.decoded),
        (before.decoded, after.decoded),
        (before.masks, after.masks),
    ):
        assert np.array_equal(one.gather(everything), other.gather(everything))
