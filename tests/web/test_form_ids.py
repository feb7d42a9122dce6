"""Forms that are sent twice make nothing new, also of their lines. Source: S-4, W-1."""

from uuid import UUID

from web.form_ids import id_made_by, ids_of_lines, new_form
from web.forms import Form


def test_the_same_form_makes_the_same_and_another_one_something_else() -> None:
    form, other = new_form(), new_form()
    assert id_made_by(form, "panel-a") == id_made_by(form, "panel-a")
    assert len({id_made_by(form, "panel-a"), id_made_by(form, "panel-b"), id_made_by(other, "panel-a")}) == 3


def test_a_form_without_an_id_is_a_new_one_each_time() -> None:
    assert id_made_by(Form(), "panel-a") != id_made_by(Form(), "panel-a")


def test_each_line_makes_something_of_its_own_also_where_it_repeats_another() -> None:
    form = new_form()
    made = ids_of_lines(form, ["P65", "P75", "P65"])
    assert len(set(made)) == 3
    assert made == ids_of_lines(form, [" P65", "P75 ", "P65"]), "blanks around a line are nobody's wish"
    assert made[:2] == ids_of_lines(form, ["P65", "P75"]), "a line further down changes none before it"
    assert len({*made, *ids_of_lines(form, ["P65", "P75", "P65"], UUID(int=1))}) == 6, "below another place"


def test_lines_that_differ_by_blanks_alone_make_two_things() -> None:
    assert len(set(ids_of_lines(new_form(), ["P65", "P65 "]))) == 2
