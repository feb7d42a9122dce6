"""Long histories are folded from a kept state on, and always to what folding all of their facts gives."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import msgspec
import psycopg
import pytest

from domain.environments import Environment, EnvironmentNode, EnvironmentNodesAdded, EnvironmentNodesRemoved
from domain.facts import Fact, State, fold
from domain.messages import LossPart
from domain.task_types import TaskType
from domain.training_jobs import (
    EVOLVE,
    TrainingCompleted,
    TrainingInterrupted,
    TrainingJob,
    TrainingLossesMeasured,
    TrainingQueued,
    TrainingRestarted,
    TrainingTerminated,
)
from domain.uses import UseBegun, UseEnded, UseRuledOut, Uses
from infra.event_store import EventLog, create_tables, open_event_log
from infra.kept_states import KEEP_EVERY, KeptStates, definition_of_states, mark_of
from infra.log_verbs import verify
from infra.recorder import LogRecorder
from infra.settings import read_settings
from infra.side_tables import create_side_tables
from tests.conftest import CHECKOUT
from tests.every_fact import example_of
from tests.examples import (
    CLASSIFICATION,
    ENVIRONMENT_ID,
    INDUSTRY_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    WORSE_AT_THE_END,
    History,
    example_id,
)

S = TypeVar("S", bound=State)


def losses(count: int, part: LossPart = LossPart.CLASSIFICATION) -> list[Fact]:
    return [
        TrainingLossesMeasured(part=part, iterations=(5 * at, 5 * at + 3), losses=(0.1 + at, 1 / 3), learning_rate=0.01)
        for at in range(1, count + 1)
    ]


LONG: Sequence[Fact] = (
    TRAINING_QUEUED,
    TRAINING_STARTED,
    *losses(KEEP_EVERY),
    TrainingInterrupted(),
    TRAINING_STARTED,
    *losses(150, LossPart.SEGMENTATION),
    TrainingTerminated(),
    TrainingRestarted(),
    TRAINING_STARTED,
    *losses(170),
)
ENDED: Sequence[Fact] = (WORSE_AT_THE_END, TRAINING_PUBLISHED)


@pytest.fixture
def log(database: str) -> Iterator[EventLog]:
    create_tables(database)
    create_side_tables(database)
    with closing(open_event_log(database, keeps_states=True)) as opened:
        opened.append(History().add(TRAINING_JOB_ID, *LONG).events)
        yield opened


class Anew:
    """A process that has folded nothing yet: what it makes of the training, and how many facts it reads for that."""

    def __init__(self, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[int] = []
        with closing(open_event_log(database, keeps_states=True)) as log:
            decode = log.mapper.to_domain_event

            def counted(stored_event: object) -> object:
                self.read.append(stored_event.originator_version)  # type: ignore[attr-defined]
                return decode(stored_event)  # type: ignore[arg-type]

            monkeypatch.setattr(log.mapper, "to_domain_event", counted)
            self.state = log.load(TrainingJob, TRAINING_JOB_ID)


def folded(log: EventLog) -> TrainingJob | None:
    return fold(TrainingJob, log.history(TRAINING_JOB_ID))


def kept_versions(database: str) -> list[int]:
    with psycopg.connect(database) as connection:
        return [version for (version,) in connection.execute("SELECT version FROM app.kept_states").fetchall()]


def change(database: str, statement: str, *parameters: object) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute(statement.encode(), parameters).rowcount == 1


def test_a_kept_state_leads_to_what_all_facts_lead_to_and_spares_reading_them(
    log: EventLog, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert log.load(TrainingJob, TRAINING_JOB_ID) == folded(log)
    assert kept_versions(database) == [len(LONG)]
    log.append(History().add(TRAINING_JOB_ID, *ENDED, after=len(LONG)).events)
    other = Anew(database, monkeypatch)
    assert other.read == [len(LONG) + 1, len(LONG) + 2]
    assert other.state == folded(log)


def test_it_is_kept_every_so_many_facts_by_whoever_follows_a_training(database: str) -> None:
    create_tables(database)
    create_side_tables(database)
    with closing(open_event_log(database, keeps_states=True)) as log:
        kept = set()
        for at, fact in enumerate((TRAINING_QUEUED, TRAINING_STARTED, *losses(2 * KEEP_EVERY))):
            log.append(History().add(TRAINING_JOB_ID, fact, after=at).events)
            log.load(TrainingJob, TRAINING_JOB_ID)
            kept.update(kept_versions(database))
    assert kept == {KEEP_EVERY, 2 * KEEP_EVERY}


def test_the_state_of_other_rules_is_never_used_and_soon_replaced(
    log: EventLog, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.load(TrainingJob, TRAINING_JOB_ID)
    change(database, "UPDATE app.kept_states SET definition = sha256('rules of another release')")
    other = Anew(database, monkeypatch)
    assert len(other.read) == len(LONG)
    assert other.state == folded(log)
    assert Anew(database, monkeypatch).read == []


@pytest.mark.parametrize(
    "otherwise",
    ["state = replace(convert_from(state, 'UTF8'), '0.33333', '0.44444')::bytea", "topic = 'training.validated'"],
)
def test_the_state_of_another_history_is_never_used(log: EventLog, database: str, otherwise: str) -> None:
    """As after a restore: the same training, at the same version, but something else had happened."""
    log.load(TrainingJob, TRAINING_JOB_ID)
    kept = kept_states(log)
    assert kept.find(TrainingJob, TRAINING_JOB_ID) == folded(log)
    change(database, f"UPDATE assay_events SET {otherwise} WHERE originator_version = %s", len(LONG))
    assert kept.find(TrainingJob, TRAINING_JOB_ID) is None


def test_a_kept_state_is_not_taken_for_that_of_another_kind(log: EventLog) -> None:
    assert log.load(TrainingJob, TRAINING_JOB_ID) is not None
    assert log.load(Uses, TRAINING_JOB_ID) is None


def test_what_cannot_be_read_is_folded_anew(log: EventLog, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log.load(TrainingJob, TRAINING_JOB_ID)
    change(database, "UPDATE app.kept_states SET content = %s", b"\xc1 damaged")
    other = Anew(database, monkeypatch)
    assert other.state == folded(log)
    assert len(other.read) == len(LONG)


def test_without_the_table_everything_goes_on(log: EventLog, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("DROP TABLE app.kept_states")
    assert Anew(database, monkeypatch).state == folded(log)


def test_short_histories_are_not_kept(log: EventLog, database: str) -> None:
    task_type_id = uuid4()
    log.append(History().add(task_type_id, CLASSIFICATION).events)
    assert log.load(TaskType, task_type_id) is not None
    assert not TaskType.HAS_LONG_HISTORY
    assert kept_versions(database) == []


def test_an_older_state_does_not_replace_a_newer_one(log: EventLog, database: str) -> None:
    state = log.load(TrainingJob, TRAINING_JOB_ID)
    assert state is not None
    older = fold(TrainingJob, log.history(TRAINING_JOB_ID)[:KEEP_EVERY])
    assert older is not None
    kept_states(log).keep(older, None)
    assert kept_versions(database) == [state.version]


@pytest.mark.parametrize("fact_type", [fact_type for fact_type in EVOLVE if fact_type is not TrainingQueued])
def test_every_state_is_written_and_read_without_loss(fact_type: type[Fact]) -> None:
    """After every fact there is, with every field that it may have, the state that was kept is the state."""
    first = (example_of(TrainingQueued), TRAINING_STARTED, *losses(1), *losses(1, LossPart.SEGMENTATION))
    for facts in ((*first, example_of(fact_type)), (*LONG[:2], example_of(fact_type)), (*first, TRAINING_COMPLETED)):
        events = History().add(TRAINING_JOB_ID, *facts).events
        for at in range(1, len(events) + 1):
            state = fold(TrainingJob, events[:at])
            again = read_again(state)
            assert again == state
            assert fold(TrainingJob, events[at:], again) == fold(TrainingJob, events)


def test_uses_are_written_and_read_without_loss() -> None:
    facts: Sequence[Fact] = (
        *(UseBegun(job_id=example_id(f"job {number}"), name=f"panel-{number}") for number in range(3)),
        UseEnded(job_id=example_id("job 1")),
        UseRuledOut(),
    )
    events = History().add(example_id("uses"), *facts).events
    for at in range(1, len(events) + 1):
        state = fold(Uses, events[:at])
        again = read_again(state)
        assert again == state
        assert fold(Uses, events[at:], again) == fold(Uses, events)


def test_a_state_that_would_be_read_otherwise_is_not_kept(log: EventLog, database: str) -> None:
    state = log.load(TrainingJob, TRAINING_JOB_ID)
    assert state is not None
    change(database, "DELETE FROM app.kept_states")
    nowhere = msgspec.structs.replace(state, completed=undefined())
    assert read_again(nowhere) != nowhere, "NaN is not equal to itself"
    kept_states(log).keep(nowhere, None)
    assert kept_versions(database) == []


def test_a_kept_state_that_somebody_turned_is_named_until_it_is_forgotten(log: EventLog, database: str) -> None:  # E-2
    state = log.load(TrainingJob, TRAINING_JOB_ID)
    assert state is not None
    assert [one.problem for one in log.checked_states()] == [""]
    turned = msgspec.structs.replace(state, name="panel-of-somebody-else")
    change(database, "UPDATE app.kept_states SET content = %s", msgspec.msgpack.encode(turned))
    (found,) = log.checked_states()
    assert (found.kind, found.aggregate_id, found.version) == ("TrainingJob", TRAINING_JOB_ID, len(LONG))
    assert "not what its facts lead to" in found.problem
    log.forget_states()
    assert list(log.checked_states()) == []
    assert log.load(TrainingJob, TRAINING_JOB_ID) == folded(log)
    assert [one.problem for one in log.checked_states()] == [""], "it is kept again"


def test_a_kept_state_that_cannot_be_read_is_named_too(log: EventLog, database: str) -> None:
    log.load(TrainingJob, TRAINING_JOB_ID)
    change(database, "UPDATE app.kept_states SET content = %s", b"noise")
    (found,) = log.checked_states()
    assert "cannot be read" in found.problem


def test_a_kept_state_that_nobody_would_use_is_no_difference(log: EventLog, database: str) -> None:
    log.load(TrainingJob, TRAINING_JOB_ID)
    change(database, "UPDATE app.kept_states SET content = %s, definition = %s", b"noise", b"rules of yesterday")
    assert list(log.checked_states()) == []


def test_verifying_the_log_compares_what_is_kept_of_it(
    log: EventLog, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # E-4
    settings = read_settings({"ASSAY_STATE": str(tmp_path), "ASSAY_DATABASE_URL": database})
    state = log.load(TrainingJob, TRAINING_JOB_ID)
    assert state is not None
    assert verify(settings, None) == 0
    assert "1 kept states  same" in capsys.readouterr().out
    turned = msgspec.structs.replace(state, name="panel-b")
    change(database, "UPDATE app.kept_states SET content = %s", msgspec.msgpack.encode(turned))
    assert verify(settings, None) == 1
    said = capsys.readouterr().out
    assert f"kept state of TrainingJob {TRAINING_JOB_ID}, version {len(LONG)}: it is not what its facts lead to" in said
    assert "Something does not fit." in said


def test_the_tree_of_a_plant_that_grew_for_years_is_kept_with_the_order_of_its_places(
    log: EventLog, database: str
) -> None:  # M-3
    added = [
        EnvironmentNodesAdded(industry_id=INDUSTRY_ID, nodes=(EnvironmentNode(uuid4(), f"panel_{at}", None),))
        for at in range(2 * KEEP_EVERY)
    ]
    removed = EnvironmentNodesRemoved(industry_id=INDUSTRY_ID, node_ids=(added[3].nodes[0].node_id,))
    log.append(History().add(ENVIRONMENT_ID, *added, removed).events)
    grown = log.load(Environment, ENVIRONMENT_ID)
    assert kept_versions(database) == [2 * KEEP_EVERY + 1]
    with closing(open_event_log(database, keeps_states=True)) as another_process:
        found = kept_states(another_process).find(Environment, ENVIRONMENT_ID)
        assert found == grown == fold(Environment, log.history(ENVIRONMENT_ID))
    assert found is not None
    assert list(found.nodes) == [fact.nodes[0].node_id for fact in added if fact is not added[3]]
    with pytest.raises(TypeError):
        found.nodes[uuid4()] = added[3].nodes[0]  # type: ignore[index]


def test_the_mark_of_the_rules_changes_with_every_byte_of_them(tmp_path: Path) -> None:
    for name in ("facts.py", "training_jobs.py"):
        shutil.copy(CHECKOUT / "domain" / name, tmp_path)
    marks = {mark_of(tmp_path.glob("*.py"))}
    assert mark_of(tmp_path.glob("*.py")) in marks
    with (tmp_path / "training_jobs.py").open("a") as rules:
        rules.write("#")
    marks.add(mark_of(tmp_path.glob("*.py")))
    (tmp_path / "facts.py").rename(tmp_path / "states.py")
    marks.add(mark_of(tmp_path.glob("*.py")))
    assert len(marks) == 3


def read_again(state: S | None) -> S | None:
    return state and msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=type(state))


def undefined() -> TrainingCompleted:
    return msgspec.structs.replace(TRAINING_COMPLETED, seconds=float("nan"))


def kept_states(log: EventLog) -> KeptStates:
    assert isinstance(log.recorder, LogRecorder)
    return KeptStates(log.recorder.datastore, definition_of_states())
