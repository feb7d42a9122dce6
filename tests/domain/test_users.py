"""Users: what a new one needs, and what can be changed."""

from typing import Any

import pytest

from domain.names import UsernameIsInvalid
from domain.permissions import Role
from domain.users import (
    EmailIsInvalid,
    PasswordIsTooWeak,
    RemarkIsTooLong,
    UserCreated,
    UserEmailChanged,
    UserPasswordChanged,
    change_email,
    change_password,
    check_email,
    check_password,
    create,
)
from tests.examples import QUALITY_LEAD
from tests.given_when_then import given, when

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
    "email", ["wang", "wang@", "@fab.example", "wang@fab", "wa ng@fab.example", "wang@fab..example"]
)
def test_what_is_no_email_address_is_refused(email: str) -> None:  # U-2
    when(check_email, email).then_refused(EmailIsInvalid, f"“{email}”", at="email")


def test_an_overlong_email_address_is_refused() -> None:
    when(check_email, f"wang@{'a' * 250}.example").then_refused(EmailIsInvalid)


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
