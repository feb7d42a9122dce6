"""A plant with everything that a backup must hold: a sealed log, the files that it names, positions, and what stands beside it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.artifacts import Artifact
from domain.exports import export_id
from domain.facts import Recorded
from infra.artifacts import Artifacts
from infra.backup_folder import Backup, BackupFolder
from infra.backups import take_backup
from infra.event_store import EventLog, create_tables, open_event_log
from infra.kept_secrets import seal_key
from infra.notary import Notary
from infra.projector import Projector
from infra.recorder import TrackingAfter
from infra.settings import Settings, read_settings, remember_data_root
from infra.side_tables import create_side_tables
from projections.all import READ_MODELS
from tests.examples import (
    EVALUATION,
    MODEL_ID,
    PREDICTION_COMPLETED,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    PREDICTION_STARTED,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_PUBLISHED,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    History,
    plant,
)
from tests.projections.test_exports import BUILT, QUEUED, STARTED

SOURCE = "kafka topic-of-reports/3"
REACHED = 41
"""How far the reports of a partition were taken in."""
SIDE_ROWS = """
INSERT INTO app.feed (position, sent_count, sent_at) VALUES (7, 5, '2026-03-02 08:30:00.1234+00');
INSERT INTO app.unusable_reports (source, place, reason, content)
    VALUES ('kafka topic-of-reports/3', 12, E'no\\ttab\\nand \\\\ 原因', '\\x00ff0a09');
INSERT INTO app.drafts (user_id, kind, content) VALUES (gen_random_uuid(), 'training', '\\x0a5c4e');
INSERT INTO app.api_requests (request_key, digest, is_done) VALUES (gen_random_uuid(), '\\xab', true);
INSERT INTO app.token_uses VALUES (gen_random_uuid(), now(), '127.0.0.1');
INSERT INTO app.sessions (session_key, user_id, epoch) VALUES ('a hash', gen_random_uuid(), 0);
INSERT INTO app.workers VALUES ('gpu-1', '{training}', '{}', now());
"""


def history() -> History:
    """From the first user to a published, predicted and exported version."""
    return (
        plant()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID)
        .add(TRAINING_JOB_ID, TRAINING_STARTED, TRAINING_COMPLETED, TRAINING_PUBLISHED)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
        .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, actor=TRAINER_WANG_ID)
        .add(PREDICTION_JOB_ID, PREDICTION_STARTED, PREDICTION_COMPLETED)
        .add(export_id(MODEL_ID, "v1.01"), QUEUED, STARTED, BUILT, actor=TRAINER_WANG_ID)
    )


EVALUATIONS = {TRAINING_COMPLETED.evaluation, PREDICTION_COMPLETED.results[0].evaluation}


class BackedUpPlant:
    """An installation without its processes; `settings.database_url` is its database."""

    def __init__(self, database: str, folder: Path) -> None:
        self.settings = settings_of(database, folder)
        self.database = database
        self.artifacts = Artifacts(self.settings.shared / "artifacts")
        self.said: list[str] = []
        self._scratch = folder / "scratch"
        self._scratch.mkdir(parents=True)
        self._appended = 0
        create_tables(database)
        create_side_tables(database)
        self.log: EventLog = open_event_log(database)
        self.history = history()
        self.happens()
        self.log.append([], TrackingAfter(SOURCE, REACHED))
        with psycopg.connect(database) as connection:
            connection.execute(SIDE_ROWS)
        self.settings = remember_data_root(self.settings, "line", folder)
        self.seal()

    def happens(self) -> None:
        """What is new in the history, with real files for all that it names."""
        events = self.history.events[self._appended :]
        self._appended = len(self.history.events)
        self.log.append([msgspec.structs.replace(event, data=self.with_files(event.data)) for event in events])

    def with_files(self, value: Any) -> Any:
        """The same, naming files that are there instead of those of the examples, which nobody ever made."""
        if isinstance(value, Artifact):
            return value if self.artifacts.has(value) else self.kept(content_of(value))
        if isinstance(value, msgspec.Struct):
            fields = {name: self.with_files(getattr(value, name)) for name in value.__struct_fields__}
            return msgspec.structs.replace(value, **fields)
        return tuple(map(self.with_files, value)) if type(value) is tuple else value

    def kept(self, content: bytes) -> Artifact:
        """A file on the storage, kept long ago."""
        (self._scratch / "file").write_bytes(content)
        artifact = self.artifacts.keep(self._scratch / "file")
        os.utime(self.artifacts.path(artifact), (0, 0))
        return artifact

    def seal(self) -> None:
        """As the notary does."""
        key = Ed25519PrivateKey.from_private_bytes(seal_key(self.settings))
        notary = Notary(self.database, key, self.settings.seals, seal_events=1)
        with psycopg.connect(self.database, autocommit=True) as connection:
            while notary.follow(connection):
                pass
            notary.seal_if_due(connection, is_ending=True)

    def project(self) -> None:
        """As the projector does."""
        projector = Projector(self.log, self.database, READ_MODELS, self.artifacts)
        projector.drain()
        projector.close()

    def back_up(self, folder: Path, **options: Any) -> Backup:
        """Add a backup to a folder."""
        say: Callable[[str], None] = options.pop("say", self.said.append)
        return take_backup(self.settings, self.artifacts, BackupFolder(folder), say, **options)


def content_of(artifact: Artifact) -> bytes:
    """What a file that an example names holds; evaluations can be opened."""
    return msgspec.msgpack.encode(EVALUATION) + (
        b"" if artifact in EVALUATIONS else b"file of " + artifact.checksum.encode()
    )


def settings_of(database: str, folder: Path) -> Settings:
    """An installation in a folder, over a database."""
    return read_settings(
        {
            "ASSAY_STATE": str(folder / "state"),
            "ASSAY_SHARED": str(folder / "shared"),
            "ASSAY_DATABASE_URL": database,
            "ASSAY_ADMINISTRATOR_PASSWORD": "Secret-of-settings-1",
        }
    )


@contextmanager
def backed_up_plant(database: str, folder: Path) -> Iterator[BackedUpPlant]:
    """For one test."""
    made = BackedUpPlant(database, folder)
    try:
        yield made
    finally:
        made.log.close()


def recorded_of(log: EventLog) -> list[tuple[int, Recorded]]:
    """Everything that a log holds."""
    return log.read(0, 1_000)
