"""The web application: pages that ask (queries of `projections`) and pages that do (commands), nothing else.

How a slice writes its pages; `web/users.py` and `web/templates/users/` are the model:

* One `Controller` in `web/<slice>.py`, listed in `PAGES` below; its templates in `web/templates/<slice>/`. Its menu entry is in
  `web/navigation.py` and appears by itself once the address exists. A part that reads by itself has a module and a controller of
  its own, below the same address, as the monitor of a training has; `web.i18n.PARTS_OF_SLICES` names it.
* Who may ask for an address, or for a command, is one line in `tests/permission_table.py`.
* Handlers are plain functions with `sync_to_thread=True`. They name what they need: `read` (the read models), `desk` (`ask`, `say`,
  `show`, `go`), `form`, `actor` (the signed-in user's id), `user` (the account), `live`, `services`.
* Every page is a frozen `Page` struct that names its `TEMPLATE`; the template sees it as `page`, and `site` around it.
* A question about a thing is made inside `desk.unless_gone(the_list)`, and inside `desk.unless_settled(the_thing)` where its state
  may have answered it: whoever comes second is led there and told.
* A form posts to the address that shows it. `with desk.refusals_on(ThePage(form=form)): desk.ask(Command(...))`, then
  `desk.say(N_("…"))` and `desk.go("/address")`. A refusal inside shows the page again with 422 and each sentence beside its field
  (`refusal.at` = the field's name). `NotPermitted` is a 403 page, `NotFound` a 404 page, anything else 500 and a request id.
* Values of a form: `form.text`, `.secret`, `.lines`, `.all`, `.checked`, `.whole`, `.number`, `.choice(name, Enum)`, `.id`, `.ids`.
* Every unsafe request carries the form token: `{{ forms.token(site) }}` in forms, the header `X-CSRF-Token` from scripts (the
  token is in `<meta name="csrf-token">`). Uploads are PUT with the raw body and the header, read from `request.stream()`; a form
  with a file says `reads_its_token=True` and is read by `web.uploads.read_form_with_file`.
* No inline script or style anywhere (the content security policy forbids it).
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler, Message, Scope

from domain.refusals import NotFound
from web.api.all import FOR_MACHINES
from web.api.document import openapi_config
from web.api.problems import AGAIN_SECONDS
from web.api.routes import api_router
from web.api_tokens import ApiTokens
from web.audit import Audit, Histories
from web.comparisons import Comparisons
from web.compute_resources import ComputeResources
from web.data_paths import QuestionBankDataPaths, TrainingDataPaths
from web.datasets import QuestionBankDatasets, TrainingDatasets
from web.environment_changes import EnvironmentChanges
from web.environment_choices import EnvironmentChoices
from web.environments import Environments
from web.errors import NOT_KEPT, Errors
from web.evaluation_reports import EvaluationReports
from web.forms import Form, read_form
from web.images import Images
from web.industries import Industries
from web.live import Live
from web.locked_paths import LockedPaths
from web.mes_feed import MesFeed
from web.model_images import ModelImages
from web.models import Models
from web.overview import Overview
from web.pages import Desk, Renderer, static_files
from web.prediction_jobs import PredictionJobs
from web.prediction_wizard import NewComparison, NewPredictionJob
from web.provenance import ProvenancePages
from web.scans import Scans
from web.services import Account, Services
from web.sessions import Cookies, Gate, Signer, Visits, request_id_of
from web.sign_in import Doorkeeper, MyAccount, SignIn
from web.task_types import TaskTypes
from web.training_files import TrainingFiles
from web.training_jobs import TrainingJobs
from web.training_monitor import TrainingMonitor
from web.training_reports import TrainingReports
from web.training_wizard import Retraining, TrainingWizard
from web.uploads import Uploads
from web.users import Users

PAGES: tuple[ControllerRouterHandler, ...] = (
    Overview,
    SignIn,
    MyAccount,
    Users,
    Industries,
    Environments,
    EnvironmentChanges,
    EnvironmentChoices,
    TaskTypes,
    ComputeResources,
    TrainingDatasets,
    QuestionBankDatasets,
    TrainingDataPaths,
    QuestionBankDataPaths,
    Images,
    Scans,
    ModelImages,
    Uploads,
    Models,
    LockedPaths,
    PredictionJobs,
    NewPredictionJob,
    Comparisons,
    NewComparison,
    EvaluationReports,
    TrainingWizard,
    Retraining,
    TrainingJobs,
    TrainingMonitor,
    TrainingReports,
    TrainingFiles,
    ApiTokens,
    MesFeed,
    Audit,
    Histories,
    ProvenancePages,
)

LARGEST_FORM_BYTES = 4 << 20
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""On every answer that does not say otherwise; what may be kept, and by whom, is said where it is made."""


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the server fares, for programs that look after it: a word for the whole, and one for each part."""

    status: str
    parts: dict[str, str] = {}


def create_app(services: Services, pages: tuple[ControllerRouterHandler, ...] = PAGES) -> Litestar:
    """The application over its services."""
    addresses: set[str] = set()
    renderer = Renderer(addresses.__contains__)
    cookies = Cookies(secure=services.settings.secure_cookies)
    visits = Visits(services, Signer(services.settings.secret), cookies)
    doorkeeper = Doorkeeper(services)

    @get("/static/{name:str}", sync_to_thread=False, is_public=True, is_static=True)
    def static_file(name: FromPath[str]) -> Response[bytes]:
        """Only what was there at the start; addresses contain a hash, so they may be kept for ever."""
        static = static_files()
        if name not in static.files:
            raise NotFound
        content, kind = static.files[name]
        return Response(content, media_type=kind, headers={"Cache-Control": "public, max-age=31536000, immutable"})

    @get("/health", sync_to_thread=False, is_public=True, is_static=True)
    def health() -> Response[Condition]:
        """The process answers; nobody else is asked."""
        return Response(Condition("alive"), headers=NOT_KEPT)

    @get("/ready", sync_to_thread=True, is_public=True, is_static=True)
    def ready() -> Response[Condition]:
        """Whether everything that the pages stand on works, else what does not."""
        parts = dict(services.readiness())
        if all(state == "ready" for state in parts.values()):
            return Response(Condition("ready", parts), headers=NOT_KEPT)
        again = {"Retry-After": str(AGAIN_SECONDS)}
        return Response(Condition("not_ready", parts), status_code=503, headers=NOT_KEPT | again)

    app = Litestar(
        [*pages, static_file, health, ready, api_router(FOR_MACHINES)],
        middleware=[Gate(visits)],
        dependencies=_dependencies(services, renderer, visits, doorkeeper),
        exception_handlers=Errors(renderer, visits).handlers,
        before_send=[_finish_headers(secure=services.settings.secure_cookies)],
        request_max_body_size=LARGEST_FORM_BYTES,
        openapi_config=openapi_config(),
        include_in_schema=False,
        logging_config=None,
        state=State({"services": services}),
        debug=False,
    )
    addresses.update(route.path for route in app.routes)
    return app


def _dependencies(services: Services, renderer: Renderer, visits: Visits, doorkeeper: Doorkeeper) -> dict[str, Provide]:
    def desk(request: Request[Any, Any, Any]) -> Desk:
        return Desk(services, renderer, visits, request.scope["state"]["visit"])

    def user(request: Request[Any, Any, Any]) -> Account:
        account: Account = request.scope["state"]["visit"].account
        return account

    def actor(request: Request[Any, Any, Any]) -> UUID:
        return user(request).user_id

    def live(request: Request[Any, Any, Any]) -> Live:
        return Live(services, visits, desk(request))

    async def form(request: Request[Any, Any, Any]) -> Form:
        return await read_form(request)

    def given(thing: object) -> Provide:
        return Provide(lambda: thing, sync_to_thread=False)

    return {
        "desk": Provide(desk, sync_to_thread=False),
        "user": Provide(user, sync_to_thread=False),
        "actor": Provide(actor, sync_to_thread=False),
        "live": Provide(live, sync_to_thread=False),
        "form": Provide(form),
        "read": Provide(lambda: services.read, sync_to_thread=False),
        "services": given(services),
        "visits": given(visits),
        "doorkeeper": given(doorkeeper),
    }


def _finish_headers(*, secure: bool) -> Callable[[Message, Scope], Any]:
    """Every answer, errors included, carries the security headers and its request id."""
    headers = SECURITY_HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if secure else {})
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def finish(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            request_id = request_id_of(Request(scope)).encode()
            message["headers"] = [
                *message["headers"],
                *((name, value) for name, value in encoded if name not in present),
                (b"x-request-id", request_id),
            ]

    return finish
