"""Which workers have said nothing for too long, by the clock of whoever listens.

Signs of life are compared, never subtracted from a time: the clock of a database may be set, and a machine that stood still for a
minute must not find that everybody else was silent.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
LOOKS_WITHIN_SILENCE: Final = 3
"""Whoever looks less often than that has not listened, and begins anew."""


class Silence(Generic[K]):
    """Since when each of those that should be heard gives the same sign of life."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Who gives no new sign for longer than `seconds` is silent."""
        self._seconds, self._clock = seconds, clock
        self._looked_at: float | None = None
        self._heard: dict[K, tuple[object, float]] = {}

    def begin_anew(self) -> None:
        """Nobody could be heard; from now on everybody has the whole time again."""
        self._heard = {}

    def of(self, signs: Mapping[K, object]) -> list[K]:
        """Who is silent, of those whose newest signs of life are given; the others are forgotten."""
        now = self._clock()
        if self._looked_at is None or now - self._looked_at > self._seconds / LOOKS_WITHIN_SILENCE:
            self.begin_anew()
        self._looked_at = now
        before = self._heard
        self._heard = {
            key: before[key] if key in before and before[key][0] == sign else (sign, now) for key, sign in signs.items()
        }
        return [key for key, (_, since) in self._heard.items() if now - since > self._seconds]
