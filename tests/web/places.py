"""The places that pages offer: the read models of industries and of the production environment, over nodes in memory."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from domain.environments import EnvironmentNode
from projections.environments import ChildRow, NodePath
from projections.industries import IndustryRow
from projections.read_model import Page
from tests.examples import INDUSTRY_ID, LEVEL_NAMES, NODES

PANELS = IndustryRow(INDUSTRY_ID, "显示面板", LEVEL_NAMES, is_default=True, created_at=datetime(2026, 3, 1, tzinfo=UTC))


class FakeIndustries:
    """The first one is the default."""

    def __init__(self, *rows: IndustryRow) -> None:
        self.rows = rows

    def default(self) -> IndustryRow | None:
        return next(iter(self.rows), None)

    def list(self) -> tuple[IndustryRow, ...]:
        return self.rows


class FakeEnvironments:
    """The trees by industry; `gone` are nodes that were removed since something was bound to them."""

    def __init__(
        self, nodes: Iterable[EnvironmentNode] = NODES, industry_id: UUID = INDUSTRY_ID, gone: Iterable[UUID] = ()
    ) -> None:
        self.trees = {industry_id: tuple(nodes)}
        self.gone = frozenset(gone)
        self.asked: list[UUID] = []

    def named_children(self, below: UUID, search: str = "", *, kept: Sequence[UUID] = (), size: int) -> Page[ChildRow]:
        self.asked.append(below)
        children = [
            node
            for industry_id, nodes in self.trees.items()
            for node in nodes
            if (node.parent_id or industry_id) == below
        ]
        found = [node for node in children if search in node.name or node.node_id in kept]
        offered = sorted(found, key=lambda node: node.node_id not in kept)[: size + len(kept)]
        rows = (ChildRow(one.node_id, below, one.name, depth=0, child_count=0) for one in found if one in offered)
        return Page(items=tuple(rows), total=len(found), number=1, size=size)

    def paths(self, node_ids: Sequence[UUID]) -> tuple[NodePath, ...]:
        names = {node.node_id: node.name for nodes in self.trees.values() for node in nodes}
        return tuple(NodePath(one, ("一厂区", names.get(one, ""))) for one in node_ids if one not in self.gone)

    def standing(self, ids: Sequence[UUID]) -> tuple[UUID, ...]:
        return tuple(one for one in ids if one not in self.gone)
