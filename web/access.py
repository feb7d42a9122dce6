"""What a role may look at. Commands are decided in dispatch, for every way in (U-6); this keeps whole pages from view, and
whole resources of the HTTP API.
"""

from typing import Any

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

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        visit: Visit = connection.scope["state"]["visit"]
        if permits(Role(visit.account.role), permission):
            return
        method = connection.scope.get("method", "GET")
        if method not in SAFE_METHODS:
            note_refused_request(connection, visit, method)
        raise NotPermitted

    return guard


def note_refused_request(connection: ASGIConnection[Any, Any, Any, Any], visit: Visit, method: str) -> None:
    """Leave the audit record of a request for management that becomes no command (U-6)."""
    assay = connection.app.state.services.assay
    assay.note_refusal(visit.account.user_id, f"{method} {visit.path}", visit.request_id, visit.token)
