"""Managing users: roles, passwords, deletion and heirs, from the command to the facts in the log; two administrators at once."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from uuid import UUID

import msgspec
import pytest

from commands.models import PublishModelVersion
from commands.prediction_jobs import DeletePredictionJob, check_step
from commands.training_jobs import DeleteTrainingJob, TerminateTraining
from commands.users import (
    ChangeOwnEmail,
    ChangeUserEmail,
    ChangeUserRole,
    CreateUser,
    DeleteUser,
    ListSuperAdministrators,
    ResetPassword,
)
from domain.facts import SYSTEM, Fact
from domain.models import ModelVersionPublished
from domain.permissions import Role
from domain.prediction_jobs import PredictionDraft
from domain.refusals import NotFound, NotPermitted, NotTheOwner
from domain.training_jobs import TrainingTerminated
from domain.users import (
    SUPER_ADMINISTRATORS_ID,
    Belongings,
    EmailIsInvalid,
    HeirNeeded,
    HeirNotFound,
    NobodyDeletesThemselves,
    OneSuperAdministratorStays,
    PasswordIsTooWeak,
    SuperAdministratorJoined,
    SuperAdministratorLeft,
    SuperAdministrators,
    User,
    UserBecameHeir,
    UserDeleted,
    UserEmailChanged,
    UsernameStaysWithItsUser,
    UserPasswordChanged,
    UserRefusedAction,
    UserRoleChanged,
)
from infra.event_store import EventLog, create_tables, open_event_log
from tests.commands.meeting import at_once
from tests.examples import (
    MODEL_ID,
    PASSWORD,
    PORTS,
    PREDICTION_JOB_ID,
    PREDICTION_QUEUED,
    QUALITY_LEAD,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINER_WANG,
    TRAINER_WANG_ID,
    TRAINING_COMPLETED,
    TRAINING_JOB_ID,
    TRAINING_QUEUED,
    TRAINING_STARTED,
    VERSION_PUBLISHED,
    History,
    KnownOwnership,
    MemoryLog,
    assay_after,
    example_id,
    plant,
)

ZHAO_ID = example_id("trainer_zhao")
DELETE_WANG = DeleteUser(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID)
WANG_OWNS_A_MODEL = replace(PORTS, ownership=KnownOwnership({TRAINER_WANG_ID: Belongings(model_count=1)}))


def stored_after(history: History, log: MemoryLog) -> list[tuple[UUID, Fact]]:
    return [(event.originator_id, event.data) for event in log.events[len(history.events) :]]


def two_leads() -> History:
    """trainer_wang is a super administrator too."""
    return (
        plant()
        .add(TRAINER_WANG_ID, UserRoleChanged(role=Role.SUPER_ADMINISTRATOR), actor=QUALITY_LEAD_ID)
        .add(SUPER_ADMINISTRATORS_ID, SuperAdministratorJoined(user_id=TRAINER_WANG_ID), actor=QUALITY_LEAD_ID)
    )


def wang_deleted(history: History, heir: UUID = TRAINER_LI_ID) -> History:
    return history.add(TRAINER_WANG_ID, UserDeleted(heir=heir), actor=QUALITY_LEAD_ID)


# What a super administrator changes


def test_a_password_is_reset_without_the_old_one() -> None:  # U-4
    history = plant()
    assay, log = assay_after(history)
    with pytest.raises(PasswordIsTooWeak) as refusal:
        assay.dispatch(ResetPassword(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, new_password="panel"))
    assert refusal.value.at == "new_password"
    assay.dispatch(ResetPassword(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, new_password="Panel2026"))
    assert stored_after(history, log) == [(TRAINER_WANG_ID, UserPasswordChanged(password_hash="hash of Panel2026"))]
    assert log.events[-1].origin.actor == QUALITY_LEAD_ID


def test_an_email_address_is_changed_for_anyone() -> None:  # U-4
    history = plant()
    assay, log = assay_after(history)
    with pytest.raises(EmailIsInvalid):
        assay.dispatch(ChangeUserEmail(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, email="wang"))
    for user_id in (TRAINER_WANG_ID, QUALITY_LEAD_ID):
        assay.dispatch(ChangeUserEmail(actor=QUALITY_LEAD_ID, user_id=user_id, email="a@fab.example"))
    changed = UserEmailChanged(email="a@fab.example")
    assert stored_after(history, log) == [(TRAINER_WANG_ID, changed), (QUALITY_LEAD_ID, changed)]


def test_a_role_is_changed_and_changed_back() -> None:  # U-4
    history = plant()
    assay, log = assay_after(history)
    for role in (Role.SUPER_ADMINISTRATOR, Role.SUPER_ADMINISTRATOR, Role.MODEL_TRAINER):
        assay.dispatch(ChangeUserRole(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, role=role))
    assert stored_after(history, log) == [
        (TRAINER_WANG_ID, UserRoleChanged(role=Role.SUPER_ADMINISTRATOR)),
        (SUPER_ADMINISTRATORS_ID, SuperAdministratorJoined(user_id=TRAINER_WANG_ID)),
        (TRAINER_WANG_ID, UserRoleChanged(role=Role.MODEL_TRAINER)),
        (SUPER_ADMINISTRATORS_ID, SuperAdministratorLeft(user_id=TRAINER_WANG_ID)),
    ]


def test_a_new_super_administrator_is_listed_from_the_first_one_on() -> None:  # U-3
    assay, log = assay_after(History())
    assay.dispatch(
        CreateUser(
            actor=SYSTEM,
            user_id=QUALITY_LEAD_ID,
            username="quality_lead",
            password=PASSWORD,
            role=Role.SUPER_ADMINISTRATOR,
        )
    )
    listed = log.load(SuperAdministrators, SUPER_ADMINISTRATORS_ID)
    assert listed is not None
    assert listed.user_ids == {QUALITY_LEAD_ID}


def test_a_demoted_super_administrator_manages_nobody_from_then_on() -> None:  # U-4
    assay, _ = assay_after(two_leads())
    assay.dispatch(ChangeUserRole(actor=QUALITY_LEAD_ID, user_id=QUALITY_LEAD_ID, role=Role.MODEL_TRAINER))
    with pytest.raises(NotPermitted):
        assay.dispatch(ChangeUserRole(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, role=Role.MODEL_TRAINER))


def test_the_last_super_administrator_is_neither_demoted_nor_deleted() -> None:  # U-3
    history = plant()
    assay, log = assay_after(history)
    with pytest.raises(OneSuperAdministratorStays):
        assay.dispatch(ChangeUserRole(actor=QUALITY_LEAD_ID, user_id=QUALITY_LEAD_ID, role=Role.MODEL_TRAINER))
    with pytest.raises(OneSuperAdministratorStays):
        assay.dispatch(DeleteUser(actor=SYSTEM, user_id=QUALITY_LEAD_ID, heir=TRAINER_WANG_ID))
    assert stored_after(history, log) == []


def test_nobody_deletes_themselves() -> None:  # U-3
    history = two_leads()
    assay, log = assay_after(history)
    with pytest.raises(NobodyDeletesThemselves):
        assay.dispatch(DeleteUser(actor=QUALITY_LEAD_ID, user_id=QUALITY_LEAD_ID, heir=TRAINER_WANG_ID))
    assert stored_after(history, log) == []


# Deleted users


def test_a_deleted_user_can_ask_for_nothing_and_be_changed_by_nobody() -> None:  # U-3
    assay, _ = assay_after(wang_deleted(plant()))
    for command in (
        ChangeOwnEmail(actor=TRAINER_WANG_ID, email=""),
        DELETE_WANG,
        ResetPassword(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, new_password="Panel2026"),
        ChangeUserEmail(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, email=""),
        ChangeUserRole(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, role=Role.SUPER_ADMINISTRATOR),
    ):
        with pytest.raises(NotFound):
            assay.dispatch(command)


def test_a_deleted_super_administrator_leaves_the_list() -> None:  # U-3
    history = two_leads()
    assay, log = assay_after(history)
    assay.dispatch(DELETE_WANG)
    assert stored_after(history, log) == [
        (TRAINER_WANG_ID, UserDeleted(heir=QUALITY_LEAD_ID)),
        (QUALITY_LEAD_ID, UserBecameHeir(deleted_user=TRAINER_WANG_ID)),
        (SUPER_ADMINISTRATORS_ID, SuperAdministratorLeft(user_id=TRAINER_WANG_ID)),
    ]


def test_the_name_of_a_deleted_user_is_never_used_again() -> None:  # U-3
    history = wang_deleted(plant())
    assay, log = assay_after(history)
    with pytest.raises(UsernameStaysWithItsUser):
        assay.dispatch(
            CreateUser(
                actor=QUALITY_LEAD_ID,
                user_id=ZHAO_ID,
                username="Trainer_WANG",
                password=PASSWORD,
                role=Role.MODEL_TRAINER,
            )
        )
    assert stored_after(history, log) == []


# Heirs


def wangs_things() -> History:
    return (
        plant()
        .add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, actor=TRAINER_WANG_ID)
        .add(MODEL_ID, VERSION_PUBLISHED, actor=TRAINER_WANG_ID)
        .add(PREDICTION_JOB_ID, PREDICTION_QUEUED, actor=TRAINER_WANG_ID)
    )


def test_who_owns_something_is_deleted_only_with_an_heir() -> None:  # U-7
    history = plant()
    assay, log = assay_after(history, WANG_OWNS_A_MODEL)
    with pytest.raises(HeirNeeded):
        assay.dispatch(DELETE_WANG)
    with pytest.raises(HeirNotFound):
        assay.dispatch(DeleteUser(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, heir=example_id("nobody")))
    assert stored_after(history, log) == []
    assay.dispatch(DeleteUser(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, heir=TRAINER_LI_ID))
    assert stored_after(history, log) == [
        (TRAINER_WANG_ID, UserDeleted(heir=TRAINER_LI_ID)),
        (TRAINER_LI_ID, UserBecameHeir(deleted_user=TRAINER_WANG_ID)),
    ]


def test_an_heir_acts_as_the_owner_and_the_actor_is_recorded() -> None:  # U-7
    assay, log = assay_after(wang_deleted(wangs_things()))
    with pytest.raises(NotTheOwner):
        assay.dispatch(TerminateTraining(actor=QUALITY_LEAD_ID, job_id=TRAINING_JOB_ID))
    assay.dispatch(TerminateTraining(actor=TRAINER_LI_ID, job_id=TRAINING_JOB_ID))
    assert (log.events[-1].data, log.events[-1].origin.actor) == (TrainingTerminated(), TRAINER_LI_ID)
    assay.dispatch(DeleteTrainingJob(actor=TRAINER_LI_ID, job_id=TRAINING_JOB_ID))
    assay.dispatch(DeletePredictionJob(actor=TRAINER_LI_ID, job_id=PREDICTION_JOB_ID))


def test_a_model_that_an_heir_publishes_stays_under_the_name_of_its_maker() -> None:  # U-7
    history = plant().add(TRAINING_JOB_ID, TRAINING_QUEUED, TRAINING_STARTED, TRAINING_COMPLETED, actor=TRAINER_WANG_ID)
    assay, log = assay_after(wang_deleted(history))
    assay.dispatch(PublishModelVersion(actor=TRAINER_LI_ID, job_id=TRAINING_JOB_ID))
    published = log.events[-1]
    assert isinstance(published.data, ModelVersionPublished)
    assert (published.data.owner, published.origin.actor) == (TRAINER_WANG_ID, TRAINER_LI_ID)


def test_an_heir_of_an_heir_is_in_charge() -> None:  # U-7
    history = wang_deleted(wangs_things()).add(TRAINER_LI_ID, UserDeleted(heir=QUALITY_LEAD_ID), actor=QUALITY_LEAD_ID)
    assay, _ = assay_after(history)
    assert assay.owner_in_charge(TRAINER_WANG_ID) == QUALITY_LEAD_ID
    assert assay.dispatch(TerminateTraining(actor=QUALITY_LEAD_ID, job_id=TRAINING_JOB_ID))


def test_only_the_heir_predicts_with_an_inherited_model() -> None:  # P-1, U-7
    assay, _ = assay_after(wang_deleted(wangs_things()))
    draft = PredictionDraft(name="panel-a-check-2", model_id=MODEL_ID, versions=("v1.01",))
    with pytest.raises(NotTheOwner):
        check_step(assay, draft, 1, QUALITY_LEAD_ID)
    assert check_step(assay, draft, 1, TRAINER_LI_ID).model.id == MODEL_ID


def test_what_belongs_to_the_system_has_no_heirs() -> None:
    assay, _ = assay_after(plant())
    assert assay.owner_in_charge(SYSTEM) == SYSTEM


# Installations older than the list of super administrators


def before_the_list() -> History:
    wang_as_lead = msgspec.structs.replace(TRAINER_WANG, role=Role.SUPER_ADMINISTRATOR)
    return History().add(QUALITY_LEAD_ID, QUALITY_LEAD).add(TRAINER_WANG_ID, wang_as_lead)


def test_an_older_installation_gets_its_list_once() -> None:  # U-3
    assay, log = assay_after(before_the_list())
    demote_wang = ChangeUserRole(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, role=Role.MODEL_TRAINER)
    with pytest.raises(OneSuperAdministratorStays):
        assay.dispatch(demote_wang)
    listing = ListSuperAdministrators(actor=SYSTEM, user_ids=(QUALITY_LEAD_ID, TRAINER_WANG_ID))
    assert assay.dispatch(listing) > 0
    assay.dispatch(demote_wang)
    assert assay.dispatch(listing) == 0
    listed = log.load(SuperAdministrators, SUPER_ADMINISTRATORS_ID)
    assert listed is not None
    assert listed.user_ids == {QUALITY_LEAD_ID}


# Two at the same moment, on the real log


@pytest.fixture
def log(database: str) -> Iterator[EventLog]:
    create_tables(database)
    with closing(open_event_log(database)) as log:
        yield log


def super_administrators(log: EventLog) -> frozenset[UUID]:
    listed = log.load(SuperAdministrators, SUPER_ADMINISTRATORS_ID)
    assert listed is not None
    return listed.user_ids


def user(log: EventLog, user_id: UUID) -> User:
    found = log.load(User, user_id)
    assert found is not None
    return found


def test_of_two_who_demote_each_other_at_once_one_stays(log: EventLog) -> None:  # U-3
    log.append(two_leads().events)
    by_lead = ChangeUserRole(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, role=Role.MODEL_TRAINER)
    by_wang = ChangeUserRole(actor=TRAINER_WANG_ID, user_id=QUALITY_LEAD_ID, role=Role.MODEL_TRAINER)
    answers = at_once(log, PORTS, by_lead, by_wang)
    assert sorted(type(answer).__name__ for answer in answers) == ["NotPermitted", "int"]
    (stays,) = super_administrators(log)
    (demoted,) = {QUALITY_LEAD_ID, TRAINER_WANG_ID} - {stays}
    assert [user(log, who).role for who in (stays, demoted)] == [Role.SUPER_ADMINISTRATOR, Role.MODEL_TRAINER]
    assert log.history(demoted)[-1].data == UserRefusedAction(command="ChangeUserRole")


def test_of_two_who_step_down_at_once_one_stays(log: EventLog) -> None:  # U-3
    log.append(two_leads().events)
    leads = (QUALITY_LEAD_ID, TRAINER_WANG_ID)
    answers = at_once(
        log, PORTS, *(ChangeUserRole(actor=lead, user_id=lead, role=Role.MODEL_TRAINER) for lead in leads)
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["OneSuperAdministratorStays", "int"]
    assert len(super_administrators(log)) == 1


def test_of_two_who_delete_each_other_at_once_one_stays(log: EventLog) -> None:  # U-3
    log.append(two_leads().events)
    answers = at_once(log, PORTS, DELETE_WANG, DeleteUser(actor=TRAINER_WANG_ID, user_id=QUALITY_LEAD_ID))
    assert sorted(type(answer).__name__ for answer in answers) == ["NotFound", "int"]
    (stays,) = super_administrators(log)
    (gone,) = {QUALITY_LEAD_ID, TRAINER_WANG_ID} - {stays}
    assert (user(log, stays).heir, user(log, gone).heir) == (None, stays)


def test_two_who_would_inherit_from_each_other_are_not_both_deleted(log: EventLog) -> None:  # U-7
    log.append(plant().events)
    answers = at_once(
        log,
        PORTS,
        DeleteUser(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, heir=TRAINER_LI_ID),
        DeleteUser(actor=QUALITY_LEAD_ID, user_id=TRAINER_LI_ID, heir=TRAINER_WANG_ID),
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["HeirNotFound", "int"]
    assert [user(log, who).is_deleted for who in (TRAINER_WANG_ID, TRAINER_LI_ID)].count(True) == 1


def test_an_heir_who_is_deleted_at_the_same_moment_inherits_nothing(log: EventLog) -> None:  # U-7
    log.append(plant().events)
    at_once(
        log,
        PORTS,
        DeleteUser(actor=QUALITY_LEAD_ID, user_id=TRAINER_WANG_ID, heir=TRAINER_LI_ID),
        DeleteUser(actor=QUALITY_LEAD_ID, user_id=TRAINER_LI_ID, heir=QUALITY_LEAD_ID),
    )
    wang, li = user(log, TRAINER_WANG_ID), user(log, TRAINER_LI_ID)
    assert li.heir == QUALITY_LEAD_ID
    assert wang.heir in (None, TRAINER_LI_ID)
    if wang.heir is not None:  # the deletion of wang came first, so everything goes on to the heir of li
        history = [recorded.data for recorded in log.history(TRAINER_LI_ID)]
        assert history.index(UserBecameHeir(deleted_user=TRAINER_WANG_ID)) < history.index(
            UserDeleted(heir=QUALITY_LEAD_ID)
        )
