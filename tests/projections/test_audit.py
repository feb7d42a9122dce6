"""Everything that happened can be found again, among however much else. Source: REQUIREMENTS, E-3."""

import shutil
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

import domain.audit
from domain.audit.kinds import Kind
from domain.datasets import DataPathsRemoved, DatasetCreated, DatasetDeleted
from domain.facts import SYSTEM
from domain.names import NameKind
from domain.task_types import TaskTypeRenamed
from domain.users import UserDeleted, UserEmailChanged
from domain.uses import Needed, UseBegun, UseEnded
from projections.audit import Audit, AuditRow, Question
from projections.users import Users
from tests.every_fact import every_fact
from tests.examples import (
    CLASSIFICATION_ID,
    MODEL_ID,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TRAINING_JOB_ID,
    TRAINING_PATH_ID,
    TRAINING_QUEUED,
    TWO_CORES_ID,
    VERSION_PUBLISHED,
    History,
    example_id,
    plant,
)
from tests.projections.read_side import Project

EVERYTHING = Question(everything=True)


def busy_plant() -> History:
    """trainer_wang works; quality_lead corrects."""
    return (
        plant()
        .claim(NameKind.TRAINING_DATASET, "panel-a-training", TRAINING_DATASET_ID, actor=TRAINER_WANG_ID)
        .add(TRAINING_DATASET_ID, TRAINING_DATASET, actor=TRAINER_WANG_ID)
        .add(TRAINING_DATASET_ID, DataPathsRemoved(path_ids=(TRAINING_PATH_ID,)), actor=TRAINER_WANG_ID)
        .add(TRAINER_WANG_ID, UserEmailChanged(email="wang@fab.example"), actor=QUALITY_LEAD_ID)
        .add(TRAINER_WANG_ID, UserEmailChanged(email="w.wang@fab.example"), actor=TRAINER_WANG_ID)
        .add(CLASSIFICATION_ID, TaskTypeRenamed(name="表面分类"), actor=QUALITY_LEAD_ID)
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, actor=TRAINER_WANG_ID)
    )


def told(rows: tuple[AuditRow, ...] | list[AuditRow]) -> list[str]:
    return [str(row.sentence) for row in rows]


def test_other_words_are_other_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # E-2, E-3
    folder = tmp_path / "audit"
    shutil.copytree(Path(domain.audit.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(domain.audit, "__file__", str(folder / "__init__.py"))
    seen = {Audit.definition()}
    assert Audit.definition() in seen
    files = list(folder.glob("*.py"))
    for file in files:
        file.write_text(f"{file.read_text(encoding='utf-8')}\n# said otherwise\n", encoding="utf-8")
        seen.add(Audit.definition())
    assert len(seen) == 1 + len(files)


def test_the_newest_stands_first_and_says_who_did_what(project: Project) -> None:  # E-3
    found = project(busy_plant(), Users, Audit).audit.search(Question(), size=4)
    assert told(found.rows) == [
        "trainer_wang queued a training of “panel-a” with the model image “resnet18 v1.0”.",
        "quality_lead changed the name of the task type “分类” to “表面分类”.",
        "trainer_wang changed the e-mail address of “trainer_wang” from “wang@fab.example” to “w.wang@fab.example”.",
        "quality_lead gave “trainer_wang” the e-mail address “wang@fab.example”.",
    ]
    assert (found.has_newer, found.has_older) == (False, True)


def test_a_removed_path_is_still_called_what_it_was(project: Project) -> None:
    read = project(busy_plant(), Users, Audit)
    assert told(read.audit.history(TRAINING_DATASET_ID, size=1)) == [
        "trainer_wang removed data paths from the dataset “panel-a-training” (1): data:panel-a/train"
    ]


@pytest.mark.parametrize(
    ("question", "topics"),
    [
        (Question(actor=QUALITY_LEAD_ID, kind=Kind.TASK_TYPE), ["task_type.renamed"]),
        (Question(topic="user.email_changed"), ["user.email_changed", "user.email_changed"]),
        (Question(topic="user.email_changed", actor=TRAINER_WANG_ID), ["user.email_changed"]),
        (Question(actor=TRAINER_LI_ID), []),
        (Question(kind=Kind.DATASET), ["dataset.data_paths_removed", "dataset.created"]),
        (Question(things=(TRAINING_DATASET_ID,), topic="dataset.created"), ["dataset.created"]),
        (Question(things=()), []),
        (Question(topic="there.is_none"), []),
        (Question(kind=Kind.NAME, actor=TRAINER_WANG_ID), ["name.claimed"]),
    ],
)
def test_events_are_found_by_user_kind_type_and_thing(
    project: Project, question: Question, topics: list[str]
) -> None:  # E-3
    found = project(busy_plant(), Users, Audit).audit.search(question)
    assert [row.topic for row in found.rows] == topics


def test_events_are_found_by_time_from_the_first_moment_to_before_the_last(project: Project) -> None:  # E-3
    history = busy_plant()
    read = project(history, Users, Audit)
    moments = [event.timestamp for event in history.events[-4:]]
    found = read.audit.search(Question(since=moments[1], until=moments[3], everything=True))
    assert [row.happened_at for row in found.rows] == [moments[2], moments[1]]


def test_measurements_and_bookkeeping_come_only_when_asked_for(project: Project) -> None:
    read = project(busy_plant(), Users, Audit)
    assert not any(row.kind is Kind.NAME for row in read.audit.search(Question(), size=100).rows)
    assert any(row.kind is Kind.NAME for row in read.audit.search(EVERYTHING, size=100).rows)


def test_reading_on_and_back_shows_every_event_once(project: Project) -> None:  # E-3
    history = busy_plant()
    read = project(history, Users, Audit)
    part, seen = read.audit.search(EVERYTHING, size=3), []
    while True:
        seen += [row.position for row in part.rows]
        if not part.has_older:
            break
        older = read.audit.search(EVERYTHING, older_than=part.rows[-1].place, size=3)
        back = read.audit.search(EVERYTHING, newer_than=older.rows[0].place, size=3)
        assert (back.rows, back.has_older) == (part.rows, True)
        assert back.has_newer is part.has_newer
        part = older
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == len(history.events)


def test_events_of_the_same_moment_keep_the_order_of_the_log(project: Project) -> None:
    history = busy_plant()
    moment = history.events[0].timestamp
    history.events[:] = [msgspec.structs.replace(event, timestamp=moment) for event in history.events]
    read = project(history, Users, Audit)
    first = read.audit.search(EVERYTHING, size=5)
    second = read.audit.search(EVERYTHING, older_than=first.rows[-1].place, size=5)
    positions = [row.position for row in (*first.rows, *second.rows)]
    assert positions == list(range(len(history.events), len(history.events) - 10, -1))


def test_a_history_is_read_from_the_newest_on(project: Project) -> None:
    read = project(busy_plant(), Users, Audit)
    assert [row.version for row in read.audit.history(TRAINER_WANG_ID)] == [3, 2, 1]
    assert [row.version for row in read.audit.history(TRAINER_WANG_ID, before=3, size=1)] == [2]
    assert read.audit.history(example_id("nothing")) == []


def test_how_far_a_thing_was_at_a_moment(project: Project) -> None:  # E-3
    history = busy_plant()
    read = project(history, Users, Audit)
    moments = [event.timestamp for event in history.events if event.originator_id == TRAINER_WANG_ID]
    assert read.audit.version_at(TRAINER_WANG_ID, moments[1]) == 2
    assert read.audit.version_at(TRAINER_WANG_ID, moments[2] - timedelta(seconds=1)) == 2
    assert read.audit.version_at(TRAINER_WANG_ID, moments[0] - timedelta(seconds=1)) is None


def test_things_are_found_by_a_part_of_their_name(project: Project) -> None:
    read = project(busy_plant().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID), Users, Audit)
    assert [(thing.kind, thing.name) for thing in read.audit.called("PANEL-A")] == [
        *sorted([(Kind.TRAINING_JOB, "panel-a"), (Kind.MODEL, "panel-a")], key=lambda one: _id_of(one[0])),
        (Kind.DATASET, "panel-a-training"),
    ]
    assert [thing.owner for thing in read.audit.called("panel-a", Kind.MODEL)] == [VERSION_PUBLISHED.owner]
    assert read.audit.called("nothing of the kind") == []
    assert read.audit.thing(CLASSIFICATION_ID).name == "表面分类"


def _id_of(kind: Kind) -> UUID:
    return MODEL_ID if kind is Kind.MODEL else TRAINING_JOB_ID


def test_what_jobs_need_is_called_by_its_name(project: Project) -> None:
    uses_id = Needed.compute_resource(TWO_CORES_ID).uses_id
    history = busy_plant().add(
        uses_id, UseBegun(job_id=TRAINING_JOB_ID, name="panel-a"), UseEnded(job_id=TRAINING_JOB_ID)
    )
    assert told(project(history, Users, Audit).audit.history(uses_id)) == [
        "The job “panel-a” needs “CPU 2 · 4 GiB” no more.",
        "The job “panel-a” needs “CPU 2 · 4 GiB” from now on.",
    ]


def test_what_was_deleted_keeps_its_history(project: Project) -> None:  # D-8
    read = project(busy_plant().add(TRAINING_DATASET_ID, DatasetDeleted(), actor=TRAINER_LI_ID), Users, Audit)
    assert told(read.audit.history(TRAINING_DATASET_ID))[0] == "trainer_li deleted the dataset “panel-a-training”."


def test_every_fact_is_taken_in_and_a_rebuild_tells_the_same(project: Project) -> None:  # E-2, E-6
    history = busy_plant()
    for topic, fact in every_fact().items():
        if not isinstance(fact, DatasetCreated):
            history.add(example_id(topic), fact, actor=TRAINER_WANG_ID)
    read = project(history, Users, Audit)
    shown = {row.topic for row in read.audit.search(EVERYTHING, size=1_000).rows}
    assert shown == set(every_fact())
    tables = read.assert_rebuild_equals_live()
    assert len(tables["audit_events"]) == len(history.events)
    assert "the-secret" not in str({name: rows for name, rows in tables.items() if name.startswith("audit")})
    assert SYSTEM in {row["actor"] for row in tables["audit_events"]}


def test_whoever_inherited_a_thing_owns_its_history_and_deleted_people_are_named_last(project: Project) -> None:  # U-7
    history = busy_plant().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
    read = project(history, Users, Audit)
    assert read.audit.usernames() == ["quality_lead", "trainer_li", "trainer_wang"]
    read.take_in(history.add(TRAINER_LI_ID, UserDeleted(heir=QUALITY_LEAD_ID), actor=QUALITY_LEAD_ID))
    assert read.audit.usernames() == ["quality_lead", "trainer_wang", "trainer_li"]
    read.take_in(history.add(TRAINER_WANG_ID, UserDeleted(heir=QUALITY_LEAD_ID), actor=QUALITY_LEAD_ID))
    assert read.audit.thing(MODEL_ID).owner == QUALITY_LEAD_ID
    assert read.audit.person("TRAINER_wang") == TRAINER_WANG_ID
