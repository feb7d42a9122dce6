"""Bearer tokens: how they look, what is kept of them, and whom a request with one acts for. Source: REQUIREMENTS, K-5."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

from domain.api_tokens import TokenScope, owner_asked_for
from web.attempts import Attempts

PREFIX = "assay_"
"""So that programs which look for secrets in files know one of ours."""
_SECRET = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


class LastUse(NamedTuple):
    """When a token was used last, and from which address."""

    used_at: datetime
    address: str


class TokenUses(Protocol):
    """Notes when tokens were used last."""

    def note(self, token_id: UUID, address: str) -> None:
        """Somebody asked with this token, from this address."""

    def of(self, token_ids: Sequence[UUID]) -> dict[UUID, LastUse]:
        """The last uses of some tokens, as far as they were ever used."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks through the HTTP API: a token, and the user for whom it acts."""

    token_id: UUID
    token_name: str
    scope: TokenScope
    user_id: UUID
    username: str
    role: Any
    request_id: str

    @property
    def owner(self) -> UUID | None:
        """Whose models are open to the token; None where everybody's are."""
        return owner_asked_for(self.user_id, self.scope)


class TokenIsWrong(Exception):
    """No token, or one that opens nothing; which of the two nobody is told."""


class TooManyWrongTokens(Exception):
    """One address sent many wrong tokens; `wait_seconds` until the next one is looked at."""

    def __init__(self, wait_seconds: int) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(wait_seconds)


class WrongTokens(Attempts):
    """Wrong tokens by address. A right one is never made to wait: 256 random bits cannot be guessed, so nobody is locked out."""

    def __init__(self) -> None:
        super().__init__(free=20, longest=60)


def new_secret() -> str:
    """256 random bits behind our prefix."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_in(authorization: str) -> str:
    """The secret of an `Authorization` header; empty where it holds none of ours. Source: RFC 6750, 2.1."""
    scheme, _, given = authorization.partition(" ")
    given = given.strip()
    return given if scheme.lower() == "bearer" and _SECRET.fullmatch(given) else ""


def is_expired(expires_at: datetime | None, now: datetime | None = None) -> bool:
    """Whether the time of a token is over."""
    return expires_at is not None and expires_at <= (now or datetime.now(UTC))
