"""Whatever is killed: jobs go on or fail with a reason, pages answer again, nothing is lost. With every real process."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import httpx
import msgspec
import psycopg
import pytest
from eventsourcing.persistence import InterfaceError, OperationalError

from commands.compute_resources import CreateComputeResource
from commands.model_images import ImportModelImage, model_image_id
from commands.task_types import CreateTaskType
from commands.training_jobs import TerminateTraining
from domain.compute_resources import ComputeResourceKind
from domain.data_paths import FolderName
from domain.messages import Resources
from domain.model_images import LoadStatus, ModelImage, ModelImageKind
from domain.task_types import TaskKind
from domain.training_jobs import (
    OnlyTrainingCanBeTerminated,
    TrainingFailed,
    TrainingJob,
    TrainingLossesMeasured,
    TrainingStatus,
)
from gpu_worker.packages import build_shipped_package
from infra.bootstrap import open_core
from infra.connections import open_pool
from infra.core import Core
from infra.first_start import FIRST_ADMINISTRATOR_ID
from infra.heartbeats import Heartbeats
from projections.read_model import Pool
from projections.training_jobs import TrainingJobs
from tests.eventually import eventually
from tests.examples import TRAINING_QUEUED, History
from tests.gpu_worker.workplace import an_order, paint_codes
from tests.installation import PASSWORD, Installation, running_installation

LONG = 1_000_000
"""A training that no test waits for."""
MAX_ATTEMPTS = 2
PATIENCE_SECONDS = 150.0
"""For a busy machine; `benchmarks/bench_kills.py` holds everything to half a minute."""
AWAY = (psycopg.Error, OperationalError, InterfaceError)


class Plant:
    """A running installation, and the log behind it."""

    def __init__(self, installation: Installation, core: Core, pool: Pool) -> None:
        self.installation, self.core = installation, core
        settings = installation.settings
        self.address, self._postgres = settings.address, settings.state / "postgres" / "data"
        self.heartbeats = Heartbeats(pool, silence_seconds=PATIENCE_SECONDS)
        self.training_jobs = TrainingJobs(pool, core.artifacts)
        self.resource_id = uuid4()

    def queue(self) -> UUID:
        """A training job waits."""
        job_id = uuid4()
        order = msgspec.structs.replace(an_order(max_iter=LONG), data_paths=(FolderName("data", ""),))
        queued = msgspec.structs.replace(
            TRAINING_QUEUED, owner=FIRST_ADMINISTRATOR_ID, compute_resource_id=self.resource_id, order=order
        )
        self.core.log.append(History().add(job_id, queued, actor=FIRST_ADMINISTRATOR_ID).events)
        return job_id

    def train(self) -> UUID:
        """A training job computes."""
        job_id = self.queue()
        eventually(lambda: self.iteration(job_id), within_seconds=PATIENCE_SECONDS)
        return job_id

    def terminate(self, job_id: UUID) -> None:
        """Leave the worker to others."""
        self.core.assay.dispatch(TerminateTraining(actor=FIRST_ADMINISTRATOR_ID, job_id=job_id))

    def job(self, job_id: UUID) -> TrainingJob:
        return self.core.assay.load(TrainingJob, job_id)

    def shown_status(self, job_id: UUID) -> TrainingStatus | None:
        """What the pages show."""
        row = self.training_jobs.get(job_id)
        return row.status if row else None

    def iteration(self, job_id: UUID, attempt: int = 1) -> int:
        """How far a worker says that its attempt is."""
        beat = self.heartbeats.of(job_id)
        return beat.iteration if beat and beat.attempt == attempt else 0

    def kill(self, name: str) -> int:
        """As the kernel does when memory runs out."""
        pid = self.installation.pid_of(name)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_database(self) -> int:
        """The same for the server of the log."""
        pid = self.database_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    @property
    def database_pid(self) -> int | None:
        """The server's process, or what a killed one left; None where neither."""
        with suppress(FileNotFoundError, ValueError):
            return int((self._postgres / "postmaster.pid").read_text().split("\n")[0])
        return None

    def answers(self) -> bool:
        """Whether the pages work."""
        return httpx.get(f"{self.address}/health").status_code == httpx.codes.OK

    def becomes(self, condition: Callable[[], object]) -> None:
        """Wait for `condition`, also while the database is away."""

        def holds() -> object:
            try:
                return condition()
            except (*AWAY, httpx.HTTPError):
                return False

        eventually(holds, within_seconds=PATIENCE_SECONDS)


@contextmanager
def running_plant() -> Iterator[Plant]:
    """An installation with a compute resource and images to train on."""
    with running_installation("assay-kills-", ASSAY_MAX_ATTEMPTS=str(MAX_ATTEMPTS)) as installation:
        settings = installation.settings
        paint_codes(settings.data_roots["data"])
        with open_core(settings) as core, open_pool(core.dsn) as pool:
            made = Plant(installation, core, pool)
            core.assay.dispatch(
                CreateComputeResource(
                    actor=FIRST_ADMINISTRATOR_ID,
                    compute_resource_id=made.resource_id,
                    kind=ComputeResourceKind.GENERAL_PURPOSE,
                    resources=Resources(cpu_cores=1, memory_gib=1),
                )
            )
            yield made


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with running_plant() as made:
        yield made


@pytest.fixture
def job_id(plant: Plant) -> Iterator[UUID]:
    """A training job that computes; the worker is free again afterwards."""
    job_id = plant.train()
    yield job_id
    with suppress(OnlyTrainingCanBeTerminated):
        plant.terminate(job_id)


def test_an_import_does_not_wait_for_a_training(plant: Plant, job_id: UUID) -> None:  # I-2
    task_type_id, archive = uuid4(), plant.installation.settings.archive_roots["archives"] / "resnet18@1.0.tar"
    build_shipped_package(archive)
    plant.core.assay.dispatch(
        CreateTaskType(
            actor=FIRST_ADMINISTRATOR_ID, task_type_id=task_type_id, name="glass", kind=TaskKind.CLASSIFICATION
        )
    )
    plant.core.assay.dispatch(
        ImportModelImage(
            actor=FIRST_ADMINISTRATOR_ID,
            kind=ModelImageKind.GENERAL,
            task_type_id=task_type_id,
            archive=str(archive),
        )
    )
    image_id = model_image_id("resnet18")
    plant.becomes(lambda: plant.core.assay.load(ModelImage, image_id).status is LoadStatus.LOADED)
    assert (plant.job(job_id).status, plant.job(job_id).attempt.number) == (TrainingStatus.TRAINING, 1)


def test_a_job_goes_on_with_another_worker_and_fails_with_a_reason_after_the_configured_tries(
    plant: Plant, job_id: UUID
) -> None:  # T-6, T-7
    for attempt in range(1, MAX_ATTEMPTS + 1):
        plant.becomes(lambda attempt=attempt: plant.iteration(job_id, attempt))  # type: ignore[misc]
        worker = cast("int", plant.installation.pid_of("worker"))
        (process,) = children_of(worker)
        os.kill(process, signal.SIGSTOP)  # in the middle of a step that never ends
        plant.kill("worker")
        plant.becomes(lambda process=process: not Path(f"/proc/{process}").exists())  # type: ignore[misc]
    plant.becomes(lambda: plant.job(job_id).status is TrainingStatus.FAILED)
    facts = [event.data for event in plant.core.log.history(job_id)]
    failed = facts[-1]
    assert isinstance(failed, TrainingFailed)
    assert str(failed.reason).startswith(f"{MAX_ATTEMPTS} workers in a row fell silent")
    plant.becomes(lambda: plant.shown_status(job_id) is TrainingStatus.FAILED)
    noted = [number for fact in facts if isinstance(fact, TrainingLossesMeasured) for number in fact.iterations]
    assert noted[0] == 1
    assert noted == sorted(set(noted))  # both attempts measured the first loss, the log has it once (T-5)


def test_a_killed_database_comes_back_and_the_training_has_noticed_nothing(plant: Plant, job_id: UUID) -> None:  # S-2
    events, iteration = plant.core.log.history(job_id), plant.iteration(job_id)
    killed = plant.kill_database()
    plant.becomes(lambda: plant.database_pid != killed and plant.answers())
    plant.becomes(lambda: plant.iteration(job_id) > iteration)
    assert plant.core.log.history(job_id)[: len(events)] == events
    assert (plant.job(job_id).status, plant.job(job_id).attempt.number) == (TrainingStatus.TRAINING, 1)
    plant.terminate(job_id)
    plant.becomes(lambda: plant.shown_status(job_id) is TrainingStatus.TERMINATED)


def test_a_killed_web_server_answers_again_and_nobody_is_signed_out(plant: Plant) -> None:  # S-2
    with httpx.Client(base_url=plant.address) as browser:
        token = browser.get("/sign-in").text.partition('name="csrf-token" content="')[2].partition('"')[0]
        browser.post("/sign-in", data={"csrf_token": token, "username": "admin", "password": PASSWORD})
        assert browser.get("/training-jobs").status_code == 200
        killed = plant.kill("web")
        plant.becomes(lambda: plant.installation.pid_of("web") not in (killed, None))
        plant.becomes(lambda: browser.get("/training-jobs").status_code == 200)


@pytest.mark.parametrize("name", ["projector", "dispatcher"])
def test_who_follows_the_log_goes_on_where_it_was_killed(plant: Plant, job_id: UUID, name: str) -> None:  # S-2, E-2
    plant.kill(name)
    plant.terminate(job_id)
    second = plant.queue()
    plant.becomes(lambda: plant.iteration(second))
    plant.becomes(lambda: plant.shown_status(job_id) is TrainingStatus.TERMINATED)
    plant.becomes(lambda: plant.shown_status(second) is TrainingStatus.TRAINING)
    plant.terminate(second)


def children_of(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
