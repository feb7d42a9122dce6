"""Live pages: fragments are sent when they change, and a stream ends when it should."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
import pytest
from litestar.response import ServerSentEventMessage

from domain.permissions import Role
from tests.web.site import QUALITY_LEAD, FakeChanges, FakeUsers
from web.live import Live
from web.services import Services
from web.sessions import Cookies, Session, Signer, Visit, Visits


class Stopping:
    """Says that the server stops once the stream has looked `rounds` times."""

    def __init__(self, rounds: int) -> None:
        self.left = rounds

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


class FakeDesk:
    def __init__(self, visit: Visit) -> None:
        self.visit = visit


class Screen:
    """What the page would show now; a render a call."""

    def __init__(self, *shown: Mapping[str, str]) -> None:
        self.shown = list(shown)
        self.renders = 0

    def __call__(self) -> Mapping[str, str]:
        self.renders += 1
        return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]


def stream(
    services: Services, screen: Screen, *positions: int, rounds: int, every_seconds: float = 1000.0
) -> list[Any]:
    session_id = services.sessions.open(Session(user_id=QUALITY_LEAD.user_id, epoch=1))
    visit = Visit(request_id="r", account=QUALITY_LEAD, session_id=session_id)
    for name, value in {"changes": FakeChanges(*positions), "stopping": Stopping(rounds)}.items():
        object.__setattr__(services, name, value)
    visits = Visits(services, Signer(services.settings.secret), Cookies(secure=False))
    live = Live(services, visits, FakeDesk(visit))  # type: ignore[arg-type]

    async def read() -> list[ServerSentEventMessage]:
        return [message async for message in live._events(screen, every_seconds)]

    return [(message.event, message.data) for message in asyncio.run(read()) if message.comment is None]


def test_what_a_page_shows_is_sent_at_once(services: Services) -> None:  # T-3
    assert stream(services, Screen({"rows": "<tr>等待中</tr>"}), 7, rounds=1) == [("fragment", "rows\n<tr>等待中</tr>")]


def test_only_fragments_that_changed_are_sent_again(services: Services) -> None:
    screen = Screen(
        {"rows": "等待中", "head": "1"}, {"rows": "正在训练", "head": "1"}, {"rows": "正在训练", "head": "1"}
    )
    assert stream(services, screen, 7, 8, 9, rounds=3) == [
        ("fragment", "rows\n等待中"),
        ("fragment", "head\n1"),
        ("fragment", "rows\n正在训练"),
    ]


def test_nothing_is_rendered_while_nothing_happens(services: Services) -> None:
    screen = Screen({"rows": "等待中"})
    stream(services, screen, 7, 7, 7, 7, rounds=4)
    assert screen.renders == 1


def test_what_moves_without_events_is_rendered_every_so_often(services: Services) -> None:
    screen = Screen({"clock": "00:00:01"}, {"clock": "00:00:02"})
    sent = stream(services, screen, 7, 7, 7, 7, 7, rounds=5, every_seconds=2)
    assert ("fragment", "clock\n00:00:02") in sent
    assert screen.renders == 3


def test_a_stream_ends_when_its_user_is_deleted(services: Services) -> None:  # U-3
    class Leaving(FakeUsers):
        def account(self, user_id: UUID) -> Any:
            found = super().account(user_id)
            self.accounts.clear()
            return found

    services.read.users = Leaving(QUALITY_LEAD)
    screen = Screen({"rows": "1"}, {"rows": "2"})
    assert stream(services, screen, 7, 8, 9, rounds=99) == [("fragment", "rows\n1"), ("signed_out", "")]


def test_a_stream_ends_when_its_users_role_changes(services: Services) -> None:  # U-4
    class Demoting(FakeUsers):
        def account(self, user_id: UUID) -> Any:
            found = super().account(user_id)
            self.accounts[user_id] = msgspec.structs.replace(QUALITY_LEAD, role=Role.MODEL_TRAINER)
            return found

    services.read.users = Demoting(QUALITY_LEAD)
    screen = Screen({"rows": "1"}, {"rows": "2"})
    assert stream(services, screen, 7, 8, 9, rounds=99) == [("fragment", "rows\n1"), ("signed_out", "")]


def test_a_stream_ends_when_its_sessions_are_closed(services: Services) -> None:  # U-4
    class Resetting(Screen):
        def __call__(self) -> Mapping[str, str]:
            services.sessions.close_all(QUALITY_LEAD.user_id)
            return super().__call__()

    screen = Resetting({"rows": "1"}, {"rows": "2"})
    assert stream(services, screen, 7, 8, 9, rounds=99) == [("fragment", "rows\n1"), ("signed_out", "")]


def test_a_quiet_stream_is_kept_open_by_pings(services: Services) -> None:
    session_id = services.sessions.open(Session(user_id=QUALITY_LEAD.user_id, epoch=1))
    object.__setattr__(services, "stopping", Stopping(40))
    visits = Visits(services, Signer(services.settings.secret), Cookies(secure=False))
    visit = Visit(request_id="r", account=QUALITY_LEAD, session_id=session_id)
    live = Live(services, visits, FakeDesk(visit))  # type: ignore[arg-type]

    async def comments() -> list[str | None]:
        return [message.comment async for message in live._events(Screen({"rows": "1"}), 1000.0) if message.comment]

    assert asyncio.run(comments()) == ["hello", "ping", "ping"]


@pytest.mark.parametrize("html", ["one line", "<tr>\n<td>two</td>\n</tr>"])
def test_a_fragment_of_several_lines_travels_whole(html: str) -> None:
    encoded = ServerSentEventMessage(event="fragment", data=f"rows\n{html}").encode().decode()
    received = "\n".join(line.removeprefix("data: ") for line in encoded.splitlines() if line.startswith("data: "))
    assert received == f"rows\n{html}"
