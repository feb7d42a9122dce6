"""Pages as a reader meets them: the words in their order, and the first rounds of a live page."""

import html
import re

import httpx

from tests.web.site import Site


def words(page: str) -> str:
    """What a reader sees, in one line."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", text).replace("&#34;", '"').replace("&quot;", '"')
    return " ".join(text.split())


def text(answer: httpx.Response, status: int = 200) -> str:
    """The same of an answer, which is as it was expected."""
    assert answer.status_code == status, answer.text
    return words(html.unescape(answer.text))


def assert_in_order(shown: str, *parts: str) -> None:
    at = 0
    for part in parts:
        found = shown.find(part, at)
        assert found >= 0, f"{part!r} is missing behind: {shown[max(0, at - 60) : at]!r}"
        at = found + len(part)


class StopsAfter:
    """The server is about to end once a stream has looked so often."""

    def __init__(self, rounds: int) -> None:
        self.left = rounds

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def stream(site: Site, address: str, rounds: int = 1) -> str:
    """The first rounds of a live page."""
    object.__setattr__(site.services, "stopping", StopsAfter(rounds))
    answer = site.get(address, Accept="text/event-stream")
    assert answer.status_code == 200
    return answer.text
