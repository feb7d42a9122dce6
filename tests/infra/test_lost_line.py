"""The line of work is made anew from the log, and whoever looks after it looks after every job. Source: E-1, T-6."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

from commands.assay import Assay, Command, S
from commands.training_jobs import TerminateTraining
from domain.refusals import ChangedMeanwhile
from domain.sentences import Sentence
from domain.training_jobs import TrainingFailed, TrainingInterrupted, TrainingRestarted, TrainingStarted, TrainingStatus
from infra.dispatcher import Dispatcher
from infra.event_store import EventLog
from tests.eventually import eventually
from tests.examples import PORTS, TRAINER_WANG_ID, TRAINING_JOB_ID, TRAINING_QUEUED, example_id
from tests.infra.stepped_plant import SILENCE_SECONDS, TWO_CORE_MACHINE, Plant, a_beat, is_interrupted, line

__all__ = ["line"]

FAILED = TrainingFailed(reason=Sentence("The disk is full."))


def lose_position(line: Plant) -> None:
    """As after a restore, or in a database of which only the log was saved."""
    line.connection.execute("TRUNCATE app.work, app.dispatcher")


def test_the_line_can_be_made_anew_from_the_log(line: Plant) -> None:  # E-1
    """With its order: who was started again stands behind those who came meanwhile, who lost a worker keeps its place."""
    again, interrupted, third, over, runs = (example_id(f"job {number}") for number in range(5))
    started = TrainingStarted(worker="gpu-1", attempt=1)
    for job_id, facts in (
        (again, (TRAINING_QUEUED, started, FAILED)),
        (interrupted, (TRAINING_QUEUED, started)),
        (over, (TRAINING_QUEUED, started, FAILED)),
        (runs, (TRAINING_QUEUED, started)),
        (third, (TRAINING_QUEUED,)),
        (again, (TrainingRestarted(),)),
        (interrupted, (TrainingInterrupted(),)),
    ):
        line.happen(job_id, *facts)
    mirrored = (
        "SELECT job_id, kind, queued_at, attempt, compute_resource_id, is_running FROM app.work ORDER BY queued_at"
    )
    rows = line.connection.execute(mirrored).fetchall()
    assert [row["job_id"] for row in rows] == [interrupted, runs, third, again]
    assert [row["is_running"] for row in rows] == [False, True, False, False]
    lose_position(line)
    line.dispatch()
    assert line.connection.execute(mirrored).fetchall() == rows
    line.happen(third, TrainingStarted(worker="gpu-2", attempt=1))
    worker = line.worker()
    assert [worker.take(TWO_CORE_MACHINE).job_id for _ in range(2)] == [interrupted, again]  # type: ignore[union-attr]


def test_a_job_waits_since_the_log_says_so_also_where_the_line_was_lost(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    line.connection.execute("UPDATE public.assay_events SET recorded_at = recorded_at - interval '1 hour'")
    lose_position(line)
    line.dispatch()
    wait = line.waiting.of(TRAINING_JOB_ID)
    assert wait is not None
    assert datetime.now(UTC) - wait.since > timedelta(minutes=59)


def test_a_lost_line_calls_no_worker_silent_that_goes_on(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    line.dispatch()
    line.connection.execute("UPDATE public.assay_events SET recorded_at = recorded_at - interval '1 hour'")
    lose_position(line)
    line.dispatch()
    line.dispatcher.interrupt_silent(line.connection)
    assert line.job().status is TrainingStatus.TRAINING
    assert worker.beat(a_beat(attempt=1))


class CrowdedAssay(Assay):
    """Others write about every job faster than anything can be decided on it."""

    def dispatch(self, command: Command, request_id: str = "") -> int:  # noqa: ARG002 - as everybody calls it
        raise ChangedMeanwhile


def test_a_job_on_which_nothing_can_be_decided_now_keeps_no_other_from_being_looked_after(line: Plant) -> None:  # T-6
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    line.worker().take(TWO_CORE_MACHINE)
    line.dispatch()
    patience = threading.Event()
    dispatcher = Dispatcher(CrowdedAssay(line.log, PORTS), line.database, silence_seconds=SILENCE_SECONDS)
    for _ in range(8):
        dispatcher.interrupt_silent(line.connection)
        patience.wait(SILENCE_SECONDS / 4)
    assert line.job().status is TrainingStatus.TRAINING
    eventually(lambda: is_interrupted(line))


class WatchedAssay(Assay):
    """Notes what is loaded."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(log, PORTS)
        self.found: list[UUID] = []

    def find(self, state_type: type[S], aggregate_id: UUID) -> S | None:
        self.found.append(aggregate_id)
        return super().find(state_type, aggregate_id)


def test_whoever_lost_the_line_loads_no_job_that_is_over(line: Plant) -> None:
    """A plant has some that wait, and years of others."""
    for number in range(3):
        line.happen(example_id(f"job {number}"), TRAINING_QUEUED, TrainingStarted(worker="gpu-1", attempt=1), FAILED)
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    lose_position(line)
    assay = WatchedAssay(line.log)
    dispatcher = Dispatcher(assay, line.database, silence_seconds=SILENCE_SECONDS)
    assert dispatcher.follow(line.connection)
    assert not dispatcher.follow(line.connection), "all of it at once"
    assert assay.found == [TRAINING_JOB_ID]


def test_what_a_job_that_is_over_said_last_is_forgotten(line: Plant) -> None:
    line.happen(TRAINING_JOB_ID, TRAINING_QUEUED)
    worker = line.worker()
    worker.take(TWO_CORE_MACHINE)
    line.dispatch()
    worker.beat(a_beat(attempt=1))
    assert line.heartbeats.of(TRAINING_JOB_ID) is not None
    line.assay.dispatch(TerminateTraining(actor=TRAINER_WANG_ID, job_id=TRAINING_JOB_ID))
    line.dispatch()
    assert line.connection.execute("SELECT FROM app.heartbeats").fetchall() == []
