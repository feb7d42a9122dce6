"""What every kind of test shares: a real PostgreSQL server a session, a database of its own a test."""

import itertools
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from infra.embedded_postgres import ensure_postgres, superuser_address
from infra.local_kafka import BrokerFailed, LocalBroker, fetch_broker
from infra.settings import Settings, read_settings
from tests.parts import require
from tests.secured_kafka import secured_properties

CHECKOUT = Path(__file__).parents[1]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Settings]:
    """The settings of a running embedded server, which ends with the session."""
    state = Path(tempfile.mkdtemp(prefix="assay-tests-", dir="/tmp"))  # short: a socket's path holds 107 bytes
    state.chmod(0o711)  # as root the server runs as another user, who must get in
    guard = [sys.executable, "-m", "tests.postgres_guardian", str(state)]
    with subprocess.Popen(guard, cwd=CHECKOUT, stdin=subprocess.PIPE, start_new_session=True) as guardian:
        settings = read_settings({"ASSAY_STATE": str(state)})
        ensure_postgres(settings)
        with psycopg.connect(superuser_address(settings), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # nobody needs the tests' data after a power cut
            connection.execute("SELECT pg_reload_conf()")
        yield settings
        guardian.communicate()


@pytest.fixture
def database(postgres: Settings) -> Iterator[str]:
    """The connection string of an empty database, dropped after the test."""
    with empty_database(postgres) as dsn:
        yield dsn


@pytest.fixture
def other_database(postgres: Settings) -> Iterator[str]:
    """Another one, for what goes from one installation to another."""
    with empty_database(postgres) as dsn:
        yield dsn


@contextmanager
def empty_database(postgres: Settings) -> Iterator[str]:
    """A database of the server for as long as it is needed."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(superuser_address(postgres), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER assay TEMPLATE template0 STRATEGY file_copy".encode())
        yield make_conninfo(ensure_postgres(postgres), dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[LocalBroker]:
    """A real Apache Kafka on `kafka.address`, which ends with the session. A test that kills it starts it again."""
    missing = ""
    try:
        fetch_broker()
    except BrokerFailed as failed:
        missing = str(failed)
    require("Apache Kafka", present=not missing, how_to_get_it=missing)
    folder = Path(tempfile.mkdtemp(prefix="assay-kafka-", dir="/tmp"))
    port, controller_port, secured_port = free_ports(3)
    # a client of kafka-python 3.0.12 that is closed while it connects forgets the socket
    forgotten = rf"unclosed <socket.socket .*raddr=\('127.0.0.1', ({port}|{secured_port})\)"
    pytestconfig.addinivalue_line("filterwarnings", f"ignore:{forgotten}:ResourceWarning")  # for the tests that follow
    warnings.filterwarnings("ignore", forgotten, ResourceWarning)  # and for this one
    broker = LocalBroker(
        folder,
        port=port,
        controller_port=controller_port,
        listeners={"SASL_SSL": secured_port},
        properties=secured_properties(folder),
    )
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(folder)


@pytest.fixture
def topic_prefix() -> str:
    """Before the names of a test's topics, so that tests share a broker and no messages."""
    return f"test-{next(_numbers)}"


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
