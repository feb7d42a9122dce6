"""What is the same of every file that must be on the disk, and of every disk that has no room for it."""

import errno
import os
from pathlib import Path
from typing import Final

DISK_IS_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Numbers of the errors that more room would mend: of the disk, of a quota, of how large a file may be."""


def sync(path: Path) -> None:
    """Return once a file is on the disk; of a folder, once the names in it are."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
