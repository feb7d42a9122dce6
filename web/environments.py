"""生产环境: the tree of the default industry, many new nodes at once, and their removal. Source: M-3, M-4; “生产环境主数据”.

Labels come from the level names of the industry; nothing here knows what they mean. Only what is open is asked for and shown: the
address says which branches are, and the script of the tree fetches the same parts one by one.
"""

from collections.abc import Iterable
from typing import TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from commands.environments import AddNodes, AddNodesToSeveralParents, RemoveNodes
from domain.environments import NothingChosen
from domain.permissions import Permission
from domain.refusals import NotFound
from domain.sentences import N_
from projections.environments import Branch, ChildRow, Concerned, FoundNode
from projections.industries import IndustryRow
from projections.read_model import Page as Rows
from web.access import needs
from web.form_ids import id_made_by, new_form
from web.forms import Form, id_or_none, number_or_none
from web.industries import industry_of
from web.listing import Listing, read_listing
from web.pages import Desk, Page
from web.services import ReadModels

ADDRESS = "/environments"
SIBLINGS_SHOWN = 100
"""About five screens; further siblings are a click away."""
MOST_NODES_SHOWN_OPEN = 60
"""A tree that fits on about two screens is shown open."""
MOST_OPEN = 60
"""So many branches the address may open, so that no address makes a page without end."""
S = TypeVar("S", bound="SeveralPage")
FOUND_ON_A_PAGE = 50
MOST_CHOICES = 500
"""So many children a form offers to be ticked; of more, those that have a part of their name."""


class Level(msgspec.Struct, frozen=True):
    """What can be done with the nodes of one level. `name`, `next` and `last` are names of levels, empty where there is none.

    `can_add_to_several` holds for the last level but two, `can_remove_several` for the last level but one (M-4).
    """

    name: str
    next: str
    last: str
    can_add_to_several: bool
    can_remove_several: bool


def level_at(level_names: tuple[str, ...], depth: int) -> Level:
    """The level at a depth: 0 is the first one, -1 what stands above the tree."""
    levels_below = len(level_names) - depth - 1
    return Level(
        name=level_names[depth] if depth >= 0 else "",
        next=level_names[depth + 1] if levels_below else "",
        last=level_names[-1],
        can_add_to_several=levels_below == 2,
        can_remove_several=levels_below == 1,
    )


class Twig(msgspec.Struct, frozen=True):
    """A node of the tree. `siblings` are its children, None while it is closed; `open_address` opens it without a script."""

    node: ChildRow
    level: Level
    open_address: str
    siblings: "Siblings | None" = None


class Siblings(msgspec.Struct, frozen=True):
    """Some children of one node, or of the first level. The addresses show those before and after them, empty where there are none;
    `part_address` gives those after them as a fragment.
    """

    below: UUID
    twigs: tuple[Twig, ...]
    skipped: int
    total: int
    earlier_address: str
    later_address: str
    part_address: str

    @property
    def later(self) -> int:
        """How many stand up to the last of these."""
        return self.skipped + len(self.twigs)

    @property
    def left(self) -> int:
        """How many come after these."""
        return self.total - self.later


class FoundTwig(msgspec.Struct, frozen=True):
    """A node that was searched for."""

    node: FoundNode
    level: Level


class EnvironmentsPage(Page, frozen=True):
    """The tree of the default industry, or what a search found in it; without industry or levels, what to do first."""

    TEMPLATE = "environments/tree.html"
    industry: IndustryRow | None
    above: Level | None = None
    siblings: Siblings | None = None
    node_count: int = 0
    found: tuple[FoundTwig, ...] = ()
    listing: Listing | None = None

    @property
    def is_small(self) -> bool:
        """Whether the whole tree may be shown open."""
        return self.node_count <= MOST_NODES_SHOWN_OPEN


class SiblingsPage(Page, frozen=True):
    """A part of the tree for its script."""

    TEMPLATE = "environments/_siblings.html"
    siblings: Siblings


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


class Environments(Controller):
    """Super administrators only."""

    path = ADDRESS
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller

    @get("/", sync_to_thread=True)
    def tree(
        self, form: NamedDependency[Form], read: NamedDependency[ReadModels], desk: NamedDependency[Desk]
    ) -> Response[str]:
        """The address says what is shown: `open` names branches, or is `all` or `none`; `from` is a node and how many of its
        children are skipped; `search` is a part of a name.
        """
        industry: IndustryRow | None = read.industries.default()
        if industry is None or not industry.level_names:
            return desk.show(EnvironmentsPage(industry=industry))
        above, node_count = level_at(industry.level_names, -1), read.environments.count(industry.industry_id)
        page = EnvironmentsPage(form=form, industry=industry, above=above, node_count=node_count)
        if form.text("search"):
            return desk.show(_with_found(read, page, industry, form))
        siblings = grown(read, industry, _Shown.of(read, industry, form, is_small=page.is_small))
        return desk.show(msgspec.structs.replace(page, siblings=siblings))

    @get("/{below:uuid}/children", sync_to_thread=True)
    def children(
        self,
        below: FromPath[UUID],
        form: NamedDependency[Form],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[Desk],
    ) -> Response[str]:
        """Some of what stands directly below a node or an industry, behind `from` others, for the script of the tree."""
        industry, _ = _industry_and_branch(read, below)
        return desk.show(SiblingsPage(siblings=_part(read, industry, below, number_or_none(form.text("from")) or 0)))

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
            industry, parent = _industry_and_branch(read, below)
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
        page = _several_page(AddToSeveralPage, read, *_industry_and_branch(read, below), form)
        names = tuple(form.value("names").splitlines())
        with desk.refusals_on(page):
            parents = form.ids("node_ids")
            desk.ask(
                AddNodesToSeveralParents(
                    actor=actor,
                    industry_id=page.industry.industry_id,
                    parent_ids=parents,
                    names=names,
                    node_ids=tuple(_new_ids(form, parent_id, names) for parent_id in parents),
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
            industry, parent = _industry_and_branch(read, below)
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
            industry, parent = _industry_and_branch(read, below)
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


class _Shown(msgspec.Struct, frozen=True):
    """What of a tree is shown: how many children of each open node or industry are skipped; `fields` are the address of that."""

    skipped: dict[UUID, int]
    fields: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, read: ReadModels, industry: IndustryRow, form: Form, *, is_small: bool) -> "_Shown":
        """What an address asks for; what it names that does not exist is left out."""
        asked, parts = form.all("open"), dict(map(_part_asked, form.all("from")))
        wanted = [node_id for one in asked if (node_id := id_or_none(one))]
        wanted = [*wanted, *(node_id for node_id in parts if node_id)][:MOST_OPEN]
        skipped = {industry.industry_id: 0}
        if is_small and (not asked or "all" in asked):
            return cls(skipped | {node.node_id: 0 for node in read.environments.tree(industry.industry_id)})
        for place in read.environments.ways(wanted):
            skipped[place.below] = max(skipped.get(place.below, 0), place.place // SIBLINGS_SHOWN * SIBLINGS_SHOWN)
            skipped.setdefault(place.node_id, 0)
        skipped |= {node_id: count for node_id, count in parts.items() if node_id in skipped}
        return cls(skipped, tuple(("open", str(node_id)) for node_id in wanted))

    def address(self, *, opened: UUID | None = None, below: UUID | None = None, skipped: int = 0) -> str:
        """The tree with one more branch opened, or with other children of a node."""
        fields = [*self.fields, *([("open", str(opened))] if opened else [])]
        fields += [
            ("from", f"{node_id}.{count}") for node_id, count in self.skipped.items() if count and node_id != below
        ]
        fields += [("from", f"{below}.{skipped}")] if below else []
        return f"{ADDRESS}?{urlencode(fields)}" + (f"#node-{opened or below}")


def grown(read: ReadModels, industry: IndustryRow, shown: _Shown) -> Siblings:
    """The first level with everything that is open below it."""
    rows: dict[UUID, list[ChildRow]] = {}
    for row in read.environments.children(shown.skipped, size=SIBLINGS_SHOWN):
        rows.setdefault(row.below, []).append(row)

    def below(node_id: UUID, total: int) -> Siblings:
        twigs = (
            Twig(
                node=row,
                level=level_at(industry.level_names, row.depth),
                open_address=shown.address(opened=row.node_id),
                siblings=below(row.node_id, row.child_count)
                if row.node_id in shown.skipped and row.child_count
                else None,
            )
            for row in rows.get(node_id, ())
        )
        return _siblings(node_id, twigs, shown, total)

    return below(industry.industry_id, read.environments.child_count(industry.industry_id))


def _part(read: ReadModels, industry: IndustryRow, below: UUID, skipped: int) -> Siblings:
    """Some children of one node, all closed."""
    shown = _Shown({below: skipped})
    rows: tuple[ChildRow, ...] = read.environments.children(shown.skipped, size=SIBLINGS_SHOWN)
    twigs = (
        Twig(
            node=row,
            level=level_at(industry.level_names, row.depth),
            open_address=shown.address(opened=row.node_id),
        )
        for row in rows
    )
    return _siblings(below, twigs, shown, read.environments.child_count(below))


def _siblings(below: UUID, twigs: Iterable[Twig], shown: _Shown, total: int) -> Siblings:
    every = tuple(twigs)
    skipped = shown.skipped.get(below, 0)
    later = skipped + len(every)
    earlier = max(0, skipped - SIBLINGS_SHOWN)
    return Siblings(
        below=below,
        twigs=every,
        skipped=skipped,
        total=total,
        earlier_address=shown.address(below=below, skipped=earlier) if skipped else "",
        later_address=shown.address(below=below, skipped=later) if later < total else "",
        part_address=f"{ADDRESS}/{below}/children?from={later}",
    )


def _with_found(read: ReadModels, page: EnvironmentsPage, industry: IndustryRow, form: Form) -> EnvironmentsPage:
    listing = read_listing(ADDRESS, form, rows=FOUND_ON_A_PAGE)
    found: Rows[FoundNode] = read.environments.find(
        industry.industry_id, form.text("search"), number=listing.page, size=FOUND_ON_A_PAGE
    )
    twigs = tuple(FoundTwig(node, level_at(industry.level_names, node.depth)) for node in found.items)
    return msgspec.structs.replace(page, found=twigs, listing=listing.of(found.total))


def _add_page(industry: IndustryRow, parent: Branch | None, form: Form) -> AddNodesPage:
    depth = parent.depth + 1 if parent else 0
    if depth >= len(industry.level_names):
        raise NotFound
    return AddNodesPage(industry=industry, parent=parent, level=industry.level_names[depth], form=form)


def _add(page: AddNodesPage, actor: UUID, desk: Desk) -> Redirect:
    names = tuple(page.form.value("names").splitlines())
    parent_id = page.parent.node_id if page.parent else None
    node_ids = _new_ids(page.form, parent_id, names)
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


def _new_ids(form: Form, parent_id: UUID | None, names: tuple[str, ...]) -> tuple[UUID, ...]:
    """An id for each line, the same when the same form comes again; a line that repeats another gets one of its own."""
    return tuple(id_made_by(form, parent_id, name.strip(), names[:line].count(name)) for line, name in enumerate(names))


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


def _industry_and_branch(read: ReadModels, below: UUID) -> tuple[IndustryRow, Branch | None]:
    """What stands at an id of a node, or at that of an industry: its first level.

    Raises:
        NotFound: nothing does, or the industry has no levels yet.
    """
    branch: Branch | None = read.environments.branch(below)
    industry = industry_of(read, branch.industry_id if branch else below)
    if not industry.level_names:
        raise NotFound
    return industry, branch


def _branch(read: ReadModels, node_id: UUID) -> Branch:
    branch: Branch | None = read.environments.branch(node_id)
    if branch is None:
        raise NotFound
    return branch


def _part_asked(text: str) -> tuple[UUID | None, int]:
    """`<node>.<skipped>` of an address."""
    node_id, _, count = text.partition(".")
    return id_or_none(node_id), number_or_none(count) or 0
