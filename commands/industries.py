"""What can be asked about industries."""

from typing import ClassVar
from uuid import UUID

from commands.assay import Assay, Change, Command, handles
from domain import environments, industries
from domain.environments import Environment, environment_id
from domain.industries import DEFAULT_INDUSTRY_ID, DefaultIndustry, Industry, OtherIndustryDeleted
from domain.names import NameClaim, NameKind, claim, claim_id, release
from domain.permissions import Permission


class CreateIndustry(Command):
    """A further industry (M-1); the first one becomes the default. `industry_id` is new."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    industry_id: UUID
    name: str


class DefineLevels(Command):
    """Name the levels, outermost first (M-2)."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    industry_id: UUID
    level_names: tuple[str, ...]


class ChooseDefaultIndustry(Command):
    """Make an industry the system default (M-1)."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    industry_id: UUID


class DeleteIndustry(Command):
    """Delete an industry with its production environment (M-1)."""

    PERMISSION: ClassVar = Permission.MANAGE_MASTER_DATA
    industry_id: UUID


@handles(CreateIndustry)
def create_industry(command: CreateIndustry, assay: Assay) -> int:
    if assay.has_made(Industry, command.industry_id):
        return 0
    name_id = claim_id(NameKind.INDUSTRY, command.name)
    name, default = assay.find(NameClaim, name_id), assay.find(DefaultIndustry, DEFAULT_INDUSTRY_ID)
    facts = industries.create(command.name)
    chosen = [] if default else industries.choose_default(default, command.industry_id)
    return assay.save(
        command,
        Change(command.industry_id, None, facts),
        Change(name_id, name, claim(name, NameKind.INDUSTRY, command.name, command.industry_id)),
        Change(DEFAULT_INDUSTRY_ID, default, chosen),
    )


@handles(DefineLevels)
def define_levels(command: DefineLevels, assay: Assay) -> int:
    industry = assay.load(Industry, command.industry_id)
    return assay.save(command, Change(industry.id, industry, industries.define_levels(industry, command.level_names)))


@handles(ChooseDefaultIndustry)
def choose_default_industry(command: ChooseDefaultIndustry, assay: Assay) -> int:
    industry = assay.load(Industry, command.industry_id)
    default = assay.find(DefaultIndustry, DEFAULT_INDUSTRY_ID)
    return assay.save(command, Change(DEFAULT_INDUSTRY_ID, default, industries.choose_default(default, industry.id)))


@handles(DeleteIndustry)
def delete_industry(command: DeleteIndustry, assay: Assay) -> int:
    industry = assay.load(Industry, command.industry_id)
    default = assay.load(DefaultIndustry, DEFAULT_INDUSTRY_ID)
    name_id, tree_id = claim_id(NameKind.INDUSTRY, industry.name), environment_id(industry.id)
    name, tree = assay.find(NameClaim, name_id), assay.find(Environment, tree_id)
    facts = industries.delete(industry, default)
    return assay.save(
        command,
        Change(industry.id, industry, facts),
        Change(name_id, name, release(name, industry.id)),
        Change(tree_id, tree, environments.delete(industry.id)),
        Change(DEFAULT_INDUSTRY_ID, default, [OtherIndustryDeleted(industry_id=industry.id)]),
    )
