"""生产环境: adding nodes, many at once, and removing them with everything below. Source: M-3, M-4; manual, “生产环境主数据”."""

from typing import TypeVar
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.environments import AddNodes, AddNodesToSeveralParents, RemoveNodes
from domain.environments import NothingChosen
from domain.permissions import Permission
from domain.refusals import NotFound
from domain.sentences import N_
from projections.environments import Branch, ChildRow, Concerned
from projections.industries import IndustryRow
from projections.read_model import Page as Rows
from web.access import needs
from web.environments import ADDRESS, Level, industry_and_branch, level_at
from web.form_ids import ids_of_lines, new_form
from web.forms import Form, id_or_none
from web.industries import industry_of
from web.pages import Desk, Page
from web.services import ReadModels

MOST_CHOICES = 500
"""So many children a form offers to be ticked; of more, those that have a part of their name."""
S = TypeVar("S", bound="SeveralPage")


class AddNodesPage(Page, frozen=True):
    """Many siblings at once, one name a line; `parent` is None at the first level."""

    TEMPLATE = "environments/add.html"
    industry: IndustryRow
    parent: Branch | None
    level: str


class SeveralPage(Page, frozen=True):
    """Several children of one node to be ticked; `parent` is None at the first level. `children` may be only the first of many."""

    industry: IndustryRow
    parent: Branch | None
    below: UUID
    level: Level
    children: Rows[ChildRow]

    @property
    def place(self) -> tuple[str, ...]:
        """Where the children stand."""
        return (self.industry.name, *(self.parent.names if self.parent else ()))

    @property
    def is_cut(self) -> bool:
        """Whether there are more children than are offered, or only those that were searched for are."""
        return self.children.total > len(self.children.items) or bool(self.form.text("search"))


class AddToSeveralPage(SeveralPage, frozen=True):
    """批量添加: the same last-level names below each of the ticked children (M-4)."""

    TEMPLATE = "environments/add_to_several.html"


class RemoveSeveralPage(SeveralPage, frozen=True):
    """移除: which children of the last level go (M-4)."""

    TEMPLATE = "environments/remove_several.html"


class ConfirmRemovalPage(Page, frozen=True):
    """Asks before nodes go with everything below them. `names` are those that were chosen, `place` is where they stand; there are
    `node_ids` where they were ticked.
    """

    TEMPLATE = "environments/remove.html"
    industry: IndustryRow
    level: Level
    names: tuple[str, ...]
    concerned: Concerned
    action: str
    place: tuple[str, ...]
    node_ids: tuple[UUID, ...] = ()

    @property
    def fields(self) -> tuple[tuple[str, object], ...]:
        """What travels hidden: the ticked nodes, and that it was asked."""
        if not self.node_ids:
            return ()
        ticked = (("node_ids", node_id) for node_id in self.node_ids)
        return (("act", "remove"), *ticked)


class EnvironmentChanges(Controller):
    """Super administrators only."""

    path = ADDRESS
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/new", sync_to_thread=True)
    def new(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        """The form for the first level of the default industry."""
        industry = _default(read)
        return desk.show(_add_page(industry, None, new_form(industry_id=industry.industry_id, names="")))

    @post("/new", sync_to_thread=True)
    def add(
        self,
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """To the industry that the form showed, also when another one has become the default meanwhile."""
        return _add(_add_page(industry_of(read, form.id("industry_id")), None, form), actor, desk)

    @get("/{node_id:uuid}/new", sync_to_thread=True)
    def new_below(
        self, node_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The form for the level below a node."""
        with desk.unless_gone(ADDRESS):
            branch = _branch(read, node_id)
        return desk.show(_add_page(industry_of(read, branch.industry_id), branch, new_form(names="")))

    @post("/{node_id:uuid}/new", sync_to_thread=True)
    def add_below(
        self,
        node_id: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """All or nothing."""
        branch = _branch(read, node_id)
        return _add(_add_page(industry_of(read, branch.industry_id), branch, form), actor, desk)

    @get("/{below:uuid}/add-to-several", sync_to_thread=True)
    def choose_parents(
        self,
        below: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The form for the last level below several nodes."""
        with desk.unless_gone(ADDRESS):
            industry, parent = industry_and_branch(read, below)
        blank = new_form(names="", search=form.text("search"))
        return desk.show(_several_page(AddToSeveralPage, read, industry, parent, blank))

    @post("/{below:uuid}/add-to-several", sync_to_thread=True)
    def add_to_several(
        self,
        below: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """All or nothing."""
        page = _several_page(AddToSeveralPage, read, *industry_and_branch(read, below), form)
        names = tuple(form.value("names").splitlines())
        with desk.refusals_on(page):
            parents = form.ids("node_ids")
            desk.ask(
                AddNodesToSeveralParents(
                    actor=actor,
                    industry_id=page.industry.industry_id,
                    parent_ids=parents,
                    names=names,
                    node_ids=tuple(ids_of_lines(form, names, parent_id) for parent_id in parents),
                )
            )
        count = len(parents) * len(form.lines("names"))
        desk.say(N_("{level}: {count} added."), level=page.level.last, count=count)
        return desk.go(_opened_at(parents[0]))

    @get("/{below:uuid}/remove-several", sync_to_thread=True)
    def choose_children(
        self,
        below: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """The form in which last-level nodes are ticked."""
        with desk.unless_gone(ADDRESS):
            industry, parent = industry_and_branch(read, below)
        blank = Form.of(search=form.text("search"))
        return desk.show(_several_page(RemoveSeveralPage, read, industry, parent, blank))

    @post("/{below:uuid}/remove-several", sync_to_thread=True)
    def remove_several(
        self,
        below: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect | Response[str]:
        """Ask first, then remove: the second form says that it was asked."""
        with desk.unless_gone(ADDRESS):
            industry, parent = industry_and_branch(read, below)
        page = _several_page(RemoveSeveralPage, read, industry, parent, form)
        with desk.refusals_on(page):
            node_ids = form.ids("node_ids")
            if not node_ids:
                raise NothingChosen
        address = _opened_at(parent.node_id if parent else None)
        with desk.unless_gone(address):
            question = _confirm_several(read, page, node_ids)
        if form.text("act") != "remove":
            return desk.show(question)
        desk.ask(RemoveNodes(actor=actor, industry_id=industry.industry_id, node_ids=question.node_ids))
        desk.say(N_("{level}: {count} removed."), level=page.level.last, count=len(question.node_ids))
        return desk.go(address)

    @get("/{node_id:uuid}/remove", sync_to_thread=True)
    def ask_to_remove(
        self, node_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """What goes, and what is bound to it."""
        with desk.unless_gone(ADDRESS):
            branch = _branch(read, node_id)
        industry = industry_of(read, branch.industry_id)
        return desk.show(
            ConfirmRemovalPage(
                industry=industry,
                level=level_at(industry.level_names, branch.depth),
                names=(branch.name,),
                concerned=read.environments.concerned((node_id,)),
                action=f"{ADDRESS}/{node_id}/remove",
                place=(industry.name, *branch.names),
            )
        )

    @post("/{node_id:uuid}/remove", sync_to_thread=True)
    def remove(
        self,
        node_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """It goes with everything below it. Nodes of the last level are removed, those above are deleted: the manual's words."""
        with desk.unless_gone(ADDRESS):
            branch = _branch(read, node_id)
            is_last = not level_at(industry_of(read, branch.industry_id).level_names, branch.depth).next
            desk.ask(RemoveNodes(actor=actor, industry_id=branch.industry_id, node_ids=(node_id,)))
        desk.say(N_("“{name}” is removed.") if is_last else N_("“{name}” is deleted."), name=branch.name)
        return desk.go(_opened_at(branch.parent_id))


def _add_page(industry: IndustryRow, parent: Branch | None, form: Form) -> AddNodesPage:
    depth = parent.depth + 1 if parent else 0
    if depth >= len(industry.level_names):
        raise NotFound
    return AddNodesPage(industry=industry, parent=parent, level=industry.level_names[depth], form=form)


def _add(page: AddNodesPage, actor: UUID, desk: Desk) -> Redirect:
    names = tuple(page.form.value("names").splitlines())
    parent_id = page.parent.node_id if page.parent else None
    node_ids = ids_of_lines(page.form, names, parent_id)
    with desk.refusals_on(page):
        desk.ask(
            AddNodes(
                actor=actor,
                industry_id=page.industry.industry_id,
                parent_id=parent_id,
                names=names,
                node_ids=node_ids,
            )
        )
    desk.say(N_("{level}: {count} added."), level=page.level, count=len(page.form.lines("names")))
    return desk.go(_opened_at(next(node_id for node_id, name in zip(node_ids, names, strict=True) if name.strip())))


def _several_page(kind: type[S], read: ReadModels, industry: IndustryRow, parent: Branch | None, form: Form) -> S:
    """The page of a bulk action below a node, or above the tree of an industry.

    Raises:
        NotFound: its level has no such action.
    """
    below = parent.node_id if parent else industry.industry_id
    level = level_at(industry.level_names, parent.depth if parent else -1)
    if not (level.can_add_to_several if kind is AddToSeveralPage else level.can_remove_several):
        raise NotFound
    ticked = tuple(node_id for one in form.all("node_ids") if (node_id := id_or_none(one)))
    children = read.environments.named_children(below, form.text("search"), kept=ticked, size=MOST_CHOICES)
    return kind(form=form, industry=industry, parent=parent, below=below, level=level, children=children)


def _confirm_several(read: ReadModels, page: RemoveSeveralPage, node_ids: tuple[UUID, ...]) -> ConfirmRemovalPage:
    """The question about those that are still there.

    Raises:
        NotFound: none is.
    """
    paths = read.environments.paths(node_ids)
    if not paths:
        raise NotFound
    standing = tuple(path.node_id for path in paths)
    return ConfirmRemovalPage(
        industry=page.industry,
        level=level_at(page.industry.level_names, len(page.industry.level_names) - 1),
        names=tuple(path.names[-1] for path in paths),
        concerned=read.environments.concerned(standing),
        action=f"{ADDRESS}/{page.below}/remove-several",
        place=page.place,
        node_ids=standing,
        form=page.form,
    )


def _opened_at(node_id: UUID | None) -> str:
    return f"{ADDRESS}?open={node_id}#node-{node_id}" if node_id else ADDRESS


def _default(read: ReadModels) -> IndustryRow:
    industry: IndustryRow | None = read.industries.default()
    if industry is None:
        raise NotFound
    return industry


def _branch(read: ReadModels, node_id: UUID) -> Branch:
    branch: Branch | None = read.environments.branch(node_id)
    if branch is None:
        raise NotFound
    return branch
