"""Forms that are sent twice: what a form makes has an id that follows from the form, so that the second time makes nothing new.

A form that makes something carries a random id in the hidden field `form_id`.
"""

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
