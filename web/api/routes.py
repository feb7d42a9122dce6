"""How the routes of machines are declared: which answers each may give, and the router around them."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from litestar import Request, Router
from litestar.datastructures import ResponseHeader
from litestar.di import Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter
from litestar.types import ControllerRouterHandler

from web.api.access import TokenGate, refuse_unreadable, within_scope
from web.api.desk import ApiDesk
from web.api.problems import DATABASE_AWAY, MEDIA_TYPE, STORAGE_AWAY, TYPES, Problem

VERSION = "1.0"
PATH = "/api/v1"
DOCUMENT = "/openapi.json"
SCHEME = "token"
"""The name of the way to authenticate, in the document."""


def _problem(*kinds: tuple[str, str]) -> ResponseSpec:
    described = kinds[0][1] if len(kinds) == 1 else " ".join(f"`{name}`: {title}" for name, title in kinds)
    return ResponseSpec(Problem, generate_examples=False, media_type=MEDIA_TYPE, description=described)


def _problems(*statuses: int) -> Mapping[int, ResponseSpec]:
    return {status: _problem(TYPES[status]) for status in statuses}


LOOKS = {**_problems(400, 401, 403, 404, 422, 429), 503: _problem(DATABASE_AWAY, STORAGE_AWAY)}
ACTS = {**_problems(400, 401, 403, 404, 409, 413, 422, 429), 503: _problem(TYPES[503], DATABASE_AWAY, STORAGE_AWAY)}

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
        guards=[within_scope],
        before_request=refuse_unreadable,
        dependencies={"desk": Provide(desk, sync_to_thread=False)},
        response_headers=[ResponseHeader(name="Cache-Control", value="no-store", documentation_only=False)],
        include_in_schema=True,
        security=[{SCHEME: []}],
        opt={"is_for_machines": True},
    )
