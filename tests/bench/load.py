"""A cheap HTTP client in a process of its own: many kept connections, each asking again as soon as it is answered."""

import asyncio
import os
import re
import signal
import sys
from base64 import b64encode
from contextlib import suppress
from statistics import quantiles
from time import perf_counter
from typing import cast

import msgspec
import uvloop

from adapters.settings import DEFAULT_PASSWORD

HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
USER = b64encode(f"admin:{DEFAULT_PASSWORD}".encode()).decode()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, of whom, by how many at once, for how long. Connections are dealt out to the ports in turn."""

    ports: list[int]
    path: str
    body: str
    clients: int
    seconds: float
    warm_up_seconds: float = 0.5
    status: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: answers a second, and how long they took."""

    per_second: float
    p50_ms: float
    p99_ms: float


class _Client(asyncio.Protocol):
    """One connection, with one request under way at any time."""

    def __init__(self, request: bytes, status: int, done: asyncio.Future[None]) -> None:
        self.times: list[tuple[float, float]] = []  # when it was answered, and after how long
        self._request = request
        self._expected = f" {status} ".encode()
        self._done = done
        self._answer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        self._send()

    def data_received(self, data: bytes) -> None:
        answer = self._answer + data
        head, end, body = answer.partition(HEAD_END)
        length = LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            self._answer = answer
            return
        if self._expected not in head[:16]:
            self._fail(f"Answered {answer[:500]!r}")
            return
        self._answer = b""
        now = perf_counter()
        self.times.append((now, now - self._sent_at))
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"Connection lost: {exc}")

    def close(self) -> None:
        self._transport.abort()

    def _send(self) -> None:
        self._sent_at = perf_counter()
        self._transport.write(self._request)

    def _fail(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(why))


async def run(load: Load) -> Figures:
    """Ask for as long as was wanted. Raises `ConnectionError` for the first answer that is not as expected."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    body = load.body.encode()
    request = (
        f"POST {load.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {USER}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    clients = [
        (await loop.create_connection(lambda: _Client(request, load.status, done), "127.0.0.1", port))[1]
        for port in (load.ports[n % len(load.ports)] for n in range(load.clients))
    ]
    began = perf_counter() + load.warm_up_seconds
    ended = began + load.seconds
    with suppress(TimeoutError):  # no client has failed
        async with asyncio.timeout(load.warm_up_seconds + load.seconds):
            await done
    for client in clients:
        client.close()
    took = [ms for client in clients for at, ms in client.times if began <= at <= ended]
    cuts = quantiles(took, n=100)
    return Figures(per_second=len(took) / load.seconds, p50_ms=cuts[49] * 1000, p99_ms=cuts[98] * 1000)


async def measured(load: Load) -> Figures:
    """Run a load in a process of its own and return its figures. Raises `ChildProcessError` when it fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.load", msgspec.json.encode(load)), stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise ChildProcessError(f"The load on {load.path} ended with {process.returncode}")
    return msgspec.json.decode(output, type=Figures)


async def is_ready(port: int) -> bool:
    """Ask whether the server is ready; it does not listen at first."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.startswith(b"HTTP/1.1 200 ")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run(msgspec.json.decode(sys.argv[1], type=Load)))
    sys.stdout.buffer.write(msgspec.json.encode(figures))
