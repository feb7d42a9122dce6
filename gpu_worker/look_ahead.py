"""Answers in the order of the questions, while threads work on those that come next."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

ROUNDS_AHEAD: Final = 4
"""So many questions a thread are on their way where nothing else says how many: one slow answer, which holds back those behind it,
leaves no thread without work, and memory does not grow with the questions.
"""

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def answered_ahead(
    act: Callable[[T], R], questions: Iterable[T], *, thread_count: int, most: int
) -> Iterator[Iterator[R]]:
    """The answers of `act`, one after the other, each as soon as it and those before it are there.

    At most `most` are on their way or wait for whoever asks, so that memory does not grow with the questions. Whoever leaves the
    block early, by an error, waits for what threads have begun, and for no more.
    """
    with ThreadPoolExecutor(thread_count) as threads:
        under_way = deque[Future[R]]()

        def answers() -> Iterator[R]:
            for question in questions:
                under_way.append(threads.submit(act, question))
                if len(under_way) >= most:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

        try:
            yield answers()
        finally:
            for answer in under_way:
                answer.cancel()
