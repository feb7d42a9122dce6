"""The web application over fakes. `site` is signed in; `stranger` is not; `services` and its `read` can be filled by a test.

def test_...(site: Site) -> None:
    site.read.industries = FakeIndustries(...)          # any object with the queries the page asks
    answer = site.get("/industries")                    # a page
    answer = site.post("/industries/new", name="显示面板")   # a form, with its token
    assert site.assay.commands == [CreateIndustry(...)]
    site.assay.refuse_with(NameTaken(name="显示面板"))     # the next command is refused
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import httpx
import msgspec
from litestar.testing import TestClient

from domain.permissions import Role
from domain.refusals import Refusal, Refusals
from domain.sentences import Sentence
from domain.system_resources import Span, SystemHistory, SystemNow
from domain.users import Belongings
from domain.waiting import Wait
from projections.overview import KeyFigures, SetupSteps
from projections.read_model import Page
from projections.users import UserRow
from tests.web.accessibility import complaints
from web.services import Services, WebSettings
from web.sessions import Session, new_session_id


class FakeAccount(msgspec.Struct, frozen=True):
    user_id: UUID
    username: str
    role: Role = Role.SUPER_ADMINISTRATOR
    email: str = ""
    remark: str = ""
    session_epoch: int = 1
    created_at: datetime = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    password_hash: str = "hash of Secret1"


class FakeUsers:
    """The read model of users."""

    def __init__(self, *accounts: FakeAccount) -> None:
        self.accounts = {account.user_id: account for account in accounts}
        self.owned: dict[UUID, Belongings] = {}
        self.asked: dict[str, Any] = {}

    def account(self, user_id: UUID) -> FakeAccount | None:
        return self.accounts.get(user_id)

    def credentials(self, username: str) -> FakeAccount | None:
        return next((one for one in self.accounts.values() if one.username.casefold() == username.casefold()), None)

    def get(self, user_id: UUID) -> UserRow | None:
        found = self.accounts.get(user_id)
        return None if found is None else msgspec.convert(found, UserRow, from_attributes=True)

    def named(self, username: str) -> UUID | None:
        found = self.credentials(username)
        return None if found is None else found.user_id

    def names(self) -> list[str]:
        return sorted(account.username for account in self.accounts.values())

    def belongings(self, user_id: UUID) -> Belongings:
        return self.owned.get(user_id, Belongings())

    def page(self, number: int = 1, size: int = 20, **asked: Any) -> Page[UserRow]:
        self.asked = asked
        rows = tuple(msgspec.convert(one, UserRow, from_attributes=True) for one in self.accounts.values())
        return Page(items=rows[(number - 1) * size : number * size], total=len(rows), number=number, size=size)


class FakePasswords:
    def __init__(self) -> None:
        self.verified: list[str] = []

    def hash(self, password: str) -> str:
        return f"hash of {password}"

    def verify(self, password_hash: str, password: str) -> bool:
        self.verified.append(password_hash)
        return password_hash == f"hash of {password}"


class FakeSessions:
    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def open(self, session: Session) -> str:
        session_id = new_session_id()
        self._sessions[session_id] = session
        return session_id

    def find(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    def close(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)

    def close_all(self, user_id: UUID) -> None:
        self._sessions = {key: session for key, session in self._sessions.items() if session.user_id != user_id}


class FakeAssay:
    """Notes every command; refuses the next one when told to."""

    def __init__(self) -> None:
        self.commands: list[Any] = []
        self.refused: list[tuple[UUID, str, str]] = []
        self.refusal: Refusal | Refusals | None = None

    def refuse_with(self, refusal: Refusal | Refusals) -> None:
        self.refusal = refusal

    def note_refusal(self, actor: UUID, action: str, request_id: str, token: UUID | None = None) -> None:
        assert token is None, "browsers have none"
        assert not is_on_the_event_loop(), "every other request would wait for the log"
        self.refused.append((actor, action, request_id))

    def dispatch(self, command: Any) -> int:
        assert not is_on_the_event_loop(), "every other request would wait for the log"
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        self.commands.append(command)
        return len(self.commands)


def is_on_the_event_loop() -> bool:
    """Whether this is the thread that serves all requests."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class FakeChanges:
    def __init__(self, *positions: int) -> None:
        self.positions = list(positions)

    async def next_change(self, after: int, timeout: float, rest: float) -> int:  # noqa: ARG002, ASYNC109 - the contract's names
        return self.positions.pop(0) if self.positions else after


class FakeWaiting:
    """Every job that waits does so for the same reason."""

    def __init__(self, reason: Sentence | None = None) -> None:
        self.wait = Wait(datetime(2026, 3, 2, 8, 0, tzinfo=UTC), reason) if reason else None

    def of(self, job_id: UUID) -> Wait | None:
        return self.of_all([job_id]).get(job_id)

    def of_all(self, job_ids: Sequence[UUID]) -> dict[UUID, Wait]:
        return dict.fromkeys(job_ids, self.wait) if self.wait else {}


class FakeDrafts:
    def __init__(self) -> None:
        self.dropped: list[UUID] = []

    def drop_all(self, user_id: UUID) -> None:
        self.dropped.append(user_id)


class FakeOverview:
    def key_figures(self, user_id: UUID) -> KeyFigures:  # noqa: ARG002 - the contract's name
        return self.figures

    def __init__(self) -> None:
        self.figures = KeyFigures()
        self.steps = SetupSteps(has_industry=True, has_environment=True, has_task_type=True, has_compute_resource=True)

    def setup(self) -> SetupSteps:
        return self.steps


class FakeSystem:
    """A system of which nothing was heard yet; what a test puts there is shown."""

    def __init__(self) -> None:
        self.system = SystemNow()
        self.histories = {span: SystemHistory(span=span, until=datetime(2026, 3, 2, 8, 0, tzinfo=UTC)) for span in Span}

    def now(self) -> SystemNow:
        return self.system

    def last(self, span: Span) -> SystemHistory:
        return self.histories[span]


class Site:
    """A browser with one user."""

    def __init__(self, services: Services, client: TestClient[Any], account: FakeAccount | None = None) -> None:
        self.services, self.client, self.account = services, client, account
        self.looked_at: set[str] = set()

    @property
    def read(self) -> Any:
        return self.services.read

    @property
    def assay(self) -> Any:
        return self.services.assay

    def get(self, address: str, **headers: str) -> httpx.Response:
        return self._look_at(self.client.get(address, headers={"Accept": "text/html", **headers}))

    def post(self, address: str, **fields: Any) -> httpx.Response:
        """Send a form as the browser would: with the token of this session. Lists are repeated fields."""
        answer = self.client.post(address, data={"csrf_token": self.token, **fields}, headers={"Accept": "text/html"})
        return self._look_at(answer)

    def _look_at(self, answer: httpx.Response) -> httpx.Response:
        """Every whole page can be used by keyboard and screen reader, whatever a test asks of it (S-4)."""
        if answer.text.startswith("<!doctype html>"):
            self.looked_at.add(answer.url.path)
            found = complaints(answer.text)
            assert not found, f"{answer.url.path}: {'; '.join(found)}"
        return answer

    @property
    def token(self) -> str:
        """The form token of this browser, from a page that everyone with or without a session may see."""
        answer = self.get("/account")
        page = answer.text if answer.status_code == 200 else self.get("/sign-in").text
        found = re.search(r'<meta name="csrf-token" content="([^"]+)"', page)
        assert found, "the page shows no form token"
        return found[1]

    def sign_in(self, username: str = "quality_lead", password: str = "Secret1") -> httpx.Response:
        return self.post("/sign-in", username=username, password=password)


QUALITY_LEAD = FakeAccount(UUID(int=1), "quality_lead", email="lead@fab.example")
MODEL_TRAINER = FakeAccount(UUID(int=2), "trainer_wang", Role.MODEL_TRAINER)


def new_services() -> Services:
    return Services(
        assay=cast(Any, FakeAssay()),
        read=SimpleNamespace(users=FakeUsers(QUALITY_LEAD, MODEL_TRAINER), overview=FakeOverview()),
        wait=lambda _position: None,
        changes=FakeChanges(),
        sessions=FakeSessions(),
        passwords=FakePasswords(),
        settings=WebSettings(secret="0123456789abcdef0123456789abcdef"),
        drafts=FakeDrafts(),
        waiting=FakeWaiting(),
        machines=(system := FakeSystem()),
        load_history=system,
    )


def renew(services: Services) -> None:
    """Put a new part in the place of every part, because making an application takes longer than a test."""
    fresh = new_services()
    for part in fields(Services):
        object.__setattr__(services, part.name, getattr(fresh, part.name))
