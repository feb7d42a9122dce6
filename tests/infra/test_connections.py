"""A network that is cut between a process and the database holds nobody up for long; a real network, cut without a word."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from domain.industries import IndustryCreated
from infra import connections
from infra.advisory_locks import take_lock
from infra.connections import LIMITS, DatabaseConnection, connect, open_pool, with_limits
from infra.event_store import create_tables, open_event_log
from infra.positions import PositionWatcher
from infra.projector import Projector
from infra.recorder import LogRecorder
from projections.industries import Industries
from tests.conftest import CHECKOUT
from tests.eventually import eventually
from tests.examples import INDUSTRY, INDUSTRY_ID, LEVELS, example_id
from tests.infra.cut_network import Network, network_to
from tests.infra.example_runs import history

ANOTHER_ID = example_id("半导体")
A_LOCK = 20_261_127
LONGEST_SECONDS = 30.0
"""So soon everything shows what is true again."""


@pytest.fixture
def network(database: str) -> Iterator[Network]:
    with network_to(database) as network:
        yield network


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether anybody still works on an answer is asked at once."""
    monkeypatch.setattr(connections, "ASKS_AFTER_SECONDS", 0.3)
    monkeypatch.setattr(connections, "ANSWERS_WITHIN_SECONDS", 2)


def opened(dsn: str) -> Connection[TupleRow]:
    return connect(dsn, autocommit=True)


def test_a_connection_looks_often_whether_the_other_end_is_there(network: Network) -> None:
    with connect(network.dsn) as connection, socket.socket(fileno=connection.pgconn.socket) as wire:
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == LIMITS["keepalives_idle"]
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == LIMITS["tcp_user_timeout"]
        wire.detach()


def test_the_server_is_told_to_look_as_often(database: str) -> None:
    options = str(conninfo_to_dict(with_limits(database))["options"])
    for limit in ("tcp_keepalives_idle", "tcp_user_timeout"):
        assert re.search(rf"-c {limit}=\d", options)
    with connect(make_conninfo(database, options="-c statement_timeout=7s")) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("7s",)


def test_what_the_address_says_goes_before_our_limits(database: str) -> None:
    chosen = "postgresql://assay@db/assay?connect_timeout=9&keepalives_idle=120&options=-c%20tcp_keepalives_idle%3D120"
    told = conninfo_to_dict(with_limits(chosen))
    assert (told["connect_timeout"], told["keepalives_idle"]) == ("9", "120")
    assert str(told["options"]).endswith("-c tcp_keepalives_idle=120")
    assert told["tcp_user_timeout"] == str(LIMITS["tcp_user_timeout"])


def test_pools_and_the_log_are_connected_in_the_same_way(database: str) -> None:
    create_tables(database)
    with closing(open_event_log(database)) as log, open_pool(database) as pool, pool.connection() as connection:
        recorder = log.recorder
        assert isinstance(recorder, LogRecorder)
        with recorder.datastore.get_connection() as other:
            assert isinstance(other, DatabaseConnection)
        assert isinstance(connection, DatabaseConnection)


def test_nobody_else_opens_connections() -> None:
    allowed = {"infra/connections.py", "infra/embedded_postgres.py"}  # the latter starts a server of this very machine
    opening = re.compile(r"psycopg\.connect\(|(?<!\w)Connection(\[\w+\])?\.connect\(|ConnectionPool\(")
    modules = [
        path for package in ("infra", "projections", "web", "commands") for path in (CHECKOUT / package).rglob("*.py")
    ]
    found = {str(path.relative_to(CHECKOUT)) for path in modules if opening.search(path.read_text(encoding="utf-8"))}
    assert found == allowed


@pytest.mark.usefixtures("impatience")
def test_who_waits_for_an_answer_over_a_cut_network_gives_up(network: Network) -> None:  # S-2
    with ThreadPoolExecutor(1) as beside, opened(network.dsn) as connection:
        connection.execute("SELECT 1")
        network.cut()
        asked = beside.submit(connection.execute, "SELECT 2")
        with pytest.raises(psycopg.OperationalError, match="does not answer"):
            asked.result(timeout=LONGEST_SECONDS)
        assert connection.closed


@pytest.mark.usefixtures("impatience")
def test_an_answer_that_takes_long_is_waited_for(network: Network) -> None:
    with opened(network.dsn) as connection:
        assert connection.execute("SELECT 'slow' FROM pg_sleep(1.5)").fetchone() == ("slow",)


@pytest.mark.usefixtures("impatience")
def test_an_answer_that_was_lost_on_the_way_is_not_waited_for(network: Network) -> None:
    """The network is back, but the server never heard the question."""
    with ThreadPoolExecutor(1) as beside, opened(network.dsn) as connection:
        network.cut()
        network.mend()
        with pytest.raises(psycopg.OperationalError, match="waits for us"):
            beside.submit(connection.execute, "SELECT 2").result(timeout=LONGEST_SECONDS)


@pytest.mark.usefixtures("impatience")
def test_a_lock_that_a_cut_connection_held_is_free_again(network: Network) -> None:
    """The server believes in the old session for as long as something between keeps it up, and nobody could lead meanwhile."""
    old = opened(network.dsn)
    assert take_lock(old, A_LOCK)
    network.cut()
    with pytest.raises(psycopg.OperationalError):
        old.execute("SELECT 1")
    network.mend()
    with opened(network.dsn) as new:
        eventually(lambda: take_lock(new, A_LOCK))


@pytest.mark.usefixtures("impatience")
def test_a_session_that_only_has_the_number_of_a_cut_one_is_left_alone(network: Network, database: str) -> None:
    ours = opened(network.dsn)
    network.cut()
    with pytest.raises(psycopg.OperationalError):
        ours.execute("SELECT 1")
    network.mend()
    with opened(database) as theirs:
        forgotten = connections.with_limits(network.dsn)
        connections.CUT.note(forgotten, theirs.info.backend_pid, opened_at=time.monotonic() - 3600)
        opened(network.dsn).close()
        assert theirs.execute("SELECT 1").fetchone() == (1,)


def test_pages_show_what_is_true_again_after_a_network_was_cut(network: Network, database: str) -> None:  # S-2, E-5
    """The projector leads again, who waits for it is woken, and the pool of the pages answers; nothing was told to anybody."""
    create_tables(database)
    with ExitStack() as stack:
        log = stack.enter_context(closing(open_event_log(database)))
        pages = stack.enter_context(open_pool(network.dsn))
        cut_log = stack.enter_context(closing(open_event_log(network.dsn)))
        watcher = stack.enter_context(closing(PositionWatcher(network.dsn)))
        stack.enter_context(running(Projector(cut_log, network.dsn, [Industries])))
        industries = Industries(pages)
        watcher.wait(log.append(history(INDUSTRY_ID, INDUSTRY)), timeout=LONGEST_SECONDS)
        assert [industry.name for industry in industries.list()] == ["显示面板"]
        network.cut()
        position = log.append(history(ANOTHER_ID, IndustryCreated(name="半导体")))
        with pytest.raises(psycopg.OperationalError):
            industries.list()
        network.mend()
        watcher.wait(position, timeout=LONGEST_SECONDS)
        assert [industry.name for industry in industries.list()] == ["半导体", "显示面板"]
        assert cut_log.append(history(INDUSTRY_ID, LEVELS, after_version=1)) > position


@contextmanager
def running(projector: Projector) -> Iterator[None]:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        working = beside.submit(projector.run, stop)
        try:
            yield
        finally:
            stop.set()
            working.result(timeout=LONGEST_SECONDS)
