"""Cascading choices along the levels of the production environment (D-2, D-6).

A level offers only what lies below the choice above it, so a page holds some dozens of places and never the tree. After a choice
the levels are asked for anew: with scripts as a fragment (`web/environment_choices.py`), without them by sending the form, whose
button `SHOW_LEVELS` changes nothing. What a form brings is looked up at its level: a place that is not below the choice above
counts as not chosen.
"""

import re
from collections.abc import Iterable
from uuid import UUID

import msgspec

from domain.environments import EnvironmentBinding
from projections.environments import ChildRow
from projections.industries import IndustryRow
from projections.read_model import Page as Rows
from web.forms import Form, id_or_none
from web.services import ReadModels

SHOW_LEVELS = "levels"
"""The button of a form that only shows the next level."""
MOST_CHOICES = 200
"""What a level offers at once. Default: more than anybody reads, few enough to be sent with every page."""
MANY_CHOICES = 12
"""From more on, several choices can be searched and ticked together."""
_FIELD = re.compile(r"(?:level|find)_\d+|industry")


class Choice(msgspec.Struct, frozen=True):
    """One option."""

    place_id: str
    name: str
    is_chosen: bool


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One level with what it offers. `field` is the name of its form field, `level_1` and so on; `search_field` looks for names.

    `above` is the chosen place of which these are the children. A level is open at the top, or once a place above is chosen;
    `count` is how many it could offer, which may be more than its choices.
    """

    name: str
    field: str
    search_field: str
    is_multiple: bool
    is_open: bool = False
    above: str = ""
    search: str = ""
    choices: tuple[Choice, ...] = ()
    count: int = 0

    @property
    def is_searchable(self) -> bool:
        """Whether there are too many to look through, or somebody is searching already."""
        return bool(self.search) or self.count > (MANY_CHOICES if self.is_multiple else MOST_CHOICES)

    @property
    def chosen(self) -> tuple[Choice, ...]:
        """Those that are chosen; at most one where only one can be."""
        return tuple(choice for choice in self.choices if choice.is_chosen)


class Cascade(msgspec.Struct, frozen=True, kw_only=True):
    """The levels from the top down. Filters also offer the industries, where there are several (M-8)."""

    levels: tuple[Level, ...] = ()
    industry_field: str = "industry"
    industries: tuple[Choice, ...] = ()
    address: str = ""
    """Where the levels can be asked for anew."""

    @property
    def place_ids(self) -> tuple[UUID, ...]:
        """What is chosen at the deepest level at which anything is; the chosen industry where nothing is; empty without that."""
        offered = [*(level.choices for level in reversed(self.levels)), self.industries]
        chosen = ([UUID(choice.place_id) for choice in choices if choice.is_chosen] for choices in offered)
        return tuple(next((place_ids for place_ids in chosen if place_ids), ()))


def environment_cascade(read: ReadModels, form: Form, *, several_at_last: bool, prefix: str = "") -> Cascade:
    """What a form has chosen and can choose; without levels where there is no default industry yet.

    For a binding (`several_at_last`) one place at each level of the default industry and several at the last (D-2); for a filter
    one at each level, of any industry. `prefix` stands before the names of the fields.
    """
    default: IndustryRow | None = read.industries.default()
    if default is None:
        return Cascade()
    industries = {} if several_at_last else _industries_with_levels(read)
    chosen = industries.get(form.text(f"{prefix}industry"))
    return Cascade(
        levels=_levels(read, chosen or default, form, prefix, several_at_last=several_at_last),
        industry_field=f"{prefix}industry",
        industries=tuple(Choice(place_id, one.name, one is chosen) for place_id, one in industries.items()),
        address=f"/environment-choices?shape={'form' if several_at_last else 'filter'}&prefix={prefix}",
    )


def cascade_fields(form: Form) -> tuple[tuple[str, str], ...]:
    """The fields of a form that belong to a cascade without a prefix, to be kept with a draft."""
    return tuple((name, value) for name, value in form.fields if value and _FIELD.fullmatch(name))


def standing_nodes(read: ReadModels, bindings: Iterable[EnvironmentBinding]) -> frozenset[UUID]:
    """Of the nodes and industries of bindings, those that still exist; the others are shown as deleted (M-1, M-3)."""
    bound = {one for binding in bindings for one in (binding.industry_id, *binding.node_ids)}
    return frozenset(read.environments.standing(sorted(bound))) if bound else frozenset()


def _industries_with_levels(read: ReadModels) -> dict[str, IndustryRow]:
    """By id, where there is a choice: a single one is no filter."""
    industries = {str(one.industry_id): one for one in read.industries.list() if one.level_names}
    return industries if len(industries) > 1 else {}


def _levels(
    read: ReadModels, industry: IndustryRow, form: Form, prefix: str, *, several_at_last: bool
) -> tuple[Level, ...]:
    levels: list[Level] = []
    above: Choice | None = None
    for number, name in enumerate(industry.level_names, 1):
        level = Level(
            name=name,
            field=f"{prefix}level_{number}",
            search_field=f"{prefix}find_{number}",
            is_multiple=several_at_last and number == len(industry.level_names),
        )
        if number == 1 or above is not None:
            level = _opened(read, industry.industry_id, above, form, level)
        levels.append(level)
        above = next(iter(level.chosen), None)
    return tuple(levels)


def _opened(read: ReadModels, industry_id: UUID, above: Choice | None, form: Form, level: Level) -> Level:
    sent = form.all(level.field) if level.is_multiple else form.all(level.field)[:1]
    wanted = {place_id for place_id in map(id_or_none, sent) if place_id is not None}
    search = form.text(level.search_field)
    children: Rows[ChildRow] = read.environments.named_children(
        UUID(above.place_id) if above else industry_id, search, kept=tuple(wanted), size=MOST_CHOICES
    )
    return msgspec.structs.replace(
        level,
        is_open=True,
        above=above.name if above else "",
        search=search,
        choices=tuple(Choice(str(node.node_id), node.name, node.node_id in wanted) for node in children.items),
        count=children.total,
    )
