"""What is asked of backups on the command line: the options of `backup` and `restore`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from infra.embedded_postgres import database_for_a_moment
from infra.processes import take_lock
from infra.progress import say
from infra.settings import Settings, refuse_without_installation


def add_backup_verbs(verbs: Any) -> None:
    """Add the verbs to those of `infra.cli`; `infra.backup_verbs` does what they ask."""
    taken = verbs.add_parser(
        "backup", help="back up everything into a folder while the service runs, or check a backup"
    )
    taken.add_argument(
        "folder", type=Path, metavar="FOLDER", help="made where it is missing; what is there is not copied again"
    )
    taken.add_argument(
        "--keep", type=int, metavar="NUMBER", help="remove all backups of the folder but the newest ones"
    )
    taken.add_argument(
        "--check",
        action="store_true",
        help="take none: check every checksum, the chain and the seals of one that is there",
    )
    _add_choice(taken)
    taken.set_defaults(run=_back_up)
    put_back = verbs.add_parser("restore", help="put a backup back into an empty place")
    put_back.add_argument("folder", type=Path, metavar="FOLDER")
    put_back.add_argument(
        "--reuse-storage",
        action="store_true",
        help="the shared storage of the settings is this installation's and survived: copy only what is missing or damaged there",
    )
    put_back.add_argument(
        "--despite-damage",
        action="store_true",
        help="restore although artifacts are damaged or the log does not fit its chain; names what that is",
    )
    _add_choice(put_back)
    put_back.set_defaults(run=_put_back)


def _back_up(settings: Settings, asked: argparse.Namespace) -> int:
    from infra import backup_folder, backup_verbs  # noqa: PLC0415 - loads every layer

    try:
        if asked.check:
            return backup_verbs.check(asked, say)
        refuse_without_installation(settings)
        with database_for_a_moment(settings) as settings:
            return backup_verbs.back_up(asked, settings, say)
    except backup_folder.BackupFailed as reason:
        print(reason, file=sys.stderr)
        return 1


def _put_back(settings: Settings, asked: argparse.Namespace) -> int:
    """Into an empty place, in which nothing may run meanwhile."""
    from infra import backup_folder, backup_verbs  # noqa: PLC0415 - as above

    try:
        chosen = backup_verbs.choose(asked, say)
        lock = take_lock(settings.records)
        try:
            with database_for_a_moment(settings) as settings:
                return backup_verbs.put_back(chosen, asked, settings, say)
        finally:
            lock.release()
    except backup_folder.BackupFailed as reason:
        print(reason, file=sys.stderr)
        return 1


def _add_choice(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--at", metavar="MOMENT", help="which backup of the folder, as in the name of its file; default: the newest")
    add("--key", metavar="HEX", help="the public key of the seals, from a copy; default: the one in the backup")
    add("--seals", type=Path, metavar="FILE", help="a copy of the seals that lay elsewhere; they are verified, too")
