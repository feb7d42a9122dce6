"""The production environment of an industry: one tree of named nodes, as deep as the industry has levels. Source: M-3, M-4, D-2."""

from collections.abc import Sequence
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from domain.facts import Fact, State, evolves, replace
from domain.names import check_plain_name, name_key
from domain.refusals import NotFound, Refusal, raise_together
from domain.sentences import N_


class EnvironmentNode(msgspec.Struct, frozen=True):
    """One place of the tree; `parent_id` is None at the first level."""

    node_id: UUID
    name: str
    parent_id: UUID | None = None


class EnvironmentBinding(msgspec.Struct, frozen=True, kw_only=True):
    """Where something belongs (D-2): one node at each level, several at the last, kept with the names it was bound to.

    `path` holds the single choices, outermost first; `products` the choices at the last level. With one level `path` is empty.
    """

    industry_id: UUID
    industry: str
    level_names: tuple[str, ...]
    path: tuple[EnvironmentNode, ...]
    products: tuple[EnvironmentNode, ...]

    @property
    def place_ids(self) -> tuple[UUID, ...]:
        """The industry and every node down to the products: whoever looks for one of them, finds what is bound here."""
        return (self.industry_id, *(node.node_id for node in (*self.path, *self.products)))


class EnvironmentNodesAdded(Fact):
    """New nodes, all or nothing."""

    TOPIC: ClassVar[str] = "environment.nodes_added"
    industry_id: UUID
    nodes: tuple[EnvironmentNode, ...]


class EnvironmentNodesRemoved(Fact):
    """Nodes went, with everything below them: `node_ids` names every one of them."""

    TOPIC: ClassVar[str] = "environment.nodes_removed"
    industry_id: UUID
    node_ids: tuple[UUID, ...]


class NodeNameRepeated(Refusal):
    """M-3: a duplicate line is named."""

    field = "names"
    message = N_("Line {line}: “{name}” stands twice. Remove one of the lines.")


class NodeNameTaken(Refusal):
    """M-3: siblings have different names."""

    field = "names"
    message = N_("Line {line}: “{name}” exists already at this place. Remove the line or change it.")


class NodeNameIsInvalid(Refusal):
    """M-3: an invalid line is named."""

    field = "names"
    message = N_(
        "Line {line}: “{name}” is not a valid name. Use 1 to 60 Chinese or English letters, digits or underscores."
    )


class NoNamesEntered(Refusal):
    """Nothing to add."""

    field = "names"
    message = N_("Enter at least one name, one on each line.")


class NoLevelBelow(Refusal):
    """The tree is as deep as the industry has levels."""

    field = "names"
    message = N_("“{name}” stands at the last level. Add a level to the industry first.")


class EnvironmentChoiceIsIncomplete(Refusal):
    """D-2: one choice at each level, at least one at the last."""

    field = "environment"
    message = N_("Choose the production environment down to “{level}”.")


class Environment(State):
    """The tree of one industry, by node id."""

    nodes: dict[UUID, EnvironmentNode] = msgspec.field(default_factory=dict)

    def children(self, parent_id: UUID | None) -> list[EnvironmentNode]:
        """The nodes directly below a node, or the first level."""
        return [node for node in self.nodes.values() if node.parent_id == parent_id]

    def path_to(self, node_id: UUID) -> list[EnvironmentNode]:
        """The nodes from the first level down to this one.

        Raises:
            NotFound: there is no such node.
        """
        path: list[EnvironmentNode] = []
        step: UUID | None = node_id
        while step is not None:
            if step not in self.nodes:
                raise NotFound
            path.insert(0, self.nodes[step])
            step = self.nodes[step].parent_id
        return path


def environment_id(industry_id: UUID) -> UUID:
    """The id of the environment aggregate of an industry."""
    return uuid5(NAMESPACE_URL, f"urn:assay:environment:{industry_id}")


def add_nodes(
    environment: Environment | None,
    industry_id: UUID,
    level_count: int,
    parent_id: UUID | None,
    names: Sequence[str],
    node_ids: Sequence[UUID],
) -> list[Fact]:
    """Add many siblings at once (M-3), one name a line; blank lines are skipped. `node_ids` has an id for each line.

    Raises:
        NoNamesEntered, NoLevelBelow, NodeNameIsInvalid, NodeNameRepeated, NodeNameTaken: every wrong line, named.
    """
    tree = environment or Environment()
    lines = [
        (number, name.strip(), node_id) for number, (name, node_id) in enumerate(zip(names, node_ids, strict=True), 1)
    ]
    lines = [line for line in lines if line[1]]
    if not lines:
        raise NoNamesEntered
    path = tree.path_to(parent_id) if parent_id else []
    if len(path) >= level_count:
        raise NoLevelBelow(name=path[-1].name if path else "")
    taken = {name_key(node.name) for node in tree.children(parent_id)}
    entered: set[str] = set()
    refusals: list[Refusal] = []
    for number, name, _ in lines:
        try:
            check_plain_name(name)
        except Refusal:
            refusals.append(NodeNameIsInvalid(line=number, name=name))
        if name_key(name) in entered:
            refusals.append(NodeNameRepeated(line=number, name=name))
        elif name_key(name) in taken:
            refusals.append(NodeNameTaken(line=number, name=name))
        entered.add(name_key(name))
    raise_together(refusals)
    nodes = tuple(EnvironmentNode(node_id, name, parent_id) for _, name, node_id in lines)
    return [EnvironmentNodesAdded(industry_id=industry_id, nodes=nodes)]


def remove_nodes(environment: Environment, industry_id: UUID, node_ids: Sequence[UUID]) -> list[Fact]:
    """Remove nodes with everything below them.

    Raises:
        NotFound: one of them does not exist.
    """
    gone: list[UUID] = []
    waiting = list(node_ids)
    while waiting:
        node_id = waiting.pop()
        if node_id not in environment.nodes:
            raise NotFound
        if node_id not in gone:
            gone.append(node_id)
            waiting.extend(node.node_id for node in environment.children(node_id))
    return [EnvironmentNodesRemoved(industry_id=industry_id, node_ids=tuple(gone))]


def bind(
    environment: Environment | None,
    industry_id: UUID,
    industry: str,
    level_names: Sequence[str],
    node_ids: Sequence[UUID],
) -> EnvironmentBinding:
    """The binding to the chosen last-level nodes, which share one place above them (D-2).

    Raises:
        EnvironmentChoiceIsIncomplete: nothing chosen, not at the last level, or not below one place.
        NotFound: a chosen node is gone.
    """
    incomplete = EnvironmentChoiceIsIncomplete(level=level_names[-1] if level_names else "")
    tree = environment or Environment()
    paths = [tree.path_to(node_id) for node_id in dict.fromkeys(node_ids)]
    if not paths or any(len(path) != len(level_names) for path in paths):
        raise incomplete
    if len({path[-1].parent_id for path in paths}) != 1:
        raise incomplete
    return EnvironmentBinding(
        industry_id=industry_id,
        industry=industry,
        level_names=tuple(level_names),
        path=tuple(paths[0][:-1]),
        products=tuple(path[-1] for path in paths),
    )


EVOLVE = evolves(
    Environment,
    {
        EnvironmentNodesAdded: lambda tree, fact: replace(
            tree or Environment(), nodes=(tree.nodes if tree else {}) | {node.node_id: node for node in fact.nodes}
        ),
        EnvironmentNodesRemoved: lambda tree, fact: replace(
            tree, nodes={node_id: node for node_id, node in tree.nodes.items() if node_id not in set(fact.node_ids)}
        ),
    },
)
