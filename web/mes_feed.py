"""MES 事件推送: how far public events were sent to Kafka, and what holds them up. Source: REQUIREMENTS, K-1, K-3, U-6."""

from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from domain.permissions import Permission
from web.access import needs
from web.pages import Desk, Page
from web.services import Services


class MesFeedPage(Page, frozen=True):
    """`topic` is empty where there is no Kafka; `state` is `infra.mes_feed.FeedState`."""

    TEMPLATE = "mes_feed/state.html"
    topic: str
    state: Any


class MesFeed(Controller):
    """Super administrators only."""

    path = "/mes-feed"
    guards = [needs(Permission.SUPERVISE)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def state(self, services: NamedDependency[Services], desk: NamedDependency[Desk]) -> Response[str]:
        """As it is now."""
        return desk.show(MesFeedPage(topic=services.feed.topic, state=services.feed.state()))
