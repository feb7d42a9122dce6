"""What reaches the pages at all: the server before them, spoken to over a real connection. Source: REQUIREMENTS, S-1."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from infra.settings import Settings, read_settings
from infra.web_server import serving
from tests.conftest import free_ports
from tests.eventually import eventually
from tests.web.site import new_services
from web.app import create_app

WHOLE = b"GET /sign-in HTTP/1.1\r\nHost: assay\r\nConnection: close\r\n"


def settings_in(state: Path, **variables: str) -> Settings:
    return read_settings({"ASSAY_STATE": str(state), **variables})


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The pages over fakes, served as `run_web` serves them."""
    (port,) = free_ports(1)
    settings = settings_in(tmp_path_factory.mktemp("state"), ASSAY_PORT=str(port))
    server = uvicorn.Server(uvicorn.Config(create_app(new_services()), lifespan="off", **serving(settings)))
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started)
    yield port
    server.should_exit = True
    thread.join()


def answer_to(port: int, *pieces: bytes) -> bytes:
    """What comes back until the server hangs up; it may do so before everything was sent."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
        received = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
            while part := connection.recv(1 << 16):
                received += part
        except (ConnectionResetError, BrokenPipeError):
            pass
        return received


def test_a_request_of_usual_size_is_answered_without_a_word_about_the_server(port: int) -> None:
    answer = answer_to(port, WHOLE, b"Cookie: a=" + b"x" * 8000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nserver:" not in answer.lower()


@pytest.mark.parametrize(
    "pieces",
    [
        [WHOLE, b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n"],
        [WHOLE, *[b"X-Many: y\r\n" * 1000] * 40, b"\r\n"],
        [b"GET /users?search=" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: assay\r\n\r\n"],
        [b"x" * 200_000],
        [WHOLE, b"X-Endless: ", *[b"x" * 65_536] * 512],
    ],
    ids=["one long header", "many headers", "a long address", "no request", "a header without end"],
)
def test_the_head_of_a_request_is_short(port: int, pieces: list[bytes]) -> None:
    answer = answer_to(port, *pieces)
    assert b" 200 " not in answer
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: -1\r\n",
        b"X-Folded: a\r\n b: c\r\n" + b"Bad Name: x\r\n",
        b"X-Nul: a\0b\r\n",
    ],
)
def test_a_request_that_two_servers_could_read_differently_is_refused(port: int, head: bytes) -> None:
    """Otherwise a proxy and this server could disagree on where one request ends and the next begins."""
    answer = answer_to(port, b"POST /sign-in HTTP/1.1\r\nHost: assay\r\n", head, b"\r\n0\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))


def test_a_body_without_end_is_refused_while_it_comes(port: int) -> None:
    head = b"POST /sign-in HTTP/1.1\r\nHost: assay\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    form = b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    answer = answer_to(port, head, form, *[b"10000\r\n" + b"x" * 65_536 + b"\r\n"] * 64)
    assert b" 413 " in answer or answer == b""  # whoever goes on sending may not hear it
    assert answer_to(port, WHOLE, b"\r\n").startswith(b"HTTP/1.1 200 ")


def seen_as(settings: Settings, sender: str) -> str:
    """As which address the pages see a request that `sender` brings and says to be from 10.9.8.7."""
    seen: list[str] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    async def nothing(*_: Any) -> Any:
        return {}

    config = uvicorn.Config(page, lifespan="off", **serving(settings))
    config.load()
    headers = [(b"x-forwarded-for", b"10.9.8.7")]
    scope: Any = {"type": "http", "asgi": {"version": "3.0"}, "client": (sender, 50_000), "headers": headers}
    asyncio.run(config.loaded_app(scope, nothing, nothing))
    (address,) = seen
    return address


@pytest.mark.parametrize(
    ("trusted", "sender", "seen"),
    [
        ("", "127.0.0.1", "10.9.8.7"),
        ("", "::1", "10.9.8.7"),
        ("", "172.18.0.1", "172.18.0.1"),
        ("172.18.0.1", "172.18.0.1", "10.9.8.7"),
        ("10.0.0.7, 172.18.0.0/16", "172.18.0.1", "10.9.8.7"),
        ("172.18.0.1", "172.18.0.2", "172.18.0.2"),
        ("172.18.0.1", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_only_proxies_that_the_settings_name_say_whose_request_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: str, sender: str, seen: str
) -> None:  # S-1, S-2
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # which uvicorn would read by itself
    assert seen_as(settings_in(tmp_path, ASSAY_TRUSTED_PROXIES=trusted), sender) == seen
