"""Live pages: one stream of events a page, carrying fragments that the server rendered anew.

An element `<div data-live="rows">` is replaced by the fragment of that name; `<body data-stream="/training-jobs/live">` names the
stream (block `stream` of `base.html`). A fragment is sent only when it changed.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping

from litestar.concurrency import sync_to_thread
from litestar.response import ServerSentEvent, ServerSentEventMessage

from web.pages import Desk
from web.services import Services
from web.sessions import Visits

PING_SECONDS = 15.0
WAKE_SECONDS = 1.0
"""How soon an open stream notices that the server is stopping."""
_log = logging.getLogger(__name__)


class Live:
    """Follows the read models for one page."""

    def __init__(self, services: Services, visits: Visits, desk: Desk) -> None:
        self._services, self._visits, self._desk = services, visits, desk

    def follow(self, fragments: Callable[[], Mapping[str, str]], *, every_seconds: float = 5.0) -> ServerSentEvent:
        """Render `fragments` whenever the read models move, and every so often: clocks and heartbeats move without events."""
        return ServerSentEvent(self._events(fragments, every_seconds), headers={"Cache-Control": "no-store"})

    async def _events(
        self, fragments: Callable[[], Mapping[str, str]], every_seconds: float
    ) -> AsyncGenerator[ServerSentEventMessage, None]:
        shown: dict[str, str] = {}
        position, since_render, since_sent = 0, every_seconds, 0.0
        yield ServerSentEventMessage(comment="hello", data=None, retry=2000)
        while not self._services.stopping():
            reached = await self._services.changes.next_change(position, WAKE_SECONDS)
            since_render, since_sent = since_render + WAKE_SECONDS, since_sent + WAKE_SECONDS
            if reached > position or since_render >= every_seconds:
                position, since_render = reached, 0.0
                if not await sync_to_thread(self._visits.is_still_open, self._desk.visit):
                    yield ServerSentEventMessage(event="signed_out", data="")
                    return
                for name, html in (await sync_to_thread(fragments)).items():
                    if shown.get(name) != html:
                        shown[name], since_sent = html, 0.0
                        yield ServerSentEventMessage(event="fragment", data=f"{name}\n{html}", id=position)
            if since_sent >= PING_SECONDS:
                since_sent = 0.0
                yield ServerSentEventMessage(comment="ping", data=None)
