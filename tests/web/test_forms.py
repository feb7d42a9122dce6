"""Forms: what is read from a request, and what is refused."""

from enum import Enum
from uuid import UUID

import pytest

from domain.refusals import ChangedMeanwhile, Refusals
from domain.users import EmailIsInvalid, PasswordIsTooWeak
from web.forms import ChoiceExpected, Form, NumberExpected, WholeNumberExpected

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


@pytest.mark.parametrize("entered", ["", "8.5", "many", "0x10", "1_0"])
def test_a_whole_number_is_asked_for(entered: str) -> None:
    with pytest.raises(WholeNumberExpected) as refused:
        Form.of(cpu_cores=entered).whole("cpu_cores")
    assert refused.value.at == "cpu_cores"
    assert Form.of(cpu_cores=" 8 ").whole("cpu_cores") == 8
    assert Form.of(cpu_cores="８").whole("cpu_cores") == 8  # as Chinese keyboards write it


@pytest.mark.parametrize("entered", ["", "many", "nan", "inf", "-inf", "1_0"])
def test_a_finite_number_is_asked_for(entered: str) -> None:
    with pytest.raises(NumberExpected):
        Form.of(split_ratio=entered).number("split_ratio")
    assert Form.of(split_ratio="0.8").number("split_ratio") == 0.8
    assert Form.of(split_ratio="０．８").number("split_ratio") == 0.8


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
