"""Keep requests out until the server can carry them out."""

from collections.abc import Callable

from adapters.http.authentication import PUBLIC
from adapters.http.errors import send_detail
from adapters.http.protocol import App, Receive, Scope, Send

_ALWAYS = PUBLIC | {"/system/projections"}
"""What says how the start goes on."""

_RETRY_AFTER = ((b"retry-after", b"1"),)


class Gate:
    """Answers 503 while it is shut, to all but the routes that say why."""

    def __init__(self, app: App, is_open: Callable[[], bool]) -> None:
        self._app = app
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or tell it to come again."""
        if scope["type"] != "lifespan" and scope["path"] not in _ALWAYS and not self._is_open():
            why = "The server is starting or stopping: try again in a moment"
            await send_detail(scope, send, 503, why, _RETRY_AFTER)
            return
        await self._app(scope, receive, send)
