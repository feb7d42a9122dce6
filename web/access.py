"""Which pages a role may look at. Commands are decided in dispatch, for every way in (U-6); this keeps whole pages from view."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from domain.permissions import Permission, Role, permits
from domain.refusals import NotPermitted
from web.sessions import SAFE_METHODS, Visit


def needs(permission: Permission) -> Guard:
    """A guard: only roles with `permission` see these pages. A refused request to do something leaves its audit record (U-6),
    also where it would never have become a command.
    """

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        visit: Visit = connection.scope["state"]["visit"]
        if permits(Role(visit.account.role), permission):
            return
        method = connection.scope.get("method", "GET")
        if method not in SAFE_METHODS:
            assay = connection.app.state.services.assay
            assay.note_refusal(visit.account.user_id, f"{method} {visit.path}", visit.request_id)
        raise NotPermitted

    return guard
