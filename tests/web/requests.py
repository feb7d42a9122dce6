"""Every request of the application, sent by anybody in any way."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from tests.examples import (
    QUALITY_LEAD_ID,
    QUESTION_BANK_FOLDER,
    QUESTION_BANK_ID,
    TRAINER_WANG_ID,
    example_id,
)
from tests.permission_table import REQUESTS, Who
from tests.web.busy_plant import PLACES, job_in
from tests.web.real_site import RealSite
from tests.web.test_permissions import BODIES, PARTS, secret_of
from web.pages import static_files
from web.sessions import SAFE_METHODS, Session, Signer

PAGES = {line: who for line, who in REQUESTS.items() if not line.split(" ")[1].startswith("/api/")}
UNSAFE_PAGES = {line: who for line, who in PAGES.items() if line.split(" ")[0] not in SAFE_METHODS}
FOR_MACHINES = {line: who for line, who in REQUESTS.items() if line not in PAGES}
KNOWN_PARTS = PARTS | PLACES | {"name": static_files().address("app.css").removeprefix("/static/")}
PICTURE = (("root", "data"), ("path", f"{QUESTION_BANK_FOLDER.path}/TPFIP/0000.png"))
QUESTIONS: Mapping[str, Sequence[tuple[str, str]]] = {
    "GET /images/thumbnail": PICTURE,
    "GET /images/original": PICTURE,
    "GET /images/mask": PICTURE,
    "GET /history/{aggregate_id}/state": (("version", "1"),),
    "GET /api/v1/datasets": (("purpose", "training"),),
    "GET /api/v1/datasets/preview": (("data_path", "data:panel-a/train"),),
}
"""What an address must ask so that it has an answer."""


def address_of(pattern: str, **parts: object) -> str:
    """The address of a line of the permission table; `parts` stand in it as they are, also where they are nonsense."""

    def part(found: re.Match[str]) -> str:
        if found[1] in parts:
            return str(parts[found[1]])
        if found[1] == "job_id":
            return str(job_in(pattern))
        if found[1] in {"dataset_id", "path_id"} and "question-bank" in pattern:
            return str(QUESTION_BANK_ID if found[1] == "dataset_id" else example_id("panel-a/question-bank"))
        return str(KNOWN_PARTS.get(found[1], example_id("something that does not exist")))

    return re.sub(r"\{(\w+)\}", part, pattern)


def line_of(method: str, path: str) -> str:
    """The line of the permission table that a page's address belongs to."""
    for line in PAGES:
        wanted, pattern = line.split(" ")
        if wanted == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", pattern), path):
            return line
    raise AssertionError(f"no line for {method} {path}")


def sent_by(who: Who) -> UUID:
    """Somebody who may send what the permission table grants to `who`; of an owner it is the owner."""
    return QUALITY_LEAD_ID if who is Who.SUPER_ADMINISTRATOR else TRAINER_WANG_ID


class Sender:
    """Somebody's browser, or a machine with their token; `user_id` is None for a stranger. Each request has a session of its own,
    because some requests end theirs.
    """

    def __init__(self, site: RealSite, user_id: UUID | None) -> None:
        self._site, self._user_id = site, user_id
        self._signer = Signer(site.services.settings.secret)

    def enter(self) -> str:
        """Open a session, or be a stranger; the form token that belongs to it."""
        cookies = self._site.client.cookies
        cookies.clear()
        if self._user_id is None:
            cookies.set("assay_visitor", self._signer.sign("visitor", "a stranger"))
            return self._signer.mark("form", "a stranger")
        mark = self._site.services.sessions.open(Session(user_id=self._user_id, epoch=0))
        cookies.set("assay_session", self._signer.sign("session", mark))
        return self._signer.mark("form", mark)

    def send(
        self,
        line: str,
        *,
        address: str = "",
        token: str | None = None,
        fields: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A request of a browser; `token` takes the place of the right one, fields stand in the address of what is safe."""
        method, pattern = line.split(" ")
        right = self.enter()
        token = right if token is None else token
        address = address or address_of(pattern)
        asked = {"Accept": "text/html", **(headers or {})}
        fields = fields or QUESTIONS.get(line, ())
        if method in SAFE_METHODS:
            question = "&".join(f"{quote(name)}={quote(value)}" for name, value in fields)
            return self._site.client.request(method, f"{address}?{question}" if question else address, headers=asked)
        if pattern.endswith("/file"):  # such a form brings its token itself, before everything else
            parts = [(name, (None, value)) for name, value in (("csrf_token", token), *fields)]
            return self._site.client.request(
                method, address, headers=asked, files=[*parts, ("file", ("", b"", "application/octet-stream"))]
            )
        if method == "PUT":
            return self._site.client.request(
                method, address, params={"offset": 0}, content=b"x", headers={"X-CSRF-Token": token, **asked}
            )
        content = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in (("csrf_token", token), *fields)
        )
        form = {"Content-Type": "application/x-www-form-urlencoded", **asked}
        return self._site.client.request(method, address, content=content.encode(), headers=form)

    def send_as_machine(
        self, line: str, *, address: str = "", body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A request of a program with the token of this user."""
        method, pattern = line.split(" ")
        self._site.client.cookies.clear()
        known = {"Authorization": f"Bearer {secret_of(self._user_id)}"} if self._user_id else {}
        return self._site.client.request(
            method,
            address or address_of(pattern),
            params=None if "?" in address else dict(QUESTIONS.get(line, ())) or None,
            headers={**known, "Idempotency-Key": line.replace(" ", "_")[:128], **(headers or {})},
            json=BODIES.get(line) if body is None else body,
        )

    def ask(self, line: str) -> httpx.Response:
        """The request as whoever it is meant for would send it."""
        return self.send_as_machine(line) if line in FOR_MACHINES else self.send(line)
