"""Waiting for another process: a condition with a deadline, never a sleep in a test."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], *, within_seconds: float = 20.0) -> None:
    """Return as soon as `condition` holds; fail when it does not in time."""
    deadline = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_seconds} s"
        time.sleep(0.02)
