"""Export packages on real PostgreSQL."""

from msgspec.structs import replace

from domain.exports import (
    ExportBuilt,
    ExportFailed,
    ExportInterrupted,
    ExportPackageLost,
    ExportQueued,
    ExportStarted,
    ExportStatus,
    export_id,
)
from domain.facts import Fact
from domain.messages import ExportOrder
from domain.models import ModelVersion
from domain.sentences import Sentence
from projections.exports import IS_LOST, Exports
from tests.examples import MODEL_ID, TRAINER_WANG_ID, VERSION_PUBLISHED, History, artifact, example_id
from tests.projections.read_side import Project

EXPORT_ID = export_id(MODEL_ID, "v1.01")
ORDER = ExportOrder(model_name="panel-a", version=ModelVersion(VERSION_PUBLISHED).to_predict)
QUEUED = ExportQueued(owner=TRAINER_WANG_ID, model_id=MODEL_ID, order=ORDER)
STARTED = ExportStarted(worker="gpu-1")
BUILT = ExportBuilt(package=artifact("panel-a-v1.01.zip"))
FAILED = ExportFailed(reason=Sentence("The disk is full."))


def after(*facts: Fact) -> History:
    return History().add(EXPORT_ID, *facts, actor=TRAINER_WANG_ID)


def test_a_package_that_nobody_asked_for_is_not_there(project: Project) -> None:
    read = project(after(QUEUED), Exports)
    assert read.exports.get(MODEL_ID, "v1.02") is None
    assert read.exports.get(example_id("another model"), "v1.01") is None


def test_the_row_follows_the_work(project: Project) -> None:
    history = after(QUEUED)
    read = project(history, Exports)
    for fact, status, worker in (
        (None, ExportStatus.WAITING, ""),
        (STARTED, ExportStatus.BUILDING, "gpu-1"),
        (ExportInterrupted(), ExportStatus.WAITING, ""),
        (STARTED, ExportStatus.BUILDING, "gpu-1"),
        (BUILT, ExportStatus.BUILT, "gpu-1"),
    ):
        if fact is not None:
            read.take_in(history.add(EXPORT_ID, fact))
        row = read.exports.get(MODEL_ID, "v1.01")
        assert (row.status, row.worker) == (status, worker), fact
        assert (row.status, row.worker) == (status, worker), fact
    built = read.exports.get(MODEL_ID, "v1.01")
    assert (built.package, built.finished_at) == (BUILT.package, history.events[-1].timestamp)


def test_a_failure_shows_its_reason_until_it_is_asked_for_again(project: Project) -> None:
    history = after(QUEUED, STARTED, FAILED)
    read = project(history, Exports)
    failed = read.exports.get(MODEL_ID, "v1.01")
    assert (failed.status, failed.reason) == (ExportStatus.FAILED, FAILED.reason)
    read.take_in(history.add(EXPORT_ID, QUEUED))
    again = read.exports.get(MODEL_ID, "v1.01")
    assert (again.status, again.reason, again.worker, again.finished_at) == (ExportStatus.WAITING, None, "", None)
    read.assert_rebuild_equals_live()


def test_a_lost_package_is_offered_no_more_and_says_why(project: Project) -> None:
    history = after(QUEUED, STARTED, BUILT, ExportPackageLost())
    read = project(history, Exports)
    lost = read.exports.get(MODEL_ID, "v1.01")
    assert (lost.status, lost.package, lost.reason) == (ExportStatus.FAILED, None, Sentence(IS_LOST))
    read.take_in(history.add(EXPORT_ID, QUEUED))
    assert read.exports.get(MODEL_ID, "v1.01").status is ExportStatus.WAITING
    read.assert_rebuild_equals_live()


def test_the_exports_of_a_model_are_found_by_version(project: Project) -> None:
    second = replace(QUEUED, order=replace(ORDER, version=replace(ORDER.version, label="v1.02")))
    history = after(QUEUED, STARTED, BUILT).add(export_id(MODEL_ID, "v1.02"), second)
    read = project(history, Exports)
    found = read.exports.of_model(MODEL_ID)
    assert {label: row.status for label, row in found.items()} == {
        "v1.01": ExportStatus.BUILT,
        "v1.02": ExportStatus.WAITING,
    }
    assert len(read.assert_rebuild_equals_live()["exports"]) == 2


def test_every_model_has_exports_of_its_own(project: Project) -> None:
    other = example_id("another model")
    history = after(QUEUED).add(export_id(other, "v1.01"), replace(QUEUED, model_id=other), STARTED)
    exports = project(history, Exports).exports
    assert [row.status for row in exports.of_model(MODEL_ID).values()] == [ExportStatus.WAITING]
    assert [row.status for row in exports.of_model(other).values()] == [ExportStatus.BUILDING]
