"""The command line. Its verbs are the words of the README.

Each slice adds its verbs and says what does them; what that needs is loaded once the verb is asked for, so that `status` and `down`
load next to nothing.
"""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from infra.audit_options import add_audit_verbs
from infra.backup_options import add_backup_verbs
from infra.feed_verbs import add_feed_verbs
from infra.log_verbs import add_log_verbs
from infra.package_verb import add_package_verb
from infra.password_verb import add_password_verb
from infra.postgres_programs import PostgresFailed
from infra.process_verbs import add_health_verb, add_process_verbs
from infra.processes import AlreadyRuns, DoesNotStart
from infra.service_verbs import add_service_verbs
from infra.settings import Settings, WrongSetting, read_settings
from infra.storage_options import add_storage_verb

NOBODY_READS = 141
"""As shells say of what SIGPIPE ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    asked = parser().parse_args(arguments)
    settings = None
    try:
        settings = read_settings()
        status: int = asked.run(settings, asked)
        sys.stdout.flush()  # here, where it is heard that nobody reads on
    except (WrongSetting, PostgresFailed, DoesNotStart, AlreadyRuns) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `assay audit | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except Exception as error:
        if (sentence := _about_its_surroundings(error, settings)) is None:
            raise
        print(sentence, file=sys.stderr)
        return 1
    return status


def _about_its_surroundings(error: Exception, settings: Settings | None) -> str | None:
    """What a person can do about a folder or a database that is not as it must be; None where the mistake is ours."""
    if settings is None:
        return None
    if isinstance(error, OSError) and (place := _place_in_state(error, settings)):
        return (
            f"{place}: {error.strerror}. Assay needs ASSAY_STATE to name a folder that this user may write into, with"
            " room left on its disk."
        )
    psycopg = sys.modules.get("psycopg")  # who has not loaded it has asked no database
    if psycopg is not None and isinstance(error, psycopg.OperationalError):
        return f"The database cannot be used: {str(error).strip()}\nSee that it runs, or correct ASSAY_DATABASE_URL."
    if psycopg is not None and isinstance(error, psycopg.errors.UndefinedTable) and "assay_events" in str(error):
        return "The database holds no installation. Correct ASSAY_DATABASE_URL, or make one with `assay prepare`."
    return None


def _place_in_state(error: OSError, settings: Settings) -> Path | None:
    """Where in the state folder it happened; a full disk does not say."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return settings.state
    place = Path(os.fsdecode(error.filename or "/"))
    return place if place.is_relative_to(settings.state) else None


def parser() -> argparse.ArgumentParser:
    """Every verb with its options; `run` does it, with the settings and what was asked."""
    made = argparse.ArgumentParser(
        prog="assay",
        description="Train, compare and release inspection models. `assay up` starts everything on this machine.",
        epilog="`assay VERB --help` explains a verb. Settings are environment variables; README.md lists them.",
    )
    made.add_argument("--version", action="version", version=f"Assay {version('assay')}")
    verbs = made.add_subparsers(dest="verb", required=True, metavar="verb")
    add_service_verbs(verbs)
    add_health_verb(verbs)
    add_password_verb(verbs)
    add_package_verb(verbs)
    add_log_verbs(verbs)
    add_audit_verbs(verbs)
    add_backup_verbs(verbs)
    add_storage_verb(verbs)
    add_feed_verbs(verbs)
    add_process_verbs(verbs)
    return made


if __name__ == "__main__":
    sys.exit(main())
