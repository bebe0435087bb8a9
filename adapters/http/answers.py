"""Send an answer that is ready: bytes, of JSON as a rule, sent as they are."""

import asyncio
from collections.abc import Iterable

from adapters.http.protocol import Receive, Scope, Send


class Answer:
    """An application that answers with these bytes. `headers` are more of them, names in lower case."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(
        self,
        status: int,
        body: bytes,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        *,
        content_type: bytes = b"application/json",
    ) -> None:
        self._status = status
        self._body = body
        self._headers = [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            *headers,
        ]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer."""
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


class LongAnswer:
    """An application that answers with JSON in pieces, each made when the one before is sent; others go in between."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)  # sending to a fast client waits for nothing
        await send({"type": "http.response.body", "body": b"", "more_body": False})
