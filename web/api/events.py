"""The public events of the log, for who follows them without Kafka. Source: REQUIREMENTS, K-3, K-5, U-6."""

from typing import Annotated, Any

from litestar import Controller, get
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from domain.api_tokens import Area, check_follower
from domain.public_events import PublicEvent
from web.api.routes import LOOKS
from web.api.shapes import Shape
from web.bearer import Caller
from web.services import Services

MOST_EVENTS = 1_000
LARGEST_POSITION = (1 << 63) - 1


class Events(Shape, frozen=True, kw_only=True):
    """Some events in the order of the log. `next` is to be sent as `after`; without `has_more` ask again later."""

    events: tuple[PublicEvent, ...]
    next: int
    has_more: bool


@get("/asyncapi.json", sync_to_thread=True, include_in_schema=False, is_public=True)
def event_description(services: NamedDependency[Services]) -> dict[str, Any]:
    """AsyncAPI and JSON Schemas of the events; everybody may read what they look like."""
    description: dict[str, Any] = services.public_events.description
    return description


def may_follow(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard.

    Raises:
        NotPermitted
    """
    caller: Caller = connection.scope["state"]["visit"].account
    check_follower(caller.role, caller.scope)


class PublicEvents(Controller):
    """Everything that happens, whoever's it is."""

    path = "/events"
    guards = [may_follow]  # noqa: RUF012 - Litestar's way to guard a controller
    tags = ("events",)

    @get("/", sync_to_thread=True, area=Area.PUBLIC_EVENTS, responses=LOOKS)
    def read(
        self,
        services: NamedDependency[Services],
        after: Annotated[
            int, QueryParameter(ge=0, le=LARGEST_POSITION, description="A position; 0 is the beginning.")
        ] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_EVENTS)] = 100,
    ) -> Events:
        """Public events as CloudEvents, from a position on; nobody who follows `next` misses one."""
        found = services.public_events.read(after, limit)
        return Events(events=found.events, next=found.position, has_more=found.has_more)
