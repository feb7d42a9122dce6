"""The plant on which benches measure: it breaks no rule, it is as large as it says, and it is the same each time."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from benchmarks.growing_log import FIRST_EVENTS, GrowingLog
from benchmarks.grown_plant import Plant, Size, grow
from commands.ports import VersionConflict
from domain.facts import Recorded
from domain.permissions import Role
from domain.training_jobs import TrainingLossesMeasured, TrainingStatus
from domain.users import UserCreated, UserEmailChanged
from infra.artifacts import Artifacts
from infra.bootstrap import open_core, verify_log
from infra.first_start import FIRST_ADMINISTRATOR_ID
from infra.settings import Settings, read_settings
from projections.all import READ_MODELS
from tests.examples import ReadablePasswords
from tests.projections.rebuild import assert_rebuild_equals_live

SMALL = Size(events=8_000, users=20, datasets=100, model_images=10, models=14, training_jobs=80, prediction_jobs=30)
ADMINISTRATOR = UserCreated(username="admin", role=Role.SUPER_ADMINISTRATOR, password_hash="hash")
BEGAN = datetime(2024, 1, 8, tzinfo=UTC)


class KeptLog:
    """A log of a new installation: its administrator, then whatever is appended."""

    def __init__(self, events: int = 1) -> None:
        created = Recorded(FIRST_ADMINISTRATOR_ID, 1, ADMINISTRATOR, BEGAN)
        changed = [
            Recorded(FIRST_ADMINISTRATOR_ID, number, UserEmailChanged(email=f"{number}@fab.example"), BEGAN)
            for number in range(2, events + 1)
        ]
        self.events = [created, *changed]

    def read(self, after: int, limit: int) -> list[tuple[int, Recorded]]:
        return list(enumerate(self.events, 1))[after : after + limit]

    def append(self, events: Any) -> int:
        self.events += events
        return len(self.events)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> KeptLog:
    return grown_in(tmp_path_factory.mktemp("artifacts"))


def grown_in(folder: Path) -> KeptLog:
    log = KeptLog()
    Plant(SMALL, log, Artifacts(folder), ReadablePasswords()).grow()
    return log


def test_a_plant_has_exactly_as_many_events_as_wanted(grown: KeptLog) -> None:
    assert len(grown.events) == SMALL.events
    moments = [event.timestamp for event in grown.events]
    assert moments == sorted(moments)
    assert timedelta(days=700) < moments[-1] - moments[0] <= timedelta(days=730)
    topics = Counter(event.data.TOPIC for event in grown.events)
    assert topics["dataset.created"] == SMALL.datasets
    assert topics["user.created"] == SMALL.users
    assert topics["prediction.queued"] == SMALL.prediction_jobs
    assert topics["training.queued"] >= SMALL.training_jobs
    assert topics["training.losses_measured"] > SMALL.events / 4
    for rare in (
        *("training.failed", "training.terminated", "training.restarted", "training.deleted", "export.built"),
        *("model.version_published", "model.version_withdrawn", "dataset.data_paths_removed", "use.ended"),
    ):
        assert topics[rare] > 0, rare


def test_things_live_beside_each_other(grown: KeptLog) -> None:
    """As in a log that many wrote: facts of one training seldom follow each other."""
    reporting = [event.originator_id for event in grown.events if isinstance(event.data, TrainingLossesMeasured)]
    following = sum(one == next_one for one, next_one in pairwise(reporting))
    assert following < len(reporting) / 2


def test_two_plants_of_one_size_are_the_same(grown: KeptLog, tmp_path: Path) -> None:
    assert grown_in(tmp_path).events == grown.events


def test_a_decision_on_another_state_than_the_present_one_is_refused() -> None:
    log = GrowingLog(KeptLog(), BEGAN, timedelta(seconds=1))
    changed = UserEmailChanged(email="quality@fab.example")
    with pytest.raises(VersionConflict):
        log.append([Recorded(FIRST_ADMINISTRATOR_ID, 1, changed, BEGAN)])
    log.append([Recorded(FIRST_ADMINISTRATOR_ID, 2, changed, BEGAN)])
    assert log.count == 2


def test_nothing_grows_where_somebody_has_worked() -> None:
    with pytest.raises(ValueError, match="this one is in use"):
        GrowingLog(KeptLog(events=FIRST_EVENTS), BEGAN, timedelta(seconds=1))


def test_a_plant_stands_in_the_log_in_the_read_models_and_in_the_chain(
    postgres: Settings, database: str, tmp_path: Path
) -> None:
    settings = read_settings({"ASSAY_STATE": str(tmp_path), "ASSAY_DATABASE_URL": database})
    plant = grow(settings, SMALL)
    with open_core(settings) as core:
        states = plant.log.states
        assert len(states) > SMALL.datasets
        for aggregate_id, state in states.items():
            assert core.log.load(type(state), aggregate_id) == state
        tables = assert_rebuild_equals_live(core.log, database, READ_MODELS, core.artifacts)
    ended = {status.value for status in TrainingStatus} - {"waiting", "training"}
    assert {row["status"] for row in tables["training_jobs"]} == ended
    assert len(tables["models"]) == SMALL.models
    assert len(tables["audit_events"]) == SMALL.events
    with psycopg.connect(database) as connection:
        stopped = connection.execute("SELECT name FROM read.positions WHERE problem IS NOT NULL").fetchall()
    assert not stopped
    _, verified = verify_log(settings, None)
    assert (verified.findings, verified.event_count, verified.chained_count) == ([], SMALL.events, SMALL.events)
