"""`assay reset-password`: for who has the machine, when nobody is left who could reset a password in the pages.

The password is asked for, or comes from a file or a pipe: what stands on a command line every user of the machine can read.
"""

import getpass
import sys
from typing import Any

from infra.embedded_postgres import database_for_a_moment
from infra.settings import Settings


def add_password_verb(verbs: Any) -> None:
    """Add the verb to those of `infra.cli`."""
    reset = verbs.add_parser(
        "reset-password",
        help="give a user another password, for example the only super administrator, who forgot it",
        description="Asks for the password, or reads it from standard input. Whoever is signed in as the user signs in again.",
    )
    reset.add_argument("username", metavar="USER")
    reset.set_defaults(run=lambda settings, asked: reset_password(settings, asked.username))


def reset_password(settings: Settings, username: str) -> int:
    """Give a user another password; 1 where there is no such user, or the password is none. The log tells of it."""
    from commands.users import ResetPassword  # noqa: PLC0415 - loads every layer
    from domain.facts import SYSTEM  # noqa: PLC0415
    from domain.names import NameClaim, NameKind, claim_id  # noqa: PLC0415
    from domain.refusals import NotFound, Refusal  # noqa: PLC0415
    from infra.bootstrap import open_core  # noqa: PLC0415

    with database_for_a_moment(settings) as settings, open_core(settings) as core:
        claim = core.assay.find(NameClaim, claim_id(NameKind.USER, username))
        if claim is None or claim.owner is None:
            return _refuse(f"There is no user “{username}”.")
        password = _asked_password(username)
        try:
            core.assay.dispatch(ResetPassword(actor=SYSTEM, user_id=claim.owner, new_password=password))
        except NotFound:
            return _refuse(f"The user “{username}” is deleted.")
        except Refusal as refused:
            return _refuse(str(refused))
    print(f"The password of “{username}” is changed. The audit tells of it.")
    return 0


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


def _asked_password(username: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return getpass.getpass(f"New password of “{username}”: ")
