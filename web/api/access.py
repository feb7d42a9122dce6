"""Who asks: the token of a request, and what its scope lets it try."""

import re
from typing import Any, NoReturn

import msgspec
from litestar import Request
from litestar.concurrency import sync_to_thread
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from domain.api_tokens import Area, OutOfScope, check_scope
from projections.api_tokens import TokenHolder
from web.access import is_looking, note_refused_request
from web.api.problems import BodyNestsTooDeep, TextHoldsNul, language_of
from web.attempts import network_of
from web.bearer import Caller, TokenIsWrong, TooManyWrongTokens, hash_of, is_expired, secret_in
from web.services import Services
from web.sessions import SAFE_METHODS, Visit, request_id_of

_NUL_IN_ADDRESS = b"%00"
_NUL_IN_JSON = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class TokenGate(ASGIMiddleware):
    """Stands before every request of machines, where `web.sessions.Gate` stands before those of browsers."""

    scopes = (ScopeType.HTTP,)
    exclude_opt_key = "is_public"

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Let the request through, or raise why not.

        Raises:
            TokenIsWrong, TooManyWrongTokens
        """
        request: Request[Any, Any, Any] = Request(scope, receive)
        caller = await sync_to_thread(self._caller, request)
        scope["state"]["visit"] = Visit(
            request_id=caller.request_id,
            language=language_of(request),
            path=request.url.path,
            query=request.url.query,
            account=caller,
            token=caller.token_id,
        )
        await next_app(scope, receive, send)

    def _caller(self, request: Request[Any, Any, Any]) -> Caller:
        services: Services = request.app.state.services
        address = request.client.host if request.client else ""
        secret = secret_in(request.headers.get("Authorization", ""))
        holder: TokenHolder | None = services.read.api_tokens.holder(hash_of(secret)) if secret else None
        if holder is None or is_expired(holder.expires_at):
            _refuse(services, network_of(address))
        services.token_uses.note(holder.token_id, address)
        return Caller(
            token_id=holder.token_id,
            token_name=holder.name,
            scope=holder.scope,
            user_id=holder.user_id,
            username=holder.username,
            role=holder.role,
            request_id=request_id_of(request),
        )


def _refuse(services: Services, network: str) -> NoReturn:
    wait_seconds = services.wrong_tokens.wait_seconds(network)
    if wait_seconds:
        raise TooManyWrongTokens(wait_seconds)
    services.wrong_tokens.failed(network)
    raise TokenIsWrong


async def within_scope(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: what a token may look at and do. A handler says with `area=…` what it is about. Management that is refused leaves
    its audit record (U-6).

    Raises:
        ScopeIsMes, ScopeIsWithoutManagement, ScopeIsRead
    """
    if handler.opt.get(TokenGate.exclude_opt_key):
        return  # what everybody may read comes without a token
    visit: Visit = connection.scope["state"]["visit"]
    area, looks = handler.opt.get("area", Area.EVERYTHING_ELSE), is_looking(connection)
    try:
        check_scope(visit.account.scope, area, is_looking=looks)
    except OutOfScope:
        if area is Area.MANAGEMENT and not looks:
            await note_refused_request(connection, visit)
        raise


async def refuse_unreadable(request: Request[Any, Any, Any]) -> None:
    """Before anything else: no text of the log and of the database can hold the character NUL, and no depth is without end.

    Raises:
        TextHoldsNul, BodyNestsTooDeep
    """
    address = request.scope["raw_path"] + b"?" + request.scope["query_string"]
    if _NUL_IN_ADDRESS in address:
        raise TextHoldsNul
    if request.method in SAFE_METHODS or request.route_handler.opt.get("takes_a_file"):
        return
    body = await request.body()
    if _NUL_IN_JSON.search(body):
        raise TextHoldsNul
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except RecursionError:
        raise BodyNestsTooDeep from None
    except msgspec.MsgspecError:
        return  # whoever reads the body says what is wrong with it
