"""Nectar as a process of its own, with accounts on the test venue."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec

from tests.bench.load import HEAD_END, LENGTH, USER
from tests.bench.venue import Running, credentials
from tests.contract.serving import CREDENTIALS, Nectar
from tests.venues.floor import Keys

CONNECTOR = "binance"
_SECONDS = 60.0
_AT_ONCE = 10
_KEPT_SECONDS = 2.0
"""The server closes what is idle for longer than 5."""


@asynccontextmanager
async def nectar(running: Running, database_url: str) -> AsyncIterator[tuple[Nectar, httpx.AsyncClient]]:
    """Run `nectar serve` on a database and a venue, and give it with a client once it is ready."""
    with tempfile.TemporaryDirectory(prefix="nectar-bench-") as folder:
        urls = Path(folder) / "venue_urls.json"
        urls.write_bytes(msgspec.json.encode(running.urls))
        server = Nectar(Path(folder) / "data", {"DATABASE_URL": database_url, "VENUE_URLS": str(urls)})
        try:
            await asyncio.to_thread(server.start)
            async with httpx.AsyncClient(base_url=server.url, auth=CREDENTIALS, timeout=_SECONDS) as client:
                yield server, client
        finally:
            await asyncio.to_thread(server.stop)


class Lines:
    """Kept connections to a server, on which little of a shared machine's time is the client's own."""

    def __init__(self, port: int) -> None:
        """Begin with no connection; one more is made whenever all are in use."""
        self._port = port
        self._free: list[_Line] = []

    async def post(self, path: str, body: Any, status: int) -> Any:  # a JSON value each
        """Return the answer to a request. Raises `ConnectionError` when it has another status."""
        content = msgspec.json.encode(body)
        request = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {USER}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        ).encode() + content
        line = await self._line()
        head, answer = await line.ask(request)
        self._free.append(line)
        if not head.startswith(f"HTTP/1.1 {status} ".encode()):
            raise ConnectionError(f"{path} was answered {head[:20]!r}: {answer[:500]!r}")
        return msgspec.json.decode(answer)

    def close(self) -> None:
        """Close all connections."""
        for line in self._free:
            line.close()

    async def _line(self) -> "_Line":
        loop = asyncio.get_running_loop()
        while self._free:
            line = self._free.pop()
            if loop.time() - line.answered_at < _KEPT_SECONDS:
                return line
            line.close()
        _, line = await loop.create_connection(_Line, "127.0.0.1", self._port)
        return line


class _Line(asyncio.Protocol):
    def __init__(self) -> None:
        self.answered_at = 0.0
        self._answer = b""
        self._asked: asyncio.Future[tuple[bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        self._asked = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._asked

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(HEAD_END)
        length = LENGTH.search(head)
        if end and length is not None and len(body) >= int(length[1]) and self._asked is not None:
            self._answer, self.answered_at = b"", asyncio.get_running_loop().time()
            self._asked.set_result((head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(ConnectionError(f"Connection lost: {exc}"))

    def close(self) -> None:
        self._transport.abort()


async def connect(client: httpx.AsyncClient, keys: Sequence[Keys]) -> None:
    """Add an account under each one's name, with its keys."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Keys) -> None:
        async with turns:
            await _post(client, f"/accounts/add-account?account_name={each.account}", None)
            path = f"/accounts/add-credential/{each.account}/{CONNECTOR}"
            await _post(client, path, credentials(CONNECTOR, each))

    await asyncio.gather(*map(one, keys))


async def _post(client: httpx.AsyncClient, path: str, body: Any) -> None:
    answer = await client.post(path, json=body)
    if answer.is_error:
        raise ConnectionError(f"{path} was answered {answer.status_code}: {answer.text}")
