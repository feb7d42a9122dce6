"""What is asked of the storage on the command line: the options of `storage`."""

from typing import Any, Final

MIB_PER_SECOND: Final = 50
"""Slow enough that nobody who works with the same disk notices."""


def add_storage_verb(verbs: Any) -> None:
    """Add the verb to those of `infra.cli`; `infra.storage_verbs` does what it asks."""
    parser = verbs.add_parser(
        "storage", help="say what lies on the storage that nobody needs, and remove it; or check what must be there"
    )
    parser.add_argument("--remove", action="store_true", help="remove what is listed; without it nothing is touched")
    parser.add_argument(
        "--deleted",
        action="store_true",
        help="also what only deleted jobs and versions named: weights, reports and logs that no page opens any more",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="read everything that the log names and compare it with its checksum; 1 if it differs",
    )
    parser.add_argument(
        "--mib-per-second",
        type=int,
        default=MIB_PER_SECOND,
        metavar="NUMBER",
        help=f"with --check; default: {MIB_PER_SECOND}",
    )
