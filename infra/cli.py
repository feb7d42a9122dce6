"""The command line. Its verbs are the words of the README.

Each slice adds its verbs and says what does them; what that needs is loaded once the verb is asked for, so that `status` and `down`
load next to nothing.
"""

import argparse
import sys
from collections.abc import Sequence

from infra.audit_options import add_audit_verbs
from infra.backup_options import add_backup_verbs
from infra.feed_verbs import add_feed_verbs
from infra.log_verbs import add_log_verbs
from infra.package_verb import add_package_verb
from infra.postgres_programs import PostgresFailed
from infra.process_verbs import add_process_verbs
from infra.processes import AlreadyRuns, DoesNotStart
from infra.service_verbs import add_service_verbs
from infra.settings import WrongSetting, read_settings
from infra.storage_options import add_storage_verb


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    asked = parser().parse_args(arguments)
    try:
        status: int = asked.run(read_settings(), asked)
    except (WrongSetting, PostgresFailed, DoesNotStart, AlreadyRuns) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def parser() -> argparse.ArgumentParser:
    """Every verb with its options; `run` does it, with the settings and what was asked."""
    made = argparse.ArgumentParser(prog="assay", description="Train, compare and release inspection models.")
    verbs = made.add_subparsers(dest="verb", required=True, metavar="verb")
    add_service_verbs(verbs)
    add_process_verbs(verbs)
    add_package_verb(verbs)
    add_log_verbs(verbs)
    add_feed_verbs(verbs)
    add_audit_verbs(verbs)
    add_backup_verbs(verbs)
    add_storage_verb(verbs)
    return made


if __name__ == "__main__":
    sys.exit(main())
