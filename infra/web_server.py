"""The server of the pages: how uvicorn serves them and ends, and how live pages wait."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn

from infra.positions import PositionWatcher
from infra.settings import Settings

WEB_GRACE_SECONDS = 20
"""Longer than any page or part of an upload takes; open live pages end at once, because their browsers come back by themselves."""


def serving(settings: Settings) -> dict[str, Any]:
    """How uvicorn serves the pages."""
    return {
        "host": settings.host,
        "port": settings.port,
        # Otherwise uvicorn (0.54) reads from the environment whom to believe.
        "forwarded_allow_ips": list(settings.trusted_proxies),
        # The other reader of requests that it knows takes headers without end. Ours take some 4 KiB.
        "http": "h11",
        "h11_max_incomplete_event_size": 1 << 16,
        "server_header": False,
        "log_config": None,
        "access_log": False,
        "timeout_graceful_shutdown": WEB_GRACE_SECONDS,
    }


def web_server(config: uvicorn.Config, ready: Callable[[], None], stop: threading.Event) -> uvicorn.Server:
    """As any process it asks `stop` each time its loop goes round. SIGTERM is uvicorn's own while it serves, which raises it again
    for us once it has stopped in order; one that came before that is heard, too.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

        async def on_tick(self, counter: int) -> bool:
            self.should_exit = stop.is_set() or self.should_exit
            return await super().on_tick(counter)

    return Server(config)


class PageChanges:
    """How far the read models have come, for live pages: many wait at once, so none may hold a thread."""

    STEP_SECONDS = 0.1

    def __init__(self, watcher: PositionWatcher) -> None:
        self._watcher = watcher

    async def next_change(self, after: int, timeout: float, rest: float) -> int:  # noqa: ASYNC109 - the web's protocol
        """The position once it is beyond `after`, or `after` again when `timeout` seconds have passed; after `rest` seconds."""
        deadline = time.monotonic() + timeout
        await asyncio.sleep(rest)
        while self._watcher.reached <= after and time.monotonic() < deadline:  # noqa: ASYNC110 - moved by a thread
            await asyncio.sleep(self.STEP_SECONDS)
        return max(after, self._watcher.reached)
