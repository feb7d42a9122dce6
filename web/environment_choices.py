"""The levels of a cascade alone, for the script that asks for them anew after each choice. Everyone who is signed in may choose."""

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from web.cascade import Cascade, environment_cascade
from web.forms import Form
from web.pages import Desk, Page
from web.services import ReadModels


class LevelsPage(Page, frozen=True):
    """The inside of a cascade; `is_filter` says for which of its two shapes."""

    TEMPLATE = "environment_choices/_levels.html"
    cascade: Cascade
    is_filter: bool


class EnvironmentChoices(Controller):
    """The address names the shape and the prefix of the fields, then holds the fields of the cascade as they stand."""

    path = "/environment-choices"

    @get("/", sync_to_thread=True)
    def levels(
        self, form: NamedDependency[Form], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """What can be chosen now; a level below a changed choice begins empty."""
        is_filter = form.text("shape") == "filter"
        cascade = environment_cascade(read, form, several_at_last=not is_filter, prefix=form.text("prefix"))
        return desk.show(LevelsPage(form=form, cascade=cascade, is_filter=is_filter))
