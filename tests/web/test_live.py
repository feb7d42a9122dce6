"""Live pages: fragments are sent when they change, and a stream ends when it should."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from uuid import UUID

import msgspec
import pytest
from litestar.response import ServerSentEventMessage

from domain.permissions import Role
from domain.refusals import NotFound
from tests.web.site import QUALITY_LEAD, FakeChanges, FakeUsers
from web.live import CHECK_SECONDS, ROUND_SECONDS, Live, Part, _Watched
from web.pages import Page
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
    """Draws a part as the one field that it shows."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.drawn: list[str] = []

    def part(self, template: str, page: Any) -> str:
        self.drawn.append(template)
        return str({"progress": page.percent, "curve": page.curve}[template])


class Screen:
    """What the page would show now; a render a call."""

    def __init__(self, *shown: Mapping[str, str]) -> None:
        self.shown = list(shown)
        self.renders = 0

    def __call__(self) -> Mapping[str, str]:
        self.renders += 1
        return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]


def opened(services: Services, *positions: int, rounds: int | Stopping) -> tuple[Live, "FakeDesk"]:
    session_id = services.sessions.open(Session(user_id=QUALITY_LEAD.user_id, epoch=1))
    desk = FakeDesk(Visit(request_id="r", account=QUALITY_LEAD, session_id=session_id))
    stopping = Stopping(rounds) if isinstance(rounds, int) else rounds
    for name, value in {"changes": FakeChanges(*positions), "stopping": stopping}.items():
        object.__setattr__(services, name, value)
    visits = Visits(services, Signer(services.settings.secret), Cookies(secure=False))
    return Live(services, visits, desk), desk  # type: ignore[arg-type]


def sent(events: AsyncGenerator[ServerSentEventMessage, None]) -> list[Any]:
    async def read() -> list[ServerSentEventMessage]:
        return [message async for message in events]

    return [(message.event, message.data) for message in asyncio.run(read()) if message.comment is None]


def stream(
    services: Services, screen: Screen, *positions: int, rounds: int | Stopping, every_seconds: float = 1000.0
) -> list[Any]:
    live, _ = opened(services, *positions, rounds=rounds)
    return sent(live._events(lambda _has_moved: screen(), every_seconds))


# A watched page


class JobPage(Page, frozen=True):
    state: str
    percent: int
    curve: str = "a long curve"


class Job:
    """A job that trains; every question to the read models and every look at its heartbeat is noted."""

    def __init__(self) -> None:
        self.state, self.percent = "training", 0
        self.asked: list[str] = []

    def look(self) -> JobPage:
        self.asked.append("read models")
        return JobPage(state=self.state, percent=self.percent)

    def freshen(self, page: JobPage) -> JobPage:
        self.asked.append("heartbeat")
        self.percent += 10
        return msgspec.structs.replace(page, percent=self.percent)


PARTS = {
    "progress": Part[JobPage]("progress", shows=lambda page: page.percent),
    "curve": Part[JobPage]("curve", shows=lambda page: page.curve),
}


def watched(services: Services, job: Job, *positions: int, rounds: int) -> tuple[list[Any], list[str]]:
    live, desk = opened(services, *positions, rounds=rounds)
    return sent(live._events(_Watched(job.look, PARTS, job.freshen, desk.part), 1.0)), desk.drawn


def test_the_read_models_are_asked_only_when_they_moved(services: Services) -> None:  # T-3
    job = Job()
    watched(services, job, 7, 7, 7, 8, 8, rounds=5)
    assert job.asked == ["read models", "heartbeat", "heartbeat", "read models", "heartbeat"]


def test_only_a_part_that_shows_something_else_is_drawn_and_sent(services: Services) -> None:  # T-5
    shown, drawn = watched(services, Job(), 7, 7, 8, rounds=3)
    assert drawn == ["progress", "curve", "progress"]
    assert shown == [("fragment", "progress\n0"), ("fragment", "curve\na long curve"), ("fragment", "progress\n10")]


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
    assert stream(services, screen, 7, 8, 9, rounds=99) == [("signed_out", "")]


def ending_its_session(services: Services, *shown: Mapping[str, str]) -> Screen:
    """A screen whose session ends at the second look."""

    class Ending(Screen):
        def __call__(self) -> Mapping[str, str]:
            if self.renders:
                services.sessions.close_all(QUALITY_LEAD.user_id)
            return super().__call__()

    return Ending(*shown)


def test_what_moves_without_events_is_not_shown_after_its_session_either(services: Services) -> None:  # U-4
    screen = ending_its_session(services, {"clock": "00:00:01"}, {"clock": "00:00:02"})
    shown = stream(services, screen, 7, rounds=99, every_seconds=ROUND_SECONDS)
    assert shown == [("fragment", "clock\n00:00:01"), ("signed_out", "")]


def test_a_stream_ends_after_its_session_as_soon_as_the_log_moves(services: Services) -> None:  # U-4
    assert stream(services, ending_its_session(services, {"rows": "1"}), 7, 8, rounds=2)[-1] == ("signed_out", "")


def test_a_quiet_stream_rarely_asks_whether_its_session_goes_on(services: Services) -> None:
    class Counting(FakeUsers):
        asked_for = 0

        def account(self, user_id: UUID) -> Any:
            self.asked_for += 1
            return super().account(user_id)

    services.read.users = users = Counting(QUALITY_LEAD)
    stream(services, Screen({"rows": "1"}), 7, rounds=41)
    assert users.asked_for == 1 + 40 * ROUND_SECONDS / CHECK_SECONDS


def test_a_stream_that_shows_nothing_new_ends_soon_after_its_session(services: Services) -> None:  # U-4
    class ResettingLater(Stopping):
        def __call__(self) -> bool:
            if self.left == 90:
                services.sessions.close_all(QUALITY_LEAD.user_id)
            return super().__call__()

    stopping = ResettingLater(99)
    assert stream(services, Screen({"rows": "1"}), 7, rounds=stopping) == [("fragment", "rows\n1"), ("signed_out", "")]
    assert stopping.left >= 90 - CHECK_SECONDS / ROUND_SECONDS


def test_a_stream_ends_when_what_it_shows_is_deleted(services: Services) -> None:  # T-2
    class Deleted(Screen):
        def __call__(self) -> Mapping[str, str]:
            if self.renders:
                raise NotFound
            return super().__call__()

    assert stream(services, Deleted({"job": "1"}), 7, 8, rounds=99) == [("fragment", "job\n1"), ("gone", "")]


def test_a_quiet_stream_is_kept_open_by_pings(services: Services) -> None:
    live, _ = opened(services, rounds=40)

    async def comments() -> list[str | None]:
        return [
            message.comment
            async for message in live._events(lambda _has_moved: {"rows": "1"}, 1000.0)
            if message.comment
        ]

    assert asyncio.run(comments()) == ["hello", "ping", "ping"]


@pytest.mark.parametrize("html", ["one line", "<tr>\n<td>two</td>\n</tr>"])
def test_a_fragment_of_several_lines_travels_whole(html: str) -> None:
    encoded = ServerSentEventMessage(event="fragment", data=f"rows\n{html}").encode().decode()
    received = "\n".join(line.removeprefix("data: ") for line in encoded.splitlines() if line.startswith("data: "))
    assert received == f"rows\n{html}"
