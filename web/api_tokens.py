"""API 令牌: what machines sign in with, made and revoked by super administrators. Source: REQUIREMENTS, K-5."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.api_tokens import CreateApiToken, RevokeApiToken
from domain.api_tokens import TokenScope
from domain.permissions import Permission
from domain.refusals import NotFound
from domain.sentences import N_
from projections.api_tokens import ApiTokenRow
from web.access import needs
from web.bearer import LastUse, hash_of, is_expired, new_secret
from web.form_ids import id_made_by, new_form
from web.forms import ChoiceExpected, Form
from web.listing import Listing, read_listing
from web.pages import Desk, Page
from web.services import Account, ReadModels, Services

ADDRESS = "/api-tokens"
SCOPE_NAMES = {
    TokenScope.READ: N_("Read only"),
    TokenScope.ACT: N_("Read and act"),
    TokenScope.MES: N_("Manufacturing execution system (MES)"),
    TokenScope.AUDIT: N_("Read only, management and audit included"),
    TokenScope.MANAGE: N_("Read, act and manage"),
}
LIFETIMES_DAYS = (30, 90, 365)
"""Offered beside “never”: a month of a trial, a quarter, a year."""


class ApiTokensPage(Page, frozen=True):
    """Every token, the newest first; `uses` are the last uses of those that were ever used."""

    TEMPLATE = "api_tokens/list.html"
    tokens: tuple[ApiTokenRow, ...]
    listing: Listing
    uses: Mapping[UUID, LastUse]

    def state_of(self, token: ApiTokenRow) -> str:
        """`open`, or why it opens nothing: `revoked`, `ownerless` or `expired`."""
        if token.revoked_at is not None:
            return "revoked"
        if token.is_user_deleted:
            return "ownerless"
        return "expired" if is_expired(token.expires_at) else "open"

    def scope_name(self, token: ApiTokenRow) -> str:
        """In words."""
        return SCOPE_NAMES[token.scope]


class NewApiTokenPage(Page, frozen=True):
    """An empty form, or the one that was refused; `usernames` are those for whom a token may act."""

    TEMPLATE = "api_tokens/new.html"
    usernames: tuple[str, ...]
    lifetimes: tuple[int, ...] = LIFETIMES_DAYS


class NewSecretPage(Page, frozen=True):
    """The secret, this once."""

    TEMPLATE = "api_tokens/secret.html"
    token_name: str
    username: str
    secret: str
    example: str


class RevokeApiTokenPage(Page, frozen=True):
    """The question before a token ends."""

    TEMPLATE = "api_tokens/revoke.html"
    token: ApiTokenRow


class ApiTokens(Controller):
    """Super administrators only (U-6)."""

    path = ADDRESS
    guards = [needs(Permission.SUPERVISE)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def list(
        self, form: NamedDependency[Form], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Which tokens there are, and when each was used last."""
        listing = read_listing(ADDRESS, form)
        found = services.read.api_tokens.page(number=listing.page)
        uses = services.token_uses.of([token.token_id for token in found.items])
        return desk.show(ApiTokensPage(form=form, tokens=found.items, listing=listing.of(found.total), uses=uses))

    @get("/new", sync_to_thread=True)
    def new(
        self, user: NamedDependency[Account], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The form; whoever fills it in is offered as the user."""
        form = new_form(username=user.username, scope=TokenScope.READ.value, lifetime=LIFETIMES_DAYS[-1])
        return desk.show(NewApiTokenPage(form=form, usernames=tuple(read.users.names())))

    @post("/new", sync_to_thread=True)
    def create(
        self,
        request: Request[Any, Any, Any],
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The secret is shown in this answer and nowhere else."""
        secret, name, username = new_secret(), form.text("name"), form.text("username")
        with desk.refusals_on(NewApiTokenPage(form=form, usernames=tuple(services.read.users.names()))):
            scope, expires_at = form.choice("scope", TokenScope), _expiry(form)
            desk.ask(
                CreateApiToken(
                    actor=actor,
                    token_id=id_made_by(form, name, username, scope.value, form.text("lifetime")),
                    name=name,
                    user_id=services.read.users.named(username),
                    scope=scope,
                    secret_hash=hash_of(secret),
                    expires_at=expires_at,
                )
            )
        example = f"{_address_of(request, services)}/api/v1/me"
        return desk.show(NewSecretPage(token_name=name, username=username, secret=secret, example=example), status=201)

    @get("/{token_id:uuid}/revoke", sync_to_thread=True)
    def ask_revoke(
        self, token_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The question before."""
        return desk.show(RevokeApiTokenPage(token=_token(read, token_id)))

    @post("/{token_id:uuid}/revoke", sync_to_thread=True)
    def revoke(
        self,
        token_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """From the next request on it opens nothing."""
        token = _token(read, token_id)
        desk.ask(RevokeApiToken(actor=actor, token_id=token_id))
        desk.say(N_("The token “{name}” is revoked."), name=token.name)
        return desk.go(ADDRESS)


def _address_of(request: Request[Any, Any, Any], services: Services) -> str:
    """Where whoever asks has found this server: a proxy in front hands on its own name (`Host`), not always that it speaks TLS."""
    scheme = "https" if services.settings.secure_cookies else request.url.scheme
    return f"{scheme}://{request.url.netloc}"


def _token(read: ReadModels, token_id: UUID) -> ApiTokenRow:
    token: ApiTokenRow | None = read.api_tokens.get(token_id)
    if token is None:
        raise NotFound
    return token


def _expiry(form: Form) -> datetime | None:
    if not form.text("lifetime"):
        return None
    days = form.whole("lifetime")
    if days not in LIFETIMES_DAYS:
        raise ChoiceExpected(at="lifetime")
    return datetime.now(UTC) + timedelta(days=days)
