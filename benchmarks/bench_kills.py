"""How long it takes after a kill -9 until jobs show what is true and pages answer again: half a minute at most (T-6, S-2)."""

import time
from collections.abc import Callable, Iterator

from benchmarks.harness import Bench, Row, bench
from domain.training_jobs import TrainingStatus
from tests.infra.test_kills import Plant, running_plant

MOST_SECONDS = 30.0


@bench
def kills(bench: Bench) -> Iterator[Row]:
    """The longest of some rounds, with the settings of the product."""
    rounds = range(min(3, bench.rounds))
    with running_plant() as plant:
        for name, measured in (
            ("killed worker, until its job waits or goes on", _worker),
            ("killed database, until pages answer", _database),
            ("killed web server, until pages answer", _web),
            ("killed projector, until a termination is shown", _projector),
            ("killed dispatcher, until a job is claimed", _dispatcher),
            ("worker, dispatcher and database killed at once, until the job waits or goes on", _all_at_once),
        ):
            longest = max(measured(plant) for _ in rounds)
            yield Row(name=name, figure=longest, unit="s", most=MOST_SECONDS)


def _worker(plant: Plant) -> float:
    job_id = plant.train()
    plant.kill("worker")
    seconds = _seconds_until(plant, lambda: plant.job(job_id).attempt.number > 1)
    plant.becomes(lambda: plant.job(job_id).status is TrainingStatus.TRAINING)
    plant.terminate(job_id)
    return seconds


def _all_at_once(plant: Plant) -> float:
    job_id = plant.train()
    plant.kill("worker")
    plant.kill("dispatcher")
    plant.kill_database()
    seconds = _seconds_until(plant, lambda: plant.job(job_id).attempt.number > 1)
    plant.becomes(lambda: plant.job(job_id).status is TrainingStatus.TRAINING)
    plant.terminate(job_id)
    return seconds


def _database(plant: Plant) -> float:
    killed = plant.kill_database()
    return _seconds_until(plant, lambda: plant.database_pid != killed and plant.answers())


def _web(plant: Plant) -> float:
    killed = plant.kill("web")
    return _seconds_until(plant, lambda: plant.installation.pid_of("web") not in (killed, None) and plant.answers())


def _projector(plant: Plant) -> float:
    job_id = plant.train()
    plant.kill("projector")
    plant.terminate(job_id)
    return _seconds_until(plant, lambda: plant.shown_status(job_id) is TrainingStatus.TERMINATED)


def _dispatcher(plant: Plant) -> float:
    plant.kill("dispatcher")
    job_id = plant.queue()
    seconds = _seconds_until(plant, lambda: plant.job(job_id).status is TrainingStatus.TRAINING)
    plant.terminate(job_id)
    return seconds


def _seconds_until(plant: Plant, condition: Callable[[], object]) -> float:
    started = time.monotonic()
    plant.becomes(condition)
    return time.monotonic() - started
