"""What a program is told when a request is not done: RFC 9457, in a form that stays.

`type` tells kinds of problems apart, and `refusals[].rule` the rules; both never change their meaning. Sentences are for people.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from domain.data_paths import FolderDoesNotAnswer
from domain.refusals import NotFound, NotPermitted, Refusal, Refusals
from domain.sentences import N_, Sentence
from web.i18n import translate
from web.sessions import request_id_of

PREFIX = "/api/"
MEDIA_TYPE = "application/problem+json"
TYPES: Mapping[int, tuple[str, str]] = {
    400: ("malformed", N_("This request cannot be understood")),
    401: ("wrong-token", N_("The token is missing, wrong, expired or revoked")),
    403: ("not-permitted", N_("Not permitted")),
    404: ("not-found", N_("Not found")),
    405: ("method-not-allowed", N_("This address does not take such requests")),
    409: ("key-was-used", N_("The idempotency key was used for another request")),
    413: ("too-large", N_("Too large")),
    422: ("refused", N_("This was not done")),
    429: ("too-many-wrong-tokens", N_("Too many wrong tokens came from this address")),
    500: ("internal", N_("Something went wrong")),
    503: ("shown-late", N_("This is done, but cannot be shown yet. Ask for it in a moment.")),
}
"""By status: the end of `type`, and the title."""
DATABASE_AWAY = (
    "database-away",
    N_("The database does not answer. Nothing that is stored is lost. Send this again in a moment."),
)
"""Another kind of 503."""
STORAGE_AWAY = ("storage-away", N_("The storage of a folder does not answer. Send this again in a few minutes."))
"""And another one."""
AGAIN_SECONDS = 10
"""When what is away is worth asking for again: a database that was restarted is back by then."""


class ToldRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that said no; `rule` is its name, `field` that of the body's field it is about, empty where it is about all."""

    rule: str
    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    refusals: Sequence[ToldRefusal] = ()


class ShownLate(Exception):
    """A command is done; what it changed cannot be told yet. Sending it again with its Idempotency-Key does no harm."""


class KeyIsMissing(Refusal):
    """Without a key a lost answer would leave the machine guessing."""

    field = "Idempotency-Key"
    message = N_(
        "Send an Idempotency-Key header with 8 to 128 visible characters, a new one for each thing to be made."
    )


class KeyWasUsed(Refusal):
    """The same key came with another request before."""

    field = "Idempotency-Key"
    message = N_("This Idempotency-Key came with another request before. Use a new key for something new.")


class CursorIsWrong(Refusal):
    """`after` is only good as it came."""

    field = "after"
    message = N_("“after” is not the “next” of this list. Begin without it.")


class TextHoldsNul(Refusal):
    """No text of the database can hold the character."""

    message = N_("A text holds the character NUL. Leave it out.")


class BodyNestsTooDeep(Refusal):
    """No body of ours has lists in lists in lists."""

    message = N_("The body nests too deep to be read.")


_MALFORMED = (KeyIsMissing, CursorIsWrong, TextHoldsNul, BodyNestsTooDeep)


def is_for_machines(request: Request[Any, Any, Any]) -> bool:
    """Whether a request is one of the HTTP API, also to an address that does not exist."""
    return request.url.path.startswith(PREFIX)


def language_of(request: Request[Any, Any, Any]) -> str:
    """Sentences come in English, and in Chinese to who prefers it."""
    return "zh" if request.headers.get("Accept-Language", "").strip().lower().startswith("zh") else "en"


def refused(request: Request[Any, Any, Any], error: Refusal | Refusals) -> Response[bytes]:
    """The rules said no."""
    status = _status_of(error)
    several = error.refusals if isinstance(error, Refusals) else [error]
    language = language_of(request)
    told = [
        ToldRefusal(rule=type(one).__name__, field=one.at, message=translate(one.sentence, language)) for one in several
    ]
    if status == 503:
        return problem(request, status, told, headers={"Retry-After": str(AGAIN_SECONDS)}, kind=STORAGE_AWAY)
    return problem(request, status, told)


def malformed(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework found wrong with a request before any rule was asked."""
    found = error.extra if isinstance(error.extra, list) else []
    if not found and error.status_code == 400:  # a header that is missing stands in its sentence only
        found = [{"message": error.detail}]
    told = [
        ToldRefusal(rule="Malformed", field=str(one.get("key", "")), message=str(one.get("message", "")))
        for one in found
        if isinstance(one, dict)
    ]
    return problem(request, error.status_code, told)


def problem(
    request: Request[Any, Any, Any],
    status: int,
    refusals: Sequence[ToldRefusal] = (),
    *,
    headers: Mapping[str, str] | None = None,
    kind: tuple[str, str] | None = None,
) -> Response[bytes]:
    """The answer; an unknown status is one of a malformed request. `kind` is type and title where they are not the status's."""
    name, title = kind or TYPES.get(status, TYPES[400])
    sentence = translate(Sentence(title), language_of(request))
    body = Problem(
        type=f"urn:assay:problem:{name}",
        title=sentence,
        status=status,
        detail="; ".join(one.message for one in refusals) or sentence,
        request_id=request_id_of(request),
        refusals=refusals,
    )
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _status_of(error: Refusal | Refusals) -> int:
    if isinstance(error, NotPermitted):
        return 403
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, KeyWasUsed):
        return 409
    if isinstance(error, FolderDoesNotAnswer):
        return 503
    return 400 if isinstance(error, _MALFORMED) else 422
