"""Industries and their levels."""

import pytest

from domain.industries import (
    DefaultIndustry,
    DefaultIndustryCannotBeDeleted,
    DefaultIndustryChosen,
    IndustryCreated,
    IndustryDeleted,
    IndustryLevelsDefined,
    LevelCountIsFixed,
    LevelCountIsWrong,
    LevelNameMissing,
    LevelNameRepeated,
    OtherIndustryDeleted,
    choose_default,
    create,
    define_levels,
    delete,
)
from domain.names import PlainNameIsInvalid
from tests.examples import DEFAULT_CHOSEN, INDUSTRY, INDUSTRY_ID, LEVEL_NAMES, LEVELS, example_id
from tests.given_when_then import given, when

STEEL_ID = example_id("钢铁")
TEN = tuple(f"层级{number}" for number in range(1, 11))


def test_a_new_industry_has_a_name_and_no_levels_yet() -> None:  # M-1
    when(create, "显示面板").then(IndustryCreated(name="显示面板"))


def test_an_industry_needs_a_valid_name() -> None:  # M-1
    when(create, "显示-面板").then_refused(PlainNameIsInvalid, "“显示-面板” is not a valid name", at="name")


@pytest.mark.parametrize("level_names", [("工厂",), LEVEL_NAMES, TEN])
def test_an_industry_has_one_to_ten_levels(level_names: tuple[str, ...]) -> None:  # M-2
    given(INDUSTRY).when(define_levels, level_names).then(IndustryLevelsDefined(level_names=level_names))


@pytest.mark.parametrize("level_names", [(), (*TEN, "层级11")])
def test_no_levels_and_eleven_are_refused(level_names: tuple[str, ...]) -> None:  # M-2
    given(INDUSTRY).when(define_levels, level_names).then_refused(
        LevelCountIsWrong, f"you entered {len(level_names)}", at="level_names"
    )


def test_saved_levels_can_be_renamed() -> None:  # M-2
    renamed = ("园区", "工厂", "站点", "产品")
    given(INDUSTRY, LEVELS).when(define_levels, renamed).then(IndustryLevelsDefined(level_names=renamed))


@pytest.mark.parametrize("level_names", [LEVEL_NAMES[:3], (*LEVEL_NAMES, "批次"), ()])
def test_saved_levels_can_neither_be_removed_nor_added_to(level_names: tuple[str, ...]) -> None:  # M-2
    given(INDUSTRY, LEVELS).when(define_levels, level_names).then_refused(
        LevelCountIsFixed, "The 4 levels that are saved can only be renamed", at="level_names"
    )


def test_levels_that_an_early_release_added_later_are_kept() -> None:  # E-1
    longer = IndustryLevelsDefined(level_names=(*LEVEL_NAMES, "批次"))
    given(INDUSTRY, LEVELS, longer).when(define_levels, LEVEL_NAMES).then_refused(LevelCountIsFixed, "The 5 levels")


def test_the_same_levels_again_change_nothing() -> None:
    given(INDUSTRY, LEVELS).when(define_levels, LEVEL_NAMES).then()


def test_two_levels_of_one_name_are_refused() -> None:  # M-2
    given(INDUSTRY).when(define_levels, ("工厂", "站点", "工厂")).then_refused(
        LevelNameRepeated, "“工厂” stands twice", at="level_names"
    )


def test_case_and_width_make_no_other_level() -> None:  # M-2
    given(INDUSTRY).when(define_levels, ("Line", "LINE")).then_refused(LevelNameRepeated, "“LINE” stands twice")


def test_every_wrong_level_name_is_told_at_once() -> None:  # M-2
    given(INDUSTRY).when(define_levels, ("工 厂", "站点", "", "站点")).then_refused_together(
        (PlainNameIsInvalid, "“工 厂”"), (LevelNameMissing, "Level 3 has no name"), (LevelNameRepeated, "“站点”")
    )


def test_the_first_default_is_chosen() -> None:  # M-1
    given().when(choose_default, INDUSTRY_ID).then(DEFAULT_CHOSEN)


def test_another_industry_takes_its_place() -> None:  # M-1
    given(DEFAULT_CHOSEN).when(choose_default, STEEL_ID).then(DefaultIndustryChosen(industry_id=STEEL_ID))


def test_choosing_the_default_again_changes_nothing() -> None:  # M-1
    given(DEFAULT_CHOSEN).when(choose_default, INDUSTRY_ID).then()


def test_the_default_industry_cannot_be_deleted() -> None:  # M-1
    default = DefaultIndustry(industry_id=INDUSTRY_ID)
    given(INDUSTRY, LEVELS, aggregate_id=INDUSTRY_ID).when(delete, default).then_refused(
        DefaultIndustryCannotBeDeleted, "“显示面板” is the default industry. Make another industry the default"
    )


def test_another_industry_can() -> None:  # M-1
    default = DefaultIndustry(industry_id=STEEL_ID)
    given(INDUSTRY, LEVELS, aggregate_id=INDUSTRY_ID).when(delete, default).then(IndustryDeleted())


def test_the_default_outlives_the_deletion_of_others() -> None:  # M-1
    given(DEFAULT_CHOSEN, OtherIndustryDeleted(industry_id=STEEL_ID)).when(choose_default, INDUSTRY_ID).then()
