"""Files from browsers: in parts by scripts, inside of plain forms without them (I-2)."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import pytest
from litestar.exceptions import InternalServerException

from commands.model_images import AddModelImageVersion, CheckArchiveName, ImportModelImage
from domain.model_images import ArchiveHasAnotherName, ArchiveNameIsInvalid, ModelImageExists
from domain.uploads import StorageIsFull, Upload
from infra.uploads import Uploads
from tests.examples import CLASSIFICATION_ID, MODEL_IMAGE_ID
from tests.web.model_images import FakeModelImages, FakeTaskTypes, image
from tests.web.places import FakeEnvironments, FakeIndustries
from tests.web.reading import words
from tests.web.site import MODEL_TRAINER, QUALITY_LEAD, Site
from web.forms import Form
from web.services import Services
from web.sessions import Visit
from web.uploads import MOST_DRAINED_BYTES, PIECE_BYTES, _drain, _write, read_form_with_file

CONTENT = bytes(range(256)) * 4096 * 3
"""Three pieces, as they go to the disk."""
LIMIT = 8 << 20
ADDRESS = "/model-images/uploads"


@pytest.fixture
def uploads(services: Services, tmp_path: Path) -> Uploads:
    uploads = Uploads(tmp_path / "uploads", most_bytes=LIMIT, keep_free_bytes=0, keep_seconds=3600)
    object.__setattr__(services, "uploads", uploads)
    read: Any = services.read
    read.model_images, read.task_types = FakeModelImages(image()), FakeTaskTypes()
    read.industries, read.environments = FakeIndustries(), FakeEnvironments()
    return uploads


def begin(site: Site, **fields: str) -> httpx.Response:
    asked = {"file_name": "image@123.tar", "size": str(len(CONTENT)), "mark": "1764140000000"}
    headers = {"X-CSRF-Token": site.token, "Accept": "application/json"}
    return site.client.post(ADDRESS, data=asked | fields, headers=headers)


def put(site: Site, upload_id: str, content: bytes | Iterator[bytes], offset: int = 0) -> httpx.Response:
    headers = {"X-CSRF-Token": site.token, "Accept": "application/json"}
    return site.client.put(f"{ADDRESS}/{upload_id}?offset={offset}", content=content, headers=headers)


def stored(uploads: Uploads) -> list[str]:
    return sorted(file.name for file in uploads.folder.rglob("*") if file.is_file())


# In parts, by scripts


def test_a_file_travels_in_parts_and_is_then_complete(site: Site, uploads: Uploads) -> None:
    begun = begin(site)
    upload_id = begun.json()["upload_id"]
    assert begun.json() == {
        "upload_id": upload_id,
        "file_name": "image@123.tar",
        "size": len(CONTENT),
        "received": 0,
    }
    half = len(CONTENT) // 2
    assert put(site, upload_id, CONTENT[:half]).json()["received"] == half
    last = put(site, upload_id, CONTENT[half:], offset=half)
    assert (last.status_code, last.json()["received"]) == (200, len(CONTENT))
    archive = uploads.archive(UUID(upload_id), QUALITY_LEAD.user_id)
    assert (uploads.folder / archive.path).read_bytes() == CONTENT


def test_the_name_is_asked_about_before_a_byte_travels(site: Site, uploads: Uploads) -> None:  # I-3
    begin(site)
    begin(site, model_image_id=str(MODEL_IMAGE_ID), file_name="resnet18@2")
    assert [(command.file_name, command.model_image_id) for command in site.assay.commands] == [
        ("image@123.tar", None),
        ("resnet18@2", MODEL_IMAGE_ID),
    ]
    assert all(isinstance(command, CheckArchiveName) for command in site.assay.commands)


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (ArchiveNameIsInvalid(), "模型镜像文件名称不满足格式要求"),
        (ModelImageExists(), "模型镜像已存在，请从新增版本入口追加新版本"),
    ],
)
def test_the_manuals_sentences_come_before_the_upload(  # I-3: exactly these words
    site: Site, uploads: Uploads, refusal: Any, sentence: str
) -> None:
    site.assay.refuse_with(refusal)
    answer = begin(site)
    assert answer.status_code == 422
    assert answer.json()["refusals"] == [["archive", sentence]]
    assert stored(uploads) == []


def test_too_large_and_empty_files_are_refused_before_a_byte_travels(site: Site, uploads: Uploads) -> None:
    for size, sentence in ((LIMIT + (1 << 30), "最多可上传"), (0, "该文件为空")):
        answer = begin(site, size=str(size))
        assert answer.status_code == 422
        assert sentence in answer.json()["refusals"][0][1]
    assert stored(uploads) == []


def test_choosing_the_same_file_again_goes_on_where_it_broke_off(site: Site, uploads: Uploads) -> None:
    upload_id = begin(site).json()["upload_id"]
    put(site, upload_id, CONTENT[:1000])
    again = begin(site).json()
    assert (again["upload_id"], again["received"]) == (upload_id, 1000)
    assert begin(site, mark="1764149999999").json()["received"] == 0


def test_bytes_for_another_place_are_answered_with_the_right_one(site: Site, uploads: Uploads) -> None:
    upload_id = begin(site).json()["upload_id"]
    put(site, upload_id, CONTENT[:1000])
    answer = put(site, upload_id, CONTENT[:1000])
    assert (answer.status_code, answer.json()["received"]) == (409, 1000)


def test_while_another_request_writes_one_is_told_how_far_it_is(site: Site, uploads: Uploads) -> None:
    upload_id = begin(site).json()["upload_id"]
    other = uploads.open(UUID(upload_id), QUALITY_LEAD.user_id, 0)
    assert other is not None
    answer = put(site, upload_id, CONTENT[:1000])
    other.close()
    assert (answer.status_code, answer.json()["received"]) == (409, 0)


def test_nobody_writes_to_sees_or_cancels_what_another_uploads(site: Site, uploads: Uploads) -> None:
    other = str(uploads.begin(MODEL_TRAINER.user_id, "image@123.tar", 10).upload_id)
    headers = {"X-CSRF-Token": site.token, "Accept": "application/json"}
    assert put(site, other, b"0123456789").status_code == 422
    assert site.client.get(f"{ADDRESS}/{other}", headers=headers).status_code == 422
    site.client.post(f"{ADDRESS}/{other}/cancel", headers=headers)
    assert uploads.find(UUID(other), MODEL_TRAINER.user_id).received == 0


def test_more_than_was_announced_is_refused_and_nothing_is_kept(site: Site, uploads: Uploads) -> None:
    upload_id = begin(site, size="10").json()["upload_id"]
    answer = put(site, upload_id, b"eleven byte")
    assert answer.status_code == 422
    assert "上传过程中发生了变化" in answer.json()["refusals"][0][1]
    assert stored(uploads) == []


def test_a_cancelled_upload_leaves_nothing(site: Site, uploads: Uploads) -> None:
    upload_id = begin(site).json()["upload_id"]
    put(site, upload_id, CONTENT[:1000])
    headers = {"X-CSRF-Token": site.token, "Accept": "application/json"}
    for _ in range(2):  # twice is the same
        assert site.client.post(f"{ADDRESS}/{upload_id}/cancel", headers=headers).status_code == 204
    assert stored(uploads) == []
    assert put(site, upload_id, CONTENT[1000:], offset=1000).status_code == 422


def test_without_scripts_an_old_upload_is_removed_by_a_button(site: Site, uploads: Uploads) -> None:
    upload_id = begin(site).json()["upload_id"]
    assert site.post(f"{ADDRESS}/{upload_id}/cancel").headers["Location"] == "/model-images/import"
    assert stored(uploads) == []
    assert "上传内容已移除。" in site.get("/account").text


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_part_without_the_token_is_not_read(site: Site, uploads: Uploads, token: str) -> None:  # U-1
    upload_id = begin(site).json()["upload_id"]
    answer = site.client.put(f"{ADDRESS}/{upload_id}?offset=0", content=b"x", headers={"X-CSRF-Token": token})
    assert answer.status_code == 403
    assert uploads.find(UUID(upload_id), QUALITY_LEAD.user_id).received == 0


def test_a_connection_that_breaks_keeps_what_had_come(uploads: Uploads) -> None:
    upload = uploads.begin(QUALITY_LEAD.user_id, "image@123.tar", len(CONTENT))
    part = uploads.open(upload.upload_id, QUALITY_LEAD.user_id, 0)
    assert part is not None

    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT[: PIECE_BYTES + 10]
        yield CONTENT[PIECE_BYTES + 10 : PIECE_BYTES + 30]
        raise InternalServerException("client disconnected prematurely")

    with pytest.raises(InternalServerException):
        asyncio.run(_write(part, broken()))
    part.close()
    assert uploads.find(upload.upload_id, QUALITY_LEAD.user_id).received == PIECE_BYTES + 30


class NotingUploads:
    """One upload, of which only the sizes of its pieces are kept."""

    upload = Upload(upload_id=UUID(int=3), file_name="image@1", size=1, received=0)

    def __init__(self) -> None:
        self.pieces: list[int] = []
        self.is_closed = False

    def begin(self, _owner: UUID, _file_name: str, _size: int) -> Upload:
        return self.upload

    def open(self, _upload_id: UUID, _owner: UUID, _offset: int) -> "NotingUploads":
        return self

    def write(self, piece: bytes) -> None:
        self.pieces.append(len(piece))

    def finish(self) -> Upload:
        return self.upload

    def close(self) -> None:
        self.is_closed = True


def test_pieces_are_small_however_large_the_file_is() -> None:
    async def long() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield bytes(65_536)

    noting = NotingUploads()
    asyncio.run(_write(noting, long()))
    assert max(noting.pieces) < PIECE_BYTES + 65_536


def test_a_refused_body_is_heard_to_its_end_as_long_as_it_has_one() -> None:
    heard = 0

    async def chunks(count: int) -> AsyncIterator[bytes]:
        nonlocal heard
        for _ in range(count):
            heard += PIECE_BYTES
            yield bytes(PIECE_BYTES)

    asyncio.run(_drain(0, chunks(3)))
    assert heard == 3 * PIECE_BYTES
    heard = 0
    asyncio.run(_drain(0, chunks(1000)))  # in chunks: nobody knows how many come
    assert heard == MOST_DRAINED_BYTES + PIECE_BYTES
    heard = 0
    asyncio.run(_drain(MOST_DRAINED_BYTES + 1, chunks(3)))
    assert heard == 0


# Inside of a plain form


def form_with_file(
    site: Site,
    address: str = "/model-images/import/file",
    *,
    token: str | None = None,
    name: str = "image@123.tar",
    content: bytes = CONTENT,
    **fields: str,
) -> httpx.Response:
    """As a browser without scripts sends it: the fields in their order, the file where it stands in the form."""
    sent = {
        "csrf_token": site.token if token is None else token,
        "kind": "general",
        "source": "upload",
        "upload_id": "",
    }
    parts: list[Any] = [(key, (None, value)) for key, value in {**sent, **fields}.items()]
    parts.append(("file", (name, content, "application/octet-stream")))
    parts.append(("archive", (None, "")))
    return site.client.post(address, files=parts, headers={"Accept": "text/html"})


def test_a_plain_form_brings_its_file(site: Site, uploads: Uploads) -> None:  # S-4
    answer = form_with_file(site, task_type_id=str(CLASSIFICATION_ID))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/model-images")
    asked, imported = site.assay.commands
    assert isinstance(asked, CheckArchiveName)
    assert isinstance(imported, ImportModelImage)
    assert imported.task_type_id == CLASSIFICATION_ID
    assert imported.upload_id is not None
    archive = uploads.archive(imported.upload_id, QUALITY_LEAD.user_id)
    assert (uploads.folder / archive.path).read_bytes() == CONTENT


def test_a_plain_form_brings_a_version(site: Site, uploads: Uploads) -> None:  # I-4, S-4
    answer = form_with_file(site, f"/model-images/{MODEL_IMAGE_ID}/versions/new/file", name="resnet18@2.tar")
    assert answer.status_code == 303
    asked, added = site.assay.commands
    assert asked.model_image_id == MODEL_IMAGE_ID
    assert isinstance(added, AddModelImageVersion)
    assert added.upload_id is not None
    assert uploads.find(added.upload_id, QUALITY_LEAD.user_id).file_name == "resnet18@2.tar"


def test_a_wrong_name_in_a_plain_form_is_told_and_nothing_is_written(site: Site, uploads: Uploads) -> None:  # I-3
    site.assay.refuse_with(ArchiveHasAnotherName(found="image", name="resnet18"))
    answer = form_with_file(site, f"/model-images/{MODEL_IMAGE_ID}/versions/new/file")
    assert answer.status_code == 422
    assert "该文件是“image”的镜像文件" in words(answer.text)
    assert stored(uploads) == []
    assert site.assay.commands == []


def test_a_file_too_large_for_a_plain_form_is_told_and_nothing_is_written(site: Site, uploads: Uploads) -> None:
    answer = form_with_file(site, content=bytes(LIMIT + 1))
    assert answer.status_code == 422
    assert "最多可上传" in words(answer.text)
    assert stored(uploads) == []


def test_what_is_wrong_beside_the_file_does_not_lose_it(site: Site, uploads: Uploads) -> None:
    answer = form_with_file(site)  # no task type
    assert answer.status_code == 422
    assert 'id="task_type_id-error"' in answer.text
    found = re.search(r'name="upload_id" value="([0-9a-f-]{36})"', answer.text)
    assert found
    assert uploads.find(UUID(found[1]), QUALITY_LEAD.user_id).is_complete


def test_a_plain_form_without_a_file_imports_a_path(site: Site, uploads: Uploads) -> None:
    parts = {"csrf_token": site.token, "kind": "general", "source": "remote_path"}
    fields: list[Any] = [(key, (None, value)) for key, value in parts.items()]
    fields += [("task_type_id", (None, str(CLASSIFICATION_ID))), ("archive", (None, "/archives/image@123"))]
    answer = site.client.post("/model-images/import/file", files=fields, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    (command,) = site.assay.commands
    assert (command.archive, command.upload_id) == ("/archives/image@123", None)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_plain_form_without_its_token_writes_nothing(site: Site, uploads: Uploads, token: str) -> None:  # U-1
    answer = form_with_file(site, token=token, task_type_id=str(CLASSIFICATION_ID))
    assert answer.status_code == 403
    assert stored(uploads) == []
    assert site.assay.commands == []


def test_a_file_before_the_token_is_not_taken(site: Site, uploads: Uploads) -> None:  # U-1
    parts: list[Any] = [("file", ("image@123.tar", CONTENT)), ("csrf_token", (None, site.token))]
    answer = site.client.post("/model-images/import/file", files=parts, headers={"Accept": "text/html"})
    assert answer.status_code == 403
    assert stored(uploads) == []


def test_another_kind_of_form_is_refused_there(site: Site, uploads: Uploads) -> None:  # U-1
    assert site.post("/model-images/import/file", kind="general").status_code == 403
    long = site.post("/model-images/import/file", kind="general", as_entered="en", archive="a" * 100_000)
    assert long.status_code == 403


def test_a_form_with_a_file_sent_by_another_site_is_refused(site: Site, uploads: Uploads) -> None:  # U-1
    site.client.headers["Sec-Fetch-Site"] = "cross-site"
    assert form_with_file(site, token="anything").status_code == 403
    assert stored(uploads) == []


def test_a_form_that_breaks_off_leaves_nothing(site: Site, uploads: Uploads) -> None:
    begun = (
        f'--edge\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{site.token}\r\n'
        '--edge\r\nContent-Disposition: form-data; name="file"; filename="image@123.tar"\r\n\r\nhalf of the'
    )
    answer = site.client.post(
        "/model-images/import/file",
        content=begun.encode(),
        headers={"Content-Type": "multipart/form-data; boundary=edge", "Accept": "text/html"},
    )
    assert answer.status_code == 400
    assert stored(uploads) == []


def test_fields_larger_than_any_of_ours_are_refused(site: Site, uploads: Uploads) -> None:
    assert form_with_file(site, remark="x" * (2 << 20)).status_code == 413
    assert stored(uploads) == []


def form_as_it_comes(uploads: NotingUploads) -> Form:
    """A form with CONTENT as its file, in the parts in which a network brings it."""
    head = (
        '--edge\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\nmark\r\n'
        '--edge\r\nContent-Disposition: form-data; name="file"; filename="image@1"\r\n\r\n'
    )
    body = head.encode() + CONTENT + b"\r\n--edge--\r\n"

    async def stream() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), 65_536):
            yield body[begin : begin + 65_536]

    headers = {"content-type": "multipart/form-data; boundary=edge", "content-length": str(len(body))}
    request: Any = SimpleNamespace(headers=headers, stream=stream)
    visit = Visit(request_id="r", account=QUALITY_LEAD, csrf_token="mark")
    return asyncio.run(read_form_with_file(request, visit, uploads, lambda _name: None))


def test_the_file_of_a_plain_form_goes_to_the_disk_in_small_pieces() -> None:  # I-2
    uploads = NotingUploads()
    form = form_as_it_comes(uploads)
    assert form.text("upload_id") == str(uploads.upload.upload_id)
    assert (sum(uploads.pieces), len(uploads.pieces)) == (len(CONTENT), 3)
    assert uploads.is_closed


def test_a_disk_that_fills_while_a_plain_form_comes_is_told_and_nothing_more_is_written() -> None:  # I-2
    class FullDisk(NotingUploads):
        def write(self, piece: bytes) -> None:
            super().write(piece)
            raise StorageIsFull(percent=33)

    uploads = FullDisk()
    form = form_as_it_comes(uploads)
    assert [told.sentence for told in form.told] == [StorageIsFull(percent=33).sentence]
    assert form.text("upload_id") == ""
    assert (len(uploads.pieces), uploads.is_closed) == (1, True)
