"""What can be asked about the production environment of the default industry."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import environments
from domain.environments import Environment, EnvironmentBinding, environment_id
from domain.industries import DEFAULT_INDUSTRY_ID, DefaultIndustry, Industry
from domain.permissions import Permission


class AddNodes(Command):
    """Add many siblings at once, one name a line (M-3). `node_ids` are new, one for each line."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    industry_id: UUID
    parent_id: UUID | None
    names: tuple[str, ...]
    node_ids: tuple[UUID, ...]


class AddNodesToSeveralParents(Command):
    """Add the same last-level names below each of several nodes (M-4). `node_ids` are new: for each parent one for each line."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    industry_id: UUID
    parent_ids: tuple[UUID, ...]
    names: tuple[str, ...]
    node_ids: tuple[tuple[UUID, ...], ...]


class RemoveNodes(Command):
    """Remove nodes with everything below them (M-3, M-4)."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    industry_id: UUID
    node_ids: tuple[UUID, ...]


@handles(AddNodes)
def add_nodes(command: AddNodes, assay: Assay) -> int:
    industry = assay.load(Industry, command.industry_id)
    tree_id = environment_id(industry.id)
    tree = assay.find(Environment, tree_id)
    facts = environments.add_nodes(
        tree, industry.id, len(industry.level_names), command.parent_id, command.names, command.node_ids
    )
    return assay.save(command, Change(tree_id, tree, facts))


@handles(AddNodesToSeveralParents)
def add_nodes_to_several_parents(command: AddNodesToSeveralParents, assay: Assay) -> int:
    industry = assay.load(Industry, command.industry_id)
    tree_id = environment_id(industry.id)
    tree = assay.find(Environment, tree_id)
    facts = environments.add_nodes_to_several_parents(
        tree, industry.id, len(industry.level_names), command.parent_ids, command.names, command.node_ids
    )
    return assay.save(command, Change(tree_id, tree, facts))


@handles(RemoveNodes)
def remove_nodes(command: RemoveNodes, assay: Assay) -> int:
    tree = assay.load(Environment, environment_id(command.industry_id))
    return assay.save(
        command, Change(tree.id, tree, environments.remove_nodes(tree, command.industry_id, command.node_ids))
    )


def bind(assay: Assay, node_ids: tuple[UUID, ...]) -> EnvironmentBinding:
    """The binding to chosen nodes of the default industry (D-2).

    Raises:
        NotFound: there is no default industry yet, or a chosen node is gone.
        EnvironmentChoiceIsIncomplete
    """
    default = assay.load(DefaultIndustry, DEFAULT_INDUSTRY_ID)
    industry = assay.load(Industry, default.industry_id)
    tree = assay.find(Environment, environment_id(industry.id))
    return environments.bind(tree, industry.id, industry.name, industry.level_names, node_ids)
