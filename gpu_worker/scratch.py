"""Frees the scratch folder of what earlier jobs left there, without loading what jobs read it with."""

import shutil
from pathlib import Path


def remove_unused(decoded: Path, *, older_than: float, keep_bytes: int) -> None:
    """Free the disk: what no job used since `older_than` (seconds since the epoch), and the oldest beyond `keep_bytes` in all."""
    if not decoded.is_dir():
        return
    folders = sorted((folder for folder in decoded.iterdir() if folder.is_dir()), key=_used_at, reverse=True)
    total = 0
    for folder in folders:
        total += sum(file.stat().st_size for file in folder.iterdir())
        if _used_at(folder) < older_than or total > keep_bytes:
            shutil.rmtree(folder, ignore_errors=True)


def _used_at(folder: Path) -> float:
    return folder.stat().st_mtime
