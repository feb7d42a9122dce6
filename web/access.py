"""What a role may look at. Commands are decided in dispatch, for every way in (U-6); this keeps whole pages from view, and
whole resources of the HTTP API.
"""

from typing import Any

from litestar.concurrency import sync_to_thread
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from domain.permissions import Permission, Role, permits
from domain.refusals import NotPermitted
from web.sessions import SAFE_METHODS, Visit


def needs(permission: Permission) -> Guard:
    """A guard: only roles with `permission` see what it stands before. A refused request to do something leaves its audit record
    (U-6), also where it would never have become a command.
    """

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        visit: Visit = connection.scope["state"]["visit"]
        if permits(Role(visit.account.role), permission):
            return
        if not is_looking(connection):
            await note_refused_request(connection, visit)
        raise NotPermitted

    return guard


def is_looking(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether a request only looks."""
    return connection.scope.get("method", "GET") in SAFE_METHODS


async def note_refused_request(connection: ASGIConnection[Any, Any, Any, Any], visit: Visit) -> None:
    """Leave the audit record of a request for management that becomes no command (U-6); no other request waits for the log."""
    assay, method = connection.app.state.services.assay, connection.scope.get("method", "GET")
    action = f"{method} {visit.path}"
    await sync_to_thread(assay.note_refusal, visit.account.user_id, action, visit.request_id, visit.token)
