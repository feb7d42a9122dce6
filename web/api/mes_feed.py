"""How far public events and workers' reports are on their way through Kafka, and the reports that nobody could use. Source: K-1."""

from datetime import datetime
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from domain.api_tokens import Area
from domain.permissions import Permission
from domain.unusable_reports import ReportPlace
from web.access import needs
from web.api.desk import ApiDesk
from web.api.lists import DEFAULT_LIMIT, After, Limit, Listed, paged
from web.api.routes import ACTS, LOOKS
from web.api.shapes import Shape, shaped
from web.services import Services


class Feed(Shape, frozen=True, kw_only=True):
    """How far public events are sent: `position` of `log_position`, `behind` events are not looked at yet. A `problem` that is not
    over holds it up.
    """

    position: int
    log_position: int
    behind: int
    sent_count: int
    sent_at: datetime | None
    looked_at: datetime | None
    problem: str
    problem_at: datetime | None
    is_held_up: bool


class Relay(Shape, frozen=True, kw_only=True):
    """How far what workers say is taken in: `behind` messages are not yet. `is_away` where no relay has looked lately;
    `unusable_count` are reports that nobody could use, `waiting_count` jobs that wait; of one workers were last told at `told_at`.
    """

    behind: int
    is_away: bool
    is_held_up: bool
    problem: str
    problem_at: datetime | None
    unusable_count: int
    waiting_count: int
    told_at: datetime | None


class MesFeed(Shape, frozen=True, kw_only=True):
    """The way through Kafka; `topic` is that of the events, empty where there is no Kafka."""

    topic: str
    feed: Feed
    relay: Relay


class UnusableReport(Shape, frozen=True, kw_only=True):
    """A report of a worker that nobody could use, with where it lay and why; `preview` is its beginning, `size` in bytes."""

    report_id: UUID
    place: ReportPlace
    kept_at: datetime
    reason: str
    worker: str
    size: int
    preview: str


class Retried(Shape, frozen=True, kw_only=True):
    """What a retry came to: `taken_in`, `over` where nobody needs the report any more, or `still_unusable`."""

    outcome: str


class MesFeedState(Controller):
    """Super administrators only (U-6)."""

    path = "/mes-feed"
    tags = ("supervision",)
    guards = [needs(Permission.SUPERVISE)]  # noqa: RUF012 - Litestar's way to guard a controller
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @get("/", sync_to_thread=True, responses=LOOKS)
    def state(self, services: NamedDependency[Services]) -> MesFeed:
        """As it is now."""
        return MesFeed(
            topic=services.feed.topic,
            feed=shaped(services.feed.state(), Feed),
            relay=shaped(services.relay.state(), Relay),
        )

    @get("/reports", sync_to_thread=True, responses=LOOKS)
    def reports(
        self, services: NamedDependency[Services], after: After = "", limit: Limit = DEFAULT_LIMIT
    ) -> Listed[UnusableReport]:
        """The reports that nobody could use, the newest first."""
        return paged(
            after,
            limit,
            lambda number, size: services.unusable_reports.page(number=number, size=size),
            lambda kept: shaped(kept, UnusableReport),
        )

    @post("/reports/{report_id:uuid}/retry", sync_to_thread=True, status_code=200, responses=ACTS)
    def retry(
        self, report_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[ApiDesk]
    ) -> Retried:
        """Take a report in once more: after an upgrade, or once what refused it is mended."""
        return Retried(outcome=services.unusable_reports.retry(report_id, desk.caller.user_id, desk.ask).value)

    @delete("/reports/{report_id:uuid}", sync_to_thread=True, responses=ACTS)
    def dismiss(
        self, report_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[ApiDesk]
    ) -> None:
        """Throw a report away; the audit keeps where it lay and why."""
        services.unusable_reports.dismiss(report_id, desk.caller.user_id, desk.ask)
