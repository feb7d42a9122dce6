"""Replaying the log gives the tables that are there, and finds it when it does not. Source: REQUIREMENTS, E-2."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import UndefinedTable

from domain.task_types import TaskTypeRenamed
from infra.event_store import EventLog, create_tables, open_event_log
from infra.projector import Projector
from infra.replay import COPIED, REPLAYED, ReplayIsRunning, verify_replay
from projections.audit import Audit
from projections.task_types import TaskTypes
from projections.users import Users
from tests.examples import CLASSIFICATION_ID, QUALITY_LEAD_ID, plant

MODELS = (Users, TaskTypes, Audit)


@pytest.fixture
def log(database: str) -> Iterator[EventLog]:
    """A plant, taken in by some read models."""
    create_tables(database)
    log = open_event_log(database)
    log.append(plant().events)
    projector = Projector(log, database, MODELS)
    projector.drain()
    projector.close()
    yield log
    log.close()


def rename(log: EventLog) -> None:
    """One event more than the tables have taken in."""
    history = plant().add(CLASSIFICATION_ID, TaskTypeRenamed(name="表面分类"), actor=QUALITY_LEAD_ID)
    log.append(history.events[-1:])


def test_a_replay_gives_the_same_rows_in_every_table(log: EventLog, database: str) -> None:  # E-2
    compared = verify_replay(log, database, MODELS)
    assert [(model.name, model.position, model.is_same) for model in compared] == [
        (model.name, log.position(), True) for model in MODELS
    ]
    assert {table.name: table.row_count for table in compared[0].tables} == {"users": 3}


def test_a_row_that_the_log_does_not_give_is_named(log: EventLog, database: str) -> None:  # E-2
    with psycopg.connect(database) as connection:
        connection.execute(
            "UPDATE read.task_types SET name = '没有人改过' WHERE task_type_id = %s", (CLASSIFICATION_ID,)
        )
        connection.execute("DELETE FROM read.users WHERE username = 'trainer_li'")
    users, task_types, audit = verify_replay(log, database, MODELS)
    assert not users.is_same
    assert [(table.lost, table.new) for table in users.tables] == [(0, 1)]
    assert "trainer_li" in users.tables[0].examples[0]
    assert [(table.lost, table.new) for table in task_types.tables] == [(1, 1)]
    assert any("没有人改过" in line for line in task_types.tables[0].examples)
    assert audit.is_same


def test_what_the_tables_have_not_taken_in_yet_is_no_difference(log: EventLog, database: str) -> None:
    rename(log)
    assert all(model.is_same for model in verify_replay(log, database, MODELS))


def test_read_models_at_different_positions_are_each_compared_at_their_own(log: EventLog, database: str) -> None:
    rename(log)
    projector = Projector(log, database, MODELS)
    projector.drain()
    projector.close()
    rename_position = log.position()
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE read.positions SET position = %s WHERE name = 'users'", (rename_position - 1,))
    compared = verify_replay(log, database, MODELS)
    assert {model.name: model.position for model in compared} == {
        "users": rename_position - 1,
        "task_types": rename_position,
        "audit": rename_position,
    }
    assert all(model.is_same for model in compared)


def test_tables_of_another_release_or_with_a_problem_are_not_taken_for_proved(log: EventLog, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE read.positions SET definition = 'of yesterday' WHERE name = 'users'")
        connection.execute("UPDATE read.positions SET problem = 'stopped before event 3' WHERE name = 'task_types'")
    users, task_types, audit = verify_replay(log, database, MODELS)
    assert (users.is_same, task_types.is_same, audit.is_same) == (False, False, True)
    assert "another release" in users.problem
    assert task_types.problem == "stopped before event 3"


def test_a_replay_leaves_nothing_behind_and_runs_alone(log: EventLog, database: str) -> None:
    verify_replay(log, database, MODELS)
    with psycopg.connect(database, autocommit=True) as connection:
        for schema in (COPIED, REPLAYED):
            with pytest.raises(UndefinedTable):
                connection.execute(f"SELECT 1 FROM {schema}.users")
        connection.execute("SELECT pg_advisory_lock(x'7265706C6179'::bigint)")
        with pytest.raises(ReplayIsRunning):
            verify_replay(log, database, MODELS)
