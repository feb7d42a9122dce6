"""What lies on the storage that nobody needs any more, and what should lie there and does not. Source: I-5, S-3, S-5.

The log itself says what is named, not a read model, so the answer holds whether or not the service runs. A file counts as unneeded
only after so long that whoever kept it would have reported it by now; removing one asks again, under the lock of the store.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from psycopg import IsolationLevel

from domain.artifacts import Artifact
from infra.artifacts import ArtifactIsDamaged, Artifacts
from infra.connections import connect
from infra.housekeeper import UNNAMED_SECONDS
from infra.named_artifacts import NamedArtifacts, named_in_log
from infra.progress import Progress, Say

UNNAMED, RELEASED, WORK, DECODED = (
    "no fact names it",
    "only what was deleted named it",
    "job work folder",
    "decoded images",
)


class Leftover(NamedTuple):
    """Something that may go. `since` is when somebody last kept or used it."""

    why: str
    path: Path
    size: int
    since: datetime
    artifact: Artifact | None = None


class Cache(NamedTuple):
    """A folder that processes keep within bounds by themselves."""

    name: str
    folder: Path
    file_count: int
    byte_count: int


def named_now(dsn: str) -> NamedArtifacts:
    """What the log names at this moment.

    Raises:
        UnknownFacts
    """
    with connect(dsn) as connection:
        connection.isolation_level, connection.read_only = IsolationLevel.REPEATABLE_READ, True
        with connection.transaction():
            return named_in_log(connection)


def unneeded_artifacts(
    artifacts: Artifacts, dsn: str, *, with_deleted: bool, untouched_seconds: float = UNNAMED_SECONDS
) -> list[Leftover]:
    """Files that no fact names; `with_deleted` those, too, that nothing names which still stands.

    The storage is listed before the log is read: what is named in between is known.

    Raises:
        UnknownFacts
    """
    old = list(artifacts.untouched(untouched_seconds))
    names = named_now(dsn)
    referred = names.referred()
    found = []
    for artifact in old:
        if artifact.checksum not in names.named:
            found.append(_leftover(UNNAMED, artifacts.place(artifact), artifact))
        elif with_deleted and artifact.checksum not in referred:
            found.append(_leftover(RELEASED, artifacts.place(artifact), artifact))
    return sorted((one for one in found if one), key=lambda one: one.since)


def unused_folders(scratch: Path, *, workspaces_older_than: float, decoded_older_than: float) -> list[Leftover]:
    """Work folders of jobs that nobody goes on with, and decoded images that no job used; ages in seconds since the epoch, as the
    workers' own.
    """
    kinds = (
        (WORK, scratch.glob("jobs/*/*"), workspaces_older_than),
        (DECODED, scratch.glob("decoded/*"), decoded_older_than),
    )
    found = (
        _leftover(why, place)
        for why, places, older_than in kinds
        for place in places
        if place.is_dir() and _touched_at(place).timestamp() < older_than
    )
    return sorted((one for one in found if one), key=lambda one: one.since)


def remove(
    leftovers: Iterable[Leftover], artifacts: Artifacts, *, untouched_seconds: float = UNNAMED_SECONDS
) -> list[Leftover]:
    """Remove what is still as it was when it was found; returns what went.

    Raises:
        OSError: the storage does not let something go.
    """
    gone = []
    for one in leftovers:
        if one.artifact is not None:
            has_gone = artifacts.remove(one.artifact, untouched_seconds=untouched_seconds)
        else:
            has_gone = one.path.is_dir() and _touched_at(one.path) <= one.since
            if has_gone:
                shutil.rmtree(one.path)
        if has_gone:
            gone.append(one)
    return gone


def missing_artifacts(artifacts: Artifacts, names: NamedArtifacts) -> list[Artifact]:
    """What something that stands refers to, and the storage does not have in its full size."""
    referred = sorted(names.referred())
    return [names.named[checksum] for checksum in referred if not artifacts.has(names.named[checksum])]


def damaged_artifacts(
    artifacts: Artifacts,
    names: NamedArtifacts,
    say: Say,
    *,
    bytes_per_second: float,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Artifact]:
    """What the storage has under the name of something else; reads all that the log names, no faster than `bytes_per_second`."""
    there = [artifact for _, artifact in sorted(names.named.items()) if artifacts.has(artifact)]
    progress = Progress(say, "Read", len(there), sum(artifact.size for artifact in there))
    for artifact in there:
        began_at = time.monotonic()
        try:
            artifacts.check(artifact)
        except ArtifactIsDamaged:
            yield artifact
        except FileNotFoundError:
            continue  # it went with its version meanwhile
        except OSError as error:
            say(f"{artifacts.place(artifact)} cannot be read: {error.strerror}")
            yield artifact
        progress.add(artifact.size)
        wait(max(0.0, artifact.size / bytes_per_second - (time.monotonic() - began_at)))


def cache_at(name: str, folder: Path) -> Cache:
    """How much a cache holds."""
    sizes = [_size(Path(place) / file) for place, _, files in os.walk(folder) for file in files]
    return Cache(name, folder, len(sizes), sum(sizes))


def _leftover(why: str, path: Path, artifact: Artifact | None = None) -> Leftover | None:
    """None where it went meanwhile."""
    try:
        since = _touched_at(path)
    except FileNotFoundError:
        return None
    return Leftover(why, path, artifact.size if artifact else cache_at(why, path).byte_count, since, artifact)


def _touched_at(path: Path) -> datetime:
    """Of a folder, when something last happened directly inside, too: a log that is written moves no folder's time. To the
    microsecond, as `Leftover` keeps it: a disk knows more digits, and by those nothing must seem to have been used again.
    """
    times = [path.stat().st_mtime]
    if path.is_dir():
        times += [entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(path)]
    return datetime.fromtimestamp(max(times), UTC)


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except FileNotFoundError:
        return 0
