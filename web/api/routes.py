"""How the routes of machines are declared: which answers each may give, and the router around them."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from litestar import Request, Router
from litestar.datastructures import ResponseHeader
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import HeaderParameter
from litestar.routes import BaseRoute
from litestar.types import ControllerRouterHandler, Method
from litestar.types.internal_types import PathParameterDefinition

from web.api.access import TokenGate, may_act, refuse_unreadable
from web.api.desk import ApiDesk
from web.api.problems import MEDIA_TYPE, TYPES, Problem

VERSION = "1.0"
PATH = "/api/v1"
DOCUMENT = "/openapi.json"
_SCHEME = "token"
"""The name of the way to authenticate, in the document."""


def _problems(*statuses: int) -> Mapping[int, ResponseSpec]:
    return {
        status: ResponseSpec(Problem, generate_examples=False, media_type=MEDIA_TYPE, description=TYPES[status][1])
        for status in statuses
    }


LOOKS = _problems(400, 401, 403, 404, 422, 429)
ACTS = _problems(400, 401, 403, 404, 409, 413, 422, 429, 503)

IdempotencyKey: TypeAlias = Annotated[
    str,
    HeaderParameter(
        name="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{8,128}$",
        description="A new one for each thing to be made. The same request with the same key makes nothing more and answers alike.",
    ),
]


def file_answer(kind: str = "application/octet-stream") -> Mapping[int, ResponseSpec]:
    """Of a route that sends a file: whole, a part of it, unchanged, or not that part. `ETag` is its SHA-256."""
    sent = {
        200: "The file. `ETag` holds its SHA-256; `Range` asks for a part.",
        206: "A part of the file.",
        304: "The file is the one that the caller holds (`If-None-Match`).",
        416: "The part lies behind the end.",
    }
    files = {
        status: ResponseSpec(bytes, generate_examples=False, media_type=kind, description=told)
        for status, told in sent.items()
    }
    return {**files, **LOOKS}


def api_router(controllers: tuple[ControllerRouterHandler, ...]) -> Router:
    """`/api/v1`."""

    def desk(request: Request[Any, Any, Any]) -> ApiDesk:
        return ApiDesk(request.app.state.services, request)

    return Router(
        PATH,
        route_handlers=controllers,
        middleware=[TokenGate()],
        guards=[may_act],
        before_request=refuse_unreadable,
        dependencies={"desk": Provide(desk, sync_to_thread=False)},
        response_headers=[ResponseHeader(name="Cache-Control", value="no-store", documentation_only=False)],
        include_in_schema=True,
        security=[{_SCHEME: []}],
        opt={"is_for_machines": True},
    )


class _DocumentOnly(Router):
    """The document at one address. Litestar (2.25) would serve it at the root of the path, too, and answer a page in HTML at every
    other address beside it; here those are problems as JSON.
    """

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        """Only what serves the document."""
        if not isinstance(value, HTTPRouteHandler) or DOCUMENT not in value.paths:
            return []
        value.paths = {DOCUMENT}
        return super().register(value)


def _operation_id(handler: HTTPRouteHandler, _method: Method, path: list[str | PathParameterDefinition]) -> str:
    """What generated clients call an operation: `datasets_list`, `training_jobs_terminate`, `me`."""
    resource = str(path[PATH.count("/")]).replace("-", "_")
    return resource if handler.handler_name == resource else f"{resource}_{handler.handler_name}"


def openapi_config() -> OpenAPIConfig:
    """`GET /api/v1/openapi.json`: everybody may read what the API is, not only who holds a token."""
    return OpenAPIConfig(
        title="Assay",
        version=VERSION,
        description=(
            "Training platform for visual defect inspection. A bearer token acts for one user; see “API tokens”. "
            "Lists are read by following `next`. Errors are `application/problem+json` with a stable `type` and `refusals[].rule`."
        ),
        components=Components(
            security_schemes={_SCHEME: SecurityScheme(type="http", scheme="bearer", description="assay_…")}
        ),
        use_handler_docstrings=True,
        operation_id_creator=_operation_id,
        render_plugins=[JsonRenderPlugin(path=DOCUMENT)],
        openapi_router=_DocumentOnly(
            PATH,
            route_handlers=[],
            include_in_schema=False,
            opt={"is_static": True, "is_public": True},
        ),
    )
