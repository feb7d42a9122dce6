"""What is asked of the storage on the command line: the options of `storage`."""

import argparse
import sys
import time
from typing import Any, Final

from infra.embedded_postgres import database_for_a_moment
from infra.progress import say
from infra.settings import Settings, refuse_without_installation

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
    parser.set_defaults(run=_run)


def _run(settings: Settings, asked: argparse.Namespace) -> int:
    from infra import named_artifacts, storage_verbs  # noqa: PLC0415 - loads every layer

    refuse_without_installation(settings)
    try:
        with database_for_a_moment(settings) as settings:
            return storage_verbs.run(asked, settings, time.time(), say)
    except named_artifacts.UnknownFacts as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}.", file=sys.stderr)
    return 1
