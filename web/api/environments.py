"""The production environment: its nodes for who manages them, and the choice of places for everybody. Source: M-3, M-4, U."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from commands.environments import AddNodes, AddNodesToSeveralParents, RemoveNodes
from domain.api_tokens import Area
from domain.permissions import Permission
from domain.refusals import NotFound
from projections.environments import Branch
from web.access import needs
from web.api.desk import ApiDesk
from web.api.industries import Concerned
from web.api.lists import DEFAULT_LIMIT, MOST_ITEMS, After, Limit, Listed, Search, listed, place_of
from web.api.routes import ACTS, LOOKS, IdempotencyKey
from web.api.shapes import Shape, shaped
from web.industries import industry_of
from web.services import ReadModels


class Node(Shape, frozen=True, kw_only=True):
    """A place; datasets and jobs are bound to places of the last level."""

    node_id: UUID
    name: str


class PlacedNode(Shape, frozen=True, kw_only=True):
    """A node with the names from the first level down to it."""

    node_id: UUID
    names: tuple[str, ...]


class ListedNode(PlacedNode, frozen=True, kw_only=True):
    """A node in a list; `parent_id` is null at the first level, `child_count` counts what stands directly below."""

    parent_id: UUID | None
    child_count: int


class NodeDetail(PlacedNode, frozen=True, kw_only=True):
    """One node; `below_count` counts every node below it, at all levels."""

    parent_id: UUID | None
    below_count: int


class NewNodes(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Many siblings at once, all or none, directly below a node, or at the first level."""

    parent_id: UUID | None = None
    names: tuple[str, ...]


class NewNodesBelowSeveral(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same names below each of several nodes that stand directly above the last level, all or none."""

    parent_ids: tuple[UUID, ...]
    names: tuple[str, ...]


class GoneNodes(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nodes to be removed with everything below them, by their ids."""

    node_ids: tuple[UUID, ...]


class Places(Shape, frozen=True, kw_only=True):
    """Nodes of the default industry's environment; `level_names` are those of all its levels, from the top."""

    industry: str
    level_names: tuple[str, ...]
    nodes: tuple[Node, ...]
    has_more: bool


class PlacesToChoose(Controller):
    """Everybody may choose values (U)."""

    path = "/environment-nodes"
    tags = ("values to choose from",)

    @get("/", sync_to_thread=True, responses=LOOKS)
    def nodes(
        self,
        read: NamedDependency[ReadModels],
        below: FromQuery[UUID | None] = None,
        search: Annotated[str, QueryParameter(max_length=100, description="A part of the name.")] = "",
    ) -> Places:
        """The places directly below a place, or the topmost ones: at most 200, the others by a part of their name."""
        industry = read.industries.default()
        if industry is None:
            return Places(industry="", level_names=(), nodes=(), has_more=False)
        found = read.environments.named_children(below or industry.industry_id, search, size=MOST_ITEMS)
        return Places(
            industry=industry.name,
            level_names=industry.level_names,
            nodes=tuple(shaped(node, Node) for node in found.items),
            has_more=found.total > len(found.items),
        )


class EnvironmentNodes(Controller):
    """The tree of an industry, the default one or another; super administrators only."""

    path = "/industries/{industry_id:uuid}/environment-nodes"
    tags = ("master data",)
    guards = [needs(Permission.MANAGE_MASTER_DATA)]  # noqa: RUF012 - Litestar's way to guard a controller
    opt = {"area": Area.MANAGEMENT}  # noqa: RUF012 - Litestar's way to say it of every handler

    @get("/", sync_to_thread=True, responses=LOOKS)
    def nodes(
        self,
        industry_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        below: Annotated[
            UUID | None, QueryParameter(description="Directly below this node; of the industry, the first level.")
        ] = None,
        search: Search = "",
        after: After = "",
        limit: Limit = DEFAULT_LIMIT,
    ) -> Listed[ListedNode]:
        """Every node of an industry, or those below one, by level and name."""
        industry_of(read, industry_id)
        found = read.environments.stretch(
            industry_id, search=search, below=below, after=place_of(after, tuple[int, str, UUID]), size=limit
        )
        return listed(found, lambda row: shaped(row, ListedNode))

    @post("/", sync_to_thread=True, responses=ACTS)
    def add_nodes(
        self,
        industry_id: FromPath[UUID],
        data: JSONBody[NewNodes],
        idempotency_key: IdempotencyKey,
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> tuple[PlacedNode, ...]:
        """Add many siblings, all or none; every line that is wrong is named by its number, from 1."""
        made = desk.made_by(idempotency_key, data)
        node_ids = tuple(made.id(f"line {line}") for line in range(len(data.names)))
        desk.ask(
            AddNodes(
                actor=desk.caller.user_id,
                industry_id=industry_id,
                parent_id=data.parent_id,
                names=data.names,
                node_ids=node_ids,
            )
        )
        return _placed(read, node_ids)

    @post("/add-to-several", sync_to_thread=True, responses=ACTS)
    def add_nodes_to_several(
        self,
        industry_id: FromPath[UUID],
        data: JSONBody[NewNodesBelowSeveral],
        idempotency_key: IdempotencyKey,
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> tuple[PlacedNode, ...]:
        """Add the same names at the last level below each of several nodes, all or none."""
        made = desk.made_by(idempotency_key, data)
        node_ids = tuple(
            tuple(made.id(f"{parent_id} line {line}") for line in range(len(data.names)))
            for parent_id in data.parent_ids
        )
        desk.ask(
            AddNodesToSeveralParents(
                actor=desk.caller.user_id,
                industry_id=industry_id,
                parent_ids=data.parent_ids,
                names=data.names,
                node_ids=node_ids,
            )
        )
        return _placed(read, [node_id for below_one in node_ids for node_id in below_one])

    @get("/concerned", sync_to_thread=True, responses=LOOKS)
    def concerned_by_nodes(
        self, industry_id: FromPath[UUID], node_ids: FromQuery[list[UUID]], read: NamedDependency[ReadModels]
    ) -> Concerned:
        """What removing some nodes with everything below them would concern."""
        return shaped(read.environments.concerned(_standing(read, industry_id, node_ids)), Concerned)

    @post("/remove", sync_to_thread=True, status_code=204, responses=ACTS)
    def remove_nodes(
        self,
        industry_id: FromPath[UUID],
        data: JSONBody[GoneNodes],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> None:
        """Remove nodes with everything below them; those of them that are gone already are gone. What was bound keeps the names."""
        if data.node_ids:  # without any, the rules say what to do
            _standing(read, industry_id, data.node_ids)
        desk.ask(RemoveNodes(actor=desk.caller.user_id, industry_id=industry_id, node_ids=data.node_ids))

    @get("/{node_id:uuid}", sync_to_thread=True, responses=LOOKS)
    def node(
        self, industry_id: FromPath[UUID], node_id: FromPath[UUID], read: NamedDependency[ReadModels]
    ) -> NodeDetail:
        """One node."""
        branch: Branch | None = read.environments.branch(node_id)
        if branch is None or branch.industry_id != industry_id:
            raise NotFound
        return shaped(branch, NodeDetail, node_id=node_id)

    @delete("/{node_id:uuid}", sync_to_thread=True, responses=ACTS)
    def remove_node(
        self,
        industry_id: FromPath[UUID],
        node_id: FromPath[UUID],
        read: NamedDependency[ReadModels],
        desk: NamedDependency[ApiDesk],
    ) -> None:
        """Remove a node with everything below it."""
        _standing(read, industry_id, (node_id,))
        desk.ask(RemoveNodes(actor=desk.caller.user_id, industry_id=industry_id, node_ids=(node_id,)))


def _standing(read: ReadModels, industry_id: UUID, node_ids: Sequence[UUID]) -> tuple[UUID, ...]:
    """Of some nodes of an industry, those that are still there.

    Raises:
        NotFound: none is.
    """
    standing: tuple[UUID, ...] = read.environments.standing_in(industry_id, node_ids)
    if not standing:
        raise NotFound
    return standing


def _placed(read: ReadModels, node_ids: Sequence[UUID]) -> tuple[PlacedNode, ...]:
    return tuple(shaped(path, PlacedNode) for path in read.environments.paths(node_ids))
