"""概览: the set-up steps until they are done (M-7), the key figures of the signed-in user (O-1)."""

from uuid import UUID

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from projections.overview import KeyFigures, SetupSteps
from web.pages import Desk, Page
from web.services import ReadModels


class OverviewPage(Page, frozen=True):
    """What the signed-in user has, and what is still to be set up."""

    TEMPLATE = "overview/overview.html"
    figures: KeyFigures
    setup: SetupSteps


class Overview(Controller):
    """The first page."""

    @get("/", sync_to_thread=True)
    def page(
        self, read: NamedDependency[ReadModels], actor: NamedDependency[UUID], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """Own figures only, whatever the role."""
        return desk.show(OverviewPage(figures=read.overview.key_figures(actor), setup=read.overview.setup()))
