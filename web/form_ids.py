"""Forms that are sent twice: what a form makes has an id that follows from the form, so that the second time makes nothing new.

A form that makes something carries a random id in the hidden field `form_id`.
"""

from collections.abc import Sequence
from uuid import UUID, uuid4, uuid5

from domain.refusals import Refusal
from web.forms import Form

FIELD = "form_id"


def new_form(**values: object) -> Form:
    """A form that was never sent before."""
    return Form.of(**values, **{FIELD: uuid4()})


def id_made_by(form: Form, *content: object) -> UUID:
    """The id of what `form` makes: the same for the same form with the same content, another one where anything differs."""
    try:
        form_id = form.id(FIELD)
    except Refusal:
        form_id = uuid4()
    return uuid5(form_id, "\x00".join(map(str, content)))


def ids_of_lines(form: Form, lines: Sequence[str], *content: object) -> tuple[UUID, ...]:
    """The ids of what the lines of a form make, one each; a line that repeats another gets one of its own."""
    entered = [line.strip() for line in lines]
    return tuple(id_made_by(form, *content, line, entered[:number].count(line)) for number, line in enumerate(entered))
