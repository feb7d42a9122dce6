"""API tokens on real PostgreSQL. Source: REQUIREMENTS, K-5."""

from datetime import UTC, datetime

from domain.api_tokens import ApiTokenCreated, ApiTokenRevoked, TokenScope
from domain.permissions import Role
from domain.users import UserDeleted, UserRoleChanged
from projections.api_tokens import ApiTokens
from projections.users import Users
from tests.examples import QUALITY_LEAD_ID, TRAINER_LI_ID, TRAINER_WANG_ID, History, example_id, plant
from tests.projections.read_side import Project

EXPIRY = datetime(2027, 3, 1, tzinfo=UTC)
OF_WANG, OF_LI = example_id("token of wang"), example_id("token of li")


def tokens() -> History:
    return (
        plant()
        .add(
            OF_WANG,
            ApiTokenCreated(name="MES", user_id=TRAINER_WANG_ID, scope=TokenScope.ACT, secret_hash="a" * 64),
            actor=QUALITY_LEAD_ID,
        )
        .add(
            OF_LI,
            ApiTokenCreated(
                name="SPC", user_id=TRAINER_LI_ID, scope=TokenScope.READ, secret_hash="b" * 64, expires_at=EXPIRY
            ),
            actor=QUALITY_LEAD_ID,
        )
    )


def test_a_secret_is_found_by_its_hash_with_the_present_role_of_its_user(project: Project) -> None:
    history = tokens()
    read = project(history, Users, ApiTokens)
    holder = read.api_tokens.holder("b" * 64)
    assert (holder.token_id, holder.username, holder.scope, holder.expires_at) == (
        OF_LI,
        "trainer_li",
        TokenScope.READ,
        EXPIRY,
    )
    assert holder.role is Role.MODEL_TRAINER
    read.take_in(history.add(TRAINER_LI_ID, UserRoleChanged(role=Role.SUPER_ADMINISTRATOR)))
    assert read.api_tokens.holder("b" * 64).role is Role.SUPER_ADMINISTRATOR
    assert read.api_tokens.holder("c" * 64) is None


def test_revoked_tokens_and_those_of_deleted_users_stand_in_the_list_and_open_nothing(project: Project) -> None:
    history = tokens()
    read = project(history, Users, ApiTokens)
    history.add(OF_WANG, ApiTokenRevoked(), actor=QUALITY_LEAD_ID)
    history.add(TRAINER_LI_ID, UserDeleted(heir=TRAINER_WANG_ID), actor=QUALITY_LEAD_ID)
    read.take_in(history)
    assert not any(row.is_creator_deleted or row.is_revoker_deleted for row in read.api_tokens.page().items)
    assert [row.is_user_deleted for row in read.api_tokens.page().items] == [True, False]
    read.take_in(history.add(QUALITY_LEAD_ID, UserDeleted(heir=TRAINER_WANG_ID), actor=TRAINER_WANG_ID))
    assert read.api_tokens.holder("a" * 64) is None
    assert read.api_tokens.holder("b" * 64) is None
    newest, oldest = read.api_tokens.page().items
    assert (oldest.name, oldest.revoked_by, oldest.created_by) == ("MES", "quality_lead", "quality_lead")
    assert (newest.name, newest.is_user_deleted, newest.revoked_at) == ("SPC", True, None)
    assert (oldest.is_creator_deleted, oldest.is_revoker_deleted) == (True, True)
    assert (newest.is_creator_deleted, newest.is_revoker_deleted) == (True, False), "nobody revoked it"
    assert read.api_tokens.get(OF_LI) == newest
    assert read.api_tokens.get(example_id("nothing")) is None
    read.assert_rebuild_equals_live()
