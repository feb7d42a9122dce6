"""Names: how they may look, and that two can never be the same."""

import pytest

from domain.names import (
    NameClaimed,
    NameKind,
    NameReleased,
    NameTaken,
    ObjectNameIsInvalid,
    PlainNameIsInvalid,
    PlainNameIsMissing,
    UsernameIsInvalid,
    check_object_name,
    check_plain_name,
    check_username,
    claim,
    claim_id,
    name_key,
    release,
)
from tests.examples import MODEL_ID, TRAINING_DATASET_ID, example_id
from tests.given_when_then import given, when

CLAIMED = NameClaimed(kind=NameKind.MODEL, name="panel-a", owner=MODEL_ID)
ANOTHER_ID = example_id("another model")


@pytest.mark.parametrize("name", ["a", "Z9", "panel-a", "Panel_A-2", "a" * 60, "a--_b"])
def test_an_object_name_starts_with_a_letter_and_ends_with_a_letter_or_digit(name: str) -> None:  # D-1
    check_object_name(name)


@pytest.mark.parametrize(
    "name", ["", " ", "9a", "-a", "_a", "a-", "a_", "a b", "a.b", "面板", "a面", "a" * 61, "a\n", "é1", "ａb"]
)
def test_any_other_object_name_is_refused(name: str) -> None:  # D-1
    when(check_object_name, name).then_refused(ObjectNameIsInvalid, "starts with a letter", at="name")


@pytest.mark.parametrize("name", ["显示面板", "AOI站", "65寸_2", "_", "a" * 60, "龘" * 60, "㐀"])
def test_a_plain_name_has_chinese_or_english_letters_digits_and_underscores(name: str) -> None:  # M-1
    check_plain_name(name)


@pytest.mark.parametrize("name", [" ", "显示 面板", "面板-A", "a/b", "面" * 61, "パネル", "a\n", "面板！", "é"])
def test_any_other_plain_name_is_refused_and_named(name: str) -> None:  # M-1
    when(check_plain_name, name).then_refused(PlainNameIsInvalid, f"“{name}” is not a valid name", at="name")


def test_no_plain_name_at_all_is_asked_for() -> None:  # M-1
    when(check_plain_name, "").then_refused(PlainNameIsMissing, "Enter a name", at="name")


@pytest.mark.parametrize("name", ["wang5", "王小明训练员", "trainer_wang", "a" * 64])
def test_a_user_name_has_5_to_64_characters(name: str) -> None:  # U-2
    check_username(name)


@pytest.mark.parametrize("name", ["", "wang", "王小明", "a" * 65, "wang li", "wang-li", "wang@fab", "wangé", "wang1\n"])
def test_any_other_user_name_is_refused(name: str) -> None:  # U-2
    when(check_username, name).then_refused(UsernameIsInvalid, "5 to 64 characters", at="username")


def test_a_free_name_is_claimed() -> None:
    given().when(claim, NameKind.MODEL, "panel-a", MODEL_ID).then(CLAIMED)


def test_a_name_that_someone_else_holds_is_refused() -> None:
    given(CLAIMED).when(claim, NameKind.MODEL, "panel-a", ANOTHER_ID).then_refused(NameTaken, "“panel-a” is taken")


def test_the_refusal_stands_beside_the_field_of_the_form() -> None:
    given(CLAIMED).when(claim, NameKind.MODEL, "panel-a", ANOTHER_ID, field="model_name").then_refused(
        NameTaken, at="model_name"
    )


def test_claiming_what_one_holds_already_changes_nothing() -> None:
    given(CLAIMED).when(claim, NameKind.MODEL, "panel-a", MODEL_ID).then()


def test_a_released_name_is_free_for_others() -> None:
    given(CLAIMED).when(release, MODEL_ID).then(NameReleased())
    given(CLAIMED, NameReleased()).when(claim, NameKind.MODEL, "panel-a", ANOTHER_ID).then(
        NameClaimed(kind=NameKind.MODEL, name="panel-a", owner=ANOTHER_ID)
    )


def test_nobody_releases_the_name_of_another() -> None:
    given(CLAIMED).when(release, ANOTHER_ID).then()
    given(CLAIMED, NameReleased()).when(release, MODEL_ID).then()
    given().when(release, MODEL_ID).then()


@pytest.mark.parametrize("other", ["PANEL-A", "Panel-a", "ｐanel-a", " panel-a "])
def test_case_and_width_make_no_other_name(other: str) -> None:
    assert claim_id(NameKind.MODEL, other) == claim_id(NameKind.MODEL, "panel-a")


def test_composed_letters_make_no_other_name() -> None:
    assert name_key("Cafe\u0301") == name_key("Café")


def test_another_name_or_kind_is_another_claim() -> None:
    claims = {claim_id(kind, name) for kind in NameKind for name in ("panel-a", "panel-b", "面板")}
    assert len(claims) == 3 * len(NameKind)
    assert TRAINING_DATASET_ID not in claims
