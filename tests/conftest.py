"""What every kind of test shares: a real PostgreSQL server a session, a database of its own a test."""

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from infra.embedded_postgres import ensure_postgres, superuser_address
from infra.settings import Settings, read_settings

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
    name = f"test_{next(_numbers)}"
    with psycopg.connect(superuser_address(postgres), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER assay TEMPLATE template0 STRATEGY file_copy".encode())
        yield make_conninfo(ensure_postgres(postgres), dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
