"""Jobs whose workers fall silent, are stopped or come back late, through the log: T-6, T-7."""

import threading

import pytest

from commands.training_jobs import DeleteTrainingJob, RestartTraining, TerminateTraining
from domain.attempts import AttemptIsOver
from domain.messages import JobFailed, JobKind, JobReleased, TrainModel
from domain.refusals import NotTheOwner
from domain.sentences import Sentence
from domain.training_jobs import TrainingStatus
from tests.eventually import eventually
from tests.examples import PORTS, TRAINER_LI_ID, TRAINER_WANG_ID, TRAINING_JOB_ID, TRAINING_QUEUED
from tests.infra.kafka_plant import losses
from tests.infra.stepped_plant import SILENCE_SECONDS, TWO_CORE_MACHINE, Plant, a_beat, is_interrupted, line

__all__ = ["line"]


def test_a_terminated_job_tells_its_worker_to_stop(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    assert worker.take(TWO_CORE_MACHINE)
    assert worker.beat(a_beat(attempt=1))
    line.assay.dispatch(TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    assert not worker.beat(a_beat(attempt=1))
    with pytest.raises(AttemptIsOver):
        worker.report(losses(attempt=1))


def test_only_the_owner_terminates(line: Plant) -> None:  # U-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    line.worker().take(TWO_CORE_MACHINE)
    with pytest.raises(NotTheOwner):
        line.assay.dispatch(TerminateTraining(actor=TRAINER_LI_ID, job_id=TRAINING_JOB_ID))
    assert line.job().status is TrainingStatus.TRAINING


def test_a_silent_worker_loses_its_job_to_another(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    silent, other = line.worker("line-1"), line.worker("line-2")
    silent.take(TWO_CORE_MACHINE)
    line.dispatch()
    eventually(lambda: is_interrupted(line))
    message = other.take(TWO_CORE_MACHINE)
    assert isinstance(message, TrainModel)
    assert (message.attempt, message.run) == (2, 1)  # the run goes on from its checkpoint
    assert not silent.beat(a_beat(attempt=1))
    with pytest.raises(AttemptIsOver):
        silent.report(losses(attempt=1))


def test_a_worker_that_comes_back_late_does_not_make_the_next_one_seem_silent(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    silent, other = line.worker("line-1"), line.worker("line-2")
    silent.take(TWO_CORE_MACHINE)
    line.dispatch()
    eventually(lambda: is_interrupted(line))
    other.take(TWO_CORE_MACHINE)
    line.dispatch()
    assert other.beat(a_beat(attempt=2))
    assert not silent.beat(a_beat(attempt=1))
    line.heartbeats.beat(a_beat(attempt=1))  # which was on its way for all the time
    noted = line.connection.execute("SELECT attempt FROM app.heartbeats").fetchall()
    assert [row["attempt"] for row in noted] == [2]


def test_a_beat_of_a_job_that_has_ended_leaves_nothing_behind(line: Plant) -> None:
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    assert worker.beat(a_beat(attempt=1))
    line.assay.dispatch(TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    line.dispatch()
    assert not worker.beat(a_beat(attempt=1))
    assert line.connection.execute("SELECT * FROM app.heartbeats").fetchall() == []


def test_a_worker_that_beats_keeps_its_job(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    line.dispatch()
    patience = threading.Event()
    for _ in range(8):
        assert worker.beat(a_beat(attempt=1))
        line.dispatcher.interrupt_silent(line.connection)
        patience.wait(SILENCE_SECONDS / 4)
    assert line.job().status is TrainingStatus.TRAINING


def test_a_job_whose_workers_die_one_after_the_other_fails_with_a_reason(line: Plant) -> None:  # T-6, T-7
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    for number in range(PORTS.max_attempts):
        assert line.worker(f"line-{number}").take(TWO_CORE_MACHINE)
        line.dispatch()
        eventually(lambda: is_interrupted(line))
    assert line.job().status is TrainingStatus.FAILED
    assert line.worker().take(TWO_CORE_MACHINE) is None


def test_a_worker_that_is_stopped_hands_its_job_on_without_a_fault(line: Plant) -> None:  # S-2
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    for attempt in range(1, PORTS.max_attempts + 3):
        worker = line.worker(f"line-{attempt}")
        assert worker.take(TWO_CORE_MACHINE)
        worker.report(JobReleased(kind=JobKind.TRAINING, job_id=TRAINING_JOB_ID, attempt=attempt, worker="line"))
        line.dispatch()
    assert line.job().status is TrainingStatus.WAITING


def test_a_job_started_again_begins_another_run(line: Plant) -> None:  # T-2
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    reason = Sentence("The disk is full.")
    worker.report(JobFailed(kind=JobKind.TRAINING, job_id=TRAINING_JOB_ID, attempt=1, worker="line-1", reason=reason))
    line.dispatch()
    assert worker.take(TWO_CORE_MACHINE) is None
    line.assay.dispatch(RestartTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    line.dispatch()
    message = worker.take(TWO_CORE_MACHINE)
    assert isinstance(message, TrainModel)
    assert (message.attempt, message.run) == (2, 2)


def test_a_deleted_job_is_never_handed_out(line: Plant) -> None:  # T-2
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    line.assay.dispatch(DeleteTrainingJob(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    assert line.worker().take(TWO_CORE_MACHINE) is None  # the dispatcher has not even seen it yet
    line.dispatch()
    assert line.connection.execute("SELECT * FROM app.work").fetchall() == []
