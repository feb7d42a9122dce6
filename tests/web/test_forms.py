"""Forms and lists: what is read from a request, and what is refused."""

from enum import Enum
from uuid import UUID

import pytest

from domain.refusals import ChangedMeanwhile, Refusals
from domain.users import EmailIsInvalid, PasswordIsTooWeak
from web.forms import ChoiceExpected, Form, NumberExpected, WholeNumberExpected
from web.listing import ROWS_ON_A_PAGE, read_listing

FACTORY, FAB = UUID(int=1), UUID(int=2)


class Colour(Enum):
    RED = "red"


def test_text_is_read_without_blanks_around_it_and_a_password_with_them() -> None:
    form = Form.of(name="  panel-a ", password=" Secret1 ")
    assert (form.text("name"), form.secret("password"), form.text("absent")) == ("panel-a", " Secret1 ", "")


def test_repeated_fields_and_ticked_boxes_are_read() -> None:
    form = Form.of(codes=["TPFIP", "TTFBS"], segmentation="on")
    assert form.all("codes") == ("TPFIP", "TTFBS")
    assert form.checked("segmentation")
    assert not form.checked("screening")


def test_lines_that_are_blank_are_left_out() -> None:
    assert Form.of(names="t1\r\n\r\n  t2 \n").lines("names") == ("t1", "t2")


@pytest.mark.parametrize("entered", ["", "8.5", "many", "0x10"])
def test_a_whole_number_is_asked_for(entered: str) -> None:
    with pytest.raises(WholeNumberExpected) as refused:
        Form.of(cpu_cores=entered).whole("cpu_cores")
    assert refused.value.at == "cpu_cores"
    assert Form.of(cpu_cores=" 8 ").whole("cpu_cores") == 8


@pytest.mark.parametrize("entered", ["", "many", "nan", "inf", "-inf"])
def test_a_finite_number_is_asked_for(entered: str) -> None:
    with pytest.raises(NumberExpected):
        Form.of(split_ratio=entered).number("split_ratio")
    assert Form.of(split_ratio="0.8").number("split_ratio") == 0.8


def test_only_offered_choices_are_read() -> None:
    assert Form.of(colour=Colour.RED).choice("colour", Colour) is Colour.RED
    assert Form.of(colour=["red"]).choices("colour", Colour) == (Colour.RED,)
    with pytest.raises(ChoiceExpected):
        Form.of(colour="blue").choice("colour", Colour)
    with pytest.raises(ChoiceExpected):
        Form.of(colour=["red", "blue"]).choices("colour", Colour)


def test_only_ids_are_read_as_ids() -> None:
    assert Form.of(node=FAB).id("node") == FAB
    assert Form.of(node=[FAB, "", FACTORY]).ids("node") == (FAB, FACTORY)
    with pytest.raises(ChoiceExpected):
        Form.of(node="../etc").id("node")
    with pytest.raises(ChoiceExpected):
        Form.of(node=[FAB, "../etc"]).ids("node")


def test_refusals_find_their_fields_and_the_others_stand_above() -> None:
    form = Form.of(email="wang@").refused(
        Refusals([EmailIsInvalid(email="wang@"), PasswordIsTooWeak(), ChangedMeanwhile()])
    )
    assert [str(sentence)[:7] for sentence in form.errors("email")] == ["“wang@”"]
    # There is no password field in this form, so its refusal must not be lost.
    assert [str(sentence)[:10] for sentence in form.unplaced] == ["A password", "Someone el"]


def test_a_lists_order_and_page_are_read_from_its_address() -> None:  # D-6
    form = Form.of(sort="-image_count", page="3", name="panel a")
    listing = read_listing("/datasets/training", form, columns=("name", "image_count"), default="-changed_at").of(100)
    assert (listing.sort, listing.page, listing.offset) == ("-image_count", 3, 2 * ROWS_ON_A_PAGE)
    assert (listing.first, listing.last, listing.page_count) == (41, 60, 5)
    assert listing.page_address(4) == "/datasets/training?sort=-image_count&name=panel+a&page=4"
    assert listing.page_address(1) == "/datasets/training?sort=-image_count&name=panel+a"
    assert listing.sort_address("image_count") == "/datasets/training?name=panel+a&sort=image_count"
    assert listing.sort_address("name") == "/datasets/training?name=panel+a&sort=name"
    assert listing.direction_of("image_count") == "descending"
    assert listing.direction_of("name") == "none"


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "99999999999", "²"])
def test_a_page_that_is_none_is_the_first(page: str) -> None:
    assert read_listing("/users", Form.of(page=page)).page == 1


def test_an_order_that_is_not_offered_is_the_default_one() -> None:
    form = Form.of(sort="password_hash; DROP TABLE users")
    assert read_listing("/users", form, columns=("name",), default="-created_at").sort == "-created_at"


def test_a_page_behind_the_end_is_the_last() -> None:
    assert read_listing("/users", Form.of(page="9")).of(41).page == 3
    assert read_listing("/users", Form.of(page="9")).of(0).page == 1


def test_paging_shows_first_last_and_neighbours() -> None:
    assert read_listing("/users", Form.of(page="10")).of(400).near_pages == (1, 0, 8, 9, 10, 11, 12, 0, 20)
    assert read_listing("/users", Form.of(page="1")).of(41).near_pages == (1, 2, 3)
