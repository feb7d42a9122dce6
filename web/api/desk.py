"""Where a request of a machine asks for a command, and what it is made with: the counterpart of `web.pages.Desk`."""

import logging
import re
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from litestar import Request

from domain.sentences import Sentence
from web.api.problems import KeyIsMissing, ShownLate
from web.bearer import Caller
from web.i18n import translate
from web.services import Services

_log = logging.getLogger(__name__)
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:assay:api-requests")
_KEY = re.compile(r"[\x21-\x7e]{8,128}")


class Made(msgspec.Struct, frozen=True):
    """What a request with an Idempotency-Key makes: ids follow from the key, so the same request twice makes one thing.

    `is_done` says that it was done before; it is for what has no id of its own.
    """

    root: UUID
    is_done: bool = False

    def id(self, what: str = "") -> UUID:
        """The id of one of the things that are made."""
        return uuid5(self.root, what)


class ApiDesk:
    """Asks in the name of the token's user."""

    def __init__(self, services: Services, request: Request[Any, Any, Any]) -> None:
        self._services, self._request = services, request
        self.caller: Caller = request.scope["state"]["visit"].account
        self.language: str = request.scope["state"]["visit"].language

    def ask(self, command: Any) -> None:
        """Dispatch, then wait for the read models, so that the answer shows the effect (E-5).

        Raises:
            Refusal, Refusals: what the rules say.
            ShownLate: it is done, and the read models do not show it yet.
        """
        caller = self.caller
        position = self._services.assay.dispatch(
            msgspec.structs.replace(command, request=caller.request_id, token=caller.token_id)
        )
        try:
            self._services.wait(position)
        except TimeoutError:
            _log.warning("read_models_are_late", extra={"position": position, "request_id": caller.request_id})
            raise ShownLate from None

    def made_by(self, key: str, body: object) -> Made:
        """What a request makes; `key` is its Idempotency-Key, and belongs to the user and the address.

        Raises:
            KeyIsMissing
            KeyWasUsed: it came with another body before.
        """
        if not _KEY.fullmatch(key):
            raise KeyIsMissing
        root = uuid5(_NAMESPACE, f"{self.caller.user_id} {self._request.url.path} {key}")
        is_done = self._services.api_requests.keep(root, msgspec.json.encode(body))
        return Made(root, is_done)

    def done(self, made: Made) -> None:
        """Note that what was asked for is done."""
        self._services.api_requests.done(made.root)

    def say(self, sentence: Sentence | None) -> str:
        """A stored sentence in the language of the request; empty where there is none."""
        return translate(sentence, self.language) if sentence else ""
