"""Downloads: in parts of constant size, resumable, named safely."""

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.di import NamedDependency
from litestar.testing import TestClient

from domain.artifacts import Artifact
from infra.artifacts import Artifacts
from tests.web.site import Site
from web.app import create_app
from web.downloads import (
    PART_BYTES,
    Download,
    Part,
    Unsatisfiable,
    content_disposition,
    read_range,
    stored_file,
)
from web.services import Services
from web.sign_in import MyAccount, SignIn

CONTENT = b"0123456789" * 100
NAME = "显示面板 v1.01.zip"


class Storage:
    """A file on shared storage, and where a test may damage it."""

    def __init__(self, folder: Path) -> None:
        self.artifacts = Artifacts(folder / "artifacts")
        self._typed = folder / "typed"

    def keep(self, content: bytes) -> Artifact:
        self._typed.write_bytes(content)
        return self.artifacts.keep(self._typed)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


@pytest.fixture
def stored(storage: Storage) -> Artifact:
    return storage.keep(CONTENT)


@pytest.fixture(scope="module")
def app(app_and_services: tuple[Litestar, Services]) -> Litestar:
    """An application with a download at /file."""

    @get("/file", sync_to_thread=True)
    def file(services: NamedDependency[Services]) -> Download:
        stored = Artifact(sha256(CONTENT).hexdigest(), len(CONTENT))
        return stored_file(services, stored, NAME, kind="application/zip")

    _, services = app_and_services
    return create_app(services, pages=(SignIn, MyAccount, file))


@pytest.fixture
def reader(app: Litestar, services: Services, storage: Storage, stored: Artifact) -> Iterator[Site]:
    """Somebody signed in, before a stored file."""
    object.__setattr__(services, "artifacts", storage.artifacts)
    with TestClient(app, raise_server_exceptions=False) as client:
        client.follow_redirects = False
        browser = Site(services, client)
        assert browser.sign_in().status_code == 303
        yield browser


def test_the_whole_file_comes_with_length_checksum_and_name(reader: Site, stored: Artifact) -> None:
    answer = reader.get("/file")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["ETag"] == f'"{stored.checksum}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "filename*=UTF-8''%E6%98%BE%E7%A4%BA" in answer.headers["Content-Disposition"]


def test_a_download_is_kept_from_strangers_and_from_shared_caches(reader: Site) -> None:
    assert reader.get("/file").headers["Cache-Control"] == "private, no-cache"
    assert reader.get("/file").headers["X-Content-Type-Options"] == "nosniff"
    reader.client.cookies.clear()
    answer = reader.get("/file")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=/file")


@pytest.mark.parametrize(
    ("asked", "content", "told"),
    [
        ("bytes=0-3", CONTENT[:4], "bytes 0-3/1000"),
        ("bytes=990-", CONTENT[990:], "bytes 990-999/1000"),
        ("bytes=990-5000", CONTENT[990:], "bytes 990-999/1000"),
        ("bytes=-5", CONTENT[-5:], "bytes 995-999/1000"),
        ("bytes=-5000", CONTENT, "bytes 0-999/1000"),
    ],
)
def test_an_interrupted_download_goes_on_where_it_stopped(reader: Site, asked: str, content: bytes, told: str) -> None:
    answer = reader.get("/file", Range=asked)
    assert (answer.status_code, answer.content) == (206, content)
    assert answer.headers["Content-Range"] == told
    assert answer.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=5-2", "bytes=-", "lines=1-2", "bytes=a-b"])
def test_what_is_no_single_part_gets_the_whole_file(reader: Site, asked: str) -> None:
    assert read_range(asked, len(CONTENT)) is None
    answer = reader.get("/file", Range=asked)
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_part_behind_the_end_is_refused_with_the_size(reader: Site, asked: str) -> None:
    answer = reader.get("/file", Range=asked)
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["Content-Range"] == "bytes */1000"


def test_a_part_of_another_file_is_not_glued_to_this_one(reader: Site, stored: Artifact) -> None:
    same = reader.get("/file", Range="bytes=990-", **{"If-Range": f'"{stored.checksum}"'})
    other = reader.get("/file", Range="bytes=990-", **{"If-Range": '"an earlier file"'})
    assert (same.status_code, same.content) == (206, CONTENT[990:])
    assert (other.status_code, other.content) == (200, CONTENT)


def test_a_file_that_the_reader_holds_is_not_sent_again(reader: Site, stored: Artifact) -> None:
    for held in (f'"{stored.checksum}"', f'W/"{stored.checksum}"', f'"other", "{stored.checksum}"', "*"):
        answer = reader.get("/file", **{"If-None-Match": held})
        assert (answer.status_code, answer.content) == (304, b""), held
    assert reader.get("/file", **{"If-None-Match": '"other"'}).status_code == 200


def test_a_file_that_is_gone_from_the_storage_is_a_clear_answer(
    reader: Site, storage: Storage, stored: Artifact
) -> None:
    storage.artifacts.path(stored).unlink()
    answer = reader.get("/file")
    assert answer.status_code == 404
    assert "缺少该文件" in answer.text


def test_a_file_that_was_cut_short_on_the_storage_is_not_sent_at_all(
    reader: Site, storage: Storage, stored: Artifact
) -> None:
    storage.artifacts.path(stored).write_bytes(CONTENT[:-1])
    answer = reader.get("/file")
    assert answer.status_code == 404
    assert "该文件已损坏" in answer.text


def test_a_range_is_read_for_every_size() -> None:
    assert read_range("bytes=0-0", 1) == Part(0, 0)
    assert read_range("", 1) is None
    assert read_range("bytes=١-٢", 10) is None
    with pytest.raises(Unsatisfiable):
        read_range("bytes=0-", 0)


@pytest.mark.parametrize(
    ("name", "plain", "full"),
    [
        ("resnet18@1.0.tar", "resnet18@1.0.tar", "resnet18%401.0.tar"),
        ("面板.zip", "__.zip", "%E9%9D%A2%E6%9D%BF.zip"),
        ('a"; filename="evil.exe', "a_; filename=_evil.exe", "a_%3B%20filename%3D_evil.exe"),
        ("../../etc/passwd", "_.._etc_passwd", "_.._etc_passwd"),
        ("a\r\nSet-Cookie: x=1", "a_Set-Cookie_ x=1", "a_Set-Cookie_%20x%3D1"),
        ("a\u202egpj.exe\xad", "a_gpj.exe_", "a_gpj.exe_"),
        ("...", "file", "file"),
    ],
)
def test_a_name_leads_nowhere_and_breaks_no_header(name: str, plain: str, full: str) -> None:
    assert content_disposition(name) == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"


def test_a_file_can_be_shown_instead_of_kept() -> None:
    assert content_disposition("a.png", is_attachment=False).startswith("inline; ")


# The answer itself, without a server around it


class Wire:
    """What was sent; the reader leaves after so many parts."""

    def __init__(self, parts_until_leaving: int | None = None) -> None:
        self.sent: list[Any] = []
        self._left, self._until = asyncio.Event(), parts_until_leaving

    async def receive(self) -> Any:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        await asyncio.sleep(0)
        if len(self.bodies) == self._until:
            self._left.set()

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.sent if message["type"] == "http.response.body"]


def send(path: Path, artifact: Artifact, wire: Wire) -> None:
    scope: Any = {"type": "http", "method": "GET", "headers": []}
    asyncio.run(Download(path, artifact.checksum, artifact.size, "a.tar")(scope, wire.receive, wire.send))


def sparse(tmp_path: Path, size: int) -> Path:
    path = tmp_path / "large.tar"
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_a_large_file_is_sent_in_parts_of_constant_size(tmp_path: Path) -> None:
    size = 40 * PART_BYTES + 7
    wire = Wire()
    send(sparse(tmp_path, size), Artifact("0" * 64, size), wire)
    assert max(map(len, wire.bodies)) == PART_BYTES
    assert sum(map(len, wire.bodies)) == size
    assert [message.get("more_body") for message in wire.sent[1:]] == [True] * 41 + [False]


def test_an_empty_file_is_sent_as_one(tmp_path: Path) -> None:
    wire = Wire()
    send(sparse(tmp_path, 0), Artifact("0" * 64, 0), wire)
    assert wire.bodies == [b""]
    assert (b"content-length", b"0") in wire.sent[0]["headers"]


def test_nothing_is_read_for_a_reader_who_has_left(tmp_path: Path) -> None:
    size = 4000 * PART_BYTES
    wire = Wire(parts_until_leaving=3)
    send(sparse(tmp_path, size), Artifact("0" * 64, size), wire)
    assert 3 <= len(wire.bodies) < 10


def test_a_file_that_shrinks_meanwhile_never_looks_whole(tmp_path: Path) -> None:
    wire = Wire()
    with pytest.raises(ExceptionGroup) as failed:
        send(sparse(tmp_path, 10), Artifact("0" * 64, 20), wire)
    assert failed.group_contains(OSError, match="ended 10 bytes early")
    assert wire.sent[-1]["more_body"] is True
