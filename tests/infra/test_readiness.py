"""What a process stands on, and the word for each part of it."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.event_store import EventLog, create_tables, open_event_log
from infra.projector import Projector
from infra.readiness import (
    LOOKS_AGAIN_SECONDS,
    Readiness,
    is_ready,
    look_at_brokers,
    look_at_database,
    look_at_folder,
    look_at_read_models,
    readiness_of,
)
from infra.settings import read_settings
from projections.industries import Industries
from projections.users import Users
from tests.conftest import free_ports
from tests.eventually import eventually
from tests.examples import QUALITY_LEAD, QUALITY_LEAD_ID, History

NOBODY = "postgresql://assay@127.0.0.1:1/assay"
AN_HOUR_AGO = "UPDATE assay_events SET recorded_at = clock_timestamp() - interval '1 hour'"


@pytest.fixture
def log(database: str) -> Iterator[EventLog]:
    create_tables(database)
    log = open_event_log(database)
    yield log
    log.close()


def test_storage_that_hangs_is_away_and_holds_up_nobody_who_asks() -> None:  # S-3
    """Mounted storage whose server is gone answers nothing, not even no. Strangers may ask as often as they like."""
    comes_back, now = threading.Event(), [0.0]
    asked: list[str] = []

    def hangs() -> str:
        asked.append("shared_storage")
        assert comes_back.wait(60)
        return "ready"

    looks = {"database": lambda: "ready", "shared_storage": hangs}
    readiness = Readiness(looks, patience_seconds=0.2, clock=lambda: now[0])
    for _ in range(3):
        assert readiness.parts() == {"database": "ready", "shared_storage": "away"}
        now[0] += 2 * LOOKS_AGAIN_SECONDS
    assert asked == ["shared_storage"], "one waits for it, not everybody"
    comes_back.set()
    eventually(lambda: is_ready(readiness.parts()))


def test_a_part_that_cannot_be_looked_at_any_more_is_not_taken_for_what_it_was() -> None:  # S-3
    now, answers = [0.0], ["ready"]
    readiness = Readiness({"shared_storage": answers.pop}, clock=lambda: now[0])
    assert readiness.parts() == {"shared_storage": "ready"}
    now[0] += 2 * LOOKS_AGAIN_SECONDS
    assert readiness.parts() == {"shared_storage": "away"}


def look(database: str, *, is_stopped_told: bool = False) -> str:
    return look_at_read_models(database, is_stopped_told=is_stopped_told)


def test_a_database_answers_or_is_away(database: str) -> None:  # S-3
    assert look_at_database(database) == "ready"
    assert look_at_database(NOBODY) == "away"


def test_read_models_are_missing_then_ready_then_behind_then_ready(database: str, log: EventLog) -> None:  # S-3
    assert look(database) == "missing", "no projector has ever run"
    projector = Projector(log, database, [Users, Industries])
    projector.build_tables()
    assert look(database) == "ready"
    log.append(History().add(QUALITY_LEAD_ID, QUALITY_LEAD).events)
    assert look(database) == "ready", "a moment behind is how it works"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(AN_HOUR_AGO)
        assert look(database) == "behind"
        projector.drain()
        projector.close()
        assert look(database) == "ready"
    assert look_at_read_models(NOBODY, is_stopped_told=False) == "away"


def test_a_read_model_that_stopped_is_the_projectors_trouble_and_holds_back_no_page(
    database: str, log: EventLog
) -> None:  # S-3
    Projector(log, database, [Users, Industries]).build_tables()
    log.append(History().add(QUALITY_LEAD_ID, QUALITY_LEAD).events)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(AN_HOUR_AGO)
        connection.execute("UPDATE read.positions SET position = 1 WHERE name = 'industries'")
        connection.execute("UPDATE read.positions SET problem = 'an event that it cannot take' WHERE name = 'users'")
    assert look(database) == "ready"
    assert look(database, is_stopped_told=True) == "stopped"


def test_a_folder_is_there_and_takes_files_or_is_missing(tmp_path: Path) -> None:  # S-3
    assert look_at_folder(tmp_path) == "ready"
    assert look_at_folder(tmp_path / "unmounted") == "missing"
    (tmp_path / "file").touch()
    assert look_at_folder(tmp_path / "file") == "missing"


def test_a_full_disk_is_told(tmp_path: Path) -> None:  # S-3
    assert look_at_folder(tmp_path, least_free_bytes=1 << 60) == "full"


def test_one_broker_that_answers_is_enough() -> None:  # S-3
    with socket.create_server(("127.0.0.1", 0)) as broker:
        port = broker.getsockname()[1]
        assert look_at_brokers((f"127.0.0.1:{free_ports(1)[0]}", f"127.0.0.1:{port}")) == "ready"
    assert look_at_brokers((f"127.0.0.1:{port}",)) == "away"


def test_however_often_strangers_ask_the_parts_are_looked_at_once_a_second() -> None:  # S-3
    looks, now = [0], [0.0]

    def look() -> str:
        looks[0] += 1
        return "ready"

    readiness = Readiness({"database": look}, clock=lambda: now[0])
    assert [readiness.parts() for _ in range(100)] == [{"database": "ready"}] * 100
    assert looks == [1]
    now[0] += LOOKS_AGAIN_SECONDS
    readiness.parts()
    assert looks == [2]


def test_ready_is_who_has_every_part() -> None:  # S-3
    assert is_ready({"database": "ready", "brokers": "ready"})
    assert not is_ready({"database": "ready", "brokers": "away"})


@pytest.mark.parametrize(
    ("process", "brokers", "parts"),
    [
        ("web", "", ["database", "read_models", "state_folder", "shared_storage"]),
        ("projector", "", ["database", "read_models", "state_folder"]),
        ("notary", "", ["database", "state_folder"]),
        ("worker", "", ["database", "state_folder", "shared_storage"]),
        ("worker", "127.0.0.1:1", ["shared_storage", "brokers"]),
        ("relay", "127.0.0.1:1", ["database", "state_folder", "brokers"]),
    ],
)
def test_a_process_stands_on_what_it_uses(tmp_path: Path, process: str, brokers: str, parts: list[str]) -> None:  # S-3
    settings = read_settings(
        {"ASSAY_STATE": str(tmp_path), "ASSAY_DATABASE_URL": NOBODY, "ASSAY_KAFKA_BROKERS": brokers}
    )
    assert list(readiness_of(settings, process).parts()) == parts
