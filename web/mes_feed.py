"""MES 事件推送: how far public events were sent to Kafka and workers' reports taken from it, and what holds them up.

Beside it, the reports that nobody could use. Source: REQUIREMENTS, K-1, K-3, U-6.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from domain.permissions import Permission
from domain.sentences import N_
from web.access import needs
from web.forms import Form
from web.listing import Listing, read_listing
from web.pages import Desk, Page
from web.services import Services

ADDRESS = "/mes-feed"
REPORTS = f"{ADDRESS}/reports"
OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "taken_in": N_("The report is taken in."),
        "over": N_("The report came too late: its attempt is over, or its job is gone. It is off the list."),
        "still_unusable": N_("The report is still unusable. Its reason stands beside it."),
    }
)
"""What a retry came to, by the value of `infra.unusable_reports.Retried`."""


class MesFeedPage(Page, frozen=True):
    """`topic` is empty where there is no Kafka; `state` is `infra.feed_watch.FeedState`, `relay` `infra.relay_watch.RelayState`."""

    TEMPLATE = "mes_feed/state.html"
    topic: str
    state: Any
    relay: Any


class UnusableReportsPage(Page, frozen=True):
    """`reports` are `infra.unusable_reports.KeptReport`, the newest first; `relay` is `infra.relay_watch.RelayState`."""

    TEMPLATE = "mes_feed/reports.html"
    has_kafka: bool
    relay: Any
    reports: tuple[Any, ...]
    listing: Listing


class DismissReportPage(Page, frozen=True):
    """The question before a report is thrown away."""

    TEMPLATE = "mes_feed/dismiss.html"
    report: Any


class MesFeed(Controller):
    """Super administrators only."""

    path = ADDRESS
    guards = [needs(Permission.SUPERVISE)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def state(self, services: NamedDependency[Services], desk: NamedDependency[Desk]) -> Response[str]:
        """The public events, as it is now."""
        page = MesFeedPage(topic=services.feed.topic, state=services.feed.state(), relay=services.relay.state())
        return desk.show(page)

    @get("/reports", sync_to_thread=True)
    def reports(
        self, form: NamedDependency[Form], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The reports of workers, and those of them that nobody could use."""
        listing = read_listing(REPORTS, form)
        found = services.unusable_reports.page(number=listing.page)
        page = UnusableReportsPage(
            form=form,
            has_kafka=bool(services.feed.topic),
            relay=services.relay.state(),
            reports=found.items,
            listing=listing.of(found.total),
        )
        return desk.show(page)

    @post("/reports/{report_id:uuid}/retry", sync_to_thread=True)
    def retry(
        self,
        report_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Take it in once more: after an upgrade, or once what refused it is mended."""
        with desk.unless_gone(REPORTS):
            desk.say(OUTCOMES[services.unusable_reports.retry(report_id, actor, desk.ask).value])
        return desk.go(REPORTS)

    @get("/reports/{report_id:uuid}/dismiss", sync_to_thread=True)
    def ask_dismiss(
        self, report_id: FromPath[UUID], services: NamedDependency[Services], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The question before."""
        with desk.unless_gone(REPORTS):
            return desk.show(DismissReportPage(report=services.unusable_reports.get(report_id)))

    @post("/reports/{report_id:uuid}/dismiss", sync_to_thread=True)
    def dismiss(
        self,
        report_id: FromPath[UUID],
        actor: NamedDependency[UUID],
        services: NamedDependency[Services],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Throw it away; the audit keeps where it lay and why."""
        with desk.unless_gone(REPORTS):
            services.unusable_reports.dismiss(report_id, actor, desk.ask)
        desk.say(N_("The report is dismissed."))
        return desk.go(REPORTS)
