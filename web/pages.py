"""What a page is made of: its frozen struct, the renderer, and the desk where a page asks and answers."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import MediaType, Response
from litestar.datastructures import Cookie
from litestar.response import Redirect

from domain.permissions import Permission, Role, permits
from domain.refusals import NotFound, NotPermitted, Refusal, Refusals
from domain.sentences import N_, Sentence, Value
from web.forms import Form
from web.i18n import FILTERS, counting, duration, translations
from web.navigation import Section, sections_for
from web.services import Services
from web.sessions import Notice, Visit, Visits

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
ROLE_NAMES = {Role.SUPER_ADMINISTRATOR: N_("Super administrator"), Role.MODEL_TRAINER: N_("Model trainer")}
_log = logging.getLogger(__name__)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The context of one template, named `page` there. `form` is what the page's form holds and what was said about it."""

    TEMPLATE: ClassVar[str] = ""
    form: Form = Form()


class Site(msgspec.Struct, frozen=True):
    """What `base.html` shows around every page, named `site` in templates."""

    visit: Visit
    sections: tuple[Section, ...]
    notices: tuple[Notice, ...]

    @property
    def user(self) -> Any:
        """The signed-in account, or None."""
        return self.visit.account

    @property
    def language(self) -> str:
        """`zh` or `en`."""
        return self.visit.language

    @property
    def role_name(self) -> str:
        """The signed-in user's role in words."""
        return ROLE_NAMES[Role(self.user.role)]

    def may(self, permission: str) -> bool:
        """Whether the signed-in user's role has a permission, by its value: `site.may("manage_users")`."""
        return self.user is not None and permits(Role(self.user.role), Permission(permission))


class StaticFiles:
    """Our own scripts and styles, held in memory; their addresses contain their content's hash, so that they are kept for ever."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._names: dict[str, str] = {}
        self.files: dict[str, tuple[bytes, str]] = {}
        kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}
        for path in sorted(path for path in folder.iterdir() if path.suffix in kinds):
            content = path.read_bytes()
            name = f"{path.stem}.{sha256(content).hexdigest()[:12]}{path.suffix}"
            self._names[path.name], self.files[name] = f"/static/{name}", (content, kinds[path.suffix])

    def address(self, name: str) -> str:
        """`app.css` → `/static/app.0123456789ab.css`."""
        return self._names[name]


@cache
def static_files() -> StaticFiles:
    """Read once a process."""
    return StaticFiles()


@cache
def templates(language: str) -> Environment:
    """The templates in one language. Each language has an environment, so that no text depends on which thread renders it."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do", "jinja2.ext.loopcontrols"],
        auto_reload=False,
    )
    environment.policies["ext.i18n.trimmed"] = True
    catalogue = translations(language)
    environment.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]
    one_or_many: Any = environment.globals["ngettext"]
    environment.globals["ngettext"] = counting(one_or_many)
    environment.filters.update(FILTERS, sentence=catalogue.sentence, duration=partial(duration, language=language))
    between_sentences = "" if language == "zh" else " "
    environment.globals.update(static=static_files().address, language=language, between_sentences=between_sentences)
    return environment


class Renderer:
    """Puts pages into their templates. `has_page` says which addresses of the menu exist."""

    def __init__(self, has_page: Callable[[str], bool]) -> None:
        self._has_page = has_page

    def render(self, template: str, page: Page, visit: Visit, notices: tuple[Notice, ...] = ()) -> str:
        """The finished page, or a fragment of one."""
        role = Role(visit.account.role) if visit.account else None
        site = Site(visit, sections_for(role, visit.path, self._has_page), visit.notices + notices)
        return templates(visit.language).get_template(template).render(page=page, site=site)


class Refused(Exception):
    """Something was not done; `answer` is the page of the form with the sentences, or the way to where it is told."""

    def __init__(self, answer: Response[Any]) -> None:
        self.answer = answer


class Desk:
    """Where a page asks for a command and answers with a page or an address."""

    def __init__(self, services: Services, renderer: Renderer, visits: Visits, visit: Visit) -> None:
        self._services, self._renderer, self._visits = services, renderer, visits
        self.visit = visit
        self._notices: list[Notice] = []

    def ask(self, command: Any) -> None:
        """Dispatch, then wait for the read models, so that the next page shows the effect (E-5).

        Raises:
            Refusal, Refusals: what the rules say.
            Refused: the form was only to be shown again.
        """
        if self.visit.shows_as_entered:
            raise Refused(self.go(self.visit.address))
        position = self._services.assay.dispatch(msgspec.structs.replace(command, request=self.visit.request_id))
        try:
            self._services.wait(position)
        except TimeoutError:
            _log.warning("read_models_are_late", extra={"position": position, "request_id": self.visit.request_id})
            self.say(N_("Your change is saved. The lists are a moment behind and will show it soon."))

    def say(self, text: str, *, was_done: bool = True, **values: Value) -> None:
        """A notice on the next page shown; `text` is marked `N_("…")` where it is written."""
        self._notices.append(Notice(Sentence(text, dict(values)), was_done))

    def show(self, page: Page, *, status: int = 200) -> Response[str]:
        """The page, finished in the reader's language."""
        text = self._renderer.render(page.TEMPLATE, page, self.visit, tuple(self._notices))
        cookies = [self._visits.cookies.drop(self._visits.cookies.notices)] if self.visit.notices else []
        cookies += self._chosen_language()
        return Response(
            text,
            status_code=status,
            media_type=MediaType.HTML,
            headers={"Cache-Control": "no-store"},
            cookies=cookies,
        )

    def greet(self, page: Page) -> Response[str]:
        """The page for a stranger: the browser gets a random mark to which the form's token is bound."""
        self.visit, cookie = self._visits.welcome(self.visit)
        answer = self.show(page)
        answer.cookies.append(cookie)
        return answer

    def of_session(self, session_id: str) -> "Desk":
        """The same for the session that has just begun, of which the request does not know yet."""
        return Desk(self._services, self._renderer, self._visits, self._visits.begun(self.visit, session_id))

    def part(self, template: str, page: Page) -> str:
        """A fragment for live pages."""
        return self._renderer.render(template, page, self.visit)

    def go(self, address: str) -> Redirect:
        """On to another page after a command was done; notices go along."""
        return self.go_with(address)

    def go_with(self, address: str, *cookies: Cookie) -> Redirect:
        """The same, and the browser keeps something."""
        notices = [self._visits.notices_cookie((*self.visit.notices, *self._notices))] if self._notices else []
        kept = [*cookies, *notices, *self._chosen_language()]
        return Redirect(address, status_code=303, cookies=kept, headers={"Cache-Control": "no-store"})

    def _chosen_language(self) -> list[Cookie]:
        return [self._visits.cookies.language_cookie(self.visit.language)] if self.visit.shows_as_entered else []

    @contextmanager
    def refusals_on(self, page: Page) -> Iterator[None]:
        """Inside, a refusal shows `page` again with status 422: the sentences beside its fields, everything as it was entered.

        Where the other language was chosen meanwhile, nothing inside is done, and `page` is shown as it was entered.

        Raises:
            Refused, NotPermitted, NotFound: each has its answer in `web.errors`.
        """
        if self.visit.shows_as_entered:
            raise Refused(self.show(page))
        try:
            yield
        except (NotPermitted, NotFound):
            raise
        except (Refusal, Refusals) as refusal:
            again = msgspec.structs.replace(page, form=page.form.refused(refusal))
            raise Refused(self.show(again, status=422)) from refusal

    @contextmanager
    def unless_gone(self, address: str) -> Iterator[None]:
        """Inside, what one acts on may be gone: somebody was faster, or a button was pressed twice. `address` then shows a notice.

        Raises:
            Refused: it has its answer in `web.errors`.
        """
        try:
            yield
        except NotFound as gone:
            self.say(N_("This was deleted or removed already."), was_done=False)
            raise Refused(self.go(address)) from gone

    @contextmanager
    def unless_settled(self, address: str) -> Iterator[None]:
        """Inside, a refusal means that there is nothing left to ask: whoever was faster has decided. `address` then tells it.

        Raises:
            Refused, NotPermitted, NotFound: each has its answer in `web.errors`.
        """
        try:
            yield
        except (NotPermitted, NotFound):
            raise
        except Refusal as refusal:
            self._notices.append(Notice(refusal.sentence, was_done=False))
            raise Refused(self.go(address)) from refusal
