"""生产环境: the tree of the default industry, many new nodes at once, and their removal. Source: M-3; manual, “生产环境主数据”.

Labels come from the level names of the industry; nothing here knows what a factory is.
"""

from collections.abc import Iterable
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.environments import AddNodes, RemoveNodes
from domain.permissions import Permission
from domain.refusals import NotFound
from domain.sentences import N_
from projections.environments import Branch, NodeRow
from projections.industries import IndustryRow
from web.access import needs
from web.forms import Form
from web.pages import Desk, Page
from web.services import ReadModels

MOST_NODES_SHOWN_OPEN = 60
"""A tree that fits on about two screens is shown open."""


class Twig(msgspec.Struct, frozen=True):
    """A node with what grows on it; `next_level` names the level below, empty at the last one."""

    node: NodeRow
    level: str
    next_level: str
    is_open: bool
    twigs: tuple["Twig", ...] = ()


class EnvironmentsPage(Page, frozen=True):
    """The tree of the default industry; without one, or without levels, what to do first."""

    TEMPLATE = "environments/tree.html"
    industry: IndustryRow | None
    twigs: tuple[Twig, ...] = ()
    node_count: int = 0


class AddNodesPage(Page, frozen=True):
    """Many siblings at once, one name a line; `parent` is None at the first level."""

    TEMPLATE = "environments/add.html"
    industry: IndustryRow
    parent: Branch | None
    level: str


class RemoveNodePage(Page, frozen=True):
    """Asks before a node goes with everything below it."""

    TEMPLATE = "environments/remove.html"
    industry: IndustryRow
    branch: Branch


class Environments(Controller):
    """Super administrators only."""

    path = "/environments"
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def tree(
        self, form: NamedDependency[Form], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The address says how much is open: `open` is `all`, `none`, or the id of a node to which the tree opens."""
        industry: IndustryRow | None = read.industries.default()
        if industry is None:
            return desk.show(EnvironmentsPage(industry=None))
        nodes: tuple[NodeRow, ...] = read.environments.tree(industry.industry_id)
        twigs = grown(nodes, industry.level_names, _open_nodes(nodes, form.text("open")))
        return desk.show(EnvironmentsPage(industry=industry, twigs=twigs, node_count=len(nodes)))

    @get("/new", sync_to_thread=True)
    def new(self, read: NamedDependency[ReadModels], desk: NamedDependency[Desk]) -> Response[str]:
        """The form for the first level of the default industry."""
        industry: IndustryRow | None = read.industries.default()
        if industry is None:
            raise NotFound
        return desk.show(_add_page(industry, None, Form.of(industry_id=industry.industry_id, names="")))

    @post("/new", sync_to_thread=True)
    def add(
        self,
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """To the industry that the form showed, also when another one has become the default meanwhile."""
        page = _add_page(_industry(read, form.id("industry_id")), None, form)
        return _add(page, actor, desk)

    @get("/{node_id:uuid}/new", sync_to_thread=True)
    def new_below(
        self, node_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The form for the level below a node."""
        branch = _branch(read, node_id)
        return desk.show(_add_page(_industry(read, branch.industry_id), branch, Form.of(names="")))

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
        return _add(_add_page(_industry(read, branch.industry_id), branch, form), actor, desk)

    @get("/{node_id:uuid}/remove", sync_to_thread=True)
    def ask_to_remove(
        self, node_id: FromPath[UUID], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """How many nodes go."""
        branch = _branch(read, node_id)
        return desk.show(RemoveNodePage(industry=_industry(read, branch.industry_id), branch=branch))

    @post("/{node_id:uuid}/remove", sync_to_thread=True)
    def remove(
        self,
        node_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
    ) -> Redirect:
        """The node goes with everything below it."""
        branch = _branch(read, node_id)
        desk.ask(RemoveNodes(actor=actor, industry_id=branch.industry_id, node_ids=(node_id,)))
        desk.say(N_("“{name}” is removed."), name=branch.name)
        return desk.go(_opened_at(branch.parent_id))


def grown(nodes: Iterable[NodeRow], level_names: tuple[str, ...], open_nodes: set[UUID]) -> tuple[Twig, ...]:
    """The tree of nodes that come depth first."""
    below: dict[UUID | None, list[NodeRow]] = {}
    for node in nodes:
        below.setdefault(node.parent_id, []).append(node)

    def twig(node: NodeRow) -> Twig:
        return Twig(
            node=node,
            level=level_names[node.depth],
            next_level=level_names[node.depth + 1] if node.depth + 1 < len(level_names) else "",
            is_open=node.node_id in open_nodes,
            twigs=tuple(twig(child) for child in below.get(node.node_id, ())),
        )

    return tuple(twig(node) for node in below.get(None, ()))


def _open_nodes(nodes: tuple[NodeRow, ...], wanted: str) -> set[UUID]:
    parents = {node.node_id: node.parent_id for node in nodes}
    if wanted == "all" or (wanted != "none" and len(nodes) <= MOST_NODES_SHOWN_OPEN):
        return set(parents)
    step = next((node_id for node_id in parents if str(node_id) == wanted), None)
    way: set[UUID] = set()
    while step is not None:
        way.add(step)
        step = parents[step]
    return way


def _add_page(industry: IndustryRow, parent: Branch | None, form: Form) -> AddNodesPage:
    depth = parent.depth + 1 if parent else 0
    if depth >= len(industry.level_names):
        raise NotFound
    return AddNodesPage(industry=industry, parent=parent, level=industry.level_names[depth], form=form)


def _add(page: AddNodesPage, actor: UUID, desk: Desk) -> Redirect:
    names = tuple(page.form.value("names").splitlines())
    parent_id = page.parent.node_id if page.parent else None
    with desk.refusals_on(page):
        desk.ask(
            AddNodes(
                actor=actor,
                industry_id=page.industry.industry_id,
                parent_id=parent_id,
                names=names,
                node_ids=tuple(uuid4() for _ in names),
            )
        )
    desk.say(N_("{level}: {count} added."), level=page.level, count=len(page.form.lines("names")))
    return desk.go(_opened_at(parent_id))


def _opened_at(node_id: UUID | None) -> str:
    return f"/environments?open={node_id}#node-{node_id}" if node_id else "/environments"


def _industry(read: ReadModels, industry_id: UUID) -> IndustryRow:
    industry: IndustryRow | None = read.industries.get(industry_id)
    if industry is None:
        raise NotFound
    return industry


def _branch(read: ReadModels, node_id: UUID) -> Branch:
    branch: Branch | None = read.environments.branch(node_id)
    if branch is None:
        raise NotFound
    return branch
