"""The production environment of every industry: trees of nodes, asked for no more than is shown."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from domain.environments import EnvironmentDeleted, EnvironmentNodesAdded, EnvironmentNodesRemoved
from domain.facts import Recorded
from projections.read_model import Page, ReadModel, Rows, Stretch, Table


class NodeRow(msgspec.Struct, frozen=True):
    """A node of a tree in depth-first order; `depth` is 0 at the first level."""

    node_id: UUID
    parent_id: UUID | None
    name: str
    depth: int


class ChildRow(msgspec.Struct, frozen=True):
    """A node among its siblings; `below` is its parent, at the first level the industry.

    `depth` is 0 at the first level; `child_count` counts what is directly below.
    """

    node_id: UUID
    below: UUID
    name: str
    depth: int
    child_count: int


class FoundNode(msgspec.Struct, frozen=True):
    """A node that was searched for, with the names from the first level down to it."""

    node_id: UUID
    names: tuple[str, ...]
    child_count: int

    @property
    def depth(self) -> int:
        """0 at the first level."""
        return len(self.names) - 1


class PlacedNode(FoundNode, frozen=True):
    """The same with what it stands directly below; `parent_id` is None at the first level."""

    parent_id: UUID | None


class Place(msgspec.Struct, frozen=True):
    """Where a node stands among its siblings; `place` counts from 0."""

    node_id: UUID
    below: UUID
    place: int


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


class Concerned(msgspec.Struct, frozen=True, kw_only=True):
    """What a removal concerns: the nodes that go, and what is bound to any of them.

    Images are those of the data paths of the datasets, as they were counted last. A model counts once, whoever owns it, by the
    binding of its newest version; jobs do not count, for they keep what they were given.
    """

    node_count: int
    dataset_count: int
    image_count: int
    model_image_count: int
    model_count: int

    @property
    def is_bound(self) -> bool:
        """Whether anything is bound to what goes; images come with datasets."""
        return bool(self.dataset_count or self.model_image_count or self.model_count)


class Environments(ReadModel):
    """Siblings stand in the order in which they were added: `number` is the version of the tree that added a node, and its line.

    `below` is the parent, at the first level the industry, so that the children of anything are one question.
    """

    name = "environments"
    nodes = Table(
        "environment_nodes",
        key=("node_id uuid",),
        columns=(
            "industry_id uuid NOT NULL",
            "parent_id uuid",
            "below uuid NOT NULL",
            "depth integer NOT NULL",
            "name text NOT NULL",
            "number bigint[] NOT NULL",
        ),
        indexes=(
            "CREATE INDEX ON environment_nodes (industry_id, depth)",
            "CREATE INDEX ON environment_nodes (below, number)",
        ),
    )

    def project(self, rows: Rows, recorded: Recorded) -> None:
        match recorded.data:
            case EnvironmentNodesAdded(industry_id=industry_id, nodes=nodes):
                depths: dict[UUID | None, int] = {None: 0}
                for line, node in enumerate(nodes):
                    if node.parent_id not in depths:
                        parent = rows.row(self.nodes, node.parent_id)
                        depths[node.parent_id] = parent["depth"] + 1 if parent else 0
                    rows.insert(
                        self.nodes,
                        node.node_id,
                        industry_id=industry_id,
                        parent_id=node.parent_id,
                        below=node.parent_id or industry_id,
                        depth=depths[node.parent_id],
                        name=node.name,
                        number=(recorded.originator_version, line),
                    )
            case EnvironmentNodesRemoved(node_ids=node_ids):
                for node_id in node_ids:
                    rows.delete(self.nodes, node_id)
            case EnvironmentDeleted(industry_id=industry_id):
                rows.execute("DELETE FROM environment_nodes WHERE industry_id = %s", (industry_id,))

    def tree(self, industry_id: UUID) -> tuple[NodeRow, ...]:
        """Every node of an industry, depth first: a node stands before its children, siblings in their order."""
        return tuple(
            self._all(
                "WITH RECURSIVE tree AS ("
                " SELECT node_id, parent_id, name, depth, number AS place FROM environment_nodes WHERE below = %s"
                " UNION ALL"
                " SELECT node.node_id, node.parent_id, node.name, node.depth, place || node.number"
                " FROM environment_nodes AS node JOIN tree ON node.below = tree.node_id"
                ") SELECT node_id, parent_id, name, depth FROM tree ORDER BY place",
                (industry_id,),
                NodeRow,
            )
        )

    def count(self, industry_id: UUID) -> int:
        """How many nodes an industry has."""
        statement = "SELECT count(*) FROM environment_nodes WHERE industry_id = %s"
        return self._one(statement, (industry_id,), int) or 0

    def child_count(self, below: UUID) -> int:
        """How many nodes stand directly below a node, or at the first level of an industry."""
        return self._one("SELECT count(*) FROM environment_nodes WHERE below = %s", (below,), int) or 0

    def children(self, skipped: Mapping[UUID, int], *, size: int) -> tuple[ChildRow, ...]:
        """Of each of these nodes or industries at most `size` children, behind the number that is skipped, in their order."""
        return tuple(
            self._all(
                "SELECT node_id, child.below, name, depth,"
                " (SELECT count(*) FROM environment_nodes AS lower WHERE lower.below = child.node_id) AS child_count"
                " FROM unnest(%(below)s::uuid[], %(skipped)s::bigint[]) WITH ORDINALITY AS wanted (below, skipped, turn)"
                " CROSS JOIN LATERAL (SELECT * FROM environment_nodes WHERE environment_nodes.below = wanted.below"
                " ORDER BY number OFFSET wanted.skipped LIMIT %(size)s) AS child ORDER BY turn, number",
                {"below": list(skipped), "skipped": list(skipped.values()), "size": size},
                ChildRow,
            )
        )

    def named_children(self, below: UUID, search: str = "", *, kept: Sequence[UUID] = (), size: int) -> Page[ChildRow]:
        """The first children of a node or an industry that have `search` in their name, in their order.

        Those that are named in `kept` are among them in any case, also where they come late or have another name.
        """
        found = self._all(
            "SELECT node_id, below, name, depth, total,"
            " (SELECT count(*) FROM environment_nodes AS lower WHERE lower.below = child.node_id) AS child_count"
            " FROM (SELECT *, count(*) OVER () AS total FROM environment_nodes WHERE below = %(below)s"
            " AND (strpos(lower(name), lower(%(search)s)) > 0 OR node_id = ANY(%(kept)s))"
            " ORDER BY node_id = ANY(%(kept)s) DESC, number LIMIT %(most)s) AS child ORDER BY number",
            {"below": below, "search": search, "kept": list(kept), "most": size + len(kept)},
            _CountedChild,
        )
        return Page(items=tuple(found), total=found[0].total if found else 0, number=1, size=size)

    def ways(self, node_ids: Sequence[UUID]) -> tuple[Place, ...]:
        """Every node on the ways down to these nodes, themselves included, with its place among its siblings."""
        return tuple(
            self._all(
                "WITH RECURSIVE way AS ("
                " SELECT node_id, below, number FROM environment_nodes WHERE node_id = ANY(%s)"
                " UNION"
                " SELECT above.node_id, above.below, above.number"
                " FROM environment_nodes AS above JOIN way ON above.node_id = way.below"
                ") SELECT node_id, below, (SELECT count(*) FROM environment_nodes AS sibling"
                " WHERE sibling.below = way.below AND sibling.number < way.number) AS place FROM way",
                (list(node_ids),),
                Place,
            )
        )

    def find(self, industry_id: UUID, search: str, *, number: int, size: int) -> Page[FoundNode]:
        """The nodes of an industry that have `search` in their name, in any case, the highest levels first."""
        return self._page(
            f"SELECT node_id, {_WAY} FROM environment_nodes AS node"  # noqa: S608 - our own text
            " WHERE industry_id = %(industry)s AND strpos(lower(name), lower(%(search)s)) > 0",
            {"industry": industry_id, "search": search},
            FoundNode,
            number=number,
            size=size,
            order="depth, lower(name), number",
        )

    def stretch(
        self,
        industry_id: UUID,
        *,
        search: str = "",
        below: UUID | None = None,
        after: tuple[int, str, UUID] | None = None,
        size: int,
    ) -> Stretch[PlacedNode]:
        """The nodes of an industry by level and name, for programs: with `search` in their name, directly below a node or an
        industry where one is named.
        """
        return self._stretch(
            "SELECT depth, lower(name) AS by_name, node_id FROM environment_nodes WHERE industry_id = %(industry)s"
            " AND strpos(lower(name), lower(%(search)s)) > 0 AND (%(below)s::uuid IS NULL OR below = %(below)s)",
            {"industry": industry_id, "search": search, "below": below},
            PlacedNode,
            key=("depth", "by_name", "node_id"),
            after=after,
            size=size,
            shown=f"SELECT node.node_id, node.parent_id, {_WAY}"  # noqa: S608 - our own text
            " FROM part JOIN environment_nodes AS node USING (node_id)",
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

    def standing(self, ids: Sequence[UUID]) -> tuple[UUID, ...]:
        """Of the nodes and industries of bindings, those that still exist."""
        return tuple(
            self._all(
                "SELECT node_id FROM environment_nodes WHERE node_id = ANY(%(ids)s)"
                " UNION ALL SELECT industry_id FROM industries WHERE industry_id = ANY(%(ids)s)",
                {"ids": list(ids)},
                UUID,
            )
        )

    def standing_in(self, industry_id: UUID, node_ids: Sequence[UUID]) -> tuple[UUID, ...]:
        """Of some nodes, those that exist in the tree of an industry."""
        statement = "SELECT node_id FROM environment_nodes WHERE industry_id = %s AND node_id = ANY(%s)"
        return tuple(self._all(statement, (industry_id, list(node_ids)), UUID))

    def branch(self, node_id: UUID) -> Branch | None:
        """A node, and how much hangs on it."""
        return self._one(
            "WITH RECURSIVE way AS ("
            " SELECT parent_id, ARRAY[name] AS names FROM environment_nodes WHERE node_id = %(node_id)s"
            " UNION ALL"
            " SELECT above.parent_id, above.name || way.names"
            " FROM environment_nodes AS above JOIN way ON above.node_id = way.parent_id"
            "), lower AS ("
            " SELECT node_id FROM environment_nodes WHERE below = %(node_id)s"
            " UNION ALL"
            " SELECT node.node_id FROM environment_nodes AS node JOIN lower ON node.below = lower.node_id"
            ") SELECT node_id, node.parent_id, industry_id, way.names, (SELECT count(*) FROM lower) AS below_count"
            " FROM environment_nodes AS node JOIN way ON way.parent_id IS NULL WHERE node_id = %(node_id)s",
            {"node_id": node_id},
            Branch,
        )

    def concerned(self, node_ids: Sequence[UUID]) -> Concerned:
        """What it concerns when these nodes go with everything below them.

        A binding holds its whole way down, so what is bound to anything below a node holds the node itself.
        """
        found = self._one(_CONCERNED, {"node_ids": list(node_ids)}, Concerned)
        assert found is not None
        return found

    def concerned_by_industry(self, industry_id: UUID) -> Concerned:
        """What it concerns when an industry goes with its whole tree."""
        first = self._all("SELECT node_id FROM environment_nodes WHERE below = %s", (industry_id,), UUID)
        return self.concerned(first)


class _CountedChild(ChildRow, frozen=True):
    total: int


_WAY = (
    "(WITH RECURSIVE way AS ("
    " SELECT node.below AS above, ARRAY[node.name] AS names"
    " UNION ALL"
    " SELECT above.below, above.name || way.names"
    " FROM environment_nodes AS above JOIN way ON above.node_id = way.above"
    ") SELECT names FROM way ORDER BY cardinality(names) DESC LIMIT 1) AS names,"
    " (SELECT count(*) FROM environment_nodes AS lower WHERE lower.below = node.node_id) AS child_count"
)
"""Of a `node`: the names from the first level down to it, and how many stand directly below it."""
_CONCERNED = """
    WITH RECURSIVE gone AS (
        SELECT node_id FROM environment_nodes WHERE node_id = ANY(%(node_ids)s)
        UNION
        SELECT node.node_id FROM environment_nodes AS node JOIN gone ON node.below = gone.node_id
    ), bound AS (
        SELECT image_count FROM datasets WHERE place_ids && %(node_ids)s::uuid[]
    )
    SELECT (SELECT count(*) FROM gone) AS node_count,
        (SELECT count(*) FROM bound) AS dataset_count,
        (SELECT coalesce(sum(image_count), 0)::bigint FROM bound) AS image_count,
        (SELECT count(*) FROM model_images WHERE place_ids && %(node_ids)s::uuid[]) AS model_image_count,
        (SELECT count(*) FROM models WHERE EXISTS (
            SELECT FROM jsonb_array_elements((environment->'path') || (environment->'products')) AS node
            WHERE (node->>'node_id')::uuid = ANY(%(node_ids)s)
        )) AS model_count
"""
