"""Zips as they are sent: other programs read them, and they take the memory of a part (P-5)."""

import csv
import io
import os
import shutil
import subprocess
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from web import zips
from web.downloads import PART_BYTES
from web.spreadsheets import Spreadsheet
from web.zips import Entry, zipped


@pytest.fixture
def files(tmp_path: Path) -> list[Entry]:
    """An empty one, one of several parts, and one with a name in Chinese, which was changed before zips could say when."""
    contents = {"empty.png": b"", "large.tif": bytes(range(256)) * 4096, "缺陷/划伤.png": b"scratch"}
    for number, content in enumerate(contents.values()):
        (tmp_path / str(number)).write_bytes(content)
    os.utime(tmp_path / "2", (0, 0))
    return [(name, tmp_path / str(number)) for number, name in enumerate(contents)]


def check(content: bytes, files: list[Entry]) -> None:
    """The zip holds just these, as Python reads it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [name for name, _ in files]
        for name, file in files:
            assert isinstance(file, Path)
            assert archive.read(name) == file.read_bytes()
        assert archive.infolist()[-1].date_time[0] == 1980


def test_a_zip_holds_the_files_under_their_names(files: list[Entry]) -> None:
    check(b"".join(zipped(files)), files)


def test_a_zip_of_nothing_is_a_zip() -> None:
    check_empty = zipfile.ZipFile(io.BytesIO(b"".join(zipped([]))))
    assert check_empty.namelist() == []


@pytest.mark.parametrize(("largest", "most"), [(1000, 0xFFFE), (6, 0xFFFE), (0xFFFFFFFE, 2)])
def test_what_32_bits_do_not_hold_stands_in_fields_of_64(
    files: list[Entry], monkeypatch: pytest.MonkeyPatch, largest: int, most: int
) -> None:
    """As if fewer bits were there, so that no test needs four gigabytes."""
    monkeypatch.setattr(zips, "LARGEST", largest)
    monkeypatch.setattr(zips, "MOST_ENTRIES", most)
    check(b"".join(zipped(files)), files)


@pytest.mark.parametrize("largest", [0xFFFFFFFE, 1000])
def test_another_program_reads_it(
    files: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    unzip = shutil.which("unzip")
    if unzip is None:
        pytest.skip("no unzip here")
    monkeypatch.setattr(zips, "LARGEST", largest)
    (tmp_path / "all.zip").write_bytes(b"".join(zipped(files)))
    tested = subprocess.run([unzip, "-t", tmp_path / "all.zip"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
    assert "No errors detected" in tested.stdout


def test_a_file_that_goes_while_the_zip_is_sent_is_left_out(files: list[Entry], tmp_path: Path) -> None:
    check(b"".join(zipped([("gone.png", tmp_path / "gone.png"), *files])), files)


def test_a_file_that_becomes_shorter_or_longer_meanwhile_leaves_the_zip_whole(tmp_path: Path) -> None:
    for name in ("shorter", "longer"):
        (tmp_path / name).write_bytes(bytes(3 * PART_BYTES))
    sent = b""
    for part in zipped([(name, tmp_path / name) for name in ("shorter", "longer")]):
        if not sent:
            os.truncate(tmp_path / "shorter", 2 * PART_BYTES)
        if len(sent) > 3 * PART_BYTES:
            os.truncate(tmp_path / "longer", 4 * PART_BYTES)
        sent += part
    with zipfile.ZipFile(io.BytesIO(sent)) as archive:
        assert archive.testzip() is None
        assert [info.file_size for info in archive.infolist()] == [2 * PART_BYTES, 3 * PART_BYTES]


def test_a_large_file_is_sent_in_parts(tmp_path: Path) -> None:
    (tmp_path / "large.tif").write_bytes(bytes(5 * PART_BYTES))
    parts = [len(part) for part in zipped([("large.tif", tmp_path / "large.tif")])]
    assert max(parts) < PART_BYTES + 1024
    assert sum(parts) > 5 * PART_BYTES


def test_a_zip_of_many_files_takes_no_more_memory_than_one_of_few(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"an image")

    def entries(count: int) -> Iterator[Entry]:
        table = Spreadsheet("file", "path")
        for number in range(count):
            table.add(number, "a path of some length" * 5)
            yield f"TTFBS/true-TTFBS_predicted-TPFIP_{number}_image.png", tmp_path / "image.png"
        yield "samples.csv", table.finished()

    peaks = []
    for count in (100, 3000):
        tracemalloc.start()
        assert sum(len(part) for part in zipped(entries(count))) > 200 * count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2 * PART_BYTES


def test_a_table_is_one_that_spreadsheets_read() -> None:
    table = Spreadsheet("file", "true")
    table.add("缺陷.png", 'a "quoted", code')
    with zipfile.ZipFile(io.BytesIO(b"".join(zipped([("samples.csv", table.finished())])))) as archive:
        content = archive.read("samples.csv")
    assert content.startswith(b"\xef\xbb\xbf")
    assert list(csv.reader(io.StringIO(content.decode("utf-8-sig")))) == [
        ["file", "true"],
        ["缺陷.png", 'a "quoted", code'],
    ]
