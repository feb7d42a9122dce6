"""Who is asking: sessions, form tokens and request ids, found once for every request before its page runs.

Litestar's own sessions adopt an id that the client chose and store one for every stranger (2.25); these do neither.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

import msgspec
from litestar import Request
from litestar.concurrency import sync_to_thread
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from domain.refusals import NotPermitted
from domain.sentences import N_, Sentence
from web.i18n import DEFAULT_LANGUAGE, LANGUAGES

IDLE_SECONDS = 12 * 3600
"""A shift: whoever comes back after the night signs in again."""
LONGEST_SECONDS = 7 * 86400
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "X-CSRF-Token"
AS_ENTERED = "as_entered"
"""A form that is sent with this field is only shown again, everything as it was entered, in the language that the field names."""
_TOKEN_FIELD = re.compile(rb"(?:^|&)csrf_token=([A-Za-z0-9_-]*)(?:&|$)")
_AS_ENTERED_FIELD = re.compile(rb"(?:^|&)%s=(%s)(?:&|$)" % (AS_ENTERED.encode(), "|".join(LANGUAGES).encode()))
MOST_ENTERED_BYTES = 45 << 10
"""So much of a form outlives its session; with it the sign-in's own form stays below what strangers may send."""
MOST_KEPT_WHILE_AWAY_BYTES = 1 << 20
"""The same where nobody can be found at this moment: such a form goes back to its own page."""
PLAIN_FORM = "application/x-www-form-urlencoded"
FORM_WITH_FILE = "multipart/form-data"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class Session(msgspec.Struct, frozen=True):
    """`epoch` is the user's session epoch at sign-in; a changed password makes another one and so ends this session."""

    user_id: UUID
    epoch: int


class SessionStore(Protocol):
    """Sessions on the server, found by an unguessable id of which only a hash is kept."""

    def open(self, session: Session) -> str:
        """Keep a session; its new id."""

    def find(self, session_id: str) -> Session | None:
        """The session, unless it is unknown, closed or too old. Using a session keeps it from growing old, up to a limit."""

    def close(self, session_id: str) -> None:
        """End one session."""

    def close_all(self, user_id: UUID) -> None:
        """End every session of a user."""


def new_session_id() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def session_key(session_id: str) -> str:
    """What a store keeps instead of the id, so that a stolen table opens no session."""
    return hashlib.sha256(session_id.encode()).hexdigest()


class Notice(msgspec.Struct, frozen=True):
    """What the next page shown says of the last action: that it was done, or why there was nothing left to do."""

    sentence: Sentence
    was_done: bool = True


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One request, seen by the pages: who asks, in which language, through which request; `token` is that of a machine.

    `shows_as_entered`: nothing is done; the sent form is shown again as it was entered, in the language chosen with it.
    """

    request_id: str
    language: str = DEFAULT_LANGUAGE
    path: str = "/"
    query: str = ""
    account: Any = None
    token: UUID | None = None
    session_id: str = ""
    visitor: str = ""
    csrf_token: str = ""
    notices: tuple[Notice, ...] = ()
    shows_as_entered: bool = False

    @property
    def address(self) -> str:
        """Path and query, to come back to."""
        return f"{self.path}?{self.query}" if self.query else self.path


class FormIsOutOfDate(NotPermitted):
    """The form's token does not belong to this session: an old page, or a form from somewhere else."""

    message = N_("This form is out of date. Go back, reload the page and send it again.")


class SignInNeeded(Exception):
    """Nobody is signed in; the sign-in page comes first."""


class Signer:
    """Signs what a browser keeps for us, and derives form tokens. `purpose` keeps one kind from passing for another."""

    def __init__(self, secret: str) -> None:
        if len(secret) < 32:
            raise ValueError("the secret has at least 32 characters")
        self._secret = secret.encode()

    def sign(self, purpose: str, text: str) -> str:
        """`text.signature`."""
        return f"{text}.{self.mark(purpose, text)}"

    def mark(self, purpose: str, text: str) -> str:
        """The signature alone, 43 characters."""
        digest = hmac.new(self._secret, f"{purpose}\x00{text}".encode(), hashlib.sha256).digest()
        return urlsafe_b64encode(digest).decode().rstrip("=")

    def read(self, purpose: str, signed: str) -> str:
        """The text behind a signature, empty where the signature does not fit."""
        text, _, mark = signed.rpartition(".")
        return text if text and hmac.compare_digest(mark.encode(), self.mark(purpose, text).encode()) else ""


class Cookies:
    """The names and flags of our cookies."""

    def __init__(self, *, secure: bool) -> None:
        prefix = "__Host-" if secure else ""
        self.session, self.visitor = f"{prefix}assay_session", f"{prefix}assay_visitor"
        self.language, self.notices = f"{prefix}assay_language", f"{prefix}assay_notices"
        self.browser = f"{prefix}assay_browser"
        self._secure = secure

    def make(self, name: str, value: str, *, max_age: int | None = None) -> Cookie:
        """A cookie that scripts cannot read and other sites do not send with forms."""
        return Cookie(
            key=name, value=value, path="/", httponly=True, secure=self._secure, samesite="lax", max_age=max_age
        )

    def language_cookie(self, language: str) -> Cookie:
        """Kept in the browser for a year."""
        return self.make(self.language, language, max_age=365 * 86400)

    def drop(self, name: str) -> Cookie:
        """Take a cookie back."""
        return self.make(name, "", max_age=0)


class Gate(ASGIMiddleware):
    """Stands before every page: finds the visit, refuses forms without their token, and sends strangers to the sign-in page."""

    scopes = (ScopeType.HTTP,)

    @staticmethod
    def should_bypass_for_scope(scope: Scope) -> bool:
        """What everybody gets without a visit, and requests of machines, which have a gate of their own (`web.api.access`)."""
        opt = scope["route_handler"].opt
        return bool(opt.get("is_static") or opt.get("is_for_machines"))

    def __init__(self, visits: "Visits") -> None:
        self._visits = visits

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Let the request through, or raise why not.

        Raises:
            SignInNeeded, FormIsOutOfDate.
        """
        request: Request[Any, Any, Any] = Request(scope, receive)
        try:
            visit = await sync_to_thread(self._visits.find, request)
        except Exception as error:
            if self._visits.is_away(error) and request.method not in SAFE_METHODS:
                await self._keep_what_was_entered(request, most_bytes=MOST_KEPT_WHILE_AWAY_BYTES)
            raise
        scope["state"]["visit"] = visit
        if visit.account is None and not request.route_handler.opt.get("is_public"):
            if request.method not in SAFE_METHODS:
                await self._keep_what_was_entered(request)
            raise SignInNeeded
        if request.method not in SAFE_METHODS:
            if not await self._carries_token(request, visit):
                await self._keep_what_was_entered(request)
                raise FormIsOutOfDate
            scope["state"]["visit"] = await self._in_the_chosen_language(request, visit)
            if request.content_type[0] == PLAIN_FORM:  # it was read for its token
                scope["state"]["entered"] = await request.body()
        await next_app(scope, receive, send)

    @staticmethod
    async def _carries_token(request: Request[Any, Any, Any], visit: Visit) -> bool:
        """By header, or as a field of a plain form. Other bodies are never read here, so that uploads can be streamed; a page that
        says `reads_its_token` looks for it itself, in the first field of its form (`is_token_of`), unless the form has no file.
        """
        if not _is_from_here(request):
            return False
        is_plain = request.content_type[0] == PLAIN_FORM
        if request.route_handler.opt.get("reads_its_token"):
            if not is_plain:
                return True
            if not _is_short(request):  # such a page takes bodies of any size
                return False
        token = request.headers.get(CSRF_HEADER, "")
        if not token and is_plain:
            token = _token_in(await request.body())
        return is_token_of(visit, token)

    @staticmethod
    async def _in_the_chosen_language(request: Request[Any, Any, Any], visit: Visit) -> Visit:
        if request.content_type[0] != PLAIN_FORM or not (found := _AS_ENTERED_FIELD.search(await request.body())):
            return visit
        return msgspec.structs.replace(visit, language=found[1].decode(), shows_as_entered=True)

    @staticmethod
    async def _keep_what_was_entered(request: Request[Any, Any, Any], *, most_bytes: int = MOST_ENTERED_BYTES) -> None:
        """A form of ours whose session ended meanwhile, or is not known while the database is away: `web.errors` shows a way on
        that loses nothing of it, or says that it is lost, because it is too large.

        Only where the browser says that one of our pages sent it; nothing of it is ever done without being shown first.
        """
        kind = request.content_type[0]
        if kind not in {PLAIN_FORM, FORM_WITH_FILE} or not _is_surely_from_here(request):
            return
        if kind == PLAIN_FORM and _is_short(request, most_bytes):
            request.scope["state"]["entered"] = await request.body()
        else:
            request.scope["state"]["is_lost"] = True


def _is_from_here(request: Request[Any, Any, Any]) -> bool:
    """Whether a browser says that one of our own pages sent it; what says nothing is left to the token.

    Over TLS browsers tell it themselves, whatever name a proxy gives the server; over plain HTTP they only name the page's origin.
    """
    if told := request.headers.get("Sec-Fetch-Site"):
        return told in {"same-origin", "none"}
    return "Origin" not in request.headers or _names_our_origin(request)


def _is_surely_from_here(request: Request[Any, Any, Any]) -> bool:
    """Whether a browser says so itself."""
    told = request.headers.get("Sec-Fetch-Site")
    return told == "same-origin" if told else _names_our_origin(request)


def _names_our_origin(request: Request[Any, Any, Any]) -> bool:
    host = request.headers.get("Host", "")
    return bool(host) and request.headers.get("Origin", "").partition("://")[2] == host


def _is_short(request: Request[Any, Any, Any], most_bytes: int = MOST_ENTERED_BYTES) -> bool:
    length = request.headers.get("Content-Length", "")
    return length.isdecimal() and int(length) <= most_bytes


def _token_in(body: bytes) -> str:
    """The token of a plain form."""
    found = _TOKEN_FIELD.search(body)
    return found[1].decode() if found else ""


def is_token_of(visit: Visit, token: str) -> bool:
    """Whether a form's token belongs to this visit."""
    return bool(visit.csrf_token) and hmac.compare_digest(token.encode(), visit.csrf_token.encode())


class KnowsUsers(Protocol):
    """The part of `web.services.Services` that says who is who."""

    @property
    def sessions(self) -> SessionStore: ...
    @property
    def read(self) -> Any: ...
    @property
    def is_away(self) -> Callable[[BaseException], bool]: ...


class Visits:
    """Finds out who asks."""

    def __init__(self, known: KnowsUsers, signer: Signer, cookies: Cookies) -> None:
        self._known, self.signer, self.cookies = known, signer, cookies

    def find(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Visit:
        """The visit of a request; a session ends here when its user is deleted or has another password."""
        session_id = self.signer.read("session", connection.cookies.get(self.cookies.session, ""))
        session = self._known.sessions.find(session_id) if session_id else None
        account = self._known.read.users.account(session.user_id) if session else None
        if session and (account is None or account.session_epoch != session.epoch):
            self._known.sessions.close(session_id)
            account = None
        visitor = self.signer.read("visitor", connection.cookies.get(self.cookies.visitor, ""))
        bound_to = session_id if account is not None else visitor
        return Visit(
            **self._outward(connection),
            account=account,
            session_id=session_id if account is not None else "",
            visitor=visitor,
            csrf_token=self.signer.mark("form", bound_to) if bound_to else "",
        )

    def is_away(self, error: BaseException) -> bool:
        """Whether an error says that nobody can be found at this moment."""
        return self._known.is_away(error)

    def unseen(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Visit:
        """The visit of a request while nobody can be found: whoever it is, a form of theirs has the token that belongs to their
        cookies.
        """
        cookies = connection.cookies
        bound_to = self.signer.read("session", cookies.get(self.cookies.session, "")) or self.signer.read(
            "visitor", cookies.get(self.cookies.visitor, "")
        )
        return Visit(**self._outward(connection), csrf_token=self.signer.mark("form", bound_to) if bound_to else "")

    def begun(self, visit: Visit, session_id: str) -> Visit:
        """The visit of whoever has just signed in."""
        session = self._known.sessions.find(session_id)
        account = self._known.read.users.account(session.user_id) if session else None
        return msgspec.structs.replace(
            visit, account=account, session_id=session_id, csrf_token=self.signer.mark("form", session_id)
        )

    def is_still_open(self, visit: Visit) -> bool:
        """Whether a visit that lasts (an open stream) may go on; with another role, the page is asked for anew."""
        account = self._known.read.users.account(visit.account.user_id)
        return (
            account is not None
            and account.session_epoch == visit.account.session_epoch
            and account.role == visit.account.role
            and bool(self._known.sessions.find(visit.session_id))
        )

    def stranger(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Visit:
        """A request that never reached the gate, for example to an unknown address."""
        return Visit(**self._outward(connection))

    def welcome(self, visit: Visit) -> tuple[Visit, Cookie]:
        """A stranger's visit with a form token, and the cookie that the token is bound to."""
        visitor = secrets.token_urlsafe(16)
        cookie = self.cookies.make(self.cookies.visitor, self.signer.sign("visitor", visitor))
        return msgspec.structs.replace(visit, visitor=visitor, csrf_token=self.signer.mark("form", visitor)), cookie

    def session_cookie(self, session_id: str) -> Cookie:
        """What a signed-in browser keeps."""
        return self.cookies.make(self.cookies.session, self.signer.sign("session", session_id), max_age=LONGEST_SECONDS)

    def _outward(self, connection: ASGIConnection[Any, Any, Any, Any]) -> dict[str, Any]:
        language = connection.cookies.get(self.cookies.language, "")
        return {
            "request_id": request_id_of(connection),
            "language": language if language in LANGUAGES else DEFAULT_LANGUAGE,
            "path": connection.url.path,
            "query": connection.url.query,
            "notices": self._notices(connection.cookies.get(self.cookies.notices, "")),
        }

    def _notices(self, signed: str) -> tuple[Notice, ...]:
        text = self.signer.read("notices", signed)
        try:
            return msgspec.json.decode(bytes.fromhex(text), type=tuple[Notice, ...]) if text else ()
        except (ValueError, msgspec.MsgspecError):
            return ()

    def notices_cookie(self, notices: tuple[Notice, ...]) -> Cookie:
        """Carries notices over a redirect; signed, so that nobody else puts words into our mouth."""
        return self.cookies.make(self.cookies.notices, self.signer.sign("notices", msgspec.json.encode(notices).hex()))


def request_id_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The caller's X-Request-ID where it looks like one, else a new one; the same through the whole request."""
    state: dict[str, Any] = connection.scope["state"]
    if "request_id" not in state:
        given = connection.headers.get("X-Request-ID", "")
        state["request_id"] = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    return str(state["request_id"])


def safe_address(address: str) -> str:
    """An address inside this site; anything else leads to the overview, so that no link signs people in to elsewhere."""
    is_ours = (
        address.startswith("/")
        and not address.startswith(("//", "/\\"))
        and address.isprintable()
        and "\\" not in address
    )
    return address if is_ours else "/"
