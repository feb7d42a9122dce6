"""What a person (or a program) is told when a page cannot be shown. No traces, no internals, always the request id."""

import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import msgspec
from litestar import MediaType, Request, Response
from litestar.concurrency import sync_to_thread
from litestar.exceptions import HTTPException
from litestar.response import Stream
from litestar.types import ExceptionHandlersMap

from domain.data_paths import FolderDoesNotAnswer
from domain.refusals import NotFound, NotPermitted, Refusal, Refusals
from domain.sentences import N_, Sentence
from web.api.problems import AGAIN_SECONDS, DATABASE_AWAY, ShownLate, is_for_machines, malformed, problem, refused
from web.bearer import TokenIsWrong, TooManyWrongTokens
from web.entered import Entered, GoOnPage
from web.forms import Form
from web.i18n import translate
from web.pages import Page, Refused, Renderer
from web.sessions import SAFE_METHODS, FormIsOutOfDate, SignInNeeded, Visit, Visits, safe_address
from web.sign_in import SignInPage

_log = logging.getLogger(__name__)

NOT_KEPT = {"Cache-Control": "no-store"}
AGAIN = {"Retry-After": str(AGAIN_SECONDS)}
TITLES = {
    400: N_("This request cannot be understood"),
    401: N_("Sign in first"),
    403: N_("Not permitted"),
    404: N_("Not found"),
    405: N_("Not found"),
    413: N_("Too large"),
    422: N_("This was not done"),
    500: N_("Something went wrong"),
    503: N_("Not available at the moment"),
}
SENTENCES = {
    400: N_("Go back, check what you entered and try again."),
    401: N_("Sign in, then repeat your action."),
    404: N_("This does not exist, or it has been deleted."),
    405: N_("This does not exist, or it has been deleted."),
    413: N_("What you sent is larger than this page accepts."),
    500: N_(
        "It is our mistake and has been logged. Try again; if it happens again, tell your administrator the request number."
    ),
}
IS_AWAY = N_("The database does not answer. Nothing that is stored is lost, and trainings go on.")
IS_NOT_DONE = N_("What you sent was not done yet.")
MAY_BE_DONE = N_("Whether what you sent was done is not certain: look before you repeat it.")
IS_LOST = N_("It held a file, or was too large to be kept here. Enter it again in a moment.")


class ErrorPage(Page, frozen=True):
    """A title, sentences, and the way out: back, to the same page `again`, or to the form with what was `entered`."""

    TEMPLATE = "errors/error.html"
    status: int
    title: str
    sentences: tuple[Sentence, ...]
    way_back: str
    again: str = ""
    entered: Entered | None = None


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same for programs: `refusals` are (field, sentence)."""

    status: int
    title: str
    request_id: str
    refusals: tuple[tuple[str, str], ...] = ()


class Errors:
    """The exception handlers of the application."""

    def __init__(self, renderer: Renderer, visits: Visits) -> None:
        self._renderer, self._visits = renderer, visits

    @property
    def handlers(self) -> ExceptionHandlersMap:
        """By exception."""
        return {
            Refused: lambda _request, refused: refused.answer,
            SignInNeeded: self.sign_in_needed,
            FormIsOutOfDate: self.form_out_of_date,
            TokenIsWrong: lambda request, _error: problem(request, 401, headers={"WWW-Authenticate": "Bearer"}),
            TooManyWrongTokens: lambda request, error: problem(
                request, 429, headers={"Retry-After": str(error.wait_seconds)}
            ),
            ShownLate: lambda request, _error: problem(request, 503, headers={"Retry-After": "1"}),
            FolderDoesNotAnswer: self.folder_away,
            Refusal: self.refusal,
            Refusals: self.refusal,
            HTTPException: self.http,
            Exception: self.unexpected,
        }

    def sign_in_needed(self, request: Request[Any, Any, Any], _error: SignInNeeded) -> Response[Any]:
        """To the sign-in page, and from there back to where one wanted to go; with what was entered, where a form was sent, or
        with the word that it is lost.
        """
        if wants_json(request):
            return self._answer(request, 401)
        if entered := _entered(request):
            return self._sign_in_first(request, Form.of(entered=entered.text, entered_at=entered.address))
        came_from = request.headers.get("Referer", "") if request.method not in SAFE_METHODS else str(request.url)
        wanted = _parts_of(came_from)
        return_to = f"{wanted.path}?{wanted.query}" if wanted.query else wanted.path
        if request.scope["state"].get("is_lost"):
            return self._sign_in_first(request, Form.of(next=return_to, is_lost="yes"))
        address = "/sign-in" if return_to in {"", "/"} else f"/sign-in?next={quote(return_to)}"
        return Response(None, status_code=303, headers={"Location": address, "Cache-Control": "no-store"})

    def _sign_in_first(self, request: Request[Any, Any, Any], form: Form) -> Response[Any]:
        """The sign-in page in place of what was sent, of which it tells."""
        visit, cookie = self._visits.welcome(self._visit(request))
        text = self._text(SignInPage(form=form), visit)
        answer = Response(text, status_code=401, media_type=MediaType.HTML, headers=NOT_KEPT)
        answer.cookies.append(cookie)
        return answer

    def form_out_of_date(self, request: Request[Any, Any, Any], error: FormIsOutOfDate) -> Response[Any]:
        """Signed in anew elsewhere: what was entered is offered once more; of another site's form nothing is."""
        entered, visit = _entered(request), self._visit(request)
        if entered is None or visit.account is None or wants_json(request):
            return self.refusal(request, error)
        text = self._text(GoOnPage(entered=entered), visit)
        return Response(text, status_code=403, media_type=MediaType.HTML, headers=NOT_KEPT)

    def refusal(self, request: Request[Any, Any, Any], error: Refusal | Refusals) -> Response[Any]:
        """A rule said no outside of a form."""
        if is_for_machines(request):
            return refused(request, error)
        status = 403 if isinstance(error, NotPermitted) else 404 if isinstance(error, NotFound) else 422
        several = error.refusals if isinstance(error, Refusals) else [error]
        return self._answer(request, status, tuple((one.at, one.sentence) for one in several))

    def http(self, request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        """What Litestar itself refuses: unknown addresses, broken values, too large bodies."""
        if error.status_code >= 500:
            return self.unexpected(request, error)
        if is_for_machines(request):
            return malformed(request, error)
        return self._answer(request, error.status_code)

    def unexpected(self, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        """Our own mistake: logged with its trace, told without it. That the database is away is none."""
        if self._visits.is_away(error):
            return self.away(request)
        visit = self._visit(request)
        _log.error("request_failed", exc_info=error, extra={"request_id": visit.request_id, "path": visit.path})
        if is_for_machines(request):
            return problem(request, 500)
        return self._answer(request, 500)

    def away(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """The database does not answer."""
        state, visit = request.scope["state"], self._visit(request)
        _log.warning("database_is_away", extra={"request_id": visit.request_id, "path": visit.path})
        if is_for_machines(request):
            return problem(request, 503, headers=AGAIN, kind=DATABASE_AWAY)
        told = [IS_AWAY]
        if request.method not in SAFE_METHODS:
            told.append(MAY_BE_DONE if "visit" in state else IS_NOT_DONE)
        if state.get("is_lost"):
            told.append(IS_LOST)
        return self._answer_later(request, tuple(Sentence(text) for text in told))

    def folder_away(self, request: Request[Any, Any, Any], error: FolderDoesNotAnswer) -> Response[Any]:
        """Storage that hangs, where no form has told it."""
        if is_for_machines(request):
            return refused(request, error)
        return self._answer_later(request, (error.sentence,))

    def _answer_later(self, request: Request[Any, Any, Any], sentences: tuple[Sentence, ...]) -> Response[Any]:
        """A page tries again by itself; a form that was sent comes back with what was entered."""
        is_safe = request.method in SAFE_METHODS
        is_seen = is_safe or "visit" in request.scope["state"]
        visit = self._visit(request) if is_seen else self._visits.unseen(request)
        if wants_json(request):
            return self._answer(request, 503, tuple(("", sentence) for sentence in sentences))
        page = ErrorPage(
            status=503,
            title=TITLES[503],
            sentences=sentences,
            way_back=_way_back(request),
            again=visit.address if is_safe else "",
            entered=None if is_safe else _entered(request),
        )
        headers = NOT_KEPT | AGAIN | ({"Refresh": str(AGAIN_SECONDS)} if is_safe else {})
        return Response(self._text(page, visit), status_code=503, media_type=MediaType.HTML, headers=headers)

    def _answer(
        self, request: Request[Any, Any, Any], status: int, told: tuple[tuple[str, Sentence], ...] = ()
    ) -> Response[Any]:
        visit = self._visit(request)
        known = status if status in TITLES else 400
        told = told or (("", Sentence(SENTENCES.get(known, SENTENCES[400]))),)
        if wants_json(request):
            refusals = tuple((field, translate(sentence, visit.language)) for field, sentence in told)
            problem = Problem(status, translate(TITLES[known], visit.language), visit.request_id, refusals)
            headers = NOT_KEPT | (AGAIN if status == 503 else {})
            return Response(problem, status_code=status, media_type="application/json", headers=headers)
        sentences = tuple(sentence for _, sentence in told)
        page = ErrorPage(status=status, title=TITLES[known], sentences=sentences, way_back=_way_back(request))
        if status < 500 and "visit" not in request.scope["state"]:
            return Stream(
                self._for_whoever_asks(request, page), status_code=status, media_type=MediaType.HTML, headers=NOT_KEPT
            )
        return Response(self._text(page, visit), status_code=status, media_type=MediaType.HTML, headers=NOT_KEPT)

    async def _for_whoever_asks(self, request: Request[Any, Any, Any], page: ErrorPage) -> AsyncIterator[str]:
        """The page of a request that was never routed, so never came to the gate: who asks is found out now, off the event loop."""
        try:
            visit = await sync_to_thread(self._visits.find, request)
        except Exception:  # noqa: BLE001 - an edge of the process: where the database is away, the page comes without its frame
            visit = self._visits.stranger(request)
            _log.exception("visit_not_found", extra={"request_id": visit.request_id, "path": visit.path})
        yield self._text(page, visit)

    def _text(self, page: Page, visit: Visit) -> str:
        return self._renderer.render(page.TEMPLATE, page, visit)

    def _visit(self, request: Request[Any, Any, Any]) -> Visit:
        visit = request.scope["state"].get("visit")
        return visit if isinstance(visit, Visit) else self._visits.stranger(request)


def _entered(request: Request[Any, Any, Any]) -> Entered | None:
    """What the gate kept of a form that was sent."""
    body: bytes | None = request.scope["state"].get("entered")
    if body is None:
        return None
    address = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    return Entered.read(address, body.decode("utf-8", "replace"))


def wants_json(request: Request[Any, Any, Any]) -> bool:
    """Programs ask for JSON or for a stream of events; browsers ask for pages."""
    accepted = request.headers.get("Accept", "")
    return "text/html" not in accepted and ("json" in accepted or "event-stream" in accepted)


def _way_back(request: Request[Any, Any, Any]) -> str:
    """The page one came from, when it is one of ours; of a form that was sent, the page of the form."""
    came_from = _parts_of(request.headers.get("Referer", ""))
    is_itself = request.method in SAFE_METHODS and came_from.path == request.url.path
    if came_from.netloc != request.headers.get("Host", "") or is_itself:
        return "/"
    return safe_address(f"{came_from.path}?{came_from.query}" if came_from.query else came_from.path)


def _parts_of(address: str) -> SplitResult:
    """An address that a request names; nothing where it is none, such as `http://[`."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
