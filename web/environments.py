"""生产环境: the tree of the default industry, and what a search finds in it. Source: M-3; manual, “生产环境主数据”.

Labels come from the level names of the industry; nothing here knows what they mean. Only what is open is asked for and shown: the
address says which branches are, and the script of the tree fetches the same parts one by one. Nodes are added and removed by
`web/environment_changes.py`.
"""

from collections.abc import Iterable
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from domain.permissions import Permission
from domain.refusals import NotFound
from projections.environments import Branch, ChildRow, FoundNode
from projections.industries import IndustryRow
from projections.read_model import Page as Rows
from web.access import needs
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
FOUND_ON_A_PAGE = 50


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
        siblings = grown(read, industry, industry.industry_id, _Shown.of(read, industry, form, is_small=page.is_small))
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
        industry, _ = industry_and_branch(read, below)
        return desk.show(
            SiblingsPage(siblings=grown(read, industry, below, _Shown({below: number_or_none(form.text("from")) or 0})))
        )


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


def grown(read: ReadModels, industry: IndustryRow, below: UUID, shown: _Shown) -> Siblings:
    """What stands below a node, or below the industry, with everything that is open below that."""
    rows: dict[UUID, list[ChildRow]] = {}
    for row in read.environments.children(shown.skipped, size=SIBLINGS_SHOWN):
        rows.setdefault(row.below, []).append(row)

    def siblings(node_id: UUID, total: int) -> Siblings:
        twigs = (
            Twig(
                node=row,
                level=level_at(industry.level_names, row.depth),
                open_address=shown.address(opened=row.node_id),
                siblings=siblings(row.node_id, row.child_count)
                if row.node_id in shown.skipped and row.child_count
                else None,
            )
            for row in rows.get(node_id, ())
        )
        return _siblings(node_id, twigs, shown, total)

    return siblings(below, read.environments.child_count(below))


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


def industry_and_branch(read: ReadModels, below: UUID) -> tuple[IndustryRow, Branch | None]:
    """What stands at an id of a node, or at that of an industry: its first level.

    Raises:
        NotFound: nothing does, or the industry has no levels yet.
    """
    branch: Branch | None = read.environments.branch(below)
    industry = industry_of(read, branch.industry_id if branch else below)
    if not industry.level_names:
        raise NotFound
    return industry, branch


def _part_asked(text: str) -> tuple[UUID | None, int]:
    """`<node>.<skipped>` of an address."""
    node_id, _, count = text.partition(".")
    return id_or_none(node_id), number_or_none(count) or 0
