"""Frees the scratch folder of what earlier jobs left there, without loading what jobs read it with."""

import secrets
import shutil
from pathlib import Path
from typing import Final

BUILDING: Final = ".building"
"""The end of the name of a folder that is being made."""
_REMOVING: Final = ".removing"


def remove_unused(decoded: Path, *, older_than: float, keep_bytes: int) -> None:
    """Free the disk: what no job used since `older_than` (seconds since the epoch), and the oldest beyond `keep_bytes` in all.

    Jobs that use it keep their links; what is being made goes only when it is old, because whoever made it was killed.
    """
    if not decoded.is_dir():
        return
    folders = sorted((folder for folder in decoded.iterdir() if folder.is_dir()), key=_used_at, reverse=True)
    total = 0
    for folder in folders:
        total += sum(file.stat().st_size for file in folder.iterdir())
        is_too_much = total > keep_bytes and folder.suffix != BUILDING
        if is_too_much or _used_at(folder) < older_than:
            remove_at_once(folder)


def remove_at_once(folder: Path) -> None:
    """Nobody ever finds half of it."""
    removing = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}{_REMOVING}")
    try:
        folder.rename(removing)
    except OSError:  # another worker was faster
        return
    shutil.rmtree(removing, ignore_errors=True)


def _used_at(folder: Path) -> float:
    return folder.stat().st_mtime
