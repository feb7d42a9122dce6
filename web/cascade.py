"""Cascading choices along the levels of the production environment; without scripts they are plain selects grouped by parent."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from domain.environments import EnvironmentBinding
from web.forms import Form
from web.services import ReadModels


class Node(msgspec.Struct, frozen=True):
    """One environment node; `level` counts from 1, `parent_id` is None at the first."""

    node_id: UUID
    parent_id: UUID | None
    level: int
    name: str


class Choice(msgspec.Struct, frozen=True):
    """One option: `path` is where it lies (“工厂A / 一厂”), `parent_id` is empty at the first level."""

    node_id: str
    parent_id: str
    name: str
    path: str
    is_chosen: bool


class Level(msgspec.Struct, frozen=True):
    """One level with its options; `field` is the name of its form field, `level_1` and so on."""

    name: str
    field: str
    is_multiple: bool
    choices: tuple[Choice, ...]


class Cascade(msgspec.Struct, frozen=True):
    """The levels from the top down."""

    levels: tuple[Level, ...]


def cascade(level_names: Sequence[str], nodes: Iterable[Node], form: Form, *, several_at_last: bool) -> Cascade:
    """The choices of a form: one at each level, several at the last where a binding is made (D-2), one where a list is filtered."""
    known = {node.node_id: node for node in nodes}
    levels = []
    for number, name in enumerate(level_names, 1):
        chosen = set(form.all(f"level_{number}"))
        choices = tuple(
            Choice(
                str(node.node_id), str(node.parent_id or ""), node.name, _path(node, known), str(node.node_id) in chosen
            )
            for node in known.values()
            if node.level == number
        )
        levels.append(Level(name, f"level_{number}", several_at_last and number == len(level_names), choices))
    return Cascade(tuple(levels))


def environment_cascade(read: ReadModels, form: Form, *, several_at_last: bool) -> Cascade:
    """The cascade of the default industry; without levels where there is none yet."""
    industry = read.industries.default()
    if industry is None:
        return Cascade(())
    tree = read.environments.tree(industry.industry_id)
    nodes = [Node(row.node_id, row.parent_id, row.depth + 1, row.name) for row in tree]
    return cascade(industry.level_names, nodes, form, several_at_last=several_at_last)


def standing_nodes(read: ReadModels, bindings: Iterable[EnvironmentBinding]) -> frozenset[UUID]:
    """Of the nodes and industries of bindings, those that still exist; the others are shown as deleted (M-1, M-3)."""
    bound = {one for binding in bindings for one in (binding.industry_id, *binding.node_ids)}
    return frozenset(read.environments.standing(sorted(bound))) if bound else frozenset()


def deepest_chosen(form: Form, level_count: int) -> tuple[UUID, ...]:
    """The nodes chosen at the deepest level at which anything is chosen; empty where nothing is.

    Raises:
        ChoiceExpected: something that is no id was sent.
    """
    for number in range(level_count, 0, -1):
        if chosen := form.ids(f"level_{number}"):
            return chosen
    return ()


def _path(node: Node, known: dict[UUID, Node]) -> str:
    names: list[str] = []
    parent = known.get(node.parent_id) if node.parent_id else None
    while parent is not None:
        names.insert(0, parent.name)
        parent = known.get(parent.parent_id) if parent.parent_id else None
    return " / ".join(names)
