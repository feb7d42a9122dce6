"""Uploads on disk: whose they are, how they go on, what is refused up front, what is left of those that broke (I-2)."""

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.data_paths import FolderName
from domain.model_images import ArchiveNameIsInvalid
from domain.uploads import (
    MOST_OF_ONE_PERSON,
    StorageHasNoRoom,
    StorageIsFull,
    TooManyUploads,
    UploadGrewTooLong,
    UploadIsEmpty,
    UploadIsGone,
    UploadIsIncomplete,
    UploadIsTooLarge,
)
from infra.uploads import Arriving, Uploads
from tests.parts import require

WANG, LI = UUID(int=1), UUID(int=2)
NAME = "resnet18@1.0.tar"
CONTENT = bytes(range(256)) * 40
HOUR = 3600.0


def uploads_in(folder: Path, *, free: int = 1 << 30, most: int = 1 << 20, keep_free: int = 0) -> Uploads:
    return Uploads(
        folder, most_bytes=most, keep_free_bytes=keep_free, keep_seconds=HOUR, free_bytes=lambda _folder: free
    )


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return uploads_in(tmp_path / "uploads")


def arriving(uploads: Uploads, upload_id: UUID, offset: int = 0, owner: UUID = WANG) -> Arriving:
    opened = uploads.open(upload_id, owner, offset)
    assert opened is not None
    return opened


def send(uploads: Uploads, upload_id: UUID, content: bytes, offset: int = 0, *, is_last: bool = True) -> None:
    part = arriving(uploads, upload_id, offset)
    part.write(content)
    if is_last:
        part.finish()
    part.close()


def names(uploads: Uploads) -> list[str]:
    return sorted(file.name for file in uploads.folder.rglob("*") if file.is_file())


def test_a_complete_upload_is_an_archive_under_its_own_name(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, len(CONTENT))
    assert (upload.received, upload.share, upload.is_complete) == (0, 0.0, False)
    send(uploads, upload.upload_id, CONTENT)
    assert uploads.find(upload.upload_id, WANG).is_complete
    archive = uploads.archive(upload.upload_id, WANG)
    assert archive == FolderName(".uploads", f"{upload.upload_id}/{NAME}")
    assert (uploads.folder / archive.path).read_bytes() == CONTENT
    assert names(uploads) == [NAME, "upload.json"]


def test_an_upload_goes_on_where_it_broke_off_also_after_a_kill(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, len(CONTENT), mark="1764140000000")
    send(uploads, upload.upload_id, CONTENT[:1000], is_last=False)  # never finished
    again = uploads_in(uploads.folder).begin(WANG, NAME, len(CONTENT), mark="1764140000000")
    assert (again.upload_id, again.received) == (upload.upload_id, 1000)
    send(uploads, again.upload_id, CONTENT[1000:], offset=1000)
    assert (uploads.folder / uploads.archive(again.upload_id, WANG).path).read_bytes() == CONTENT


@pytest.mark.parametrize("changes", [{"mark": "1764140000001"}, {"size": 10_241}, {"owner": LI}, {"file_name": "a@1"}])
def test_another_file_or_another_person_begins_anew(uploads: Uploads, changes: dict[str, object]) -> None:
    asked = {"owner": WANG, "file_name": NAME, "size": len(CONTENT), "mark": "1764140000000"}
    first = uploads.begin(**asked)  # type: ignore[arg-type]
    assert uploads.begin(**(asked | changes)).upload_id != first.upload_id  # type: ignore[arg-type]


def test_without_a_mark_nothing_is_taken_for_the_same(uploads: Uploads) -> None:
    first, second = (uploads.begin(WANG, NAME, len(CONTENT)) for _ in range(2))
    assert first.upload_id != second.upload_id


def test_two_people_uploading_one_name_at_once_do_not_meet(uploads: Uploads) -> None:
    wang, li = uploads.begin(WANG, NAME, 4), uploads.begin(LI, NAME, 4)
    first, second = arriving(uploads, wang.upload_id), arriving(uploads, li.upload_id, owner=LI)
    first.write(b"wang")
    second.write(b"li's")
    for part in (first, second):
        part.finish()
        part.close()
    assert (uploads.folder / uploads.archive(wang.upload_id, WANG).path).read_bytes() == b"wang"
    assert (uploads.folder / uploads.archive(li.upload_id, LI).path).read_bytes() == b"li's"


def test_an_upload_is_its_owners_alone(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, len(CONTENT))
    for ask in (uploads.find, uploads.drop, uploads.archive):
        with pytest.raises(UploadIsGone):
            ask(upload.upload_id, LI)
    with pytest.raises(UploadIsGone):
        uploads.open(upload.upload_id, LI, 0)
    assert [one.upload_id for one in uploads.of(WANG)] == [upload.upload_id]
    assert uploads.of(LI) == []
    with pytest.raises(UploadIsGone):
        uploads.find(uuid4(), WANG)


def test_bytes_at_the_wrong_place_are_not_written(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, len(CONTENT))
    send(uploads, upload.upload_id, CONTENT[:1000], is_last=False)
    for offset in (0, 999, 1001):
        assert uploads.open(upload.upload_id, WANG, offset) is None
    send(uploads, upload.upload_id, CONTENT[1000:], offset=1000)
    assert uploads.open(upload.upload_id, WANG, len(CONTENT)) is None, "a complete file is never changed"


def test_one_request_writes_at_a_time(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, len(CONTENT))
    part = arriving(uploads, upload.upload_id)
    assert uploads.open(upload.upload_id, WANG, 0) is None
    part.close()
    arriving(uploads, upload.upload_id).close()


def test_what_is_not_complete_is_not_imported(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, len(CONTENT))
    send(uploads, upload.upload_id, CONTENT[: len(CONTENT) // 2], is_last=False)
    with pytest.raises(UploadIsIncomplete, match="has arrived to 50 % only"):
        uploads.archive(upload.upload_id, WANG)


def test_a_crash_between_the_last_byte_and_the_name_costs_nothing(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, len(CONTENT))
    send(uploads, upload.upload_id, CONTENT, is_last=False)
    assert (uploads.folder / uploads.archive(upload.upload_id, WANG).path).read_bytes() == CONTENT


@pytest.mark.parametrize("file_name", ["resnet18.tar", "../resnet18@1.0", "a/b@1", "upload.json", "part", "镜像@1", ""])
def test_a_wrong_name_makes_no_room(uploads: Uploads, file_name: str) -> None:  # I-3
    with pytest.raises(ArchiveNameIsInvalid):
        uploads.begin(WANG, file_name, 10)
    assert not uploads.folder.exists()


def test_a_file_of_the_size_that_is_allowed_and_left_is_taken(tmp_path: Path) -> None:  # I-2
    uploads = uploads_in(tmp_path / "uploads", free=6 << 30, most=5 << 30, keep_free=1 << 30)
    assert uploads.begin(WANG, NAME, 5 << 30).size == 5 << 30


@pytest.mark.parametrize(
    ("size", "refusal"),
    [
        (0, UploadIsEmpty),
        (-1, UploadIsEmpty),
        ((5 << 30) + 1, UploadIsTooLarge),
        (10**400, UploadIsTooLarge),
        (4 << 30, StorageHasNoRoom),
    ],
)
def test_what_cannot_end_well_is_refused_before_the_first_byte(
    tmp_path: Path, size: int, refusal: type[Exception]
) -> None:
    uploads = uploads_in(tmp_path / "uploads", free=4 << 30, most=5 << 30, keep_free=1 << 30)
    with pytest.raises(refusal):
        uploads.begin(WANG, NAME, size)
    assert names(uploads) == []
    uploads.begin(WANG, NAME, 3 << 30)


def test_one_person_cannot_take_the_storage_by_beginning_files(uploads: Uploads) -> None:  # I-2
    begun = [uploads.begin(WANG, NAME, 10) for _ in range(MOST_OF_ONE_PERSON)]
    with pytest.raises(TooManyUploads, match=f"{MOST_OF_ONE_PERSON} of your uploads"):
        uploads.begin(WANG, NAME, 10)
    assert uploads.begin(LI, NAME, 10).received == 0
    uploads.drop(begun[0].upload_id, WANG)
    assert uploads.begin(WANG, NAME, 10, mark="x" * 1_000_000).received == 0
    assert uploads.begin(WANG, NAME, 10, mark="x" * 1_000_000).received == 0  # goes on with the same
    assert max(file.stat().st_size for file in uploads.folder.rglob("*")) < 1 << 13


def test_room_that_others_were_promised_is_not_promised_twice(tmp_path: Path) -> None:
    uploads = uploads_in(tmp_path / "uploads", free=10_000)
    uploads.begin(WANG, NAME, 6_000)
    with pytest.raises(StorageHasNoRoom):
        uploads.begin(LI, NAME, 6_000)
    uploads.begin(LI, NAME, 4_000)


def test_a_disk_that_becomes_full_is_told_and_given_its_room_back(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, 10_000)
    place = uploads.folder / str(upload.upload_id)
    with Path("/dev/full").open("wb", buffering=0) as full:
        part = Arriving(place, full, upload.upload_id, NAME, 10_000)
        with pytest.raises(StorageIsFull, match="became full at 0 %"):
            part.write(b"more")
    assert not place.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    require("a small file system", present=mounted, how_to_get_it="run these tests as a user who may mount one")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_real_disk_that_becomes_full_is_told_and_given_its_room_back(small_disk: Path) -> None:  # I-2
    uploads = uploads_in(small_disk, most=1 << 30)
    upload = uploads.begin(WANG, NAME, 32 << 20)
    part = arriving(uploads, upload.upload_id)
    with pytest.raises(StorageIsFull, match=r"became full at 2\d %"):
        part.write(bytes(32 << 20))
    part.close()
    assert uploads.of(WANG) == []
    assert shutil.disk_usage(small_disk).free > 7 << 20
    send(uploads, uploads.begin(WANG, NAME, len(CONTENT)).upload_id, CONTENT)


def test_a_disk_that_is_full_already_makes_no_room(small_disk: Path) -> None:  # I-2
    with contextlib.suppress(OSError), (small_disk / "others").open("wb", buffering=0) as others:
        while True:
            others.write(bytes(1 << 16))
    uploads = uploads_in(small_disk)  # it was asked a moment before
    with pytest.raises(StorageHasNoRoom, match=r"room for 0\.0 GiB more"):
        uploads.begin(WANG, NAME, 10_000)
    assert names(uploads) == ["others"]


def test_a_file_that_grows_while_it_is_read_is_not_kept(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, 10)
    part = arriving(uploads, upload.upload_id)
    with pytest.raises(UploadGrewTooLong):
        part.write(b"eleven byte")
    part.close()
    with pytest.raises(UploadIsGone):
        uploads.find(upload.upload_id, WANG)


def test_a_form_announces_a_little_more_than_its_file_has(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, len(CONTENT) + 700)
    send(uploads, upload.upload_id, CONTENT)
    found = uploads.find(upload.upload_id, WANG)
    assert (found.size, found.is_complete) == (len(CONTENT), True)


def test_a_form_with_an_empty_file_leaves_nothing(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, 700)
    part = arriving(uploads, upload.upload_id)
    with pytest.raises(UploadIsEmpty):
        part.finish()
    part.close()
    assert names(uploads) == []


def test_a_cancelled_upload_leaves_nothing_even_while_bytes_still_arrive(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, 10)
    part = arriving(uploads, upload.upload_id)
    uploads.drop(upload.upload_id, WANG)
    part.write(b"ten bytes!")
    with pytest.raises(UploadIsGone):
        part.finish()
    part.close()
    assert names(uploads) == []


def test_abandoned_uploads_expire_and_what_is_needed_stays(uploads: Uploads) -> None:
    abandoned, failed, queued, loaded = (uploads.begin(WANG, f"a@{number}", 4) for number in range(4))
    send(uploads, abandoned.upload_id, b"ab", is_last=False)  # as a killed server leaves it
    for upload in (failed, queued, loaded):
        send(uploads, upload.upload_id, b"abcd")
    paths = {upload.upload_id: uploads.archive(upload.upload_id, WANG).path for upload in (queued, loaded)}
    asked: dict[str, Any] = {
        "loading": [paths[queued.upload_id]],
        "loaded": [paths[loaded.upload_id], paths[queued.upload_id]],
    }
    now = time.time()
    assert uploads.sweep(**asked, now=now + HOUR - 60, is_removing=False) == 1
    assert len(uploads.of(WANG)) == 4, "counting removes nothing"
    assert uploads.sweep(**asked, now=now + HOUR - 60) == 1
    assert {one.upload_id for one in uploads.of(WANG)} == {one.upload_id for one in (abandoned, failed, queued)}
    assert uploads.sweep(**asked, now=now + HOUR + 60) == 2
    assert [one.upload_id for one in uploads.of(WANG)] == [queued.upload_id]


def test_importing_keeps_an_upload_from_expiring(uploads: Uploads) -> None:
    upload = uploads.begin(WANG, NAME, 4)
    send(uploads, upload.upload_id, b"abcd")
    archive = uploads.folder / uploads.archive(upload.upload_id, WANG).path
    assert uploads.sweep(loading=(), loaded=(), now=archive.stat().st_mtime + HOUR - 1) == 0
    assert uploads.sweep(loading=(), loaded=(), now=archive.stat().st_mtime + HOUR + 1) == 1


def test_sweeping_where_nobody_ever_uploaded_is_nothing(uploads: Uploads) -> None:
    assert uploads.sweep(loading=(), loaded=()) == 0


def test_two_that_begin_at_once_are_not_promised_the_same_room(tmp_path: Path) -> None:
    meeting = threading.Barrier(2)

    def free_bytes(_folder: Path) -> int:
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(timeout=0.3)  # both look at the room before either has taken it, if they can
        return 1000

    uploads = Uploads(
        tmp_path / "uploads", most_bytes=1 << 20, keep_free_bytes=0, keep_seconds=HOUR, free_bytes=free_bytes
    )

    def begin(owner: UUID) -> bool:
        with contextlib.suppress(StorageHasNoRoom):
            return bool(uploads.begin(owner, NAME, 800))
        return False

    with ThreadPoolExecutor(2) as both:
        assert sorted(both.map(begin, (WANG, LI))) == [False, True]
