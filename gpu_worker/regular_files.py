"""Opening what lies on storage that others may write: judged once it is open, so that nothing can take its place in between."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_ON_THE_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_AT_THE_END = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class NoRegularFile(OSError):
    """A folder, a pipe, a device: nothing that could be read to its end."""


def open_file(path: Path) -> BinaryIO:
    """A regular file, for reading; opening never waits, whatever lies there.

    Raises:
        NoRegularFile
        OSError
    """
    return _regular(os.open(path, _AT_THE_END), path)


def open_real_file(path: Path) -> BinaryIO:
    """The same of a path without links: where one was put in its way since, it may lead to what is nobody's.

    Raises:
        NoRegularFile
        OSError: as above, also where there is a link on the way.
    """
    folder = os.open("/", _ON_THE_WAY)
    try:
        for part in path.parts[1:-1]:
            outer, folder = folder, os.open(part, _ON_THE_WAY, dir_fd=folder)
            os.close(outer)
        return _regular(os.open(path.name, _AT_THE_END | os.O_NOFOLLOW, dir_fd=folder), path)
    finally:
        os.close(folder)


def _regular(file: int, path: Path) -> BinaryIO:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise NoRegularFile(errno.EINVAL, "no regular file", str(path))
    return os.fdopen(file, "rb")
