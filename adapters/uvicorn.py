"""Serve the application over HTTP with uvicorn."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from adapters.http.protocol import App

_STOP_SECONDS = 5
"""How long requests may take to end when the server stops."""

_JOIN_BYTES = 64 * 1024
"""What is longer than this is not held back until its turn of the loop is over."""


class _Joining:
    """A transport that sends together what is written in one turn of the loop.

    uvicorn writes the head of an answer and its body apart. Two system calls and two packets for an answer cost about a
    tenth of what a small request costs here, and as much at the client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._bytes = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the transport's own
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold data until the loop's next turn, or until there is much of it."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)
        self._bytes += len(data)
        if self._bytes > _JOIN_BYTES:
            self._send()

    def close(self) -> None:
        """Send what is held, then close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._held:
            held, self._held, self._bytes = self._held, [], 0
            if not self._transport.is_closing():  # the client may have left meanwhile
                self._transport.write(b"".join(held))


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1, each answer in one piece."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(cast("asyncio.Transport", _Joining(transport, self.loop)))


class _Web(uvicorn.Server):
    """uvicorn, with the signals left to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def web(app: App, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an application on a socket; at the end, requests under way are let finish."""
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
        proxy_headers=False,
    )
    server = _Web(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await running
