"""Turn errors into answers: `{"detail": …}`, a text, or a list where the request's schema alone refuses it."""

import re
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import litestar
import msgspec
import structlog
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, ValidationException
from litestar.response import Response
from litestar.status_codes import HTTP_500_INTERNAL_SERVER_ERROR

from adapters.http.bodies import MalformedRequest
from adapters.http.problems import Problem, missing, shown
from adapters.http.protocol import Scope, Send
from domain.errors import Conflict, DomainError, Forbidden, Gone, Invalid, Malformed, NotFound, Unavailable

AnyRequest = litestar.Request[Any, Any, Any]

STATUS: Mapping[type[DomainError], int] = {
    Malformed: 422,
    Invalid: 400,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Gone: 410,
    Unavailable: 503,
}

logger = structlog.get_logger()

_encode = msgspec.json.Encoder(decimal_format="number").encode  # what came as a number is shown as one
_MISSING = re.compile(r"Missing required (\w+) parameter '(.+?)' for path")


def detail(status: int, what: object, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Return an answer that says what went wrong."""
    return Response(_encode({"detail": what}), status_code=status, media_type="application/json", headers=headers)


async def send_detail(
    scope: Scope, send: Send, status: int, what: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Send the same answer where no request object exists yet, or to a WebSocket in place of opening it."""
    body = _encode({"detail": what})
    sized = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    kind = "websocket.http" if scope["type"] == "websocket" else "http"
    await send({"type": f"{kind}.response.start", "status": status, "headers": sized})
    await send({"type": f"{kind}.response.body", "body": body, "more_body": False})


def domain_error(_: AnyRequest, error: DomainError) -> Response[bytes]:
    """Answer an error of the tree with its branch's status and its message."""
    status = next(STATUS[branch] for branch in type(error).__mro__ if branch in STATUS)
    again = error.retry_after_seconds if isinstance(error, Unavailable) else None
    return detail(status, error.message, None if again is None else {"Retry-After": str(again)})


def malformed(_: AnyRequest, error: Malformed) -> Response[bytes]:
    """Answer a request that its schema refuses with the list of what is wrong."""
    if isinstance(error, MalformedRequest):
        return detail(422, error.problems)
    only = Problem(type=error.kind, loc=error.location, msg=error.message, input=shown(error.given), ctx=error.bounds)
    return detail(422, [only])


def malformed_parameters(request: AnyRequest, error: ValidationException) -> Response[bytes]:
    """Answer what the framework found wrong with parameters in the same shape."""
    if (found := _MISSING.match(error.detail)) is not None:
        return detail(422, [missing((found[1], found[2]), None)])
    wrong = error.extra if isinstance(error.extra, list) else [{"message": error.detail}]
    return detail(422, [_problem(request, entry) for entry in wrong])


def _problem(request: AnyRequest, wrong: dict[str, str]) -> Problem:
    key, source = wrong.get("key", ""), wrong.get("source", "query")
    if key == "data":
        return missing(("body",), None)
    key = _name_on_the_wire(request, key)
    given = request.query_params.get(key, request.path_params.get(key))
    return Problem(type="value_error", loc=(source, key), msg=wrong["message"], input=shown(given))


def _name_on_the_wire(request: AnyRequest, parameter: str) -> str:
    field = request.route_handler.parsed_fn_signature.parameters.get(parameter)
    return getattr(field and field.kwarg_definition, "name", None) or parameter


def http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Answer an error of the framework itself."""
    if error.status_code >= HTTP_500_INTERNAL_SERVER_ERROR:
        return unexpected(request, error)
    return detail(error.status_code, error.detail, dict(error.headers or {}))


def not_found(_: AnyRequest, __: NotFoundException) -> Response[bytes]:
    """Answer for a path that no route has."""
    return detail(404, "Not Found")


def method_not_allowed(request: AnyRequest, _: MethodNotAllowedException) -> Response[bytes]:
    """Answer for a method that the path does not have, with those that it has."""
    allowed = [method for method in ("GET", "POST", "PUT", "PATCH", "DELETE") if _routed(request, method)]
    return detail(405, "Method Not Allowed", {"Allow": ", ".join(allowed)})


def _routed(request: AnyRequest, method: str) -> bool:
    try:
        request.app.asgi_router.handle_routing(path=request.scope["path"].rstrip("/") or "/", method=method)
    except (MethodNotAllowedException, NotFoundException):
        return False
    return True


def unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Answer for an error that nobody foresaw, and write it down; the connection stays open.

    The traceback is text, whatever the logger is: one that shows local variables would show credentials.
    """
    logger.error(
        "request_failed",
        method=request.method,
        path=request.scope.get("path_template", "unknown"),
        exception="".join(traceback.format_exception(error)),
    )
    return detail(500, "Internal Server Error")


async def socket_failed(error: Exception, scope: Any) -> None:  # noqa: ANN401 - the framework's view of a scope
    """Write down an error that nobody foresaw in a WebSocket's conversation; the framework closes it."""
    if scope["type"] == "websocket" and not isinstance(error, HTTPException):
        logger.error(
            "socket_failed",
            path=scope.get("path_template", "unknown"),
            exception="".join(traceback.format_exception(error)),
        )


HANDLERS: dict[type[Exception] | int, Callable[[AnyRequest, Any], Response[bytes]]] = {
    DomainError: domain_error,
    Malformed: malformed,
    ValidationException: malformed_parameters,
    NotFoundException: not_found,
    MethodNotAllowedException: method_not_allowed,
    HTTPException: http_error,
    Exception: unexpected,
}
