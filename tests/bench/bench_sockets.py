"""Five hundred clients of one order book: how long from the venue's message to each client, and what a client costs.

The venue stands in this process beside the clients, and says with each change when it said it; the server between them
has a process of its own, and hears the venue through ccxt. A client reads what comes and nothing else.
"""

import asyncio
import os
import re
import resource
import sys
from pathlib import Path
from statistics import quantiles
from time import monotonic
from typing import cast

import msgspec
import uvloop

from adapters.garbage import collect_rarely
from adapters.logging import configure
from tests.bench.books import Books, Wanted, listening, pair_of
from tests.bench.sockets import served
from tests.bench.table import Row, at_least, at_most, show
from tests.listening import KNOWN, wish

CLIENTS, WARMING = 500, 20
CHANGES, PER_SECOND = 30, 2
P99_MS = 100.0
KB_PER_CLIENT = 100.0
FILES = 4096

_SAID = re.compile(rb'"bids":\[\[[0-9.]+,([0-9.]+)\]')
WISH = wish(
    action="subscribe", type="order_book", connector="binance", trading_pair=pair_of(0), depth=10, update_interval=0.25
)


class Telling(Books):
    """A book whose best bid says in its amount when it was told."""

    def delta(self, symbol: str) -> str:
        told = msgspec.json.decode(super().delta(symbol))
        best = f"{1000 + int(symbol[1:-4]):.2f}"
        told["b"] = [[best, f"{monotonic():.6f}"], *(level for level in told["b"] if level[0] != best)]
        return msgspec.json.encode(told).decode()


class Client(asyncio.Protocol):
    """A client that notes how old each book is when it comes, in milliseconds."""

    def __init__(self, took: list[float]) -> None:
        self._took = took
        self.heard = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is not registered as one
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        known = f"Host: bench\r\nAuthorization: {KNOWN['Authorization']}\r\n"
        self._transport.write(f"GET /ws/market-data HTTP/1.1\r\n{known}{upgrade}{key}\r\n".encode())

    def leave(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        now = monotonic()
        if data.startswith(b"HTTP/1.1 101"):
            self._transport.write(WISH)
        for said in _SAID.finditer(data):
            self._took.append((now - float(said[1])) * 1000)
            self.heard += 1


async def main() -> bool:
    """Print the figures beside their limits; return whether all were kept."""
    collect_rarely()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, FILES), most))  # the server's process has the same
    took: list[float] = []
    async with (
        listening(Telling(Wanted(pairs=1, per_second=PER_SECOND))) as address,
        served(address) as (port, process),
    ):
        clients = await connected(port, WARMING, took)
        before = resident(process)
        clients += await connected(port, CLIENTS - WARMING, took)
        kilobytes = (resident(process) - before) / (CLIENTS - WARMING)
        took.clear()
        began, used = [client.heard for client in clients], worked(process)
        await heard(clients, CHANGES)
        told = len(took)
        cpu = (worked(process) - used) / told
        least = min(client.heard - at for client, at in zip(clients, began, strict=True))
        for client in clients:
            client.leave()
    percentiles = quantiles(took, n=100)
    return show(
        f"{CLIENTS} clients of one order book that changes {PER_SECOND} times a second",
        [
            Row(name="From the venue to a client, p50", figure=percentiles[49], unit="ms"),
            at_most("From the venue to a client, p99", percentiles[98], P99_MS, "ms"),
            Row(name="Processor time of the server a message", figure=cpu * 1e6, unit="us"),
            at_most("Memory of the server a client", kilobytes, KB_PER_CLIENT, "KB"),
            at_least("Changes that each client was told at least", least, CHANGES),
        ],
    )


async def connected(port: int, count: int, took: list[float]) -> list[Client]:
    """Open so many clients, and wait until each has the book."""
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: Client(took), "127.0.0.1", port) for _ in range(count)]
    clients = [client for _, client in opened]
    await heard(clients, 1)
    return clients


async def heard(clients: list[Client], count: int) -> None:
    """Wait until each client has heard so many books more."""
    wanted = [client.heard + count for client in clients]
    async with asyncio.timeout(60 + count / PER_SECOND):
        while any(client.heard < want for client, want in zip(clients, wanted, strict=True)):
            await asyncio.sleep(0.05)


def resident(process: int) -> float:
    """Return how many kilobytes of memory a process has."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1024


def worked(process: int) -> float:
    """Return how many seconds of processor time a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    configure("error")
    sys.exit(0 if uvloop.run(main()) else 1)
