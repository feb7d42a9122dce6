"""A tiny aggregate and its read models, for tests of the log and the projector that should not change with the product."""

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID

import pytest

from domain.facts import FACTS, Fact, Origin, Recorded, State, evolves, replace
from projections.read_model import ReadModel, Rows, Table

INSPECTOR = UUID("11111111-1111-4111-8111-111111111111")
MORNING = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)


class RunStarted(Fact):
    """An example run began."""

    TOPIC = "example.run_started"
    name: str
    worker: str = ""


class LossReported(Fact):
    """One figure of an example run."""

    TOPIC = "example.loss_reported"
    iteration: int
    loss: float


class RunRenamed(Fact):
    """An example run got another name."""

    TOPIC = "example.run_renamed"
    name: str


class RunRemoved(Fact):
    """An example run is gone."""

    TOPIC = "example.run_removed"


# Tests that look at every fact of the product must not meet these.
EXAMPLE_FACTS = {fact.TOPIC: FACTS.pop(fact.TOPIC) for fact in (RunStarted, LossReported, RunRenamed, RunRemoved)}


class Run(State):
    """What the example's rules would need."""

    name: str
    iteration: int = 0


evolves(
    Run,
    {
        RunStarted: lambda _, fact: Run(name=fact.name),
        LossReported: lambda run, fact: replace(run, iteration=fact.iteration),
        RunRenamed: lambda run, fact: replace(run, name=fact.name),
        RunRemoved: lambda run, _: replace(run, name=""),
    },
)


class Runs(ReadModel):
    """A row a run, a row a figure; `loss_count` doubles or lacks something as soon as a fact is projected twice or not."""

    name = "example_runs"
    RUNS = Table(
        "example_runs",
        key=("run_id uuid",),
        columns=("name text NOT NULL", "worker text", "loss_count int NOT NULL DEFAULT 0", "last_loss float8"),
        indexes=("CREATE INDEX example_runs_name ON example_runs (name)",),
    )
    LOSSES = Table("example_losses", key=("run_id uuid", "iteration int"), columns=("loss float8",))

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """Take one fact."""
        match recorded:
            case Recorded(originator_id=run_id, data=RunStarted(name=name, worker=worker)):
                rows.insert(self.RUNS, run_id, name=name, worker=worker)
            case Recorded(originator_id=run_id, data=RunRenamed(name=name)):
                rows.update(self.RUNS, run_id, name=name)
            case Recorded(originator_id=run_id, data=LossReported(iteration=iteration, loss=loss)):
                rows.insert(self.LOSSES, run_id, iteration, loss=loss)
                if row := rows.row(self.RUNS, run_id):
                    rows.update(self.RUNS, run_id, loss_count=row["loss_count"] + 1, last_loss=loss)
            case Recorded(originator_id=run_id, data=RunRemoved()):
                rows.delete(self.LOSSES, run_id)
                rows.delete(self.RUNS, run_id)


class Deadly(ReadModel):
    """Kills its process at one fact. Read models before it in the row have written theirs by then, but not committed."""

    name = "example_deadly"
    version_that_kills: ClassVar[int] = 0

    def project(self, rows: Rows, recorded: Recorded) -> None:  # noqa: ARG002 - it writes nothing
        """Take one fact, perhaps the last."""
        if recorded.originator_version == self.version_that_kills:
            os.kill(os.getpid(), signal.SIGKILL)


def recorded(run_id: UUID, version: int, fact: Fact) -> Recorded:
    """The envelope of a fact, a second later with each version."""
    return Recorded(run_id, version, fact, MORNING + timedelta(seconds=version), Origin(actor=INSPECTOR, request="r-1"))


def history(run_id: UUID, *facts: Fact, after_version: int = 0) -> list[Recorded]:
    """Facts in their envelopes."""
    return [recorded(run_id, version, fact) for version, fact in enumerate(facts, after_version + 1)]


def know_the_example() -> None:
    """For processes of their own; tests take the fixture."""
    FACTS.update(EXAMPLE_FACTS)


@pytest.fixture
def example_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's facts are facts of the product for one test."""
    for topic, fact in EXAMPLE_FACTS.items():
        monkeypatch.setitem(FACTS, topic, fact)
