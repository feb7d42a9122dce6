"""Industries with their levels, and which one is the default. Source: REQUIREMENTS M-1, M-2; manual, “行业主数据管理”."""

from collections.abc import Sequence
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.facts import Fact, State, evolves, replace
from domain.names import check_plain_name, name_key
from domain.refusals import Refusal, collect, raise_together
from domain.sentences import N_

MAX_LEVELS = 10
DEFAULT_INDUSTRY_ID = uuid5(NAMESPACE_URL, "urn:assay:default-industry")
"""The one aggregate that remembers which industry is the default."""


class IndustryCreated(Fact):
    """The platform serves a further industry."""

    TOPIC: ClassVar[str] = "industry.created"
    name: str


class IndustryLevelsDefined(Fact):
    """The names of all levels, outermost first. Later ones keep the count; those of early releases may have added to it."""

    TOPIC: ClassVar[str] = "industry.levels_defined"
    level_names: tuple[str, ...]


class IndustryDeleted(Fact):
    """The platform does not serve the industry any more; its production environment went with it."""

    TOPIC: ClassVar[str] = "industry.deleted"


class DefaultIndustryChosen(Fact):
    """Environment data and new bindings belong to this industry from now on."""

    TOPIC: ClassVar[str] = "industry.default_chosen"
    industry_id: UUID


class OtherIndustryDeleted(Fact):
    """An industry that was not the default was deleted; noted beside the default, so that nobody chooses it at the same moment."""

    TOPIC: ClassVar[str] = "industry.other_deleted"
    industry_id: UUID


class LevelCountIsWrong(Refusal):
    """M-2."""

    field = "level_names"
    message = N_("An industry has 1 to 10 levels; you entered {count}.")


class LevelCountIsFixed(Refusal):
    """M-2: once saved, levels can only be renamed."""

    field = "level_names"
    message = N_("The {count} levels that are saved can only be renamed. Enter a name for each of them, and no more.")


class LevelNameRepeated(Refusal):
    """Two levels of one name could not be told apart in forms."""

    field = "level_names"
    message = N_("The level name “{name}” stands twice. Give each level its own name.")


class LevelNameMissing(Refusal):
    """Every level is called something."""

    field = "level_names"
    message = N_("Level {number} has no name. Enter one.")


class DefaultIndustryCannotBeDeleted(Refusal):
    """M-1."""

    message = N_("“{name}” is the default industry. Make another industry the default, then delete this one.")


class Industry(State):
    """What the rules need of an industry."""

    name: str
    level_names: tuple[str, ...] = ()
    is_deleted: bool = False


class DefaultIndustry(State):
    """Which industry is the default."""

    industry_id: UUID


def create(name: str) -> list[Fact]:
    """A further industry, without levels yet.

    Raises:
        PlainNameIsMissing, PlainNameIsInvalid
    """
    check_plain_name(name)
    return [IndustryCreated(name=name)]


def define_levels(industry: Industry, level_names: Sequence[str]) -> list[Fact]:
    """Name the levels for the first time, or rename those that are saved (M-2).

    Raises:
        LevelCountIsWrong, LevelCountIsFixed, LevelNameMissing, LevelNameRepeated, PlainNameIsInvalid (all that apply, together).
    """
    names = tuple(level_names)
    refusals: list[Refusal] = []
    if industry.level_names and len(names) != len(industry.level_names):
        refusals.append(LevelCountIsFixed(count=len(industry.level_names)))
    elif not 1 <= len(names) <= MAX_LEVELS:
        refusals.append(LevelCountIsWrong(count=len(names)))
    keys = [name_key(name) for name in names]
    for index, name in enumerate(names):
        if not name:
            refusals.append(LevelNameMissing(number=index + 1))
            continue
        collect(refusals, check_plain_name, name, field="level_names")
        if keys[index] in keys[:index]:
            refusals.append(LevelNameRepeated(name=name))
    raise_together(refusals)
    return [] if names == industry.level_names else [IndustryLevelsDefined(level_names=names)]


def choose_default(default: DefaultIndustry | None, industry_id: UUID) -> list[Fact]:
    """Make an industry the system default (M-1)."""
    if default is not None and default.industry_id == industry_id:
        return []
    return [DefaultIndustryChosen(industry_id=industry_id)]


def delete(industry: Industry, default: DefaultIndustry) -> list[Fact]:
    """Delete an industry that is not the default; its environment goes with it (M-1).

    Raises:
        DefaultIndustryCannotBeDeleted
    """
    if default.industry_id == industry.id:
        raise DefaultIndustryCannotBeDeleted(name=industry.name)
    return [IndustryDeleted()]


EVOLVE = evolves(
    Industry,
    {
        IndustryCreated: lambda industry, fact: Industry(name=fact.name),
        IndustryLevelsDefined: lambda industry, fact: replace(industry, level_names=fact.level_names),
        IndustryDeleted: lambda industry, fact: replace(industry, is_deleted=True),
    },
)
EVOLVE_DEFAULT = evolves(
    DefaultIndustry,
    {
        DefaultIndustryChosen: lambda default, fact: DefaultIndustry(industry_id=fact.industry_id),
        OtherIndustryDeleted: lambda default, fact: default,
    },
)
