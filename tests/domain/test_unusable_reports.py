"""What people do about reports that nobody could use. Source: REQUIREMENTS, K-1, E-1."""

from typing import Any

from domain.refusals import NotFound
from domain.unusable_reports import ReportPlace, UnusableReportDismissed, UnusableReportRetried, dismiss, retry
from tests.given_when_then import given

PLACE = ReportPlace(topic="assay.reports", partition=3, offset=17)
WHY: dict[str, Any] = {"place": PLACE, "reason": "DecodeError: malformed"}
RETRIED, DISMISSED = UnusableReportRetried(**WHY), UnusableReportDismissed(**WHY)


def test_a_report_is_tried_as_often_as_somebody_likes() -> None:
    given().when(retry, **WHY).then(RETRIED)
    given(RETRIED).when(retry, **WHY).then(RETRIED)


def test_a_report_is_dismissed_once_and_never_tried_again() -> None:
    given().when(dismiss, **WHY).then(DISMISSED)
    given(RETRIED).when(dismiss, **WHY).then(DISMISSED)
    given(DISMISSED).when(dismiss, **WHY).then()
    given(DISMISSED).when(retry, **WHY).then_refused(NotFound, "deleted")
