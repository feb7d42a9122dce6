"""Which pages a role may look at. Commands are decided in dispatch, for every way in (U-6); this keeps whole pages from view."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from domain.permissions import Permission, Role, permits
from domain.refusals import NotPermitted


def needs(permission: Permission) -> Guard:
    """A guard: only roles with `permission` see these pages."""

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        if not permits(Role(connection.scope["state"]["visit"].account.role), permission):
            raise NotPermitted

    return guard
