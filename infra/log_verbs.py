"""What keeps the log honest, on the command line: `verify` and `export-log`."""

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.embedded_postgres import database_for_a_moment
from infra.progress import Say
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.kept_states import CheckedState

MOST_FINDINGS_SHOWN = 20


def add_log_verbs(verbs: Any) -> None:
    """Add the verbs to those of `infra.cli`."""
    proof = verbs.add_parser(
        "verify", help="verify that nobody changed the log; names the first event that does not fit"
    )
    proof.add_argument(
        "--key",
        type=_public_key,
        metavar="HEX",
        help="the public key of the seals, from a copy; default: this installation's",
    )
    proof.set_defaults(run=lambda settings, asked: verify(settings, asked.key))
    exported = verbs.add_parser("export-log", help="write the log as JSON Lines, without secrets, for an auditor")
    exported.add_argument("target", type=Path, metavar="FILE")
    exported.set_defaults(run=lambda settings, asked: export_log(settings, asked.target))


def verify(settings: Settings, key: bytes | None) -> int:
    """Verify the log against its chain and its seals, and what is kept of it for speed against the log; 1 where something does
    not fit.
    """
    from infra import bootstrap  # noqa: PLC0415 - loads every layer

    try:
        with database_for_a_moment(settings) as settings:
            public_key, found = bootstrap.verify_log(settings, key)
            wrong_states = told_states(bootstrap.checked_states(settings), print)
    except ValueError as error:
        print(f"The seals cannot be verified: {error}", file=sys.stderr)
        return 2
    for finding in found.findings[:MOST_FINDINGS_SHOWN]:
        print(f"position {finding.position}: {finding.what}")
    if len(found.findings) > MOST_FINDINGS_SHOWN:
        print(f"… and {len(found.findings) - MOST_FINDINGS_SHOWN} more")
    print(f"{found.event_count:,} events, {found.chained_count:,} of them chained, {found.seal_count:,} seals.")
    print(
        f"Public key of the seals: {public_key.hex()}{'' if key else ' (of this installation; keep a copy elsewhere)'}"
    )
    fits = not (found.findings or wrong_states)
    print("Everything fits." if fits else "Something does not fit.")
    return 0 if fits else 1


def _public_key(text: str) -> bytes:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise argparse.ArgumentTypeError("a public key has 64 hexadecimal digits, as `assay verify` prints them")
    return bytes.fromhex(text)


def told_states(checked: Iterable["CheckedState"], say: Say) -> int:
    """Say how many kept states follow from the log, and which do not; returns how many those are."""
    count = wrong = 0
    for state in checked:
        count += 1
        if state.problem:
            wrong += 1
            say(f"kept state of {state.kind} {state.aggregate_id}, version {state.version}: {state.problem}")
    say(f"{count:,} kept states, {wrong:,} of them DIFFERENT" if wrong else f"{count:,} kept states  same")
    if wrong:
        say("`assay rebuild` forgets them; then restart Assay, whose processes may remember them.")
    return wrong


def export_log(settings: Settings, target: Path) -> int:
    """Write the log as JSON Lines that `infra/chain.py` verifies on any machine."""
    from infra import bootstrap  # noqa: PLC0415 - as above

    try:
        with database_for_a_moment(settings) as settings:
            count = bootstrap.export_log(settings, target)
    except OSError as error:
        print(f"{target} cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"{count:,} events in {target}; the seals are in {settings.seals}.")
    return 0
