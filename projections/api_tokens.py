"""API tokens: whom each acts for, and how a request is recognised by the hash of its secret. Source: REQUIREMENTS, K-5."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain.api_tokens import ApiTokenCreated, ApiTokenRevoked, TokenScope
from domain.facts import Recorded
from domain.permissions import Role
from projections.read_model import Page, ReadModel, Rows, Table

ROWS_ON_A_PAGE = 20


class ApiTokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list. A token whose user is deleted opens nothing, whether or not it was revoked."""

    token_id: UUID
    name: str
    scope: TokenScope
    username: str
    is_user_deleted: bool
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_by: str
    revoked_at: datetime | None
    is_creator_deleted: bool = False
    is_revoker_deleted: bool = False


class TokenHolder(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a request with a token acts for, and how far."""

    token_id: UUID
    name: str
    scope: TokenScope
    expires_at: datetime | None
    user_id: UUID
    username: str
    role: Role


class ApiTokens(ReadModel):
    """Every token, revoked ones included: the list is the history, too."""

    name = "api_tokens"
    TOKENS = Table(
        "api_tokens",
        key=("token_id uuid",),
        columns=(
            "name text NOT NULL",
            "user_id uuid NOT NULL",
            "scope text NOT NULL",
            "secret_hash text NOT NULL",
            "expires_at timestamptz",
            "created_by uuid NOT NULL",
            "created_at timestamptz NOT NULL",
            "revoked_by uuid",
            "revoked_at timestamptz",
        ),
        indexes=("CREATE INDEX ON api_tokens (secret_hash)", "CREATE INDEX ON api_tokens (created_at, token_id)"),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        """One statement a fact."""
        match recorded.data:
            case ApiTokenCreated() as fact:
                rows.insert(
                    self.TOKENS,
                    recorded.originator_id,
                    name=fact.name,
                    user_id=fact.user_id,
                    scope=fact.scope.value,
                    secret_hash=fact.secret_hash,
                    expires_at=fact.expires_at,
                    created_by=recorded.origin.actor,
                    created_at=recorded.timestamp,
                )
            case ApiTokenRevoked():
                rows.update(
                    self.TOKENS,
                    recorded.originator_id,
                    revoked_by=recorded.origin.actor,
                    revoked_at=recorded.timestamp,
                )

    def page(self, *, number: int = 1, size: int = ROWS_ON_A_PAGE) -> Page[ApiTokenRow]:
        """The list, the newest first."""
        return self._page(
            "SELECT token_id FROM api_tokens",
            {},
            ApiTokenRow,
            number=number,
            size=size,
            order="created_at DESC, token_id DESC",
            shown=f"{_SELECT} JOIN part USING (token_id)",
        )

    def get(self, token_id: UUID) -> ApiTokenRow | None:
        """One token."""
        return self._one(f"{_SELECT} WHERE token_id = %s", (token_id,), ApiTokenRow)

    def holder(self, secret_hash: str) -> TokenHolder | None:
        """Whom a secret stands for; None where it is unknown or revoked, or its user is deleted."""
        return self._one(
            "SELECT token_id, name, scope, expires_at, users.user_id, username, role"
            " FROM api_tokens JOIN users ON users.user_id = api_tokens.user_id AND users.deleted_at IS NULL"
            " WHERE secret_hash = %s AND revoked_at IS NULL",
            (secret_hash,),
            TokenHolder,
        )


_SELECT = """
    SELECT token_id, name, scope, coalesce(holder.username, '') AS username,
        holder.deleted_at IS NOT NULL AS is_user_deleted, coalesce(maker.username, '') AS created_by, api_tokens.created_at,
        maker.deleted_at IS NOT NULL AS is_creator_deleted, expires_at, coalesce(revoker.username, '') AS revoked_by, revoked_at,
        revoker.deleted_at IS NOT NULL AS is_revoker_deleted
    FROM api_tokens
    LEFT JOIN users AS holder ON holder.user_id = api_tokens.user_id
    LEFT JOIN users AS maker ON maker.user_id = created_by
    LEFT JOIN users AS revoker ON revoker.user_id = revoked_by
"""
