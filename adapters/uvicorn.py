"""Serve the application over HTTP and WebSockets with uvicorn."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from adapters.http.protocol import App

_STOP_SECONDS = 5
"""How long requests may take to end when the server stops."""

MESSAGE_BYTES = 64 * 1024
"""A longer message of a WebSocket's client ends its connection."""

_PING_SECONDS = 20.0
_PONG_SECONDS = 60.0
"""A client of a WebSocket is asked so often whether it is there, and is let go when it does not answer for so long."""

_LAST_WORDS_SECONDS = 2.0
"""When its connection ends, a WebSocket's client has so long to read what was sent to it."""

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
            held, much = self._held, self._bytes > _JOIN_BYTES
            self._held, self._bytes = [], 0
            if self._transport.is_closing():  # the client may have left meanwhile
                return
            if much:
                self._transport.writelines(held)  # one system call as well, and no copy: that is a millisecond for 2 MB
            else:
                self._transport.write(b"".join(held))


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1, each answer in one piece."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(cast("asyncio.Transport", _Joining(transport, self.loop)))


class _Leaving:
    """A transport that is closed within seconds, whether or not its client reads what is left."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._left = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the transport's own
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close when all is read, at last when there was time enough for that."""
        self._transport.close()
        if not self._left:
            self._left = True
            self._loop.call_later(_LAST_WORDS_SECONDS, self._transport.abort)


class _WebSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose client may stop to read: what waits for it stays small, and it is let go in the end.

    Sending waits while more than the transport's bound is unread. What uvicorn writes of its own accord, answers to
    pings and goodbyes, would not wait, and a connection that it closes would wait for ever.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        leaving = _Leaving(cast("asyncio.Transport", transport), self.loop)
        super().connection_made(cast("asyncio.Transport", leaving))

    def handle_ping(self) -> None:
        """Answer a ping, or drop it where answers are not read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    async def send(self, message: Any) -> None:  # noqa: ANN401 - as in uvicorn
        """Send when the client reads. Raises `ClientDisconnected` where nobody can read any more."""
        await self.writable.wait()
        if self.close_sent and not self.disconnected:
            raise ClientDisconnected  # the connection was ended from below, and the application does not know yet
        await super().send(message)


class _Web(uvicorn.Server):
    """uvicorn, with the signals left to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def web(
    app: App, listener: socket.socket, *, ping_seconds: float = _PING_SECONDS, pong_seconds: float = _PONG_SECONDS
) -> AsyncIterator[None]:
    """Serve an application on a socket; at the end, requests under way are let finish, and WebSockets are closed.

    WebSockets are not compressed: a compressor for each client takes more memory than all else that it needs.
    """
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws=_WebSocket,
        ws_max_size=MESSAGE_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=ping_seconds,
        ws_ping_timeout=pong_seconds,
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
