"""Signing in and out, the language, and the account of the signed-in user. Source: REQUIREMENTS, U-1 and U-5."""

import logging
import secrets
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.response import Redirect

from commands.assay import Command
from commands.users import ChangeOwnEmail, ChangeOwnPassword
from domain.names import name_key
from domain.refusals import Refusal
from domain.sentences import N_
from domain.users import OldPasswordIsWrong
from web.entered import GoOnPage, carried
from web.forms import Form
from web.i18n import LANGUAGES
from web.pages import Desk, Page
from web.services import Account, Services
from web.sessions import Session, Visits, safe_address

LARGEST_FORM_OF_STRANGERS = 1 << 16
"""Bytes: a name, a password and an address are short, and whoever is not signed in has nothing else to send."""
_log = logging.getLogger(__name__)


class SignInRefused(Refusal):
    """The same sentence whether the user exists or not."""

    message = N_("User name or password is not right. Check both and try again.")


class TooManyAttempts(Refusal):
    """Repeated failures are slowed down, per account and per address; guesses of the old password per session."""

    message = N_("Too many failed attempts. Wait {seconds} seconds, then try again.")


class PasswordsDiffer(Refusal):
    """A slip of the finger would lock the user out."""

    field = "repeated_password"
    message = N_("The two new passwords differ. Enter the same one twice.")


class Doorkeeper:
    """Decides who may sign in; failures answer alike and take alike time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._decoy = services.passwords.hash(secrets.token_urlsafe())

    def admit(self, username: str, password: str, address: str, known_browser: str = "") -> str:
        """The id of the new session. It belongs to the password that was right, not to one that was set meanwhile.

        Raises:
            SignInRefused, TooManyAttempts.
        """
        counted = self._services.attempts.counted(name_key(username)[:200], address, known_browser)
        if wait := max(attempts.wait_seconds(key) for attempts, key in counted):
            raise TooManyAttempts(seconds=wait)
        found = self._services.read.users.credentials(username)
        is_right = self._services.passwords.verify(found.password_hash if found else self._decoy, password)
        if found is None or not is_right:
            for attempts, key in counted:
                attempts.failed(key)
            # No name: people type their passwords there, too.
            _log.warning("sign_in_refused", extra={"address": address, "user_id": found and found.user_id})
            raise SignInRefused
        attempts, key = counted[0]
        attempts.succeeded(key)
        return self._services.sessions.open(Session(user_id=found.user_id, epoch=found.session_epoch))


class Browser(msgspec.Struct, frozen=True):
    """What a browser remembers of those who signed in with it, so that they are known again: a mark of its own, and a mark for
    each of the last accounts, which names nobody.
    """

    MOST_ACCOUNTS: ClassVar = 8
    mark: str
    accounts: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: Request[Any, Any, Any], visits: Visits) -> "Browser":
        """As its cookie says, where we signed that; else a new one."""
        kept = visits.signer.read("browser", request.cookies.get(visits.cookies.browser, ""))
        mark, *accounts = kept.split("~") if kept else (secrets.token_urlsafe(16),)
        return cls(mark, tuple(accounts))

    def known_as(self, username: str, visits: Visits) -> str:
        """The browser's mark where the user has signed in with it before, else empty."""
        return self.mark if visits.signer.mark("account", name_key(username)) in self.accounts else ""

    def remembering(self, username: str, visits: Visits) -> Cookie:
        """For a year, the user as the last one."""
        account = visits.signer.mark("account", name_key(username))
        accounts = [account, *(other for other in self.accounts if other != account)][: self.MOST_ACCOUNTS]
        signed = visits.signer.sign("browser", "~".join((self.mark, *accounts)))
        return visits.cookies.make(visits.cookies.browser, signed, max_age=365 * 86400)


class SignInPage(Page, frozen=True):
    """`form` holds username and the address to go to afterwards, `next`; `csrf_token` belongs to this browser.

    `entered` and `entered_at` are what was entered before the session ended (`web.entered`); `is_lost` where that was too large.
    """

    TEMPLATE = "sign_in/sign_in.html"


class AccountPage(Page, frozen=True):
    """The signed-in user."""

    TEMPLATE = "sign_in/account.html"
    account: Account


class OwnEmailPage(Page, frozen=True):
    """Another e-mail address, or none."""

    TEMPLATE = "sign_in/email.html"


class OwnPasswordPage(Page, frozen=True):
    """The old password, and twice the new one."""

    TEMPLATE = "sign_in/password.html"


class SignIn(Controller):
    """The only pages that strangers see."""

    @get("/sign-in", sync_to_thread=True, is_public=True)
    def page(self, form: NamedDependency[Form], desk: NamedDependency[Desk]) -> Response[Any]:
        """The form, or straight on for those who are signed in."""
        if desk.visit.account is not None:
            return desk.go(safe_address(form.text("next")))
        page = SignInPage(form=Form.of(next=form.text("next")))
        return desk.show(page) if desk.visit.visitor else desk.greet(page)

    @post("/sign-in", sync_to_thread=True, is_public=True, request_max_body_size=LARGEST_FORM_OF_STRANGERS)
    def sign_in(
        self,
        request: Request[Any, Any, Any],
        form: NamedDependency[Form],
        desk: NamedDependency[Desk],
        visits: NamedDependency[Visits],
        services: NamedDependency[Services],
        doorkeeper: NamedDependency[Doorkeeper],
    ) -> Response[Any]:
        """A new session under a new id; one that was open before ends. Then to where one wanted to go, or what was entered."""
        with desk.refusals_on(SignInPage(form=form)):
            address = request.client.host if request.client else ""
            username, browser = form.text("username"), Browser.of(request, visits)
            known_browser = browser.known_as(username, visits)
            session_id = doorkeeper.admit(username, form.secret("password"), address, known_browser)
        if desk.visit.session_id:
            services.sessions.close(desk.visit.session_id)
        cookies = (visits.session_cookie(session_id), browser.remembering(username, visits))
        if entered := carried(form):
            answer = desk.of_session(session_id).show(GoOnPage(entered=entered))
            answer.cookies.extend(cookies)
            return answer
        return desk.go_with(safe_address(form.text("next")), *cookies)

    @post("/sign-out", sync_to_thread=True)
    def sign_out(
        self, desk: NamedDependency[Desk], visits: NamedDependency[Visits], services: NamedDependency[Services]
    ) -> Redirect:
        """The session ends on the server, not only in the browser."""
        services.sessions.close(desk.visit.session_id)
        return desk.go_with("/sign-in", visits.cookies.drop(visits.cookies.session))

    @post("/language", sync_to_thread=True, is_public=True, request_max_body_size=LARGEST_FORM_OF_STRANGERS)
    def choose_language(
        self, form: NamedDependency[Form], desk: NamedDependency[Desk], visits: NamedDependency[Visits]
    ) -> Redirect:
        """On a page without a form; where there is one, the button sends it (`AS_ENTERED`), so that it keeps what was entered."""
        chosen = form.text("language")
        cookie = visits.cookies.language_cookie(chosen if chosen in LANGUAGES else LANGUAGES[0])
        return desk.go_with(safe_address(form.text("next")), cookie)


class MyAccount(Controller):
    """管理账户信息."""

    path = "/account"

    @get("/", sync_to_thread=True)
    def page(self, user: NamedDependency[Account], desk: NamedDependency[Desk]) -> Response[str]:
        """What can be changed, and what cannot."""
        return desk.show(AccountPage(account=user))

    @get("/email", sync_to_thread=True)
    def email(self, user: NamedDependency[Account], desk: NamedDependency[Desk]) -> Response[str]:
        """The present address, to be changed."""
        return desk.show(OwnEmailPage(form=Form.of(email=user.email)))

    @post("/email", sync_to_thread=True)
    def change_email(
        self, form: NamedDependency[Form], actor: NamedDependency[UUID], desk: NamedDependency[Desk]
    ) -> Redirect:
        """U-5."""
        with desk.refusals_on(OwnEmailPage(form=form)):
            desk.ask(ChangeOwnEmail(actor=actor, email=form.text("email")))
        desk.say(N_("Your e-mail address is saved."))
        return desk.go("/account")

    @get("/password", sync_to_thread=True)
    def password(self, desk: NamedDependency[Desk]) -> Response[str]:
        """Empty fields."""
        return desk.show(OwnPasswordPage())

    @post("/password", sync_to_thread=True)
    def change_password(
        self,
        form: NamedDependency[Form],
        actor: NamedDependency[UUID],
        desk: NamedDependency[Desk],
        services: NamedDependency[Services],
    ) -> Redirect:
        """Everyone signed in as this user, here and elsewhere, signs in again."""
        old_password, new_password = form.secret("old_password"), form.secret("new_password")
        with desk.refusals_on(OwnPasswordPage(form=form)):
            if new_password != form.secret("repeated_password"):
                raise PasswordsDiffer
            command = ChangeOwnPassword(actor=actor, old_password=old_password, new_password=new_password)
            ask_for_own_password(command, services, desk.ask, guesser=desk.visit.session_id)
        desk.say(N_("Your password is changed. Sign in with the new one."))
        return desk.go("/sign-in")


def ask_for_own_password(
    command: ChangeOwnPassword, services: Services, ask: Callable[[Command], Any], *, guesser: str
) -> None:
    """Change the password of whoever asks, and end their sessions. `guesser` is the session or the token that asks: guesses of the
    old password slow it down.

    Raises:
        TooManyAttempts, OldPasswordIsWrong, PasswordIsTooWeak
    """
    guesses = services.attempts.by_session
    if wait := guesses.wait_seconds(guesser):
        raise TooManyAttempts(seconds=wait)
    try:
        ask(command)
    except OldPasswordIsWrong:
        guesses.failed(guesser)
        raise
    services.sessions.close_all(command.actor)
