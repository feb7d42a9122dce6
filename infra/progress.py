"""How far something is that takes a while, in lines for the person at the terminal."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

SAID_EVERY_SECONDS: Final = 2.0

Say: TypeAlias = Callable[[str], None]
say: Say = partial(print, flush=True)
"""To whoever has asked on the command line, at once."""


class Progress:
    """So many files of so many bytes; nothing is said of what is over at once."""

    def __init__(
        self, say: Say, what: str, file_count: int, byte_count: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._what, self._clock = say, what, clock
        self._file_count, self._byte_count = file_count, byte_count
        self._files_done = self._bytes_done = 0
        self._said_at = clock()

    def add(self, size: int) -> None:
        """One file more is done."""
        self._files_done += 1
        self._bytes_done += size
        if self._clock() - self._said_at >= SAID_EVERY_SECONDS:
            self._said_at = self._clock()
            self._say(
                f"{self._what}: {self._files_done:,} of {self._file_count:,} files,"
                f" {as_bytes(self._bytes_done)} of {as_bytes(self._byte_count)}"
            )


def as_bytes(count: int) -> str:
    """For people: 1.5 GiB."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
