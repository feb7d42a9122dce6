"""Reports that nobody could use: listed without harm, taken in once, thrown away. Source: REQUIREMENTS, K-1."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from commands.assay import Assay
from domain.facts import SYSTEM
from domain.messages import AnyReport, JobClaimed, JobKind
from domain.refusals import NotFound, NotPermitted
from domain.training_jobs import TrainingLossesMeasured, TrainingStarted, TrainingTerminated
from domain.unusable_reports import ReportPlace, UnusableReportDismissed, UnusableReportRetried
from infra.connections import open_pool
from infra.event_store import EventLog, create_tables, open_event_log
from infra.side_tables import create_side_tables
from infra.unusable_reports import (
    PREVIEW_BYTES,
    ROWS_ON_A_PAGE,
    KeptReport,
    Retried,
    UnusableReports,
    act_on,
    keep_unusable,
    lines_of,
)
from tests.examples import PORTS, TRAINER_WANG_ID, TRAINING_JOB_ID, TRAINING_QUEUED, History, plant
from tests.infra.kafka_plant import losses

SOURCE = "kafka 0190f3c2-0000-7000-8000-000000000001/3"


@dataclass
class Shelf:
    """The kept reports, the log that they could not get into, and a relay's connection."""

    reports: UnusableReports
    log: EventLog
    assay: Assay
    connection: Connection[DictRow]

    def keep(self, content: bytes, *, offset: int = 17, request: str = "report 1", reason: str = "no") -> None:
        keep_unusable(self.connection, SOURCE, "assay.reports", offset, request, reason, content)

    def only(self) -> KeptReport:
        (kept,) = self.reports.page().items
        return kept

    def retry(self, report_id: UUID) -> Retried:
        return self.reports.retry(report_id, SYSTEM, self.assay.dispatch)

    def measured(self) -> list[tuple[tuple[int, ...], str]]:
        """Which losses the log holds, and by which request."""
        return [
            (one.data.iterations, one.origin.request)
            for one in self.log.history(TRAINING_JOB_ID)
            if isinstance(one.data, TrainingLossesMeasured)
        ]


@pytest.fixture
def shelf(database: str) -> Iterator[Shelf]:
    create_tables(database)
    create_side_tables(database)
    with (
        closing(open_event_log(database)) as log,
        open_pool(database) as pool,
        psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection,
    ):
        log.append(plant().add(TRAINING_JOB_ID, TRAINING_QUEUED, TrainingStarted(worker="line-1", attempt=1)).events)
        assay = Assay(log, PORTS)
        yield Shelf(UnusableReports(pool, log, assay), log, assay, connection)


def encoded(report: AnyReport) -> bytes:
    return msgspec.json.encode(report)


def test_a_report_is_kept_once_with_where_it_lay_and_who_sent_it(shelf: Shelf) -> None:
    for _ in range(2):
        shelf.keep(b'{"type": "job_praised", "worker": "line-1"}', reason="ValidationError: invalid value")
    kept = shelf.only()
    assert kept.place == ReportPlace(topic="assay.reports", partition=3, offset=17)
    assert (kept.worker, kept.reason, kept.size) == ("line-1", "ValidationError: invalid value", 43)
    assert shelf.reports.get(kept.report_id) == kept


def test_a_preview_is_short_and_writes_out_what_could_do_harm_on_a_terminal(shelf: Shelf) -> None:
    shelf.keep(b"\x1b[2Jcleared\x00\xff" + b"x" * 5_000, reason="no\x00")
    kept = shelf.only()
    assert kept.preview.startswith("\\x1b[2Jcleared\\x00\\xff")
    assert kept.preview.endswith("x…")
    assert len(kept.preview) < 2 * PREVIEW_BYTES
    assert (kept.worker, kept.reason, kept.size) == ("", "no", 5_013)
    assert "\x1b" not in "".join(lines_of(shelf.reports))


def test_pages_hold_every_report_once_the_newest_first(shelf: Shelf) -> None:
    for offset in range(ROWS_ON_A_PAGE + 1):
        shelf.keep(b"noise", offset=offset)
    first, last = shelf.reports.page(), shelf.reports.page(number=9)
    assert [one.place.offset for one in (*first.items, *last.items)] == list(range(ROWS_ON_A_PAGE, -1, -1))
    assert (last.number, last.total) == (2, ROWS_ON_A_PAGE + 1)


def test_what_can_be_used_meanwhile_is_taken_in_once(shelf: Shelf) -> None:  # the log takes each report exactly once
    shelf.keep(encoded(losses(1)))
    report_id = shelf.only().report_id
    assert shelf.retry(report_id) is Retried.TAKEN_IN
    assert shelf.measured() == [((1,), "report 1")]
    with pytest.raises(NotFound):
        shelf.retry(report_id)
    shelf.keep(encoded(losses(1)))  # as if it had been interrupted between log and list
    assert shelf.retry(shelf.only().report_id) is Retried.TAKEN_IN
    assert shelf.measured() == [((1,), "report 1")]
    assert shelf.reports.page().total == 0


def test_what_is_still_unusable_stays_with_its_new_reason(shelf: Shelf) -> None:
    shelf.keep(b'{"type": "job_praised"}')
    assert shelf.retry(shelf.only().report_id) is Retried.STILL_UNUSABLE
    assert "ValidationError" in shelf.only().reason


@pytest.mark.parametrize(
    "report",
    [
        losses(1, attempt=2),
        losses(1, job_id=UUID(int=5)),
        JobClaimed(kind=JobKind.TRAINING, job_id=TRAINING_JOB_ID, attempt=1, worker="line-1"),
    ],
    ids=["another attempt", "no such job", "a claim"],
)
def test_what_nobody_needs_any_more_goes_and_changes_nothing(shelf: Shelf, report: AnyReport) -> None:
    shelf.keep(encoded(report))
    before = shelf.log.history(TRAINING_JOB_ID)
    assert shelf.retry(shelf.only().report_id) is Retried.OVER
    assert (shelf.log.history(TRAINING_JOB_ID), shelf.reports.page().total) == (before, 0)


def test_a_report_of_a_terminated_job_is_over(shelf: Shelf) -> None:
    shelf.log.append(History().add(TRAINING_JOB_ID, TrainingTerminated(), after=2).events)
    shelf.keep(encoded(losses(1)))
    assert shelf.retry(shelf.only().report_id) is Retried.OVER
    assert shelf.measured() == []


def test_what_may_not_be_noted_in_the_log_is_not_done(shelf: Shelf) -> None:  # U-6
    shelf.keep(encoded(losses(1)))
    report_id = shelf.only().report_id
    for way in (shelf.reports.retry, shelf.reports.dismiss):
        with pytest.raises(NotPermitted):
            way(report_id, TRAINER_WANG_ID, shelf.assay.dispatch)
    assert (shelf.measured(), shelf.only().report_id) == ([], report_id)


def test_the_command_line_lists_retries_and_dismisses_and_the_log_tells(shelf: Shelf) -> None:  # E-1
    shelf.keep(encoded(losses(1)), offset=1)
    shelf.keep(b"noise", offset=2, request="report 2", reason="DecodeError: malformed")
    noise, usable = shelf.reports.page().items
    lines = list(lines_of(shelf.reports))
    assert lines[0] == "2 reports of workers could not be used."
    assert f"{noise.report_id}  assay.reports/3/2" in lines[1]
    told = act_on(
        shelf.assay, shelf.reports, SYSTEM, retry=[usable.report_id, noise.report_id], dismiss=[noise.report_id]
    )
    assert [is_done for is_done, _ in told] == [True, True, False]  # what is to be dismissed is not tried before
    assert [type(one.data) for one in shelf.log.history(usable.report_id)] == [UnusableReportRetried]
    (dismissed,) = shelf.log.history(noise.report_id)
    assert dismissed.data == UnusableReportDismissed(
        place=ReportPlace(topic="assay.reports", partition=3, offset=2), reason="DecodeError: malformed"
    )
    assert shelf.measured() == [((1,), "report 1")]
    assert list(lines_of(shelf.reports)) == ["0 reports of workers could not be used."]
    ((is_done, line),) = act_on(shelf.assay, shelf.reports, SYSTEM, retry=[noise.report_id], dismiss=[])
    assert (is_done, line) == (False, f"{noise.report_id} is not there.")
