"""Sessions in PostgreSQL. Source: REQUIREMENTS, U-1, U-3, U-5."""

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from infra.connections import open_pool
from infra.session_store import RENEW_SECONDS, SessionStore
from infra.side_tables import create_side_tables
from web.sessions import IDLE_SECONDS, LONGEST_SECONDS, Session

WANG = Session(user_id=UUID(int=2), epoch=3)
LI = Session(user_id=UUID(int=4), epoch=0)


@pytest.fixture
def store(database: str) -> Iterator[SessionStore]:
    create_side_tables(database)
    with open_pool(database) as pool:
        yield SessionStore(pool)


def make_older(database: str, column: str, seconds: float) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            f"UPDATE app.sessions SET {column} = {column} - make_interval(secs => %s)".encode(), (seconds,)
        )


def test_a_session_is_found_by_its_id_until_it_is_closed(store: SessionStore) -> None:  # U-1
    wang, li = store.open(WANG), store.open(LI)
    assert (store.find(wang), store.find(li)) == (WANG, LI)
    store.close(wang)
    assert (store.find(wang), store.find(li)) == (None, LI)


def test_unknown_ids_find_nothing(store: SessionStore) -> None:
    store.open(WANG)
    for session_id in ("", "guessed", "' OR true --", "%"):
        assert store.find(session_id) is None


def test_all_sessions_of_a_user_end_together(store: SessionStore) -> None:  # U-5
    sessions, li = [store.open(WANG) for _ in range(3)], store.open(LI)
    store.close_all(WANG.user_id)
    assert [store.find(session_id) for session_id in sessions] == [None] * 3
    assert store.find(li) == LI


def test_the_id_itself_is_not_in_the_database(store: SessionStore, database: str) -> None:  # E-6
    session_id = store.open(WANG)
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT sessions::text FROM app.sessions").fetchall()
    assert len(rows) == 1
    assert session_id not in rows[0][0]


def test_a_session_that_is_not_used_grows_too_old(store: SessionStore, database: str) -> None:  # U-1
    session_id = store.open(WANG)
    make_older(database, "seen_at", IDLE_SECONDS - 5)
    assert store.find(session_id) == WANG  # and was used by that
    make_older(database, "seen_at", IDLE_SECONDS - 5)
    assert store.find(session_id) == WANG
    make_older(database, "seen_at", IDLE_SECONDS + 5)
    assert store.find(session_id) is None


def test_using_a_session_keeps_it_only_up_to_a_limit(store: SessionStore, database: str) -> None:  # U-1
    session_id = store.open(WANG)
    make_older(database, "opened_at", LONGEST_SECONDS + 5)
    assert store.find(session_id) is None


def test_reading_pages_writes_a_session_only_once_in_a_while(store: SessionStore, database: str) -> None:
    session_id = store.open(WANG)

    def version() -> object:
        with psycopg.connect(database) as connection:
            return connection.execute("SELECT xmin::text FROM app.sessions").fetchone()

    before = version()
    store.find(session_id)
    assert version() == before
    make_older(database, "seen_at", RENEW_SECONDS + 1)
    before = version()
    store.find(session_id)
    assert version() != before


def test_old_sessions_go_when_new_ones_come(store: SessionStore, database: str) -> None:
    store.open(WANG)
    make_older(database, "seen_at", IDLE_SECONDS + 5)
    store.open(LI)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT user_id FROM app.sessions").fetchall() == [(LI.user_id,)]
