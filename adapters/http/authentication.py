"""Let in only who knows the user name and the password: HTTP Basic, compared in constant time.

A browser's page cannot give a WebSocket headers, so there `?token=` may hold what stands behind `Basic` elsewhere. It
is taken out of the address here, so that nothing behind this door can write it down.
"""

import base64
import binascii
from collections.abc import Collection
from ipaddress import ip_address
from secrets import compare_digest
from urllib.parse import parse_qsl, urlencode

from adapters.http import errors
from adapters.http.protocol import App, Receive, Scope, Send, header

PUBLIC = frozenset({"/", "/health", "/ready"})
_CHALLENGE = ((b"www-authenticate", b"Basic"),)
_FAILED = "Authentication failed"
_FAILED_MESSAGE = f'{{"type":"error","message":"{_FAILED}"}}'
SOCKET_REFUSED = 4001
_FORWARDED = (b"x-forwarded-for", b"forwarded")


class Authentication:
    """Refuses requests without the right credentials; everything behind it knows the user as `scope["user"]`."""

    def __init__(self, app: App, *, username: str, password: str) -> None:
        self._app = app
        self._username = username
        self._user = username.encode()
        self._password = password.encode()
        self._expected = b"Basic " + base64.b64encode(self._user + b":" + self._password)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = header(scope, b"authorization") or b""
        if scope["type"] == "websocket":
            token = _taken_token(scope)
            given = given or token
        # A client's own header, whole, is the usual case: one comparison, nothing parsed.
        known = compare_digest(given, self._expected)
        refusal = None if known or _is_public(scope) else self._refuse(given)
        if refusal is None:
            scope["user"] = self._username
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await errors.send_detail(scope, send, 401, refusal, _CHALLENGE)
        else:
            await _refuse_socket(receive, send)

    def _refuse(self, given: bytes) -> str | None:
        scheme, _, encoded = given.partition(b" ")
        if scheme.lower() != b"basic":
            return "Not authenticated"
        try:
            user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except binascii.Error:
            return "Not authenticated"
        if not colon:
            return "Not authenticated"
        known = compare_digest(user, self._user) & compare_digest(password, self._password)
        return None if known else "Incorrect username or password"


def _taken_token(scope: Scope) -> bytes:
    """Take the token out of a WebSocket's address, and return it as a header would say it; empty without one."""
    query: str = scope["query_string"].decode("latin-1")
    given = parse_qsl(query, keep_blank_values=True)
    tokens = [value for name, value in given if name == "token"]
    if not tokens:
        return b""
    scope["query_string"] = urlencode([pair for pair in given if pair[0] != "token"]).encode()
    # A plus of base64 that was not escaped reads as a space.
    return b"Basic " + tokens[-1].replace(" ", "+").encode()


async def _refuse_socket(receive: Receive, send: Send) -> None:
    """Say so on an open WebSocket: a browser's page learns nothing of one that was not opened."""
    await receive()
    try:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": _FAILED_MESSAGE})
        await send({"type": "websocket.close", "code": SOCKET_REFUSED, "reason": _FAILED})
    except OSError:
        return  # it has left


def _is_public(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    path = scope["path"].rstrip("/") or "/"
    return path in PUBLIC or (_is_documentation(path) and _on_loopback(scope))


def _is_documentation(path: str) -> bool:
    return path in ("/docs", "/openapi.json") or path.startswith("/docs/")


def _on_loopback(scope: Scope) -> bool:
    # A proxy on this machine speaks from loopback for the whole world, and says so.
    if any(header(scope, name) is not None for name in _FORWARDED):
        return False
    return _is_loopback(scope.get("client")) and _is_loopback(scope.get("server"))


def _is_loopback(address: Collection[object] | None) -> bool:
    host = str(next(iter(address))) if address else ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
