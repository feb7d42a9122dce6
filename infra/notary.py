"""The notary: a process that follows the log, chains every event, and seals the end of the chain at intervals (E-4).

The chain is kept beside the append path, so nobody waits for it; it is at most a second behind. Seals go to the database and to a
file of the state folder, which should be copied to a place that the database's administrator cannot write to.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Connection
from psycopg.rows import TupleRow

from domain.facts import FACTS, without
from infra.advisory_locks import take_lock
from infra.chain import (
    START,
    Entry,
    Finding,
    Link,
    Seal,
    check,
    digest_of,
    link_to,
    seal_from_line,
    seal_to_line,
    signed_part,
)
from infra.connections import connect

log = logging.getLogger(__name__)

BATCH = 1_000
PAUSE_SECONDS = 0.5
SEAL_EVENTS: Final = 1_000
SEAL_SECONDS: Final = 60.0
"""A seal is set after so many events, or after so long where there was any: what lies behind the last one is protected least."""
READ_AT_ONCE = 2_000
_LEADER_LOCK = 0x4E6F74617279  # any number that no other program on the server uses

_COLUMNS = "notification_id, originator_id, originator_version, topic, state, recorded_at"


class Verified(NamedTuple):
    """What verifying found; nothing is whole with `findings`."""

    findings: list[Finding]
    event_count: int
    chained_count: int
    seal_count: int


class Notary:
    """One notary works at a time; others wait to take over."""

    def __init__(
        self,
        dsn: str,
        key: Ed25519PrivateKey,
        seals: Path,
        *,
        seal_events: int = SEAL_EVENTS,
        seal_seconds: float = SEAL_SECONDS,
    ) -> None:
        """`seals` is the file outside the database."""
        self._dsn, self._key, self._seals = dsn, key, seals
        self._seal_events, self._seal_seconds = seal_events, seal_seconds
        self._unsealed_since: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; a lost database is waited for. What is chained at the end is sealed."""
        while not stop.is_set():
            try:
                with connect(self._dsn, autocommit=True) as connection:
                    self._lead(connection, stop)
            except psycopg.OperationalError:
                log.warning("database_is_away", exc_info=True)
                stop.wait(1.0)

    def follow(self, connection: Connection[TupleRow]) -> int:
        """Chain the next batch of events; returns how many there were."""
        with connection.transaction():
            last = _last_link(connection)
            position, before = (last.position, last.hash) if last else (0, START)
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM assay_events WHERE notification_id > %s ORDER BY notification_id LIMIT %s",  # noqa: S608
                (position, BATCH),
            ).fetchall()
            links = []
            for row in rows:
                link = link_to(before, row[0], _digest(row))
                links.append(link)
                before = link.hash
            if links:
                connection.execute(
                    "INSERT INTO app.chain SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[])",
                    ([link.position for link in links], [link.digest for link in links], [link.hash for link in links]),
                )
        return len(links)

    def seal_if_due(self, connection: Connection[TupleRow], *, is_ending: bool = False) -> Seal | None:
        """Seal the end of the chain if enough events or enough time lie behind the last seal; at the end, if any event does."""
        last = _last_link(connection)
        sealed = _sealed_position(connection)
        if last is None or last.position == sealed:
            self._unsealed_since = None
            return None
        if self._unsealed_since is None:
            self._unsealed_since = time.monotonic()
        waited = time.monotonic() - self._unsealed_since
        if not is_ending and waited < self._seal_seconds and self._unsealed(connection, sealed) < self._seal_events:
            return None
        sealed_at = datetime.now(UTC).isoformat(timespec="seconds")
        seal = Seal(
            last.position, last.hash, sealed_at, self._key.sign(signed_part(last.position, last.hash, sealed_at))
        )
        self._keep_outside(seal)  # first, so that no seal of the database is missing outside
        connection.execute("INSERT INTO app.seals VALUES (%s, %s, %s, %s)", seal)
        self._unsealed_since = None
        return seal

    def take_back_last_seal(self, connection: Connection[TupleRow]) -> None:
        """Whoever was killed right after a seal was in the file left it out of the database; it counts. No other seal is put back:
        that older ones are missing there is for people to know.
        """
        seals = seals_in_file(self._seals)
        if not seals or seals[-1].position <= _sealed_position(connection):
            return
        position, link_hash, sealed_at, signature = seals[-1]
        row = connection.execute(
            "SELECT 1 FROM app.chain WHERE position = %s AND hash = %s", (position, link_hash)
        ).fetchone()
        if row is not None and self._key.sign(signed_part(position, link_hash, sealed_at)) == signature:
            connection.execute("INSERT INTO app.seals VALUES (%s, %s, %s, %s)", seals[-1])

    def _lead(self, connection: Connection[TupleRow], stop: threading.Event) -> None:
        while not stop.is_set() and not take_lock(connection, _LEADER_LOCK):
            stop.wait(1.0)
        self.take_back_last_seal(connection)
        while not stop.is_set():
            if not self.follow(connection):
                self.seal_if_due(connection)
                stop.wait(PAUSE_SECONDS)
        self.seal_if_due(connection, is_ending=True)

    def _unsealed(self, connection: Connection[TupleRow], sealed: int) -> int:
        row = connection.execute("SELECT count(*) FROM app.chain WHERE position > %s", (sealed,)).fetchone()
        return int(row[0]) if row else 0

    def _keep_outside(self, seal: Seal) -> None:
        self._seals.parent.mkdir(parents=True, exist_ok=True)
        with self._seals.open("ab") as file:
            if torn := file.tell() - len(_whole_lines(self._seals)):  # a crash cut the last line off: it never counted
                file.truncate(file.tell() - torn)
            file.write(seal_to_line(seal).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def entries(connection: Connection[TupleRow]) -> Iterator[Entry]:
    """Every position of the log and of its chain as they are at this moment; memory does not grow with them."""
    with connection.transaction(), connection.cursor(name="chain") as cursor:
        cursor.itersize = READ_AT_ONCE
        cursor.execute(
            "SELECT coalesce(event.notification_id, chain.position) AS at, event.originator_id, event.originator_version,"
            " event.topic, event.state, event.recorded_at, chain.digest, chain.hash"
            " FROM assay_events AS event FULL JOIN app.chain AS chain ON chain.position = event.notification_id ORDER BY at"
        )
        for row in cursor:
            position, digest, link_hash = row[0], row[6], row[7]
            link = Link(position, bytes(digest), bytes(link_hash)) if digest is not None else None
            yield Entry(position, _digest(row) if row[1] is not None else None, link)


def seals_in_database(connection: Connection[TupleRow]) -> list[Seal]:
    """Every seal of the database, oldest first."""
    rows = connection.execute("SELECT position, hash, sealed_at, signature FROM app.seals ORDER BY position").fetchall()
    return [Seal(row[0], bytes(row[1]), row[2], bytes(row[3])) for row in rows]


def seals_in_file(file: Path) -> list[Seal]:
    """Every seal of the file outside the database; none where there is no file.

    Raises:
        ValueError: a line is no seal.
    """
    return [seal_from_line(line) for line in _whole_lines(file).decode().splitlines()] if file.exists() else []


def public_key_of(seal_key: bytes) -> bytes:
    """The part of the key of the seals that everybody may have: it verifies them and makes none."""
    return Ed25519PrivateKey.from_private_bytes(seal_key).public_key().public_bytes_raw()


def verify(dsn: str, seals: Path, public_key: bytes) -> Verified:
    """Compare the log with its chain, and the chain with every seal of the database and of the file `seals`.

    Raises:
        ValueError: a line of the file is no seal.
        psycopg.Error: the database cannot be read.
    """
    counts = [0, 0]
    with connect(dsn, autocommit=True) as connection:
        inside, outside = seals_in_database(connection), seals_in_file(seals)

        def counted() -> Iterator[Entry]:
            for entry in entries(connection):
                counts[0] += entry.digest is not None
                counts[1] += entry.link is not None
                yield entry

        every_seal = sorted({*inside, *outside})
        findings = check(counted(), every_seal, public_key)
    for seal in every_seal:
        if seal not in outside or seal not in inside:
            where = "the file of seals" if seal not in outside else "the database"
            findings.append(Finding(seal.position, f"the seal of {seal.sealed_at} is missing in {where}"))
    return Verified(sorted(findings), counts[0], counts[1], len(every_seal))


def export_log(connection: Connection[TupleRow]) -> Iterator[str]:
    """The chained part of the log as lines of JSON, which `chain.py` verifies anywhere. What is private in a fact stays here."""
    with connection.transaction(), connection.cursor(name="export") as cursor:
        cursor.itersize = READ_AT_ONCE
        cursor.execute(
            f"SELECT {_COLUMNS}, digest, hash FROM assay_events JOIN app.chain ON position = notification_id"  # noqa: S608
            " ORDER BY position"
        )
        for row in cursor:
            yield _exported(row)


def export_to(target: Path, dsn: str) -> int:
    """Write the exported log to a file, whole or not at all; returns how many events it holds."""
    beside = target.with_name(f".{target.name}.part")
    count = 0
    with connect(dsn, autocommit=True) as connection, beside.open("w", encoding="utf-8") as file:
        for line in export_log(connection):
            file.write(line + "\n")
            count += 1
    beside.rename(target)
    return count


def _exported(row: tuple[Any, ...]) -> str:
    position, originator_id, version, topic, state, recorded_at, digest, link_hash = row
    fact = FACTS.get(topic)
    line: dict[str, Any] = {
        "position": position,
        "aggregate_id": str(originator_id),
        "version": version,
        "type": topic,
        "recorded_at": recorded_at.astimezone(UTC).isoformat(timespec="microseconds"),
    }
    if fact is None or fact.PRIVATE:
        line["withheld"] = sorted(fact.PRIVATE) if fact else ["everything: this release does not know the fact"]
        line["event"] = _without(bytes(state), fact.PRIVATE) if fact else None
    else:
        line["stored"] = bytes(state).decode("utf-8", "surrogateescape")
    return json.dumps({**line, "digest": bytes(digest).hex(), "hash": bytes(link_hash).hex()}, ensure_ascii=True)


def _without(state: bytes, private: frozenset[str]) -> Any:
    timestamp, data, *others = json.loads(state)
    return [timestamp, without(data, private), *others]


def _whole_lines(file: Path) -> bytes:
    content = file.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _digest(row: tuple[Any, ...]) -> bytes:
    originator_id: UUID = row[1]
    return digest_of(originator_id.bytes, row[2], row[3], bytes(row[4]), row[5])


def _last_link(connection: Connection[TupleRow]) -> Link | None:
    row = connection.execute("SELECT position, digest, hash FROM app.chain ORDER BY position DESC LIMIT 1").fetchone()
    return Link(row[0], bytes(row[1]), bytes(row[2])) if row else None


def _sealed_position(connection: Connection[TupleRow]) -> int:
    row = connection.execute("SELECT max(position) FROM app.seals").fetchone()
    return (row[0] if row else None) or 0
