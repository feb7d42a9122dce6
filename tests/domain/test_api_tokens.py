"""API tokens: made for somebody who is there, ended once. Source: REQUIREMENTS, K-5, E-6."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from domain.api_tokens import (
    ApiTokenCreated,
    ApiTokenNameIsInvalid,
    ApiTokenRevoked,
    ApiTokenWasCreated,
    Area,
    ScopeIsMes,
    ScopeIsRead,
    ScopeIsWithoutManagement,
    TokenIsRevoked,
    TokenIsUnknown,
    TokenScope,
    UserOfTokenNotFound,
    check_command,
    check_follower,
    check_scope,
    create,
    owner_asked_for,
    revoke,
)
from domain.permissions import Role
from domain.refusals import NotPermitted
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
    for name in ("", "x" * 61, "two\nlines", "hall\u202e2"):
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


def test_a_scope_says_what_a_machine_may_try() -> None:  # K-5
    for scope, area, is_looking, refusal in (
        (TokenScope.READ, Area.EVERYTHING_ELSE, True, None),
        (TokenScope.READ, Area.EVERYTHING_ELSE, False, ScopeIsRead),
        (TokenScope.READ, Area.PUBLISHED_MODELS, False, ScopeIsRead),
        (TokenScope.ACT, Area.EVERYTHING_ELSE, False, None),
        (TokenScope.MES, Area.EVERYTHING_ELSE, True, ScopeIsMes),
        (TokenScope.MES, Area.EVERYTHING_ELSE, False, ScopeIsMes),
        (TokenScope.MES, Area.PUBLIC_EVENTS, True, None),
        (TokenScope.MES, Area.PUBLISHED_MODELS, True, None),
        (TokenScope.MES, Area.PUBLISHED_MODELS, False, None),
        (TokenScope.MES, Area.CALLER, True, None),
        (TokenScope.READ, Area.MANAGEMENT, True, ScopeIsWithoutManagement),
        (TokenScope.ACT, Area.MANAGEMENT, True, ScopeIsWithoutManagement),
        (TokenScope.ACT, Area.MANAGEMENT, False, ScopeIsWithoutManagement),
        (TokenScope.MES, Area.MANAGEMENT, True, ScopeIsMes),
        (TokenScope.AUDIT, Area.MANAGEMENT, True, None),
        (TokenScope.AUDIT, Area.EVERYTHING_ELSE, True, None),
        (TokenScope.AUDIT, Area.MANAGEMENT, False, ScopeIsRead),
        (TokenScope.AUDIT, Area.EVERYTHING_ELSE, False, ScopeIsRead),
        (TokenScope.MANAGE, Area.MANAGEMENT, True, None),
        (TokenScope.MANAGE, Area.MANAGEMENT, False, None),
        (TokenScope.MANAGE, Area.EVERYTHING_ELSE, False, None),
    ):
        if refusal is None:
            check_scope(scope, area, is_looking=is_looking)
            continue
        with pytest.raises(refusal):
            check_scope(scope, area, is_looking=is_looking)


def test_public_events_are_followed_by_super_administrators_and_by_an_mes() -> None:  # K-5, U-6
    for scope in TokenScope:
        check_follower(Role.SUPER_ADMINISTRATOR, scope)
    check_follower(Role.MODEL_TRAINER, TokenScope.MES)
    for scope in set(TokenScope) - {TokenScope.MES}:
        with pytest.raises(NotPermitted):
            check_follower(Role.MODEL_TRAINER, scope)


def test_only_to_an_mes_is_open_what_belongs_to_anybody() -> None:  # K-5, U-6
    for scope in {*TokenScope, None} - {TokenScope.MES}:
        assert owner_asked_for(TRAINER_WANG_ID, scope) == TRAINER_WANG_ID
    assert owner_asked_for(TRAINER_WANG_ID, TokenScope.MES) is None


def test_a_token_that_is_revoked_while_a_request_is_on_its_way_does_nothing() -> None:
    assert check_command(state_of(CREATED), TRAINER_WANG_ID, Area.EVERYTHING_ELSE) is TokenScope.ACT
    with pytest.raises(TokenIsRevoked):
        check_command(state_of(CREATED, ApiTokenRevoked()), TRAINER_WANG_ID, Area.EVERYTHING_ELSE)
    with pytest.raises(ScopeIsRead):
        check_command(state_of(replace(CREATED, scope=TokenScope.READ)), TRAINER_WANG_ID, Area.EVERYTHING_ELSE)


def test_a_token_acts_for_nobody_but_its_user() -> None:  # K-5
    with pytest.raises(TokenIsUnknown, match="No such token acts for this user"):
        check_command(state_of(CREATED), QUALITY_LEAD_ID, Area.EVERYTHING_ELSE)
    with pytest.raises(TokenIsUnknown):
        check_command(None, TRAINER_WANG_ID, Area.EVERYTHING_ELSE)
