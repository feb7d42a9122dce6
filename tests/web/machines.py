"""Machines that use the HTTP API over the real parts."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from domain.api_tokens import ApiTokenCreated, TokenScope
from tests.examples import QUALITY_LEAD_ID, History
from tests.web.real_site import RealSite
from web.bearer import hash_of, new_secret

API = "/api/v1"


class Machine:
    """A machine with a token of its own."""

    def __init__(self, site: RealSite, secret: str) -> None:
        self._site, self.secret = site, secret

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "", **headers: str) -> httpx.Response:
        """Send one request; `key` is its Idempotency-Key."""
        sent = {"Authorization": f"Bearer {self.secret}", **headers} | ({"Idempotency-Key": key} if key else {})
        self._site.client.cookies.clear()
        return self._site.client.request(method, f"{API}{path}", json=body, headers=sent)

    def send(self, path: str, content: bytes) -> httpx.Response:
        """Put bytes."""
        headers = {"Authorization": f"Bearer {self.secret}"}
        return self._site.client.put(f"{API}{path}", content=content, headers=headers)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Look at something."""
        return self.ask("GET", path, **headers)

    def everything(self, path: str, limit: int) -> list[Any]:
        """A list to its end, a part at a time."""
        found: list[Any] = []
        after: str | None = ""
        while after is not None:
            part = self.get(f"{path}{'&' if '?' in path else '?'}limit={limit}&after={after}").json()
            assert len(part["items"]) <= limit
            found += part["items"]
            after = part["next"]
        return found


def machine_of(
    site: RealSite, user_id: UUID, scope: TokenScope = TokenScope.ACT, *, lifetime: timedelta | None = None
) -> Machine:
    """A machine whose token acts for a user."""
    secret = new_secret()
    expires_at = None if lifetime is None else datetime.now(UTC) + lifetime
    token = ApiTokenCreated(
        name="MES, hall 2", user_id=user_id, scope=scope, secret_hash=hash_of(secret), expires_at=expires_at
    )
    site.happened(History().add(uuid4(), token, actor=QUALITY_LEAD_ID))
    return Machine(site, secret)
