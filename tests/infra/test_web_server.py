"""What reaches the pages at all: the server before them, spoken to over a real connection. Source: REQUIREMENTS, S-1."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import uvicorn

from infra.bootstrap import SERVING
from tests.conftest import free_ports
from tests.eventually import eventually
from tests.web.site import new_services
from web.app import create_app

WHOLE = b"GET /sign-in HTTP/1.1\r\nHost: assay\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The pages over fakes, served as `run_web` serves them."""
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(create_app(new_services()), port=port, lifespan="off", **SERVING))
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
