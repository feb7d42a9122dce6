"""What can be asked about API tokens."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import api_tokens
from domain.api_tokens import ApiToken, TokenScope
from domain.permissions import Permission
from domain.users import User


class CreateApiToken(Command):
    """Let a machine act for a user (K-5). `token_id` is new; whoever asks made the secret, and only its hash comes here."""

    PERMISSION: ClassVar = Permission.SUPERVISE
    token_id: UUID
    name: str
    user_id: UUID | None
    scope: TokenScope
    secret_hash: str
    expires_at: datetime | None = None


class RevokeApiToken(Command):
    """End a token at once."""

    PERMISSION: ClassVar = Permission.SUPERVISE
    token_id: UUID


@handles(CreateApiToken)
def create_api_token(command: CreateApiToken, assay: Assay) -> int:
    user = assay.find(User, command.user_id) if command.user_id else None
    facts = api_tokens.create(
        assay.find(ApiToken, command.token_id),
        name=command.name,
        user=user,
        scope=command.scope,
        secret_hash=command.secret_hash,
        expires_at=command.expires_at,
    )
    return assay.save(command, Change(command.token_id, None, facts))


@handles(RevokeApiToken)
def revoke_api_token(command: RevokeApiToken, assay: Assay) -> int:
    token = assay.load(ApiToken, command.token_id)
    return assay.save(command, Change(token.id, token, api_tokens.revoke(token)))
