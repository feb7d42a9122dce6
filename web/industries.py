"""行业: the list, new industries, their levels, their deletion, and the default. Source: M-1, M-2; manual, “行业主数据管理”."""

from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.industries import ChooseDefaultIndustry, CreateIndustry, DefineLevels, DeleteIndustry
from domain.industries import MAX_LEVELS
from domain.permissions import Permission
from domain.refusals import NotFound
from domain.sentences import N_
from projections.environments import Concerned
from projections.industries import IndustryRow
from web.access import needs
from web.form_ids import id_made_by, new_form
from web.forms import Form
from web.pages import Desk, Page
from web.services import ReadModels

ADDRESS = "/industries"


class IndustriesPage(Page, frozen=True):
    """All industries, each with its levels."""

    TEMPLATE = "industries/list.html"
    industries: tuple[IndustryRow, ...]


class NewIndustryPage(Page, frozen=True):
    """An empty form, or the one that was refused."""

    TEMPLATE = "industries/new.html"


class LevelsPage(Page, frozen=True):
    """The level names of an industry. Once saved they can only be renamed; until then the last can be removed again."""

    TEMPLATE = "industries/levels.html"
    industry: IndustryRow

    @property
    def level_names(self) -> tuple[str, ...]:
        """The names as they were entered, at least one field."""
        return self.form.all("level_names") or ("",)

    @property
    def may_add(self) -> bool:
        """Whether nothing is saved yet, and there is room for one more."""
        return not self.industry.level_names and len(self.level_names) < MAX_LEVELS

    @property
    def may_remove(self) -> bool:
        """Whether nothing is saved yet, and the last is not the only one."""
        return not self.industry.level_names and len(self.level_names) > 1


class DeleteIndustryPage(Page, frozen=True):
    """Asks before an industry goes with its production environment."""

    TEMPLATE = "industries/delete.html"
    industry: IndustryRow
    concerned: Concerned


class Industries(Controller):
    """Super administrators only."""

    path = ADDRESS
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def list(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        """The manual's list."""
        return desk.show(IndustriesPage(industries=read.industries.list()))

    @get("/new", sync_to_thread=True)
    def new(self, desk: NamedDependency[Desk]) -> Response[str]:
        """The form."""
        return desk.show(NewIndustryPage(form=new_form(name="")))

    @post("/new", sync_to_thread=True)
    def create(
        self, form: NamedDependency[Form], actor: NamedDependency[UUID], desk: NamedDependency[Desk]
    ) -> Redirect:
        """Back to the list."""
        with desk.unless_gone(ADDRESS), desk.refusals_on(NewIndustryPage(form=form)):
            name = form.text("name")
            desk.ask(CreateIndustry(actor=actor, industry_id=id_made_by(form, name), name=name))
        desk.say(N_("Industry “{name}” is created. Add its levels next."), name=name)
        return desk.go(ADDRESS)

    @get("/{industry_id:uuid}/levels", sync_to_thread=True)
    def levels(
        self, industry_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The levels that are saved; for a new industry one empty field."""
        with desk.unless_gone(ADDRESS):
            industry = industry_of(read, industry_id)
        return desk.show(LevelsPage(industry=industry, form=Form.of(level_names=industry.level_names or ("",))))

    @post("/{industry_id:uuid}/levels", sync_to_thread=True)
    def define_levels(
        self,
        industry_id: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect | Response[str]:
        """Save; or show the form again with one level more or less, which works without scripts, too."""
        with desk.unless_gone(ADDRESS):
            page = LevelsPage(industry=industry_of(read, industry_id), form=form)
            if form.text("act") == "add" and page.may_add:
                return desk.show(LevelsPage(industry=page.industry, form=Form.of(level_names=(*page.level_names, ""))))
            if form.text("act") == "remove" and page.may_remove:
                return desk.show(LevelsPage(industry=page.industry, form=Form.of(level_names=page.level_names[:-1])))
            with desk.refusals_on(page):
                desk.ask(DefineLevels(actor=actor, industry_id=industry_id, level_names=_entered(page.level_names)))
        desk.say(N_("The levels of “{name}” are saved."), name=page.industry.name)
        return desk.go(ADDRESS)

    @post("/{industry_id:uuid}/default", sync_to_thread=True)
    def choose_default(
        self,
        industry_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """Environment data and new bindings belong to this industry from now on."""
        with desk.unless_gone(ADDRESS):
            industry = industry_of(read, industry_id)
            desk.ask(ChooseDefaultIndustry(actor=actor, industry_id=industry_id))
        desk.say(N_("“{name}” is the default industry now."), name=industry.name)
        return desk.go(ADDRESS)

    @get("/{industry_id:uuid}/delete", sync_to_thread=True)
    def ask_to_delete(
        self, industry_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """How many environment nodes go with it, and what is bound to them."""
        with desk.unless_gone(ADDRESS):
            page = _delete_page(read, industry_id)
        return desk.show(page)

    @post("/{industry_id:uuid}/delete", sync_to_thread=True)
    def delete(
        self,
        industry_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """What was bound to its environment keeps the names."""
        with desk.unless_gone(ADDRESS):
            page = _delete_page(read, industry_id)
            with desk.refusals_on(page):
                desk.ask(DeleteIndustry(actor=actor, industry_id=industry_id))
        desk.say(N_("Industry “{name}” is deleted."), name=page.industry.name)
        return desk.go(ADDRESS)


def _delete_page(read: ReadModels, industry_id: UUID) -> DeleteIndustryPage:
    concerned = read.environments.concerned_by_industry(industry_id)
    return DeleteIndustryPage(industry=industry_of(read, industry_id), concerned=concerned)


def industry_of(read: ReadModels, industry_id: UUID) -> IndustryRow:
    """One industry.

    Raises:
        NotFound
    """
    industry: IndustryRow | None = read.industries.get(industry_id)
    if industry is None:
        raise NotFound
    return industry


def _entered(level_names: tuple[str, ...]) -> tuple[str, ...]:
    """The names without blanks around them; empty fields at the end were added and not used."""
    names = [name.strip() for name in level_names]
    while names and not names[-1]:
        names.pop()
    return tuple(names)
