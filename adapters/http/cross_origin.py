"""Say which web pages may use the API from a browser, and refuse the others what a browser would let them do.

A browser adds the credentials it has kept to requests that any page makes, and sends simple ones without asking first.
So a request that changes something and names a foreign page as its origin is refused here, whatever its credentials;
and so is a WebSocket, since a browser lets every page read what comes over it. Clients that are no browsers send no
`Origin`, and pass.
"""

import re
from collections.abc import Collection

from adapters.http import errors
from adapters.http.protocol import App, Message, Receive, Scope, Send, header

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PAGES = {"ws": "http", "wss": "https"}
_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_EXPOSED = b"X-Position, X-Lag, X-As-Of, Retry-After"


class CrossOrigin:
    """Answers preflights, marks answers for pages that may read them, refuses changes from pages that may not.

    `origins` are exact (`http://localhost:8501`), `pattern` is a regular expression for a whole origin, empty for none.
    """

    def __init__(self, app: App, *, origins: Collection[str], pattern: str = "") -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._pattern = re.compile(pattern or r"(?!)")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, marked if it comes from a page that may read the answer."""
        given = header(scope, b"origin") if scope["type"] != "lifespan" else None
        if given is None:
            await self._app(scope, receive, send)
            return
        origin = given.decode("latin-1")
        if not self._allows(origin, scope):
            if scope.get("method") in _SAFE:
                await self._app(scope, receive, send)
            else:
                await errors.send_detail(scope, send, 403, f"Origin '{origin[:200]}' is not one of CORS_ALLOW_ORIGINS")
            return
        if scope["type"] == "websocket":  # has no answer that a browser would ask for marks
            await self._app(scope, receive, send)
            return
        marks = [
            (b"access-control-allow-origin", given),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        ]
        if scope["method"] == "OPTIONS":
            await _answer_preflight(scope, send, marks)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *marks]
            await send(message)

        await self._app(scope, receive, marked)

    def _allows(self, origin: str, scope: Scope) -> bool:
        if origin in self._origins or self._pattern.fullmatch(origin) is not None:
            return True
        host = (header(scope, b"host") or b"").decode("latin-1")
        scheme = _PAGES.get(scope["scheme"], scope["scheme"])
        return origin == f"{scheme}://{host}"  # our own page, /docs


async def _answer_preflight(scope: Scope, send: Send, marks: list[tuple[bytes, bytes]]) -> None:
    wanted = header(scope, b"access-control-request-headers") or b"Authorization, Content-Type"
    headers = [
        *marks,
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", wanted),
        (b"access-control-max-age", b"600"),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
