"""An answer that many want at once."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class RecentAnswer(Generic[T]):
    """The answer to a question that many ask at once: asked again only when it is older than `seconds`."""

    def __init__(self, ask: Callable[[], T], seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._seconds, self._clock = ask, seconds, clock
        self._lock = threading.Lock()
        self._answer: tuple[float, T] | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._answer is None or self._clock() - self._answer[0] >= self._seconds:
                answer = self._ask()
                self._answer = self._clock(), answer  # counted from its end: a slow answer must not be old at once
            return self._answer[1]
