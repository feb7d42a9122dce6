"""`GET /api/v1/openapi.json`: made from the handlers, then told in the words that a reader needs.

A handler's docstring is the description of its operation and its first words are the summary; that of a struct describes its
schema; examples stand in `web.api.examples`.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Request, Router
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import BaseRoute
from litestar.types import ControllerRouterHandler, Method
from litestar.types.internal_types import PathParameterDefinition

from web.api.examples import BODIES, PROBLEM
from web.api.problems import Problem, ToldRefusal
from web.api.routes import DOCUMENT, PATH, SCHEME, VERSION
from web.api.shapes import Shape

_LISTED = re.compile(r'Listed_(?:\w+\.)*(\w+?)_(?=")')
"""How Litestar (2.25) names a list of something."""
_FIRST_WORDS = re.compile(r".+?(?=[.;:](?:\s|$))", re.DOTALL)
_METHODS = ("get", "post", "put", "delete")


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


class _Readable(JsonRenderPlugin):
    """The document as it is served."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """With names, summaries, descriptions and examples for people and for generated clients."""
        return self.render_json(request, readable(openapi_schema))


def readable(generated: dict[str, Any]) -> dict[str, Any]:
    """What Litestar has made of the handlers, in better words."""
    renamed = _LISTED.sub(r"\1List", msgspec.json.encode(generated).decode())
    document: dict[str, Any] = msgspec.json.decode(renamed)
    for methods in document["paths"].values():
        for operation in (methods[method] for method in _METHODS if method in methods):
            said = " ".join(operation["description"].split())
            first = _FIRST_WORDS.match(said)
            operation |= {"description": said, "summary": first[0] if first else said}
            if body := BODIES.get(operation["operationId"]):
                operation["requestBody"]["content"]["application/json"]["example"] = msgspec.to_builtins(body)
    schemas = document["components"]["schemas"]
    structs: tuple[type[msgspec.Struct], ...] = (*_shapes(Shape), Problem, ToldRefusal)
    for struct in structs:
        if struct.__name__ in schemas and struct.__doc__:
            schemas[struct.__name__]["description"] = " ".join(struct.__doc__.split())
    schemas[Problem.__name__]["example"] = msgspec.to_builtins(PROBLEM)
    return document


def _shapes(struct: type[Shape]) -> Iterator[type[Shape]]:
    for one in struct.__subclasses__():
        yield one
        yield from _shapes(one)


def _operation_id(handler: HTTPRouteHandler, _method: Method, path: list[str | PathParameterDefinition]) -> str:
    """What generated clients call an operation: `datasets_list`, `training_jobs_terminate`, `me`."""
    resource = str(path[PATH.count("/")]).replace("-", "_")
    return resource if handler.handler_name == resource else f"{resource}_{handler.handler_name}"


def openapi_config() -> OpenAPIConfig:
    """Everybody may read what the API is, not only who holds a token."""
    return OpenAPIConfig(
        title="Assay",
        version=VERSION,
        description=(
            "Training platform for visual defect inspection. A bearer token acts for one user; see “API tokens”. "
            "Lists are read by following `next`. Errors are `application/problem+json` with a stable `type` and `refusals[].rule`."
        ),
        components=Components(
            security_schemes={SCHEME: SecurityScheme(type="http", scheme="bearer", description="assay_…")}
        ),
        use_handler_docstrings=True,
        operation_id_creator=_operation_id,
        render_plugins=[_Readable(path=DOCUMENT)],
        openapi_router=_DocumentOnly(
            PATH,
            route_handlers=[],
            include_in_schema=False,
            opt={"is_static": True, "is_public": True},
        ),
    )
