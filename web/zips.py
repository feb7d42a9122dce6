"""Many files as one zip, made while it is sent: it takes the memory of a part, however large and however many the files are.

Python's own `zipfile` keeps an object for every entry until the end. Source of the format: PKWARE, APPNOTE.TXT 6.3, sections 4.3
and 4.5.
"""

import os
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final
from zipfile import ZipInfo
from zlib import crc32

from litestar.response import Stream

from web.downloads import PART_BYTES, content_disposition

Entry = tuple[str, Path | IO[bytes]]
"""A name inside the zip, and the file. One that is given open is closed."""

LARGEST: Final = 0xFFFFFFFF - 1
MOST_ENTRIES: Final = 0xFFFF - 1
"""What 32 bits hold, and 16; of more only the fields of zip64 tell."""
_ELSEWHERE, _ELSEWHERE_SHORT = 0xFFFFFFFF, 0xFFFF
_PLAIN, _OF_ZIP64 = 20, 45
"""Versions of the format that a reader needs."""
_MADE_ON_UNIX = 3 << 8
_FLAGS: Final = 1 << 11 | 1 << 3
"""Names are UTF-8; checksum and size stand behind the content, because nobody knows them before."""
_EARLIEST, _LATEST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)


def zip_stream(entries: Iterable[Entry], name: str) -> Stream:
    """The answer with a zip of that name. A file that is gone meanwhile is left out."""
    return Stream(
        zipped(entries),
        media_type="application/zip",
        headers={"Content-Disposition": content_disposition(name), "Cache-Control": "private, no-store"},
    )


def zipped(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The zip in parts. Pictures are compressed already, so they are stored as they are."""
    at = count = 0
    with TemporaryFile() as directory:
        for name, content in entries:
            try:
                file = content.open("rb") if isinstance(content, Path) else content
                info = _described(name, file)
            except OSError:
                continue
            info.header_offset = at
            with file:
                waiting, left = _header(info), info.file_size
                while left and (part := file.read(min(PART_BYTES, left))):
                    info.CRC = crc32(part, info.CRC)
                    left -= len(part)
                    yield waiting + part
                    at += len(waiting) + len(part)
                    waiting = b""
            info.file_size -= left  # it may have become shorter
            waiting += _behind(info)
            yield waiting
            at += len(waiting)
            directory.write(_in_directory(info))
            count += 1
        size = directory.tell()
        directory.seek(0)
        while part := directory.read(PART_BYTES):
            yield part
        yield _end(count, size, at)


def _described(name: str, file: IO[bytes]) -> ZipInfo:
    found = os.fstat(file.fileno())
    changed = min(max(time.localtime(found.st_mtime)[:6], _EARLIEST), _LATEST)
    info = ZipInfo(name, changed)
    info.file_size, info.CRC = found.st_size, 0
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.extract_version = _OF_ZIP64 if info.file_size > LARGEST else _PLAIN
    return info


def _is_large(info: ZipInfo) -> bool:
    """Whether its header said that sizes have 64 bits."""
    return info.extract_version == _OF_ZIP64


def _moment(info: ZipInfo) -> tuple[int, int]:
    """Time and date as MS-DOS kept them."""
    year, month, day, hour, minute, second = info.date_time
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day


def _header(info: ZipInfo) -> bytes:
    """In front of a content. Checksum and size stand behind it."""
    name = info.filename.encode()
    size = _ELSEWHERE if _is_large(info) else 0
    extra = struct.pack("<HHQQ", 1, 16, 0, 0) if _is_large(info) else b""
    fields = info.extract_version, _FLAGS, 0, *_moment(info), 0, size, size, len(name), len(extra)
    return struct.pack("<4s5H3L2H", b"PK\x03\x04", *fields) + name + extra


def _behind(info: ZipInfo) -> bytes:
    """Behind a content."""
    form = "<4sLQQ" if _is_large(info) else "<4sLLL"
    return struct.pack(form, b"PK\x07\x08", info.CRC, info.file_size, info.file_size)


def _in_directory(info: ZipInfo) -> bytes:
    """An entry of the directory at the end."""
    name = info.filename.encode()
    size, at, large = info.file_size, info.header_offset, list[int]()
    if _is_large(info):
        large += [size, size]
        size = _ELSEWHERE
    if at > LARGEST:
        large.append(at)
        at = _ELSEWHERE
    extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    version = _OF_ZIP64 if large else _PLAIN
    fields = _MADE_ON_UNIX | version, version, _FLAGS, 0, *_moment(info), info.CRC, size, size, len(name), len(extra)
    return struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *fields, 0, 0, 0, info.external_attr, at) + name + extra


def _end(count: int, size: int, at: int) -> bytes:
    """The end of the zip: how many entries the directory has, its size, and where it begins."""
    end = b""
    if count > MOST_ENTRIES or size > LARGEST or at > LARGEST:
        version = _MADE_ON_UNIX | _OF_ZIP64
        end += struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, version, _OF_ZIP64, 0, 0, count, count, size, at)
        end += struct.pack("<4sLQL", b"PK\x06\x07", 0, at + size, 1)
        count, size, at = min(count, _ELSEWHERE_SHORT), min(size, _ELSEWHERE), min(at, _ELSEWHERE)
    return end + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, at, 0)
