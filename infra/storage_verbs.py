"""What `assay storage` does: says what lies on the storage that nobody needs, removes it, or checks what must be there."""

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from typing import Final

import psycopg

from gpu_worker.settings import WorkerSettings
from infra.artifacts import Artifacts
from infra.connections import open_pool
from infra.event_store import create_tables
from infra.housekeeper import sweep_uploads
from infra.progress import Say, as_bytes
from infra.settings import Settings
from infra.stored_files import (
    Cache,
    Leftover,
    cache_at,
    damaged_artifacts,
    missing_artifacts,
    named_now,
    remove,
    unneeded_artifacts,
    unused_folders,
)
from infra.uploads import Uploads
from infra.worker_bootstrap import open_storage
from projections.model_images import ModelImages

MOST_SHOWN: Final = 50


def run(asked: argparse.Namespace, settings: Settings, now: float, say: Say) -> int:
    """Do what the verb asks; `now` is in seconds since the epoch.

    Raises:
        UnknownFacts: a newer release wrote into the log.
        OSError: the storage does not let something go.
    """
    storage = open_storage(settings)
    assert settings.database_url is not None
    create_tables(settings.database_url)  # an empty database names nothing
    if asked.check:
        return _check(storage.artifacts, settings, max(1, asked.mib_per_second), say)
    kept = WorkerSettings()
    leftovers = [
        *unneeded_artifacts(storage.artifacts, settings.database_url, with_deleted=asked.deleted),
        *unused_folders(
            settings.scratch,
            workspaces_older_than=now - kept.keep_workspaces_seconds,
            decoded_older_than=now - kept.keep_decoded_seconds,
        ),
    ]
    uploads = _due_uploads(settings, storage.uploads, is_removing=asked.remove)
    _list(leftovers, uploads, say)
    for cache in _caches(settings):
        say(f"{cache.name}: {cache.file_count:,} files, {as_bytes(cache.byte_count)}; kept within bounds by itself")
    if not asked.remove:
        say("Nothing was removed: that is for --remove." if leftovers or uploads else "There is nothing to remove.")
        return 0
    gone = remove(leftovers, storage.artifacts)
    say(
        f"{len(gone):,} files and folders ({as_bytes(sum(one.size for one in gone))}) and {uploads:,} uploads were removed."
    )
    if stayed := len(leftovers) - len(gone):
        say(f"{stayed:,} stay: somebody has begun to use them again, or a backup is being taken.")
    return 0


def _check(artifacts: Artifacts, settings: Settings, mib_per_second: int, say: Say) -> int:
    os.nice(19)  # whoever trains or looks at pages goes first
    assert settings.database_url is not None
    names = named_now(settings.database_url)
    missing = missing_artifacts(artifacts, names)
    for artifact in missing:
        say(f"missing: {artifacts.place(artifact)} ({as_bytes(artifact.size)})")
    damaged = 0
    for artifact in damaged_artifacts(artifacts, names, say, bytes_per_second=mib_per_second << 20):
        damaged += 1
        say(f"damaged: {artifacts.place(artifact)} ({as_bytes(artifact.size)})")
    say(f"{len(names.named):,} artifacts are named, {len(names.referred()):,} of them by what still stands.")
    if missing or damaged:
        say(
            f"{len(missing):,} are missing, {damaged:,} damaged. `assay restore --reuse-storage` brings them back from a backup."
        )
        return 1
    say("Everything is there and as it was.")
    return 0


def _due_uploads(settings: Settings, uploads: Uploads, *, is_removing: bool) -> int:
    """How many uploads were loaded, given up or have expired; they are gone where that is asked for."""
    assert settings.database_url is not None
    with open_pool(settings.database_url, size=1) as pool:
        try:
            return sweep_uploads(uploads, ModelImages(pool), is_removing=is_removing)
        except psycopg.errors.UndefinedTable:  # no projector has ever run, so nothing was imported
            return 0


def _caches(settings: Settings) -> list[Cache]:
    return [
        cache_at("small pictures", settings.thumbnails),
        cache_at("indexes of scans and reports", settings.indexes),
        cache_at("decoded images", settings.scratch / "decoded"),
        cache_at("job work folders", settings.scratch / "jobs"),
    ]


def _list(leftovers: Sequence[Leftover], uploads: int, say: Say) -> None:
    for one in leftovers[:MOST_SHOWN]:
        say(f"{one.since:%Y-%m-%d %H:%M}  {as_bytes(one.size):>10}  {one.path}  ({one.why})")
    if len(leftovers) > MOST_SHOWN:
        say(f"… and {len(leftovers) - MOST_SHOWN:,} more")
    sizes: Counter[str] = Counter()
    for one in leftovers:
        sizes[one.why] += one.size
    for why, size in sizes.items():
        say(f"{why}: {sum(one.why == why for one in leftovers):,}, {as_bytes(size)}")
    if uploads:
        say(f"uploads that were loaded or that nobody goes on with: {uploads:,}")
