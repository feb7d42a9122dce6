from domain.industries import (
    DEFAULT_INDUSTRY_ID,
    DefaultIndustryChosen,
    IndustryCreated,
    IndustryDeleted,
    IndustryLevelsDefined,
    OtherIndustryDeleted,
)
from projections.industries import Industries
from tests.examples import INDUSTRY_ID, LEVEL_NAMES, QUALITY_LEAD_ID, History, example_id, plant
from tests.projections.read_side import Project

STEEL_ID = example_id("钢铁")


def two_industries() -> History:
    return plant().add(STEEL_ID, IndustryCreated(name="钢铁"), actor=QUALITY_LEAD_ID)


def test_industries_stand_in_the_order_of_their_creation_with_their_levels(project: Project) -> None:  # M-1, M-2
    read = project(two_industries(), Industries)
    assert [(row.name, row.level_names) for row in read.industries.list()] == [("显示面板", LEVEL_NAMES), ("钢铁", ())]
    assert read.industries.get(STEEL_ID).name == "钢铁"
    assert read.industries.get(example_id("no industry")) is None


def test_exactly_one_industry_is_the_default(project: Project) -> None:  # M-1
    history = two_industries()
    read = project(history, Industries)
    assert read.industries.default().industry_id == INDUSTRY_ID
    history.add(DEFAULT_INDUSTRY_ID, DefaultIndustryChosen(industry_id=STEEL_ID), actor=QUALITY_LEAD_ID)
    read.take_in(history)
    assert read.industries.default().industry_id == STEEL_ID
    assert [row.is_default for row in read.industries.list()] == [False, True]


def test_a_deleted_industry_is_listed_no_more(project: Project) -> None:  # M-1
    history = two_industries().add(STEEL_ID, IndustryDeleted())
    history.add(DEFAULT_INDUSTRY_ID, OtherIndustryDeleted(industry_id=STEEL_ID))
    read = project(history, Industries)
    assert [row.name for row in read.industries.list()] == ["显示面板"]
    assert read.industries.get(STEEL_ID) is None
    assert read.industries.default().industry_id == INDUSTRY_ID
    read.assert_rebuild_equals_live()


def test_without_any_industry_there_is_no_default(project: Project) -> None:  # M-7
    assert project(History(), Industries).industries.default() is None


def test_renamed_levels_are_shown_under_their_new_names(project: Project) -> None:  # M-2
    history = plant().add(INDUSTRY_ID, IndustryLevelsDefined(level_names=("园区", "工厂", "站点", "产品")))
    assert project(history, Industries).industries.default().level_names == ("园区", "工厂", "站点", "产品")


def test_a_rebuild_gives_the_same_industries(project: Project) -> None:  # E-2
    history = two_industries().add(DEFAULT_INDUSTRY_ID, DefaultIndustryChosen(industry_id=STEEL_ID))
    assert len(project(history, Industries).assert_rebuild_equals_live()["industries"]) == 2
