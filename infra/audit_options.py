"""What an auditor asks on the command line: the options of `audit`, `provenance`, `rebuild` and `replay`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from infra.embedded_postgres import database_for_a_moment
from infra.progress import say
from infra.settings import Settings

LANGUAGES = ("en", "zh")


def add_audit_verbs(verbs: Any) -> None:
    """Add the verbs to those of `infra.cli`; `infra.audit_verbs` does what they ask."""
    search = verbs.add_parser("audit", help="who did what and when; the history and the past states of a thing")
    _add_search(search)
    made = verbs.add_parser("provenance", help="what made a published version: people, parameters, files, images")
    made.add_argument("version", metavar="MODEL:VERSION", help="for example panel-a:v1.01")
    made.add_argument("--check", action="store_true", help="compare every image with what it was; 1 where one is not")
    rebuild = verbs.add_parser("rebuild", help="make read tables anew from the log, while the service runs")
    rebuild.add_argument("names", nargs="*", metavar="READ_MODEL", help="for example users; default: all of them")
    replay = verbs.add_parser(
        "replay", help="prove that replaying gives the same again: the read tables, or a training"
    )
    what = replay.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--verify", action="store_true", help="replay the log beside the read tables and compare every row"
    )
    what.add_argument(
        "--job",
        metavar="JOB",
        help="train once more what a training job trained: its id, or model:version (panel-a:v1.01)",
    )
    replay.add_argument(
        "--iterations", type=int, metavar="NUMBER", help="with --job: compare no more than the first ones"
    )
    for parser in (search, made, rebuild, replay):
        parser.set_defaults(run=_run)


def _run(settings: Settings, asked: argparse.Namespace) -> int:
    from infra import audit_verbs, bootstrap  # noqa: PLC0415 - loads every layer

    try:
        with database_for_a_moment(settings) as settings, bootstrap.open_core(settings) as core:
            return audit_verbs.run(asked, core, settings, say)
    except audit_verbs.NoAnswer as reason:
        print(reason, file=sys.stderr)
        return 1


def _add_search(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--who", default="", metavar="USERNAME")
    add("--kind", default="", help="of thing: user, dataset, training_job, …")
    add("--type", default="", dest="topic", help="of event: user.created, training.failed, …")
    add("--thing", default="", metavar="NAME_OR_ID", help="a part of its name, or its id")
    add("--from", default="", dest="since", metavar="TIME", help="2026-03-01 08:30, in this machine's zone")
    add("--until", default="", metavar="TIME", help="before this time")
    add("--everything", action="store_true", help="with measurements and bookkeeping")
    add(
        "--position", type=int, metavar="NUMBER", help="the event at this position, for example one that `verify` names"
    )
    add("--at", default="", dest="moment", metavar="TIME", help="with --thing: the state at this time, as JSON")
    add("--limit", type=int, default=50, metavar="NUMBER", help="how many events to print; default: 50")
    add("--jsonl", type=Path, metavar="FILE", help="write all that fit as JSON Lines, without secrets")
    add("--language", choices=LANGUAGES, default="en")
