"""What stands around the web application: every request is counted, timed and told of in one line of the log.

Whatever is logged while a request is answered carries its id, which stands in the answer (`X-Request-ID`) and in every event that
the request makes, too (E-1).
"""

import logging
import time
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from infra.logs import surrounded_by
from infra.metrics import HTTP_IN_PROGRESS, HTTP_REQUESTS, HTTP_SECONDS, HTTP_STREAMS
from web.bearer import Caller
from web.sessions import request_id_of

log = logging.getLogger(__name__)

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
NO_ROUTE = "none"
"""Of a request for an address that no page has: what strangers try out must not become names of series."""
BROKEN_OFF = "broken_off"
"""Instead of a status, where the caller left before the answer began."""
_LONGEST_PATH = 300


class WatchedRequests:
    """The application, watched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        request_id_of(ASGIConnection(scope))
        answer = _Answer(send)
        with surrounded_by(lambda: _asked_by(scope)), HTTP_IN_PROGRESS.track_inprogress():
            try:
                await self._app(scope, receive, answer.send)
            finally:
                answer.close()
                _tell(scope, answer)


class _Answer:
    """What is sent, seen on its way."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started_at = time.perf_counter()
        self.status = BROKEN_OFF
        self.is_stream = False

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started_at

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = str(message["status"])
            self.is_stream = any(
                name.lower() == b"content-type" and kind.startswith(b"text/event-stream")
                for name, kind in message["headers"]
            )
            if self.is_stream:
                HTTP_STREAMS.inc()
        await self._send(message)

    def close(self) -> None:
        if self.is_stream:
            HTTP_STREAMS.dec()


def _tell(scope: Scope, answer: _Answer) -> None:
    found = cast(dict[str, Any], scope)  # what routing found out, or did not
    method = found["method"] if found["method"] in METHODS else "other"
    route = str(found.get("path_template") or NO_ROUTE)
    HTTP_REQUESTS.labels(method, route, answer.status).inc()
    if not answer.is_stream:
        HTTP_SECONDS.labels(method, route).observe(answer.seconds)
    handler = found.get("route_handler")
    if handler is None or not handler.opt.get("is_static"):
        told = {"method": method, "route": route, "path": scope["path"][:_LONGEST_PATH], "status": answer.status}
        log.info("request_answered", extra={**told, "milliseconds": round(answer.seconds * 1000, 1)})


def _asked_by(scope: Scope) -> dict[str, Any]:
    """The request, and who asks as soon as that is known."""
    state = scope["state"]
    account = getattr(state.get("visit"), "account", None)
    asked_by = {"request_id": state["request_id"]}
    if account is not None:
        asked_by["user_id"] = str(account.user_id)
    if isinstance(account, Caller):
        asked_by["token_id"] = str(account.token_id)
    return asked_by
