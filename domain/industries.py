"""Industries with their levels, and which one is the default. Source: REQUIREMENTS M-1, M-2; manual, “行业主数据管理”."""

from collections.abc import Sequence
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.facts import Fact, State, evolves, replace
from domain.names import check_plain_name
from domain.refusals import Refusal, raise_together
from domain.sentences import N_

MAX_LEVELS = 10
DEFAULT_INDUSTRY_ID = uuid5(NAMESPACE_URL, "urn:assay:default-industry")
"""The one aggregate that remembers which industry is the default."""


class IndustryCreated(Fact):
    """The platform serves a further industry."""

    TOPIC: ClassVar[str] = "industry.created"
    name: str


class IndustryLevelsDefined(Fact):
    """The names of all levels, outermost first. Later ones keep the count that was saved before, or add to it."""

    TOPIC: ClassVar[str] = "industry.levels_defined"
    level_names: tuple[str, ...]


class DefaultIndustryChosen(Fact):
    """Environment data and new bindings belong to this industry from now on."""

    TOPIC: ClassVar[str] = "industry.default_chosen"
    industry_id: UUID


class LevelCountIsWrong(Refusal):
    """M-2."""

    field = "level_names"
    message = N_("An industry has 1 to 10 levels; you entered {count}.")


class LevelsCannotBeRemoved(Refusal):
    """M-2: once saved, levels can only be renamed."""

    field = "level_names"
    message = N_("The {count} levels that are saved can be renamed, not removed. Enter a name for each of them.")


class LevelNameRepeated(Refusal):
    """Two levels of one name could not be told apart in forms."""

    field = "level_names"
    message = N_("The level name “{name}” stands twice. Give each level its own name.")


class Industry(State):
    """What the rules need of an industry."""

    name: str
    level_names: tuple[str, ...] = ()


class DefaultIndustry(State):
    """Which industry is the default."""

    industry_id: UUID


def create(name: str) -> list[Fact]:
    """A further industry, without levels yet.

    Raises:
        PlainNameIsInvalid
    """
    check_plain_name(name)
    return [IndustryCreated(name=name)]


def define_levels(industry: Industry, level_names: Sequence[str]) -> list[Fact]:
    """Name the levels for the first time, add further ones at the end, or rename them (M-2).

    Raises:
        LevelCountIsWrong, LevelsCannotBeRemoved, LevelNameRepeated, PlainNameIsInvalid.
    """
    names = tuple(level_names)
    refusals: list[Refusal] = []
    if not 1 <= len(names) <= MAX_LEVELS:
        refusals.append(LevelCountIsWrong(count=len(names)))
    elif len(names) < len(industry.level_names):
        refusals.append(LevelsCannotBeRemoved(count=len(industry.level_names)))
    for index, name in enumerate(names):
        try:
            check_plain_name(name, field="level_names")
        except Refusal as refusal:
            refusals.append(refusal)
        if name in names[:index]:
            refusals.append(LevelNameRepeated(name=name))
    raise_together(refusals)
    return [] if names == industry.level_names else [IndustryLevelsDefined(level_names=names)]


def choose_default(default: DefaultIndustry | None, industry_id: UUID) -> list[Fact]:
    """Make an industry the system default (M-1)."""
    if default is not None and default.industry_id == industry_id:
        return []
    return [DefaultIndustryChosen(industry_id=industry_id)]


EVOLVE = evolves(
    Industry,
    {
        IndustryCreated: lambda industry, fact: Industry(name=fact.name),
        IndustryLevelsDefined: lambda industry, fact: replace(industry, level_names=fact.level_names),
    },
)
EVOLVE_DEFAULT = evolves(
    DefaultIndustry,
    {DefaultIndustryChosen: lambda default, fact: DefaultIndustry(industry_id=fact.industry_id)},
)
