"""Machines that use the HTTP API over the real parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace as replaced
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from domain.api_tokens import ApiTokenCreated, TokenScope
from domain.artifacts import Artifact
from tests.examples import (
    MODEL_IMAGE_ID,
    PANEL_65,
    PORTS,
    QUALITY_LEAD_ID,
    TRAINER_LI_ID,
    TRAINING_DATASET,
    TRAINING_DATASET_ID,
    TWO_CORES_ID,
    History,
    plant,
)
from tests.web.real_site import RealSite, open_real_site
from web.bearer import hash_of, new_secret

API = "/api/v1"
NEW_TRAINING = {
    "model_name": "panel-b",
    "model_image_id": str(MODEL_IMAGE_ID),
    "model_image_version": 1,
    "environment": [str(PANEL_65.node_id)],
    "data_paths": [{"root": "data", "path": "panel-a/train"}],
    "compute_resource_id": str(TWO_CORES_ID),
}
"""What a machine sends to have a new model trained."""


class Machine:
    """A machine with a token of its own."""

    def __init__(self, site: RealSite, secret: str, token_id: UUID | None = None) -> None:
        self._site, self.secret, self._token_id = site, secret, token_id

    @property
    def token_id(self) -> UUID:
        """Of a machine that was made with its token."""
        assert self._token_id is not None
        return self._token_id

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


@contextmanager
def open_plant(database: str, folder: Path) -> Iterator[RealSite]:
    """The plant that all tests share; its folders are those of the examples."""
    with open_real_site(database, folder) as real:
        real.services.assay.ports = replaced(real.services.assay.ports, data_folders=PORTS.data_folders)
        real.happened(plant().add(TRAINING_DATASET_ID, TRAINING_DATASET, actor=TRAINER_LI_ID))
        yield real


def machine_of(
    site: RealSite, user_id: UUID, scope: TokenScope = TokenScope.ACT, *, lifetime: timedelta | None = None
) -> Machine:
    """A machine whose token acts for a user."""
    secret = new_secret()
    expires_at = None if lifetime is None else datetime.now(UTC) + lifetime
    token = ApiTokenCreated(
        name="MES, hall 2", user_id=user_id, scope=scope, secret_hash=hash_of(secret), expires_at=expires_at
    )
    token_id = uuid4()
    site.happened(History().add(token_id, token, actor=QUALITY_LEAD_ID))
    return Machine(site, secret, token_id)


def rule_of(answer: httpx.Response) -> tuple[int, str]:
    """The status of a refusal and the rule that said no."""
    return answer.status_code, answer.json()["refusals"][0]["rule"]


def kept(site: RealSite, folder: Path, content: bytes) -> Artifact:
    """A file on the shared storage."""
    file = folder / "to be kept"
    file.write_bytes(content)
    artifact: Artifact = site.services.artifacts.keep(file)
    return artifact
