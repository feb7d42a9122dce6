"""Checks a backup without restoring it: every checksum, the chain over the log, and every seal. Source: E-4, S-3.

The chain is judged by `infra.chain`, as an exported log is on a machine that has nothing of Assay.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from domain.artifacts import Artifact
from infra.artifacts import ArtifactIsDamaged
from infra.backup_folder import CHAIN, EVENTS, SEAL_KEY_FILE, SEALS, SEALS_FILE, Backup, BackupFailed, Stored
from infra.chain import Entry, Finding, Link, Seal, check, digest_of, seal_from_line
from infra.notary import public_key_of
from infra.progress import Progress, Say

MOST_PROBLEMS: Final = 1_000

_ESCAPED = re.compile(rb"\\(.)")
_ESCAPES: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class Checked(NamedTuple):
    """What checking found: files that are not what the manifest says, and what does not fit the chain or the seals."""

    damaged: list[str]
    findings: list[Finding]
    seal_count: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether everything is as it was taken, and fits."""
        return not (self.damaged or self.findings)


def check_log(backup: Backup, public_key: bytes | None = None, other_seals: Sequence[Seal] = ()) -> Checked:
    """The tables and the files of the state folder. `public_key` and `other_seals` are copies that lay elsewhere.

    A key from elsewhere tells of a log that was sealed anew, seals from elsewhere of one that was cut off.
    """
    manifest = backup.manifest
    looked_at = (_problem_of(backup, what, file.artifact) for what, file in _own_files(backup))
    damaged = [problem for problem in looked_at if problem is not None]
    if damaged:
        return Checked(damaged, [])
    key_in_backup = bytes.fromhex(manifest.public_key)
    try:
        lines = backup.store.read(manifest.files[SEALS_FILE].artifact).decode().splitlines()
        inside = list(_seals(backup))
        outside = [seal_from_line(line) for line in lines]
        every_seal = sorted({*inside, *outside, *other_seals})
        counted: Counter[str] = Counter()
        findings = check(_counted(_entries(backup), counted), every_seal, public_key or key_in_backup or None)
    except (ValueError, KeyError, IndexError, BackupFailed) as error:
        return Checked([f"the tables of the backup cannot be read ({error}); its manifest was changed"], [])
    if counted["events"] != manifest.event_count:
        damaged.append(f"the log has {counted['events']:,} events, the manifest names {manifest.event_count:,}")
    for where, known in (("the file of seals", outside), ("the database", inside)):
        findings += [
            Finding(seal.position, f"the seal of {seal.sealed_at} is missing in {where}")
            for seal in every_seal
            if seal not in known
        ]
    if SEAL_KEY_FILE in manifest.files and _public_key(backup) != key_in_backup:
        damaged.append(f"{SEAL_KEY_FILE} is not the key whose public part the manifest names")
    return Checked(damaged, sorted(findings), len(every_seal))


def check_artifacts(backup: Backup, say: Say, *, is_reading: bool) -> list[str]:
    """The artifacts that are missing or damaged; without `is_reading` only what the names and sizes of the files tell."""
    manifest = backup.manifest
    progress = Progress(say, "Artifacts", manifest.artifact_count, manifest.artifact_bytes)
    problems: list[str] = []
    count = 0
    for artifact in backup.artifacts():
        count += 1
        if is_reading:
            problem = _problem_of(backup, "an artifact", artifact)
            progress.add(artifact.size)
        else:
            problem = (
                None if backup.store.has(artifact) else _told(backup, "an artifact", artifact, "missing or cut off")
            )
        if problem is not None and len(problems) < MOST_PROBLEMS:
            problems.append(problem)
    if count != manifest.artifact_count:
        problems.append(f"the list of artifacts has {count:,} lines, the manifest names {manifest.artifact_count:,}")
    return problems


def _own_files(backup: Backup) -> Iterator[tuple[str, Stored]]:
    """Every file but the artifacts, with what it is for people."""
    manifest = backup.manifest
    yield "the list of artifacts", manifest.artifacts
    yield from manifest.files.items()
    for table in manifest.tables:
        first = 1
        for part in table.parts:
            yield f"rows {first:,} to {first + part.row_count - 1:,} of {table.name}", part.file
            first += part.row_count


def _problem_of(backup: Backup, what: str, artifact: Artifact) -> str | None:
    try:
        backup.store.check(artifact)
    except FileNotFoundError:
        return _told(backup, what, artifact, "missing")
    except ArtifactIsDamaged:
        return _told(backup, what, artifact, "damaged" if backup.store.has(artifact) else "cut off, or damaged")
    except OSError as error:
        return _told(backup, what, artifact, f"not readable ({error.strerror})")
    return None


def _told(backup: Backup, what: str, artifact: Artifact, state: str) -> str:
    return f"{backup.store.place(artifact)} is {state}: {what}"


def _seals(backup: Backup) -> Iterator[Seal]:
    for position, link_hash, sealed_at, signature in _columns(
        backup, SEALS, "position", "hash", "sealed_at", "signature"
    ):
        yield Seal(int(position), _bytes(link_hash), sealed_at.decode(), _bytes(signature))


def _entries(backup: Backup) -> Iterator[Entry]:
    """The log beside its chain, by position, as the notary reads them from the database."""
    events, links = _events(backup), _links(backup)
    event, link = next(events, None), next(links, None)
    while event is not None or link is not None:
        position = min(one[0] for one in (event, link) if one is not None)
        here, chained = None, None
        if event is not None and event[0] == position:
            here, event = event[1], next(events, None)
        if link is not None and link.position == position:
            chained, link = link, next(links, None)
        yield Entry(position, here, chained)


def _events(backup: Backup) -> Iterator[tuple[int, bytes]]:
    for position, originator_id, version, topic, state, recorded_at in _columns(
        backup, EVENTS, "notification_id", "originator_id", "originator_version", "topic", "state", "recorded_at"
    ):
        digest = digest_of(
            UUID(originator_id.decode()).bytes,
            int(version),
            _unescaped(topic).decode(),
            _bytes(state),
            datetime.fromisoformat(recorded_at.decode()),
        )
        yield int(position), digest


def _links(backup: Backup) -> Iterator[Link]:
    for position, digest, link_hash in _columns(backup, CHAIN, "position", "digest", "hash"):
        yield Link(int(position), _bytes(digest), _bytes(link_hash))


def _columns(backup: Backup, name: str, *wanted: str) -> Iterator[list[bytes]]:
    table = backup.manifest.table(name)
    if not table.parts:
        return
    places = [table.columns.index(column) for column in wanted]
    for row in backup.rows(table):
        yield [row[place] for place in places]


def _counted(entries: Iterator[Entry], counted: Counter[str]) -> Iterator[Entry]:
    for entry in entries:
        counted["events"] += entry.digest is not None
        yield entry


def _bytes(written: bytes) -> bytes:
    return bytes.fromhex(written.removeprefix(rb"\\x").decode())


def _unescaped(written: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), written) if b"\\" in written else written


def _public_key(backup: Backup) -> bytes:
    return public_key_of(backup.store.read(backup.manifest.files[SEAL_KEY_FILE].artifact))
