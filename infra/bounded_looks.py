"""Looks into folders that may never answer: mounted storage whose server is gone says nothing, not even no.

Each look has a thread of its own, so that whoever asks goes on after a while and is told. Where several looks are slow already, no
more are begun: then those who ask are told at once, and what hangs never holds more than a few threads.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from domain.data_paths import FolderDoesNotAnswer

T = TypeVar("T")
PATIENCE_SECONDS = 8.0
"""Folders answer in milliseconds, and looks that take long end by themselves after a second; a busy file server may take some."""
SLOW_AFTER_SECONDS = 2.0
MOST_SLOW = 4
"""So many slow looks at a time, a quarter of the threads of the pages, may wait for the same storage."""


class BoundedLooks:
    """The looks of one process."""

    def __init__(
        self, *, patience_seconds: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience_seconds, self._clock = patience_seconds, clock
        self._lock = threading.Lock()
        self._begun: dict[str, dict[Future[Any], float]] = defaultdict(dict)
        """By storage the looks that run, each with the time of its beginning."""

    def look(self, storage: str, folder: object, look: Callable[[], T]) -> T:
        """What `look` sees or raises. `storage` is what hangs as a whole, a data root; `folder` is what people are told of.

        Raises:
            FolderDoesNotAnswer
        """
        answer: Future[T] = Future()
        with self._lock:
            began_at, running = self._clock(), self._begun[storage]
            if sum(began_at - other >= SLOW_AFTER_SECONDS for other in running.values()) >= MOST_SLOW:
                raise FolderDoesNotAnswer(folder=str(folder))
            running[answer] = began_at
        threading.Thread(target=self._look, args=(storage, answer, look), name="look", daemon=True).start()
        if wait([answer], self._patience_seconds).not_done:
            raise FolderDoesNotAnswer(folder=str(folder))
        return answer.result()

    def _look(self, storage: str, answer: Future[T], look: Callable[[], T]) -> None:
        try:
            seen = look()
        except BaseException as error:  # noqa: BLE001 - the edge of a thread: whoever asked is told of it
            self._end(storage, answer)
            answer.set_exception(error)
        else:
            self._end(storage, answer)
            answer.set_result(seen)

    def _end(self, storage: str, answer: Future[Any]) -> None:
        with self._lock:
            del self._begun[storage][answer]
