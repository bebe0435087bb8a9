"""Send answers as bytes, of JSON as a rule: one that is ready, or one that is made while it is sent."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Protocol

import structlog

from adapters.http.protocol import Receive, Scope, Send
from domain.errors import DomainError

Headers = tuple[tuple[bytes, bytes], ...]

logger = structlog.get_logger()

PATIENCE_SECONDS = 60.0
_SHORT = 64 * 1024  # bytes that are sent together


class Answering(Protocol):
    """An `Answer` or a `LongAnswer`: the framework wants one type for all that a route returns."""

    async def __call__(self, _scope: Scope, _receive: Receive, _send: Send, /) -> None:
        """Answer."""
        ...


class Answer:
    """An application that answers with these bytes. `headers` are more of them, names in lower case."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(
        self,
        status: int,
        body: bytes,
        headers: Headers = (),
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
    """An application that answers in pieces, each made when the one before was taken.

    A short answer is sent as a whole, so that only a long one can break off: what goes wrong at the beginning is an
    answer of its own, and an error in the middle ends the connection, which its reader can tell. Somebody who went
    away, or takes no piece for `PATIENCE_SECONDS`, is not waited for: what makes the pieces is closed then.
    """

    __slots__ = ("_headers", "_pieces")

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        headers: Headers = (),
        *,
        content_type: bytes = b"application/json",
    ) -> None:
        self._pieces = pieces
        self._headers = [(b"content-type", content_type), *headers]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        async with aclosing(self._pieces):
            gone = asyncio.create_task(left(receive))
            try:
                await self._answer(send, gone)
            finally:
                gone.cancel()

    async def _answer(self, send: Send, gone: "asyncio.Task[None]") -> None:
        waiting: list[bytes] = []
        size, begun = 0, False
        try:
            async for piece in self._pieces:
                if gone.done():
                    return
                waiting.append(piece)
                size += len(piece)
                if size > _SHORT:
                    if not begun:
                        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
                        begun = True
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        await send({"type": "http.response.body", "body": b"".join(waiting), "more_body": True})
                    waiting, size = [], 0
        except (DomainError, TimeoutError) as e:
            if not begun:
                raise
            logger.warning("answer_broken_off", reason=str(e) or f"nothing was taken for {PATIENCE_SECONDS:g} seconds")
            return  # without an end, so the server closes the connection
        if not begun:
            length = (b"content-length", b"%d" % size)
            await send({"type": "http.response.start", "status": 200, "headers": [*self._headers, length]})
        await send({"type": "http.response.body", "body": b"".join(waiting), "more_body": False})


async def left(receive: Receive) -> None:
    """Return when whoever asked has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def in_turns(pieces: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield pieces that take a while to make, with others' turns in between."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)  # sending to a fast client waits for nothing
