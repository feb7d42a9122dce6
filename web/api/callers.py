"""Who a token acts for."""

from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency

from domain.api_tokens import Area, TokenScope
from domain.permissions import Role
from web.api.desk import ApiDesk
from web.api.routes import LOOKS
from web.api.shapes import Shape, shaped


class Me(Shape, frozen=True, kw_only=True):
    """Whom the token acts for, and how far."""

    token_name: str
    scope: TokenScope
    user_id: UUID
    username: str
    role: Role


class Callers(Controller):
    """What a token is."""

    path = "/"
    tags = ("account",)

    @get("/me", sync_to_thread=True, area=Area.CALLER, responses=LOOKS)
    def me(self, desk: NamedDependency[ApiDesk]) -> Me:
        """Whom the token acts for."""
        return shaped(desk.caller, Me)
