"""Real sockets for an application in this process, and clients of its WebSockets, polite and rude ones."""

import asyncio
import base64
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from adapters.http.protocol import App
from adapters.uvicorn import web

KNOWN = {"Authorization": "Basic " + base64.b64encode(b"admin:admin").decode()}
SMALL = 8192
TEXT, CLOSE, PING = 1, 8, 9


@asynccontextmanager
async def listened(app: App, **terms: float) -> AsyncIterator[str]:
    """Serve an application, with little room in the kernel for what a client does not read; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        async with web(app, listener, **terms):
            yield f"127.0.0.1:{listener.getsockname()[1]}"


class Listener:
    """A client that reads."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, **wish: object) -> None:
        await self.socket.send_json(wish)

    async def hear(self) -> Any:
        """Return the next message."""
        async with asyncio.timeout(20):
            return await self.socket.receive_json()

    async def ask(self, **wish: object) -> Any:
        """Say something, and return the next message."""
        await self.say(**wish)
        return await self.hear()

    async def hear_of(self, type_: str) -> Any:
        """Return the next message of a type."""
        while (message := await self.hear())["type"] != type_:
            pass
        return message


@asynccontextmanager
async def listener(address: str, path: str = "/ws/market-data") -> AsyncIterator[Listener]:
    """Open a WebSocket, and read its first message."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{address}{path}", headers=KNOWN) as ws:
        opened = Listener(ws)
        assert (await opened.hear())["type"] == "connected"
        yield opened


def frame(opcode: int, payload: bytes, *, flags: int = 0x80) -> bytes:
    """Return a frame of a client, masked with zeros; without other `flags` it is the last one of its message."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return bytes([flags | opcode]) + length + bytes(4) + payload


def wish(**said: object) -> bytes:
    """Return the frame of a message."""
    return frame(TEXT, json.dumps(said).encode())


class Rude:
    """A client of which every byte is in the test's hand, with little room for what it does not read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    def send(self, *frames: bytes) -> None:
        """Send frames, or what is none."""
        self._writer.write(b"".join(frames))

    async def read_until(self, pattern: bytes) -> re.Match[bytes]:
        """Read until something stands there."""
        read = b""
        async with asyncio.timeout(20):
            while (found := re.search(pattern, read)) is None:
                read += await self.reader.read(SMALL)
        return found

    async def closed_with(self) -> int:
        """Read to the end, and return the code that stood there."""
        async with asyncio.timeout(20):
            everything = await self.reader.read()
        place = everything.rfind(bytes([0x80 | CLOSE]))
        return int.from_bytes(everything[place + 2 : place + 4], "big")


@asynccontextmanager
async def rude(address: str, path: str = "/ws/market-data") -> AsyncIterator[Rude]:
    """Open a WebSocket by hand; nothing is read after the handshake but what the test reads."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with rude_request(address, path, **upgrade) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        yield Rude(reader, writer)


@asynccontextmanager
async def rude_request(
    address: str, path: str, **headers: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send a request by hand, with little room for what is not read of its answer."""
    host, _, port = address.partition(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=raw, limit=SMALL)
    lines = [f"{name}: {value}\r\n" for name, value in {"Host": address, **KNOWN, **headers}.items()]
    writer.write(f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode())
    try:
        yield reader, writer
    finally:
        writer.close()
