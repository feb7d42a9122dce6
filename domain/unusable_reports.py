"""Workers' reports over Kafka that nobody could use. What people do about them is in the log, they themselves are not. K-1."""

from typing import ClassVar

import msgspec

from domain.facts import Fact, State, evolves, replace
from domain.refusals import NotFound


class ReportPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a report lies in Kafka; `topic` is empty for what was kept before topics were noted."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class UnusableReportRetried(Fact):
    """Somebody had a report taken in once more."""

    TOPIC: ClassVar[str] = "unusable_report.retried"
    place: ReportPlace
    reason: str


class UnusableReportDismissed(Fact):
    """Somebody had a report thrown away; `reason` is why nobody could use it."""

    TOPIC: ClassVar[str] = "unusable_report.dismissed"
    place: ReportPlace
    reason: str


class UnusableReport(State):
    """What the rules need of a report about which somebody did something."""

    is_dismissed: bool = False


def retry(report: UnusableReport | None, place: ReportPlace, reason: str) -> list[Fact]:
    """Take a report in once more, as often as somebody likes.

    Raises:
        NotFound: it was dismissed.
    """
    if report is not None and report.is_dismissed:
        raise NotFound
    return [UnusableReportRetried(place=place, reason=reason)]


def dismiss(report: UnusableReport | None, place: ReportPlace, reason: str) -> list[Fact]:
    """Throw a report away; once more changes nothing."""
    if report is not None and report.is_dismissed:
        return []
    return [UnusableReportDismissed(place=place, reason=reason)]


EVOLVE = evolves(
    UnusableReport,
    {
        UnusableReportRetried: lambda report, fact: report or UnusableReport(),
        UnusableReportDismissed: lambda report, fact: replace(report or UnusableReport(), is_dismissed=True),
    },
)
