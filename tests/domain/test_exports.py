"""X-1: one package a version, built on demand by a worker."""

from domain.attempts import AttemptIsOver
from domain.exports import (
    Export,
    ExportBuilt,
    ExportFailed,
    ExportInterrupted,
    ExportPackageLost,
    ExportQueued,
    ExportStarted,
    ExportStatus,
    export_id,
    interrupt,
    report,
    request,
    start,
)
from domain.messages import ExportOrder
from domain.models import Model
from domain.sentences import Sentence
from tests.examples import FIGURES, MODEL_ID, TRAINER_WANG_ID, VERSION_PUBLISHED, artifact
from tests.given_when_then import given, state_of

MODEL: Model = state_of(VERSION_PUBLISHED, aggregate_id=MODEL_ID)
VERSION = MODEL.published_version("v1.01")
QUEUED = ExportQueued(
    owner=TRAINER_WANG_ID,
    model_id=MODEL_ID,
    order=ExportOrder(
        model_name="panel-a",
        version=VERSION.to_predict,
        evaluation=VERSION_PUBLISHED.evaluation,
        accuracy=FIGURES.accuracy,
        recall=FIGURES.recall,
    ),
)
STARTED = ExportStarted(worker="gpu-1")
BUILT = ExportBuilt(package=artifact("panel-a-v1.01.zip"))
FAILED = ExportFailed(reason=Sentence("The package predicts differently from the platform."))


def test_the_package_of_a_version_is_queued_on_demand() -> None:
    given().when(request, MODEL, VERSION).then(QUEUED)


def test_asking_again_while_it_is_under_way_or_there_builds_nothing() -> None:
    for facts in ([QUEUED], [QUEUED, STARTED], [QUEUED, STARTED, BUILT]):
        given(*facts).when(request, MODEL, VERSION).then()


def test_after_a_failure_it_can_be_asked_for_once_more() -> None:
    given(QUEUED, STARTED, FAILED).when(request, MODEL, VERSION).then(QUEUED)


def test_a_package_whose_file_was_lost_is_built_again() -> None:
    given(QUEUED, STARTED, BUILT).when(request, MODEL, VERSION, is_package_lost=True).then(ExportPackageLost(), QUEUED)
    again: Export = state_of(QUEUED, STARTED, BUILT, ExportPackageLost(), QUEUED)
    assert (again.status, again.package) == (ExportStatus.WAITING, None)


def test_what_was_not_built_cannot_be_lost() -> None:
    for facts in ([QUEUED], [QUEUED, STARTED], [QUEUED, STARTED, BUILT, ExportPackageLost(), QUEUED, STARTED]):
        given(*facts).when(request, MODEL, VERSION, is_package_lost=True).then()
    given(QUEUED, STARTED, FAILED).when(request, MODEL, VERSION, is_package_lost=True).then(QUEUED)


def test_the_second_build_is_another_attempt_so_late_reports_of_the_first_are_void() -> None:
    again = (QUEUED, STARTED, FAILED, QUEUED)
    given(*again).when(start, 1, "gpu-1").then_refused(AttemptIsOver)
    given(*again).when(start, 2, "gpu-1").then(STARTED)
    given(*again, STARTED).when(report, 1, BUILT).then_refused(AttemptIsOver)


def test_one_worker_builds_it() -> None:
    given(QUEUED).when(start, 1, "gpu-1").then(STARTED)
    given(QUEUED, STARTED).when(start, 1, "gpu-2").then_refused(AttemptIsOver)


def test_only_a_worker_that_builds_it_can_report() -> None:
    given(QUEUED, STARTED).when(report, 1, BUILT).then(BUILT)
    given(QUEUED).when(report, 1, BUILT).then_refused(AttemptIsOver)
    given(QUEUED, STARTED, BUILT).when(report, 1, FAILED).then_refused(AttemptIsOver)


def test_a_silent_worker_leaves_it_to_another() -> None:
    given(QUEUED, STARTED).when(interrupt, 1, 3).then(ExportInterrupted())
    given(QUEUED, STARTED, ExportInterrupted()).when(start, 2, "gpu-2").then(ExportStarted(worker="gpu-2"))
    given(QUEUED).when(interrupt, 1, 3).then_refused(AttemptIsOver)


def test_after_the_configured_tries_it_fails_and_can_be_asked_for_again() -> None:
    tried = (QUEUED, STARTED, *(ExportInterrupted(), STARTED) * 2)
    outcome = given(*tried).when(interrupt, 3, 3)
    export: Export = state_of(*tried)
    assert export.attempt.interruptions == 2
    outcome.then(ExportFailed(reason=Sentence(GIVING_UP, {"count": 3})))


def test_a_built_export_holds_its_package() -> None:
    export: Export = state_of(QUEUED, STARTED, BUILT)
    assert (export.status, export.package) == (ExportStatus.BUILT, BUILT.package)


def test_every_version_has_an_export_of_its_own() -> None:
    assert export_id(MODEL_ID, "v1.01") == export_id(MODEL_ID, "v1.01")
    assert export_id(MODEL_ID, "v1.01") != export_id(MODEL_ID, "v1.02")
    assert export_id(MODEL_ID, "v1.01") != export_id(TRAINER_WANG_ID, "v1.01")


GIVING_UP = (
    "{count} workers in a row fell silent while working on this. "
    "Look at the workers' logs and memory, then start it again."
)
