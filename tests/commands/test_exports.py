"""Export packages, through dispatch: X-1, U-6."""

import dataclasses
from contextlib import closing
from uuid import UUID

import pytest
from msgspec.structs import replace

from commands.assay import Assay
from commands.exports import InterruptExport, RecordExport, RequestExport, StartExport
from commands.models import WithdrawModelVersion
from domain.api_tokens import ApiTokenCreated, ApiTokenRevoked, ScopeIsMes, ScopeIsRead, TokenIsRevoked, TokenScope
from domain.attempts import AttemptIsOver
from domain.exports import (
    Export,
    ExportBuilt,
    ExportFailed,
    ExportInterrupted,
    ExportPackageLost,
    ExportQueued,
    ExportStatus,
    export_id,
)
from domain.facts import SYSTEM
from domain.models import ModelVersionNotFound
from domain.refusals import NotFound, NotPermitted, NotTheOwner
from domain.sentences import Sentence
from infra.event_store import create_tables, open_event_log
from tests.commands.meeting import at_once
from tests.examples import (
    MODEL_ID,
    PORTS,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG_ID,
    VERSION_PUBLISHED,
    History,
    KnownFiles,
    MemoryLog,
    artifact,
    assay_after,
    example_id,
    plant,
)

EXPORT_ID = export_id(MODEL_ID, "v1.01")
REQUEST = RequestExport(actor=TRAINER_WANG_ID, model_id=MODEL_ID, version="v1.01")
BUILT = ExportBuilt(package=artifact("panel-a-v1.01.zip"))
FAILED = ExportFailed(reason=Sentence("The disk is full."))


def published() -> History:
    return plant().add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)


def asked_for() -> tuple[Assay, MemoryLog]:
    """A package that a worker builds."""
    assay, log = assay_after(published())
    assay.dispatch(REQUEST)
    assay.dispatch(StartExport(actor=SYSTEM, export_id=EXPORT_ID, attempt=1, worker="gpu-1"))
    return assay, log


def record(fact: ExportBuilt | ExportFailed, attempt: int = 1) -> RecordExport:
    return RecordExport(actor=SYSTEM, export_id=EXPORT_ID, attempt=attempt, fact=fact)


def test_a_worker_builds_what_the_owner_asked_for() -> None:
    assay, _ = asked_for()
    assay.dispatch(record(BUILT))
    export = assay.load(Export, EXPORT_ID)
    assert (export.owner, export.status, export.package) == (TRAINER_WANG_ID, ExportStatus.BUILT, BUILT.package)


def test_asking_again_stores_nothing() -> None:
    assay, log = asked_for()
    before = len(log.events)
    assert assay.dispatch(REQUEST) == 0
    assert len(log.events) == before


def test_a_failed_export_can_be_asked_for_again() -> None:
    assay, log = asked_for()
    assay.dispatch(record(FAILED))
    assay.dispatch(REQUEST)
    assert isinstance(log.events[-1].data, ExportQueued)


def built_on(storage: KnownFiles) -> tuple[Assay, MemoryLog]:
    """A package that was built, on a storage that perhaps lost it since."""
    assay, log = assay_after(published(), dataclasses.replace(PORTS, stored_files=storage))
    assay.dispatch(REQUEST)
    assay.dispatch(StartExport(actor=SYSTEM, export_id=EXPORT_ID, attempt=1, worker="gpu-1"))
    assay.dispatch(record(BUILT))
    return assay, log


def test_a_package_that_the_storage_lost_is_built_again_when_asked_for() -> None:
    assay, log = built_on(KnownFiles(BUILT.package))
    assay.dispatch(REQUEST)
    assert [type(event.data) for event in log.events[-2:]] == [ExportPackageLost, ExportQueued]
    with pytest.raises(AttemptIsOver):
        assay.dispatch(record(BUILT))
    assay.dispatch(StartExport(actor=SYSTEM, export_id=EXPORT_ID, attempt=2, worker="gpu-1"))


def test_a_package_that_is_there_is_not_built_again() -> None:
    assay, log = built_on(KnownFiles(artifact("another.zip")))
    before = len(log.events)
    assert assay.dispatch(REQUEST) == 0
    assert len(log.events) == before


@pytest.mark.parametrize("actor", [TRAINER_LI_ID, QUALITY_LEAD_ID], ids=["another trainer", "a super administrator"])
def test_only_the_owner_exports(actor: UUID) -> None:  # section U: own only, for both roles
    assay, log = assay_after(published())
    before = len(log.events)
    with pytest.raises(NotTheOwner):
        assay.dispatch(replace(REQUEST, actor=actor))
    assert len(log.events) == before


def test_an_unknown_version_or_model_cannot_be_exported() -> None:
    assay, _ = assay_after(published())
    with pytest.raises(ModelVersionNotFound):
        assay.dispatch(replace(REQUEST, version="v1.02"))
    with pytest.raises(NotFound):
        assay.dispatch(replace(REQUEST, model_id=example_id("no model")))


def test_no_person_reports_in_the_name_of_a_worker() -> None:  # U-6
    assay, _ = asked_for()
    with pytest.raises(NotPermitted):
        assay.dispatch(replace(record(BUILT), actor=TRAINER_WANG_ID))


def test_a_silent_worker_leaves_the_package_to_the_next() -> None:  # S-5
    assay, log = asked_for()
    assay.dispatch(InterruptExport(actor=SYSTEM, export_id=EXPORT_ID, attempt=1))
    assert isinstance(log.events[-1].data, ExportInterrupted)
    with pytest.raises(AttemptIsOver):
        assay.dispatch(record(BUILT))
    assay.dispatch(StartExport(actor=SYSTEM, export_id=EXPORT_ID, attempt=2, worker="gpu-2"))
    assay.dispatch(record(BUILT, attempt=2))
    assert assay.load(Export, EXPORT_ID).package == BUILT.package


def test_two_requests_at_once_build_one_package(database: str) -> None:  # X-1, on real PostgreSQL
    create_tables(database)
    with closing(open_event_log(database)) as log:
        log.append(published().events)
        answers = at_once(log, PORTS, REQUEST, REQUEST)
        assert all(isinstance(answer, int) for answer in answers), answers
        assert [type(event.data) for event in log.history(EXPORT_ID)] == [ExportQueued]


# Machines


TOKEN_ID = example_id("token of the MES")


def asked_with(scope: TokenScope, *, is_revoked: bool = False) -> tuple[Assay, MemoryLog]:
    """A published version, and a token of somebody who does not own it."""
    token = ApiTokenCreated(name="MES", user_id=TRAINER_LI_ID, scope=scope, secret_hash="f" * 64)
    facts = (token, ApiTokenRevoked()) if is_revoked else (token,)
    return assay_after(published().add(TOKEN_ID, *facts, actor=QUALITY_LEAD_ID))


BY_A_MACHINE = RequestExport(actor=TRAINER_LI_ID, model_id=MODEL_ID, version="v1.01", token=TOKEN_ID)


def test_an_mes_has_anybodys_version_exported_and_the_log_names_its_token() -> None:  # K-5, E-1
    assay, log = asked_with(TokenScope.MES)
    assay.dispatch(BY_A_MACHINE)
    queued = log.events[-1]
    assert isinstance(queued.data, ExportQueued)
    assert (queued.data.owner, queued.origin.actor, queued.origin.token) == (TRAINER_WANG_ID, TRAINER_LI_ID, TOKEN_ID)


@pytest.mark.parametrize(
    ("scope", "refusal"), [(TokenScope.ACT, NotTheOwner), (TokenScope.READ, ScopeIsRead)], ids=["act", "read"]
)
def test_other_tokens_may_no_more_than_their_user(scope: TokenScope, refusal: type[NotPermitted]) -> None:  # K-5
    assay, log = asked_with(scope)
    before = len(log.events)
    with pytest.raises(refusal):
        assay.dispatch(BY_A_MACHINE)
    assert len(log.events) == before


def test_an_mes_may_ask_for_nothing_else_and_nothing_once_its_token_is_revoked() -> None:  # K-5
    assay, log = asked_with(TokenScope.MES)
    before = len(log.events)
    with pytest.raises(ScopeIsMes):
        assay.dispatch(
            WithdrawModelVersion(
                actor=TRAINER_LI_ID, model_id=MODEL_ID, version="v1.01", reason="It misses scratches.", token=TOKEN_ID
            )
        )
    assert len(log.events) == before
    assay, _ = asked_with(TokenScope.MES, is_revoked=True)
    with pytest.raises(TokenIsRevoked):
        assay.dispatch(BY_A_MACHINE)
