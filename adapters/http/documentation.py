"""Serve the API's own description: OpenAPI at `/openapi.json`, Swagger UI at `/docs`, both from this process alone.

The framework derives the document from the routes. What it cannot know is added here: who may ask, how a request is
refused, that an amount may be a number or a string, and an example of every body.
"""

from collections.abc import Collection, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import swagger_ui_bundle
from litestar import MediaType, Request, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.params import FromPath
from litestar.response import Response
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from adapters.http.authentication import PUBLIC
from adapters.http.bodies import AMOUNT
from adapters.http.examples import example
from adapters.http.parameters import reaching_back, schemas, writes

Json = dict[str, Any]

_ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_NUMBER: Json = {"type": "number", "exclusiveMinimum": 0}
_STRING: Json = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}
_PROBLEMS: Json = {
    "title": "Problems",
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "loc", "msg", "input"],
                "properties": {
                    "type": {"type": "string", "description": "The rule that refused it"},
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                    "input": {"description": "What came"},
                    "ctx": {"type": "object", "description": "The rule's own bounds"},
                },
            },
        }
    },
}
_REFUSAL: Json = {
    "title": "Refusal",
    "type": "object",
    "required": ["detail"],
    "properties": {"detail": {"type": "string"}},
}
# Swagger UI 4 knows OpenAPI up to 3.0. What the document uses of 3.1 beyond it, it shows as it stands.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Nectar</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>
fetch("/openapi.json").then((answer) => answer.json()).then((document) => SwaggerUIBundle({
  spec: {...document, openapi: "3.0.3"},
  dom_id: "#swagger-ui",
  deepLinking: true,
}));
</script>
</body>
</html>
"""


def _header(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


_IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "A repeat with the same key gives the first answer and does nothing",
    {"type": "string", "pattern": "^[ -~]{1,255}$"},
)
_AFTER_POSITION = _header(
    "X-After-Position",
    "Wait, at most a second, until the views have reached this position of the log",
    {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
)
_AS_OF = _header(
    "X-As-Of",
    "Answer as it was behind this position of the log, or at this time, ISO 8601 with its time zone",
    {"type": "string", "pattern": "^([0-9]{1,18}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2}))$"},
)
_PREFER = _header(
    "Prefer", "Wait so many seconds for the venue's word", {"type": "string", "pattern": "^wait=([0-9]|[1-5][0-9]|60)$"}
)


def complete(
    document: Json,
    bounds: Mapping[tuple[str, str, str], Json],
    writing: Collection[tuple[str, str]] = (),
    reaching_back: Collection[tuple[str, str]] = (),
) -> Json:
    """Return the framework's document with what it cannot know added.

    `bounds` are the schemas of parameters, by path, method and name; `writing` are the routes that carry commands out,
    `reaching_back` those that can be asked about the past.
    """
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update({"Problems": _PROBLEMS, "Refusal": _REFUSAL})
    components["securitySchemes"] = {"HTTPBasic": {"type": "http", "scheme": "basic"}}
    document = _with_amounts(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] |= bounds.get((path, method, parameter["name"]), {})
            if path not in PUBLIC:
                headers = [_IDEMPOTENCY_KEY if (path, method) in writing else _AFTER_POSITION]
                headers += [_PREFER] if operation["operationId"] == "orders_place" else []
                headers += [_AS_OF] if (path, method) in reaching_back else []
                operation.setdefault("parameters", []).extend(headers)
            _complete(path, operation, document["components"]["schemas"])
    return document


def _complete(path: str, operation: Json, named: Json) -> None:
    responses = operation["responses"]
    responses.pop("400", None)
    if path not in PUBLIC:
        operation["security"] = [{"HTTPBasic": []}]
        responses["401"] = _answer("Refusal", "The user name or the password is missing or wrong")
    if "requestBody" in operation or operation.get("parameters"):
        responses["422"] = _answer("Problems", "What the request's schema refuses, all of it")
        responses["4XX"] = _answer("Refusal", "What rules or state refuse")
    responses["503"] = _answer("Refusal", "The event log or a venue does not answer")
    bodies = [operation.get("requestBody", {}), *(responses[status] for status in responses if status.startswith("2"))]
    for content in (content for body in bodies for content in body.get("content", {}).values()):
        if not content.get("schema"):  # a route that describes no answer has none but null
            content |= {"schema": {"type": "null"}, "example": None}
        if "example" not in content and "examples" not in content:
            content["example"] = example(content["schema"], named)


def _answer(schema: str, description: str) -> Json:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {"application/json": {"schema": reference}}}


def _with_amounts(node: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Return a part of the document in which an amount is a number or a string; the framework says string alone."""
    if isinstance(node, list):
        return [_with_amounts(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("description") == AMOUNT:
        optional = [{"type": "null"}] if "oneOf" in node else []
        kept = {key: value for key, value in node.items() if key not in ("type", "oneOf")}
        return {**kept, "anyOf": [_NUMBER, _STRING, *optional]}
    return {key: _with_amounts(value) for key, value in node.items()}


class _Document(OpenAPIRenderPlugin):
    """Renders the completed document, once."""

    def __init__(self) -> None:
        super().__init__(path="/openapi.json", media_type=MediaType.JSON)
        self._rendered: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: Json) -> bytes:
        """Return the document as JSON."""
        if self._rendered is None:
            self._rendered = msgspec.json.encode(
                complete(openapi_schema, schemas(request.app), writes(request.app), reaching_back(request.app))
            )
        return self._rendered


class _Page(OpenAPIRenderPlugin):
    """Renders the page that shows the document."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: Request[Any, Any, Any], openapi_schema: Json) -> bytes:  # noqa: ARG002 - the framework's
        """Return the page."""
        return _PAGE.encode()

    def receive_router(self, router: Router) -> None:
        """Add what the page loads."""
        router.register(asset)


@get("/assets/{name:str}", include_in_schema=False, sync_to_thread=False, status_code=200)
def asset(name: FromPath[str]) -> Response[bytes]:
    """Return a file of Swagger UI."""
    if name not in _ASSETS:
        return Response(b"", status_code=404, media_type=MediaType.TEXT)
    return Response(_file(name), media_type=_ASSETS[name], headers={"Cache-Control": "max-age=86400"})


@cache
def _file(name: str) -> bytes:
    return (Path(str(swagger_ui_bundle.swagger_ui_path)) / name).read_bytes()


def _operation_id(handler: HTTPRouteHandler, _: Method, path: list[str | PathParameterDefinition]) -> str:
    """Return `orders_place` for `Orders.place`; a handler with several paths has one name for each."""
    name = str(handler.fn.__qualname__).rpartition("<locals>.")[2].replace(".", "_").lower()
    several = len(handler.paths) > 1
    return "_".join([name, *(part for part in path if isinstance(part, str))] if several else [name])


def documentation() -> tuple[OpenAPIConfig, HTTPRouteHandler]:
    """Return how the framework is to derive the document and show it, and the route of the document itself."""
    document = _Document()
    config = OpenAPIConfig(
        title="Nectar",
        version=version("nectar"),
        path="/docs",
        render_plugins=[_Page(), document],
        operation_id_creator=_operation_id,
        use_handler_docstrings=True,
    )

    @get("/openapi.json", include_in_schema=False, sync_to_thread=False, status_code=200, media_type=MediaType.JSON)
    def openapi(request: Request[Any, Any, Any]) -> bytes:
        """Return the API's description."""
        return document.render(request, request.app.openapi_schema.to_schema())

    return config, openapi
