"""What travels to other systems and from workers, on the command line: `feed-status`, `unusable-reports` and `event-schemas`."""

import argparse
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from infra.embedded_postgres import database_for_a_moment
from infra.settings import CHECKOUT, Settings


def add_feed_verbs(verbs: Any) -> None:
    """Add the verbs to those of `infra.cli`."""
    verbs.add_parser(
        "feed-status",
        help="show how far public events and workers' reports are on their way through Kafka, and what holds them up",
    ).set_defaults(run=lambda settings, _: feed_status(settings))
    kept = verbs.add_parser(
        "unusable-reports", help="list the reports of workers that nobody could use, or act on some"
    )
    kept.add_argument("--retry", type=UUID, nargs="+", default=[], metavar="ID", help="take them in once more")
    kept.add_argument("--dismiss", type=UUID, nargs="+", default=[], metavar="ID", help="throw them away")
    kept.set_defaults(run=unusable_reports)
    described = verbs.add_parser("event-schemas", help="write AsyncAPI and JSON Schemas of the public events")
    described.add_argument("folder", type=Path, nargs="?", default=CHECKOUT / "infra" / "event_schemas")
    described.set_defaults(run=lambda _, asked: event_schemas(asked.folder))


def feed_status(settings: Settings) -> int:
    """Print how far the feed and the relay are; 1 where something holds one of them up."""
    from infra import bootstrap  # noqa: PLC0415 - loads every layer

    with database_for_a_moment(settings) as settings:
        state, relay = bootstrap.feed_state(settings)
    if settings.kafka is None:
        print("Kafka is not configured (ASSAY_KAFKA_BROKERS): events are read through the HTTP API only.")
        if not state.sent_count and state.problem_at is None:
            return 0
    sent_at = f", the last at {state.sent_at:%Y-%m-%d %H:%M:%S %Z}" if state.sent_at else ""
    print(f"{state.sent_count:,} events sent{sent_at}; {state.behind:,} events of the log are still to be looked at.")
    if state.problem_at is not None:
        print(f"The last problem, at {state.problem_at:%Y-%m-%d %H:%M:%S %Z}: {state.problem}")
    if settings.kafka is None:
        return 1 if state.is_held_up else 0
    for topic in relay.topics:
        looked_at = f"looked at {topic.looked_at:%Y-%m-%d %H:%M:%S %Z}" if topic.looked_at else "never looked at"
        print(
            f"{topic.topic}: {topic.behind:,} messages in {topic.partition_count} partitions to be taken in, {looked_at}."
        )
    told_at = f"{relay.told_at:%Y-%m-%d %H:%M:%S %Z}" if relay.told_at else "never"
    print(f"{relay.waiting_count:,} jobs wait; workers were last told of one: {told_at}.")
    if relay.problem_at is not None:
        print(f"The relay's last problem, at {relay.problem_at:%Y-%m-%d %H:%M:%S %Z}: {relay.problem}")
    if relay.is_away:
        print("No relay takes in what workers say; see `assay health` and its log.")
    if relay.unusable_count:
        print(f"{relay.unusable_count:,} reports of workers could not be used; see `assay unusable-reports`.")
    return 1 if state.is_held_up or relay.is_held_up or relay.is_away else 0


def unusable_reports(settings: Settings, asked: argparse.Namespace) -> int:
    """List the reports of workers that nobody could use, or try or dismiss some; 1 where one is still unusable or gone."""
    from domain.facts import SYSTEM  # noqa: PLC0415 - as above
    from infra import bootstrap  # noqa: PLC0415
    from infra.unusable_reports import act_on, lines_of  # noqa: PLC0415

    with database_for_a_moment(settings) as settings, bootstrap.open_unusable_reports(settings) as (assay, reports):
        if not asked.retry and not asked.dismiss:
            for line in lines_of(reports):
                print(line)
            return 0
        told = [*act_on(assay, reports, SYSTEM, retry=asked.retry, dismiss=asked.dismiss)]
    for is_done, line in told:
        print(line, file=sys.stdout if is_done else sys.stderr)
    return 0 if all(is_done for is_done, _ in told) else 1


def event_schemas(folder: Path) -> int:
    """Write AsyncAPI and JSON Schemas of the public events; 1 where a receiver of the released ones would be broken."""
    from infra import event_schemas as schemas  # noqa: PLC0415 - loads every slice

    broken = schemas.write(folder)
    for sentence in broken:
        print(sentence, file=sys.stderr)
    print("Nothing is written." if broken else f"AsyncAPI and JSON Schemas are in {folder}.")
    return 1 if broken else 0
