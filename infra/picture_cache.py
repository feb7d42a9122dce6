"""Keeps the cache of small pictures, which `infra.images` makes, within its share of the disk."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path


def trim(cache: Path, most_bytes: int) -> int:
    """Remove what was used longest ago, where the cache holds more than `most_bytes`; returns how many bytes went.

    The hour is sharp enough, and sums by the hour take the same memory for ten files and for ten million.
    """
    bytes_of_hour: Counter[int] = Counter()
    for _, status in _kept_files(cache):
        bytes_of_hour[int(status.st_atime // 3600)] += status.st_size
    over = bytes_of_hour.total() - most_bytes
    if over <= 0:
        return 0
    over += most_bytes // 10  # some room, so that not every look finds it full again
    hours = sorted(bytes_of_hour)
    last_hour = next(
        (
            hour
            for hour, total in zip(hours, accumulate(bytes_of_hour[hour] for hour in hours), strict=True)
            if total >= over
        ),
        hours[-1],
    )
    removed = 0
    for path, status in _kept_files(cache):
        if status.st_atime // 3600 <= last_hour and removed < over:
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink()
                removed += status.st_size
    return removed


def _kept_files(cache: Path) -> Iterator[tuple[str, os.stat_result]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(cache) as folders:
        for folder in folders:
            with os.scandir(folder.path) as files:
                for file in files:
                    with contextlib.suppress(FileNotFoundError):
                        yield file.path, file.stat(follow_symlinks=False)
