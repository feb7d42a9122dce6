"""Cascading choices: what is offered, what counts as chosen, and the fragment that a script asks for. D-2, D-6, M-8, S-4."""

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from domain.environments import EnvironmentNode
from projections.industries import IndustryRow
from tests.examples import (
    AOI_STATION,
    ARRAY_FAB,
    CELL_FAB,
    FACTORY_1,
    FACTORY_2,
    INDUSTRY_ID,
    PANEL_65,
    PANEL_75,
    REPAIR_STATION,
    example_id,
)
from tests.web.places import PANELS, FakeEnvironments, FakeIndustries
from tests.web.reading import words
from tests.web.site import Site
from web.cascade import MANY_CHOICES, MOST_CHOICES, Cascade, cascade_fields, environment_cascade
from web.forms import Form

WAY = {"level_1": FACTORY_1.node_id, "level_2": ARRAY_FAB.node_id, "level_3": AOI_STATION.node_id}
STEEL_ID, MILL = example_id("钢铁"), EnvironmentNode(example_id("热轧厂"), "热轧厂")
STEEL = IndustryRow(STEEL_ID, "钢铁", ("炼钢厂",), is_default=False, created_at=datetime(2026, 3, 2, tzinfo=UTC))


def read(*industries: IndustryRow, environments: FakeEnvironments | None = None) -> Any:
    return SimpleNamespace(
        industries=FakeIndustries(*(industries or (PANELS,))), environments=environments or FakeEnvironments()
    )


def binding(**fields: object) -> Cascade:
    return environment_cascade(read(), Form.of(**fields), several_at_last=True)


def filtering(**fields: object) -> Cascade:
    return environment_cascade(read(), Form.of(**fields), several_at_last=False)


def offered(cascade: Cascade) -> list[list[str]]:
    return [[choice.name for choice in level.choices] for level in cascade.levels]


def industry(level_count: int) -> tuple[IndustryRow, FakeEnvironments, list[EnvironmentNode]]:
    """An industry with so many levels, and one node at each."""
    names = tuple(f"层级{number}" for number in range(1, level_count + 1))
    row = IndustryRow(INDUSTRY_ID, "显示面板", names, is_default=True, created_at=PANELS.created_at)
    nodes: list[EnvironmentNode] = []
    for name in names:
        nodes.append(EnvironmentNode(example_id(name), f"{name}的节点", nodes[-1].node_id if nodes else None))
    return row, FakeEnvironments(nodes), nodes


def test_a_binding_has_one_choice_a_level_and_several_at_the_last() -> None:  # D-2
    assert [(level.name, level.field, level.is_multiple) for level in binding().levels] == [
        ("工厂", "level_1", False),
        ("厂别", "level_2", False),
        ("站点", "level_3", False),
        ("产品", "level_4", True),
    ]
    assert not any(level.is_multiple for level in filtering().levels)


def test_a_level_offers_only_what_lies_below_the_choice_above() -> None:  # D-2, D-6
    assert offered(binding()) == [["一厂区", "二厂区"], [], [], []]
    assert offered(binding(level_1=FACTORY_1.node_id)) == [["一厂区", "二厂区"], ["阵列厂", "成盒厂"], [], []]
    assert offered(binding(level_1=FACTORY_2.node_id)) == [["一厂区", "二厂区"], [], [], []]
    assert offered(binding(**WAY))[2:] == [["AOI站", "修补站"], ["65寸面板", "75寸面板"]]
    assert [level.is_open for level in filtering(level_1=FACTORY_1.node_id).levels] == [True, True, False, False]


def test_no_more_is_asked_than_the_levels_that_are_open() -> None:
    environments = FakeEnvironments()
    environment_cascade(read(environments=environments), Form.of(level_1=FACTORY_1.node_id), several_at_last=True)
    assert environments.asked == [INDUSTRY_ID, FACTORY_1.node_id]


def test_the_deepest_choice_counts() -> None:  # D-6
    assert filtering().place_ids == ()
    assert filtering(level_1=FACTORY_1.node_id, level_2="").place_ids == (FACTORY_1.node_id,)
    assert filtering(**WAY).place_ids == (AOI_STATION.node_id,)
    chosen = binding(**WAY, level_4=[PANEL_65.node_id, PANEL_75.node_id])
    assert chosen.place_ids == (PANEL_65.node_id, PANEL_75.node_id)
    assert filtering(**WAY, level_4=[PANEL_65.node_id, PANEL_75.node_id]).place_ids == (PANEL_65.node_id,)


@pytest.mark.parametrize(
    "fields",
    [
        {"level_1": FACTORY_1.node_id, "level_2": REPAIR_STATION.node_id},  # a level too deep
        {"level_1": FACTORY_2.node_id, "level_2": ARRAY_FAB.node_id},  # below another factory
        {"level_2": ARRAY_FAB.node_id},  # below nothing
        {"level_1": FACTORY_1.node_id, "level_3": AOI_STATION.node_id},  # with a gap
        {"level_1": FACTORY_1.node_id, "level_2": "everything"},
        {"level_1": UUID(int=7)},
    ],
)
def test_a_place_that_is_not_below_the_choice_above_counts_as_not_chosen(fields: dict[str, object]) -> None:  # D-2
    first = fields.get("level_1")
    expected = (first,) if first in {FACTORY_1.node_id, FACTORY_2.node_id} else ()
    assert filtering(**fields).place_ids == expected
    assert binding(**fields).place_ids == expected


@pytest.mark.parametrize("level_count", [1, 4, 10])
def test_a_cascade_goes_as_deep_as_the_industry_has_levels(level_count: int) -> None:  # M-2, D-2
    row, environments, nodes = industry(level_count)
    fields = {f"level_{number}": node.node_id for number, node in enumerate(nodes, 1)}
    for depth in range(level_count + 1):
        chosen = Form.of(**dict(list(fields.items())[:depth]))
        for several_at_last in (True, False):
            made = environment_cascade(read(row, environments=environments), chosen, several_at_last=several_at_last)
            assert len(made.levels) == level_count
            assert sum(level.is_open for level in made.levels) == min(depth + 1, level_count)
            assert made.place_ids == ((nodes[depth - 1].node_id,) if depth else ())
            assert made.levels[-1].is_multiple is several_at_last


def many(count: int) -> FakeEnvironments:
    return FakeEnvironments(
        [
            FACTORY_1,
            ARRAY_FAB,
            AOI_STATION,
            *(
                EnvironmentNode(example_id(f"p{number}"), f"p{number:04d}", AOI_STATION.node_id)
                for number in range(count)
            ),
        ]
    )


def test_thousands_of_siblings_are_found_by_a_part_of_their_name() -> None:  # D-2
    products = many(3_000)
    last = environment_cascade(read(environments=products), Form.of(**WAY), several_at_last=True).levels[-1]
    assert (len(last.choices), last.count, last.is_searchable) == (MOST_CHOICES, 3_000, True)
    searched = Form.of(**WAY, find_4="299", level_4=[example_id("p7")])
    last = environment_cascade(read(environments=products), searched, several_at_last=True).levels[-1]
    assert "p2991" in [choice.name for choice in last.choices]
    assert [choice.name for choice in last.chosen] == ["p0007"], "what is ticked stays, whatever is looked for"


def test_a_few_siblings_need_no_search() -> None:
    few = environment_cascade(read(environments=many(MANY_CHOICES)), Form.of(**WAY), several_at_last=True)
    more = environment_cascade(read(environments=many(MANY_CHOICES + 1)), Form.of(**WAY), several_at_last=True)
    one_of_more = environment_cascade(read(environments=many(MANY_CHOICES + 1)), Form.of(**WAY), several_at_last=False)
    assert [made.levels[-1].is_searchable for made in (few, more, one_of_more)] == [False, True, False]


def test_a_filter_reaches_what_was_bound_in_another_industry(site: Site) -> None:  # M-8
    environments = FakeEnvironments()
    environments.trees[STEEL_ID] = (MILL,)
    both = read(PANELS, STEEL, environments=environments)
    made = environment_cascade(both, Form(), several_at_last=False)
    assert [choice.name for choice in made.industries] == ["显示面板", "钢铁"]
    assert made.place_ids == ()
    steel = environment_cascade(both, Form.of(industry=STEEL_ID), several_at_last=False)
    assert ([level.name for level in steel.levels], offered(steel)) == (["炼钢厂"], [["热轧厂"]])
    assert steel.place_ids == (STEEL_ID,)
    mill = environment_cascade(both, Form.of(industry=STEEL_ID, level_1=MILL.node_id), several_at_last=False)
    assert mill.place_ids == (MILL.node_id,)


def test_a_binding_belongs_to_the_default_industry_only() -> None:  # D-2, M-8
    made = environment_cascade(read(PANELS, STEEL), Form.of(industry=STEEL_ID), several_at_last=True)
    assert (made.industries, len(made.levels), made.place_ids) == ((), 4, ())


def test_one_industry_is_no_choice_and_no_industry_has_no_levels() -> None:  # M-7
    without_levels = IndustryRow(STEEL_ID, "钢铁", (), is_default=False, created_at=PANELS.created_at)
    assert environment_cascade(read(PANELS, without_levels), Form(), several_at_last=False).industries == ()
    nothing = SimpleNamespace(industries=FakeIndustries(), environments=FakeEnvironments())
    assert environment_cascade(nothing, Form(), several_at_last=True) == Cascade()


def test_a_prefix_keeps_two_cascades_of_one_form_apart() -> None:  # W-2
    form = Form.of(level_1=FACTORY_1.node_id, filter_level_1=FACTORY_2.node_id)
    made = environment_cascade(read(), form, several_at_last=False, prefix="filter_")
    assert (made.levels[0].field, made.place_ids) == ("filter_level_1", (FACTORY_2.node_id,))
    assert environment_cascade(read(), form, several_at_last=True).place_ids == (FACTORY_1.node_id,)


def test_only_the_fields_of_a_cascade_are_kept_with_a_draft() -> None:  # W-1
    form = Form.of(level_1=FACTORY_1.node_id, level_2="", find_4="65", industry=INDUSTRY_ID, name="x", level_name="y")
    assert [name for name, _ in cascade_fields(form)] == ["level_1", "find_4", "industry"]


# The fragment.


@pytest.fixture
def place(site: Site) -> Site:
    site.read.industries, site.read.environments = FakeIndustries(PANELS), FakeEnvironments()
    return site


def test_the_levels_come_as_a_fragment(place: Site) -> None:  # S-4
    answer = place.get("/environment-choices?" + urlencode({"shape": "form", **WAY, "level_4": PANEL_75.node_id}))
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert re.search(rf'<option value="{AOI_STATION.node_id}" selected>AOI站', answer.text)
    assert re.search(rf'name="level_4" value="{PANEL_75.node_id}" checked', answer.text)
    assert not re.search(rf'name="level_4" value="{PANEL_65.node_id}" checked', answer.text)
    assert CELL_FAB.name in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_fragment_of_a_filter_ticks_nothing_and_takes_its_prefix(place: Site) -> None:  # D-6, W-2
    fields = {"shape": "filter", "prefix": "filter_", **{f"filter_{name}": value for name, value in WAY.items()}}
    answer = place.get("/environment-choices?" + urlencode(fields))
    assert 'name="filter_level_4"' in answer.text
    assert "checkbox" not in answer.text
    assert "65寸面板" in answer.text


def test_the_fragment_says_where_there_is_nothing_below(place: Site) -> None:
    answer = place.get("/environment-choices?" + urlencode({"shape": "form", "level_1": FACTORY_2.node_id}))
    assert "“二厂区”下还没有内容" in words(answer.text)
    nothing = place.get("/environment-choices?" + urlencode({"shape": "form", **WAY, "find_4": "<b>"}))
    assert "没有名称包含“&lt;b&gt;”" in words(nothing.text)


def test_the_fragment_is_for_everyone_who_is_signed_in_and_for_nobody_else(trainer: Site) -> None:  # U
    trainer.read.industries, trainer.read.environments = FakeIndustries(PANELS), FakeEnvironments()
    assert trainer.get("/environment-choices?shape=form").status_code == 200
    trainer.client.cookies.clear()
    assert trainer.get("/environment-choices?shape=form").status_code == 303
