"""Which images show the same part: `groups.csv` says so, else a person's regular expression over their names (W-8)."""

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from domain.refusals import Refusal
from domain.sentences import N_
from gpu_worker.images import FoundImage

MOST_SECONDS: Final = 20.0
"""Of computing, for all images of a job: an ordinary expression takes about a second over a million names."""


class GroupPatternTakesTooLong(Refusal):
    """Some expressions need more steps over one name of forty letters than any machine can take."""

    message = N_(
        "The regular expression for groups takes too long over the name “{name}”. Train anew with a simpler one: "
        "without repetitions inside of repetitions."
    )


def group_names(images: Sequence[FoundImage], expression: str, *, most_seconds: float = MOST_SECONDS) -> list[str]:
    """The name of each image's group among the code folders that lie side by side; "" where it has none.

    Called in the main thread of a process.

    Raises:
        GroupPatternTakesTooLong
    """
    pattern = re.compile(expression) if expression else None
    names, name = list[str](), ""
    try:
        with _over_after(most_seconds):
            for image in images:
                name = image.name
                names.append(_group(image, pattern))
    except _TimeIsOver:
        raise GroupPatternTakesTooLong(name=name) from None
    return names


def _group(image: FoundImage, pattern: re.Pattern[str] | None) -> str:
    name = image.group
    if not name and pattern and (match := pattern.search(image.name)):
        name = match[1] if pattern.groups and match[1] else match[0]
    beside = image.code_folder.rpartition("/")[0]
    return f"{image.folder.root}:{beside}/{name}" if name else ""


class _TimeIsOver(Exception):
    """Raised in the midst of whatever is computed."""


@contextmanager
def _over_after(seconds: float) -> Iterator[None]:
    """Python's engine for regular expressions asks nobody whether to go on, but it does let signals through."""

    def over(*_: Any) -> NoReturn:
        raise _TimeIsOver

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
