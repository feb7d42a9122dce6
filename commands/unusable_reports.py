"""What can be asked about workers' reports that nobody could use.

They lie beside the log; whoever asks looks them up, and acts on them once the command is done.
"""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import unusable_reports
from domain.permissions import Permission
from domain.unusable_reports import ReportPlace, UnusableReport


class RetryUnusableReport(Command):
    """Note that a report is taken in once more; it is, right afterwards."""

    PERMISSION: ClassVar = Permission.SUPERVISE
    report_id: UUID
    place: ReportPlace
    reason: str


class DismissUnusableReport(Command):
    """Note that a report is thrown away; it is, right afterwards."""

    PERMISSION: ClassVar = Permission.SUPERVISE
    report_id: UUID
    place: ReportPlace
    reason: str


@handles(RetryUnusableReport)
def retry_unusable_report(command: RetryUnusableReport, assay: Assay) -> int:
    report = assay.find(UnusableReport, command.report_id)
    facts = unusable_reports.retry(report, command.place, command.reason)
    return assay.save(command, Change(command.report_id, report, facts))


@handles(DismissUnusableReport)
def dismiss_unusable_report(command: DismissUnusableReport, assay: Assay) -> int:
    report = assay.find(UnusableReport, command.report_id)
    facts = unusable_reports.dismiss(report, command.place, command.reason)
    return assay.save(command, Change(command.report_id, report, facts))
