"""The production environment of an industry: one tree of named nodes, as deep as the industry has levels. Source: M-3, M-4, D-2."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from domain.facts import Fact, State, evolves, replace
from domain.names import check_plain_name, name_key
from domain.refusals import NotFound, Refusal, raise_together
from domain.sentences import N_

MOST_LINES_NAMED = 20
"""So many wrong lines are named one by one, which is more than anyone corrects at once."""


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
    def node_ids(self) -> tuple[UUID, ...]:
        """Every node it touches: the whole way down, and all choices at the last level."""
        return tuple(node.node_id for node in (*self.path, *self.products))

    @property
    def place_ids(self) -> tuple[UUID, ...]:
        """The industry and every node it touches: whoever looks for one of them, finds what is bound here."""
        return (self.industry_id, *self.node_ids)


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


class EnvironmentDeleted(Fact):
    """The industry was deleted, and every node with it."""

    TOPIC: ClassVar[str] = "environment.deleted"
    industry_id: UUID


class NodeNameRepeated(Refusal):
    """M-3: a duplicate line is named."""

    field = "names"
    message = N_("Line {line}: “{name}” stands twice. Remove one of the lines.")


class NodeNameTaken(Refusal):
    """M-3: siblings have different names."""

    field = "names"
    message = N_("Line {line}: “{name}” exists already at this place. Remove the line or change it.")


class NodeNameTakenBelow(Refusal):
    """M-4: a problem is named by child and line."""

    field = "names"
    message = N_("Line {line}: “{name}” exists already below “{parent}”. Remove the line, or do not choose “{parent}”.")


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


class FurtherLinesAreWrong(Refusal):
    """So many wrong lines that naming each would help nobody."""

    field = "names"
    message = N_("{count} further lines are wrong. Correct those above, then look again.")


class NoLevelBelow(Refusal):
    """The tree is as deep as the industry has levels."""

    field = "names"
    message = N_("“{name}” stands at the last level; nothing can stand below it. Choose a place above.")


class NoLevelsYet(Refusal):
    """M-2: levels come before nodes."""

    field = "names"
    message = N_("The industry has no levels yet. Add its levels first.")


class NotBeforeTheLastLevel(Refusal):
    """M-4: what is added to several places at once stands at the last level."""

    field = "node_ids"
    message = N_("“{name}” does not stand directly above the last level. Choose entries that do.")


class NothingChosen(Refusal):
    """M-4: several at once, at least one."""

    field = "node_ids"
    message = N_("Choose at least one entry.")


class EnvironmentChoiceIsIncomplete(Refusal):
    """D-2: one choice at each level, at least one at the last."""

    field = "environment"
    message = N_("Choose the production environment down to “{level}”.")


class Environment(State):
    """The tree of one industry, by node id, in the order in which nodes were added.

    Each state has a mapping of its own; copying ten thousand nodes takes a tenth of the time in which the log stores one event.
    """

    HAS_LONG_HISTORY: ClassVar[bool] = True
    nodes: MappingProxyType[UUID, EnvironmentNode] = MappingProxyType({})

    def children(self, parent_id: UUID | None) -> list[EnvironmentNode]:
        """The nodes directly below a node, or the first level."""
        return [node for node in self.nodes.values() if node.parent_id == parent_id]

    def by_parent(self) -> Mapping[UUID | None, list[EnvironmentNode]]:
        """The children of every node, in one pass, for those who ask for many."""
        found: defaultdict[UUID | None, list[EnvironmentNode]] = defaultdict(list)
        for node in self.nodes.values():
            found[node.parent_id].append(node)
        return found

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
            path.append(self.nodes[step])
            step = self.nodes[step].parent_id
        return path[::-1]

    def below(self, node_ids: Iterable[UUID]) -> list[UUID]:
        """These nodes and everything below them, each once; those that do not exist are left out."""
        children = self.by_parent()
        found: dict[UUID, None] = {}
        waiting = list(node_ids)
        while waiting:
            node_id = waiting.pop()
            if node_id in self.nodes and node_id not in found:
                found[node_id] = None
                waiting.extend(node.node_id for node in children.get(node_id, ()))
        return list(found)


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

    Nothing happens where exactly these nodes were added before: the same wish came twice.

    Raises:
        NoNamesEntered, NoLevelsYet, NoLevelBelow, NotFound, and of every wrong line NodeNameIsInvalid, NodeNameRepeated,
        NodeNameTaken.
    """
    tree = environment or Environment()
    lines = _lines(names, node_ids)
    path = tree.path_to(parent_id) if parent_id else []
    _check_room(path, level_count)
    nodes = tuple(EnvironmentNode(line.node_id, line.name, parent_id) for line in lines)
    if _are_there(tree, nodes):
        return []
    taken = {name_key(node.name) for node in tree.children(parent_id)}
    refusals = _wrong_lines(lines)
    refusals += [
        NodeNameTaken(line=line.number, name=line.name) for line in _first_of_each_name(lines) if line.key in taken
    ]
    _refuse(refusals)
    return [EnvironmentNodesAdded(industry_id=industry_id, nodes=nodes)]


def add_nodes_to_several_parents(
    environment: Environment | None,
    industry_id: UUID,
    level_count: int,
    parent_ids: Sequence[UUID],
    names: Sequence[str],
    node_ids: Sequence[Sequence[UUID]],
) -> list[Fact]:
    """Add the same names at the last level below each of several nodes (M-4). `node_ids` has for each parent an id for each line.

    Nothing happens where exactly these nodes were added before: the same wish came twice.

    Raises:
        NothingChosen, NoNamesEntered, NoLevelsYet, NotBeforeTheLastLevel, NotFound, and of every wrong line NodeNameIsInvalid,
        NodeNameRepeated, and NodeNameTakenBelow for each parent.
    """
    if not parent_ids:
        raise NothingChosen
    tree = environment or Environment()
    ids_by_parent = dict(zip(parent_ids, node_ids, strict=True))
    lines = _lines(names, node_ids[0])
    children = tree.by_parent()
    nodes: list[EnvironmentNode] = []
    refusals = _wrong_lines(lines)
    for parent_id, ids in ids_by_parent.items():
        path = tree.path_to(parent_id)
        _check_room(path, level_count)
        if len(path) != level_count - 1:
            raise NotBeforeTheLastLevel(name=path[-1].name)
        nodes += (EnvironmentNode(line.node_id, line.name, parent_id) for line in _lines(names, ids))
        taken = {name_key(node.name) for node in children.get(parent_id, ())}
        refusals += (
            NodeNameTakenBelow(line=line.number, name=line.name, parent=path[-1].name)
            for line in _first_of_each_name(lines)
            if line.key in taken
        )
    if _are_there(tree, nodes):
        return []
    _refuse(refusals)
    return [EnvironmentNodesAdded(industry_id=industry_id, nodes=tuple(nodes))]


def remove_nodes(environment: Environment, industry_id: UUID, node_ids: Sequence[UUID]) -> list[Fact]:
    """Remove nodes with everything below them. Those that are gone already are gone: somebody was faster, or the wish came twice.

    Raises:
        NothingChosen
    """
    if not node_ids:
        raise NothingChosen
    gone = environment.below(node_ids)
    return [EnvironmentNodesRemoved(industry_id=industry_id, node_ids=tuple(gone))] if gone else []


def delete(industry_id: UUID) -> list[Fact]:
    """Everything goes with the industry."""
    return [EnvironmentDeleted(industry_id=industry_id)]


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


class _Line(NamedTuple):
    """A line of a form; `number` counts from 1 as people count, blank lines included."""

    number: int
    name: str
    node_id: UUID

    @property
    def key(self) -> str:
        return name_key(self.name)


def _lines(names: Sequence[str], node_ids: Sequence[UUID]) -> list[_Line]:
    """The lines that are not blank.

    Raises:
        NoNamesEntered
    """
    every = [
        _Line(number, name.strip(), node_id)
        for number, (name, node_id) in enumerate(zip(names, node_ids, strict=True), 1)
    ]
    if not any(line.name for line in every):
        raise NoNamesEntered
    return [line for line in every if line.name]


def _check_room(path: Sequence[EnvironmentNode], level_count: int) -> None:
    if not level_count:
        raise NoLevelsYet
    if len(path) >= level_count:
        raise NoLevelBelow(name=path[-1].name)


def _wrong_lines(lines: Sequence[_Line]) -> list[Refusal]:
    """What is wrong with lines wherever they go."""
    refusals: list[Refusal] = []
    entered: set[str] = set()
    for line in lines:
        try:
            check_plain_name(line.name)
        except Refusal:
            refusals.append(NodeNameIsInvalid(line=line.number, name=line.name))
        if line.key in entered:
            refusals.append(NodeNameRepeated(line=line.number, name=line.name))
        entered.add(line.key)
    return refusals


def _first_of_each_name(lines: Sequence[_Line]) -> list[_Line]:
    return list({line.key: line for line in reversed(lines)}.values())


def _refuse(refusals: list[Refusal]) -> None:
    """Raise the wrong lines in their order, as many as a person can read."""
    refusals.sort(key=lambda refusal: int(refusal.values["line"]))
    further = len(refusals) - MOST_LINES_NAMED
    raise_together(refusals[:MOST_LINES_NAMED] + ([FurtherLinesAreWrong(count=further)] if further > 0 else []))


def _are_there(tree: Environment, nodes: Sequence[EnvironmentNode]) -> bool:
    return all(tree.nodes.get(node.node_id) == node for node in nodes)


def _added(tree: Environment | None, fact: EnvironmentNodesAdded) -> Environment:
    known = tree or Environment()
    return replace(known, nodes=MappingProxyType(known.nodes | {node.node_id: node for node in fact.nodes}))


def _removed(tree: Environment, fact: EnvironmentNodesRemoved) -> Environment:
    gone = frozenset(fact.node_ids)
    return replace(tree, nodes=MappingProxyType({key: node for key, node in tree.nodes.items() if key not in gone}))


EVOLVE = evolves(
    Environment,
    {
        EnvironmentNodesAdded: _added,
        EnvironmentNodesRemoved: _removed,
        EnvironmentDeleted: lambda tree, fact: replace(tree or Environment(), nodes=MappingProxyType({})),
    },
)
