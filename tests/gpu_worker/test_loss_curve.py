"""The loss curve: complete in the metrics file, thinned in the log, honest about divergence."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch

from commands.gpu_jobs import command_for
from commands.training_jobs import RecordTraining
from domain.facts import after
from domain.messages import LossesMeasured, LossPart
from domain.training_jobs import TrainingJob, report
from gpu_worker.checkpoints import Checkpoint
from gpu_worker.loss_curve import MOST_REPORTED_POINTS, LossCurve, LossIsNotFinite, not_finite
from tests.examples import TRAINING_QUEUED, TRAINING_STARTED
from tests.given_when_then import state_of
from tests.gpu_worker.workplace import Workplace

START = Checkpoint(
    identity="",
    iteration=0,
    thread_count=1,
    precision="float32",
    model={},
    momenta={},
    random_state=torch.zeros(1),
    random_states_of_gpus=[],
    best=None,
    curve_bytes=0,
    software="",
)
CPU = torch.device("cpu")


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def written(curve: LossCurve) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in curve.file.read_bytes().splitlines()]
    return [(line["iteration"], line["loss"]) for line in lines]


def reported(place: Workplace) -> list[int]:
    return [iteration for report in place.all(LossesMeasured) for iteration in report.iterations]


@pytest.mark.parametrize("max_iter", [1, 7, 1999, 2001, 9000])
def test_the_log_gets_at_most_some_thousand_points_and_the_file_gets_all(place: Workplace, max_iter: int) -> None:
    with LossCurve(place.job(), START, max_iter, CPU) as curve:
        for iteration in range(max_iter):
            curve.add(torch.tensor(1 / (iteration + 1)), 0.01)
            if iteration % 1000 == 999:
                curve.publish()
        curve.publish(everything=True)
    assert [iteration for iteration, _ in written(curve)] == list(range(1, max_iter + 1))
    assert written(curve)[-1][1] == pytest.approx(1 / max_iter)
    points = reported(place)
    assert len(points) <= MOST_REPORTED_POINTS + 2
    assert (points[0], points[-1]) == (1, max_iter)
    assert points == sorted(set(points))


# T-6
def test_what_a_checkpoint_counts_on_is_on_the_disk_before_it(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []

    def sync(file: int) -> None:
        synced.append((os.fstat(file).st_ino, os.fstat(file).st_size))

    monkeypatch.setattr(os, "fsync", sync)
    with LossCurve(place.job(), START, 10, CPU) as curve:
        for _ in range(3):
            curve.add(torch.tensor(0.5), 0.01)
        curve.publish()
        kept = curve.kept_bytes()
        assert len(written(curve)) == 3, "the process may be killed at any moment"
    assert synced == [(curve.file.stat().st_ino, kept)], "and the power may go"


def test_points_come_in_batches_not_one_by_one(place: Workplace) -> None:
    with LossCurve(place.job(), START, 500, CPU) as curve:
        for _ in range(500):
            curve.add(torch.tensor(1.0), 0.01)
            if curve.is_due():
                curve.publish()
        curve.publish(everything=True)
    assert len(place.all(LossesMeasured)) <= 3
    assert len(reported(place)) == 500


def test_a_fast_device_waits_no_longer_than_there_is_room(place: Workplace) -> None:
    with LossCurve(place.job(), START, 10_000, CPU) as curve:
        for number in range(10_000):
            curve._asked += 10  # as if no time had passed
            curve.add(torch.tensor(float(number)), 0.01)
            if curve.is_due():
                curve.publish()
        curve.publish(everything=True)
    assert [loss for _, loss in written(curve)] == [float(number) for number in range(10_000)]


def test_a_resumed_curve_knows_the_latest_loss_and_its_rate(place: Workplace) -> None:  # T-5
    with LossCurve(place.job(), START, 10, CPU) as curve:
        curve.add(torch.tensor(0.25), 0.03)
        curve.publish()
        kept = curve.kept_bytes()
    place.reports.clear()
    later = msgspec.structs.replace(START, iteration=1, curve_bytes=kept)
    with LossCurve(place.job(), later, 10, CPU) as curve:
        assert curve.latest == 0.25
        curve.publish(everything=True)
    (report,) = place.all(LossesMeasured)
    assert (report.iterations, report.learning_rate) == ((1,), 0.03)


def test_what_was_looked_at_but_not_reported_yet_comes_at_the_end(place: Workplace) -> None:  # T-5
    with LossCurve(place.job(), START, 3, CPU) as curve:
        curve._started -= 10_000  # a job of hours reports rarely
        for iteration in range(3):
            curve.add(torch.tensor(float(iteration)), 0.01)
            curve.publish()
        curve.publish(everything=True)
    assert reported(place) == [1, 2, 3]


def test_a_resume_makes_the_points_behind_its_checkpoint_again_and_no_others_twice(place: Workplace) -> None:
    with LossCurve(place.job(), START, 10, CPU) as curve:
        for iteration in range(4):
            curve.add(torch.tensor(float(iteration)), 0.01)
        curve.publish()
        kept = curve.kept_bytes()
        curve.add(torch.tensor(99.0), 0.01)
        curve.publish()
    later = msgspec.structs.replace(START, iteration=4, curve_bytes=kept)
    with LossCurve(place.job(), later, 10, CPU) as curve:
        curve.add(torch.tensor(4.0), 0.01)
        curve.publish(everything=True)
    assert written(curve) == [(1, 0.0), (2, 1.0), (3, 2.0), (4, 3.0), (5, 4.0)]


KILLED = """
import os, signal, sys
from pathlib import Path
import msgspec, torch
from domain.messages import LossesMeasured, LossPart
from tests.gpu_worker.test_loss_curve import CPU, START, LossCurve
from tests.gpu_worker.workplace import Workplace
place = Workplace(Path(sys.argv[1]))
with LossCurve(place.job(), START, 10, CPU) as curve:
    curve.add(torch.tensor(0.0), 0.01)
    curve.publish()
    curve._started -= 10_000  # a job of hours reports rarely, and saves between two reports
    for iteration in range(1, 4):
        curve.add(torch.tensor(float(iteration)), 0.01)
    curve.publish()
    state = msgspec.json.encode((curve.kept_bytes(), place.all(LossesMeasured)))
    Path(sys.argv[1], "left behind").write_bytes(state)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_attempt_had_not_reported_comes_with_the_next_and_is_noted_once(place: Workplace) -> None:  # T-5
    killed = subprocess.run([sys.executable, "-c", KILLED, place.folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    kept_bytes, before = msgspec.json.decode(
        (place.folder / "left behind").read_bytes(), type=tuple[int, list[LossesMeasured]]
    )
    assert [report.iterations for report in before] == [(1,)]
    later = msgspec.structs.replace(START, iteration=4, curve_bytes=kept_bytes)
    with LossCurve(place.job(attempt=2), later, 10, CPU) as curve:
        curve.add(torch.tensor(4.0), 0.01)
        curve.publish(everything=True)
    job = state_of(TRAINING_QUEUED, TRAINING_STARTED)
    noted: list[tuple[int, float]] = []
    for measured in (*before, *place.all(LossesMeasured)):
        command = command_for(measured)
        assert isinstance(command, RecordTraining)
        facts = report(job, 1, command.fact)
        noted += [point for fact in facts for point in zip(fact.iterations, fact.losses, strict=True)]  # type: ignore[attr-defined]
        job = after(TrainingJob, job, facts)
    assert noted == written(curve) == [(1, 0.0), (2, 1.0), (3, 2.0), (4, 3.0), (5, 4.0)]


def test_a_rate_is_told_as_people_write_it() -> None:  # T-7
    told = str(not_finite(LossPart.CLASSIFICATION, 9, 98.19818665965752).sentence)
    assert "iteration 9 is not a finite number (learning rate 98.2)" in told


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nothing_from_a_non_finite_loss_on_is_told(place: Workplace, bad: float) -> None:
    with LossCurve(place.job(), START, 10, CPU) as curve:
        for loss in (0.5, 0.25, bad, 0.125):
            curve.add(torch.tensor(loss), 0.02)
        with pytest.raises(LossIsNotFinite, match=r"iteration 3 is not a finite number \(learning rate 0\.02\)"):
            curve.publish()
    assert written(curve) == [(1, 0.5), (2, 0.25)]
    assert reported(place) == [1, 2]
