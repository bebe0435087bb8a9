"""What every request passes first: bounds on its target, one log line; and how its body becomes a struct."""

from time import perf_counter
from typing import Any, cast

import litestar
import structlog
from litestar.exceptions import ClientException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from adapters.http import errors
from adapters.http.as_of import NAME, about_now
from adapters.http.bodies import decode
from adapters.http.protocol import App, Message, Receive, Scope, Send, header

PATH_BYTES = 2048
BODY_BYTES = 4 * 1024 * 1024
_TOO_LARGE = f"Request body is longer than {BODY_BYTES} bytes"
CORRELATION = "nectar.correlation_id"
"""The key of a request's scope under which its correlation id stands, where it caused something."""

_STARTS = frozenset({"http.response.start", "websocket.http.response.start"})
_CODES = {"websocket.accept": 101, "websocket.close": 1000}
"""What a WebSocket is at after a message, where the message does not say."""

logger = structlog.get_logger()


class Request(litestar.Request[Any, Any, Any]):
    """A request whose body is read in one go and decoded straight into the type that its route asks for."""

    _read: bytes | None = None

    @property
    def asgi(self) -> Scope:
        """The request's scope, without the framework's view of it."""
        return cast("Scope", self.scope)

    async def body(self) -> bytes:
        """Return the body. Raises `RequestEntityTooLarge` as soon as it is longer than the application takes."""
        if self._read is None:
            self._read = await _read(cast("Receive", self.receive), header(self.asgi, b"content-length"))
        return self._read

    async def json(self) -> Any:  # noqa: ANN401 - what the route asks for
        """Return the body as the type of the route's `data`. Raises `MalformedRequest`."""
        wanted = self.route_handler.parsed_data_field
        return decode(await self.body(), dict if wanted is None else wanted.annotation)


async def _read(receive: Receive, announced: bytes | None) -> bytes:
    if announced is not None and int(announced) > BODY_BYTES:  # the server has found it to be a number
        raise RequestEntityTooLarge(_TOO_LARGE)
    parts = []
    length = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        part = message.get("body", b"")
        length += len(part)
        if length > BODY_BYTES:
            raise RequestEntityTooLarge(_TOO_LARGE)
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class ClientDisconnected(ClientException):
    """The client left before its request was complete; nobody reads the answer."""

    status_code = 499
    detail = "Client closed the connection"


class Entrance:
    """Refuses targets that no route can mean, and writes one line for each request and each WebSocket that is over."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request or a WebSocket, or pass on what is neither."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            kind = message["type"]
            if kind in _STARTS:
                status = message["status"]
            elif kind in _CODES:
                status = message.get("code", _CODES[kind])
            await send(message)

        refusal = _bad_target(scope)
        if refusal is None:
            await self._app(scope, receive, noting)
        else:
            await errors.send_detail(scope, noting, *refusal)
        logger.info(
            "socket_done" if scope["type"] == "websocket" else "request_done",
            **({"method": scope["method"]} if "method" in scope else {}),
            path=scope.get("path_template", "unknown"),  # the path itself may hold what is nobody's business
            status=status,
            ms=round((perf_counter() - began) * 1000, 2),
            **({"correlation_id": str(scope[CORRELATION])} if CORRELATION in scope else {}),
        )


def _bad_target(scope: Scope) -> tuple[int, str] | None:
    path, query = scope["path"], scope["query_string"]
    if len(path) > PATH_BYTES:
        return 414, f"Path has {len(path)} characters; at most {PATH_BYTES} are allowed"
    if not path.isprintable():
        return 400, "Path holds a character that cannot be printed"
    if b"%00" in query:
        return 400, "Query holds a NUL character"
    if scope["type"] == "websocket" and not about_now(scope):
        return 400, f"{path} takes no {NAME}: it tells what happens while somebody listens"
    return None
