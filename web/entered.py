"""What was entered into a form whose session ended before it was sent: it goes with the sign-in, is shown again, and never done.

Only the browser keeps it, in the sign-in's own form; passwords are left out and entered anew.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import urlencode

import msgspec

from domain.refusals import Refusal
from web.forms import Form, form_in
from web.pages import Page
from web.sessions import AS_ENTERED, safe_address

_LEFT_OUT = frozenset(("csrf_token", AS_ENTERED, "do"))


class Entered(msgspec.Struct, frozen=True):
    """The fields of a form, and the address to which it was sent, which shows it, too."""

    address: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, address: str, text: str) -> "Entered | None":
        """From how browsers write a form; None where there is nothing to be shown again."""
        try:
            form = form_in(text)
        except Refusal:
            return None
        fields = tuple((name, value) for name, value in form.fields if name not in _LEFT_OUT and "password" not in name)
        return cls(address, fields) if fields else None

    @property
    def text(self) -> str:
        """As one text, to travel in a field: of letters that a browser does not write longer, so that the form stays short."""
        return urlsafe_b64encode(urlencode(self.fields).encode()).decode()


class GoOnPage(Page, frozen=True):
    """A button that shows a form again, with what was entered before."""

    TEMPLATE = "sign_in/go_on.html"
    entered: Entered


def carried(form: Form) -> Entered | None:
    """What came with a sign-in."""
    try:
        text = urlsafe_b64decode(form.value("entered")).decode()
    except ValueError:
        return None
    return Entered.read(safe_address(form.value("entered_at")), text)
