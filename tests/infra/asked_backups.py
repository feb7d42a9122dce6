"""Backups and restores as a person asks for them, and what may befall them: a full disk, a kill, a damaged file."""

import resource
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import tuple_row

from domain.artifacts import Artifact
from infra.artifacts import Artifacts
from infra.backed_up_tables import IN_BACKUP, LIBRARYS_OWN_ROW
from infra.backup_folder import EVENTS
from infra.backup_verbs import check, choose, put_back
from infra.cli import parser
from infra.kept_secrets import seal_key
from infra.notary import public_key_of
from infra.settings import Settings
from tests.infra.backed_up_plant import BackedUpPlant, backed_up_plant, settings_of


@pytest.fixture
def plant(database: str, tmp_path: Path) -> Iterator[BackedUpPlant]:
    with backed_up_plant(database, tmp_path / "plant") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def fresh(other_database: str, tmp_path: Path) -> Settings:
    """An empty place."""
    return settings_of(other_database, tmp_path / "fresh")


def asked(*arguments: object) -> Namespace:
    return parser().parse_args(list(map(str, arguments)))


def restored(folder: Path, settings: Settings, *options: object) -> tuple[int, list[str]]:
    """As `assay restore` does; the exit status, and what was said."""
    said: list[str] = []
    question = asked("restore", folder, *options)
    return put_back(choose(question, said.append), question, settings, said.append), said


def checked(folder: Path, *options: object) -> tuple[int, list[str]]:
    """As `assay backup --check` does."""
    said: list[str] = []
    return check(asked("backup", folder, "--check", *options), said.append), said


def rows_of(database: str, table: str) -> list[Any]:
    with psycopg.connect(database, row_factory=tuple_row) as connection:
        where = f"WHERE NOT ({LIBRARYS_OWN_ROW.get(table, 'false')}) ORDER BY {IN_BACKUP[table]}"
        return connection.execute(f"SELECT * FROM {table} {where}".encode()).fetchall()


def public_key(settings: Settings) -> bytes:
    return public_key_of(seal_key(settings))


def is_empty(settings: Settings) -> bool:
    """Whether a restore left nothing behind."""
    with psycopg.connect(str(settings.database_url)) as connection:
        has_log = connection.execute("SELECT to_regclass(%s)", (EVENTS,)).fetchone() != (None,)
    return not has_log and not settings.state.exists() and not settings.shared.exists()


class KilledError(BaseException):
    """The process is gone."""


class DiesAfter(Artifacts):
    """A store that is killed with its process after so many files."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder)
        self._left = count

    def take(self, artifact: Artifact, source: Artifacts) -> None:
        self._left -= 1
        if self._left < 0:
            (self.folder / artifact.checksum[:2]).mkdir(parents=True, exist_ok=True)
            (self.folder / artifact.checksum[:2] / f".{artifact.checksum}.left").write_bytes(b"half")
            raise KilledError
        super().take(artifact, source)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel lets no file of this process grow beyond, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def spoil(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])
