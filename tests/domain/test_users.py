"""Users: what a new one needs, and what can be changed."""

from typing import Any

import pytest

from domain.names import NameClaimed, NameKind, NameTaken, UsernameIsInvalid
from domain.permissions import Role
from domain.users import (
    Belongings,
    EmailIsInvalid,
    HeirIsTheDeletedUser,
    HeirNeeded,
    HeirNotFound,
    NobodyDeletesThemselves,
    OneSuperAdministratorStays,
    PasswordIsTooWeak,
    RemarkIsTooLong,
    SuperAdministratorJoined,
    SuperAdministratorLeft,
    UserBecameHeir,
    UserCreated,
    UserDeleted,
    UserEmailChanged,
    UsernameStaysWithItsUser,
    UserPasswordChanged,
    UserRoleChanged,
    change_email,
    change_password,
    change_role,
    check_email,
    check_password,
    claim_username,
    create,
    delete,
    enlist,
    inherit,
    relist,
)
from tests.examples import QUALITY_LEAD, QUALITY_LEAD_ID, TRAINER_LI, TRAINER_LI_ID, TRAINER_WANG, TRAINER_WANG_ID
from tests.given_when_then import given, state_of, when

NEW_USER: dict[str, Any] = {
    "username": "trainer_zhao",
    "role": Role.MODEL_TRAINER,
    "password": "Panel2025",
    "password_hash": "hash of Panel2025",
}


def test_a_new_user_is_kept_without_the_password() -> None:  # U-2, E-6
    when(create, **NEW_USER, email="zhao@example.com", remark="夜班").then(
        UserCreated(
            username="trainer_zhao",
            role=Role.MODEL_TRAINER,
            password_hash="hash of Panel2025",
            email="zhao@example.com",
            remark="夜班",
        )
    )


def test_email_and_remark_are_optional() -> None:  # U-2
    when(create, **NEW_USER).then(
        UserCreated(username="trainer_zhao", role=Role.MODEL_TRAINER, password_hash="hash of Panel2025")
    )


def test_every_mistake_of_a_new_user_is_told_at_once() -> None:  # U-2
    wrong = NEW_USER | {"username": "zhao", "password": "panel", "email": "zhao", "remark": "夜" * 501}
    when(create, **wrong).then_refused_together(
        UsernameIsInvalid,
        (PasswordIsTooWeak, "at least 6 characters"),
        (EmailIsInvalid, "“zhao” is not an e-mail address"),
        (RemarkIsTooLong, "this one has 501"),
    )


def test_a_remark_is_one_line_of_what_is_seen() -> None:
    when(create, **NEW_USER, remark=" 夜班\r\n三线\u202e ").then(
        UserCreated(
            username="trainer_zhao", role=Role.MODEL_TRAINER, password_hash="hash of Panel2025", remark="夜班 三线"
        )
    )


def test_a_remark_of_500_characters_is_kept() -> None:
    assert create(**NEW_USER, remark="夜" * 500)


@pytest.mark.parametrize("password", ["Panels", "panel1", "PANEL1", "面板aA1面板", "aaaaA ", "12345a"])
def test_a_password_has_six_characters_of_two_kinds(password: str) -> None:  # U-2
    check_password(password)


@pytest.mark.parametrize(
    "password", ["", "Pan1", "Pane1", "panels", "PANELS", "123456", "panels!", "面板面板面板", "######"]
)
def test_a_weaker_password_is_refused(password: str) -> None:  # U-2
    when(check_password, password).then_refused(PasswordIsTooWeak, "two of: upper-case letters", at="password")


@pytest.mark.parametrize("email", ["", "wang@fab.example", "wang.li+aoi@sub.fab.example", "王@工厂.example"])
def test_an_email_address_is_optional(email: str) -> None:  # U-2
    check_email(email)


@pytest.mark.parametrize(
    "email",
    [
        *("wang", "wang@", "@fab.example", "wang@fab", "wa ng@fab.example", "wang@fab..example"),
        *(
            "<wang>@fab.example",
            "wang,li@fab.example",
            "wang@fab.example\u202e",
            "wang\x07@fab.example",
            "w" * 65 + "@fab.example",
        ),
    ],
)
def test_what_is_no_email_address_is_refused(email: str) -> None:  # U-2
    when(check_email, email).then_refused(EmailIsInvalid, f"“{email}”", at="email")


def test_an_overlong_email_address_is_refused() -> None:
    longest = f"wang@{'a' * 241}.example"
    assert len(longest) == 254  # RFC 5321 leaves this many between the brackets of a path
    check_email(longest)
    when(check_email, longest.replace("@", "@a")).then_refused(EmailIsInvalid)


def test_another_password_is_kept_as_its_hash() -> None:  # U-5
    given(QUALITY_LEAD).when(change_password, password="Panel2026", password_hash="hash of Panel2026").then(
        UserPasswordChanged(password_hash="hash of Panel2026")
    )


def test_a_weak_new_password_is_refused_beside_its_own_field() -> None:  # U-5
    given(QUALITY_LEAD).when(change_password, password="panel", password_hash="hash of panel").then_refused(
        PasswordIsTooWeak, at="new_password"
    )


def test_the_email_address_changes_or_goes() -> None:  # U-5
    given(QUALITY_LEAD).when(change_email, "lead@example.com").then(UserEmailChanged(email="lead@example.com"))
    given(QUALITY_LEAD).when(change_email, "").then(UserEmailChanged(email=""))


def test_the_same_email_address_changes_nothing() -> None:
    given(QUALITY_LEAD).when(change_email, QUALITY_LEAD.email).then()


def test_a_changed_email_address_is_the_present_one() -> None:
    changed = UserEmailChanged(email="lead@example.com")
    given(QUALITY_LEAD, changed).when(change_email, "lead@example.com").then()
    given(QUALITY_LEAD, changed).when(change_email, "lead").then_refused(EmailIsInvalid, "“lead”")


# Names that stay

CLAIMED = NameClaimed(kind=NameKind.USER, name="trainer_wang", owner=TRAINER_WANG_ID)
WANG = state_of(TRAINER_WANG, aggregate_id=TRAINER_WANG_ID)
LI = state_of(TRAINER_LI, aggregate_id=TRAINER_LI_ID)
LEAD = state_of(QUALITY_LEAD, aggregate_id=QUALITY_LEAD_ID)
WANG_DELETED = state_of(TRAINER_WANG, UserDeleted(heir=TRAINER_LI_ID), aggregate_id=TRAINER_WANG_ID)


def test_a_free_user_name_is_taken() -> None:  # U-2
    given().when(claim_username, None, "trainer_wang", TRAINER_WANG_ID).then(CLAIMED)


def test_the_name_of_a_present_user_is_taken() -> None:  # U-2
    given(CLAIMED).when(claim_username, WANG, "Trainer_Wang", TRAINER_LI_ID).then_refused(
        NameTaken, "“Trainer_Wang” is taken", at="username"
    )


def test_the_name_of_a_deleted_user_stays_theirs_and_the_refusal_says_why() -> None:  # U-3
    given(CLAIMED).when(claim_username, WANG_DELETED, "trainer_wang", TRAINER_LI_ID).then_refused(
        UsernameStaysWithItsUser, "“trainer_wang” was the name of a deleted user", at="username"
    )


# Deleting, and who inherits

NOTHING = Belongings()


@pytest.mark.parametrize(
    "belongings", [Belongings(model_count=1), Belongings(training_job_count=1), Belongings(prediction_job_count=1)]
)
def test_who_owns_anything_is_deleted_only_with_an_heir(belongings: Belongings) -> None:  # U-7
    asked = given(TRAINER_WANG, aggregate_id=TRAINER_WANG_ID)
    by = {"actor": QUALITY_LEAD_ID, "belongings": belongings}
    asked.when(delete, **by, heir=LEAD, is_heir_named=False).then_refused(
        HeirNeeded, "“trainer_wang” owns models or jobs", at="heir"
    )
    asked.when(delete, **by, heir=LI, is_heir_named=True).then(UserDeleted(heir=TRAINER_LI_ID))


def test_what_nobody_knew_of_belongs_to_the_one_who_deletes() -> None:  # U-7
    given(TRAINER_WANG, aggregate_id=TRAINER_WANG_ID).when(
        delete, actor=QUALITY_LEAD_ID, heir=LEAD, is_heir_named=False, belongings=NOTHING
    ).then(UserDeleted(heir=QUALITY_LEAD_ID))


def test_nobody_deletes_themselves() -> None:  # U-3
    given(QUALITY_LEAD, aggregate_id=QUALITY_LEAD_ID).when(
        delete, actor=QUALITY_LEAD_ID, heir=LI, is_heir_named=True, belongings=NOTHING
    ).then_refused(NobodyDeletesThemselves, "Ask another super administrator")


@pytest.mark.parametrize("heir", [None, state_of(TRAINER_LI, UserDeleted(heir=QUALITY_LEAD_ID))])
def test_an_heir_is_there(heir: object) -> None:  # U-7
    given(TRAINER_WANG, aggregate_id=TRAINER_WANG_ID).when(
        delete, actor=QUALITY_LEAD_ID, heir=heir, is_heir_named=True, belongings=NOTHING
    ).then_refused(HeirNotFound, "Choose one of the present users", at="heir")


def test_nobody_inherits_from_themselves() -> None:  # U-7
    given(TRAINER_WANG, aggregate_id=TRAINER_WANG_ID).when(
        delete, actor=QUALITY_LEAD_ID, heir=WANG, is_heir_named=True, belongings=NOTHING
    ).then_refused(HeirIsTheDeletedUser, "“trainer_wang” is the user to be deleted", at="heir")


def test_the_heirs_own_history_tells_from_whom_they_inherited() -> None:  # U-7
    given(TRAINER_LI).when(inherit, WANG).then(UserBecameHeir(deleted_user=TRAINER_WANG_ID))
    given(TRAINER_LI, UserBecameHeir(deleted_user=TRAINER_WANG_ID)).when(change_role, Role.MODEL_TRAINER).then()


# Roles, and the last super administrator

LISTED = SuperAdministratorJoined(user_id=QUALITY_LEAD_ID)
WANG_LISTED = SuperAdministratorJoined(user_id=TRAINER_WANG_ID)
WANG_PROMOTED = state_of(TRAINER_WANG, UserRoleChanged(role=Role.SUPER_ADMINISTRATOR), aggregate_id=TRAINER_WANG_ID)


def test_the_role_changes() -> None:  # U-4
    promoted = UserRoleChanged(role=Role.SUPER_ADMINISTRATOR)
    given(TRAINER_WANG).when(change_role, Role.SUPER_ADMINISTRATOR).then(promoted)
    given(TRAINER_WANG, promoted).when(change_role, Role.MODEL_TRAINER).then(UserRoleChanged(role=Role.MODEL_TRAINER))


def test_the_same_role_changes_nothing() -> None:  # U-4
    given(TRAINER_WANG).when(change_role, Role.MODEL_TRAINER).then()
    given(LISTED).when(relist, LEAD, Role.SUPER_ADMINISTRATOR).then()
    given(LISTED).when(relist, WANG, Role.MODEL_TRAINER).then()


def test_super_administrators_are_listed() -> None:  # U-3
    given().when(enlist, QUALITY_LEAD_ID, TRAINER_WANG_ID).then(LISTED, WANG_LISTED)
    given(LISTED).when(relist, WANG, Role.SUPER_ADMINISTRATOR).then(WANG_LISTED)
    given(LISTED, WANG_LISTED).when(relist, WANG_PROMOTED, Role.MODEL_TRAINER).then(
        SuperAdministratorLeft(user_id=TRAINER_WANG_ID)
    )


@pytest.mark.parametrize("role", [Role.MODEL_TRAINER, None])
def test_the_last_super_administrator_is_neither_demoted_nor_deleted(role: Role | None) -> None:  # U-3
    given(LISTED).when(relist, LEAD, role).then_refused(OneSuperAdministratorStays, "“quality_lead” is the last")
    given(LISTED, WANG_LISTED).when(relist, LEAD, role).then(SuperAdministratorLeft(user_id=QUALITY_LEAD_ID))
    given(LISTED, WANG_LISTED, SuperAdministratorLeft(user_id=QUALITY_LEAD_ID)).when(
        relist, WANG_PROMOTED, role
    ).then_refused(OneSuperAdministratorStays)


@pytest.mark.parametrize("role", [Role.MODEL_TRAINER, None])
def test_without_a_list_every_super_administrator_counts_as_the_last(role: Role | None) -> None:  # U-3
    given().when(relist, LEAD, role).then_refused(OneSuperAdministratorStays)
    given().when(relist, WANG, role).then()
