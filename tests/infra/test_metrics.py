"""What processes count, and what they tell of the database; the table in `infra/OPERATIONS.md` names every metric and no other."""

import re
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from prometheus_client.core import Metric

from commands.task_types import CreateTaskType
from domain.facts import SYSTEM
from domain.messages import JobKind
from domain.names import NameTaken
from domain.refusals import NotPermitted
from domain.task_types import TaskKind
from infra.bootstrap import open_core
from infra.event_store import create_tables
from infra.metrics import OWN, REGISTRY
from infra.programs import PROGRAMS
from infra.projector import Projector
from infra.settings import Settings, read_settings
from infra.side_tables import create_side_tables
from infra.stored_metrics import stored_metrics_of
from infra.uploads import Uploads
from infra.vital_signs import Gathered
from infra.worker_bootstrap import JobMetrics
from projections.industries import Industries
from projections.users import Users
from tests.conftest import CHECKOUT
from tests.examples import QUALITY_LEAD, QUALITY_LEAD_ID, TRAINER_WANG, TRAINER_WANG_ID, History

OPERATIONS = (CHECKOUT / "infra" / "OPERATIONS.md").read_text(encoding="utf-8")


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    create_tables(database)
    create_side_tables(database)
    return read_settings({"ASSAY_STATE": str(tmp_path), "ASSAY_DATABASE_URL": database})


def told_by(settings: Settings, process: str) -> list[Metric]:
    return [metric for collector in stored_metrics_of(settings, process) for metric in collector.collect()]


def value(metrics: list[Metric], name: str, **labels: str) -> float:
    (found,) = [
        sample.value
        for metric in metrics
        for sample in metric.samples
        if (sample.name, sample.labels) == (name, labels)
    ]
    return found


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def documented() -> dict[str, set[str]]:
    """The metrics of the table with the labels of their rows."""
    rows = re.findall(r"^\| (`assay_[^|]*) \| ([^|]*)\|", OPERATIONS, re.MULTILINE)
    return {
        name: set(re.findall(r"`(\w+)`", labels)) for names, labels in rows for name in re.findall(r"`(\w+)`", names)
    }


@pytest.fixture
def exposed(settings: Settings) -> dict[str, set[str]]:
    """Every metric of ours with the labels that its samples have."""
    with open_core(settings) as core:
        Projector(core.log, core.dsn, [Users, Industries]).build_tables()
        metrics = [metric for registry in (REGISTRY, *OWN.values()) for metric in registry.collect()]
    metrics += [metric for process in PROGRAMS for metric in told_by(settings, process)]
    metrics += list(Gathered(settings.run).collect())
    found: dict[str, set[str]] = {}
    for metric in metrics:
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = {label for sample in metric.samples for label in sample.labels}
        found.setdefault(name, set()).update(labels - {"le", "process"})
    return found


def test_the_table_names_every_metric_and_no_other(exposed: dict[str, set[str]]) -> None:  # S-3
    ours = {name for name in exposed if name.startswith("assay_")}
    assert len(ours) > 35
    assert set(documented()) == ours


def test_the_table_names_the_labels(exposed: dict[str, set[str]]) -> None:  # S-3
    told = documented()
    assert not {name: labels - told[name] for name, labels in exposed.items() if name in told and labels - told[name]}


def test_names_are_those_that_prometheus_expects(exposed: dict[str, set[str]]) -> None:  # S-3
    for name in documented():
        assert re.fullmatch(r"assay_[a-z_]+", name)
        assert not re.search(r"_(?:milliseconds|minutes|mib|gib|percent)(?:_|$)", name)


def test_commands_are_counted_by_how_they_were_decided(settings: Settings) -> None:  # S-3
    def counts() -> list[float]:
        return [
            count("assay_commands_total", command="CreateTaskType", outcome=outcome)
            for outcome in ("done", "refused", "not_permitted", "failed")
        ]

    def create(actor: UUID) -> CreateTaskType:
        return CreateTaskType(actor=actor, task_type_id=uuid4(), name="缺陷复判", kind=TaskKind.CLASSIFICATION)

    before, stored = counts(), count("assay_events_appended_total", type="task_type.created")
    with open_core(settings) as core:
        core.log.append(History().add(TRAINER_WANG_ID, TRAINER_WANG).events)
        core.assay.dispatch(create(SYSTEM))
        with pytest.raises(NameTaken):
            core.assay.dispatch(create(SYSTEM))
        with pytest.raises(NotPermitted):
            core.assay.dispatch(create(TRAINER_WANG_ID))
        core.log.close()
    assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [1, 1, 1, 0]
    assert count("assay_events_appended_total", type="task_type.created") == stored + 1


def test_pools_tell_of_themselves_as_long_as_they_are_open(settings: Settings) -> None:  # S-3
    with open_core(settings) as core:
        core.log.position()
        assert count("assay_database_pool_connections", pool="log", state="free") >= 1
        assert count("assay_database_pool_requests_total", pool="log", outcome="served") >= 1
    assert REGISTRY.get_sample_value("assay_database_pool_connections", {"pool": "log", "state": "free"}) is None


def test_a_follower_that_does_not_come_along_is_seen_with_the_age_of_what_it_left(settings: Settings) -> None:  # S-3
    with open_core(settings) as core:
        projector = Projector(core.log, core.dsn, [Users, Industries])
        projector.build_tables()
        position = core.log.append(History().add(QUALITY_LEAD_ID, QUALITY_LEAD).events)
        with psycopg.connect(core.dsn, autocommit=True) as connection:
            connection.execute("UPDATE assay_events SET recorded_at = clock_timestamp() - interval '1 hour'")
            connection.execute("UPDATE read.positions SET problem = 'an event' WHERE name = 'industries'")
        late = told_by(settings, "projector")
        projector.drain()
        projector.close()
    in_time = told_by(settings, "projector")
    assert value(late, "assay_log_position") == position
    assert value(late, "assay_follower_position", follower="read_model:users") == 0
    assert 3600 <= value(late, "assay_follower_lag_seconds", follower="read_model:users") < 3700
    assert value(late, "assay_read_model_stopped", read_model="industries") == 1
    assert value(late, "assay_read_model_stopped", read_model="users") == 0
    assert value(in_time, "assay_follower_position", follower="read_model:users") == position
    assert value(in_time, "assay_follower_lag_seconds", follower="read_model:users") == 0
    notary = told_by(settings, "notary")
    assert 3600 <= value(notary, "assay_follower_lag_seconds", follower="notary") < 3700, "it never ran"


def test_the_line_of_jobs_and_the_workers_heard_are_counted(settings: Settings) -> None:  # S-3
    job_id = uuid4()
    with psycopg.connect(str(settings.database_url), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO app.work (job_id, kind, queued_at, attempt, is_running, changed_at) VALUES"
            " (%(job)s, 'training', 1, 1, true, clock_timestamp()),"
            " (gen_random_uuid(), 'training', 2, 1, false, clock_timestamp() - interval '90 seconds'),"
            " (gen_random_uuid(), 'training', 3, 1, false, clock_timestamp()),"
            " (gen_random_uuid(), 'export', 4, 1, false, clock_timestamp())",
            {"job": job_id},
        )
        connection.execute(
            "INSERT INTO app.heartbeats VALUES (%s, 1, 'gpu-1', clock_timestamp(), '{}')",
            (job_id,),
        )
        connection.execute(
            "INSERT INTO app.workers (name, kinds, offered, seen_at) VALUES"
            """ ('gpu-1', '{training}', '{"cpu_cores": 8, "memory_gib": 32.0, "gpu_cards": 2, "gpu_memory_gib": 80}',"""
            " clock_timestamp()),"
            """ ('line-3', '{training}', '{"cpu_cores": 2, "memory_gib": 4.0}', clock_timestamp()),"""
            """ ('gone', '{training}', '{"cpu_cores": 64, "memory_gib": 64.0}', clock_timestamp() - interval '1 hour')"""
        )
    told = told_by(settings, "dispatcher")
    assert [value(told, "assay_jobs_waiting", kind=kind.value) for kind in JobKind] == [2, 0, 0, 1]
    assert [value(told, "assay_jobs_running", kind=kind.value) for kind in JobKind] == [1, 0, 0, 0]
    assert 90 <= value(told, "assay_jobs_oldest_waiting_seconds", kind="training") < 150
    assert value(told, "assay_jobs_oldest_waiting_seconds", kind="loading") == 0
    assert (value(told, "assay_workers", state="busy"), value(told, "assay_workers", state="free")) == (1, 1)
    assert value(told, "assay_workers_cpu_cores") == 10
    assert value(told, "assay_workers_memory_bytes") == 36 * 2**30
    assert value(told, "assay_workers_gpu_cards") == 2
    assert value(told, "assay_workers_gpu_memory_bytes") == 160 * 2**30


def test_a_database_that_is_away_leaves_its_metrics_out_and_ends_nothing(tmp_path: Path) -> None:  # S-3
    away = read_settings({"ASSAY_STATE": str(tmp_path), "ASSAY_DATABASE_URL": "postgresql://assay@127.0.0.1:1/assay"})
    assert told_by(away, "dispatcher") == []


def test_a_storage_that_is_not_mounted_leaves_only_itself_out(tmp_path: Path) -> None:  # S-3
    settings = read_settings(
        {
            "ASSAY_STATE": str(tmp_path),
            "ASSAY_SHARED": str(tmp_path / "gone"),
            "ASSAY_DATABASE_URL": "postgresql:///none",
        }
    )
    (free,) = told_by(settings, "housekeeper")
    assert [sample.labels["storage"] for sample in free.samples] == ["state"]
    assert free.samples[0].value > 0


def test_an_upload_is_counted_when_it_begins_while_it_comes_and_when_it_is_there(tmp_path: Path) -> None:  # S-3
    def counts() -> tuple[float, ...]:
        web = OWN["web"]
        states = [web.get_sample_value("assay_uploads_total", {"state": state}) or 0 for state in ("begun", "complete")]
        return (*states, web.get_sample_value("assay_upload_received_bytes_total") or 0)

    before = counts()
    uploads = Uploads(tmp_path, most_bytes=100, keep_free_bytes=0, keep_seconds=60)
    upload = uploads.begin(QUALITY_LEAD_ID, "resnet18@1.0", 6)
    arriving = uploads.open(upload.upload_id, QUALITY_LEAD_ID, 0)
    assert arriving is not None
    arriving.write(b"archiv")
    assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [1, 0, 6]
    arriving.finish()
    arriving.close()
    assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [1, 1, 6]


def test_a_worker_is_busy_while_it_has_a_job_and_counts_how_jobs_end() -> None:  # S-3
    worker, labels = OWN["worker"], {"kind": "training", "outcome": "released"}
    before = worker.get_sample_value("assay_jobs_total", labels) or 0
    metrics = JobMetrics()
    metrics.job_taken(JobKind.TRAINING)
    assert worker.get_sample_value("assay_worker_busy") == 1
    metrics.job_left(JobKind.TRAINING, "released", 7200.0)
    assert worker.get_sample_value("assay_worker_busy") == 0
    assert worker.get_sample_value("assay_jobs_total", labels) == before + 1
    assert worker.get_sample_value("assay_job_duration_seconds_bucket", labels | {"le": "3600.0"}) == 0
