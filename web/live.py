"""Live pages: one stream of events a page, carrying fragments that the server rendered anew.

An element `<div data-live="rows">` takes on the fragment of that name; `<body data-stream="/training-jobs/live">` names the
stream (block `stream` of `base.html`). A fragment is sent only when it changed.

A stream costs next to nothing while nothing happens: the read models are asked only when they moved, and a part of the page is
rendered only when what it shows differs from what was shown before.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from litestar.concurrency import sync_to_thread
from litestar.response import ServerSentEvent, ServerSentEventMessage

from domain.refusals import Refusal
from web.pages import Desk, Page
from web.services import Services
from web.sessions import Visits

P = TypeVar("P", bound=Page)
Fragments = Mapping[str, str]
PING_SECONDS = 15.0
ROUND_SECONDS = 1.0
"""How often clocks and heartbeats move, and how soon an open stream notices that the server is stopping."""
REST_SECONDS = 0.5
"""So long a stream rests after each round, however fast the log grows; what happens meanwhile is still shown within a second."""
CHECK_SECONDS = 5.0
"""How soon a stream that shows nothing new ends after its session."""


@dataclass(frozen=True)
class Part(Generic[P]):
    """A fragment of a page: its template, and what of the page it shows. It is drawn again when that is no longer equal."""

    template: str
    shows: Callable[[P], Any]


class Live:
    """Follows the read models for one page."""

    def __init__(self, services: Services, visits: Visits, desk: Desk) -> None:
        self._services, self._visits, self._desk = services, visits, desk

    def follow(self, fragments: Callable[[], Fragments], *, every_seconds: float = 5.0) -> ServerSentEvent:
        """Render `fragments` whenever the read models move, and every so often: clocks and heartbeats move without events."""
        return self._stream(lambda _has_moved: fragments(), every_seconds)

    def watch(
        self, look: Callable[[], P], parts: Mapping[str, Part[P]], *, freshen: Callable[[P], P]
    ) -> ServerSentEvent:
        """Show the parts of a page as they change.

        `look` asks the read models and is called when they moved. `freshen` is called every second: it renews what moves without
        events, heartbeats and clocks, and gives the page back as it is where nothing does.
        """
        return self._stream(_Watched(look, parts, freshen, self._desk.part), ROUND_SECONDS)

    def _stream(self, look: Callable[[bool], Fragments], every_seconds: float) -> ServerSentEvent:
        return ServerSentEvent(self._events(look, every_seconds), headers={"Cache-Control": "no-store"})

    async def _events(
        self, look: Callable[[bool], Fragments], every_seconds: float
    ) -> AsyncGenerator[ServerSentEventMessage, None]:
        """`look` is told whether the read models have moved since it was asked the last time."""
        shown: dict[str, str] = {}
        position, since_look, since_check, since_sent, rest = 0, every_seconds, 0.0, 0.0, 0.0
        yield ServerSentEventMessage(comment="hello", data=None, retry=2000)
        while not self._services.stopping():
            reached = await self._services.changes.next_change(position, ROUND_SECONDS, rest)
            has_moved, rest = reached > position, REST_SECONDS
            since_look, since_check, since_sent = (
                seconds + ROUND_SECONDS for seconds in (since_look, since_check, since_sent)
            )
            new: dict[str, str] = {}
            if has_moved or since_look >= every_seconds:
                position, since_look = reached, 0.0
                try:
                    fragments = await sync_to_thread(look, has_moved)
                except Refusal:  # deleted, or somebody else's by now: the page says so when it is asked for again
                    yield ServerSentEventMessage(event="gone", data="")
                    return
                new = {name: html for name, html in fragments.items() if shown.get(name) != html}
            if has_moved or new or since_check >= CHECK_SECONDS:
                since_check = 0.0
                if not await sync_to_thread(self._visits.is_still_open, self._desk.visit):
                    yield ServerSentEventMessage(event="signed_out", data="")
                    return
            for name, html in new.items():
                shown[name], since_sent = html, 0.0
                yield ServerSentEventMessage(event="fragment", data=f"{name}\n{html}", id=position)
            if since_sent >= PING_SECONDS:
                since_sent = 0.0
                yield ServerSentEventMessage(comment="ping", data=None)


class _Watched(Generic[P]):
    """A page as one stream has seen it last."""

    def __init__(
        self,
        look: Callable[[], P],
        parts: Mapping[str, Part[P]],
        freshen: Callable[[P], P],
        draw: Callable[[str, P], str],
    ) -> None:
        self._look, self._parts, self._freshen, self._draw = look, parts, freshen, draw
        self._page: P | None = None
        self._shown: dict[str, Any] = {}

    def __call__(self, has_moved: bool) -> Fragments:
        """The parts that show something else than before."""
        self._page = page = self._look() if has_moved or self._page is None else self._freshen(self._page)
        fragments = {}
        for name, part in self._parts.items():
            shows = part.shows(page)
            if name not in self._shown or self._shown[name] != shows:
                self._shown[name], fragments[name] = shows, self._draw(part.template, page)
        return fragments
