"""Reports that the relay could not take in: kept with their reason, looked at, taken in once more or thrown away. Source: K-1.

A report that a newer worker has sent can be taken in once the server is as new; one that a mistake of ours refused, once it is
mended. Its events carry its id, as the relay's do, so that it stands in the log once, however often it is tried.
"""

import enum
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from psycopg import Connection
from psycopg.rows import DictRow

from commands.assay import Assay, Command
from commands.gpu_jobs import command_for
from commands.unusable_reports import DismissUnusableReport, RetryUnusableReport
from domain.attempts import AttemptIsOver
from domain.messages import JobClaimed
from domain.refusals import NotFound
from domain.texts import written_out
from domain.unusable_reports import ReportPlace
from infra.event_store import EventLog
from infra.noted_problems import as_problem
from infra.worker_messages import read_report
from projections.read_model import Page, Pool

log = logging.getLogger(__name__)

ROWS_ON_A_PAGE = 20
PREVIEW_BYTES = 300
LONGEST_WORKER = 100
LONGEST_REASON = 1_000
Ask: TypeAlias = Callable[[Command], Any]
"""Dispatches a command, and perhaps waits for what shows it."""


class Retried(enum.Enum):
    """What became of a report that was tried again."""

    TAKEN_IN = "taken_in"
    OVER = "over"
    """Its attempt is over, its job is gone, or its claim was decided otherwise: nobody needs it any more."""
    STILL_UNUSABLE = "still_unusable"


class KeptReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report as a list shows it: `size` in bytes, `preview` its beginning with everything unprintable written out, `worker` who
    sent it, as far as it says so.
    """

    report_id: UUID
    place: ReportPlace
    kept_at: datetime
    reason: str
    worker: str
    size: int
    preview: str


class _Sender(msgspec.Struct):
    worker: str = ""


def keep_unusable(
    connection: Connection[DictRow], source: str, topic: str, offset: int, request: str, reason: str, content: bytes
) -> None:
    """Keep a report, once; `source` names its partition for ever, `request` is the id that its events would carry."""
    connection.execute(
        "INSERT INTO app.unusable_reports (source, place, topic, request, worker, reason, content)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (source, offset, topic, request.replace("\0", ""), _worker_of(content), reason.replace("\0", ""), content),
    )


class UnusableReports:
    """What is kept."""

    def __init__(self, pool: Pool, event_log: EventLog, assay: Assay) -> None:
        self._pool, self._log, self._assay = pool, event_log, assay

    def page(self, *, number: int = 1, size: int = ROWS_ON_A_PAGE) -> Page[KeptReport]:
        """A page of them, the newest first; beyond the end, the last page."""
        with self._pool.connection() as connection, connection.transaction():
            (counted,) = connection.execute("SELECT count(*) AS total FROM app.unusable_reports").fetchall()
            total = int(counted["total"])
            number = max(1, min(number, -(-total // size)))
            rows = connection.execute(
                f"{_SELECT} ORDER BY kept_at DESC, report_id LIMIT %s OFFSET %s",
                (PREVIEW_BYTES, size, (number - 1) * size),
            ).fetchall()
        return Page(items=tuple(map(_kept, rows)), total=total, number=number, size=size)

    def get(self, report_id: UUID) -> KeptReport:
        """One of them.

        Raises:
            NotFound: it is gone.
        """
        with self._pool.connection() as connection:
            row = connection.execute(f"{_SELECT} WHERE report_id = %s", (PREVIEW_BYTES, report_id)).fetchone()
        if row is None:
            raise NotFound
        return _kept(row)

    def dismiss(self, report_id: UUID, actor: UUID, ask: Ask) -> None:
        """Throw one away, once `ask` has had that noted in the log for `actor`.

        Raises:
            NotFound: it is gone.
            NotPermitted
        """
        kept = self.get(report_id)
        ask(DismissUnusableReport(actor=actor, report_id=report_id, place=kept.place, reason=kept.reason))
        with self._pool.connection() as connection:
            connection.execute("DELETE FROM app.unusable_reports WHERE report_id = %s", (report_id,))

    def retry(self, report_id: UUID, actor: UUID, ask: Ask) -> Retried:
        """Take one in as the relay would, once `ask` has had that noted in the log for `actor`. Whoever tries the same one at the
        same moment waits and finds it gone.

        Raises:
            NotFound: it is gone.
            NotPermitted
        """
        kept = self.get(report_id)
        ask(RetryUnusableReport(actor=actor, report_id=report_id, place=kept.place, reason=kept.reason))
        with self._pool.connection() as connection, connection.transaction():
            row = connection.execute(
                "SELECT source, place, request, content FROM app.unusable_reports WHERE report_id = %s FOR UPDATE",
                (report_id,),
            ).fetchone()
            if row is None:
                raise NotFound
            try:
                outcome = self._take_in(bytes(row["content"]), row["request"] or f"{row['source']}/{row['place']}")
            except Exception as error:  # an edge, as where the relay kept it: whatever is wrong with it is its reason
                log.warning("report_still_unusable", exc_info=True, extra={"report_id": report_id})
                connection.execute(
                    "UPDATE app.unusable_reports SET reason = %s WHERE report_id = %s", (reason_of(error), report_id)
                )
                return Retried.STILL_UNUSABLE
            connection.execute("DELETE FROM app.unusable_reports WHERE report_id = %s", (report_id,))
        return outcome

    def _take_in(self, content: bytes, request: str) -> Retried:
        report = read_report(content)
        if isinstance(report, JobClaimed):
            return Retried.OVER  # a worker claims until it hears an answer, and this one has heard one long since
        if any(event.origin.request == request for event in self._log.history(report.job_id)):
            return Retried.TAKEN_IN  # before somebody was interrupted
        try:
            self._assay.dispatch(command_for(report), request)
        except (AttemptIsOver, NotFound):
            return Retried.OVER
        return Retried.TAKEN_IN


def lines_of(reports: UnusableReports) -> Iterator[str]:
    """All of them for a terminal, the newest first."""
    page = reports.page()
    yield f"{page.total:,} reports of workers could not be used."
    for number in range(1, page.page_count + 1):
        for kept in reports.page(number=number).items:
            sender = kept.worker or "a worker that does not say its name"
            yield f"{kept.report_id}  {kept.place}  {kept.kept_at:%Y-%m-%d %H:%M:%S %Z}  {kept.size:,} bytes of {sender}"
            yield f"    {written_out(kept.reason)}"
            yield f"    {kept.preview}"


def act_on(
    assay: Assay, reports: UnusableReports, actor: UUID, *, retry: Sequence[UUID], dismiss: Sequence[UUID]
) -> Iterator[tuple[bool, str]]:
    """Try some once more, throw others away; of each whether that was done, and a line for a terminal."""
    for report_id in (*retry, *dismiss):
        try:
            if report_id in dismiss:
                reports.dismiss(report_id, actor, assay.dispatch)
                yield True, f"{report_id} is dismissed."
            else:
                outcome = reports.retry(report_id, actor, assay.dispatch)
                yield outcome is not Retried.STILL_UNUSABLE, f"{report_id} {_OUTCOMES[outcome]}"
        except NotFound:
            yield False, f"{report_id} is not there."


def reason_of(error: Exception) -> str:
    """Why a report is unusable."""
    return as_problem(error, LONGEST_REASON)


_OUTCOMES = {
    Retried.TAKEN_IN: "is taken in.",
    Retried.OVER: "came too late: nobody needs it any more.",
    Retried.STILL_UNUSABLE: "is still unusable.",
}
_SELECT = """
    SELECT report_id, topic, source, place, kept_at, reason, worker, octet_length(content) AS size,
        substring(content FROM 1 FOR %s) AS beginning
    FROM app.unusable_reports
"""


def _kept(row: DictRow) -> KeptReport:
    return KeptReport(
        report_id=row["report_id"],
        place=ReportPlace(
            topic=row["topic"], partition=int(row["source"].rpartition("/")[2] or 0), offset=row["place"]
        ),
        kept_at=row["kept_at"],
        reason=row["reason"],
        worker=row["worker"],
        size=row["size"],
        preview=written_out(bytes(row["beginning"]).decode("utf-8", "backslashreplace"))
        + ("…" if row["size"] > PREVIEW_BYTES else ""),
    )


def _worker_of(content: bytes) -> str:
    try:
        worker = msgspec.json.decode(content, type=_Sender).worker
    except msgspec.MsgspecError:
        return ""
    return written_out(worker[:LONGEST_WORKER])
