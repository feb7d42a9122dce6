"""The production environment of every industry: trees of nodes."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from domain.environments import EnvironmentNodesAdded, EnvironmentNodesRemoved
from domain.facts import Recorded
from projections.read_model import ReadModel, Rows, Table


class NodeRow(msgspec.Struct, frozen=True):
    """A node of a tree in depth-first order; `depth` is 0 at the first level."""

    node_id: UUID
    parent_id: UUID | None
    name: str
    depth: int


class NodePath(msgspec.Struct, frozen=True):
    """The names from the first level down to a node."""

    node_id: UUID
    names: tuple[str, ...]


class Branch(msgspec.Struct, frozen=True):
    """A node with where it stands; `below_count` counts every node below it, at all depths."""

    node_id: UUID
    parent_id: UUID | None
    industry_id: UUID
    names: tuple[str, ...]
    below_count: int

    @property
    def name(self) -> str:
        """Its own name."""
        return self.names[-1]

    @property
    def depth(self) -> int:
        """0 at the first level."""
        return len(self.names) - 1


class NodeName(msgspec.Struct, frozen=True):
    """A node alone."""

    node_id: UUID
    name: str


class Siblings(msgspec.Struct, frozen=True):
    """Children of one node in their order; `count` is how many there are, which may be more than `nodes`."""

    nodes: tuple[NodeName, ...]
    count: int


class Environments(ReadModel):
    """Siblings stand in the order in which they were added: `number` is the version of the tree that added a node, and its line."""

    name = "environments"
    nodes = Table(
        "environment_nodes",
        key=("node_id uuid",),
        columns=(
            "industry_id uuid NOT NULL",
            "parent_id uuid",
            "name text NOT NULL",
            "number bigint[] NOT NULL",
        ),
        indexes=(
            "CREATE INDEX ON environment_nodes (industry_id)",
            "CREATE INDEX ON environment_nodes (parent_id)",
        ),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        match recorded.data:
            case EnvironmentNodesAdded(industry_id=industry_id, nodes=nodes):
                for line, node in enumerate(nodes):
                    rows.insert(
                        self.nodes,
                        node.node_id,
                        industry_id=industry_id,
                        parent_id=node.parent_id,
                        name=node.name,
                        number=(recorded.originator_version, line),
                    )
            case EnvironmentNodesRemoved(node_ids=node_ids):
                for node_id in node_ids:
                    rows.delete(self.nodes, node_id)

    def tree(self, industry_id: UUID) -> tuple[NodeRow, ...]:
        """Every node of an industry, depth first: a node stands before its children, siblings in their order."""
        return tuple(
            self._all(
                "WITH RECURSIVE tree AS ("
                " SELECT node_id, parent_id, name, 0 AS depth, number AS place FROM environment_nodes"
                " WHERE industry_id = %s AND parent_id IS NULL"
                " UNION ALL"
                " SELECT node.node_id, node.parent_id, node.name, depth + 1, place || node.number"
                " FROM environment_nodes AS node JOIN tree ON node.parent_id = tree.node_id"
                ") SELECT node_id, parent_id, name, depth FROM tree ORDER BY place",
                (industry_id,),
                NodeRow,
            )
        )

    def paths(self, node_ids: Sequence[UUID]) -> tuple[NodePath, ...]:
        """Where nodes stand, in the order of their paths; those that are gone are left out."""
        return tuple(
            self._all(
                "WITH RECURSIVE way AS ("
                " SELECT node_id, parent_id, ARRAY[name] AS names FROM environment_nodes WHERE node_id = ANY(%s)"
                " UNION ALL"
                " SELECT way.node_id, above.parent_id, above.name || way.names"
                " FROM environment_nodes AS above JOIN way ON above.node_id = way.parent_id"
                ") SELECT node_id, names FROM way WHERE parent_id IS NULL ORDER BY names",
                (list(node_ids),),
                NodePath,
            )
        )

    def branch(self, node_id: UUID) -> Branch | None:
        """A node, and how much hangs on it."""
        return self._one(
            "WITH RECURSIVE way AS ("
            " SELECT parent_id, ARRAY[name] AS names FROM environment_nodes WHERE node_id = %(node_id)s"
            " UNION ALL"
            " SELECT above.parent_id, above.name || way.names"
            " FROM environment_nodes AS above JOIN way ON above.node_id = way.parent_id"
            "), below AS ("
            " SELECT node_id FROM environment_nodes WHERE parent_id = %(node_id)s"
            " UNION ALL"
            " SELECT node.node_id FROM environment_nodes AS node JOIN below ON node.parent_id = below.node_id"
            ") SELECT node_id, node.parent_id, industry_id, way.names, (SELECT count(*) FROM below) AS below_count"
            " FROM environment_nodes AS node JOIN way ON way.parent_id IS NULL WHERE node_id = %(node_id)s",
            {"node_id": node_id},
            Branch,
        )

    def siblings(
        self, industry_id: UUID, parent_id: UUID | None, *, search: str = "", kept: Sequence[UUID] = (), most: int
    ) -> Siblings:
        """The children of a node (the first level of the industry for None) whose names hold `search`, the first `most` of them.

        Children that are named in `kept` are among them in any case.
        """
        found = self._all(
            "SELECT node_id, name, count FROM ("  # noqa: S608 - our own text
            " SELECT node_id, name, number, count(*) OVER () AS count FROM environment_nodes"
            f" WHERE industry_id = %(industry_id)s AND parent_id {'IS NULL' if parent_id is None else '= %(parent_id)s'}"
            " AND (strpos(lower(name), lower(%(search)s)) > 0 OR node_id = ANY(%(kept)s))"
            " ORDER BY node_id = ANY(%(kept)s) DESC, number LIMIT %(most)s"
            ") AS offered ORDER BY number",
            {
                "industry_id": industry_id,
                "parent_id": parent_id,
                "search": search,
                "kept": list(kept),
                "most": most + len(kept),
            },
            _Sibling,
        )
        nodes = tuple(NodeName(node.node_id, node.name) for node in found)
        return Siblings(nodes, found[0].count if found else 0)


class _Sibling(NodeName, frozen=True):
    count: int
