"""API tokens: made for somebody who is there, ended once. Source: REQUIREMENTS, K-5, E-6."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from domain.api_tokens import (
    ApiTokenCreated,
    ApiTokenNameIsInvalid,
    ApiTokenRevoked,
    ApiTokenWasCreated,
    ScopeIsMes,
    ScopeIsRead,
    TokenIsRevoked,
    TokenIsUnknown,
    TokenScope,
    UserOfTokenNotFound,
    check_command,
    check_scope,
    create,
    revoke,
)
from domain.users import User, UserDeleted
from tests.examples import QUALITY_LEAD_ID, TRAINER_WANG, TRAINER_WANG_ID
from tests.given_when_then import given, state_of

WANG: User = state_of(TRAINER_WANG, aggregate_id=TRAINER_WANG_ID)
EXPIRY = datetime(2027, 3, 1, tzinfo=UTC)
CREATED = ApiTokenCreated(
    name="MES, hall 2", user_id=TRAINER_WANG_ID, scope=TokenScope.ACT, secret_hash="f" * 64, expires_at=EXPIRY
)
WISH = {"user": WANG, "scope": TokenScope.ACT, "secret_hash": "f" * 64, "expires_at": EXPIRY}


def test_a_token_acts_for_a_user_as_far_as_its_scope_says() -> None:
    given().when(create, name="MES, hall 2", **WISH).then(CREATED)


def test_the_name_says_which_machine_it_is() -> None:
    for name in ("", "x" * 61, "two\nlines"):
        given().when(create, name=name, **WISH).then_refused(ApiTokenNameIsInvalid, "which machine", at="name")


def test_a_token_needs_a_user_who_is_there() -> None:
    gone = state_of(TRAINER_WANG, UserDeleted(heir=QUALITY_LEAD_ID))
    for nobody in (None, gone):
        given().when(create, name="", **WISH | {"user": nobody}).then_refused_together(
            ApiTokenNameIsInvalid, UserOfTokenNotFound
        )


def test_a_form_that_is_sent_twice_shows_no_second_secret() -> None:
    given(CREATED).when(create, name="MES, hall 2", **WISH).then_refused(ApiTokenWasCreated, "shown then")


def test_a_token_is_revoked_once() -> None:
    given(CREATED).when(revoke).then(ApiTokenRevoked())
    given(CREATED, ApiTokenRevoked()).when(revoke).then()


def test_a_scope_says_what_a_machine_may_try() -> None:
    for scope, is_looking, is_for_mes, refusal in (
        (TokenScope.READ, True, False, None),
        (TokenScope.READ, False, False, ScopeIsRead),
        (TokenScope.READ, False, True, ScopeIsRead),
        (TokenScope.ACT, False, False, None),
        (TokenScope.MES, True, False, ScopeIsMes),
        (TokenScope.MES, True, True, None),
        (TokenScope.MES, False, True, None),
        (TokenScope.MES, False, False, ScopeIsMes),
    ):
        if refusal is None:
            check_scope(scope, is_looking=is_looking, is_for_mes=is_for_mes)
            continue
        with pytest.raises(refusal):
            check_scope(scope, is_looking=is_looking, is_for_mes=is_for_mes)


def test_a_token_that_is_revoked_while_a_request_is_on_its_way_does_nothing() -> None:
    check_command(state_of(CREATED), TRAINER_WANG_ID, is_for_mes=False)
    with pytest.raises(TokenIsRevoked):
        check_command(state_of(CREATED, ApiTokenRevoked()), TRAINER_WANG_ID, is_for_mes=False)
    with pytest.raises(ScopeIsRead):
        check_command(state_of(replace(CREATED, scope=TokenScope.READ)), TRAINER_WANG_ID, is_for_mes=False)


def test_a_token_acts_for_nobody_but_its_user() -> None:  # K-5
    with pytest.raises(TokenIsUnknown, match="No such token acts for this user"):
        check_command(state_of(CREATED), QUALITY_LEAD_ID, is_for_mes=False)
    with pytest.raises(TokenIsUnknown):
        check_command(None, TRAINER_WANG_ID, is_for_mes=False)
