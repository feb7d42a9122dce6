"""Industries and their levels."""

import pytest

from domain.industries import (
    DefaultIndustryChosen,
    IndustryCreated,
    IndustryLevelsDefined,
    LevelCountIsWrong,
    LevelNameRepeated,
    LevelsCannotBeRemoved,
    choose_default,
    create,
    define_levels,
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


def test_saved_levels_cannot_be_removed() -> None:  # M-2
    given(INDUSTRY, LEVELS).when(define_levels, LEVEL_NAMES[:3]).then_refused(
        LevelsCannotBeRemoved, "The 4 levels that are saved can be renamed, not removed", at="level_names"
    )


def test_further_levels_can_be_added_behind_the_saved_ones() -> None:  # M-2
    longer = (*LEVEL_NAMES, "批次")
    given(INDUSTRY, LEVELS).when(define_levels, longer).then(IndustryLevelsDefined(level_names=longer))


def test_the_same_levels_again_change_nothing() -> None:
    given(INDUSTRY, LEVELS).when(define_levels, LEVEL_NAMES).then()


def test_two_levels_of_one_name_are_refused() -> None:  # M-2
    given(INDUSTRY).when(define_levels, ("工厂", "站点", "工厂")).then_refused(
        LevelNameRepeated, "“工厂” stands twice", at="level_names"
    )


def test_every_wrong_level_name_is_told_at_once() -> None:  # M-2
    given(INDUSTRY).when(define_levels, ("工 厂", "站点", "", "站点")).then_refused_together(
        (PlainNameIsInvalid, "“工 厂”"), (PlainNameIsInvalid, "“”"), (LevelNameRepeated, "“站点”")
    )


def test_the_first_default_is_chosen() -> None:  # M-1
    given().when(choose_default, INDUSTRY_ID).then(DEFAULT_CHOSEN)


def test_another_industry_takes_its_place() -> None:  # M-1
    given(DEFAULT_CHOSEN).when(choose_default, STEEL_ID).then(DefaultIndustryChosen(industry_id=STEEL_ID))


def test_choosing_the_default_again_changes_nothing() -> None:  # M-1
    given(DEFAULT_CHOSEN).when(choose_default, INDUSTRY_ID).then()
