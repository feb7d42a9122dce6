"""The hash chain over the event log (E-4): what each link covers, and how a log that does not fit its chain is named.

This file stands alone: with `python chain.py log.jsonl --seals seals.jsonl --key …` an auditor verifies an exported log on a
machine that has nothing of Assay, only Python, and the `cryptography` package for seals. `infra.notary` keeps the chain.

A **link** covers one event and the link before it. A **seal** is a link signed with Ed25519, kept outside the database, too: who
can rewrite the whole database can make it fit its own chain again, but cannot make it fit a seal.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

FORMAT: Final = 1
START: Final = hashlib.sha256(b"Assay event log, chain 1").digest()
"""What the first link is chained to."""
_SEAL_PREFIX: Final = b"Assay seal 1\n"
"""So that a signature of this key can never be taken for one of something else."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOST_FINDINGS: Final = 1_000
"""A log that was exchanged as a whole need not be described event by event."""


class Link(NamedTuple):
    """One event's place in the chain. `digest` covers the event, `hash` covers digest, position and the link before."""

    position: int
    digest: bytes
    hash: bytes


class Seal(NamedTuple):
    """A signed link."""

    position: int
    hash: bytes
    sealed_at: str
    signature: bytes


class Entry(NamedTuple):
    """A position of the log: the digest of what stands there now (None: nothing does) and its link (None: not chained)."""

    position: int
    digest: bytes | None
    link: Link | None


class Finding(NamedTuple):
    """Something that does not fit, at the first position where it shows."""

    position: int
    what: str


def digest_of(originator_id: bytes, version: int, topic: str, state: bytes, recorded_at: datetime) -> bytes:
    """SHA-256 over what is stored of one event: id, version, microseconds since 1970, topic, state, with their lengths."""
    since_epoch = (recorded_at - _EPOCH) // timedelta(microseconds=1)
    name = topic.encode()
    return hashlib.sha256(
        b"".join(
            (
                originator_id,
                version.to_bytes(8, "big"),
                since_epoch.to_bytes(8, "big", signed=True),
                len(name).to_bytes(4, "big"),
                name,
                len(state).to_bytes(8, "big"),
                state,
            )
        )
    ).digest()


def link_to(before: bytes, position: int, digest: bytes) -> Link:
    """The link of an event behind the link whose hash is `before`."""
    return Link(position, digest, hashlib.sha256(before + position.to_bytes(8, "big") + digest).digest())


def signed_part(position: int, link_hash: bytes, sealed_at: str) -> bytes:
    """The bytes that a seal signs."""
    return _SEAL_PREFIX + position.to_bytes(8, "big") + link_hash + sealed_at.encode()


def check(entries: Iterable[Entry], seals: Sequence[Seal] = (), public_key: bytes | None = None) -> list[Finding]:
    """Everything that does not fit, by position; empty for a log that is whole. Entries come by position, none left out.

    What stands behind the end of the chain is not judged: its links are on their way.
    """
    findings, links, last_position = _check_chain(entries, {seal.position for seal in seals})
    findings += _check_seals(seals, links, last_position, public_key)
    return sorted(findings)[:MOST_FINDINGS]


def _check_chain(entries: Iterable[Entry], sealed: set[int]) -> tuple[list[Finding], dict[int, bytes], int]:
    """What does not fit the chain, the hashes at the positions in `sealed`, and the last position that is chained."""
    findings: list[Finding] = []
    hashes: dict[int, bytes] = {}
    before, last_position = START, 0
    changed: dict[int, tuple[bytes, bytes]] = {}
    missing: list[int] = []
    unchained: list[int] = []
    for position, digest, link in entries:
        if link is None:
            unchained.append(position)
            continue
        findings += [Finding(at, "an event was inserted: it has no link") for at in unchained]
        unchained.clear()
        if link_to(before, position, link.digest).hash != link.hash:
            findings.append(
                Finding(position, "its link does not fit the one before: something in between was removed or rewritten")
            )
        if digest is None:
            missing.append(position)
        else:
            findings += [Finding(at, "an event was removed: only its link is left") for at in missing]
            missing.clear()
            if digest != link.digest and len(changed) < MOST_FINDINGS:
                changed[position] = digest, link.digest
        before, last_position = link.hash, position
        if position in sealed:
            hashes[position] = link.hash
        if len(findings) > MOST_FINDINGS:
            break
    if missing:
        findings.append(Finding(missing[0], f"the tail is missing: {len(missing)} events from here on"))
    return findings + _named(changed), hashes, last_position


def _named(changed: dict[int, tuple[bytes, bytes]]) -> list[Finding]:
    """Changed events; those that are found whole at another's place were moved."""
    once_at = {chained: position for position, (_, chained) in changed.items()}
    return [
        Finding(
            position,
            f"the events were reordered: here stands the one of position {once_at[found]}"
            if found in once_at
            else "the event was changed",
        )
        for position, (found, _) in changed.items()
    ]


def _check_seals(
    seals: Sequence[Seal], hashes: dict[int, bytes], last_position: int, public_key: bytes | None
) -> Iterator[Finding]:
    if not seals:
        return
    verifies = _verifier(public_key)
    for seal in seals:
        if not verifies(seal):
            yield Finding(seal.position, f"the seal of {seal.sealed_at} does not carry the signature of this key")
        elif seal.position > last_position:
            yield Finding(seal.position, f"the tail is missing: the seal of {seal.sealed_at} was set here")
        elif hashes.get(seal.position) != seal.hash:
            yield Finding(
                seal.position,
                f"the log up to here is another than when it was sealed ({seal.sealed_at}): it was rewritten",
            )


def _verifier(public_key: bytes | None) -> Any:
    if public_key is None:
        return lambda _: True
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an auditor without seals needs only Python
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    key = Ed25519PublicKey.from_public_bytes(public_key)

    def verifies(seal: Seal) -> bool:
        try:
            key.verify(seal.signature, signed_part(seal.position, seal.hash, seal.sealed_at))
        except InvalidSignature:
            return False
        return True

    return verifies


def seal_to_line(seal: Seal) -> str:
    """A seal as a line of JSON."""
    return json.dumps(
        {
            "position": seal.position,
            "hash": seal.hash.hex(),
            "sealed_at": seal.sealed_at,
            "signature": seal.signature.hex(),
        }
    )


def seal_from_line(line: str) -> Seal:
    """The seal of a line.

    Raises:
        ValueError: the line is none.
    """
    found = _object_of(line)
    try:
        return Seal(
            int(found["position"]),
            bytes.fromhex(found["hash"]),
            str(found["sealed_at"]),
            bytes.fromhex(found["signature"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a seal: {line[:100]!r}") from error


def entry_from_line(line: str) -> Entry:
    """The entry of a line of an exported log. Where `withheld` names fields, the event has secrets that never leave the service:
    its digest is taken as given, so its place in the chain is verified and its content is not.

    Raises:
        ValueError: the line is no event.
    """
    found = _object_of(line)
    try:
        link = Link(int(found["position"]), bytes.fromhex(found["digest"]), bytes.fromhex(found["hash"]))
        if found.get("withheld"):
            return Entry(link.position, link.digest, link)
        digest = digest_of(
            bytes.fromhex(found["aggregate_id"].replace("-", "")),
            int(found["version"]),
            found["type"],
            found["stored"].encode("utf-8", "surrogateescape"),
            datetime.fromisoformat(found["recorded_at"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event of an exported log: {line[:100]!r}") from error
    return Entry(link.position, digest, link)


def check_export(lines: Iterable[str], seals: Sequence[Seal] = (), public_key: bytes | None = None) -> list[Finding]:
    """As `check`, for a log that was exported from its first event on. A line that is left out breaks the chain there."""
    return check(map(entry_from_line, lines), seals, public_key)


def _object_of(line: str) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError(f"not an object: {line[:100]!r}")  # noqa: TRY004 - of a file, not of a caller
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify an exported log; the status is 1 where something does not fit."""
    parser = argparse.ArgumentParser(prog="chain.py", description="Verify an event log exported from Assay.")
    parser.add_argument("log", type=Path, help="the exported log, JSON Lines")
    parser.add_argument("--seals", type=Path, help="the seals, JSON Lines")
    parser.add_argument(
        "--key", help="the public key of the seals, 64 hexadecimal digits; without it signatures are not verified"
    )
    asked = parser.parse_args(arguments)
    try:
        seals = [seal_from_line(line) for line in asked.seals.read_text().splitlines()] if asked.seals else []
        with asked.log.open(encoding="utf-8") as lines:
            findings = check_export(lines, seals, bytes.fromhex(asked.key) if asked.key else None)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except ModuleNotFoundError:
        sys.stderr.write("Signatures are verified by the package `cryptography`: install it, or leave --key out.\n")
        return 2
    sys.stdout.writelines(f"position {finding.position}: {finding.what}\n" for finding in findings)
    sys.stdout.write("Something does not fit.\n" if findings else "Everything fits.\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
