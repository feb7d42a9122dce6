"""A network that is cut between a process and the database holds nobody up for long."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.connections import LIMITS, connect, open_pool, with_limits
from infra.event_store import create_tables, open_event_log
from infra.recorder import LogRecorder
from tests.conftest import CHECKOUT
from tests.infra.cut_network import Network, network_to

IN_A_NETWORK_OF_ITS_OWN = ("unshare", "--net", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")))
"""Whoever is not root runs the database, too, and keeps the right to its socket as root of a user namespace."""


@pytest.fixture
def network(database: str) -> Iterator[Network]:
    with network_to(database) as network:
        yield network


def limits_of(descriptor: int) -> dict[str, int]:
    with socket.socket(fileno=descriptor) as wire:
        found = {
            "keepalives": wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            "keepalives_idle": wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            "keepalives_interval": wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            "keepalives_count": wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            "tcp_user_timeout": wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        }
        wire.detach()
    return found


WANTED = {"keepalives": 1, **{name: limit for name, limit in LIMITS.items() if name != "connect_timeout"}}


def test_a_connection_looks_often_whether_the_other_end_is_there(network: Network) -> None:  # S-2
    with connect(network.dsn) as connection:
        assert limits_of(connection.pgconn.socket) == WANTED


def test_pools_and_the_log_are_connected_in_the_same_way(database: str, network: Network) -> None:
    create_tables(database)
    with closing(open_event_log(network.dsn)) as log, open_pool(network.dsn) as pool, pool.connection() as connection:
        assert isinstance(log.recorder, LogRecorder)
        assert limits_of(connection.pgconn.socket) == WANTED
        with log.recorder.datastore.get_connection() as other:
            assert limits_of(other.pgconn.socket) == WANTED


def test_the_server_is_told_to_look_as_often(database: str) -> None:
    options = str(conninfo_to_dict(with_limits(database))["options"])
    for limit in ("tcp_keepalives_idle", "tcp_user_timeout"):
        assert re.search(rf"-c {limit}=\d", options)
    with connect(make_conninfo(database, options="-c statement_timeout=7s")) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("7s",)


def test_what_the_address_says_goes_before_our_limits() -> None:
    chosen = "postgresql://assay@db/assay?connect_timeout=9&keepalives_idle=120&options=-c%20tcp_keepalives_idle%3D120"
    told = conninfo_to_dict(with_limits(chosen))
    assert (told["connect_timeout"], told["keepalives_idle"]) == ("9", "120")
    assert str(told["options"]).endswith("-c tcp_keepalives_idle=120")
    assert told["tcp_user_timeout"] == str(LIMITS["tcp_user_timeout"])


def test_nobody_else_opens_connections() -> None:
    allowed = {"infra/connections.py", "infra/embedded_postgres.py"}  # the latter starts a server of this very machine
    opening = re.compile(r"psycopg\.connect\(|(?<!\w)Connection(\[\w+\])?\.connect\(|ConnectionPool\(")
    modules = [
        path for package in ("infra", "projections", "web", "commands") for path in (CHECKOUT / package).rglob("*.py")
    ]
    found = {str(path.relative_to(CHECKOUT)) for path in modules if opening.search(path.read_text(encoding="utf-8"))}
    assert found == allowed


def test_who_waits_for_an_answer_over_a_dead_link_gives_up(database: str) -> None:  # S-2
    if shutil.which("ip") is None or subprocess.run([*IN_A_NETWORK_OF_ITS_OWN, "true"], check=False).returncode:
        pytest.skip("a network of its own needs `ip`, `unshare` and leave to use user namespaces")
    ended = subprocess.run(
        [*IN_A_NETWORK_OF_ITS_OWN, sys.executable, "-m", "tests.infra.dead_link", database],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "timed out" in ended.stdout.lower(), ended.stderr
    assert int(ended.stdout.split()[0]) < 30
