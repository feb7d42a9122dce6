"""What was trained is trained again from what the log recorded, and comes out the same. Source: REQUIREMENTS, E-2, E-3."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands.assay import Assay
from domain.facts import Fact, Recorded
from domain.messages import AnyReport, Resources, StageFinished, TrainingSucceeded
from domain.names import NameKind
from domain.refusals import NotFound
from domain.training_jobs import TrainingCompleted, TrainingStageFinished
from domain.training_parameters import TrainingParameters
from gpu_worker.settings import Precision, TrainingSettings
from gpu_worker.training import train
from infra.artifacts import Artifacts
from infra.data_folders import DataFolders
from infra.replayed_training import ImageIsGone, ImagesDiffer, NothingToCompare, replay_training
from tests.examples import (
    MODEL_ID,
    PORTS,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    History,
    MemoryLog,
    example_id,
    plant,
)
from tests.gpu_worker.workplace import ROOT, Workplace, an_order, paint, paint_codes

ITERATIONS = 4


class ReadableLog(MemoryLog):
    """The log in memory, read by thing, too."""

    def history(self, aggregate_id: UUID) -> list[Recorded]:
        return [event for event in self.events if event.originator_id == aggregate_id]


class Trained:
    """A training that ended, as the log and the storage hold it."""

    def __init__(self, folder: Path) -> None:
        self.workplace = Workplace(folder)
        self.images = self.workplace.images
        paint_codes(self.images, count=4)
        self.artifacts = Artifacts(folder / "artifacts")
        self.order = an_order(max_iter=ITERATIONS)
        job = replace(self.workplace.job(), artifacts=self.artifacts)
        train(self.order, Resources(), job, TrainingSettings(precision=Precision.FLOAT32, on_cpu=True))
        self.facts = [fact for report in self.workplace.reports if (fact := fact_of(report)) is not None]
        self.queued = msgspec.structs.replace(TRAINING_QUEUED, order=self.order)
        self.said: list[str] = []

    def replay(self, asked: str = str(TRAINING_JOB_ID), *, history: History | None = None, **options: Any) -> int:
        log = ReadableLog((history or self.history()).events)
        core: Any = SimpleNamespace(
            log=log,
            assay=Assay(log, PORTS),
            artifacts=self.artifacts,
            data_folders=DataFolders({ROOT: self.images}),
            archives=None,
        )
        settings: Any = SimpleNamespace(state=self.workplace.folder / "state")
        status = replay_training(asked, core, settings, self.said.append, **options)
        assert not list((settings.state / "replays").iterdir())
        return status

    def history(self, *facts: Fact, **changes: Any) -> History:
        queued = msgspec.structs.replace(self.queued, **changes)
        return plant().add(TRAINING_JOB_ID, queued, TRAINING_STARTED, *(facts or self.facts))


def fact_of(report: AnyReport) -> Fact | None:
    """What the log holds of a report."""
    match report:
        case StageFinished():
            return TrainingStageFinished(**fields_of(report, TrainingStageFinished))
        case TrainingSucceeded():
            return TrainingCompleted(**fields_of(report, TrainingCompleted))
    return None


def fields_of(report: AnyReport, fact_type: type[Fact]) -> dict[str, Any]:
    """What a fact takes from a report."""
    return {name: getattr(report, name) for name in fact_type.__struct_fields__}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained once for all tests; those that touch its images put them back."""
    return Trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def trained(once: Trained) -> Trained:
    once.said.clear()
    return once


def with_changed(file: Path, content: bytes | None, action: Callable[[], None]) -> None:
    """Do something while a file is another one, or gone."""
    before = file.read_bytes()
    try:
        file.unlink() if content is None else file.write_bytes(content)
        action()
    finally:
        file.write_bytes(before)


def test_the_same_training_gives_the_same_losses_and_weights(trained: Trained) -> None:  # E-3
    assert trained.replay() == 0
    assert trained.said[-1].startswith(f"MATCH: all {ITERATIONS} losses and the weights are the same")


def test_only_the_first_iterations_are_compared_where_that_is_asked_for(trained: Trained) -> None:  # E-3
    assert trained.replay(most_iterations=2) == 0
    assert trained.said[-1] == "MATCH in the first 2 iterations."
    recorded = trained.order.training_parameters.classification
    slower = TrainingParameters(msgspec.structs.replace(recorded, momentum=0.5))  # the first step has no momentum yet
    history = trained.history(order=msgspec.structs.replace(trained.order, training_parameters=slower))
    assert trained.replay(history=history, most_iterations=2) == 0
    assert trained.said[-1] == "MATCH in the first 2 iterations."
    assert trained.replay(history=history) == 1
    assert trained.said[-1].startswith("DIFFERENT from iteration 3 of the classification on: the loss was ")


def test_images_that_came_since_change_nothing(trained: Trained) -> None:
    paint(trained.images / "OK" / "later.png", seed=99, level=90)
    try:
        assert trained.replay() == 0
    finally:
        (trained.images / "OK" / "later.png").unlink()


def test_another_seed_differs_from_the_first_iteration_on(trained: Trained) -> None:
    other = msgspec.structs.replace(trained.order, seed=8)
    history = trained.history(order=other)
    with pytest.raises(ImagesDiffer):  # another seed splits otherwise
        trained.replay(history=history)
    faster = msgspec.structs.replace(
        trained.order,
        training_parameters=an_order(max_iter=ITERATIONS, base_lr=0.03).training_parameters,
    )
    assert trained.replay(history=trained.history(order=faster)) == 1
    assert trained.said[-1].startswith("DIFFERENT from iteration 1 of the classification on: the loss was ")


def test_a_changed_image_is_named(trained: Trained) -> None:  # E-3
    file = trained.images / "SPOT" / "001.png"
    other = (trained.images / "OK" / "001.png").read_bytes()

    def replayed() -> None:
        with pytest.raises(ImagesDiffer, match=r"images:SPOT/001\.png"):
            trained.replay()

    with_changed(file, other, replayed)


def test_an_image_that_is_gone_is_named(trained: Trained) -> None:
    def replayed() -> None:
        with pytest.raises(ImageIsGone, match=r"images:SCRATCH/002\.png"):
            trained.replay()

    with_changed(trained.images / "SCRATCH" / "002.png", None, replayed)


def test_a_version_is_replayed_by_its_name(trained: Trained) -> None:
    published = msgspec.structs.replace(VERSION_PUBLISHED, job_id=TRAINING_JOB_ID)
    history = trained.history().claim(NameKind.MODEL, "panel-a", MODEL_ID).add(MODEL_ID, published)
    assert trained.replay("panel-a:v1.01", history=history) == 0
    with pytest.raises(NotFound):
        trained.replay("panel-b:v1.01", history=history)


def test_a_training_without_a_model_has_nothing_to_compare(trained: Trained) -> None:
    with pytest.raises(NothingToCompare):
        trained.replay(history=trained.history(*trained.facts[:1]))
    for asked in (str(example_id("nothing")), "no id"):
        with pytest.raises(NotFound):
            trained.replay(asked)
