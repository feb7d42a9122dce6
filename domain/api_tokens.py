"""API tokens: machines act through the HTTP API in the name of one user. Source: REQUIREMENTS, K-5, U-6, E-6."""

import enum
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.facts import Fact, State, evolves, replace
from domain.permissions import Permission, Role, permits
from domain.refusals import NotPermitted, Refusal, collect, raise_together
from domain.sentences import N_
from domain.texts import is_seen
from domain.users import User

LONGEST_NAME = 60


class TokenScope(enum.Enum):
    """What a token is good for. What its user may not do, a token that reads or acts may not do either.

    Management is in no token that does not say so: one that reads or acts for a super administrator opens neither users nor the
    audit. `AUDIT` reads all of it, too, and `MANAGE` does all that its user may.

    An MES's token is for one purpose, whoever its user is: to follow the public events, and to have the published versions of
    everybody exported and fetch them. It may nothing else, and only a super administrator can have made it.
    """

    READ = "read"
    ACT = "act"
    MES = "mes"
    AUDIT = "audit"
    MANAGE = "manage"


class Area(enum.Enum):
    """What a machine asks about, as far as scopes tell it apart."""

    CALLER = "caller"
    """Whom the token acts for, and how far."""
    PUBLIC_EVENTS = "public_events"
    PUBLISHED_MODELS = "published_models"
    """Models with their published versions and the exports of these; not how they were trained and judged."""
    MANAGEMENT = "management"
    """Users, one's own account, master data, what supervises the platform, and the audit with all histories."""
    EVERYTHING_ELSE = "everything_else"


AREAS_OF_MES = frozenset({Area.CALLER, Area.PUBLIC_EVENTS, Area.PUBLISHED_MODELS})
MANAGING = frozenset(
    {
        Permission.MANAGE_USERS,
        Permission.MANAGE_OWN_ACCOUNT,
        Permission.MANAGE_MASTER_DATA,
        Permission.SUPERVISE,
    }
)
"""The rows of the permission table that are management: a command of one of them is out of reach unless the token says so."""


class ApiTokenCreated(Fact):
    """A machine may ask in the name of `user_id`. Only the SHA-256 of the secret is kept: 256 random bits need no slow hash."""

    TOPIC: ClassVar[str] = "api_token.created"
    PRIVATE: ClassVar[frozenset[str]] = frozenset({"secret_hash"})
    name: str
    user_id: UUID
    scope: TokenScope
    secret_hash: str
    expires_at: datetime | None = None


class ApiTokenRevoked(Fact):
    """The token opens nothing any more."""

    TOPIC: ClassVar[str] = "api_token.revoked"


class ApiTokenNameIsInvalid(Refusal):
    """A name says which machine holds the token."""

    field = "name"
    message = N_("Enter a name of 1 to 60 characters that says which machine uses the token.")


class UserOfTokenNotFound(Refusal):
    """A token acts for somebody who is there."""

    field = "username"
    message = N_("There is no such user. Choose one of the present users.")


class ApiTokenWasCreated(Refusal):
    """A secret is shown once, also where a form is sent twice."""

    message = N_(
        "This token was created already, and its secret was shown then. If nobody kept it, revoke the token and create another."
    )


class OutOfScope(NotPermitted):
    """A token goes less far than its user."""


class ScopeIsRead(OutOfScope):
    """The token may look, not act."""

    message = N_("This token may only read. Ask a super administrator for one that may act.")


class ScopeIsMes(OutOfScope):
    """The token is that of an MES, which needs little."""

    message = N_(
        "This token only follows events and fetches published models. Ask a super administrator for another one."
    )


class ScopeIsWithoutManagement(OutOfScope):
    """The token is for the work with datasets, jobs and models."""

    message = N_(
        "This token does not reach users, accounts, master data, supervision and the audit. Ask a super administrator for one "
        "whose scope includes management."
    )


class TokenIsUnknown(NotPermitted):
    """A machine asks through a token that was never made for the user in whose name it asks."""

    message = N_("No such token acts for this user. Ask a super administrator for one.")


class TokenIsRevoked(NotPermitted):
    """The token was revoked while the request was on its way."""

    message = N_("This token is revoked. Ask a super administrator for another one.")


class ApiToken(State):
    """What the rules need of a token."""

    name: str
    user_id: UUID
    scope: TokenScope
    is_revoked: bool = False


def create(
    token: ApiToken | None = None,
    *,
    name: str,
    user: User | None,
    scope: TokenScope,
    secret_hash: str,
    expires_at: datetime | None = None,
) -> list[Fact]:
    """A new token for `user`; the secret itself never comes here. `token` is there where the form was sent before.

    Raises:
        ApiTokenWasCreated
        ApiTokenNameIsInvalid, UserOfTokenNotFound (all that apply, together).
    """
    if token is not None:
        raise ApiTokenWasCreated
    refusals: list[Refusal] = []
    collect(refusals, _check_name, name)
    if user is None or user.is_deleted:
        refusals.append(UserOfTokenNotFound())
    raise_together(refusals)
    assert user is not None
    created = ApiTokenCreated(name=name, user_id=user.id, scope=scope, secret_hash=secret_hash, expires_at=expires_at)
    return [created]


def check_scope(scope: TokenScope, area: Area, *, is_looking: bool) -> None:
    """Whether a machine may look at something of an area, or act there. An MES may do both in its own areas.

    Raises:
        ScopeIsMes, ScopeIsWithoutManagement, ScopeIsRead
    """
    if scope is TokenScope.MES and area not in AREAS_OF_MES:
        raise ScopeIsMes
    if area is Area.MANAGEMENT and scope not in (TokenScope.AUDIT, TokenScope.MANAGE):
        raise ScopeIsWithoutManagement
    if scope in (TokenScope.READ, TokenScope.AUDIT) and not is_looking:
        raise ScopeIsRead


def area_of(permission: Permission) -> Area:
    """What a command of a row of the permission table is about, where it does not say so itself."""
    return Area.MANAGEMENT if permission in MANAGING else Area.EVERYTHING_ELSE


def check_command(token: ApiToken | None, actor: UUID, area: Area) -> TokenScope:
    """Whether a machine may ask for a command in the name of `actor`; returns how far its token goes.

    Raises:
        TokenIsUnknown, TokenIsRevoked, ScopeIsMes, ScopeIsWithoutManagement, ScopeIsRead
    """
    if token is None or token.user_id != actor:
        raise TokenIsUnknown
    if token.is_revoked:
        raise TokenIsRevoked
    check_scope(token.scope, area, is_looking=False)
    return token.scope


def check_follower(role: Role, scope: TokenScope) -> None:
    """Whether a machine may follow the public events, whoever's they are: for super administrators, and as an MES.

    Raises:
        NotPermitted
    """
    if scope is not TokenScope.MES and not permits(role, Permission.SUPERVISE):
        raise NotPermitted


def owner_asked_for(user_id: UUID, scope: TokenScope | None) -> UUID | None:
    """Whose things somebody asks for where only an owner may: their own, with a token as without one (None). An MES asks for
    everybody's, which is None.
    """
    return None if scope is TokenScope.MES else user_id


def revoke(token: ApiToken) -> list[Fact]:
    """End a token; once more changes nothing."""
    return [] if token.is_revoked else [ApiTokenRevoked()]


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= LONGEST_NAME or not is_seen(name):
        raise ApiTokenNameIsInvalid


EVOLVE = evolves(
    ApiToken,
    {
        ApiTokenCreated: lambda token, fact: ApiToken(name=fact.name, user_id=fact.user_id, scope=fact.scope),
        ApiTokenRevoked: lambda token, fact: replace(token, is_revoked=True),
    },
)
